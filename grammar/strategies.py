"""Hypothesis strategies for kernels, terms and inputs. They need `hypothesis`, which is in the extra `fuzz`.

    from hypothesis import given
    from grammar.strategies import inputs, kernels

    @given(kernels(depth=4, family="loop"))
    def test_my_compiler(kernel): ...

`@given(k=...)` with the annotation `k: Kernel` draws `kernels()`, without any import of this module.

The key insight: the grower asks for its choices one by one and takes the simplest for 0, which is just what Hypothesis
shrinks towards. So there is nothing to filter and nothing to assume: every sequence of choices is a kernel, and a
shorter sequence of smaller choices is a simpler one. The first choice is whether a kernel is grown at all, and behind
all others stands what was grown: so where the first becomes the simplest, what the kernel holds is left, each
construct in a statement of its own, and a failure due to one of a hundred operations shrinks to that one. The same
holds of operations on what others give, two at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from hypothesis import strategies as st

from grammar.atomics import AtomicKind
from grammar.choose import Choose, Seed, pick
from grammar.draft import Draft, start
from grammar.evaluate import EndlessLoopError
from grammar.families import FAMILIES, Family, families_at, family_named
from grammar.grow import grow
from grammar.inputs import column, from_columns, regular
from grammar.layout import Inputs
from grammar.op import Lanes, Op
from grammar.params import Role
from grammar.plain import run_plain
from grammar.profiles import PROFILES, Profile, favouring, profile, swarm
from grammar.smallest import (
    INSIDES,
    SIMPLEST,
    Construct,
    Nesting,
    Trait,
    constructs,
    constructs_of,
    inside_of,
    nestings_of,
    sketch,
    with_inside,
)
from grammar.terms import grow_term
from grammar.tree import Kernel, Term
from grammar.types import F32, FLOATS, NUMBERS, Array, Scalar

Draw = Callable[[st.SearchStrategy[Any]], Any]

LANES = 64
"""Threads that kernels are grown and launched with."""
SEED = Seed(0)
"""Kernels are alive on `grammar.inputs.regular(kernel, SEED, LANES)`."""
DIGIT = 32
"""Numbers below this are drawn at once."""
ATTEMPTS = 3
"""Drafts per kernel before it is the simplest one."""
SWARM = "swarm"
"""The profile that is `uniform` with about half of the operations switched off, others for each kernel."""

MOST, MOST_NESTED = 32, 96
"""Constructs in a sketch, alone and with another inside; hardly any kernel holds more."""
LARGE = 11
"""One kernel in so many is a sketch of a few constructs; the others are grown."""

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, np.inf, -np.inf, np.nan, 1e-40, 1e30, -1e30)
"""Values that ordinary inputs never hold, the simplest first."""


# -- strategies -------------------------------------------------------------------------------------------------------


def kernels(depth: int = 5, profile: str | Profile = "natural", family: str | None = None) -> st.SearchStrategy[Kernel]:
    """Kernels of height `depth` or less, alive on their regular inputs of (`SEED`, `LANES`).

    `profile` is `natural`, `uniform`, `swarm` or a Profile; `family` is a name in `grammar.families.FAMILIES`, and any
    family by default. Shrinks towards flat kernels that store one element read. Raises ValueError for a name that
    doesn't exist or a depth at which the family has no kernel.
    """
    names = [f.name for f in families_at(depth)]
    if isinstance(profile, str) and profile not in (*PROFILES, SWARM):
        raise ValueError(f"no profile is called {profile}: choose from {', '.join((*PROFILES, SWARM))}")
    if family is not None and family not in [f.name for f in FAMILIES]:
        raise ValueError(f"no family is called {family}: choose from {', '.join(f.name for f in FAMILIES)}")
    if not names or (family is not None and family not in names):
        raise ValueError(f"there is no kernel of {f'family {family}' if family else 'any family'} at depth {depth}")
    return _kernels(depth, profile, family)


@st.composite
def _kernels(draw: Draw, depth: int, profile: str | Profile, family: str | None) -> Kernel:
    """A kernel that is grown, or a sketch; both read three things in a row, so that the one shrinks to the other.

    Whether to grow; what the kernel is grown by, then 0; the numbers of the constructs that it holds, each with that of
    what is inside of it, then 0.
    """
    grown = _Grown(depth, profile, family)
    table = _constructs(profile)
    integer: Integer = draw(_INTEGERS)
    if family is None and not integer(0, LARGE - 1):
        draw(_PASSED_OVER)
        held = [with_inside(table[number - 1], inside) for number, inside in draw(_numbers(len(table)))]
        return sketch([one for one in held if _is_on(one, profile)], depth, SEED, LANES)
    kernel: Kernel = draw(grown)
    alone = [(table.index(one) + 1, 0) for one in constructs_of(kernel) if one in table]
    nested = [(table.index(one.outer) + 1, inside_of(one)) for one in nestings_of(kernel) if one.outer in table]
    draw(_noted([*alone[:MOST], *nested[:MOST_NESTED]]))
    return kernel


class _Grown(st.SearchStrategy[Kernel]):
    """Kernels around some construct. A draft that comes to nothing is marked, for Hypothesis to take it out at once."""

    def __init__(self, depth: int, profile: str | Profile, family: str | None) -> None:
        super().__init__()
        self.depth, self.profile, self.family = depth, profile, family

    def do_draw(self, data: Any) -> Kernel:
        kernel = None
        for _ in range(ATTEMPTS):
            data.start_span(self.label)
            kernel = _grown(choosing(data.draw_integer), self.depth, self.profile, self.family)
            data.stop_span(discard=kernel is None)
            if kernel is not None:
                break
        data.draw_integer(0, 0)
        return kernel or SIMPLEST


def _grown(choose: Choose, depth: int, profile: str | Profile, family: str | None) -> Kernel | None:
    construct = pick(choose, _constructs(profile)) if family is None else None
    least = 1 if family is None else family_named(family).least_depth
    highest = least + choose(depth - least + 1)
    chosen = pick(choose, _families(highest, construct)) if family is None else family_named(family)
    grown_with = resolved(profile, choose)
    if isinstance(construct, Op):
        grown_with = favouring(grown_with, construct)
    return grow(choose, chosen, grown_with, highest, SEED, LANES, attempts=1)


@st.composite
def _passed_over(draw: Draw) -> None:
    """Reads what a kernel was grown by, which is never 0, to its end; hardly anything where none was."""
    integer = draw(_INTEGERS)
    while 0 < integer(0, 2 * DIGIT) <= DIGIT:
        pass


@st.composite
def _noted(draw: Draw, numbers: Iterable[tuple[int, int]]) -> None:
    """Has Hypothesis record the numbers as if they were drawn."""
    integer = draw(_INTEGERS)
    for number in (*chain.from_iterable(numbers), 0):
        integer(number, number)


@st.composite
def _numbers(draw: Draw, highest: int) -> list[tuple[int, int]]:
    """Numbers from 1 to `highest`, each with that of what is inside; a few, unless they were noted."""
    integer = draw(_INTEGERS)
    numbers: list[tuple[int, int]] = []
    while (
        len(numbers) < MOST + MOST_NESTED
        and 0 < (number := integer(0, highest + len(numbers) * highest // 4)) <= highest
    ):
        numbers.append((number, integer(0, INSIDES)))
    return numbers


def _constructs(profile: str | Profile) -> tuple[Construct, ...]:
    return tuple(one for one in constructs() if _is_on(one, profile))


def _is_on(construct: Construct, profile: str | Profile) -> bool:
    """Whether the profile has the operations."""
    if not isinstance(profile, Profile):
        return True
    if isinstance(construct, Nesting):
        return profile.off.isdisjoint((construct.outer.name, construct.inner.name))
    return not (isinstance(construct, Op) and construct.name in profile.off)


def _families(depth: int, construct: Construct) -> Sequence[Family]:
    """Any of them, or those that may have the construct."""
    all_there_are = families_at(depth)
    if construct is None or isinstance(construct, Op | Trait | Scalar | Nesting):
        return all_there_are
    if isinstance(construct, AtomicKind):
        return [family for family in all_there_are if family.atomic]
    return [family for family in all_there_are if family.has(construct)] or all_there_are


@st.composite
def terms(draw: Draw, type: Scalar = F32, height: int = 4, profile: str | Profile = "natural") -> Term:
    """Terms of a type and of that height or less, over elements of arrays, scalar parameters and the thread index.

    Their names are free: they stand for parameters that a kernel around the term would declare. Shrinks to a read.
    """
    choose = choosing(draw(_INTEGERS))
    draft = Draft(choose, resolved(profile, choose), type if type in NUMBERS else F32, SEED, LANES)
    draft.locals_left = 0
    start(draft)
    with np.errstate(all="ignore"):
        return grow_term(draft, type, draw(st.integers(1, height))).term


@st.composite
def inputs(draw: Draw, kernel: Kernel, lanes: int = LANES) -> Inputs:
    """Inputs on which no lane of the kernel does what is undefined in C++, in one launch or several.

    Some elements of float arrays hold special values. Shrinks to the regular inputs that the kernel was grown on.
    """
    seed = draw(st.integers(0, 255))
    arrays = [p for p in kernel.params if p.role is Role.VALUE and isinstance(p.type, Array) and p.element in FLOATS]
    changes: list[tuple[int, int, float]] = []
    if arrays:
        places = st.integers(0, len(arrays) - 1), st.integers(0, lanes - 1)
        changes = draw(st.lists(st.tuples(*places, st.sampled_from(SPECIAL)), max_size=12))
    columns: dict[str, Lanes] = {p.name: column(p, SEED + seed, lanes).copy() for p in kernel.params}
    for k, lane, value in changes:
        columns[arrays[k].name][0, lane] = value
    drawn = from_columns(kernel.params, columns, lanes)
    return drawn if is_defined(kernel, drawn) else regular(kernel, SEED, lanes)


# -- how they are made ------------------------------------------------------------------------------------------------


Integer = Callable[[int, int], int]


class _Integers(st.SearchStrategy[Integer]):
    """Integers between two bounds that Hypothesis draws and shrinks.

    A strategy of its own, because a choice drawn by `draw(st.integers(…))` is a span, and Hypothesis makes five in six
    of its examples by copying one span over another: of one among a hundred choices, most of which only pick a name.
    """

    def do_draw(self, data: Any) -> Integer:
        return lambda low, high: int(data.draw_integer(low, high))


_INTEGERS = _Integers()
_PASSED_OVER = _passed_over()


def choosing(integer: Integer) -> Choose:
    """Choices that Hypothesis makes, and shrinks.

    Hypothesis draws small numbers evenly but of large ones mostly the least and the greatest, so a large one is drawn
    digit by digit. A digit is recorded as one more: so 0 can tell an end; and small integers from 0 on are to
    Hypothesis choices among strategies, for each of which it tries all others before it shrinks anything.
    """

    def choose(n: int) -> int:
        if n <= DIGIT:
            return int(integer(1, n)) - 1 if n > 1 else 0
        high = choose(-(-n // DIGIT))
        return min(high * DIGIT + choose(DIGIT), n - 1)

    return choose


def resolved(given: str | Profile, choose: Choose) -> Profile:
    if isinstance(given, Profile):
        return given
    return swarm(profile("uniform"), choose) if given == SWARM else profile(given)


def is_defined(kernel: Kernel, given: Inputs) -> bool:
    """Whether no lane divides an integer by zero, overflows, leaves an array or goes round for ever."""
    try:
        return not run_plain(kernel, given).undefined.any()
    except EndlessLoopError:
        return False
