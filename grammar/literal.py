"""Terms that are numbers.

The key insight: what a literal is depends on its type alone, so code that needs a zero or a one asks for it by type and
needn't know that the one of a vector is a call.
"""

from __future__ import annotations

from grammar.ops import ROWS
from grammar.tree import Apply, Const, Term
from grammar.types import BOOL, FLOATS, Composite, Element


def number(type: Element, value: float) -> Term:
    """A literal; of a composite, one that has it in all places."""
    if isinstance(type, Composite):
        return Apply(ROWS[f"{type.name}({type.scalar.name})"], (number(type.scalar, value),))
    return Const(type, float(value) if type in FLOATS else bool(value) if type is BOOL else int(value))


def zero(type: Element) -> Term:
    """What accumulators begin with."""
    return Apply(ROWS[f"{type.name}()"], ()) if isinstance(type, Composite) else number(type, 0)
