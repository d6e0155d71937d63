"""Growing calls of gradients: `wp.grad(potential)(x)`.

The key insight: what somebody takes the gradient of is an energy, a distance or a loss: one number, which is smooth. So
the function is grown from operations that have a rule, and is there for its slopes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from grammar.calls import Argument, called, inside, needed
from grammar.choose import chance
from grammar.derive import RULES, gradient_of
from grammar.draft import ANYWHERE, Draft, Grown
from grammar.ops import TABLE
from grammar.profiles import Profile
from grammar.several import unpacked
from grammar.terms import grow_argument, grow_term
from grammar.tree import Function, Return
from grammar.types import Element

ATTEMPTS = 6
"""Functions that are grown before there is no gradient."""
SECOND = 0.3
"""How often the function has a second parameter."""


def call_gradient(draft: Draft, type: Element, height: int) -> list[Grown]:
    """`wp.grad(energy)(x[i])`, or what `slope, rate = wp.grad(loss)(x[i], k)` gives; nothing if it came to none."""
    args: list[Argument] = [grow_argument(draft, type, 1 + draft.choose(2), ANYWHERE)]
    if chance(draft.choose, SECOND):
        args.append(grow_argument(draft, type, 1, ANYWHERE))
    for _ in range(ATTEMPTS):
        made = _new(draft, type, height, args)
        if made is not None and (found := _slopes(draft, *made)):
            return found
    return []


def _new(draft: Draft, type: Element, height: int, args: list[Argument]) -> tuple[Function, Sequence[Argument]] | None:
    """A function that is called for its gradient, and those of the arguments that it needs."""
    name, profile = draft.name("energy"), draft.profile
    draft.profile = _smooth(profile)
    with inside(draft, name, args) as params:
        draft.pending[:] = [draft.grown(param) for param in params if param.type is type]
        value = grow_term(draft, type.scalar, max(2, height - 2))
        body = (*draft.block, Return(value.term))
    draft.profile = profile
    kept = needed(params, body)
    own = tuple(params[k] for k in kept)
    function = Function(name, own, body, type.scalar)
    gradient = gradient_of(function) if kept else None
    if gradient is None:
        return None
    called_for = replace(function, result=gradient.result, others=gradient.others, gradient=True)
    return called_for, [args[k] for k in kept]


def _slopes(draft: Draft, function: Function, args: Sequence[Argument]) -> list[Grown]:
    """Those along all parameters, if each is new and differs from lane to lane."""
    if function.others:
        return unpacked(draft, function, args) or []
    grown = called(draft, function, args)
    if grown is None:
        return []
    draft.functions.append(function.primal)
    return [grown]


@lru_cache(maxsize=64)
def _smooth(profile: Profile) -> Profile:
    """The profile without the operations that have no rule."""
    return replace(profile, off=profile.off | {op.name for op in TABLE if op.name not in RULES})
