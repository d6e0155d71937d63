"""Growing values that come from other elements than the thread's own: stencils and gathers.

The key insight: whether a neighbour is there is settled where it is read, in one of the ways people have: the border
is left out, clamped to, or wrapped around.
"""

from __future__ import annotations

import numpy as np

from grammar.choose import chance, pick
from grammar.draft import Draft, Grown, add_param, define, local, local_role, nested, run
from grammar.features import combine, infix
from grammar.literal import zero
from grammar.ops import ROWS
from grammar.terms import attempt, grow_term, new_array, stored_index
from grammar.tree import (
    Apply,
    Assign,
    At,
    AugAssign,
    Const,
    For,
    If,
    Param,
    Read,
    Return,
    Role,
    Size,
    Term,
    Var,
    subterms,
)
from grammar.types import I32, Array, Element


def stencil(draft: Draft, type: Element, height: int) -> Grown:
    """A value and its neighbours, the ends of the array being left out, clamped to, or wrapped around."""
    param = new_array(draft, type)
    style = pick(draft.choose, (_inner_only, _clamped, _wrapped))
    before, after = style(draft, param)
    middle = draft.grown(Read(param.name, draft.thread, type))
    sides = [draft.grown(Read(param.name, before, type)), draft.grown(Read(param.name, after, type))]
    if chance(draft.choose, 0.6):
        sides = [define(draft, local_role(type), side) for side in sides]
    pieces = [*sides, middle] if chance(draft.choose, 0.6) else sides
    draft.pending.extend(pieces[1:])
    return grow_with(draft, pieces[0], type, height)


def grow_with(draft: Draft, first: Grown, type: Element, height: int) -> Grown:
    """A term in which `first` and all that is owed take part."""
    parts = [first]
    while draft.pending:
        owed = draft.pending.pop(0)
        if height >= 5 and chance(draft.choose, 0.4):
            draft.pending.insert(0, owed)
            parts.append(grow_term(draft, type, height - 3))
            parts += [owed] if owed in draft.pending else []
            draft.pending[:] = [g for g in draft.pending if g != owed]
        else:
            parts.append(owed)
    return combine(draft, parts, height)


def _inner_only(draft: Draft, param: Param) -> tuple[Term, Term]:
    i, one = draft.thread, Const(I32, 1)
    neighbours = Apply(infix("sub", I32), (i, one)), Apply(infix("add", I32), (i, one))
    if any(isinstance(stmt, If) and _is_border(stmt.condition) for stmt in draft.block):
        return neighbours
    last = _last(param.name)
    first_lane = Apply(infix("equal", I32), (i, Const(I32, 0)))
    last_lane = Apply(infix("greater_equal" if draft.choose(2) else "equal", I32), (i, last))
    run(draft, If(Apply(ROWS["logical_or(bool,bool)"], (first_lane, last_lane)), (Return(),)))
    return neighbours


def _is_border(condition: Term) -> bool:
    """Whether it is that which keeps the ends of arrays out."""
    return isinstance(condition, Apply) and any(isinstance(part, Size) for part in subterms(condition))


def _clamped(draft: Draft, param: Param) -> tuple[Term, Term]:
    before, after = clamped_along(param.name, 0, draft.thread)
    return _named(draft, before), _named(draft, after)


def clamped_along(array: str, axis: int, index: Term) -> tuple[Term, Term]:
    one = Const(I32, 1)
    before = Apply(infix("max", I32), (Apply(infix("sub", I32), (index, one)), Const(I32, 0)))
    after = Apply(infix("min", I32), (Apply(infix("add", I32), (index, one)), _last(array, axis)))
    return before, after


def _last(array: str, axis: int = 0) -> Term:
    """The last index along an axis."""
    return Apply(infix("sub", I32), (Size(array, I32, axis), Const(I32, 1)))


def _wrapped(draft: Draft, param: Param) -> tuple[Term, Term]:
    i, one, n = draft.thread, Const(I32, 1), Size(param.name, I32)
    whole = Apply(infix("add", I32), (i, n))
    before = Apply(infix("mod", I32), (Apply(infix("sub", I32), (whole, one)), n))
    after = Apply(infix("mod", I32), (Apply(infix("add", I32), (i, one)), n))
    return _named(draft, before), _named(draft, after)


def _named(draft: Draft, index: Term) -> Term:
    return define(draft, "local_int", draft.grown(index)).term if chance(draft.choose, 0.5) else index


def stencil_grid(draft: Draft, type: Element, height: int) -> Grown:
    """An element and its four neighbours in a grid, whose border is left out or clamped to."""
    param = new_array(draft, type)
    while not isinstance(param.type, Array) or param.type.dimensions < 2:
        param = new_array(draft, type)
    sides = (_inside_grid if draft.choose(2) else _clamped_to_grid)(draft, param)
    middle = draft.grown(Read(param.name, draft.own, type))
    near = [draft.grown(Read(param.name, side, type)) for side in sides]
    if chance(draft.choose, 0.6):
        near = [define(draft, local_role(type), one) for one in near]
    draft.pending.extend([*near[1:], middle])
    return grow_with(draft, near[0], type, height)


def _inside_grid(draft: Draft, param: Param) -> tuple[Term, ...]:
    one, edges = Const(I32, 1), []
    for axis, index in enumerate(draft.indices[:2]):
        edges += [Apply(infix("equal", I32), (index, bound)) for bound in (Const(I32, 0), _last(param.name, axis))]
    border = edges[0]
    for edge in edges[1:]:
        border = Apply(ROWS["logical_or(bool,bool)"], (border, edge))
    if not any(isinstance(stmt, If) and _is_border(stmt.condition) for stmt in draft.block):
        run(draft, If(border, (Return(),)))
    i, j = draft.indices[:2]
    ahead, behind = ([Apply(infix(name, I32), (index, one)) for index in (i, j)] for name in ("sub", "add"))
    return At((ahead[0], j)), At((behind[0], j)), At((i, ahead[1])), At((i, behind[1]))


def _clamped_to_grid(draft: Draft, param: Param) -> tuple[Term, ...]:
    i, j = draft.indices[:2]
    before, after = zip(*(clamped_along(param.name, axis, index) for axis, index in enumerate((i, j))), strict=True)
    up, left = (_named(draft, index) for index in before)
    down, right = (_named(draft, index) for index in after)
    return At((up, j)), At((down, j)), At((i, left)), At((i, right))


def gather(draft: Draft, type: Element, height: int) -> Grown:
    """An element at an index that another array holds: `x[indices[i]]`."""
    del height
    source = new_array(draft, type)
    return draft.grown(Read(source.name, _named(draft, stored_index(draft)), type))


def sparse_product(draft: Draft, type: Element, height: int) -> Grown:
    """A row of a sparse matrix times a vector: `for k in range(offsets[i], offsets[i + 1]): s += w[k] * x[cols[k]]`."""
    starts = add_param(draft, Param(draft.name("array_offsets"), Array(I32), Role.OFFSETS)).name
    i, accumulator = draft.thread, Var(draft.name("accumulator"), type)
    first: Term = Read(starts, i, I32)
    last: Term = Read(starts, Apply(infix("add", I32), (i, Const(I32, 1))), I32)
    if chance(draft.choose, 0.5):
        first = define(draft, "range_start", draft.grown(first)).term
        last = define(draft, "range_end", draft.grown(last)).term
    run(draft, Assign(accumulator.name, zero(type)))
    counter = Var(draft.name("loop"), I32)
    with nested(draft, draft.active) as body:
        lanes = np.arange(draft.active.size, dtype=np.int32)
        draft.interpreter.env[counter.name] = lanes * 7 % np.int32(draft.lanes)
        entry, source, column = new_array(draft, type), new_array(draft, type), _columns(draft)
        there: Term = Read(column, counter, I32)
        if chance(draft.choose, 0.4):
            there = define(draft, "local_int", draft.grown(there)).term
        parts = [draft.grown(Read(entry.name, counter, type)), draft.grown(Read(source.name, there, type))]
        product = attempt(draft, infix("mul", type), parts) or parts[1]
        if height >= 5 and chance(draft.choose, 0.5):
            product = combine(draft, [product, grow_term(draft, type, 2)], height - 2)
        draft.block.append(AugAssign(accumulator.name, infix("add", type), product.term))
    run(draft, For(counter.name, first, last, tuple(body)))
    return local(draft, accumulator.name, type)


def _columns(draft: Draft) -> str:
    known = [p.name for p in draft.params if p.role is Role.INDEX]
    return known[0] if known else add_param(draft, Param(draft.name("array_index"), Array(I32), Role.INDEX)).name
