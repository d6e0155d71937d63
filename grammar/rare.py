"""Rows that people seldom use: some kernels are grown around one of them, whatever its weight.

The key insight: a kernel computes in whatever types it is about, so a rare row needs no place of its own. It says what
the kernel is about, and its value is a feature like any other: it is used, made a choice, or stored beside the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from grammar.choose import Choose, chance, weighted
from grammar.draft import Draft, Grown, define, local_role
from grammar.families import FAMILIES, Family
from grammar.gaps import TESTS, filled
from grammar.op import Chain, Op
from grammar.ops import ROWS, TABLE
from grammar.perlin import WEIGHTS
from grammar.profiles import Profile, counted_as
from grammar.ranges import PATTERNS
from grammar.terms import attempt, grow_arguments, grow_leaf, guarded
from grammar.tiles import is_tile
from grammar.tree import Apply
from grammar.types import ATOMIC, BOOL, COMPOSITES, FLOATS, NUMBERS, Composite, Element

SHARE = 0.5
"""Of kernels that are grown around a row."""
COMMON = 0.5
"""How often people use what is not rare; 1 is an even share."""
TRIES = 8
"""Arguments that the row is tried on before the draft is given up."""
DONE_ELSEWHERE = frozenset(("len", "rand_init", *WEIGHTS))
"""Bounds of loops, what begins random states, and what needs one."""


def rare(choose: Choose, family: Family, profile: Profile) -> Op | None:
    """The row that a kernel of the family is to be grown around, if any.

    Over all families each operation that people seldom use is about as likely as any other.
    """
    if not chance(choose, SHARE):
        return None
    options = _options(family)
    if not options:
        return None
    rows = weighted(choose, [(rows, _weights()[_called(rows[0])]) for rows in options if _is_rare(profile, rows)])
    row = weighted(choose, [(row, _share(profile, row)) for row in rows])
    return None if row.name in profile.off else row


def _share(profile: Profile, row: Op) -> float:
    """Of an overload: people mostly compute in float32, but none is forgotten."""
    types = [type for type in (row.result, *row.params) if type.scalar in NUMBERS]
    return math.sqrt(min((profile.mains[type.scalar.name] for type in types), default=1.0))


def main_for(family: Family, row: Op) -> Element | None:
    """What a kernel of the family is about that has the row; None if there is nothing.

    Families about composites keep to what they favour.
    """
    allowed, own = _allowed(family), [type for type, _ in family.types]
    if family.favoured and any(isinstance(type, Composite) for type in own) and row.group not in family.favoured:
        return None
    if any(map(is_tile, (*own, *row.params, row.result))):
        return None  # what goes with tiles has families of its own, and few operations
    types = [type for type in (row.result, *row.params) if type is not BOOL]
    if family.atomic and row.result is not BOOL:
        types = [row.result]
    return next((type for type in types if type in allowed), None)


@lru_cache(maxsize=64)
def _options(family: Family) -> tuple[tuple[Op, ...], ...]:
    """The rows by operation, as `grammar.tables` lists them."""
    return tuple(rows for rows in (tuple(r for r in rows if main_for(family, r)) for rows in _operations()) if rows)


@lru_cache(maxsize=4096)
def _is_rare(profile: Profile, rows: tuple[Op, ...]) -> bool:
    return all(profile.operations.get(counted_as(row), 0.0) < COMMON for row in rows)


ROUNDS = 20
"""After which the weights of operations hardly change any more."""


@cache
def _weights() -> Mapping[Name, float]:
    """By operation, what makes each as likely as any other over all families, of which some have many and some few."""
    sets = [[_called(rows[0]) for rows in options] for family in FAMILIES if (options := _options(family))]
    weights = {name: 1.0 for names in sets for name in names}
    for _ in range(ROUNDS):
        reached = dict.fromkeys(weights, 0.0)
        for names in sets:
            total = sum(weights[name] for name in names)
            for name in names:
                reached[name] += weights[name] / total
        weights = {name: weight / reached[name] for name, weight in weights.items()}
    return weights


@cache
def _operations() -> tuple[Sequence[Op], ...]:
    found: dict[Name, list[Op]] = {}
    for row in TABLE:
        if row.params and row.name not in DONE_ELSEWHERE and not isinstance(row.spelling, Chain):
            found.setdefault(_called(row), []).append(row)
    return tuple(found.values())


Name = tuple[str, str]
"""Of an operation: its group, and what it is called there, or what kind of composite it makes."""


def _called(row: Op) -> Name:
    constructs = isinstance(row.result, Composite) and row.name == row.result.name
    return row.group, row.result.kind if constructs and isinstance(row.result, Composite) else row.name


@lru_cache(maxsize=64)
def _allowed(family: Family) -> frozenset[Element]:
    """What its kernels may be about: composites as well, unless it favours operations on numbers."""
    if family.types:
        return frozenset(type for type, _ in family.types)
    if "math" in family.favoured:
        return frozenset(FLOATS)
    scalars = ATOMIC if family.atomic else NUMBERS
    return frozenset(scalars if family.atomic or family.favoured else (*scalars, *COMPOSITES))


def grow_row(draft: Draft, row: Op, height: int) -> Grown | None:
    """The row on arguments that are at most that high; None where it is defined on nothing that was tried.

    What tells numbers from others gives the element that it has chosen.
    """
    if row.name in TESTS:
        return filled(draft, row)
    draft.patterns = draft.patterns and row.result in PATTERNS
    for k in range(TRIES):
        is_plain = k >= TRIES // 2
        args = [grow_leaf(draft, type) for type in row.params] if is_plain else grow_arguments(draft, row, height)
        grown = attempt(draft, row, args)
        if grown is None and row.domain is not None:
            grown = guarded(draft, row, args, max(height, 3))
        if grown is not None:
            return grown
    return None


def chosen_by(draft: Draft, condition: Grown, type: Element) -> Grown | None:
    """`a if condition else b`, of values at hand."""
    choice = ROWS.get(f"ternary(bool,{type.name},{type.name})")
    for _ in range(TRIES if choice else 0):
        assert choice is not None
        condition = condition if not isinstance(condition.term, Apply) else define(draft, local_role(BOOL), condition)
        grown = attempt(draft, choice, [condition, grow_leaf(draft, type), grow_leaf(draft, type)])
        if grown is not None:
            return grown
    return None
