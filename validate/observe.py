"""What the compiler makes of kernels: in this process, or in others where it may end or hang them.

The key insight: whatever kills or blocks a process is seen from outside alone, and then costs a new one; so these are
made cheap. They come out of one that has imported all they need but never started Warp, share one precompiled header,
and one more than work at a time stands ready. A hang is told by the CPU: a process that has spent far more of it than
any kernel takes, or none at all for a while, hangs however busy the machine is. Where many kernels are asked about,
what those took that came back says what far more is.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from math import inf
from multiprocessing import active_children, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pebble import ProcessExpired, ProcessPool

from extract.build import BuildFailure
from extract.compile import compile_block, release, start
from extract.options import DEFAULT, CompileOptions
from grammar.emit import emit
from grammar.errors import UserError
from grammar.heights import size
from grammar.params import Param, Role
from grammar.tree import Const, Kernel, Store, Thread, Var
from grammar.types import F32, I32, Array
from validate.oracle import check
from validate.processes import said_exit, settle_in
from validate.verdict import Outcome

Observed = tuple[Outcome, str]
"""What a kernel came to, and the detail."""

SECONDS = 20.0
"""What a kernel gets to compile and run where hanging is to be expected and CPU time can't be told."""

CPU_SECONDS = 2.0
"""CPU time that a kernel gets then: some times what the largest take, of whom most take a twentieth of a second."""

LEAST_CPU_SECONDS, TIMES = 0.3, 5.0
"""What it gets in haste: so many times what those of its size took that came back, at least this, and no more than in
patience."""

BASE_SIZE = 40
"""What every kernel costs, in nodes."""

IDLE_SECONDS = 1.5
"""A process at work that has spent nothing for so long waits for what never comes."""

TICK_SECONDS = 0.1
"""How often processes at work are looked at."""

CREW, SPARE = 2, 1
"""Processes that observe at a time what may end them, and those that stand ready to take their places."""

MOST_BREAKS = 8
"""Times that a pool of processes breaks by itself before it is given up."""

SECONDS_TO_START = 5.0
"""What a process is given to start when it isn't wanted any more."""

Prepare = Callable[[Path, CompileOptions], None]

ISOLATED = (Outcome.CRASH, Outcome.TIMEOUT)

SMALLEST = Kernel(
    "smallest",
    (Param("out", Array(F32), Role.OUT),),
    (Thread("i"), Store("out", Var("i", I32), Const(F32, 0.0))),
    "",
)


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


# -- in other processes -----------------------------------------------------------------------------------------------


def ready(scratch: Path, options: CompileOptions) -> None:
    """Called once in each process: what is slow the first time is done before a kernel is waited for.

    One after the other: the first makes the header that the rest then find.
    """
    settle_in(scratch)
    with (scratch / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        start(scratch)
        release(compile_block([(SMALLEST.name, emit(SMALLEST))], frozenset(), options))


def _enlist(prepare: Prepare, scratch: Path, options: CompileOptions) -> None:
    prepare(scratch, options)
    (scratch / f"up-{os.getpid()}").touch()


@dataclass(slots=True)
class Hired:
    """Processes that may die: they are replaced as often as need be."""

    recruit: Callable[[], Any]
    """Makes a `pebble.ProcessPool`."""
    scratch: Path
    left: list[_Going] = field(default_factory=list)
    """What nobody waits for any more: each ends by itself, or else is ended as what hangs."""
    numbers: Iterator[int] = field(default_factory=count)
    breaks: int = 0
    pace: float = inf
    """CPU seconds per node, of the slowest kernel that came back; infinite before any did."""
    pool: Any = field(init=False)

    def __post_init__(self) -> None:
        self.pool = self.recruit()

    def begin(self, kernel: Kernel, seconds: float, allowed: float, *how: Any) -> _Going:
        journal = self.scratch / f"journal-{next(self.numbers)}"
        future = self.pool.schedule(_noted, args=(journal, kernel, *how), timeout=seconds)
        return _Going(future, kernel, journal, allowed)

    def patience(self, kernel: Kernel, hasty: bool) -> float:
        """The CPU seconds that the kernel gets."""
        if not hasty or self.pace == inf:
            return CPU_SECONDS
        return min(CPU_SECONDS, max(LEAST_CPU_SECONDS, TIMES * self.pace * (size(kernel) + BASE_SIZE)))

    def learn(self, one: _Going) -> None:
        """What a kernel took, if it came back."""
        if one.future.exception() is None:
            pace = one.future.result()[1] / (size(one.kernel) + BASE_SIZE)
            self.pace = pace if self.pace == inf else max(self.pace, pace)

    def replace(self, error: BrokenProcessPool) -> None:
        """For when the pool itself broke, which is no kernel's fault. Raises UserError where it only breaks."""
        self.breaks += 1
        if self.breaks > MOST_BREAKS:
            raise UserError(f"worker processes don't work: {error}")
        self.dismiss()
        self.pool = self.recruit()

    def dismiss(self) -> None:
        """Ends them all. What is just starting is waited for, as it would complain of finding nobody there."""
        until = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < until and (any(not one.future.done() for one in self.left) or self._is_starting()):
            _wait_for(self.left)
            time.sleep(TICK_SECONDS)
        self.pool.stop()
        self.pool.join()

    def _is_starting(self) -> bool:
        ours = [child for child in active_children() if isinstance(child, ForkServerProcess)]
        return any(not (self.scratch / f"up-{child.pid}").exists() for child in ours)


@contextmanager
def crew(options: CompileOptions = DEFAULT, prepare: Prepare = ready) -> Iterator[Hired]:
    """Processes that compile with these options; their temporary files go away with them."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with TemporaryDirectory(prefix="warpsmith-apart-", ignore_cleanup_errors=True) as scratch:
        given = (prepare, Path(scratch), options)
        hired = Hired(lambda: ProcessPool(CREW + SPARE, 0, _enlist, given, context), Path(scratch))
        try:
            yield hired
        finally:
            hired.dismiss()


def each_apart(
    hired: Hired,
    kernels: Sequence[Kernel],
    seed: int,
    lanes: int,
    options: CompileOptions,
    seconds: float = SECONDS,
    hasty: bool = False,
) -> Iterator[Observed]:
    """What is observed of each, in their order, crashes and hangs among it. Nothing more is begun once it is closed.

    In haste, what takes several times as long as others of its size is told to hang: a guess, if a good one.
    """
    waiting, going = deque(kernels), deque[_Going]()
    try:
        while waiting or going:
            while waiting and sum(not one.future.done() for one in (*going, *hired.left)) < CREW:
                kernel = waiting.popleft()
                going.append(hired.begin(kernel, seconds, hired.patience(kernel, hasty), seed, lanes, options))
            _wait_for([*going, *hired.left])
            while going and going[0].future.done():
                if isinstance(error := going[0].future.exception(), BrokenProcessPool):
                    hired.replace(error)
                    waiting.extendleft(one.kernel for one in reversed(going))
                    going.clear()
                else:
                    hired.learn(going[0])
                    yield going.popleft().came_to(seconds)
    finally:
        hired.left = [one for one in (*going, *hired.left) if not one.future.done()]


def together(
    hired: Hired, kernels: Sequence[Kernel], seed: int, lanes: int, options: CompileOptions
) -> Iterable[Observed]:
    """What is observed of them when they are compiled together; if that ends or hangs the process, of each apart."""
    if not kernels:
        return []
    future = hired.pool.schedule(observe, args=(kernels, seed, lanes, options), timeout=SECONDS * len(kernels))
    try:
        return future.result()  # type: ignore[no-any-return] # the pool's futures are untyped
    except (ProcessExpired, TimeoutError):
        return each_apart(hired, kernels, seed, lanes, options)


def _wait_for(going: Sequence[_Going]) -> None:
    """Until something is done, at most for a moment; ends what hangs."""
    wait([one.future for one in going if not one.future.done()], TICK_SECONDS, FIRST_COMPLETED)
    for one in going:
        one.look()


def _noted(journal: Path, kernel: Kernel, seed: int, lanes: int, options: CompileOptions) -> tuple[Observed, float]:
    """Writes down who works, and what CPU time it had spent before. Also what CPU time it took."""
    beside, before = journal.with_suffix(".new"), time.process_time()
    beside.write_text(f"{os.getpid()} {before}", encoding="utf-8")
    beside.replace(journal)
    return observe([kernel], seed, lanes, options)[0], time.process_time() - before


@dataclass(slots=True)
class _Going:
    """A kernel that is being observed."""

    future: Future[tuple[Observed, float]]
    kernel: Kernel
    journal: Path
    """Says who works, and what CPU time it had spent before; there is none before it begins."""
    allowed: float
    """CPU seconds."""
    spent: float = -1.0
    """CPU seconds, when last looked at."""
    since: float = 0.0
    """When they were last seen to become more."""
    hung: str = ""

    def look(self) -> None:
        """Kills the process if it hangs, as it may be deaf to anything less."""
        if self.future.done() or self.hung or not self.journal.is_file():
            return
        pid, before = self.journal.read_text(encoding="utf-8").split()
        spent = _cpu_seconds(int(pid))
        if spent is None:
            return
        if spent > self.spent:
            self.spent, self.since = spent, time.monotonic()
        if spent - float(before) > self.allowed:
            self.hung = f"took longer than {self.allowed:.2g} s of CPU time"
        elif time.monotonic() - self.since > IDLE_SECONDS:
            self.hung = f"did nothing for {IDLE_SECONDS:g} s"
        if self.hung:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def came_to(self, seconds: float) -> Observed:
        try:
            return self.future.result()[0]
        except TimeoutError:
            return Outcome.TIMEOUT, f"took longer than {seconds:g} s"
        except ProcessExpired as error:
            return (
                (Outcome.TIMEOUT, self.hung)
                if self.hung
                else (Outcome.CRASH, f"the process {said_exit(error.exitcode)}")
            )
        finally:
            self.journal.unlink(missing_ok=True)


def _cpu_seconds(pid: int) -> float | None:
    """That a process has spent so far; None if it is gone, or the system doesn't tell."""
    try:
        _, _, fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")
    except OSError:
        return None
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
