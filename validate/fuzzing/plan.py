"""What a fuzzing run is asked for, and the recipes of the kernels it grows.

The key insight: a recipe says all that a kernel follows from: seeds, and the choices of a kernel that showed something
new, if it is a relative of one. Choices are kept as they were made, so a relative differs from its parent where a few
choices are made anew, where another's begin, or where they stop being given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from grammar.alive import is_alive
from grammar.check import problems
from grammar.choose import Choose, Seed, chance, pick, recording, seeded
from grammar.defects import defect
from grammar.exits import with_exit
from grammar.families import families_at, family_named
from grammar.grow import grow
from grammar.tree import Kernel, height
from validate.axes import AXES
from validate.derivation import SWARM, mix

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

EXITS, EXIT_ATTEMPTS = 0.5, 6
"""Share of the kernels whose loops are tried to be left early, and how often it is tried."""

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
    made: list[int] = []
    choose = recording(_choices(recipe), made)
    family, profile = family_named(recipe.family), mix(recipe.profile, recipe.seed)
    kernel = grow(choose, family, profile, recipe.depth, recipe.seed, plan.lanes, allow_known=plan.allow_known)
    if kernel is not None and chance(choose, EXITS):
        kernel = _left_early(choose, kernel, recipe, plan)
    return kernel, tuple(made)


def _left_early(choose: Choose, kernel: Kernel, recipe: Recipe, plan: Plan) -> Kernel:
    """The kernel with a way out of one of its loops, if that comes to a kernel like others."""
    for _ in range(EXIT_ATTEMPTS):
        changed = with_exit(choose, kernel)
        if changed is None:
            break
        if (
            height(changed) <= recipe.depth
            and (plan.allow_known or defect(changed) is None)
            and not problems(changed)
            and is_alive(changed, recipe.seed, plan.lanes)
        ):
            return changed
    return kernel


def _choices(recipe: Recipe) -> Choose:
    """The given choices where they are on offer, else new ones."""
    fresh, given = seeded(recipe.fresh), iter(enumerate(recipe.choices))

    def choose(n: int) -> int:
        position, choice = next(given, (-1, n))
        return choice if choice < n and position not in recipe.redrawn else fresh(n)

    return choose
