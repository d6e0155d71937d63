"""Fits the `natural` profile and the vocabulary of names to real kernels, as small JSON data.

The key insight: the fit doesn't know the table of operations. It counts what people write, under the names Warp gives
it, so that a new row of the table finds its frequency already there. Names are counted once per file and must occur in
several, so that one long test file can't set the vocabulary.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import keyword
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import libcst as cst

from grammar.kinds import COMPOSITE_KINDS
from grammar.survey import Tally, survey

FOLDER_WEIGHTS: Mapping[str, int] = {"examples": 12, "tests": 1}
"""Weight of a file by a folder on its path: examples are written to be read, tests to provoke, and those are
ten times as many."""
OTHER_WEIGHT = 4

LITERALS = 60
LONGEST_LITERAL = 6
"""Literals with more characters are measured constants or test data rather than vocabulary."""
NAMES = 40
LONGEST_NAME = 16
FEWEST_FILES = 2

TABLES = (
    "operations",
    "computed_types",
    "statements",
    "outside",
    "aug_operators",
    "updates",
    "leaves",
    "reads",
    "callers",
)
SIZES = (
    "term_heights",
    "body_lengths",
    "kernel_lengths",
    "locals_per_kernel",
    "arrays_per_kernel",
    "scalars_per_kernel",
    "trip_counts",
    "thread_dimensions",
)
NAME_ROLES = (
    "array_in",
    "array_index",
    "array_out",
    "scalar",
    "count",
    "int_scalar",
    "flag",
    "local",
    "local_int",
    "local_bool",
    "loop",
    "thread",
    "accumulator",
    "verb",
    *(f"{kind}_{place}" for kind in COMPOSITE_KINDS for place in ("in", "param")),
    *(f"local_{kind}" for kind in COMPOSITE_KINDS),
)
TEST_WORDS = (
    "test",
    "tests",
    "expect",
    "expected",
    "actual",
    "dummy",
    "foo",
    "bar",
    "baz",
    "check",
    "assert",
    "kernel",
)
FOREIGN_WORDS = ("mesh", "bvh", "vec", "vec2", "vec3", "mat", "tile", "tiled", "ptr", "lock", "arr", "volume")
UNNATURAL = frozenset(TEST_WORDS + FOREIGN_WORDS)
"""Words of tests, and of types outside the scalar language."""


def installed_warp() -> Path:
    """The folder of the installed `warp` package, found without importing it. Raises FileNotFoundError."""
    spec = importlib.util.find_spec("warp")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("warp-lang is not installed")
    return Path(spec.submodule_search_locations[0])


def fit(paths: Sequence[Path]) -> dict[str, Any]:
    """The fit to all kernels and functions in the .py files at and below `paths`; no path means the installed Warp.

    Raises FileNotFoundError for a path that isn't there. Files that can't be parsed are counted and skipped.
    """
    total: Tally = defaultdict(Counter)
    for file, weight in weighted_files(paths or [installed_warp()]):
        _add_file(file.read_bytes(), weight, total)
    source = "given paths" if paths else f"warp-lang {importlib.metadata.version('warp-lang')}"
    return {"provenance": {"source": source, **_sorted(total["provenance"])}, **_as_data(total)}


def as_json(data: Mapping[str, Any]) -> str:
    """Text with one table a line, the same for the same data."""
    lines = (f"{json.dumps(key)}: {json.dumps(table)}" for key, table in data.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def weighted_files(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """The .py files at and below `paths`, in order, each with its weight. Raises FileNotFoundError."""
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"no such file or folder: {path}")
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            weights = [FOLDER_WEIGHTS[part] for part in file.relative_to(path).parts if part in FOLDER_WEIGHTS]
            yield file, min(weights, default=OTHER_WEIGHT)


def may_hold_kernels(source: bytes) -> bool:
    """Parsing is slow, so files that can't hold a kernel are told by their text."""
    return b"@wp." in source or b"@warp." in source


def _add_file(source: bytes, weight: int, total: Tally) -> None:
    """Adds the counts of one file."""
    if not may_hold_kernels(source):
        return
    try:
        counts = survey(cst.parse_module(source))
    except (cst.ParserSyntaxError, UnicodeDecodeError):
        total["provenance"]["unparsed_files"] += 1
        return
    provenance = {"kernels": counts["functions"]["kernel"], "functions": counts["functions"]["func"]}
    total["provenance"].update({"files": 1, **provenance})
    counts["names.verb"] = Counter(map(_verb, counts.pop("names.kernel", Counter())))
    for table, counter in counts.items():
        is_names = table.startswith("names.")
        total[table].update({key: 1 if is_names else weight * count for key, count in counter.items()})


def _verb(kernel: str) -> str:
    """The first of several words, as in `compute_loss`."""
    words = [word for word in kernel.strip("_").split("_") if word not in UNNATURAL]
    return words[0] if len(words) > 1 else ""


def _as_data(total: Tally) -> dict[str, Any]:
    def sized(table: str) -> dict[str, int]:
        return {str(size): total[table][size] for size in sorted(total[table])}

    return (
        {table: _sorted(total[table]) for table in TABLES}
        | {table: sized(table) for table in SIZES}
        | {table: _top(total[table], _is_plain, LITERALS) for table in ("float_literals", "int_literals")}
        | {"names": {role: _names(total[f"names.{role}"]) for role in NAME_ROLES}}
    )


def _sorted(counter: Counter[Any]) -> dict[Any, int]:
    """The commonest first; ties by size and by text, so that the order is the same everywhere."""
    return dict(sorted(counter.items(), key=lambda item: (-item[1], len(str(item[0])), str(item[0]))))


def _top(counter: Counter[Any], keep: Callable[[Any], bool], most: int) -> list[list[Any]]:
    kept = [[key, count] for key, count in _sorted(counter).items() if keep(key)]
    return kept[:most]


def _is_plain(value: float | int) -> bool:
    return len(repr(abs(value))) <= LONGEST_LITERAL and abs(value) < 1e5


def _names(counter: Counter[Any]) -> dict[str, int]:
    return dict(_top(counter, lambda name: counter[name] >= FEWEST_FILES and _is_natural(name), NAMES))


def _is_natural(name: str) -> bool:
    """Whether the name is one a person gives: lower case, not numbered beyond 1, not of a test, not too long."""
    digits = name[len(name.rstrip("0123456789")) :]
    return (
        name.isidentifier()
        and name == name.lower()
        and not name.startswith("_")
        and not keyword.iskeyword(name)
        and len(name) <= LONGEST_NAME
        and digits in ("", "0", "1")
        and UNNATURAL.isdisjoint(name.split("_"))
    )
