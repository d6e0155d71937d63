"""Which locals carry a gradient from a float input to a float output, and what an exit from a loop leaves undone.

The key insight: Warp's backward pass takes an exit as it comes to it. `break` ends a `for` on its way back through all
of its trips; `continue`, and the `break` of a `while`, end the trip. So the statements whose adjoint is left out are
known from where the exit stands, and a gradient is wrong exactly if one of them would have changed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Continue,
    For,
    If,
    Invoke,
    Kernel,
    Read,
    Stmt,
    Store,
    StorePart,
    Term,
    Unpack,
    Var,
    While,
    Whole,
    Writing,
    blocks,
    statements,
)
from grammar.types import FLOATS, Array
from grammar.unrolling import is_broken, is_unrolled

Body = tuple[Stmt, ...]


def sources(term: Term) -> Iterator[str]:
    """The arrays and variables through which a gradient would flow into the term."""
    match term:
        case Var(name, type) | Read(name, _, type) if type.scalar in FLOATS:
            yield name
        case Whole(name, array) if array.element.scalar in FLOATS:
            yield name
        case Apply(op, args) if op.differentiable and op.result.scalar in FLOATS:
            for arg in args:
                yield from sources(arg)
        case Invoke(function, args) if not function.gradient and any(t.scalar in FLOATS for t in function.results):
            for arg in args:
                yield from sources(arg)
        case _:
            pass


def active_names(kernel: Kernel) -> frozenset[str]:
    """The float input arrays, and the locals that a gradient with respect to them flows through."""
    active = {
        p.name for p in kernel.params if isinstance(p.type, Array) and p.element.scalar in FLOATS and not p.is_output
    }
    return _closed(active, [(stmt.name, set(sources(stmt.value))) for stmt in _bindings(kernel.body)])


def carriers(kernel: Kernel) -> frozenset[str]:
    """Those of the active names whose gradient flows on into some output."""
    values = [stmt.value for stmt in statements(kernel.body) if isinstance(stmt, Writing)]
    wanted = set(chain.from_iterable(map(sources, values)))
    steps = [(name, {stmt.name}) for stmt in _bindings(kernel.body) for name in sources(stmt.value)]
    return active_names(kernel) & _closed(wanted, steps)


def _bindings(body: Body) -> list[Assign | AugAssign | AssignPart]:
    """What each local is given; what a call gives to several counts for each of them."""
    found: list[Assign | AugAssign | AssignPart] = []
    for stmt in statements(body):
        if isinstance(stmt, Assign | AugAssign | AssignPart):
            found.append(stmt)
        elif isinstance(stmt, Unpack):
            found += [Assign(name, stmt.call) for name in stmt.names]
    return found


def _closed(names: set[str], steps: list[tuple[str, set[str]]]) -> frozenset[str]:
    """The names, and each that a step leads to from one of them."""
    while new := {name for name, before in steps if name not in names and before & names}:
        names = names | new
    return frozenset(names)


def undone(kernel: Kernel) -> Iterator[tuple[type[Break | Continue], Stmt]]:
    """Each statement whose adjoint some exit leaves out, with the kind of exit, if that spoils a gradient."""
    loops = [stmt for stmt in statements(kernel.body) if isinstance(stmt, For | While)]
    skipped = [(loop, kind, stmt) for loop in loops for kind, stmt in _skipped(loop)]
    if not skipped:
        return
    active, carrying = active_names(kernel), carriers(kernel)
    stores = [stmt for stmt in map(_whole, statements(kernel.body)) if isinstance(stmt, Store)]
    written = {stmt.array for stmt in stores if not active.isdisjoint(sources(stmt.value))}
    bound = Counter(stmt.name for stmt in _bindings(kernel.body))
    for loop, kind, stmt in skipped:
        inside = Counter(other.name for other in _bindings(loop.body))
        if _matters(stmt, active, {name for name in carrying if bound[name] > inside[name]}, written):
            yield kind, stmt


def _whole(stmt: Stmt) -> Stmt:
    """As if a part of an element were an element."""
    return stmt.of_scalar if isinstance(stmt, StorePart) else stmt


def _skipped(loop: For | While) -> Iterator[tuple[type[Break | Continue], Stmt]]:
    if isinstance(loop, For) and is_broken(loop.body):
        yield from ((Break, stmt) for stmt in statements(loop.body))
    if isinstance(loop, While):
        yield from ((Break, stmt) for stmt in chain.from_iterable(_before(loop.body, Break)))
    if isinstance(loop, While) or not is_unrolled(loop):
        yield from ((Continue, stmt) for stmt in chain.from_iterable(_before(loop.body, Continue)))


def _before(body: Body, kind: type[Break | Continue]) -> Iterator[list[Stmt]]:
    """For each exit of that kind from the loop with this body: the statements that come before it in a trip."""
    for k, stmt in enumerate(body):
        if isinstance(stmt, kind):
            yield list(statements(body[:k]))
        elif isinstance(stmt, If):
            yield from ([*statements(body[:k]), *way] for block in blocks(stmt) for way in _before(block, kind))


def _matters(stmt: Stmt, active: frozenset[str], outer: set[str], written: set[str]) -> bool:
    """Whether the adjoint of the statement does anything; it doesn't if only a number is added to a variable."""
    match stmt:
        case Assign(name, Apply(op, (Var(own, _), value))) if name == own and op.name in ("add", "sub"):
            return name in outer and not active.isdisjoint(sources(value))
        case AugAssign(name, op, value) if op.name in ("add", "sub"):
            return name in outer and not active.isdisjoint(sources(value))
        case Assign(name) | AugAssign(name) | AssignPart(name):
            return name in outer
        case Unpack(names):
            return not outer.isdisjoint(names)
        case Store(array, _, value):
            return array in written or not active.isdisjoint(sources(value))
        case AugStore(_, _, _, value) | Atomic(_, _, _, value):
            return not active.isdisjoint(sources(value))
        case StorePart():
            return _matters(_whole(stmt), active, outer, written)
        case _:
            return False
