"""What kernels and functions take, as Python source: signatures, classes of structs, and types of the module's own.

The key insight: what is passed is told by the names of parameters, so a struct is passed once for all of its fields,
and its class declares what these are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import cache, lru_cache
from typing import NamedTuple

import libcst as cst

from grammar.nodes import EMPTY, END, NOTHING, call, dotted, identifier, remembered, subscript
from grammar.op import Call, Known
from grammar.outline import outlined_parts, taken_by
from grammar.params import Param, Struct
from grammar.paths import ELEMENT, class_fields, root
from grammar.tree import Apply, Kernel, Passed, Var, Whole, all_functions, all_terms, taken
from grammar.types import COMPOSITES, Array, Composite, Type


@cache
def annotation(type: Type | _Class) -> cst.BaseExpression:
    match type:
        case _Class(name, dimensions):
            return _array(name, dimensions) if dimensions else dotted(name)
        case Array():
            given = type.laid_out
            return _array(given.element.spelling, given.dimensions)
        case _:
            return dotted(type.spelling)


def _array(element: str, dimensions: int) -> cst.BaseExpression:
    return subscript(
        dotted("wp.array" + f"{dimensions}d" * (dimensions > 1)), dotted(element), kind=remembered(cst.Subscript)
    )


class _Class(NamedTuple):
    """The type of what is passed as a struct, or as an array of structs."""

    name: str
    dimensions: int = 0


@lru_cache(maxsize=4096)
def _param(name: str, type: Type | _Class, comma: cst.Comma | cst.MaybeSentinel) -> cst.Param:
    return remembered(cst.Param)(identifier(name), cst.Annotation(annotation(type)), comma=comma)


ANY = "Any"
"""The annotation of what may be of any type, and of the elements of arrays of any type."""


FUNCTION = "wp.Function"
"""The annotation of functions that a function is handed."""

Named = Param | Var | Whole | Passed
"""What stands in a signature."""


def _passed(of: Sequence[Named], structs: Sequence[Struct], free: Set[str]) -> dict[str, Type | _Class]:
    """What is passed, by name; `free` are the names of those of any type."""
    named = {struct.path: struct.name for struct in structs}
    types: dict[str, Type | _Class] = {}
    for param in of:
        if isinstance(param, Passed):
            types[param.name] = _Class(FUNCTION)
            continue
        path = root(param.name)
        type = param.type if isinstance(param, Param) else taken(param)
        dimensions = type.dimensions if path.endswith(ELEMENT) and isinstance(type, Array) else 0
        whole = _Class(named[path], dimensions) if path in named else type
        if path in free:
            whole = _Class(ANY, type.dimensions if isinstance(type, Array) else 0)
        types[path.removesuffix(ELEMENT)] = whole
    return types


APART = cst.ParenthesizedWhitespace(indent=True, last_line=cst.SimpleWhitespace("    "))
MORE = cst.Comma(whitespace_after=APART)
LAST = cst.Comma(whitespace_after=cst.ParenthesizedWhitespace(indent=True))
"""Between the parameters of a signature that has a line for each, and behind the last one."""
LINE = 100
"""A signature longer than this has a line for each parameter."""


def parameters(
    name: str, of: Sequence[Named], structs: Sequence[Struct], free: Set[str]
) -> tuple[list[cst.Param], cst.BaseParenthesizableWhitespace]:
    passed = _passed(of, structs, free)
    width = sum(len(path) + _width(type) for path, type in passed.items())
    if width + len(name) < LINE:
        return [_param(path, type, cst.MaybeSentinel.DEFAULT) for path, type in passed.items()], NOTHING
    commas = [*[MORE] * (len(passed) - 1), LAST]
    return [_param(path, type, comma) for (path, type), comma in zip(passed.items(), commas, strict=True)], APART


def _width(type: Type | _Class) -> int:
    """Of an annotation and what is around it."""
    match type:
        case _Class(name, dimensions):
            return len(name) + (14 if dimensions else 4)
        case Array(element, _):
            return len(element.spelling) + 14
        case _:
            return len(type.spelling) + 4


def own_types(kernel: Kernel) -> Iterator[cst.SimpleStatementLine]:
    """The definitions of those that are written in the module."""
    written = {param.element for param in kernel.params}
    written |= {param.type for function in all_functions(kernel) if not function.generic for param in function.params}
    written |= {param.type for stmt in outlined_parts(kernel) for param in taken_by(stmt, kernel.params)}
    made = [term.op for term in all_terms(kernel) if isinstance(term, Apply) and isinstance(term.op.spelling, Call)]
    written |= {op.result for op in made if op.name == op.result.name}
    yield from (_own_type(type) for type in COMPOSITES if type.is_own and type in written)


def _own_type(type: Composite) -> cst.SimpleStatementLine:
    """`mat23 = wp.types.matrix(shape=(2, 3), dtype=float)`; of a vector, its length is given."""
    size: tuple[str, Known] = ("shape", type.shape) if type.kind == "matrix" else ("length", type.width)
    made = call(f"wp.types.{type.kind}", [], (size, ("dtype", type.scalar.spelling)))
    target = cst.AssignTarget(identifier(type.spelling))
    return cst.SimpleStatementLine([cst.Assign([target], made)], trailing_whitespace=END)


def classes(kernel: Kernel) -> Iterator[cst.ClassDef]:
    """Those of the structs, inner ones first."""
    found = {struct.name: class_fields(kernel.params, struct, kernel.structs) for struct in reversed(kernel.structs)}
    for name, fields in found.items():
        body = [_field(field, type) for field, type in fields.items()]
        yield cst.ClassDef(
            identifier(name),
            cst.IndentedBlock(body, header=END),
            decorators=[marked("wp.struct")],
            leading_lines=[EMPTY, EMPTY],
        )


def _field(name: str, type: Type | str) -> cst.SimpleStatementLine:
    written = annotation(_Class(type) if isinstance(type, str) else type)
    return cst.SimpleStatementLine([cst.AnnAssign(identifier(name), cst.Annotation(written))])


@cache
def marked(name: str) -> cst.Decorator:
    return remembered(cst.Decorator)(dotted(name))


def imports(is_generic: bool) -> list[cst.SimpleStatementLine]:
    """What a module begins with."""
    return [_any(), _warp(EMPTY)] if is_generic else [_warp()]


@cache
def _warp(*leading: cst.EmptyLine) -> cst.SimpleStatementLine:
    alias = cst.ImportAlias(identifier("warp"), asname=cst.AsName(identifier("wp")))
    return remembered(cst.SimpleStatementLine)([cst.Import([alias])], leading_lines=leading)


@cache
def _any() -> cst.SimpleStatementLine:
    given = cst.ImportFrom(identifier("typing"), [cst.ImportAlias(identifier("Any"))])
    return remembered(cst.SimpleStatementLine)([given])
