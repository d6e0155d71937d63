"""Kernels as plain JSON, and back: lossless, versioned, and told apart from what is no kernel.

The key insight: nodes are frozen dataclasses whose annotations say what their fields hold, so both directions are folds
over annotations: a new kind of node is stored without a line here, and reading checks what writing assumes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from functools import cache
from typing import Any, get_args

from grammar.atomics import AtomicKind
from grammar.check import problems
from grammar.errors import UserError
from grammar.op import Op
from grammar.ops import ROWS
from grammar.params import Param, Role, Struct
from grammar.tree import Const, Function, Kernel, Passed, Stmt, Term
from grammar.types import COMPOSITES, ELEMENTS, FLOATS, SCALARS, Array, Composite, Scalar, Type

VERSION = 1

KIND = "is"
"""The key that holds a node's class."""

NODES: Mapping[str, type] = {
    node.__name__: node for node in (*get_args(Term), *get_args(Stmt), Param, Struct, Function, Passed)
}


class NotAKernelError(UserError):
    """What was read is no kernel; says where in it, and why."""


def plain_of(kernel: Kernel) -> dict[str, Any]:
    """The kernel as what `json.dumps` takes; equal kernels give equal texts."""
    return {"version": VERSION, **{f.name: _written(getattr(kernel, f.name)) for f in fields(Kernel)}}


def kernel_of(plain: object) -> Kernel:
    """The kernel that `plain_of` wrote, or anybody else in its way. Raises NotAKernelError."""
    found = _mapping(plain, "kernel")
    if found.get("version") != VERSION:
        raise NotAKernelError(f"kernel: its version is {found.get('version')!r}, not {VERSION}")
    kernel = Kernel(**_fields(Kernel, {k: v for k, v in found.items() if k != "version"}, "kernel"))
    for problem in problems(kernel):
        raise NotAKernelError(f"kernel: {problem}")
    return kernel


# -- writing ----------------------------------------------------------------------------------------------------------


def _written(value: Any) -> Any:
    match value:
        case Op():
            return value.key
        case Scalar() | Composite():
            return value.name
        case Array(element, dimensions):
            return [element.name] * dimensions
        case AtomicKind() | Role():
            return value.value
        case tuple():
            return [_written(item) for item in value]
        case float() if not math.isfinite(value):
            return repr(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return {KIND: type(value).__name__, **{f.name: _written(getattr(value, f.name)) for f in fields(value)}}


# -- reading ----------------------------------------------------------------------------------------------------------


def _fields(cls: type, found: Mapping[str, Any], where: str) -> dict[str, Any]:
    readers = _readers(cls)
    needed = {f.name for f in fields(cls) if f.default is MISSING}
    if not needed <= found.keys() <= readers.keys():
        odd = ", ".join(sorted((needed - found.keys()) | (found.keys() - readers.keys())))
        raise NotAKernelError(f"{where}: a {cls.__name__} has the fields {', '.join(readers)} (see {odd})")
    return {name: read(found[name], f"{where}.{name}") for name, read in readers.items() if name in found}


Reader = Callable[[Any, str], Any]


@cache
def _readers(cls: type) -> dict[str, Reader]:
    """How each field is read, by its annotation."""
    return {f.name: READERS[str(f.type)] for f in fields(cls)}


def _node(allowed: frozenset[str]) -> Reader:
    def read(plain: Any, where: str) -> Any:
        found = _mapping(plain, where)
        kind = found.get(KIND)
        if kind not in allowed:
            raise NotAKernelError(f"{where}: expected one of {', '.join(sorted(allowed))}, not {kind!r}")
        node = NODES[kind](**_fields(NODES[kind], {k: v for k, v in found.items() if k != KIND}, where))
        if isinstance(node, Const) and node.type in FLOATS and not isinstance(node.value, bool):
            return replace(node, value=float(node.value))  # others write 1.0 as 1
        return node

    return read


def _each(read: Reader) -> Reader:
    def read_all(plain: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(plain, list):
            raise NotAKernelError(f"{where}: expected a list, not {plain!r}")
        return tuple(read(item, f"{where}[{k}]") for k, item in enumerate(plain))

    return read_all


def _optional(read: Reader) -> Reader:
    return lambda plain, where: None if plain is None else read(plain, where)


def _one_of(options: Mapping[str, Any], what: str) -> Reader:
    def read(plain: Any, where: str) -> Any:
        if not isinstance(plain, str) or plain not in options:
            raise NotAKernelError(f"{where}: there is no {what} {plain!r}")
        return options[plain]

    return read


def _mapping(plain: object, where: str) -> Mapping[str, Any]:
    if not isinstance(plain, dict):
        raise NotAKernelError(f"{where}: expected an object with fields, not {plain!r}")
    return plain


def _type(plain: Any, where: str) -> Type:
    if isinstance(plain, list) and 1 <= len(plain) <= 4 and plain == plain[:1] * len(plain):
        return Array(_element(plain[0], where), len(plain))
    return _element(plain, where)  # type: ignore[no-any-return] # readers are untyped, as what they read


def _array(plain: Any, where: str) -> Array:
    found = _type(plain, where)
    if not isinstance(found, Array):
        raise NotAKernelError(f"{where}: expected an array, not {plain!r}")
    return found


def _name(plain: Any, where: str) -> str:
    if not isinstance(plain, str):
        raise NotAKernelError(f"{where}: expected text, not {plain!r}")
    return plain


def _number(plain: Any, where: str) -> float | int | bool:
    if isinstance(plain, str) and plain in ("inf", "-inf", "nan"):
        return float(plain)
    if not isinstance(plain, bool | int | float):
        raise NotAKernelError(f"{where}: expected a number, not {plain!r}")
    return plain


def _whole(plain: Any, where: str) -> int:
    if not isinstance(plain, int) or isinstance(plain, bool):
        raise NotAKernelError(f"{where}: expected a whole number, not {plain!r}")
    return plain


def _truth(plain: Any, where: str) -> bool:
    if not isinstance(plain, bool):
        raise NotAKernelError(f"{where}: expected true or false, not {plain!r}")
    return plain


def _called(plain: Any, where: str) -> Any:
    """A function of the module's own, or a row by its key."""
    return (_operation if isinstance(plain, str) else _function)(plain, where)


_operation = _one_of(dict[str, Op](ROWS), "operation")
_function = _node(frozenset({"Function"}))
_scalar = _one_of({scalar.name: scalar for scalar in SCALARS}, "scalar type")
_element = _one_of(ELEMENTS, "type")
_term = _node(frozenset(node.__name__ for node in get_args(Term)))
_stmt = _node(frozenset(node.__name__ for node in get_args(Stmt)))

READERS: Mapping[str, Reader] = {
    "str": _name,
    "float": _number,
    "float | int | bool": _number,
    "int | None": _optional(_whole),
    "bool": _truth,
    "Scalar": _scalar,
    "Composite": _one_of({type.name: type for type in COMPOSITES}, "composite type"),
    "Element": _element,
    "Type": _type,
    "Array": _array,
    "Op": _operation,
    "Op | None": _optional(_operation),
    "AtomicKind": _one_of({kind.value: kind for kind in AtomicKind}, "atomic operation"),
    "Role": _one_of({role.value: role for role in Role}, "role"),
    "Term": _term,
    "Term | None": _optional(_term),
    "tuple[Term, ...]": _each(_term),
    "int": _whole,
    "tuple[str, ...]": _each(_name),
    "tuple[Element, ...]": _each(_element),
    "tuple[Const, ...]": _each(_node(frozenset({"Const"}))),
    "tuple[Var | Whole, ...]": _each(_node(frozenset({"Var", "Whole"}))),
    "Function": _function,
    "Function | Op": _called,
    "tuple[Passed, ...]": _each(_node(frozenset({"Passed"}))),
    "tuple[Stmt, ...]": _each(_stmt),
    "tuple[Assign | Store, ...]": _each(_node(frozenset({"Assign", "Store"}))),
    "tuple[Struct, ...]": _each(_node(frozenset({"Struct"}))),
    "tuple[Param, ...]": _each(_node(frozenset({"Param"}))),
}
"""By annotation. A node with another one can't be read until it is named here."""
