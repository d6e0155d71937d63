"""How kernels grow from choices, which choices that of a finding grew from, and ways to make them fewer and smaller.

The key insight: a finding's settings say how its kernel was grown, so it can be grown once more while its choices are
written down; and whatever those are made into is again a kernel that could have been grown: alive, well typed, natural.
A kernel that was edited since has no choices, which is seen by growing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from grammar.alive import is_alive
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.choose import Choose, Seed, chance, recording, replaying, seeded
from grammar.defects import defect
from grammar.exits import with_exit
from grammar.families import FAMILIES, Family, family_named
from grammar.grow import grow
from grammar.heights import height
from grammar.idioms import with_idiom
from grammar.profiles import PROFILES, Profile, profile, swarm
from grammar.tree import Kernel
from validate.findings import Finding

Choices = tuple[int, ...]
Shorter = Callable[[Choices], Iterator[Choices]]

SWARM = "swarm"
"""The profile that is `uniform` with about half of the operations switched off, others for each kernel."""
ALL_PROFILES = (*PROFILES, SWARM)
SMALL = 32
"""Choices above this are points on a wheel, and lowered by halves alone."""
EXITS, IDIOMS = 0.5, 0.5
"""Shares of the kernels that are to be changed: to leave loops early, where exits are asked for; to hold the idiom of a
known defect, where those are allowed."""
ATTEMPTS = 6
"""How often a change is tried."""

Change = Callable[[Choose, Kernel], Kernel | None]


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a kernel was grown, but for the choices."""

    family: Family
    profile: Profile
    depth: int
    seed: int
    lanes: int
    allow_known: bool = False
    exits: bool = False
    """Whether some of the kernels are given a way out of one of their loops, as fuzzing does."""

    def grown(self, choose: Choose) -> tuple[Kernel | None, Choices]:
        """The kernel, None where nothing came of it, and all the choices that were made."""
        made: list[int] = []
        return self._grown(recording(choose, made)), tuple(made)

    def replayed(self, choices: Iterable[int]) -> tuple[Kernel | None, Choices]:
        """The same from given choices; those at the end that are the simplest go without saying."""
        kernel, made = self.grown(replaying(choices))
        while made and made[-1] == 0:
            made = made[:-1]
        return kernel, made

    def _grown(self, choose: Choose) -> Kernel | None:
        """What is to be changed is chosen first: those choices keep their places whatever becomes of those after."""
        changes: list[Change] = [with_exit] if self.exits and chance(choose, EXITS) else []
        changes += [with_idiom] if self.allow_known and chance(choose, IDIOMS) else []
        kernel = grow(
            choose, self.family, self.profile, self.depth, self.seed, self.lanes, allow_known=self.allow_known
        )
        for change in changes:
            kernel = None if kernel is None else _changed(choose, kernel, change, self)
        return kernel


def _changed(choose: Choose, kernel: Kernel, change: Change, how: Derivation) -> Kernel:
    """The kernel with the change, if that comes to a kernel like others."""
    for _ in range(ATTEMPTS):
        changed = change(choose, kernel)
        if changed is None:
            break
        if (
            height(changed) <= how.depth
            and (how.allow_known or defect(changed) is None)
            and not problems(changed)
            and is_alive(changed, how.seed, how.lanes)
        ):
            return changed
    return kernel


def derivation(finding: Finding) -> tuple[Derivation, Choices] | None:
    """How the finding's kernel was grown, and from which choices; None if that isn't known, or comes to another kernel.

    Read from the finding's settings: depth, profile, and where there are any, the choices and what the grower allowed.
    The main job says neither, as its seeds are its choices and it has no exits.
    """
    given = finding.settings
    try:
        depth, name, family = int(str(given["depth"])), str(given["profile"]), _family(finding)
        choices = [int(choice) for choice in str(given.get("choices", "")).split()]
    except (KeyError, ValueError):
        return None
    if family is None or name not in ALL_PROFILES or not 1 <= depth <= 64:
        return None
    allow_known = bool(_first(given, "allow known", "allow_known"))
    exits, weights = bool(given.get("exits", False)), mix(name, Seed(finding.seed))
    how = Derivation(family, weights, depth, finding.seed, finding.lanes, allow_known, exits)
    kernel, made = how.replayed(choices or how.grown(seeded(Seed(finding.seed)))[1])
    same = kernel is not None and canonical_hash(kernel) == canonical_hash(finding.kernel)
    return (how, made) if same else None


def mix(name: str, seed: Seed) -> Profile:
    """The profile of that name, one of `ALL_PROFILES`; the seed says what a swarm switches off."""
    return swarm(profile("uniform"), seeded(seed)) if name == SWARM else profile(name)


def _family(finding: Finding) -> Family | None:
    """The kernel's own: a run's settings name several, or none."""
    known = {family.name for family in FAMILIES}
    return family_named(finding.kernel.family) if finding.kernel.family in known else None


def _first(given: Mapping[str, object], *names: str) -> object:
    return next((given[name] for name in names if name in given), None)


# -- passes over choices ----------------------------------------------------------------------------------------------


def drop_choices(choices: Choices) -> Iterator[Choices]:
    """Without a run of them: all, halves, quarters, …, single ones."""
    yield from (choices[:start] + choices[start + run :] for start, run in _runs(len(choices)))


def simplest_choices(choices: Choices) -> Iterator[Choices]:
    """With the simplest in place of a run of them."""
    for start, run in _runs(len(choices)):
        if any(choices[start : start + run]):
            yield (*choices[:start], *[0] * len(choices[start : start + run]), *choices[start + run :])


def lower_choices(choices: Choices) -> Iterator[Choices]:
    """With a simpler one in place of one."""
    for k, choice in enumerate(choices):
        for lower in dict.fromkeys((choice // 2, choice - 1 if choice <= SMALL else 0)):
            if 0 < lower < choice:
                yield (*choices[:k], lower, *choices[k + 1 :])


def _runs(length: int) -> Iterator[tuple[int, int]]:
    run = length
    while run:
        yield from ((start, run) for start in range(0, length, run))
        run //= 2


SEQUENCE_PASSES: tuple[Shorter, ...] = (drop_choices, simplest_choices, lower_choices)
