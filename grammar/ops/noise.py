"""Perlin's noise: smooth fields over a lattice, periodic ones, and the curl of several.

The key insight: what is random about it is a gradient at each point of the lattice, which hangs on whole numbers alone
and is known bit by bit; between the points it is polynomials, written in the order of `noise.h`, so that values and
derivatives of any order follow.

The noise is Perlin's of 2002, "Improving Noise", with random gradients; its curl is that of Bridson et al. (2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from itertools import product

import numpy as np

from grammar.number import Number, Numbers, call
from grammar.op import Call, Lanes, Op
from grammar.ops import parts
from grammar.ops.random import STEP, stepped, uniform
from grammar.types import F32, I32, U32, VECTORS, Composite

_row = partial(Op, exact=True, group="random", weight=0.0)

PRIMES = (73856093, 19349663, 53471161, 10000019)
OTHERS = (10019689, 13112221)
"""By which the state moves on between the fields of which a curl is made."""


# -- the lattice ------------------------------------------------------------------------------------------------------


def _gradients(state: Lanes, *place: Lanes) -> list[Lanes]:
    """At a point of the lattice: random ones in the cube around 0, made as long as 1; in one dimension, as they are."""
    with np.errstate(over="ignore"):
        *others, last = (k.astype(np.uint32) * np.uint32(p) for k, p in zip(place, PRIMES, strict=False))
        index = last + state
        for hashed in others:
            index = hashed ^ index
        drawn = []
        for _ in place:
            index = stepped(index)
            drawn.append(uniform(index))
    if len(place) == 1:
        return [np.float32(2.0) * drawn[0] + np.float32(-1.0)]
    drawn = [share - np.float32(0.5) for share in drawn]
    squares = drawn[0] * drawn[0]
    for part in drawn[1:]:
        squares = squares + part * part
    length = np.sqrt(squares)
    return [np.where(length > 0, part / np.where(length > 0, length, np.float32(1)), np.float32(0)) for part in drawn]


@cache
def _gradient_op(dimensions: int, k: int) -> Op:
    """No row of the table, as kernels can't call it."""
    params = (U32, *(I32,) * dimensions)
    return Op(f"gradient{k}", params, F32, Call("wp.noise"), lambda *args: _gradients(*args)[k], exact=True)


def _within(x: Lanes, least: float) -> Lanes:
    return np.asarray((x >= least) & (x < 2.0**31))


def _floor(x: Lanes) -> Lanes:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.floor(x).astype(np.int32))


def _cell_op(least: float) -> Op:
    """Which cell it lies in: undefined beyond 32 bits. The value goes on smoothly, its formula doesn't."""
    return Op("cell", (F32,), I32, Call("int"), _floor, partial(_within, least=least), np.floor, exact=True)


_CELL = _cell_op(-(2.0**31))
_CELL_FROM_0 = _cell_op(0.0)
_PERIOD = Op("period", (I32,), I32, Call("int"), lambda k: k, lambda k: np.asarray(k > 0), exact=True)


def _applied(op: Op, *args: Number) -> Number:
    return Number(args[0].calculus.apply(op, [arg.value for arg in args]), op.result.scalar, args[0].calculus)


Ends = tuple[Number, Number]
"""Along one axis, the cell's end before the point and that behind it."""


def _cells(point: Numbers) -> list[Ends]:
    before = [_applied(_CELL, x) for x in point]
    return [(k, k + 1) for k in before]


def _wrapped_cells(point: Numbers, periods: Numbers) -> list[Ends]:
    found = []
    for x, period in zip(point, periods, strict=True):
        size = _applied(_PERIOD, period)
        before = call("mod", _applied(_CELL_FROM_0, x), size)
        found.append((before, call("mod", before + 1, size)))
    return found


def _offsets(point: Numbers) -> Numbers:
    """From the cell's first corner."""
    return tuple(x - call("floor", x) for x in point)


def _corners(state: Number, cells: Sequence[Ends], offsets: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """How far the point is from each, and the gradient there; the first axis changes fastest."""
    n = len(cells)
    for sides in product((0, 1), repeat=n):
        which = sides[::-1]
        place = [ends[side] for ends, side in zip(cells, which, strict=True)]
        away = tuple(d - 1.0 if side else d for d, side in zip(offsets, which, strict=True))
        yield away, tuple(_applied(_gradient_op(n, k), state, *place) for k in range(n))


# -- between the points -----------------------------------------------------------------------------------------------


def _fade(t: Number) -> Number:
    return t * t * t * (t * (t * 6.0 - 15.0) + 10.0)


def _fade_slope(t: Number) -> Number:
    return 30.0 * t * t * (t * (t - 2.0) + 1.0)


def _value(state: Number, cells: Sequence[Ends], offsets: Numbers) -> Number:
    level = [parts.dot(away, gradient) for away, gradient in _corners(state, cells, offsets)]
    for t in offsets:
        share = _fade(t)
        level = [(b - a) * share + a for a, b in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def _slope(state: Number, cells: Sequence[Ends], offsets: Numbers) -> Numbers:
    """The derivatives of the value."""
    corners = _corners(state, cells, offsets)
    level = [(parts.dot_of_vectors(away, gradient), gradient) for away, gradient in corners]
    for axis, t in enumerate(offsets):
        share, steep = _fade(t), _fade_slope(t)
        level = [_between(*pair, share, steep, axis) for pair in zip(level[::2], level[1::2], strict=True)]
    return level[0][1]


def _between(
    first: tuple[Number, Numbers], second: tuple[Number, Numbers], share: Number, steep: Number, axis: int
) -> tuple[Number, Numbers]:
    """The value and its derivatives on the way from one to the other."""
    (a, slopes), (b, others) = first, second
    change = (b - a) * steep
    along = [change * float(k == axis) for k in range(len(slopes))]
    mixed = ((q - p) * share + own + p for p, q, own in zip(slopes, others, along, strict=True))
    return (b - a) * share + a, tuple(mixed)


# -- rows of the table ------------------------------------------------------------------------------------------------


def _noise(state: Number, point: Numbers) -> Number:
    return _value(state, _cells(point), _offsets(point))


def _periodic(state: Number, point: Numbers, *periods: Number) -> Number:
    return _value(state, _wrapped_cells(point, periods), _offsets(point))


def _curl_of_one(state: Number, point: Numbers) -> Numbers:
    x, y = (0.0 + part for part in _slope(state, _cells(point), _offsets(point)))
    return y * -1.0, x


def _curl_of_three(state: Number, point: Numbers) -> Numbers:
    fields = []
    for salt in (*OTHERS, 0):
        fields.append([0.0 + part for part in _slope(state, _cells(point), _offsets(point))])
        state = state_of(state, salt)
    one, two, three = fields
    return three[1] - two[2], one[2] - three[0], two[0] - one[1]


def state_of(state: Number, salt: int) -> Number:
    """`rand_init(state, salt)`."""
    return _applied(STEP, state + int(stepped(np.array([salt], np.uint32))[0]))


def _rows(V: Composite) -> Iterator[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    yield _row("noise", (U32, V), F32, Call("wp.noise"), _noise)
    yield _row("pnoise", (U32, V, *(I32,) * V.width), F32, Call("wp.pnoise"), _periodic)
    curl = _curl_of_one if V.width == 2 else _curl_of_three
    result = V if V.width < 4 else next(W for W in VECTORS if W.scalar is F32 and W.width == 3)
    yield _row("curlnoise", (U32, V), result, Call("wp.curlnoise"), curl)


ROWS: tuple[Op, ...] = (
    _row("noise", (U32, F32), F32, Call("wp.noise"), lambda state, x: _noise(state, (x,)), is_composite=True),
    _row(
        "pnoise",
        (U32, F32, I32),
        F32,
        Call("wp.pnoise"),
        lambda state, x, period: _periodic(state, (x,), period),
        is_composite=True,
    ),
    *(row for V in VECTORS if V.scalar is F32 for row in _rows(V)),
)
"""The state is their first argument, which they leave as it is."""
