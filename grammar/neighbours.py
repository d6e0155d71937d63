"""Growing values that come from other elements than the thread's own: stencils and gathers.

The key insight: whether a neighbour is there is settled where it is read, in one of the ways people have: the border
is left out, clamped to, or wrapped around.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from grammar.choose import chance, pick, weighted
from grammar.draft import Draft, Grown, add_param, define, local, local_role, nested, run
from grammar.features import combine, infix
from grammar.literal import number, zero
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.terms import attempt, grow_term, new_array, new_scalar, read_element, stored_index
from grammar.tree import (
    Apply,
    Assign,
    At,
    AugAssign,
    Const,
    For,
    If,
    Read,
    Return,
    Size,
    Stmt,
    Term,
    Var,
    own_subterms,
    subterms,
)
from grammar.types import I32, INTEGERS, Array, Element


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
    last = _last(param.name, by_len=says_len(draft))
    first_lane = Apply(infix("equal", I32), (i, Const(I32, 0)))
    last_lane = Apply(infix("greater_equal" if draft.choose(2) else "equal", I32), (i, last))
    run(draft, If(Apply(ROWS["logical_or(bool,bool)"], (first_lane, last_lane)), (Return(),)))
    return neighbours


def _is_border(condition: Term) -> bool:
    """Whether it is that which keeps the ends of arrays out."""
    return isinstance(condition, Apply) and any(isinstance(part, Size) for part in subterms(condition))


def _clamped(draft: Draft, param: Param) -> tuple[Term, Term]:
    before, after = clamped_along(param.name, 0, draft.thread, says_len(draft))
    return _named(draft, before), _named(draft, after)


def clamped_along(array: str, axis: int, index: Term, by_len: bool = False) -> tuple[Term, Term]:
    one = Const(I32, 1)
    before = Apply(infix("max", I32), (Apply(infix("sub", I32), (index, one)), Const(I32, 0)))
    after = Apply(infix("min", I32), (Apply(infix("add", I32), (index, one)), _last(array, axis, by_len)))
    return before, after


def _last(array: str, axis: int = 0, by_len: bool = False) -> Term:
    """The last index along an axis."""
    return Apply(infix("sub", I32), (Size(array, I32, axis, by_len), Const(I32, 1)))


def says_len(draft: Draft) -> bool:
    """Whether a length is `len(x)` rather than `x.shape[0]`."""
    return chance(draft.choose, 0.3)


def _wrapped(draft: Draft, param: Param) -> tuple[Term, Term]:
    i, one, n = draft.thread, Const(I32, 1), Size(param.name, I32, 0, says_len(draft))
    whole = Apply(infix("add", I32), (i, n))
    before = Apply(infix("mod", I32), (Apply(infix("sub", I32), (whole, one)), n))
    after = Apply(infix("mod", I32), (Apply(infix("add", I32), (i, one)), n))
    return _named(draft, before), _named(draft, after)


def _named(draft: Draft, index: Term) -> Term:
    """The index under a name of its own, perhaps; or the one that it has already."""
    known = (Var(stmt.name, I32) for stmt in draft.block if isinstance(stmt, Assign) and stmt.value == index)
    for variable in known:
        if variable in draft.scope:
            return variable
    return define(draft, "local_int", draft.grown(index)).term if chance(draft.choose, 0.5) else index


def stencil_grid(draft: Draft, type: Element, height: int) -> Grown:
    """An element and those beside it in a grid, whose border is left out or clamped to."""
    param = new_array(draft, type, dimensions=draft.dimensions)
    sides = [side for pair in _sides(draft, param, height) for side in pair]
    middle = draft.grown(Read(param.name, draft.own, type))
    near = [draft.grown(Read(param.name, side, type)) for side in sides]
    if chance(draft.choose, 0.6):
        near = [define(draft, local_role(type), one) for one in near]
    draft.pending.extend([*near[1:], middle])
    return grow_with(draft, near[0], type, height)


def _sides(draft: Draft, param: Param, height: int) -> list[tuple[Term, Term]]:
    """The indices before and after the thread's own, along each axis."""
    own = tuple(draft.indices[: draft.dimensions])
    clamped = any(isinstance(part, Size) for stmt in draft.block for part in own_subterms(stmt))
    bordered = any(isinstance(stmt, If) and _is_border(stmt.condition) for stmt in draft.block)
    inside = bordered or (not clamped and bool(draft.choose(2)))
    pairs = _inside_grid(draft, param, height) if inside else _clamped_to_grid(draft, param)
    if len(own) == 1:
        return pairs

    def place(axis: int, index: Term) -> Term:
        return At((*own[:axis], index, *own[axis + 1 :]))

    return [(place(axis, before), place(axis, after)) for axis, (before, after) in enumerate(pairs)]


def _inside_grid(draft: Draft, param: Param, height: int) -> list[tuple[Term, Term]]:
    own = draft.indices[: draft.dimensions]
    if not any(isinstance(stmt, If) and _is_border(stmt.condition) for stmt in draft.block):
        for border in _borders(param, own, together=height >= 2 * len(own) + 2):
            run(draft, If(border, (Return(),)))
    one = Const(I32, 1)
    return [(Apply(infix("sub", I32), (index, one)), Apply(infix("add", I32), (index, one))) for index in own]


def _borders(param: Param, own: Sequence[Var], together: bool) -> Iterator[Term]:
    """Conditions under which an index lies on the border: of all axes, or for each axis where that has no room."""
    either = ROWS["logical_or(bool,bool)"]
    edges = [
        Apply(infix("equal", I32), (index, bound))
        for axis, index in enumerate(own)
        for bound in (Const(I32, 0), _last(param.name, axis))
    ]
    for group in [edges] if together else zip(edges[::2], edges[1::2], strict=True):
        border, *others = group
        for edge in others:
            border = Apply(either, (border, edge))
        yield border


def _clamped_to_grid(draft: Draft, param: Param) -> list[tuple[Term, Term]]:
    pairs = [clamped_along(param.name, axis, index) for axis, index in enumerate(draft.indices[: draft.dimensions])]
    return [(_named(draft, before), _named(draft, after)) for before, after in pairs]


def difference(draft: Draft, type: Element, height: int) -> Grown:
    """What finite differences make of a field: how it curves, changes along an axis, is carried off, or flows apart."""
    fields = [p for p in draft.params if p.type == Array(type, draft.dimensions) and p.role is Role.VALUE]
    field = (
        pick(draft.choose, fields)
        if fields and draft.choose(2)
        else new_array(draft, type, (-2.0, 2.0), draft.dimensions)
    )
    sides, middle = _sides(draft, field, height), Read(field.name, draft.own, type)
    axis = draft.choose(len(sides))
    before, after = (Read(field.name, side, type) for side in sides[axis])
    match weighted(draft.choose, [("curved", 4.0), ("central", 2.0), ("carried", 2.0), ("apart", 2.0)]):
        case "curved":
            twice = _of("mul", number(type, 2), middle)
            along = [_of("sub", _of("add", *(Read(field.name, side, type) for side in pair)), twice) for pair in sides]
            change = _total(draft, along, height)
        case "central":
            change = _of("mul", _of("sub", after, before), number(type, 0.5))
        case "carried":
            wind = read_element(draft, type).term
            slope = _upwind(draft, type, wind, (_of("sub", middle, before), _of("sub", after, middle)))
            change = _of("mul", wind, define(draft, local_role(type), draft.grown(slope)).term)
        case _:
            flows = [field, *(new_array(draft, type, (-2.0, 2.0), draft.dimensions) for _ in sides[1:])]
            along = [
                _of("sub", Read(flow.name, pair[1], type), Read(flow.name, pair[0], type))
                for flow, pair in zip(flows, sides, strict=True)
            ]
            change = _total(draft, along, height)
    grown = define(draft, local_role(type), draft.grown(change))
    step = Var(new_scalar(draft, type, (0.05, 0.95)).name, type) if chance(draft.choose, 0.6) else None
    if step is not None:
        grown = draft.grown(_of("mul", step, grown.term))
    if chance(draft.choose, 0.6):
        draft.pending.append(draft.grown(middle))
    return grow_with(draft, grown, type, height)


def _total(draft: Draft, parts: list[Term], height: int) -> Term:
    """Their sum; each has a name of its own where there is no room for all in one line, or by chance."""
    apart = len(parts) > 1 and (height < len(parts) + 5 or chance(draft.choose, 0.3))
    if apart:
        parts = [define(draft, local_role(part.type), draft.grown(part)).term for part in parts]
    total = parts[0]
    for part in parts[1:]:
        total = _of("add", total, part)
    return total


def _of(name: str, one: Term, other: Term) -> Term:
    return Apply(infix(name, one.type), (one, other))


def _upwind(draft: Draft, type: Element, wind: Term, sides: tuple[Term, Term]) -> Term:
    """The difference to where the wind comes from."""
    positive = Apply(infix("greater", type), (wind, number(type, 0)))
    row = pick(draft.choose, ("where", "ternary"))
    return Apply(ROWS[f"{row}(bool,{type.name},{type.name})"], (positive, *sides))


WINDOW = (2, 3, 4, 5, 8)
"""How many elements before the thread's own a window begins."""


def prefix_scan(draft: Draft, type: Element, height: int) -> Grown:
    """What all elements up to the thread's own add up to, or those of a window that ends there."""
    source, accumulator = new_array(draft, type), Var(draft.name("accumulator"), type)
    inclusive, thread = bool(draft.choose(2)), draft.thread
    stop = Apply(infix("add", I32), (thread, Const(I32, 1))) if inclusive else thread
    start: Term | None = None
    if chance(draft.choose, 0.4):
        back = Apply(infix("sub", I32), (thread, Const(I32, pick(draft.choose, WINDOW))))
        start = _named(draft, Apply(infix("max", I32), (back, Const(I32, 0))))
    run(draft, Assign(accumulator.name, zero(type)))
    counter = Var(draft.name("loop"), I32)
    with nested(draft, draft.active) as body:
        lanes = np.arange(draft.active.size, dtype=np.int32)
        draft.interpreter.env[counter.name] = lanes * 7 % np.int32(draft.lanes)
        each = draft.grown(Read(source.name, counter, type))
        if height >= 4 and chance(draft.choose, 0.5):
            factor = new_scalar(draft, type)
            op = infix(weighted(draft.choose, [("mul", 2.0), ("sub", 1.0), ("max", 1.0), ("min", 1.0)]), type)
            each = attempt(draft, op, [each, draft.grown(Var(factor.name, type))]) or each
        if type not in INTEGERS and height >= 5 and chance(draft.choose, 0.4):
            each = attempt(draft, infix("mul", type), [each, each]) or each
        added: Stmt = AugAssign(accumulator.name, infix("add", type), each.term)
        if height >= 4 and chance(draft.choose, 0.25):
            positive = Apply(infix("greater", type), (Read(source.name, counter, type), number(type, 0)))
            added = If(positive, (added,))
        draft.block.append(added)
    run(draft, For(counter.name, start, stop, tuple(body)))
    return local(draft, accumulator.name, type)


def gather(draft: Draft, type: Element, height: int) -> Grown:
    """An element at an index that another array holds: `x[indices[i]]`."""
    del height
    source = new_array(draft, type)
    return draft.grown(Read(source.name, _named(draft, stored_index(draft)), type))


def new_offsets(draft: Draft) -> str:
    """The array that says where each lane's entries begin."""
    return add_param(draft, Param(draft.name("array_offsets"), Array(I32), Role.OFFSETS)).name


def entries_of_own(draft: Draft, offsets: str) -> tuple[Term, Term]:
    """Where the thread's own entries begin, and where they end: `offsets[i]` and `offsets[i + 1]`."""
    after = Apply(infix("add", I32), (draft.thread, Const(I32, 1)))
    return Read(offsets, draft.thread, I32), Read(offsets, after, I32)


def sparse_product(draft: Draft, type: Element, height: int) -> Grown:
    """A row of a sparse matrix times a vector: `for k in range(offsets[i], offsets[i + 1]): s += w[k] * x[cols[k]]`."""
    starts = new_offsets(draft)
    accumulator = Var(draft.name("accumulator"), type)
    first, last = entries_of_own(draft, starts)
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
