"""Ways out of loops, put into kernels that have none: `if total > 1.0: break`.

The key insight: the grower leaves loops early only where nothing but integers is at stake, as people's kernels mostly
do and as Warp differentiates best. What fuzzing wants besides is grown by changing such a kernel, and drawn through
`choose` like all the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grammar.choose import Choose, pick
from grammar.heights import term_height
from grammar.literal import number
from grammar.ops import ROWS
from grammar.rebuild import with_statements
from grammar.tree import (
    Apply,
    Break,
    Const,
    Continue,
    For,
    If,
    Kernel,
    Stmt,
    Term,
    Var,
    While,
    own_terms,
    statements,
    subterms,
)
from grammar.types import FLOATS, I32

COMPARISONS = ("greater", "less", "equal")
THRESHOLDS = (0.5, 0.0, 1.0, 0.25, -0.5, 2.0, 5.0)
TRIPS = (1, 2, 3)


def with_exit(choose: Choose, kernel: Kernel) -> Kernel | None:
    """The kernel with a break or a continue in one of its loops; None if it has none. It need not be alive any more."""
    loops = [stmt for stmt in statements(kernel.body) if isinstance(stmt, For | While)]
    if not loops:
        return None
    loop = pick(choose, loops)
    condition = _condition(choose, loop)
    if condition is None:
        return None
    leave: Stmt = Continue() if choose(2) else Break()
    place = choose(len(loop.body) + 1)
    changed = replace(loop, body=(*loop.body[:place], If(condition, (leave,)), *loop.body[place:]))
    return replace(kernel, body=with_statements(kernel.body, lambda stmt: (changed if stmt == loop else stmt,)))


def _condition(choose: Choose, loop: For | While) -> Term | None:
    """On how often the loop has gone round, or on something that it computes with."""
    floats = list(dict.fromkeys(_floats(loop)))
    if isinstance(loop, For) and (not floats or choose(2)):
        name = pick(choose, COMPARISONS)
        return Apply(ROWS[f"{name}(int32,int32)"], (Var(loop.variable, I32), Const(I32, pick(choose, TRIPS))))
    if not floats:
        return None
    term = pick(choose, floats)
    name, threshold = pick(choose, COMPARISONS[:2]), pick(choose, THRESHOLDS)
    return Apply(ROWS[f"{name}({term.type.name},{term.type.name})"], (term, number(term.type, threshold)))


def _floats(loop: For | While) -> Iterator[Term]:
    """Low float terms of the statements that stand directly in the loop."""
    for stmt in loop.body:
        for term in own_terms(stmt):
            for part in subterms(term):
                if part.type in FLOATS and not isinstance(part, Const) and term_height(part) <= 2:
                    yield part
