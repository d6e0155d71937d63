"""What a block of candidates comes to, and the pipeline that makes it so.

The key insight: the runner knows neither grammar nor compiler. It is given a `Pipeline` of plain functions, each a pure
function of the settings and of indices, so tests can run it on a pipeline that crashes, hangs and repeats itself at
will.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.settings import Settings

VERIFIED, DUPLICATE = "verified", "duplicate"


@dataclass(frozen=True, slots=True)
class Finding:
    """A kernel that something is wrong with: a wrong value, a crash, a hang, a failed compile."""

    outcome: str
    """Value of a `validate.verdict.Outcome` that is a finding."""
    detail: str
    source: str
    """The Python module that holds the kernel; empty where even growing it failed."""
    seed: int
    index: int
    family: str
    kernel: Mapping[str, Any] | None = None
    """The kernel as `grammar.serial` writes it; None where even growing it failed."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one candidate."""

    outcome: str
    """Value of a `validate.verdict.Outcome`, `DUPLICATE` for one that was not looked at, or why there is no kernel."""
    canonical: str = ""
    """Canonical hash of the kernel; empty where there is none."""
    row: Mapping[str, Any] | None = None
    """As `corpus.row.row_of` makes it, of a verified kernel."""
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What became of some candidates of a block."""

    block: int
    fates: tuple[Fate, ...]
    """One for each candidate asked for, by increasing index. But for duplicates, they don't depend on the others."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """CPU seconds by phase (`grow`, `reference`, `emit`, `codegen`, `clang`, `launch`, `row`, …)."""

    @property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(fate.row for fate in self.fates if fate.row is not None)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The functions that a run is made of. All are importable by name, so that worker processes can find them."""

    run_block: Callable[[Settings, int, tuple[int, ...], frozenset[str]], BlockResult]
    """(settings, block, indices, canonical hashes of some rows of earlier blocks) → what became of these candidates, a
    subset of the block's. One that is known, or repeats another of them, need not be looked at."""
    describe: Callable[[Settings, int], Finding]
    """(settings, index) → a candidate as a finding, without compiling it: to blame it for a crash. What it came to is
    left empty."""
    start_worker: Callable[[], None]
    """Called once in each worker process, whose temporary folder is one that the run deletes at its end."""
    facts: Callable[[], Mapping[str, str]]
    """What all rows share and determines them beside the settings: project, version, table digest, versions of warp,
    llvm, nvrtc, numpy. A run can't be resumed with others."""
    families: tuple[str, ...]
    profiles: tuple[str, ...]
    max_tasks: int = 0
    """Blocks after which a worker is replaced by a fresh one; 0 means never."""
    seconds_to_start: float = 60.0
    seconds_per_kernel: float = 1.0
    """A task is killed that takes longer than these allow: many times what it should, for machines that are busy."""

    def limit(self, kernels: int) -> float:
        """Seconds that a task of so many kernels may take."""
        return self.seconds_to_start + self.seconds_per_kernel * kernels
