"""Values that are plain NumPy arrays, in the precision of the kernel itself.

The key insight: while a kernel is grown it is run again and again, so it is here that speed counts; what is remembered
beside the values is what tells whether a kernel is defined and whether it is alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, assert_never

import numpy as np
from numpy.typing import NDArray

from grammar.atomics import MARKING, AtomicKind
from grammar.evaluate import Algebra, Interpreter
from grammar.lanes import every, filled, some
from grammar.layout import WHOLE, Index, Inputs, Mask, Part, flat_index
from grammar.op import Lanes, Op
from grammar.tree import Atomic, AugStore, Kernel, Store, Term
from grammar.types import INTEGERS, Scalar

FOLDS = {
    AtomicKind.ADD: np.add,
    AtomicKind.SUB: np.subtract,
    AtomicKind.MIN: np.fmin,
    AtomicKind.MAX: np.fmax,
    AtomicKind.AND: np.bitwise_and,
    AtomicKind.OR: np.bitwise_or,
    AtomicKind.XOR: np.bitwise_xor,
}
"""`wp.atomic_min` and `wp.atomic_max` pass over NaN, as `fmin` and `fmax` do."""


def fold(kind: AtomicKind, target: Lanes, where: NDArray[np.intp], values: Lanes) -> None:
    """Does the atomic operation with each of the values, in their order, to the elements of the target."""
    if kind in MARKING:
        free = target[where] == 0 if kind is AtomicKind.CAS else np.ones(where.shape, np.bool_)
        target[where[free]] = values[free]
    else:
        FOLDS[kind].at(target, where, values)


@dataclass(slots=True)
class Plain(Algebra[Lanes]):
    """NumPy arrays at the kernel's own precision; remembers where it was undefined and which way branches went."""

    stacked: ClassVar[bool] = True
    inputs: Inputs
    arrays: dict[str, Lanes]
    undefined: Mask
    """Lanes that did what is undefined behaviour in C++: int division by zero, overflow, an index out of bounds."""
    outside: Mask
    """Lanes on which a float operation left its domain."""
    written: dict[str, Mask]
    watched: int | None = None
    """Only the first so many lanes count for `taken`; None means all."""
    taken: dict[int, tuple[bool, bool]] = field(default_factory=dict)
    """By the id of a condition in the tree: has it ever held, has it ever failed."""

    @classmethod
    def on(cls, inputs: Inputs) -> Plain:
        lanes = inputs.launches * inputs.lanes
        arrays = {name: np.array(array).reshape(-1) for name, array in inputs.arrays.items()}
        written = {name: np.zeros(array.shape, np.bool_) for name, array in arrays.items()}
        return cls(inputs, arrays, np.zeros(lanes, np.bool_), np.zeros(lanes, np.bool_), written)

    def lift(self, value: Lanes, type: Scalar) -> Lanes:
        return np.asarray(value, type.dtype)

    def const(self, value: float | int | bool, type: Scalar) -> Lanes:
        return filled(value, type, self.undefined.size)

    def apply(self, op: Op, args: Sequence[Lanes], active: Mask, within: Op | None = None) -> Lanes:
        del within  # values are values
        if op.domain is not None:
            fine = op.domain(*args)
            if not every(fine):
                mask = self.undefined if op.result in INTEGERS else self.outside
                mask |= active & ~np.logical_and.reduce(fine.reshape(-1, active.size))
        return np.asarray(op.meaning(*args))

    def read(self, array: str, index: Index, active: Mask, part: Part = WHOLE) -> Lanes:
        return self.arrays[array][self.flat(array, index, active, part)]

    def element(self, array: str, index: Index, active: Mask, width: int) -> Lanes:
        return self.arrays[array].reshape(-1, width).T.take(self.flat(array, index, active, WHOLE), axis=1)

    def pack(self, parts: Sequence[Lanes]) -> Lanes:
        return np.array(parts)

    def parts(self, value: Lanes) -> Sequence[Lanes]:
        return list(value)

    def select(self, mask: Mask, new: Lanes, old: Lanes) -> Lanes:
        return np.where(mask, new, old)

    def discrete(self, value: Lanes) -> Lanes:
        return value

    def note_undefined(self, lanes: Mask) -> None:
        self.undefined |= lanes

    def fork(self, site: Term, condition: Lanes, active: Mask) -> None:
        held, failed = self.taken.get(id(site), (False, False))
        if not (held and failed):
            condition, active = condition[: self.watched], active[: self.watched]
            self.taken[id(site)] = held or some(active & condition), failed or some(active & ~condition)

    def write(
        self, stmt: Store | AugStore | Atomic, index: Index, value: Lanes, active: Mask, part: Part = WHOLE
    ) -> None:
        where = self.flat(stmt.array, index, active, part)[active]
        target = self.arrays[stmt.array]
        self.written[stmt.array][where] = True
        with np.errstate(all="ignore"):
            match stmt:
                case Store():
                    target[where] = value[active]
                case AugStore():
                    fold(kind_of(stmt), target, where, value[active])
                case Atomic(kind, _, _, _):
                    fold(kind, target, where, value[active])
                case _:
                    assert_never(stmt)

    def flat(self, array: str, index: Index, active: Mask, part: Part) -> NDArray[np.intp]:
        """Positions in the flattened array of all launches; an index out of bounds is noted and clipped."""
        return flat_index(self.inputs, array, index, active, self.undefined, part)


def kind_of(stmt: AugStore) -> AtomicKind:
    """The atomic operation that an update of an element is, where it is one."""
    assert stmt.kind is not None, "what is no atomic operation is stored"
    return stmt.kind


def run_plain(kernel: Kernel, inputs: Inputs, watched: int | None = None) -> Plain:
    """Runs the kernel at its own precision. Raises EndlessLoopError."""
    plain = Plain.on(inputs)
    plain.watched = watched
    with np.errstate(all="ignore"):
        Interpreter(plain, inputs).run(kernel)
    return plain
