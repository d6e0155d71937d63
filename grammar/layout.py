"""What kernels are launched with, and where a lane finds an element of an array.

The key insight: the lanes of all launches lie end to end in one axis, so an index into an array becomes a position in
the flattened arrays of all launches, and what is read or written is one operation of NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    if isinstance(index, tuple):
        where = _flat_position(inputs, shape[: len(index)], index, active, undefined)
    else:
        where = _flat_element(inputs, shape[0], index, active, undefined)
    return where if part is WHOLE else where * part.width + part.number


def _flat_element(inputs: Inputs, length: int, index: Lanes, active: Mask, undefined: Mask) -> NDArray[np.intp]:
    if length >= inputs.lanes and index is thread_indices(inputs.launches, inputs.lanes):
        return _own_elements(inputs.launches, inputs.lanes, length)
    if length == 0 or index.min() < 0 or index.max() >= length:
        undefined |= active & ((index < 0) | (index >= length))
        index = np.clip(index, 0, length - 1)
    return _bases(inputs.launches, inputs.lanes, length) + index


def _flat_position(
    inputs: Inputs, shape: tuple[int, ...], indices: tuple[Lanes, ...], active: Mask, undefined: Mask
) -> NDArray[np.intp]:
    where = np.zeros(undefined.size, np.intp)
    for length, index in zip(shape, indices, strict=True):
        undefined |= active & ((index < 0) | (index >= length))
        where = where * length + np.clip(index, 0, length - 1)
    return _bases(inputs.launches, inputs.lanes, math.prod(shape)) + where


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
    """What `wp.tid()` gives in a grid of threads, one array for each axis."""
    thread = thread_indices(launches, lanes)
    return tuple(axis.astype(np.int32) for axis in np.unravel_index(thread, grid(lanes, dimensions)))


@lru_cache
def thread_indices(launches: int, lanes: int) -> NDArray[np.int32]:
    """What `wp.tid()` gives, for all launches end to end; always the same array."""
    indices = np.tile(np.arange(lanes, dtype=np.int32), launches)
    indices.setflags(write=False)
    return indices


@lru_cache
def _own_elements(launches: int, lanes: int, length: int) -> NDArray[np.intp]:
    """Where each lane finds the element at its own index."""
    places = _bases(launches, lanes, length) + thread_indices(launches, lanes)
    places.setflags(write=False)
    return places


@lru_cache
def _bases(launches: int, lanes: int, length: int) -> NDArray[np.intp]:
    """Where each lane's arrays begin in the flattened array of all launches."""
    bases = np.repeat(np.arange(launches) * length, lanes)
    bases.setflags(write=False)
    return bases
