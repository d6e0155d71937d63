"""The types of the kernel language: scalars, and arrays of them.

The key insight: a type is a value with the three facts everything else asks of it: how NumPy stores it, how a person
spells it in a kernel's signature, and to which family it belongs. Overloads of the table are comprehensions over these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False, slots=True)
class Scalar:
    """A scalar type, named as Warp names it (`float32`, `int32`, …). There is one of each: compare by identity."""

    name: str
    spelling: str
    """How kernels spell it in annotations and casts: `float`, `int`, `bool`, or `wp.float64`."""

    dtype: np.dtype[Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.name))

    def __reduce__(self) -> tuple[Callable[[str], Scalar], tuple[str]]:
        return type_named, (self.name,)

    def __repr__(self) -> str:
        return self.name


F32 = Scalar("float32", "float")
F64 = Scalar("float64", "wp.float64")
I32 = Scalar("int32", "int")
BOOL = Scalar("bool", "bool")

FLOATS = (F32, F64)
NUMBERS = (F32, F64, I32)
SCALARS = (F32, F64, I32, BOOL)


@dataclass(frozen=True, slots=True)
class Array:
    """A one-dimensional array of scalars."""

    element: Scalar

    def __repr__(self) -> str:
        return f"array({self.element!r})"


def type_named(name: str) -> Scalar:
    return next(scalar for scalar in SCALARS if scalar.name == name)


Type = Scalar | Array
