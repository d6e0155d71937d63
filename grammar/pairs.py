"""Growing what particles do to each other: a force, or a density, summed over those that are near.

The key insight: a pair is a difference of two positions and how long it is. What is summed is grown from these like any
other term, inside of the loop over the others, so laws of force differ from kernel to kernel as expressions do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from grammar.alive import names_in
from grammar.choose import chance, pick, weighted
from grammar.draft import Draft, Grown, add_param, define, local, local_role, nested, run
from grammar.features import combine, infix, loop_bound
from grammar.graphs import new_index
from grammar.literal import number, zero
from grammar.neighbours import entries_of_own, new_offsets
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.terms import attempt, grow_term, new_array, new_scalar, threshold_for
from grammar.tree import Apply, Assign, AugAssign, Continue, For, If, Read, Stmt, Term, Var
from grammar.types import I32, VECTORS, Array, Composite, Element, Scalar


def pair_force(draft: Draft, type: Element, height: int) -> Grown:
    """`f += w(|r|) * r` over the others, r being `x[i] - x[j]`; where a number is wanted, a sum of w alone."""
    space = type if isinstance(type, Composite) else space_of(draft.kin, type)
    positions = add_param(draft, Param(draft.name("position"), Array(space), Role.VALUE, -1.5, 1.5)).name
    own = define(draft, local_role(space), draft.grown(Read(positions, draft.thread, space))).term
    total = Var(draft.name("accumulator"), type)
    first, last, others = _others(draft)
    run(draft, Assign(total.name, zero(type)))
    counter = Var(draft.name("loop"), I32)
    with nested(draft, draft.active) as body:
        lanes = np.arange(draft.active.size, dtype=np.int32)
        draft.interpreter.env[counter.name] = (lanes * 7 + lanes // 16) % np.int32(others)
        draft.indices.append(counter)
        other: Term = counter
        if first is not None:
            other = define(draft, "local_int", draft.grown(Read(new_index(draft), counter, I32))).term
        elif chance(draft.choose, 0.5):
            alike = Apply(ROWS["equal(int32,int32)"], (other, draft.thread))
            draft.block.append(If(alike, (Continue(),)))
        away = draft.grown(Apply(infix("sub", space), (own, Read(positions, other, space))))
        _within_reach(draft, total, define(draft, local_role(space), away), other, height)
    run(draft, For(counter.name, first, last, tuple(body)))
    return local(draft, total.name, type)


def space_of(kin: frozenset[Element], scalar: Scalar) -> Composite:
    """The vectors of such numbers that positions are: the same in each process, which the order of a set is not."""
    return next(V for V in VECTORS if V in kin and V.scalar is scalar)


def _others(draft: Draft) -> tuple[Term | None, Term, int]:
    """Where the loop over the others starts and stops, and how many it may be about: some first ones, or neighbours."""
    if chance(draft.choose, 0.5):
        return None, *loop_bound(draft, dynamic=True, small=False)
    return *entries_of_own(draft, new_offsets(draft)), draft.lanes


def _within_reach(draft: Draft, total: Var, away: Grown, other: Term, height: int) -> None:
    """The sum, mostly only over those that are nearer than some distance."""
    scalar = total.type.scalar
    far = define(draft, "local", _length(draft, away))
    reach = draft.grown(Var(new_scalar(draft, scalar, (0.5, 4.0)).name, scalar)) if draft.choose(2) else None
    near = attempt(draft, infix("less", scalar), [far, reach]) if reach is not None else None
    if near is None and (limit := threshold_for(draft, far, 0.4, 0.8)) is not None:
        near = attempt(draft, infix("less", scalar), [far, draft.grown(limit)])
    if near is None or height < 4 or chance(draft.choose, 0.3):
        draft.block.append(_summand(draft, total, away, far, other, height - 2))
        return
    with nested(draft, draft.active & near.value) as body:
        draft.block.append(_summand(draft, total, away, far, other, height - 3))
    draft.block.append(If(near.term, tuple(body)))


def _length(draft: Draft, away: Grown) -> Grown:
    """Of the difference: seldom nothing but 0, where it has no slope."""
    name = weighted(draft.choose, [("length", 5.0), ("length_sq", 2.0)])
    length = draft.grown(Apply(ROWS[f"{name}({away.term.type.name})"], (away.term,)))
    if chance(draft.choose, 0.4):
        return length
    type = length.term.type
    small = number(type, pick(draft.choose, (0.01, 0.1, 0.001)))
    return draft.grown(Apply(infix("add", type), (length.term, small)))


def _summand(draft: Draft, total: Var, away: Grown, far: Grown, other: Term, height: int) -> Stmt:
    law = weighted(draft.choose, [(_any_law, 3.0), (_falloff, 3.0), (_inverse, 2.0)])
    weight = law(draft, far, max(1, height))
    if chance(draft.choose, 0.4):
        mass = new_array(draft, far.term.type, (0.1, 4.0), 1).name
        weighed = [draft.grown(Read(mass, other, far.term.type)), weight]
        weight = attempt(draft, infix("mul", far.term.type), weighed) or weight
    if isinstance(total.type, Composite):
        weight = _along(draft, away, weight)
    sign = weighted(draft.choose, [("add", 3.0), ("sub", 1.0)])
    return AugAssign(total.name, infix(sign, total.type), weight.term)


Law = Callable[[Draft, Grown, int], Grown]
"""By how much another counts that is so far away, as a term that is at most so high."""


def _any_law(draft: Draft, far: Grown, height: int) -> Grown:
    draft.pending.append(far)
    grown = grow_term(draft, far.term.type, max(2, height))
    draft.pending.clear()
    used = isinstance(far.term, Var) and far.term.name in names_in(grown.term)
    return grown if used else combine(draft, [far, grown], max(2, height))


def _falloff(draft: Draft, far: Grown, height: int) -> Grown:
    """`1 - d`, `h - d` or `wp.max(h - d, 0)`, perhaps squared, times a stiffness."""
    type = far.term.type
    assert isinstance(type, Scalar)
    reach = draft.grown(Var(new_scalar(draft, type, (0.5, 4.0)).name, type) if draft.choose(2) else number(type, 1))
    left = attempt(draft, infix("sub", type), [reach, far]) or far
    if chance(draft.choose, 0.4):
        left = attempt(draft, infix("max", type), [left, draft.grown(number(type, 0))]) or left
    if chance(draft.choose, 0.5):
        left = define(draft, "local", left)
        left = attempt(draft, infix("mul", type), [left, left]) or left
    if height < 3 or chance(draft.choose, 0.4):
        return left
    stiffness = draft.grown(Var(new_scalar(draft, type, (0.1, 4.0)).name, type))
    return attempt(draft, infix("mul", type), [stiffness, left]) or left


def _inverse(draft: Draft, far: Grown, height: int) -> Grown:
    """`a / d`, `a / (d * d + b)`."""
    type = far.term.type
    below = far
    if height >= 3 and chance(draft.choose, 0.6):
        square = attempt(draft, infix("mul", type), [far, far]) or far
        below = attempt(draft, infix("add", type), [square, draft.grown(number(type, 0.1))]) or square
    above = draft.grown(number(type, 1)) if chance(draft.choose, 0.5) else grow_term(draft, type, 1)
    return attempt(draft, infix("div", type), [above, below]) or far


def _along(draft: Draft, away: Grown, weight: Grown) -> Grown:
    """In the direction of the difference."""
    if isinstance(weight.term, Apply) and chance(draft.choose, 0.5):
        weight = define(draft, "local", weight)
    pair = [weight, away] if draft.choose(2) else [away, weight]
    row = ROWS[f"mul({pair[0].term.type.name},{pair[1].term.type.name})"]
    return attempt(draft, row, pair) or draft.grown(Apply(row, tuple(one.term for one in pair)))
