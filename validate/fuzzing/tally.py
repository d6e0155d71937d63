"""What a run has covered and found so far.

The key insight: blocks are added in their order whoever finished first, so what is kept to grow relatives of, and with
it every later kernel, is the same for any number of workers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from extract.options import DEFAULT
from grammar.heights import size
from grammar.tree import Kernel
from validate.axes import OPTIONS
from validate.findings import Finding
from validate.fuzzing.causes import cause_of
from validate.fuzzing.plan import ROUND, Kept, Plan, Recipe
from validate.fuzzing.work import BIGRAMS, EMITTED, Observed
from validate.verdict import Outcome

NOVEL = (BIGRAMS, EMITTED)
"""The kinds of features for whose sake a kernel is kept."""

MOST_BUCKETS = 200
"""Further findings whose cause is not known go into one bucket."""
FURTHER = "further ones"

Key = tuple[str, str, str]
"""Outcome, axis, cause."""


@dataclass(slots=True)
class Bucket:
    """Findings with the same outcome and, as far as can be told, the same cause."""

    key: Key
    count: int
    index: int
    """Of the candidate that is `smallest`."""
    smallest: Finding | None
    """None where not even the kernel could be grown."""
    known: bool = False
    """Whether the cause is a known defect."""
    reduced: str = ""
    """What reducing came to; empty before."""


@dataclass(slots=True)
class Tally:
    plan: Plan
    blocks: int = 0
    """Those added; their number is that of the next."""
    outcomes: Counter[str] = field(default_factory=Counter)
    gradients: Counter[str] = field(default_factory=Counter)
    """Labels of the kernels that were verified."""
    heights: Counter[int] = field(default_factory=Counter)
    profiles: Counter[str] = field(default_factory=Counter)
    relatives: int = 0
    comparisons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Outcomes by axis."""
    features: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By kind: in how many kernels each occurs."""
    kept: list[Kept] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    """How many were kept when each round ended."""
    buckets: dict[Key, Bucket] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def kernels(self) -> int:
        """Candidates, those included that weren't grown."""
        return sum(self.outcomes.values())

    @property
    def findings(self) -> int:
        return sum(bucket.count for bucket in self.buckets.values())

    def parents(self, block: int) -> Sequence[Kept]:
        """Those kept in the rounds before the last; all blocks of these must have been added."""
        number = block // ROUND - 1
        return self.kept[: self.marks[number - 1]] if number > 0 else ()

    def is_ready(self, block: int) -> bool:
        """Whether enough blocks were added to draw the recipes of this one."""
        return len(self.marks) >= block // ROUND - 1

    def add(self, recipes: Sequence[Recipe], observed: Sequence[Observed]) -> list[Bucket]:
        """Adds the next block; returns the buckets that are new."""
        found = [self._add(*each) for each in zip(recipes, observed, strict=True)]
        self.blocks += 1
        if self.blocks % ROUND == 0:
            self.marks.append(len(self.kept))
        return [bucket for bucket in found if bucket is not None]

    def _add(self, recipe: Recipe, one: Observed) -> Bucket | None:
        self.outcomes[one.outcome] += 1
        for axis, outcome in one.comparisons:
            self.comparisons[axis][outcome] += 1
        if one.height:
            self.heights[one.height] += 1
            self.profiles[recipe.profile] += 1
            self.relatives += bool(recipe.choices)
        if one.outcome == Outcome.VERIFIED.value:
            self.gradients[one.gradient] += 1
        is_new = any(feature not in self.features[kind] for kind in NOVEL for feature in one.features.get(kind, ()))
        for kind, features in one.features.items():
            self.features[kind].update(features)
        if one.is_finding:
            return self._find(recipe, one)
        if is_new:
            self.kept.append(Kept(recipe, one.choices))
        return None

    def _find(self, recipe: Recipe, one: Observed) -> Bucket | None:
        cause, known = ("", False) if one.kernel is None else cause_of(one.kernel, one.outcome, one.detail)
        if len(self.buckets) >= MOST_BUCKETS and not known:
            cause = FURTHER
        key = (one.outcome, one.axis, cause)
        bucket = self.buckets.get(key)
        if bucket is None:
            finding = None if one.kernel is None else self._finding(recipe, one, one.kernel)
            self.buckets[key] = Bucket(key, 1, one.index, finding, known)
            return self.buckets[key]
        bucket.count += 1
        if one.kernel and bucket.smallest and size(one.kernel) < size(bucket.smallest.kernel):
            bucket.smallest, bucket.index = self._finding(recipe, one, one.kernel), one.index
        return None

    def _finding(self, recipe: Recipe, one: Observed, kernel: Kernel) -> Finding:
        settings = {
            "fuzz seed": self.plan.seed,
            "index": recipe.index,
            "depth": recipe.depth,
            "profile": recipe.profile,
            "axis": one.axis,
            "allow known": self.plan.allow_known,
            "exits": True,
            "choices": " ".join(map(str, one.choices)),
        }
        options = OPTIONS.get(one.axis, DEFAULT)
        return Finding(Outcome(one.outcome), one.detail, kernel, recipe.seed, self.plan.lanes, options, settings)
