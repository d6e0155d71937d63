"""`python -m validate mutate`: proves the oracle, by planting faults and counting what it catches.

The key insight: a check is worth what it rejects. What it lets through is looked into one by one: no fault at all, a
fault where the oracle had said it could not decide, or a fault it missed; only the first kind is no reproach.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from grammar.errors import UserError
from validate.mutation.code import Kind
from validate.mutation.judge import Fate
from validate.mutation.work import Plan, Result, results

RATE = 0.98
"""Least share of the faults on each side, equivalent ones aside, that must be caught."""

LINE_SECONDS = 5.0

SIDES = ("forward", "adjoint")


def command(n: int, seed: int, depth: int, jobs: int | None) -> int:
    """Plants `n` faults, prints what became of them, and returns 1 if too few were caught. Raises UserError."""
    workers = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) if jobs is None else jobs
    for name, value, high in (("n", n, 10**6), ("depth", depth, 64), ("jobs", workers, 1024)):
        if not 1 <= value <= high:
            raise UserError(f"--{name} must be from 1 to {high}, not {value}")
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed must be from 0 to {2**63 - 1}, not {seed}")
    found = results(Plan(n, seed, depth), min(workers, n), _progress(n))
    show(found, Console(width=max(Console().width, 110)))
    return exit_code(found)


def _progress(n: int) -> Callable[[int], None]:
    """Tells standard error how many faults are done, every few seconds."""
    shown = time.monotonic()

    def report(count: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= LINE_SECONDS:
            shown = time.monotonic()
            print(f"planted {count:,}/{n:,}", file=sys.stderr, flush=True)

    return report


# -- what it came to --------------------------------------------------------------------------------------------------


def rate(found: Sequence[Result]) -> float | None:
    """Killed ÷ planted, equivalent ones left out; None where there is none."""
    fates = Counter(result.fate for result in found)
    faults = fates[Fate.KILLED] + fates[Fate.MASKED] + fates[Fate.MISSED]
    return fates[Fate.KILLED] / faults if faults else None


def of_side(found: Sequence[Result], side: str) -> list[Result]:
    return [result for result in found if result.fault.kind.side == side]


def exit_code(found: Sequence[Result]) -> int:
    """1 if, on any side, the rate is below `RATE`."""
    rates = [rate(of_side(found, side)) for side in SIDES]
    return int(any(share is not None and share < RATE for share in rates))


def show(found: Sequence[Result], console: Console) -> None:
    """Prints the table and every survivor."""
    console.print(_table(found))
    for result in found:
        if result.fate not in (Fate.KILLED, Fate.EQUIVALENT):
            _show_survivor(result, console)
    if equivalent := [result for result in found if result.fate is Fate.EQUIVALENT]:
        console.print("\nEquivalent: the same bits everywhere", highlight=False)
        for result in equivalent:
            line = f"  {result.index} {result.fault.kind.value}: {result.fault.label}, {result.detail}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(found: Sequence[Result]) -> Table:
    table = Table("fault", title="Planted faults", title_justify="left")
    for name in ("planted", "killed", "equivalent", "masked", "missed", "rate"):
        table.add_column(name, justify="right")
    for side in SIDES:
        for kind in (kind for kind in Kind if kind.side == side):
            table.add_row(kind.value, *_counts([result for result in found if result.fault.kind is kind]))
        table.add_row(f"all of the {side}", *_counts(of_side(found, side)), style="bold", end_section=True)
    table.caption = _caught_by(found)
    table.caption_justify = "left"
    return table


def _counts(found: Sequence[Result]) -> Iterator[str]:
    fates = Counter(result.fate for result in found)
    share = rate(found)
    yield str(len(found) - fates[Fate.REFUSED])
    yield from (str(fates[fate]) for fate in (Fate.KILLED, Fate.EQUIVALENT, Fate.MASKED, Fate.MISSED))
    yield "" if share is None else f"{share:.1%}"


def _caught_by(found: Sequence[Result]) -> str:
    caught = Counter(result.detail for result in found if result.fate is Fate.KILLED)
    refused = sum(result.fate is Fate.REFUSED for result in found)
    text = "caught by: " + ", ".join(f"{name} {count}" for name, count in caught.most_common())
    return f"{text}; {refused} did not compile" if refused else text


def _show_survivor(result: Result, console: Console) -> None:
    fault = result.fault
    place = f"{fault.piece}, line {fault.line + 1}" if fault.piece else "the reference"
    console.print(
        f"\n{result.fate.value}: fault {result.index}, {fault.kind.value}, {result.family} kernel, {place}\n"
        f"  {fault.label}\n  {result.detail}\n\n{result.source}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
