"""For each construct of the grammar, a kernel of next to nothing else.

The key insight: where a failure is due to one construct, the kernel that it should shrink to is known beforehand. So
whoever draws a kernel around a construct can offer that one as the simplest.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from grammar.alive import is_alive
from grammar.choose import Seed, replaying
from grammar.draft import Draft, start
from grammar.families import ANY, Family
from grammar.features import Feature, branch_update, loop_sum, loop_while
from grammar.grow import grow
from grammar.op import Op
from grammar.ops import TABLE
from grammar.profiles import profile
from grammar.terms import new_array, spans_for
from grammar.tree import (
    Apply,
    Atomic,
    AtomicKind,
    AugAssign,
    AugStore,
    Const,
    For,
    If,
    Kernel,
    Param,
    Read,
    Role,
    Stmt,
    Store,
    Term,
    Thread,
    Var,
    While,
    all_terms,
    statements,
)
from grammar.types import F32, I32, NUMBERS, Array

Construct = Op | Feature | AtomicKind | None
"""None is nothing in particular."""

OUT = "out"
I = Var("i", I32)  # noqa: E741 - what kernels call it, too
X = Param("x", Array(F32), Role.VALUE, -2.0, 2.0)

STANDS_FOR: Mapping[type[Stmt], Feature] = {If: branch_update, For: loop_sum, While: loop_while}

SIMPLEST = Kernel(
    "copy_values",
    (X, Param(OUT, Array(F32), Role.OUT)),
    (Thread("i"), Store(OUT, I, Read("x", I, F32))),
    "arithmetic",
)


def constructs() -> tuple[Construct, ...]:
    """Nothing in particular, the rows of the table, the features of families, the kinds of atomic operations."""
    return (None, *TABLE, *(feature for feature, _ in ANY), *AtomicKind)


def constructs_of(kernel: Kernel) -> tuple[Construct, ...]:
    """Those that a kernel holds, each once; of features, one that stands for each kind of statement."""
    body = tuple(statements(kernel.body))
    ops = [term.op for term in all_terms(kernel) if isinstance(term, Apply)]
    ops += [stmt.op for stmt in body if isinstance(stmt, AugAssign | AugStore)]
    kinds = [stmt.kind for stmt in body if isinstance(stmt, Atomic)]
    features = [STANDS_FOR[type(stmt)] for stmt in body if type(stmt) in STANDS_FOR]
    return tuple(dict.fromkeys((*ops, *kinds, *features)))


@cache
def smallest(construct: Construct, seed: Seed, lanes: int) -> Kernel:
    """The smallest kernel that holds the construct and is alive; `SIMPLEST` where there is none so simple."""
    if construct is None:
        return SIMPLEST
    if isinstance(construct, AtomicKind):
        return _reduced(construct)
    kernel = _applied(construct, seed, lanes) if isinstance(construct, Op) else _featured(construct, seed, lanes)
    return SIMPLEST if kernel is None else kernel


def around(construct: Feature) -> Family:
    """A family whose kernels have the feature."""
    return Family("combined", 3, features=(((construct, 1.0),),))


def _reduced(kind: AtomicKind) -> Kernel:
    """`wp.atomic_add(out, 0, x[i])`."""
    total = Param(OUT, Array(F32), Role.ACCUMULATOR, -1.0, 1.0, 1)
    stmt = Atomic(kind, OUT, Const(I32, 0), Read("x", I, F32))
    return Kernel("reduce_values", (X, total), (Thread("i"), stmt), "atomic_reduction")


def _applied(op: Op, seed: Seed, lanes: int) -> Kernel | None:
    """`out[i] = wp.sin(x[i])`: the operation on elements of arrays of its own."""
    draft = Draft(replaying(()), profile("natural"), op.params[0] if op.params[0] in NUMBERS else F32, seed, lanes)
    start(draft)
    arguments = zip(op.params, spans_for(op), strict=True)
    args: list[Term] = [Read(new_array(draft, type, span).name, draft.thread, type) for type, span in arguments]
    out = Param(OUT, Array(op.result), Role.OUT)
    body: tuple[Stmt, ...] = (*draft.block, Store(OUT, draft.thread, Apply(op, tuple(args))))
    kernel = Kernel("apply_values", (*draft.params, out), body, "arithmetic")
    return kernel if is_alive(kernel, seed, lanes) else None


def _featured(feature: Feature, seed: Seed, lanes: int) -> Kernel | None:
    """What is grown where every choice is the simplest."""
    for depth in (3, 4, 5):
        kernel = grow(replaying(()), around(feature), profile("natural"), depth, seed, lanes, attempts=1)
        if kernel is not None:
            return kernel
    return None
