"""The values kernels are launched with.

The key insight: a column of values is a pure function of (seed, the parameter's name, role and range), so the
kernel is grown on the very inputs on which it is later checked, and anybody can make them again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from grammar.layout import Inputs, grid
from grammar.op import Lanes
from grammar.params import Param, Role
from grammar.paths import leaf
from grammar.ranges import is_wide
from grammar.tree import Kernel
from grammar.types import BOOL, INTEGERS, Array, Composite, Element, Scalar

REGULAR_SETS = 2
"""Input sets of ordinary values; one more with special values follows (`with_specials`)."""

COUNT_SLACK = 5
"""A `Role.COUNT` parameter is this many below the number of lanes, so that guards `if i >= n` part the lanes."""

POISON = {
    "float32": 0x7FC5A5A5,
    "float64": 0x7FF85A5A5A5A5A5A,
    "float16": 0x7E5A,
    "bfloat16": 0x7FDA,
    "bool": 1,
    **{scalar.name: 0x5A5A5A5A5A5A5A5A >> (64 - scalar.bits) for scalar in INTEGERS},
}
"""Bits that outputs hold before the launch: quiet NaNs with a payload, so that what was not written shows."""


@lru_cache(maxsize=4096)
def column(param: Param, seed: int, lanes: int, launches: int = REGULAR_SETS) -> Lanes:
    """Values of one parameter: shape (launches, length) for an array, (launches,) for a scalar; read-only."""
    values = _column(param, seed, lanes, launches)
    values.setflags(write=False)
    return values


def _column(param: Param, seed: int, lanes: int, launches: int) -> Lanes:
    """One more axis numbers the scalars of composites."""
    element = param.element
    shape = (launches, *shape_of(param, lanes), *((element.width,) if isinstance(element, Composite) else ()))
    match param.role:
        case Role.OUT:
            return poison(param, shape)
        case Role.COUNT:
            return np.full(shape, lanes - COUNT_SLACK, np.int32)
        case Role.OFFSETS:
            ends = np.floor(np.sort(uniform(seed, leaf(param.name), (launches, lanes - 1))) * (lanes + 1))
            return np.pad(ends, ((0, 0), (1, 1)), constant_values=((0, 0), (0, lanes))).astype(np.int32)
        case Role.SHARES:
            shares = np.sort(uniform(seed, leaf(param.name), shape))
            shares[..., -1] = 1.0
            return shares.astype(element.dtype)
        case Role.INDEX:
            return (uniform(seed, leaf(param.name), shape) * lanes).astype(np.int32)
        case Role.VALUE | Role.MISSING | Role.INFINITE | Role.SEED | Role.ACCUMULATOR:
            if element is BOOL:
                return uniform(seed, leaf(param.name), shape) < 0.5
            if element in INTEGERS:
                return _integers(param, seed, shape)
            share = uniform(seed, leaf(param.name), shape)
            values = param.low + (param.high - param.low) * share
            return _with_gaps(param, seed, turned(values, element).astype(element.dtype))


GAPS = 0.25
"""The share of elements that are missing, where some are."""


def _with_gaps(param: Param, seed: int, values: Lanes) -> Lanes:
    if param.role not in (Role.MISSING, Role.INFINITE):
        return values
    share = uniform(seed, f"{leaf(param.name)} missing", values.shape)
    width = param.element.width if isinstance(param.element, Composite) else 1
    gaps = 1 - (1 - GAPS) ** (1 / width)
    missing = np.nan if param.role is Role.MISSING else np.copysign(np.inf, share - gaps / 2)
    return np.where(share < gaps, missing, values).astype(values.dtype)


def shape_of(param: Param, lanes: int) -> tuple[int, ...]:
    """Of an array, that of the grid of threads, unless its last axis has a length of its own; () for a scalar."""
    if not isinstance(param.type, Array):
        return ()
    if param.role is Role.OFFSETS:
        return (lanes + 1,)
    if param.size is None:
        return grid(lanes, param.type.dimensions)
    return (*grid(lanes, param.type.dimensions - 1), param.size) if param.type.dimensions > 1 else (param.size,)


def turned(values: Lanes, element: Element) -> Lanes:
    """The values, of which quaternions are made as long as rotations are."""
    if isinstance(element, Composite) and element.rotation is not None:
        x, y, z, w = (values[..., element.rotation + k] for k in range(4))
        values[..., element.rotation :] /= np.sqrt(x * x + y * y + z * z + w * w)[..., np.newaxis]
    return values


def _integers(param: Param, seed: int, shape: tuple[int, ...]) -> Lanes:
    dtype = param.element.dtype
    if is_wide(param.low, param.high):
        return (_bits(seed, leaf(param.name), shape) >> np.uint64(64 - 8 * dtype.itemsize)).astype(dtype)
    return np.floor(param.low + uniform(seed, leaf(param.name), shape) * (param.high - param.low + 1)).astype(dtype)


MIXES = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
LAST_SHIFT, SPARE_BITS = np.uint64(31), np.uint64(64 - 53)
"""Of SplitMix64, and what a float64 has no room for; as NumPy's numbers, since these are slow to make."""


def uniform(seed: int, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Numbers in [0, 1) that depend on nothing else."""
    return (_bits(seed, name, shape) >> SPARE_BITS) * np.float64(2.0**-53)


def _bits(seed: int, name: str, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele et al. 2014) from a hashed start.

    NumPy's generators promise no stable stream across versions, and cost ten times as much to seed as to draw from.
    """
    start = int.from_bytes(blake2b(f"{seed} {name}".encode(), digest_size=8).digest())
    z = _weyl(math.prod(shape)) + np.uint64(start)
    for shift, factor in MIXES:
        z ^= z >> shift
        z *= factor
    z ^= z >> LAST_SHIFT
    return z.reshape(shape)


@lru_cache
def _weyl(count: int) -> NDArray[np.uint64]:
    return np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def poison(param: Param, shape: tuple[int, ...]) -> Lanes:
    """Read-only."""
    return _poison(param.element.scalar, shape)


@lru_cache
def _poison(element: Scalar, shape: tuple[int, ...]) -> Lanes:
    dtype = element.dtype
    values = np.full(shape, POISON[dtype.name], f"u{dtype.itemsize}").view(dtype)
    values.setflags(write=False)
    return values


def regular(kernel: Kernel, seed: int, lanes: int) -> Inputs:
    """The input sets of ordinary values, on which the kernel was grown."""
    columns = {p.name: column(p, seed, lanes) for p in kernel.params}
    return from_columns(kernel.params, columns, lanes)


def from_columns(params: Sequence[Param], columns: dict[str, Lanes], lanes: int) -> Inputs:
    arrays = {p.name: columns[p.name] for p in params if isinstance(p.type, Array)}
    scalars = {p.name: columns[p.name] for p in params if not isinstance(p.type, Array)}
    return Inputs(lanes, arrays, scalars)
