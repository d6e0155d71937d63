"""Results of blocks by number, each computed once, even by a run that is killed and continued.

The key insight: a block's packed result is the message a worker sends and, byte for byte, the file that makes it last.
So a run killed at any moment loses only the blocks that were in the works, although shards are large and rarely
written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus.store import unpack, write_atomically
from synth.manifest import WORK, Cursor
from synth.result import Fate, Finding

Stream = Generator[bytes | None]


@dataclass(frozen=True, slots=True)
class Block:
    """A block's result as the parent reads it."""

    number: int
    table: Any
    """The rows."""
    fates: tuple[Fate, ...]
    """What became of each candidate; their `row` is None."""
    gradients: tuple[str, ...]
    """Gradient label of each row."""
    seconds: dict[str, float]
    cpu: Mapping[str, float]
    """CPU seconds of each worker that had a part in it, from the worker's start."""


class Feed:
    """Blocks by number, from what an earlier run left in `folder` or else from the workers."""

    def __init__(self, folder: Path, stream: Callable[[int], Stream], on_tick: Callable[[], None]) -> None:
        """`stream(first)` gives packed results from a block on, and None while there is nothing new."""
        self.folder, self.start, self.on_tick = folder, stream, on_tick
        self.latest: Block | None = None
        self.stream: Stream | None = None
        self.position = 0

    def fetch(self, number: int) -> tuple[Block, bool]:
        """A block, and whether it was computed just now."""
        if self.latest is not None and self.latest.number == number:
            return self.latest, False
        kept = _kept(self._path(number))
        self.latest = kept or read_block(self._compute(number))
        return self.latest, kept is None

    def forget(self, before: Cursor) -> None:
        """Deletes the files of blocks that no run will need again."""
        for path in (self.folder / WORK).glob("*.arrow"):
            if int(path.stem) < before.block:
                path.unlink()

    def close(self) -> None:
        """Ends the workers."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def _compute(self, number: int) -> bytes:
        if self.stream is None or self.position != number:
            self.close()
            self.stream, self.position = self.start(number), number
        for data in self.stream:
            self.on_tick()
            if data is not None:
                self.position += 1
                path = self._path(number)
                write_atomically(path, data, path.with_suffix(".part"))
                return data
        raise AssertionError("a stream of blocks has no end")

    def _path(self, number: int) -> Path:
        return self.folder / WORK / f"{number:09d}.arrow"


def read_block(data: bytes) -> Block:
    """What a packed result says."""
    table, note = unpack(data)
    return Block(
        number=note["block"],
        table=table,
        fates=tuple(
            Fate(outcome, canonical, None, made and Finding(**made)) for outcome, canonical, made in note["fates"]
        ),
        gradients=tuple(table.column("gradient").to_pylist()),
        seconds=note["seconds"],
        cpu=note["cpu"],
    )


def _kept(path: Path) -> Block | None:
    # A file cut short by a power failure counts as none: it is only computed again.
    with contextlib.suppress(FileNotFoundError, pa.ArrowInvalid, KeyError, ValueError):
        return read_block(path.read_bytes())
    return None
