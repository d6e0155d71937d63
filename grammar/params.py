"""What a kernel takes: arrays and scalars, what each is for, and the structs that they stand in.

The key insight: structs of arrays and arrays of structs are the same parameters under other names, so all that looks at
values sees plain arrays and scalars, and only who writes a kernel down asks for structs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grammar.types import Array, Element, Type


class Role(Enum):
    """What a parameter is for, which decides the values it is launched with."""

    VALUE = "value"
    """Data: values spread over [low, high]."""
    MISSING = "missing"
    """Data of which some are missing: values spread over [low, high], and NaN."""
    INFINITE = "infinite"
    """The same, and infinities."""
    SEED = "seed"
    """A whole number in [low, high] from which a random state begins."""
    INDEX = "index"
    """Valid indices into the kernel's arrays."""
    OFFSETS = "offsets"
    """Where each lane's entries begin in arrays of one element per lane, and where the last one's end."""
    SHARES = "shares"
    """Of things, one of which is drawn: each with all before it, so that they grow to 1."""
    COUNT = "count"
    """The number of elements to process, at most the length of the arrays."""
    OUT = "out"
    """An array that is only written; it holds a poison pattern before the launch."""
    ACCUMULATOR = "accumulator"
    """An array that is updated in place by atomics; it holds values in [low, high] before the launch."""


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    type: Type
    role: Role
    low: float = 0.0
    high: float = 1.0
    size: int | None = None
    """Length of an array, or of its last axis; None means one element per lane."""

    @property
    def element(self) -> Element:
        return self.type.element if isinstance(self.type, Array) else self.type

    @property
    def is_output(self) -> bool:
        return self.role in (Role.OUT, Role.ACCUMULATOR)


@dataclass(frozen=True, slots=True)
class Struct:
    """What is passed under one name: all parameters whose names begin with its path and a dot are fields of it.

    `params.dt` is a field of the struct `params`, `params.rest.length` one of the struct within it; `bodies[].mass`,
    which is spelt `bodies[i].mass`, is one of each struct in the array `bodies`.
    """

    path: str
    name: str
    """Of the class, `@wp.struct`, which structs that have the same fields may share."""
