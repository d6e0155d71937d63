"""Growing what is done to single scalars of a vector or a matrix: `v[0] = a`, `v.y += b`, `m[k, k] = c`.

The key insight: whether such a change keeps the gradient hangs on what the scalar held before. So a local begins with
nothing and gets its scalars one by one, or it has a value to which something is added.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from grammar.choose import chance, pick, weighted
from grammar.draft import Draft, Grown, StuckError, define, local, local_role, nested, run
from grammar.features import infix
from grammar.limits import keeps_result, replaced
from grammar.literal import number, zero
from grammar.op import Item, Member, Op, Pasted, Slice
from grammar.ops import CHANGERS, COMPOSITE_ROWS, ROWS
from grammar.terms import TRIES, grow_condition, grow_term, read_element
from grammar.tree import Apply, Assign, AssignPart, At, Const, For, If, Stmt, Term, Var
from grammar.types import FLOATS, I32, LETTERS, SPATIAL_MATRICES, Composite, Element


def has_parts(type: Element) -> bool:
    """Whether one changes parts of it: scalars of vectors and matrices, the translation or rotation of transforms."""
    if not isinstance(type, Composite) or type.is_tile or type in SPATIAL_MATRICES:
        return False
    return not type.is_rigid or type.kind == "transform"


def assign_parts(draft: Draft, type: Element, height: int) -> Grown:
    """A local that is put together, or changed, part by part."""
    if not isinstance(type, Composite) or not has_parts(type):
        return grow_term(draft, type, height)
    if type.kind == "transform":
        return _placed(draft, type, height)
    styles = [("some", 4.0), ("all", 4.0 if type.kind == "vector" else 0.0), ("loop", 2.0)]
    styles.append(("pasted", 2.0 if _ways_to_paste(type) else 0.0))
    match weighted(draft.choose, styles):
        case "some":
            return _changed(draft, type, height)
        case "all":
            return _built(draft, type, height)
        case "pasted":
            return _pasted(draft, type, height)
        case _:
            return _looped(draft, type, height)


def _placed(draft: Draft, type: Composite, height: int) -> Grown:
    """`t = wp.transform_identity()`, then `wp.transform_set_translation(t, p)` or the rotation, or both.

    Of the transform that an element is, parts are set by those who don't mind the gradient.
    """
    begun = read_element(draft, type) if draft.tolerant and draft.choose(2) else draft.grown(zero(type))
    name = draft.name(local_role(type))
    run(draft, Assign(name, begun.term))
    move, turn = (op for op in CHANGERS if op.result is type)
    for op in pick(draft.choose, [(move,), (turn,), (move, turn)]):
        value = grow_term(draft, op.params[1], 1 + draft.choose(max(1, height - 1)))
        run(draft, Assign(name, Apply(op, (Var(name, type), value.term))))
    return local(draft, name, type)


def _built(draft: Draft, type: Composite, height: int) -> Grown:
    """`v = wp.vec3()`, `v[0] = a`, `v[1] = b`, `v[2] = c`."""
    name, lettered = _begun(draft, type), type.has_letters and bool(draft.choose(2))
    for place in range(type.width):
        value = grow_term(draft, type.scalar, 1 + draft.choose(max(1, height - 1)))
        run(draft, AssignPart(name, type, Const(I32, place), value.term, lettered=lettered))
    return local(draft, name, type)


def _pasted(draft: Draft, type: Composite, height: int) -> Grown:
    """`m = wp.mat22()`, `m[0] = v`, `m[1] = w`; what no slice covers, of vectors, is set by itself.

    Of what an element is, one part is replaced by those who don't mind the gradient.
    """
    ways = _ways_to_paste(type)
    rows: tuple[Op, ...] = (pick(draft.choose, pick(draft.choose, ways)),)
    if (draft.tolerant or type.scalar not in FLOATS) and draft.choose(2):
        name = draft.name(local_role(type))
        run(draft, Assign(name, read_element(draft, type).term))
    else:
        name, rows = _begun(draft, type), pick(draft.choose, ways)
        for place in sorted(set(range(type.width)).difference(*map(replaced, rows))):
            value = grow_term(draft, type.scalar, 1 + draft.choose(2))
            run(draft, AssignPart(name, type, Const(I32, place), value.term))
    values: list[Term] = []
    for op in rows:
        tried = (grow_term(draft, op.params[1], 1 + draft.choose(max(1, height - 1))).term for _ in range(TRIES))
        part = next((term for term in tried if term not in values), None)
        if part is None:
            raise StuckError
        values.append(part)
        run(draft, Assign(name, Apply(op, (Var(name, type), part))))
    return local(draft, name, type)


@cache
def _ways_to_paste(type: Composite) -> tuple[tuple[Op, ...], ...]:
    """Rows of the table that together fill a matrix, by rows or by columns; single ones for a vector."""
    rows = [op for op in CHANGERS if op.result is type and isinstance(op.spelling, Pasted)]
    if type.kind == "vector":
        return tuple((op,) for op in rows)
    lines = [op for op in rows if len(replaced(op)) in type.shape]
    by_row = tuple(op for op in lines if not _is_sliced(op))
    by_column = tuple(op for op in lines if _is_sliced(op) and len(replaced(op)) == type.shape[0])
    return tuple(way for way in (by_row, by_column) if sum(map(len, map(replaced, way))) == type.width)


def _is_sliced(op: Op) -> bool:
    return isinstance(op.spelling, Pasted) and any(isinstance(index, Slice) for index in op.spelling.indices)


def _begun(draft: Draft, type: Composite) -> str:
    """A local that holds zeros, not yet in scope."""
    name = draft.name(local_role(type))
    run(draft, Assign(name, zero(type)))
    return name


def _looped(draft: Draft, type: Composite, height: int) -> Grown:
    """`for k in range(3): v[k] = a`, or `m[k, k] = a`, where the values differ from trip to trip."""
    name, counter = _begun(draft, type), Var(draft.name("loop"), I32)
    row = Const(I32, draft.choose(type.shape[0])) if draft.choose(2) else counter
    index: Term = counter if len(type.shape) == 1 else At((row, counter))
    source = grow_term(draft, type, 1)
    if not isinstance(source.term, Var):
        source = define(draft, local_role(type), source)
    with nested(draft, draft.active) as body:
        draft.interpreter.env[counter.name] = np.zeros(draft.active.size, np.int32)
        row_of = ROWS[f"extract({type.name}{',int32' * len(type.shape)})"]
        each = draft.grown(Apply(row_of, (source.term, *(index.indices if isinstance(index, At) else (counter,)))))
        other = grow_term(draft, type.scalar, max(1, height - 3))
        value = Apply(infix(weighted(draft.choose, [("mul", 3.0), ("add", 1.0)]), type.scalar), (each.term, other.term))
        draft.block.append(AssignPart(name, type, index, value))
    trips = min(type.shape) if row is counter else type.shape[-1]
    run(draft, For(counter.name, None, Const(I32, trips), tuple(body)))
    return local(draft, name, type)


def _changed(draft: Draft, type: Composite, height: int) -> Grown:
    """`v[1] += a`, perhaps under a condition, to a value of its own."""
    value = grow_term(draft, type, max(1, height - 1))
    whole = define(draft, local_role(type), read_element(draft, type) if keeps_result(value.term) else value)
    assert isinstance(whole.term, Var)
    condition = grow_condition(draft, 2) if height >= 3 and chance(draft.choose, 0.4) else None
    draft.scope.remove(whole.term)  # an adjoint that needs the whole would need it as it was
    change = _change(draft, type, whole.term, height - 1)
    run(draft, change if condition is None else If(condition.term, (change,)))
    draft.parts.pop(whole.term.name, None)
    return local(draft, whole.term.name, type)


def _change(draft: Draft, type: Composite, whole: Var, height: int) -> Stmt:
    """What is done to one scalar; to assign to it anew is for those who don't mind the gradient."""
    place, scalar = draft.choose(type.width), type.scalar
    indices = type.indices(place)
    terms = tuple(Const(I32, k) for k in indices)
    index = terms[0] if len(terms) == 1 else At(terms)
    free = draft.tolerant or scalar not in FLOATS
    sign = weighted(
        draft.choose, [("add", 5.0), ("sub", 2.0), ("mul", 2.0 * free), ("neg", 1.0 * free), ("", 3.0 * free)]
    )
    lettered = type.has_letters and (sign not in SIGNS or scalar not in FLOATS) and bool(draft.choose(2))
    if sign == "neg":
        old = Apply(_extracting(type, Member(LETTERS[place]) if lettered else Item(indices)), (whole,))
        value: Term = Apply(ROWS[f"neg({scalar.name})"], (old,))
    else:
        value = number(scalar, 0) if not sign and draft.choose(2) else grow_term(draft, scalar, max(1, height)).term
    return AssignPart(whole.name, type, index, value, infix(sign, scalar) if sign in SIGNS else None, lettered)


SIGNS = ("add", "sub", "mul")
"""Operators of `v[0] OP= value`."""


@cache
def _extracting(type: Composite, spelling: Item | Member) -> Op:
    return next(op for op in COMPOSITE_ROWS if op.params == (type,) and op.spelling == spelling)
