"""Faults in the table: a kernel whose reference has one operation with a wrong meaning.

The key insight: the oracle's reference is a fold over the rows in the tree, so a wrong cell is planted by putting
another row into the tree; the compiled code stays what Warp made of the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from grammar.number import Number, call
from grammar.op import Op
from grammar.ops import TABLE
from grammar.rebuild import Body, with_all_terms, with_statements
from grammar.tree import (
    Apply,
    AssignPart,
    AugAssign,
    AugStore,
    Function,
    Invoke,
    Kernel,
    Stmt,
    Term,
    Unpack,
    all_statements,
    all_terms,
)
from grammar.types import BOOL, Composite
from validate.mutation.code import Fault, Kind

Meaning = Callable[..., Any]


def wrong_cells(kernel: Kernel) -> Iterator[tuple[Fault, Kernel]]:
    """For each row that the kernel uses: what the kernel means if the row has the meaning of another one."""
    for op in dict.fromkeys(_rows(kernel)):
        for words, meaning in _wrong(op):
            yield Fault(Kind.CELL, "", 0, op.key, words), with_row(kernel, op, replace(op, meaning=meaning))


def _rows(kernel: Kernel) -> Iterator[Op]:
    yield from (term.op for term in all_terms(kernel) if isinstance(term, Apply))
    for stmt in all_statements(kernel):
        match stmt:
            case AugStore() if stmt.kind is not None:
                pass  # the reference adds it up without the row
            case AugAssign(_, op, _) | AugStore(_, _, op, _) | AssignPart(op=Op() as op) | Unpack(_, Op() as op, _):
                yield op
            case _:
                pass


def _wrong(op: Op) -> Iterator[tuple[str, Meaning]]:
    if op.others:
        yield from ((f"its value {k} negated", _with_wrong_value(op, k)) for k in range(len(op.results)))
        return
    for other in TABLE:
        if other is not op and other.params == op.params and other.result is op.result:
            yield other.name, other.meaning
    if op.is_composite:
        yield from _wrong_composite(op)
        return
    if op.result is BOOL:
        yield "negated", lambda *args: np.logical_not(op(*args))
    else:
        yield "negated", lambda *args: np.negative(op(*args))
    if len(op.params) > 1 and op.params[-1] is op.params[-2]:
        yield "its last two arguments swapped", lambda *args: op(*args[:-2], args[-1], args[-2])


def _wrong_composite(op: Op) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Its meaning is written with numbers of whatever algebra, of which a composite is a tuple."""

    def with_parts(change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Callable[..., Any]:
        def wrong(*args: Any) -> Any:
            right = op.meaning(*args)
            return change(right) if isinstance(right, tuple) else change((right,))[0]

        return wrong

    yield "negated", with_parts(lambda parts: tuple(map(_opposite, parts)))
    if isinstance(op.result, Composite):
        yield "its last component negated", with_parts(lambda parts: (*parts[:-1], _opposite(parts[-1])))
        yield "its components shifted", with_parts(lambda parts: (*parts[1:], parts[0]))
    if len(op.params) > 1 and op.params[-1] is op.params[-2]:
        yield "its last two arguments swapped", lambda *args: op.meaning(*args[:-2], args[-1], args[-2])


def _with_wrong_value(op: Op, k: int) -> Meaning:
    """Of several values, one with the other sign."""

    def wrong(*args: Any) -> Any:
        right = op.meaning(*args)
        opposite = tuple(map(_opposite, right[k])) if isinstance(right[k], tuple) else _opposite(right[k])
        return (*right[:k], opposite, *right[k + 1 :])

    return wrong


def _opposite(part: Any) -> Any:
    """Of a number, which may be one of Python's own."""
    return call("logical_not", part) if isinstance(part, Number) and part.type is BOOL else -part


def with_row(kernel: Kernel, op: Op, other: Op) -> Kernel:
    """The kernel with another row wherever `op` stands."""
    return replace(kernel, body=_with_row(kernel.body, op, other))


def _with_row(body: Body, op: Op, other: Op) -> Body:
    def of_term(term: Term) -> Term:
        match term:
            case Apply(row, args) if row is op:
                return Apply(other, args)
            case Invoke(function, args):
                return Invoke(inside(function), args)
            case _:
                return term

    def of_stmt(stmt: Stmt) -> Body:
        match stmt:
            case AugAssign() | AssignPart() | AugStore() if stmt.op is op:
                return (replace(stmt, op=other),)
            case Unpack(names, Function() as function, args):
                return (Unpack(names, inside(function), args),)
            case Unpack(names, function, args) if function is op:
                return (Unpack(names, other, args),)
            case _:
                return (stmt,)

    def inside(function: Function) -> Function:
        return replace(function, body=_with_row(function.body, op, other))

    return with_statements(with_all_terms(body, of_term), of_stmt)
