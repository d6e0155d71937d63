"""What Warp's scalar functions mean where that is not one call of NumPy.

The key insight: every function here is C's or Warp's own definition, written with elementwise NumPy so that it works
at any float width; constants are Python's whole numbers, which NumPy lets take the type of the array they meet.
"""

from __future__ import annotations

import numpy as np

from grammar.op import Lanes
from grammar.types import BF16

DEGREES_PER_RADIAN = 57.29577951308232087679
RADIANS_PER_DEGREE = 0.01745329251994329577


def fmin(a: Lanes | float, b: Lanes | float) -> Lanes:
    """The smaller; the other one where one is NaN; `a` where they are equal, so min(-0, +0) is -0, min(+0, -0) +0."""
    return np.where(a <= b, a, np.where(b == b, b, a))


def fmax(a: Lanes | float, b: Lanes | float) -> Lanes:
    """The larger; the other one where one is NaN; `a` where they are equal."""
    return np.where(a >= b, a, np.where(b == b, b, a))


def clamp(x: Lanes, low: Lanes | float, high: Lanes | float) -> Lanes:
    """`high` wins where `low > high`; a NaN `x` gives `low`."""
    return fmin(fmax(low, x), high)


def integer_clamp(x: Lanes, low: Lanes, high: Lanes) -> Lanes:
    return np.minimum(np.maximum(low, x), high)


def negate(x: Lanes) -> Lanes:
    """Warp subtracts from zero, so that -(+0) is +0."""
    return np.asarray(0 - x)


def sign(x: Lanes) -> Lanes:
    """-1 below zero, otherwise 1: of ±0 and NaN too."""
    return np.where(x < 0, -1, 1).astype(x.dtype)


def step(x: Lanes) -> Lanes:
    """1 below zero, otherwise 0: the mirror image of the usual step."""
    return np.where(x < 0, 1, 0).astype(x.dtype)


def nonzero(x: Lanes) -> Lanes:
    """0 of ±0, otherwise 1: of NaN too."""
    return np.where(x != 0, 1, 0).astype(x.dtype)


def round_half_away(x: Lanes) -> Lanes:
    """To the nearest integer; halves away from zero, as C's `round`; the sign of zero stays."""
    size = np.abs(x)
    whole = np.trunc(size)
    rounded: Lanes = np.copysign(whole + (size - whole >= 0.5), x)
    return rounded


def fraction(x: Lanes) -> Lanes:
    """What is left after truncation; it has the sign of `x`, unlike `x - floor(x)`."""
    return np.asarray(x - np.trunc(x))


def floor_quotient(a: Lanes, b: Lanes) -> Lanes:
    """The floor of the rounded quotient: `np.floor_divide` takes the floor of the exact one."""
    return np.floor(a / b)


def truncated_quotient(a: Lanes, b: Lanes) -> Lanes:
    """C's division of integers, towards zero."""
    quotient = np.floor_divide(a, b)
    floored: Lanes = (quotient * b != a) & ((a < 0) != (b < 0))
    return np.asarray(quotient + floored.astype(a.dtype))


def scaled(x: Lanes, factor: float) -> Lanes:
    """The product in double precision or wider, rounded once; of bfloat16 in float32, by way of which float16 goes."""
    if x.dtype == BF16.dtype:
        return np.asarray(x * np.float32(factor)).astype(x.dtype)
    product = x.astype(np.result_type(x, np.float64)) * factor
    return (product.astype(np.float32) if x.dtype == np.float16 else product).astype(x.dtype)


def degrees(x: Lanes) -> Lanes:
    return scaled(x, DEGREES_PER_RADIAN)


def radians(x: Lanes) -> Lanes:
    return scaled(x, RADIANS_PER_DEGREE)


def lerp(a: Lanes, b: Lanes, t: Lanes) -> Lanes:
    return np.asarray(a * (1 - t) + b * t)


def smoothstep(edge0: Lanes, edge1: Lanes, x: Lanes) -> Lanes:
    t = clamp((x - edge0) / (edge1 - edge0), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def arc_cosine(x: Lanes) -> Lanes:
    """Clamps first, by which NaN becomes -1."""
    return np.arccos(fmin(fmax(x, -1), 1))


def arc_sine(x: Lanes) -> Lanes:
    """Clamps first, by which NaN becomes -1."""
    return np.arcsin(fmin(fmax(x, -1), 1))


def bit_count(x: Lanes) -> Lanes:
    """Ones in two's complement: `np.bitwise_count` counts those of the absolute value."""
    ones: Lanes = np.bitwise_count(x.astype(f"u{x.dtype.itemsize}"))
    return ones.astype(np.int32)


def fits_int32(exact: Lanes) -> Lanes:
    """Where a result computed in 64 bits is an int32: overflow is undefined behaviour in C++."""
    return np.asarray((exact >= -(2**31)) & (exact < 2**31))


def sum_fits(a: Lanes, b: Lanes) -> Lanes:
    """Where a + b is an integer of the arguments' type, which is signed: no overflow turns the sign of both over."""
    total = a + b
    return np.asarray(((a ^ total) & (b ^ total)) >= 0)


def difference_fits(a: Lanes, b: Lanes) -> Lanes:
    """Where a - b is an integer of the arguments' type, which is signed."""
    return np.asarray(((a ^ b) & (a ^ (a - b))) >= 0)


def product_fits(a: Lanes, b: Lanes) -> Lanes:
    """Where a * b is an integer of the arguments' type, which is signed: division gives back what was multiplied."""
    plain = (a != 0) & (a != -1)  # the others divide nothing, or the least number
    product, divisor = a * b, np.where(plain, a, 1)
    returns: Lanes = (product // divisor == b) & (product % divisor == 0)
    return np.where(plain, returns, (a == 0) | (b != np.iinfo(b.dtype).min))


def spread(value: Lanes, *others: Lanes) -> Lanes:
    """`value` with the shape that it has together with the others."""
    shape = np.broadcast(value, *others).shape
    return value if np.shape(value) == shape else np.broadcast_to(value, shape)
