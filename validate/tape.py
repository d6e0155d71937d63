"""Values of the reference, and the tape on which stands how they came about.

The key insight: whatever a kernel does, a gradient comes back by three ways only: through a row of the table, through
lanes that were chosen from one of two values, and to an element that was read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grammar.floats import FLOATING
from grammar.layout import Mask
from grammar.op import Lanes, Op
from validate.variants import Variants


@dataclass(eq=False, slots=True)
class Value:
    """The lanes of one value: `lanes` as Warp must have them, `shadow` for floats that are not exact."""

    lanes: Lanes
    shadow: Variants | None = None
    flows: bool = False
    """Whether a gradient comes back through it to an input."""
    parts: tuple[Value, ...] = ()
    """The scalars of a composite, which has nothing else."""

    @property
    def variants(self) -> Variants:
        return self.shadow if self.shadow is not None else self.lanes.astype(np.float64)[np.newaxis]

    @property
    def is_float(self) -> bool:
        return self.lanes.dtype.kind in FLOATING


@dataclass(eq=False, frozen=True, slots=True)
class Applied:
    """A scalar row, perhaps for the sake of a composite one."""

    op: Op
    within: Op | None
    args: tuple[Value, ...]
    active: Mask
    result: Value


@dataclass(eq=False, frozen=True, slots=True)
class Chosen:
    """The new value where the mask holds, elsewhere the old one."""

    mask: Mask
    new: Value
    old: Value
    result: Value


@dataclass(eq=False, frozen=True, slots=True)
class Fetched:
    """Elements of an input array, at positions in the flattened array of all launches."""

    array: str
    where: NDArray[np.intp]
    result: Value


Entry = Applied | Chosen | Fetched
"""Of a tape, on which stands what was done to values through which a gradient flows, in order."""
