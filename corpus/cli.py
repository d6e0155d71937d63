"""The command line of the corpus: looking at a data set.

The key insight: as in the main job, nothing heavy is imported until a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from corpus.command import call

app = typer.Typer(add_completion=False, help="Looks at data sets that `python -m synth` made.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set.", show_default=False)]
Name = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Beginning of a row's id, or its number; by default the first row.")
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


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m corpus`: returns the exit code."""
    return call(app, "corpus", argv)
