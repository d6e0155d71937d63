"""Worker processes that fuzz, and what is done when one dies.

The key insight: what takes a worker with it can't be caught but can be located: the kernel that was being checked is
done again alone, or else the task in halves until one kernel is to blame, then without its comparisons, then only
grown. A memory blow-up is no different: the worker has a limit, and runs into it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from pebble import ProcessPool

from validate.fuzzing.plan import Plan, Recipe
from validate.fuzzing.work import Observed, Task, Workshop, enlist, noted
from validate.processes import Crew, Died
from validate.verdict import Outcome


@contextmanager
def crew(plan: Plan, workshop: Workshop, jobs: int) -> Iterator[Fuzzers]:
    """Workers, whose temporary files go away with them."""
    with tempfile.TemporaryDirectory(prefix="warpsmith-fuzz-", ignore_cleanup_errors=True) as scratch:
        given = (workshop, Path(scratch))
        workers = Crew[Task, list[Observed]](
            recruit=lambda: ProcessPool(jobs, initializer=enlist, initargs=given, context=get_context("spawn")),
            work=workshop.work,
            arguments=lambda task: (plan, task),
            limit=workshop.limit,
        )
        try:
            yield Fuzzers(workers, jobs, Path(scratch))
        finally:
            workers.dismiss()


@dataclass(slots=True)
class Fuzzers:
    """Workers, and what they are to do again because one of them died."""

    workers: Crew[Task, list[Observed]]
    jobs: int
    scratch: Path
    given: int = 0
    """Tasks that were ever submitted."""

    def has_room(self) -> bool:
        return self.workers.has_room(self.jobs)

    def submit(self, task: Task) -> None:
        self.given += 1
        self.workers.submit(replace(task, journal=str(self.scratch / f"journal-{self.given}")))

    def settled(self) -> Iterator[tuple[int, list[Observed]]]:
        """Waits a moment for tasks: blocks, and what became of some of their recipes."""
        for task, result in self.workers.settled(lambda task: (task.block, task.recipes[0].index)):
            if not isinstance(result, Died):
                yield task.block, [_blamed(task, one) for one in result]
            elif task.described:
                yield task.block, [Observed(task.recipes[0].index, task.fault, task.detail, ", ".join(task.axes))]
            else:
                for smaller in _smaller(task, result):
                    self.submit(smaller)
            Path(task.journal).unlink(missing_ok=True)


def _smaller(task: Task, died: Died) -> list[Task]:
    """What to do in place of a task that took its worker with it."""
    if len(task.recipes) > 1:
        return [replace(task, recipes=part) for part in _parted(task)]
    (recipe,) = task.recipes
    fault = (Outcome.TIMEOUT if died.late else Outcome.CRASH).value
    if recipe.axes:  # it may be they that are to blame
        return [Task(task.block, (replace(recipe, axes=()),), fault, died.how, recipe.axes)]
    return [Task(task.block, (recipe,), fault, died.how, described=True)]


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
