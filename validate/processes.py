"""Processes that work for another and may die.

The key insight: what kills a worker can't be caught, only told from outside. So a task settles in one of four ways: a
result, an exception, too long, or its worker's death; what breaks the pool itself is no task's fault, and its tasks are
given to the next pool. A worker in turn follows its parent into death by waiting for it in a thread, so nothing that
goes on natively keeps it alive.
"""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pebble import ProcessExpired

from grammar.errors import UserError


class OfBlock(Protocol):
    """A part of a block's work, or all of it."""

    @property
    def block(self) -> int: ...


Task = TypeVar("Task", bound=OfBlock)
Result = TypeVar("Result")

AHEAD = 2
"""Blocks that are submitted beyond one for each worker."""

ROUND = 32
"""Blocks between two whole rounds of the garbage collector, each of which costs as much as growing a block."""

TICK_SECONDS = 0.25
"""How long the parent waits at most before it looks at the clock and for signals."""

HOPELESS = 32
"""So many workers dying in a row, with nothing done between, is not the fault of one kernel."""

SLACK_SECONDS = 60.0
"""How far past its limit a task may be before the whole pool is thought to be stuck, and is replaced."""


@dataclass(frozen=True, slots=True)
class Died:
    """What became of a task whose worker died or had to be killed."""

    late: bool
    """It took longer than its limit."""
    how: str
    """`the process died of SIGSEGV`, `took longer than 20 s`."""


@dataclass(slots=True)
class Crew(Generic[Task, Result]):
    """A pool of workers and the tasks it was given."""

    recruit: Callable[[], Any]
    """Makes a `pebble.ProcessPool`."""
    work: Callable[..., Result]
    """What workers call, importable by name, and the arguments it gets for a task."""
    arguments: Callable[[Task], tuple[Any, ...]]
    limit: Callable[[Task], float]
    """Seconds that a task may take."""
    tasks: dict[Future[Result], Task] = field(default_factory=dict)
    deaths: int = 0
    """Since something was last done."""
    heard: float = field(default_factory=time.monotonic)
    pool: Any = field(init=False)

    def __post_init__(self) -> None:
        self.pool = self.recruit()

    def has_room(self, jobs: int) -> bool:
        """Whether so many workers want another block."""
        return len({task.block for task in self.tasks.values()}) < jobs + AHEAD

    def submit(self, task: Task) -> None:
        future = self.pool.schedule(self.work, args=self.arguments(task), timeout=self.limit(task))
        self.tasks[future] = task

    def settled(self, order: Callable[[Task], Any]) -> Iterator[tuple[Task, Result | Died]]:
        """Waits for tasks, at most `TICK_SECONDS`; yields what became of those that are done, in this order.

        Raises what a task raised, and UserError where workers only die.
        """
        done, _ = wait(self.tasks, TICK_SECONDS, FIRST_COMPLETED)
        if done or not self.tasks:
            self.heard = time.monotonic()
        elif time.monotonic() - self.heard > max(map(self.limit, self.tasks.values())) + SLACK_SECONDS:
            self._replace("its workers don't answer")
        for future in sorted(done, key=lambda future: order(self.tasks[future])):
            # Replacing the pool, for the sake of a future before, drops them all.
            if (task := self.tasks.pop(future, None)) is not None:
                yield from self._settle(task, future)

    def dismiss(self) -> None:
        self.pool.stop()
        self.pool.join()

    def _settle(self, task: Task, future: Future[Result]) -> Iterator[tuple[Task, Result | Died]]:
        try:
            result = future.result()
        except TimeoutError:
            yield task, Died(True, f"took longer than {self.limit(task):g} s")
        except ProcessExpired as error:
            how = said_exit(error.exitcode)
            self._died(how)
            yield task, Died(False, f"the process {how}")
        except MemoryError:
            yield task, Died(False, "ran out of memory")
        except BrokenProcessPool as error:
            self.tasks[future] = task
            self._replace(str(error))
        else:
            self.deaths = 0
            yield task, result

    def _died(self, how: str) -> None:
        self.deaths += 1
        if self.deaths >= HOPELESS:
            raise UserError(f"{self.deaths} worker processes in a row {how}; nothing was lost")

    def _replace(self, how: str) -> None:
        self._died(f"could not work: {how}")
        self.dismiss()
        self.pool, self.heard = self.recruit(), time.monotonic()
        tasks, self.tasks = [*self.tasks.values()], {}
        for task in tasks:
            self.submit(task)


# -- in a worker ------------------------------------------------------------------------------------------------------


def settle_in(scratch: Path) -> None:
    """Makes this process follow its parent, and its temporary files go to `scratch`."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)


def keep() -> None:
    """Keeps what is there by now out of the garbage collector's rounds, which come when `collect` is called."""
    gc.collect()
    gc.freeze()
    gc.disable()


def collect(block: int) -> None:
    """A round of the garbage collector, for when a block begins: of the one before nothing is held any more."""
    gc.collect(2 if block % ROUND == 0 else 1)


def _follow_parent() -> None:
    """Ends this process when its parent does, even in the midst of a native loop."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def said_exit(code: int | None) -> str:
    """`died of SIGSEGV`, `exited with code 3`."""
    if code is not None and code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"exited with code {code}"
