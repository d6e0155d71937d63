"""What findings are due to, and their kernels made small.

The key insight: a kernel that was grown holds much that its failure doesn't need, and perhaps two known idioms; what is
left of it when it is reduced says what it is due to. So findings are put into buckets by what can be seen at once, one
of each is reduced, and buckets whose kernels come to the same are one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from grammar.canon import shape_hash
from grammar.defects import defects_in
from grammar.tree import Kernel
from validate.findings import Finding
from validate.fuzzing.work import disagreement
from validate.judge import Judge, judge_of, judging_here, observe_like, shows
from validate.observe import Observed, crew, each_apart
from validate.reduce import Progress, go_on
from validate.verdict import Outcome

AND = "+"
"""Between the names of known defects of which a kernel has several."""
DIGITS = 8
"""Of the hash of a kernel's shape, where nothing else tells its failure from others."""


def cause_of(kernel: Kernel, outcome: str, detail: str) -> tuple[str, bool]:
    """A short name, and whether it is that of known defects that come to such an outcome."""
    if names := [known.name for known in defects_in(kernel) if outcome in known.outcomes]:
        return AND.join(names), True
    if outcome == Outcome.COMPILE.value:
        return detail.partition(":")[0], False
    return shape_hash(kernel)[:DIGITS], False


def reduced(finding: Finding, seconds: float, apart: bool = False) -> tuple[Finding, str]:
    """A finding made small, for so many seconds at most, and what that came to in words.

    With `apart`, each kernel on the way has a process of its own, as one of them may crash. Only the tree is reduced:
    what it is due to shows in that already, and going through the choices, too, as `reduce` does, takes four to nine
    times as long.
    """
    progress, until = Progress(finding.kernel), time.monotonic() + seconds
    with _judging_apart(finding) if apart else _judging(finding) as (judge, retold):
        if not judge([finding.kernel])[0]:
            return finding, "does not show when it is looked at again"
        finished = go_on(progress, judge, watch=lambda _: time.monotonic() > until)
        if finding.outcome is Outcome.TIMEOUT and not shows(finding, progress.kernel):
            return finding, "not reduced: what it was reduced to is only slow"
        return retold(progress.kernel), "reduced" if finished else f"not at its smallest after {seconds:g} s"


Retold = Callable[[Kernel], Finding]


@contextmanager
def _judging_apart(finding: Finding) -> Iterator[tuple[Judge, Retold]]:
    """Judges kernels by whether they fail against the reference as the finding does, each in another process."""
    settings = {**finding.settings, "reduced_from": finding.name}
    how = (finding.seed, finding.lanes, finding.options)
    with crew(finding.options) as hired:

        def retold(kernel: Kernel) -> Finding:
            ((outcome, detail),) = each_apart(hired, [kernel], *how)
            told = detail if outcome is finding.outcome else finding.detail  # not every crash comes each time
            return replace(finding, kernel=kernel, detail=told, settings=settings)

        yield judge_of(finding, lambda kernels: each_apart(hired, kernels, *how, hasty=True), until_one=True), retold


@contextmanager
def _judging(finding: Finding) -> Iterator[tuple[Judge, Retold]]:
    """Judges kernels by whether they fail as the finding does, against the reference or against themselves."""
    axis = str(finding.settings.get("axis", ""))
    settings = {**finding.settings, "reduced_from": finding.name}
    if not axis:
        with judging_here(finding) as judge:
            yield judge, lambda kernel: observe_like(finding, kernel)
        return

    def observed(kernels: Sequence[Kernel]) -> list[Observed]:
        if not kernels:
            return []
        verdicts = disagreement([(kernel, finding.seed) for kernel in kernels], [axis], finding.lanes)
        return [(named[axis].outcome, named[axis].detail) for named in verdicts]

    def retold(kernel: Kernel) -> Finding:
        ((_, detail),) = observed([kernel])
        return replace(finding, kernel=kernel, detail=detail, settings=settings)

    yield judge_of(finding, observed), retold
