"""The least and the greatest value over a loop.

The key insight: a search begins with what everything beats, and people call that `wp.inf`.
"""

from __future__ import annotations

import numpy as np

from grammar.angles import known
from grammar.choose import chance
from grammar.draft import Draft, Grown, define, local, nested, run
from grammar.features import infix, loop_bound, loop_sum, per_trip, with_owed
from grammar.ops import ROWS
from grammar.terms import grow_term
from grammar.tree import Apply, Assign, For, If, Stmt, Term, Var
from grammar.types import F32, F64, I32, Element, Scalar

COMPARED = 0.5
"""How often a search is written `if v < best: best = v` rather than `best = wp.min(best, v)`."""


def loop_extreme(draft: Draft, type: Element, height: int) -> Grown:
    """`best = wp.inf`, then over a loop `best = wp.min(best, v)`, or `if v < best: best = v`; or the greatest."""
    if type not in (F32, F64) or height < 4:
        return loop_sum(draft, type, height)
    assert isinstance(type, Scalar)
    least = not chance(draft.choose, 0.4)
    best = Var(draft.name("least" if least else "greatest"), type)
    start: Term = known("wp.inf", type)
    run(draft, Assign(best.name, start if least else Apply(ROWS[f"neg({type.name})"], (start,))))
    stop, trips = loop_bound(draft, chance(draft.choose, 0.2), small=False)
    counter = Var(draft.name("loop"), I32)
    with nested(draft, draft.active) as body:
        lanes = np.arange(draft.active.size, dtype=np.int32)
        draft.interpreter.env[counter.name] = lanes * 7 // 3 % np.int32(trips)
        draft.indices.append(counter)
        draft.pending.append(per_trip(draft, type, counter, height - 3))
        value = with_owed(draft, grow_term(draft, type, height - 3), height - 2)
        draft.block.append(_better(draft, best, value, least))
    run(draft, For(counter.name, None, stop, tuple(body)))
    return local(draft, best.name, type)


def _better(draft: Draft, best: Var, value: Grown, least: bool) -> Stmt:
    """The value takes the place of the best so far if it is better."""
    if not chance(draft.choose, COMPARED):
        return Assign(best.name, Apply(infix("min" if least else "max", best.type), (best, value.term)))
    if not isinstance(value.term, Var):
        value = define(draft, "local", value)
    beats = Apply(infix("less" if least else "greater", best.type), (value.term, best))
    return If(beats, (Assign(best.name, value.term),))
