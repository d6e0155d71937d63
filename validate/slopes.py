"""The slopes of the rows that stand on a tape: by how much a result moves with each argument.

The key insight: a slope doesn't hang on what becomes of the result, so all that one row was applied to is asked in one
go, lanes beside lanes, by central differences of what the row means. Beside each slope stand noisy ones, as an adjoint
that rounds may have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from grammar.floats import FLOATING, precision
from grammar.layout import Mask
from grammar.op import Lanes, Op
from grammar.types import F16, F32, FLOATS, HALVES, Scalar
from validate.tape import Applied, Value
from validate.variants import EPSILON, LIBRARY, MARGIN, ROUNDED, Draws, Variants, differ, float_of

STEP, LEAST = 2.0**-20, 2.0**-6
"""How far an argument is moved, of its own size, which counts as no smaller than the latter."""

FACTORS = (2.0, 3.0)
"""Steps of noisy slopes in turn, in units of the others: so they also tell how the slope changes. Of two lengths, so
that no period fits both."""

CURVED = 2.0**-12
"""A slope that changes by this share within a step is asked for again, with one as small as the argument is."""

DIGITS, LEAST_NUMBER = 2.0**-51, 2.0**-1074
"""Of the numbers that take part, what a difference may lose; of the smallest, it is all of a float64."""

EDGE = 2.0**-20
"""This near to the edge of a domain the slope may be infinite, as that of a square root at 0."""

SMALL_HALF, LARGE_HALF = 2.0**-6, 2.0**7
"""Between these the square of a float16 has all its bits, and some of its range is left."""

HANDED_ON: Mapping[str, tuple[float, ...]] = {"add": (1.0, 1.0), "sub": (1.0, -1.0), "neg": (-1.0,)}
"""Slopes of the rows whose adjoint hands on what comes back to it as it is, or its negative: it isn't rounded."""

TOGETHER = 48
"""Entries that are asked in one go: of more, the numbers don't stay in the processor's cache."""

Slopes = Sequence[tuple[Value, Variants | float]]
"""Of one entry of a tape: the arguments that a gradient comes back to, and by what it is multiplied, in the shape
(1 + patterns, lanes)."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What entries that are asked in one go have in common."""

    op: Op
    type: Scalar
    """In which the adjoint computes."""
    flows: tuple[bool, ...]
    noisy: tuple[bool, ...]
    """Which arguments the adjoint may have rounded."""
    is_step: bool
    """Whether it is a step of a composite row, whose adjoint is a formula of its own."""


def slopes_of(entries: Sequence[Applied], draws: Draws, uncertain: Mask) -> Mapping[Applied, Slopes]:
    """The slopes on as many leading lanes as there may be uncertain ones, among which go those where some row has none.

    Whether anything comes back there is not asked: an adjoint multiplies nothing by infinity just as well.
    """
    result: dict[Applied, Slopes] = {}
    kinds: dict[_Kind, list[Applied]] = {}
    for entry in entries:
        factors = HANDED_ON.get(entry.op.name)
        if factors is not None:
            result[entry] = [(arg, k) for arg, k in zip(entry.args, factors, strict=True) if arg.flows]
        else:
            kinds.setdefault(_kind(entry), []).append(entry)
    seen = _steps_as_seen(entries, uncertain.size, draws)
    for kind, alike in kinds.items():
        for first in range(0, len(alike), TOGETHER):
            some = alike[first : first + TOGETHER]
            result.update(zip(some, _asked(kind, some, seen, draws, uncertain), strict=True))
    return result


def _kind(entry: Applied) -> _Kind:
    """Of exact arguments that no gradient comes back to several may differ by little, which an adjoint then rounds."""
    flows = tuple(arg.flows for arg in entry.args)
    given = [arg.is_float and arg.shadow is None and not arg.flows for arg in entry.args]
    noisy = tuple(arg.is_float and (not k or sum(given) > 1) for arg, k in zip(entry.args, given, strict=True))
    return _Kind(entry.op, _passing_back(entry.op, entry.within), flows, noisy, entry.within is not None)


def _passing_back(op: Op, within: Op | None) -> Scalar:
    """The type in which the adjoint computes: of composites their own, even where values are computed in float64.

    What it passes back to an argument of a narrower type than the result, as casts do, is rounded to that.
    """
    half = next((type for type in HALVES if type in op.params), None)
    if half is not None:
        return half
    narrow = F32 in op.params or (within is not None and within.result.scalar is F32)
    return F32 if narrow else float_of(op)


def _steps_as_seen(entries: Sequence[Applied], lanes: int, draws: Draws) -> Mapping[Value, Variants]:
    """What exact steps of composite rows come to, had they been rounded otherwise.

    The adjoint of a composite is a formula of its own, such as that of an inverse: it doesn't see these very steps.
    """
    made = {e.result: e.within for e in entries if e.within is not None and e.result.shadow is None}
    inner = {arg for e in entries if e.within is not None for arg in e.args if made.get(arg) is e.within}
    seen: dict[Value, Variants] = {}
    for entry in entries:
        if entry.result in inner:
            args = [_variants(arg, lanes, seen) for arg in entry.args]
            found = np.asarray(entry.op.meaning(*args), np.float64)
            seen[entry.result] = draws.disturbed(found, EPSILON[float_of(entry.op)])
    return seen


def _variants(value: Value, lanes: int, seen: Mapping[Value, Variants]) -> Lanes:
    if not value.is_float:
        return value.lanes[np.newaxis, :lanes]
    return seen[value] if value in seen else value.variants[:, :lanes]


def _asked(
    kind: _Kind, entries: Sequence[Applied], seen: Mapping[Value, Variants], draws: Draws, uncertain: Mask
) -> Iterator[Slopes]:
    op, count, lanes = kind.op, len(entries), uncertain.size
    given = [_side_by_side(each, lanes, seen) for each in zip(*(entry.args for entry in entries), strict=True)]
    base = [one[0] for one in given]
    # as adjoints such as 1 / sqrt(1 − x²) or b·c − a·c see them, which round inside
    args = [draws.disturbed(one, EPSILON[kind.type]) if k else one for one, k in zip(given, kind.noisy, strict=True)]
    value = np.asarray(op.meaning(*base), np.float64)
    asked = [place for place, flows in enumerate(kind.flows) if flows]
    found = [_slope(kind, args, place, value, draws) for place in asked]
    doubtful = _doubtful(kind, args, value)
    for slope in found:
        unknown = ~np.isfinite(slope)
        if unknown.any():
            doubtful |= unknown.any(axis=0)
            slope[unknown] = 0.0
    if doubtful.any():
        for entry, mask in zip(entries, doubtful.reshape(count, lanes), strict=True):
            uncertain |= mask & entry.active[:lanes]
    each = [slope.reshape(-1, count, lanes) for slope in found]
    for k, entry in enumerate(entries):
        yield [(entry.args[place], one[:, k]) for place, one in zip(asked, each, strict=True)]


def _side_by_side(values: Sequence[Value], lanes: int, seen: Mapping[Value, Variants]) -> Lanes:
    """Shape (1 + patterns, lanes of all), or (1, lanes of all) where none of them has a shadow.

    The slopes that don't err are those at the values in their own precision, where those in more may lie far off.
    """
    variants = [_variants(value, lanes, seen) for value in values]
    result = np.empty((max(map(len, variants)), len(values), lanes), variants[0].dtype)
    for k, one in enumerate(variants):
        result[:, k] = one
        result[0, k] = values[k].lanes[:lanes]
    return result.reshape(len(result), -1)


# -- differences ------------------------------------------------------------------------------------------------------


def _slope(kind: _Kind, args: Sequence[Lanes], place: int, value: Variants, draws: Draws) -> Variants:
    """By how much the value moves with the argument at that place; shape (1 + patterns, lanes)."""
    size = np.abs(args[place][0])
    step = STEP * (size + LEAST)
    slope, ends = _quotient(kind.op, args, place, step)
    straight = np.abs(ends[0, 0] + ends[1, 0] - 2 * value) <= CURVED * np.abs(ends[0, 0] - ends[1, 0])
    if not straight.all():
        _ask_again(kind.op, args, place, value, slope, step, np.flatnonzero(~straight & (size > 0) & (size < LEAST)))
    numbers = np.abs(value) + np.abs(args[place][0] * slope[0])
    lost = (DIGITS * numbers + LEAST_NUMBER) / step
    factor = EPSILON[kind.type] * (2 + (ROUNDED if kind.op.exact else LIBRARY[kind.type]))
    if not kind.op.exact:  # adjoints computed from a rounded result, such as 1 − tanh², err by that
        lost += LIBRARY[kind.type] * EPSILON[kind.type] * np.abs(value) / np.maximum(size, 1.0)
    noisy = slope[1:]
    noisy *= 1 + factor * draws(value.size)
    noisy += lost * draws(value.size)
    slope[:, _unused(kind.op, args, place)] = 0.0
    return slope


def _unused(op: Op, args: Sequence[Lanes], place: int) -> Mask:
    """Where the argument is no number, or infinite, and the value the same whatever it is, as that of `where`."""
    odd: Mask = ~np.isfinite(args[place][0])
    if odd.any():
        others = [np.full_like(arg, np.nan) if k == place else arg for k, arg in enumerate(args)]
        odd &= (op.meaning(*args) == op.meaning(*others)).all(axis=0)
    return odd


def _quotient(op: Op, args: Sequence[Lanes], place: int, step: Variants) -> tuple[Variants, Variants]:
    """The difference quotient of each variant, and the values above and below: shape (2, 1 + patterns, lanes)."""
    center = args[place]
    ends = np.empty((2, *center.shape))
    np.multiply.outer(_factors(len(center)), step, out=ends[0])
    np.subtract(center, ends[0], out=ends[1])
    ends[0] += center
    width = ends[0] - ends[1]
    values = np.asarray(op.meaning(*(ends if k == place else arg for k, arg in enumerate(args))), np.float64)
    return np.asarray((values[0] - values[1]) / width), values


def _factors(variants: int) -> NDArray[np.float64]:
    return np.array([1.0, *(FACTORS[k % len(FACTORS)] for k in range(variants - 1))])


def _ask_again(
    op: Op, args: Sequence[Lanes], place: int, value: Variants, slope: Variants, step: Variants, lanes: NDArray[np.intp]
) -> None:
    """With steps of the size of small arguments, near which a slope may change, where that tells more."""
    some = [arg[:, lanes] for arg in args]
    shorter = STEP * np.abs(some[place][0])
    finer, _ = _quotient(op, some, place, shorter)
    lost = 4 * DIGITS * np.abs(value[lanes]) / shorter
    better = ~(np.abs(finer[0] - slope[0, lanes]) <= lost)
    slope[:, lanes[better]] = finer[:, better]
    step[lanes[better]] = shorter[better]


# -- where there is none ----------------------------------------------------------------------------------------------


def _doubtful(kind: _Kind, args: Sequence[Lanes], value: Variants) -> Mask:
    """Lanes near a jump or a kink, where the slope may be infinite, or where a number has lost its bits."""
    op = kind.op
    doubtful: Mask = (value != 0) & (np.abs(value) < precision(float_of(op).dtype).smallest_subnormal)
    if op.result is F16 and (op.domain is not None or not op.exact):
        for one in (*(arg[0] for arg in args), value):
            doubtful |= _out_of_square(one, fourth=len(op.params) > 2)
    if kind.is_step and op.domain is not None:
        doubtful |= _out_of_cube(value, kind.type)
    seams = [seam for seam in (op.jump, op.kink) if seam is not None]
    if not seams and op.domain is None:
        return doubtful
    away = [_apart(arg) if arg.dtype.kind in FLOATING else 0 for arg in args]
    near = [[arg[:1] + side * far for arg, far, side in zip(args, away, way, strict=True)] for way in _ways(len(args))]
    for seam in seams:
        piece = seam(*(arg[:1] for arg in args))
        for there in (args, *near):
            doubtful |= differ(seam(*there), piece)
    if op.domain is not None and op.result in FLOATS:
        for there in near:
            doubtful |= ~op.domain(*there)[0]
    return doubtful


@cache
def _ways(count: int) -> tuple[tuple[int, ...], ...]:
    """Up or down for each of so many arguments, such that of any two each goes up once while the other goes down."""
    bits = range(max(1, (count - 1).bit_length()))
    ways = [tuple((-1) ** (k >> bit & 1) for k in range(count)) for bit in bits]
    return tuple(tuple(side * up for up in way) for way in ways for side in (1, -1))


def _apart(variants: Variants) -> Variants:
    """How far from variant 0 is near: more than rounding or a step moves it, and at least what is near an edge."""
    center = variants[0]
    farthest = np.abs(variants - center).max(axis=0) + max(FACTORS) * STEP * np.abs(center)
    away = MARGIN * farthest + EDGE * (np.abs(center) + EDGE)
    return np.asarray(np.where(np.isfinite(away), away, 0.0))


def _out_of_square(lanes: Lanes, fourth: bool) -> Mask:
    """Where the square of a half is none that can be told: adjoints such as 1 / x² are done in halves.

    That of smoothstep divides by the fourth power of a difference.
    """
    size: Lanes = np.abs(lanes)
    least, most = (SMALL_HALF**0.5, LARGE_HALF**0.5 / 2) if fourth else (SMALL_HALF, LARGE_HALF)
    return np.asarray((size != 0) & ~((size >= least) & (size <= most)))


def _out_of_cube(lanes: Lanes, type: Scalar) -> Mask:
    """Where the cube of a number, or of its inverse, is none that can be told: adjoints divide by that of a length."""
    least = precision(type.dtype).tiny ** (1 / 3)
    size: Lanes = np.abs(lanes)
    return np.asarray((size != 0) & ~((size >= 2 * least) & (size <= 0.5 / least)))
