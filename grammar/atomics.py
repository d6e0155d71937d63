"""Atomic operations on arrays, by kind.

The key insight: what an operator does to an element is an atomic operation wherever there is one, so both ways to write
it have one kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class AtomicKind(Enum):
    ADD = "atomic_add"
    SUB = "atomic_sub"
    MIN = "atomic_min"
    MAX = "atomic_max"
    AND = "atomic_and"
    OR = "atomic_or"
    XOR = "atomic_xor"
    EXCH = "atomic_exch"
    CAS = "atomic_cas"


MARKING = (AtomicKind.EXCH, AtomicKind.CAS)
"""With a number, `wp.atomic_exch(seen, i, 1)`, or only where there was none, `wp.atomic_cas(seen, i, 0, 1)`."""
BITWISE = (AtomicKind.AND, AtomicKind.OR, AtomicKind.XOR)
ATOMIC_UPDATES: Mapping[str, AtomicKind] = {
    "add": AtomicKind.ADD,
    "sub": AtomicKind.SUB,
    "bit_and": AtomicKind.AND,
    "bit_or": AtomicKind.OR,
    "bit_xor": AtomicKind.XOR,
}
"""By the name of the operator in `array[index] OP= value`."""
