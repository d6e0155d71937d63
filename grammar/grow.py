"""Growing kernels.

The key insight: growth is driven by demand. An output asks for a value, a value asks for arguments, arguments ask for
parameters and locals; so whatever is declared was asked for, and nothing has to be found a use afterwards. What a
kernel does to its inputs is watched while it grows, and once more as a whole: a draft that turns out dull is grown
anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from grammar.alive import is_alive, live_names, names_in, swept
from grammar.bits import rounds
from grammar.calls import call_function
from grammar.choose import Choose, chance, pick, weighted
from grammar.components import assign_parts, has_parts
from grammar.defects import defect
from grammar.derive import is_smooth
from grammar.draft import Draft, Grown, StuckError, add_param, define, local_role, run, start
from grammar.families import Family
from grammar.features import INNER, combine
from grammar.gather import gathered
from grammar.generics import for_any_type
from grammar.gradients import call_gradient
from grammar.heights import height
from grammar.lanes import some
from grammar.limits import limitation
from grammar.neighbours import stencil
from grammar.op import Lanes, Op
from grammar.ops import ROWS
from grammar.outlining import outlined
from grammar.outputs import store
from grammar.params import Param, Role
from grammar.profiles import Profile
from grammar.ranges import PATTERNS
from grammar.rare import chosen_by, grow_row, main_for, rare
from grammar.rebuild import with_own_terms
from grammar.several import apart, take_apart
from grammar.terms import grow_favoured, grow_term, new_scalar, read_element
from grammar.tiles import is_tile
from grammar.tree import Apply, Assign, Const, For, If, Kernel, Return, Stmt, Store, Term, Var, subterms
from grammar.types import (
    ATOMIC,
    BOOL,
    COMPOSITES,
    FLOATS,
    I32,
    NUMBERS,
    U32,
    VECTORS,
    Composite,
    Element,
    Scalar,
)
from grammar.viewing import viewed

IN_PARTS = 0.12
"""How often a kernel about vectors or matrices assigns to single scalars of one."""
ROOMY = 7
"""From this depth on some kernels are grown to fill the room; what people write has none to fill."""
LEAST_FOR_RARE = 3
"""Depth below which there is no room for a row of its own."""
ATTEMPTS = 12
"""Drafts per kernel before a family is given up at this depth for this seed."""


def grow(
    choose: Choose,
    family: Family,
    profile: Profile,
    depth: int,
    seed: int,
    lanes: int,
    *,
    allow_known: bool = False,
    attempts: int = ATTEMPTS,
) -> Kernel | None:
    """A kernel of the family, of height `depth` or less, alive on the regular inputs of (`seed`, `lanes`).

    None where so many drafts came to nothing, as happens when the depth leaves the family hardly any room. With
    `allow_known` it may hold the idioms of known defects.
    """
    tolerant = chance(choose, family.tolerance)
    row = rare(choose, family, profile) if depth >= LEAST_FOR_RARE else None
    for k in range(attempts):
        row = row if k < attempts * 2 // 3 else None
        try:
            with np.errstate(all="ignore"):
                kernel = swept(_draft_kernel(choose, family, profile, depth, seed, lanes, tolerant, row))
                kernel = None if kernel is None else gathered(choose, kernel, family.structs)
        except StuckError:
            continue
        if kernel is not None and not tolerant:
            kernel = _without_limits(choose, kernel)
        if kernel is not None:
            kernel = viewed(choose, outlined(choose, for_any_type(choose, kernel)))
        if (
            kernel is not None
            and height(kernel) <= depth
            and (allow_known or defect(kernel) is None)
            and is_alive(kernel, seed, lanes)
        ):
            return kernel
    return None


def _without_limits(choose: Choose, kernel: Kernel) -> Kernel | None:
    """The kernel such that no limit of it is documented, if need be with known bounds; None if there still is one."""
    if not limitation(kernel):
        return kernel
    bounded = _with_known_bounds(choose, kernel)
    return None if bounded is None or limitation(bounded) else bounded


def _with_known_bounds(choose: Choose, kernel: Kernel) -> Kernel | None:
    """The kernel with numbers for the parameters that bound its loops: what is unrolled has no documented limit."""
    params = {param.name: param for param in kernel.params}

    def number(name: str) -> int:
        low, high = int(params[name].low), int(params[name].high)
        return low + choose(high - low + 1)

    def bound(term: Term) -> Term:
        match term:
            case Var(name, _) if name in params:
                return Const(I32, number(name))
            case Apply(Op("sub"), (Var(name, _), Const(_, int(less)))) if name in params:
                return Const(I32, number(name) - less)
            case _:
                return term

    def known(stmt: Stmt) -> Stmt:
        match stmt:
            case For():
                return with_own_terms(replace(stmt, body=tuple(map(known, stmt.body))), bound)
            case If(condition, body, orelse):
                return If(condition, tuple(map(known, body)), tuple(map(known, orelse)))
            case _:
                return stmt

    return swept(replace(kernel, body=tuple(map(known, kernel.body))))


def _draft_kernel(
    choose: Choose, family: Family, profile: Profile, depth: int, seed: int, lanes: int, tolerant: bool, row: Op | None
) -> Kernel:
    about = None if row is None else main_for(family, row)
    main = _main_type(choose, profile, family) if about is None else about
    kin = family.kin(choose, main) | _company(choose, profile, family, main)
    kin = kin if row is None else kin | {*row.params, row.result}
    draft = Draft(choose, profile, main, seed, lanes, kin=kin, favoured=family.favoured)
    draft.dimensions, draft.tolerant = weighted(choose, family.dimensions), tolerant
    draft.gathers = family.structs
    if family.is_gridded and depth >= 2 and chance(choose, profile.gridded):
        draft.dimensions = 2
    if draft.main in PATTERNS and chance(choose, 0.7):
        draft.patterns, draft.favoured = True, draft.favoured | {"integer"}
    draft.locals_left = 1 + depth + choose(depth)
    draft.most_arrays = weighted(choose, list(profile.arrays.items())) - 1
    draft.tall = depth >= ROOMY and chance(choose, min(0.7, 0.1 * (depth - 5)))
    name = draft.name("bits_kernel" if draft.patterns else "kernel")
    start(draft)
    if depth >= 2 and not is_tile(main) and not family.has(stencil) and draft.dimensions == 1 and chance(choose, 0.12):
        _guard_count(draft)
    first = None if row is None else _of_row(draft, row, depth)
    value = _varied(draft, _result(draft, family, depth, first), depth)
    family.leave(draft, value, depth)
    if first is not None and not _is_part(draft, first):
        store(draft, _varied(draft, first, depth), depth)
    if not family.atomic:
        for _ in range(weighted(choose, [(0, 8.0), (1, 2.0 if depth > 1 else 0.0), (2, 0.3 if depth > 2 else 0.0)])):
            type = weighted(choose, _second_types(draft, depth))
            height = _term_height(draft, max(1, depth - 1))
            favoured = type is U32 or (is_tile(draft.main) and type is draft.main.element)
            second = (grow_favoured if favoured else grow_term)(draft, type, max(height, 2) if favoured else height)
            store(draft, _varied(draft, second, depth), depth)
    return Kernel(name, _ordered(draft.params), tuple(draft.block), family.name)


def _second_types(draft: Draft, depth: int) -> list[tuple[Element, float]]:
    """What else a kernel may give; one about vectors their lengths, or which of their components is the greatest."""
    flags = 1.0 if depth > 2 else 0.0
    if is_tile(draft.main):
        return [(draft.main, 2.0), (draft.main.element, 1.0)]
    if not isinstance(draft.main, Composite):
        return [(draft.main, 8.0), (I32, 1.0), (BOOL, flags)]
    largest = 0.7 if "vector" in draft.favoured and depth > 2 else 0.0
    return [(draft.main, 6.0), (draft.main.scalar, 2.0), (I32, 0.2), (BOOL, flags), (U32, largest)]


def _main_type(choose: Choose, profile: Profile, family: Family) -> Element:
    """No kernel is about integers that is about functions of floats, nor about vectors if it is about numbers."""
    if family.types:
        return weighted(choose, family.types)
    fitting: Sequence[Element] = FLOATS if "math" in family.favoured else ATOMIC if family.atomic else NUMBERS
    if not family.atomic and not family.favoured:
        fitting = (*fitting, *(type for type in COMPOSITES if type.name in profile.mains))
    return weighted(choose, [(type, profile.mains[type.name]) for type in fitting])


def _company(choose: Choose, profile: Profile, family: Family, main: Element) -> frozenset[Element]:
    """Vectors in whose company numbers may be computed, in kernels of families that ask for no types."""
    if family.types or (main not in FLOATS and not isinstance(main, Composite)):
        return frozenset()
    scalar = main.scalar
    beside = [V for V in VECTORS if V.scalar is scalar and V.name in profile.mains]
    if isinstance(main, Composite):
        fitting = [V for V in beside if V.shape == main.shape[1:]]
        return frozenset({scalar, *fitting})
    sets = [(frozenset({V}), profile.mains[V.name]) for V in beside]
    return weighted(choose, [(frozenset[Element](), profile.mains[scalar.name]), *sets])


def _term_height(draft: Draft, depth: int, least: int = 1) -> int:
    """People's expressions are rarely high, whatever the depth allows; but what is all of a kernel is not flat."""
    heights = [(h, w) for h, w in draft.profile.term_heights.items() if max(least, min(depth, 2)) <= h <= depth]
    return weighted(draft.choose, [(h, w * (4.0 if h == min(depth, 4) else 1.0)) for h, w in heights] or [(1, 1.0)])


def _guard_count(draft: Draft) -> None:
    """`if i >= n: return`."""
    count = add_param(draft, Param(draft.name("count"), I32, Role.COUNT))
    beyond = Apply(ROWS["greater_equal(int32,int32)"], (draft.thread, Var(count.name, I32)))
    run(draft, If(beyond, (Return(),)))


def _of_row(draft: Draft, row: Op, depth: int) -> Grown:
    """The value of a row, or one that it chooses; under a name. Raises StuckError."""
    grown = grow_row(draft, row, max(1, depth - 3))
    if grown is not None and grown.term.type is BOOL:
        grown = chosen_by(draft, grown, draft.main)
    if grown is None:
        raise StuckError
    return grown if isinstance(grown.term, Var) else define(draft, local_role(grown.term.type), grown)


def _is_part(draft: Draft, first: Grown) -> bool:
    """Whether the value of a row is of the type that the kernel computes in, and so part of its result."""
    return first.term.type is draft.main


def _result(draft: Draft, family: Family, depth: int, first: Grown | None) -> Grown:
    """The value the kernel is about: the family's features, and an expression that uses them."""
    made = [weighted(draft.choose, list(table))(draft, draft.main, depth) for table in family.features]
    if first is not None and _is_part(draft, first):
        made.append(first)
    room = max(1, depth - len(made))
    small = bool(made) or not chance(draft.choose, 1 - 1 / depth**2)  # more, and the same few would come again
    if draft.patterns and depth >= 2 and chance(draft.choose, 0.5):
        assert isinstance(draft.main, Scalar)
        made.append(rounds(draft, draft.main))
    if depth >= 3 and has_parts(draft.main) and chance(draft.choose, IN_PARTS):
        made.append(assign_parts(draft, draft.main, depth - 1))
    if draft.tall and not family.features:
        made.append(pick(draft.choose, INNER)(draft, draft.main, depth, ""))  # no expression fills so much room
    if "scalar" in family.favoured:
        scalars = [new_scalar(draft, draft.main) for _ in range(1 + draft.choose(2))]
        made += [draft.grown(Var(p.name, draft.main)) for p in scalars]
    is_plain = not (is_tile(draft.main) or family.has(call_function))
    if depth >= 4 and is_plain and chance(draft.choose, draft.profile.calling):
        made.append(call_function(draft, draft.main, room))
    if depth >= 4 and is_plain and is_smooth(draft.main) and chance(draft.choose, DIFFERENTIATED):
        made += call_gradient(draft, draft.main, room)
    share = APART * (1 + 2 * draft.tolerant)
    if depth >= FEWEST_FOR_PARTS and apart(draft, draft.main) and chance(draft.choose, share):
        made.append(take_apart(draft, draft.main, room))
    if depth >= FEWEST_LEVELS and not is_tile(draft.main):
        made += _prepared(draft, bool(family.favoured), room)
    draft.pending.extend(made)
    height = _term_height(draft, room, least=1 if small else min(3, room - 1))
    bare = not made and height > 1 and not family.atomic
    value = (grow_favoured if bare and family.favoured else grow_term)(draft, draft.main, height)
    draft.pending.clear()
    value = combine(draft, [value, *_forgotten(draft, value, made)], depth)
    if not small and room > 2 and _is_slight(draft, value.term):
        value = combine(draft, [value, grow_term(draft, draft.main, room - 1)], depth)
    return value


APART = 0.2
"""How often a kernel takes something apart that falls into several values."""
DIFFERENTIATED = 0.08
"""How often a kernel calls for the gradient of a function, of those about what such a function takes."""
FEWEST_FOR_PARTS = 4
FEWEST_LEVELS = 3
"""Below this depth there is no room for steps."""
AROUND = 3
"""Statements of a kernel beside its steps: the thread index, the value, the store."""
MOST_STEPS = 6


def _prepared(draft: Draft, favoured: bool, room: int) -> list[Grown]:
    """Steps on the way to the value: locals of their own, as many as people's kernels are long."""
    steps = weighted(draft.choose, list(draft.profile.kernel_lengths.items())) - AROUND - len(draft.block)
    made = []
    for _ in range(min(steps, MOST_STEPS)):
        height = _term_height(draft, min(room, 4), least=2)
        step = (grow_favoured if favoured and draft.choose(2) else grow_term)(draft, draft.main, height)
        if isinstance(step.term, Apply) and some(draft.active) and not _is_known(draft, step.term):
            made.append(define(draft, local_role(draft.main), step))
    return made


def _is_known(draft: Draft, term: Term) -> bool:
    """Whether a local has just been given it, in the same words."""
    return any(isinstance(stmt, Assign) and stmt.value == term for stmt in draft.block)


SLIGHT = 6
"""Nodes of an expression of which there are not enough for many kernels to differ."""


def _is_slight(draft: Draft, term: Term) -> bool:
    """Whether there is hardly anything to the expression, nor anything before it."""
    return not draft.scope and sum(1 for _ in subterms(term)) <= SLIGHT


def _forgotten(draft: Draft, value: Grown, made: list[Grown]) -> list[Grown]:
    """The features that the value has no use for, as growing it went."""
    if not made:
        return []
    probe = Store("", draft.thread, value.term)
    live = live_names((*draft.block, probe))
    return [g for g in made if not live.issuperset(names_in(g.term))]


def _varied(draft: Draft, value: Grown, depth: int) -> Grown:
    """The value, with an array worked in if it is the same on all lanes of a launch."""
    if value.term.type is BOOL or _differs(draft, value.value):
        return value
    read = read_element(draft, value.term.type)
    return combine(draft, [value, read], depth) if depth > 1 else read


def _differs(draft: Draft, value: Lanes) -> bool:
    """Whether the value is not the same on all active lanes of any launch."""
    if value.ndim > 1:
        return any(_differs(draft, part) for part in value)
    launches, active = value.reshape(-1, draft.lanes), draft.active.reshape(-1, draft.lanes)
    seen = (row[on] for row, on in zip(launches, active, strict=True))
    return all(some(values != values[:1]) for values in seen)


def _ordered(params: list[Param]) -> tuple[Param, ...]:
    """Inputs first, as they were asked for, outputs last; arrays before scalars only as it happened."""
    return tuple(p for p in params if not p.is_output) + tuple(p for p in params if p.is_output)
