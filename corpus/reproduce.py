"""A stored row, made again from its seed and compared byte for byte.

The key insight: a row says all that it was made from. Growing, compiling and checking it anew needs neither the run nor
its other rows, and what comes out must be the same bytes wherever the same versions are installed; with others it can't
be, so then nothing is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from corpus.candidate import OPTIONS, Candidate, emitted, grown, judged, recipe, stored
from corpus.row import Row
from corpus.schema import COLUMNS, Column
from corpus.show import find
from extract.build import PIECES, Target
from extract.compile import compile_block, release, start
from extract.versions import versions
from grammar.canon import canonical_hash
from grammar.choose import Seed
from grammar.errors import UserError
from grammar.families import family_named
from grammar.ops import table_digest

GIVEN = ("seed", "index", "profile", "depth", "family", "lanes")
"""Columns that a row is made from, the index aside, by which only the run knows it: they are the same by themselves."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One column of a row and of the same row made again."""

    name: str
    bytes: int
    """Of the stored value."""
    is_same: bool
    difference: str = ""
    """In words; empty where there is none."""


def reproduced(row: Row) -> Row | str:
    """The row made again, or why there is none. Raises UserError if other versions made it."""
    start()
    _require_same_versions(row)
    kernel = grown(Seed(row["seed"]), family_named(row["family"]), row["profile"], row["depth"], row["lanes"])
    if kernel is None:
        return "its seed no longer grows a kernel"
    return _made(emitted(row["index"], row["seed"], kernel, canonical_hash(kernel)), row)


def _made(one: Candidate, row: Row) -> Row | str:
    targets = frozenset(target for target in Target if row[PIECES[target][0]] is not None)
    block = compile_block([(one.kernel.name, one.source)], targets, OPTIONS)
    try:
        (made,) = block.kernels
        verdict = judged(one, made, row["lanes"])
        again = stored(one, made, verdict, recipe(row["profile"], row["depth"], row["lanes"]))
    finally:
        release(block)
    if again is not None:
        return again
    return ": ".join(filter(None, (f"it is not verified but {verdict.outcome.value}", verdict.detail)))


def _require_same_versions(row: Row) -> None:
    here = {"table_digest": table_digest(), **{f"{name}_version": text for name, text in versions().items()}}
    others = [
        f"{name.replace('_', ' ')} {row[name]} there, {text} here" for name, text in here.items() if row[name] != text
    ]
    if others:
        raise UserError(f"row {row['id']} was made by other versions and can't be made again: {'; '.join(others)}")


def compared(old: Row, new: Row) -> Iterator[Compared]:
    """Each column of two rows."""
    for column in COLUMNS:
        there, here = (_bytes(column, row[column.name]) for row in (old, new))
        difference = "" if there == here else _difference(old[column.name], new[column.name])
        yield Compared(column.name, len(there), there == here, difference)


def _bytes(column: Column, value: Any) -> bytes:
    """A value as Arrow's buffers hold it, so that NaN and the sign of zero count."""
    return b"".join(buffer.to_pybytes() for buffer in pa.array([value], column.type).buffers() if buffer is not None)


def _difference(old: Any, new: Any) -> str:
    """Where two values part, in words."""
    if isinstance(old, str) and isinstance(new, str):
        lines = enumerate(zip([*old.splitlines(), ""], [*new.splitlines(), ""], strict=False), 1)
        return next((f"line {n}: {a.strip()!r} there, {b.strip()!r} here" for n, (a, b) in lines if a != b), "")
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return next((_difference(a, b) for a, b in zip(old, new, strict=True) if repr(a) != repr(b)), "")
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return f"{old.get('name')}: its " + ", ".join(key for key in old if repr(old[key]) != repr(new.get(key)))
    return f"{_short(old)} there, {_short(new)} here"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def command(folder: Path, name: str, console: Console) -> int:
    """Reproduces a row and prints what is the same; exit code 0 if all is, else 1. Raises UserError."""
    row = find(folder, name)
    again = reproduced(row)
    if isinstance(again, str):
        console.print(f"row {row['id']} can't be made again: {again}", markup=False, highlight=False, soft_wrap=True)
        return 1
    columns = list(compared(row, again))
    console.print(_table(columns))
    wrong = [column.name for column in columns if not column.is_same]
    size = sum(column.bytes for column in columns)
    said = f"differs in {', '.join(wrong)}" if wrong else f"is the same, byte for byte ({size:,} bytes)"
    if "canonical_hash" in wrong:
        said = f"is another kernel when it is grown here: {said}"
    console.print(f"row {row['id']} {said}", markup=False, highlight=False, soft_wrap=True)
    return 1 if wrong else 0


def _table(columns: list[Compared]) -> Table:
    table = Table()
    table.add_column("column")
    table.add_column("bytes", justify="right")
    table.add_column("made again", overflow="fold")
    for column in columns:
        same = "given" if column.name in GIVEN else "the same"
        table.add_row(column.name, f"{column.bytes:,}", same if column.is_same else f"differs, {column.difference}")
    return table
