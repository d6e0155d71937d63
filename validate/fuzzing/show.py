"""What the user sees of a fuzzing run: a table that is drawn in place while it goes on, and what it came to.

The key insight: all of it is a fold over a `Tally` and the clock, so it can be shown at any moment, by a plain line
every few seconds where there is no terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from grammar.emit import emit
from grammar.ops import TABLE
from grammar.tree import statements
from validate.fuzzing.run import Ending
from validate.fuzzing.tally import Bucket, Key, Tally
from validate.fuzzing.work import BIGRAMS, EMITTED, NESTINGS, OPERATIONS
from validate.verdict import GradientLabel, Outcome

LINE_SECONDS = 5.0
DRAW_SECONDS = 0.5
KINDS = (OPERATIONS, BIGRAMS, EMITTED, NESTINGS)
MOST_SHOWN = 12
"""Buckets in the live table."""


@contextmanager
def watching(ending: Ending) -> Iterator[Callable[[Tally], None]]:
    """A function to show the tally to as often as one likes; it is shown on stderr as often as makes sense."""
    console, started = Console(stderr=True), time.monotonic()

    def line(tally: Tally) -> None:
        print(told(tally, ending, time.monotonic() - started), file=sys.stderr, flush=True)

    if not console.is_terminal:
        yield _every(LINE_SECONDS, line)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield _every(
            DRAW_SECONDS, lambda tally: live.update(_drawn(tally, ending, time.monotonic() - started), refresh=True)
        )


def _every(seconds: float, show: Callable[[Tally], None]) -> Callable[[Tally], None]:
    latest = time.monotonic()

    def maybe(tally: Tally) -> None:
        nonlocal latest
        if time.monotonic() - latest >= seconds:
            latest = time.monotonic()
            show(tally)

    return maybe


# -- while it goes on -------------------------------------------------------------------------------------------------


def told(tally: Tally, ending: Ending, seconds: float) -> str:
    """One line: how far the run is, what it has covered, what it has found."""
    covered = ", ".join(f"{len(tally.features[kind]):,} {kind}" for kind in (BIGRAMS, EMITTED))
    rate = tally.kernels / seconds if seconds > 0 else 0.0
    return (
        f"kernels {_progress(tally, ending)}  {rate:.1f}/s  verified {tally.outcomes[Outcome.VERIFIED.value]:,}  "
        f"{covered}  kept {len(tally.kept):,}  findings {tally.findings:,} in {len(tally.buckets):,} buckets"
        f"{_left(ending)}"
    )


def _progress(tally: Tally, ending: Ending) -> str:
    return f"{tally.kernels:,}" + (f"/{ending.kernels:,}" if ending.kernels is not None else "")


def _left(ending: Ending) -> str:
    if ending.deadline is None:
        return ""
    minutes, seconds = divmod(max(0, round(ending.deadline - time.monotonic())), 60)
    return f"  {minutes}:{seconds:02d} left"


def _drawn(tally: Tally, ending: Ending, seconds: float) -> Group:
    state = Table.grid(padding=(0, 2))
    rate = tally.kernels / seconds if seconds > 0 else 0.0
    state.add_row("kernels", f"{_progress(tally, ending)}  {rate:.1f}/s{_left(ending)}")
    state.add_row("outcomes", _counted(dict(tally.outcomes.most_common())))
    state.add_row("gradients", _counted(tally.gradients))
    for kind in KINDS:
        state.add_row(kind, f"{len(tally.features[kind]):,}")
    state.add_row("kept", f"{len(tally.kept):,}, with {tally.relatives:,} relatives")
    return Group(state, _counted_buckets(tally)) if tally.buckets else Group(state)


def _counted_buckets(tally: Tally) -> Table:
    table = Table("outcome", "axis", "cause", title=f"findings: {tally.findings:,}", title_justify="left")
    table.add_column("count", justify="right")
    for bucket in sorted(tally.buckets.values(), key=lambda bucket: -bucket.count)[:MOST_SHOWN]:
        table.add_row(*bucket.key, f"{bucket.count:,}", style="dim" if bucket.known else "bold")
    return table


# -- at the end -------------------------------------------------------------------------------------------------------


def show(tally: Tally, seconds: float, paths: Mapping[Key, Path | None], console: Console) -> None:
    """Prints what was done, what was covered, and what was found."""
    for line in _lines(tally, seconds):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if tally.comparisons:
        console.print(_comparisons(tally))
    if tally.buckets:
        console.print(_findings(tally))
    for key, bucket in tally.buckets.items():
        _show_kernel(bucket, paths.get(key), console)


def _lines(tally: Tally, seconds: float) -> Iterator[str]:
    labels = {label.value: tally.gradients[label.value] for label in GradientLabel}
    yield f"{tally.kernels:,} kernels in {seconds:.0f} s ({tally.kernels / max(seconds, 1e-9):.1f} kernels/s)"
    yield "outcomes             " + _counted(dict(tally.outcomes.most_common()))
    yield "gradients            " + _counted(labels)
    yield f"operations           {len(tally.features[OPERATIONS]):,} of {len(TABLE):,}{_missing(tally)}"
    for kind in KINDS[1:]:
        yield f"{kind:<21}{len(tally.features[kind]):,}"
    yield "depths               " + _counted({str(height): tally.heights[height] for height in sorted(tally.heights)})
    yield "profiles             " + _counted(tally.profiles)
    yield f"relatives            {tally.relatives:,}, of {len(tally.kept):,} kernels that brought something new"
    yield f"findings             {tally.findings:,} in {len(tally.buckets):,} buckets"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _missing(tally: Tally) -> str:
    missing = [op.key for op in TABLE if op.key not in tally.features[OPERATIONS]]
    return f"; not {', '.join(missing[:8])}{' and others' if len(missing) > 8 else ''}" if missing else ""


def _comparisons(tally: Tally) -> Table:
    table = Table("axis", title="kernels compared with themselves", title_justify="left")
    for name in ("verified", "unchecked", "findings"):
        table.add_column(name, justify="right")
    for axis, outcomes in tally.comparisons.items():
        good, open_ = outcomes[Outcome.VERIFIED.value], outcomes[Outcome.UNCHECKED.value]
        table.add_row(axis, f"{good:,}", f"{open_:,}", f"{outcomes.total() - good - open_:,}")
    return table


def _findings(tally: Tally) -> Table:
    table = Table("outcome", "axis", "cause", title="findings", title_justify="left")
    for name in ("count", "candidate", "lines"):
        table.add_column(name, justify="right")
    table.add_column("reduced")
    for bucket in tally.buckets.values():
        size = str(lines_of(bucket)) if bucket.smallest else ""
        table.add_row(*bucket.key, f"{bucket.count:,}", f"{bucket.index:,}", size, bucket.reduced or "no")
    return table


def lines_of(bucket: Bucket) -> int:
    """Lines of the bucket's kernel, from `def` on."""
    assert bucket.smallest is not None
    text = emit(bucket.smallest.kernel)
    return len(text[text.index("def ") :].splitlines())


def _show_kernel(bucket: Bucket, path: Path | None, console: Console) -> None:
    outcome, axis, cause = bucket.key
    title = (
        f"\n{outcome}{f' across {axis}' if axis else ''}: {cause or 'no kernel'}{' (known)' if bucket.known else ''}"
    )
    lines = [title]
    if bucket.smallest is not None:
        count = sum(1 for _ in statements(bucket.smallest.kernel.body))
        lines += [f"{path}", f"{bucket.smallest.detail}; {count} statements", "", emit(bucket.smallest.kernel)]
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)
