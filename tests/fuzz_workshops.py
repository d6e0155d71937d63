"""Workers for fuzzing with planted faults: crashes, hangs, blow-ups of memory, and a table with a wrong cell.

The key insight: what a worker does follows from the index of a candidate alone, so what a run must find can be said
without running it. All but `MISTAKEN` do without the compiler, and grow real kernels.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import validate.fuzzing.work
import validate.observe
from grammar.emit import emit
from grammar.heights import height
from grammar.op import Lanes
from grammar.ops import row
from grammar.tree import Kernel
from validate.features import bigrams, nestings
from validate.fuzzing.plan import Plan, Recipe, grown
from validate.fuzzing.work import BIGRAMS, NESTINGS, NOT_GROWN, Observed, Task, Workshop, note, start_worker
from validate.mutation.cells import with_row
from validate.oracle import check
from validate.verdict import Outcome, Verdict

ACROSS, CRASH, HANG, BLOW_UP, UNGROWN = 0, 3, 4, 6, 9
"""Indices of the guilty. The first kills its worker only while it is compared, the last even while it is grown."""
WRONG = (5, 7, 11)
"""Indices of kernels whose values are wrong."""


def calm(plan: Plan, task: Task) -> list[Observed]:
    """Grows kernels and finds nothing wrong with them."""
    return [_seen(plan, task, recipe) for recipe in task.recipes]


def faulty(plan: Plan, task: Task) -> list[Observed]:
    """As `calm`, with faults at the indices above."""
    for recipe in task.recipes:
        if recipe.index == UNGROWN:
            os.kill(os.getpid(), signal.SIGKILL)
        if recipe.index == HANG:
            note(task, HANG)
        if recipe.index in FAULTS and not task.described and (recipe.index != ACROSS or recipe.axes):
            FAULTS[recipe.index]()
    return [_wrong(one) if one.index in WRONG else one for one in calm(plan, task)]


def doomed(_: Plan, __: Task) -> list[Observed]:
    os._exit(7)


def _seen(plan: Plan, task: Task, recipe: Recipe) -> Observed:
    kernel, choices = grown(recipe, plan)
    if kernel is None:
        return Observed(recipe.index, NOT_GROWN)
    if task.described:
        return Observed(recipe.index, task.fault, task.detail, ", ".join(task.axes), kernel=kernel)
    source = emit(kernel)
    features = {BIGRAMS: tuple(bigrams(source)), NESTINGS: tuple(nestings(source))}
    outcome = Outcome.VERIFIED.value
    return Observed(recipe.index, outcome, kernel=kernel, height=height(kernel), choices=choices, features=features)


def _wrong(one: Observed) -> Observed:
    return replace(one, outcome=Outcome.VALUE.value, detail="out[0]: expected 1, got 2")


FAULTS: Mapping[int, Callable[[], Any]] = {
    CRASH: lambda: ctypes.string_at(0),
    HANG: lambda: ctypes.PyDLL(None).sleep(3600),  # holds the interpreter's lock, as a native loop does
    BLOW_UP: lambda: np.zeros(1 << 37, np.uint8),
    ACROSS: lambda: os.kill(os.getpid(), signal.SIGSEGV),
}


def nothing() -> None:
    """There is no compiler to start."""


def start_mistaken() -> None:
    """In this process, the reference takes every sine for a cosine."""
    start_worker()
    for module in (validate.fuzzing.work, validate.observe):
        module.check = _mistaken  # type: ignore[attr-defined] # planted


def _mistaken(kernel: Kernel, handle: Any, seed: int, lanes: int) -> Verdict:
    for name in ("float32", "float64"):
        sine: Callable[..., Lanes] = row(f"cos({name})").meaning
        kernel = with_row(kernel, row(f"sin({name})"), replace(row(f"sin({name})"), meaning=sine))
    return check(kernel, handle, seed, lanes)


CALM = Workshop(nothing, calm)
FAULTY = Workshop(nothing, faulty, seconds_to_start=2.0, seconds_per_kernel=0.0, seconds_per_axis=0.0, memory=2 << 30)
DOOMED = Workshop(nothing, doomed)
MISTAKEN = Workshop(start_mistaken, validate.fuzzing.work.work)
