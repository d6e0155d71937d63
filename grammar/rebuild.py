"""Folds that rebuild a tree: the same with its terms changed, or its statements.

The key insight: whoever changes something in a kernel says only what becomes of that, and what holds it is put together
again here. So no form of term or statement is forgotten anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    At,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Const,
    Continue,
    Fieldwise,
    For,
    If,
    Invoke,
    Outlined,
    Read,
    Return,
    Sample,
    Size,
    Stmt,
    Store,
    StorePart,
    Term,
    Thread,
    Unpack,
    Var,
    View,
    While,
    Whole,
)

Body = tuple[Stmt, ...]


def with_terms(term: Term, change: Callable[[Term], Term]) -> Term:
    """The term with `change` done to every part, parts before wholes."""
    match term:
        case Apply(op, args):
            return change(Apply(op, tuple(with_terms(arg, change) for arg in args)))
        case At(indices):
            return At(tuple(with_terms(index, change) for index in indices))
        case Invoke(function, args):
            return change(Invoke(function, tuple(with_terms(arg, change) for arg in args)))
        case Read():
            return change(replace(term, index=with_terms(term.index, change)))
        case Const() | Var() | Size() | Whole():
            return change(term)
        case _:
            assert_never(term)


def with_own_terms(stmt: Stmt, change: Callable[[Term], Term]) -> Stmt:
    """The statement with `change` done to each term that stands directly in it; nested statements stay."""
    match stmt:
        case Assign(name, value):
            return Assign(name, change(value))
        case AugAssign(name, op, value):
            return AugAssign(name, op, change(value))
        case AssignPart(_, _, index, value):
            return replace(stmt, index=change(index), value=change(value))
        case Sample(name, op, state, args):
            return Sample(name, op, state, tuple(map(change, args)))
        case Store(array, index, value):
            return Store(array, change(index), change(value))
        case AugStore(array, index, op, value):
            return AugStore(array, change(index), op, change(value))
        case View(_, _, index):
            return replace(stmt, index=change(index))
        case StorePart(_, index, _, _, value) | Atomic(_, _, index, value):
            return replace(stmt, index=change(index), value=change(value))
        case If(condition, body, orelse):
            return If(change(condition), body, orelse)
        case For(_, start, stop, _, step):
            first, by = (None if bound is None else change(bound) for bound in (start, step))
            return replace(stmt, start=first, stop=change(stop), step=by)
        case While(condition, body):
            return While(change(condition), body)
        case Unpack(names, function, args):
            return Unpack(names, function, tuple(map(change, args)))
        case Return(value, others) if value is not None:
            return Return(change(value), tuple(map(change, others)))
        case Thread() | Break() | Continue() | Return() | Fieldwise() | Outlined():
            return stmt
        case _:
            assert_never(stmt)


def with_statements(body: Body, change: Callable[[Stmt], Body]) -> Body:
    """The body with `change` done to every statement, inner ones first; it may give several, or none."""
    return tuple(new for stmt in body for new in change(_with_blocks(stmt, change)))


def with_all_terms(body: Body, change: Callable[[Term], Term]) -> Body:
    """The body with `change` done to every term, parts before wholes; not to those of functions that it calls."""

    def whole(term: Term) -> Term:
        return with_terms(term, change)

    return with_statements(body, lambda stmt: (with_own_terms(stmt, whole),))


def _with_blocks(stmt: Stmt, change: Callable[[Stmt], Body]) -> Stmt:
    match stmt:
        case If(condition, body, orelse):
            return If(condition, with_statements(body, change), with_statements(orelse, change))
        case For(_, _, _, body) | While(_, body) | Outlined(_, body):
            return replace(stmt, body=with_statements(body, change))
        case Fieldwise(struct, target, fields):
            return Fieldwise(struct, target, tuple(new for field in fields for new in _with_field(field, change)))
        case _:
            return stmt


def _with_field(field: Assign | Store, change: Callable[[Stmt], Body]) -> tuple[Assign | Store, ...]:
    """A field for a field, or none: where it became anything else it stays, as one line can't say the rest."""
    new = change(field)
    fields = tuple(stmt for stmt in new if isinstance(stmt, Assign | Store))
    return fields if len(fields) == len(new) <= 1 else (field,)
