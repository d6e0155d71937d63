"""Elementary functions: powers, roots, logarithms, angles and the error function.

The key insight: these are the rows whose last bits depend on a library, so they alone are not `exact`; where they are
defined, where they clamp and where they have poles is what random inputs seldom show.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from grammar.op import Call, Infix, Lanes, Op
from grammar.ops import numerics, special
from grammar.types import FLOATS

_exact = partial(Op, exact=True, group="math")
_row = partial(Op, group="math")


def _positive(x: Lanes) -> Lanes:
    return x > 0


def _not_negative(x: Lanes) -> Lanes:
    return x >= 0


def _within_one(x: Lanes) -> Lanes:
    return np.abs(x) <= 1


def _clamped_to_one(x: Lanes) -> Lanes:
    return np.where(np.abs(x) < 1, 0, np.sign(x))


def _branch_of_tan(x: Lanes) -> Lanes:
    return np.floor(x / np.pi + 0.5)


def _off_origin(y: Lanes, x: Lanes) -> Lanes:
    return np.asarray((y != 0) | (x != 0))


def _quadrant(y: Lanes, x: Lanes) -> Lanes:
    """The angle jumps across the negative x axis and, through the origin, between any two quadrants."""
    return np.asarray(np.signbit(y) + 2 * np.signbit(x))


def _base_positive(base: Lanes, exponent: Lanes) -> Lanes:
    return numerics.spread(base > 0, exponent)


ROWS: tuple[Op, ...] = (
    *(_exact("sqrt", (T,), T, Call("wp.sqrt"), np.sqrt, _not_negative) for T in FLOATS),
    *(_row("cbrt", (T,), T, Call("wp.cbrt"), np.cbrt, kink=np.signbit) for T in FLOATS),
    *(_row("exp", (T,), T, Call("wp.exp"), np.exp) for T in FLOATS),
    *(_row("log", (T,), T, Call("wp.log"), np.log, _positive) for T in FLOATS),
    *(_row("log2", (T,), T, Call("wp.log2"), np.log2, _positive) for T in FLOATS),
    *(_row("log10", (T,), T, Call("wp.log10"), np.log10, _positive) for T in FLOATS),
    *(_row("pow", (T, T), T, Call("wp.pow"), np.power, _base_positive) for T in FLOATS),
    *(_row("power", (T, T), T, Infix("Power"), np.power, _base_positive) for T in FLOATS),
    # -- angles --------------------------------------------------------------------------------------------------------
    *(_row("sin", (T,), T, Call("wp.sin"), np.sin) for T in FLOATS),
    *(_row("cos", (T,), T, Call("wp.cos"), np.cos) for T in FLOATS),
    *(_row("tan", (T,), T, Call("wp.tan"), np.tan, jump=_branch_of_tan) for T in FLOATS),
    *(_row("asin", (T,), T, Call("wp.asin"), numerics.arc_sine, _within_one, kink=_clamped_to_one) for T in FLOATS),
    *(_row("acos", (T,), T, Call("wp.acos"), numerics.arc_cosine, _within_one, kink=_clamped_to_one) for T in FLOATS),
    *(_row("atan", (T,), T, Call("wp.atan"), np.arctan) for T in FLOATS),
    *(_row("atan2", (T, T), T, Call("wp.atan2"), np.arctan2, _off_origin, _quadrant) for T in FLOATS),
    *(_row("sinh", (T,), T, Call("wp.sinh"), np.sinh) for T in FLOATS),
    *(_row("cosh", (T,), T, Call("wp.cosh"), np.cosh) for T in FLOATS),
    *(_row("tanh", (T,), T, Call("wp.tanh"), np.tanh) for T in FLOATS),
    *(_exact("degrees", (T,), T, Call("wp.degrees"), numerics.degrees) for T in FLOATS),
    *(_exact("radians", (T,), T, Call("wp.radians"), numerics.radians) for T in FLOATS),
    # -- the error function --------------------------------------------------------------------------------------------
    *(_row("erf", (T,), T, Call("wp.erf"), special.erf) for T in FLOATS),
    *(_row("erfc", (T,), T, Call("wp.erfc"), special.erfc) for T in FLOATS),
    *(_row("erfinv", (T,), T, Call("wp.erfinv"), special.erfinv, lambda x: np.abs(x) < 1) for T in FLOATS),
    *(_row("erfcinv", (T,), T, Call("wp.erfcinv"), special.erfcinv, lambda x: (x > 0) & (x < 2)) for T in FLOATS),
)
