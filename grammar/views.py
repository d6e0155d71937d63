"""Names for parts of arrays: `row = x[i]`, whose elements are read as `row[j]`.

The key insight: who looks at what a kernel computes sees the whole index at every element, and a view only says how
that is written; so it must mean the same wherever it is read, and what it is made with never changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from grammar.params import Param
from grammar.paths import ELEMENT
from grammar.rebuild import with_all_terms, with_statements
from grammar.tiles import is_tile
from grammar.tree import (
    Kernel,
    Read,
    Term,
    Var,
    View,
    bound,
    indices_of,
    statements,
    terms_in,
)
from grammar.types import Array

# -- what is wrong with them ------------------------------------------------------------------------------------------


def view_problems(kernel: Kernel) -> Iterator[str]:
    """What is wrong with the kernel's views, which stand in none of its branches and loops."""
    made = [stmt for stmt in statements(kernel.body) if isinstance(stmt, View)]
    if not made:
        return
    changes = Counter(name for stmt in statements(kernel.body) for name in bound(stmt))
    read = {term.via for term in terms_in(kernel.body) if isinstance(term, Read)}
    for view in made:
        if view not in kernel.body:
            yield f"{view.name} is made in a branch or a loop"
        if view.name not in read:
            yield f"{view.name} is never read"
        names = [part.name for part in indices_of(view.index) if isinstance(part, Var)]
        if any(changes[name] > 1 for name in (view.name, *names)):
            yield f"{view.name} is not the same everywhere"
        if not has_parts(next((p for p in kernel.params if p.name == view.array), None), len(indices_of(view.index))):
            yield f"{view.array} has no such part"


def has_parts(param: Param | None, indices: int) -> bool:
    """Whether so many indices leave one dimension of it, of which elements may be read."""
    if param is None or not isinstance(param.type, Array) or param.type.dimensions != indices + 1:
        return False
    return ELEMENT not in param.name and not is_tile(param.element) and not param.is_output


def is_read_by(view: View | None, element: Read) -> bool:
    """Whether the element lies in the view."""
    return view is not None and view.array == element.array and indices_of(view.index) == first_of(element)


def first_of(element: Read) -> tuple[Term, ...]:
    """The indices along all axes but the last."""
    return indices_of(element.index)[:-1]


# -- without them -----------------------------------------------------------------------------------------------------


def without_views(kernel: Kernel) -> Kernel:
    """The kernel with elements of arrays in place of those of views."""
    body = with_all_terms(kernel.body, lambda term: replace(term, via="") if isinstance(term, Read) else term)
    return replace(kernel, body=with_statements(body, lambda stmt: () if isinstance(stmt, View) else (stmt,)))
