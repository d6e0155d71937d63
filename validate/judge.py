"""Whether a smaller kernel still fails in the way that a finding does.

The key insight: a candidate that reducing made may divide by zero, leave its arrays or never end, and then its failure
is its own. So it is run in NumPy first, and only what is defined on all of its inputs meets the compiler; nor may it
gain a known defect that the finding is free of, or else every finding would be reduced to the most common one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from extract.compile import start
from grammar.defects import defects_in
from grammar.evaluate import EndlessLoopError, Interpreter
from grammar.inputs import regular
from grammar.layout import WHOLE, Index, Mask, Part
from grammar.op import Lanes
from grammar.plain import Plain
from grammar.tree import Atomic, AugStore, Kernel, Store
from validate.findings import Finding
from validate.observe import ISOLATED, Observed, crew, each_apart, observe, together
from validate.verdict import Outcome

Judge = Callable[[Sequence[Kernel]], Sequence[bool]]
"""Which of these kernels are interesting: a pure function of each, asked for many at once as compiling likes it.

It may stop at the first that is, where failing is what takes time.
"""


@contextmanager
def judging(finding: Finding, hasty: bool = True) -> Iterator[Judge]:
    """Judges kernels by whether they fail as the finding does, in other processes: what is smaller may be worse.

    In haste, what seems to hang counts as hanging: what reducing comes to is then to be looked at once more.
    """
    how = (finding.seed, finding.lanes, finding.options)
    with crew(finding.options) as hired:
        if finding.outcome in ISOLATED:
            yield judge_of(finding, lambda kernels: each_apart(hired, kernels, *how, hasty=hasty), until_one=True)
        else:
            yield judge_of(finding, lambda kernels: together(hired, kernels, *how))


@contextmanager
def judging_here(finding: Finding) -> Iterator[Judge]:
    """The same in this process, for those who expect it to end."""
    start()
    yield judge_of(finding, lambda kernels: observe(kernels, finding.seed, finding.lanes, finding.options))


def judge_of(
    finding: Finding, observed: Callable[[Sequence[Kernel]], Iterable[Observed]], until_one: bool = False
) -> Judge:
    """Judges kernels by what is observed of those that are fair: defined, and without a defect of their own.

    With `until_one` the first that fails alike is the last that is judged.
    """
    known, overwrites = defects_of(finding.kernel), bool(_overwritten(finding.kernel, finding.seed, finding.lanes))

    def is_fair(kernel: Kernel) -> bool:
        overwritten = _overwritten(kernel, finding.seed, finding.lanes)
        return overwritten is not None and overwritten <= overwrites and defects_of(kernel) <= known

    def judge(kernels: Sequence[Kernel]) -> list[bool]:
        fair = [is_fair(kernel) for kernel in kernels]
        outcomes, verdicts = iter(observed([k for k, asked in zip(kernels, fair, strict=True) if asked])), list[bool]()
        for asked in fair:
            verdicts.append(asked and _alike(finding, *next(outcomes)))
            if verdicts[-1] and until_one:
                break
        return verdicts

    return judge


def shows(finding: Finding, kernel: Kernel) -> bool:
    """Whether the kernel fails as the finding does, looked at with patience."""
    with judging(finding, hasty=False) as judge:
        return judge([kernel])[0]


def _alike(finding: Finding, outcome: Outcome, detail: str) -> bool:
    """The same outcome; for a kernel that Warp refuses, with the same kind of complaint."""
    if outcome is Outcome.COMPILE:
        return finding.outcome is outcome and detail.partition(":")[0] == finding.detail.partition(":")[0]
    return outcome is finding.outcome


def defects_of(kernel: Kernel) -> frozenset[str]:
    """The names of the known defects whose idiom the kernel contains."""
    return frozenset(known.name for known in defects_in(kernel))


def observe_like(finding: Finding, kernel: Kernel) -> Finding:
    """The finding with another kernel, which fails alike, and with that kernel's numbers."""
    settings = {**finding.settings, "reduced_from": finding.name}
    if finding.outcome in ISOLATED:
        return replace(finding, kernel=kernel, settings=settings)
    start()
    ((outcome, detail),) = observe([kernel], finding.seed, finding.lanes, finding.options)
    assert outcome is finding.outcome, "checking is deterministic"
    return replace(finding, kernel=kernel, detail=detail, settings=settings)


# -- what NumPy makes of it -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Watched(Plain):
    """Remembers which elements plain stores went to."""

    stored: dict[str, list[NDArray[np.intp]]] = field(default_factory=lambda: defaultdict(list))

    def write(
        self, stmt: Store | AugStore | Atomic, index: Index, value: Lanes, active: Mask, part: Part = WHOLE
    ) -> None:
        Plain.write(self, stmt, index, value, active, part)
        if isinstance(stmt, Store):
            self.stored[stmt.array].append(self.flat(stmt.array, index, active, part)[active])


def _overwritten(kernel: Kernel, seed: int, lanes: int) -> bool | None:
    """Whether some element is stored to twice on the regular inputs; None if the kernel is not defined on them."""
    inputs = regular(kernel, seed, lanes)
    watched = _Watched.on(inputs)
    assert isinstance(watched, _Watched)
    try:
        with np.errstate(all="ignore"):
            Interpreter(watched, inputs).run(kernel)
    except EndlessLoopError:
        return None
    if watched.undefined.any():
        return None
    places = [np.concatenate(parts) for parts in watched.stored.values()]
    return any(np.unique(where).size < where.size for where in places)
