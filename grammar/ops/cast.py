"""Casts, spelt as Python spells them: `float(n)`, `int(x)`, `wp.float64(x)`, `bool(n)`.

The key insight: only a value is rounded. Variants of a value, which are kept at higher precision than their type has,
stay as precise as they are; otherwise a cast to float32 would make a staircase of what is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from grammar.op import Call, Lanes, Op
from grammar.types import BOOL, F32, F64, FLOATS, I32, Scalar

_row = partial(Op, exact=True, group="cast", weight=0.5)


def _to(target: Scalar) -> Callable[[Lanes], Lanes]:
    return lambda x: x.astype(target.dtype)


def _widened(x: Lanes) -> Lanes:
    return x.astype(np.result_type(x, np.float64))


def _narrowed(x: Lanes) -> Lanes:
    """Variants of a value, which is what more than one axis means, are not rounded."""
    return x.astype(np.float32) if x.ndim <= 1 else x


def _fits_float32(x: Lanes) -> Lanes:
    return np.abs(x) <= float(np.finfo(np.float32).max)


def _fits_int32(x: Lanes) -> Lanes:
    """Where the truncated value is an int32; symmetric, as near -2**31 no float32 tells the difference."""
    return np.abs(x) < 2.0**31


ROWS: tuple[Op, ...] = (
    _row(F64.name, (F32,), F64, Call(F64.spelling), _widened),
    _row(F32.name, (F64,), F32, Call(F32.spelling), _narrowed, _fits_float32),
    *(_row(T.name, (S,), T, Call(T.spelling), _to(T)) for S in (I32, BOOL) for T in FLOATS),
    *(_row("int32", (S,), I32, Call("int"), _to(I32), _fits_int32, np.trunc, differentiable=False) for S in FLOATS),
    _row("int32", (BOOL,), I32, Call("int"), _to(I32), differentiable=False),
    *(_row("bool", (S,), BOOL, Call("bool"), _to(BOOL), jump=np.sign, differentiable=False) for S in FLOATS),
    _row("bool", (I32,), BOOL, Call("bool"), _to(BOOL), differentiable=False),
)
