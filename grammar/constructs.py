"""Which constructs of the language a kernel or function in real source uses, each as a short text such as `wp.sin(_)`.

The key insight: a construct is what somebody would have to add to the grammar, so it is named as it is written, with
`_` for what is filled in. Parameters are told apart by their types; operands by being elements of an array or not, else
types are not inferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import libcst as cst

from grammar.survey import ARRAYS, dotted, functions_in, mark_of, marked_functions
from grammar.types import COMPOSITES, ELEMENTS, Composite, Element

_NAMED = [T for T in ELEMENTS.values() if not (isinstance(T, Composite) and T.is_tile)]
SPELLINGS: Mapping[str, Element] = {T.spelling: T for T in _NAMED} | {f"wp.{T.name}": T for T in _NAMED}
"""Types by all their names: `float` and `wp.float32`, `wp.vec3` and `wp.vec3f`."""
_SIZED = [T for T in COMPOSITES if T.kind in ("vector", "matrix", "twist")]
PLAIN_BUILTINS = frozenset(["min", "max", "abs", "round", "pow", "len", "print"])
"""Functions of Python that Warp takes for its own of the same name."""

CALL_OF_OWN = "a call of a function of the module"
CALL_ON_ARRAY = "a call of a function of the module with an array"
CALL_OF_GRADIENT = "a call of the gradient of a function of the module"
CALL_OF_PASSED = "a call of a function that was handed over"
CUSTOM = "a function with an adjoint of its own"
CALL_ELSEWHERE = "a call of a function from elsewhere"
CALL_COMPUTED = "a call of what a term gives"
FUNCTION = "a function as a value"
FROM_OUTSIDE = "a constant of the module"
STRUCT = "a struct"
STRUCT_OF = "a struct of given fields"
FIELD = "a field of a struct"
VIEW = "a part of an array"
SLICE = "a[_:_]"
PART_OF_ELEMENT = "a part of an element"
SIZE = "array.shape[_]"
DEFAULT = "a default argument"
TERNARY = "_ if _ else _"
CHAIN = "_ < _ < _"
LOOP_ELSEWHERE = "for over something else than a range"


@dataclass(frozen=True, slots=True)
class Module:
    """What the kernels of a module may refer to."""

    functions: frozenset[str]
    structs: Mapping[str, Mapping[str, str]]
    """By class, the fields with their types, or classes."""
    imported: Mapping[str, str]
    """Names that stand for something of Warp's, `{"vec3": "wp.vec3"}` after `from warp import vec3`, or for a type."""
    custom: frozenset[str]
    """Functions whose adjoint is written down, `@wp.func_grad(falloff)`."""


@dataclass(frozen=True, slots=True)
class Scope:
    module: Module
    arrays: Mapping[str, int]
    """Dimensions of the parameters that are arrays."""
    structs: Mapping[str, str]
    """Parameters and locals that are structs, with their classes."""
    records: Mapping[str, str]
    """Parameters that are arrays of structs, with their classes."""
    bound: frozenset[str]
    """Parameters, locals, loop variables."""


def constructs_by_function(source: cst.Module) -> Iterator[tuple[cst.FunctionDef, frozenset[str]]]:
    """All kernels and functions of a module, each with its constructs."""
    module = _module(source)
    for function in marked_functions(source):
        own = [CUSTOM] if function.name.value in module.custom else []
        yield function, frozenset([*own, *_of_function(function, module)])


def operator_text(operator: cst.CSTNode) -> str:
    """`+`, `not in`, `+=`, as written between or before operands."""
    return _text_of(type(operator))


@cache
def _text_of(operator: type[cst.CSTNode]) -> str:
    return cst.Module([]).code_for_node(operator()).strip()


# Constructs with something filled in, for reading and for the vocabulary alike.


def infix(sign: str) -> str:
    return f"_ {sign} _"


def prefix(sign: str) -> str:
    return f"{sign} _" if sign.isalpha() else f"{sign}_"


def member(name: str) -> str:
    return f"_.{name}"


def component(indices: int) -> str:
    return f"_[{_blanks(indices)}]"


def element(indices: int) -> str:
    return f"array[{_blanks(indices)}]"


def call(function: str, args: int, keywords: Iterable[str] = ()) -> str:
    return f"{function}({', '.join(['_'] * args + [f'{name}=_' for name in sorted(keywords)])})"


def given(target: str, sign: str = "=") -> str:
    return f"{target} {sign} _"


def trips(args: int) -> str:
    return f"for _ in {call('range', args)}"


def thread(indices: int) -> str:
    return f"{_blanks(indices)} = wp.tid()"


def alone(called: str) -> str:
    return f"{called} as a statement"


def parameter(mark: str, type: str) -> str:
    return f"{mark} parameter: {type}"


def _blanks(count: int) -> str:
    return ", ".join(["_"] * count)


# -- what is around a function ----------------------------------------------------------------------------------------


def _module(source: cst.Module) -> Module:
    functions = frozenset(f.name.value for f in marked_functions(source) if mark_of(f) == "func")
    classes = {node.name.value: node for node in _structs(source.body)}
    module = Module(functions, {name: {} for name in classes}, dict(_imported(source.body)), frozenset(_custom(source)))
    module = replace(module, imported={**module.imported, **dict(_own_types(source, module))})
    return replace(module, structs={name: dict(_fields(node, module)) for name, node in classes.items()})


def _custom(source: cst.Module) -> Iterator[str]:
    """The functions for which the module has an adjoint."""
    for function in functions_in(source):
        for decorator in function.decorators:
            match decorator.decorator:
                case cst.Call(func=func, args=[cst.Arg(value=of)]) if dotted(func) == "wp.func_grad":
                    yield dotted(of)
                case _:
                    pass


def _own_types(source: cst.Module, module: Module) -> Iterator[tuple[str, str]]:
    """Names that the module gives to types: `mat23 = wp.types.matrix(shape=(2, 3), dtype=float)`."""
    for small in (small for line in source.body if isinstance(line, cst.SimpleStatementLine) for small in line.body):
        match small:
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Call(func=func, args=args)
            ) if _resolved(func, module) in ("wp.types.vector", "wp.types.matrix"):
                given = {arg.keyword.value: arg.value for arg in args if arg.keyword}
                sizes = [part for key in ("length", "shape") if key in given for part in _parts(given[key])]
                shape = tuple(int(size.value) for size in sizes if isinstance(size, cst.Integer))
                scalar = _type_of(given["dtype"], module) if "dtype" in given else ""
                yield from ((name, T.spelling) for T in _SIZED if (T.shape, T.scalar.name) == (shape, scalar))
            case _:
                pass


def _fields(node: cst.ClassDef, module: Module) -> Iterator[tuple[str, str]]:
    for line in node.body.body:
        for small in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            if isinstance(small, cst.AnnAssign) and isinstance(small.target, cst.Name):
                yield small.target.value, _class_in(small.annotation, module) or _type(small.annotation, module)


def _class_in(annotation: cst.Annotation | None, module: Module) -> str:
    """The struct's class that is annotated; empty for all else."""
    name = "" if annotation is None else _resolved(annotation.annotation, module)
    return name if name in module.structs else ""


def _structs(body: Iterable[cst.CSTNode]) -> Iterator[cst.ClassDef]:
    for node in body:
        if isinstance(node, cst.ClassDef) and any(dotted(d.decorator) == "wp.struct" for d in node.decorators):
            yield node
        elif isinstance(node, cst.BaseCompoundStatement):
            yield from _structs(node.body.body)


def _imported(body: Iterable[cst.CSTNode]) -> Iterator[tuple[str, str]]:
    """`import warp as w` makes `w` Warp; `from warp import vec3 as v` makes `v` what Warp calls `vec3`."""
    for line in body:
        for node in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            match node:
                case cst.Import(names=names):
                    for alias in names:
                        if dotted(alias.name) == "wp" and alias.asname is not None:
                            yield dotted(alias.asname.name), "wp"
                case cst.ImportFrom(module=cst.Name(value="warp"), names=[*names]):
                    for alias in names:
                        yield dotted(alias.asname.name if alias.asname else alias.name), f"wp.{dotted(alias.name)}"
                case _:
                    pass


def _resolved(node: cst.CSTNode, module: Module) -> str:
    """The dotted name that a node spells, Warp's as `wp.…` however it was imported."""
    first, dot, rest = dotted(node).partition(".")
    return module.imported.get(first, first) + dot + rest


# -- functions --------------------------------------------------------------------------------------------------------


def _of_function(function: cst.FunctionDef, module: Module) -> Iterator[str]:
    params = {p.name.value: _type(p.annotation, module) for p in function.params.params}
    arrays = {name: int(text[5]) if text[5] != "(" else 1 for name, text in params.items() if text.startswith("array")}
    annotated = {p.name.value: p.annotation for p in function.params.params}
    structs = {name: found for name, given in annotated.items() if (found := _class_in(given, module))}
    records = {name: found for name, given in annotated.items() if (found := _class_of_elements(given, module))}
    structs |= dict(_local_structs(function.body, records, module))
    scope = Scope(module, arrays, structs, records, frozenset(params) | frozenset(_targets(function.body)))
    yield from (parameter(mark_of(function), text) for text in params.values())
    if any(p.default is not None for p in function.params.params):
        yield DEFAULT
    if isinstance(function.params.star_arg, cst.Param) or function.params.kwonly_params or function.params.star_kwarg:
        yield "*args or keywords"
    yield from _of_block(function.body, scope)


def _type(annotation: cst.Annotation | None, module: Module) -> str:
    """As grammar.types shows types: `vec3f`, `array2d(float32)`; otherwise as it is written."""
    return "any" if annotation is None else _type_of(annotation.annotation, module)


def _type_of(node: cst.BaseExpression, module: Module) -> str:
    match node:
        case cst.Call(func=func, args=args) if (name := _resolved(func, module)) in ARRAYS:
            named = {arg.keyword.value: arg.value for arg in args if arg.keyword}
            plain = [arg.value for arg in args if not arg.keyword]
            dtype, ndim = named.get("dtype", plain[0] if plain else None), named.get("ndim")
            return _array(name, dtype, ndim, module)
        case cst.Subscript(value=func, slice=[cst.SubscriptElement(slice=cst.Index(value=dtype)), *_]) if (
            name := _resolved(func, module)
        ) in ARRAYS:
            return _array(name, dtype, None, module)
        case _ if (name := _resolved(node, module)) in ARRAYS:
            return _array(name, None, None, module)
        case _ if name in SPELLINGS:
            return SPELLINGS[name].name
        case cst.Attribute() | cst.Name():
            return STRUCT if name in module.structs else "any" if name.endswith("Any") else name
        case _:
            return "".join(cst.Module([]).code_for_node(node).split())


def _array(name: str, dtype: cst.BaseExpression | None, ndim: cst.BaseExpression | None, module: Module) -> str:
    dimensions = ndim.value if isinstance(ndim, cst.Integer) else name.removeprefix("wp.array").removesuffix("d")
    inner = "any" if dtype is None else _type_of(dtype, module)
    return f"array{f'{dimensions}d' if dimensions not in ('', '1') else ''}({inner})"


def array_of(element: str, dimensions: int) -> str:
    return f"array{f'{dimensions}d' * (dimensions > 1)}({element})"


def _class_of_elements(annotation: cst.Annotation | None, module: Module) -> str:
    """The class of the structs in an array that is annotated; empty for all else."""
    match annotation:
        case cst.Annotation(cst.Call(func=func, args=args)) if _resolved(func, module) in ARRAYS:
            given = [arg.value for arg in args if arg.keyword is None or arg.keyword.value == "dtype"]
        case cst.Annotation(cst.Subscript(value=func, slice=[cst.SubscriptElement(slice=cst.Index(value=one)), *_])):
            given = [one] if _resolved(func, module) in ARRAYS else []
        case _:
            given = []
    return _class_in(cst.Annotation(given[0]), module) if given else ""


def _local_structs(node: cst.CSTNode, records: Mapping[str, str], module: Module) -> Iterator[tuple[str, str]]:
    """Locals that are made as structs, or read from an array of them."""
    match node:
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Call(func=func)):
            yield from [(name, found) for found in (_resolved(func, module),) if found in module.structs]
        case cst.Assign(
            targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Subscript(value=cst.Name(value=array))
        ) if array in records:
            yield name, records[array]
        case _:
            pass
    for child in node.children:
        if isinstance(child, cst.BaseSuite | cst.BaseStatement | cst.BaseSmallStatement | cst.Else):
            yield from _local_structs(child, records, module)


def _targets(node: cst.CSTNode) -> Iterator[str]:
    """Names that are given a value anywhere below."""
    match node:
        case cst.AssignTarget(target=target) | cst.AnnAssign(target=target) | cst.For(target=target):
            yield from _names_in(target)
        case _:
            pass
    for child in node.children:
        if isinstance(child, cst.BaseSuite | cst.BaseStatement | cst.BaseSmallStatement | cst.AssignTarget | cst.Else):
            yield from _targets(child)


def _names_in(target: cst.CSTNode) -> Iterator[str]:
    match target:
        case cst.Name(value=name):
            yield name
        case cst.Tuple(elements=elements) | cst.List(elements=elements):
            for part in elements:
                yield from _names_in(part.value)
        case _:
            pass


# -- statements -------------------------------------------------------------------------------------------------------


def _of_block(block: cst.BaseSuite, scope: Scope) -> Iterator[str]:
    for stmt in block.body:
        if isinstance(stmt, cst.SimpleStatementLine):
            for small in stmt.body:
                yield from _of_small(small, scope)
        elif isinstance(stmt, cst.BaseSmallStatement):  # as in `if i >= n: return`
            yield from _of_small(stmt, scope)
        else:
            yield from _of_compound(stmt, scope)


def _of_compound(stmt: cst.CSTNode, scope: Scope) -> Iterator[str]:
    match stmt:
        case cst.If():
            yield from _of_if(stmt, "if", scope)
        case cst.For(iter=cst.Call(func=cst.Name(value="range"), args=args), body=body, orelse=None):
            yield trips(len(args))
            yield from _of_terms([arg.value for arg in args], scope)
            yield from _of_block(body, scope)
        case cst.For(iter=source, body=body):
            yield LOOP_ELSEWHERE
            yield from _of_term(source, scope)
            yield from _of_block(body, scope)
        case cst.While(test=test, body=body, orelse=None):
            yield "while"
            yield from _of_term(test, scope)
            yield from _of_block(body, scope)
        case _:
            yield f"statement {type(stmt).__name__}"


def _of_if(stmt: cst.If, word: str, scope: Scope) -> Iterator[str]:
    yield word
    yield from _of_term(stmt.test, scope)
    yield from _of_block(stmt.body, scope)
    match stmt.orelse:
        case cst.If() as branch:
            yield from _of_if(branch, "elif", scope)
        case cst.Else(body=body):
            yield "else"
            yield from _of_block(body, scope)
        case _:
            pass


def _of_small(stmt: cst.BaseSmallStatement, scope: Scope) -> Iterator[str]:
    match stmt:
        case cst.Assign(targets=[cst.AssignTarget(target=target)], value=cst.Call(func=func, args=[])) if (
            _resolved(func, scope.module) == "wp.tid"
        ):
            yield thread(len(target.elements) if isinstance(target, cst.Tuple) else 1)
        case cst.Assign(targets=[cst.AssignTarget(target=target)], value=value):
            yield from _of_target(target, "=", scope)
            yield from _of_term(value, scope)
        case cst.AugAssign(target=target, operator=operator, value=value):
            yield from _of_target(target, operator_text(operator), scope)
            yield from _of_term(value, scope)
        case cst.Expr(value=cst.Call() as called):
            name, *inner = _of_call(called, scope)
            yield from (alone(name), *inner)
        case cst.Return(value=cst.Tuple(elements=elements)):
            yield "return _, _"
            yield from _of_terms([part.value for part in elements], scope)
        case cst.Return(value=value):
            yield "return" if value is None else "return _"
            yield from _of_terms([value] if value else [], scope)
        case cst.Break() | cst.Continue():
            yield type(stmt).__name__.lower()
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()) | cst.Pass():
            pass
        case _:
            yield f"statement {type(stmt).__name__}"


def _of_target(target: cst.BaseExpression, sign: str, scope: Scope) -> Iterator[str]:
    match target:
        case cst.Name():
            yield given("a", sign)
        case cst.Tuple():
            yield given("a, b", sign)
        case cst.Subscript(value=cst.Subscript() as whole) | cst.Attribute(value=cst.Subscript() as whole) if (
            not _class_at(whole, scope)
        ):
            yield given(PART_OF_ELEMENT, sign)
            yield from _of_term(whole, scope)
        case cst.Subscript() | cst.Attribute():
            name, *inner = _of_term(target, scope)
            yield from (given(name, sign), *inner)
        case _:
            yield given(type(target).__name__, sign)


# -- terms ------------------------------------------------------------------------------------------------------------


def _of_terms(nodes: Iterable[cst.BaseExpression], scope: Scope) -> Iterator[str]:
    for node in nodes:
        yield from _of_term(node, scope)


def _of_term(node: cst.BaseExpression, scope: Scope) -> Iterator[str]:
    """The construct of the term itself, if it is one, then those of what it is made of."""
    match node:
        case cst.Integer() | cst.Float():
            pass
        case cst.UnaryOperation(operator=cst.Minus(), expression=cst.Integer() | cst.Float()):
            pass
        case cst.Name() | cst.Attribute():
            yield from _of_name(node, scope)
        case cst.UnaryOperation(operator=operator, expression=operand):
            yield prefix(operator_text(operator))
            yield from _of_term(operand, scope)
        case cst.BinaryOperation(left=left, operator=operator, right=right):
            yield infix(operator_text(operator))
            yield from _of_terms([left, right], scope)
        case cst.BooleanOperation(left=left, operator=operator, right=right):
            yield infix(operator_text(operator))
            yield from _of_terms([left, right], scope)
        case cst.Comparison(left=left, comparisons=targets):
            yield from (infix(operator_text(target.operator)) for target in targets)
            yield from [CHAIN] * (len(targets) > 1)
            yield from _of_terms([left, *(target.comparator for target in targets)], scope)
        case cst.IfExp(test=test, body=body, orelse=orelse):
            yield TERNARY
            yield from _of_terms([test, body, orelse], scope)
        case cst.Subscript():
            yield from _of_subscript(node, scope)
        case cst.Call():
            yield from _of_call(node, scope)
        case cst.Tuple(elements=elements):
            yield "a tuple"
            yield from _of_terms([part.value for part in elements], scope)
        case cst.SimpleString() | cst.ConcatenatedString() | cst.FormattedString():
            yield "a string"
        case _:
            yield f"expression {type(node).__name__}"


def _of_name(node: cst.Name | cst.Attribute, scope: Scope) -> Iterator[str]:
    name = _resolved(node, scope.module)
    first = name.partition(".")[0]
    if first in scope.bound or first == "?":
        if isinstance(node, cst.Attribute):
            yield FIELD if _class_at(node.value, scope) else member(node.attr.value)
            yield from _of_term(node.value, scope)
    elif first == "wp":
        yield from [] if name in SPELLINGS else [name]
    elif name not in SPELLINGS and name not in ("True", "False"):
        yield FUNCTION if name in scope.module.functions else FROM_OUTSIDE


def _of_subscript(node: cst.Subscript, scope: Scope) -> Iterator[str]:
    indices = [part.slice.value for part in node.slice if isinstance(part.slice, cst.Index)]
    match node.value:
        case cst.Attribute(value=array, attr=cst.Name(value="shape")):
            yield SIZE
            yield from _of_term(array, scope)
        case cst.Name(value=name) if name in scope.arrays and len(indices) < scope.arrays[name]:
            yield VIEW
        case cst.Name(value=name) if name in scope.arrays:
            yield element(len(indices))
        case cst.Attribute(value=struct, attr=field) if (dimensions := _dimensions(struct, field.value, scope)) > 0:
            yield VIEW if len(indices) < dimensions else element(len(indices))
            yield from _of_term(node.value, scope)
        case value:
            yield component(len(indices)) if len(indices) == len(node.slice) else SLICE
            yield from _of_term(value, scope)
    yield from _of_terms(indices, scope)


def _class_at(node: cst.BaseExpression, scope: Scope) -> str:
    """The class of the struct that a term is; empty if it is none."""
    match node:
        case cst.Name(value=name):
            return scope.structs.get(name, "")
        case cst.Subscript(value=cst.Name(value=array)):
            return scope.records.get(array, "")
        case cst.Attribute(value=owner, attr=field):
            found = _field_type(owner, field.value, scope)
            return found if found in scope.module.structs else ""
        case _:
            return ""


def _field_type(owner: cst.BaseExpression, field: str, scope: Scope) -> str:
    return scope.module.structs.get(_class_at(owner, scope), {}).get(field, "")


def _dimensions(owner: cst.BaseExpression, field: str, scope: Scope) -> int:
    """Of the array that a field of a struct is; 0 if it is none."""
    found = _field_type(owner, field, scope)
    return (int(found[5]) if found[5] != "(" else 1) if found.startswith("array") else 0


def _of_call(node: cst.Call, scope: Scope) -> Iterator[str]:
    """The call first, then the constructs of its arguments."""
    if _is_gradient(node.func, scope):
        yield CALL_OF_GRADIENT
        yield from _of_terms([arg.value for arg in node.args], scope)
        return
    name = _resolved(node.func, scope.module)
    keywords = [arg.keyword.value for arg in node.args if arg.keyword]
    called = _called(name, len(node.args) - len(keywords), keywords, scope)
    takes_array = any(isinstance(arg.value, cst.Name) and arg.value.value in scope.arrays for arg in node.args)
    yield CALL_ON_ARRAY if called == CALL_OF_OWN and takes_array else called
    if name == "?":
        yield from _of_term(node.func, scope)
    elif isinstance(node.func, cst.Attribute) and name.partition(".")[0] in ("?", *scope.bound):
        yield from _of_term(node.func.value, scope)
    for arg in node.args:
        yield from _of_terms(_parts(arg.value) if name.startswith("wp.tile_") else [arg.value], scope)


def _is_gradient(node: cst.BaseExpression, scope: Scope) -> bool:
    """Whether it is `wp.grad(f)`, of a function of the module."""
    match node:
        case cst.Call(func=func, args=[cst.Arg(value=of)]):
            return _resolved(func, scope.module) == "wp.grad" and dotted(of) in scope.module.functions
        case _:
            return False


def _parts(node: cst.BaseExpression) -> list[cst.BaseExpression]:
    """Of shapes and places, which are tuples, the parts."""
    return [part.value for part in node.elements] if isinstance(node, cst.Tuple) else [node]


def _called(name: str, args: int, keywords: Sequence[str], scope: Scope) -> str:
    first, _, rest = name.partition(".")
    if name == "?":
        return CALL_COMPUTED
    if name in scope.bound:
        return CALL_OF_PASSED
    if first in scope.bound or first == "?":
        return call(member(name.rpartition(".")[2]), args, keywords)
    if name in scope.module.structs:
        return STRUCT_OF if args or keywords else STRUCT
    if name in scope.module.functions:
        return CALL_OF_OWN
    if name in PLAIN_BUILTINS:
        return call(f"wp.{name}", args, keywords)
    if name in SPELLINGS:
        return call(SPELLINGS[name].spelling, args, keywords)
    return call(name, args, keywords) if first == "wp" and rest else CALL_ELSEWHERE
