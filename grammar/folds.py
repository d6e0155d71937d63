"""Growing sums over the scalars of a composite: `for k in range(len(v)): s += v[k] * w`.

The key insight: a composite is an array whose length everyone knows, so what loops do to arrays they do to it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from grammar.choose import weighted
from grammar.draft import Draft, Grown, define, local, local_role, nested, run
from grammar.features import infix, loop_sum
from grammar.literal import zero
from grammar.ops import ROWS
from grammar.terms import attempt, grow_leaf, read_element
from grammar.tree import Apply, Assign, AugAssign, For, Var
from grammar.types import COMPOSITES, FLOATS, I32, Composite, Element

SHARES = {"vector": 4.0, "quaternion": 1.5, "matrix": 1.0, "twist": 0.7, "transform": 0.5}
"""Over what kinds of composites loops run, where the kernel is about none."""


def loop_parts(draft: Draft, type: Element, height: int) -> Grown:
    """The sum of what is made of each scalar of a vector, or of each on the diagonal of a matrix."""
    options = _composites(type)
    if not options:
        return loop_sum(draft, type, height)
    kin = [(T, share) for T, share in options if T in draft.kin]
    source = read_element(draft, weighted(draft.choose, kin or options))
    whole = source if isinstance(source.term, Var) else define(draft, local_role(source.term.type), source)
    return sum_over(draft, whole)


@cache
def _composites(type: Element) -> tuple[tuple[Composite, float], ...]:
    return tuple((T, SHARES[T.kind]) for T in COMPOSITES if T.scalar is type in FLOATS and f"len({T.name})" in ROWS)


def sum_over(draft: Draft, whole: Grown) -> Grown:
    """A local that gets the sum over those of one that holds a composite."""
    composite = whole.term.type
    assert isinstance(composite, Composite)
    type, rank = composite.scalar, len(composite.shape)
    total, counter = Var(draft.name("accumulator"), type), Var(draft.name("loop"), I32)
    run(draft, Assign(total.name, zero(type)))
    with nested(draft, draft.active) as body:
        lanes = np.arange(draft.active.size, dtype=np.int32)
        draft.interpreter.env[counter.name] = lanes % np.int32(composite.shape[0])
        extract = ROWS[f"extract({composite.name}{',int32' * rank})"]
        each = draft.grown(Apply(extract, (whole.term, *[counter] * rank)))
        value = _changed(draft, each)
        draft.block.append(AugAssign(total.name, infix("add", type), value.term))
    length = Apply(ROWS[f"len({composite.name})"], (whole.term,))
    run(draft, For(counter.name, None, length, tuple(body)))
    return local(draft, total.name, type)


def _changed(draft: Draft, each: Grown) -> Grown:
    """Squared, scaled, without its sign, or as it is."""
    type = each.term.type
    match weighted(draft.choose, [("mul", 3.0), ("scaled", 3.0), ("abs", 1.0), ("", 2.0)]):
        case "mul":
            return attempt(draft, infix("mul", type), [each, each]) or each
        case "scaled":
            return attempt(draft, infix("mul", type), [each, grow_leaf(draft, type)]) or each
        case "abs":
            return attempt(draft, ROWS[f"abs({type.name})"], [each]) or each
        case _:
            return each
