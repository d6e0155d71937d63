"""How much of real code lies inside the grammar: `python -m grammar reach PATH…`.

The key insight: a kernel is inside if each construct it uses is, so what to add next is the construct that is most
often the only one missing. Each kernel and function is judged by itself, whatever it calls. Nothing is imported or run:
source is read with libcst.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libcst as cst
from rich.console import Console
from rich.table import Table

from grammar.constructs import constructs_by_function
from grammar.errors import UserError, refused
from grammar.fit import may_hold_kernels, weighted_files
from grammar.registry import is_out_of_scope
from grammar.survey import mark_of
from grammar.vocabulary import vocabulary


@dataclass(slots=True)
class Reach:
    """Counts over kernels and functions, which are called functions here."""

    files: int = 0
    unparsed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """All of them, as `kernel` and `func`."""
    inside: Counter[str] = field(default_factory=Counter)
    """Those wholly inside the vocabulary."""
    in_scope: Counter[str] = field(default_factory=Counter)
    """Those that use nothing which is out of scope for good."""
    missing: Counter[str] = field(default_factory=Counter)
    """Functions by construct outside the vocabulary."""
    alone: Counter[str] = field(default_factory=Counter)
    """Those of them that lack nothing else."""

    def add(self, kind: str, constructs: frozenset[str]) -> None:
        missing = constructs - vocabulary()
        self.kinds[kind] += 1
        self.inside[kind] += not missing
        self.in_scope[kind] += not any(map(is_out_of_scope, missing))
        self.missing.update(missing)
        self.alone.update(missing if len(missing) == 1 else ())


def reach(paths: Sequence[Path]) -> Reach:
    """The reach into the .py files at and below `paths`. Raises UserError for what can't be read or holds no kernel."""
    found = Reach()
    for file in _files(paths):
        source = _content(file)
        if may_hold_kernels(source):
            _add_file(source, found)
    if not found.kinds:
        raise UserError(f"no kernels or functions of Warp in {', '.join(map(str, paths))}")
    return found


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    try:
        yield from (file for file, _ in weighted_files(paths))
    except OSError as error:
        raise UserError(str(error)) from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise refused(file, "read", error) from error


def _add_file(source: bytes, found: Reach) -> None:
    try:
        module = cst.parse_module(source)
    except (cst.ParserSyntaxError, UnicodeDecodeError):
        found.unparsed += 1
        return
    found.files += 1
    for function, constructs in constructs_by_function(module):
        found.add(mark_of(function), constructs)


# -- telling ----------------------------------------------------------------------------------------------------------


def as_data(found: Reach) -> dict[str, Any]:
    """Plain JSON."""
    shares = {kind: _counts(found, [kind]) for kind in ("kernel", "func")}
    return {
        "files": found.files,
        "unparsed_files": found.unparsed,
        "all": _counts(found, ["kernel", "func"]),
        **shares,
        "outside": [
            {"construct": name, "alone": found.alone[name], "all": count, "out_of_scope": is_out_of_scope(name)}
            for name, count in _ranked(found)
        ],
    }


def _counts(found: Reach, kinds: Sequence[str]) -> dict[str, Any]:
    total, inside, in_scope = (
        sum(counter[kind] for kind in kinds) for counter in (found.kinds, found.inside, found.in_scope)
    )
    return {
        "total": total,
        "inside": inside,
        "in_scope": in_scope,
        "share": inside / total if total else None,
        "share_of_scope": inside / in_scope if in_scope else None,
    }


def _ranked(found: Reach) -> list[tuple[str, int]]:
    """Constructs outside, the one first that most functions lack alone, then that most lack at all."""
    return sorted(found.missing.items(), key=lambda item: (-found.alone[item[0]], -item[1], item[0]))


def show(found: Reach, most: int, console: Console) -> None:
    """Tables: the shares, and the constructs outside that matter most."""
    data = as_data(found)
    table = Table(title=f"inside the grammar, of {found.files} files")
    for column in ("", "all", "inside", "share", "in scope", "share of these"):
        table.add_column(column, justify="right" if column else "left")
    for name, key in (("kernels", "kernel"), ("functions", "func"), ("together", "all")):
        part = data[key]
        counts = (part["total"], part["inside"], _percent(part["share"]), part["in_scope"])
        table.add_row(name, *map(str, counts), _percent(part["share_of_scope"]))
    console.print(table)
    if found.unparsed:
        console.print(f"{found.unparsed} files could not be parsed", highlight=False)
    if found.missing:
        console.print(_outside(data["outside"], most))


def _outside(rows: Sequence[dict[str, Any]], most: int) -> Table:
    caption = f"and {len(rows) - most} more; --json has them all" if len(rows) > most else None
    table = Table(title="outside, by kernels and functions", caption=caption)
    table.add_column("construct", overflow="fold")
    for column in ("alone missing", "missing", "scope"):
        table.add_column(column, justify="right")
    for row in rows[:most]:
        table.add_row(row["construct"], str(row["alone"]), str(row["all"]), "out" if row["out_of_scope"] else "")
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def command(paths: Sequence[Path], most: int, as_json: bool, console: Console) -> None:
    """Prints the reach into some paths. Raises UserError."""
    found = reach(paths)
    if as_json:
        console.out(json.dumps(as_data(found), indent=1, ensure_ascii=False), highlight=False)
    else:
        show(found, most, console)
