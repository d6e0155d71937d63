"""Angles: multiples of pi, and shares of it.

The key insight: people write pi where an angle goes in or comes out, and hardly anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

from grammar.choose import chance, pick, weighted
from grammar.draft import Draft, Grown
from grammar.heights import term_height
from grammar.op import Op
from grammar.ops import ROWS
from grammar.tree import Apply, Const, Term
from grammar.types import WARPS, Scalar

OF_ANGLES = ("sin", "cos", "tan")
"""Operations that take an angle."""
GIVING_ANGLES = ("atan2", "atan", "asin", "acos")
TURNS = 0.3
"""How often an angle is a multiple of pi, or is made a share of it."""
MULTIPLES: Mapping[str, float] = {"wp.pi": 6.0, "wp.tau": 1.5, "wp.half_pi": 1.5}


def known(name: str, type: Scalar) -> Const:
    """A constant of Warp's own."""
    return Const(type, WARPS[name], name)


def turned(draft: Draft, op: Op, args: list[Grown], height: int) -> list[Grown]:
    """What goes into an operation on an angle, now and then as turns: `2.0 * wp.pi * x`."""
    angle, type = args[0] if args else None, op.result
    if angle is None or op.name not in OF_ANGLES or isinstance(angle.term, Const) or not isinstance(type, Scalar):
        return args
    room = height - 2 - term_height(angle.term)
    if room < 0 or not chance(draft.choose, TURNS):
        return args
    name = weighted(draft.choose, list(MULTIPLES.items()))
    unit: Term = known(name, type)
    if name == "wp.pi" and height >= 4 and chance(draft.choose, 0.6):
        unit = Apply(_mul(type), (Const(type, pick(draft.choose, (2.0, 0.5, 4.0))), unit))
    return [draft.grown(Apply(_mul(type), (unit, angle.term))), *args[1:]]


def whole(draft: Draft, grown: Grown, height: int) -> Const | None:
    """Of what an angle is said to be a share, now and then: the divisor of `wp.atan2(y, x) / wp.pi`."""
    match grown.term:
        case Apply(op, _) if op.name in GIVING_ANGLES and isinstance(op.result, Scalar):
            if term_height(grown.term) < height and chance(draft.choose, TURNS):
                return known(weighted(draft.choose, list(MULTIPLES.items())), op.result)
    return None


def _mul(type: Scalar) -> Op:
    return ROWS[f"mul({type.name},{type.name})"]
