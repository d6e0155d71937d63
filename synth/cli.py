"""The command line of the main job.

The key insight: everything heavy (warp, numpy, pyarrow, rich) is imported when a command runs, not when it is
described, so `--help` and a mistyped flag answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grammar.command import call

if TYPE_CHECKING:
    from synth.result import Pipeline
    from synth.settings import Settings

EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143}

app = typer.Typer(add_completion=False, invoke_without_command=True)


@app.callback()
def synth(
    context: typer.Context,
    depth: Annotated[int | None, typer.Option(help="Greatest height of a kernel's derivation tree.")] = None,
    n: Annotated[int, typer.Option(help="Number of verified rows to make.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed: equal settings and seeds give equal bytes.")] = 0,
    jobs: Annotated[int | None, typer.Option(help="Worker processes; by default one per CPU.")] = None,
    profile: Annotated[str, typer.Option(help="Table of probabilities to grow with.")] = "natural",
    family: Annotated[str | None, typer.Option(help="Families to grow, between commas; by default all.")] = None,
    targets: Annotated[str, typer.Option(help="What to extract, between commas: cpp, cuda, llvm, ptx.")] = "cpp,cuda",
    lanes: Annotated[int, typer.Option(help="Threads of each launch that a kernel is checked on.")] = 64,
    block: Annotated[int, typer.Option(help="Candidates that are compiled together.")] = 64,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds after which to stop; the same command goes on from there.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the data set; by default one under datasets/.")] = None,
) -> int | None:
    """Grows kernels, compiles them, proves them right by running them, and stores those that are.

    Repeating a command continues it where it ended, was stopped or was killed.
    """
    if context.invoked_subcommand is not None:
        return None
    from synth.settings import Settings, default_jobs, default_out, parsed_family, parsed_targets

    if depth is None:
        raise typer.BadParameter("is missing: say --depth 5, for example", param_hint="--depth")
    settings = Settings(
        depth=depth,
        n=n,
        out=Path(),
        seed=seed,
        profile=profile,
        family=parsed_family(family),
        targets=parsed_targets(targets),
        lanes=lanes,
        block=block,
        jobs=default_jobs() if jobs is None else jobs,
        time_limit=time_limit,
    )
    pipeline: Callable[[], Pipeline] = context.obj or _pipeline
    return _run(replace(settings, out=out or default_out(settings)), pipeline())


@app.command()
def bench(
    n: Annotated[int, typer.Option(help="Rows per measurement.")] = 768,
    profile: Annotated[str, typer.Option(help="Table of probabilities to grow with.")] = "natural",
    family: Annotated[str | None, typer.Option(help="Families to grow, between commas; by default all.")] = None,
) -> int:
    """Measures what a verified row costs at depths 2, 3, 5 and 8, with one worker and with two, and where it goes."""
    from synth.bench import bench as measured
    from synth.settings import parsed_family

    return measured(n, profile, parsed_family(family))


def _pipeline() -> Pipeline:
    from synth.block import PIPELINE

    return PIPELINE


def _run(settings: Settings, pipeline: Pipeline) -> int:
    """Runs the job and says what it came to; returns the exit code."""
    from synth.report import progress, show_summary
    from synth.run import run
    from synth.settings import checked

    checked(settings, pipeline.families, pipeline.profiles)
    with progress(settings) as report:
        summary = run(settings, pipeline, report)
    show_summary(summary)
    return EXIT_CODES.get(summary.stopped, 0)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m synth`: returns the exit code."""
    return call(app, "synth", argv)
