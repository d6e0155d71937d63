"""The folds that rebuild reach whatever the folds that only look reach, and leave nothing out that they are to rename.

The key insight: one body that holds each form of statement and of term says of both kinds of fold whether they agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

from grammar.atomics import AtomicKind
from grammar.fields import body_renamed, by_table, fresh_names, renamed, taken_names
from grammar.op import Op
from grammar.ops import ROWS
from grammar.params import Param, Role, Struct
from grammar.rebuild import Body, with_all_terms, with_statements
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
    bound,
    statements,
    terms_in,
)
from grammar.types import BOOL, F32, I32, Array, Composite, Scalar, type_named

ADD, LESS = ROWS["add(int32,int32)"], ROWS["less(int32,int32)"]
I = Var("i", I32)  # noqa: E741 - what kernels call it, too
NEXT = Apply(ADD, (I, Const(I32, 1)))
PAIR = Function("pair", (I,), (Return(I, (NEXT,)),), I32, (I32,))
FIRST = Function("first", (Whole("x", Array(I32)),), (Return(Read("x", Const(I32, 0), I32)),), I32)
LOAD = Fieldwise("Body", "b", (Assign("b.m", Read("bodies[].m", NEXT, I32)),))
STRUCTS = (Struct("bodies[]", "Body"),)
EVERYTHING: Body = (
    Thread("i", ("j",)),
    View("row", "table", NEXT),
    Assign("f", Read("table", At((NEXT, I)), I32, "row")),
    LOAD,
    Assign("a", Invoke(FIRST, (Whole("x", Array(I32)),))),
    AugAssign("a", ADD, Size("x", I32)),
    AssignPart("v", type_named("vec2i"), NEXT, NEXT),  # type: ignore[arg-type] # one of the composites
    Sample("r", ROWS["randi(uint32,int32,int32)"], "state", (I, NEXT)),
    Sample("k", ROWS["sample_cdf(uint32)"], "state", (Whole("x", Array(F32)),)),
    Unpack(("c", "d"), PAIR, (NEXT,)),
    For("k", I, NEXT, (If(Apply(LESS, (I, NEXT)), (Break(),), (Continue(),)),)),
    While(Var("on", BOOL), (AugStore("y", At((I, NEXT)), ADD, NEXT),)),
    Atomic(AtomicKind.ADD, "z", NEXT, NEXT),
    StorePart("vs", NEXT, type_named("vec2i"), 1, NEXT, ADD),  # type: ignore[arg-type] # likewise
    Fieldwise("Body", "out[]", (Store("out[].m", NEXT, Var("b.m", I32)),)),
    Outlined("write", (Store("y", I, NEXT),)),
    Return(NEXT, (I,)),
)


def test_the_body_holds_every_form() -> None:
    assert {type(stmt) for stmt in statements(EVERYTHING)} == set(get_args(Stmt))
    assert {type(term) for term in terms_in(EVERYTHING)} == set(get_args(Term))


def test_every_term_is_reached_once_and_put_back() -> None:
    met: list[Term] = []

    def same(term: Term) -> Term:
        met.append(term)
        return term

    assert with_all_terms(EVERYTHING, same) == EVERYTHING
    assert Counter(met) == Counter(term for term in terms_in(EVERYTHING) if not isinstance(term, At))


def test_every_statement_is_reached_once_and_put_back() -> None:
    met: list[Stmt] = []

    def same(stmt: Stmt) -> Body:
        met.append(stmt)
        return (stmt,)

    assert with_statements(EVERYTHING, same) == EVERYTHING
    assert Counter(met) == Counter(statements(EVERYTHING))


def test_what_is_changed_is_changed_everywhere() -> None:
    def other(term: Term) -> Term:
        return Const(I32, 7) if isinstance(term, Var | Size) else term

    changed = with_all_terms(EVERYTHING, other)
    assert changed != EVERYTHING
    assert not any(isinstance(term, Var | Size) for term in terms_in(changed))


def test_a_field_becomes_a_field_or_goes() -> None:
    """What stands for several statements is one line: it has no room for a branch or for one statement more."""
    field: Stmt = LOAD.body[0]
    extra = Assign("part", NEXT)
    outcomes: list[tuple[Body, Body]] = [
        ((Assign("b.n", I),), (Assign("b.n", I),)),
        ((), ()),
        ((extra, field), (field,)),
        ((If(Var("on", BOOL), (field,)),), (field,)),
        ((AugAssign("b.m", ADD, I),), (field,)),
    ]
    for given, left in outcomes:
        new = {field: given}
        changed = with_statements((LOAD,), lambda stmt: new.get(stmt, (stmt,)))  # noqa: B023 - called at once
        assert [list(stmt.body) for stmt in changed if isinstance(stmt, Fieldwise)] == [list(left)]


# -- names ------------------------------------------------------------------------------------------------------------


def test_what_statements_bind() -> None:
    names = [name for stmt in statements(EVERYTHING) for name in bound(stmt)]
    assert names == ["i", "j", "row", "f", "b", "b.m", "a", "a", "v", "r", "k", "c", "d", "k", "out[]"]


def test_names_that_are_taken() -> None:
    kernel = Kernel("do_all", (Param("bodies[].m", Array(I32), Role.VALUE),), EVERYTHING, "combined", STRUCTS)
    wanted = {"do_all", "bodies", "Body", "pair", "first", "write", *"ijbavrcdkf", "out", "row"}
    assert taken_names(kernel) == wanted
    assert next(fresh_names(kernel, "k")) == "k_0"
    assert next(fresh_names(replace(kernel, name="k_0"), "k")) == "k_1"


def words(node: Any) -> Iterator[str]:
    """All names in a tree, whatever its nodes are, but those in functions."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, tuple):
        yield from (word for part in node for word in words(part))
    elif is_dataclass(node) and not isinstance(node, Op | Scalar | Composite | Array | Function | Const):
        yield from (word for field in fields(node) for word in words(getattr(node, field.name)))


def test_no_name_is_left_when_names_change() -> None:
    assert list(words(body_renamed(EVERYTHING, str.upper))) == [word.upper() for word in words(EVERYTHING)]
    kernel = Kernel("do_all", (Param("bodies[].m", Array(I32), Role.VALUE),), EVERYTHING, "combined", STRUCTS)
    other = renamed(kernel, str.upper)
    assert [param.name for param in other.params] == ["BODIES[].M"]
    assert other.structs == (Struct("BODIES[]", "BODY"),)


def test_names_outside_of_the_table_stay() -> None:
    new = by_table({"i": "tid", "b.m": "b_m"})
    changed = [word for word in words(body_renamed(EVERYTHING, new)) if word not in set(words(EVERYTHING))]
    assert Counter(changed) == Counter(map(new, (word for word in words(EVERYTHING) if word in ("i", "b.m"))))
