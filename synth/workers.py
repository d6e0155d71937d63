"""Blocks computed by worker processes, handed over in order.

The key insight: a crash or a hang can't be caught where it happens, but it can be located: a task that takes its worker
with it is split in halves until one index is to blame. As rows don't depend on their neighbours, the halves' rows,
joined in the order of their indices, are what the block would have given (but for duplicates, which who reads them
knows to pass over).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
from pebble import ProcessPool

from corpus.store import pack, pack_table, table_of, unpack
from grammar.errors import FULL_DISK, refused
from synth.result import VERIFIED, BlockResult, Fate, Finding, Pipeline
from synth.settings import Settings
from validate.processes import Crew, Died, settle_in

WINDOW = 32
"""Blocks that may be ahead of the one that is waited for, finished ones included: what bounds memory."""


@dataclass(frozen=True, slots=True)
class Task:
    block: int
    indices: tuple[int, ...]
    fault: str = ""
    """`crash` or `timeout` where only the kernel's text is wanted: the one index took its worker with it."""
    detail: str = ""


Part = tuple[tuple[int, ...], bytes]
"""Indices, and what became of them, packed."""


def stream(
    pipeline: Pipeline, settings: Settings, first: int, scratch: Path, known: Callable[[], frozenset[str]]
) -> Generator[bytes | None]:
    """The packed results (`corpus.store.unpack`) of blocks `first`, `first + 1`, …, without end, in this order.

    None comes whenever there is nothing new for a moment. Closing the generator ends the workers. `known` is asked for
    canonical hashes of rows that came from blocks handed over before.
    """
    crew = _crew(pipeline, settings, scratch, known)
    parts: dict[int, list[Part]] = {}
    head = following = first
    try:
        while True:
            while crew.has_room(settings.jobs) and following < head + WINDOW:
                crew.submit(Task(following, settings.indices(following)))
                following += 1
            for task, data in _settled(crew, settings, scratch):
                parts.setdefault(task.block, []).append((task.indices, data))
            if sum(len(indices) for indices, _ in parts.get(head, [])) == settings.block:
                yield _joined(head, parts.pop(head))
                head += 1
            else:
                yield None
    finally:
        crew.dismiss()


def _crew(
    pipeline: Pipeline, settings: Settings, scratch: Path, known: Callable[[], frozenset[str]]
) -> Crew[Task, bytes]:
    def recruit() -> ProcessPool:
        return ProcessPool(
            max_workers=settings.jobs,
            max_tasks=pipeline.max_tasks,
            initializer=_enlist,
            initargs=(pipeline, scratch),
            context=get_context("spawn"),
        )

    return Crew(
        recruit,
        _work,
        lambda task: (pipeline, settings, task, known()),
        lambda task: pipeline.limit(len(task.indices)),
    )


def _settled(crew: Crew[Task, bytes], settings: Settings, scratch: Path) -> Iterator[tuple[Task, bytes]]:
    """Tasks that are done, and what became of them. Those that took their worker with them are given out in halves."""
    try:
        for task, result in crew.settled(order=lambda task: task.indices):
            if not isinstance(result, Died):
                yield task, result
            elif task.fault:
                yield task, _blamed(task, Finding("", "", "", settings.seed, task.indices[0], ""))
            else:
                for smaller in _smaller(task, result):
                    crew.submit(smaller)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise refused(scratch, "write", error) from error
        raise


def _smaller(task: Task, died: Died) -> list[Task]:
    middle = len(task.indices) // 2
    if not middle:
        return [Task(task.block, task.indices, "timeout" if died.late else "crash", died.how)]
    return [Task(task.block, half) for half in (task.indices[:middle], task.indices[middle:])]


# -- in the worker ----------------------------------------------------------------------------------------------------


def _enlist(pipeline: Pipeline, scratch: Path) -> None:
    settle_in(scratch)
    pipeline.start_worker()


def _work(pipeline: Pipeline, settings: Settings, task: Task, known: frozenset[str]) -> bytes:
    if task.fault:
        return _blamed(task, pipeline.describe(settings, task.indices[0]))
    result = pipeline.run_block(settings, task.block, task.indices, known)
    assert len(result.fates) == len(task.indices), "every candidate has a fate"
    assert all((f.outcome == VERIFIED) == (f.row is not None) for f in result.fates), (
        "every verified candidate is a row"
    )
    before = time.process_time()
    table = table_of(result.rows)
    return pack_table(table, _note(result, {**result.seconds, "pack": time.process_time() - before}))


def _note(result: BlockResult, seconds: Mapping[str, float]) -> dict[str, Any]:
    return {
        "block": result.block,
        "fates": [(f.outcome, f.canonical, f.finding and asdict(f.finding)) for f in result.fates],
        "seconds": dict(seconds),
        "cpu": {str(os.getpid()): time.process_time()},
    }


def _blamed(task: Task, described: Finding) -> bytes:
    finding = replace(described, outcome=task.fault, detail=task.detail)
    return pack((), _note(BlockResult(task.block, (Fate(task.fault, finding=finding),)), {}))


# -- joining ----------------------------------------------------------------------------------------------------------


def _joined(block: int, parts: Sequence[Part]) -> bytes:
    """The parts of a block as one, in the order of their indices."""
    if len(parts) == 1:
        return parts[0][1]
    tables, notes = zip(*(unpack(data) for _, data in sorted(parts)), strict=True)
    note = {
        "block": block,
        "fates": [fate for note in notes for fate in note["fates"]],
        "seconds": _summed(note["seconds"] for note in notes),
        "cpu": {pid: seconds for note in notes for pid, seconds in sorted(note["cpu"].items())},
    }
    return pack_table(pa.concat_tables(tables), note)


def _summed(counts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
