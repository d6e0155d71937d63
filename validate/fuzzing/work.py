"""What a worker does to a task: grows kernels, compiles them together, checks each, and compares some with themselves.

The key insight: what a kernel comes to is a pure function of its recipe, so a task can be done again in halves when its
worker dies, until one kernel is to blame.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from extract.build import BuildFailure, Target
from extract.compile import Compiled, compile_block, release, start
from grammar.check import problems
from grammar.emit import emit
from grammar.heights import height
from grammar.op import Op
from grammar.tree import Apply, AugAssign, AugStore, Kernel, all_terms, statements
from validate.axes import compared, spelled, subject_of
from validate.features import bigrams, native_functions, nestings
from validate.fuzzing.plan import SPELLINGS, Plan, Recipe, grown
from validate.judge import defects_of
from validate.oracle import check
from validate.processes import collect, keep, settle_in
from validate.verdict import GradientLabel, Outcome, Verdict

NOT_GROWN = "not grown"

MEMORY = 6 << 30
"""Bytes that a worker may take: ordinary ones take less than a tenth."""

OPERATIONS, BIGRAMS, EMITTED, NESTINGS = "operations", "bigrams", "emitted functions", "statement nestings"
TARGETS = frozenset({Target.CPP})


@dataclass(frozen=True, slots=True)
class Task:
    """Recipes to be worked on together. With a `fault`, that of the last worker, there is one only."""

    block: int
    recipes: tuple[Recipe, ...]
    fault: str = ""
    detail: str = ""
    axes: tuple[str, ...] = ()
    """What the kernel was compared across when the worker died; the recipe has none any more."""
    described: bool = False
    """The kernel is only to be grown: it is to blame."""
    journal: str = ""
    """Path of the file that says which kernel is being checked."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What became of one recipe."""

    index: int
    outcome: str
    """Value of an `Outcome`, or `NOT_GROWN`."""
    detail: str = ""
    axis: str = ""
    """Across which the kernel disagrees with itself; empty where the reference says so."""
    gradient: str = GradientLabel.NONE.value
    kernel: Kernel | None = None
    """Of a finding, and of a kernel that is looked at for the second time; None where even growing it failed."""
    height: int = 0
    choices: tuple[int, ...] = ()
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By kind: what the kernel exercises."""
    comparisons: tuple[tuple[str, str], ...] = ()
    """Each axis with the outcome."""

    @property
    def is_finding(self) -> bool:
        return self.outcome != NOT_GROWN and Outcome(self.outcome).is_finding


@dataclass(frozen=True, slots=True)
class Workshop:
    """The functions that workers run, importable by name, and their limits. Tests plant faults in one of their own."""

    start: Callable[[], None]
    work: Callable[[Plan, Task], list[Observed]]
    seconds_to_start: float = 60.0
    seconds_per_kernel: float = 1.0
    seconds_per_axis: float = 1.0
    memory: int = MEMORY

    def limit(self, task: Task) -> float:
        """Seconds that a task may take: many times what it should, for machines that are busy."""
        comparisons = sum(len(recipe.axes) for recipe in task.recipes)
        return self.seconds_to_start + self.seconds_per_kernel * len(task.recipes) + self.seconds_per_axis * comparisons


def enlist(workshop: Workshop, scratch: Path) -> None:
    """Called once in each worker, whose temporary files go to `scratch`."""
    settle_in(scratch)
    resource.setrlimit(resource.RLIMIT_DATA, (workshop.memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    workshop.start()


def start_worker() -> None:
    """Starts Warp, and keeps what is there by then out of the garbage collector's rounds."""
    start(Path(tempfile.gettempdir()))
    keep()


def note(task: Task, index: int | None) -> None:
    """Writes down what is being done, for who must know what a worker died of."""
    if task.journal:
        Path(task.journal).write_text("" if index is None else str(index), encoding="utf-8")


def noted(task: Task) -> int | None:
    """The kernel that was being checked when the worker died; None if it was at something else."""
    path = Path(task.journal)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return int(text) if text else None


def work(plan: Plan, task: Task) -> list[Observed]:
    """What became of each recipe, in their order."""
    collect(task.block)
    kernels = [(recipe, *grown(recipe, plan)) for recipe in task.recipes]
    if task.described:
        return [_described(task, *each) for each in kernels]
    alive = [(recipe, kernel, choices) for recipe, kernel, choices in kernels if kernel is not None]
    observed = {one.index: one for one in _checked(plan, alive, task)}
    observed |= _disagreements(plan, alive, observed)
    return [observed.get(recipe.index, Observed(recipe.index, NOT_GROWN)) for recipe in task.recipes]


def _described(task: Task, recipe: Recipe, kernel: Kernel | None, choices: tuple[int, ...]) -> Observed:
    return Observed(recipe.index, task.fault, task.detail, ", ".join(task.axes), kernel=kernel, choices=choices)


# -- against the reference --------------------------------------------------------------------------------------------

Grown = tuple[Recipe, Kernel, tuple[int, ...]]


def _checked(plan: Plan, alive: Sequence[Grown], task: Task) -> list[Observed]:
    if not alive:
        return []
    block = compile_block([(kernel.name, emit(kernel)) for _, kernel, _ in alive], TARGETS)
    try:
        return [_observed(plan, *each, made, task) for each, made in zip(alive, block.kernels, strict=True)]
    finally:
        note(task, None)
        release(block)


def _observed(
    plan: Plan, recipe: Recipe, kernel: Kernel, choices: tuple[int, ...], made: Compiled | BuildFailure, task: Task
) -> Observed:
    assert not problems(kernel), f"the checker and the grower disagree: {problems(kernel)}"
    if isinstance(made, BuildFailure):
        outcome, tall = made.fault.value, height(kernel)
        return Observed(recipe.index, outcome, made.message, kernel=kernel, height=tall, choices=choices)
    note(task, recipe.index)
    verdict = check(kernel, made.handle, recipe.seed, plan.lanes)
    return Observed(
        recipe.index,
        verdict.outcome.value,
        verdict.detail,
        gradient=verdict.gradient.value,
        kernel=kernel if task.fault or verdict.outcome.is_finding else None,
        height=height(kernel),
        choices=choices,
        features=_features(kernel, made),
    )


def _features(kernel: Kernel, made: Compiled) -> dict[str, tuple[str, ...]]:
    source, ir = made.build.source, made.build.ir
    emitted = native_functions(ir["cpp_forward"], ir["cpp_adjoint"], None, None)
    return {
        OPERATIONS: tuple({op.key for op in _operations(kernel)}),
        BIGRAMS: tuple(set(bigrams(source))),
        EMITTED: tuple(set(emitted)),
        NESTINGS: tuple(set(nestings(source))),
    }


def _operations(kernel: Kernel) -> Iterator[Op]:
    yield from (term.op for term in all_terms(kernel) if isinstance(term, Apply))
    yield from (stmt.op for stmt in statements(kernel.body) if isinstance(stmt, AugAssign | AugStore))


# -- against itself ---------------------------------------------------------------------------------------------------


def _disagreements(plan: Plan, alive: Sequence[Grown], observed: Mapping[int, Observed]) -> dict[int, Observed]:
    """What is said anew of the kernels that are compared with themselves: those nothing was wrong with before."""
    subjects = [
        (recipe, kernel)
        for recipe, kernel, _ in alive
        if recipe.axes and not observed[recipe.index].is_finding and not defects_of(kernel)
    ]
    if not subjects:
        return {}
    axes = subjects[0][0].axes
    assert all(recipe.axes == axes for recipe, _ in subjects), "a task has one set of axes"
    verdicts = disagreement([(kernel, recipe.seed) for recipe, kernel in subjects], axes, plan.lanes)
    return {
        recipe.index: _compared(observed[recipe.index], kernel, named)
        for (recipe, kernel), named in zip(subjects, verdicts, strict=True)
    }


def disagreement(seeded: Sequence[tuple[Kernel, int]], axes: Sequence[str], lanes: int) -> list[dict[str, Verdict]]:
    """For each kernel, with the seed of its inputs, and each axis: whether it agrees with itself, or how it doesn't."""
    results: list[dict[str, Verdict]] = [{} for _ in seeded]
    if names := [axis for axis in axes if axis != SPELLINGS]:
        subjects = [subject_of(kernel, seed, lanes) for kernel, seed in seeded]
        results = compared(subjects, names)
    if SPELLINGS in axes:
        for result, ways in zip(results, spelled(seeded, lanes), strict=True):
            wrong = next((verdict for verdict in ways.values() if verdict.outcome.is_finding), None)
            result[SPELLINGS] = wrong or Verdict(Outcome.VERIFIED if ways else Outcome.UNCHECKED)
    return results


def _compared(observed: Observed, kernel: Kernel, named: Mapping[str, Verdict]) -> Observed:
    outcomes = tuple((axis, verdict.outcome.value) for axis, verdict in named.items())
    wrong = next(((axis, verdict) for axis, verdict in named.items() if verdict.outcome.is_finding), None)
    if wrong is None:
        return replace(observed, comparisons=outcomes)
    axis, verdict = wrong
    outcome, detail = verdict.outcome.value, verdict.detail
    return replace(observed, comparisons=outcomes, outcome=outcome, detail=detail, axis=axis, kernel=kernel)


WORKSHOP = Workshop(start_worker, work)
"""The real one."""
