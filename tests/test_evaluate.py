"""The evaluator: all lanes at once under masks, against one lane after the other in plain Python.

The key insight: masks, early exits and merged values are what can go wrong in a vectorised interpreter, and plain
Python has none of them: `break` is a break, an `if` is an if. So the same kernel run lane by lane must leave the same
bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from grammar.atomics import BITWISE, MARKING, AtomicKind
from grammar.evaluate import TRIP_LIMIT, EndlessLoopError, Interpreter
from grammar.inputs import regular
from grammar.layout import Inputs
from grammar.number import Alike
from grammar.op import Lanes, Op
from grammar.ops import ROWS, TABLE
from grammar.params import Param, Role
from grammar.plain import Plain, run_plain
from grammar.tree import Apply, At, Atomic, AugStore, Break, Const, Continue, Kernel, Return, Stmt, statements
from grammar.types import F32, F64, I32, Array, Composite, type_named
from tests.builders import (
    LANES,
    OUT,
    I,
    X,
    accumulator,
    array,
    at,
    atomic,
    bump,
    change,
    do,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    part,
    put,
    put_part,
    samples,
    scalar,
    size,
    var,
    when,
    while_,
)
from tests.lane_by_lane import lane_by_lane


def assert_agrees(kernel: Kernel, inputs: Inputs, told: object = "") -> None:
    plain = run_plain(kernel, inputs)
    arrays, undefined = lane_by_lane(kernel, inputs)
    assert np.array_equal(plain.undefined, undefined), told
    assert set(plain.arrays) == set(arrays)
    extremes = {stmt.array for stmt in statements(kernel.body) if isinstance(stmt, Atomic) and stmt.kind in EXTREME}
    for name, values in arrays.items() if not undefined.any() else ():
        zero = values.dtype.type(0)  # which of two zeros is the least depends on the order of the lanes
        one, other = (each + zero if name in extremes else each for each in (plain.arrays[name], values))
        assert one.tobytes() == other.tobytes(), f"{told}: {name}"


EXTREME = (AtomicKind.MIN, AtomicKind.MAX)


# -- grown kernels ----------------------------------------------------------------------------------------------------

FEW = 16
"""Lanes: enough for neighbours, guards and every trip of a loop."""


@pytest.mark.no_cover
@pytest.mark.parametrize("depth", [2, 4, 6, 9])
def test_grown_kernels_run_as_lane_by_lane(depth: int) -> None:
    for sample in samples(2, (depth,)):
        assert_agrees(sample.kernel, regular(sample.kernel, sample.seed, FEW), sample)


def test_the_sample_has_every_kind_of_statement() -> None:
    kernels = [*(sample.kernel for sample in samples()), *BY_HAND.values()]
    seen = {type(stmt) for kernel in kernels for stmt in statements(kernel.body)}
    assert seen == set(get_args(Stmt))


# -- kernels by hand --------------------------------------------------------------------------------------------------


def inputs_for(kernel: Kernel, lanes: int = 8, **given: Sequence[float]) -> Inputs:
    """Inputs of one launch: what is given, and the regular values of the rest."""
    usual = regular(kernel, 5, lanes)

    def column(param: Param) -> Lanes:
        source = usual.arrays if isinstance(param.type, Array) else usual.scalars
        if param.name in given:
            return np.array([given[param.name]], param.element.dtype)
        return source[param.name][:1]

    arrays = {p.name: column(p) for p in kernel.params if isinstance(p.type, Array)}
    scalars = {p.name: column(p).reshape(1) for p in kernel.params if not isinstance(p.type, Array)}
    return Inputs(lanes, arrays, scalars)


j, v, w = ints("j"), var("v"), var("w")
POSITIVE = do("greater", at("x"), 0.0)
N = scalar("n", I32, 3, 6)
COUNTS = out("counts", I32)
V3 = type_named("vec3f")
WHOLE = array("m", I32, -3, 6)

SEEN = Param("seen", Array(I32), Role.ACCUMULATOR, 0, 1)
NODES, NODE = Param("nodes", Array(I32), Role.INDEX), at("nodes", I, I32)
CLAIMED = Atomic(AtomicKind.CAS, "seen", NODE, number(1), "old")
COUNTER = Param("count", Array(I32), Role.ACCUMULATOR, 0, 0, 1)
TAKEN = Atomic(AtomicKind.ADD, "count", number(0), number(1), "slot")

BY_HAND: Mapping[str, Kernel] = {
    "store": kernel((X, OUT), put("out", do("mul", at("x"), 2.0))),
    "if": kernel((X, OUT), let("v", 1.0), when(POSITIVE, let("v", at("x"))), put("out", v)),
    "if else": kernel((X, OUT), when(POSITIVE, let("v", at("x")), orelse=(let("v", 0.5),)), put("out", v)),
    "elif": kernel(
        (X, OUT),
        when(
            POSITIVE,
            let("v", at("x")),
            orelse=(when(do("less", at("x"), -1.0), let("v", 5.0), orelse=(let("v", 7.0),)),),
        ),
        put("out", v),
    ),
    "store in one branch": kernel((X, OUT), when(POSITIVE, put("out", at("x")))),
    "return": kernel((X, OUT), when(POSITIVE, Return()), put("out", at("x"))),
    "return after a store": kernel((X, OUT), put("out", number(1.0)), when(POSITIVE, Return()), put("out", at("x"))),
    "return in both branches": kernel(
        (X, OUT), when(POSITIVE, put("out", at("x")), Return(), orelse=(Return(),)), put("out", number(9.0))
    ),
    "return in an inner if": kernel(
        (X, OUT),
        when(POSITIVE, when(do("greater", at("x"), 1.0), Return()), put("out", number(3.0))),
        bump("out", "add", number(1.0)),
    ),
    "loop": kernel((X, OUT), let("v", 0.0), loop("j", 5, change("v", "add", at("x", j))), put("out", v)),
    "loop from start": kernel(
        (X, OUT), let("v", 0.0), loop("j", 5, change("v", "add", at("x", j)), start=number(2)), put("out", v)
    ),
    "loop from a negative start": kernel(
        (COUNTS,), let("s", 0), loop("j", 3, change("s", "add", j), start=number(-4)), put("counts", ints("s"))
    ),
    "loop by threes": kernel(
        (X, OUT),
        let("v", 0.0),
        loop("j", 6, change("v", "add", at("x", j)), start=number(1), step=number(3)),
        put("out", v),
    ),
    "loop backwards": kernel(
        (X, OUT),
        let("v", 0.0),
        loop("j", -1, let("v", do("add", do("mul", v, 0.5), at("x", j))), start=number(4), step=number(-1)),
        put("out", v),
    ),
    "loop that goes the other way": kernel(
        (OUT,), let("v", 4.0), loop("j", 3, change("v", "add", 1.0), start=number(0), step=number(-1)), put("out", v)
    ),
    "loop by as much as the lane says": kernel(
        (WHOLE, COUNTS),
        let("s", 0),
        loop("j", 9, change("s", "add", j), start=number(2), step=do("add", at("m", I, I32), 4)),
        put("counts", ints("s")),
    ),
    "loop of no trip": kernel(
        (OUT,), let("v", 4.0), loop("j", 2, change("v", "add", 1.0), start=number(2)), put("out", v)
    ),
    "loop as often as the lane says": kernel(
        (WHOLE, COUNTS), let("s", 0), loop("j", at("m", I, I32), change("s", "add", j)), put("counts", ints("s"))
    ),
    "loop whose bound changes inside": kernel(
        (N, COUNTS),
        let("s", 0),
        let("most", ints("n")),
        loop("j", ints("most"), change("most", "sub", 1), change("s", "add", 1)),
        put("counts", ints("s")),
    ),
    "loop variable afterwards": kernel((N, COUNTS), loop("j", ints("n"), let("s", j)), put("counts", ints("s"))),
    "break": kernel(
        (X, COUNTS),
        let("s", 0),
        loop("j", size("x"), when(do("greater", at("x", j), at("x")), Break()), change("s", "add", 1)),
        put("counts", ints("s")),
    ),
    "break after a change": kernel(
        (WHOLE, COUNTS),
        let("s", 0),
        loop("j", 6, change("s", "add", j), when(do("equal", j, at("m", I, I32)), Break()), change("s", "add", 100)),
        put("counts", ints("s")),
    ),
    "continue": kernel(
        (X, COUNTS),
        let("s", 0),
        loop("j", size("x"), when(do("greater", at("x", j), at("x")), Continue()), change("s", "add", 1)),
        put("counts", ints("s")),
    ),
    "break and continue": kernel(
        (WHOLE, COUNTS),
        let("s", 0),
        loop(
            "j",
            7,
            when(do("equal", do("mod", j, 2), 0), Continue()),
            change("s", "add", 1),
            when(do("greater", j, at("m", I, I32)), Break(), orelse=(change("s", "add", 10), Continue())),
        ),
        put("counts", ints("s")),
    ),
    "break of the inner loop only": kernel(
        (WHOLE, COUNTS),
        let("s", 0),
        loop(
            "j",
            4,
            loop("k", 4, when(do("greater", ints("k"), at("m", I, I32)), Break()), change("s", "add", 1)),
            change("s", "add", 100),
        ),
        put("counts", ints("s")),
    ),
    "continue of the inner loop only": kernel(
        (WHOLE, COUNTS),
        let("s", 0),
        loop(
            "j",
            3,
            loop("k", 4, when(do("equal", ints("k"), at("m", I, I32)), Continue()), change("s", "add", 1)),
            when(do("equal", j, at("m", I, I32)), Continue()),
            change("s", "add", 100),
        ),
        put("counts", ints("s")),
    ),
    "break of the outer loop": kernel(
        (WHOLE, COUNTS),
        let("s", 0),
        loop(
            "j",
            5,
            loop("k", j, change("s", "add", 1)),
            when(do("greater_equal", j, at("m", I, I32)), Break()),
        ),
        put("counts", ints("s")),
    ),
    "return in a loop": kernel(
        (WHOLE, COUNTS),
        put("counts", number(-1)),
        loop("j", 5, when(do("equal", j, at("m", I, I32)), Return()), put("counts", j)),
        put("counts", number(50)),
    ),
    "while": kernel((X, OUT), let("v", at("x")), while_(do("greater", v, 0.1), change("v", "mul", 0.5)), put("out", v)),
    "while with break": kernel(
        (X, OUT),
        let("v", at("x")),
        while_(number(True), change("v", "sub", 0.25), when(do("less", v, -0.5), Break())),
        put("out", v),
    ),
    "while with continue": kernel(
        (WHOLE, COUNTS),
        let("s", 0),
        let("t", at("m", I, I32)),
        while_(
            do("greater", ints("t"), 0),
            change("t", "sub", 1),
            when(do("equal", do("mod", ints("t"), 2), 1), Continue()),
            change("s", "add", ints("t")),
        ),
        put("counts", ints("s")),
    ),
    "augmented store": kernel((X, OUT, accumulator(size=None)), bump("total", "sub", at("x")), put("out", at("x"))),
    "parts of a vector": kernel(
        (X, out("outs", V3)),
        let("w", Apply(ROWS["vec3f()"], ())),
        part("w", 0, at("x"), lettered=True),
        when(POSITIVE, part("w", 1, 2.0), part("w", 2, at("x"), "sub")),
        loop("j", 3, part("w", j, do("float32", j), "add")),
        put("outs", var("w", V3)),
    ),
    "parts of a matrix": kernel(
        (X, out("outs", type_named("mat22f"))),
        let("w", Apply(ROWS["mat22f()"], ())),
        loop(
            "j",
            2,
            part("w", At((number(1), j)), at("x"), type="mat22f"),
            part("w", At((j, j)), 1.0, "sub", type="mat22f"),
        ),
        put("outs", var("w", type_named("mat22f"))),
    ),
    "parts of elements": kernel(
        (X, out("outs", V3), accumulator(type=V3, size=None)),
        put_part("outs", 0, at("x"), lettered=True),
        when(POSITIVE, put_part("outs", 2, at("x"))),
        put_part("total", 1, at("x"), "sub"),
        put_part("total", 2, at("x"), "add"),
    ),
    "parts of elements that are scaled": kernel(
        (X, accumulator(type=V3, size=None)),
        put_part("total", 1, at("x")),
        AugStore("total", I, ROWS["mul(vec3f,float32)"], number(0.5)),
        when(POSITIVE, put_part("total", 0, at("x"), "add")),
        AugStore("total", I, ROWS["mul(vec3f,float32)"], number(3.0)),
    ),
    "part out of bounds": kernel(
        (X, out("outs", V3)),
        let("w", Apply(ROWS["vec3f()"], ())),
        part("w", I, at("x")),
        put("outs", var("w", V3)),
    ),
    "marked": kernel(
        (X, array("m", I32, 0, LANES - 1), replace(SEEN, name="set"), replace(SEEN, name="claimed")),
        when(
            POSITIVE,
            atomic(AtomicKind.EXCH, "set", number(2), at("m", I, I32)),
            atomic(AtomicKind.CAS, "claimed", number(2), at("m", I, I32)),
        ),
    ),
    "each node once": kernel(
        (NODES, replace(SEEN, high=0), COUNTER, out("kept", I32)),
        CLAIMED,
        when(do("equal", ints("old"), 0), TAKEN, put("kept", NODE, ints("slot"))),
    ),
    "nodes counted": kernel(
        (X, NODES, replace(SEEN, high=0), COUNTER),
        when(
            POSITIVE,
            replace(CLAIMED, kind=AtomicKind.EXCH),
            when(do("equal", ints("old"), 0), atomic(AtomicKind.ADD, "count", number(1))),
        ),
    ),
    "kept in turn": kernel(
        (X, COUNTER, out("kept", I32)),
        when(POSITIVE, TAKEN, put("kept", I, ints("slot"))),
    ),
    "kept in turn, after some have left": kernel(
        (X, COUNTER, out("kept", I32)),
        when(do("greater", at("x"), 0.5), Return()),
        TAKEN,
        put("kept", do("mul", I, I), ints("slot")),
    ),
    "scaled in place": kernel(
        (X, OUT), put("out", at("x")), when(POSITIVE, bump("out", "mul", number(3.0))), bump("out", "div", number(4.0))
    ),
    "bits in place": kernel(
        (WHOLE, accumulator(type=I32), accumulator("all", type=I32, size=None)),
        bump("all", "bit_xor", at("m", I, I32)),
        atomic(AtomicKind.OR, "total", at("m", I, I32)),
        atomic(AtomicKind.AND, "all", at("m", I, I32), I),
    ),
    "add to one element": kernel((WHOLE, accumulator(type=I32)), atomic(AtomicKind.ADD, "total", at("m", I, I32))),
    "sub from bins": kernel(
        (WHOLE, accumulator(type=I32, size=3)),
        atomic(AtomicKind.SUB, "total", at("m", I, I32), do("mod", I, 3)),
    ),
    "least": kernel((X, accumulator()), atomic(AtomicKind.MIN, "total", at("x"))),
    "greatest of some": kernel((X, accumulator()), when(POSITIVE, atomic(AtomicKind.MAX, "total", at("x")))),
    "atomic in a loop": kernel(
        (WHOLE, accumulator(type=I32, size=4)),
        loop("j", 4, atomic(AtomicKind.ADD, "total", at("m", I, I32), j)),
    ),
    "gather": kernel((X, OUT), put("out", at("x", do("mod", do("mul", I, 3), size("x"))))),
    "out of bounds": kernel((X, OUT), put("out", at("x", do("sub", I, 1)))),
    "store out of bounds": kernel((X, OUT), put("out", at("x"), do("add", I, 1))),
    "division by zero": kernel((WHOLE, COUNTS), put("counts", do("floordiv", 7, at("m", I, I32)))),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_kernel_by_hand_runs_as_lane_by_lane(name: str) -> None:
    by_hand = BY_HAND[name]
    inputs = inputs_for(by_hand, m=(-3, 0, 1, 2, 3, 4, 5, 6))
    assert run_plain(by_hand, inputs).undefined.any() == (name in UNDEFINED)
    assert_agrees(by_hand, inputs)


UNDEFINED = ("out of bounds", "part out of bounds", "store out of bounds", "division by zero")


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("if", [1.0, 1.0, 0.25, 1.0]),
        ("elif", [5.0, 7.0, 0.25, 7.0]),
        ("return after a store", [-2.0, -1.0, 1.0, 0.0]),
        ("return in an inner if", [1.0, 1.0, 4.0, 1.0]),
        ("loop", [-2.75] * 4),
        ("while", [-2.0, -1.0, 0.0625, 0.0]),
    ],
)
def test_results_written_down(name: str, result: list[float]) -> None:
    """So that both interpreters can't be wrong together."""
    by_hand = BY_HAND[name]
    inputs = inputs_for(by_hand, 4, x=[-2.0, -1.0, 0.25, 0.0, 0.0], out=[0.0] * 4)
    assert run_plain(by_hand, inputs).arrays["out"].tolist() == result
    assert lane_by_lane(by_hand, inputs)[0]["out"].tolist() == result


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("break", [1, 2, 4, 1]),
        ("continue", [1, 3, 4, 2]),
        ("break after a change", [101, 203, 410, 615]),
    ],
)
def test_whole_results_written_down(name: str, result: list[int]) -> None:
    by_hand = BY_HAND[name]
    inputs = inputs_for(by_hand, 4, x=[-2.0, 0.5, 1.0, 0.0], m=[1, 2, 4, 7])
    assert run_plain(by_hand, inputs).arrays["counts"].tolist() == result


def test_atomics_of_a_loop_written_down() -> None:
    by_hand = BY_HAND["atomic in a loop"]
    inputs = inputs_for(by_hand, 4, m=[1, 2, 3, 4], total=[0, 10, 20, 30])
    assert run_plain(by_hand, inputs).arrays["total"].tolist() == [10, 20, 30, 40]


# -- what else a run says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endless",
    [
        while_(number(True), change("v", "add", 1.0)),
        while_(POSITIVE, change("v", "add", 1.0)),
        loop("j", TRIP_LIMIT + 1, change("v", "add", 1.0)),
        loop("j", 3, while_(number(True), Continue())),
    ],
)
def test_endless_loop_raises(endless: Stmt) -> None:
    by_hand = kernel((X, OUT), let("v", 0.0), endless, put("out", v))
    with pytest.raises(EndlessLoopError):
        run_plain(by_hand, inputs_for(by_hand))


def test_long_loop_ends() -> None:
    by_hand = kernel((COUNTS,), let("s", 0), loop("j", TRIP_LIMIT - 1, change("s", "add", 1)), put("counts", ints("s")))
    assert set(run_plain(by_hand, inputs_for(by_hand)).arrays["counts"]) == {TRIP_LIMIT - 1}


def test_unknown_name_raises() -> None:
    by_hand = kernel((OUT,), put("out", v))
    with pytest.raises(KeyError):
        run_plain(by_hand, inputs_for(by_hand))


def test_only_active_lanes_are_undefined() -> None:
    """A guard that keeps a lane from dividing by zero keeps it defined."""
    divided = put("counts", do("floordiv", 7, at("m", I, I32)))
    guarded = kernel((WHOLE, COUNTS), when(do("not_equal", at("m", I, I32), 0), divided))
    inputs = inputs_for(guarded, 4, m=[0, 1, 2, 0])
    assert not run_plain(guarded, inputs).undefined.any()
    assert run_plain(kernel((WHOLE, COUNTS), divided), inputs).undefined.tolist() == [True, False, False, True]


def test_float_operations_out_of_their_domain_are_outside_not_undefined() -> None:
    rooted = kernel((X, OUT), put("out", do("sqrt", at("x"))))
    plain = run_plain(rooted, inputs_for(rooted, 4, x=[-1.0, 0.0, 1.0, -3.0]))
    assert plain.outside.tolist() == [True, False, False, True]
    assert not plain.undefined.any()


def floats(*launches: Sequence[float] | float) -> Lanes:
    return np.array(launches, np.float32)


def test_inputs_are_left_alone_and_launches_apart() -> None:
    """Each launch has memory of its own, and what the caller gave is not written to."""
    total = kernel((X, accumulator()), atomic(AtomicKind.ADD, "total", at("x")))
    inputs = Inputs(2, {"x": floats([1, 2], [10, 20]), "total": floats([0], [100])}, {})
    assert run_plain(total, inputs).arrays["total"].tolist() == [3, 130]
    assert inputs.arrays["total"].tolist() == [[0], [100]]


def test_each_launch_has_its_scalar() -> None:
    scaled = kernel((X, scalar("s"), OUT), put("out", do("mul", at("x"), var("s"))))
    arrays = {"x": floats([1, 2], [1, 2]), "out": floats([0, 0], [0, 0])}
    assert run_plain(scaled, Inputs(2, arrays, {"s": np.array([2, 3], np.float32)})).arrays["out"].tolist() == [
        2,
        4,
        3,
        6,
    ]


def test_ways_that_branches_went() -> None:
    condition, never = POSITIVE, do("greater", at("x"), 100.0)
    body = (when(condition, put("out", at("x"))), when(never, put("out", number(1.0))))
    plain = run_plain(kernel((X, OUT), *body), inputs_for(kernel((X, OUT), *body), 3, x=[-1.0, 1.0, 2.0]))
    assert plain.taken == {id(condition): (True, True), id(never): (False, True)}


def test_written_elements_are_known() -> None:
    by_hand = BY_HAND["store in one branch"]
    plain = run_plain(by_hand, inputs_for(by_hand, 3, x=[-1.0, 1.0, 2.0]))
    assert plain.written["out"].tolist() == [False, True, True]
    assert not plain.written["x"].any()


def test_precision_is_the_type_s() -> None:
    for type in (F32, F64):
        third = kernel((out(type=type),), put("out", do("div", Const(type, 1.0), Const(type, 3.0))))
        assert run_plain(third, inputs_for(third, 1)).arrays["out"][0] == type.dtype.type(1) / type.dtype.type(3)


@pytest.mark.parametrize("kind", [kind for kind in AtomicKind if kind not in (*BITWISE, *MARKING)])
def test_atomics_meet_nan_as_warp_does(kind: AtomicKind) -> None:
    """Extremes pass over NaN, sums don't."""
    by_hand = kernel((X, accumulator()), atomic(kind, "total", at("x")))
    plain = run_plain(by_hand, inputs_for(by_hand, 3, x=[1.0, np.nan, 2.0], total=[1.5]))
    assert np.isnan(plain.arrays["total"][0]) == (kind in (AtomicKind.ADD, AtomicKind.SUB))


SEVERAL = (0, -3, 1, 2, 3, 5, 17, 100)


class Apart(Plain):
    """Composites in parts, as in any other algebra."""

    stacked = False


@pytest.mark.parametrize("op", [op for op in TABLE if isinstance(op.meaning, Alike)], ids=lambda op: op.key)
def test_what_is_done_to_composites_at_once_is_what_is_done_to_each_scalar(op: Op) -> None:
    rng = np.random.default_rng(0)
    args = [rng.choice(SEVERAL, (*([p.width] * isinstance(p, Composite)), 128)).astype(p.dtype) for p in op.params]
    inputs = Inputs(64, {"": np.zeros((2, 64))}, {})
    once, apart = Plain.on(inputs), Apart.on(inputs)
    with np.errstate(all="ignore"):
        one, other = (Interpreter(plain, inputs) for plain in (once, apart))
        (result,), (expected,) = one.each(op, args, one.everywhere), other.each(op, args, other.everywhere)
    assert (result.dtype, result.shape, result.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    assert np.array_equal(once.undefined, apart.undefined)
    assert np.array_equal(once.outside, apart.outside)
