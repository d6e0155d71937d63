"""The known defects of Warp still stand: each has an idiom that is recognised and a reproducer that is replayed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from grammar.defects import DEFECTS, Defect, defect
from grammar.ops import row
from grammar.params import Param, Role
from grammar.tree import (
    Apply,
    Assign,
    AugAssign,
    Break,
    Const,
    For,
    Function,
    If,
    Invoke,
    Kernel,
    Read,
    Return,
    Sample,
    Store,
    Term,
    Thread,
    Var,
)
from grammar.types import F32, F64, I32, U32, Array, type_named

REPRODUCERS = Path(__file__).parent.parent / "corpus" / "regressions" / "defects"


def test_each_defect_has_a_reproducer_and_each_reproducer_a_defect() -> None:
    assert {known.name for known in DEFECTS} == {path.stem for path in REPRODUCERS.glob("*.py")}
    assert len({known.name for known in DEFECTS}) == len(DEFECTS)


@pytest.mark.warp
@pytest.mark.parametrize("known", DEFECTS, ids=lambda known: known.name)
def test_the_defect_still_stands(known: Defect) -> None:
    """When this fails Warp has mended it: take the entry out of the list, and let bulk runs grow the idiom."""
    command = [sys.executable, str(REPRODUCERS / f"{known.name}.py")]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert outcome.returncode == 0, f"{known.name} no longer shows: {outcome.stdout[-300:]}{outcome.stderr[-300:]}"


@pytest.mark.warp
@pytest.mark.parametrize("path", sorted((REPRODUCERS.parent / "elsewhere").glob("*.py")), ids=lambda path: path.stem)
def test_a_defect_that_no_bulk_kernel_meets_still_stands(path: Path) -> None:
    """When this fails Warp has mended it: see who works around it (`validate.axes`)."""
    outcome = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert outcome.returncode == 0, f"{path.stem} no longer shows: {outcome.stdout[-300:]}{outcome.stderr[-300:]}"


LANE, X, Y = Var("i", I32), Read("x", Var("i", I32), F32), Read("y", Var("i", I32), F32)
PARAMS = (
    Param("x", Array(F32), Role.VALUE),
    Param("y", Array(F32), Role.VALUE),
    Param("out", Array(F32), Role.OUT),
)


def kernel(*body: object) -> Kernel:
    return Kernel("k", PARAMS, (Thread("i"), *body), "arithmetic")  # type: ignore[arg-type] # statements all


def test_idioms_are_recognised_and_their_harmless_kin_are_not() -> None:
    mod, add, less = row("mod(float32,float32)"), row("add(float32,float32)"), row("less(float32,float32)")
    half = Const(F32, 0.5)
    assert _named(kernel(Store("out", LANE, Apply(mod, (X, Y))))) == "remainder-divisor-gradient"
    assert _named(kernel(Store("out", LANE, Apply(mod, (X, half))))) == ""
    leave = If(Apply(less, (X, half)), (Break(),))
    total = Assign("total", Const(F32, 0.0))
    loop = For("j", None, Const(I32, 4), (leave, AugAssign("total", add, Y)))
    assert _named(kernel(total, loop, Store("out", LANE, Var("total", F32)))) == "break-gradient"
    calm = For("j", None, Const(I32, 4), (AugAssign("total", add, Y),))
    assert _named(kernel(total, calm, Store("out", LANE, Var("total", F32)))) == ""
    wide = Apply(row("float64(int32)"), (Var("j", I32),))
    element = Apply(row("float64(float32)"), (Read("x", Var("j", I32), F32),))
    alone = AugAssign("total", row("add(float64,float64)"), wide)
    widened = AugAssign("total", row("add(float64,float64)"), Apply(row("mul(float64,float64)"), (element, wide)))
    start = Assign("total", Const(F64, 0.0))
    assert _named(kernel(start, For("j", None, Const(I32, 4), (widened,)))) == "float64-of-constant"
    assert _named(kernel(start, For("j", None, Const(I32, 40), (widened,)))) == ""
    assert _named(kernel(start, For("j", None, Const(I32, 4), (alone,)))) == ""


def test_a_whole_number_is_divided_by_what_a_loop_counts() -> None:
    add, quotient = row("add(int32,int32)"), row("floordiv(int32,int32)")
    count, start = Var("c", I32), Assign("c", Const(I32, 0))
    trip = AugAssign("c", add, Const(I32, 1))
    at_run_time = For("j", None, Apply(row("mod(int32,int32)"), (LANE, Const(I32, 3))), (trip,))

    def named(loop: For, *args: Term) -> str:
        value = Apply(row("mul(float32,float32)"), (X, Apply(row("float32(int32)"), (Apply(quotient, args),))))
        return _named(kernel(start, loop, Store("out", LANE, value)))

    assert named(at_run_time, Const(I32, 12), count) == "stale-divisor-crash"
    assert named(at_run_time, count, Const(I32, 2)) == ""
    assert named(For("j", None, Const(I32, 3), (trip,)), Const(I32, 12), count) == ""
    inner = Function("share", (Var("n", I32),), (Return(Apply(quotient, (Const(I32, 12), Var("n", I32)))),), I32)
    value = Apply(row("mul(float32,float32)"), (X, Apply(row("float32(int32)"), (Invoke(inner, (count,)),))))
    assert _named(kernel(start, at_run_time, Store("out", LANE, value))) == "stale-divisor-crash"


def test_a_tile_is_transposed_after_it_was_used_or_before() -> None:
    type = type_named("tile4x4f")
    turned, square = row("tile_transpose(tile4x4f)"), row("mul(tile4x4f,tile4x4f)")
    tile, params = Var("t", type), tuple(replace(param, type=Array(type)) for param in PARAMS)

    def named(*terms: Term) -> str:
        stores = (Store("out", LANE, term) for term in terms)
        found = defect(Kernel("k", params, (Thread("i"), Assign("t", Read("x", LANE, type)), *stores), "tile_gemm"))
        return "" if found is None else found.name

    after, before = Apply(square, (tile, Apply(turned, (tile,)))), Apply(square, (tile, tile))
    beside = Apply(row("sub(tile4x4f,tile4x4f)"), (before, Apply(turned, (tile,))))
    assert named(before, Apply(turned, (tile,))) == named(beside) == "tile-transpose-gradient"
    assert named(after) == named(after, before) == named(tile, Apply(turned, (tile,))) == ""


def test_a_tile_is_read_as_a_number_and_shared_by_whatever_name() -> None:
    one = type_named("tile1f")
    params = tuple(replace(param, type=Array(one)) for param in PARAMS[:1])
    read, first = (Apply(row(key), (Var("t", one),)) for key in ("untile(tile1f)", "extract[0](tile1f)"))
    spread = Apply(row("tile_broadcast[4](tile1f)"), (Var("u", one),))
    tile, other = Assign("t", Read("x", LANE, one)), Assign("u", Var("t", one))

    def named(*terms: Term) -> str:
        stores = (Store("out", LANE, term) for term in terms)
        return _named(Kernel("k", params, (Thread("i"), tile, other, *stores), "tile_reduction"))

    assert named(read, first) == named(read, spread) == "untile-shared-gradient"
    assert named(read, read) == named(first, spread) == ""


def test_a_tile_is_solved_for_a_broadcast_by_whatever_name() -> None:
    square, line, one = (type_named(name) for name in ("tile4x4f", "tile4f", "tile1f"))
    params = tuple(Param(name, Array(t), Role.VALUE, -2, 2) for name, t in (("a", square), ("y", line), ("z", one)))
    side, solve = (
        Apply(row("tile_broadcast[4](tile1f)"), (Read("z", LANE, one),)),
        row("tile_lower_solve(tile4x4f,tile4f)"),
    )

    def named(right: Term, *before: Assign) -> str:
        stored = Store("out", LANE, Apply(solve, (Read("a", LANE, square), right)))
        return _named(Kernel("k", params, (Thread("i"), *before, stored), "tile_reduction"))

    assert named(side) == named(Var("s", line), Assign("s", side)) == "tile-broadcast-layout"
    assert named(Var("t", line), Assign("s", side), Assign("t", Var("s", line))) == "tile-broadcast-layout"
    spread = Apply(row("tile_broadcast[4x4](tile4f)"), (Read("y", LANE, line),))
    added = Apply(row("tile_diag_add(tile4x4f,tile4f)"), (spread, Read("y", LANE, line)))
    assert named(Var("t", line), Assign("t", Apply(row("tile_sum[1](tile4x4f)"), (added,)))) == "tile-broadcast-layout"
    assert named(Read("y", LANE, line)) == named(Apply(row("add(tile4f,tile4f)"), (side, side))) == ""


def test_a_state_is_moved_after_noise_or_before_or_is_another() -> None:
    begun = Assign("state", Apply(row("rand_init(int32)"), (Const(I32, 42),)))
    field = Store("out", LANE, Apply(row("noise(uint32,float32)"), (Var("state", U32), X)))
    drawn, other = (Sample("r", row("randf(uint32)"), state) for state in ("state", "rng"))

    def looped(*body: Store | Sample) -> For:
        return For("j", None, Const(I32, 4), body)

    wrong: list[tuple[object, ...]] = [(field, drawn), (looped(drawn, field),), (field, looped(drawn))]
    right: list[tuple[object, ...]] = [(drawn, field), (field, other), (looped(field, other),), (looped(field),)]
    assert {_named(kernel(begun, *body)) for body in wrong} == {"moved-state-gradient"}
    assert {_named(kernel(begun, *body)) for body in right} == {""}


def _named(one: Kernel) -> str:
    known = defect(one)
    return "" if known is None else known.name
