"""What the user sees of a run: progress while it goes on, tables when it has ended.

The key insight: progress is a fold over `Totals` and the clock, so it can be shown at any moment; on a terminal it is
drawn in place, elsewhere it is a plain line every few seconds, fit for a log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from corpus.store import DATA
from synth.findings import FOLDER
from synth.manifest import Totals
from synth.result import VERIFIED
from synth.run import COMPLETE, Summary
from synth.settings import Settings

LINE_SECONDS = 5.0
DRAW_SECONDS = 0.25


@contextmanager
def progress(settings: Settings) -> Iterator[Callable[[Totals], None]]:
    """A function to call with the totals as often as one likes; it shows them on stderr, as often as makes sense."""
    console = Console(stderr=True)
    pace = _Pace(settings.n)
    if not console.is_terminal:
        yield _every(LINE_SECONDS, pace, lambda line: print(line, file=sys.stderr, flush=True))
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield _every(DRAW_SECONDS, pace, lambda line: live.update(Text(line), refresh=True))


class _Pace:
    """Rows per second since the first call: what was there before doesn't count."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.start: tuple[float, int] | None = None

    def begin(self, totals: Totals) -> None:
        self.start = self.start or (time.monotonic(), totals.rows)

    def line(self, totals: Totals) -> str:
        assert self.start is not None, "begin comes first"
        seconds, rows = time.monotonic() - self.start[0], totals.rows - self.start[1]
        rate = rows / seconds if seconds > 0 else 0.0
        eta = clock((self.wanted - totals.rows) / rate) if rate > 0 else "?"
        return (
            f"verified {totals.rows:,}/{self.wanted:,} ({totals.rows / self.wanted:.0%})  {rate:.1f} rows/s  "
            f"ETA {eta}  rejected: {_rejected(totals)}  findings: {totals.findings}"
        )


def _every(seconds: float, pace: _Pace, show: Callable[[str], None]) -> Callable[[Totals], None]:
    latest = time.monotonic()

    def maybe(totals: Totals) -> None:
        nonlocal latest
        pace.begin(totals)
        if time.monotonic() - latest >= seconds:
            latest = time.monotonic()
            show(pace.line(totals))

    return maybe


def _rejected(totals: Totals) -> str:
    causes = [f"{name} {count:,}" for name, count in totals.outcomes.most_common() if name != VERIFIED]
    return ", ".join(causes) or "none"


def clock(seconds: float) -> str:
    """`1:02:03`, or `02:03` under an hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"


def show_summary(summary: Summary) -> None:
    """Prints the outcomes, the gradient labels and the paths of a run that has ended or was stopped."""
    console, totals, out = Console(), summary.totals, summary.settings.out
    console.print(_counts("candidates", totals.outcomes))
    console.print(_counts("gradients of the rows", totals.gradients))
    for line in _lines(summary, out):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _counts(title: str, counts: Mapping[str, int]) -> Table:
    whole = max(sum(counts.values()), 1)
    table = Table(title=title, title_justify="left", min_width=40)
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_column("share", justify="right")
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(name, f"{count:,}", f"{count / whole:.1%}")
    return table


def _lines(summary: Summary, out: Path) -> Iterator[str]:
    totals, made = summary.totals, summary.totals.rows - summary.rows_before
    if made:
        rate = made / max(summary.wall, 1e-9)
        cost = summary.cpu / made * 1000
        yield f"{made:,} rows in {clock(summary.wall)} ({rate:.1f} rows/s, {cost:.3g} CPU ms a row)"
    elif summary.ended:
        yield "complete already: nothing was left to do"
    if totals.rows:
        yield f"rows      {out / DATA} ({totals.rows:,})"
    if totals.findings:
        yield f"findings  {out / FOLDER} ({totals.findings:,})"
    if summary.ended and summary.ended != COMPLETE:
        yield f"ended early: {summary.ended}"
    if summary.stopped:
        yield f"stopped ({summary.stopped}) at {totals.rows:,} of {summary.settings.n:,}: run the same command to go on"
