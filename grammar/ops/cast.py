"""Casts, spelt as Python spells them: `float(n)`, `int(x)`, `wp.float64(x)`, `bool(n)`.

The key insight: a cast between floats keeps a value that is wider than its type should be, since that is a shadow kept
at higher precision; it changes the width only of what has the width of its type.
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


def _between_floats(source: Scalar, target: Scalar) -> Callable[[Lanes], Lanes]:
    def cast(x: Lanes) -> Lanes:
        return x.astype(target.dtype) if x.dtype == source.dtype else x

    return cast


def _fits_int32(x: Lanes) -> Lanes:
    """Where the truncated value is an int32."""
    return np.abs(x) < 2.0**31


ROWS: tuple[Op, ...] = (
    *(_row(T.name, (S,), T, Call(T.spelling), _between_floats(S, T)) for S, T in ((F32, F64), (F64, F32))),
    *(_row(T.name, (S,), T, Call(T.spelling), _to(T)) for S in (I32, BOOL) for T in FLOATS),
    *(_row("int32", (S,), I32, Call("int"), _to(I32), _fits_int32, np.trunc, differentiable=False) for S in FLOATS),
    _row("int32", (BOOL,), I32, Call("int"), _to(I32), differentiable=False),
    *(_row("bool", (S,), BOOL, Call("bool"), _to(BOOL), jump=np.sign, differentiable=False) for S in FLOATS),
    _row("bool", (I32,), BOOL, Call("bool"), _to(BOOL), differentiable=False),
)
