"""Growing how a kernel's result leaves it: stores, reductions, histograms.

The key insight: what leaves is a value that has been seen, so which bins it falls into and which lanes a condition
picks is seen as well before a statement is written down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from grammar.atomics import BITWISE, MARKING, AtomicKind
from grammar.choose import chance, pick, weighted
from grammar.draft import Draft, Grown, StuckError, add_param, define, local_role
from grammar.features import infix
from grammar.heights import term_height
from grammar.layout import grid
from grammar.literal import number
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.ranges import spans
from grammar.slots import comes_first
from grammar.terms import attempt, grow_condition, grow_term, lowered, new_scalar, stored_index, threshold_for
from grammar.tiles import is_tile
from grammar.tree import Apply, At, Atomic, AugStore, Const, If, Stmt, Store, StorePart, Term, Var, indices_of
from grammar.types import (
    ATOMIC,
    BITS,
    F32,
    F64,
    FLOATS,
    I32,
    INT_VECTORS,
    INTEGERS,
    ORDERED,
    VECTORS,
    Array,
    Element,
    Scalar,
)

Leaving = Callable[[Draft, Grown, int], None]
"""Writes a value, by statements of at most the given height."""


def store(draft: Draft, value: Grown, depth: int) -> None:
    index = draft.own
    type = value.term.type
    if is_tile(type):
        draft.block.append(Store(output(draft, type, Role.OUT), index, value.term))
    elif chance(draft.choose, 0.06) and type in ATOMIC:
        _update(draft, value)
    elif type in PARTED and chance(draft.choose, IN_PARTS):
        store_parts(draft, value, depth)
    elif chance(draft.choose, 0.03) and f"mul({type.name},{type.scalar.name})" in ROWS:
        store_and_scale(draft, value, depth)
    elif depth >= 3 and chance(draft.choose, 0.08):
        value = lowered(draft, value, depth - 1)
        condition = grow_condition(draft, min(depth, 3))
        out = output(draft, type, Role.OUT)
        other = grow_term(draft, type, 2)
        draft.block.append(If(condition.term, (Store(out, index, value.term),), (Store(out, index, other.term),)))
    else:
        draft.block.append(Store(output(draft, type, Role.OUT), index, value.term))


def store_or_add(draft: Draft, value: Grown, depth: int) -> None:
    """Every block its own tile, or all of them to one, or to a few."""
    if not is_tile(value.term.type) or not chance(draft.choose, 0.25):
        store(draft, value, depth)
        return
    bins = 4 if chance(draft.choose, 0.3) else 1
    index: Term = Const(I32, 0) if bins == 1 else Apply(infix("mod", I32), (draft.thread, Const(I32, bins)))
    out = output(draft, value.term.type, Role.ACCUMULATOR, bins)
    draft.block.append(Atomic(AtomicKind.ADD, out, index, value.term))


def _update(draft: Draft, value: Grown) -> None:
    """`out[i] += value`; of integers, also `out[i] |= value` and the like."""
    type = value.term.type
    bits = (2.0 if draft.patterns else 0.5) if type in BITS else 0.0
    free = 1.0 if type in INTEGERS or draft.tolerant else 0.0  # or its gradient would be wrong
    names = [("add", 6.0), ("sub", 2.0), ("mul", free), *((name, bits) for name in ("bit_xor", "bit_or", "bit_and"))]
    sign = infix(weighted(draft.choose, names), type)
    span = spans(type.scalar, draft.patterns)[0] if sign.name.startswith("bit_") else (-1.0, 1.0)
    out = output(draft, type, Role.ACCUMULATOR, span=span)
    draft.block.append(AugStore(out, draft.own, sign, value.term))


IN_PARTS = 0.04
"""How often a scalar becomes a part of an element."""
PARTED = (F32, F64, I32)
"""The types of which there are vectors that it may be a part of."""
PART_UPDATES = ("add", "sub")
"""Operators of `out[i].x OP= value`."""


def store_parts(draft: Draft, value: Grown, depth: int) -> None:
    """`out[i].y += value`, or `out[i].x = value`, `out[i].y = …` of an element that holds nothing yet."""
    scalar = value.term.type
    type = pick(draft.choose, [V for V in (*VECTORS, *INT_VECTORS) if V.scalar is scalar])
    lettered = bool(draft.choose(3))
    if draft.choose(2):
        sign = weighted(draft.choose, list(zip((*PART_UPDATES, ""), (5.0, 2.0, 3.0), strict=True)))
        out = output(draft, type, Role.ACCUMULATOR)
        op = infix(sign, scalar) if sign else None
        draft.block.append(StorePart(out, draft.own, type, draft.choose(type.width), value.term, op, lettered))
        return
    others = [grow_term(draft, scalar, min(depth, 2)) for _ in range(type.width - 1)]
    out = output(draft, type, Role.OUT)
    draft.block += [
        StorePart(out, draft.own, type, place, each.term, lettered=lettered)
        for place, each in enumerate([value, *others])
    ]


def store_and_scale(draft: Draft, value: Grown, depth: int) -> None:
    """`out[i] = value`, then `out[i] *= factor`, perhaps where a condition holds."""
    type = value.term.type
    out = output(draft, type, Role.OUT)
    draft.block.append(Store(out, draft.own, value.term))
    condition = grow_condition(draft, min(depth - 1, 2)) if depth >= 3 and chance(draft.choose, 0.6) else None
    divide = type in FLOATS and chance(draft.choose, 0.2)
    op = ROWS[f"{'div' if divide else 'mul'}({type.name},{type.scalar.name})"]
    factor = Var(new_scalar(draft, F32, (0.5, 4.0)).name, F32) if type is F32 and draft.choose(2) else None
    scaled = AugStore(out, draft.own, op, factor or number(type.scalar, pick(draft.choose, FACTORS[type in FLOATS])))
    draft.block.append(scaled if condition is None else If(condition.term, (scaled,)))


FACTORS: tuple[tuple[float, ...], tuple[float, ...]] = ((2, 3, 4), (2.0, 0.5, 0.25, 0.1, 10.0))
"""Of integers, and of floats."""


def output(
    draft: Draft,
    type: Element,
    role: Role,
    size: int | None = None,
    span: tuple[float, float] = (-1.0, 1.0),
    dimensions: int = 0,
) -> str:
    """The name of a new array; of 0 dimensions means those of the grid, or one where it has a size of its own."""
    array = Array(type, dimensions or (draft.dimensions if size is None else 1))
    return add_param(draft, Param(draft.name("array_out"), array, role, *span, size)).name


BY_BLOCK = 0.12
"""How often a sum is taken block by block."""
ALONG_AXES = 0.4
"""How often a grid of threads reduces along some of its axes, and not all."""


def reduce(draft: Draft, value: Grown, depth: int) -> None:
    """`wp.atomic_add(total, 0, value)`, or to where an index says, perhaps only from some lanes; or block by block."""
    type = value.term.type
    in_step = draft.active is draft.interpreter.everywhere  # else the threads of a block would wait for one that left
    if depth > 1 and in_step and f"tile({type.name})" in ROWS and chance(draft.choose, BY_BLOCK):
        _add_by_block(draft, value, depth)
        return
    ordered = 2.0 if type in ORDERED else 0.0
    bits = (2.0 if draft.patterns else 1.0) if type in BITS else 0.0
    kinds = [(AtomicKind.ADD, 6.0), (AtomicKind.MAX, ordered), (AtomicKind.MIN, ordered), (AtomicKind.SUB, 1.0)]
    kind = weighted(draft.choose, [*kinds, *((kind, bits) for kind in BITWISE)])
    scattered = depth > 1 and draft.dimensions == 1 and chance(draft.choose, 0.9 if kind in BITWISE[:2] else 0.12)
    bins = 4 if chance(draft.choose, 0.2 if depth > 1 else 0.0) else 1
    size: int | None = bins
    index: Term = Const(I32, 0) if bins == 1 else Apply(infix("mod", I32), (draft.thread, Const(I32, bins)))
    if scattered:
        index, size = stored_index(draft), None
    elif draft.dimensions > 1 and not is_tile(type) and chance(draft.choose, ALONG_AXES):
        index, size = _along_axes(draft)
    guarded = chance(draft.choose, 0.25 if depth > term_height(index) else 0.0)
    condition = grow_condition(draft, 2) if guarded else None
    value = value if condition is None else lowered(draft, value, depth - 1)
    span = spans(type.scalar, draft.patterns)[0] if kind in BITWISE else (-1.0, 1.0)
    array = output(draft, type, Role.ACCUMULATOR, size, span, len(indices_of(index)))
    stmt: Stmt = Atomic(kind, array, index, value.term)
    draft.block.append(stmt if condition is None else If(condition.term, (stmt,)))


def _add_by_block(draft: Draft, value: Grown, depth: int) -> None:
    """`t = wp.tile(value)`, `s = wp.tile_sum(t)`, `wp.tile_atomic_add(total, s)`, perhaps without some of the names."""
    if not isinstance(value.term, Var) or "." in value.term.name:
        value = define(draft, local_role(value.term.type), value)
    each = ROWS[f"tile({value.term.type.name})"]
    tile = draft.grown(Apply(each, (value.term,)))
    if depth < 3 or draft.choose(2):
        tile = define(draft, "local_tile", tile)
    total = draft.grown(Apply(ROWS[f"tile_sum({each.result.name})"], (tile.term,)))
    if draft.choose(2):
        total = define(draft, "local_tile", total)
    array = output(draft, total.term.type, Role.ACCUMULATOR, 1)
    draft.block.append(Atomic(AtomicKind.ADD, array, Const(I32, 0), total.term))


def _along_axes(draft: Draft) -> tuple[Term, int | None]:
    """An index of the thread's, and how long that axis of the grid is; or the thread's own in all dimensions."""
    axis = draft.choose(draft.dimensions + 1)
    if axis == draft.dimensions:
        return draft.own, None
    return draft.indices[axis], grid(draft.lanes, draft.dimensions)[axis]


def store_or_reduce(draft: Draft, value: Grown, depth: int) -> None:
    """Each thread to its own element, or now and then all of them to one, or those along an axis."""
    (reduce if value.term.type in ATOMIC and chance(draft.choose, 0.25) else store)(draft, value, depth)


BINS = (8, 16, 4, 10)
WIDTHS = (1.0, 2.0, 4.0, 0.5, 8.0, 10.0, 16.0)
"""Bins to the unit."""
FILLED = 3
"""Bins that must be hit."""
JOINT = 0.25
"""How often bins are those of two values, in two dimensions."""


def count_in_bins(draft: Draft, value: Grown, depth: int) -> None:
    """`wp.atomic_add(counts, wp.clamp(int(value * width), 0, bins - 1), 1)`, or what a lane weighs in place of 1.

    Of two values, `wp.atomic_add(counts, wp.clamp(…), wp.clamp(…), 1)`.
    """
    value = lowered(draft, value, max(1, depth - 3))
    bins = pick(draft.choose, BINS)
    index = _bin_of(draft, value, bins)
    if depth >= 3 and chance(draft.choose, JOINT):
        bins = pick(draft.choose, BINS)
        other = lowered(draft, grow_term(draft, value.term.type, 2), max(1, depth - 3))
        index = At((index, _bin_of(draft, other, bins)))
    weigh = value.term.type is F32 and chance(draft.choose, 0.7)
    added = grow_term(draft, F32, 1).term if weigh else Const(I32, 1)
    array = output(draft, added.type, Role.ACCUMULATOR, bins, dimensions=len(indices_of(index)))
    draft.block.append(Atomic(AtomicKind.ADD, array, index, added))


def _bin_of(draft: Draft, value: Grown, bins: int) -> Term:
    """The number of the bin that the value falls into. Raises StuckError where it hardly varies."""
    for index in _bins_of(draft, value, bins):
        if np.unique(draft.value(index)[draft.active]).size >= FILLED:
            return index
    raise StuckError


def _bins_of(draft: Draft, value: Grown, bins: int) -> list[Term]:
    """Indices of bins that the value may fall into, of ever narrower ones."""
    type, last = value.term.type, Const(I32, bins - 1)
    clamp = ROWS["clamp(int32,int32,int32)"]
    if type is I32:
        return [Apply(clamp, (value.term, Const(I32, 0), last))]
    first = draft.choose(2)
    scaled = [
        value if width == 1 else attempt(draft, infix("mul", type), [value, draft.grown(number(type, width))])
        for width in WIDTHS[first:]
    ]
    whole = ROWS[f"int32({type.name})"]
    return [Apply(clamp, (Apply(whole, (one.term,)), Const(I32, 0), last)) for one in scaled if one is not None]


COLLECTED = 0.3
"""How often a condition says which threads are collected, rather than where they add to."""


def _picked(draft: Draft, value: Grown) -> Grown | None:
    """`value > limit`, which some lanes fulfil; None where there is no whole number that says which."""
    type = value.term.type
    told = type in INTEGERS or (isinstance(type, Scalar) and draft.dimensions == 1)
    limit = threshold_for(draft, value) if told else None
    if limit is None:
        return None
    op = infix(pick(draft.choose, ("greater", "less")), limit.type)
    return attempt(draft, op, [value, draft.grown(limit)])


def _collect(draft: Draft, picked: Grown, value: Grown) -> None:
    """`slot = wp.atomic_add(count, 0, 1)`, `kept[slot] = i`, where the condition holds."""
    slot = Var(draft.name("slot"), I32)
    own = value.term.type in INTEGERS and (draft.dimensions > 1 or draft.choose(2))
    what = value.term if own else draft.thread
    count = add_param(draft, Param(draft.name("array_count"), Array(I32), Role.ACCUMULATOR, 0, 0, 1)).name
    kept = add_param(draft, Param(draft.name("array_kept"), Array(what.type), Role.OUT)).name
    took = Atomic(AtomicKind.ADD, count, Const(I32, 0), Const(I32, 1), slot.name)
    draft.block.append(If(picked.term, (took, Store(kept, slot, what))))


def _mark(draft: Draft, picked: Grown, value: Grown) -> None:
    """`wp.atomic_exch(seen, indices[i], 1)`, where the condition holds, or what is a thread's own, as of a grid."""
    del value  # which the condition is about
    index = draft.own if draft.dimensions > 1 or not draft.choose(3) else stored_index(draft)
    seen = Param(draft.name("flag"), Array(I32, draft.dimensions), Role.ACCUMULATOR, 0, 1)
    kind = pick(draft.choose, MARKING)
    mark = Atomic(kind, add_param(draft, seen).name, index, Const(I32, 1 + draft.choose(2) * draft.choose(2)))
    draft.block.append(If(picked.term, (mark,)))


LEAST_TO_CLAIM = 4


def _claim(draft: Draft, picked: Grown, value: Grown) -> None:
    """`old = wp.atomic_cas(seen, nodes[i], 0, 1)`: who comes first to a node counts it, or keeps it."""
    del value  # which the condition is about
    node, old = stored_index(draft), Var(draft.name("claim"), I32)
    seen = add_param(draft, Param(draft.name("flag"), Array(I32), Role.ACCUMULATOR, 0, 0)).name
    claimed = Atomic(pick(draft.choose, MARKING), seen, node, Const(I32, 1), old.name)
    count = add_param(draft, Param(draft.name("array_count"), Array(I32), Role.ACCUMULATOR, 0, 0, 1)).name
    counted = Atomic(AtomicKind.ADD, count, Const(I32, 0), Const(I32, 1))
    done: tuple[Stmt, ...] = (counted,)
    if draft.choose(2):
        slot = Var(draft.name("slot"), I32)
        kept = add_param(draft, Param(draft.name("array_kept"), Array(I32), Role.OUT)).name
        done = (replace(counted, name=slot.name), Store(kept, slot, node))
    draft.block.append(If(picked.term, (claimed, If(comes_first(old), done))))


def reduce_by_condition(draft: Draft, value: Grown, depth: int) -> None:
    """`if c: wp.atomic_add(one, 0, value)`, `else: wp.atomic_add(other, 0, value)`; or who fulfils c is collected."""
    if isinstance(value.term, Apply):
        value = define(draft, local_role(value.term.type), value)
    if chance(draft.choose, COLLECTED) and (picked := _picked(draft, value)) is not None:
        ways = (_collect, _mark, _claim) if depth >= LEAST_TO_CLAIM and draft.dimensions == 1 else (_collect, _mark)
        pick(draft.choose, ways)(draft, picked, value)
        return
    condition = grow_condition(draft, min(depth, 3))
    type = value.term.type
    other = value if chance(draft.choose, 0.6) else grow_term(draft, type, 1)
    arms = [
        Atomic(AtomicKind.ADD, output(draft, type, Role.ACCUMULATOR, 1), Const(I32, 0), each.term)
        for each in (value, other)
    ]
    draft.block.append(If(condition.term, (arms[0],), (arms[1],)))
