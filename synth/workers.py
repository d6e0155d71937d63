"""Blocks computed by worker processes, handed over in order.

The key insight: a crash or a hang can't be caught where it happens, but it can be located: a task that takes its worker
with it is split in halves until one index is to blame. As rows don't depend on their neighbours, the halves' rows,
joined in the order of their indices, are what the block would have given.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
from pebble import ProcessExpired, ProcessPool

from corpus.store import pack, pack_table, table_of, unpack
from grammar.errors import FULL_DISK, UserError, refused
from synth.manifest import VERIFIED
from synth.result import BlockResult, Finding, Pipeline
from synth.settings import Settings
from validate.processes import follow_parent, said_exit

TICK_SECONDS = 0.25
"""How long the parent waits at most before it looks at the clock and for signals."""

WINDOW = 32
"""Blocks that may be ahead of the one that is waited for, finished ones included: what bounds memory."""

HOPELESS = 32
"""So many workers dying in a row, with nothing done between, is not the fault of one kernel."""

SLACK_SECONDS = 60.0
"""How far past its limit a task may be before the whole pool is thought to be stuck, and is replaced."""


@dataclass(frozen=True, slots=True)
class Task:
    block: int
    indices: tuple[int, ...]
    fault: str = ""
    """`crash` or `timeout` where only the kernel's text is wanted: the one index took its worker with it."""
    detail: str = ""


Part = tuple[tuple[int, ...], bytes]
"""Indices, and what became of them, packed."""


def stream(pipeline: Pipeline, settings: Settings, first: int, scratch: Path) -> Generator[bytes | None]:
    """The packed results (`corpus.store.unpack`) of blocks `first`, `first + 1`, …, without end, in this order.

    None comes whenever there is nothing new for `TICK_SECONDS`. Closing the generator ends the workers.
    """
    crew = _Crew(pipeline, settings, scratch)
    parts: dict[int, list[Part]] = {}
    head = following = first
    try:
        while True:
            while crew.has_room() and following < head + WINDOW:
                crew.submit(Task(following, settings.indices(following)))
                following += 1
            for block, part in crew.settled():
                parts.setdefault(block, []).append(part)
            if sum(len(indices) for indices, _ in parts.get(head, [])) == settings.block:
                yield _joined(head, parts.pop(head))
                head += 1
            else:
                yield None
    finally:
        crew.dismiss()


class _Crew:
    """The pool and the tasks it was given. A pool that breaks is replaced, and its tasks are given to the next."""

    def __init__(self, pipeline: Pipeline, settings: Settings, scratch: Path) -> None:
        self.pipeline, self.settings, self.scratch = pipeline, settings, scratch
        self.tasks: dict[Future[bytes], Task] = {}
        self.deaths = 0
        self.pool = self._recruit()

    def has_room(self) -> bool:
        return len({task.block for task in self.tasks.values()}) < self.settings.jobs + 2

    def submit(self, task: Task) -> None:
        work = (self.pipeline, self.settings, task)
        future = self.pool.schedule(_work, args=work, timeout=self.pipeline.limit(len(task.indices)))
        self.tasks[future] = task

    def settled(self) -> Iterator[tuple[int, Part]]:
        """Waits for tasks, at most `TICK_SECONDS`; yields the parts that are done and sees to those that failed."""
        done, _ = wait(self.tasks, TICK_SECONDS, FIRST_COMPLETED)
        if done:
            self.heard = time.monotonic()
        elif time.monotonic() - self.heard > self.pipeline.limit(self.settings.block) + SLACK_SECONDS:
            self._replace("its workers don't answer")
        for future in sorted(done, key=lambda future: self.tasks[future].indices):
            # Replacing the pool, for the sake of a future before, drops them all.
            if (task := self.tasks.pop(future, None)) is not None:
                yield from self._settle(task, future)

    def dismiss(self) -> None:
        self.pool.stop()
        self.pool.join()

    def _settle(self, task: Task, future: Future[bytes]) -> Iterator[tuple[int, Part]]:
        try:
            yield task.block, (task.indices, future.result())
            self.deaths = 0
        except TimeoutError:
            self._blame(task, "timeout", f"took longer than {self.pipeline.limit(len(task.indices)):g} s")
            if task.fault:
                yield task.block, (task.indices, _blamed(task, _unknown(self.settings, task)))
        except ProcessExpired as error:
            self._died(said_exit(error.exitcode))
            self._blame(task, "crash", f"the process {said_exit(error.exitcode)}")
            if task.fault:
                yield task.block, (task.indices, _blamed(task, _unknown(self.settings, task)))
        except BrokenProcessPool as error:
            self.tasks[future] = task
            self._replace(str(error))
        except OSError as error:
            if error.errno in FULL_DISK:
                raise refused(self.scratch, "write", error) from error
            raise

    def _blame(self, task: Task, fault: str, detail: str) -> None:
        middle = len(task.indices) // 2
        if middle:
            self.submit(Task(task.block, task.indices[:middle]))
            self.submit(Task(task.block, task.indices[middle:]))
        elif not task.fault:
            self.submit(Task(task.block, task.indices, fault, detail))

    def _died(self, how: str) -> None:
        self.deaths += 1
        if self.deaths >= HOPELESS:
            raise UserError(f"{self.deaths} worker processes in a row {how}; nothing was lost")

    def _replace(self, how: str) -> None:
        self._died(f"could not work: {how}")
        self.dismiss()
        self.pool = self._recruit()
        tasks, self.tasks = [*self.tasks.values()], {}
        for task in tasks:
            self.submit(task)

    def _recruit(self) -> Any:
        self.heard = time.monotonic()
        return ProcessPool(
            max_workers=self.settings.jobs,
            max_tasks=self.pipeline.max_tasks,
            initializer=_enlist,
            initargs=(self.pipeline, self.scratch),
            context=get_context("spawn"),
        )


# -- in the worker ----------------------------------------------------------------------------------------------------


def _enlist(pipeline: Pipeline, scratch: Path) -> None:
    threading.Thread(target=follow_parent, daemon=True).start()
    os.environ["TMPDIR"] = str(scratch)
    tempfile.tempdir = str(scratch)
    pipeline.start_worker()


def _work(pipeline: Pipeline, settings: Settings, task: Task) -> bytes:
    if task.fault:
        return _blamed(task, pipeline.describe(settings, task.indices[0]))
    started = time.process_time()
    result = pipeline.run_block(settings, task.block, task.indices)
    assert result.outcomes.get(VERIFIED, 0) == len(result.rows), "every verified candidate is a row"
    packing = time.process_time()
    table = table_of(result.rows)
    ended = time.process_time()
    return pack_table(table, _note(result, {**result.seconds, "pack": ended - packing}, ended - started))


def _note(result: BlockResult, seconds: Mapping[str, float], cpu: float) -> dict[str, Any]:
    return {
        "block": result.block,
        "outcomes": dict(result.outcomes),
        "findings": [asdict(finding) for finding in result.findings],
        "seconds": dict(seconds),
        "cpu": cpu,
    }


def _unknown(settings: Settings, task: Task) -> Finding:
    return Finding("", "", "", settings.seed, task.indices[0], "")


def _blamed(task: Task, described: Finding) -> bytes:
    finding = replace(described, outcome=task.fault, detail=task.detail)
    return pack((), _note(BlockResult(task.block, (), {task.fault: 1}, (finding,)), {}, 0.0))


# -- joining ----------------------------------------------------------------------------------------------------------


def _joined(block: int, parts: Sequence[Part]) -> bytes:
    """The parts of a block as one, in the order of their indices."""
    if len(parts) == 1:
        return parts[0][1]
    tables, notes = zip(*(unpack(data) for _, data in sorted(parts)), strict=True)
    note = {
        "block": block,
        "outcomes": _summed(note["outcomes"] for note in notes),
        "findings": [finding for note in notes for finding in note["findings"]],
        "seconds": _summed(note["seconds"] for note in notes),
        "cpu": sum(note["cpu"] for note in notes),
    }
    return pack_table(pa.concat_tables(tables), note)


def _summed(counts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
