"""A fuzzing run: blocks of kernels until time is up, then one finding of each bucket reduced.

The key insight: all that a run has learnt is a `Tally`, to which blocks are added in order; who works, who dies and who
watches is told apart from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pebble import ProcessExpired, ProcessPool

from grammar.heights import size
from validate.findings import Finding
from validate.fuzzing.causes import AND, cause_of, reduced
from validate.fuzzing.crew import Fuzzers, crew
from validate.fuzzing.plan import Plan, Recipe, recipe_of
from validate.fuzzing.tally import Bucket, Key, Tally
from validate.fuzzing.work import Observed, Task, Workshop, enlist
from validate.observe import ISOLATED

REDUCE_SECONDS = 100.0
"""What reducing one finding may take."""

MOST_REDUCED = 32
"""Buckets of which a finding is reduced, twice as many as there are known defects: more of them than this are most
likely one cause that can't be told apart."""


@dataclass(frozen=True, slots=True)
class Ending:
    """When a run ends: after so many kernels, or at this time of `time.monotonic`, whichever comes first."""

    kernels: int | None = None
    deadline: float | None = None

    def size(self, plan: Plan, block: int) -> int:
        """How many kernels the block has; none if the run ends before."""
        if self.kernels is None:
            return plan.block
        return min(plan.block, max(0, self.kernels - block * plan.block))

    def is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


def fuzz(
    plan: Plan,
    workshop: Workshop,
    jobs: int,
    ending: Ending,
    watch: Callable[[Tally], None] = lambda _: None,
    found: Callable[[Bucket], object] = lambda _: None,
) -> Tally:
    """Grows and checks kernels until the end; blocks that were begun are finished. An interrupt ends it at once.

    `watch` is shown the tally as often as there may be news, `found` each new bucket.
    """
    run = _Run(Tally(plan), ending)
    try:
        with crew(plan, workshop, jobs) as hired:
            while run.goes_on():
                run.submit(hired)
                for bucket in run.settle(hired):
                    found(bucket)
                watch(run.tally)
    except KeyboardInterrupt:
        run.tally.interrupted = True
    return run.tally


class _Run:
    """Blocks that were begun, and the parts of them that are done."""

    def __init__(self, tally: Tally, ending: Ending) -> None:
        self.tally, self.ending = tally, ending
        self.recipes: dict[int, tuple[Recipe, ...]] = {}
        self.found: dict[int, dict[int, Observed]] = {}
        self.begun = 0

    def goes_on(self) -> bool:
        return bool(self.recipes) or self._may_begin()

    def _may_begin(self) -> bool:
        return self.ending.size(self.tally.plan, self.begun) > 0 and not self.ending.is_late()

    def submit(self, hired: Fuzzers) -> None:
        while self._may_begin() and hired.has_room() and self.tally.is_ready(self.begun):
            plan, block = self.tally.plan, self.begun
            first, kept = block * plan.block, self.tally.parents(block)
            count = self.ending.size(plan, block)
            self.recipes[block] = tuple(recipe_of(plan, first + k, kept) for k in range(count))
            self.found[block] = {}
            hired.submit(Task(block, self.recipes[block]))
            self.begun += 1

    def settle(self, hired: Fuzzers) -> Iterator[Bucket]:
        """Waits a while for what is done and adds to the tally; yields buckets that are new."""
        for block, observed in hired.settled():
            self.found[block].update({one.index: one for one in observed})
        while (head := self.tally.blocks) in self.recipes and len(self.found[head]) == len(self.recipes[head]):
            found, recipes = self.found.pop(head), self.recipes.pop(head)
            yield from self.tally.add(recipes, [found[recipe.index] for recipe in recipes])


# -- reducing ---------------------------------------------------------------------------------------------------------


def reduce_all(tally: Tally, workshop: Workshop, jobs: int, seconds: float, told: Callable[[Bucket], None]) -> None:
    """Reduces the smallest finding of each bucket, and joins buckets that come to the same."""
    buckets = sorted(tally.buckets.values(), key=order)[:MOST_REDUCED]
    with _reducers(workshop, jobs) as pool:
        apart = {b.key: pool.schedule(reduced, args=(b.smallest, seconds)) for b in buckets if _is_safe(b)}
        for bucket in buckets:
            _reduce(bucket, apart.get(bucket.key), seconds)
            told(bucket)
    tally.buckets = joined(tally.buckets)


def order(bucket: Bucket) -> tuple[bool, bool, int, Key]:
    """By cause: one that is known, then those that aren't, then several at once; of each the smallest first."""
    several = bucket.known and AND in bucket.key[2]
    return several, not bucket.known, size(bucket.smallest.kernel) if bucket.smallest else 0, bucket.key


def _is_safe(bucket: Bucket) -> bool:
    """Whether it can be reduced in a worker: crashes and hangs are given a process of their own from here."""
    return bucket.smallest is not None and bucket.smallest.outcome not in ISOLATED


@contextmanager
def _reducers(workshop: Workshop, jobs: int) -> Iterator[Any]:
    with TemporaryDirectory(prefix="warpsmith-fuzz-", ignore_cleanup_errors=True) as scratch:
        given = (workshop, Path(scratch))
        pool: Any = ProcessPool(jobs, max_tasks=4, initializer=enlist, initargs=given, context=get_context("spawn"))
        try:
            yield pool
        finally:
            pool.stop()
            pool.join()


def _reduce(bucket: Bucket, apart: Future[tuple[Finding, str]] | None, seconds: float) -> None:
    if bucket.smallest is None:
        bucket.reduced = "could not even be grown"
        return
    try:
        smaller, how = reduced(bucket.smallest, seconds, apart=True) if apart is None else apart.result()
    except (ProcessExpired, MemoryError):  # a kernel on the way was worse than the one to be reduced
        smaller, how = reduced(bucket.smallest, seconds, apart=True)
    bucket.smallest, bucket.reduced = smaller, how


def joined(buckets: dict[Key, Bucket]) -> dict[Key, Bucket]:
    """Buckets by what their kernels came to."""
    found: dict[Key, Bucket] = {}
    for bucket in sorted(buckets.values(), key=order):
        outcome, axis, cause = bucket.key
        if bucket.smallest is not None:
            cause, bucket.known = cause_of(bucket.smallest.kernel, outcome, bucket.smallest.detail)
        key = (outcome, axis, cause)
        if key in found:
            found[key].count += bucket.count
        else:
            found[key] = replace(bucket, key=key)
    return found
