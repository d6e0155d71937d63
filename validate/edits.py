"""What passes share: how small a kernel is, what is left of it when it is tidied, and how one part of it is changed.

The key insight: smaller is one measure of natural numbers, so no chain of ever smaller kernels is endless; and tidying
is where a careless change becomes a kernel of the grammar again, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from grammar.alive import live_names, names_in
from grammar.check import problems
from grammar.paths import used_structs
from grammar.rebuild import Body
from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    At,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Const,
    Continue,
    For,
    If,
    Invoke,
    Kernel,
    Read,
    Return,
    Size,
    Stmt,
    StorePart,
    Term,
    Thread,
    Var,
    View,
    While,
    Whole,
    Writing,
    all_terms,
    own_terms,
    statements,
)
from grammar.types import BOOL, F64, FLOATS, INTEGERS, Scalar

Measure = tuple[int, int, int, int, int]
"""Statements, weight of terms, complexity of constants, parameters and structs, places of float64: in this order."""

SIMPLE: dict[Scalar, tuple[float | int | bool, ...]] = {
    **dict.fromkeys(FLOATS, (0.0, 1.0, 0.5, 2.0)),
    **dict.fromkeys(INTEGERS, (0, 1, 2)),
    BOOL: (False, True),
}
"""The constants that any term may become, simplest first."""

# -- how small a kernel is --------------------------------------------------------------------------------------------


UPDATES = AugAssign | AssignPart | AugStore | StorePart | Atomic
"""They do more than to assign or to store a value."""


def measure(kernel: Kernel) -> Measure:
    """Each part is a natural number, so no chain of ever smaller kernels is endless."""
    stmts = list(statements(kernel.body))
    terms = list(all_terms(kernel))
    constants = sum(complexity(term) for term in terms if isinstance(term, Const))
    wide = sum(term.type.scalar is F64 for term in terms) + sum(p.element.scalar is F64 for p in kernel.params)
    heavy = sum(map(weight, terms)) + sum(3 for s in stmts if isinstance(s, UPDATES))
    passed = len(kernel.params) + len(kernel.structs) + kernel.generic
    return len(stmts), heavy, constants, passed, wide


def weight(term: Term) -> int:
    """Of the node alone. A constant weighs less than any other term, an element less than any operation."""
    match term:
        case Const():
            return 1
        case Var() | Size() | Read() | Whole():
            return 2
        case At():
            return 0
        case Apply() | Invoke():
            return 4


def complexity(constant: Const) -> int:
    """0 for the simplest constant of its type."""
    value = constant.value
    if constant.type not in FLOATS:
        return 2 * abs(int(value)) + (value < 0)
    simple = [repr(other) for other in SIMPLE[constant.type]]
    return simple.index(repr(value)) if repr(value) in simple else len(simple) + len(repr(value))


def tidied(kernel: Kernel) -> Kernel | None:
    """The kernel without what is dead or empty in it; None if that is no kernel of the grammar."""
    body, before = kernel.body, None
    while body != before:
        before = body
        body = _filled(body, live_names(body))
    used = {name for stmt in statements(body) for name in _names(stmt)}
    params = tuple(p for p in kernel.params if p.name in used)
    kernel = replace(kernel, params=params, body=body, structs=used_structs(kernel.structs, params))
    is_kernel = any(param.is_output for param in kernel.params) and not problems(kernel)
    return kernel if is_kernel else None


def _names(stmt: Stmt) -> Iterator[str]:
    """Of the parameters, and of the locals that are read."""
    if isinstance(stmt, Writing):
        yield stmt.array
    for term in own_terms(stmt):
        yield from names_in(term)


def _filled(body: Body, live: frozenset[str]) -> Body:
    """Without what is given to dead names, blocks that hold nothing, and what comes after a leap."""
    kept: list[Stmt] = []
    for stmt in body:
        match stmt:
            case View(name) | Assign(name) | AugAssign(name) | AssignPart(name) if name not in live:
                pass
            case If(condition, yes, no):
                one, other = _filled(yes, live), _filled(no, live)
                if one or other:
                    kept.append(If(condition, one, other) if one else If(condition, other))
            case For(_, _, _, inner) | While(_, inner):
                if filled := _filled(inner, live):
                    kept.append(replace(stmt, body=filled))
            case Break() | Continue() | Return():
                return (*kept, stmt)
            case _:
                kept.append(stmt)
    return tuple(kept)


# -- walking ----------------------------------------------------------------------------------------------------------


def in_blocks(body: Body, change: Callable[[Body], Iterable[Body]]) -> Iterator[Body]:
    """The body with one of its blocks changed, outer blocks first."""
    yield from change(body)
    for k, stmt in enumerate(body):
        for name in ("body", "orelse"):
            for new in in_blocks(getattr(stmt, name, ()), change):
                yield (*body[:k], changed(stmt, name, new), *body[k + 1 :])


def in_terms(body: Body, change: Callable[[Term], Iterable[Term]]) -> Iterator[Body]:
    """The body with one of its terms changed, in source order, outer terms first."""
    for k, stmt in enumerate(body):
        for name in ("start", "stop", "condition", "index", "value"):
            term = getattr(stmt, name, None)
            if term is not None:
                for new in _in_term(term, change):
                    yield (*body[:k], changed(stmt, name, new), *body[k + 1 :])
        for name in ("args", "others"):
            terms = _several(stmt, name)
            for j, term in enumerate(terms):
                for new in _in_term(term, change):
                    yield (*body[:k], changed(stmt, name, (*terms[:j], new, *terms[j + 1 :])), *body[k + 1 :])
        for name in ("body", "orelse"):
            for block in in_terms(getattr(stmt, name, ()), change):
                yield (*body[:k], changed(stmt, name, block), *body[k + 1 :])


def _several(stmt: Stmt, name: str) -> tuple[Term, ...]:
    """The terms in one of its fields; the other indices of a grid are names."""
    return () if isinstance(stmt, Thread) else getattr(stmt, name, ())


def _in_term(term: Term, change: Callable[[Term], Iterable[Term]]) -> Iterator[Term]:
    yield from change(term)
    match term:
        case Apply(_, args) | Invoke(_, args):
            for k, arg in enumerate(args):
                yield from (replace(term, args=(*args[:k], new, *args[k + 1 :])) for new in _in_term(arg, change))
        case Read(_, index):
            yield from (replace(term, index=new) for new in _in_term(index, change))
        case At(indices):
            for k, index in enumerate(indices):
                yield from (At((*indices[:k], new, *indices[k + 1 :])) for new in _in_term(index, change))
        case _:
            pass


def changed(stmt: Stmt, name: str, value: object) -> Stmt:
    """The statement with another value in one of its fields."""
    changes: dict[str, Any] = {name: value}
    return replace(stmt, **changes)
