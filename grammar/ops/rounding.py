"""Rounding to whole numbers.

The key insight: a rounded value numbers its own piece, so the meaning doubles as the jump; only the fraction needs
another, and no slope flows through any of them in Warp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from grammar.op import Call, Lanes, Op
from grammar.ops import numerics
from grammar.types import FLOATS

_row = partial(Op, exact=True, differentiable=False, group="math")

_ROUNDINGS: Mapping[str, Callable[..., Lanes]] = {
    "round": numerics.round_half_away,
    "rint": np.rint,
    "trunc": np.trunc,
    "floor": np.floor,
    "ceil": np.ceil,
}

ROWS: tuple[Op, ...] = (
    *(_row(name, (T,), T, Call(f"wp.{name}"), to, jump=to) for name, to in _ROUNDINGS.items() for T in FLOATS),
    *(_row("frac", (T,), T, Call("wp.frac"), numerics.fraction, jump=np.trunc) for T in FLOATS),
)
