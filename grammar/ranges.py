"""What numbers of each type are like: the ranges inputs come from, and the constants of those who mix bits.

The key insight: a kernel on integers either counts, and then its numbers are small and never wrap, or it takes them for
patterns of bits, as hashes do, and then all of the type is its range. Which of the two is a property of the draft.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from grammar.floats import FLOATING
from grammar.op import Lanes, Op
from grammar.types import FLOATS, I8, I16, I32, I64, INTEGERS, U8, U16, U32, U64, Scalar

Span = tuple[float, float]

FLOAT_SPANS: tuple[Span, ...] = ((-2.0, 2.0), (0.1, 2.0), (-1.0, 1.0), (0.5, 4.0), (0.05, 0.95), (1.0, 3.0))
"""Ranges of input values, the most permissive first."""
INT_SPANS: Mapping[Scalar, tuple[Span, ...]] = {
    I32: ((-8, 8), (0, 8), (1, 8)),
    I64: ((-8, 8), (0, 8), (1, 8)),
    I16: ((-8, 8), (0, 8), (1, 8)),
    I8: ((-8, 8), (0, 8), (1, 8)),
    U32: ((0, 20), (1, 20), (1, 8)),
    U64: ((0, 20), (1, 20), (1, 8)),
    U16: ((0, 20), (1, 20), (1, 8)),
    U8: ((0, 10), (1, 10), (1, 6)),
}

PATTERNS = (U32, U64)
"""Types in which people mix bits."""
MIXERS: Mapping[Scalar, tuple[int, ...]] = {
    U32: (
        *(747796405, 277803737, 1664525, 1013904223, 73856093, 19349663, 83492791, 16777619),
        *(668265261, 374761393, 1103515245, 0xFFFF, 0xFF, 0x5BD1E995),
    ),
    U64: (6364136223846793005, 1442695040888963407, 1099511628211, 2862933555777941757, 0xFFFFFFFF, 0xFFFF, 0xFF),
}
"""Factors, increments and masks of well-known generators and hashes: PCG, Numerical Recipes, FNV, MurmurHash2, xxHash
and spatial hashing (Teschner et al. 2003). All fit the signed type, as which Warp writes a literal down first."""
DISTANCES = (16, 13, 15, 5, 7, 17, 11, 12, 3, 22)
"""By how far hashes shift."""


def whole(scalar: Scalar) -> Span:
    """All numbers of an unsigned type, but for the last ones that no float64 tells from its end."""
    return (0, 2**scalar.bits - 2 ** max(0, scalar.bits - 53))


def is_wide(low: float, high: float) -> bool:
    """Whether numbers from the range have more bits than a float64 between 0 and 1 is good for."""
    return high - low >= 2.0**32 - 1


def spans(scalar: Scalar, patterns: bool = False) -> tuple[Span, ...]:
    """The ranges of input values, the most permissive first; of `patterns` of bits, where the type is for such."""
    if scalar in FLOATS:
        return FLOAT_SPANS
    small = INT_SPANS.get(scalar, INT_SPANS[I32])
    return (whole(scalar), *small) if patterns and scalar in PATTERNS else small


def wrapped(op: Op, values: list[Lanes], result: Lanes) -> Lanes:
    """Lanes on which an operation on integers, or a cast of one, gives another number than arithmetic does."""
    if op.result not in INTEGERS or any(value.dtype.kind in FLOATING for value in values):
        return np.zeros(result.shape, np.bool_)
    if op.group == "cast":
        exact = values[0].astype(np.float64)
    elif op.name in _EXACT:
        exact = _EXACT[op.name](*(value.astype(np.float64) for value in values))
    else:
        return np.zeros(result.shape, np.bool_)
    return np.asarray(exact != result.astype(np.float64))


_EXACT = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "abs": np.abs}
