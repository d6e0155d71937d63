"""What Warp documents as not differentiable, as rules over trees.

The key insight: all of the documented limits say one thing. The backward pass doesn't replay a loop that runs at run
time, so what such a loop carries is *stale* there; an adjoint is wrong exactly where it needs a stale value. Which
values an adjoint needs is seen from the table: those that the partial derivative depends on.

Source: Warp's user guide, "Differentiability", section "Limitations and Workarounds".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeGuard

import numpy as np

from grammar.atomics import AtomicKind
from grammar.op import Lanes, Op, Pasted, is_changing
from grammar.ops.parts import places
from grammar.paths import fieldwise
from grammar.tree import (
    Apply,
    Assign,
    Assigning,
    AssignPart,
    At,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Const,
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
    Unpack,
    Var,
    View,
    While,
    Whole,
    Writing,
    all_functions,
    assigned,
    blocks,
    functions,
    own_terms,
    statements,
    subterms,
    terms_in,
)
from grammar.types import BOOL, FLOATS, I32, INTEGERS, Array, Composite, Element
from grammar.unrolling import is_unrolled, range_of

CARRIED = "a loop that runs at run time carries a value that its adjoint needs"
REASSIGNED = "a part of a vector or a matrix is assigned to that held a value with a gradient, or that an adjoint needs"
APPROXIMATE = "a matrix is factorized approximately, and the adjoint, of exact factors, may be unstable"
HANDED_ON = "a system is solved in place, which has no adjoint: gradients are handed on as if nothing had been done"
UPDATED = "an element is multiplied or divided in place, and the adjoint needs what it held before"


def limitation(kernel: Kernel) -> str:
    """The documented reason why this kernel's adjoint is not to be trusted; empty if there is none."""
    found = _walked(kernel).found if any(map(_may_be_limited, statements(kernel.body))) else ""
    return found or next((one.found for one in _walks_of_functions(kernel) if one.found), "")


def changes_what_was_used(kernel: Kernel) -> bool:
    """Whether a part of a vector or a matrix is added to after an adjoint came to need the whole as it was."""
    return any(walk.changed for walk in _walks_of_parts(kernel))


def adds_by_letter(kernel: Kernel) -> bool:
    """Whether a part through which a gradient flows is added to by its letter."""
    return any(walk.doubled for walk in _walks_of_parts(kernel))


def divides_by_stale(kernel: Kernel) -> bool:
    """Whether going back a whole number is divided by what a loop at run time carries, as it was before the loop."""
    return has_gradient(kernel) and _walked(kernel).divided


def _walks_of_parts(kernel: Kernel) -> Iterator[_Walk]:
    yield _walked(kernel)
    yield from _walks_of_functions(kernel)


def _walks_of_functions(kernel: Kernel) -> Iterator[_Walk]:
    """Of those in which there is anything to see; all that they take may have a gradient."""
    for function in all_functions(kernel):
        changing = (isinstance(stmt, AssignPart) or _changer(stmt) is not None for stmt in statements(function.body))
        if any(changing) or any(map(_is_approximate, statements(function.body))):
            walk = _Walk({param.name for param in function.params})
            walk.block(function.body)
            yield walk


def _may_be_limited(stmt: Stmt) -> bool:
    in_place = isinstance(stmt, AssignPart) or (isinstance(stmt, AugStore) and stmt.kind is None)
    return in_place or _is_dynamic(stmt) or _is_approximate(stmt) or _changer(stmt) is not None


def _changer(stmt: Stmt) -> Op | None:
    """The operation by which a local is changed in place."""
    op = stmt.value.op if isinstance(stmt, Assign) and isinstance(stmt.value, Apply) else None
    return op if op is not None and is_changing(op) else None


def _is_approximate(stmt: Stmt) -> bool:
    """Of these Warp documents that gradients hang on how far apart singular values or eigenvalues are, and the like."""
    return isinstance(stmt, Unpack) and isinstance(stmt.function, Op) and stmt.function.approximate


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
    held: dict[str, frozenset[int]] = field(default_factory=dict)
    """The scalars of composite locals that hold values through which a gradient flows."""
    used: set[str] = field(default_factory=set)
    """Composite locals whose present value an adjoint needs."""
    changed: bool = False
    """Whether a part of one of these was added to."""
    doubled: bool = False
    """Whether a part with a gradient was added to by its letter."""
    divided: bool = False
    """Whether a whole number was divided by one that is stale."""
    counters: dict[str, int] = field(default_factory=dict)
    """Variables of loops that are unrolled, in the trip at hand."""
    found: str = ""
    applied: list[tuple[Apply, list[bool]]] = field(default_factory=list)

    def block(self, body: tuple[Stmt, ...]) -> None:
        for stmt in body:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        match stmt:
            case Assign(name, Apply(op, (_, value))) if places_of := replaced(op):
                self.placed(name, places_of, *self.term(value))
            case Assign(name, value):
                changer = _changer(stmt)
                if name in self.active and changer is not None and not changer.differentiable:
                    self.found = self.found or HANDED_ON
                flows, stale = self.term(value)
                self.bind(name, flows, stale, value.type)
                if flows and keeps_result(value):
                    self.used.add(name)
            case View(_, _, index):
                self.needed(self.term(index)[1])
            case AugAssign(name, op, value):
                self.bind(name, *self.term(Apply(op, (Var(name, op.params[0]), value))), op.result)
            case AssignPart():
                self.part(stmt)
            case Sample(name, _, state, args):
                for arg in args:
                    self.term(arg)
                self.bind(name, False, state in self.stale, stmt.op.result)
            case Unpack(names, function, _):
                active, stale = self.term(stmt.call)
                if active and _is_approximate(stmt):
                    self.found = self.found or APPROXIMATE
                for name, type in zip(names, function.results, strict=True):
                    self.bind(name, active and type.scalar in FLOATS, stale, type)
                    if active and isinstance(function, Op) and isinstance(type, Composite):
                        self.used.add(name)  # adjoints of builtins take the results, too
            case AugStore(array, index, op, value) if stmt.kind is None:
                self.needed(self.term(index)[1])
                active, stale = self.term(value)
                need = needs(op)
                self.needed(array in self.active and need[0][1] and stale)
                if (active and need[1][0]) or (array in self.active and need[0][0]):
                    self.found = self.found or UPDATED
                if active:
                    self.active.add(array)
            case Store(array, index, value) | AugStore(array, index, _, value) | StorePart(array, index, _, _, value):
                self.needed(self.term(index)[1])
                if self.term(value)[0]:
                    self.active.add(array)  # which only matters to who changes what it holds
            case Atomic(kind, _, index, value):
                self.needed(self.term(index)[1])
                active, stale = self.term(value)
                # Going back, who gave a minimum is told by comparing values.
                self.needed(active and stale and kind in (AtomicKind.MAX, AtomicKind.MIN))
            case If(condition, yes, no):
                self.needed(self.term(condition)[1] and any(self.carries_gradient(b) for b in (yes, no)))
                self.fork(yes, no)
            case For(_, _, _, body):
                for bound in stmt.bounds:
                    self.needed(self.term(bound)[1])
                if not _is_dynamic(stmt) and any(isinstance(inner, AssignPart) for inner in statements(body)):
                    self.unrolled(stmt)
                else:
                    self.loop(body, dynamic=_is_dynamic(stmt))
            case While(condition, body):
                self.needed(self.term(condition)[1] and self.carries_gradient(body))
                self.loop(body, dynamic=True)
                self.term(condition)
            case Fieldwise(_, _, body) | Outlined(_, body):
                self.block(body)
            case _:
                pass

    def loop(self, body: tuple[Stmt, ...], dynamic: bool) -> None:
        """What the body assigns and was assigned before goes stale if the loop runs at run time; twice, to settle."""
        changed = {name for s in statements(body) if isinstance(s, Assigning) for name in assigned(s)}
        changed |= {s.state for s in statements(body) if isinstance(s, Sample)}
        if dynamic:
            self.stale |= changed & set(_read_before_assigned(body))
        self.block(body)
        self.block(body)
        if dynamic:
            self.stale |= changed
            self.used |= {term.name for term in terms_in(body) if _is_composite(term)}  # going back, it is run again

    def unrolled(self, loop: For) -> None:
        """Trip by trip, as what its variable is tells which parts are assigned to."""
        values = range_of(loop)
        assert values is not None
        for value in values:
            self.counters[loop.variable] = value
            self.block(loop.body)
        self.counters.pop(loop.variable, None)

    def fork(self, yes: tuple[Stmt, ...], no: tuple[Stmt, ...]) -> None:
        """What one arm holds and uses is nothing to the other."""
        held, used = dict(self.held), set(self.used)
        self.block(yes)
        (self.held, held), (self.used, used) = (held, self.held), (used, self.used)
        self.block(no)
        names = held.keys() | self.held.keys()
        self.held = {name: held.get(name, NONE) | self.held.get(name, NONE) for name in names}
        self.used |= used

    def part(self, stmt: AssignPart) -> None:
        """Warp writes into the local: what it held is gone, for adjoints too."""
        active, stale = self.term(stmt.value)
        self.needed(self.term(stmt.index)[1])
        adds = stmt.op is not None and stmt.op.name in ("add", "sub")
        held, places = self.held.get(stmt.name, NONE), self.places(stmt)
        if stmt.op is not None and not adds:
            need, old = needs(stmt.op), not held.isdisjoint(places)
            self.needed((active and (stale or (need[1][0] and stmt.name in self.stale))) or (old and stale))
        self.doubled |= adds and stmt.lettered and not held.isdisjoint(places)
        self.changed |= adds and stmt.name in self.used
        self.placed(stmt.name, places, active, stale, adds)

    def placed(self, name: str, places: frozenset[int], active: bool, stale: bool, adds: bool = False) -> None:
        """Into some scalars of a local."""
        held = self.held.get(name, NONE)
        if not adds and (not held.isdisjoint(places) or name in self.used):
            self.found = self.found or REASSIGNED
        if active:
            self.held[name] = held | places
            self.active.add(name)
        if stale:
            self.stale.add(name)

    def places(self, stmt: AssignPart) -> frozenset[int]:
        """The scalars that it may mean."""
        known = _known_place(stmt, self.counters)
        return frozenset(range(stmt.type.width)) if known is None else frozenset({known})

    def bind(self, name: str, active: bool, stale: bool, type: Element) -> None:
        if active:
            self.active.add(name)
        if stale:
            self.stale.add(name)
        if isinstance(type, Composite):
            self.held[name] = frozenset(range(type.width)) if active else NONE
            self.used.discard(name)

    def needed(self, stale: bool) -> None:
        if stale:
            self.found = self.found or CARRIED

    def carries_gradient(self, body: tuple[Stmt, ...]) -> bool:
        """Whether it matters to some gradient if these statements are run."""
        writes = Writing | Assign | AugAssign | AssignPart | Unpack
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
                self.divided |= _is_division(op) and parts[1][1]
                need = needs(op)
                for k, on in enumerate(active):
                    self.needed(on and any(need[k][j] and stale for j, (_, stale) in enumerate(parts)))
                    self.used |= {a.name for j, a in enumerate(args) if on and need[k][j] and _is_composite(a)}
                return any(active), any(stale for _, stale in parts)
            case Whole(name, array):
                return name in self.active and array.element.scalar in FLOATS, False
            case Invoke(function, args):
                parts = [self.term(arg) for arg in args]
                flows = any(type.scalar in FLOATS for type in function.results) and any(on for on, _ in parts)
                flows = flows and not function.gradient
                self.needed(flows and any(stale for _, stale in parts))
                self.divided |= any(stale for _, stale in parts) and _divides(function)
                self.used |= {arg.name for arg in args if flows and _is_composite(arg)}
                return flows, any(stale for _, stale in parts)


KEEPS_RESULT = ("normalize", "inverse", "cw_div")
"""Operations with composite results of which Warp's adjoint takes the result, too."""


def keeps_result(term: Term) -> bool:
    """Whether the adjoint needs what the term gave, as it was."""
    return isinstance(term, Apply) and term.op.name in KEEPS_RESULT and isinstance(term.type, Composite)


DIVISIONS = ("floordiv", "mod", "modulo", "div")


def _is_division(op: Op) -> bool:
    """Of whole numbers, which ends the process where it is one by 0."""
    return op.name in DIVISIONS and op.result.scalar in INTEGERS


def _divides(function: Function) -> bool:
    """Whether the function does so, itself or by others that it calls."""
    bodies = (function.body, *(inner.body for inner in functions(function.body)))
    return any(isinstance(t, Apply) and _is_division(t.op) for body in bodies for t in terms_in(body))


NONE: frozenset[int] = frozenset()
REPLACED: Mapping[str, frozenset[int]] = {
    "transform_set_translation": frozenset(range(3)),
    "transform_set_rotation": frozenset(range(3, 7)),
}
"""Builtins that replace scalars of a local, and which."""


def replaced(op: Op) -> frozenset[int]:
    """The scalars of its first operand that it replaces."""
    if isinstance(op.spelling, Pasted) and isinstance(op.result, Composite):
        return frozenset(places(op.result.shape, *op.spelling.indices))
    return REPLACED.get(op.name, NONE)


def _is_composite(term: Term) -> TypeGuard[Var]:
    return isinstance(term, Var) and isinstance(term.type, Composite)


def _known_place(stmt: AssignPart, counters: Mapping[str, int]) -> int | None:
    """Which scalar is meant, row by row, as far as numbers and the counters say."""

    def number(term: Term) -> Term:
        return Const(I32, counters[term.name]) if isinstance(term, Var) and term.name in counters else term

    index = stmt.index
    known = At(tuple(map(number, index.indices))) if isinstance(index, At) else number(index)
    return replace(stmt, index=known).known


def _read_before_assigned(body: tuple[Stmt, ...]) -> Iterator[str]:
    """The names that the body takes over from the trip before."""
    before: set[str] = set()
    for stmt in fieldwise(body):
        yield from (name for name in _reads(stmt) if name not in before)
        if isinstance(stmt, Assign | Unpack):
            before |= set(assigned(stmt))


def _reads(stmt: Stmt) -> Iterator[str]:
    if isinstance(stmt, AugAssign | AssignPart):
        yield stmt.name
    if isinstance(stmt, Sample):
        yield stmt.state
    for inner in (stmt, *(s for block in blocks(stmt) for s in statements(block))):
        if isinstance(inner, AugAssign | AssignPart):
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

    def by(k: int) -> tuple[bool, ...]:
        if op.params[k].scalar not in FLOATS:
            return (False,) * count
        slope = _slope(op, points, k)
        return tuple(_differ(slope, _slope(op, _moved(op, points, j, rng, lowest), k)) for j in range(count))

    return tuple(map(by, range(count)))


def _is_defined(op: Op, lowest: float, rng: np.random.Generator) -> bool:
    if op.domain is None:
        return True
    with np.errstate(all="ignore"):
        return bool(op.domain(*(_column(op, k, rng, lowest) for k in range(len(op.params)))).all())


def _column(op: Op, k: int, rng: np.random.Generator, lowest: float) -> Lanes:
    type = op.params[k]
    shape = (type.width, 1, POINTS) if isinstance(type, Composite) else (1, POINTS)  # variants are not rounded
    if type is BOOL:
        return np.asarray(rng.integers(0, 2, shape) == 1)
    if type.scalar in INTEGERS:
        return rng.integers(0, 3, shape).astype(type.dtype)
    return np.asarray(rng.uniform(lowest, 0.9, shape))


def _moved(op: Op, points: list[Lanes], j: int, rng: np.random.Generator, lowest: float) -> list[Lanes]:
    return [_column(op, j, rng, lowest) if k == j else column for k, column in enumerate(points)]


def _differ(before: Lanes, after: Lanes) -> bool:
    differ = np.abs(before - after) > 1e-3 * (1 + np.abs(before))
    return bool(differ.mean() > 0.05)  # fewer are points that lie on a jump by chance


def _slope(op: Op, points: list[Lanes], k: int) -> Lanes:
    up, down = list(points), list(points)
    step = STEP * np.arange(1, 1 + len(points[k])).reshape(-1, 1, 1) if points[k].ndim > 2 else STEP
    up[k], down[k] = points[k] + step, points[k] - step
    return np.asarray((op(*up) - op(*down)) / (2 * STEP))
