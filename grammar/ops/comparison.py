"""Comparisons, tests of floats, and logic.

The key insight: where floats are compared for order, the answer itself says on which side of the jump a lane is; for
equality it is the order that says so, since values on both sides are unequal.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from grammar.op import Call, Infix, Lanes, Op, Prefix
from grammar.types import BOOL, FLOATS, INTEGERS, NUMBERS, Scalar

_row = partial(Op, exact=True, differentiable=False, group="comparison")
_logic = partial(Op, exact=True, differentiable=False, group="logic")


def _order(a: Lanes, b: Lanes) -> Lanes:
    return (a > b).astype(np.int8) - (a < b)


_ORDERINGS = {
    "less": ("LessThan", np.less),
    "less_equal": ("LessThanEqual", np.less_equal),
    "greater": ("GreaterThan", np.greater),
    "greater_equal": ("GreaterThanEqual", np.greater_equal),
}
_EQUALITIES = {"equal": ("Equal", np.equal), "not_equal": ("NotEqual", np.not_equal)}
_TESTS = {"isfinite": np.isfinite, "isnan": np.isnan, "isinf": np.isinf}


def _orderings(T: Scalar) -> list[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    return [
        _row(name, (T, T), BOOL, Infix(token), holds, jump=holds if T in FLOATS else None)
        for name, (token, holds) in _ORDERINGS.items()
    ]


def _equalities(T: Scalar) -> list[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    return [
        _row(name, (T, T), BOOL, Infix(token), holds, jump=_order if T in FLOATS else None)
        for name, (token, holds) in _EQUALITIES.items()
    ]


ROWS: tuple[Op, ...] = (
    *(op for T in NUMBERS for op in _orderings(T)),
    *(op for T in (*NUMBERS, BOOL) for op in _equalities(T)),
    *(_row(name, (T,), BOOL, Call(f"wp.{name}"), test, jump=test) for name, test in _TESTS.items() for T in FLOATS),
    _logic("logical_and", (BOOL, BOOL), BOOL, Infix("And"), np.logical_and),
    _logic("logical_or", (BOOL, BOOL), BOOL, Infix("Or"), np.logical_or),
    *(_logic("logical_not", (T,), BOOL, Prefix("Not"), np.logical_not) for T in (BOOL, *INTEGERS)),
)
