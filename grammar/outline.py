"""Functions that write to arrays: statements of a kernel that stand in one, which is called in their place.

The key insight: such a function is for whoever looks at the kernel the statements that it holds, under the names that
they have there; so it is checked, evaluated and differentiated as if it weren't there, and only whoever writes Python
has to know what it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grammar.derive import without_adjoint
from grammar.params import Param
from grammar.tiles import is_tile
from grammar.tree import (
    Assign,
    AssignPart,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Continue,
    For,
    If,
    Kernel,
    Outlined,
    Read,
    Size,
    Stmt,
    StorePart,
    Term,
    Unpack,
    Var,
    While,
    Whole,
    Writing,
    bound,
    own_subterms,
    statements,
    terms_in,
)
from grammar.types import Array

Body = tuple[Stmt, ...]
Held = Assign | AugAssign | AssignPart | Unpack | Writing | If | For | While | Break | Continue
"""What such a function may hold: it takes no thread index, returns nothing, and moves no random state on."""


def taken_by(stmt: Outlined, params: Sequence[Param]) -> tuple[Var | Whole, ...]:
    """What the function takes of what there is around the statements, in the order in which these name it."""
    types = {param.name: param.type for param in params}
    own = bound_in(stmt.body)
    found: dict[str, Var | Whole] = {}
    for name, term in used(stmt.body):
        type = types.get(name)
        if isinstance(type, Array):
            found.setdefault(name, Whole(name, type))
        elif isinstance(term, Var) and name not in own:
            found.setdefault(name, term)
    return tuple(found.values())


def used(body: Body) -> Iterator[tuple[str, Term | None]]:
    """The names of what is read and written, and the terms that read."""
    for stmt in statements(body):
        if isinstance(stmt, Writing):
            yield stmt.array, None
        for term in own_subterms(stmt):
            match term:
                case Var(name) | Whole(name) | Read(name) | Size(name):
                    yield name, term
                case _:
                    pass


def is_changed_by_replay(stmt: Outlined, has_loops: bool) -> bool:
    """Whether arrays change if it is done again, as Warp's adjoint does unless it is told what to do instead.

    So it does with what locals are where loops at run time have not run, as it goes through none of them again.
    """
    return has_loops or any(is_update(inner) for inner in statements(stmt.body))


def replay_name(stmt: Outlined) -> str:
    """Of the function that an adjoint calls in place of it."""
    return f"replay_{stmt.name}"


def outline_problems(stmt: Outlined, before: set[str]) -> Iterator[str]:
    """What is wrong with it where these names have a value."""
    inside = tuple(statements(stmt.body))
    if not any(isinstance(inner, Writing) for inner in inside):
        yield f"{stmt.name} writes to no array"
    if not all(isinstance(inner, Held) for inner in inside) or any(is_tile(term.type) for term in terms_in(stmt.body)):
        yield f"{stmt.name} holds what no function does"
    changed = bound_in(stmt.body) & before
    yield from (f"{stmt.name} changes {name}, which it is handed over" for name in sorted(changed))
    if any(isinstance(inner, Atomic) and inner.name for inner in inside):
        yield f"{stmt.name} finds out what other threads did"
    if any(isinstance(term, Read) and term.via for term in terms_in(stmt.body)):
        yield f"{stmt.name} takes a view"
    yield from without_adjoint(stmt.name, stmt.body)
    if any("." in name for name, _ in used(stmt.body)):
        yield f"{stmt.name} takes fields of structs"


def is_update(stmt: Stmt) -> bool:
    """Whether it makes of what an array holds something else."""
    return isinstance(stmt, AugStore | Atomic) or (isinstance(stmt, StorePart) and stmt.op is not None)


def outlined_parts(kernel: Kernel) -> tuple[Outlined, ...]:
    """Those of its statements that stand in functions which write to arrays."""
    return tuple(stmt for stmt in statements(kernel.body) if isinstance(stmt, Outlined))


def bound_in(body: tuple[Stmt, ...]) -> set[str]:
    """The names that its statements give a meaning to, nested ones too."""
    return {name for stmt in statements(body) for name in bound(stmt)}
