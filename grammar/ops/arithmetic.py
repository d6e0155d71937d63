"""Arithmetic: the operators + - * / % //, signs, the smaller and the larger, clamping, interpolating.

The key insight: the float and the integer overload of a name are two operations. Division truncates integers, and an
int32 result that overflows is undefined behaviour, so integers have a domain where floats have jumps and kinks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from grammar.op import Call, Infix, Lanes, Op, Prefix
from grammar.ops import numerics
from grammar.ops.numerics import spread
from grammar.types import FLOATS, I32, NUMBERS

_row = partial(Op, exact=True, group="arithmetic")
_step = partial(_row, differentiable=False)

INT_MIN = -(2**31)


def _fits(exact: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """Where the int32 operation, done in 64 bits, doesn't overflow."""
    return lambda *args: numerics.fits_int32(exact(*(arg.astype(np.int64) for arg in args)))


def _divides(a: Lanes, b: Lanes) -> Lanes:
    return np.asarray((b != 0) & ((a != INT_MIN) | (b != -1)))


def _has_opposite(x: Lanes) -> Lanes:
    return np.asarray(x != INT_MIN)


def _divisor_nonzero(a: Lanes, b: Lanes) -> Lanes:
    return spread(b != 0, a)


def _divisor_sign(a: Lanes, b: Lanes) -> Lanes:
    return spread(np.signbit(b), a)


def _truncated(a: Lanes, b: Lanes) -> Lanes:
    return np.trunc(a / b)


def _below_zero(x: Lanes) -> Lanes:
    return x < 0


def _clamped(x: Lanes, low: Lanes, high: Lanes) -> Lanes:
    """Which of x, low and high comes out: 0, 1 or 2."""
    return np.where(numerics.fmax(low, x) > high, 2, low >= x)


def _smoothstep_piece(edge0: Lanes, edge1: Lanes, x: Lanes) -> Lanes:
    """0 and 2 where it is flat, 1 between the edges."""
    t = (x - edge0) / (edge1 - edge0)
    return np.where(t > 0, np.where(t < 1, 1, 2), 0)


_FLOOR = (numerics.floor_quotient, _divisor_nonzero, numerics.floor_quotient)
"""Meaning, domain and jump: each value is a piece of its own."""

ROWS: tuple[Op, ...] = (
    *(_row("add", (T, T), T, Infix("Add"), np.add) for T in FLOATS),
    *(_row("sub", (T, T), T, Infix("Subtract"), np.subtract) for T in FLOATS),
    *(_row("mul", (T, T), T, Infix("Multiply"), np.multiply) for T in FLOATS),
    *(_row("div", (T, T), T, Infix("Divide"), np.divide, _divisor_nonzero, _divisor_sign) for T in FLOATS),
    *(_row("mod", (T, T), T, Infix("Modulo"), np.fmod, _divisor_nonzero, _truncated) for T in FLOATS),
    *(_step("floordiv", (T, T), T, Infix("FloorDivide"), *_FLOOR) for T in FLOATS),
    _row("add", (I32, I32), I32, Infix("Add"), np.add, _fits(np.add)),
    _row("sub", (I32, I32), I32, Infix("Subtract"), np.subtract, _fits(np.subtract)),
    _row("mul", (I32, I32), I32, Infix("Multiply"), np.multiply, _fits(np.multiply)),
    _row("div", (I32, I32), I32, Infix("Divide"), numerics.truncated_quotient, _divides),
    _row("mod", (I32, I32), I32, Infix("Modulo"), np.fmod, _divides),
    _step("floordiv", (I32, I32), I32, Infix("FloorDivide"), np.floor_divide, _divides),
    # -- one operand ---------------------------------------------------------------------------------------------------
    *(_row("neg", (T,), T, Prefix("Minus"), numerics.negate) for T in FLOATS),
    _row("neg", (I32,), I32, Prefix("Minus"), numerics.negate, _has_opposite),
    *(_row("pos", (T,), T, Prefix("Plus"), np.positive, weight=0.05) for T in NUMBERS),
    *(_row("abs", (T,), T, Call("wp.abs"), np.abs, kink=_below_zero) for T in FLOATS),
    _row("abs", (I32,), I32, Call("wp.abs"), np.abs, _has_opposite),
    *(_step("sign", (T,), T, Call("wp.sign"), numerics.sign, jump=_below_zero) for T in FLOATS),
    _step("sign", (I32,), I32, Call("wp.sign"), numerics.sign),
    *(_step("step", (T,), T, Call("wp.step"), numerics.step, jump=_below_zero) for T in FLOATS),
    _step("step", (I32,), I32, Call("wp.step"), numerics.step),
    *(_step("nonzero", (T,), T, Call("wp.nonzero"), numerics.nonzero, jump=np.sign) for T in FLOATS),
    _step("nonzero", (I32,), I32, Call("wp.nonzero"), numerics.nonzero),
    # -- two and three operands ----------------------------------------------------------------------------------------
    *(_row("min", (T, T), T, Call("wp.min"), numerics.fmin, kink=np.less) for T in FLOATS),
    *(_row("max", (T, T), T, Call("wp.max"), numerics.fmax, kink=np.greater) for T in FLOATS),
    *(_row("clamp", (T, T, T), T, Call("wp.clamp"), numerics.clamp, kink=_clamped) for T in FLOATS),
    _row("min", (I32, I32), I32, Call("wp.min"), np.minimum),
    _row("max", (I32, I32), I32, Call("wp.max"), np.maximum),
    _row("clamp", (I32, I32, I32), I32, Call("wp.clamp"), numerics.integer_clamp),
    *(
        _row(
            "copysign",
            (T, T),
            T,
            Call("wp.copysign"),
            np.copysign,
            domain=lambda x, y: spread(~np.isnan(y), x),  # a NaN's sign is nobody's business
            jump=lambda x, y: spread(np.signbit(y), x),
            kink=lambda x, y: spread(np.signbit(x), y),
        )
        for T in FLOATS
    ),
    *(_row("lerp", (T, T, T), T, Call("wp.lerp"), numerics.lerp) for T in FLOATS),
    *(
        _row(
            "smoothstep",
            (T, T, T),
            T,
            Call("wp.smoothstep"),
            numerics.smoothstep,
            domain=lambda edge0, edge1, x: spread(edge0 != edge1, x),
            jump=lambda edge0, edge1, x: spread(edge0 < edge1, x),
            kink=_smoothstep_piece,
        )
        for T in FLOATS
    ),
)
