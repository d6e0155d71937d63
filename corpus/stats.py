"""What a data set holds, in figures.

The key insight: a figure is a fold over few small columns, a shard at a time, so millions of rows take seconds and no
memory.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

from rich.console import Console
from rich.table import Table

from corpus.store import read, shards
from grammar.params import Role
from grammar.types import ELEMENTS, FLOATS, Array

COLUMNS = (
    *("canonical_hash", "shape_hash", "family", "height", "size", "operations", "statements", "parameters", "python"),
    *("checked", "gradient", "gradient_checked"),
)
FLOAT_ARRAYS = frozenset(
    repr(Array(type, dimensions)) for type in ELEMENTS.values() if type.scalar in FLOATS for dimensions in range(1, 5)
)
INPUTS = frozenset(role.value for role in Role if role is not Role.OUT)
FEW = 10


@dataclass(slots=True)
class Stats:
    rows: int = 0
    bytes: int = 0
    """Of the Parquet files."""
    distinct: int = 0
    """Rows with different canonical forms."""
    shapes: int = 0
    """Rows that differ in more than literals."""
    families: Counter[str] = field(default_factory=Counter)
    heights: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    """Rows by operation used."""
    statements: Counter[str] = field(default_factory=Counter)
    """Rows by kind of statement used."""
    gradients: Counter[str] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Lines of each row's Python from the kernel's decorator on, blank ones aside."""
    float_inputs: int = 0
    """Rows with a float array among their inputs."""
    float_inputs_verified: int = 0
    """Those of them whose gradient is verified."""
    checked: float = 0.0
    """Sum over rows; likewise `gradient_checked`, over those whose gradient is verified."""
    gradient_checked: float = 0.0


def stats_of(folder: Path) -> Stats:
    """The figures of a data set. Raises UserError."""
    stats, canonical, shapes = Stats(), set[str](), set[str]()
    for file in shards(folder):
        stats.bytes += file.stat().st_size
        for batch in read(file, COLUMNS).to_batches(max_chunksize=1000):
            _add(stats, batch.to_pydict())
            canonical.update(batch.column("canonical_hash").to_pylist())
            shapes.update(batch.column("shape_hash").to_pylist())
    stats.distinct, stats.shapes = len(canonical), len(shapes)
    return stats


def _add(stats: Stats, columns: dict[str, list[Any]]) -> None:
    stats.rows += len(columns["family"])
    stats.families.update(columns["family"])
    stats.heights.update(columns["height"])
    stats.gradients.update(columns["gradient"])
    stats.sizes.extend(columns["size"])
    stats.lines.extend(map(kernel_lines, columns["python"]))
    stats.checked += sum(columns["checked"])
    for name in ("operations", "statements"):
        getattr(stats, name).update(word for words in columns[name] for word in words)
    labels = zip(columns["parameters"], columns["gradient"], columns["gradient_checked"], strict=True)
    for parameters, gradient, share in labels:
        verified = gradient == "verified"
        has_float = any(p["type"] in FLOAT_ARRAYS and p["role"] in INPUTS for p in parameters)
        stats.float_inputs += has_float
        stats.float_inputs_verified += has_float and verified
        stats.gradient_checked += share if verified else 0.0


def kernel_lines(source: str) -> int:
    """Lines of a module from its first decorator on, blank ones aside; all lines where nothing is decorated."""
    lines = [line for line in source.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith("@")]
    return len(lines) - (starts[0] if starts else 0)


def show(stats: Stats, table: Iterable[str], console: Console) -> None:
    """Prints the figures; `table` holds the keys of all operations there are."""
    console.print(_figures(stats))
    used = stats.operations.most_common()
    for title, counts in (
        ("families", stats.families.most_common()),
        ("gradients", stats.gradients.most_common()),
        ("heights", sorted(stats.heights.items())),
        ("statements (rows that use one)", stats.statements.most_common()),
        ("operations most used (rows)", used[:FEW]),
        ("operations least used (rows)", used[-FEW:]),
    ):
        if counts:
            console.print(_counts(title, counts, stats.rows))
        if title == "families" and len(counts) > 1:
            console.print(evenness([count for _, count in counts]), highlight=False)
    unused = sorted(set(table) - set(stats.operations))
    console.print(f"operations not used ({len(unused)}): {', '.join(unused) or 'none'}", highlight=False, markup=False)


def evenness(counts: Sequence[int]) -> str:
    """How far counts are from equal ones, by Pearson's chi-square; the bound is Wilson and Hilferty's (1931)."""
    mean, free = sum(counts) / len(counts), len(counts) - 1
    square = sum((count - mean) ** 2 for count in counts) / mean
    spread = 2 / (9 * free)
    bound = free * (1 - spread + NormalDist().inv_cdf(0.95) * math.sqrt(spread)) ** 3
    away = max(abs(count - mean) for count in counts) / sum(counts)
    return (
        f"equal shares: chi-square {square:.1f} with {free} degrees of freedom, below {bound:.1f} in 19 of 20 draws;"
        f" at most {away:.2%} of the rows off"
    )


def _figures(stats: Stats) -> Table:
    rows = max(stats.rows, 1)
    verified = stats.gradients["verified"]
    table = Table(show_header=False)
    for name, value in (
        ("rows", f"{stats.rows:,}"),
        ("duplicates", f"{stats.rows - stats.distinct:,}"),
        ("distinct with literals blanked", f"{stats.shapes:,} ({stats.shapes / rows:.1%})"),
        ("size (nodes)", _spread(stats.sizes)),
        ("lines of Python", _spread(stats.lines)),
        ("operations used", f"{len(stats.operations):,}"),
        ("elements checked, mean", f"{stats.checked / rows:.2%}"),
        ("rows with a float array as input", f"{stats.float_inputs:,}"),
        ("  their gradient verified", f"{stats.float_inputs_verified / max(stats.float_inputs, 1):.2%}"),
        ("gradient elements checked, mean", f"{stats.gradient_checked / max(verified, 1):.2%}"),
        ("bytes a row", f"{stats.bytes / rows:,.0f}"),
    ):
        table.add_row(name, value)
    return table


def _spread(values: list[int]) -> str:
    if not values:
        return "none"
    return f"{min(values)} to {max(values)}, mean {sum(values) / len(values):.1f}"


def _counts(title: str, counts: Iterable[tuple[object, int]], rows: int) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, min_width=50)
    table.add_column(ratio=1)
    table.add_column(justify="right")
    table.add_column(justify="right")
    for name, count in counts:
        table.add_row(str(name), f"{count:,}", f"{count / max(rows, 1):.1%}")
    return table
