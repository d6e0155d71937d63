"""Bits of integers.

The key insight: C++ works in no type narrower than int, so how far a shift may go is a matter of the promoted type,
and what comes out is cut back to the type. Shifts wrap in two's complement on every target; only the distance has a
domain: beyond the width it is undefined behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from grammar.op import Call, Infix, Lanes, Op, Prefix
from grammar.ops import numerics
from grammar.types import I32, INTEGERS, Scalar

_row = partial(Op, exact=True, differentiable=False, group="integer")


def _within_width(scalar: Scalar) -> Callable[[Lanes, Lanes], Lanes]:
    width = max(32, scalar.bits)
    return lambda a, distance: numerics.spread((distance >= 0) & (distance < width), a)


ROWS: tuple[Op, ...] = (
    *(_row("bit_and", (T, T), T, Infix("BitAnd"), np.bitwise_and) for T in INTEGERS),
    *(_row("bit_or", (T, T), T, Infix("BitOr"), np.bitwise_or) for T in INTEGERS),
    *(_row("bit_xor", (T, T), T, Infix("BitXor"), np.bitwise_xor) for T in INTEGERS),
    *(_row("lshift", (T, T), T, Infix("LeftShift"), np.left_shift, _within_width(T)) for T in INTEGERS),
    *(_row("rshift", (T, T), T, Infix("RightShift"), np.right_shift, _within_width(T)) for T in INTEGERS),
    *(_row("invert", (T,), T, Prefix("BitInvert"), np.invert) for T in INTEGERS),
    *(_row("bit_count", (T,), I32, Call("wp.bit_count"), numerics.bit_count) for T in INTEGERS),
)
