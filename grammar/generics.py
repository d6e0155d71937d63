"""Kernels that are written for any type: `x: wp.array[Any]`, `a: Any`.

The key insight: what does nothing that only one type can do might as well be written for all of them, and whoever reads
it has to be told for which one it is made.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from grammar.choose import Choose, chance
from grammar.tiles import is_tile
from grammar.tree import Apply, Kernel, Term, all_functions, all_terms
from grammar.types import F32, I32, Element

SHARE = 0.1
"""How often a kernel is written for any type that may be."""


def for_any_type(choose: Choose, kernel: Kernel) -> Kernel:
    """The kernel, perhaps with arrays and numbers of any type."""
    generic = replace(kernel, generic=True)
    types = {param.element for param in generic.of_any_type[1:]}
    fits = any(type.scalar in (F32, I32) and not is_tile(type) for type in types)
    fits = fits and not (kernel.structs or all_functions(kernel))
    fits = fits and not any(_is_made(term, types) for term in all_terms(kernel))
    return generic if fits and chance(choose, SHARE) else kernel


def _is_made(term: Term, types: Set[Element]) -> bool:
    """Whether a value of such a type is made of others, as by a cast."""
    return isinstance(term, Apply) and term.type in types and types.isdisjoint(term.op.params)
