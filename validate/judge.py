"""Whether a smaller kernel still fails in the way that a finding does.

The key insight: a candidate that reducing made may divide by zero, leave its arrays or never end, and then its failure
is its own. So it is run in NumPy first, and only what is defined on all of its inputs meets the compiler; nor may it
gain a known defect that the finding is free of, or else every finding would be reduced to the most common one.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pebble import ProcessExpired, ProcessPool

from extract.build import BuildFailure
from extract.compile import compile_block, release, start
from extract.options import CompileOptions
from grammar.defects import DEFECTS
from grammar.emit import emit
from grammar.evaluate import EndlessLoopError, Interpreter, Mask, Plain
from grammar.inputs import regular
from grammar.op import Lanes
from grammar.tree import Atomic, AugStore, Kernel, Store
from validate.findings import Finding
from validate.oracle import check
from validate.verdict import Outcome

Judge = Callable[[Sequence[Kernel]], Sequence[bool]]
"""Which of these kernels are interesting: a pure function of each, asked for many at once as compiling likes it."""

Observed = tuple[Outcome, str]
"""What a kernel came to, and the detail."""

SECONDS = 20.0
"""What a kernel gets to compile and run where hanging is to be expected."""

CREW = 2
"""Processes that observe at a time what may end them: a new one takes its time to start."""

ISOLATED = (Outcome.CRASH, Outcome.TIMEOUT)


@contextmanager
def judging(finding: Finding) -> Iterator[Judge]:
    """Judges kernels by whether they fail as the finding does: in this process, or in another if that might end."""
    if finding.outcome in ISOLATED:
        with crew() as pool:
            yield judge_of(finding, lambda kernels: each_apart(pool, kernels, finding))
    else:
        start()
        yield judge_of(finding, lambda kernels: observe(kernels, finding.seed, finding.lanes, finding.options))


def judge_of(finding: Finding, observed: Callable[[Sequence[Kernel]], Sequence[Observed]]) -> Judge:
    """Judges kernels by what is observed of those that are fair: defined, and without a defect of their own."""
    known, overwrites = defects_of(finding.kernel), bool(_overwritten(finding.kernel, finding.seed, finding.lanes))

    def is_fair(kernel: Kernel) -> bool:
        overwritten = _overwritten(kernel, finding.seed, finding.lanes)
        return overwritten is not None and overwritten <= overwrites and defects_of(kernel) <= known

    def judge(kernels: Sequence[Kernel]) -> list[bool]:
        fair = [is_fair(kernel) for kernel in kernels]
        outcomes = iter(observed([kernel for kernel, asked in zip(kernels, fair, strict=True) if asked]))
        return [asked and _alike(finding, *next(outcomes)) for asked in fair]

    return judge


def _alike(finding: Finding, outcome: Outcome, detail: str) -> bool:
    """The same outcome; for a kernel that Warp refuses, with the same kind of complaint."""
    if outcome is Outcome.COMPILE:
        return finding.outcome is outcome and detail.partition(":")[0] == finding.detail.partition(":")[0]
    return outcome is finding.outcome


def defects_of(kernel: Kernel) -> frozenset[str]:
    """The names of the known defects whose idiom the kernel contains."""
    return frozenset(known.name for known in DEFECTS if known.idiom(kernel))


# -- what the compiler makes of it ------------------------------------------------------------------------------------


def observe(kernels: Sequence[Kernel], seed: int, lanes: int, options: CompileOptions) -> list[Observed]:
    """Compiles the kernels together and checks each. `extract.compile.start` must have been called."""
    if not kernels:
        return []
    block = compile_block([(kernel.name, emit(kernel)) for kernel in kernels], frozenset(), options)
    try:
        return [_checked(kernel, made, seed, lanes) for kernel, made in zip(kernels, block.kernels, strict=True)]
    finally:
        release(block)
        gc.collect(1)


def _checked(kernel: Kernel, made: Any, seed: int, lanes: int) -> Observed:
    if isinstance(made, BuildFailure):
        return Outcome(made.fault.value), made.message
    verdict = check(kernel, made.handle, seed, lanes)
    return verdict.outcome, verdict.detail


def observe_like(finding: Finding, kernel: Kernel) -> Finding:
    """The finding with another kernel, which fails alike, and with that kernel's numbers."""
    settings = {**finding.settings, "reduced_from": finding.name}
    if finding.outcome in ISOLATED:
        return replace(finding, kernel=kernel, settings=settings)
    start()
    ((outcome, detail),) = observe([kernel], finding.seed, finding.lanes, finding.options)
    assert outcome is finding.outcome, "checking is deterministic"
    return replace(finding, kernel=kernel, detail=detail, settings=settings)


@contextmanager
def crew(prepare: Callable[[], None] = start) -> Iterator[Any]:
    """Processes that may die: they are replaced as often as need be."""
    pool: Any = ProcessPool(max_workers=CREW, initializer=prepare, context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.stop()
        pool.join()


def observed_apart(pool: Any, kernel: Kernel, finding: Finding, seconds: float = SECONDS) -> Observed:
    """What is observed of one kernel in another process, a crash and a hang among it."""
    return each_apart(pool, [kernel], finding, seconds)[0]


def each_apart(pool: Any, kernels: Sequence[Kernel], finding: Finding, seconds: float = SECONDS) -> list[Observed]:
    """The same of several, none of which meets another."""
    works = [([kernel], finding.seed, finding.lanes, finding.options) for kernel in kernels]
    return [_came_to(future, seconds) for future in [pool.schedule(observe, args=w, timeout=seconds) for w in works]]


def _came_to(future: Any, seconds: float) -> Observed:
    try:
        observed: list[Observed] = future.result()
        return observed[0]
    except TimeoutError:
        return Outcome.TIMEOUT, f"took longer than {seconds:g} s"
    except (ProcessExpired, BrokenProcessPool) as error:
        return Outcome.CRASH, str(error)


# -- what NumPy makes of it -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Watched(Plain):
    """Remembers which elements plain stores went to."""

    stored: dict[str, list[NDArray[np.intp]]] = field(default_factory=lambda: defaultdict(list))

    def write(self, stmt: Store | AugStore | Atomic, index: Lanes, value: Lanes, active: Mask) -> None:
        Plain.write(self, stmt, index, value, active)
        if isinstance(stmt, Store):
            self.stored[stmt.array].append(self.flat(stmt.array, index, active)[active])


def _overwritten(kernel: Kernel, seed: int, lanes: int) -> bool | None:
    """Whether some element is stored to twice on the regular inputs; None if the kernel is not defined on them."""
    inputs = regular(kernel, seed, lanes)
    watched = _Watched.on(inputs)
    assert isinstance(watched, _Watched)
    try:
        with np.errstate(all="ignore"):
            Interpreter(watched, inputs).run(kernel)
    except EndlessLoopError:
        return None
    if watched.undefined.any():
        return None
    places = [np.concatenate(parts) for parts in watched.stored.values()]
    return any(np.unique(where).size < where.size for where in places)
