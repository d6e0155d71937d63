"""What threads find out from each other: `slot = wp.atomic_add(count, 0, 1)`, `old = wp.atomic_cas(seen, node, 0, 1)`.

The key insight: which thread gets which slot, or comes first to a node, depends on the order in which threads come. But
as long as a slot is no more than where something is kept, and who comes first does no more than what any other would
have done in its place, what there is in the end does not, as a set. On the CPU threads come one after the other, so
there even the order is known.
"""

from __future__ import annotations

from collections.abc import Iterator

from grammar.atomics import MARKING, AtomicKind
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.tree import (
    Apply,
    Atomic,
    Const,
    For,
    If,
    Kernel,
    Stmt,
    Store,
    Term,
    Var,
    While,
    Writing,
    bound,
    own_terms,
    statements,
    subterms,
)
from grammar.types import I32, INTEGERS, Array

ZERO, ONE = Const(I32, 0), Const(I32, 1)


def slots(kernel: Kernel) -> frozenset[str]:
    """The locals that are slots."""
    return frozenset(stmt.name for stmt in _taking(kernel) if stmt.kind not in MARKING)


def is_kept(stmt: Store, slots: frozenset[str]) -> bool:
    """Whether something is stored where a slot says."""
    return isinstance(stmt.index, Var) and stmt.index.name in slots


def kept(kernel: Kernel) -> frozenset[str]:
    """The arrays whose elements are in the order in which threads came."""
    names = slots(kernel)
    return frozenset(s.array for s in statements(kernel.body) if isinstance(s, Store) and is_kept(s, names))


def comes_first(old: Var) -> Apply:
    """Whether nobody came before: `old == 0`."""
    return Apply(ROWS["equal(int32,int32)"], (old, ZERO))


def slot_problems(kernel: Kernel) -> Iterator[str]:
    """What is wrong with how threads find out from each other, or that hangs on the order in which they come."""
    taking, params = _taking(kernel), {param.name: param for param in kernel.params}
    if not taking:
        return
    body = tuple(statements(kernel.body))
    in_loops = [s for loop in body if isinstance(loop, For | While) for s in statements(loop.body)]
    for stmt in taking:
        if sum(stmt.name in bound(other) for other in body) > 1:
            yield f"{stmt.name} is not only what {stmt.array} held"
        if stmt in in_loops or len(_writes(kernel, stmt.array)) > 1:
            yield f"{stmt.array} is not changed once by each thread"
        if not _begins_empty(params.get(stmt.array)) or stmt.value != ONE:
            yield f"{stmt.array} does not hold 0 to begin with, or is given another number than 1"
        yield from _of_first(kernel, stmt) if stmt.kind in MARKING else _of_slot(stmt)
    yield from _of_kept(kernel)


def _taking(kernel: Kernel) -> list[Atomic]:
    return [stmt for stmt in statements(kernel.body) if isinstance(stmt, Atomic) and stmt.name]


def _begins_empty(param: Param | None) -> bool:
    if param is None or not isinstance(param.type, Array) or param.element is not I32:
        return False
    return param.role is Role.ACCUMULATOR and param.low == param.high == 0


def _of_slot(stmt: Atomic) -> Iterator[str]:
    if (stmt.kind, stmt.index) != (AtomicKind.ADD, ZERO):
        yield f"{stmt.name} does not number the threads that come there from 0 on"


def _of_first(kernel: Kernel, stmt: Atomic) -> Iterator[str]:
    """All that follows for who comes first is done with what all that come there have in common: where that is."""
    old = Var(stmt.name, I32)
    asked = [s for s in statements(kernel.body) if old in [t for term in own_terms(s) for t in subterms(term)]]
    for branch in asked:
        if not isinstance(branch, If) or branch.condition != comes_first(old) or branch.orelse:
            yield f"{stmt.name} is more than asked whether it is 0"
        elif not all(_is_common(inner, stmt.index, slots(kernel)) for inner in branch.body):
            yield f"what is done where {stmt.name} is 0 hangs on who comes first"


def _is_common(stmt: Stmt, node: Term, slots: frozenset[str]) -> bool:
    """Whether it does the same whichever thread that came to the node does it."""
    match stmt:
        case Atomic(AtomicKind.ADD, _, index, value):
            return index in (ZERO, node) and value == ONE
        case Store(_, _, value):
            return value == node and is_kept(stmt, slots)
        case _:
            return False


def _of_kept(kernel: Kernel) -> Iterator[str]:
    names, params = slots(kernel), {param.name: param for param in kernel.params}
    for stmt in statements(kernel.body):
        if isinstance(stmt, Store) and is_kept(stmt, names):
            if not _has_room(params.get(stmt.array)):
                yield f"{stmt.array} does not hold a whole number for each thread"
            if not all(isinstance(one, Store) and is_kept(one, names) for one in _writes(kernel, stmt.array)):
                yield f"{stmt.array} is written at slots and elsewhere"
        if any(isinstance(term, Var) and term.name in names for term in _used(stmt, names)):
            yield "a slot is more than a place to store to"


def _has_room(param: Param | None) -> bool:
    """Whether the array holds whole numbers, as many as there are threads.

    Of floats the adjoint would go by slots that it doesn't have.
    """
    if param is None or not isinstance(param.type, Array) or param.type.dimensions > 1:
        return False
    return param.role is Role.OUT and param.size is None and param.element in INTEGERS


def _writes(kernel: Kernel, array: str) -> list[Writing]:
    found = [stmt for stmt in statements(kernel.body) if isinstance(stmt, Writing)]
    return [stmt for stmt in found if stmt.array == array]


def _used(stmt: Stmt, names: frozenset[str]) -> Iterator[Term]:
    """The terms of a statement, but for a slot that is stored to."""
    at_slot = isinstance(stmt, Store) and is_kept(stmt, names)
    for term in own_terms(stmt)[at_slot:]:
        yield from subterms(term)
