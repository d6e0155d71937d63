"""The command line of the corpus: looking at data sets, making small ones of large ones, making rows again.

The key insight: as in the main job, nothing heavy is imported until a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from grammar.command import call

app = typer.Typer(add_completion=False, help="Works on data sets that `python -m synth` made.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set.", show_default=False)]
Name = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Beginning of a row's id, or its number; by default the first row.")
]

Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the new data set.", show_default=False)]
Most = Annotated[
    int | None, typer.Option("--rows", min=1, help="At most so many rows, though they may not keep every feature.")
]


@app.command("show")
def show_command(
    folder: Folder,
    name: Name = None,
    ir: Annotated[bool, typer.Option(help="What the compiler made of it, too.")] = True,
) -> None:
    """Prints a row: Python, IR, inputs and outputs, gradients, verdict."""
    from rich.console import Console

    from corpus.show import find, show

    show(find(folder, name), Console(), ir)


@app.command("stats")
def stats_command(folder: Folder) -> None:
    """Prints figures: families, sizes, operations, shares of what was verified."""
    from rich.console import Console

    from corpus.stats import show, stats_of
    from grammar.ops import ROWS

    show(stats_of(folder), ROWS, Console())


@app.command("realism")
def realism_command(
    folder: Folder,
    against: Annotated[
        Path, typer.Option("--against", metavar="PATH", help="Real code: a .py file or a folder.", show_default=False)
    ],
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many parts of each difference.")] = 6,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Prints how far the Python of a data set is from real code, beside how far real code is from itself."""
    from rich.console import Console

    from corpus.realism import command

    command(folder, against, most, json, Console())


@app.command("minimize")
def minimize_command(folder: Folder, out: Out, most: Most = None) -> None:
    """Writes few rows that have every feature of a data set; of equal ones, the smallest kernels.

    Features are operations applied to operations, statements in statements, types of parameters, the native functions
    that Warp emits, and opcodes of LLVM and PTX where a data set holds them.
    """
    from rich.console import Console

    from corpus.minimize import command

    command([folder], out, most, Console())


@app.command("merge")
def merge_command(
    folder: Annotated[Path, typer.Argument(metavar="A", help="Folder of a data set.", show_default=False)],
    other: Annotated[Path, typer.Argument(metavar="B", help="Folder of another.", show_default=False)],
    out: Out,
    most: Most = None,
) -> None:
    """Minimises the first data set, adds rows of the second that have features which the first lacks."""
    from rich.console import Console

    from corpus.minimize import command

    command([folder, other], out, most, Console())


@app.command("reproduce")
def reproduce_command(
    folder: Folder,
    name: Annotated[str, typer.Argument(metavar="ID", help="Beginning of a row's id, or its number.")],
) -> int:
    """Makes a row again from its seed: grows, compiles, checks; says whether each byte is the same.

    The exit code is 0 if all are, 1 if not.
    """
    from rich.console import Console

    from corpus.reproduce import command

    return command(folder, name, Console())


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m corpus`: returns the exit code."""
    return call(app, "corpus", argv)
