"""The reference: a kernel's values, and beside each value what rounding may do to it.

The key insight: one evaluation answers every question the oracle has, if a float carries *shadows*: float64 variants of
the same lanes along a leading axis. Variant 0 is the value without float32's rounding; the others perturb every
operation by what rounding may do, so their spread says how far Warp may rightly be off. All variants follow the control
flow of the value itself; where an operation's `jump` puts variants into different pieces, the lane is undecided. What
was done stands on a tape, along which slopes are found (`validate.gradient`).

A float is *exact* while only exact rows led to it: then Warp must have the very same bits, and no shadow is kept.
Following one path in higher precision is Herbgrind's (Sanchez-Stern et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from grammar.atomics import BITWISE, MARKING, AtomicKind
from grammar.evaluate import Algebra, Interpreter
from grammar.floats import FLOATING, precision
from grammar.lanes import filled
from grammar.layout import WHOLE, Index, Inputs, Mask, Part, flat_index
from grammar.op import Lanes, Op
from grammar.params import Param
from grammar.plain import fold, kind_of
from grammar.tree import Atomic, AugStore, For, Invoke, Kernel, Read, Store, Term, Thread, Var, statements, subterms
from grammar.types import F32, F64, FLOATS, HALVES, INTEGERS, Array, Scalar
from validate.tape import Applied, Chosen, Entry, Fetched, Value
from validate.variants import EPSILON, LIBRARY, MARGIN, ROUNDED, Draws, Variants, differ, float_of

TELLING, NEGLIGIBLE = 0.02, 1e-4
"""A spread above this share of the value, and above this, says that float precision can't tell what the value is."""

TELLING_HALF, NEGLIGIBLE_HALF = 0.1, 1e-3
"""The same of floats of two bytes, which have but eleven bits or eight."""

SIGN_OF_ZERO = 5e-324
"""A tolerance that only tells zeros apart no longer: which of them wins a minimum depends on the order of the lanes."""


@dataclass(frozen=True, slots=True)
class Event:
    """One write: which elements (positions in the flattened array) got which values from which lanes."""

    stmt: Store | AugStore | Atomic
    where: NDArray[np.intp]
    value: Value
    active: Mask
    part: Part = WHOLE

    def leading(self, lanes: int) -> Event:
        """The same, of which only the first so many lanes count; the value keeps all."""
        return replace(self, where=self.where[:lanes], active=self.active[:lanes])


@dataclass(slots=True)
class Shadowed(Algebra[Value]):
    inputs: Inputs
    draws: Draws
    sources: frozenset[str] = frozenset()
    """Names of the arrays to which gradients come back."""
    counters: frozenset[str] = frozenset()
    """Names of thread indices and loop variables."""
    undecided: Mask = field(init=False)
    """Lanes on which Warp may rightly have gone another way."""
    undefined: Mask = field(init=False)
    """Lanes that did what is undefined behaviour, so that nothing may be concluded from them."""
    tape: list[Entry] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        lanes = self.inputs.launches * self.inputs.lanes
        self.undecided, self.undefined = np.zeros(lanes, np.bool_), np.zeros(lanes, np.bool_)

    # -- values -------------------------------------------------------------------------------------------------------

    def lift(self, value: Lanes, type: Scalar) -> Value:
        return Value(np.asarray(value, type.dtype))

    def const(self, value: float | int | bool, type: Scalar) -> Value:
        return Value(filled(value, type, self.undecided.size))

    def discrete(self, value: Value) -> Lanes:
        return value.lanes

    def pack(self, parts: Sequence[Value]) -> Value:
        return Value(np.empty(0), parts=tuple(parts))

    def parts(self, value: Value) -> Sequence[Value]:
        return value.parts

    def held(self, value: Value, active: Mask) -> Value:
        if value.parts:
            return self.pack([self.held(part, active) for part in value.parts])
        if value.is_float:
            self.undecided |= active & ~np.isfinite(value.lanes)
        return Value(value.lanes, value.shadow)

    def note_undefined(self, lanes: Mask) -> None:
        self.undefined |= lanes

    def select(self, mask: Mask, new: Value, old: Value) -> Value:
        if new.parts:
            return self.pack([self.select(mask, *both) for both in zip(new.parts, old.parts, strict=True)])
        result = Value(np.where(mask, new.lanes, old.lanes))
        if new.shadow is not None or old.shadow is not None:
            result.shadow = np.where(mask, new.variants, old.variants)
        if new.flows or old.flows:
            self._record(Chosen(mask, new, old, result))
        return result

    def read(self, array: str, index: Index, active: Mask, part: Part = WHOLE) -> Value:
        where = flat_index(self.inputs, array, index, active, self.undefined, part)
        result = Value(self.inputs.arrays[array].reshape(-1)[where])
        if array in self.sources:
            self._record(Fetched(array, where, result))
        return result

    def apply(self, op: Op, args: Sequence[Value], active: Mask, within: Op | None = None) -> Value:
        result = self._applied(op, args, active, within)
        flows = op.differentiable and (within is None or within.differentiable) and op.result in FLOATS
        if flows and any(arg.flows for arg in args):
            self._record(Applied(op, within, tuple(args), active, result))
        return result

    def _record(self, entry: Entry) -> None:
        entry.result.flows = True
        self.tape.append(entry)

    def _applied(self, op: Op, args: Sequence[Value], active: Mask, within: Op | None) -> Value:
        exact = op.exact and (within is None or within.exact)
        lanes = np.asarray(op.meaning(*(arg.lanes for arg in args)))
        certain = all(arg.shadow is None for arg in args)
        # off its domain, what an operation gives hangs on the last bit: (-1.5) ** -30 is a number, ** -30.000002 is not
        if op.domain is not None and (op.result in INTEGERS or op.jump is not None or not certain):
            nowhere = active & ~op.domain(*(arg.lanes for arg in args))
            if op.result in INTEGERS:
                self.undefined |= nowhere
            else:
                self.undecided |= nowhere
        if exact and certain:
            return Value(lanes)
        if op.result in HALVES and certain and (within is None or within.exact):
            self.undecided |= active & ~_rounds_alike(op, args)
            return Value(lanes)
        variants = [arg.variants if arg.is_float else arg.lanes[np.newaxis] for arg in args]
        if not certain:
            self._watch_jumps(op, args, variants, active)
        if op.result not in FLOATS:
            return Value(lanes)
        shadow = self.noisy(op, np.asarray(op.meaning(*variants), np.float64), exact)
        if within is not None and not within.exact:  # in another order it may not overflow, or come to NaN
            self.undecided |= active & ~np.isfinite(lanes)
        if not certain:
            self.undecided |= active & _may_overflow(lanes, shadow)
        if rounds_inside(op):
            rounded = op.meaning(*(v.astype(op.result.dtype) if v.dtype.kind in FLOATING else v for v in variants))
            shadow[1:] = rounded[1:]
        return Value(lanes, shadow)

    def noisy(self, op: Op, variants: Variants, exact: bool) -> Variants:
        """The variants with what rounding the result may do to each."""
        type = float_of(op)
        return self.draws.disturbed(variants, (ROUNDED if exact else LIBRARY[type]) * EPSILON[type])

    def _watch_jumps(self, op: Op, args: Sequence[Value], variants: Sequence[Lanes], active: Mask) -> None:
        """Notes the lanes on which rounding may carry the arguments across a jump."""
        if op.jump is None:
            return
        pieces = op.jump(*(arg.lanes for arg in args))
        for side in (MARGIN, -MARGIN):
            blurred = [_blurred(arg, v, side) for arg, v in zip(args, variants, strict=True)]
            self.undecided |= active & differ(op.jump(*blurred), pieces)

    # -- writes -------------------------------------------------------------------------------------------------------

    def write(
        self, stmt: Store | AugStore | Atomic, index: Index, value: Value, active: Mask, part: Part = WHOLE
    ) -> None:
        where = flat_index(self.inputs, stmt.array, index, active, self.undefined, part)
        self.events.append(Event(stmt, where, value, active.copy(), part))


def _blurred(value: Value, variants: Lanes, margin: float) -> Lanes:
    """The variants, moved away from the value by a multiple of how far they lie from it, in the value's precision."""
    if value.shadow is None:
        return value.lanes[np.newaxis]
    center = value.lanes.astype(np.float64)
    return np.asarray(center + (variants - center) * margin).astype(value.lanes.dtype)


def _may_overflow(lanes: Lanes, shadow: Variants) -> Mask:
    """Finite lanes that rounding may carry beyond the largest number of their type."""
    most = precision(lanes.dtype).max
    large = np.abs(shadow) > most / 1024
    if not large.any():
        return np.zeros(lanes.shape, np.bool_)
    near: Mask = large.any(axis=0) & np.isfinite(lanes)  # where what cancels is squared, only a variant may be large
    away = MARGIN * np.abs(shadow - lanes.astype(np.float64)).max(axis=0)
    return np.asarray(near & ~(np.abs(lanes.astype(np.float64)) + away <= most), np.bool_)


def _rounds_alike(op: Op, args: Sequence[Value]) -> Mask:
    """Lanes on which a function of a float of two bytes is the same number wherever in its error float32's may lie."""
    wide = op.meaning(*(arg.lanes.astype(np.float64) for arg in args))
    off = LIBRARY[F32] * EPSILON[F32]
    ends = [(wide * (1 + side)).astype(np.float32).astype(op.result.dtype) for side in (off, -off)]
    return ~differ(*ends)


@cache
def rounds_inside(op: Op) -> bool:
    """Whether an exact row rounds more than its result, as a·(1 − t) + b·t does, which may cancel; not of float64."""
    if not op.exact or op.result is F64 or op.result not in FLOATS or any(param not in FLOATS for param in op.params):
        return False
    dtype = op.result.dtype
    points = np.random.Generator(np.random.PCG64(0)).uniform(0.1, 2.0, (len(op.params), 256)).astype(dtype)
    with np.errstate(all="ignore"):
        return bool((op.meaning(*points) != op.meaning(*points.astype(np.float64)).astype(dtype)).any())


def float_inputs(kernel: Kernel) -> list[Param]:
    return [p for p in kernel.params if isinstance(p.type, Array) and p.element.scalar in FLOATS and not p.is_output]


def run_shadowed(kernel: Kernel, inputs: Inputs, patterns: int, kind: type[Shadowed] = Shadowed) -> Shadowed:
    """Runs the kernel over values with shadows of so many noise variants. Raises EndlessLoopError."""
    sources = frozenset(p.name for p in float_inputs(kernel))
    algebra = kind(inputs, Draws(patterns), sources, counters_of(kernel))
    with np.errstate(all="ignore"):
        Interpreter(algebra, inputs).run(kernel)
    return algebra


def looks(kernel: Kernel, first: Shadowed, inputs: Inputs, patterns: int) -> Iterator[Shadowed]:
    """The reference that there is, and one that knows more of noise, should the first find a mismatch."""
    yield first
    yield run_shadowed(kernel, inputs, patterns)


# -- what the outputs hold afterwards ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Expected:
    """One output array, flattened over launches: what must stand there, and how far off Warp may rightly be."""

    lanes: Lanes
    tolerance: NDArray[np.float64]
    """0 where the bits must agree."""
    decided: Mask


def expected(algebra: Shadowed, array: str) -> Expected:
    before = algebra.inputs.arrays[array].reshape(-1)
    result = Expected(before.copy(), np.zeros(before.shape), np.ones(before.shape, np.bool_))
    uncertain = algebra.undecided | algebra.undefined
    doubtful = uncertain.reshape(algebra.inputs.launches, -1).any(axis=1)
    events = [event for event in algebra.events if event.stmt.array == array]
    for event in events:
        result.decided[event.where[uncertain]] = False
    if doubtful.any() and not all(_is_given(index, algebra) for index in {event.stmt.index for event in events}):
        result.decided.reshape(doubtful.size, -1)[doubtful] = False  # it may write where it did not write here
    with np.errstate(all="ignore"):
        for event in events:
            _write(result, event, sum(event.part == other.part for other in events) > 1)
    result.decided &= np.isfinite(result.tolerance)
    return result


def _is_given(index: Term, algebra: Shadowed) -> bool:
    """Whether no rounding leads a write elsewhere: its index is made of counters, and of whole numbers of inputs."""
    written = {event.stmt.array for event in algebra.events}
    for part in subterms(index):
        match part:
            case Var(name) if name not in algebra.counters:
                return False
            case Read(array, _, type) if array in written or type.scalar not in INTEGERS:
                return False
            case Invoke():
                return False
            case _:
                pass
    return True


def counters_of(kernel: Kernel) -> frozenset[str]:
    """The thread indices and the loop variables."""
    found: set[str] = set()
    for stmt in statements(kernel.body):
        if isinstance(stmt, Thread):
            found |= set(stmt.names)
        elif isinstance(stmt, For):
            found.add(stmt.variable)
    return frozenset(found)


def _write(result: Expected, event: Event, several: bool) -> None:
    where, values = event.where[event.active], event.value.lanes[event.active]
    spread = _spread(event.value)[event.active]
    match event.stmt:
        case Store():
            result.lanes[where], result.tolerance[where] = values, spread
        case AugStore():
            _accumulate(result, kind_of(event.stmt), where, values, spread, several)
        case Atomic(kind, _, _, _):
            _accumulate(result, kind, where, values, spread, several)
        case _:
            assert_never(event.stmt)


def _accumulate(
    result: Expected, kind: AtomicKind, where: NDArray[np.intp], values: Lanes, spread: Variants, several: bool
) -> None:
    """Sums of floats depend on the order of the lanes only in their rounding, which is bounded by the partial sums."""
    fold(kind, result.lanes, where, values)
    if kind in (*BITWISE, *MARKING):
        return
    if kind in (AtomicKind.MIN, AtomicKind.MAX):
        np.maximum.at(result.tolerance, where, spread)
        if values.dtype.kind in FLOATING:
            np.maximum.at(result.tolerance, where, SIGN_OF_ZERO)
        return
    np.add.at(result.tolerance, where, spread)
    if values.dtype.kind in FLOATING:
        rounded = np.spacing(np.abs(result.lanes[where])).astype(np.float64)
        np.add.at(result.tolerance, where, np.where(spread > 0, rounded, 0.0))
        shared = several or np.unique(where).size < where.size
        if shared:
            np.add.at(result.tolerance, where, np.abs(values.astype(np.float64)) * (8 * precision(values.dtype).eps))


def _spread(value: Value) -> NDArray[np.float64]:
    """How far from `lanes` Warp may rightly be: 0 for exact values; infinite where precision can't tell."""
    if value.shadow is None:
        return np.zeros(value.lanes.shape)
    center = value.lanes.astype(np.float64)
    away = np.abs(value.shadow - center).max(axis=0)
    finite = np.isfinite(center) & np.isfinite(away)
    ulp = np.spacing(np.abs(np.where(finite, value.lanes, 0))).astype(np.float64)
    spread = MARGIN * away + 4 * ulp
    share, least = (TELLING_HALF, NEGLIGIBLE_HALF) if value.lanes.dtype.itemsize == 2 else (TELLING, NEGLIGIBLE)
    spread = np.where(finite & (spread <= share * np.abs(center) + least), spread, np.inf)
    settled = ~np.isfinite(center) & _same_kind(value.shadow, center)
    return np.where(settled, 0.0, spread)


def _same_kind(shadow: Variants, center: Lanes) -> Mask:
    """Lanes on which every variant is the same infinity, or NaN, as the value itself."""
    same = (shadow == center) | (np.isnan(shadow) & np.isnan(center))
    return np.asarray(same.all(axis=0), np.bool_)
