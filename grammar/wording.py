"""What nobody writes, as far as terms show.

The key insight: an operation may be sound on its arguments and still not be how a person would put it, as shows from
the arguments' own outermost operations.
"""

from __future__ import annotations

from grammar.choose import chance
from grammar.draft import Draft
from grammar.op import Item, Member, Op
from grammar.tree import Apply, Const, Term


def is_clumsy(draft: Draft, op: Op, terms: list[Term]) -> bool:
    """What a person would say otherwise, as far as the terms show."""
    if len(terms) == 2 and terms[0] == terms[1] and not (op.name in SELF and chance(draft.choose, SQUARED)):
        return True
    if op.name in MIXING and len(set(terms)) < len(terms):
        return True
    if isinstance(op.spelling, Member | Item) and isinstance(terms[0], Apply):
        return True  # of something without a name
    if isinstance(op.spelling, Item) and any(isinstance(index, Const) for index in terms[1:]):
        return True  # for which there are rows of their own
    if op.name in PREFIXES and (is_prefix(terms[0]) or _is_comparison(terms[0])):
        return True
    if op.name in ("add", "sub") and is_prefix(terms[1]):
        return True
    if op.group == "comparison" and len(terms) == 2 and (_is_offset_by(*terms) or _is_offset_by(*terms[::-1])):
        return True
    return op.name in FOLDABLE and _could_be_folded(terms)


SQUARED = 0.25
"""How often something is multiplied by itself, of the times that it comes to that."""
SELF = ("mul", "matmul", "dot", "ddot", "outer", "transform_multiply")
"""What is done to a value and itself."""

MIXING = ("lerp", "clamp", "smoothstep", "where", "ternary", "between")
"""What needs three different values."""

FOLDABLE = ("add", "sub", "mul", "div")


def _could_be_folded(terms: list[Term]) -> bool:
    """`x + 1 + 2`, `2 * (3 * x)`: a person would have added the numbers up."""
    return any(isinstance(t, Const) for t in terms) and any(
        isinstance(t, Apply) and t.op.name in FOLDABLE and any(isinstance(a, Const) for a in t.args) for t in terms
    )


def is_prefix(term: Term) -> bool:
    return isinstance(term, Apply) and term.op.name in PREFIXES


PREFIXES = ("neg", "invert", "logical_not")


def _is_comparison(term: Term) -> bool:
    """`not x < y`: a person would write `x >= y`."""
    return isinstance(term, Apply) and term.op.group == "comparison" and len(term.args) == 2


def _is_offset_by(term: Term, other: Term) -> bool:
    """`x + y > x`: a person would have taken x off both sides."""
    return isinstance(term, Apply) and term.op.name in ("add", "sub") and other in term.args
