"""When two kernels are the same kernel.

The key insight: names are chance. Two kernels are one if their trees agree once names are numbered in order of first
appearance; they have one *shape* if they agree with the literals blanked too.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import assert_never

from grammar.paths import ELEMENT
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
    Function,
    If,
    Invoke,
    Kernel,
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
    taken,
)


def canonical_hash(kernel: Kernel) -> str:
    """32 hex digits, the same for kernels that differ in names only."""
    return _digest(_tokens(kernel, literals=True))


def shape_hash(kernel: Kernel) -> str:
    """32 hex digits, the same for kernels that differ in names and literals only."""
    return _digest(_tokens(kernel, literals=False))


def _digest(tokens: Iterator[str]) -> str:
    return blake2b("\0".join(tokens).encode(), digest_size=16).hexdigest()


class _Names(dict[str, str]):
    def __init__(self, functions: dict[Function, int] | None = None) -> None:
        super().__init__()
        self.functions: dict[Function, int] = {} if functions is None else functions
        """Numbers of the functions that were met, in the whole module."""

    def __missing__(self, name: str) -> str:
        """Of a field, also whose it is."""
        owner, dot, _ = name.rpartition(".")
        self[name] = f"{self[owner] if dot else ''}{dot}v{len(self)}{'[]' * name.endswith(ELEMENT)}"
        return self[name]


def _tokens(kernel: Kernel, literals: bool) -> Iterator[str]:
    names = _Names()
    for param in kernel.params:
        yield f"{names[param.name]}:{param.type!r}:{'out' if param.is_output else 'in'}"
    yield from (f"{names[struct.path]}:{names[f'class {struct.name}']}" for struct in kernel.structs)
    if kernel.generic:
        yield "any"
    yield from _block(kernel.body, names, literals)


def _block(body: tuple[Stmt, ...], names: _Names, literals: bool) -> Iterator[str]:
    yield "{"
    for stmt in body:
        yield from _stmt(stmt, names, literals)
    yield "}"


def _stmt(stmt: Stmt, names: _Names, literals: bool) -> Iterator[str]:
    yield type(stmt).__name__
    match stmt:
        case Thread():
            yield from (names[name] for name in stmt.names)
        case View(name, array, index):
            yield names[array]
            yield from _term(index, names, literals)
            yield names[name]
        case Assign(name, value):
            yield from _term(value, names, literals)
            yield names[name]
        case AugAssign(name, op, value):
            yield op.key
            yield from _term(value, names, literals)
            yield names[name]
        case AssignPart(name, _, index, value, op, _):
            yield "" if op is None else op.key
            yield from _term(index, names, literals)
            yield from _term(value, names, literals)
            yield names[name]
        case Sample(name, op, state, args):
            yield from (op.key, names[state])
            for arg in args:
                yield from _term(arg, names, literals)
            yield names[name]
        case Store(array, index, value):
            yield names[array]
            yield from _term(index, names, literals)
            yield from _term(value, names, literals)
        case AugStore(array, index, op, value):
            yield from (op.key, names[array])
            yield from _term(index, names, literals)
            yield from _term(value, names, literals)
        case StorePart(array, index, _, place, value, op):
            yield from ("" if op is None else op.key, names[array], str(place))
            yield from _term(index, names, literals)
            yield from _term(value, names, literals)
        case Atomic(kind, array, index, value, name):
            yield from (kind.value, names[array])
            yield from _term(index, names, literals)
            yield from _term(value, names, literals)
            if name:
                yield names[name]
        case If(condition, yes, no):
            yield from _term(condition, names, literals)
            yield from _block(yes, names, literals)
            yield from _block(no, names, literals)
        case For(variable, _, _, block):
            yield names[variable]
            for bound in stmt.bounds:
                yield from _term(bound, names, literals)
            yield from _block(block, names, literals)
        case While(condition, block):
            yield from _term(condition, names, literals)
            yield from _block(block, names, literals)
        case Fieldwise(struct, target, block):
            yield from (names[f"class {struct}"], names[target])
            yield from _block(block, names, literals)
        case Outlined(_, block):
            yield from _block(block, names, literals)
        case Break() | Continue():
            pass
        case Return(value, others):
            for each in () if value is None else (value, *others):
                yield from _term(each, names, literals)
        case Unpack(targets):
            yield from _term(stmt.call, names, literals)
            yield from (names[target] for target in targets)
        case _:
            assert_never(stmt)


def _term(term: Term, names: _Names, literals: bool) -> Iterator[str]:
    match term:
        case Const(type, value, name):
            yield (f"{type!r}={value!r}" if literals else f"{type!r}") + "!" * bool(name)
        case Var(name, _) | Whole(name, _):
            yield names[name]
        case Size(array, _, axis):
            yield f"#{names[array]}" + f".{axis}" * (axis > 0)
        case At(indices):
            for index in indices:
                yield from _term(index, names, literals)
        case Read(array, index, _, via):
            yield f"{names[array]}[" + "'" * bool(via)
            yield from _term(index, names, literals)
        case Apply(op, args):
            yield op.key
            for arg in args:
                yield from _term(arg, names, literals)
        case Invoke(function, args):
            yield from _called(function, names, literals)
            for arg in args:
                yield from _term(arg, names, literals)
        case _:
            assert_never(term)


def _called(function: Function, names: _Names, literals: bool) -> Iterator[str]:
    """Its number, and where it is met for the first time, all of it."""
    known = function in names.functions
    yield f"f{names.functions.setdefault(function, len(names.functions))}"
    if not known:
        own = _Names(names.functions)
        yield from (f"{own[param.name]}:{taken(param)!r}" for param in function.params)
        yield from (own[struct.path] for struct in function.structs)
        marks = {"any": function.generic, "custom": function.custom, "gradient": function.gradient}
        marks["takes"] = bool(function.takes)
        yield from (mark for mark, holds in marks.items() if holds)
        for const in function.defaults:
            yield from _term(const, own, literals)
        yield from _block(function.body, own, literals)
