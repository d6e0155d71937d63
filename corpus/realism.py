"""How like real code a data set reads: `python -m corpus realism DIR --against PATH`.

The key insight: a distance means nothing by itself. So beside the distance from real code stands that of one half of
the real code from the other, files being dealt by the hash of what they hold: nearer than people are to each other,
nothing need be.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from corpus.store import column, shards
from grammar.errors import UserError, refused

KINDS = ("nodes", "bigrams", "calls")
MOST = 6
"""Of each distribution, so many parts of the difference unless more are asked for."""


@dataclass(slots=True)
class Syntax:
    """Counts over the bodies of kernels and functions: decorators, parameters and docstrings aside."""

    functions: int = 0
    nodes: Counter[str] = field(default_factory=Counter)
    """By class of `ast`."""
    bigrams: Counter[str] = field(default_factory=Counter)
    """Of a node and one right below, such as `For > Assign`."""
    calls: Counter[str] = field(default_factory=Counter)
    """By what is called: `wp.sin`; what isn't Warp's or Python's is `another function`."""

    def __add__(self, other: Syntax) -> Syntax:
        pairs = ((getattr(self, kind), getattr(other, kind)) for kind in KINDS)
        return Syntax(self.functions + other.functions, *(a + b for a, b in pairs))


class Part(NamedTuple):
    """One key of a distribution: how much it adds to the divergence, and its share in either code."""

    name: str
    bits: float
    here: float
    there: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Of a data set from real code, for one of `KINDS`."""

    divergence: float
    """Jensen–Shannon, in bits: 0 for equal distributions, 1 for those that have nothing in common."""
    floor: float
    """The same of one half of the real code from the other."""
    parts: tuple[Part, ...]
    """What adds most to it, the most first."""


# -- reading ----------------------------------------------------------------------------------------------------------


def syntax_of(source: str) -> Syntax:
    """The counts of a module. Raises SyntaxError."""
    found = Syntax()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and any(map(_is_mark, node.decorator_list)):
            found.functions += 1
            for stmt in node.body[ast.get_docstring(node, clean=False) is not None :]:
                _count(stmt, "FunctionDef", found)
    return found


def _is_mark(decorator: ast.expr) -> bool:
    name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return name in ("wp.kernel", "wp.func", "warp.kernel", "warp.func")


def _count(node: ast.AST, parent: str, found: Syntax) -> None:
    name = type(node).__name__
    found.nodes[name] += 1
    found.bigrams[f"{parent} > {name}"] += 1
    if isinstance(node, ast.Call):
        found.calls[_called(node.func)] += 1
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr_context):
            _count(child, name, found)


def _called(function: ast.expr) -> str:
    name = ast.unparse(function)
    is_known = name.startswith("wp.") or name in ("range", "float", "int", "bool", "len", "min", "max", "abs")
    return name if is_known else f"wp.{name[5:]}" if name.startswith("warp.") else "another function"


def syntax_of_data(folder: Path) -> Syntax:
    """The counts of a data set. Raises UserError."""
    return _total(syntax_of(source) for file in shards(folder) for source in column(file, "python"))


def halves(path: Path) -> tuple[Syntax, Syntax]:
    """The counts of the .py files at and below a path, dealt into two by their content. Raises UserError.

    Files without kernels and those that can't be parsed are left out.
    """
    parts: tuple[list[Syntax], list[Syntax]] = ([], [])
    for content in _contents(path):
        found = _parsed(content)
        if found.functions:
            parts[hashlib.blake2b(content, digest_size=1).digest()[0] % 2].append(found)
    if not all(parts):
        counts = " and ".join(str(len(part)) for part in parts)
        raise UserError(f"too little real code in {path}: the halves have {counts} files with kernels")
    first, second = parts
    return _total(first), _total(second)


def _contents(path: Path) -> Iterator[bytes]:
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        try:
            yield file.read_bytes()
        except OSError as error:
            raise refused(file, "read", error) from error


def _parsed(content: bytes) -> Syntax:
    if b"@wp." not in content and b"@warp." not in content:
        return Syntax()
    try:
        return syntax_of(content.decode("utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return Syntax()


def _total(parts: Iterable[Syntax]) -> Syntax:
    return sum(parts, Syntax())


# -- comparing --------------------------------------------------------------------------------------------------------


def divergence(ours: Mapping[str, int], theirs: Mapping[str, int]) -> float:
    """The Jensen–Shannon divergence of two distributions given as counts, in bits."""
    return math.fsum(_parts(ours, theirs).values())


def _parts(ours: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, float]:
    """What each key adds to the divergence. Distributions of nothing are an error."""
    total, other_total = sum(ours.values()), sum(theirs.values())
    parts = {}
    for key in sorted(ours.keys() | theirs.keys()):
        p, q = ours.get(key, 0) / total, theirs.get(key, 0) / other_total
        parts[key] = sum(0.5 * share * math.log2(2 * share / (p + q)) for share in (p, q) if share)
    return parts


def realism(folder: Path, against: Path, most: int = MOST) -> dict[str, Difference]:
    """The differences of a data set from real code, by kind, with their `most` largest parts. Raises UserError."""
    first, second = halves(against)
    sides = (syntax_of_data(folder), first + second, first, second)
    found = {}
    for kind in KINDS:
        ours, real, one, other = (getattr(side, kind) for side in sides)
        found[kind] = _difference(ours, real, one, other, most)
    return found


def _difference(
    ours: Counter[str], real: Counter[str], first: Counter[str], second: Counter[str], most: int
) -> Difference:
    if not (ours and first and second):
        raise UserError("too little code to compare: one side has nothing but empty kernels")
    parts = _parts(ours, real)
    first_keys = sorted(parts, key=lambda key: (-parts[key], key))[:most]
    shares = tuple(Part(key, parts[key], ours[key] / ours.total(), real[key] / real.total()) for key in first_keys)
    return Difference(math.fsum(parts.values()), divergence(first, second), shares)


# -- telling ----------------------------------------------------------------------------------------------------------


def as_data(found: Mapping[str, Difference]) -> dict[str, Any]:
    """Plain JSON."""
    return {
        kind: {
            "divergence": one.divergence,
            "floor": one.floor,
            "ratio": one.divergence / one.floor if one.floor else None,
            "parts": [part._asdict() for part in one.parts],
        }
        for kind, one in found.items()
    }


def show(found: Mapping[str, Difference], console: Console) -> None:
    """Tables: the divergences beside their floor, and what adds most to each."""
    table = Table(title="Jensen–Shannon divergence from real code, in bits")
    for name in ("of", "divergence", "floor", "ratio"):
        table.add_column(name, justify="left" if name == "of" else "right")
    for kind, one in found.items():
        ratio = f"{one.divergence / one.floor:.2f}" if one.floor else "–"
        table.add_row(kind, f"{one.divergence:.4f}", f"{one.floor:.4f}", ratio)
    console.print(table)
    console.print(_largest(found))


def _largest(found: Mapping[str, Difference]) -> Table:
    table = Table(title="what adds most to it, by its share")
    for name in ("of", "what", "here", "in real code", "adds"):
        table.add_column(name, justify="left" if name in ("of", "what") else "right")
    for kind, one in found.items():
        for number, part in enumerate(one.parts):
            shares = (f"{100 * share:.1f}%" for share in (part.here, part.there))
            table.add_row(kind if number == 0 else "", part.name, *shares, f"{part.bits:.4f}")
        table.add_section()
    return table


def command(folder: Path, against: Path, most: int, as_json: bool, console: Console) -> None:
    """Prints how like real code a data set reads. Raises UserError."""
    found = realism(folder, against, most)
    if as_json:
        console.out(json.dumps(as_data(found), indent=1, ensure_ascii=False), highlight=False)
    else:
        show(found, console)
