"""Growing values of noise: smooth fields at a place, and the swirls that are their curls.

The key insight: all threads see one field, so its state begins with the seed alone; and as Warp's adjoint of noise
needs that state, it is nobody else's to draw from.
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar.choose import chance, pick, weighted
from grammar.draft import ANYWHERE, Draft, Grown, StuckError, assign, define, local_role
from grammar.literal import number
from grammar.neighbours import grow_with
from grammar.op import Op
from grammar.ops import NOISE, ROWS
from grammar.sampling import is_begun, seed
from grammar.terms import TRIES, attempt, grow_leaf, grow_term
from grammar.tree import Apply, Assign, Var
from grammar.types import F32, I32, U32, Element

WEIGHTS = {"noise": 4.0, "pnoise": 3.0, "curlnoise": 3.0}
FREQUENCIES = (2.0, 4.0, 0.5, 3.0, 1.5, 8.0)
PERIODS = (4, 8, 2, 16, 3, 10)
FROM_0_ON = (0.0, 100.0)


def noise(draft: Draft, type: Element, height: int) -> Grown:
    """`wp.noise(state, p * 2.0)`, in a term. Raises StuckError if none is sound."""
    options = [(op, WEIGHTS[op.name]) for op in NOISE if op.result is type]
    for _ in range(TRIES if options else 0):
        op = weighted(draft.choose, options)
        arguments = [_place(draft, op, height - 1), *_periods(draft, op)]
        grown = attempt(draft, op, [_field(draft), *arguments])
        if grown is not None:
            named = define(draft, local_role(type), grown) if chance(draft.choose, 0.6) else grown
            return grow_with(draft, named, type, height)
    raise StuckError


def _field(draft: Draft) -> Grown:
    """The state that selects it: `state = wp.rand_init(seed)`."""
    for stmt in draft.block:
        if isinstance(stmt, Assign) and is_begun(stmt.value, 1):
            return Grown(Var(stmt.name, U32), draft.interpreter.env[stmt.name])
    begun = draft.grown(Apply(ROWS["rand_init(int32)"], (seed(draft),)))
    variable = Var(draft.name("random_state"), U32)
    assign(draft, Assign(variable.name, begun.term), variable, begun.value)
    draft.scope.remove(variable)
    return Grown(variable, begun.value)


def _place(draft: Draft, op: Op, height: int) -> Grown:
    """Where: a value, or several as coordinates, perhaps in another unit."""
    type = op.params[1]
    span = FROM_0_ON if op.name == "pnoise" else ANYWHERE
    make = ROWS[f"{type.name}({','.join([F32.name] * type.width)})"] if type.width in (2, 3) else None
    if make is not None and chance(draft.choose, 0.3):
        place = attempt(draft, make, [grow_leaf(draft, F32, span) for _ in make.params])
    else:
        place = grow_term(draft, type, max(1, height - 1), span) if type in draft.kin else grow_leaf(draft, type, span)
    place = place or grow_leaf(draft, type, span)
    if not chance(draft.choose, 0.5):
        return place
    unit = draft.grown(number(F32, pick(draft.choose, FREQUENCIES)))
    return attempt(draft, ROWS[f"mul({type.name},{F32.name})"], [place, unit]) or place


def _periods(draft: Draft, op: Op) -> Sequence[Grown]:
    if op.name != "pnoise":
        return ()
    return [draft.grown(number(I32, pick(draft.choose, PERIODS)))] * (len(op.params) - 2)
