"""Counts what real kernels are made of, in Python source read with libcst.

The key insight: counting needs no compiler. A light inference of kinds (float, int, bool, vector, …, unknown) tells
which terms and statements are of the language; what is unknown is looked through, not guessed, and statements
that lie outside are counted apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import libcst as cst

from grammar.kinds import (
    COMPOSITE_KINDS,
    COMPOSITES,
    KINDS,
    RESULTS,
    SCALAR_KINDS,
    product,
    scalar_kind,
    strongest,
    subject,
    type_spelt,
)


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
SIZED = _words("bfloat16 float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool")
CASTS: Mapping[str, str] = {"float": "float32", "int": "int32", "bool": "bool"} | {f"wp.{n}": n for n in sorted(SIZED)}
FLOAT_CALLS = _words(
    "sin cos tan asin acos atan atan2 sinh cosh tanh exp log log2 log10 pow power sqrt cbrt erf erfc erfinv erfcinv"
    " round rint trunc floor ceil frac degrees radians lerp smoothstep"
)
SAME_CALLS = _words("min max abs sign step clamp nonzero mod neg add sub mul div floordiv cw_mul cw_div")
"""Builtins whose result has the kind of their arguments."""
BOOL_CALLS = _words("isfinite isinf isnan")
CALLS = FLOAT_CALLS | SAME_CALLS | BOOL_CALLS | {"where"}

COMPONENTS = _words("x y z w")
OTHER_CALLS: Mapping[str, str] = {"randf": "float", "randn": "float", "noise": "float", "randi": "int", "tid": "int"}
"""Kinds of what other builtins give."""
PYTHONS = _words("float int bool range len min max abs")
"""Functions of Python's that kernels call."""
KNOWN = frozenset(KINDS)

ARRAYS = _words("wp.array wp.array1d wp.array2d wp.array3d wp.array4d")
ATOMICS = _words("atomic_add atomic_sub atomic_min atomic_max")

Tally = defaultdict[str, Counter[Any]]
"""Counts by the table they belong to, such as `operations` or `names.loop`."""


@dataclass(frozen=True, slots=True)
class Term:
    """What a term is made of, as far as it is of the language."""

    kind: str
    """One of `KINDS`, or empty where unknown."""
    inside: bool = True
    """Nothing in it lies outside the language."""
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
    """What each name of a known kind is for; the last use decides."""
    called: set[str] = field(default_factory=set)
    """Functions of its own, neither Warp's nor Python's."""
    computed: set[str] = field(default_factory=set)
    """Arrays to which what is stored is computed there, rather than a flag or a copy."""

    def count(self, table: str, key: Any) -> None:
        self.tally[table][key] += 1


# -- terms ------------------------------------------------------------------------------------------------------------


def read_term(node: cst.BaseExpression, scope: Scope) -> Term:
    """What the expression is made of; parts outside the language are looked through."""
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
        case cst.Attribute():
            return _attribute(node, scope)
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
    if kind not in KNOWN:
        return Term(kind, inside=False)
    return Term(kind, leaves=("scalar" if name in scope.parameters else "local",))


def _apply(name: str, operands: Sequence[cst.BaseExpression], scope: Scope) -> Term:
    """An operation at its operands, counted where its name or they say of what kind it is."""
    args = [read_term(operand, scope) for operand in operands]
    kinds = [arg.kind for arg in (args[1:] if name in ("where", "ternary") else args)]
    kind = _operand_kind(name, kinds)
    result = product(*kinds) if kind in COMPOSITE_KINDS and len(kinds) == 2 else kind
    return _above("bool" if name in BOOLEAN | BOOL_CALLS else result, args, _operation(name, kind))


def _operand_kind(name: str, kinds: Sequence[str]) -> str:
    """The kind that an operation works in. Comparisons with something unknown go by what is known."""
    if name in FLOAT_CALLS and not KNOWN.difference(SCALAR_KINDS).intersection(kinds):
        return "float"
    return strongest(kind for kind in kinds if kind) if name in BOOLEAN else strongest(kinds)


def _operation(name: str, kind: str) -> tuple[str, ...]:
    return (f"{name}({kind})",) if kind in KNOWN else ()


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
    if not function.startswith(("wp.", "?")) and function not in PYTHONS:
        scope.called.add(function)
    terms = [read_term(arg, scope) for arg in args]
    if function.startswith("wp.") and name in COMPOSITES:
        return _above(COMPOSITES[name][1], terms, _operation(*COMPOSITES[name]))
    if function.startswith("wp.") and name in RESULTS:
        kind = strongest(term.kind for term in terms if term.kind in COMPOSITE_KINDS)
        return _above(RESULTS[name], terms, _operation(name, kind or subject(name)))
    return _above(OTHER_CALLS.get(name, ""), terms, ())


def _cast(name: str, operand: Term) -> Term:
    """A cast of a literal, such as `float(0.0)`, declares a variable rather than computes: it counts as a constant."""
    kind = scalar_kind(name)
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
    value = Term(scope.kinds.get(name, "")) if isinstance(node.value, cst.Name) else read_term(node.value, scope)
    if value.kind in COMPOSITE_KINDS:
        return _component(value, args)
    element = value.kind.removesuffix("[]") if value.kind.endswith("[]") else ""
    if element not in KNOWN or not args:
        return _above(element, args, ())
    is_plain = all(arg.height == 1 for arg in args)
    inside = all(arg.inside for arg in args)
    return Term(element, inside, leaves=("read",)) if is_plain else _above(element, args, (), ("read",))


def _component(value: Term, indices: Sequence[Term]) -> Term:
    """`v[0]`, `m[i, j]`; where the index is a literal, it is no operand."""
    kind = "vector" if value.kind == "matrix" and len(indices) == 1 else "float"
    return _above(kind, [value, *(k for k in indices if not k.literals)], _operation("extract", value.kind))


def _attribute(node: cst.Attribute, scope: Scope) -> Term:
    """`v.x`; an attribute of anything else lies outside."""
    if node.attr.value not in COMPONENTS:
        return Term("", inside=False)
    value = read_term(node.value, scope)
    if value.kind not in ("vector", "quaternion"):
        return Term("", inside=False)
    return _above("float", [value], _operation(f"get_{node.attr.value}", value.kind))


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
    return (function for function in functions_in(module) if mark_of(function))


def functions_in(node: cst.CSTNode) -> Iterator[cst.FunctionDef]:
    if isinstance(node, cst.FunctionDef):
        yield node
    if isinstance(node, cst.Module | cst.BaseCompoundStatement | cst.BaseSuite | cst.Else | cst.ExceptHandler):
        for child in node.children:
            yield from functions_in(child)


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
    computed = (param.annotation for param in function.params.params if param.name.value in scope.computed)
    scope.tally["computed_types"].update(filter(None, (_type_name(_declared(each)[0]) for each in computed)))
    if is_kernel:
        scope.count("names.kernel", function.name.value)
        scope.count("callers", "calls" if scope.called else "calls none")
    if is_kernel and all(kind.removesuffix("[]") in KNOWN for _, kind in declared):
        _count_shape(function, scope)


def _annotated(annotation: cst.Annotation | None) -> str:
    """The kind that a parameter is annotated with, empty where it lies outside the language."""
    spelling, is_array = _declared(annotation)
    return _kind(spelling) and _kind(spelling) + "[]" * is_array


def _declared(annotation: cst.Annotation | None) -> tuple[str, bool]:
    """How the type or that of the elements is spelt, and whether it is that of an array."""
    if annotation is None:
        return "", False
    match annotation.annotation:
        case cst.Call(func=array, args=args) if dotted(array) in ARRAYS:
            given = {arg.keyword.value: arg.value for arg in args if arg.keyword}
            return (dotted(given["dtype"]) if "dtype" in given else "", True)
        case cst.Subscript(value=array, slice=[cst.SubscriptElement(slice=cst.Index(value=element))]):
            return (dotted(element) if dotted(array) in ARRAYS else "", True)
        case node:
            return dotted(node), False


def _type_name(spelling: str) -> str:
    """The name of the type that is spelt so; empty where it lies outside the language."""
    name = spelling.removeprefix("wp.")
    return type_spelt(name) if spelling.startswith("wp.") and name in COMPOSITES else CASTS.get(spelling, "")


def _kind(spelling: str) -> str:
    if spelling.removeprefix("wp.") in COMPOSITES:
        return COMPOSITES[spelling.removeprefix("wp.")][1]
    return scalar_kind(CASTS.get(spelling, ""))


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
            scope.count("thread_dimensions", len(elements))
            for name in (dotted(element.value) for element in elements):
                scope.kinds[name], scope.roles[name] = "int", "thread"
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Subscript() as element)], value=value):
            _survey_store("store", element, value, scope)
        case cst.AugAssign(target=cst.Name(value=name), operator=operator, value=value) if type(operator) in INFIX:
            if _count_statement("aug_assign", read_term(value, scope), scope, scope.kinds.get(name, "")):
                scope.count("aug_operators", INFIX[type(operator)])
                scope.count("updates", f"aug_assign {INFIX[type(operator)]}")
                if scope.roles.get(name) == "local":
                    scope.roles[name] = "accumulator"
        case cst.AugAssign(target=cst.Subscript() as element, operator=operator, value=value):
            _survey_store("aug_store", element, value, scope)
        case cst.Expr(value=cst.Call(func=func, args=[array, *indices, value])) if dotted(func)[3:] in ATOMICS:
            element = cst.Subscript(array.value, [cst.SubscriptElement(cst.Index(index.value)) for index in indices])
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
        scope.count("thread_dimensions", 1)
        scope.kinds[name], scope.roles[name] = "int", "thread"
        return
    term = read_term(value, scope)
    kind = term.kind
    if isinstance(value, cst.BinaryOperation) and type(value.operator) in INFIX and dotted(value.left) == name:
        scope.count("updates", f"assign {INFIX[type(value.operator)]}")
    if scope.is_kernel and term.leaves == ("read",) and not term.operations:
        scope.count("reads", "named")
    if _count_statement("assign", term, scope, kind) and name not in scope.kinds:
        scope.roles[name] = LOCAL_ROLES[kind]
    scope.kinds[name] = kind


def _survey_store(kind: str, element: cst.Subscript, value: cst.BaseExpression, scope: Scope) -> None:
    array = dotted(element.value)
    if not scope.kinds.get(array, "").endswith("[]"):
        scope.count("outside", kind)
        return
    scope.roles[array] = "array_out"
    term = read_term(value, scope)
    if term.operations:
        scope.computed.add(array)
    _count_statement(kind, term, scope, _element(element, scope).kind)


def _count_statement(statement: str, term: Term, scope: Scope, kind: str) -> bool:
    """Counts a statement that gives `term` to something of `kind`, and says whether both are known."""
    is_known = term.kind in KNOWN and kind in KNOWN
    scope.count("statements" if is_known else "outside", statement)
    _count_term(term, scope)
    return is_known


def _count_term(term: Term, scope: Scope) -> None:
    if term.inside:
        scope.count("term_heights", term.height)
    scope.tally["operations"].update(term.operations)
    scope.tally["float_literals"].update(v for v in term.literals if isinstance(v, float))
    scope.tally["int_literals"].update(v for v in term.literals if isinstance(v, int))
    if scope.is_kernel:
        scope.tally["leaves"].update(term.leaves)
        scope.tally["reads"]["all"] += term.leaves.count("read")


# -- names and shape of a kernel --------------------------------------------------------------------------------------

LOCAL_ROLES: Mapping[str, str] = {
    "float": "local",
    "int": "local_int",
    "bool": "local_bool",
    **{kind: f"local_{kind}" for kind in COMPOSITE_KINDS},
}
PARAMETER_ROLES: Mapping[str, str] = {
    "float": "scalar",
    "int": "int_scalar",
    "bool": "flag",
    "float[]": "array_in",
    "int[]": "array_index",
    "bool[]": "flag",
    **{kind: f"{kind}_param" for kind in COMPOSITE_KINDS},
    **{f"{kind}[]": f"{kind}_in" for kind in COMPOSITE_KINDS},
}


def _parameter_roles(scope: Scope) -> dict[str, str]:
    return {name: PARAMETER_ROLES[kind] for name, kind in scope.parameters.items() if name not in scope.roles}


def _count_shape(function: cst.FunctionDef, scope: Scope) -> None:
    """Sizes of a kernel whose parameters are all of known kinds."""
    arrays = sum(kind.endswith("[]") for kind in scope.parameters.values())
    scope.count("arrays_per_kernel", arrays)
    scope.count("scalars_per_kernel", len(scope.parameters) - arrays)
    local_roles = ("accumulator", *LOCAL_ROLES.values())
    scope.count("locals_per_kernel", sum(role in local_roles for role in scope.roles.values()))
    scope.count("kernel_lengths", len(function.body.body))
