"""Whether a kernel is alive: every parameter changes some output, no output is constant, no branch is always taken.

The key insight: most of liveness is seen by running the kernel a few times more, which costs a thousandth of compiling
it. What can't reach an output at all is found by following names backwards from the outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from grammar.atomics import MARKING
from grammar.draft import LIMIT
from grammar.evaluate import EndlessLoopError
from grammar.inputs import column, regular
from grammar.lanes import every, greatest, least, some
from grammar.layout import Inputs
from grammar.op import Lanes
from grammar.params import Param, Role
from grammar.paths import used_structs, within
from grammar.plain import Plain, run_plain
from grammar.tree import (
    Assign,
    AssignPart,
    Atomic,
    AugAssign,
    AugStore,
    Fieldwise,
    For,
    If,
    Kernel,
    Outlined,
    Read,
    Sample,
    Size,
    Stmt,
    Store,
    StorePart,
    Term,
    Unpack,
    Var,
    View,
    While,
    Whole,
    all_statements,
    blocks,
    own_subterms,
    statements,
    subterms,
)
from grammar.types import BOOL, FLOATS, Array, Composite

# -- what can't reach an output ---------------------------------------------------------------------------------------


def names_in(term: Term) -> Iterator[str]:
    """The locals and parameters a term reads."""
    return _names(subterms(term))


def _names(terms: Iterator[Term]) -> Iterator[str]:
    for term in terms:
        match term:
            case Var(name) | Whole(name):
                yield name
            case Read(array, _, _, via):
                yield from (array, via) if via else (array,)
            case Size(array):
                yield array


def live_names(body: tuple[Stmt, ...]) -> frozenset[str]:
    """The names whose values can reach an output, or decide whether something does."""
    live: set[str] = set()
    waiting = [(stmt, _needs(stmt)) for stmt in statements(body)]
    waiting.reverse()  # values flow downwards, but for what loops carry: one round finds nearly all
    while True:
        asleep = []
        for entry in waiting:
            if _is_live(entry[0], live):
                live |= entry[1]
            else:
                asleep.append(entry)
        if len(asleep) == len(waiting):
            return frozenset(live)
        waiting = asleep


def _needs(stmt: Stmt) -> set[str]:
    names = set(_names(own_subterms(stmt)))
    match stmt:
        case Store(array) | AugStore(array) | StorePart(array) | Atomic(_, array):
            names.add(array)
        case Sample(_, _, state):
            names.add(state)
    return names


def _is_live(stmt: Stmt, live: set[str] | frozenset[str]) -> bool:
    match stmt:
        case View(name) | Assign(name) | AugAssign(name) | AssignPart(name) | Sample(name):
            return name in live
        case Unpack(names):
            return not live.isdisjoint(names)
        case Fieldwise(_, target, ()):
            return any(within(name, target) for name in live)
        case If() | For() | While() | Fieldwise() | Outlined():
            return any(_is_live(inner, live) for block in blocks(stmt) for inner in block)
        case _:
            return True


def swept(kernel: Kernel) -> Kernel | None:
    """The kernel without what drafts left behind on the way; None if a branch or a result is left over."""
    live = live_names(kernel.body)
    body = _sweep(kernel.body, live)
    if body is None:
        return None
    params = tuple(p for p in kernel.params if p.name in live)
    return replace(kernel, params=params, body=body, structs=used_structs(kernel.structs, params))


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
            case For(_, _, _, block) | While(_, block) | Outlined(_, block):
                inner = _sweep(block, live)
                if not inner:
                    return None
                kept.append(replace(stmt, body=inner))
            case Unpack(names) if not live.issuperset(names):
                return None
            case Fieldwise(struct, target, fields):
                kept.append(Fieldwise(struct, target, tuple(field for field in fields if _is_live(field, live))))
            case _:
                kept.append(stmt)
    return tuple(kept)


# -- what makes no difference -----------------------------------------------------------------------------------------


def is_alive(kernel: Kernel, seed: int, lanes: int) -> bool:
    """Whether the kernel is defined on its regular inputs, and everything in it matters to some output.

    One run answers it all: behind the regular launches come, for each input, the same launches with other values of it.
    """
    if not _arms_differ(kernel):
        return False
    inputs = regular(kernel, seed, lanes)
    changed = [p for p in kernel.params if not p.is_output and p.role is not Role.COUNT]
    own = inputs.launches * lanes
    marked = {stmt.array for stmt in statements(kernel.body) if isinstance(stmt, Atomic) and stmt.kind in MARKING}
    try:
        plain = run_plain(kernel, _with_changes(kernel, inputs, changed, seed), own)
    except EndlessLoopError:
        return False
    return (
        not some(plain.undefined[:own])
        and not some(plain.outside[:own])
        and _branches_part(plain, kernel)
        and all(_varies(plain, param, inputs, param.name in marked) for param in kernel.params if param.is_output)
        and all(_matters(plain, kernel, inputs, k + 1) for k in range(len(changed)))
    )


def _with_changes(kernel: Kernel, inputs: Inputs, changed: list[Param], seed: int) -> Inputs:
    def column_of(param: Param, values: Lanes) -> Lanes:
        others = [_other(param, values, seed, inputs.lanes) if p is param else values for p in changed]
        return np.concatenate([values, *others])

    arrays = {p.name: column_of(p, inputs.arrays[p.name]) for p in kernel.params if isinstance(p.type, Array)}
    scalars = {p.name: column_of(p, inputs.scalars[p.name]) for p in kernel.params if not isinstance(p.type, Array)}
    return Inputs(inputs.lanes, arrays, scalars)


def _other(param: Param, values: Lanes, seed: int, lanes: int) -> Lanes:
    """Other values of the same range: floats closer to its low end, which costs less than to draw them anew.

    That is, if all are there. The parts of composites come closer by different shares, lest directions and orders stay.
    """
    element = param.element
    if element.scalar in FLOATS and param.role not in (Role.MISSING, Role.INFINITE):
        share = 0.3 * (1 + np.arange(element.width) / element.width) if isinstance(element, Composite) else 0.3
        return np.asarray(values - (values - values.dtype.type(param.low)) * np.asarray(share, values.dtype))
    other = column(param, seed + 1, lanes)
    if isinstance(param.type, Array) or some(other != values):
        return other
    return np.where(values < param.high, values + 1, values - 1).astype(values.dtype)


def _arms_differ(kernel: Kernel) -> bool:
    """No condition parts what is done either way."""
    return not any(isinstance(stmt, If) and _otherwise(stmt) == stmt.body for stmt in all_statements(kernel))


def _otherwise(stmt: If) -> tuple[Stmt, ...]:
    """What is done first where the condition fails."""
    match stmt.orelse:
        case (If(_, body, _),):
            return body
        case _:
            return stmt.orelse


def _branches_part(plain: Plain, kernel: Kernel) -> bool:
    """Every branch is taken by some lane and passed by another, at some time."""
    sites = [stmt.condition for stmt in all_statements(kernel) if isinstance(stmt, If | While)]
    return all(plain.taken.get(id(site)) == (True, True) for site in sites)


def _varies(plain: Plain, param: Param, inputs: Inputs, marked: bool) -> bool:
    """The output is finite where written, of a sane magnitude, and not the same on all lanes of a launch.

    What is only marked differs by where it is.
    """
    before = inputs.arrays[param.name]
    written = plain.written[param.name][: before.size].reshape(before.shape)
    values = plain.arrays[param.name][: before.size].reshape(before.shape)
    if not some(written) or (param.size is None and np.count_nonzero(written) < 0.25 * written.size):
        return False
    if param.role is Role.ACCUMULATOR and not some((values != before) & written):
        return False
    if param.element is not BOOL and not _is_sane(values[written]):
        return False
    if marked:
        return all(some(row) and not every(row) for row in written.reshape(inputs.launches, -1))
    if param.size is not None:
        return not np.array_equal(values[0], values[1])
    return all(_spreads(row[there]) for row, there in zip(values, written, strict=True))


def _is_sane(values: Lanes) -> bool:
    if values.dtype.kind == "u":
        return True  # patterns of bits may be of any size
    return 1e-4 < float(greatest(np.abs(values.astype(np.float64)))) <= LIMIT * 100  # which NaN is not


def _spreads(values: Lanes) -> bool:
    if values.size == 0:
        return False
    if values.dtype == np.bool_:
        return bool(0.03 <= np.count_nonzero(values) / values.size <= 0.97)
    low, high = least(values), greatest(values)
    if values.dtype.kind in "iu":
        return bool(low < high)
    return bool(high - low > 1e-4 * max(abs(low), abs(high)) and high > low)


def _matters(plain: Plain, kernel: Kernel, inputs: Inputs, part: int) -> bool:
    """Whether some output of the `part`-th group of launches differs from the regular one."""
    for param in kernel.params:
        if param.is_output:
            values, size = plain.arrays[param.name], inputs.arrays[param.name].size
            own, other = values[:size], values[part * size : (part + 1) * size]
            if own.tobytes() != other.tobytes():
                return True
    return False
