"""What the threads of a block do together, and what they do to each other: rules that a kernel as a whole must keep.

The key insight: a block works in step, so what all of its threads come to must not stand where some never get to.
"""

from __future__ import annotations

from collections.abc import Iterator

from grammar.atomics import MARKING
from grammar.params import Role
from grammar.tiles import is_of_threads, is_tile
from grammar.tree import (
    Atomic,
    AugStore,
    Kernel,
    Return,
    Store,
    StorePart,
    Term,
    Thread,
    blocks,
    own_subterms,
    statements,
    terms_in,
)


def out_of_step(kernel: Kernel) -> Iterator[str]:
    """Where a block is taken together of which not all threads need come there, or that holds parts of arrays."""
    tiles = [param.element for param in kernel.params if is_tile(param.element)]
    if len({tile.of_threads for tile in tiles}) > 1:
        yield "a tile is made of what threads have, which all do the same for parts of arrays"
    yield from (
        f"{param.name} holds what blocks of threads come to before they have"
        for param in kernel.params
        if is_of_threads(param.element) and param.role is not Role.ACCUMULATOR
    )
    parted = False
    for stmt in kernel.body:
        inner = tuple(within for block in blocks(stmt) for within in block)
        if any(map(_takes_block, terms_in(inner))) or (parted and any(map(_takes_block, own_subterms(stmt)))):
            yield "a tile is made of what threads have where not all of a block need come"
        parted = parted or any(isinstance(within, Return) for within in statements(inner))


def marked_otherwise(kernel: Kernel) -> Iterator[str]:
    """What one thread marks and another changes, so that it hangs on who comes last."""
    ways: dict[str, set[object]] = {}
    for stmt in statements(kernel.body):
        match stmt:
            case Atomic(kind, array, _, value) if kind in MARKING:
                ways.setdefault(array, set()).add((kind, value))
            case Store(array) | AugStore(array) | StorePart(array) | Atomic(_, array):
                ways.setdefault(array, set()).add(None)
    yield from (
        f"{array} is marked in more than one way" for array, each in ways.items() if each != {None} and len(each) > 1
    )


def _takes_block(term: Term) -> bool:
    return is_of_threads(term.type)


def dimensions(kernel: Kernel) -> int:
    """Of the grid in which its threads are launched."""
    first = kernel.body[0]
    return len(first.names) if isinstance(first, Thread) else 1
