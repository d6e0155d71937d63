"""Choosing one of two values: the builtin `where` and the conditional expression.

The key insight: a condition is an int or a bool and so already decided; what makes it uncertain is the comparison that
it came from, so these rows have neither jumps nor kinks.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from grammar.op import Call, Lanes, Op, Ternary
from grammar.types import BOOL, INTEGERS, SCALARS

_row = partial(Op, exact=True, group="select")


def _choose(condition: Lanes, a: Lanes, b: Lanes) -> Lanes:
    return np.where(condition, a, b)


ROWS: tuple[Op, ...] = (
    *(_row("where", (C, T, T), T, Call("wp.where"), _choose) for T in SCALARS for C in (BOOL, *INTEGERS)),
    *(_row("ternary", (BOOL, T, T), T, Ternary(), _choose) for T in SCALARS),
)
