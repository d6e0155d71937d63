"""Whether a kernel is alive: every parameter changes some output, no output is constant, no branch is always taken.

The key insight: most of liveness is seen by running the kernel a few times more, which costs a thousandth of compiling
it. What can't reach an output at all is found by following names backwards from the outputs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from grammar.draft import LIMIT
from grammar.evaluate import EndlessLoopError, Inputs, Plain, run_plain
from grammar.inputs import column, regular
from grammar.op import Lanes
from grammar.tree import (
    Apply,
    Assign,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Const,
    Continue,
    For,
    If,
    Kernel,
    Param,
    Read,
    Return,
    Role,
    Size,
    Stmt,
    Store,
    Term,
    Var,
    While,
    blocks,
    own_terms,
    statements,
    subterms,
)
from grammar.types import BOOL, I32, Array

# -- what can't reach an output ---------------------------------------------------------------------------------------


def names_in(term: Term) -> Iterator[str]:
    """The locals and parameters a term reads."""
    for part in subterms(term):
        match part:
            case Var(name, _):
                yield name
            case Read(array, _, _) | Size(array, _):
                yield array
            case Const() | Apply():
                pass


def live_names(body: tuple[Stmt, ...]) -> frozenset[str]:
    """The names whose values can reach an output, or decide whether something does."""
    live: set[str] = set()
    while True:
        before = len(live)
        for stmt in statements(body):
            if _is_live(stmt, live):
                live.update(name for term in own_terms(stmt) for name in names_in(term))
                if isinstance(stmt, Store | AugStore | Atomic):
                    live.add(stmt.array)
        if len(live) == before:
            return frozenset(live)


def _is_live(stmt: Stmt, live: set[str] | frozenset[str]) -> bool:
    match stmt:
        case Assign(name, _) | AugAssign(name, _, _):
            return name in live
        case If() | For() | While():
            return any(_is_live(inner, live) for block in blocks(stmt) for inner in block)
        case _:
            return True


def swept(kernel: Kernel) -> Kernel | None:
    """The kernel without what drafts left behind on the way; None if a branch is left empty."""
    live = live_names(kernel.body)
    body = _sweep(kernel.body, live)
    if body is None:
        return None
    used = {name for stmt in statements(body) for term in own_terms(stmt) for name in names_in(term)}
    used |= {stmt.array for stmt in statements(body) if isinstance(stmt, Store | AugStore | Atomic)}
    return Kernel(kernel.name, tuple(p for p in kernel.params if p.name in used), body, kernel.family)


def _sweep(body: tuple[Stmt, ...], live: frozenset[str]) -> tuple[Stmt, ...] | None:
    kept: list[Stmt] = []
    for stmt in body:
        if not _is_live(stmt, live):
            continue
        match stmt:
            case If(condition, yes, no):
                inner, other = _sweep(yes, live), _sweep(no, live)
                if not inner or other is None or (no and not other):
                    return None
                kept.append(If(condition, inner, other))
            case For(variable, start, stop, block):
                inner = _sweep(block, live)
                if not inner:
                    return None
                kept.append(For(variable, start, stop, inner))
            case While(condition, block):
                inner = _sweep(block, live)
                if not inner:
                    return None
                kept.append(While(condition, inner))
            case _:
                kept.append(stmt)
    return tuple(kept)


# -- what makes no difference -----------------------------------------------------------------------------------------


def is_alive(kernel: Kernel, seed: int, lanes: int) -> bool:
    """Whether the kernel is defined on its regular inputs, and everything in it matters to some output."""
    inputs = regular(kernel, seed, lanes)
    try:
        plain = run_plain(kernel, inputs)
        return (
            not plain.undefined.any()
            and not plain.outside.any()
            and _branches_part(plain, kernel)
            and all(_varies(plain, param, inputs) for param in kernel.params if param.is_output)
            and all(_matters(kernel, plain, p, seed, inputs) for p in kernel.params if not p.is_output)
        )
    except EndlessLoopError:
        return False


def _branches_part(plain: Plain, kernel: Kernel) -> bool:
    """Every branch is taken by some lane and passed by another, at some time."""
    sites = [stmt.condition for stmt in statements(kernel.body) if isinstance(stmt, If | While)]
    return all(plain.taken.get(id(site)) == (True, True) for site in sites)


def _varies(plain: Plain, param: Param, inputs: Inputs) -> bool:
    """The output is finite where written, of a sane magnitude, and not the same everywhere."""
    written = plain.written[param.name]
    values = plain.arrays[param.name][written]
    if values.size == 0 or (param.size is None and written.mean() < 0.25):
        return False
    if param.role is Role.ACCUMULATOR and (values == inputs.arrays[param.name].reshape(-1)[written]).all():
        return False
    if param.element is BOOL:
        return 0.03 <= float(values.mean()) <= 0.97
    if not np.isfinite(values).all() or float(np.abs(values.astype(np.float64)).max()) > LIMIT * 100:
        return False
    if param.element is I32:
        return bool(values.min() < values.max())
    spread, size = float(values.max() - values.min()), float(np.abs(values).max())
    return spread > 1e-4 * size and size > 1e-4


def _matters(kernel: Kernel, plain: Plain, param: Param, seed: int, inputs: Inputs) -> bool:
    """Another value of the parameter changes an output. A count matters by guarding the end of the arrays."""
    if param.role is Role.COUNT:
        return True
    other = column(param, seed + 1, inputs.lanes)
    if not isinstance(param.type, Array) and (other == inputs.scalars[param.name]).all():
        other = other + other.dtype.type(1)
    changed = run_plain(kernel, _with(inputs, param, other))
    return any(
        not np.array_equal(changed.arrays[p.name], plain.arrays[p.name], equal_nan=p.element is not BOOL)
        for p in kernel.params
        if p.is_output
    )


def _with(inputs: Inputs, param: Param, values: Lanes) -> Inputs:
    if isinstance(param.type, Array):
        return Inputs(inputs.lanes, {**inputs.arrays, param.name: values}, inputs.scalars)
    return Inputs(inputs.lanes, inputs.arrays, {**inputs.scalars, param.name: values})
