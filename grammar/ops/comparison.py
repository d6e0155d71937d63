"""Comparisons, tests of floats, and logic.

The key insight: where floats are compared for order, the answer itself says on which side of the jump a lane is; for
equality it is the order that says so, since values on both sides are unequal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from grammar.op import Call, Chain, Infix, Lanes, Op, Prefix
from grammar.types import BOOL, FLOATS, INTEGERS, NUMBERS, Scalar

_row = partial(Op, exact=True, differentiable=False, group="comparison")
_logic = partial(Op, exact=True, differentiable=False, group="logic")


Relation = Callable[[Lanes, Lanes], Lanes]


def _order(a: Lanes, b: Lanes) -> Lanes:
    return (a > b).astype(np.int8) - (a < b)


_ORDERINGS: Mapping[str, tuple[str, Relation]] = {
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


_ROOFS = ("less", "less_equal")
"""What stands on both sides of a chain, as people write it: from the lowest to the highest."""


def _betweens(T: Scalar) -> list[Op]:  # noqa: N803 - likewise
    return [_between(T, *_ORDERINGS[first], *_ORDERINGS[second]) for first in _ROOFS for second in _ROOFS]


def _between(T: Scalar, first: str, above: Relation, second: str, below: Relation) -> Op:  # noqa: N803 - likewise
    def meaning(low: Lanes, x: Lanes, high: Lanes) -> Lanes:
        return np.asarray(above(low, x) & below(x, high))

    def jump(low: Lanes, x: Lanes, high: Lanes) -> Lanes:
        return np.asarray(2 * above(low, x).astype(np.int8) + below(x, high))

    return _row("between", (T, T, T), BOOL, Chain(first, second), meaning, jump=jump if T in FLOATS else None)


ROWS: tuple[Op, ...] = (
    *(op for T in NUMBERS for op in _orderings(T)),
    *(op for T in (*NUMBERS, BOOL) for op in _equalities(T)),
    *(op for T in NUMBERS for op in _betweens(T)),
    *(_row(name, (T,), BOOL, Call(f"wp.{name}"), test, jump=test) for name, test in _TESTS.items() for T in FLOATS),
    _logic("logical_and", (BOOL, BOOL), BOOL, Infix("And"), np.logical_and),
    _logic("logical_or", (BOOL, BOOL), BOOL, Infix("Or"), np.logical_or),
    *(_logic("logical_not", (T,), BOOL, Prefix("Not"), np.logical_not) for T in (BOOL, *INTEGERS)),
)
