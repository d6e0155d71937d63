"""Growing what moves: positions and velocities, and a step in time.

The key insight: what is grown is the force. Position and velocity are there before it, so that it may hang on them, and
the step that it drives is how the result leaves the kernel.
"""

from __future__ import annotations

from grammar.choose import chance, weighted
from grammar.draft import Draft, Grown, StuckError, add_param, define, local_role
from grammar.features import infix
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.terms import attempt, grow_leaf, lowered
from grammar.tree import Read, Store, Var
from grammar.types import Array, Element


def state_of_motion(draft: Draft, type: Element, height: int) -> Grown:
    """The thread's own position, of which there is a velocity as well."""
    del height
    arrays = (
        Param(draft.name("position"), Array(type, draft.dimensions), Role.VALUE, -2.0, 2.0),
        Param(draft.name("velocity"), Array(type, draft.dimensions), Role.VALUE, -1.0, 1.0),
    )
    position, _ = (add_param(draft, array) for array in arrays)
    return draft.grown(Read(position.name, draft.own, type))


def moving(draft: Draft, force: Grown, depth: int) -> None:
    """`v = p.v + force * dt`, `x = p.x + v * dt`."""
    type = force.term.type
    moved = [p.name for p in draft.params if p.element is type and isinstance(p.type, Array) and not p.is_output][:2]
    before = [draft.grown(Read(name, draft.own, type)) for name in moved]
    dt = draft.grown(Var(add_param(draft, _time_step(draft, type)).name, type.scalar))
    change = _scaled(draft, _per_mass(draft, force, depth), dt, depth)
    velocity = _sum(draft, before[1], change, depth)
    if chance(draft.choose, 0.25):
        velocity = _damped(draft, velocity, depth)
    velocity = define(draft, local_role(type), velocity)
    position = _sum(draft, before[0], _scaled(draft, velocity, dt, depth), depth)
    array = Array(type, draft.dimensions)
    outs = [add_param(draft, Param(draft.name("array_out"), array, Role.OUT, -1.0, 1.0)).name for _ in before]
    stores = [Store(out, draft.own, value.term) for out, value in zip(outs, (position, velocity), strict=True)]
    draft.block += stores if draft.choose(2) else stores[::-1]


def _time_step(draft: Draft, type: Element) -> Param:
    return Param(draft.name("time_step"), type.scalar, Role.VALUE, 0.02, 0.1)


def _per_mass(draft: Draft, force: Grown, depth: int) -> Grown:
    """The force over a mass, or times its inverse; or as it is: an acceleration."""
    type = force.term.type
    way = weighted(draft.choose, [("", 3.0), ("div", 2.0), ("mul", 1.0)])
    if not way:
        return force
    mass = grow_leaf(draft, type.scalar, (0.1, 4.0))
    return _applied(draft, way, lowered(draft, force, max(1, depth - 4)), mass) or force


def _damped(draft: Draft, velocity: Grown, depth: int) -> Grown:
    by = grow_leaf(draft, velocity.term.type.scalar, (0.1, 1.0))
    return _applied(draft, "mul", lowered(draft, velocity, depth - 1), by) or velocity


def _scaled(draft: Draft, value: Grown, by: Grown, depth: int) -> Grown:
    return _applied(draft, "mul", lowered(draft, value, max(1, depth - 3)), by) or _stuck()


def _sum(draft: Draft, one: Grown, other: Grown, depth: int) -> Grown:
    other = lowered(draft, other, depth - 1)
    return attempt(draft, infix("add", one.term.type), [one, other]) or _stuck()


def _applied(draft: Draft, name: str, value: Grown, by: Grown) -> Grown | None:
    return attempt(draft, ROWS[f"{name}({value.term.type.name},{by.term.type.name})"], [value, by])


def _stuck() -> Grown:
    raise StuckError
