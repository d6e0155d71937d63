"""Small data sets that cover what large ones do: `python -m corpus minimize` and `merge`.

The key insight: minimising is merging with nothing there yet. Folders are taken one after another, and each gives the
rows for what those before it lack: so the rows of the first are chosen as if it were alone, and stay as others come.
What was written is read back, and has every feature, before the folder takes its name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from corpus import store
from corpus.card import card
from corpus.cover import cover
from corpus.features import COLUMNS, KINDS, features_of
from corpus.schema import FORMAT, schema_of
from grammar.errors import UserError, refused

MANIFEST = "manifest.json"
BATCH = 500
NEEDED = (*COLUMNS, "size")

Feature = tuple[str, str]


@dataclass(slots=True)
class Survey:
    """What the rows of some data sets cover. Rows are numbered through all of them."""

    names: list[str] = field(default_factory=list)
    """Of the data sets: the last part of their paths."""
    starts: list[int] = field(default_factory=list)
    """Number of each data set's first row."""
    shards: list[tuple[Path, int]] = field(default_factory=list)
    """Files, and the number of the first row of each."""
    features: list[list[int]] = field(default_factory=list)
    """Per row, as numbers of `known`."""
    sizes: list[int] = field(default_factory=list)
    """Nodes per row."""
    known: dict[Feature, int] = field(default_factory=dict)
    bytes: int = 0
    """Of the Parquet files."""

    def spans(self, starts: Sequence[int]) -> list[tuple[int, int]]:
        """The first row of each part, and the one after its last, given where parts start."""
        return list(zip(starts, [*starts[1:], len(self.sizes)], strict=True))


def survey(folders: Sequence[Path]) -> Survey:
    """Reads the features of all rows. Raises UserError."""
    found = Survey()
    for folder in folders:
        found.names.append(folder.resolve().name)
        found.starts.append(len(found.sizes))
        for path in store.shards(folder):
            _check_format(path)
            found.shards.append((path, len(found.sizes)))
            found.bytes += path.stat().st_size
            for batch in store.read(path, NEEDED).to_batches(max_chunksize=BATCH):
                _add(found, batch.to_pylist())
    if not found.sizes:
        raise UserError(f"{folders[0]} holds no rows")
    return found


def _check_format(path: Path) -> None:
    schema = store.opened(path).schema_arrow
    stated = (schema.metadata or {}).get(b"format", b"none").decode()
    if stated != FORMAT or set(schema.names) != set(schema_of().names):
        raise UserError(
            f"{path} is of another version (format {stated}, here {FORMAT}) and can't be joined with others"
        )


def _add(found: Survey, rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        found.features.append([found.known.setdefault(each, len(found.known)) for each in sorted(features_of(row))])
        found.sizes.append(row["size"])


def chosen(found: Survey, most: int | None = None) -> list[int]:
    """The rows to keep, increasing: data set by data set those that add what all rows kept before them lack."""
    kept: list[int] = []
    for start, stop in found.spans(found.starts):
        have = frozenset(feature for number in kept for feature in found.features[number])
        room = None if most is None else most - len(kept)
        kept += [start + number for number in cover(found.features[start:stop], found.sizes[start:stop], have, room)]
    return kept


# -- writing ----------------------------------------------------------------------------------------------------------


def minimized(folders: Sequence[Path], out: Path, most: int | None = None) -> tuple[Survey, Survey]:
    """Writes the data set `out`, which must be new or empty; what was there before and after. Raises UserError."""
    _check_out(out, folders)
    before = survey(folders)
    kept = chosen(before, most)
    part = out.parent / f".{out.name}.{os.getpid()}"
    try:
        _write(before, kept, part, folders)
        after = survey([part])
        names = list(before.known)
        assert after.known.keys() == {names[feature] for number in kept for feature in before.features[number]}
        part.replace(out)
    except OSError as error:
        raise refused(out, "write", error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return before, after


def _check_out(out: Path, folders: Sequence[Path]) -> None:
    try:
        if out.exists() and any(out.iterdir()):
            raise UserError(f"{out} is not empty; --out must name a new or empty folder")
    except OSError as error:  # such as a file
        raise refused(out, "write", error) from error
    if any(out.resolve().is_relative_to(folder.resolve()) for folder in folders):
        raise UserError(f"{out} lies in a data set that is read; choose another --out")


def _write(found: Survey, kept: Sequence[int], folder: Path, folders: Sequence[Path]) -> None:
    settings, facts = _settings(found, kept, folders), _facts(found)
    files = []
    for number, piece in enumerate(_shards(found, kept)):
        name, data = store.shard_name(number), store.shard_bytes([piece], facts)
        _put(folder, name, data)
        files.append({"file": name, "rows": piece.num_rows, "digest": store.digest(data)})
    manifest = {"settings": settings, "facts": facts, "ended": "minimized", "files": files, "shards": []}
    _put(folder, MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    _put(folder, "README.md", card(settings, facts).encode())


def _put(folder: Path, name: str, data: bytes) -> None:
    store.write_atomically(folder / name, data, folder / "part")


def _shards(found: Survey, kept: Sequence[int]) -> Iterator[Any]:
    """The rows kept, in order, as tables of a shard each."""
    pieces = []
    for (path, _), (start, stop) in zip(found.shards, found.spans([s for _, s in found.shards]), strict=True):
        inside = [number - start for number in kept if start <= number < stop]
        if inside:
            pieces.append(store.read(path).select(schema_of().names).take(inside).replace_schema_metadata(None))
    table = pa.concat_tables([piece.cast(schema_of()) for piece in pieces])
    for first in range(0, table.num_rows, store.SHARD_ROWS):
        yield table.slice(first, store.SHARD_ROWS)


def _settings(found: Survey, kept: Sequence[int], folders: Sequence[Path]) -> dict[str, Any]:
    """What says that this data set is a choice, and of what. The settings of the runs stay where they are the same."""
    sources = [
        f"{sum(start <= number < stop for number in kept)} of {stop - start} rows of {name}"
        for name, (start, stop) in zip(found.names, found.spans(found.starts), strict=True)
    ]
    return {**_common([_manifest(folder).get("settings", {}) for folder in folders]), "minimized": sources}


def _manifest(folder: Path) -> Mapping[str, Any]:
    """The manifest of a data set; empty where there is none that can be read, since rows need none."""
    try:
        plain: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _facts(found: Survey) -> dict[str, str]:
    schemas = [store.opened(path).schema_arrow.metadata or {} for path, _ in found.shards]
    return _common([{k.decode(): v.decode() for k, v in schema.items() if k != b"format"} for schema in schemas])


def _common(mappings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = mappings
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


# -- telling ----------------------------------------------------------------------------------------------------------


def command(folders: Sequence[Path], out: Path, most: int | None, console: Console) -> None:
    """Minimises, and prints what was there before and after, in the way of libFuzzer's `-merge=1`."""
    before, after = minimized(folders, out, most)
    _told(before, after, console)
    share = len(after.known) / max(len(before.known), 1)
    names = " and ".join(map(str, folders))
    console.print(
        f"{out}: {len(after.sizes):,} of {len(before.sizes):,} rows of {names}, "
        f"{len(after.known):,} of {len(before.known):,} features ({share:.0%})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _told(before: Survey, after: Survey, console: Console) -> None:
    table = Table()
    table.add_column("")
    for heading in ("before", "after", "kept"):
        table.add_column(heading, justify="right")
    lines = [
        ("files", len(before.shards), len(after.shards)),
        ("rows", len(before.sizes), len(after.sizes)),
        ("nodes", sum(before.sizes), sum(after.sizes)),
        ("bytes", before.bytes, after.bytes),
        ("features", len(before.known), len(after.known)),
    ]
    counts, kept = (Counter(kind for kind, _ in found.known) for found in (before, after))
    lines += [(f"  {kind.name}", counts[kind.name], kept[kind.name]) for kind in KINDS if counts[kind.name]]
    for name, old, new in lines:
        table.add_row(name, f"{old:,}", f"{new:,}", f"{new / old:.1%}")
    console.print(table)
