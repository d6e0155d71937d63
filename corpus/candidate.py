"""One candidate, from its seed to its row.

The key insight: how a kernel is grown, compiled, checked and stored is said here once, of one kernel. The main job does
it to blocks of them, and who reproduces a row does it to that row alone; so neither can differ from the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from corpus.row import Identity, Recipe, Row, row_of
from extract.build import BuildFailure
from extract.compile import Compiled, CompileOptions
from extract.versions import versions
from grammar.canon import shape_hash
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.families import Family
from grammar.grow import grow
from grammar.inputs import REGULAR_SETS
from grammar.ops import table_digest
from grammar.profiles import profile
from grammar.tree import Kernel
from validate.oracle import check
from validate.verdict import Outcome, Verdict

OPTIONS = CompileOptions()

SETS = REGULAR_SETS + 1
"""Input sets per kernel: ordinary ones, and one with special values where the kernel is defined on any."""


@dataclass(frozen=True, slots=True)
class Candidate:
    index: int
    seed: int
    kernel: Kernel
    source: str
    canonical: str


@cache
def recipe(profile: str, depth: int, lanes: int) -> Recipe:
    """What the rows share of all kernels grown alike. Warp must have been initialised."""
    names = ("optimization_level", "mode", "fuse_fp", "max_unroll")
    flags = {name: getattr(OPTIONS, name) for name in names}
    return Recipe(profile, depth, lanes, SETS, table_digest(), versions(), flags)


def grown(seed: Seed, family: Family, profile_name: str, depth: int, lanes: int) -> Kernel | None:
    """The kernel of a seed, or None where nothing came of it."""
    return grow(seeded(seed), family, profile(profile_name), depth, seed, lanes)


def emitted(index: int, seed: int, kernel: Kernel, canonical: str) -> Candidate:
    """The candidate of a kernel whose canonical hash that is: with its source."""
    return Candidate(index, seed, kernel, emit(kernel), canonical)


def judged(one: Candidate, made: Compiled | BuildFailure, lanes: int) -> Verdict:
    """What checking a candidate says, given what compiling it came to."""
    if isinstance(made, BuildFailure):
        return Verdict(Outcome(made.fault.value), made.message)
    return check(one.kernel, made.handle, one.seed, lanes)


def stored(one: Candidate, made: Compiled | BuildFailure, verdict: Verdict, recipe: Recipe) -> Row | None:
    """The row of a candidate, or None for one that was not verified."""
    if verdict.outcome is not Outcome.VERIFIED:
        return None
    assert isinstance(made, Compiled)
    return row_of(
        Identity(one.seed, one.index, one.canonical, shape_hash(one.kernel)), recipe, one.kernel, made.build, verdict
    )
