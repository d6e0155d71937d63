"""From seeds to rows: what the main job does to one block of candidates.

The key insight: a candidate is a pure function of the run's settings and its index, so a block can be done anywhere, in
parts or again. The block is only there because most of what compiling costs is per module, not per kernel.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from corpus.candidate import OPTIONS, Candidate, emitted, grown, judged, recipe, stored
from extract.compile import BlockBuild, compile_block, release, start
from extract.versions import versions
from grammar.choose import Seed
from grammar.emit import emit
from grammar.families import FAMILIES, Family, families_at, family_named
from grammar.ops import table_digest
from grammar.profiles import PROFILES
from grammar.serial import plain_of
from grammar.tree import Kernel
from synth.result import BlockResult, Finding, Pipeline
from synth.settings import Settings
from validate.processes import collect, keep
from validate.verdict import Verdict


def facts() -> Mapping[str, str]:
    """What all rows share and determines them beside the settings."""
    start()
    return {"project": "warpsmith", "version": version("warpsmith"), "table_digest": table_digest(), **versions()}


def start_worker() -> None:
    """Starts Warp in a worker, and keeps what is there by then out of the garbage collector's rounds."""
    start(Path(tempfile.gettempdir()))
    table_digest()
    keep()


# -- candidates -------------------------------------------------------------------------------------------------------


def families_of(settings: Settings) -> tuple[Family, ...]:
    """The families asked for that have kernels at this depth."""
    possible = families_at(settings.depth)
    if settings.family is None:
        return possible
    return tuple(family for family in map(family_named, settings.family) if family in possible)


def seed_of(settings: Settings, index: int) -> Seed:
    """63 bits that determine the candidate; they don't depend on how many are asked for, nor on block and targets."""
    return Seed(int.from_bytes(blake2b(f"{_seed_of_run(settings)} {index}".encode(), digest_size=8).digest()) >> 1)


@cache
def _seed_of_run(settings: Settings) -> str:
    recipe = (settings.seed, settings.depth, settings.profile, settings.family, settings.lanes, table_digest())
    return json.dumps(recipe)


def candidate(settings: Settings, index: int) -> Kernel | None:
    families = families_of(settings)
    if not families:
        return None
    seed = seed_of(settings, index)
    family = families[index % len(families)]
    return grown(seed, family, settings.profile, settings.depth, settings.lanes)


def describe(settings: Settings, index: int) -> Finding:
    kernel, seed = candidate(settings, index), seed_of(settings, index)
    if kernel is None:
        return Finding("", "", "", seed, index, "")
    return Finding("", "", emit(kernel), seed, index, kernel.family, plain_of(kernel))


# -- the block --------------------------------------------------------------------------------------------------------


def run_block(settings: Settings, block: int, indices: tuple[int, ...]) -> BlockResult:
    """Grows, compiles and checks the candidates; the rows of those that passed, in the order of their indices."""
    clock = Clock()
    with clock("tidy"):
        collect(block)
    with clock("grow"):
        kernels = [(index, candidate(settings, index)) for index in indices]
    with clock("emit"):
        candidates = [emitted(i, seed_of(settings, i), kernel) for i, kernel in kernels if kernel is not None]
    outcomes = Counter({"not grown": len(kernels) - len(candidates)} if len(kernels) > len(candidates) else {})
    if not candidates:
        return BlockResult(block, (), outcomes, (), clock.seconds)
    with clock("compile"):
        built = compile_block([(c.kernel.name, c.source) for c in candidates], frozenset(settings.targets), OPTIONS)
    with clock("check"):
        verdicts = [judged(*each, settings.lanes) for each in zip(candidates, built.kernels, strict=True)]
    outcomes.update(verdict.outcome.value for verdict in verdicts)
    with clock("row"):
        alike = recipe(settings.profile, settings.depth, settings.lanes)
        made = (stored(*each, alike) for each in zip(candidates, built.kernels, verdicts, strict=True))
        rows = tuple(row for row in made if row is not None)
    _tidy(built, clock)
    return BlockResult(block, rows, outcomes, tuple(_findings(candidates, verdicts)), clock.seconds)


def _findings(candidates: list[Candidate], verdicts: list[Verdict]) -> Iterator[Finding]:
    for one, verdict in zip(candidates, verdicts, strict=True):
        if verdict.outcome.is_finding:
            outcome, kernel = verdict.outcome.value, one.kernel
            yield Finding(outcome, verdict.detail, one.source, one.seed, one.index, kernel.family, plain_of(kernel))


def _tidy(built: BlockBuild, clock: Clock) -> None:
    """What the compiler spent is told apart from what its callers did."""
    with clock("tidy"):
        release(built)
    for phase, seconds in built.seconds.items():
        clock.seconds[phase] = seconds
        clock.seconds["compile"] -= seconds


# -- time -------------------------------------------------------------------------------------------------------------


class Clock:
    """CPU seconds by phase of a whole block: asking for the time costs as much as a good part of a check."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        before = time.process_time()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.process_time() - before


PIPELINE = Pipeline(
    run_block=run_block,
    describe=describe,
    start_worker=start_worker,
    facts=facts,
    families=tuple(family.name for family in FAMILIES),
    profiles=PROFILES,
)
"""The real one: `tests` run the runner on others."""
