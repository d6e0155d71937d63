"""What Warp documents as not differentiable, as rules over trees.

The key insight: all of the documented limits say one thing. The backward pass doesn't replay a loop that runs at run
time, so what such a loop carries is *stale* there; an adjoint is wrong exactly where it needs a stale value. Which
values an adjoint needs is seen from the table: those that the partial derivative depends on.

Source: Warp's user guide, "Differentiability", section "Limitations and Workarounds".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from grammar.emit import is_unrolled
from grammar.op import Lanes, Op
from grammar.tree import (
    Apply,
    Assign,
    At,
    Atomic,
    AtomicKind,
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
    Sample,
    Size,
    Stmt,
    Store,
    Term,
    Var,
    While,
    blocks,
    own_terms,
    statements,
    subterms,
)
from grammar.types import BOOL, FLOATS, INTEGERS, Array, Composite

CARRIED = "a loop that runs at run time carries a value that its adjoint needs"


def limitation(kernel: Kernel) -> str:
    """The documented reason why this kernel's adjoint is not to be trusted; empty if there is none."""
    return _walked(kernel).found if any(map(_is_dynamic, statements(kernel.body))) else ""


def _is_dynamic(stmt: Stmt) -> bool:
    """Whether it is a loop that runs at run time: nothing goes stale but by one."""
    return isinstance(stmt, While) or (isinstance(stmt, For) and not is_unrolled(stmt))


def gradients_of(kernel: Kernel) -> list[tuple[Apply, list[bool]]]:
    """Each operation, with the arguments through which a gradient flows."""
    return _walked(kernel).applied


def _walked(kernel: Kernel) -> _Walk:
    arrays = {
        p.name for p in kernel.params if isinstance(p.type, Array) and p.element.scalar in FLOATS and not p.is_output
    }
    walk = _Walk(arrays)
    walk.block(kernel.body)
    return walk


def has_gradient(kernel: Kernel) -> bool:
    """Whether some float array is read and some float array written."""
    return any(p.is_output and p.element.scalar in FLOATS for p in kernel.params) and any(
        isinstance(p.type, Array) and p.element.scalar in FLOATS and not p.is_output for p in kernel.params
    )


@dataclass(slots=True)
class _Walk:
    active: set[str]
    """Names through which a gradient flows: float arrays, and locals computed from them."""
    stale: set[str] = field(default_factory=set)
    """Locals whose value the backward pass doesn't have."""
    found: str = ""
    applied: list[tuple[Apply, list[bool]]] = field(default_factory=list)

    def block(self, body: tuple[Stmt, ...]) -> None:
        for stmt in body:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        match stmt:
            case Assign(name, value):
                self.bind(name, *self.term(value))
            case AugAssign(name, op, value):
                self.bind(name, *self.term(Apply(op, (Var(name, op.params[0]), value))))
            case Sample(name, _, state, args):
                for arg in args:
                    self.term(arg)
                self.bind(name, False, state in self.stale)
            case Store(_, index, value) | AugStore(_, index, _, value):
                self.needed(self.term(index)[1])
                self.term(value)
            case Atomic(kind, _, index, value):
                self.needed(self.term(index)[1])
                active, stale = self.term(value)
                # Going back, who gave a minimum is told by comparing values.
                self.needed(active and stale and kind in (AtomicKind.MAX, AtomicKind.MIN))
            case If(condition, yes, no):
                self.needed(self.term(condition)[1] and any(self.carries_gradient(b) for b in (yes, no)))
                self.block(yes)
                self.block(no)
            case For(_, start, stop, body):
                for bound in (stop,) if start is None else (start, stop):
                    self.needed(self.term(bound)[1])
                self.loop(body, dynamic=_is_dynamic(stmt))
            case While(condition, body):
                self.needed(self.term(condition)[1] and self.carries_gradient(body))
                self.loop(body, dynamic=True)
                self.term(condition)
            case _:
                pass

    def loop(self, body: tuple[Stmt, ...], dynamic: bool) -> None:
        """What the body assigns and was assigned before goes stale if the loop runs at run time; twice, to settle."""
        assigned = {s.name for s in statements(body) if isinstance(s, Assign | AugAssign | Sample)}
        assigned |= {s.state for s in statements(body) if isinstance(s, Sample)}
        if dynamic:
            self.stale |= assigned & set(_read_before_assigned(body))
        self.block(body)
        self.block(body)
        if dynamic:
            self.stale |= assigned

    def bind(self, name: str, active: bool, stale: bool) -> None:
        if active:
            self.active.add(name)
        if stale:
            self.stale.add(name)

    def needed(self, stale: bool) -> None:
        if stale:
            self.found = self.found or CARRIED

    def carries_gradient(self, body: tuple[Stmt, ...]) -> bool:
        """Whether it matters to some gradient if these statements are run."""
        writes = Store | AugStore | Atomic | Assign | AugAssign
        return any(isinstance(s, writes | Break | Continue | Return) for s in statements(body))

    def term(self, term: Term) -> tuple[bool, bool]:
        """Whether a gradient flows through the term, and whether its value is stale."""
        match term:
            case Const() | Size():
                return False, False
            case At(indices):
                parts = [self.term(index) for index in indices]
                return False, any(stale for _, stale in parts)
            case Var(name, type):
                return name in self.active and type.scalar in FLOATS, name in self.stale
            case Read(_, index, type):
                stale = self.term(index)[1]
                self.needed(stale and type.scalar in FLOATS)
                return type.scalar in FLOATS, stale
            case Apply(op, args):
                parts = [self.term(arg) for arg in args]
                active = [on and op.result.scalar in FLOATS and op.differentiable for on, _ in parts]
                self.applied.append((term, active))
                need = needs(op)
                for k, on in enumerate(active):
                    self.needed(on and any(need[k][j] and stale for j, (_, stale) in enumerate(parts)))
                return any(active), any(stale for _, stale in parts)
            case Invoke(function, args):
                parts = [self.term(arg) for arg in args]
                flows = function.result.scalar in FLOATS and any(on for on, _ in parts)
                self.needed(flows and any(stale for _, stale in parts))
                return flows, any(stale for _, stale in parts)


def _read_before_assigned(body: tuple[Stmt, ...]) -> Iterator[str]:
    """The names that the body takes over from the trip before."""
    assigned: set[str] = set()
    for stmt in body:
        yield from (name for name in _reads(stmt) if name not in assigned)
        if isinstance(stmt, Assign):
            assigned.add(stmt.name)


def _reads(stmt: Stmt) -> Iterator[str]:
    if isinstance(stmt, AugAssign):
        yield stmt.name
    if isinstance(stmt, Sample):
        yield stmt.state
    for inner in (stmt, *(s for block in blocks(stmt) for s in statements(block))):
        if isinstance(inner, AugAssign):
            yield inner.name
        if isinstance(inner, Sample):
            yield inner.state
        for term in own_terms(inner):
            yield from (t.name for t in subterms(term) if isinstance(t, Var))


# -- what an adjoint needs --------------------------------------------------------------------------------------------

STEP = 1e-4
POINTS = 64


@cache
def needs(op: Op) -> tuple[tuple[bool, ...], ...]:
    """`needs(op)[k][j]`: does the derivative by argument k depend on argument j? Found by differences of the row."""
    count = len(op.params)
    if op.result.scalar not in FLOATS:
        return ((False,) * count,) * count
    rng = np.random.Generator(np.random.PCG64(0))
    lowest = -0.9 if _is_defined(op, -0.9, rng) else 0.1
    points = [_column(op, k, rng, lowest) for k in range(count)]
    return tuple(
        tuple(
            op.params[k].scalar in FLOATS and _depends(op, points, k, _moved(op, points, j, rng, lowest))
            for j in range(count)
        )
        for k in range(count)
    )


def _is_defined(op: Op, lowest: float, rng: np.random.Generator) -> bool:
    if op.domain is None:
        return True
    with np.errstate(all="ignore"):
        return bool(op.domain(*(_column(op, k, rng, lowest) for k in range(len(op.params)))).all())


def _column(op: Op, k: int, rng: np.random.Generator, lowest: float) -> Lanes:
    type = op.params[k]
    shape = (type.width, POINTS) if isinstance(type, Composite) else (POINTS,)
    if type is BOOL:
        return np.asarray(rng.integers(0, 2, shape) == 1)
    if type.scalar in INTEGERS:
        return rng.integers(0, 3, shape).astype(type.dtype)
    return np.asarray(rng.uniform(lowest, 0.9, shape))


def _moved(op: Op, points: list[Lanes], j: int, rng: np.random.Generator, lowest: float) -> list[Lanes]:
    return [_column(op, j, rng, lowest) if k == j else column for k, column in enumerate(points)]


def _depends(op: Op, points: list[Lanes], k: int, moved: list[Lanes]) -> bool:
    before, after = _slope(op, points, k), _slope(op, moved, k)
    differ = np.abs(before - after) > 1e-3 * (1 + np.abs(before))
    return bool(differ.mean() > 0.05)  # fewer are points that lie on a jump by chance


def _slope(op: Op, points: list[Lanes], k: int) -> Lanes:
    up, down = list(points), list(points)
    step = STEP * np.arange(1, 1 + len(points[k]))[:, np.newaxis] if points[k].ndim > 1 else STEP
    up[k], down[k] = points[k] + step, points[k] - step
    return np.asarray((op(*up) - op(*down)) / (2 * STEP))
