"""Names for parts of arrays: how they are spelt, what they may stand for, and what Warp makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.fields import by_table, renamed
from grammar.params import Param, Role
from grammar.plain import run_plain
from grammar.serial import kernel_of, plain_of
from grammar.tree import At, Kernel, Outlined, Read, Stmt, Store, Term, Thread, Var, View, all_statements
from grammar.types import F32, I32, Array, type_named
from grammar.viewing import viewed
from grammar.views import without_views
from tests.builders import (
    OUT,
    I,
    X,
    at,
    change,
    do,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    put,
    samples,
    scalar,
    var,
    when,
)
from tests.proving import verified
from tests.reading import Reader
from validate.passes import drop_views
from validate.reduce import reduce

V2 = type_named("vec2f")
J = Var("j", I32)
WIDE = Param("table", Array(F32, 2), Role.VALUE, -2.0, 2.0, 5)
ROW = View("row", "table", I)


def of_row(last: Term, via: str = "row") -> Read:
    """`row[last]`."""
    return Read("table", At((I, last)), F32, via)


DOT = kernel(
    (WIDE, X, OUT),
    ROW,
    let("s", number(0.0)),
    loop("k", 5, change("s", "add", do("mul", of_row(ints("k")), of_row(number(1))))),
    put("out", do("mul", var("s"), at("x"))),
    name="dot_row",
)
RUN_TIME = kernel(
    (WIDE, scalar("n", I32, 2, 5), OUT),
    ROW,
    let("s", number(0.0)),
    loop("k", ints("n"), change("s", "add", do("sin", of_row(ints("k"))))),
    put("out", do("add", var("s"), of_row(number(0)))),
    name="sum_row",
)
OWN, FIRST = At((I, J, Var("k", I32))), At((I, J, number(0)))
LINE = Kernel(
    "difference",
    (Param("grid", Array(V2, 3), Role.VALUE, -2.0, 2.0), replace(out("out"), type=Array(F32, 3))),
    (
        Thread("i", ("j", "k")),
        View("line", "grid", At((I, J))),
        Store("out", OWN, do("dot", Read("grid", OWN, V2, "line"), Read("grid", FIRST, V2, "line"))),
    ),
    "by hand",
)
BY_HAND = {one.name: one for one in (DOT, RUN_TIME, LINE)}


def test_elements_are_read_by_it() -> None:
    assert emit(DOT).splitlines()[4:] == [
        "def dot_row(table: wp.array2d[float], x: wp.array[float], out: wp.array[float]):",
        "    i = wp.tid()",
        "    row = table[i]",
        "    s = 0.0",
        "    for k in range(5):",
        "        s += row[k] * row[1]",
        "    out[i] = s * x[i]",
    ]
    assert "    line = grid[i, j]\n    out[i, j, k] = wp.dot(line[k], line[0])\n" in emit(LINE)


@pytest.mark.parametrize("name", BY_HAND)
def test_it_is_read_back_stored_renamed_and_done_without(name: str) -> None:
    by_hand = BY_HAND[name]
    assert problems(by_hand) == ()
    assert Reader(emit(by_hand)).body == by_hand.body
    assert kernel_of(plain_of(by_hand)) == by_hand
    other = renamed(by_hand, by_table({"row": "cells", "line": "cells"}))
    assert problems(other) == ()
    assert emit(other) == emit(by_hand).replace("row[", "cells[").replace("row =", "cells =").replace("line", "cells")
    plain = without_views(by_hand)
    assert problems(plain) == ()
    assert not any(isinstance(stmt, View) for stmt in all_statements(plain))


@pytest.mark.warp
def test_warp_and_its_adjoint_read_by_it() -> None:
    verified(list(BY_HAND.values()))


READ = put("out", of_row(number(2)))
BAD: dict[str, tuple[str, Kernel]] = {
    "of a row of another": (
        "an element of table is read by row, in which it does not lie",
        kernel((WIDE, OUT), ROW, put("out", Read("table", At((number(0), I)), F32, "row"))),
    ),
    "of nothing": ("is read by row, in which it does not lie", kernel((WIDE, OUT), READ)),
    "made after it is read": ("is read by row, in which it does not lie", kernel((WIDE, OUT), READ, ROW)),
    "never read": ("row is never read", kernel((WIDE, OUT), ROW, put("out", of_row(number(2), via="")))),
    "made in a branch": (
        "row is made in a branch or a loop",
        kernel((WIDE, X, OUT), when(do("less", at("x"), 0.0), ROW), READ),
    ),
    "made twice": ("row is not the same everywhere", kernel((WIDE, OUT), ROW, ROW, READ)),
    "of an index that changes": (
        "row is not the same everywhere",
        kernel(
            (WIDE, OUT),
            let("j", number(1)),
            View("row", "table", J),
            let("j", number(2)),
            put("out", Read("table", At((J, I)), F32, "row")),
        ),
    ),
    "of a line": ("x has no such part", kernel((X, OUT), View("row", "x", I), put("out", at("x")))),
    "of an output": (
        "table has no such part",
        kernel((replace(WIDE, role=Role.ACCUMULATOR), OUT), ROW, READ),
    ),
    "of a float": ("table is indexed by a float32", kernel((WIDE, X, OUT), View("row", "table", at("x")), READ)),
    "named as a parameter": ("is the name of something else", kernel((WIDE, OUT), View("out", "table", I), READ)),
    "assigned to": ("row is assigned to", kernel((WIDE, OUT), ROW, let("row", number(0.0)), READ)),
    "read by a function that writes": (
        "takes a view",
        kernel((WIDE, OUT), ROW, Outlined("write_value", (READ,))),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_view(name: str) -> None:
    problem, bad = BAD[name]
    assert any(problem in found for found in problems(bad)), problems(bad)


def test_some_are_grown_and_compute_what_is_computed_without() -> None:
    found = [sample for sample in samples(2) if any(isinstance(stmt, View) for stmt in sample.kernel.body)]
    assert 0.01 < len(found) / len(samples(2)) < 0.12
    for sample in found:
        plain = without_views(sample.kernel)
        before, after = (run_plain(one, sample.inputs).arrays for one in (plain, sample.kernel))
        assert all(before[p.name].tobytes() == after[p.name].tobytes() for p in plain.params if p.is_output)


@pytest.mark.parametrize("seed", range(3))
def test_a_part_is_named_before_it_is_read(seed: int) -> None:
    made = 0
    for k, sample in enumerate(samples(2)):
        plain = without_views(sample.kernel)
        new = viewed(seeded(Seed(3 * k + seed)), plain)
        made += new != plain
        assert problems(new) == ()
        assert without_views(new) == plain
    assert made > 5


def test_reducing_leaves_none_that_is_not_needed() -> None:
    def sums(one: Kernel) -> bool:
        return "+=" in emit(one)

    assert list(drop_views(without_views(DOT))) == []
    assert "row = " not in emit(reduce(DOT, sums))
    kept: list[type[Stmt]] = [type(stmt) for stmt in reduce(DOT, lambda one: "row = " in emit(one)).body]
    assert kept == [Thread, View, Store]
