"""One row, readably: the kernel, what the compiler made of it, what it computed.

The key insight: on a terminal sources are highlighted, elsewhere they are printed as they are, so that what is piped on
can be compiled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.syntax import Syntax

from corpus.row import Row, array_of
from corpus.store import column, opened, read, shards
from extract.build import PIECES, Target
from grammar.errors import UserError
from grammar.floats import FLOATING
from grammar.types import ELEMENTS as ELEMENT_TYPES

LEXERS = {Target.CPP: "cpp", Target.CUDA: "cuda", Target.LLVM: "llvm", Target.PTX: "ptx"}
ELEMENTS = 6
"""How many elements of an array are shown; of composites, so many scalars."""


def find(folder: Path, name: str | None) -> Row:
    """The row with this number (from 0) or this beginning of an id; the first by default. Raises UserError."""
    files = shards(folder)
    if name is None:
        return _row_number(files, 0, folder)
    if name.isdecimal() and int(name) < sum(opened(file).metadata.num_rows for file in files):
        return _row_number(files, int(name), folder)
    places = [(file, place) for file in files for place, id_ in enumerate(column(file, "id")) if id_.startswith(name)]
    if not places:
        raise UserError(f"{folder} has no row whose id begins with {name!r}")
    if len(places) > 1:
        raise UserError(f"{len(places)} rows of {folder} have ids that begin with {name!r}; give more digits")
    return _row_in(*places[0])


def _row_number(files: list[Path], number: int, folder: Path) -> Row:
    for file in files:
        count = opened(file).metadata.num_rows
        if number < count:
            return _row_in(file, number)
        number -= count
    raise UserError(f"{folder} holds no rows")


def _row_in(file: Path, place: int) -> Row:
    row: Row = read(file).slice(place, 1).to_pylist()[0]
    return row


def show(row: Mapping[str, Any], console: Console, ir: bool = True) -> None:
    """Prints a row, with or without what the compiler made of it."""
    _code(console, row["python"], "python")
    for target, pieces in PIECES.items():
        for piece in pieces:
            if ir and row[piece] is not None:
                _heading(console, piece)
                _code(console, row[piece], LEXERS[target])
    types = {param["name"]: param["type"] for param in row["parameters"]}
    for group in ("inputs", "outputs", "cotangents", "gradients"):
        if row[group]:
            _heading(console, group)
            for tensor in row[group]:
                _plain(console, f"  {tensor['name']:12} {elements(tensor, types[tensor['name']])}")
    _heading(console, "verdict")
    for line in facts(row):
        _plain(console, line)


def elements(tensor: Mapping[str, Any], type: str) -> str:
    """The first elements of a stored value: `float32[64]  0.5 1.25 …`, `vec3f[64]  (0.5 1.25 2) (…) …`."""
    array, element = array_of(tensor), type.partition("(")[2].removesuffix(")") or type
    width = ELEMENT_TYPES[element].width
    shape = array.shape[:-1] if width > 1 else array.shape
    count = max(1, ELEMENTS // width)
    rows = array.reshape(-1, width)
    few = [" ".join(map(_number, row)) for row in rows[:count]]
    shown = [f"({text})" for text in few] if width > 1 else few
    return f"{element}{list(shape) if shape else ''}  {' '.join(shown)}{' …' if len(rows) > count else ''}"


def facts(row: Mapping[str, Any]) -> Iterator[str]:
    """Lines that say what the row is and how far it was checked."""
    yield f"  id {row['id']}: {row['family']}, height {row['height']} of {row['depth']}, size {row['size']}"
    yield f"  seed {row['seed']}, index {row['index']}, profile {row['profile']}"
    yield f"  operations: {', '.join(row['operations']) or 'none'}"
    yield (
        f"  values verified on {row['input_sets']} input sets of {row['lanes']} lanes: "
        f"{row['checked']:.1%} of elements checked, largest difference {row['residual']:.2g} of what rounding allows"
    )
    match row["gradient"]:
        case "verified":
            share, worst = row["gradient_checked"], row["gradient_residual"]
            yield f"  gradient verified: {share:.1%} of elements checked, largest difference {worst:.2g} of the allowed"
        case "limited":
            yield f"  gradient limited, as Warp documents: {row['limitation']}"
        case _:
            yield "  no gradient: no float input reaches a float output"


def _number(value: np.generic) -> str:
    return f"{value:.6g}" if value.dtype.kind in FLOATING else str(value)


def _heading(console: Console, text: str) -> None:
    console.print(f"\n── {text}", style="bold", markup=False, highlight=False)


def _plain(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _code(console: Console, text: str, lexer: str) -> None:
    if console.is_terminal:
        console.print(Syntax(text.strip("\n"), lexer, background_color="default", word_wrap=True))
    else:
        _plain(console, text.strip("\n"))
