"""Variants of a value, and by what they err.

The key insight: noise doesn't depend on what is computed, so draws of it are shared by all kernels.

The noise is Monte Carlo arithmetic (Parker 1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from grammar.floats import FLOATING, precision
from grammar.layout import Mask
from grammar.op import Lanes, Op
from grammar.types import F32, F64, FLOATS, HALVES, Scalar

Variants = NDArray[np.float64]
"""Shape (variants, lanes); (1, lanes) where all variants agree. The first doesn't err, all others do."""

EPSILON = {type: precision(type.dtype).eps for type in FLOATS}

ROUNDED = 0.5
LIBRARY = {F32: 4.0, F64: 4.0, **{half: ROUNDED + 4.0 * EPSILON[F32] / EPSILON[half] for half in HALVES}}
"""By how many epsilons of its type a result is off: that of an exact row is only rounded. Functions of a float of two
bytes are those of float32, rounded."""

MARGIN = 8.0
"""How much farther than the noise variants Warp's own rounding may lead."""

DRAWN = 2**16
"""Draws of noise before they recur."""


@dataclass(slots=True)
class Draws:
    """Numbers in [−1, 1], no two uses the same; but equal where one starts from the same place."""

    patterns: int
    start: int = 0

    def __call__(self, count: int) -> Variants:
        """Shape (patterns, count)."""
        drawn = _drawn(self.patterns)
        if self.start + count > DRAWN:
            self.start = 0
        here = drawn[:, self.start : self.start + count] if count <= DRAWN else np.resize(drawn, (self.patterns, count))
        self.start += count
        return here

    def disturbed(self, given: Variants, off: float) -> Variants:
        """All variants of what is given, those after the first off by no more than a share of them."""
        result = np.empty((1 + self.patterns, given.shape[-1]))
        result[:] = given
        result[1:] *= 1 + off * self(given.shape[-1])
        return result


def float_of(op: Op) -> Scalar:
    """The type of the result, or that of which errors are taken where it is no float."""
    return op.result if isinstance(op.result, Scalar) and op.result in FLOATS else F32


def differ(pieces: Lanes, from_these: Lanes) -> Mask:
    """Lanes on which some variant lies in another piece; NaN is a piece of its own."""
    other = pieces != from_these
    if pieces.dtype.kind in FLOATING:
        other &= ~(np.isnan(pieces) & np.isnan(from_these))
    return np.asarray(other.any(axis=0) if other.ndim > 1 else other, np.bool_)


@lru_cache(maxsize=8)
def _drawn(patterns: int) -> Variants:
    """The same for all kernels: it only has to be unrelated to what they compute."""
    return np.random.Generator(np.random.PCG64(patterns)).uniform(-1.0, 1.0, (patterns, DRAWN))
