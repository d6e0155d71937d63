"""Idioms of known defects, put into kernels that have none: a vector added to by its letter, a tile transposed late.

The key insight: the grower leaves out most of what trips the compiler because people's kernels hardly have it, not
because it could not be said. So where fuzzing is to see known defects again, one term of a grown kernel is
changed or a statement added; whether that comes to a defect is for running it to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from grammar.choose import Choose, pick
from grammar.fields import fresh_names
from grammar.literal import number
from grammar.ops import NOISE, ROWS
from grammar.rebuild import Body, with_all_terms
from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    AugAssign,
    Const,
    Fieldwise,
    For,
    If,
    Kernel,
    Return,
    Sample,
    Store,
    Term,
    Thread,
    Var,
    terms_in,
)
from grammar.types import BOOL, F32, FLOATS, I32, INT_VECTORS, VECTORS, Composite


def with_idiom(choose: Choose, kernel: Kernel) -> Kernel | None:
    """The kernel with one such change; None where none is possible. It need not be alive any more."""
    possible = [ways for change in CHANGES if (ways := list(change(kernel)))]
    return pick(choose, pick(choose, possible)) if possible else None


# -- of a term --------------------------------------------------------------------------------------------------------


def _of_terms(change: Callable[[Term], Term | None]) -> Callable[[Kernel], Iterator[Kernel]]:
    """Kernels with the change, which gives None where it doesn't apply, done to one of the terms each."""

    def ways(kernel: Kernel) -> Iterator[Kernel]:
        for wanted in range(sum(change(term) is not None for term in terms_in(kernel.body))):
            yield replace(kernel, body=_with_nth(kernel.body, change, wanted))

    return ways


def _with_nth(body: Body, change: Callable[[Term], Term | None], wanted: int) -> Body:
    met = count()

    def changed(term: Term) -> Term:
        new = change(term)
        return term if new is None or next(met) != wanted else new

    return with_all_terms(body, changed)


def _transposed(term: Term) -> Term | None:
    """Of a tile that has a name, and so may have been used before."""
    turned = ROWS.get(f"tile_transpose({term.type.name})") if isinstance(term, Var) else None
    return Apply(turned, (term,)) if turned is not None and turned.result is term.type else None


def _made_whole(term: Term) -> Term | None:
    """`wp.vec3(wp.vec3i(v))`."""
    if isinstance(term, Const) or term.type not in VECTORS or not isinstance(term.type, Composite):
        return None
    whole = next(other for other in INT_VECTORS if other.shape == term.type.shape)
    there, back = ROWS.get(f"{whole.name}({term.type.name})"), ROWS.get(f"{term.type.name}({whole.name})")
    return None if there is None or back is None else Apply(back, (Apply(there, (term,)),))


def _solved_for_one_number(term: Term) -> Term | None:
    """The sum of what stood on the right side, for all equations."""
    if not isinstance(term, Apply) or not term.op.name.endswith("_solve"):
        return None
    matrix, right = term.args
    added = ROWS[f"tile_sum({right.type.name})"]
    repeated = ROWS[f"tile_broadcast[{right.type.width}]({added.result.name})"]
    return Apply(term.op, (matrix, Apply(repeated, (Apply(added, (right,)),))))


def _shared(term: Term) -> Term | None:
    """`wp.untile(t) * t[0]`."""
    if not isinstance(term, Apply) or term.op.name != "untile" or not isinstance(tile := term.args[0], Var):
        return None
    first, times = ROWS.get(f"extract[0]({tile.type.name})"), ROWS[f"mul({term.type.name},{term.type.name})"]
    return None if first is None else Apply(times, (term, Apply(first, (tile,))))


# -- of a statement ---------------------------------------------------------------------------------------------------


def _part_added_to(kernel: Kernel) -> Iterator[Kernel]:
    """`v[0] += 0.5` or `v.x += 0.5`, anywhere after v, which is no field, has its value."""
    for k, stmt in enumerate(kernel.body):
        if not isinstance(stmt, Assign) or "." in stmt.name:
            continue
        if isinstance(type := stmt.value.type, Composite) and type in VECTORS:
            add, half = ROWS[f"add({type.scalar.name},{type.scalar.name})"], number(type.scalar, 0.5)
            for place, lettered in ((0, False), (type.width - 1, True)):
                change = AssignPart(stmt.name, type, Const(I32, place), half, add, lettered)
                yield from _inserted(kernel, (change,), k + 1)


def _field_overwritten(kernel: Kernel) -> Iterator[Kernel]:
    """`s = 0.0`, `for k in range(i % 3): s += p.x * p.x`, `p.x = p.x + s`, anywhere after p has its value."""
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    trips = Apply(ROWS["mod(int32,int32)"], (Var(thread.name, I32), Const(I32, 3)))
    trip, total = next(fresh_names(kernel, "trip")), next(fresh_names(kernel, "total"))
    for k, stmt in enumerate(kernel.body):
        for field in stmt.body if isinstance(stmt, Fieldwise) else ():
            if isinstance(field, Assign) and (type := field.value.type) in FLOATS:
                own = Var(field.name, type)
                add, times = (ROWS[f"{name}({type.name},{type.name})"] for name in ("add", "mul"))
                summed = For(trip, None, trips, (AugAssign(total, add, Apply(times, (own, own))),))
                changes = Assign(total, number(type, 0)), summed, Assign(own.name, Apply(add, (own, Var(total, type))))
                yield from _inserted(kernel, changes, k + 1)


def _condition_overwritten(kernel: Kernel) -> Iterator[Kernel]:
    """`if p.flag: p.flag = False`, `else: p.flag = True`, anywhere after p has its value."""
    for k, stmt in enumerate(kernel.body):
        for field in stmt.body if isinstance(stmt, Fieldwise) else ():
            if isinstance(field, Assign) and field.value.type is BOOL:
                yes, no = ((Assign(field.name, Const(BOOL, flag)),) for flag in (False, True))
                yield from _inserted(kernel, (If(Var(field.name, BOOL), yes, no),), k + 1)


def _divided_by_count(kernel: Kernel) -> Iterator[Kernel]:
    """`count = wp.min(i, 0)`, `for k in range(2 + i % 3): count += 1`, and what was `a // b` after it is `a // count`.

    Were it `count = 0`, Clang would know what going back divides by, and leave it out.
    """
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    add, mod, least, quotient = (ROWS[f"{name}(int32,int32)"] for name in ("add", "mod", "min", "floordiv"))
    trip, count = (next(fresh_names(kernel, name)) for name in ("trip", "count"))
    own = Var(thread.name, I32)
    trips = Apply(add, (Const(I32, 2), Apply(mod, (own, Const(I32, 3)))))
    counted = (
        Assign(count, Apply(least, (own, Const(I32, 0)))),
        For(trip, None, trips, (AugAssign(count, add, Const(I32, 1)),)),
    )

    def by_count(term: Term) -> Term:
        is_quotient = isinstance(term, Apply) and term.op is quotient
        return Apply(quotient, (term.args[0], Var(count, I32))) if is_quotient else term

    for k, stmt in enumerate(kernel.body):
        changed = with_all_terms((stmt,), by_count)
        if changed != (stmt,):
            yield replace(kernel, body=(*kernel.body[:k], *counted, *changed, *kernel.body[k + 1 :]))


def _state_moved(kernel: Kernel) -> Iterator[Kernel]:
    """`s = wp.randf(state)`, anywhere after noise that the state selects; what is stored last is multiplied with it."""
    name, last = next(fresh_names(kernel, "drawn")), kernel.body[-1]
    if not isinstance(last, Store) or last.value.type is not F32:
        return
    product = Apply(ROWS["mul(float32,float32)"], (last.value, Var(name, F32)))
    longer = replace(kernel, body=(*kernel.body[:-1], replace(last, value=product)))
    for k, stmt in enumerate(kernel.body):
        for term in terms_in((stmt,)):
            if isinstance(term, Apply) and term.op in NOISE and isinstance(state := term.args[0], Var):
                yield from _inserted(longer, (Sample(name, ROWS["randf(uint32)"], state.name),), k + 1)


def _inserted(kernel: Kernel, stmts: Body, first: int) -> Iterator[Kernel]:
    """Before any statement from that on, but the last, after which nothing would read it."""
    for place in range(first, len(kernel.body)):
        if not isinstance(kernel.body[place - 1], Return):
            yield replace(kernel, body=(*kernel.body[:place], *stmts, *kernel.body[place:]))


CHANGES: tuple[Callable[[Kernel], Iterator[Kernel]], ...] = (
    *map(_of_terms, (_transposed, _made_whole, _solved_for_one_number, _shared)),
    _part_added_to,
    _field_overwritten,
    _condition_overwritten,
    _divided_by_count,
    _state_moved,
)
"""By kernel, all the ways in which a change can be made to it."""
