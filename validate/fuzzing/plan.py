"""What a fuzzing run is asked for, and the recipes of the kernels it grows.

The key insight: a recipe says all that a kernel follows from: seeds, and the choices of a kernel that showed something
new, if it is a relative of one. Choices are kept as they were made, so a relative differs from its parent where a few
choices are made anew, where another's begin, or where they stop being given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from grammar.choose import Choose, Seed, chance, pick, seeded
from grammar.families import families_at, family_named
from grammar.tree import Kernel
from validate.axes import AXES
from validate.derivation import SWARM, Derivation, mix

SPELLINGS = "spellings"
"""The axis of `grammar.rewrites`: ways to write the same."""
ALL_AXES = (*AXES, SPELLINGS)

ROUND = 8
"""Blocks per round. What a round brings is grown further from the next round but one on: nobody waits for a round."""

SAMPLE = (2, 4)
"""Where axes are taken in turn, one block in so many has one, and in it one kernel in so many: the rest of the time is
better spent on more kernels."""

RELATIVES = 0.5
"""Share of the kernels that are relatives of those kept, once there are any."""

MOST_REDRAWN = 4
"""Choices of a relative that are made anew."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What determines the kernels of a run, and what is done with each."""

    seed: int = 0
    depths: tuple[int, int] = (1, 8)
    profiles: tuple[str, ...] = (SWARM,)
    axes: tuple[str, ...] = ALL_AXES
    sampled: bool = True
    """Axes are taken in turn, on a sample of the kernels; else every kernel is compared across all of them."""
    allow_known: bool = False
    block: int = 64
    lanes: int = 64


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a kernel follows from, and what it is compared across."""

    index: int
    seed: Seed
    """Of its inputs, and of what a swarm switches off."""
    depth: int
    profile: str
    family: str
    fresh: Seed
    """Of the choices that aren't given."""
    axes: tuple[str, ...] = ()
    choices: tuple[int, ...] = ()
    redrawn: frozenset[int] = frozenset()
    """Positions of given choices that are made anew all the same."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A kernel that showed something new: its recipe, and all the choices that were made."""

    recipe: Recipe
    choices: tuple[int, ...]


# -- from an index to a recipe ----------------------------------------------------------------------------------------


def recipe_of(plan: Plan, index: int, kept: Sequence[Kept]) -> Recipe:
    """The recipe of a candidate, given those kept in the rounds before the last."""
    choose = seeded(_seed(plan, "recipe", index))
    if kept and chance(choose, RELATIVES):
        return _relative(plan, index, kept, choose)
    low, high = plan.depths
    depth = low + choose(high - low + 1)
    family = pick(choose, families_at(depth)).name
    seed, fresh = _seed(plan, "inputs", index), _seed(plan, "choices", index)
    return Recipe(index, seed, depth, pick(choose, plan.profiles), family, fresh, _axes(plan, index))


def _relative(plan: Plan, index: int, kept: Sequence[Kept], choose: Choose) -> Recipe:
    parent = _recent(kept, choose)
    choices, redrawn = parent.choices, frozenset[int]()
    match choose(3):
        case 0:
            redrawn = frozenset(choose(len(choices)) for _ in range(1 + choose(MOST_REDRAWN)))
        case 1:
            choices = choices[: choose(len(choices))]
        case _:
            other, cut = _recent(kept, choose).choices, choose(len(choices))
            choices = choices[:cut] + other[cut * len(other) // len(choices) :]
    given, fresh = parent.recipe, _seed(plan, "choices", index)
    axes = _axes(plan, index)
    return Recipe(index, given.seed, given.depth, given.profile, given.family, fresh, axes, choices, redrawn)


def _recent(kept: Sequence[Kept], choose: Choose) -> Kept:
    """The later of two: what was new late is rarer."""
    return kept[max(choose(len(kept)), choose(len(kept)))]


def _axes(plan: Plan, index: int) -> tuple[str, ...]:
    if not (plan.sampled and plan.axes):
        return plan.axes
    turn, rest = divmod(index // plan.block, SAMPLE[0])
    return (plan.axes[turn % len(plan.axes)],) if rest == 0 and index % SAMPLE[1] == 0 else ()


def _seed(plan: Plan, purpose: str, index: int) -> Seed:
    text = f"{plan.seed} {purpose} {index}"
    return Seed(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1)


# -- from a recipe to a kernel ----------------------------------------------------------------------------------------


def grown(recipe: Recipe, plan: Plan) -> tuple[Kernel | None, tuple[int, ...]]:
    """The kernel of a recipe, None where nothing came of it, and the choices that were made."""
    family, weights = family_named(recipe.family), mix(recipe.profile, recipe.seed)
    how = Derivation(family, weights, recipe.depth, recipe.seed, plan.lanes, plan.allow_known, exits=True)
    return how.grown(_choices(recipe))


def _choices(recipe: Recipe) -> Choose:
    """The given choices where they are on offer, else new ones."""
    fresh, given = seeded(recipe.fresh), iter(enumerate(recipe.choices))

    def choose(n: int) -> int:
        position, choice = next(given, (-1, n))
        return choice if choice < n and position not in recipe.redrawn else fresh(n)

    return choose
