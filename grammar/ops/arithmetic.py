"""Arithmetic: the operators + - * / % //, signs, the smaller and the larger, clamping, interpolating.

The key insight: the float and the integer overload of a name are two operations. Division truncates integers. Unsigned
integers wrap, and so do signed ones narrower than int, in which C++ computes; an int32 or int64 that overflows is
undefined behaviour, so these have a domain where floats have jumps and kinks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from grammar.op import Call, Infix, Lanes, Op, Prefix
from grammar.ops import numerics
from grammar.ops.numerics import spread
from grammar.types import FLOATS, I32, I64, INTEGERS, U16, UNSIGNED, Scalar

_row = partial(Op, exact=True, group="arithmetic")
_step = partial(_row, differentiable=False)

Predicate = Callable[..., Lanes]


def _fits_int(exact: Callable[..., Lanes]) -> Predicate:
    """Where the operation, done in 64 bits, doesn't overflow a C++ int."""
    return lambda *args: numerics.fits_int32(exact(*(arg.astype(np.int64) for arg in args)))


_FITS: Mapping[tuple[str, Scalar], Predicate] = {
    ("add", I32): _fits_int(np.add),
    ("sub", I32): _fits_int(np.subtract),
    ("mul", I32): _fits_int(np.multiply),
    ("mul", U16): _fits_int(np.multiply),  # promoted to int, which a product of two may overflow
    ("add", I64): numerics.sum_fits,
    ("sub", I64): numerics.difference_fits,
    ("mul", I64): numerics.product_fits,
}
"""Where the integer operation is defined; everywhere for those that are not listed."""


def _divides(scalar: Scalar) -> Predicate:
    """The least number has no opposite, which matters where it is not promoted to a wider type."""
    if scalar not in (I32, I64):
        return lambda a, b: spread(b != 0, a)
    least = np.iinfo(scalar.dtype).min
    return lambda a, b: np.asarray((b != 0) & ((a != least) | (b != -1)))


def _has_opposite(scalar: Scalar) -> Predicate | None:
    least = np.iinfo(scalar.dtype).min
    return (lambda x: np.asarray(x != least)) if scalar in (I32, I64) else None


def _signed(scalar: Scalar) -> float:
    """The weight of what is only worth asking of types that have a sign."""
    return 0.0 if scalar in UNSIGNED else 1.0


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
    *(_row("modulo", (T, T), T, Call("wp.mod"), np.fmod, _divisor_nonzero, _truncated, weight=0.5) for T in FLOATS),
    *(_step("floordiv", (T, T), T, Infix("FloorDivide"), *_FLOOR) for T in FLOATS),
    *(_row("add", (T, T), T, Infix("Add"), np.add, _FITS.get(("add", T))) for T in INTEGERS),
    *(_row("sub", (T, T), T, Infix("Subtract"), np.subtract, _FITS.get(("sub", T))) for T in INTEGERS),
    *(_row("mul", (T, T), T, Infix("Multiply"), np.multiply, _FITS.get(("mul", T))) for T in INTEGERS),
    *(_row("div", (T, T), T, Infix("Divide"), numerics.truncated_quotient, _divides(T)) for T in INTEGERS),
    *(_row("mod", (T, T), T, Infix("Modulo"), np.fmod, _divides(T)) for T in INTEGERS),
    *(_row("modulo", (T, T), T, Call("wp.mod"), np.fmod, _divides(T), weight=0.5) for T in INTEGERS),
    *(_step("floordiv", (T, T), T, Infix("FloorDivide"), np.floor_divide, _divides(T)) for T in INTEGERS),
    # -- one operand ---------------------------------------------------------------------------------------------------
    *(_row("neg", (T,), T, Prefix("Minus"), numerics.negate) for T in FLOATS),
    *(_row("neg", (T,), T, Prefix("Minus"), numerics.negate, _has_opposite(T)) for T in INTEGERS),
    *(_row("abs", (T,), T, Call("wp.abs"), np.abs, kink=_below_zero) for T in FLOATS),
    *(_row("abs", (T,), T, Call("wp.abs"), np.abs, _has_opposite(T), weight=_signed(T)) for T in INTEGERS),
    *(_step("sign", (T,), T, Call("wp.sign"), numerics.sign, jump=_below_zero) for T in FLOATS),
    *(_step("sign", (T,), T, Call("wp.sign"), numerics.sign, weight=_signed(T)) for T in INTEGERS),
    *(_step("step", (T,), T, Call("wp.step"), numerics.step, jump=_below_zero) for T in FLOATS),
    *(_step("step", (T,), T, Call("wp.step"), numerics.step, weight=_signed(T)) for T in INTEGERS),
    *(_step("nonzero", (T,), T, Call("wp.nonzero"), numerics.nonzero, jump=np.sign) for T in FLOATS),
    *(_step("nonzero", (T,), T, Call("wp.nonzero"), numerics.nonzero) for T in INTEGERS),
    # -- two and three operands ----------------------------------------------------------------------------------------
    *(_row("min", (T, T), T, Call("wp.min"), numerics.fmin, kink=np.less) for T in FLOATS),
    *(_row("max", (T, T), T, Call("wp.max"), numerics.fmax, kink=np.greater) for T in FLOATS),
    *(_row("clamp", (T, T, T), T, Call("wp.clamp"), numerics.clamp, kink=_clamped) for T in FLOATS),
    *(_row("min", (T, T), T, Call("wp.min"), np.minimum) for T in INTEGERS),
    *(_row("max", (T, T), T, Call("wp.max"), np.maximum) for T in INTEGERS),
    *(_row("clamp", (T, T, T), T, Call("wp.clamp"), numerics.integer_clamp) for T in INTEGERS),
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
