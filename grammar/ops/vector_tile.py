"""Tiles of vectors: points that the threads of a block handle together, and signals of complex numbers.

The key insight: what a builtin does to a vector, `wp.tile_map` does to each of a tile, so those rows are made of the
rows of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

import numpy as np

from grammar.number import Number, Numbers, call
from grammar.op import Call, Infix, InPlace, Item, Op, Prefix
from grammar.ops import parts, vector
from grammar.ops.matrix import rows_of
from grammar.ops.tile import made, tile_of
from grammar.types import I32, SIGNAL_TILES, VECTOR_TILES, Composite

_row = partial(Op, exact=True, group="tile")
_step = partial(_row, differentiable=False)

_ALL = (*VECTOR_TILES, *SIGNAL_TILES)
_OF_VECTORS = {op.key: op for op in vector.ROWS}


def _vectors(T: Composite) -> Composite:  # noqa: N803 - a type, as in the comprehensions of this package
    assert T.vectors is not None
    return T.vectors


def _arithmetic(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S = T.scalar  # noqa: N806 - likewise
    yield _row("add", (T, T), T, Infix("Add"), parts.each("add"), weight=3.0)
    yield _row("sub", (T, T), T, Infix("Subtract"), parts.each("sub"), weight=3.0)
    yield _row("mul", (T, S), T, Infix("Multiply"), parts.scaled, weight=2.0)
    yield _row("mul", (S, T), T, Infix("Multiply"), parts.scaling, weight=2.0)
    yield _row("div", (T, S), T, Infix("Divide"), parts.divided, weight=0.4)
    yield _row("neg", (T,), T, Prefix("Minus"), parts.opposite, weight=0.3)
    factors = tile_of(S, *T.extent)
    if factors is not None:
        width = _vectors(T).width
        yield _row("mul", (T, factors), T, Infix("Multiply"), _by_each(width), weight=2.0)


def _by_each(width: int) -> Callable[[Numbers, Numbers], Numbers]:
    """Each vector by the scalar in its place."""
    return lambda a, factors: tuple(part * factors[k // width] for k, part in enumerate(a))


MAPPED = (("cw_mul", 2, 0.7), ("normalize", 1, 1.0), ("length", 1, 2.0), ("length_sq", 1, 0.5), ("dot", 2, 1.5))
"""Builtins on vectors, how many they take, and how often they are mapped over tiles."""


def _maps(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    V = _vectors(T)  # noqa: N806 - likewise
    for name, arity, weight in MAPPED:
        of_each = _OF_VECTORS[f"{name}({','.join([V.name] * arity)})"]
        result = T if of_each.result is V else tile_of(V.scalar, *T.extent)
        if result is not None:
            spelt = Call("wp.tile_map", first=(f"wp.{name}",))
            yield _row("tile_map", (T,) * arity, result, spelt, _each(of_each, V.width), weight=weight)


def _each(op: Op, width: int) -> Callable[..., Numbers]:
    """What the operation gives for each vector, or each pair of them."""

    def each(*tiles: Numbers) -> Numbers:
        found = [op.meaning(*vectors) for vectors in zip(*(rows_of(tile, width) for tile in tiles), strict=True)]
        return tuple(chain.from_iterable(one if isinstance(one, tuple) else (one,) for one in found))

    return each


def _sums(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    V = _vectors(T)  # noqa: N806 - likewise
    one = next((T for T in VECTOR_TILES if T.vectors is V and T.width == V.width), None)
    if one is not None:
        yield _row("tile_sum", (T,), one, Call("wp.tile_sum"), _sum(V.width), weight=6.0)
        folded = Call("wp.tile_reduce", first=("wp.add",))
        yield _step("tile_reduce", (T,), one, folded, _sum(V.width), weight=0.5)


def _sum(width: int) -> Callable[[Numbers], Numbers]:
    return lambda a: tuple(parts.reduced("add")(a[k::width]) for k in range(width))


def _places(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    V = _vectors(T)  # noqa: N806 - likewise
    if T.width == V.width:
        yield _row("extract", (T,), V, Item((0,)), parts.parts(*range(V.width)), weight=2.0)
        return
    if 1 in T.extent:  # where there is nothing to choose
        return
    if len(T.extent) == 1:
        yield _row("tile_extract", (T, I32), V, Call("wp.tile_extract"), parts.row(*T.shape), weight=0.5)
        yield _row("extract", (T, I32), V, Item(), parts.row(*T.shape), weight=0.5)
    spelt, indices = Call("wp.tile_extract"), (I32,) * len(T.shape)
    often = 0.0 if T in SIGNAL_TILES else 0.5  # what it puts into shared memory is not transformed, nor was before
    yield _row("tile_extract", (T, *indices), T.scalar, spelt, parts.element(*T.shape), weight=often)


ROWS: tuple[Op, ...] = tuple(
    row for T in _ALL for rows in (made, _arithmetic, _maps, _sums, _places) for row in rows(T)
)

# -- Fourier transforms -----------------------------------------------------------------------------------------------


def _spectrum(sign: int, size: int) -> Callable[[Numbers], Numbers]:
    """Of each row of complex numbers, so many of them, by what they become in the order of their reversed bits."""

    def spectrum(a: Numbers) -> Numbers:
        return tuple(chain.from_iterable(_of_row(row, sign) for row in rows_of(a, 2 * size)))

    return spectrum


def _of_row(row: Numbers, sign: int) -> Iterator[Number]:
    size = len(row) // 2
    bits = size.bit_length() - 1
    each = [row[2 * k : 2 * k + 2] for k in (int(f"{k:0{bits}b}"[::-1], 2) for k in range(size))]
    span = 2
    while span <= size:
        for start in range(0, size, span):
            for k, turn in enumerate(_turns(row[0], sign, span)):
                low, high = start + k, start + k + span // 2
                turned = _times(turn, each[high])
                each[low], each[high] = _pair("add", each[low], turned), _pair("sub", each[low], turned)
        span *= 2
    return chain.from_iterable(each)


def _turns(like: Number, sign: int, span: int) -> Iterator[Numbers]:
    """Powers of the root of one by which the second half is turned, each made of the last."""
    angle = like.type.dtype.type(sign * 2) * like.type.dtype.type(np.pi) / like.type.dtype.type(span)
    constant = like.calculus.number(float(angle), like.type)
    root = call("cos", constant), call("sin", constant)
    turn: Numbers = like.calculus.number(1, like.type), like.calculus.number(0, like.type)
    for _ in range(span // 2):
        yield turn
        turn = _times(turn, root)


def _times(a: Numbers, b: Numbers) -> Numbers:
    """The product of complex numbers."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _pair(name: str, a: Numbers, b: Numbers) -> Numbers:
    return call(name, a[0], b[0]), call(name, a[1], b[1])


def _transformed(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    size = T.extent[-1]
    yield _row("tile_fft", (T,), T, InPlace("wp.tile_fft", 0), _spectrum(-1, size))
    yield _row("tile_ifft", (T,), T, InPlace("wp.tile_ifft", 0), _spectrum(1, size))


CHANGERS: tuple[Op, ...] = tuple(row for T in SIGNAL_TILES for row in _transformed(T))
"""Warp leaves what comes of the inverse as it is, where others divide it by its length."""
