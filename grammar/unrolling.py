"""Which loops Warp unrolls, and which it runs through at run time.

The key insight: of an unrolled loop nothing is left but its statements, one trip after the other, so whatever is
documented of loops at run time, of locals and of gradients, is asked of this alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grammar.op import Op
from grammar.tree import Apply, Assigning, Break, Const, For, Stmt, Term, Var, While, assigned, blocks
from grammar.types import Composite

MAX_UNROLL = 16
"""A loop over a constant range of at most this many trips is unrolled by Warp; a longer one runs at run time."""


def is_unrolled(loop: For) -> bool:
    """Whether Warp repeats the body in the source instead of looping at run time."""
    values = range_of(loop)
    return values is not None and len(values) <= MAX_UNROLL and not is_broken(loop.body)


def range_of(loop: For) -> range | None:
    """What the variable goes through, if numbers say so."""
    numbers = [number for bound in loop.bounds if (number := _known(bound)) is not None]
    return range(*numbers) if len(numbers) == len(loop.bounds) else None


def _known(bound: Term) -> int | None:
    """The number, or the length of a composite, which its type says."""
    match bound:
        case Const(_, value):
            return int(value)
        case Apply(Op(name="len"), (Var(_, Composite() as type),)):
            return type.shape[0]
        case _:
            return None


def is_broken(body: Sequence[Stmt]) -> bool:
    """Whether a break leaves the loop with this body, rather than one inside of it."""
    return any(
        isinstance(stmt, Break) or (not isinstance(stmt, For | While) and any(map(is_broken, blocks(stmt))))
        for stmt in body
    )


def rebound_in_loops(body: Sequence[Stmt], inside: bool = False) -> Iterator[str]:
    """Names that are given a value inside a loop which runs at run time."""
    for stmt in body:
        if inside and isinstance(stmt, Assigning):
            yield from assigned(stmt)
        dynamic = inside or isinstance(stmt, While) or (isinstance(stmt, For) and not is_unrolled(stmt))
        for block in blocks(stmt):
            yield from rebound_in_loops(block, dynamic)
