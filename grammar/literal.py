"""Terms that are numbers.

The key insight: what a literal is depends on its type alone, so code that needs a zero or a one asks for it by type and
needn't know that the one of a vector is a call.
"""

from __future__ import annotations

from functools import cache

from grammar.op import Op
from grammar.ops import COMPOSITE_ROWS, ROWS
from grammar.tree import Apply, Const, Term
from grammar.types import BOOL, FLOATS, Composite, Element


def number(type: Element, value: float) -> Term:
    """A literal; of a composite, one that has it in all places; of rotations, the one that does nothing."""
    if isinstance(type, Composite) and type.of_threads:
        made = next(op for op in COMPOSITE_ROWS if op.result is type)
        return Apply(made, (number(made.params[0], value),))
    if isinstance(type, Composite) and type.is_tile:
        return Apply(_nullary(type, "tile_ones"), ()) if value == 1 else zero(type)
    if isinstance(type, Composite):
        filled = ROWS.get(f"{type.name}({type.scalar.name})")
        return zero(type) if filled is None else Apply(filled, (number(type.scalar, value),))
    return Const(type, float(value) if type in FLOATS else bool(value) if type is BOOL else int(value))


def zero(type: Element) -> Term:
    """What accumulators begin with."""
    is_nullary = isinstance(type, Composite) and not type.of_threads
    return Apply(_nullary(type), ()) if is_nullary else number(type, 0)


def identity(type: Composite) -> Term:
    """The matrix that does nothing."""
    return Apply(_nullary(type, "identity"), ())


@cache
def _nullary(type: Composite, *names: str) -> Op:
    wanted = names or (type.name, "quat_identity", "transform_identity", "tile_zeros")
    return next(op for op in COMPOSITE_ROWS if op.result is type and not op.params and op.name in wanted)
