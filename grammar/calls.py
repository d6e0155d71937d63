"""Growing functions of the module's own, and calls of them.

The key insight: a function is grown at its first call, where its parameters have values. So what it does to them is
seen like anything else; further calls need only be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from grammar.alive import names_in
from grammar.choose import chance, pick, weighted
from grammar.draft import ANYWHERE, Draft, Grown, defined, is_like, is_sound, local_role
from grammar.features import combine, infixes
from grammar.literal import zero
from grammar.op import Lanes
from grammar.terms import TRIES, grow_argument, grow_condition, grow_term
from grammar.tree import Apply, Assign, Function, If, Invoke, Return, Stmt, Term, Var, own_terms, statements, terms_in
from grammar.types import Composite, Element

MOST_FUNCTIONS = 3
FEWEST_OPERATIONS = 2
"""Nobody gives a name to less."""


def call_function(draft: Draft, type: Element, height: int) -> Grown:
    """`falloff(x[i], radius)`: a function that is there already, or a new one."""
    known = [function for function in draft.functions if function.result is type]
    if known and (len(draft.functions) >= MOST_FUNCTIONS or chance(draft.choose, 0.4)):
        function = pick(draft.choose, known)
        grown = called(draft, function, [grow_argument(draft, p.type, 1, ANYWHERE) for p in function.params])
    else:
        grown = next(filter(None, (_new(draft, type, height) for _ in range(TRIES))), None)
    return grown or grow_term(draft, type, height)


def called(draft: Draft, function: Function, args: Sequence[Grown]) -> Grown | None:
    """The function on these arguments, if it is defined on the active lanes, does something, and is called for once."""
    terms, values = tuple(arg.term for arg in args), [arg.value for arg in args]
    if len(set(terms)) < len(terms):
        return None
    value = defined(draft, lambda: draft.interpreter.invoke(function, values, draft.active))
    if value is None or not is_sound(draft, value) or any(is_like(draft, value, other) for other in values):
        return None
    if any(is_like(draft, value, draft.interpreter.env[known.name]) for known in draft.scope):
        return None
    return Grown(Invoke(function, terms), value)


# -- a new one --------------------------------------------------------------------------------------------------------


def _new(draft: Draft, type: Element, height: int) -> Grown | None:
    kinds: list[Element] = [type, type.scalar] if isinstance(type, Composite) else [type]
    more = weighted(draft.choose, [(1, 4.0), (2, 2.0), (0, 1.5)])
    types = [type, *(pick(draft.choose, kinds) for _ in range(more))]
    args = [grow_argument(draft, each, 1 + draft.choose(2) * draft.choose(2), ANYWHERE) for each in types]
    name = draft.name("function")
    with _inside(draft, [arg.value for arg in args], types) as params:
        body = _body(draft, type, max(2, height - 2))
    used = {name for stmt in statements(body) for term in own_terms(stmt) for name in names_in(term)}
    if any(isinstance(stmt, Assign) and stmt.name not in used for stmt in statements(body)):
        return None  # what was tried on the way and came to nothing
    kept = [k for k, param in enumerate(params) if param.name in used]
    if not kept or sum(isinstance(part, Apply) for part in terms_in(body)) < FEWEST_OPERATIONS:
        return None
    function = Function(name, tuple(params[k] for k in kept), body, type)
    grown = called(draft, function, [args[k] for k in kept])
    if grown is not None:
        draft.functions.append(function)
    return grown


def _body(draft: Draft, type: Element, height: int) -> tuple[Stmt, ...]:
    """What ends in `return value`, perhaps after `if condition: return other`."""
    if height >= 3 and chance(draft.choose, 0.3):
        condition = grow_condition(draft, 2)
        draft.block.append(If(condition.term, (Return(_plain_result(draft, type)),)))
        draft.active = draft.active & ~condition.value
    draft.pending[:] = [draft.grown(param) for param in draft.scope if param.type is type]
    value = grow_term(draft, type, height)
    owed = [grown for grown in draft.pending if grown.term != value.term]
    draft.pending.clear()
    if owed and infixes(type, [("add", 1.0)]):
        value = combine(draft, [value, *owed], height)
    return (*draft.block, Return(value.term))


def _plain_result(draft: Draft, type: Element) -> Term:
    """What a function returns early: nothing much, or one of its parameters."""
    params = [param for param in draft.scope if param.type is type]
    return zero(type) if chance(draft.choose, 0.6) else pick(draft.choose, params)


@contextmanager
def _inside(draft: Draft, values: Sequence[Lanes], types: Sequence[Element]) -> Iterator[list[Var]]:
    """The scope of a function whose parameters have these values: yields the parameters."""
    kept = ("block", "scope", "taken", "pending", "locals_left", "active", "parts")
    outer, env = {name: getattr(draft, name) for name in kept}, draft.interpreter.env
    draft.block, draft.scope, draft.pending, draft.parts, draft.locals_left = [], [], [], {}, 2
    draft.taken = {function.name for function in draft.functions}
    params = [Var(draft.name("parameter" if not isinstance(t, Composite) else local_role(t)), t) for t in types]
    draft.interpreter.env = {param.name: value for param, value in zip(params, values, strict=True)}
    draft.scope.extend(params)
    draft.closed = True
    try:
        yield params
    finally:
        for name, value in outer.items():
            setattr(draft, name, value)
        draft.interpreter.env, draft.closed = env, False
