"""What is asked of all lanes at once, or is the same on all of them.

The key insight: a kernel is seen on some hundreds of lanes, of which NumPy's own `any`, `all`, `min` and `max` make
less than of the way to them. Counting, and finding where the least is, take a fifth of that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grammar.op import Lanes
from grammar.types import HALVES, Scalar


def some(mask: NDArray[np.bool_]) -> bool:
    """Whether it holds on any lane."""
    return bool(np.count_nonzero(mask))


def every(mask: NDArray[np.bool_]) -> bool:
    """Whether it holds on all lanes."""
    return bool(np.count_nonzero(mask) == mask.size)


def least(values: Lanes) -> Any:
    """The smallest number, as Python's own; NaN if there is one. Raises ValueError if there is none at all."""
    return values.item(values.argmin())


def greatest(values: Lanes) -> Any:
    """The largest number, likewise."""
    return values.item(values.argmax())


def filled(value: float | int | bool, type: Scalar, lanes: int) -> Lanes:
    """A constant on all lanes, which can't be changed."""
    return _filled(value, type, lanes, "" if value else repr(value))


@lru_cache(maxsize=1024)
def _filled(value: float | int | bool, type: Scalar, lanes: int, text: str) -> Lanes:
    """`text` tells apart what compares equal: the two zeros."""
    del text
    number = np.float32(value) if type in HALVES else value  # Warp goes by way of float32
    array = np.full(lanes, type.dtype.type(number))
    array.setflags(write=False)
    return array
