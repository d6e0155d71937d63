"""Spelling pairs: rewrites of a kernel that must change neither a value nor a gradient.

The key insight: a compiler that is right gives the same for two spellings of one computation, so where they differ one
of the two is wrong, and no reference is needed to say so. Each rewrite is a plain function in one table and changes
every place at which it applies, or says with None that there is none.

Values agree to the bit, but for the bits of a NaN. Gradients agree up to rounding: a rewrite may change the order in
which an adjoint adds up what reaches it. Where a rewritten kernel falls under a documented limit of Warp
(`grammar.limits`), which a loop that now runs at run time may, there is no gradient to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

from grammar.defects import defect
from grammar.fields import fresh_names
from grammar.op import Call, Infix, Item, Member, Op, Ternary
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.rebuild import Body, with_all_terms, with_own_terms, with_statements, with_terms
from grammar.slots import slot_problems
from grammar.tiles import is_of_threads
from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    AugAssign,
    Const,
    For,
    If,
    Invoke,
    Kernel,
    Outlined,
    Read,
    Return,
    Size,
    Stmt,
    Store,
    StorePart,
    Term,
    Thread,
    Var,
    While,
    Whole,
    all_terms,
    is_own,
)
from grammar.types import BARE, BOOL, I32, LETTERS, Composite
from grammar.unrolling import is_unrolled
from grammar.views import without_views

Rewrite = Callable[[Kernel], Kernel | None]

SIGNED = ("add", "sub", "mul", "div", "floordiv", "mod", "neg")
BITWISE = ("bit_and", "bit_or", "bit_xor", "lshift", "rshift", "invert")
BUILTINS = frozenset((*SIGNED, *BITWISE))
"""Operators that Warp also has as functions of these names."""

COMMUTATIVE = frozenset(("add", "mul", "bit_and", "bit_or", "bit_xor", "equal", "not_equal"))
"""Not `min` and `max`: of two zeros the first one wins."""

LAZY = frozenset(("ternary", "logical_and", "logical_or"))
"""Operations that don't evaluate all of their arguments: nothing is hoisted from inside of them."""


# -- changes of kernels -----------------------------------------------------------------------------------------------


def _in_terms(change: Callable[[Term], Term]) -> Rewrite:
    return lambda kernel: _changed(kernel, with_all_terms(kernel.body, change))


def _in_statements(change: Callable[[Stmt], Body]) -> Rewrite:
    return lambda kernel: _changed(kernel, with_statements(kernel.body, change))


def _changed(kernel: Kernel, body: Body, *params: Param) -> Kernel | None:
    """The kernel with another body and more parameters; None if nothing changed, or for the worse.

    That is if a known defect came in, or what threads find out from each other is written otherwise than it may be.
    """
    if body == kernel.body:
        return None
    made = replace(kernel, body=body, params=(*params, *kernel.params))
    if any(slot_problems(made)):
        return None
    return made if defect(made) is None or defect(kernel) is not None else None


# -- operations -------------------------------------------------------------------------------------------------------


def _by_function(term: Term) -> Term:
    if isinstance(term, Apply) and term.op.name in BUILTINS and not isinstance(term.op.spelling, Call):
        return Apply(_function(term.op), term.args)
    return term


@cache
def _function(op: Op) -> Op:
    """The row with another spelling. It is no row of the table: pickling it gives the table's own back."""
    return replace(op, spelling=Call(f"wp.{op.name}"))


def _commuted(term: Term) -> Term:
    match term:
        case Apply(op, (one, other)) if op.name in COMMUTATIVE and one != other and not _is_product(op):
            return Apply(ROWS[f"{op.name}({other.type.name},{one.type.name})"], (other, one))
        case _:
            return term


def _is_product(op: Op) -> bool:
    """Whether it is one of matrices or quaternions, whose order matters."""
    return op.name == "mul" and all(isinstance(type, Composite) for type in op.params)


def _where(term: Term) -> Term:
    if isinstance(term, Apply) and isinstance(term.op.spelling, Ternary):
        return Apply(ROWS[f"where({','.join(p.name for p in term.op.params)})"], term.args)
    return term


def _ternary(term: Term) -> Term:
    if isinstance(term, Apply) and term.op.name == "where" and term.op.params[0] is BOOL:
        return Apply(ROWS[f"ternary({','.join(p.name for p in term.op.params)})"], term.args)
    return term


def _read_by_number(term: Term) -> Term:
    """`v[0]` for `v.x`."""
    match term:
        case Apply(Op(spelling=Member(letter)) as op, args) if letter in LETTERS:
            return Apply(replace(op, spelling=Item((LETTERS.index(letter),))), args)
        case _:
            return term


def _static(term: Term) -> Term:
    """`wp.static(GRAVITY)` for `GRAVITY`."""
    return replace(term, static=True) if isinstance(term, Const) and is_own(term) and term.type in BARE else term


def inlined(term: Term) -> Term:
    """A call of a function that takes one way only, as what it returns; any other term as it is."""
    if not isinstance(term, Invoke) or term.function.gradient:
        return term
    known = {param.name: arg for param, arg in zip(term.function.params, term.args, strict=True)}
    for stmt in term.function.body:
        match stmt:
            case Assign(name, value):
                known[name] = _with_values(value, known)
            case Return(value) if value is not None:
                return _with_values(value, known)
            case _:
                break
    return term


def _with_values(term: Term, known: Mapping[str, Term]) -> Term:
    def known_as(part: Term) -> Term:
        match part:
            case Var(name, _) | Whole(name, _):
                return known[name]
            case Read(array, _, _) | Size(array, _, _) if isinstance(given := known[array], Whole):
                return replace(part, array=given.name)
            case _:
                return part

    return with_terms(term, known_as)


# -- statements -------------------------------------------------------------------------------------------------------


def _branched(stmt: Stmt) -> Body:
    """`v = a if c else b` as an `if` with two arms."""
    match stmt:
        case Assign(name, Apply(Op(name="ternary" | "where"), (condition, one, other))) if condition.type is BOOL:
            return (If(condition, (Assign(name, one),), (Assign(name, other),)),)
        case Store(array, index, Apply(Op(name="ternary" | "where"), (condition, one, other))) if (
            condition.type is BOOL
        ):
            return (If(condition, (Store(array, index, one),), (Store(array, index, other),)),)
        case _:
            return (stmt,)


def _written_by_number(stmt: Stmt) -> Body:
    """`v[0] = a` for `v.x = a`."""
    return (replace(stmt, lettered=False),) if isinstance(stmt, AssignPart | StorePart) else (stmt,)


def _spelt_out(stmt: Stmt) -> Body:
    """`v = v + a` for `v += a`."""
    match stmt:
        case AugAssign(name, op, value):
            return (Assign(name, Apply(op, (Var(name, op.params[0]), value))),)
        case _:
            return (stmt,)


def _in_place(stmt: Stmt) -> Body:
    """What a function that writes to arrays holds, where it is called."""
    return stmt.body if isinstance(stmt, Outlined) else (stmt,)


def _augmented(stmt: Stmt) -> Body:
    """`v += a` for `v = v + a`."""
    match stmt:
        case Assign(name, Apply(Op(spelling=Infix()) as op, (Var(same, type), value))) if (
            same == name and op.params == (type, type) and op.result is type and type is not BOOL
        ):
            return (AugAssign(name, op, value),)
        case _:
            return (stmt,)


# -- whole kernels ----------------------------------------------------------------------------------------------------


def _run_time_loops(kernel: Kernel) -> Kernel | None:
    """Unrolled loops with a parameter for a bound, which holds the number that stood there."""
    names = fresh_names(kernel, "stop")
    params: dict[int, Param] = {}

    def bound(stmt: Stmt) -> Body:
        match stmt:
            case For(_, _, Const(_, int(stop))) if is_unrolled(stmt):
                if stop not in params:
                    params[stop] = Param(next(names), I32, Role.VALUE, stop, stop)
                return (replace(stmt, stop=Var(params[stop].name, I32)),)
            case _:
                return (stmt,)

    body = with_statements(kernel.body, bound)
    return _changed(kernel, body, *params.values())


def _hoisted(kernel: Kernel) -> Kernel | None:
    """The first operation inside of another, given a name of its own before the statement."""
    name = next(fresh_names(kernel, "part"))
    done: list[Term] = []

    def statement(stmt: Stmt) -> Body:
        if done or isinstance(stmt, While):
            return (stmt,)
        new = with_own_terms(stmt, lambda term: _without(term, name, done))
        return (Assign(name, done[0]), new) if done else (stmt,)

    body = with_statements(kernel.body, statement)
    return _changed(kernel, body)


def _without(term: Term, name: str, done: list[Term], inside: bool = False) -> Term:
    """The term with its first inner operation replaced by a local, and that operation in `done`."""
    if done or not isinstance(term, Apply):
        return term
    if inside:
        done.append(term)
        return Var(name, term.type)
    if term.op.name in LAZY:
        return term
    return Apply(term.op, tuple(_without(arg, name, done, inside=True) for arg in term.args))


def _dead_branch(kernel: Kernel) -> Kernel | None:
    """`if False:` around a second copy of the last statement."""
    last = kernel.body[-1]
    if isinstance(last, Thread | Return | Outlined) or _takes_blocks(kernel):
        return None
    return _changed(kernel, (*kernel.body, If(Const(BOOL, False), (last,))))


def _takes_blocks(kernel: Kernel) -> bool:
    """Whether blocks of threads come to something together, which they must not do in a branch or after a guard."""
    return any(is_of_threads(term.type) for term in all_terms(kernel))


def _dead_guard(kernel: Kernel) -> Kernel | None:
    """`if i < 0: return`, which no thread does."""
    thread, *rest = kernel.body
    assert isinstance(thread, Thread)
    if _takes_blocks(kernel):
        return None
    never = Apply(ROWS["less(int32,int32)"], (Var(thread.name, I32), Const(I32, 0)))
    return _changed(kernel, (thread, If(never, (Return(),)), *rest))


REWRITES: Mapping[str, Rewrite] = {
    "operators as functions": _in_terms(_by_function),
    "arguments exchanged": _in_terms(_commuted),
    "ternary as where": _in_terms(_where),
    "where as ternary": _in_terms(_ternary),
    "letters as numbers": _in_terms(_read_by_number),
    "written letters as numbers": _in_statements(_written_by_number),
    "constants as static": _in_terms(_static),
    "function inlined": _in_terms(inlined),
    "function that writes inlined": _in_statements(_in_place),
    "choice as branch": _in_statements(_branched),
    "augmented as plain": _in_statements(_spelt_out),
    "plain as augmented": _in_statements(_augmented),
    "views as elements": lambda kernel: _changed(kernel, without_views(kernel).body),
    "static loop as run-time loop": _run_time_loops,
    "hoisted": _hoisted,
    "dead branch": _dead_branch,
    "dead guard": _dead_guard,
}
"""By name: each gives a kernel that must compute the same, or None where there is nothing to rewrite."""
