"""Counts what real kernels are made of, in Python source read with libcst.

The key insight: counting needs no compiler. A light inference of kinds (float, int, bool, composite, unknown) tells
which terms and statements are of the scalar language; what is unknown is looked through, not guessed, and statements
that lie outside are counted apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import libcst as cst


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


INFIX: Mapping[type[cst.CSTNode], str] = {
    cst.Add: "add",
    cst.Subtract: "sub",
    cst.Multiply: "mul",
    cst.Divide: "div",
    cst.FloorDivide: "floordiv",
    cst.Modulo: "mod",
    cst.Power: "power",
    cst.BitAnd: "bit_and",
    cst.BitOr: "bit_or",
    cst.BitXor: "bit_xor",
    cst.LeftShift: "lshift",
    cst.RightShift: "rshift",
    cst.And: "logical_and",
    cst.Or: "logical_or",
    cst.LessThan: "less",
    cst.LessThanEqual: "less_equal",
    cst.GreaterThan: "greater",
    cst.GreaterThanEqual: "greater_equal",
    cst.Equal: "equal",
    cst.NotEqual: "not_equal",
    cst.AddAssign: "add",
    cst.SubtractAssign: "sub",
    cst.MultiplyAssign: "mul",
    cst.DivideAssign: "div",
    cst.FloorDivideAssign: "floordiv",
    cst.ModuloAssign: "mod",
    cst.PowerAssign: "power",
    cst.BitAndAssign: "bit_and",
    cst.BitOrAssign: "bit_or",
    cst.BitXorAssign: "bit_xor",
    cst.LeftShiftAssign: "lshift",
    cst.RightShiftAssign: "rshift",
}
PREFIX: Mapping[type[cst.CSTNode], str] = {
    cst.Minus: "neg",
    cst.Plus: "pos",
    cst.Not: "logical_not",
    cst.BitInvert: "invert",
}

ORDERINGS = (cst.LessThan, cst.LessThanEqual, cst.GreaterThan, cst.GreaterThanEqual)
BOOLEAN = _words("between less less_equal greater greater_equal equal not_equal logical_and logical_or logical_not")
SIZED = _words("float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool")
CASTS: Mapping[str, str] = {"float": "float32", "int": "int32", "bool": "bool"} | {f"wp.{n}": n for n in sorted(SIZED)}
FLOAT_CALLS = _words(
    "sin cos tan asin acos atan atan2 sinh cosh tanh exp log log2 log10 pow power sqrt cbrt erf erfc erfinv erfcinv"
    " round rint trunc floor ceil frac degrees radians lerp smoothstep"
)
SAME_CALLS = _words("min max abs sign step clamp nonzero mod neg add sub mul div floordiv")
"""Builtins whose result has the kind of their arguments."""
BOOL_CALLS = _words("isfinite isinf isnan")
CALLS = FLOAT_CALLS | SAME_CALLS | BOOL_CALLS | {"where"}

COMPOSITE = _words("vec2 vec3 vec4 vec2f vec3f vec4f quat quatf mat22 mat33 mat44 mat22f mat33f mat44f spatial_vector")
"""Types whose components are floats: their kind is `composite`."""
OUTSIDE_CALLS: Mapping[str, str] = (
    dict.fromkeys(_words("length length_sq dot determinant trace ddot randf randn noise"), "float")
    | dict.fromkeys(_words("randi tid"), "int")
    | dict.fromkeys(COMPOSITE | _words("normalize cross cw_mul cw_div quat_rotate transform_point"), "composite")
)
"""Kinds of what builtins outside the scalar language give."""
SCALARS = frozenset(["float", "int", "bool"])

ARRAYS = _words("wp.array wp.array1d wp.array2d wp.array3d wp.array4d")
ATOMICS = _words("atomic_add atomic_sub atomic_min atomic_max")

Tally = defaultdict[str, Counter[Any]]
"""Counts by the table they belong to, such as `operations` or `names.loop`."""


@dataclass(frozen=True, slots=True)
class Term:
    """What a term is made of, as far as it is of the scalar language."""

    kind: str
    """`float`, `int`, `bool`, `composite`, or empty where unknown."""
    inside: bool = True
    """Nothing in it lies outside the scalar language."""
    height: int = 1
    operations: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    literals: tuple[float | int, ...] = ()


@dataclass(slots=True)
class Scope:
    """What a function's walk knows so far. Kinds are `float`, `int`, `bool`, and those with `[]` for arrays."""

    tally: Tally
    kinds: dict[str, str]
    """Kinds of the names that can be used where the walk stands."""
    parameters: Mapping[str, str]
    is_kernel: bool
    roles: dict[str, str] = field(default_factory=dict)
    """What each name of the scalar language is for; the last use decides."""

    def count(self, table: str, key: Any) -> None:
        self.tally[table][key] += 1


# -- terms ------------------------------------------------------------------------------------------------------------


def read_term(node: cst.BaseExpression, scope: Scope) -> Term:
    """What the expression is made of; parts outside the scalar language are looked through."""
    match node:
        case cst.Integer() | cst.Float():
            return _literal(node, 1)
        case cst.UnaryOperation(operator=cst.Minus(), expression=cst.Integer() | cst.Float() as number):
            return _literal(number, -1)
        case cst.Name(value=name):
            return _name(name, scope)
        case cst.UnaryOperation(operator=operator, expression=operand):
            return _apply(PREFIX[type(operator)], [operand], scope)
        case cst.BinaryOperation(left=left, operator=operator, right=right) if type(operator) in INFIX:
            return _apply(INFIX[type(operator)], [left, right], scope)
        case cst.BooleanOperation(left=left, operator=operator, right=right):
            return _apply(INFIX[type(operator)], [left, right], scope)
        case cst.Comparison(left=left, comparisons=[target]) if type(target.operator) in INFIX:
            return _apply(INFIX[type(target.operator)], [left, target.comparator], scope)
        case cst.Comparison(left=left, comparisons=[first, second]) if isinstance(first.operator, ORDERINGS):
            return _apply("between", [left, first.comparator, second.comparator], scope)
        case cst.IfExp(test=test, body=body, orelse=orelse):
            return _apply("ternary", [test, body, orelse], scope)
        case cst.Subscript():
            return _element(node, scope)
        case cst.Call(func=func, args=args):
            return _call(dotted(func), [arg.value for arg in args], scope)
        case _:
            return Term("", inside=False)


def _literal(node: cst.Integer | cst.Float, sign: int) -> Term:
    value = sign * (int(node.value, 0) if isinstance(node, cst.Integer) else float(node.value))
    return Term("int" if isinstance(node, cst.Integer) else "float", leaves=("constant",), literals=(value,))


def _name(name: str, scope: Scope) -> Term:
    if name in ("True", "False"):
        return Term("bool", leaves=("constant",))
    kind = scope.kinds.get(name, "")
    if kind not in SCALARS:
        return Term(kind, inside=False)
    return Term(kind, leaves=("scalar" if name in scope.parameters else "local",))


def _apply(name: str, operands: Sequence[cst.BaseExpression], scope: Scope) -> Term:
    """An operation at its operands, counted where its name or they say that it is scalar."""
    args = [read_term(operand, scope) for operand in operands]
    kind = _operand_kind(name, {arg.kind for arg in (args[1:] if name in ("where", "ternary") else args)})
    return _above("bool" if name in BOOLEAN | BOOL_CALLS else kind, args, _operation(name, kind))


def _operand_kind(name: str, kinds: set[str]) -> str:
    """The kind that an operation works in. Comparisons with something unknown go by what is known."""
    if name in FLOAT_CALLS and "composite" not in kinds:
        return "float"
    order = ("composite", "float", "int", "bool") if name in BOOLEAN else ("composite", "", "float", "int", "bool")
    return next((kind for kind in order if kind in kinds), "")


def _operation(name: str, kind: str) -> tuple[str, ...]:
    return (f"{name}({kind})",) if kind in SCALARS else ()


def _above(kind: str, args: Sequence[Term], operations: tuple[str, ...], leaves: tuple[str, ...] = ()) -> Term:
    """The term over `args`. Without operation or leaf of its own it lies outside, and so do the leaves it stands on."""
    inside = bool(operations or leaves)
    counted = [arg for arg in args if inside or arg.height > 1]
    return Term(
        kind,
        inside and all(arg.inside for arg in args),
        1 + max((arg.height for arg in args), default=0),
        (*operations, *(op for arg in args for op in arg.operations)),
        (*leaves, *(leaf for arg in counted for leaf in arg.leaves)),
        tuple(value for arg in counted for value in arg.literals),
    )


def _call(function: str, args: Sequence[cst.BaseExpression], scope: Scope) -> Term:
    name = function.removeprefix("wp.")
    if function in CASTS and len(args) == 1:
        return _cast(CASTS[function], read_term(args[0], scope))
    if function.startswith("wp.") and name in CALLS and args:
        return _apply(name, args, scope)
    return _above(OUTSIDE_CALLS.get(name, ""), [read_term(arg, scope) for arg in args], ())


def _cast(name: str, operand: Term) -> Term:
    """A cast of a literal, such as `float(0.0)`, declares a variable rather than computes: it counts as a constant."""
    kind = name.removeprefix("u").rstrip("0123456789")
    if operand.literals and operand.height == 1:
        return replace(operand, kind=kind)
    return _above(kind, [operand], _operation(name, operand.kind))


def _element(node: cst.Subscript, scope: Scope) -> Term:
    """An element of an array, a length or a component. An array's element at one plain index is one leaf."""
    name = dotted(node.value)
    if scope.kinds.get(name.removesuffix(".shape"), "").endswith("[]") and name.endswith(".shape"):
        return Term("int")
    indices = [part.slice.value for part in node.slice if isinstance(part.slice, cst.Index)]
    args = [read_term(index, scope) for index in indices]
    kind = scope.kinds.get(name, "") if isinstance(node.value, cst.Name) else read_term(node.value, scope).kind
    element = kind.removesuffix("[]") if kind.endswith("[]") else "float" if kind == "composite" else ""
    if element not in SCALARS or kind == "composite" or len(args) != 1:
        return _above(element, args, ())
    return (
        Term(element, args[0].inside, leaves=("read",)) if args[0].height == 1 else _above(element, args, (), ("read",))
    )


def dotted(node: cst.CSTNode) -> str:
    """The name that a node spells, such as `wp.sin` however Warp is imported; `?` in the place of what is no name."""
    match node:
        case cst.Name(value=name):
            return "wp" if name == "warp" else name
        case cst.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr.value}"
        case _:
            return "?"


# -- statements -------------------------------------------------------------------------------------------------------


def survey(module: cst.Module) -> Tally:
    """Counts over all kernels and functions of a module, wherever they are nested."""
    tally: Tally = defaultdict(Counter)
    for function in marked_functions(module):
        _survey_function(function, mark_of(function) == "kernel", tally)
    return tally


def marked_functions(module: cst.Module) -> Iterator[cst.FunctionDef]:
    """All kernels and functions of a module, wherever they are nested."""
    return (function for function in _functions(module) if mark_of(function))


def _functions(node: cst.CSTNode) -> Iterator[cst.FunctionDef]:
    if isinstance(node, cst.FunctionDef):
        yield node
    if isinstance(node, cst.Module | cst.BaseCompoundStatement | cst.BaseSuite | cst.Else | cst.ExceptHandler):
        for child in node.children:
            yield from _functions(child)


def mark_of(function: cst.FunctionDef) -> str:
    """`kernel` or `func` where the function is decorated so, with or without arguments; otherwise empty."""
    for decorator in function.decorators:
        node = decorator.decorator
        name = dotted(node.func if isinstance(node, cst.Call) else node)
        if name in ("wp.kernel", "wp.func"):
            return name.removeprefix("wp.")
    return ""


def _survey_function(function: cst.FunctionDef, is_kernel: bool, tally: Tally) -> None:
    declared = [(p.name.value, _annotated(p.annotation)) for p in function.params.params]
    kinds = {name: kind for name, kind in declared if kind}
    scope = Scope(tally, dict(kinds), kinds, is_kernel)
    scope.count("functions", "kernel" if is_kernel else "func")
    _survey_block(function.body, scope, 0)
    for name, role in _parameter_roles(scope).items() | scope.roles.items():
        scope.count(f"names.{role}", name)
    if is_kernel:
        scope.count("names.kernel", function.name.value)
    if is_kernel and all(kind.removesuffix("[]") in SCALARS for _, kind in declared):
        _count_shape(function, scope)


def _annotated(annotation: cst.Annotation | None) -> str:
    """The kind that a parameter is annotated with, empty where it lies outside the scalar language."""
    if annotation is None:
        return ""
    match annotation.annotation:
        case cst.Call(func=array, args=args) if dotted(array) in ARRAYS:
            given = {arg.keyword.value: arg.value for arg in args if arg.keyword}
            return _array_of(given["dtype"]) if "dtype" in given else ""
        case cst.Subscript(value=array, slice=[cst.SubscriptElement(slice=cst.Index(value=element))]):
            return _array_of(element) if dotted(array) in ARRAYS else ""
        case node:
            return _kind(dotted(node))


def _array_of(element: cst.BaseExpression) -> str:
    kind = _kind(dotted(element))
    return kind and f"{kind}[]"


def _kind(spelling: str) -> str:
    if spelling.removeprefix("wp.") in COMPOSITE:
        return "composite"
    return CASTS.get(spelling, "").removeprefix("u").rstrip("0123456789")


def _survey_block(block: cst.BaseSuite, scope: Scope, nesting: int) -> None:
    for stmt in block.body:
        match stmt:
            case cst.SimpleStatementLine(body=small):
                for part in small:
                    _survey_simple(part, scope, nesting)
            case cst.If():
                _survey_if(stmt, scope, nesting, "if")
            case cst.For(target=cst.Name(value=variable), iter=cst.Call(func=cst.Name(value="range"), args=args)):
                _survey_for(variable, [arg.value for arg in args], scope)
                _survey_nested(stmt.body, scope, nesting)
            case cst.While(test=test):
                _count_statement("while", read_term(test, scope), scope, "bool")
                _survey_nested(stmt.body, scope, nesting)
            case cst.BaseSmallStatement():  # as in `if i >= n: return`, on one line
                _survey_simple(stmt, scope, nesting)
            case _:
                scope.count("outside", type(stmt).__name__)


def _survey_nested(block: cst.BaseSuite, scope: Scope, nesting: int) -> None:
    scope.count("body_lengths", len(block.body))
    _survey_block(block, scope, nesting + 1)


def _survey_if(stmt: cst.If, scope: Scope, nesting: int, kind: str) -> None:
    match stmt.test:
        case cst.Comparison(left=left, comparisons=[target]) if isinstance(target.operator, ORDERINGS):
            _mark_bounds([left, target.comparator], scope)
        case _:
            pass
    inside = _count_statement(kind, read_term(stmt.test, scope), scope, "bool")
    _survey_nested(stmt.body, scope, nesting)
    match stmt.orelse:
        case cst.If() as branch:
            _survey_if(branch, scope, nesting, "elif")
        case cst.Else(body=body):
            if inside:
                scope.count("statements", "else")
            _survey_nested(body, scope, nesting)
        case _:
            pass


def _survey_for(variable: str, args: Sequence[cst.BaseExpression], scope: Scope) -> None:
    bounds = [read_term(arg, scope) for arg in args]
    scope.kinds[variable], scope.roles[variable] = "int", "loop"
    _mark_bounds(args, scope)
    if any(bound.kind != "int" for bound in bounds):
        scope.count("outside", "for")
    elif all(bound.literals and bound.height == 1 for bound in bounds):
        scope.count("statements", "for_static")
        scope.count("trip_counts", _trips([int(bound.literals[0]) for bound in bounds]))
    else:
        scope.count("statements", "for_dynamic")


def _trips(bounds: Sequence[int]) -> int:
    return len(range(*bounds)) if bounds[2:] != [0] else 0


def _mark_bounds(nodes: Iterable[cst.BaseExpression], scope: Scope) -> None:
    """Integer parameters that bound a loop or are compared with are counts."""
    for node in nodes:
        if isinstance(node, cst.Name) and scope.parameters.get(node.value) == "int":
            scope.roles[node.value] = "count"


def _survey_simple(stmt: cst.BaseSmallStatement, scope: Scope, nesting: int) -> None:
    match stmt:
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value):
            _survey_assign(name, value, scope)
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Tuple(elements=elements))], value=cst.Call(func=func)) if (
            dotted(func) == "wp.tid"
        ):
            for name in (dotted(element.value) for element in elements):
                scope.kinds[name], scope.roles[name] = "int", "thread"
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Subscript() as element)], value=value):
            _survey_store("store", element, value, scope)
        case cst.AugAssign(target=cst.Name(value=name), operator=operator, value=value) if type(operator) in INFIX:
            if _count_statement("aug_assign", read_term(value, scope), scope, scope.kinds.get(name, "")):
                scope.count("aug_operators", INFIX[type(operator)])
                if scope.roles.get(name) == "local":
                    scope.roles[name] = "accumulator"
        case cst.AugAssign(target=cst.Subscript() as element, operator=operator, value=value):
            _survey_store("aug_store", element, value, scope)
        case cst.Expr(value=cst.Call(func=func, args=[array, index, value])) if dotted(func)[3:] in ATOMICS:
            element = cst.Subscript(array.value, [cst.SubscriptElement(cst.Index(index.value))])
            _survey_store(dotted(func)[3:], element, value.value, scope)
        case cst.Return(value=None) if nesting:
            scope.count("statements", "return")
        case cst.Return(value=value) if value is not None:
            _count_term(read_term(value, scope), scope)
        case cst.Break():
            scope.count("statements", "break")
        case cst.Continue():
            scope.count("statements", "continue")
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()) | cst.Pass() | cst.Return():
            pass
        case _:
            scope.count("outside", type(stmt).__name__)


def _survey_assign(name: str, value: cst.BaseExpression, scope: Scope) -> None:
    if isinstance(value, cst.Call) and dotted(value.func) == "wp.tid":
        scope.kinds[name], scope.roles[name] = "int", "thread"
        return
    kind = read_term(value, scope).kind
    if _count_statement("assign", read_term(value, scope), scope, kind) and name not in scope.kinds:
        scope.roles[name] = {"float": "local", "int": "local_int", "bool": "local_bool"}[kind]
    scope.kinds[name] = kind


def _survey_store(kind: str, element: cst.Subscript, value: cst.BaseExpression, scope: Scope) -> None:
    array = dotted(element.value)
    if not scope.kinds.get(array, "").endswith("[]"):
        scope.count("outside", kind)
    elif _count_statement(kind, read_term(value, scope), scope, _element(element, scope).kind):
        scope.roles[array] = "array_out"


def _count_statement(statement: str, term: Term, scope: Scope, kind: str) -> bool:
    """Counts a statement that gives `term` to something of `kind`, and says whether both are scalar."""
    is_scalar = term.kind in SCALARS and kind in SCALARS
    scope.count("statements" if is_scalar else "outside", statement)
    _count_term(term, scope)
    return is_scalar


def _count_term(term: Term, scope: Scope) -> None:
    if term.inside:
        scope.count("term_heights", term.height)
    scope.tally["operations"].update(term.operations)
    scope.tally["float_literals"].update(v for v in term.literals if isinstance(v, float))
    scope.tally["int_literals"].update(v for v in term.literals if isinstance(v, int))
    if scope.is_kernel:
        scope.tally["leaves"].update(term.leaves)


# -- names and shape of a kernel --------------------------------------------------------------------------------------

PARAMETER_ROLES: Mapping[str, str] = {
    "float": "scalar",
    "int": "int_scalar",
    "bool": "flag",
    "float[]": "array_in",
    "int[]": "array_index",
    "bool[]": "flag",
    "composite": "other",
    "composite[]": "other",
}


def _parameter_roles(scope: Scope) -> dict[str, str]:
    return {name: PARAMETER_ROLES[kind] for name, kind in scope.parameters.items() if name not in scope.roles}


def _count_shape(function: cst.FunctionDef, scope: Scope) -> None:
    """Sizes of a kernel whose parameters are all of the scalar language."""
    arrays = sum(kind.endswith("[]") for kind in scope.parameters.values())
    scope.count("arrays_per_kernel", arrays)
    scope.count("scalars_per_kernel", len(scope.parameters) - arrays)
    local_roles = ("local", "local_int", "local_bool", "accumulator")
    scope.count("locals_per_kernel", sum(role in local_roles for role in scope.roles.values()))
    scope.count("kernel_lengths", len(function.body.body))
