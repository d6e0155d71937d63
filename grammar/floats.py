"""What is known of floats, NumPy's and bfloat16, which is ml_dtypes'.

The key insight: where only these facts are asked, nobody else needs to know that one of them is not NumPy's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

FLOATING = "fV"
"""What NumPy calls the kinds of their types."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Numbers that NumPy's `finfo` names likewise."""

    eps: float
    max: float
    tiny: float
    smallest_subnormal: float


@cache
def precision(dtype: np.dtype[Any]) -> Precision:
    """Of a type of floats."""
    info: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # which is not annotated
    return Precision(*(float(number) for number in (info.eps, info.max, info.tiny, info.smallest_subnormal)))
