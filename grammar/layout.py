"""What kernels are launched with, and where a lane finds an element of an array.

The key insight: the lanes of all launches lie end to end in one axis, so an index into an array becomes a position in
the flattened arrays of all launches, and what is read or written is one operation of NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import ge, is_
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grammar.lanes import greatest, least
from grammar.op import Lanes

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Inputs:
    """What a kernel is launched with, for several launches at once.

    `arrays[name]` has shape (launches, *shape of the array), `scalars[name]` shape (launches,); one more axis numbers
    the scalars of composites. All launches have `lanes` threads.
    """

    lanes: int
    arrays: Mapping[str, Lanes]
    scalars: Mapping[str, Lanes]

    @cached_property
    def launches(self) -> int:
        return len(next(iter(self.arrays.values())))


Index = Lanes | tuple[Lanes, ...]
"""The lanes of an index into an array, or of one for each axis."""


class Part(NamedTuple):
    """Which scalar of an element of an array: the `number`-th of `width`."""

    number: int
    width: int


WHOLE = Part(0, 1)


def flat_index(
    inputs: Inputs, array: str, index: Index, active: Mask, undefined: Mask, part: Part = WHOLE
) -> NDArray[np.intp]:
    """Where each lane finds a scalar of the element at its index, in the flattened array of all launches."""
    shape = inputs.arrays[array].shape[1:]
    indices = index if isinstance(index, tuple) else (index,)
    where = _flat_element(inputs, shape[: len(indices)], indices, active, undefined)
    return where if part is WHOLE else where * part.width + part.number


def _flat_element(
    inputs: Inputs, shape: tuple[int, ...], indices: tuple[Lanes, ...], active: Mask, undefined: Mask
) -> NDArray[np.intp]:
    own = coordinates(inputs.launches, inputs.lanes, len(indices))
    if all(map(is_, indices, own)) and all(map(ge, shape, grid(inputs.lanes, len(indices)))):
        return _own_elements(inputs.launches, inputs.lanes, shape)
    where = _bases(inputs.launches, inputs.lanes, shape[0]) + _inside(shape[0], indices[0], active, undefined)
    for length, index in zip(shape[1:], indices[1:], strict=True):
        where = where * length + _inside(length, index, active, undefined)
    return where


def _inside(length: int, index: Lanes, active: Mask, undefined: Mask) -> Lanes:
    """The index along an axis; what is out of bounds is noted and clipped."""
    if length == 0 or least(index) < 0 or greatest(index) >= length:
        undefined |= active & ((index < 0) | (index >= length))
        return np.clip(index, 0, length - 1)
    return index


SIDES = (8, 8, 4, 2)
"""By its dimensions: the length of all axes of a grid of threads but the first, if the lanes can be laid out so."""


@lru_cache
def grid(lanes: int, dimensions: int) -> tuple[int, ...]:
    """The shape in which threads are launched, and of an array that has an element for each."""
    shape: tuple[int, ...] = ()
    for _ in range(dimensions - 1):
        side = next(side for side in range(SIDES[dimensions - 1], 0, -1) if lanes % side == 0)
        shape, lanes = (side, *shape), lanes // side
    return lanes, *shape


@lru_cache
def coordinates(launches: int, lanes: int, dimensions: int) -> tuple[NDArray[np.int32], ...]:
    """What `wp.tid()` gives in a grid of threads, one array for each axis; always the same arrays."""
    thread = thread_indices(launches, lanes)
    if dimensions == 1:
        return (thread,)
    return tuple(axis.astype(np.int32) for axis in np.unravel_index(thread, grid(lanes, dimensions)))


@lru_cache
def thread_indices(launches: int, lanes: int) -> NDArray[np.int32]:
    """The number of each thread, for all launches end to end; always the same array."""
    indices = np.tile(np.arange(lanes, dtype=np.int32), launches)
    indices.setflags(write=False)
    return indices


@lru_cache
def _own_elements(launches: int, lanes: int, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Where each lane finds the element at its own indices."""
    own = np.ravel_multi_index(coordinates(launches, lanes, len(shape)), shape)
    places = _bases(launches, lanes, math.prod(shape)) + own
    places.setflags(write=False)
    return places


@lru_cache
def _bases(launches: int, lanes: int, length: int) -> NDArray[np.intp]:
    """Where each lane's arrays begin in the flattened array of all launches."""
    bases = np.repeat(np.arange(launches) * length, lanes)
    bases.setflags(write=False)
    return bases
