"""How Warp passes arguments: the layout of the structure that an entry point takes, structs among them.

The key insight: Warp lays out a `@wp.struct` as C does, and so do NumPy's aligned record types and `struct` between
`0Q` and `0Q`; so an array of structs is an array of records, and a struct by value is its fields in a row.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np

from extract.warp_private import ARRAY_LAYOUT
from grammar.params import Param
from grammar.paths import ELEMENT, root
from grammar.types import BF16, Array, Composite, Element, Scalar, Type

CODES = {
    "float16": "e",
    "bfloat16": "H",  # its bits
    "float32": "f",
    "float64": "d",
    "bool": "?",
    **{
        f"{sign}int{bits}": code
        for sign, codes in (("", "bhiq"), ("u", "BHIQ"))
        for bits, code in zip((8, 16, 32, 64), codes, strict=True)
    },
}
"""The letters of `struct` by scalar."""


def scalars(values: Any, scalar: Scalar) -> list[Any]:
    """What `struct` takes for one number or the scalars of a composite."""
    array = np.asarray(values, scalar.dtype).reshape(-1)
    return (array.view(np.uint16) if scalar is BF16 else array).tolist()


Named = tuple[str, Type]


def passed(params: Sequence[Param]) -> list[Param]:
    """The parameters that are passed, in order: of an array of structs only the first field, to stand for all."""
    return [
        p for k, p in enumerate(params) if ELEMENT not in p.name or k == 0 or root(params[k - 1].name) != root(p.name)
    ]


@lru_cache
def layout(params: tuple[Named, ...]) -> struct.Struct:
    """The layout of the structure in which Warp passes arguments of the given names and types."""
    return struct.Struct("@" + _format(params))


def _format(params: Sequence[Named]) -> str:
    return "".join(_passed(path, list(group)) for path, group in groupby(params, lambda param: root(param[0])))


def _passed(path: str, group: Sequence[Named]) -> str:
    if path.endswith(ELEMENT):
        return ARRAY_LAYOUT
    if group[0][0] != path:
        inner = _format([(name.removeprefix(f"{path}."), type) for name, type in group])
        edge = f"0{max(inner, key=_size)}"
        return f"{edge}{inner}{edge}"
    type = group[0][1]
    return ARRAY_LAYOUT if isinstance(type, Array) else CODES[type.scalar.name] * type.width


def _size(code: str) -> int:
    """Of a letter of a format, in bytes."""
    return 0 if code.isdigit() else struct.calcsize(f"@{code}")


def record_type(params: Sequence[Param]) -> np.dtype[Any]:
    """NumPy's type of the elements of an array of structs that have these fields."""
    return _record_type([(param.name.partition(".")[2], param.element) for param in params])


def _record_type(fields: Sequence[tuple[str, Element]]) -> np.dtype[Any]:
    parts = []
    for name, group in groupby(fields, lambda field: root(field[0])):
        inner = list(group)
        if inner[0][0] == name:
            parts.append((name, *_parts(inner[0][1])))
        else:
            parts.append((name, _record_type([(field.partition(".")[2], type) for field, type in inner])))
    return np.dtype(parts, align=True)


def _parts(type: Element) -> tuple[Any, ...]:
    return (type.dtype, (type.width,)) if isinstance(type, Composite) else (type.dtype,)
