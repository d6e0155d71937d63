"""Documented limits and known defects of Warp, each as a kernel with its nearest neighbour that has none.

The key insight: a rule is right only if it says no *and* yes. So the kernels come in pairs that differ in the one thing
the rule is about; `test_oracle` asks Warp itself whether the gradients of either kind are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from grammar.atomics import AtomicKind
from grammar.defects import DEFECTS, defect
from grammar.limits import CARRIED, gradients_of, has_gradient, limitation, needs
from grammar.ops import ROWS
from grammar.params import Struct
from grammar.tree import Assign, Break, Continue, Fieldwise, If, Kernel, Read, Sample, Stmt, Var
from grammar.types import F64, I32, U32, type_named
from tests.builders import (
    OUT,
    I,
    X,
    Y,
    accumulator,
    array,
    at,
    atomic,
    bump,
    change,
    do,
    double,
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
    while_,
)
from tests.limits_of_parts import PARTS_DEFECTIVE, PARTS_FINE, PARTS_LIMITED, REASONS

j, k, n = ints("j"), ints("k"), ints("n")
v, s, t = var("v"), var("s"), var("t")
N = scalar("n", I32, 3, 6)
SCALE = scalar("a")
TILE, LINE, ONE, VEC3 = (type_named(name) for name in ("tile4x4f", "tile4f", "tile1f", "vec3f"))
PARAMS = (X, Y, N, OUT)
RESULT = put("out", do("add", v, at("y")))
BEGUN, FIELD = let("state", do("rand_init", 42, I)), do("noise", var("state", U32), at("x"))
DRAWN = Sample("s", ROWS["randf(uint32)"], "state")


def over(stop: Var | int, *body: Stmt, start: float = 0.0, after: Stmt = RESULT) -> Kernel:
    """`v = start`, the loop over `j`, and what follows; x, y, n and out are its parameters, as far as they are used."""
    return kernel(PARAMS, let("v", start), loop("j", stop, *body), after)


def after_sum(*after: Stmt) -> Kernel:
    """What follows upon a sum over x at run time."""
    return kernel(PARAMS, let("v", 0.0), loop("j", n, change("v", "add", at("x", j))), *after)


BREAK: If = when(do("less", at("x", j), at("y")), Break())
SKIP: If = when(do("less", at("x", j), 0.0), Continue())
NEXT = change("c", "add", 1)
FEW = do("less", ints("c"), 6)


def repeat(*body: Stmt, start: float | Read = 0.0) -> Kernel:
    """`v = start`, and at most six trips of a `while` that `c` counts."""
    return kernel((X, Y, OUT), let("v", start), let("c", 0), while_(FEW, *body), put("out", do("add", v, at("y"))))


SUM = change("v", "add", at("x", j))
PRODUCT = change("v", "mul", at("x", j))

FINE: Mapping[str, Kernel] = {
    "noise after a sample": kernel((X, OUT), BEGUN, DRAWN, put("out", do("mul", FIELD, s))),
    "sum": over(n, SUM),
    "difference": over(n, change("v", "sub", at("x", j))),
    "sum of products": over(n, change("v", "add", do("mul", at("x", j), at("y", j)))),
    "sum of squares of a local of the trip": over(
        n, let("t", do("mul", at("x", j), 2.0)), change("v", "add", do("mul", t, t))
    ),
    "sum spelt out": over(n, let("v", do("add", v, at("x", j)))),
    "decay by a number": over(n, let("v", do("add", do("mul", v, 0.5), at("x", j)))),
    "scaled by a parameter of the kernel": kernel(
        (X, SCALE, N, OUT), let("v", at("x")), loop("j", n, change("v", "mul", var("a"))), put("out", v)
    ),
    "product over a static loop": over(4, PRODUCT, start=1.0),
    "product over the longest static loop": over(16, PRODUCT, start=1.0),
    "product of a trip": over(
        n, let("t", at("x", j)), change("t", "mul", at("y", j)), change("v", "add", do("mul", t, at("x")))
    ),
    "static product within": over(
        n, let("t", 1.0), loop("k", 3, change("t", "mul", at("x", k))), change("v", "add", do("mul", t, at("x", j)))
    ),
    "sum within a sum": over(n, let("t", 0.0), loop("k", n, change("t", "add", at("x", k))), change("v", "add", t)),
    "sum over two loops": over(n, loop("k", n, change("v", "add", do("mul", at("x", k), at("y", j))))),
    "sum under a condition on inputs": over(n, when(do("less", at("x", j), 0.0), SUM)),
    "sum with continue": over(n, when(do("less", at("x", j), 0.0), Continue()), SUM),
    "sum afterwards times a number": after_sum(put("out", do("mul", v, 2.0))),
    "sum afterwards negated": after_sum(put("out", do("neg", do("add", v, at("y"))))),
    "sum backwards": kernel(
        PARAMS, let("v", 0.0), loop("j", -1, SUM, start=do("sub", n, 1), step=number(-1)), put("out", v)
    ),
    "sum added to the output": kernel(
        (X, N, accumulator("out", size=None)), let("v", 0.0), loop("j", n, SUM), bump("out", "add", v)
    ),
    "sum reduced over lanes": kernel(
        (X, N, accumulator()), let("v", at("x")), loop("j", n, SUM), atomic(AtomicKind.ADD, "total", v)
    ),
    "greatest of the sums over a static loop": kernel(
        (X, accumulator()), let("v", at("x")), loop("j", 3, SUM), atomic(AtomicKind.MAX, "total", v)
    ),
    "condition beside a sum": after_sum(when(do("less", at("y"), 0.0), put("out", v), orelse=(put("out", at("y")),))),
    "counting": kernel(
        (X, N, OUT),
        let("c", 0),
        loop("j", n, when(do("less", at("x", j), 0.0), change("c", "add", 1))),
        put("out", do("add", do("float32", ints("c")), at("x"))),
    ),
    "int product": kernel(
        (array("m", I32, 1, 3), N, out("counts", I32)),
        let("c", 1),
        loop("j", n, change("c", "mul", at("m", j, I32))),
        put("counts", do("mul", ints("c"), ints("c"))),
    ),
    "remainder by a number": kernel((X, OUT), put("out", do("mod", at("x"), 0.75))),
    "remainder by a parameter": kernel((X, SCALE, OUT), put("out", do("mod", at("x"), var("a")))),
    "int remainder": kernel((X, N, OUT), put("out", at("x", do("mod", do("add", I, n), number(7))))),
    "counting with break": kernel(
        (X, N, OUT),
        let("c", 0),
        loop("j", n, when(do("less", at("x", j), 0.0), Break()), change("c", "add", 1)),
        put("out", do("add", do("float32", ints("c")), at("x"))),
    ),
    "search with break": kernel(
        (X, Y, N, OUT),
        let("c", 0),
        loop("j", n, let("t", do("mul", at("x", j), at("y"))), when(do("less", t, 0.0), Break()), NEXT),
        put("out", do("add", do("float32", ints("c")), at("x"))),
    ),
    "number added until a break": over(n, BREAK, change("v", "add", 1.0), start=1.0),
    "number added in a term until a break": kernel(
        (X, Y, N, OUT), let("v", at("x")), loop("j", n, BREAK, let("v", do("sub", v, 0.5))), put("out", v)
    ),
    "float count with break": kernel(
        (X, Y, N, OUT),
        let("v", 0.0),
        loop("j", n, BREAK, let("v", do("add", do("mul", v, 0.5), 1.0))),
        put("out", do("add", v, at("y"))),
    ),
    "sum around a search": kernel(
        (X, Y, N, OUT),
        let("v", 0.0),
        let("c", 0),
        loop("j", n, loop("k", 3, when(do("less", at("y", k), 0.0), Break()), NEXT), SUM),
        put("out", do("add", v, do("float32", ints("c")))),
    ),
    "break of a while before all else": repeat(
        when(do("less", at("x"), 0.0), Break()),
        change("v", "add", do("mul", at("x"), at("y"))),
        NEXT,
    ),
    "number added to a while's value before the break": kernel(
        (X, OUT),
        let("v", at("x")),
        let("c", 0),
        while_(FEW, change("v", "add", 0.5), when(do("less", at("x"), 0.0), Break()), NEXT),
        put("out", v),
    ),
    "local of a trip before continue": over(
        n, let("t", do("mul", at("x", j), at("y"))), SKIP, change("v", "add", do("mul", t, t))
    ),
    "sum before continue, unrolled": over(4, change("v", "add", at("y")), SKIP, SUM),
    "run-time sum before continue, unrolled": over(4, loop("k", n, change("v", "add", at("x", k))), SKIP, SUM),
    "either a sum or continue": over(n, when(do("less", at("x", j), 0.0), SUM, orelse=(Continue(),))),
    "number widened": kernel(
        (array("z", F64), out("wide", F64)),
        let("c", 2),
        put("wide", do("mul", at("z", I, F64), do("float64", ints("c")))),
    ),
    "counters of static loops widened": kernel(
        (array("z", F64), out("wide", F64)),
        let("w", double(0.0)),
        loop("j", 3, change("w", "add", do("float64", j))),
        loop("j", 4, change("w", "add", do("mul", at("z", I, F64), do("float64", j)))),
        put("wide", do("add", var("w", F64), at("z", I, F64))),
    ),
    "variable number widened": kernel(
        (array("z", F64), N, out("wide", F64)),
        let("c", 2),
        loop("j", n, NEXT),
        put("wide", do("add", at("z", I, F64), do("add", do("float64", ints("c")), do("float64", ints("c"))))),
    ),
    "widened at run time": kernel(
        (array("z", F64), N, out("wide", F64)),
        let("w", double(0.0)),
        loop("j", n, change("w", "add", do("mul", at("z", j, F64), do("float64", j)))),
        put("wide", var("w", F64)),
    ),
    "while a value is large": kernel(
        (X, OUT),
        let("v", do("min", at("x"), 9.0)),
        while_(do("greater", v, 1.0), change("v", "mul", 0.5)),
        put("out", v),
    ),
    "while a value is large, so many times": kernel(
        (X, OUT),
        let("v", at("x")),
        let("c", 0),
        while_(
            do("logical_and", do("greater", v, 0.3), do("less", ints("c"), 4)),
            change("v", "mul", 0.5),
            change("c", "add", 1),
        ),
        put("out", v),
    ),
}
"""Kernels whose gradient Warp documents as right."""

LIMITED: Mapping[str, Kernel] = {
    "product": over(n, PRODUCT, start=1.0),
    "product spelt out": over(n, let("v", do("mul", v, at("x", j))), start=1.0),
    "product over a long static loop": over(17, PRODUCT, start=1.0),
    "product within a sum's loop": over(
        n, let("t", 1.0), loop("k", n, change("t", "mul", at("x", k))), change("v", "add", t)
    ),
    "square of a sum within": over(
        n, let("t", 0.0), loop("k", n, change("t", "add", at("x", k))), change("v", "add", do("mul", t, t))
    ),
    "quotient": over(n, change("v", "div", do("add", at("x", j), 4.0)), start=1.0),
    "sine of what is carried": over(n, let("v", do("sin", do("add", v, at("x", j))))),
    "carried under another name": over(n, let("t", v), let("v", do("add", at("x", j), do("mul", t, t)))),
    "sum squared afterwards": after_sum(put("out", do("mul", v, v))),
    "sum as a divisor": after_sum(put("out", do("div", at("y"), do("add", v, 20.0)))),
    "sum as a factor": after_sum(put("out", do("mul", at("y"), v))),
    "root of a sum": after_sum(put("out", do("sqrt", do("add", do("abs", v), 1.0)))),
    "magnitude of a sum": after_sum(put("out", do("abs", v))),
    "sum as a sign": after_sum(put("out", do("copysign", at("y"), v))),
    "lesser of a sum": after_sum(put("out", do("min", at("y"), v))),
    "greatest of the sums": kernel(
        (X, N, accumulator()), let("v", at("x")), loop("j", n, SUM), atomic(AtomicKind.MAX, "total", v)
    ),
    "choice by a sum": after_sum(put("out", do("ternary", do("less", v, 0.0), at("x"), at("y")))),
    "branch on a sum": after_sum(when(do("less", v, 0.0), put("out", at("x")), orelse=(put("out", at("y")),))),
    "branch on what is carried": over(n, when(do("less", v, 1.0), SUM)),
    "index from a count": kernel(
        (X, N, OUT),
        let("c", 0),
        loop("j", n, when(do("less", at("x", j), 0.0), change("c", "add", 1))),
        put("out", at("x", ints("c"))),
    ),
    "factor from a count": kernel(
        (X, N, OUT),
        let("c", 0),
        loop("j", n, when(do("less", at("x", j), 0.0), change("c", "add", 1))),
        put("out", do("mul", at("x"), do("float32", ints("c")))),
    ),
    "bound from a count": kernel(
        (X, N, OUT),
        let("c", 0),
        let("v", 0.0),
        loop("j", n, when(do("less", at("x", j), 0.0), change("c", "add", 1))),
        loop("k", ints("c"), change("v", "add", at("x", k))),
        put("out", v),
    ),
    "while a value is large, times itself": kernel(
        (X, OUT),
        let("v", do("min", at("x"), 9.0)),
        while_(do("greater", v, 1.1), change("v", "mul", do("cos", v))),
        put("out", v),
    ),
    "last value squared afterwards": kernel(
        (X, N, OUT), let("v", at("x")), loop("j", n, let("v", at("x", j))), put("out", do("mul", v, v))
    ),
    "halved value squared afterwards": kernel(
        (X, OUT),
        let("v", do("min", at("x"), 9.0)),
        while_(do("greater", v, 1.0), change("v", "mul", 0.5)),
        put("out", do("mul", v, v)),
    ),
    "elements by the counter of a while": kernel(
        (X, OUT),
        let("v", at("x")),
        let("c", 0),
        while_(do("less", ints("c"), 4), change("v", "add", at("x", ints("c"))), change("c", "add", 1)),
        put("out", v),
    ),
}
"""Kernels whose gradient Warp documents as not to be trusted."""

DEFECTIVE: Mapping[str, tuple[str, Kernel]] = {
    "noise before a sample": (
        "moved-state-gradient",
        kernel((X, OUT), BEGUN, let("v", FIELD), DRAWN, put("out", do("mul", v, s))),
    ),
    "noise and samples by turns": (
        "moved-state-gradient",
        kernel(
            (X, OUT), BEGUN, let("v", 0.0), loop("j", 4, DRAWN, change("v", "add", FIELD)), put("out", do("mul", v, s))
        ),
    ),
    "remainder": ("remainder-divisor-gradient", kernel((X, Y, OUT), put("out", do("mod", at("x"), at("y"))))),
    "remainder by a term": (
        "remainder-divisor-gradient",
        kernel((X, Y, OUT), put("out", do("mod", at("x"), do("add", do("abs", at("y")), 1.0)))),
    ),
    "remainder by a local": (
        "remainder-divisor-gradient",
        kernel((X, Y, OUT), let("t", do("exp", at("y"))), put("out", do("mod", at("x"), t))),
    ),
    "break": ("break-gradient", over(n, when(do("less", at("x", j), at("y")), Break()), SUM)),
    "break of a static loop": ("break-gradient", over(4, when(do("less", at("x", j), at("y")), Break()), SUM)),
    "break of a while": (
        "break-gradient",
        kernel(
            (X, OUT),
            let("v", do("max", at("x"), -9.0)),
            while_(do("less", v, 3.0), change("v", "mul", 0.5), when(do("less", v, 1.0), Break())),
            put("out", v),
        ),
    ),
    "break after a while's sum": (
        "break-gradient",
        repeat(
            change("v", "add", do("mul", at("x"), at("y"))),
            when(do("less", at("x"), 0.0), Break()),
            NEXT,
        ),
    ),
    "break after a sum": ("break-gradient", over(n, SUM, BREAK)),
    "break of a long loop": (
        "break-gradient",
        over(40, when(do("greater", j, 3), Break()), change("v", "add", at("x"))),
    ),
    "value found": ("break-gradient", over(n, when(do("less", at("x", j), at("y")), let("v", at("x")), Break()))),
    "number set until a break": (
        "break-gradient",
        kernel(
            (X, Y, N, OUT),
            let("v", at("x")),
            loop("j", n, when(do("greater", j, 1), Break()), let("v", 2.0)),
            put("out", do("add", v, at("y"))),
        ),
    ),
    "halved until a break": (
        "break-gradient",
        kernel((X, Y, N, OUT), let("v", at("x")), loop("j", n, BREAK, change("v", "mul", 0.5)), put("out", v)),
    ),
    "inner loop with break": (
        "break-gradient",
        over(n, loop("k", n, when(do("less", at("x", k), at("y")), Break()), change("v", "add", at("x", k))), SUM),
    ),
    "break around a loop": ("break-gradient", over(n, BREAK, loop("k", 3, change("v", "add", at("x", k))))),
    "additions to an output until a break": (
        "break-gradient",
        kernel((X, Y, N, accumulator("out", size=None)), loop("j", n, BREAK, bump("out", "add", at("x", j)))),
    ),
    "reduction until a break": (
        "break-gradient",
        kernel((X, Y, N, accumulator()), loop("j", n, BREAK, atomic(AtomicKind.ADD, "total", at("x", j)))),
    ),
    "stores until a break": (
        "break-gradient",
        kernel((X, Y, N, OUT), put("out", at("y")), loop("j", n, BREAK, put("out", at("x", j)))),
    ),
    "sum before continue": ("continue-gradient", over(n, change("v", "add", at("y")), SKIP, SUM)),
    "sum before continue, a long loop": (
        "continue-gradient",
        over(17, change("v", "add", at("y")), when(do("less", j, 9), Continue()), change("v", "add", at("x"))),
    ),
    "sum and continue": (
        "continue-gradient",
        over(n, when(do("less", at("x", j), 0.0), SUM, Continue()), change("v", "sub", at("y"))),
    ),
    "loop before continue": ("continue-gradient", over(n, loop("k", 2, change("v", "add", at("x", k))), SKIP, SUM)),
    "sum before the continue of a while": (
        "continue-gradient",
        repeat(
            NEXT,
            change("v", "add", do("mul", at("x"), at("y"))),
            when(do("less", at("x"), 0.0), Continue()),
            change("v", "add", at("x")),
        ),
    ),
    "reduction before continue": (
        "continue-gradient",
        kernel(
            (X, Y, N, accumulator()),
            loop(
                "j",
                n,
                atomic(AtomicKind.ADD, "total", at("x", j)),
                when(do("less", at("x", j), at("y")), Continue()),
                atomic(AtomicKind.SUB, "total", at("y")),
            ),
        ),
    ),
    "counter of a static loop widened": (
        "float64-of-constant",
        kernel(
            (array("z", F64), out("wide", F64)),
            let("w", double(0.0)),
            loop("j", 3, change("w", "add", do("mul", at("z", j, F64), do("float64", j)))),
            put("wide", var("w", F64)),
        ),
    ),
    "field given a value that a loop read": (
        "overwritten-field-gradient",
        replace(
            kernel(
                (array("bodies[].x"), N, OUT),
                Fieldwise("Body", "b", (Assign("b.x", at("bodies[].x")),)),
                let("v", 0.0),
                loop("j", n, change("v", "add", do("mul", var("b.x"), var("b.x")))),
                let("b.x", v),
                put("out", var("b.x")),
            ),
            structs=(Struct("bodies[]", "Body"),),
        ),
    ),
    "tile transposed after a use": (
        "tile-transpose-gradient",
        kernel(
            (array("a", TILE), out("squares", TILE), out("turned", TILE)),
            let("t", at("a", I, TILE)),
            put("squares", do("mul", var("t", TILE), var("t", TILE))),
            put("turned", do("tile_transpose", var("t", TILE))),
        ),
    ),
    "tile solved for a broadcast": (
        "tile-broadcast-layout",
        kernel(
            (array("a", TILE), array("y", ONE), out("out", LINE)),
            let("side", do("tile_broadcast[4]", at("y", I, ONE))),
            put("out", do("tile_lower_solve", at("a", I, TILE), var("side", LINE))),
        ),
    ),
    "number of a tile whose first element is read": (
        "untile-shared-gradient",
        kernel(
            (array("y", LINE), OUT),
            let("t", do("tile_sum", at("y", I, LINE))),
            put("out", do("mul", do("untile", var("t", ONE)), do("extract[0]", var("t", ONE)))),
        ),
    ),
    "made whole and back": (
        "whole-numbers-gradient",
        kernel(
            (array("a", VEC3), out("out", VEC3)),
            put("out", do("vec3f", do("vec3i", at("a", I, VEC3)))),
        ),
    ),
    "number widened after it was an index": (
        "float64-of-constant",
        kernel(
            (array("z", F64), out("wide", F64)),
            let("c", 2),
            put("wide", do("mul", at("z", ints("c"), F64), do("float64", ints("c")))),
        ),
    ),
    "number widened where not every trip goes": (
        "float64-of-constant",
        kernel(
            (array("z", F64), out("wide", F64)),
            let("w", double(0.0)),
            let("c", 2),
            loop(
                "j",
                3,
                when(
                    do("less", at("z", I, F64), do("float64", j)),
                    change("w", "add", do("float64", ints("c"))),
                ),
            ),
            put("wide", do("add", var("w", F64), at("z", I, F64))),
        ),
    ),
}
"""Kernels that hold the idiom of a known defect, with its name."""


FINE = {**FINE, **PARTS_FINE}
LIMITED = {**LIMITED, **PARTS_LIMITED}
DEFECTIVE = {**DEFECTIVE, **PARTS_DEFECTIVE}


@pytest.mark.parametrize("name", FINE)
def test_kernels_without_a_limit(name: str) -> None:
    assert limitation(FINE[name]) == ""
    assert defect(FINE[name]) is None


@pytest.mark.parametrize("name", LIMITED)
def test_documented_limits(name: str) -> None:
    assert limitation(LIMITED[name]) == REASONS.get(name, CARRIED)
    assert defect(LIMITED[name]) is None


@pytest.mark.parametrize("name", DEFECTIVE)
def test_idioms_of_known_defects(name: str) -> None:
    known, by_hand = DEFECTIVE[name]
    found = defect(by_hand)
    assert found is not None
    assert found.name == known


def test_every_defect_has_its_idiom_here() -> None:
    """Save what ends the process, which has no place beside others (tests/test_defects.py)."""
    named = {known.name for known in DEFECTS if known.outcomes != {"crash"}}
    assert {known for known, _ in DEFECTIVE.values()} == named


# -- what an adjoint needs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("add(float32,float32)", ("--", "--")),
        ("sub(float64,float64)", ("--", "--")),
        ("mul(float32,float32)", ("-b", "a-")),
        ("div(float32,float32)", ("-b", "ab")),
        ("neg(float32)", ("-",)),
        ("sin(float32)", ("a",)),
        ("sqrt(float64)", ("a",)),
        ("abs(float32)", ("a",)),
        ("copysign(float32,float32)", ("ab", "--")),
        ("min(float32,float32)", ("ab", "ab")),
        ("clamp(float32,float32,float32)", ("abc", "abc", "abc")),
        ("lerp(float32,float32,float32)", ("--c", "--c", "ab-")),
        ("where(bool,float32,float32)", ("---", "a--", "a--")),
        ("ternary(bool,float32,float32)", ("---", "a--", "a--")),
        ("float32(int32)", ("-",)),
        ("float32(float64)", ("-",)),
        ("bfloat16(float32)", ("-",)),
        ("vec3h(vec3f)", ("-",)),
        ("less(float32,float32)", ("--", "--")),
        ("floor(float32)", ("-",)),
        ("pow(float32,float32)", ("ab", "ab")),
        ("atan2(float32,float32)", ("ab", "ab")),
    ],
)
def test_which_arguments_a_derivative_depends_on(key: str, wanted: tuple[str, ...]) -> None:
    """One text per argument, of those on which the derivative by that argument depends."""
    letters = "abc"[: len(wanted)]
    assert needs(ROWS[key]) == tuple(
        tuple(letter == have for letter, have in zip(letters, one, strict=True)) for one in wanted
    )


def test_where_gradients_flow() -> None:
    by_hand = kernel(
        (X, SCALE, OUT),
        let("t", do("mul", at("x"), var("a"))),
        let("c", do("floor", t)),
        put("out", do("add", do("mul", var("c"), at("x")), do("float32", do("int32", t)))),
    )
    flows = {term.op.name: flow for term, flow in gradients_of(by_hand)}
    assert flows["int32"] == [False]
    assert flows["float32"] == [False]
    assert flows["floor"] == [ROWS["floor(float32)"].differentiable]


@pytest.mark.parametrize(
    ("by_hand", "has"),
    [
        (kernel((X, OUT), put("out", at("x"))), True),
        (kernel((SCALE, OUT), put("out", var("a"))), False),
        (kernel((array("m", I32), OUT), put("out", do("float32", at("m", I, I32)))), False),
        (kernel((X, out("counts", I32)), put("counts", do("int32", at("x")))), False),
        (kernel((accumulator(), X), atomic(AtomicKind.ADD, "total", at("x"))), True),
    ],
)
def test_kernels_with_a_gradient(by_hand: Kernel, has: bool) -> None:
    assert has_gradient(by_hand) == has


# -- grown kernels ----------------------------------------------------------------------------------------------------


def test_grown_kernels_hold_no_known_defect() -> None:
    for sample in samples():
        assert defect(sample.kernel) is None, sample


def test_few_grown_kernels_are_limited() -> None:
    limited = [sample for sample in samples() if has_gradient(sample.kernel) and limitation(sample.kernel)]
    assert 0 < len(limited) < 0.05 * len(samples())
