"""Planting faults in worker processes.

The key insight: a fault may crash its process or never end, so whoever works writes into a journal what it is about to
check and what came of it; when a worker dies, its journal says which fault it died of. A fault that takes its worker
with it is caught as the main job would catch it. Fault number k is a pure function of the plan and k.
"""

from __future__ import annotations

import gc
import pickle
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

from pebble import ProcessExpired, ProcessPool

from extract.compile import BlockBuild, Compiled, compile_block, compile_instead, release, start
from grammar.choose import Choose, Seed, pick, seeded
from grammar.emit import emit
from grammar.errors import UserError
from grammar.families import families_at
from grammar.grow import grow
from grammar.profiles import profile
from grammar.tree import Kernel
from validate.mutation.cells import wrong_cells
from validate.mutation.code import FORWARD_KINDS, Fault, Kind, faults, planted
from validate.mutation.judge import Fate, Judgement, judged, judged_cell
from validate.oracle import check
from validate.verdict import GradientLabel, Outcome, Verdict

BLOCK = 24
"""Faults per task: two kernels are compiled for each."""

ATTEMPTS = 40
"""Kernels that are tried for a fault before it is given up: not every kernel grows, is verified, and has a fault."""

CPU_SECONDS = 10.0
"""What checking one fault may take before it is thought to be endless; ordinary ones take a hundredth."""

TASK_SECONDS = 300.0
"""Wall-clock limit of a task, should a worker hang in another way."""


@dataclass(frozen=True, slots=True)
class Plan:
    n: int
    seed: int = 0
    depth: int = 5
    profile: str = "natural"
    lanes: int = 64


@dataclass(frozen=True, slots=True)
class Result:
    """One planted fault, and what became of it."""

    index: int
    fault: Fault
    fate: Fate
    detail: str
    source: str
    """The kernel, as a Python module."""
    family: str


@dataclass(frozen=True, slots=True)
class Subject:
    """A verified kernel and the fault to plant in it; `wrong` is the kernel as a wrong table has it."""

    index: int
    kernel: Kernel
    seed: int
    made: Compiled
    fault: Fault
    wrong: Kernel | None

    def result(self, judgement: Judgement) -> Result:
        return Result(self.index, self.fault, *judgement, self.made.build.source, self.kernel.family)


# -- choosing ---------------------------------------------------------------------------------------------------------


def subjects(plan: Plan, indices: Sequence[int]) -> tuple[list[Subject], list[BlockBuild]]:
    """A subject for each index, and the blocks that hold their code. Raises UserError where none can be found."""
    found: dict[int, Subject] = {}
    blocks: list[BlockBuild] = []
    for attempt in range(ATTEMPTS):
        grown = [(k, *_grown(plan, k, attempt)) for k in indices if k not in found]
        ready = [(k, seed, kernel) for k, seed, kernel in grown if kernel is not None]
        if ready:
            blocks.append(compile_block([(kernel.name, emit(kernel)) for _, _, kernel in ready]))
            for (k, seed, kernel), made in zip(ready, blocks[-1].kernels, strict=True):
                if isinstance(made, Compiled) and (subject := _subject(plan, k, seed, kernel, made)):
                    found[k] = subject
        if len(found) == len(indices):
            return [found[k] for k in indices], blocks
    raise UserError(f"no kernel to plant a fault in was found at depth {plan.depth} in {ATTEMPTS} attempts")


def _grown(plan: Plan, k: int, attempt: int) -> tuple[Seed, Kernel | None]:
    seed = _seed(plan, "kernel", k, attempt)
    families = families_at(plan.depth)
    if not families:
        return seed, None
    family = families[(k // len(Kind) + attempt) % len(families)]
    kernel = grow(seeded(seed), family, profile(plan.profile), plan.depth, seed, plan.lanes)
    return seed, None if kernel is None else replace(kernel, name=f"mutant_{k}")


def _seed(plan: Plan, what: str, *numbers: int) -> Seed:
    text = f"{what} {plan.seed} {plan.depth} {plan.profile} {plan.lanes} {numbers}"
    return Seed(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1)


def _subject(plan: Plan, k: int, seed: Seed, kernel: Kernel, made: Compiled) -> Subject | None:
    verdict = check(kernel, made.handle, seed, plan.lanes)
    if verdict.outcome is not Outcome.VERIFIED:
        return None
    options = _options(kernel, made, verdict)
    for step in range(len(Kind)):
        kind = list(Kind)[(k + 5 * step) % len(Kind)]  # 5 and the number of kinds have no common divisor
        if kind in options:
            fault, wrong = pick(_chooser(plan, k), options[kind])
            return Subject(k, kernel, seed, made, fault, wrong)
    return None


def _chooser(plan: Plan, k: int) -> Choose:
    return seeded(_seed(plan, "fault", k))


def _options(kernel: Kernel, made: Compiled, verdict: Verdict) -> dict[Kind, list[tuple[Fault, Kernel | None]]]:
    """The faults by kind; in the adjoint only where the oracle claims to have checked it."""
    options: dict[Kind, list[tuple[Fault, Kernel | None]]] = {}
    for fault in faults(made.build.ir):
        if fault.kind in FORWARD_KINDS or verdict.gradient is GradientLabel.VERIFIED:
            options.setdefault(fault.kind, []).append((fault, None))
    for fault, wrong in wrong_cells(kernel):
        options.setdefault(fault.kind, []).append((fault, wrong))
    return options


# -- in the worker ----------------------------------------------------------------------------------------------------


def start_worker(scratch: Path) -> None:
    tempfile.tempdir = str(scratch)
    start(scratch)


def work(plan: Plan, indices: Sequence[int], journal: Path) -> None:
    """Plants the faults of these indices; the journal holds an index before each, and its Result after."""
    chosen, blocks = subjects(plan, indices)
    in_code = [subject for subject in chosen if subject.wrong is None]
    texts = [(subject.made, planted(subject.made.build.ir, subject.fault)) for subject in in_code]
    blocks[0] = compile_instead(blocks[0], texts)
    mutants = {s.index: made for s, made in zip(in_code, blocks[0].kernels, strict=True)}
    with journal.open("ab", buffering=0) as notes:
        for subject in chosen:
            pickle.dump(subject.index, notes)
            judgement = _judged(plan, subject, mutants.get(subject.index))
            pickle.dump(subject.result(judgement), notes)
    for block in blocks:
        release(block)
    gc.collect()


def _judged(plan: Plan, subject: Subject, made: object) -> Judgement:
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)  # by default its signal ends the process
    try:
        if subject.wrong is not None:
            return judged_cell(subject.kernel, subject.wrong, subject.made.handle, subject.seed, plan.lanes)
        if not isinstance(made, Compiled):
            return Fate.REFUSED, getattr(made, "message", "")
        return judged(subject.kernel, subject.made.handle, made.handle, subject.seed, plan.lanes)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)


# -- the crew ---------------------------------------------------------------------------------------------------------


Work = Callable[[Plan, Sequence[int], Path], None]


def results(plan: Plan, jobs: int, report: Callable[[int], None], work: Work = work) -> list[Result]:
    """All results, in order; `report` is told how many there are. Raises UserError if workers can't work."""
    found: dict[int, Result] = {}
    with tempfile.TemporaryDirectory(prefix="warpsmith-mutate-") as scratch:
        pool: Any = _recruit(jobs, Path(scratch))
        try:
            crew = _Crew(plan, Path(scratch), pool, work)
            for first in range(0, plan.n, BLOCK):
                crew.submit(tuple(range(first, min(first + BLOCK, plan.n))))
            while crew.tasks:
                for result in crew.settled():
                    found[result.index] = result
                report(len(found))
        finally:
            pool.stop()
            pool.join()
    return [found[k] for k in sorted(found)]


def _recruit(jobs: int, scratch: Path) -> Any:
    return ProcessPool(jobs, initializer=start_worker, initargs=(scratch,), context=get_context("spawn"))


@dataclass(slots=True)
class _Task:
    indices: tuple[int, ...]
    journal: Path


class _Crew:
    """The tasks that workers have; what a dead worker leaves undone becomes a new task."""

    def __init__(self, plan: Plan, scratch: Path, pool: Any, work: Work) -> None:
        self.plan, self.scratch, self.pool, self.work = plan, scratch, pool, work
        self.tasks: dict[Future[None], _Task] = {}
        self.count = 0

    def submit(self, indices: tuple[int, ...]) -> None:
        self.count += 1
        task = _Task(indices, self.scratch / f"journal-{self.count}")
        future = self.pool.schedule(self.work, args=(self.plan, indices, task.journal), timeout=TASK_SECONDS)
        self.tasks[future] = task

    def settled(self) -> Iterator[Result]:
        done, _ = wait(self.tasks, return_when=FIRST_COMPLETED)
        for future in done:
            task = self.tasks.pop(future)
            try:
                future.result()
                death = None
            except TimeoutError:
                death = "timeout"
            except ProcessExpired as error:
                death = "timeout" if error.exitcode == -signal.SIGVTALRM else "crash"
            yield from self._read(task, death)

    def _read(self, task: _Task, death: str | None) -> Iterator[Result]:
        finished, begun = _journal(task.journal)
        yield from finished
        if death is None:
            return
        if begun is None:
            raise UserError(
                f"a worker process ended ({death}) before it had planted a fault: try again, or fewer --jobs"
            )
        yield _fatal(self.plan, begun, death)
        known = {begun, *(result.index for result in finished)}
        if rest := tuple(k for k in task.indices if k not in known):
            self.submit(rest)


def _fatal(plan: Plan, index: int, death: str) -> Result:
    """The result of a fault that took its worker with it; its kernel and fault are found again, in this process."""
    start()
    (subject,), blocks = subjects(plan, (index,))
    for block in blocks:
        release(block)
    return subject.result((Fate.KILLED, death))


def _journal(path: Path) -> tuple[list[Result], int | None]:
    """The results in a journal, and the index whose result is not there though it was begun."""
    if not path.exists():
        return [], None
    with path.open("rb") as file:
        notes = list(_loaded(file))
    finished = [note for note in notes if isinstance(note, Result)]
    begun = notes[-1] if notes and isinstance(notes[-1], int) else None
    return finished, begun


def _loaded(file: BinaryIO) -> Iterator[Result | int]:
    while True:
        try:
            yield pickle.load(file)
        except (EOFError, pickle.UnpicklingError):
            return
