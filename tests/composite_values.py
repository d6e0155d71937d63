"""Arguments on which the composite rows of the table are tried, and mistakes that somebody might make in one.

The key insight: a matrix has too many places for all combinations of special values. So in some lanes every scalar is
special, each place another turn of the same list; in others one place alone is, so that what it does isn't drowned by
the NaN of its neighbours; and the rest is ordinary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grammar.floats import precision
from grammar.number import Calculus, composed_each, is_defined
from grammar.op import Lanes, Op
from grammar.types import BOOL, F32, F64, FLOATS, I32, INTEGERS, Composite, Element, Scalar

TURNS = 8
"""How far, at most, neighbouring places are from each other in the list of special values."""
ORDINARY = 192
ALIKE = 16
"""Ordinary lanes in which all arguments of the type of the first are the same."""

FROM_0_ON = "pnoise"
"""Is not defined where any of its arguments is negative."""
INDEXED = ("extract", "tile_extract")
ROOTS = ("tile_cholesky", "tile_cholesky_inplace")
"""Rows that take roots of a diagonal."""

Mistake = Callable[..., Any]


INTEGER_SPECIALS = (0, 1, -1, 2, -2, 3, 7, 8, 15, 16, 31, 32, 33, 100, -100)


def special_values(type: Scalar, exact: bool = True) -> Lanes:
    """Of each type a prime number, so that each turn of the list brings other neighbours together.

    For what isn't exact in float64, no number of which a product overflows: whether that of a fused operation does,
    nothing wider can tell.
    """
    if type in INTEGERS:
        bounds = np.iinfo(type.name)
        values = (*INTEGER_SPECIALS, bounds.max, bounds.min, bounds.max - 1, bounds.min + 1)
        return np.array([value % 2**64 for value in values], np.uint64).astype(type.dtype)
    info = precision(type.dtype)
    most = float(info.max) ** (0.3 if type is F64 and not exact else 1.0)
    sizes = (0.0, 0.5, 1.0, 1.5, 3.0, 1e4, most, float(info.smallest_subnormal), np.inf)
    return np.array([np.nan, *sizes, *(-size for size in sizes)], type.dtype)


def lanes_of(value: Lanes) -> Lanes:
    """With the scalars of a composite on the first axis, as rows take them."""
    return value.T if value.ndim > 1 else value


def arguments(op: Op, exact: bool) -> tuple[Lanes, ...]:
    """Special and ordinary arguments; each of shape (lanes,) or, of a composite, (lanes, scalars)."""
    rng = np.random.Generator(np.random.PCG64(sum(type.width for type in op.params)))
    width = sum(type.width for type in op.params if type is not BOOL)
    count = len(special_values(F32))
    turns = [(turn, lane) for turn in range(TURNS) for lane in range(count)]
    turned = [[(lane + place * turn) % count for place in range(width)] for turn, lane in turns]
    single = [[lane if place == k else -1 for place in range(width)] for k in range(width) for lane in range(count)]
    args = _drawn(op, rng, np.array([*turned, *single, *[[-1] * width] * ORDINARY], np.intp), exact)
    for arg, type in zip(args, op.params, strict=True):
        if type is op.params[0]:
            arg[-ALIKE:] = args[0][-ALIKE:]
    return tuple(map(np.abs, args)) if op.name == FROM_0_ON else args


def regular_arguments(op: Op, lanes: int) -> tuple[Lanes, ...]:
    """Ordinary values: floats of magnitude 1/16 to 8, small integers; roots of all scalars of a tile have no others."""
    width = sum(type.width for type in op.params if type is not BOOL)
    rng = np.random.Generator(np.random.PCG64(7))
    drawn = _drawn(op, rng, np.full((lanes, width), -1, np.intp), True)
    if op.name in ROOTS:
        return (drawn[0] + 64 * np.eye(int(op.params[0].width ** 0.5), dtype=drawn[0].dtype).reshape(-1),)
    return tuple(map(np.abs, drawn)) if is_partial(op) else drawn


def is_partial(op: Op) -> bool:
    """Whether it does to each scalar of a tile what isn't defined on negative ones, or takes roots of a diagonal."""
    if op.name != "tile_map":
        return op.name in (*ROOTS, FROM_0_ON)
    return not is_defined(op, [np.full((type.width, 1), -0.5) for type in op.params])


def _drawn(op: Op, rng: np.random.Generator, chosen: Lanes, exact: bool) -> tuple[Lanes, ...]:
    """Random values, but for the scalars for which the number of a special value is chosen."""
    first, args = 0, []
    for type in op.params:
        shape = (len(chosen), type.width) if isinstance(type, Composite) else (len(chosen),)
        if op.name in INDEXED and type is I32:
            whole = op.params[0]
            assert isinstance(whole, Composite)
            values = rng.integers(-1, 1 + max(whole.shape), shape).astype(type.dtype)  # mostly inside
        else:
            values = _random(type, rng, shape)
        if type is not BOOL:
            which = chosen[:, first : first + type.width].reshape(shape)
            values = np.where(which < 0, values, special_values(type.scalar, exact)[np.maximum(which, 0)])
            first += type.width
        args.append(values)
    return tuple(args)


def _random(type: Element, rng: np.random.Generator, shape: tuple[int, ...]) -> Lanes:
    if type.scalar in FLOATS:
        size = rng.uniform(0.5, 1.0, shape) * 2.0 ** rng.integers(-3, 4, shape)
        return np.where(rng.integers(0, 2, shape) == 1, size, -size).astype(type.dtype)
    if type.scalar is BOOL:
        return np.asarray(rng.integers(0, 2, shape) == 1)
    return rng.integers(-4 if type.scalar.dtype.kind == "i" else 0, 8, shape).astype(type.dtype)


def watched(op: Op, args: Sequence[Lanes]) -> tuple[Lanes, bool]:
    """The lanes on which no scalar row with an integer result leaves its domain; whether all it calls are exact."""
    lanes = len(args[0]) if args else 1
    inside, exact = np.ones(lanes, np.bool_), True

    def apply(row: Op, values: Sequence[Lanes]) -> Lanes:
        nonlocal exact
        exact &= row.exact
        if row.domain is not None and row.result not in FLOATS:
            np.logical_and(inside, row.domain(*values), out=inside)
        return row(*values)

    calculus = Calculus(apply, lambda value, type: np.full(lanes, value, type.dtype))
    composed_each(op, [tuple(lanes_of(arg)) if arg.ndim > 1 else arg for arg in args], calculus)
    return inside, exact


def reachable(op: Op, args: tuple[Lanes, ...]) -> tuple[Lanes, ...]:
    """Without the lanes on which C++ leaves the behaviour undefined."""
    inside, _ = watched(op, args)
    return tuple(np.ascontiguousarray(arg[inside]) for arg in args)


# -- mistakes ---------------------------------------------------------------------------------------------------------


def mistakes(op: Op) -> Iterator[tuple[str, Op]]:
    """The row with a mistake in its result or in what it makes of its arguments; some of them make no difference."""
    for name, change in CHANGES.items():
        yield f"result {name}", replace(op, meaning=_afterwards(op, change))
        for k, type in enumerate(op.params):
            if isinstance(type, Composite):
                yield f"argument {k} {name}", replace(op, meaning=before(op, k, change))
    for k in range(1, len(op.params)):
        if op.params[k] is op.params[k - 1]:
            yield f"arguments {k - 1} and {k} in the other order", replace(op, meaning=_exchanged(op, k))


def _negated(parts: list[Any]) -> None:
    parts[-1] = _opposite(parts[-1])


def _opposite(part: Any) -> Any:
    if isinstance(part, int | float):
        return -part
    return part.calculus.call("logical_not" if part.type is BOOL else "neg", part)


def _dropped(parts: list[Any]) -> None:
    parts[0] = 0 if isinstance(parts[0], int | float) else parts[0].calculus.number(0, parts[0].type)


def _swapped(parts: list[Any]) -> None:
    parts[0], parts[-1] = parts[-1], parts[0]


def _shifted(parts: list[Any]) -> None:
    parts.append(parts.pop(0))


def _off_by_one(parts: list[Any]) -> None:
    is_number = isinstance(parts[-1], int | float) or parts[-1].type is not BOOL
    parts[-1] = parts[-1] + 1 if is_number else _opposite(parts[-1])


CHANGES: dict[str, Callable[[list[Any]], None]] = {
    "negated": _negated,
    "dropped": _dropped,
    "swapped": _swapped,
    "shifted": _shifted,
    "off by one": _off_by_one,
}


def changed(value: Any, change: Callable[[list[Any]], None]) -> Any:
    is_single = not isinstance(value, tuple | list)
    parts = [value] if is_single else list(value)
    change(parts)
    return parts[0] if is_single else tuple(parts)


def _afterwards(op: Op, change: Callable[[list[Any]], None]) -> Mistake:
    return lambda *args: changed(op.meaning(*args), change)


def before(op: Op, k: int, change: Callable[[list[Any]], None]) -> Mistake:
    return lambda *args: op.meaning(*args[:k], changed(args[k], change), *args[k + 1 :])


def _exchanged(op: Op, k: int) -> Mistake:
    return lambda *args: op.meaning(*args[: k - 1], args[k], args[k - 1], *args[k + 1 :])


# -- derivatives ------------------------------------------------------------------------------------------------------

STEP = 1e-6
"""Of the differences, as a share of the scalar that is moved."""


def told_slopes(
    total: Callable[[Lanes], Lanes],
    points: Lanes,
    steps: tuple[float, float] = (STEP, 64 * STEP),
    agreement: float = 1e-4,
) -> tuple[Lanes, Lanes]:
    """The derivatives of a sum by each scalar, (points, scalars), and where two steps agree on what they are."""

    def moved(place: int, share: float) -> Lanes:
        there = points.copy()
        there[:, place] *= 1 + share
        return total(there)

    columns = []
    for place in range(points.shape[1]):
        near, far = ((moved(place, h) - moved(place, -h)) / (2 * h * points[:, place]) for h in steps)
        columns.append((near, np.isclose(near, far, rtol=agreement, atol=1e-6)))
    slope, smooth = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    return slope, smooth & np.isfinite(slope)


def share_off(gradient: Lanes, slope: Lanes, smooth: Lanes) -> float:
    """Of the scalars, those whose gradient is not the slope, where that can be told."""
    size = np.abs(slope).reshape(len(slope), -1).max(axis=1).reshape(-1, *(1,) * (slope.ndim - 1))
    return float((smooth & ~(np.abs(gradient - slope) <= 2e-3 * (size + 1e-3))).mean())
