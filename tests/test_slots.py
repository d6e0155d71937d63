"""Slots: threads that number themselves, and what is kept where the numbers say.

The key insight: for each thing that would hang on the order in which threads come there is a kernel that does it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grammar.atomics import MARKING, AtomicKind
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.families import family_named
from grammar.grow import grow
from grammar.inputs import regular
from grammar.params import Param, Role
from grammar.plain import run_plain
from grammar.profiles import profile
from grammar.slots import comes_first, kept, slots
from grammar.tree import Kernel, Stmt
from grammar.types import F32, I32
from tests.builders import LANES, OUT, I, X, at, atomic, change, do, ints, kernel, let, loop, number, out, put, when
from tests.lane_by_lane import lane_by_lane
from tests.test_evaluate import BY_HAND, CLAIMED, COUNTER, NODES, TAKEN
from tests.test_evaluate import SEEN as MARKED
from validate import axes

KEPT = out("kept", I32)
KEEP = put("kept", I, ints("slot"))
POSITIVE = do("greater", at("x"), 0.0)
PICKED = BY_HAND["kept in turn"]


def picking(*body: Stmt, params: tuple[Param, ...] = (X, COUNTER, KEPT)) -> Kernel:
    """A kernel that does so where x is positive."""
    return kernel(params, when(POSITIVE, *body))


WRONG = {
    "counted twice": (picking(TAKEN, KEEP, replace(TAKEN, name="")), "count is not changed once by each thread"),
    "counted in a loop": (
        picking(loop("j", 3, TAKEN, KEEP)),
        "count is not changed once by each thread",
    ),
    "counted by twos": (picking(replace(TAKEN, value=ints("i")), KEEP), "count does not hold 0 to begin with"),
    "counted from elsewhere on": (
        picking(TAKEN, KEEP, params=(X, replace(COUNTER, low=3, high=3), KEPT)),
        "count does not hold 0 to begin with",
    ),
    "counted where each thread has its own": (
        picking(replace(TAKEN, index=I), KEEP, params=(X, replace(COUNTER, size=None), KEPT)),
        "slot does not number the threads",
    ),
    "a slot is a value": (picking(TAKEN, put("kept", do("mul", ints("slot"), I), ints("slot"))), "a slot is more than"),
    "a slot is compared": (
        picking(TAKEN, when(do("less", ints("slot"), 7), KEEP)),
        "a slot is more than a place to store to",
    ),
    "a slot is changed": (picking(TAKEN, change("slot", "add", 1), KEEP), "slot is not only what count held"),
    "a slot under another name": (
        picking(TAKEN, let("k", ints("slot")), put("kept", I, ints("k"))),
        "a slot is more than a place to store to",
    ),
    "kept beside a slot": (
        picking(TAKEN, put("kept", I, do("add", ints("slot"), 1))),
        "kept is stored to at an index that is not the thread's own",
    ),
    "kept at a slot and elsewhere": (
        kernel((X, COUNTER, KEPT), put("kept", I), when(POSITIVE, TAKEN, KEEP)),
        "kept is written at slots and elsewhere",
    ),
    "floats are kept": (
        picking(TAKEN, put("kept", at("x"), ints("slot")), params=(X, COUNTER, out("kept", F32))),
        "kept does not hold a whole number for each thread",
    ),
    "too little room": (
        picking(TAKEN, KEEP, params=(X, COUNTER, replace(KEPT, size=8))),
        "kept does not hold a whole number for each thread",
    ),
    "kept in what holds numbers before": (
        picking(TAKEN, KEEP, params=(X, COUNTER, replace(KEPT, role=Role.ACCUMULATOR))),
        "kept does not hold a whole number for each thread",
    ),
}

SEEN = replace(MARKED, high=0)
FIRST = comes_first(ints("old"))
COUNT = atomic(AtomicKind.ADD, "count", number(1))


def claiming(*body: Stmt, more: tuple[Param, ...] = (COUNTER,)) -> Kernel:
    """A kernel of which the first thread that comes to a node does something."""
    return kernel((NODES, SEEN, *more), CLAIMED, when(FIRST, *body))


DISTINCT = BY_HAND["each node once"]
WRONG |= {
    "who comes first says who it is": (
        claiming(put("kept", I), more=(KEPT,)),
        "what is done where old is 0 hangs on who comes first",
    ),
    "who comes first is kept": (
        claiming(TAKEN, put("kept", I, ints("slot")), more=(COUNTER, KEPT)),
        "what is done where old is 0 hangs on who comes first",
    ),
    "who comes first adds what is its own": (
        claiming(atomic(AtomicKind.ADD, "count", I)),
        "what is done where old is 0 hangs on who comes first",
    ),
    "who comes later does something": (
        kernel((NODES, SEEN, COUNTER), CLAIMED, when(do("not_equal", ints("old"), 0), COUNT)),
        "old is more than asked whether it is 0",
    ),
    "all do something else than who comes first": (
        kernel((NODES, SEEN, COUNTER), CLAIMED, when(FIRST, COUNT, orelse=(replace(COUNT, value=number(2)),))),
        "old is more than asked whether it is 0",
    ),
    "claimed by what it may hold anyway": (
        kernel((NODES, replace(SEEN, high=1), COUNTER), CLAIMED, when(FIRST, COUNT)),
        "seen does not hold 0 to begin with",
    ),
    "claimed in a loop": (
        kernel((NODES, SEEN, COUNTER), loop("j", 3, CLAIMED, when(FIRST, COUNT))),
        "seen is not changed once by each thread",
    ),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_what_hangs_on_the_order_of_threads_is_no_kernel(case: str) -> None:
    wrong, told = WRONG[case]
    assert any(problem.startswith(told) for problem in problems(wrong)), problems(wrong)


def test_what_does_not_is_one() -> None:
    assert problems(PICKED) == ()
    assert (set(slots(PICKED)), set(kept(PICKED))) == ({"slot"}, {"kept"})
    floats = kernel((X, COUNTER, KEPT, OUT), put("out", at("x")), when(POSITIVE, TAKEN, KEEP))
    assert problems(floats) == ()


def test_who_comes_first_may_do_what_any_other_would() -> None:
    assert problems(claiming(COUNT)) == problems(DISTINCT) == ()
    assert (set(slots(DISTINCT)), set(kept(DISTINCT))) == ({"slot"}, {"kept"})
    assert emit(DISTINCT).endswith("""
    old = wp.atomic_cas(seen, nodes[i], 0, 1)
    if old == 0:
        slot = wp.atomic_add(count, 0, 1)
        kept[slot] = nodes[i]
""")


@pytest.mark.parametrize("kind", MARKING)
def test_each_node_has_one_thread_that_comes_first(kind: AtomicKind) -> None:
    by_hand = replace(DISTINCT, body=(DISTINCT.body[0], replace(CLAIMED, kind=kind), *DISTINCT.body[2:]))
    inputs = regular(by_hand, Seed(5), LANES)
    ran, alone = run_plain(by_hand, inputs).arrays, lane_by_lane(by_hand, inputs)[0]
    assert all(ran[name].tobytes() == values.tobytes() for name, values in alone.items())
    for nodes, count, held in zip(inputs.arrays["nodes"], ran["count"], ran["kept"].reshape(-1, LANES), strict=True):
        assert held[:count].tolist() == list(dict.fromkeys(nodes.tolist()))


def test_a_slot_is_spelt_as_what_an_atomic_operation_returns() -> None:
    assert emit(PICKED).endswith("""
    if x[i] > 0.0:
        slot = wp.atomic_add(count, 0, 1)
        kept[slot] = i
""")


def test_a_gpu_may_keep_things_in_any_order() -> None:
    """But not other things."""
    subject = axes.subject_of(PICKED, 0, LANES)
    orders = [np.tile(np.roll(np.arange(LANES, dtype=np.int32), by), subject.inputs.launches) for by in (0, 5)]
    one, other, wrong = (
        axes._in_any_order(subject, axes.Ran({"kept": each, "count": orders[0][:3]}, {}, {}))
        for each in (*orders, orders[0] + 1)
    )
    assert axes._same_values(subject, one, other, contracted=False) == axes.SAME
    assert axes._same_values(subject, one, wrong, contracted=False).outcome.is_finding


def test_conditional_reductions_collect_what_they_pick_now_and_then() -> None:
    family = family_named("conditional_reduction")
    grown = [grow(seeded(Seed(seed)), family, profile("natural"), 4, seed, LANES) for seed in range(60)]
    collecting = [one for one in grown if one is not None and slots(one)]
    assert 3 <= len(collecting) <= 30
    for one in collecting:
        assert problems(one) == (), emit(one)
