"""The command line of the checks: reducing findings, planting faults, fuzzing.

The key insight: as in the main job, nothing heavy is imported until a command runs. Each command is a function
`command` of the module that bears its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from grammar.command import call

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Works on findings, and on the checks themselves.")


@app.callback()
def about() -> None:
    """Works on findings, and on the checks themselves."""


@app.command("reduce")
def reduce_command(
    finding: Annotated[Path, typer.Argument(metavar="FINDING", help="A finding's .json file.", show_default=False)],
    time_limit: Annotated[float | None, typer.Option(help="Seconds after which to stop; run again to go on.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write the reduced finding (.json); by default beside it."),
    ] = None,
) -> int:
    """Makes the kernel of a finding as small as it can be while it fails in the same way."""
    from validate.reduce import command

    return command(finding, time_limit, out)


@app.command("mutate")
def mutate_command(
    n: Annotated[int, typer.Option("--n", help="Faults to plant.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of kernels and faults.")] = 0,
    depth: Annotated[int, typer.Option(help="Greatest height of the kernels.")] = 4,
    jobs: Annotated[int | None, typer.Option(help="Worker processes; by default one per CPU.")] = None,
) -> int:
    """Plants faults in the table and in Warp's C++, and counts how many are caught; exit code 1 if too few are."""
    from validate.mutate import command

    return command(n, seed, depth, jobs)


@app.command("fuzz")
def fuzz_command(
    minutes: Annotated[
        float | None, typer.Option(help="Minutes of fuzzing, reducing aside; 30 unless --n says when to end.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", help="Kernels after which to end.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all kernels.")] = 0,
    depth: Annotated[str, typer.Option(metavar="D|D-D", help="Greatest height of kernels, or a range of it.")] = "1-8",
    profile: Annotated[str, typer.Option(help="natural, uniform, swarm or all: what kernels are made of.")] = "swarm",
    axes: Annotated[
        str,
        typer.Option(
            metavar="AXIS,…", help="What kernels are compared with themselves across; sample: each in turn; all; none."
        ),
    ] = "sample",
    jobs: Annotated[int | None, typer.Option(help="Worker processes; by default one per CPU.")] = None,
    allow_known: Annotated[bool, typer.Option("--allow-known", help="Grow the idioms of known defects, too.")] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where findings go.")] = Path("findings"),
    reduce: Annotated[bool, typer.Option(help="Make a finding of each bucket small at the end.")] = True,
) -> int:
    """Grows kernels at random and looks for what the compiler gets wrong; exit code 1 if that is not known."""
    from validate.fuzz import Wanted, command

    return command(Wanted(minutes, n, seed, depth, profile, axes, jobs, allow_known, out, reduce))


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m validate`: returns the exit code."""
    return call(app, "validate", argv)
