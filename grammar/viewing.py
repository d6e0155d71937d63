"""Growing names for parts of arrays: what of a kernel reads several elements of a row reads them by its name.

The key insight: a part of which several elements are read, by the same indices but the last, is what people name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from grammar.choose import Choose, chance, pick
from grammar.fields import taken_names
from grammar.names import name_for
from grammar.rebuild import with_all_terms
from grammar.tree import (
    Assign,
    At,
    Const,
    For,
    Kernel,
    Outlined,
    Read,
    Stmt,
    Term,
    Thread,
    Var,
    View,
    While,
    bound,
    indices_of,
    statements,
    terms_in,
)
from grammar.views import first_of, has_parts

SHARE = 0.25
"""How often a kernel has a view, of those that may."""
Part = tuple[str, tuple[Term, ...]]
"""Of an array: its name, and the indices along all axes but the last."""


def viewed(choose: Choose, kernel: Kernel) -> Kernel:
    """The kernel, perhaps with a name for a part of an array of which it reads several elements."""
    if not chance(choose, SHARE):
        return kernel
    parts = [part for part in _often_read(kernel) if _is_fit(kernel, part)]
    if not parts:
        return kernel
    part = pick(choose, parts)
    name = name_for("view", choose, taken_names(kernel))

    def by_name(term: Term) -> Term:
        return replace(term, via=name) if isinstance(term, Read) and _part_of(term) == part else term

    body, first = with_all_terms(kernel.body, by_name), _first_reader(kernel, part)
    array, indices = part
    view = View(name, array, At(indices) if len(indices) > 1 else indices[0])
    return replace(kernel, body=(*body[:first], view, *body[first:]))


def _part_of(element: Read) -> Part:
    return element.array, first_of(element)


def _elements(body: tuple[Stmt, ...]) -> Iterator[Read]:
    """Those of arrays of several dimensions."""
    return (term for term in terms_in(body) if isinstance(term, Read) and isinstance(term.index, At))


def _often_read(kernel: Kernel) -> list[Part]:
    """Those of which elements are read that are not a thread's own, or not it alone."""
    own = {Var(stmt.names[-1], stmt.own.type) for stmt in kernel.body if isinstance(stmt, Thread)}
    loops = tuple(stmt for stmt in statements(kernel.body) if isinstance(stmt, For | While))
    again = {_part_of(element) for element in _elements(loops)}
    last: dict[Part, set[Term]] = {}
    for element in _elements(kernel.body):
        last.setdefault(_part_of(element), set()).add(indices_of(element.index)[-1])
    return [part for part, terms in last.items() if len(terms) > 1 or (part in again and not terms <= own)]


def _is_fit(kernel: Kernel, part: Part) -> bool:
    """Whether it is the same from its first element on, and none of it is read in a function that writes."""
    array, indices = part
    if not has_parts(kernel.param(array), len(indices)):
        return False
    times = Counter(name for stmt in statements(kernel.body) for name in bound(stmt))
    before = kernel.body[: _first_reader(kernel, part)]
    known = {name for stmt in before if isinstance(stmt, Thread | Assign) for name in bound(stmt) if times[name] == 1}
    known |= {param.name for param in kernel.params}
    fixed = all(isinstance(index, Const) or (isinstance(index, Var) and index.name in known) for index in indices)
    return fixed and not any(_reads(stmt, part) for stmt in statements(kernel.body) if isinstance(stmt, Outlined))


def _first_reader(kernel: Kernel, part: Part) -> int:
    """Which statement of the kernel is the first that reads some of it."""
    return next(k for k, stmt in enumerate(kernel.body) if _reads(stmt, part))


def _reads(stmt: Stmt, part: Part) -> bool:
    return any(_part_of(element) == part for element in _elements((stmt,)))
