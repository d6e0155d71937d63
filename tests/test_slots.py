"""Slots: threads that number themselves, and what is kept where the numbers say.

The key insight: for each thing that would hang on the order in which threads come there is a kernel that does it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.families import family_named
from grammar.grow import grow
from grammar.profiles import profile
from grammar.slots import kept, slots
from grammar.tree import Kernel, Param, Role, Stmt
from grammar.types import F32, I32
from tests.builders import LANES, OUT, I, X, at, change, do, ints, kernel, let, loop, out, put, when
from tests.test_evaluate import BY_HAND, COUNTER, TAKEN
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
    "counted by twos": (picking(replace(TAKEN, value=ints("i")), KEEP), "slot does not number the threads"),
    "counted from elsewhere on": (
        picking(TAKEN, KEEP, params=(X, replace(COUNTER, low=3, high=3), KEPT)),
        "slot does not number the threads",
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
    "a slot is changed": (picking(TAKEN, change("slot", "add", 1), KEEP), "slot is not only a slot"),
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


@pytest.mark.parametrize("case", list(WRONG))
def test_what_hangs_on_the_order_of_threads_is_no_kernel(case: str) -> None:
    wrong, told = WRONG[case]
    assert any(problem.startswith(told) for problem in problems(wrong)), problems(wrong)


def test_what_does_not_is_one() -> None:
    assert problems(PICKED) == ()
    assert (set(slots(PICKED)), set(kept(PICKED))) == ({"slot"}, {"kept"})
    floats = kernel((X, COUNTER, KEPT, OUT), put("out", at("x")), when(POSITIVE, TAKEN, KEEP))
    assert problems(floats) == ()


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
    assert 3 <= len(collecting) <= 20
    for one in collecting:
        assert problems(one) == (), emit(one)
