"""Meanings that composites of several kinds share: done scalar by scalar, chosen, indexed, added up.

The key insight: a composite is the tuple of its scalars, row by row, whatever it stands for; so the sum of two matrices
is the sum of two vectors, and only what mixes places needs to know the shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np

from grammar.number import Alike, Number, Numbers, call, total, where
from grammar.op import Call, Lanes, Op, Slice
from grammar.types import F32, F64, I32


def each(name: str) -> Alike:
    """The scalar row of that name on each component, or pair of components."""
    return Alike(partial(call, name))


def cast(name: str) -> Callable[[Numbers], Numbers]:
    """Each component as of another type. Not alike, since scalar casts take more axes for variants of a value."""
    return lambda a: tuple([call(name, part) for part in a])


def given(*parts: Number) -> Numbers:
    return parts


def joined(*composites: Numbers) -> Numbers:
    """One after the other."""
    return tuple(part for parts in composites for part in parts)


scaled = Alike(lambda part, s: part * s)
scaling = Alike(lambda s, part: part * s)
divided = Alike(lambda part, s: part / s)
dividing = Alike(lambda s, part: s / part)
opposite = Alike(lambda part: part * -1)
"""Unlike the scalar's, the negative of +0 is -0."""
plus = each("add")


def mixed(a: Numbers, b: Numbers, t: Number) -> Numbers:
    """On the way from a to b."""
    return plus(scaled(a, 1.0 - t), scaled(b, t))


chosen = each("where")


def dot(a: Numbers, b: Numbers) -> Number:
    return total([x * y for x, y in zip(a, b, strict=True)])


def dot_of_vectors(a: Numbers, b: Numbers) -> Number:
    """Of more than three components, Warp adds the products up from 0, so no sum of theirs is -0."""
    start = [] if len(a) < 4 else [a[0].calculus.number(0, a[0].type)]
    return total([*start, *(x * y for x, y in zip(a, b, strict=True))])


def length(a: Numbers) -> Number:
    return call("sqrt", dot(a, a))


def cross(a: Numbers, b: Numbers) -> Numbers:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def any_of(name: str) -> Callable[[Numbers], Number]:
    """Whether the predicate of that name holds of some scalar."""
    return lambda a: _fold("logical_or", [call(name, part) for part in a])


def all_of(name: str) -> Callable[..., Number]:
    """Whether it holds of all, or of all pairs."""
    return lambda *composites: _fold("logical_and", [call(name, *parts) for parts in zip(*composites, strict=True)])


def _fold(name: str, terms: list[Number]) -> Number:
    result = terms[0]
    for term in terms[1:]:
        result = call(name, result, term)
    return result


def reduced(name: str) -> Callable[[Numbers], Number]:
    """The scalar row of that name on the first two components, then on that and the next, and so on."""
    return lambda a: _fold(name, list(a))


def part(k: int) -> Callable[[Numbers], Number]:
    return lambda a: a[k]


def parts(*places: int) -> Callable[[Numbers], Numbers]:
    return lambda a: tuple(a[k] for k in places)


def places(shape: tuple[int, ...], *indices: int | Slice) -> list[int]:
    """The scalars that such a subscript leaves, row by row."""
    known = tuple(slice(index.start, index.stop) if isinstance(index, Slice) else index for index in indices)
    found: list[int] = np.arange(math.prod(shape)).reshape(shape)[known].reshape(-1).tolist()
    return found


def cut(shape: tuple[int, ...], *indices: int | Slice) -> Callable[[Numbers], Numbers]:
    """What such a subscript leaves."""
    return parts(*places(shape, *indices))


def pasted(shape: tuple[int, ...], *indices: int | Slice) -> Callable[[Numbers, Numbers], Numbers]:
    """The whole, with something else in place of that."""
    where = {place: k for k, place in enumerate(places(shape, *indices))}
    return lambda whole, part: tuple(part[where[k]] if k in where else old for k, old in enumerate(whole))


def element(*shape: int) -> Callable[..., Number]:
    """The scalar at an index, or at a row and a column, that is known at run time."""

    def element(a: Numbers, *index: Number) -> Number:
        return _looked_up(list(a), _place(index, shape))

    return element


def row(rows: int, columns: int) -> Callable[[Numbers, Number], Numbers]:
    """The row of a matrix that is known at run time."""

    def row(a: Numbers, index: Number) -> Numbers:
        k = _place((index,), (rows,))
        return tuple(_looked_up(list(a[column::columns]), k) for column in range(columns))

    return row


def _place(index: tuple[Number, ...], shape: tuple[int, ...]) -> Number:
    place: Number | None = None
    for k, size in zip(index, shape, strict=True):
        inside = Number(k.calculus.apply(_within(size), [k.value]), I32, k.calculus)
        place = inside if place is None else place * size + inside
    assert place is not None
    return place


def _looked_up(options: list[Number], k: Number) -> Number:
    result = options[0]
    for place, option in enumerate(options[1:], 1):
        result = where(call("equal", k, place), option, result)
    return result


@cache
def _within(size: int) -> Op:
    """The index itself; undefined where it is out of bounds."""

    def domain(k: Lanes) -> Lanes:
        return (k >= 0) & (k < size)

    return Op("index", (I32,), I32, Call("int"), lambda k: k, domain, exact=True)


def wide(x: Number) -> Number:
    """As a float64."""
    return call("float64", x) if x.type is F32 else x


def narrow(x: Number, like: Number) -> Number:
    return call("float32", x) if x.type is F64 and like.type is F32 else x
