"""The values kernels are launched with.

The key insight: a column of values is a pure function of (seed, the parameter's name, role and range), so the
kernel is grown on the very inputs on which it is later checked, and anybody can make them again.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from grammar.evaluate import Inputs
from grammar.op import Lanes
from grammar.tree import Kernel, Param, Role
from grammar.types import BOOL, I32, Array

REGULAR_SETS = 2
"""Input sets of ordinary values; one more with special values follows (`with_specials`)."""

COUNT_SLACK = 5
"""A `Role.COUNT` parameter is this many below the number of lanes, so that guards `if i >= n` part the lanes."""

POISON = {"float32": 0x7FC5A5A5, "float64": 0x7FF85A5A5A5A5A5A, "int32": 0x5A5A5A5A, "bool": 1}
"""Bits that outputs hold before the launch: quiet NaNs with a payload, so that what was not written shows."""


def column(param: Param, seed: int, lanes: int, launches: int = REGULAR_SETS) -> Lanes:
    """Values of one parameter: shape (launches, length) for an array, (launches,) for a scalar."""
    length = (param.size or lanes,) if isinstance(param.type, Array) else ()
    shape = (launches, *length)
    element = param.element
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(param.name.encode())]))
    match param.role:
        case Role.OUT:
            return poison(param, shape)
        case Role.COUNT:
            return np.full(shape, lanes - COUNT_SLACK, np.int32)
        case Role.INDEX:
            return rng.integers(0, lanes, shape, np.int32)
        case Role.VALUE | Role.ACCUMULATOR:
            if element is BOOL:
                return rng.integers(0, 2, shape) == 1
            if element is I32:
                return rng.integers(int(param.low), int(param.high), shape, np.int32, endpoint=True)
            return (param.low + (param.high - param.low) * rng.random(shape)).astype(element.dtype)


def poison(param: Param, shape: tuple[int, ...]) -> Lanes:
    dtype = param.element.dtype
    bits = {1: np.uint8, 4: np.uint32, 8: np.uint64}[dtype.itemsize]
    return np.full(shape, POISON[dtype.name], bits).view(dtype)


def regular(kernel: Kernel, seed: int, lanes: int) -> Inputs:
    """The input sets of ordinary values, on which the kernel was grown."""
    columns = {p.name: column(p, seed, lanes) for p in kernel.params}
    return from_columns(kernel.params, columns, lanes)


def from_columns(params: Sequence[Param], columns: dict[str, Lanes], lanes: int) -> Inputs:
    arrays = {p.name: columns[p.name] for p in params if isinstance(p.type, Array)}
    scalars = {p.name: columns[p.name] for p in params if not isinstance(p.type, Array)}
    return Inputs(lanes, arrays, scalars)
