"""Kernels under other names: parameters that become fields of structs, and fields that become parameters again.

The key insight: whose field something is stands in its name alone, so to gather and to take apart is to rename.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import assert_never

from grammar.choose import Choose, pick
from grammar.names import StructNames
from grammar.outline import outlined_parts
from grammar.params import Param, Struct
from grammar.paths import ELEMENT, owner
from grammar.rebuild import Body, with_all_terms, with_statements
from grammar.slots import kept
from grammar.tiles import is_tile
from grammar.tree import (
    Assign,
    AssignPart,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Continue,
    Fieldwise,
    For,
    Function,
    If,
    Invoke,
    Kernel,
    Outlined,
    Read,
    Return,
    Sample,
    Size,
    Stmt,
    Store,
    StorePart,
    Term,
    Thread,
    Unpack,
    Var,
    View,
    While,
    Whole,
    all_functions,
    bound,
    constants,
    statements,
    terms_in,
)
from grammar.types import Array


def names_of(kernel: Kernel) -> Iterator[str]:
    """Of parameters, classes and functions that write, then what statements bind; of what has fields, its own."""
    yield from (owner(param.name) for param in kernel.params)
    yield from (struct.name for struct in kernel.structs)
    yield from (part.name for part in outlined_parts(kernel))
    yield from (owner(name) for stmt in statements(kernel.body) for name in bound(stmt))


def taken_names(kernel: Kernel) -> set[str]:
    """All names of the module, but for those within its functions."""
    called = (function.name for function in all_functions(kernel))
    return {kernel.name, *called, *constants(kernel), *names_of(kernel)}


def fresh_names(kernel: Kernel, stem: str) -> Iterator[str]:
    """Names that the kernel doesn't use."""
    taken = taken_names(kernel)
    return (name for k in count() if (name := f"{stem}_{k}") not in taken)


def free_names(choose: Choose, kernel: Kernel, names: Sequence[StructNames]) -> StructNames | None:
    taken = taken_names(kernel)
    free = [one for one in names if taken.isdisjoint((one.path, one.name))]
    return pick(choose, free) if free else None


def renamed(kernel: Kernel, new: Callable[[str], str]) -> Kernel:
    """The kernel with other names for parameters, structs and locals; functions keep theirs, and constants."""
    params = tuple(replace(param, name=new(param.name)) for param in kernel.params)
    structs = tuple(Struct(new(struct.path), new(struct.name)) for struct in kernel.structs)
    return replace(kernel, params=params, body=body_renamed(kernel.body, new), structs=structs)


def body_renamed(body: Body, new: Callable[[str], str]) -> Body:
    """The body with other names throughout, but for functions and constants."""

    def of_term(term: Term) -> Term:
        match term:
            case Var(name, _) | Whole(name, _):
                return replace(term, name=new(name))
            case Read(array, _, _, via):
                return replace(term, array=new(array), via=via and new(via))
            case Size(array, _, _):
                return replace(term, array=new(array))
            case _:
                return term

    return with_statements(with_all_terms(body, of_term), lambda stmt: (_stmt_renamed(stmt, new),))


def _stmt_renamed(stmt: Stmt, new: Callable[[str], str]) -> Stmt:
    match stmt:
        case Thread(name, others):
            return Thread(new(name), tuple(map(new, others)))
        case Assign(name, _) | AugAssign(name, _, _) | AssignPart(name):
            return replace(stmt, name=new(name))
        case View(name, array, _):
            return replace(stmt, name=new(name), array=new(array))
        case Sample(name, _, state, _):
            return replace(stmt, name=new(name), state=new(state))
        case Unpack(names, _, _):
            return replace(stmt, names=tuple(map(new, names)))
        case Atomic(_, array, _, _, name) if name:
            return replace(stmt, array=new(array), name=new(name))
        case Store(array) | AugStore(array) | StorePart(array) | Atomic(_, array):
            return replace(stmt, array=new(array))
        case For(variable):
            return replace(stmt, variable=new(variable))
        case Fieldwise(struct, target, _):
            return replace(stmt, struct=new(struct), target=new(target))
        case Outlined(name):
            return replace(stmt, name=new(name))
        case If() | While() | Break() | Continue() | Return():
            return stmt
        case _:
            assert_never(stmt)


def by_table(names: Mapping[str, str]) -> Callable[[str], str]:
    """What gives some names others, and leaves the rest as they are."""
    return lambda name: names.get(name, name)


def without_structs(kernel: Kernel) -> Kernel:
    """The kernel with a parameter or a local of its own for each field."""
    body = _flat(kernel.body)
    return renamed(replace(kernel, body=body, structs=()), _flat_names((param.name for param in kernel.params), body))


def _flat_names(params: Iterable[str], body: Body) -> Callable[[str], str]:
    """`body_mass` for `body.mass`."""
    names = {*params, *(stmt.name for stmt in statements(body) if isinstance(stmt, Assign))}
    return by_table({name: name.replace(ELEMENT, "").replace(".", "_") for name in names if "." in name})


def _flat(body: Body) -> Body:
    """Field by field what is done to structs as a whole, and what functions take of them."""

    def of_term(term: Term) -> Term:
        return Invoke(_flat_function(term.function), term.args) if isinstance(term, Invoke) else term

    return with_statements(
        with_all_terms(body, of_term), lambda stmt: stmt.body if isinstance(stmt, Fieldwise) else (stmt,)
    )


def _flat_function(function: Function) -> Function:
    body = _flat(function.body)
    new = _flat_names((param.name for param in function.params), body)
    params = tuple(replace(param, name=new(param.name)) for param in function.params)
    return replace(function, params=params, body=body_renamed(body, new), structs=())


def under(kernel: Kernel, path: str, fields: Mapping[str, str], *structs: Struct) -> Kernel:
    """The kernel with parameters as fields, by their names: they stand where the first of them stood."""
    names = {name: f"{path}.{field}" for name, field in fields.items()}
    first = next(k for k, param in enumerate(kernel.params) if param.name in fields)
    inside = sorted((p for p in kernel.params if p.name in fields), key=lambda p: "." in fields[p.name])
    before = [p for p in kernel.params[:first] if p.name not in fields]
    after = [p for p in kernel.params[first:] if p.name not in fields]
    made = replace(kernel, params=(*before, *inside, *after), structs=(*kernel.structs, *structs))
    return renamed(made, by_table(names))


def is_record(kernel: Kernel, param: Param) -> bool:
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    of_its_own = isinstance(param.type, Array) and param.type.dimensions == len(thread.names) and param.size is None
    if not of_its_own or "." in param.name or is_tile(param.element):
        return False
    passed = any(isinstance(term, Whole) and term.name == param.name for term in terms_in(kernel.body))
    updated = any(
        isinstance(s, AugStore | StorePart | Atomic) and s.array == param.name for s in statements(kernel.body)
    )
    return not (passed or updated or param.name in kept(kernel))
