"""What the user asks of a run, resolved once.

The key insight: settings that determine the bytes of the data (`identity`) are told apart from those that don't (where
to put it, how many workers, when to stop), so a run can be continued with the latter changed and never with the former.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from extract.build import Target
from grammar.errors import UserError

RANGES = {
    "depth": (1, 64),
    "n": (1, 10**9),
    "seed": (0, 2**63 - 1),
    "lanes": (64, 65536),
    "block": (1, 1024),
    "jobs": (1, 1024),
}
"""Least and greatest value of each number. Fewer than 64 lanes prove too little."""


@dataclass(frozen=True, slots=True)
class Settings:
    depth: int
    n: int
    out: Path
    seed: int = 0
    profile: str = "natural"
    family: tuple[str, ...] | None = None
    """None means all."""
    targets: tuple[Target, ...] = (Target.CPP, Target.CUDA)
    lanes: int = 64
    block: int = 64
    jobs: int = 1
    time_limit: float | None = None
    """Seconds after which the run ends where it is, to be continued another time."""

    def identity(self) -> dict[str, object]:
        """What determines the bytes of the data, as plain JSON."""
        return {
            "depth": self.depth,
            "n": self.n,
            "seed": self.seed,
            "profile": self.profile,
            "family": None if self.family is None else list(self.family),
            "targets": [target.value for target in self.targets],
            "lanes": self.lanes,
            "block": self.block,
        }

    def indices(self, block: int) -> tuple[int, ...]:
        """The candidates of a block, numbered from the start of the run."""
        return tuple(range(block * self.block, (block + 1) * self.block))


def checked(settings: Settings, families: Sequence[str], profiles: Sequence[str]) -> Settings:
    """The same settings if they make sense. Raises UserError."""
    for name, (low, high) in RANGES.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise UserError(f"--{name} must be from {low} to {high}, not {value}")
    if settings.time_limit is not None and not settings.time_limit > 0:
        raise UserError(f"--time-limit must be a positive number of seconds, not {settings.time_limit:g}")
    _known("profile", [settings.profile], profiles)
    _known("family", settings.family or (), families)
    return settings


def parsed_family(text: str | None) -> tuple[str, ...] | None:
    """The value of `--family`: names between commas, each counted once, in alphabetical order; None means all."""
    return None if text is None else tuple(sorted(set(_names("family", text))))


def parsed_targets(text: str) -> tuple[Target, ...]:
    """The value of `--targets`: names between commas; the order is always the same. Raises UserError."""
    names = _names("targets", text)
    _known("targets", names, [target.value for target in Target])
    return tuple(target for target in Target if target.value in names)


def default_out(settings: Settings) -> Path:
    """`datasets/depth5-natural-seed0-n1000`, with the families where only some are asked for."""
    family = "" if settings.family is None else "-" + "+".join(settings.family)
    return Path("datasets", f"depth{settings.depth}-{settings.profile}{family}-seed{settings.seed}-n{settings.n}")


def default_jobs() -> int:
    """The number of CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"--{option} names nothing")
    return names


def _known(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(f"--{option}: there is no {name!r}; choose from {', '.join(known)}")
