"""The main job: blocks of candidates in, shards of verified rows out.

The key insight: the parent considers candidates strictly in order and keeps all it knows in a `Cursor` and `Totals`, so
the data doesn't depend on the number of workers, on crashes, or on how often the run was stopped and continued.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa

from corpus import store
from corpus.card import card
from grammar.errors import UserError, refused
from synth.feed import Block, Feed
from synth.findings import save_finding
from synth.manifest import WORK, Cursor, Manifest, Shard, Totals, resumable, save
from synth.result import DUPLICATE, VERIFIED, Fate, Pipeline
from synth.settings import Settings
from synth.workers import stream

BARREN = 2000
"""A run ends when so many candidates in a row gave no new row. Were 1 in 670 new, this would happen 1 time in 20."""

DUPLICATES_PER_ROW = 3
"""A run ends, too, when it has met this many duplicates per row asked for, and `BARREN` more."""

MANY = 0.05
"""Workers are told what is known where at least this share of candidates are duplicates: else that costs more."""

COMPLETE = "complete"

Report = Callable[[Totals], None]


@dataclass(slots=True)
class Summary:
    """What a run came to."""

    settings: Settings
    totals: Totals
    ended: str = ""
    """Why no more rows will come (`Manifest.ended`); "" where the run can be continued."""
    stopped: str = ""
    """Why the run stopped before that: `time limit`, `SIGINT`, `SIGTERM`; else ""."""
    seconds: Counter[str] = field(default_factory=Counter)
    """CPU seconds by phase in the blocks that this session computed."""
    cpu_workers: Counter[str] = field(default_factory=Counter)
    """CPU seconds of each worker from its start to the end of the last of these blocks that it did."""
    cpu_parent: float = 0.0
    """CPU seconds of the process that writes."""
    cpu: float = 0.0
    """CPU seconds of all processes of the session, their start and end included."""
    wall: float = 0.0
    rows_before: int = 0
    """Rows that were there when the session began."""


class Stop(Exception):  # noqa: N818 - a wish of the user, not an error
    """The run was asked to end where it is."""


def run(settings: Settings, pipeline: Pipeline, report: Report = lambda _: None) -> Summary:
    """Makes the data set at `settings.out`, or continues it. Raises UserError; touches nothing that isn't its own."""
    wanted = Manifest(settings.identity(), dict(pipeline.facts()))
    before, started = _cpu_seconds(), time.monotonic()
    with _locked(settings.out):
        manifest = resumable(settings.out, wanted)
        summary = Summary(settings, _totals_of(manifest), manifest.ended)
        summary.rows_before = summary.totals.rows
        if not _is_finished(manifest, settings.out):
            _open(settings.out, manifest)
            _work(manifest, pipeline, summary, report)
        if summary.ended:
            shutil.rmtree(settings.out / WORK, ignore_errors=True)
    summary.cpu_parent, children = (after - then for after, then in zip(_cpu_seconds(), before, strict=True))
    summary.cpu, summary.wall = summary.cpu_parent + children, time.monotonic() - started
    return summary


def _work(manifest: Manifest, pipeline: Pipeline, summary: Summary, report: Report) -> None:
    settings, started = summary.settings, time.monotonic()
    known: set[str] = set()
    with _signals() as received, _scratch(settings.out) as scratch:
        feed = Feed(
            settings.out,
            lambda first: stream(pipeline, settings, first, scratch, lambda: _worth_telling(known, summary.totals)),
            lambda: _tick(summary, report, received, time.monotonic() - started),
        )
        try:
            _produce(manifest, feed, summary, known)
        except Stop as stop:
            summary.stopped = str(stop)
        finally:
            feed.close()


# -- the loop ---------------------------------------------------------------------------------------------------------


def _worth_telling(known: set[str], totals: Totals) -> frozenset[str]:
    return frozenset(known if totals.outcomes[DUPLICATE] >= MANY * totals.candidates else ())


def _produce(manifest: Manifest, feed: Feed, summary: Summary, known: set[str]) -> None:
    """Makes each shard that isn't there, in order, until the rows are complete or no more can be had.

    `known` is filled with the canonical hashes of the rows.
    """
    settings, cursor = summary.settings, Cursor()
    summary.totals = Totals()
    for number in range(-(-settings.n // store.SHARD_ROWS)):
        listed = manifest.shards[number] if number < len(manifest.shards) else None
        wanted = min(store.SHARD_ROWS, settings.n - number * store.SHARD_ROWS)
        if listed is not None and (settings.out / listed.file).exists():
            known |= _hashes(settings.out, listed)
            cursor, summary.totals = listed.end, Totals.from_plain(listed.totals)
            exhausted = manifest.ended if listed.rows < wanted else ""
        else:
            pieces: list[pa.Table] = []
            try:
                cursor, exhausted = _fill(pieces, wanted, cursor, known, feed, summary)
            except Stop:
                _write_shard(settings.out, number, pieces, manifest.facts)  # a foretaste: resuming replaces it
                raise
            shard = _write_shard(settings.out, number, pieces, manifest.facts)
            manifest = _listed(manifest, number, replace(shard, end=cursor, totals=summary.totals.plain()))
            save(settings.out, manifest)
            feed.forget(before=manifest.shards[-1].end if manifest.shards else Cursor())
        if exhausted:
            break
    summary.ended = exhausted or COMPLETE
    save(settings.out, replace(manifest, ended=summary.ended))


def _fill(
    pieces: list[pa.Table], wanted: int, cursor: Cursor, known: set[str], feed: Feed, summary: Summary
) -> tuple[Cursor, str]:
    """Appends tables of `wanted` new rows from the cursor on; returns where it ended, and why if that was early."""
    totals, until = summary.totals, summary.totals.rows + wanted
    while totals.rows < until:
        block, is_fresh = feed.fetch(cursor.block)
        if is_fresh:
            summary.seconds.update(block.seconds)
            summary.cpu_workers |= Counter(block.cpu)
        following, new = _take(block, cursor.candidate, until, known, summary)
        pieces.append(block.table.take(pa.array(new, pa.int64())))
        if totals.rows == until:
            return Cursor(block.number, following), ""
        cursor = Cursor(block.number + 1)
        if why := exhausted(totals, summary.settings):
            return cursor, why
    return cursor, ""


def _take(block: Block, start: int, until: int, known: set[str], summary: Summary) -> tuple[int, list[int]]:
    """Considers candidates until there are rows enough; returns the position of the next, and numbers of new rows.

    A candidate that repeats a row, or any candidate of its own block, is a duplicate, whether or not it was looked at.
    So it makes no difference what workers knew.
    """
    totals, new = summary.totals, list[int]()
    met = {fate.canonical for fate in block.fates[:start]}
    row = sum(fate.outcome == VERIFIED for fate in block.fates[:start])
    for position, fate in enumerate(block.fates[start:], start):
        if totals.rows == until:
            return position, new
        if fate.canonical and (fate.canonical in known or fate.canonical in met):
            totals.take(DUPLICATE)
        elif fate.outcome == VERIFIED:
            totals.take(VERIFIED, block.gradients[row])
            known.add(fate.canonical)
            new.append(row)
        else:
            _reject(fate, summary)
        met.add(fate.canonical)
        row += fate.outcome == VERIFIED
    return len(block.fates), new


def _reject(fate: Fate, summary: Summary) -> None:
    summary.totals.take(fate.outcome, is_finding=fate.finding is not None)
    if fate.finding is not None:
        save_finding(summary.settings, fate.finding)


def exhausted(totals: Totals, settings: Settings) -> str:
    """Why there is no point in going on after a block, or ""."""
    duplicates = totals.outcomes[DUPLICATE]
    barren = totals.candidates - totals.candidates_at_last_row
    if barren < BARREN and duplicates < DUPLICATES_PER_ROW * settings.n + BARREN:
        return ""
    found = _found(totals, settings)
    if barren >= BARREN:
        return f"{found}: the last {barren:,} candidates gave no new one"
    return f"{found}: {duplicates:,} candidates were duplicates"


def _found(totals: Totals, settings: Settings) -> str:
    families = "all families" if settings.family is None else ", ".join(settings.family)
    count = f"only {totals.rows:,}" if totals.rows else "no"
    return f"{count} distinct kernels found at depth {settings.depth} ({families})"


# -- files ------------------------------------------------------------------------------------------------------------


def _open(folder: Path, manifest: Manifest) -> None:
    save(folder, manifest)
    text = card(manifest.settings, manifest.facts).encode()
    store.write_atomically(folder / "README.md", text, folder / WORK / "README.md")


def _write_shard(folder: Path, number: int, pieces: list[pa.Table], facts: Mapping[str, str]) -> Shard:
    rows = sum(piece.num_rows for piece in pieces)
    name = store.shard_name(number)
    data = store.shard_bytes(pieces, facts) if rows else b""
    if rows:
        store.write_atomically(folder / name, data, folder / WORK / "shard")
    return Shard(name, rows, store.digest(data), Cursor(), {})


def _listed(manifest: Manifest, number: int, shard: Shard) -> Manifest:
    """The manifest with one more shard, or with one that was made again, which must be the same."""
    if number < len(manifest.shards):
        listed = manifest.shards[number]
        if (listed.rows, listed.end, listed.totals) != (shard.rows, shard.end, shard.totals):
            raise UserError(f"{shard.file}, made again, is not what the manifest says it was; choose another --out")
        # Another version of pyarrow may write the same rows in other bytes.
        return replace(manifest, shards=(*manifest.shards[:number], shard, *manifest.shards[number + 1 :]))
    return replace(manifest, shards=(*manifest.shards, shard)) if shard.rows else manifest


def _hashes(folder: Path, shard: Shard) -> set[str]:
    path = folder / shard.file
    try:
        same = store.digest(path.read_bytes()) == shard.digest
    except OSError as error:
        raise refused(path, "read", error) from error
    if not same:
        raise UserError(f"{path} is damaged (truncated or altered); delete it and run the same command again")
    return set(store.column(path, "canonical_hash"))


def _totals_of(manifest: Manifest) -> Totals:
    return Totals.from_plain(manifest.shards[-1].totals) if manifest.shards else Totals()


def _is_finished(manifest: Manifest, folder: Path) -> bool:
    return bool(manifest.ended) and all((folder / shard.file).exists() for shard in manifest.shards)


# -- the process ------------------------------------------------------------------------------------------------------


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Makes the folder if need be, and keeps a second run out of it. Raises UserError."""
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; --out must name a folder")
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise refused(folder, "make the folder", error) from error
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"another run is at work in {folder}") from error
    except OSError:  # a file system that has no locks: then the user must see to it
        return


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A temporary folder of this data set's own, so that what a killed run left there is found and deleted."""
    name = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=8).hexdigest()
    path = Path(tempfile.gettempdir(), f"warpsmith-{os.getuid()}-{name}")
    shutil.rmtree(path, ignore_errors=True)
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        raise refused(path, "make the folder", error) from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _signals() -> Iterator[list[str]]:
    """A list to which the first SIGINT or SIGTERM is appended; a second one ends the process at once."""
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous: dict[signal.Signals, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, signal.default_int_handler)

    try:
        for which in (signal.SIGINT, signal.SIGTERM):
            previous[which] = signal.signal(which, note)
        yield received
    finally:
        for which, handler in previous.items():
            signal.signal(which, handler)


def _tick(summary: Summary, report: Report, received: list[str], elapsed: float) -> None:
    report(summary.totals)
    if received:
        raise Stop(received[0])
    if summary.settings.time_limit is not None and elapsed > summary.settings.time_limit:
        raise Stop("time limit")


def _cpu_seconds() -> tuple[float, float]:
    """CPU seconds of this process, and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime
