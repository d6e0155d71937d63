"""Growing statements: ways in which a value comes about that take more than one line.

The key insight: every feature is a function from a draft to a value that is still owed a use. Branches, loops and
stencils so become terms like any other, and a family is no more than the features it asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from grammar.alive import names_in
from grammar.choose import chance, pick, weighted
from grammar.draft import (
    ANYWHERE,
    SPLIT,
    Draft,
    Grown,
    add_param,
    assign,
    define,
    is_like,
    is_sound,
    local,
    local_role,
    nested,
    run,
)
from grammar.heights import term_height
from grammar.layout import Mask, grid
from grammar.literal import number, zero
from grammar.menus import menu_of_comparisons
from grammar.op import Lanes, Op
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.terms import (
    attempt,
    constant,
    grow_argument,
    grow_condition,
    grow_leaf,
    grow_term,
    lowered,
    new_array,
    threshold_for,
)
from grammar.tree import (
    Apply,
    Assign,
    At,
    AugAssign,
    Break,
    Const,
    Continue,
    For,
    If,
    Read,
    Size,
    Stmt,
    Term,
    Var,
    While,
)
from grammar.types import I32, INTEGERS, UNSIGNED, Array, Composite, Element, Scalar

Feature = Callable[[Draft, Element, int], Grown]
"""Grows statements of at most the given height; gives the value they compute, which the caller must use."""
Inner = Callable[[Draft, Element, int, str], Grown]
"""Such a feature that may stand within another: a name that isn't empty is the one its value is to have."""


def infix(name: str, type: Element) -> Op:
    return ROWS[f"{name}({type.name},{type.name})"]


def joining(type: Element) -> Op:
    """What adds one value to another; rotations are multiplied."""
    return infix("mul" if isinstance(type, Composite) and type.is_rigid else "add", type)


def infixes(type: Element, weights: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Those that there are on two values of the type: vectors have no product of their kind, rotations nothing else."""
    if isinstance(type, Composite) and type.is_rigid:
        return [("mul", 1.0)]
    return [(name, weight) for name, weight in weights if f"{name}({type.name},{type.name})" in ROWS]


def grow_value(draft: Draft, type: Element, height: int, name: str = "") -> Grown:
    """A term; where there is room, sooner or later a branch or a loop of its own, which may take the name."""
    if isinstance(type, Composite) and type.is_tile:
        return grow_term(draft, type, height)  # all threads of a block have to take part
    share = 0.9 if draft.tall else min(0.5, 0.12 * (height - 3))
    if height >= 4 and np.count_nonzero(draft.active) >= FEWEST and chance(draft.choose, share):
        return pick(draft.choose, INNER if len(draft.indices) - draft.dimensions + 1 < MOST_LOOPS else BRANCHING)(
            draft, type, height, name
        )
    return grow_term(draft, type, height)


FEWEST = 8
"""Active lanes that conditions can still tell apart."""


# -- branches ---------------------------------------------------------------------------------------------------------


def branch_update(draft: Draft, type: Element, height: int, name: str = "") -> Grown:
    """`v = a`, then `if c: v = b` or `v += b`."""
    first = grow_term(draft, type, height)
    variable = Var(name or draft.name(local_role(type)), type)
    assign(draft, Assign(variable.name, first.term), variable, first.value)
    condition = grow_condition(draft, min(height, 3))
    with nested(draft, draft.active & condition.value) as body:
        stmt, value = _change(draft, variable, height - 1)
        draft.block.append(stmt)
    changed = np.where(condition.value, value, draft.interpreter.env[variable.name])
    return assign(draft, If(condition.term, tuple(body)), variable, changed)


def _change(draft: Draft, variable: Var, height: int) -> tuple[Stmt, Lanes]:
    """A statement that changes a local, `v += b` or `v = b` (`b` may be an operation on `v`), and what it gives."""
    name, type, old = variable.name, variable.type, draft.interpreter.env[variable.name]
    if chance(draft.choose, 0.5):
        value = _without(draft, variable, height)
        op = infix(weighted(draft.choose, infixes(type, [("add", 5.0), ("sub", 3.0), ("mul", 2.0)])), type)
        new = op(old, value.value)
        return (
            (updated(draft, variable, op, value.term, height), new)
            if is_sound(draft, new)
            else (Assign(name, value.term), value.value)
        )
    for _ in range(3):
        value = grow_value(draft, type, height)
        if value.term != variable and not is_like(draft, value.value, old):
            return _given(draft, variable, value.term), value.value
    other = _another(draft, draft.grown(variable))
    op = joining(type)
    return updated(draft, variable, op, other.term, height), op(old, other.value)


def _given(draft: Draft, variable: Var, value: Term) -> Stmt:
    """The local gets the value: mostly `v += b` rather than `v = v + b`."""
    match value:
        case Apply(op, (first, other)) if first == variable and op.name in ("add", "sub", "mul"):
            return updated(draft, variable, op, other, term_height(value))
        case _:
            return Assign(variable.name, value)


def updated(draft: Draft, variable: Var, op: Op, value: Term, height: int) -> Stmt:
    """`v += b`, or, now and then and where a term may be so high, `v = v + b`."""
    whole = Apply(op, (variable, value))
    if term_height(whole) <= height and chance(draft.choose, draft.profile.assigned):
        return Assign(variable.name, whole)
    return AugAssign(variable.name, op, value)


def _without(draft: Draft, variable: Var, height: int) -> Grown:
    """A term that doesn't read the variable: `v += a - v` is not how one says `v = a`."""
    place = draft.scope.index(variable)
    del draft.scope[place]
    value = grow_value(draft, variable.type, height)
    draft.scope.insert(place, variable)
    return value


def branch_both(draft: Draft, type: Element, height: int, name: str = "") -> Grown:
    """`if c: v = a`, `else: v = b`."""
    return _arms(draft, type, height, 2, name)


LOW = 4
"""The height of what is not to fill the room there is."""


def branch_chain(draft: Draft, type: Element, height: int) -> Grown:
    """`if … elif … else`, with three arms or four."""
    return _arms(draft, type, height, 3 + draft.choose(2), "")


def _arms(draft: Draft, type: Element, height: int, count: int, name: str) -> Grown:
    subject = _subject(draft, type, count)
    conditions = _ladder(draft, subject, count - 1, height)
    variable = Var(name or draft.name(local_role(type)), type)
    taken = _taken(draft, conditions)
    tall = max(taken, key=np.count_nonzero)  # were all arms tall, size would double with each level
    bodies: list[tuple[Stmt, ...]] = []
    values: list[Lanes] = []
    for here in taken:
        with nested(draft, here) as body:
            value = grow_value(draft, type, height - 1 if here is tall else min(height - 1, LOW), variable.name)
            if bodies and (*body, Assign(variable.name, value.term)) == bodies[-1]:
                value = _next_to(draft, value)  # or there would be nothing to tell apart
            if value.term != variable:
                body.append(Assign(variable.name, value.term))
        bodies.append(tuple(body))
        values.append(value.value)
    chain, merged = bodies[-1], values[-1]
    for k in reversed(range(len(conditions))):
        chain = (If(conditions[k].term, bodies[k], chain),)
        merged = np.where(taken[k], values[k], merged)
    return assign(draft, chain[0], variable, merged)


def _next_to(draft: Draft, value: Grown) -> Grown:
    return draft.grown(Apply(joining(value.term.type), (value.term, _another(draft, value).term)))


def _another(draft: Draft, value: Grown) -> Grown:
    """What makes a difference to the value: 1; to a rotation, itself."""
    type = value.term.type
    return value if isinstance(type, Composite) and type.is_rigid else draft.grown(number(type, 1))


def _taken(draft: Draft, conditions: list[Grown]) -> list[Mask]:
    """The lanes that go into each arm of a chain, the `else` included."""
    left, taken = draft.active, []
    for condition in conditions:
        taken.append(left & condition.value)
        left = left & ~condition.value
    return [*taken, left]


def _subject(draft: Draft, type: Element, count: int) -> Grown:
    """What the arms of a chain are told apart by."""
    return grow_argument(draft, type.scalar, 1 if count == 2 else 2, ANYWHERE)


def _ladder(draft: Draft, subject: Grown, count: int, height: int) -> list[Grown]:
    """Conditions of which each holds on some of the lanes that the ones before left over."""
    rungs: list[Grown] = []
    outer = draft.active
    left = draft.active
    for _ in range(count):
        draft.active = left
        grown = _rung(draft, subject) if chance(draft.choose, 0.7) else None
        grown = grown or grow_condition(draft, min(height, 3))
        draft.active = outer
        if not is_sound(draft, grown.value, left):
            break
        rungs.append(grown)
        left = left & ~grown.value
    return rungs or [grow_condition(draft, min(height, 3))]


def _rung(draft: Draft, subject: Grown) -> Grown | None:
    threshold = threshold_for(draft, subject, 0.25, 0.6)
    if threshold is None:
        return None
    weights = [
        (op, draft.profile.weight(op))
        for op in menu_of_comparisons(draft.main)
        if op.name in ORDERINGS and op.params[0] is threshold.type
    ]
    if not any(weight for _, weight in weights):
        return None
    return attempt(draft, weighted(draft.choose, weights), [subject, draft.grown(threshold)])


ORDERINGS = ("less", "greater", "less_equal", "greater_equal")


# -- loops ------------------------------------------------------------------------------------------------------------


def loop_sum(draft: Draft, type: Element, height: int, name: str = "") -> Grown:
    """An accumulator over a loop, whose bound is known when compiling or only when running."""
    return _loop(draft, type, height, name, dynamic=chance(draft.choose, 0.5), inner=False)


def loop_nested(draft: Draft, type: Element, height: int) -> Grown:
    """An accumulator over two loops, one within the other."""
    return _loop(draft, type, height, "", dynamic=chance(draft.choose, 0.4), inner=True)


def _loop(draft: Draft, type: Element, height: int, name: str, dynamic: bool, inner: bool) -> Grown:
    name = name or draft.name("accumulator")
    run(draft, Assign(name, zero(type)))
    loop = _for(draft, Var(name, type), height, dynamic, inner)
    run(draft, loop)
    return local(draft, name, type)


def _for(draft: Draft, accumulator: Var, height: int, dynamic: bool, inner: bool) -> For:
    counter = Var(draft.name("loop"), I32)
    stop, trips = loop_bound(draft, dynamic, small=inner or len(draft.indices) > 1)
    start, stop, step = _order(draft, stop, trips)
    with nested(draft, draft.active) as body:
        lanes = np.arange(draft.active.size, dtype=np.int32)
        draft.interpreter.env[counter.name] = (lanes * 7 // (1 + 2 * len(draft.indices))) % np.int32(trips)
        draft.indices.append(counter)
        if inner:
            owed = per_trip(draft, accumulator.type, counter, height - 3)
            draft.pending.append(owed)
            draft.block.append(_for(draft, accumulator, height - 1, dynamic, inner=False))
        else:
            _accumulate(draft, accumulator, height - 1)
    return For(counter.name, start, stop, tuple(body), step)


ORDERS = (("upwards", 84.0), ("from one", 12.0), ("by twos", 2.0), ("backwards", 2.0))


def _order(draft: Draft, stop: Term, trips: int) -> tuple[Term | None, Term, Term | None]:
    """Start, stop and step: all numbers below `stop`, or all but the first, or every second, or from the last down."""
    match weighted(draft.choose, ORDERS) if trips > 3 else "upwards":
        case "from one":
            return Const(I32, 1), stop, None
        case "by twos":
            return Const(I32, 0), stop, Const(I32, 2)
        case "backwards":
            return _before(stop), Const(I32, -1), Const(I32, -1)
        case _:
            return None, stop, None


def _before(stop: Term) -> Term:
    """The last number below it."""
    if isinstance(stop, Const) and not stop.name:
        return Const(I32, int(stop.value) - 1)
    return Apply(infix("sub", I32), (stop, Const(I32, 1)))


def loop_bound(draft: Draft, dynamic: bool, small: bool) -> tuple[Term, int]:
    """Where the loop stops, and how many trips that makes: no more than the shortest axis of an array has elements."""
    room = min(grid(draft.lanes, draft.dimensions))
    if not dynamic or room < 4:
        top = min(room, 4 if small else 8)
        trips = weighted(draft.choose, [(t, w) for t, w in draft.profile.trip_counts if 2 <= t <= top])
        bound = constant(draft, I32, trips) if chance(draft.choose, 0.1) else Const(I32, trips)
        return bound, trips
    known = [p for p in draft.params if p.type is I32 and p.role is Role.VALUE and p.low >= 2]
    param = (
        known[0]
        if known
        else add_param(draft, Param(draft.name("int_scalar"), I32, Role.VALUE, 3, min(room, 4 if small else 6)))
    )
    return Var(param.name, I32), int(param.high)


def _accumulate(draft: Draft, accumulator: Var, height: int) -> None:
    """The body of a loop: a term that differs from trip to trip is added, perhaps under a condition."""
    draft.pending.append(per_trip(draft, accumulator.type, draft.indices[-1], height - 1))
    if height < 3 or not chance(draft.choose, 0.25):
        draft.block.append(_addition(draft, accumulator, height - 1))
        return
    guard = grow_condition(draft, 2)
    if draft.choose(2):
        draft.block.append(If(_negated(guard.term), (Continue(),)))
        draft.active = draft.active & guard.value  # until the loop's block ends
        draft.block.append(_addition(draft, accumulator, height - 1))
    else:
        with nested(draft, draft.active & guard.value) as body:
            draft.block.append(_addition(draft, accumulator, height - 2))
        draft.block.append(If(guard.term, tuple(body)))


def _addition(draft: Draft, accumulator: Var, height: int) -> Stmt:
    """A statement one higher than `height`: to the value comes what it has not used."""
    value = with_owed(draft, grow_value(draft, accumulator.type, max(1, height + draft.tall)), height + 1)
    op = infix(weighted(draft.choose, infixes(accumulator.type, [("add", 8.0), ("sub", 1.0)])), accumulator.type)
    return updated(draft, accumulator, op, value.term, height + 1)


NEGATIONS = {
    "less": "greater_equal",
    "greater_equal": "less",
    "greater": "less_equal",
    "less_equal": "greater",
    "equal": "not_equal",
    "not_equal": "equal",
}


def _negated(term: Term) -> Term:
    """The opposite condition, as a person would spell it."""
    if isinstance(term, Apply) and term.op.name in NEGATIONS:
        names = ",".join(p.name for p in term.op.params)
        return Apply(ROWS[f"{NEGATIONS[term.op.name]}({names})"], term.args)
    return Apply(ROWS["logical_not(bool)"], (term,))


def per_trip(draft: Draft, type: Element, counter: Var, height: int) -> Grown:
    """A value that differs from trip to trip: `w[j]`, `x[(i + j) % n]`, `float(j)`."""
    wrapped, counted = 3.0 if height >= 3 else 0.0, 2.0 if height >= 2 or type is I32 else 0.0
    if isinstance(type, Composite):
        counted = 0.0
    style = weighted(draft.choose, [("direct", 5.0), ("wrapped", wrapped), ("number", counted)])
    if style == "number":
        return draft.grown(counter if type is I32 else Apply(ROWS[f"{type.name}(int32)"], (counter,)))
    known = [
        p for p in draft.params if p.element is type and p.role is Role.VALUE and p.type is not type and p.size is None
    ]
    param = pick(draft.choose, known) if known and chance(draft.choose, 0.4) else new_array(draft, type)
    assert isinstance(param.type, Array)
    if param.type.dimensions > 1:
        return draft.grown(Read(param.name, At((*draft.indices[: param.type.dimensions - 1], counter)), type))
    if style == "direct":
        return draft.grown(Read(param.name, counter, type))
    around = Apply(infix("add", I32), (draft.thread, counter))
    return draft.grown(Read(param.name, Apply(infix("mod", I32), (around, Size(param.name, I32))), type))


def with_owed(draft: Draft, value: Grown, height: int) -> Grown:
    """The value, with what differs from trip to trip worked in as far as it has not been used."""
    counters = {v.name for v in draft.indices[draft.dimensions :]}
    owed = [g for g in draft.pending if not counters.isdisjoint(names_in(g.term))]
    draft.pending[:] = [g for g in draft.pending if not any(g is o for o in owed)]
    return combine(draft, [value, *owed], height)


def combine(draft: Draft, parts: list[Grown], height: int) -> Grown:
    """One value out of several of a type, at most that high, by whatever plain operation is sound on them."""
    total = parts[0]
    for part in parts[1:]:
        total, part = (lowered(draft, grown, height - 1) for grown in (total, part))
        type = total.term.type
        names = infixes(type, [("add", 4.0), ("mul", 4.0), ("sub", 2.0)])
        first = weighted(draft.choose, names)
        for name in [first, *(name for name in ("add", "sub", "mul") if name in dict(names))]:
            grown = attempt(draft, infix(name, type), [total, part])
            if grown is not None:
                break
        op = joining(type)
        total = grown or Grown(Apply(op, (total.term, part.term)), op(total.value, part.value))
    return total


def loop_count(draft: Draft, type: Element, height: int) -> Grown:
    """How many elements satisfy a condition, or the first that does: integers only, so `break` costs no gradient."""
    if isinstance(type, Composite):
        return loop_sum(draft, type, height)
    found = Var(draft.name("local_int"), I32)
    run(draft, Assign(found.name, Const(I32, 0)))
    counter = Var(draft.name("loop"), I32)
    stop, trips = loop_bound(draft, chance(draft.choose, 0.3), small=False)
    with nested(draft, draft.active) as body:
        lanes = np.arange(draft.active.size, dtype=np.int32)
        draft.interpreter.env[counter.name] = lanes * 7 // 3 % np.int32(trips)
        draft.indices.append(counter)
        owed, draft.pending = draft.pending, [per_trip(draft, draft.main.scalar, counter, 1)]
        condition = grow_condition(draft, min(2, height - 1))
        draft.pending = owed
        step: tuple[Stmt, ...] = (AugAssign(found.name, infix("add", I32), Const(I32, 1)),)
        if chance(draft.choose, 0.5):
            draft.block.append(If(_negated(condition.term), (Break(),)))
            draft.block.extend(step)
        else:
            draft.block.append(If(condition.term, step))
    run(draft, For(counter.name, None, stop, tuple(body)))
    counted = local(draft, found.name, I32)
    if type is I32:
        return counted
    return draft.grown(Apply(ROWS[f"{type.name}(int32)"], (counted.term,)))


def loop_while(draft: Draft, type: Element, height: int) -> Grown:
    """`while v > limit and steps < most: v *= 0.5`, where some lanes stop at the limit and some at the bound."""
    if isinstance(type, Composite):
        return loop_sum(draft, type, height)
    value = define(draft, local_role(type), grow_leaf(draft, type))
    assert isinstance(value.term, Var)
    threshold = threshold_for(draft, value, 0.3, 0.6) or number(type, 1)
    above = Apply(infix("greater", type), (value.term, threshold))
    bounds = [(op, step, _bounds(draft, value, above, op, step)) for op, step in _shrinking(draft, type)]
    found = [(op, step, most) for op, step, most in bounds if most]
    if not found:
        return loop_sum(draft, type, height)
    op, step, most = found[0]
    steps = Var(draft.name("local_int"), I32)
    run(draft, Assign(steps.name, Const(I32, 0)))
    within = Apply(infix("less", I32), (steps, Const(I32, pick(draft.choose, most))))
    body = (AugAssign(value.term.name, op, step), AugAssign(steps.name, infix("add", I32), Const(I32, 1)))
    run(draft, While(Apply(ROWS["logical_and(bool,bool)"], (above, within)), body))
    draft.parts.pop(value.term.name, None)
    return local(draft, value.term.name, type)


def _shrinking(draft: Draft, type: Scalar) -> list[tuple[Op, Term]]:
    """Ways in which a value gets smaller, step by step, in the order in which they are to be tried."""
    if type in INTEGERS:
        ways = [(infix("sub", type), number(type, d)) for d in ((1,) if type in UNSIGNED else (1, 2))]
        ways += [(infix("rshift", type), number(type, 1)), (infix("floordiv", type), number(type, 2))]
    else:
        ways = [(infix("mul", type), number(type, f)) for f in (0.5, 0.25, 0.9, 0.75)]
        ways += [(infix("sub", type), number(type, d)) for d in (0.5, 0.25, 0.1)]
    first = draft.choose(len(ways))
    return ways[first:] + ways[:first]


MOST_STEPS = range(3, 9)


def _bounds(draft: Draft, value: Grown, above: Apply, op: Op, step: Term) -> list[int]:
    """The bounds on the steps that stop some of the lanes, while the limit stops others after a step or more."""
    reached: list[Lanes] = [np.zeros(draft.active.size, np.bool_)]
    left, lanes = value.value, draft.active
    for _ in range(MOST_STEPS.stop):
        lanes = lanes & above.op(left, draft.value(above.args[1]))
        reached.append(lanes)
        left = op(left, draft.value(step))
    least = SPLIT * np.count_nonzero(draft.active)
    inside = np.count_nonzero(reached[1])
    return [
        most
        for most in MOST_STEPS
        if np.count_nonzero(reached[most + 1]) >= least and inside - np.count_nonzero(reached[most]) >= least
    ]


BRANCHING: tuple[Inner, ...] = (branch_update, branch_both)
INNER: tuple[Inner, ...] = (*BRANCHING, loop_sum)
"""What may stand within a branch or a loop."""
MOST_LOOPS = 3
"""Nobody nests more, and each multiplies the trips."""
