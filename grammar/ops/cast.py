"""Casts, spelt as Python spells them: `float(n)`, `int(x)`, `wp.float64(x)`, `wp.uint8(n)`, `bool(n)`.

The key insight: only a value is rounded. Variants of a value, which are kept at higher precision than their type has,
stay as precise as they are; otherwise a cast to float32 would make a staircase of what is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from grammar.floats import precision
from grammar.number import Number
from grammar.op import Call, Lanes, Op
from grammar.types import BOOL, F16, F32, F64, FLOATS, HALVES, INTEGERS, NUMBERS, SIGNED, U32, U64, Scalar

_row = partial(Op, exact=True, group="cast", weight=0.5)


def _to(target: Scalar) -> Callable[[Lanes], Lanes]:
    """Integers that don't fit lose their upper bits."""
    return lambda x: x.astype(target.dtype)


def _rounded(target: Scalar) -> Callable[[Lanes], Lanes]:
    """Variants of a value, which is what more than one axis means, are not rounded. To two bytes by way of float32."""
    if target in HALVES:
        return lambda x: x.astype(np.float32).astype(target.dtype) if x.ndim <= 1 else x
    return lambda x: x.astype(target.dtype) if x.ndim <= 1 else x.astype(np.result_type(x, target.dtype))


def _is_finite(target: Scalar) -> Callable[[Lanes], Lanes]:
    """Where the rounded value is finite."""
    largest = precision(target.dtype).max
    if target not in HALVES:
        return lambda x: np.asarray(np.abs(x) <= largest)
    eps = precision(target.dtype).eps
    beyond = largest / (2 - eps) * (2 - eps / 2)  # half a step further
    return lambda x: np.asarray(np.abs(x) < np.float64(beyond))


def _fits(target: Scalar) -> Callable[[Lanes], Lanes]:
    """Where the truncated value is an integer of the type: C++ leaves undefined what comes of any other.

    Symmetric where there is a sign, as near -2**31 no float32 tells the difference.
    """
    if target in SIGNED:
        return lambda x: np.abs(x) < np.float64(2.0 ** (target.bits - 1))
    return lambda x: np.asarray((x > -1) & (x < np.float64(2.0**target.bits)))


def _between_floats(source: Scalar, target: Scalar) -> Op:
    domain = None if target.bits > source.bits else _is_finite(target)
    return _row(target.name, (source,), target, Call(target.spelling), _rounded(target), domain)


def _small(source: Scalar, target: Scalar) -> Callable[[Lanes], Lanes] | None:
    """Where an integer is not too large for a float."""
    return _is_finite(F16) if target is F16 and source.bits >= 16 else None


def _to_integer(source: Scalar, target: Scalar) -> Op:
    meaning, call = _to(target), Call(target.spelling)
    if source in FLOATS:
        return _row(target.name, (source,), target, call, meaning, _fits(target), np.trunc, differentiable=False)
    return _row(target.name, (source,), target, call, meaning, differentiable=False)


def _bits(source: Scalar, target: Scalar) -> Callable[[Lanes], Lanes]:
    def bits(x: Lanes) -> Lanes:
        return x.astype(source.dtype).view(target.dtype)

    return bits


def _is_number(x: Lanes) -> Lanes:
    return np.asarray(~np.isnan(x))


def _reread(source: Scalar, target: Scalar) -> Op:
    """The same bits as another type. Those of a float jump wherever it changes, and of a NaN there are many."""
    bits = _bits(source, target)
    inner = Op("bits", (source,), target, Call("wp.cast"), bits, _is_number, bits, exact=True, differentiable=False)
    dtype = Call("wp.cast", (("dtype", target.spelling),))

    def meaning(x: Number) -> Number:
        return Number(x.calculus.apply(inner, [x.value]), target, x.calculus)

    return Op(
        *("cast", (source,), target, dtype, meaning),
        exact=True,
        differentiable=False,
        group="integer",
        weight=0.1,
        is_composite=True,
    )


REREAD = (_reread(F32, U32), _reread(F64, U64))
"""As hashes do it. Of the other way hardly any bits make a number that is good for anything."""

ROWS: tuple[Op, ...] = (
    *(_between_floats(S, T) for T in FLOATS for S in FLOATS if S is not T),
    *(_row(T.name, (S,), T, Call(T.spelling), _to(T), _small(S, T)) for T in FLOATS for S in INTEGERS),
    *(_row(T.name, (BOOL,), T, Call(T.spelling), _to(T)) for T in (F32, F64)),
    *(_to_integer(S, T) for T in INTEGERS for S in (*NUMBERS, BOOL) if S is not T),
    *(_row("bool", (S,), BOOL, Call("bool"), _to(BOOL), jump=np.sign, differentiable=False) for S in (F32, F64)),
    *(_row("bool", (S,), BOOL, Call("bool"), _to(BOOL), differentiable=False) for S in INTEGERS),
)
