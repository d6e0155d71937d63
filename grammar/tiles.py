"""Where tiles lie in the arrays that they are taken from.

The key insight: an array of tiles is an array whose elements happen to be cut out of one of scalars. So reading one is
reading an element, at an index that counts tiles; only who writes kernels down, and who launches them, knows of the
array of scalars.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from grammar.ops import ROWS
from grammar.tree import Apply, Const, Term, indices_of
from grammar.types import I32, Array, Composite, Type


def is_tile(type: Type) -> TypeGuard[Composite]:
    """Whether it is the type of a tile; an array of them is none."""
    return isinstance(type, Composite) and type.is_tile


def is_single(type: Type) -> TypeGuard[Composite]:
    """Whether it is the type of a tile of one element."""
    return is_tile(type) and math.prod(type.extent) == 1


def is_of_threads(type: Type) -> bool:
    """Whether it is what the threads of a block have, each of its own, or come to: who must all come there."""
    return is_tile(type) and type.of_threads


def offset_of(index: Term, type: Composite) -> tuple[Term, ...]:
    """Where the tile at that index begins, along each axis of the array that it is a part of."""
    indices = list(indices_of(index))
    indices += [Const(I32, 0)] * (len(type.extent) - len(indices))
    return tuple(_times(each, size) for each, size in zip(indices, type.extent, strict=True))


def _times(index: Term, size: int) -> Term:
    if size == 1 or isinstance(index, Const):
        return Const(I32, int(index.value) * size) if isinstance(index, Const) else index
    return Apply(ROWS["mul(int32,int32)"], (index, Const(I32, size)))


def laid_out(values: NDArray[Any], type: Array) -> NDArray[Any]:
    """The array that the tiles make up, which come as (*places, scalars of one); others are left alone.

    One more axis numbers the scalars of vectors.
    """
    element = type.element
    if not is_tile(element):
        return values
    return np.ascontiguousarray(_apart(values, element).transpose(*_paired(element))).reshape(_whole(values, element))


def cut_up(values: NDArray[Any], type: Array) -> NDArray[Any]:
    """The tiles of such an array of scalars: the inverse of `laid_out`."""
    element = type.element
    if not is_tile(element):
        return values
    counts = [length // size for length, size in zip(values.shape, element.shape, strict=True)]
    split = values.reshape([part for pair in zip(counts, element.shape, strict=True) for part in pair])
    rank = len(element.shape)
    tiles = split.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2))
    return np.ascontiguousarray(tiles).reshape(*counts[: type.dimensions], element.width)


def _apart(values: NDArray[Any], element: Composite) -> NDArray[Any]:
    return values.reshape(*_places(values, element), *element.shape)


def _places(values: NDArray[Any], element: Composite) -> tuple[int, ...]:
    """How many tiles there are along each axis."""
    places = values.shape[:-1]
    return places + (1,) * (len(element.shape) - len(places))


def _paired(element: Composite) -> Iterator[int]:
    rank = len(element.shape)
    for axis in range(rank):
        yield from (axis, rank + axis)


def _whole(values: NDArray[Any], element: Composite) -> tuple[int, ...]:
    return tuple(math.prod(pair) for pair in zip(_places(values, element), element.shape, strict=True))
