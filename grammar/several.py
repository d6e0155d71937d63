"""Functions with several results: `a, b = split(x, y)`.

The key insight: what a function returns together belongs together, so all results are grown from the same parameters,
and whoever calls it has a use for each.
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar.calls import (
    Argument,
    call_function,
    given_by,
    inside,
    needed,
    new_arguments,
    own_values,
    plain_result,
    terms_of,
)
from grammar.choose import chance, weighted
from grammar.draft import Draft, Grown, defined, is_like, is_sound, local, local_role, run
from grammar.neighbours import grow_with
from grammar.op import Lanes
from grammar.terms import TRIES, grow_condition, grow_term
from grammar.tree import Apply, Function, If, Return, Stmt, Unpack, Whole
from grammar.types import Element

ATTEMPTS = 3
"""Functions that are grown before one with a single result has to do."""


def call_several(draft: Draft, type: Element, height: int) -> Grown:
    """`a, b = split(x[i], y[i])`, and a value in which both take part."""
    results = next(filter(None, (_new(draft, type, height) for _ in range(ATTEMPTS))), None)
    if results is None:
        return call_function(draft, type, height)
    draft.pending.extend(results[1:])
    return grow_with(draft, results[0], type, height)


def _new(draft: Draft, type: Element, height: int) -> list[Grown] | None:
    args = new_arguments(draft, type, height)
    name, count = draft.name("function"), weighted(draft.choose, [(2, 6.0), (3, 1.0)])
    with inside(draft, name, args) as params:
        body = _body(draft, type, max(2, height - 2), own_values(draft, params, type, height), count)
    kept = [] if body is None else needed(params, body)
    if body is None or not kept:
        return None
    function = Function(name, tuple(params[k] for k in kept), body, type, (type,) * (count - 1))
    return _unpacked(draft, function, [args[k] for k in kept])


def _body(draft: Draft, type: Element, height: int, owed: list[Grown], count: int) -> tuple[Stmt, ...] | None:
    """What ends in `return value, other`, perhaps after `if condition: return plain, plain`."""
    if height >= 3 and chance(draft.choose, 0.2):
        condition = grow_condition(draft, 2)
        early = tuple(plain_result(draft, type) for _ in range(count))
        draft.block.append(If(condition.term, (Return(early[0], early[1:]),)))
        draft.active = draft.active & ~condition.value
    values: list[Grown] = []
    for _ in range(count):
        draft.pending[:] = owed
        value = _another(draft, type, height, values)
        if value is None:
            return None
        values.append(value)
    draft.pending.clear()
    return (*draft.block, Return(values[0].term, tuple(value.term for value in values[1:])))


def _another(draft: Draft, type: Element, height: int, before: Sequence[Grown]) -> Grown | None:
    """An operation that gives something else than those before."""
    for _ in range(TRIES):
        value = grow_term(draft, type, height)
        if isinstance(value.term, Apply) and not any(is_like(draft, value.value, other.value) for other in before):
            return value
    return None


def _unpacked(draft: Draft, function: Function, args: Sequence[Argument]) -> list[Grown] | None:
    """The locals that get what the function returns, if it is all sound and new."""
    terms, given = terms_of(args), given_by(args)
    results: list[Lanes] = []

    def compute() -> Lanes:
        results.extend(draft.interpreter.results(function, given, draft.active))
        return results[0]

    values = [arg.value for arg in args if not isinstance(arg, Whole)]
    if len(set(terms)) < len(terms) or defined(draft, compute) is None:
        return None
    for k, result in enumerate(results):
        if not is_sound(draft, result) or any(is_like(draft, result, other) for other in (*values, *results[:k])):
            return None
    names = tuple(draft.name(local_role(type)) for type in function.results)
    draft.functions.append(function)
    run(draft, Unpack(names, function, terms))
    return [local(draft, name, type) for name, type in zip(names, function.results, strict=True)]
