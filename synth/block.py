"""From seeds to rows: what the main job does to one block of candidates.

The key insight: a candidate is a pure function of the run's settings and its index, so a block can be done anywhere, in
parts or again. The block is only there because most of what compiling costs is per module, not per kernel.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from corpus.candidate import OPTIONS, Candidate, emitted, grown, judged, recipe, stored
from extract.compile import BlockBuild, compile_block, release, start
from extract.versions import versions
from grammar.canon import canonical_hash
from grammar.choose import Seed
from grammar.emit import emit
from grammar.families import FAMILIES, Family, families_at, family_named
from grammar.ops import table_digest
from grammar.profiles import PROFILES
from grammar.serial import plain_of
from grammar.tree import Kernel
from synth.result import DUPLICATE, BlockResult, Fate, Finding, Pipeline
from synth.settings import Settings
from validate.processes import collect, keep
from validate.verdict import Verdict

NOT_GROWN = "not grown"


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


def run_block(
    settings: Settings, block: int, indices: tuple[int, ...], known: frozenset[str] = frozenset()
) -> BlockResult:
    """Grows, compiles and checks the candidates, but for those that are `known` or repeat an earlier one."""
    clock, met, fates = Clock(), set(known), dict[int, Fate]()
    candidates = list[Candidate]()
    with clock("tidy"):
        collect(block)
    for index in indices:
        with clock("grow"):
            kernel = candidate(settings, index)
            canonical = canonical_hash(kernel) if kernel is not None else ""
        if kernel is None or canonical in met:
            fates[index] = Fate(DUPLICATE if kernel else NOT_GROWN, canonical)
            continue
        met.add(canonical)
        with clock("emit"):
            candidates.append(emitted(index, seed_of(settings, index), kernel, canonical))
    if candidates:
        fates.update(zip((one.index for one in candidates), _proved(settings, candidates, clock), strict=True))
    return BlockResult(block, tuple(fates[index] for index in indices), clock.seconds)


def _proved(settings: Settings, candidates: Sequence[Candidate], clock: Clock) -> list[Fate]:
    with clock("compile"):
        built = compile_block([(c.kernel.name, c.source) for c in candidates], frozenset(settings.targets), OPTIONS)
    with clock("check"):
        verdicts = [judged(*each, settings.lanes) for each in zip(candidates, built.kernels, strict=True)]
    with clock("row"):
        alike = recipe(settings.profile, settings.depth, settings.lanes)
        rows = [stored(*each, alike) for each in zip(candidates, built.kernels, verdicts, strict=True)]
    _tidy(built, clock)
    return [
        Fate(verdict.outcome.value, one.canonical, row, _finding(one, verdict))
        for one, verdict, row in zip(candidates, verdicts, rows, strict=True)
    ]


def _finding(one: Candidate, verdict: Verdict) -> Finding | None:
    if not verdict.outcome.is_finding:
        return None
    outcome, kernel = verdict.outcome.value, one.kernel
    return Finding(outcome, verdict.detail, one.source, one.seed, one.index, kernel.family, plain_of(kernel))


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
