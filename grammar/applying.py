"""Growing functions that are handed functions: `apply(falloff, x)`.

The key insight: what such a function does with the one that it is handed is seen on one that there is already. So it is
grown around calls of that one, and handed another only where that does something, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar.calls import Argument, call_function, called, inside, needed, returned
from grammar.choose import chance, pick
from grammar.draft import ANYWHERE, Draft, Grown, is_like
from grammar.features import combine
from grammar.passing import with_passed
from grammar.terms import TRIES, grow_argument, grow_term
from grammar.tree import Function, Passed, Var, called_in
from grammar.types import Element

TWICE = 0.6
"""How often a function calls what it is handed at a second place."""
ANOTHER = 0.5
"""How often it is handed another one as well."""


def call_with_function(draft: Draft, type: Element, height: int) -> Grown:
    """`apply(falloff, x[i])`, perhaps together with `apply(window, x[i])`; in any case a call of a function."""
    wanted = 1 + chance(draft.choose, ANOTHER)
    for _ in range(3 * wanted):
        if len(_fitting(draft, type)) < wanted:
            call_function(draft, type, min(height, 3))  # of which no more than the function may be left
    known = _fitting(draft, type)
    made = next(filter(None, (_new(draft, type, height, known[0]) for _ in range(TRIES if known else 0))), None)
    if made is None:
        return call_function(draft, type, height)
    function, grown = made
    others = [one for one in known if _is_alike(one, known[0])]
    return combine(draft, [grown, *_with_another(draft, function, others)], height)


def _fitting(draft: Draft, type: Element) -> list[Function]:
    """Those that may be handed over, the latest first."""
    return [function for function in reversed(draft.functions) if _is_fit(function, type)]


def _is_fit(function: Function, type: Element) -> bool:
    """Whether it may be handed over: it makes of values of the type another one."""
    plain = not (function.generic or function.defaults or function.takes or function.structs or function.gradient)
    return plain and function.results == (type,) and all(param == Var(param.name, type) for param in function.params)


def _is_alike(one: Function, other: Function) -> bool:
    return one != other and len(one.params) == len(other.params)


def _new(draft: Draft, type: Element, height: int, handed: Function) -> tuple[Function, Grown] | None:
    """A function that calls the one that it is handed, and a call of it."""
    args: list[Argument] = [grow_argument(draft, type, 1 + draft.choose(2), ANYWHERE) for _ in handed.params]
    name = draft.name("function")
    with inside(draft, name, args) as params:
        given = [param for param in params if isinstance(param, Var)]
        inner = draft.name("passed")
        calls = _calls(draft, type, handed, given)
        if not calls:
            return None
        body = returned(draft, type, max(2, height - 2), calls)
    kept = needed(params, body)
    if not kept or handed not in called_in(body):
        return None
    own = tuple(params[k] for k in kept)
    function = Function(name, own, body, type, takes=(Passed(inner, handed),))
    grown = called(draft, function, [args[k] for k in kept])
    if grown is None:
        return None
    draft.functions.append(function)
    return function, grown


def _calls(draft: Draft, type: Element, handed: Function, given: Sequence[Var]) -> list[Grown]:
    """Calls of what is handed: on what there is, and on something near."""
    plain = [draft.grown(param) for param in given]
    first = called(draft, handed, plain)
    if first is None or not chance(draft.choose, TWICE):
        return [] if first is None else [first]
    moved = [grow_term(draft, type, 2), *plain[1:]]
    second = called(draft, handed, moved)
    return [first] if second is None or is_like(draft, first.value, second.value) else [first, second]


def _with_another(draft: Draft, function: Function, others: Sequence[Function]) -> list[Grown]:
    """A call of the function, handed another one."""
    if not others:
        return []
    made = with_passed(function, [pick(draft.choose, others)])
    args: list[Argument] = [grow_argument(draft, param.type, 1, ANYWHERE) for param in made.params]
    grown = called(draft, made, args)
    if grown is None:
        return []
    draft.functions.append(made)
    return [grown]
