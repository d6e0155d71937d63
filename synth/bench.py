"""How fast the main job is, as ratios within one run.

The key insight: seconds differ between machines and moments, shares hardly do. So what is told is which part of the CPU
time goes into Warp itself (its code generation and clang), and how a row's cost compares with compiling one kernel at a
time, as people do by default, measured beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from corpus import store
from extract.compile import CompileOptions, compile_block, release, start
from grammar.emit import emit
from synth.block import PIPELINE, candidate
from synth.run import Summary, run
from synth.settings import Settings

DEPTHS = (2, 3, 5, 8)
JOBS = (1, 2)
INSIDE = ("codegen", "clang", "text", "llvm", "ptx")
"""The phases that are spent inside Warp."""
ALONE = 12
"""Kernels that are compiled one by one, for comparison."""


@dataclass(frozen=True, slots=True)
class Measure:
    summary: Summary
    lines: float
    """Mean number of lines of a row's Python."""

    @property
    def rows(self) -> int:
        return self.summary.totals.rows

    @property
    def milliseconds(self) -> float:
        """CPU time of all processes, their start included, per verified row."""
        return 1000 * self.summary.cpu / max(1, self.rows)

    @property
    def inside(self) -> float:
        """CPU seconds inside Warp by all CPU seconds."""
        return sum(self.summary.seconds.get(phase, 0.0) for phase in INSIDE) / self.summary.cpu


def bench(n: int, profile: str) -> int:
    """Measures runs of `n` rows at several depths and numbers of workers, and prints what they cost."""
    console = Console()
    measures = {(depth, jobs): measure(depth, jobs, n, profile) for depth in DEPTHS for jobs in JOBS}
    console.print(_overview(measures))
    console.print(_phases({depth: measures[depth, 1] for depth in DEPTHS}))
    alone = one_by_one(DEPTHS[1], profile)
    row = measures[DEPTHS[1], 1].milliseconds
    console.print(
        f"one kernel a module, as Warp compiles by default, at depth {DEPTHS[1]}: {alone:.0f} CPU ms to compile it, "
        f"nothing checked; a verified row: {row:.1f} CPU ms, {alone / row:.1f} times less"
    )
    return 0


def measure(depth: int, jobs: int, n: int, profile: str) -> Measure:
    with tempfile.TemporaryDirectory(prefix="warpsmith-bench-") as folder:
        summary = run(Settings(depth, n, Path(folder) / "data", profile=profile, jobs=jobs), PIPELINE)
        lines = [text.count("\n") for text in _sources(Path(folder) / "data")]
    return Measure(summary, sum(lines) / max(1, len(lines)))


def _sources(folder: Path) -> Iterator[str]:
    for shard in store.shards(folder):
        yield from store.column(shard, "python")


def one_by_one(depth: int, profile: str) -> float:
    """CPU milliseconds to compile one kernel alone with Warp's default options, the precompiled header being there."""
    start()
    settings = Settings(depth, ALONE, Path(), profile=profile)
    kernels = [kernel for index in range(ALONE + 1) if (kernel := candidate(settings, index)) is not None]
    options = CompileOptions(optimization_level=2, fuse_fp=True, both_instantiations=True)
    seconds = []
    for kernel in kernels:
        before = time.process_time()
        release(compile_block([(kernel.name, emit(kernel))], options=options))
        seconds.append(time.process_time() - before)
    return 1000 * sum(seconds[1:]) / max(1, len(seconds) - 1)


# -- tables -----------------------------------------------------------------------------------------------------------


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _overview(measures: dict[tuple[int, int], Measure]) -> Table:
    columns = ("depth", "workers", "rows", "lines a row", "rows/s", "CPU ms a row", "inside Warp")
    table = _table("what a verified row costs", columns)
    for (depth, jobs), one in measures.items():
        rate = one.rows / one.summary.wall
        cells = (
            depth,
            jobs,
            one.rows,
            f"{one.lines:.1f}",
            f"{rate:.1f}",
            f"{one.milliseconds:.1f}",
            f"{one.inside:.0%}",
        )
        table.add_row(*map(str, cells))
    return table


def _phases(measures: dict[int, Measure]) -> Table:
    table = _table("CPU ms a row by phase, one worker", ("phase", *(f"depth {depth}" for depth in measures)))
    phases = sorted({phase for one in measures.values() for phase in one.summary.seconds})
    for phase in phases:
        table.add_row(phase, *(f"{1000 * m.summary.seconds.get(phase, 0.0) / m.rows:.2f}" for m in measures.values()))
    table.add_row("all else", *(f"{_else(m):.2f}" for m in measures.values()))
    return table


def _else(one: Measure) -> float:
    """The parent's work and the processes' start."""
    return 1000 * (one.summary.cpu - sum(one.summary.seconds.values())) / one.rows
