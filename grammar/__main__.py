"""`python -m grammar`: commands about the grammar itself.

The key insight: libraries are imported inside the commands, so that `--help` is immediate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from grammar.command import call

app = typer.Typer(help="What kernels are made of.", no_args_is_help=True, add_completion=False)


@app.callback()
def about() -> None:
    """What kernels are made of."""


@app.command("fit")
def fit_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Python files or folders; the installed Warp if none."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the JSON, instead of printing it.")] = None,
) -> None:
    """Count operations, statements, literals and names in real kernels, as data for the `natural` profile."""
    from grammar.fit import as_json, fit

    try:
        data = fit(paths or [])
        if out is None:
            typer.echo(as_json(data), nl=False)
            return
        out.write_text(as_json(data), encoding="utf-8")
    except OSError as error:
        typer.echo(f"grammar fit: {error}", err=True)
        raise typer.Exit(2) from None
    counts = data["provenance"]
    typer.echo(f"{counts['kernels']} kernels and {counts['functions']} functions of {counts['files']} files → {out}")


@app.command("table")
def table_command() -> None:
    """Print the table of operations as Markdown."""
    from grammar.tables import operation_table

    typer.echo(operation_table(), nl=False)


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("coverage")
def coverage_command(json: Json = False) -> None:
    """Print which of Warp's builtins the table has, which are absent, and which are out of scope and why."""
    from rich.console import Console

    from grammar.coverage import command

    command(json, Console())


@app.command("vocabulary")
def vocabulary_command() -> None:
    """Print all constructs that the grammar can grow, as JSON."""
    from grammar.vocabulary import as_data, as_json

    typer.echo(as_json(as_data()), nl=False)


@app.command("reach")
def reach_command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Python files or folders.", show_default=False)
    ],
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many constructs.")] = 40,
    json: Json = False,
) -> None:
    """Print what share of real kernels lies inside the grammar, and which constructs keep the others out."""
    from rich.console import Console

    from grammar.reach import command

    command(paths, most, json, Console())


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m grammar`: returns the exit code."""
    return call(app, "grammar", argv)


if __name__ == "__main__":
    raise SystemExit(main())
