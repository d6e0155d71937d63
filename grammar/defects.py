"""Defects of Warp that are known here: the idiom that triggers each, so that bulk runs leave it out.

The key insight: a defect is recognised in a tree, not in a failed check. A kernel that holds a known idiom is set aside
before it is compiled; whatever fails without one is news. Each entry has a stand-alone reproducer,
`corpus/regressions/defects/NAME.py`, that exits 0 while the defect stands and that the tests replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from grammar.emit import is_broken, is_unrolled
from grammar.limits import gradients_of
from grammar.tree import (
    Apply,
    Assign,
    AugAssign,
    Const,
    For,
    Kernel,
    Stmt,
    Term,
    Var,
    While,
    all_terms,
    blocks,
    own_terms,
    statements,
    subterms,
)
from grammar.types import FLOATS


@dataclass(frozen=True, slots=True)
class Defect:
    name: str
    found: date
    warp: str
    """The version in which it was seen."""
    summary: str
    upstream: str
    """A reference where one exists; empty where none is known."""
    idiom: Callable[[Kernel], bool]


def defect(kernel: Kernel) -> Defect | None:
    """The first known defect whose idiom the kernel contains."""
    return next((known for known in DEFECTS if known.idiom(kernel)), None)


# -- idioms -----------------------------------------------------------------------------------------------------------


def _divides_by_active(kernel: Kernel) -> bool:
    remainders = any(isinstance(t, Apply) and t.op.name == "mod" and t.type in FLOATS for t in all_terms(kernel))
    return remainders and any(term.op.name == "mod" and flows[1] for term, flows in gradients_of(kernel))


def _breaks_with_gradient(kernel: Kernel) -> bool:
    floats = {stmt.name for stmt in statements(kernel.body) if isinstance(stmt, Assign) and stmt.value.type in FLOATS}
    return any(
        isinstance(loop, For | While)
        and is_broken(loop.body)
        and any(isinstance(stmt, Assign | AugAssign) and stmt.name in floats for stmt in statements(loop.body))
        for loop in statements(kernel.body)
    )


def _widens_a_constant(kernel: Kernel) -> bool:
    return any(
        isinstance(term, Apply)
        and term.op.name == "float64"
        and isinstance(term.args[0], Var)
        and term.args[0].name in names
        for term, names in _with_constants(kernel.body, frozenset())
    )


def _with_constants(body: tuple[Stmt, ...], names: frozenset[str]) -> Iterator[tuple[Term, frozenset[str]]]:
    """Each term, with the names that may stand for a compile-time constant there."""
    for stmt in body:
        for term in own_terms(stmt):
            yield from ((part, names) for part in subterms(term))
        if isinstance(stmt, Assign) and isinstance(stmt.value, Const):
            names |= {stmt.name}
        inner = names | {stmt.variable} if isinstance(stmt, For) and is_unrolled(stmt) else names
        for block in blocks(stmt):
            yield from _with_constants(block, inner)


DEFECTS: tuple[Defect, ...] = (
    Defect(
        "remainder-divisor-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "a % b on floats passes no gradient to b, though the builtin counts as differentiable",
        "",
        _divides_by_active,
    ),
    Defect(
        "break-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "a loop that is left by break has a wrong gradient, all zero if its bound is known only at run time",
        "",
        _breaks_with_gradient,
    ),
    Defect(
        "float64-of-constant",
        date(2026, 11, 21),
        "1.19.0",
        "wp.float64(k) makes k itself a float64 where k is bound to a constant, as in an unrolled loop",
        "",
        _widens_a_constant,
    ),
)
