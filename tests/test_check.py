"""The checker: it accepts what grows, and names each kind of fault planted in it.

The key insight: a checker that accepts everything passes the first test, so the rest plants one fault at a time, by
hand and at random places of grown kernels, and asks for the complaint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from grammar.atomics import AtomicKind
from grammar.check import problems
from grammar.evaluate import EndlessLoopError
from grammar.op import Op
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.tree import Apply, AugAssign, Break, Const, Continue, Kernel, Return, Stmt, Term, Thread, Var
from grammar.types import BOOL, F32, F64, I32, type_named
from tests.builders import (
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
    edits,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    outputs,
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
from validate.edits import in_terms

v, w, flag = var("v"), var("w"), var("flag", BOOL)
POSITIVE = do("greater", at("x"), 0.0)
N = scalar("n", I32, 3, 6)
PUT = put("out", at("x"))
ADD = ROWS["add(float32,float32)"]
BETWEEN = ROWS["between[LessThan,LessThan](float32,float32,float32)"]
V3 = type_named("vec3f")
BLOCK = type_named("tileblockf")
SUMS = accumulator("sums", BLOCK)
OF_BLOCK = do("tile_sum", do("tile", do("mul", at("x"), 2.0)))
ADDED = atomic(AtomicKind.ADD, "sums", OF_BLOCK)
TILE = type_named("tile4x4f")
T, ACC = at("t", I, TILE), var("acc", TILE)
TILES, TILES_OUT = array("t", TILE), out("tiles", TILE)
MATMUL = ROWS["tile_matmul(tile4x4f,tile4x4f,tile4x4f)"]
ADD_PRODUCT, PUT_ACC = let("acc", Apply(MATMUL, (ACC, var("s", TILE), var("s", TILE)))), put("tiles", ACC)
LINE, KEYS, PAYLOAD = type_named("tile4f"), var("keys", type_named("tile4i")), var("v", type_named("tile4f"))
SORTED = (array("t", LINE), array("cells", KEYS.type), out("line", LINE))
BY_KEYS = ROWS["tile_sort(tile4f,tile4i)"]
SORT = (let("v", at("t", I, LINE)), let("keys", at("cells", I, KEYS.type)), let("v", Apply(BY_KEYS, (PAYLOAD, KEYS))))
OUTS, EMPTY = out("outs", V3), let("w", Apply(ROWS["vec3f()"], ()))
AT_VS = at("vs", I, V3)
MOMENTA, V5 = accumulator("momenta", V3, None), type_named("vec5f")


def test_what_grows_is_a_kernel() -> None:
    for sample in samples():
        assert problems(sample.kernel) == (), sample


def test_deep_kernels_too() -> None:
    for sample in samples(1, (12,)):
        assert problems(sample.kernel) == (), sample


# -- what is no fault -------------------------------------------------------------------------------------------------

SOUND: dict[str, Kernel] = {
    "smallest": kernel((X, OUT), PUT),
    "assigned both ways": kernel((X, OUT), when(POSITIVE, let("v", 1.0), orelse=(let("v", at("x")),)), put("out", v)),
    "assigned where one way returns": kernel(
        (X, OUT), when(POSITIVE, let("v", at("x")), orelse=(Return(),)), put("out", v)
    ),
    "assigned where one way goes on with the loop": kernel(
        (X, OUT),
        let("s", 0.0),
        loop("j", 3, when(POSITIVE, Continue(), orelse=(let("v", at("x")),)), change("s", "add", v)),
        put("out", var("s")),
    ),
    "inner ways that return": kernel(
        (X, OUT),
        when(POSITIVE, when(do("less", at("x"), 1.0), Return(), orelse=(Return(),)), orelse=(let("v", at("x")),)),
        put("out", v),
    ),
    "local of a loop": kernel((X, OUT), loop("j", 3, let("v", at("x")), put("out", v))),
    "start of a loop": kernel(
        (X, N, OUT), let("v", 0.0), loop("j", size("x"), change("v", "add", 1.0), start=ints("n")), put("out", v)
    ),
    "condition on a local bool": kernel((X, OUT), let("flag", POSITIVE), when(flag, PUT)),
    "chain of comparisons": kernel((X, OUT), when(Apply(BETWEEN, (at("x"), at("x"), number(1.0))), PUT)),
    "constant of Warp's": kernel((X, OUT), put("out", do("mul", at("x"), Const(F32, math.pi, "wp.pi")))),
    "parts": kernel((X, OUTS), EMPTY, part("w", 0, at("x")), put("outs", var("w", V3))),
    "parts of elements": kernel((X, OUTS), put_part("outs", 0, at("x")), put_part("outs", 2, at("x"), lettered=True)),
    "part of an element added to": kernel((X, MOMENTA), put_part("momenta", 1, at("x"), "add")),
    "scaling": kernel((X, OUT), PUT, bump("out", "mul", number(2.0))),
    "atomics": kernel((X, accumulator()), atomic(AtomicKind.MIN, "total", at("x"))),
    "augmented store": kernel((X, accumulator(size=None)), bump("total", "add", at("x"))),
    "while": kernel(
        (X, OUT), let("v", at("x")), while_(do("less", v, 3.0), change("v", "add", 1.0), Continue()), put("out", v)
    ),
    "input that is an index": kernel(
        (X, Param("at", array("at", I32).type, Role.INDEX), OUT), put("out", at("x", at("at", I, I32)))
    ),
    "product added in place": kernel(
        (TILES, TILES_OUT), let("acc", T), loop("j", 3, let("s", T), ADD_PRODUCT), PUT_ACC
    ),
    "product added in place to a new tile of each trip": kernel(
        (TILES, TILES_OUT), let("s", T), loop("j", 3, let("acc", T), ADD_PRODUCT, PUT_ACC)
    ),
    "sum over a block": kernel((X, SUMS), ADDED),
    "sum over a block, with names": kernel(
        (X, SUMS),
        let("v", at("x")),
        let("t", do("tile", v)),
        let("s", do("tile_sum", var("t", type_named("tilethreadsf")))),
        atomic(AtomicKind.ADD, "sums", var("s", BLOCK)),
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_kernels_have_no_problems(name: str) -> None:
    assert problems(SOUND[name]) == ()


# -- planted faults ---------------------------------------------------------------------------------------------------


def body_of(*body: Stmt, params: tuple[Param, ...] = (X, OUT)) -> Kernel:
    return kernel(params, *body)


FAULTY: dict[str, tuple[Kernel, str]] = {
    "undefined name": (body_of(put("out", do("add", at("x"), v))), "v may be unassigned here"),
    "name used before it is assigned": (
        body_of(put("out", do("add", at("x"), v)), let("v", 1.0)),
        "v may be unassigned here",
    ),
    "name of another type": (body_of(let("v", 1), put("out", do("add", at("x"), v))), "is no float32"),
    "assigned in one branch": (body_of(when(POSITIVE, let("v", 1.0)), put("out", v)), "v may be unassigned"),
    "assigned in the other branch": (
        body_of(when(POSITIVE, PUT, orelse=(let("v", 1.0),)), put("out", v)),
        "v may be unassigned",
    ),
    "assigned in two arms of three": (
        body_of(
            when(
                POSITIVE,
                let("v", 1.0),
                orelse=(when(do("less", at("x"), -1.0), let("v", 2.0), orelse=(let("w", 3.0), put("out", w))),),
            ),
            put("out", v),
        ),
        "v may be unassigned",
    ),
    "assigned only where the way returns": (
        body_of(when(POSITIVE, let("v", 1.0), put("out", v), Return()), put("out", v)),
        "v may be unassigned",
    ),
    "assigned only in a loop": (
        body_of(loop("j", ints("n"), let("v", at("x"))), put("out", v), params=(X, N, OUT)),
        "v may",
    ),
    "assigned only in a while": (
        body_of(let("w", at("x")), while_(do("less", w, 0.0), change("w", "add", 1.0), let("v", w)), put("out", v)),
        "v may",
    ),
    "loop variable after the loop": (
        body_of(loop("j", 3, PUT), put("counts", ints("j")), params=(X, OUT, out("counts", I32))),
        "j may be unassigned",
    ),
    "augmented before it is assigned": (body_of(change("v", "add", at("x")), put("out", v)), "augmented"),
    "local that changes its type": (
        body_of(let("v", 1.0), put("out", v), let("v", 2), put("counts", ints("v")), params=(OUT, out("counts", I32))),
        "local v changes its type",
    ),
    "operation on other types": (
        body_of(put("out", Apply(ADD, (at("x"), number(1))))),
        "add(float32,float32) is applied to other types",
    ),
    "element at the end of a chain": (
        body_of(when(Apply(BETWEEN, (number(0.0), number(1.0), at("x"))), PUT)),
        "an element of an array for the last of three",
    ),
    "constant of Warp's that is another": (
        body_of(put("out", do("mul", at("x"), Const(F32, 3.0, "wp.pi")))),
        "wp.pi is not 3.0",
    ),
    "operation on too few": (body_of(put("out", Apply(ADD, (at("x"),)))), "is applied to other types"),
    "operation on too many": (body_of(put("out", Apply(ADD, (at("x"),) * 3))), "is applied to other types"),
    "constant of Warp's that is Python's": (
        body_of(put("out", do("mul", at("x"), Const(F32, math.pi, "wp.pi", static=True)))),
        "wp.pi is no number of Python's",
    ),
    "number of Python's without a name": (
        body_of(put("out", do("mul", at("x"), Const(F32, 3.0, static=True)))),
        "3.0 is no number of Python's",
    ),
    "number of Python's and constant of the module": (
        body_of(
            let("v", do("mul", at("x"), Const(F32, 9.8, "GRAVITY", static=True))),
            put("out", do("add", v, Const(F32, 9.8, "GRAVITY"))),
        ),
        "GRAVITY is two constants",
    ),
    "whole literal of a float": (body_of(put("out", do("add", at("x"), Const(F32, 1)))), "1 is no float32"),
    "float literal of an int": (body_of(put("out", at("x", Const(I32, 1.0)))), "1.0 is no int32"),
    "bool literal of an int": (body_of(put("out", at("x", Const(I32, True)))), "True is no int32"),
    "whole literal of a bool": (body_of(when(Const(BOOL, 1), PUT)), "1 is no bool"),
    "stored value of another type": (body_of(put("out", number(1)), PUT), "a value of type int32 is written to out"),
    "stored at a float": (body_of(put("out", at("x"), at("x"))), "at an index that is not an int32"),
    "read at a float": (body_of(put("out", at("x", at("x")))), "x is indexed by a float32"),
    "read of another type": (
        body_of(put("out", at("x")), put("wide", at("x", I, F64)), params=(X, OUT, out("wide", F64))),
        "x holds no float64",
    ),
    "read of an unknown array": (body_of(PUT, put("out", at("z"))), "z is no array"),
    "read of a scalar": (body_of(PUT, put("out", at("s")), params=(X, scalar("s"), OUT)), "s is no array"),
    "length of a scalar": (
        body_of(PUT, put("out", at("x", size("n"))), params=(X, N, OUT)),
        "n is no array",
    ),
    "array as a value": (body_of(put("out", do("add", at("x"), var("x")))), "x may be unassigned here"),
    "condition that is a number": (body_of(when(I, PUT)), "a condition is not a bool"),
    "while a number": (
        body_of(let("v", at("x")), while_(v, change("v", "sub", 1.0)), put("out", v)),
        "a condition is not a bool",
    ),
    "bound that is a float": (body_of(loop("j", at("x"), PUT)), "a loop bound is not an int32"),
    "step that is a float": (
        body_of(loop("j", 3, PUT, start=number(0), step=at("x"))),
        "a loop bound is not an int32",
    ),
    "step of nothing": (body_of(loop("j", 3, PUT, start=number(0), step=number(0))), "a loop steps by nothing"),
    "step without a start": (body_of(loop("j", 3, PUT, step=number(2))), "a loop has a step but no start"),
    "start that is a float": (body_of(loop("j", 3, PUT, start=at("x"))), "a loop bound is not an int32"),
    "unused array": (body_of(PUT, params=(X, array("y"), OUT)), "parameter y is not used"),
    "unused scalar": (body_of(PUT, params=(X, scalar("s"), OUT)), "parameter s is not used"),
    "unused output": (body_of(PUT, params=(X, OUT, out("other"))), "parameter other is not used"),
    "unread local": (body_of(let("v", at("x")), PUT), "local v is never read"),
    "local read by itself only": (
        body_of(let("v", 1.0), change("v", "add", 1.0), let("v", do("mul", v, 2.0)), PUT),
        "local v is never read",
    ),
    "break outside of a loop": (body_of(PUT, when(POSITIVE, Break())), "break outside of a loop"),
    "continue outside of a loop": (body_of(PUT, when(POSITIVE, Continue())), "continue outside of a loop"),
    "return inside of a loop": (body_of(loop("j", 3, PUT, when(POSITIVE, Return()))), "return inside of a loop"),
    "statement after return": (
        body_of(when(POSITIVE, Return(), PUT), PUT),
        "statements after return are never reached",
    ),
    "statement after break": (body_of(loop("j", 3, Break(), PUT)), "statements after break are never reached"),
    "statement after continue": (body_of(loop("j", 3, Continue(), PUT)), "statements after continue are never reached"),
    "output that is read": (body_of(put("out", do("add", at("x"), at("out")))), "output out is read"),
    "sum that is read": (
        body_of(atomic(AtomicKind.ADD, "total", do("add", at("x"), at("total", number(0)))), params=(X, accumulator())),
        "output total is read",
    ),
    "input that is written": (body_of(PUT, put("x", number(1.0))), "x is written but is no output"),
    "input that is summed into": (
        body_of(PUT, atomic(AtomicKind.ADD, "x", number(1.0))),
        "x is written but is no output",
    ),
    "input that is augmented": (body_of(PUT, bump("x", "add", number(1.0))), "x is written but is no output"),
    "unknown output": (body_of(PUT, put("z", number(1.0))), "z is written but is no output"),
    "parameter that is assigned to": (
        body_of(let("s", 1.0), put("out", do("mul", at("x"), var("s"))), params=(X, scalar("s"), OUT)),
        "parameter s is assigned to",
    ),
    "thread index taken twice": (
        body_of(Thread("k"), put("out", at("x", ints("k")))),
        "the thread index is taken twice",
    ),
    "thread index in a branch": (
        body_of(when(POSITIVE, Thread("k"), put("out", at("x", ints("k"))))),
        "the thread index is taken twice",
    ),
    "augmented by a call": (
        body_of(let("v", 1.0), AugAssign("v", ROWS["max(float32,float32)"], at("x")), put("out", v)),
        "an augmented assignment has no such operator",
    ),
    "augmented by a comparison": (
        body_of(let("v", 1.0), AugAssign("v", ROWS["less(float32,float32)"], at("x")), put("out", v)),
        "an augmented assignment has no such operator",
    ),
    "augmented by another type": (
        body_of(let("v", 1.0), AugAssign("v", ADD, I), put("out", do("mul", v, at("x")))),
        "an augmented assignment has no such operator",
    ),
    "part of a parameter": (
        kernel((scalar("w", V3), X, OUTS), part("w", 0, at("x")), put("outs", var("w", V3))),
        "a part of w is assigned to, which is no local of that type",
    ),
    "part that there isn't": (
        kernel((X, OUTS), EMPTY, part("w", 3, at("x")), put("outs", var("w", V3))),
        "w has no such part",
    ),
    "letter of a long local": (
        kernel(
            (X, out("outs", V5)),
            let("w", Apply(ROWS["vec5f()"], ())),
            part("w", 4, at("x"), lettered=True, type="vec5f"),
            put("outs", var("w", V5)),
        ),
        "no part of w has a letter",
    ),
    "part given an int": (
        kernel((X, OUTS), EMPTY, part("w", 0, I), put("outs", var("w", V3))),
        "a part of w is given another type",
    ),
    "letter that is computed": (
        kernel((X, OUTS), EMPTY, part("w", I, at("x"), lettered=True), put("outs", var("w", V3))),
        "no part of w has a letter",
    ),
    "part of an input": (
        kernel((X, array("vs", V3), OUT), PUT, put_part("vs", 0, at("x"))),
        "vs is written but is no output",
    ),
    "part of an element that there isn't": (
        kernel((X, OUTS), put_part("outs", 3, at("x"))),
        "the elements of outs have no such part",
    ),
    "part of a scalar": (
        kernel((X, OUT), put_part("out", 0, at("x"))),
        "a value of type float32 is written to out",
    ),
    "part of an element given an int": (kernel((X, OUTS), put_part("outs", 0, I)), "a part of outs is given another"),
    "letter of a long vector": (
        kernel((X, out("outs", type_named("vec5f"))), put_part("outs", 4, at("x"), lettered=True, type="vec5f")),
        "the elements of outs have no such part",
    ),
    "part of a rotation": (
        kernel((X, out("outs", type_named("quatf"))), put_part("outs", 0, at("x"), type="quatf")),
        "the elements of outs have no parts",
    ),
    "part of an element scaled": (
        kernel((X, MOMENTA), put_part("momenta", 0, at("x"), "mul")),
        "a part of momenta is changed by an operator that is no atomic",
    ),
    "part of what holds nothing added to": (
        kernel((X, OUTS), put_part("outs", 0, at("x"), "add")),
        "outs is updated in place but holds no numbers",
    ),
    "part that another thread adds to": (
        kernel(
            (X, array("vs", V3), MOMENTA), put_part("momenta", 0, at("x")), atomic(AtomicKind.ADD, "momenta", AT_VS)
        ),
        "momenta is changed by its threads and by others",
    ),
    "part of another thread's element": (
        kernel((X, OUTS), replace(put_part("outs", 0, at("x")), index=number(0))),
        "outs is changed by its threads and by others",
    ),
    "element scaled before it holds anything": (body_of(bump("out", "mul", at("x"))), "out is changed before"),
    "element of another scaled": (
        kernel((X, accumulator("out", size=None)), bump("out", "mul", at("x"), number(0))),
        "out is changed at an index that is not the thread's own",
    ),
    "element scaled that others add to": (
        kernel(
            (X, accumulator("out", size=None)),
            bump("out", "mul", at("x")),
            atomic(AtomicKind.ADD, "out", at("x")),
        ),
        "out is changed by its threads and by others",
    ),
    "marked by what differs": (
        kernel((array("m", I32), accumulator(type=I32)), atomic(AtomicKind.EXCH, "total", at("m", I, I32))),
        "total is marked by what is no whole number",
    ),
    "marked by a float": (
        kernel((accumulator(),), atomic(AtomicKind.CAS, "total", number(1.0))),
        "total is marked by what is no whole number",
    ),
    "marked in two ways": (
        kernel(
            (X, accumulator(type=I32)),
            when(POSITIVE, atomic(AtomicKind.EXCH, "total", number(1))),
            atomic(AtomicKind.EXCH, "total", number(2)),
        ),
        "total is marked in more than one way",
    ),
    "marked and added to": (
        kernel(
            (accumulator(type=I32),),
            atomic(AtomicKind.CAS, "total", number(1)),
            atomic(AtomicKind.ADD, "total", number(1)),
        ),
        "total is marked in more than one way",
    ),
    "bits of floats": (
        kernel((X, accumulator()), atomic(AtomicKind.OR, "total", at("x"))),
        "there is no atomic_or of float32",
    ),
    "product added in place to what was read": (
        kernel((TILES, TILES_OUT), let("acc", T), let("s", do("mul", ACC, T)), ADD_PRODUCT, PUT_ACC),
        "acc is changed in place, which has been read before",
    ),
    "product of a tile added to it": (
        kernel((TILES, TILES_OUT), let("acc", T), let("acc", Apply(MATMUL, (ACC, ACC, T))), PUT_ACC),
        "acc is changed in place by what is made of it",
    ),
    "product added in place to what the trip before read": (
        kernel((TILES, TILES_OUT), let("s", T), let("acc", T), loop("j", 3, ADD_PRODUCT, PUT_ACC)),
        "acc is changed in place, which the trip before has read",
    ),
    "product added in place to what another tile is": (
        kernel(
            (TILES, TILES_OUT),
            let("s", T),
            let("acc", Apply(ROWS["tile_transpose(tile4x4f)"], (T,))),
            ADD_PRODUCT,
            PUT_ACC,
        ),
        "acc is changed in place, which is a part of another tile",
    ),
    "product added in place, to another local": (
        kernel(
            (TILES, TILES_OUT),
            let("acc", T),
            let("s", T),
            let("other", Apply(MATMUL, (ACC, var("s", TILE), T))),
            put("tiles", var("other", TILE)),
        ),
        "changes another local than it is assigned to",
    ),
    "product added in place, as a value": (
        kernel((TILES, TILES_OUT), let("acc", T), put("tiles", Apply(MATMUL, (ACC, T, T)))),
        "stands where a value should",
    ),
    "keys read after they were sorted": (
        kernel(SORTED, *SORT, put("line", do("tile_sum", KEYS))),
        "keys may be unassigned here",
    ),
    "keys without a name": (
        kernel(SORTED, SORT[0], let("v", Apply(BY_KEYS, (PAYLOAD, at("cells", I, KEYS.type)))), put("line", PAYLOAD)),
        "changes what has been read before, or has no name",
    ),
    "keys that were read before": (
        kernel(SORTED, *SORT[:2], let("sum", do("tile_sum", KEYS)), SORT[2], put("line", PAYLOAD)),
        "changes what has been read before, or has no name",
    ),
    "product added in place to nothing": (
        kernel((TILES, TILES_OUT), let("s", T), ADD_PRODUCT, PUT_ACC),
        "acc is changed in place, which is no local of that type",
    ),
    "product of others added in place": (
        kernel((TILES, TILES_OUT), let("acc", T), let("acc", Apply(MATMUL, (ACC, T))), PUT_ACC),
        "is applied to other types",
    ),
    "sum over a block of elements": (
        kernel((X, SUMS), atomic(AtomicKind.ADD, "sums", do("tile_sum", do("tile", at("x"))))),
        "tile(float32) has an element of an array, or a field, for its value",
    ),
    "sum over a block that some leave": (
        kernel((X, SUMS), when(POSITIVE, Return()), ADDED),
        "where not all of a block need come",
    ),
    "sum over a block in a branch": (kernel((X, SUMS), when(POSITIVE, ADDED)), "where not all of a block need come"),
    "sum over a block that is stored": (
        kernel((X, out("sums", BLOCK)), put("sums", OF_BLOCK)),
        "what is stored to sums depends on how many threads are in a block",
    ),
    "sum over a block added to many": (
        kernel((X, accumulator("sums", BLOCK, None)), atomic(AtomicKind.ADD, "sums", OF_BLOCK, I)),
        "not all threads of a block add to the same place of sums",
    ),
    "sum over a block, and parts of arrays": (
        kernel(
            (X, array("y", type_named("tile4f")), SUMS, out("out", type_named("tile4f"))),
            ADDED,
            put("out", at("y", I, type_named("tile4f"))),
        ),
        "which all do the same for parts of arrays",
    ),
    "sum over a block that is loaded": (
        kernel((array("y", BLOCK), SUMS), atomic(AtomicKind.ADD, "sums", at("y", I, BLOCK))),
        "y holds what blocks of threads come to before they have",
    ),
    "least of a block": (
        kernel((X, SUMS), atomic(AtomicKind.MIN, "sums", OF_BLOCK)),
        "there is no atomic_min of tiles",
    ),
    "if without a body": (body_of(when(POSITIVE), PUT), "an if has no body"),
    "two parameters of a name": (body_of(PUT, params=(X, X, OUT)), "x is declared twice"),
    "parameter named as the kernel": (replace(body_of(PUT), name="x"), "x is declared twice"),
    "no thread index": (
        Kernel("k", (X, OUT), (put("out", at("x", number(0)), number(0)),), ""),
        "the first statement is not",
    ),
    "nothing": (Kernel("k", (X, OUT), (), ""), "the first statement is not the thread index"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_planted_fault_is_named(name: str) -> None:
    faulty, complaint = FAULTY[name]
    assert any(complaint in problem for problem in problems(faulty)), problems(faulty)


# -- faults at random places ------------------------------------------------------------------------------------------


@pytest.mark.no_cover
def test_dropping_a_definition_is_noticed() -> None:
    """Where the evaluator misses a name, the checker complains."""
    missed = 0
    for sample in samples(1):
        for stmt, rest in edits(sample.kernel.body):
            dropped = replace(sample.kernel, body=rest)
            try:
                outputs(dropped, sample.inputs)
            except KeyError:
                missed += 1
                assert problems(dropped), f"{sample} without {stmt}"
            except EndlessLoopError:
                pass
    assert missed > 100


def test_dropping_a_parameter_is_noticed() -> None:
    for sample in samples(1):
        for param in sample.kernel.params:
            rest = tuple(p for p in sample.kernel.params if p is not param)
            assert problems(replace(sample.kernel, params=rest)), f"{sample} without {param.name}"


def test_a_parameter_of_another_type_is_noticed() -> None:
    for sample in samples(1):
        for k, param in enumerate(sample.kernel.params):
            other = replace(param, type=array("", F64 if param.element is not F64 else F32).type)
            params = (*sample.kernel.params[:k], other, *sample.kernel.params[k + 1 :])
            assert problems(replace(sample.kernel, params=params)), f"{sample} with {param.name} of {other.type}"


@pytest.mark.no_cover
def test_an_operation_of_other_types_is_noticed() -> None:
    """Each operation becomes some of its overloads on other types, its arguments staying as they are."""
    changed: set[tuple[Op, Op]] = set()

    def overloaded(term: Term) -> Iterator[Term]:
        if isinstance(term, Apply):
            for op in [op for op in OVERLOADS[term.op.name] if op.params != term.op.params][:SOME]:
                if (term.op, op) not in changed:
                    changed.add((term.op, op))
                    yield Apply(op, term.args)

    for sample in samples(1):
        for body in in_terms(sample.kernel.body, overloaded):
            assert problems(replace(sample.kernel, body=body)), sample
    assert len(changed) > 1000


SOME = 4
OVERLOADS = {name: tuple(op for op in ROWS.values() if op.name == name) for name in {op.name for op in ROWS.values()}}


def test_a_variable_of_another_name_is_noticed() -> None:
    for sample in samples(1):
        thread = sample.kernel.body[0]
        assert isinstance(thread, Thread)
        renamed = replace(sample.kernel, body=(Thread("nobody"), *sample.kernel.body[1:]))
        assert f"{thread.name} may be unassigned here, or is no int32" in problems(renamed), sample


def test_problems_are_of_the_tree_alone() -> None:
    """Families, seeds and roles' ranges don't matter: nothing the grower knows is asked for."""
    by_hand = kernel((X, OUT), put("out", do("add", at("x"), Var("nobody", F32))))
    assert problems(replace(by_hand, family="anything")) == problems(by_hand) != ()
