"""`python -m grammar`: commands about the grammar itself.

The key insight: libraries are imported inside the commands, so that `--help` is immediate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="What kernels are made of.", no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
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


if __name__ == "__main__":
    app(prog_name="python -m grammar")
