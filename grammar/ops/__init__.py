"""The one table of operations.

The key insight: everything that varies with an operation is a column here, so to add one is to add a row to a module of
this package and to edit nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from pathlib import Path

from grammar.op import Op
from grammar.ops import (
    arithmetic,
    cast,
    comparison,
    elementary,
    integer,
    matrix,
    noise,
    pasting,
    quaternion,
    random,
    rounding,
    select,
    several,
    size,
    spatial,
    tile,
    transform,
    vector,
    vector_tile,
)
from grammar.types import HALVES, SCALARS


def _sharing_weight(rows: Iterable[Op]) -> tuple[Op, ...]:
    """The rows with their weight divided among the scalar overloads of a name with the same result, and a weight."""
    rows = tuple(rows)
    overloads = Counter((op.name, op.result) for op in rows if op.weight and not op.is_composite)
    return tuple(
        op if op.is_composite else replace(op, weight=op.weight / max(1, overloads[op.name, op.result])) for op in rows
    )


_SCALAR = (arithmetic, elementary, rounding, comparison, integer, select, cast)
_COMPOSITE = (vector, matrix, quaternion, transform, spatial, tile, vector_tile, size, random, noise)
TABLE: tuple[Op, ...] = _sharing_weight(
    (*(op for module in (*_SCALAR, *_COMPOSITE) for op in module.ROWS), *cast.REREAD)
)
SCALAR_ROWS = tuple(op for op in TABLE if not op.is_composite)
COMPOSITE_ROWS = tuple(op for op in TABLE if op.is_composite)
SAMPLERS, NOISE = random.SAMPLERS, noise.ROWS
CHANGERS = (*transform.CHANGERS, *tile.CHANGERS, *vector_tile.CHANGERS, *pasting.CHANGERS)
SEVERAL = several.ROWS
"""What is done in place, and what gives several values: by statements only."""
_OF_STATEMENTS = (*SAMPLERS, *CHANGERS, *SEVERAL)
ROWS: Mapping[str, Op] = {op.key: op for op in (*TABLE, *_OF_STATEMENTS)}
assert len(ROWS) == len(TABLE) + len(_OF_STATEMENTS), "two rows have the same key"

_AMBIGUOUS = "its C++ does not compile: a float of two bytes turns into any number, and so in several ways into a bool"
_IDENTITY = "it changes nothing"

OUT_OF_SCOPE: Mapping[str, str] = {
    "div_approx": "its result depends on the device: CUDA has an instruction of lower precision",
    "pos": _IDENTITY,
    "int": "a synonym of int32; the rows named int32 are spelt this way",
    "float": "a synonym of float32; the rows named float32 are spelt this way",
    **{f"bool({T})": _AMBIGUOUS for T in HALVES},
    **{f"{T}(bool)": f"{_AMBIGUOUS}, which the adjoint does" for T in HALVES},
    **{f"{T}({T})": _IDENTITY for T in SCALARS},
}
"""Builtins of Warp's groups Operators and Scalar Math on our types that the table leaves out: name or key → why."""


def row(key: str) -> Op:
    """The row with that `Op.key`, such as `add(float32,float32)`. Raises KeyError where there is none."""
    return ROWS[key]


BESIDE = (
    *("__main__.py", "command.py", "errors.py", "fit.py", "survey.py", "tables.py"),
    *("check.py", "exits.py", "hypothesis_hook.py", "idioms.py", "rewrites.py", "serial.py"),
    *("smallest.py", "strategies.py"),
    *("constructs.py", "coverage.py", "reach.py", "registry.py", "vocabulary.py", "data/registry.json"),
)
"""Modules of the package that a kernel doesn't come through when it is grown from a seed."""


@cache
def table_digest(package: Path = Path(__file__).parent.parent) -> str:
    """32 hex digits that change with any source or data file of the grammar: what a kernel is a pure function of."""
    digest = blake2b(digest_size=16)
    files = (p.relative_to(package).as_posix() for p in package.rglob("*") if p.suffix in (".py", ".json"))
    for path in sorted(path for path in files if path not in BESIDE):
        content = (package / path).read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
