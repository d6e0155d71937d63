"""Growing functions that write to arrays: a kernel's last statements, or one that holds others, get a name.

The key insight: what nothing behind it uses a local of may stand elsewhere, and whoever reads it there needs no more
than what it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grammar.calls import is_slight
from grammar.choose import Choose, chance, pick
from grammar.fields import taken_names
from grammar.names import name_for
from grammar.outline import bound_in, outline_problems, taken_by, used
from grammar.tiles import is_tile
from grammar.tree import For, If, Kernel, Outlined, While, all_terms

SHARE = 0.07
"""How often a kernel has a function that writes to arrays, of those that may."""
MOST_TAKEN = 6


def outlined(choose: Choose, kernel: Kernel) -> Kernel:
    """The kernel, perhaps with its last statements, or one that holds others, in a function."""
    if not chance(choose, SHARE) or kernel.generic or _is_unfit(kernel):
        return kernel
    places = list(_places(kernel))
    if not places:
        return kernel
    first, last = pick(choose, places)
    name = name_for("kernel", choose, taken_names(kernel))  # what writes is called for what it does
    made = Outlined(name, kernel.body[first:last])
    return replace(kernel, body=(*kernel.body[:first], made, *kernel.body[last:]))


def _is_unfit(kernel: Kernel) -> bool:
    return bool(kernel.structs) or any(is_tile(term.type) for term in all_terms(kernel))


def _places(kernel: Kernel) -> Iterator[tuple[int, int]]:
    """Where what may stand in a function begins and ends."""
    body = kernel.body
    for first in range(1, len(body)):
        lasts = {len(body), *([first + 1] if isinstance(body[first], If | For | While) else [])}
        yield from ((first, last) for last in sorted(lasts) if _fits(kernel, first, last))


def _fits(kernel: Kernel, first: int, last: int) -> bool:
    made = Outlined("", kernel.body[first:last])
    before = {param.name for param in kernel.params} | bound_in(kernel.body[:first])
    if any(outline_problems(made, before)) or len(taken_by(made, kernel.params)) > MOST_TAKEN:
        return False
    after = {name for name, _ in used(kernel.body[last:])}
    return bound_in(made.body).isdisjoint(after) and not is_slight(made.body)
