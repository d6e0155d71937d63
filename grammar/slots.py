"""Places of an output that threads take in turn: `slot = wp.atomic_add(count, 0, 1)`, then `kept[slot] = i`.

The key insight: which thread gets which slot depends on the order in which threads come, but as long as a slot is no
more than where something is kept, what is kept does not, as a set. On the CPU threads come one after the other, so
there even the order is known.
"""

from __future__ import annotations

from collections.abc import Iterator

from grammar.tree import (
    Atomic,
    AtomicKind,
    AugStore,
    Const,
    For,
    Kernel,
    Param,
    Role,
    Stmt,
    Store,
    Term,
    Var,
    While,
    bound,
    own_terms,
    statements,
    subterms,
)
from grammar.types import I32, INTEGERS, Array


def slots(kernel: Kernel) -> frozenset[str]:
    """The locals that are slots."""
    return frozenset(stmt.name for stmt in statements(kernel.body) if isinstance(stmt, Atomic) and stmt.name)


def is_kept(stmt: Store, slots: frozenset[str]) -> bool:
    """Whether something is stored where a slot says."""
    return isinstance(stmt.index, Var) and stmt.index.name in slots


def kept(kernel: Kernel) -> frozenset[str]:
    """The arrays whose elements are in the order in which threads came."""
    names = slots(kernel)
    return frozenset(s.array for s in statements(kernel.body) if isinstance(s, Store) and is_kept(s, names))


def slot_problems(kernel: Kernel) -> Iterator[str]:
    """What is wrong with how threads count themselves, or that hangs on the order in which they do."""
    names = slots(kernel)
    if not names:
        return
    params = {param.name: param for param in kernel.params}
    within = [s for loop in statements(kernel.body) if isinstance(loop, For | While) for s in statements(loop.body)]
    for stmt in statements(kernel.body):
        match stmt:
            case Atomic(kind, array, index, value, name) if name:
                if (kind, index, value) != (AtomicKind.ADD, ZERO, ONE) or not _is_counter(params.get(array)):
                    yield f"{name} does not number the threads that come there from 0 on"
                if sum(name in bound(other) for other in statements(kernel.body)) > 1:
                    yield f"{name} is not only a slot"
                if stmt in within or sum(other.array == array for other in _writes(kernel)) > 1:
                    yield f"{array} is not changed once by each thread"
            case Store(array, _, value) if is_kept(stmt, names):
                if not _has_room(params.get(array)):
                    yield f"{array} does not hold a whole number for each thread"
                if not all(isinstance(one, Store) and is_kept(one, names) for one in _writes(kernel, array)):
                    yield f"{array} is written at slots and elsewhere"
        if any(isinstance(term, Var) and term.name in names for term in _used(stmt, names)):
            yield "a slot is more than a place to store to"


ZERO, ONE = Const(I32, 0), Const(I32, 1)


def _is_counter(param: Param | None) -> bool:
    """Whether the array is one number, which begins at 0."""
    if param is None or param.type != Array(I32):
        return False
    return param.role is Role.ACCUMULATOR and param.size == 1 and param.low == param.high == 0


def _has_room(param: Param | None) -> bool:
    """Whether the array holds whole numbers, as many as there are threads.

    Of floats the adjoint would go by slots that it doesn't have.
    """
    if param is None or not isinstance(param.type, Array) or param.type.dimensions > 1:
        return False
    return param.role is Role.OUT and param.size is None and param.element in INTEGERS


def _writes(kernel: Kernel, array: str = "") -> list[Store | AugStore | Atomic]:
    found = [stmt for stmt in statements(kernel.body) if isinstance(stmt, Store | AugStore | Atomic)]
    return [stmt for stmt in found if not array or stmt.array == array]


def _used(stmt: Stmt, names: frozenset[str]) -> Iterator[Term]:
    """The terms of a statement, but for a slot that is stored to."""
    at_slot = isinstance(stmt, Store) and is_kept(stmt, names)
    for term in own_terms(stmt)[at_slot:]:
        yield from subterms(term)
