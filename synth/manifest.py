"""The manifest of a run: its settings, and after which candidate each shard ends.

The key insight: a shard is a pure function of the settings and of where the one before it ended. So the manifest needs
to say no more than that, and continuing a run, or making again a shard that was deleted, is the same loop as making it
the first time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus.store import write_atomically
from grammar.errors import UserError, refused
from synth.result import VERIFIED

FILE = "manifest.json"
WORK = ".work"
"""Folder inside the data set that holds what an unfinished run needs, and is deleted at its end."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next candidate to consider."""

    block: int = 0
    candidate: int = 0
    """Its position in the block."""


@dataclass(slots=True)
class Totals:
    """Counts over all that was considered up to a cursor."""

    rows: int = 0
    candidates: int = 0
    candidates_at_last_row: int = 0
    """The value of `candidates` when the latest new row was found."""
    findings: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    gradients: Counter[str] = field(default_factory=Counter)
    """Written rows by gradient label."""

    def take(self, outcome: str, gradient: str = "", is_finding: bool = False) -> None:
        """Counts one more candidate; `gradient` is the label of a verified one."""
        self.candidates += 1
        self.outcomes[outcome] += 1
        self.findings += is_finding
        if outcome == VERIFIED:
            self.rows += 1
            self.gradients[gradient] += 1
            self.candidates_at_last_row = self.candidates

    def plain(self) -> dict[str, Any]:
        """As JSON. The order of keys is fixed, so that equal counts have equal text."""
        return {
            "rows": self.rows,
            "candidates": self.candidates,
            "candidates_at_last_row": self.candidates_at_last_row,
            "findings": self.findings,
            "outcomes": dict(sorted(self.outcomes.items())),
            "gradients": dict(sorted(self.gradients.items())),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Totals:
        counters = {name: Counter(plain[name]) for name in ("outcomes", "gradients")}
        return cls(**{**plain, **counters})


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished shard: its file, and the state of the run after it."""

    file: str
    rows: int
    digest: str
    end: Cursor
    totals: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "rows": self.rows,
            "digest": self.digest,
            "end": [self.end.block, self.end.candidate],
            "totals": dict(self.totals),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Shard:
        return cls(plain["file"], plain["rows"], plain["digest"], Cursor(*plain["end"]), plain["totals"])


@dataclass(frozen=True, slots=True)
class Manifest:
    settings: Mapping[str, object]
    facts: Mapping[str, str]
    shards: tuple[Shard, ...] = ()
    ended: str = ""
    """Why no more rows will come: "" while the run is unfinished, `complete`, or why there are fewer than asked."""

    def text(self) -> str:
        plain = {
            "settings": dict(self.settings),
            "facts": dict(self.facts),
            "ended": self.ended,
            "shards": [shard.plain() for shard in self.shards],
        }
        return json.dumps(plain, indent=1) + "\n"


def save(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest in a folder. Raises UserError."""
    write_atomically(folder / FILE, manifest.text().encode(), folder / WORK / FILE)


def load(folder: Path) -> Manifest | None:
    """The manifest in a folder, if there is one. Raises UserError."""
    path = folder / FILE
    try:
        plain = json.loads(path.read_text())
        shards = tuple(Shard.from_plain(shard) for shard in plain["shards"])
        return Manifest(plain["settings"], plain["facts"], shards, plain["ended"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused(path, "read", error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; choose another --out, or delete the folder to start anew") from error


def resumable(folder: Path, wanted: Manifest) -> Manifest:
    """The manifest to go on from: the folder's, or `wanted` for a new folder. Touches nothing. Raises UserError."""
    found = load(folder)
    if found is None:
        strange = sorted(path.name for path in folder.iterdir() if path.name != WORK)
        if strange:
            raise UserError(f"{folder} is not empty (it holds {strange[0]}) and holds no run; choose another --out")
        return wanted
    differences = [*_differences(found.settings, wanted.settings), *_differences(found.facts, wanted.facts)]
    if differences:
        raise UserError(f"{folder} holds a run with other settings ({', '.join(differences)}); choose another --out")
    return found


def _differences(found: Mapping[str, object], wanted: Mapping[str, object]) -> Sequence[str]:
    names = [*wanted, *(name for name in found if name not in wanted)]
    return [
        f"{name.replace('_', ' ')} {_said(found.get(name))} there, {_said(wanted.get(name))} here"
        for name in names
        if found.get(name) != wanted.get(name)
    ]


def _said(value: object) -> str:
    if value is None:
        return "all"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
