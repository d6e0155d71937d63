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
from grammar.tree import (
    Apply,
    Assign,
    Atomic,
    AugAssign,
    AugStore,
    For,
    Function,
    If,
    Invoke,
    Kernel,
    Read,
    Return,
    Stmt,
    Store,
    Term,
    Unpack,
    While,
    all_terms,
    statements,
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
    yield from (stmt.op for stmt in statements(kernel.body) if isinstance(stmt, AugAssign))


def _wrong(op: Op) -> Iterator[tuple[str, Meaning]]:
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


def _opposite(part: Any) -> Any:
    """Of a number, which may be one of Python's own."""
    return call("logical_not", part) if isinstance(part, Number) and part.type is BOOL else -part


def with_row(kernel: Kernel, op: Op, other: Op) -> Kernel:
    """The kernel with another row wherever `op` stands."""
    return replace(kernel, body=tuple(_statement(stmt, op, other) for stmt in kernel.body))


def _statement(stmt: Stmt, op: Op, other: Op) -> Stmt:
    def block(body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        return tuple(_statement(inner, op, other) for inner in body)

    match stmt:
        case Assign(_, value):
            return replace(stmt, value=_term(value, op, other))
        case Unpack(names, function, args):
            return Unpack(names, _function(function, op, other), tuple(_term(arg, op, other) for arg in args))
        case Return(value, others) if value is not None:
            return Return(_term(value, op, other), tuple(_term(each, op, other) for each in others))
        case AugAssign(_, row, value):
            return replace(stmt, op=other if row is op else row, value=_term(value, op, other))
        case Store(_, index, value) | AugStore(_, index, _, value) | Atomic(_, _, index, value):
            return replace(stmt, index=_term(index, op, other), value=_term(value, op, other))
        case If(condition, body, orelse):
            return If(_term(condition, op, other), block(body), block(orelse))
        case For(variable, start, stop, body):
            first = None if start is None else _term(start, op, other)
            return For(variable, first, _term(stop, op, other), block(body))
        case While(condition, body):
            return While(_term(condition, op, other), block(body))
        case _:
            return stmt


def _term(term: Term, op: Op, other: Op) -> Term:
    match term:
        case Apply(row, args):
            return Apply(other if row is op else row, tuple(_term(arg, op, other) for arg in args))
        case Read(array, index, type):
            return Read(array, _term(index, op, other), type)
        case Invoke(function, args):
            return Invoke(_function(function, op, other), tuple(_term(arg, op, other) for arg in args))
        case _:
            return term


def _function(function: Function, op: Op, other: Op) -> Function:
    return replace(function, body=tuple(_statement(stmt, op, other) for stmt in function.body))
