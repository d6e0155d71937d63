"""`python -m validate fuzz`: random kernels until time is up, what they cover, and what is wrong with any.

The key insight: the compiler is the one thing here that may crash, hang or eat memory, so it only ever runs in worker
processes; this one draws recipes, keeps count, and lives.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from grammar.errors import UserError
from validate.derivation import ALL_PROFILES, SWARM
from validate.findings import save
from validate.fuzzing.plan import ALL_AXES, Plan
from validate.fuzzing.run import REDUCE_SECONDS, Ending, fuzz, reduce_all
from validate.fuzzing.show import lines_of, show, watching
from validate.fuzzing.tally import Bucket
from validate.fuzzing.work import WORKSHOP, Workshop

MINUTES = 30.0
DEEPEST = 64
ALL, NONE, SAMPLE = "all", "none", "sample"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for, as text and numbers."""

    minutes: float | None = None
    n: int | None = None
    seed: int = 0
    depth: str = "1-8"
    profile: str = SWARM
    axes: str = SAMPLE
    jobs: int | None = None
    allow_known: bool = False
    out: Path = Path("findings")
    reduce: bool = True


def command(wanted: Wanted, workshop: Workshop = WORKSHOP) -> int:
    """Fuzzes, prints what was covered and found, and returns 1 if anything was that is not known. Raises UserError."""
    plan, jobs, started = plan_of(wanted), _jobs(wanted), time.monotonic()
    ending = _ending(wanted, started)
    with stoppable(), watching(ending) as watch:
        tally = fuzz(plan, workshop, jobs, ending, watch, lambda bucket: _keep(bucket, wanted.out))
    seconds, console = time.monotonic() - started, Console(width=max(Console().width, 110))
    if wanted.reduce and tally.buckets and not tally.interrupted:
        print(f"reducing a finding of each of {len(tally.buckets)} buckets", file=sys.stderr, flush=True)
        reduce_all(tally, workshop, jobs, REDUCE_SECONDS, _told)
    show(tally, seconds, {key: _keep(bucket, wanted.out) for key, bucket in tally.buckets.items()}, console)
    return int(any(not bucket.known for bucket in tally.buckets.values()))


@contextmanager
def stoppable() -> Iterator[None]:
    """While it lasts, a request to end is as an interrupt from the keyboard: what was found so far is told."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _keep(bucket: Bucket, folder: Path) -> Path | None:
    """Writes the bucket's finding; where it is, if it has a kernel at all."""
    return None if bucket.smallest is None else save(folder, bucket.smallest)


def _told(bucket: Bucket) -> None:
    lines = f", {lines_of(bucket)} lines" if bucket.smallest else ""
    print(f"{' '.join(filter(None, bucket.key))}: {bucket.reduced}{lines}", file=sys.stderr, flush=True)


# -- what the user asks for -------------------------------------------------------------------------------------------


def plan_of(wanted: Wanted) -> Plan:
    """What determines the kernels. Raises UserError."""
    if not 0 <= wanted.seed < 2**63:
        raise UserError(f"--seed must be from 0 to {2**63 - 1}, not {wanted.seed}")
    if wanted.profile not in (ALL, *ALL_PROFILES):
        raise UserError(f"--profile: there is no {wanted.profile!r}; choose from {', '.join((*ALL_PROFILES, ALL))}")
    profiles = ALL_PROFILES if wanted.profile == ALL else (wanted.profile,)
    sampled = wanted.axes == SAMPLE
    return Plan(wanted.seed, _depths(wanted.depth), profiles, _axes(wanted.axes), sampled, wanted.allow_known)


def _depths(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    numbers = [part for part in (low, high if dash else low) if part.isdecimal()]
    if len(numbers) != 2 or not 1 <= int(numbers[0]) <= int(numbers[1]) <= DEEPEST:
        raise UserError(f"--depth must be a number from 1 to {DEEPEST}, or a range such as 1-8, not {text}")
    return int(numbers[0]), int(numbers[1])


def _axes(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if names in ((ALL,), (SAMPLE,), (NONE,)):
        return () if names == (NONE,) else ALL_AXES
    if unknown := [name for name in names if name not in ALL_AXES]:
        raise UserError(f"--axes: there is no {unknown[0]!r}; choose from {', '.join((*ALL_AXES, SAMPLE, ALL, NONE))}")
    if not names:
        raise UserError("--axes names nothing")
    return names


def _jobs(wanted: Wanted) -> int:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = cpus if wanted.jobs is None else wanted.jobs
    if not 1 <= jobs <= 1024:
        raise UserError(f"--jobs must be from 1 to 1024, not {jobs}")
    return jobs


def _ending(wanted: Wanted, started: float) -> Ending:
    if wanted.minutes is not None and not 0 < wanted.minutes < 10**6:
        raise UserError(f"--minutes must be a positive number, not {wanted.minutes:g}")
    if wanted.n is not None and not 1 <= wanted.n <= 10**9:
        raise UserError(f"--n must be from 1 to {10**9}, not {wanted.n}")
    minutes = MINUTES if wanted.minutes is None and wanted.n is None else wanted.minutes
    return Ending(wanted.n, None if minutes is None else started + 60 * minutes)
