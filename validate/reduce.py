"""Making the kernel of a finding small: hierarchical delta debugging over the typed tree, then over its choices.

The key insight: reducing is a walk that always restarts from one small record (the kernel so far, the pass, the
position in it, what is known of candidates), so it can stop at any moment and go on later as if it had not. Candidates
are taken in a fixed order and the first that is interesting wins, however many are tried at once: the result doesn't
depend on batches. It ends when no pass finds anything, so no node but the thread index can be replaced by a simpler one
of its type.

Edits of a tree get stuck where several must be made at once. So where it is known which choices the kernel grew from,
and its tree didn't come to next to nothing, it is reduced once more from the beginning: first those choices, then the
tree they come to; the smaller result counts.

Misherghi and Su, "HDD: Hierarchical Delta Debugging" (ICSE 2006).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from grammar.canon import canonical_hash
from grammar.emit import emit
from grammar.errors import UserError
from grammar.heights import size
from grammar.serial import kernel_of, plain_of
from grammar.tree import Kernel, statements
from validate.derivation import SEQUENCE_PASSES, Choices, Derivation, Shorter, derivation
from validate.edits import measure, tidied
from validate.findings import Finding, load, save_as, write
from validate.judge import Judge, judging, observe_like, shows
from validate.passes import PASSES, Pass
from validate.verdict import Outcome

FIRST, MOST = 2, 24
"""Candidates that are judged at once: at first, and after long without success."""

SMALL = 10
"""Nodes of a kernel to which going through choices has nothing to add: a statement or two, and an operation or two."""

VERSION = 2

TREE, CHOICES, REGROWN = range(3)
"""The stages: the tree of the finding, the choices it grew from, the tree that these come to."""

STAGES: tuple[tuple[Callable[..., Any], ...], ...] = (PASSES, SEQUENCE_PASSES, PASSES)
"""The passes of each."""


@dataclass(slots=True)
class Progress:
    """How far reducing has come."""

    kernel: Kernel
    number: int = 0
    """Of the pass."""
    position: int = 0
    """Of the next candidate that the pass proposes."""
    changed: bool = False
    """Whether anything became smaller since the first pass began."""
    known: dict[str, bool] = field(default_factory=dict)
    """By canonical hash: whether a candidate is interesting."""
    stage: int = TREE
    choices: Choices = ()
    """What the kernel grows from, in the stage that is about them."""
    best: Kernel | None = None
    """What the first stage came to."""


@dataclass(frozen=True, slots=True)
class Candidate:
    position: int
    kernel: Kernel
    key: str
    choices: Choices = ()


Propose = Callable[[Progress], Iterator[Candidate]]
"""The candidates of a pass, from the position on."""


Watch = Callable[[Progress], bool]
"""Is told of progress after each batch; True stops."""


def reduce(kernel: Kernel, interesting: Callable[[Kernel], bool], passes: Sequence[Pass] = PASSES) -> Kernel:
    """The smallest interesting kernel that the passes lead to from an interesting one. Deterministic."""
    progress = Progress(kernel)
    go_on(progress, lambda kernels: [interesting(kernel) for kernel in kernels], passes, most=1)
    return progress.kernel


def go_on(
    progress: Progress,
    judge: Judge,
    passes: Sequence[Pass] = PASSES,
    watch: Watch = lambda _: False,
    most: int = MOST,
) -> bool:
    """Takes `progress` to the end of what passes over the tree can do, True, or to where `watch` stops it, False."""
    return _exhaust(progress, judge, [partial(_trees, one) for one in passes], watch, most)


def go_through(
    progress: Progress,
    judge: Judge,
    kernel: Kernel,
    derived: tuple[Derivation, Choices] | None,
    watch: Watch = lambda _: False,
    most: int = MOST,
) -> bool:
    """Takes `progress` through all stages, True, or to where `watch` stops it, False. `kernel` is the finding's."""
    if progress.stage == TREE:
        if not go_on(progress, judge, PASSES, watch, most):
            return False
        if derived is None or size(progress.kernel) <= SMALL:
            return True
        progress.best, progress.known[canonical_hash(kernel)] = progress.kernel, True
        _enter(progress, CHOICES, kernel, derived[1])
    if progress.stage == CHOICES:
        assert derived is not None
        proposals = [partial(_sequences, one, derived[0]) for one in SEQUENCE_PASSES]
        if not _exhaust(progress, judge, proposals, watch, most):
            return False
        _enter(progress, REGROWN, progress.kernel, ())
    if not go_on(progress, judge, PASSES, watch, most):
        return False
    assert progress.best is not None
    progress.kernel = min(progress.best, progress.kernel, key=measure)
    return True


def _enter(progress: Progress, stage: int, kernel: Kernel, choices: Choices) -> None:
    progress.stage, progress.kernel, progress.choices = stage, kernel, choices
    progress.number, progress.position, progress.changed = 0, 0, False


def _exhaust(progress: Progress, judge: Judge, passes: Sequence[Propose], watch: Watch, most: int) -> bool:
    while True:
        while progress.number < len(passes):
            if not _finish(progress, judge, passes[progress.number], watch, most):
                return False
            progress.number, progress.position = progress.number + 1, 0
        if not progress.changed:
            return True
        progress.number, progress.changed = 0, False


def _finish(progress: Progress, judge: Judge, propose: Propose, watch: Watch, most: int) -> bool:
    """Goes through a pass from the position on; after each success with what it proposes for the smaller kernel."""
    count = min(FIRST, most)
    while batch := list(islice(propose(progress), count)):
        before = takewhile(lambda candidate: candidate.key not in progress.known, batch)  # what is known is a success
        asked = {candidate.key: candidate.kernel for candidate in before}
        verdicts = judge([*asked.values()])
        progress.known.update(zip(asked, verdicts, strict=False))
        hit = next((candidate for candidate in batch if progress.known.get(candidate.key)), None)
        if hit is None:
            progress.position, count = batch[-1].position + 1, min(2 * count, most)
        else:
            progress.kernel, progress.position, progress.changed = hit.kernel, hit.position, True
            progress.choices, count = hit.choices, max(count // 2, min(FIRST, most))
        if watch(progress):
            return False
    return True


def _trees(one: Pass, progress: Progress) -> Iterator[Candidate]:
    """What the pass proposes from the position on, if it is a smaller kernel and not known to be of no interest."""
    seen: set[str] = set()
    now = measure(progress.kernel)
    for position, proposed in enumerate(one(progress.kernel)):
        if position < progress.position:
            continue
        kernel = tidied(proposed)
        if kernel is None or measure(kernel) >= now:
            continue
        key = canonical_hash(kernel)
        if progress.known.get(key, True) and key not in seen:
            seen.add(key)
            yield Candidate(position, kernel, key)


def _sequences(one: Shorter, how: Derivation, progress: Progress) -> Iterator[Candidate]:
    """Likewise of choices: what they grow to, if it is smaller, or as small and they are simpler."""
    now = (measure(progress.kernel), len(progress.choices), progress.choices)
    for position, proposed in enumerate(one(progress.choices)):
        if position < progress.position:
            continue
        kernel, choices = how.replayed(proposed)
        if kernel is not None and (measure(kernel), len(choices), choices) < now:
            key = canonical_hash(kernel)
            if progress.known.get(key, True):
                yield Candidate(position, kernel, key, choices)


# -- progress on disk -------------------------------------------------------------------------------------------------


def save_progress(path: Path, finding: Finding, progress: Progress) -> None:
    plain = {
        "version": VERSION,
        "finding": canonical_hash(finding.kernel),
        "kernel": plain_of(progress.kernel),
        "number": progress.number,
        "position": progress.position,
        "changed": progress.changed,
        "known": progress.known,
        "stage": progress.stage,
        "choices": progress.choices,
        "best": None if progress.best is None else plain_of(progress.best),
    }
    write(path, json.dumps(plain) + "\n")


def load_progress(path: Path, finding: Finding) -> Progress:
    """Where an earlier session stopped; the beginning if there was none, or it was of another finding."""
    try:
        plain: Any = json.loads(path.read_text(encoding="utf-8"))
        if (plain["version"], plain["finding"]) != (VERSION, canonical_hash(finding.kernel)):
            return Progress(finding.kernel)
        names = ("number", "position", "changed", "known", "stage")
        given: dict[str, Any] = {name: plain[name] for name in names} | {"choices": tuple(plain["choices"])}
        best = None if plain["best"] is None else kernel_of(plain["best"])
        return Progress(kernel_of(plain["kernel"]), best=best, **given)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return Progress(finding.kernel)


# -- the command ------------------------------------------------------------------------------------------------------


def command(path: Path, time_limit: float | None, out: Path | None) -> int:
    """`python -m validate reduce`. Raises UserError."""
    if out is not None and out.suffix != ".json":
        raise UserError(f"--out must name a .json file, not {out}; the reproducer goes beside it")
    finding, started = load(path), time.monotonic()
    beside = path.with_suffix(".progress.json")
    progress, derived = load_progress(beside, finding), _derived(finding)
    told = _Told(finding, beside, None if time_limit is None else started + time_limit, progress.kernel)
    print(f"{finding.name}: {_sizes(progress.kernel)}")
    if derived is None:
        print(f"{_why_not(finding)}: only its tree is reduced")
    with judging(finding) as judge:
        if not judge([finding.kernel])[0]:
            raise UserError(f"{path} no longer shows: the kernel doesn't come to {finding.outcome.value} here")
        finished = go_through(progress, judge, finding.kernel, derived, told.watch)
    if finished and finding.outcome is Outcome.TIMEOUT and not shows(finding, progress.kernel):
        print("what seemed to hang was slow: once more, with patience")
        progress = Progress(finding.kernel)
        with judging(finding, hasty=False) as judge:
            finished = go_through(progress, judge, finding.kernel, derived, told.watch)
    smaller = observe_like(finding, progress.kernel) if finished else None
    if smaller is None:
        print(f"stopped after {time.monotonic() - started:.0f} s; run the same command again to go on")
        print(emit(progress.kernel))
        return 0
    target = save_as(out or path.with_name(f"{smaller.name}.json"), smaller)
    beside.unlink(missing_ok=True)
    print(f"{_sizes(progress.kernel)} after {time.monotonic() - started:.0f} s, {len(progress.known)} candidates\n")
    print(emit(smaller.kernel))
    print(f"{smaller.outcome.value}: {smaller.detail}")
    print(f"{target}\n{target.with_suffix('.py')} {_replayed(target.with_suffix('.py'))}")
    return 0


def _derived(finding: Finding) -> tuple[Derivation, Choices] | None:
    """Not of a hang: each success takes as long as a hang takes to be told, and that stage has dozens of them."""
    return None if finding.outcome is Outcome.TIMEOUT else derivation(finding)


def _why_not(finding: Finding) -> str:
    if finding.outcome is Outcome.TIMEOUT:
        return "going through its choices would take too long, as it hangs"
    return "its choices are not known (it was edited, or grown by another version)"


@dataclass(slots=True)
class _Told:
    """Prints a line whenever a pass makes the kernel smaller, keeps the record, and watches the clock."""

    finding: Finding
    beside: Path
    until: float | None
    last: Kernel

    def watch(self, progress: Progress) -> bool:
        if progress.kernel is not self.last:
            self.last = progress.kernel
            name = STAGES[progress.stage][progress.number].__name__.replace("_", " ")
            print(f"  {name:<20}{_sizes(progress.kernel)}", flush=True)
        save_progress(self.beside, self.finding, progress)
        return self.until is not None and time.monotonic() > self.until


def _sizes(kernel: Kernel) -> str:
    lines = len(emit(kernel).splitlines())
    return f"{sum(1 for _ in statements(kernel.body))} statements, {size(kernel)} nodes, {lines} lines"


def _replayed(script: Path) -> str:
    """What a reproducer does when it is run."""
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    return "exits 0: the bug stands" if done.returncode == 0 else f"exits {done.returncode}: it doesn't show the bug"
