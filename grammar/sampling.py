"""Growing statements that draw random numbers.

The key insight: the generator is known bit by bit, so a sample has its value at once, and a kernel that draws is grown
by looking at what it does, like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grammar.choose import chance, pick, weighted
from grammar.draft import Draft, Grown, add_param, local, nested, run
from grammar.features import combine, infix
from grammar.literal import number, zero
from grammar.neighbours import grow_with
from grammar.op import Op
from grammar.ops import ROWS, SAMPLERS
from grammar.params import Param, Role
from grammar.terms import grow_term
from grammar.tree import Apply, Assign, AugAssign, Const, For, Read, Sample, Term, Var, Whole
from grammar.types import F32, I32, U32, Array, Element

SEEDS = (1, 10000)
"""Range of the parameter from which states begin."""
BOUNDS: tuple[tuple[float, float], ...] = ((-1.0, 1.0), (0.0, 2.0), (-0.5, 0.5), (1.0, 2.0), (0.5, 1.5))
BOUNDS_OF: Mapping[Element, Sequence[tuple[float, float]]] = {
    F32: BOUNDS,
    I32: ((0, 8), (0, 4), (1, 7), (-4, 4)),
    U32: ((0, 8), (0, 10), (1, 7), (0, 100)),
}
MEANS = (4.0, 2.0, 1.0, 0.5, 2.5)
"""Of Poisson's distribution."""
SIZES = (10, 8, 4, 16, 100)
"""What a whole number of any size is taken modulo."""
WHOLE = 0.25
"""Share of the samples that are drawn as whole numbers."""
BY_SHARES = 0.12
"""Of those that are drawn from an array."""
FEW = (4, 8, 16, 5)
"""Lengths of arrays from which an element is drawn."""


def sample(draft: Draft, type: Element, height: int) -> Grown:
    """`state = wp.rand_init(seed, i)`, then a value or two from it, in a term."""
    state = _state(draft)
    drawn = [_drawn(draft, state, type) for _ in range(1 + draft.choose(2))]
    draft.pending.extend(drawn[1:])
    return grow_with(draft, drawn[0], type, height)


def monte_carlo(draft: Draft, type: Element, height: int) -> Grown:
    """The mean, or the sum, of a term over a few samples."""
    state, trips = _state(draft), weighted(draft.choose, [(4, 3.0), (8, 3.0), (5, 1.0), (10, 1.0), (16, 1.0)])
    accumulator = Var(draft.name("accumulator"), type)
    run(draft, Assign(accumulator.name, zero(type)))
    counter = Var(draft.name("loop"), I32)
    with nested(draft, draft.active) as body:
        draft.interpreter.env[counter.name] = draft.value(Const(I32, 0))
        drawn = [_drawn(draft, state, type) for _ in range(1 + draft.choose(2))]
        draft.pending, owed = drawn[1:], draft.pending
        term = combine(draft, [grow_term(draft, type, max(1, height - 3)), drawn[0], *draft.pending], height - 1)
        draft.pending = owed
        draft.block.append(AugAssign(accumulator.name, infix("add", type), term.term))
    run(draft, For(counter.name, None, Const(I32, trips), tuple(body)))
    summed = local(draft, accumulator.name, type)
    if f"div({type.name},{F32.name})" not in ROWS or chance(draft.choose, 0.3):
        return summed
    return draft.grown(Apply(ROWS[f"div({type.name},{F32.name})"], (summed.term, number(F32, trips))))


def _state(draft: Draft) -> str:
    """The random state, which begins with a seed and the thread index."""
    for stmt in draft.block:
        if isinstance(stmt, Assign) and is_begun(stmt.value, 2):
            return stmt.name
    begun = Apply(ROWS["rand_init(int32,int32)"], (seed(draft), draft.thread))
    name = draft.name("random_state")
    run(draft, Assign(name, begun))
    return name


def seed(draft: Draft) -> Var:
    """The parameter from which states begin: the one that there is, or a new one."""
    known = next((param for param in draft.params if param.role is Role.SEED), None)
    if known is not None:
        return Var(known.name, I32)
    name = "seed" if "seed" not in draft.taken else draft.name("int_scalar")
    return Var(add_param(draft, Param(name, I32, Role.SEED, *SEEDS)).name, I32)


def is_begun(term: Term, count: int) -> bool:
    """Whether it is a state that so many numbers select."""
    return isinstance(term, Apply) and term.op.name == "rand_init" and len(term.args) == count


def _drawn(draft: Draft, state: str, type: Element) -> Grown:
    """A sample of that type; among the numbers, some that are whole ones by birth."""
    if type is F32 and chance(draft.choose, WHOLE):
        return _whole(draft, state)
    if type is F32 and chance(draft.choose, BY_SHARES):
        return _by_shares(draft, state)
    drawing = [(op, op.weight) for op in SAMPLERS if not op.searched]
    samplers = [(op, weight) for op, weight in drawing if op.result is type] or drawing
    op, name = weighted(draft.choose, samplers), draft.name("local")
    run(draft, Sample(name, op, state, _bounds(draft, op)))
    return local(draft, name, op.result)


def _whole(draft: Draft, state: str) -> Grown:
    """`k = wp.randi(state, 0, 8)`, or `k = wp.randi(state)` and `k % 8`, as a float."""
    op = weighted(draft.choose, [(op, op.weight) for op in SAMPLERS if op.result in (I32, U32) and not op.searched])
    name, type = draft.name("local_int"), op.result
    run(draft, Sample(name, op, state, _bounds(draft, op)))
    sample: Term = Var(name, type)
    if len(op.params) > 1:
        local(draft, name, type)
    else:
        sample = Apply(ROWS[f"mod({type.name},{type.name})"], (sample, number(type, pick(draft.choose, SIZES))))
    return draft.grown(Apply(ROWS[f"{F32.name}({type.name})"], (sample,)))


def _by_shares(draft: Draft, state: str) -> Grown:
    """`k = wp.sample_cdf(state, cdf)`, and `weights[k]`: an element of an array, drawn by its share."""
    op, size = next(op for op in SAMPLERS if op.searched), pick(draft.choose, FEW)
    shares = add_param(draft, Param(draft.name("array_shares"), Array(F32), Role.SHARES, 0.0, 1.0, size))
    drawn = add_param(draft, Param(draft.name("array_in"), Array(F32), Role.VALUE, *pick(draft.choose, BOUNDS), size))
    place = Var(draft.name("index"), I32)
    run(draft, Sample(place.name, op, state, (Whole(shares.name, Array(F32)),)))
    return draft.grown(Read(drawn.name, local(draft, place.name, I32).term, F32))


def _bounds(draft: Draft, op: Op) -> tuple[Term, ...]:
    if len(op.params) == 1:
        return ()
    if len(op.params) == 2:
        return (number(F32, pick(draft.choose, MEANS)),)
    low, high = pick(draft.choose, BOUNDS_OF[op.result])
    return number(op.params[1], low), number(op.params[2], high)
