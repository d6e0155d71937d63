"""Worker processes, and what is done when they die.

The key insight: what takes a worker with it can't be caught but can be located: the kernel that was being checked is
done again alone, or else the task in halves until one kernel is to blame, then without its comparisons, then only
grown. A memory blow-up is no different: the worker has
a limit, and runs into it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from grammar.errors import UserError
from validate.fuzzing.plan import Plan, Recipe
from validate.fuzzing.work import Observed, Task, Workshop, enlist, noted
from validate.processes import said_exit
from validate.verdict import Outcome

TICK_SECONDS = 0.25
"""How long the parent waits at most before it looks at the clock."""

AHEAD = 2
"""Blocks that are submitted beyond one for each worker."""

HOPELESS = 64
"""So many workers dying in a row, with nothing done between, is not the fault of kernels."""

SLACK_SECONDS = 60.0
"""How far past its limit a task may be before the pool is thought to be stuck, and is replaced."""


@contextmanager
def crew(plan: Plan, workshop: Workshop, jobs: int) -> Iterator[Crew]:
    """Workers, whose temporary files go away with them."""
    with tempfile.TemporaryDirectory(prefix="warpsmith-fuzz-", ignore_cleanup_errors=True) as scratch:
        hired = Crew(plan, workshop, jobs, Path(scratch))
        try:
            yield hired
        finally:
            hired.dismiss()


class Crew:
    """The pool and the tasks it was given. A pool that breaks is replaced, and its tasks are given to the next."""

    def __init__(self, plan: Plan, workshop: Workshop, jobs: int, scratch: Path) -> None:
        self.plan, self.workshop, self.jobs, self.scratch = plan, workshop, jobs, scratch
        self.tasks: dict[Future[list[Observed]], Task] = {}
        self.given = 0
        self.deaths = 0
        self.pool = self._recruit()

    def has_room(self) -> bool:
        return len({task.block for task in self.tasks.values()}) < self.jobs + AHEAD

    def submit(self, task: Task) -> None:
        self.given += 1
        task = replace(task, journal=str(self.scratch / f"journal-{self.given}"))
        work = (self.plan, task)
        self.tasks[self.pool.schedule(self.workshop.work, args=work, timeout=self.workshop.limit(task))] = task

    def settled(self) -> Iterator[tuple[int, list[Observed]]]:
        """Waits for tasks, at most `TICK_SECONDS`: blocks and what became of some of their recipes."""
        done, _ = wait(self.tasks, TICK_SECONDS, FIRST_COMPLETED)
        if done or not self.tasks:
            self.heard = time.monotonic()
        elif time.monotonic() - self.heard > max(map(self.workshop.limit, self.tasks.values())) + SLACK_SECONDS:
            self._replace("its workers don't answer")
        for future in done:
            # Replacing the pool, for the sake of a future before, drops them all.
            if (task := self.tasks.pop(future, None)) is not None:
                yield from self._settle(task, future)

    def dismiss(self) -> None:
        self.pool.stop()
        self.pool.join()

    def _settle(self, task: Task, future: Future[list[Observed]]) -> Iterator[tuple[int, list[Observed]]]:
        try:
            found = future.result()
        except TimeoutError:
            yield from self._failed(task, Outcome.TIMEOUT, f"took longer than {self.workshop.limit(task):g} s")
        except MemoryError:
            yield from self._failed(task, Outcome.CRASH, f"took more than {self.workshop.memory >> 20} MiB of memory")
        except ProcessExpired as error:
            how = said_exit(error.exitcode)
            self._died(how)
            yield from self._failed(task, Outcome.CRASH, f"the process {how}")
        except BrokenProcessPool as error:
            self.tasks[future] = task
            self._replace(str(error))
        else:
            self.deaths = 0
            yield task.block, [_blamed(task, one) for one in found]
        Path(task.journal).unlink(missing_ok=True)

    def _failed(self, task: Task, fault: Outcome, detail: str) -> Iterator[tuple[int, list[Observed]]]:
        """Gives the task out again, smaller, or says what is to be said where it can't be."""
        if task.described:
            yield task.block, [Observed(task.recipes[0].index, task.fault, task.detail, ", ".join(task.axes))]
        for smaller in _smaller(task, fault.value, detail):
            self.submit(smaller)

    def _died(self, how: str) -> None:
        self.deaths += 1
        if self.deaths >= HOPELESS:
            raise UserError(f"{self.deaths} worker processes in a row {how}")

    def _replace(self, how: str) -> None:
        self._died(f"could not work: {how}")
        self.dismiss()
        self.pool = self._recruit()
        tasks, self.tasks = [*self.tasks.values()], {}
        for task in tasks:
            self.submit(task)

    def _recruit(self) -> Any:
        self.heard = time.monotonic()
        given = (self.workshop, self.scratch)
        return ProcessPool(self.jobs, initializer=enlist, initargs=given, context=get_context("spawn"))


def _smaller(task: Task, fault: str, detail: str) -> list[Task]:
    """What to do in place of a task that took its worker with it."""
    if len(task.recipes) > 1:
        return [replace(task, recipes=part) for part in _parted(task)]
    if task.described:
        return []
    (recipe,) = task.recipes
    if recipe.axes:  # it may be they that are to blame
        return [Task(task.block, (replace(recipe, axes=()),), fault, detail, recipe.axes)]
    return [Task(task.block, (recipe,), fault, detail, described=True)]


def _parted(task: Task) -> tuple[tuple[Recipe, ...], tuple[Recipe, ...]]:
    """The kernel that was being checked, and the others; the halves if there was none."""
    guilty, middle = noted(task), len(task.recipes) // 2
    if guilty is None:
        return task.recipes[:middle], task.recipes[middle:]
    alone = tuple(recipe for recipe in task.recipes if recipe.index == guilty)
    return alone, tuple(recipe for recipe in task.recipes if recipe.index != guilty)


def _blamed(task: Task, one: Observed) -> Observed:
    """What a kernel came to without its comparisons, in which its worker died before."""
    if not task.axes or task.described or one.is_finding:
        return one
    return replace(one, outcome=task.fault, detail=task.detail, axis=", ".join(task.axes))
