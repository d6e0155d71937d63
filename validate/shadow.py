"""The reference: a kernel's values, and beside each value what rounding and small changes of the inputs do to it.

The key insight: one evaluation answers every question the oracle has, if a float carries *shadows*: float64 variants of
the same lanes along a leading axis. Variant 0 is the value without float32's rounding; noise variants perturb every
operation by what rounding may do, so their spread says how far Warp may rightly be off; step variants move one input
element up or down, so their difference is the derivative. A value has step variants for the elements it hangs on alone,
which are few until the end. All variants follow the control flow of the value itself. Where an operation's `jump` or
`kink` puts variants into different pieces, the lane is undecided or has no gradient.

A float is *exact* while only exact rows led to it: then Warp must have the very same bits, and no shadow is kept.
Following one path in higher precision is Herbgrind's (Sanchez-Stern et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from grammar.evaluate import FOLDS, Algebra, Interpreter, filled, kind_of
from grammar.layout import WHOLE, Index, Inputs, Mask, Part, flat_index
from grammar.op import Lanes, Op
from grammar.tree import (
    BITWISE,
    Atomic,
    AtomicKind,
    AugStore,
    For,
    Invoke,
    Kernel,
    Read,
    Store,
    Term,
    Thread,
    Var,
    statements,
    subterms,
)
from grammar.types import F16, F32, F64, FLOATS, INTEGERS, Scalar
from validate.variants import LIBRARY, Errors, Noise, Steps, Variants, places

TELLING, NEGLIGIBLE = 0.02, 1e-4
"""A spread above this share of the value, and above this, says that float precision can't tell what the value is."""

TELLING_HALF, NEGLIGIBLE_HALF = 0.1, 1e-3
"""The same of float16, which has but eleven bits."""

SMALL_HALF, LARGE_HALF = 2.0**-6, 2.0**7
"""Between these the square of a float16 has all its bits, and some of its range is left."""

EDGE = 2.0**-20
"""This near to the edge of a domain the slope may be infinite, as that of a square root at 0."""

SIGN_OF_ZERO = 5e-324
"""A tolerance that only tells zeros apart no longer: which of them wins a minimum depends on the order of the lanes."""

HANDED_ON = frozenset(("add", "sub", "neg", "pos", "where", "ternary"))
"""Rows whose adjoint hands on what comes back to it as it is, or its negative: it is rounded only where an element gets
it by way of two arguments, which may nearly cancel."""

MARGIN = 8.0
"""How much farther than the noise variants Warp's own rounding may lead."""


@dataclass(slots=True)
class Value:
    """The lanes of one value: `lanes` as Warp must have them, `shadow` for floats that are not exact."""

    lanes: Lanes
    shadow: Variants | None = None
    moved: tuple[int, ...] = ()
    """The elements that its step variants move, in order; before them comes, in each row, the value unmoved."""
    parts: tuple[Value, ...] = ()
    """The scalars of a composite, which has nothing else."""

    @property
    def variants(self) -> Variants:
        return self.shadow if self.shadow is not None else self.lanes.astype(np.float64)[np.newaxis]


@dataclass(frozen=True, slots=True)
class Event:
    """One write: which elements (positions in the flattened array) got which values from which lanes."""

    stmt: Store | AugStore | Atomic
    where: NDArray[np.intp]
    value: Value
    active: Mask
    part: Part = WHOLE


@dataclass(slots=True)
class Shadowed(Algebra[Value]):
    inputs: Inputs
    noise: Noise
    steps: Steps | None = None
    counters: frozenset[str] = frozenset()
    """Names of thread indices and loop variables."""
    undecided: Mask = field(init=False)
    """Lanes on which Warp may rightly have gone another way."""
    unsmooth: Mask = field(init=False)
    """Lanes on which some step crosses a jump or kink: no gradient to compare with."""
    undefined: Mask = field(init=False)
    """Lanes that did what is undefined behaviour, so that nothing may be concluded from them."""
    scale: NDArray[np.float64] = field(init=False)
    """The largest number met on each lane, whose rounding in float64 is the least that a difference can tell."""
    reads: dict[str, list[tuple[NDArray[np.intp], Mask]]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    turn: int = 0

    def __post_init__(self) -> None:
        lanes = self.inputs.launches * self.inputs.lanes
        self.undecided, self.unsmooth, self.undefined = (np.zeros(lanes, np.bool_) for _ in range(3))
        self.scale = np.zeros(lanes)

    # -- values -------------------------------------------------------------------------------------------------------

    def lift(self, value: Lanes, type: Scalar) -> Value:
        return Value(np.asarray(value, type.dtype))

    def const(self, value: float | int | bool, type: Scalar) -> Value:
        return Value(filled(value, type, self.undecided.size, repr(value)))

    def discrete(self, value: Value) -> Lanes:
        return value.lanes

    def pack(self, parts: Sequence[Value]) -> Value:
        return Value(np.empty(0), parts=tuple(parts))

    def parts(self, value: Value) -> Sequence[Value]:
        return value.parts

    def note_undefined(self, lanes: Mask) -> None:
        self.undefined |= lanes

    def select(self, mask: Mask, new: Value, old: Value) -> Value:
        if new.parts:
            return self.pack([self.select(mask, *both) for both in zip(new.parts, old.parts, strict=True)])
        lanes = np.where(mask, new.lanes, old.lanes)
        if new.shadow is None and old.shadow is None:
            return Value(lanes)
        moved = _together((new, old))
        return Value(lanes, np.where(mask, self._spread_out(new, moved), self._spread_out(old, moved)), moved)

    def read(self, array: str, index: Index, active: Mask, part: Part = WHOLE) -> Value:
        where = flat_index(self.inputs, array, index, active, self.undefined, part)
        self.reads.setdefault(array, []).append((where, active))
        lanes = self.inputs.arrays[array].reshape(-1)[where]
        if self.steps is None or array not in self.steps.slots:
            return Value(lanes)
        moved, sizes = self.steps.met(array, where, active)
        shadow = np.empty((self.noise.variants(moved), lanes.size))
        shadow[:] = lanes
        self.noise.split(shadow)[:, 1:] += np.multiply.outer(self.steps.factors, sizes)
        np.fmax(self.scale, np.abs(shadow[0]), out=self.scale, where=active)
        return Value(lanes, shadow, moved)

    def apply(self, op: Op, args: Sequence[Value], active: Mask, within: Op | None = None) -> Value:
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
        moved = _together(args)
        variants = self._variants(args, moved) if self.steps is None else self._all_used(op, args, moved, within)
        if not certain:
            if self.steps is None:
                self._watch_jumps(op, args, variants, active)
            else:
                flows = op.differentiable and (within is None or within.differentiable)
                self._watch_slope(op, args, variants, active, flows)
        if op.result not in FLOATS:
            return Value(lanes)
        shadow = self._noisy(op, np.asarray(op.meaning(*variants), np.float64), exact, moved)
        if within is not None and not within.exact:  # in another order it may not overflow, or come to NaN
            self.undecided |= active & ~np.isfinite(lanes)
        if self.steps is not None:
            if not lanes.all():
                self.unsmooth |= active & _underflown(lanes, shadow[0])
            np.fmax(self.scale, np.abs(shadow[0]), out=self.scale, where=active)
            if not op.exact:
                self._passed_back(op, shadow, variants)
                self._slope_apart(op, shadow, self.steps)
            return Value(lanes, shadow, moved) if op.differentiable else Value(lanes, self._unmoved(shadow))
        if not certain:
            self.undecided |= active & _may_overflow(lanes, shadow)
        if rounds_inside(op):
            rounded = op.meaning(*(v.astype(op.result.dtype) if v.dtype.kind == "f" else v for v in variants))
            shadow[1:] = rounded[1:]
        return Value(lanes, shadow)

    def _spread_out(self, value: Value, moved: tuple[int, ...]) -> Variants:
        """The variants of a value for these elements, its own among them; a single one where all are the same."""
        if value.shadow is None or value.moved == moved:
            return value.variants
        result = np.empty((self.noise.variants(moved), value.lanes.size))
        result[0] = value.shadow[0]
        mine = places(value.moved, moved)  # the mode only says that no place has to be looked at: all are there
        self.noise.split(value.shadow).take(mine, axis=1, out=self.noise.split(result), mode="clip")
        return result

    def _unmoved(self, shadow: Variants) -> Variants:
        """The noise stays, the step goes."""
        result = np.empty((self.noise.variants(()), shadow.shape[1]))
        result[:3] = shadow[0]
        self.noise.blocks(result)[:] = self.noise.blocks(shadow)[:, :1, :1]
        return result

    def _noisy(self, op: Op, shadow: Variants, exact: bool, moved: Sequence[int]) -> Variants:
        """The variants with what rounding the result may do to each."""
        if shadow.shape[0] == 1:
            shadow = np.repeat(shadow, self.noise.variants(moved), axis=0)
        blocks, errors = self.noise.blocks(shadow), self._errors(_float(op))
        blocks *= errors.exact if exact else errors.inexact
        if self.steps is not None and op.result is F64 and not op.exact:
            blocks += errors.unit  # not all library functions are accurate near their zeros
        return shadow

    def _variants(self, args: Sequence[Value], moved: tuple[int, ...]) -> list[Lanes]:
        """Those of the arguments, of which numbers that aren't floats have none."""
        return [self._spread_out(arg, moved) if arg.lanes.dtype.kind == "f" else arg.lanes[np.newaxis] for arg in args]

    def _all_used(self, op: Op, args: Sequence[Value], moved: tuple[int, ...], within: Op | None) -> list[Lanes]:
        """The arguments as this use sees them; several exact ones, too, whose difference an adjoint may need."""
        if op.name in HANDED_ON and sum(len(arg.moved) for arg in args) == len(moved):
            return self._variants(args, moved)
        exact = [arg.shadow is None for arg in args]
        several = not all(exact) and sum(k and a.lanes.dtype.kind == "f" for k, a in zip(exact, args, strict=True)) > 1
        type = _passing_back(op, within)
        seen = [
            arg if k and not (several and arg.lanes.dtype.kind == "f") else self._used(arg, type)
            for k, arg in zip(exact, args, strict=True)
        ]
        return self._variants(seen, moved)

    def _used(self, value: Value, type: Scalar) -> Value:
        """An argument as one use of it sees it, in the noisy steps: what is passed back to it is rounded.

        The operation is asked near the argument, too: adjoints such as 1 / sqrt(1 − x²) or b·c − a·c round inside.
        `type` is the one in which the adjoint computes.
        """
        variants, errors = value.variants, self._errors(type)
        used = np.empty((self.noise.variants(value.moved), variants.shape[1]))
        quiet = self.noise.quiet(used)
        used[:quiet] = variants[:quiet]
        given = self.noise.blocks(variants) if len(variants) > 1 else variants[0]
        blocks = self.noise.blocks(used)
        np.multiply(given, errors.used, out=blocks)
        blocks -= variants[0] * errors.kept
        return Value(value.lanes, used, value.moved)

    def _passed_back(self, op: Op, shadow: Variants, variants: Sequence[Lanes]) -> None:
        """Adjoints computed from a rounded result, such as 1 − tanh², err by the result's rounding."""
        blocks = self.noise.blocks(shadow)
        for used in variants:
            if used.dtype.kind == "f" and used.shape[0] > 1:
                change = self.noise.blocks(used) / np.where(used[0] == 0, 1, used[0]) - 1
                change *= LIBRARY[_float(op)] * self._errors(_float(op)).unit
                blocks += blocks * change

    def _slope_apart(self, op: Op, shadow: Variants, steps: Steps) -> None:
        """An adjoint has a formula of its own: its slope errs as slopes nearby differ, whatever the value does.

        In acos(x) · acos(x) near 1, values and slopes that err together would cancel; those of Warp don't.
        """
        blocks, (up, down) = self.noise.blocks(shadow), self.noise.split(shadow)[:2]
        quiet = up - down
        factors = np.array(steps.factors[2::2])[:, np.newaxis, np.newaxis]
        away = (blocks[:, 0] - blocks[:, 1] - factors * quiet) * (self._errors(_float(op)).sign[:, 0] / 2)
        blocks[:, 0] += away
        blocks[:, 1] -= away

    def _errors(self, type: Scalar) -> Errors:
        self.turn += 5  # of the pool's draws one turn uses four
        return self.noise.errors(self.turn, type)

    def _watch_jumps(self, op: Op, args: Sequence[Value], variants: Sequence[Lanes], active: Mask) -> None:
        """Notes the lanes on which rounding may carry the arguments across a jump."""
        if op.jump is None:
            return
        pieces = op.jump(*(arg.lanes for arg in args))
        for side in (MARGIN, -MARGIN):
            blurred = [_blurred(arg, v, side) for arg, v in zip(args, variants, strict=True)]
            self.undecided |= active & _differ(op.jump(*blurred), pieces)

    def _watch_slope(self, op: Op, args: Sequence[Value], variants: Sequence[Lanes], active: Mask, flows: bool) -> None:
        """Notes the lanes on which a step crosses a jump or a kink, or where the slope may be infinite.

        Where no gradient flows, steps don't matter.
        """
        if op.result is F16 and (op.domain is not None or not op.exact):
            given = [arg.lanes for arg in args]
            for lanes in (*given, np.asarray(op.meaning(*given))):
                self.unsmooth |= active & _out_of_square(lanes, fourth=len(op.params) > 2)
        if op.jump is None and op.kink is None and op.domain is None:
            return
        if op.jump is not None:
            moved = variants if flows else [v[:1] for v in variants]
            self.unsmooth |= active & _differ(op.jump(*moved), op.jump(*(arg.lanes for arg in args)))
        if not flows:
            return
        if op.kink is not None:
            pieces = op.kink(*variants)
            self.unsmooth |= active & _differ(pieces, pieces[:1])
        away = [_apart(v) * (-1) ** k if v.dtype.kind == "f" else None for k, v in enumerate(variants)]
        for side in (1, -1):
            near = [v[:1] if w is None else v[:1] + side * w for v, w in zip(variants, away, strict=True)]
            if op.kink is not None:
                self.unsmooth |= active & _differ(op.kink(*near), pieces[:1])
            if op.domain is not None and op.result in FLOATS:
                self.unsmooth |= active & ~op.domain(*near)[0]

    # -- writes -------------------------------------------------------------------------------------------------------

    def write(
        self, stmt: Store | AugStore | Atomic, index: Index, value: Value, active: Mask, part: Part = WHOLE
    ) -> None:
        where = flat_index(self.inputs, stmt.array, index, active, self.undefined, part)
        self.events.append(Event(stmt, where, value, active.copy(), part))


def _together(values: Sequence[Value]) -> tuple[int, ...]:
    """The elements that some of the values hang on."""
    first = next((value.moved for value in values if value.moved), ())
    if all(not value.moved or value.moved == first for value in values):
        return first
    return tuple(sorted({k for value in values for k in value.moved}))


def _blurred(value: Value, variants: Lanes, margin: float) -> Lanes:
    """The variants, moved away from the value by a multiple of how far they lie from it, in the value's precision."""
    if value.shadow is None:
        return value.lanes[np.newaxis]
    center = value.lanes.astype(np.float64)
    return np.asarray(center + (variants - center) * margin).astype(value.lanes.dtype)


def _apart(variants: Lanes) -> Lanes:
    """How far from variant 0 is near: more than rounding may move it, and at least what counts as near an edge."""
    center = variants[0]
    farthest = np.maximum(variants.max(axis=0) - center, center - variants.min(axis=0))
    away = MARGIN * farthest + EDGE * (np.abs(center) + EDGE)
    return np.asarray(np.where(np.isfinite(away), away, 0.0))


def _out_of_square(lanes: Lanes, fourth: bool) -> Mask:
    """Where the square of a half is none that can be told: adjoints such as 1 / x² are done in halves.

    That of smoothstep divides by the fourth power of a difference.
    """
    size: Lanes = np.abs(lanes)
    least, most = (SMALL_HALF**0.5, LARGE_HALF**0.5 / 2) if fourth else (SMALL_HALF, LARGE_HALF)
    return np.asarray((size != 0) & ~((size >= least) & (size <= most)))


def _underflown(lanes: Lanes, precise: Lanes) -> Mask:
    """Zeros that aren't in more precision: slopes are infinite at zero that are not beside it, as that of `cbrt`."""
    return np.asarray((lanes == 0) & (precise != 0) & (np.abs(precise) < np.finfo(lanes.dtype).tiny), np.bool_)


def _may_overflow(lanes: Lanes, shadow: Variants) -> Mask:
    """Finite lanes that rounding may carry beyond the largest number of their type."""
    most = np.finfo(lanes.dtype).max
    near: Mask = np.asarray(np.isfinite(lanes) & (np.abs(lanes) > most / 1024), np.bool_)
    if not near.any():
        return near
    away = MARGIN * np.abs(shadow - lanes.astype(np.float64)).max(axis=0)
    return np.asarray(near & ~(np.abs(lanes.astype(np.float64)) + away <= float(most)), np.bool_)


def _differ(pieces: Lanes, from_these: Lanes) -> Mask:
    """Lanes on which some variant lies in another piece; NaN is a piece of its own."""
    other = pieces != from_these
    if pieces.dtype.kind == "f":
        other &= ~(np.isnan(pieces) & np.isnan(from_these))
    return np.asarray(other.any(axis=0) if other.ndim > 1 else other, np.bool_)


@cache
def rounds_inside(op: Op) -> bool:
    """Whether an exact row rounds more than its result, as a·(1 − t) + b·t does, which may cancel; not of float64."""
    if not op.exact or op.result not in (F32, F16) or any(param not in FLOATS for param in op.params):
        return False
    dtype = op.result.dtype
    points = np.random.Generator(np.random.PCG64(0)).uniform(0.1, 2.0, (len(op.params), 256)).astype(dtype)
    with np.errstate(all="ignore"):
        return bool((op.meaning(*points) != op.meaning(*points.astype(np.float64)).astype(dtype)).any())


def _float(op: Op) -> Scalar:
    """The type of the result, or that of which errors are taken where it is no float."""
    return op.result if isinstance(op.result, Scalar) and op.result in FLOATS else F32


def _passing_back(op: Op, within: Op | None) -> Scalar:
    """The type in which the adjoint computes: of composites their own, even where values are computed in float64.

    What it passes back to an argument of a narrower type than the result, as casts do, is rounded to that.
    """
    if F16 in op.params:
        return F16
    narrow = F32 in op.params or (within is not None and within.result.scalar is F32)
    return F32 if narrow else _float(op)


def run_shadowed(
    kernel: Kernel, inputs: Inputs, noise: Noise, steps: Steps | None = None, kind: type[Shadowed] = Shadowed
) -> Shadowed:
    """Runs the kernel over values with shadows. Raises EndlessLoopError."""
    algebra = kind(inputs, noise, steps, counters_of(kernel))
    with np.errstate(all="ignore"):
        Interpreter(algebra, inputs).run(kernel)
    return algebra


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
    FOLDS[kind].at(result.lanes, where, values)
    if kind in BITWISE:
        return
    if kind in (AtomicKind.MIN, AtomicKind.MAX):
        np.maximum.at(result.tolerance, where, spread)
        if values.dtype.kind == "f":
            np.maximum.at(result.tolerance, where, SIGN_OF_ZERO)
        return
    np.add.at(result.tolerance, where, spread)
    if values.dtype.kind == "f":
        rounded = np.spacing(np.abs(result.lanes[where])).astype(np.float64)
        np.add.at(result.tolerance, where, np.where(spread > 0, rounded, 0.0))
        shared = several or np.unique(where).size < where.size
        if shared:
            np.add.at(result.tolerance, where, np.abs(values.astype(np.float64)) * (8 * np.finfo(values.dtype).eps))


def _spread(value: Value) -> NDArray[np.float64]:
    """How far from `lanes` Warp may rightly be: 0 for exact values; infinite where precision can't tell."""
    if value.shadow is None:
        return np.zeros(value.lanes.shape)
    center = value.lanes.astype(np.float64)
    away = np.abs(value.shadow - center).max(axis=0)
    finite = np.isfinite(center) & np.isfinite(away)
    ulp = np.spacing(np.abs(np.where(finite, value.lanes, 0))).astype(np.float64)
    spread = MARGIN * away + 4 * ulp
    share, least = (TELLING_HALF, NEGLIGIBLE_HALF) if value.lanes.dtype == np.float16 else (TELLING, NEGLIGIBLE)
    spread = np.where(finite & (spread <= share * np.abs(center) + least), spread, np.inf)
    settled = ~np.isfinite(center) & _same_kind(value.shadow, center)
    return np.where(settled, 0.0, spread)


def _same_kind(shadow: Variants, center: Lanes) -> Mask:
    """Lanes on which every variant is the same infinity, or NaN, as the value itself."""
    same = (shadow == center) | (np.isnan(shadow) & np.isnan(center))
    return np.asarray(same.all(axis=0), np.bool_)
