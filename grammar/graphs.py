"""Growing a step of relaxation on a graph: a node takes what is best, or the mean change, among its neighbours.

The key insight: a graph is two arrays, of where each node's neighbours begin and of who they are, or one array for each
end of the edges; which of these a kernel has decides how its result leaves it.
"""

from __future__ import annotations

import numpy as np

from grammar.atomics import AtomicKind
from grammar.choose import chance, pick, weighted
from grammar.draft import Draft, Grown, add_param, define, local, nested, run
from grammar.features import infix
from grammar.literal import zero
from grammar.neighbours import entries_of_own, new_offsets
from grammar.outputs import output, store
from grammar.params import Param, Role
from grammar.terms import attempt, new_array, stored_index
from grammar.tree import Apply, Assign, Atomic, AugAssign, For, If, Read, Stmt, Term, Var
from grammar.types import I32, INTEGERS, Array, Element


def relax_over_edge(draft: Draft, type: Element, height: int) -> Grown:
    """`x[sources[i]] + w[i]`: what the node at the other end of the thread's edge comes to by way of it."""
    del height
    there = stored_index(draft)
    if chance(draft.choose, 0.6):
        there = define(draft, "local_int", draft.grown(there)).term
    state, weight = new_array(draft, type), new_array(draft, type)
    parts = [draft.grown(Read(state.name, there, type)), draft.grown(Read(weight.name, draft.thread, type))]
    name = weighted(draft.choose, [("add", 4.0), ("mul", 1.0), ("max", 1.0)])
    grown = attempt(draft, infix(name, type), parts)
    return grown or draft.grown(Apply(infix("add", type), (parts[0].term, parts[1].term)))


def relax_over_neighbours(draft: Draft, type: Element, height: int) -> Grown:
    """`for k in range(starts[i], starts[i + 1])`: the least over the neighbours, or the sum of differences to them."""
    del height
    first, last = entries_of_own(draft, new_offsets(draft))
    if chance(draft.choose, 0.5):
        first = define(draft, "range_start", draft.grown(first)).term
        last = define(draft, "range_end", draft.grown(last)).term
    state = new_array(draft, type)
    own: Term = Read(state.name, draft.thread, type)
    least = draft.tolerant or type in INTEGERS  # else its gradient would be wrong
    if not least and chance(draft.choose, 0.5):
        own = define(draft, "local", draft.grown(own)).term
    result = Var(draft.name("accumulator"), type)
    run(draft, Assign(result.name, own if least else zero(type)))
    counter = Var(draft.name("loop"), I32)
    with nested(draft, draft.active) as body:
        lanes = np.arange(draft.active.size, dtype=np.int32)
        draft.interpreter.env[counter.name] = lanes * 7 % np.int32(draft.lanes)
        index = new_index(draft)
        node: Term = Read(index, counter, I32)
        if chance(draft.choose, 0.6):
            node = define(draft, "local_int", draft.grown(node)).term
        for stmt in (
            _improved(draft, result, state.name, node, counter)
            if least
            else _drawn(draft, result, state.name, node, own, counter)
        ):
            draft.block.append(stmt)
    run(draft, For(counter.name, first, last, tuple(body)))
    return local(draft, result.name, type)


def new_index(draft: Draft) -> str:
    known = [p.name for p in draft.params if p.role is Role.INDEX]
    return known[0] if known else add_param(draft, Param(draft.name("array_index"), Array(I32), Role.INDEX)).name


def _improved(draft: Draft, best: Var, state: str, node: Term, edge: Var) -> list[Stmt]:
    """`best = wp.min(best, x[j] + w[k])`, or the same with `if`."""
    other: Term = Read(state, node, best.type)
    if chance(draft.choose, 0.7):
        weight = new_array(draft, best.type, (1, 8) if best.type in INTEGERS else (0.1, 2.0))
        other = Apply(infix("add", best.type), (other, Read(weight.name, edge, best.type)))
    name, better = pick(draft.choose, (("min", "less"), ("max", "greater")))
    if chance(draft.choose, 0.5):
        return [Assign(best.name, Apply(infix(name, best.type), (best, other)))]
    tried = define(draft, "local", draft.grown(other)).term
    return [If(Apply(infix(better, best.type), (tried, best)), (Assign(best.name, tried),))]


def _drawn(draft: Draft, total: Var, state: str, node: Term, own: Term, edge: Var) -> list[Stmt]:
    """`total += w[k] * (x[j] - x[i])`."""
    change: Term = Apply(infix("sub", total.type), (Read(state, node, total.type), own))
    if chance(draft.choose, 0.6):
        weight = new_array(draft, total.type)
        change = Apply(infix("mul", total.type), (Read(weight.name, edge, total.type), change))
    return [AugAssign(total.name, infix("add", total.type), change)]


def leave_relaxed(draft: Draft, value: Grown, depth: int) -> None:
    """To the thread's own node; over an edge, to the node at its other end, if that is better for it."""
    if any(param.role is Role.OFFSETS for param in draft.params):
        store(draft, value, depth)
        return
    ends = add_param(draft, Param(draft.name("array_index"), Array(I32), Role.INDEX)).name
    kind = weighted(draft.choose, [(AtomicKind.MIN, 5.0), (AtomicKind.MAX, 1.0), (AtomicKind.ADD, 2.0)])
    reached = output(draft, value.term.type, Role.ACCUMULATOR)
    draft.block.append(Atomic(kind, reached, Read(ends, draft.thread, I32), value.term))
