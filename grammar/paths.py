"""Names of fields: whose field a parameter or a local is, and what the class of a struct declares.

The key insight: a field is a parameter or a local like any other, so whatever is to be known of structs is read from
names: `params.rest.length` is within `params.rest`, and `bodies[].mass` within the array of structs `bodies[]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grammar.params import Param, Struct
from grammar.tree import Fieldwise, Stmt, Var
from grammar.types import Type

ELEMENT = "[]"
"""What a path says of an array of structs behind its name."""


def within(name: str, path: str) -> bool:
    """Whether the name is that of a field of the struct at that path, or of one within it."""
    return name.startswith(f"{path}.")


def root(name: str) -> str:
    """What is passed, of a name: `bodies[]` of `bodies[].mass`, the name itself of what is no field."""
    return name.partition(".")[0]


def owner(name: str) -> str:
    """The same, as it is spelt: `bodies` of `bodies[].mass`."""
    return root(name).removesuffix(ELEMENT)


def leaf(name: str) -> str:
    """The field, of a name."""
    return name.rpartition(".")[2]


def class_fields(params: Sequence[Param | Var], struct: Struct, structs: Sequence[Struct]) -> dict[str, Type | str]:
    """What the class of a struct declares: by field its type, or the class of a struct within."""
    classes = {one.path: one.name for one in structs}
    fields: dict[str, Type | str] = {}
    for param in params:
        if within(param.name, struct.path):
            field = param.name.removeprefix(f"{struct.path}.").partition(".")[0]
            inner = classes.get(f"{struct.path}.{field}")
            fields[field] = inner or (param.type if isinstance(param, Var) else field_type(param))
    return fields


def field_type(param: Param) -> Type:
    """What its field holds: one element of it, in an array of structs."""
    return param.element if root(param.name).endswith(ELEMENT) else param.type


def used_structs(structs: Sequence[Struct], params: Sequence[Param | Var]) -> tuple[Struct, ...]:
    """Those of the structs that have a field among the parameters."""
    return tuple(one for one in structs if any(within(param.name, one.path) for param in params))


def fieldwise(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """The statements of a block, structs as a whole by what is done field by field."""
    for stmt in body:
        if isinstance(stmt, Fieldwise):
            yield from stmt.body
        else:
            yield stmt
