"""The types of the kernel language: scalars, and arrays of them.

The key insight: a type is a value with the three facts everything else asks of it: how NumPy stores it, how a person
spells it in a kernel's signature, and to which family it belongs. Overloads of the table are comprehensions over these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar type, named as Warp names it (`float32`, `int32`, …)."""

    name: str
    spelling: str
    """How kernels spell it in annotations and casts: `float`, `int`, `bool`, or `wp.float64`."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(self.name)

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


type_named = {scalar.name: scalar for scalar in SCALARS}

Type = Scalar | Array
