"""Casts, spelt as Python spells them: `float(n)`, `int(x)`, `wp.float64(x)`, `wp.uint8(n)`, `bool(n)`.

The key insight: only a value is rounded. Variants of a value, which are kept at higher precision than their type has,
stay as precise as they are; otherwise a cast to float32 would make a staircase of what is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from grammar.op import Call, Lanes, Op
from grammar.types import BOOL, FLOATS, INTEGERS, NUMBERS, SIGNED, Scalar

_row = partial(Op, exact=True, group="cast", weight=0.5)


def _to(target: Scalar) -> Callable[[Lanes], Lanes]:
    """Integers that don't fit lose their upper bits."""
    return lambda x: x.astype(target.dtype)


def _widened(x: Lanes) -> Lanes:
    return x.astype(np.result_type(x, np.float64))


def _narrowed(x: Lanes) -> Lanes:
    """Variants of a value, which is what more than one axis means, are not rounded."""
    return x.astype(np.float32) if x.ndim <= 1 else x


def _fits_float32(x: Lanes) -> Lanes:
    return np.abs(x) <= float(np.finfo(np.float32).max)


def _fits(target: Scalar) -> Callable[[Lanes], Lanes]:
    """Where the truncated value is an integer of the type: C++ leaves undefined what comes of any other.

    Symmetric where there is a sign, as near -2**31 no float32 tells the difference.
    """
    if target in SIGNED:
        return lambda x: np.abs(x) < np.float64(2.0 ** (target.bits - 1))
    return lambda x: np.asarray((x > -1) & (x < np.float64(2.0**target.bits)))


def _between_floats(source: Scalar, target: Scalar) -> Op:
    if target.bits > source.bits:
        return _row(target.name, (source,), target, Call(target.spelling), _widened)
    return _row(target.name, (source,), target, Call(target.spelling), _narrowed, _fits_float32)


def _to_integer(source: Scalar, target: Scalar) -> Op:
    meaning, call = _to(target), Call(target.spelling)
    if source in FLOATS:
        return _row(target.name, (source,), target, call, meaning, _fits(target), np.trunc, differentiable=False)
    return _row(target.name, (source,), target, call, meaning, differentiable=False)


ROWS: tuple[Op, ...] = (
    *(_between_floats(S, T) for T in FLOATS for S in FLOATS if S is not T),
    *(_row(T.name, (S,), T, Call(T.spelling), _to(T)) for T in FLOATS for S in (*INTEGERS, BOOL)),
    *(_to_integer(S, T) for T in INTEGERS for S in (*NUMBERS, BOOL) if S is not T),
    *(_row("bool", (S,), BOOL, Call("bool"), _to(BOOL), jump=np.sign, differentiable=False) for S in FLOATS),
    *(_row("bool", (S,), BOOL, Call("bool"), _to(BOOL), differentiable=False) for S in INTEGERS),
)
