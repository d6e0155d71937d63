"""How fast the main job is, as ratios within one run.

The key insight: seconds differ between machines and moments, shares hardly do. So what is told is which part of the CPU
time goes into Warp itself (its code generation and clang), and how a row's cost compares with compiling one kernel at a
time, as people do by default, measured beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from corpus import store
from extract.compile import CompileOptions, compile_block, release, start
from grammar.emit import emit
from synth.block import PIPELINE, candidate, families_of
from synth.run import Summary, run
from synth.settings import Settings, checked

DEPTHS = (2, 3, 5, 8)
JOBS = (1, 2)
INSIDE = ("codegen", "clang", "text", "llvm", "ptx")
"""The phases that are spent inside Warp."""
ALONE = 12
"""Kernels that are compiled one by one, for comparison."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A run, less what starting and ending its processes costs: that is told apart, as a long run has it once."""

    summary: Summary
    start: Summary
    """A run of one worker that made next to nothing."""
    lines: float
    """Mean number of lines of a row's Python."""

    @property
    def rows(self) -> int:
        return self.summary.totals.rows

    @property
    def jobs(self) -> int:
        return self.summary.settings.jobs

    @property
    def cpu(self) -> float:
        """CPU seconds of workers and parent."""
        return self.workers + self.summary.cpu_parent - self.start.cpu_parent

    @property
    def workers(self) -> float:
        """CPU seconds."""
        return self.summary.cpu_workers.total() - self.jobs * self.start.cpu_workers.total()

    @property
    def once(self) -> float:
        """CPU seconds that a run costs however long it is; blocks begun in vain before it ended are among them."""
        return self.summary.cpu - self.cpu

    def phase(self, name: str) -> float:
        """CPU seconds."""
        return self.summary.seconds.get(name, 0.0) - self.jobs * self.start.seconds.get(name, 0.0)

    @property
    def inside(self) -> float:
        """CPU seconds inside Warp by all CPU seconds."""
        return sum(map(self.phase, INSIDE)) / self.cpu

    @property
    def rate(self) -> float:
        return self.rows / (self.summary.wall - self.start.wall)


def bench(n: int, profile: str, family: tuple[str, ...] | None) -> int:
    """Measures runs of `n` rows at several depths and numbers of workers, and prints what they cost."""
    console = Console()
    wanted = Settings(DEPTHS[0], n, Path(), profile=profile, family=family)
    checked(wanted, PIPELINE.families, PIPELINE.profiles)
    depths = [depth for depth in DEPTHS if families_of(replace(wanted, depth=depth))]
    start, _ = _run(replace(wanted, depth=depths[0], n=1, jobs=1, block=1))
    runs = {(depth, jobs): _run(replace(wanted, depth=depth, jobs=jobs)) for depth in depths for jobs in JOBS}
    measures = {key: Measure(summary, start, lines) for key, (summary, lines) in runs.items()}
    console.print(_overview(measures))
    console.print(_phases({depth: measures[depth, 1] for depth in depths}))
    for jobs in JOBS:
        once = sum(measures[depth, jobs].once for depth in depths) / len(depths)
        workers = f"{jobs} worker{'s' * (jobs > 1)}"
        console.print(f"starting and ending {workers}: {once:.1f} CPU s, once a run, not counted above")
    alone = one_by_one(replace(wanted, depth=depths[0]))
    first = measures[depths[0], 1]
    row = 1000 * first.cpu / first.rows
    console.print(
        f"one kernel a module, as Warp compiles by default, at depth {depths[0]}: {alone:.0f} CPU ms to compile it, "
        f"nothing checked; a verified row: {row:.1f} CPU ms, {alone / row:.1f} times less"
    )
    return 0


def _run(wanted: Settings) -> tuple[Summary, float]:
    """A run in a folder of its own, and the mean number of lines of its rows."""
    with tempfile.TemporaryDirectory(prefix="warpsmith-bench-") as folder:
        settings = replace(wanted, out=Path(folder) / "data")
        summary = run(settings, PIPELINE)
        lines = [text.count("\n") for text in _sources(settings.out)]
    return summary, sum(lines) / max(1, len(lines))


def _sources(folder: Path) -> Iterator[str]:
    for shard in store.shards(folder):
        yield from store.column(shard, "python")


def one_by_one(settings: Settings) -> float:
    """CPU milliseconds to compile one kernel alone with Warp's default options, the precompiled header being there."""
    start()
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
        figures = (f"{one.lines:.1f}", f"{one.rate:.1f}", f"{1000 * one.cpu / one.rows:.1f}", f"{one.inside:.0%}")
        table.add_row(str(depth), str(jobs), str(one.rows), *figures)
    return table


def _phases(measures: dict[int, Measure]) -> Table:
    table = _table("CPU ms a row by phase, one worker", ("phase", *(f"depth {depth}" for depth in measures)))
    phases = sorted({phase for one in measures.values() for phase in one.summary.seconds})
    for phase in phases:
        table.add_row(phase, *(f"{1000 * m.phase(phase) / m.rows:.2f}" for m in measures.values()))
    table.add_row("writing", *(f"{1000 * (m.cpu - m.workers) / m.rows:.2f}" for m in measures.values()))
    return table
