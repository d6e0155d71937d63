"""Bits of integers.

The key insight: shifts wrap in two's complement on every target, and only the distance has a domain: beyond the width
it is undefined behaviour.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from grammar.op import Call, Infix, Lanes, Op, Prefix
from grammar.ops import numerics
from grammar.types import I32

_row = partial(Op, exact=True, differentiable=False, group="integer")


def _within_width(a: Lanes, distance: Lanes) -> Lanes:
    return numerics.spread((distance >= 0) & (distance < 32), a)


ROWS: tuple[Op, ...] = (
    _row("bit_and", (I32, I32), I32, Infix("BitAnd"), np.bitwise_and),
    _row("bit_or", (I32, I32), I32, Infix("BitOr"), np.bitwise_or),
    _row("bit_xor", (I32, I32), I32, Infix("BitXor"), np.bitwise_xor),
    _row("lshift", (I32, I32), I32, Infix("LeftShift"), np.left_shift, _within_width),
    _row("rshift", (I32, I32), I32, Infix("RightShift"), np.right_shift, _within_width),
    _row("invert", (I32,), I32, Prefix("BitInvert"), np.invert),
    _row("bit_count", (I32,), I32, Call("wp.bit_count"), numerics.bit_count),
)
