"""What planted failures are reduced to: a kernel of one or two statements, with the one operation at fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import validate.observe
import validate.reduce
from extract.compile import start
from extract.options import DEFAULT
from grammar.atomics import AtomicKind
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.emit import emit
from grammar.errors import UserError
from grammar.heights import size
from grammar.ops import ROWS
from grammar.rebuild import with_all_terms
from grammar.tree import (
    Apply,
    At,
    Atomic,
    Break,
    If,
    Kernel,
    Read,
    Return,
    Store,
    StorePart,
    Term,
    Thread,
    While,
    all_terms,
    statements,
)
from grammar.types import F32, F64, I32, Array, type_named
from tests.builders import (
    LANES,
    OUT,
    I,
    Sample,
    X,
    accumulator,
    array,
    at,
    atomic,
    change,
    do,
    double,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    put,
    put_part,
    samples,
    scalar,
    var,
    when,
    while_,
)
from tests.test_findings import EARLY, RIGHT
from validate.cli import main
from validate.derivation import derivation
from validate.edits import complexity, measure, tidied
from validate.findings import Finding, load, save
from validate.fuzzing.plan import Plan, recipe_of
from validate.fuzzing.plan import grown as grown_of
from validate.fuzzing.tally import Tally
from validate.fuzzing.work import Observed
from validate.judge import Judge, defects_of, judge_of
from validate.observe import observe
from validate.passes import PASSES, drop_statements
from validate.reduce import (
    CHOICES,
    REGROWN,
    SMALL,
    TREE,
    Progress,
    command,
    go_on,
    go_through,
    load_progress,
    reduce,
    save_progress,
)
from validate.verdict import Outcome

Interesting = Callable[[Kernel], bool]


def applies(name: str) -> Interesting:
    return lambda one: any(isinstance(term, Apply) and term.op.name == name for term in all_terms(one))


def holds(*kinds: type) -> Interesting:
    return lambda one: any(isinstance(stmt, kinds) for stmt in statements(one.body))


@cache
def grown(interesting: Interesting, count: int = 3) -> tuple[Sample, ...]:
    """The largest of the sample's kernels that are interesting, `count` at most."""
    found = [sample for sample in samples(3, (8,)) if interesting(sample.kernel)]
    assert found
    return tuple(sorted(found, key=lambda sample: -size(sample.kernel))[:count])


# -- what failures are reduced to -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sin", "mul", "where", "float32"])
def test_an_operation_is_all_that_is_left(name: str) -> None:
    for sample in grown(applies(name)):
        small = reduce(sample.kernel, applies(name))
        assert problems(small) == ()
        assert len(small.body) == 2, emit(small)
        applied = [term for term in all_terms(small) if isinstance(term, Apply)]
        assert sum(bool(term.args) for term in applied) == 1, emit(small)  # the identity transform has none


def test_a_grid_becomes_a_line() -> None:
    cells, made = Array(F32, 3), At((I, var("j", I32), var("k", I32)))
    params = (replace(X, type=cells), replace(out("out"), type=cells))
    value = Apply(ROWS["sin(float32)"], (Read("x", made, F32),))
    whole = Kernel("on_a_grid", params, (Thread("i", ("j", "k")), Store("out", made, value)), "")
    assert problems(whole) == ()
    small = reduce(whole, applies("sin"))
    assert small.body[0] == Thread("i")
    assert all(param.type.dimensions == 1 for param in small.params if isinstance(param.type, Array))


@pytest.mark.parametrize("operator", ["", "sub"])
def test_a_part_of_an_element_is_all_that_is_left(operator: str) -> None:
    """Or nothing of it, where it is at fault no more than a number is."""
    wide = type_named("vec3d")
    value = do("mul", do("sin", at("x", type=F64)), double(2.0))
    whole = kernel(
        (array("x", F64), array("p", wide), accumulator("total", wide, None), out("out", wide)),
        put_part("total", 2, value, operator, type="vec3d"),
        put_part("out", 0, value, type="vec3d"),
        put("out", at("p", type=wide)),
    )
    assert problems(whole) == ()
    small = reduce(whole, holds(StorePart))
    assert len(small.body) == 2
    assert emit(small).splitlines()[-1] == "    out[i][0] = 0.0"
    assert emit(reduce(whole, applies("sin"))).splitlines()[-1] == "    out[i] = wp.sin(0.0)"


@pytest.mark.parametrize("name", ["cross", "normalize", "add", "dot"])
def test_a_composite_operation_is_all_that_is_left(name: str) -> None:
    """Beside what makes its arguments; and in float32."""

    def composite(one: Kernel) -> bool:
        ops = [term.op for term in all_terms(one) if isinstance(term, Apply)]
        return any(op.name == name and op.is_composite for op in ops)

    wide = type_named("vec3d")
    p, q, a, b = at("p", type=wide), at("q", type=wide), var("a", wide), var("b", wide)
    whole = kernel(
        (array("p", wide), array("q", wide), out("out", wide), out("sizes", F64)),
        let("a", do("cross", p, q)),
        let("b", do("normalize", do("mul", a, double(2.0)))),
        when(do("greater", do("dot", a, q), double(0.5)), put("out", do("add", b, p))),
        put("sizes", do("dot", b, do("sub", a, p))),
    )
    small = reduce(whole, composite)
    assert problems(small) == ()
    assert len(small.body) == 2, emit(small)
    ops = [term.op for term in all_terms(small) if isinstance(term, Apply)]
    assert [op.name for op in ops if op.name != op.result.name] == [name], emit(small)
    assert all(term.type.scalar is not F64 for term in all_terms(small)), emit(small)


def test_a_loop_is_all_that_is_left() -> None:
    long = kernel(
        (X, array("y"), OUT),
        let("total", 1.0),
        let("scale", do("mul", at("x"), at("y"))),
        while_(do("less", var("total"), 8.0), change("total", "mul", 2.0), change("total", "add", var("scale"))),
        when(do("greater", var("total"), 9.0), change("total", "sub", at("y")), orelse=(let("total", 0.5),)),
        put("out", do("add", var("total"), at("x"))),
    )
    small = reduce(long, holds(While))
    assert emit(small).splitlines()[4:] == [
        "def by_hand(out: wp.array[float]):",
        "    i = wp.tid()",
        "    while False:",
        "        out[i] = 0.0",
    ]


def test_an_atomic_and_a_guard_are_all_that_is_left() -> None:
    total, index = accumulator("total"), number(0)
    guarded = kernel(
        (X, scalar("n", I32, 1, 9), total, OUT),
        when(do("greater_equal", ints("i"), ints("n")), Return()),
        loop("j", 3, atomic(AtomicKind.MAX, "total", do("mul", at("x"), 2.0), index)),
        put("out", at("x")),
    )
    small = reduce(guarded, lambda one: holds(Atomic)(one) and holds(Return)(one))
    assert sorted(type(stmt).__name__ for stmt in statements(small.body)) == ["Atomic", "If", "Return", "Thread"]
    assert "    wp.atomic_max(total, 0, 0.0)" in emit(small).splitlines()


def test_float64_becomes_float32_where_it_does_not_matter() -> None:
    wide = kernel((array("x", F64), out("out", F64)), put("out", do("sin", do("add", at("x", type=F64), double(0.1)))))
    small = reduce(wide, applies("sin"))
    assert all(term.type is not F64 for term in all_terms(small))
    kept = reduce(wide, lambda one: any(term.type is F64 for term in all_terms(one)) and applies("sin")(one))
    assert applies("sin")(kept)
    assert any(term.type is F64 for term in all_terms(kept))


# -- what holds of every reduction ------------------------------------------------------------------------------------


def test_no_step_leaves_the_grammar_or_grows() -> None:
    for sample in grown(applies("sqrt"), 2):
        asked: list[Kernel] = []

        def interesting(one: Kernel, asked: list[Kernel] = asked) -> bool:
            asked.append(one)
            return applies("sqrt")(one)

        reduce(sample.kernel, interesting)
        assert len(asked) > 5
        assert [problems(one) for one in asked if problems(one)] == []
        assert all(measure(one) < measure(sample.kernel) for one in asked)
        keys = [canonical_hash(one) for one in asked]
        assert len(set(keys)) == len(keys), "nothing is asked twice"


def test_the_end_is_minimal() -> None:
    """No candidate of any pass, which are all that replace one node by a simpler one, is smaller and interesting."""
    interesting: Interesting = lambda one: applies("mul")(one) and applies("less")(one)  # noqa: E731 # a predicate
    small = reduce(grown(interesting, 1)[0].kernel, interesting)
    for one in PASSES:
        for proposed in one(small):
            candidate = tidied(proposed)
            assert candidate is None or measure(candidate) >= measure(small) or not interesting(candidate)


def test_batches_and_interruptions_change_nothing(tmp_path: Path) -> None:
    sample = grown(applies("mul"), 1)[0]
    whole = reduce(sample.kernel, applies("mul"))
    finding = Finding(Outcome.VALUE, "", sample.kernel, sample.seed, LANES)
    path = tmp_path / "progress.json"
    progress, sessions = Progress(sample.kernel), 0

    def judge(kernels: Sequence[Kernel]) -> list[bool]:
        return [applies("mul")(one) for one in kernels]

    while not go_on(progress, judge, watch=lambda _: True, most=1 + sessions % 7):
        save_progress(path, finding, progress)
        progress, sessions = load_progress(path, finding), sessions + 1
    assert sessions > 5
    assert progress.kernel == whole == reduce(sample.kernel, applies("mul"))


def test_a_judge_may_stop_at_the_first_that_is_interesting() -> None:
    sample = grown(applies("mul"), 1)[0]

    def judge(kernels: Sequence[Kernel]) -> list[bool]:
        verdicts = [applies("mul")(one) for one in kernels]
        return verdicts[: verdicts.index(True) + 1] if True in verdicts else verdicts

    progress = Progress(sample.kernel)
    assert go_on(progress, judge)
    assert progress.kernel == reduce(sample.kernel, applies("mul"))


def test_progress_of_another_finding_or_none_is_a_beginning(tmp_path: Path) -> None:
    one, other = (Finding(Outcome.VALUE, "", each, 1, LANES) for each in (EARLY, RIGHT))
    path = tmp_path / "progress.json"
    save_progress(path, one, Progress(RIGHT, 3, 4, True, {"ab": False}))
    assert load_progress(path, one) == Progress(RIGHT, 3, 4, True, {"ab": False})
    assert load_progress(path, other) == Progress(RIGHT)
    path.write_text("{")
    assert load_progress(path, one) == load_progress(tmp_path / "missing", one) == Progress(EARLY)


def test_simple_constants_are_simplest_first() -> None:
    floats = [0.0, 1.0, 0.5, 2.0, -1.0, 3.25]
    assert sorted(floats, key=lambda value: complexity(number(value))) == floats
    assert sorted([7, -3, 3, 1, 0], key=lambda value: complexity(number(value))) == [0, 1, 3, -3, 7]


def test_a_kernel_that_comes_to_nothing_is_no_candidate() -> None:
    assert tidied(replace(RIGHT, body=RIGHT.body[:1])) is None
    dead = kernel((X, OUT), let("unused", at("x")), put("out", number(1.0)))
    clean = tidied(dead)
    assert clean is not None
    assert (len(clean.params), len(clean.body)) == (1, 2)


# -- over the choices that a kernel grew from -------------------------------------------------------------------------


def finding_of(sample: Sample, **more: object) -> Finding:
    settings = {"depth": sample.depth, "profile": sample.profile, **more}
    return Finding(Outcome.VALUE, "", sample.kernel, sample.seed, LANES, settings=settings)


def test_a_kernel_is_grown_again_from_what_its_finding_says() -> None:
    for sample in samples(1, (5, 8)):
        derived = derivation(finding_of(sample))
        assert derived is not None, sample
        how, choices = derived
        assert how.replayed(choices) == (sample.kernel, choices)
        told = finding_of(sample, choices=" ".join(map(str, choices)))
        assert derivation(told) == derived


def test_a_kernel_that_was_edited_or_comes_from_elsewhere_has_no_choices() -> None:
    sample = samples(1, (5,))[0]
    edited = next(kernel for kernel in drop_statements(sample.kernel) if kernel != sample.kernel)
    for finding in (
        replace(finding_of(sample), kernel=edited),
        replace(finding_of(sample), kernel=RIGHT),
        replace(finding_of(sample), settings={}),
        finding_of(sample, depth=0),
        finding_of(sample, depth="deep"),
        finding_of(sample, profile="baroque"),
        finding_of(sample, choices="1 2 x"),
    ):
        assert derivation(finding) is None, finding.settings


MODEST = 800
"""Choices: going through thousands takes minutes."""


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["sin", "where", "float32"])
def test_choices_are_reduced_too_and_the_smaller_result_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    derivations = {sample: derivation(finding_of(sample)) for sample in grown(applies(name), 30)}
    fitting = [sample for sample, derived in derivations.items() if derived is not None and len(derived[1]) < MODEST]
    sample = max(fitting, key=lambda sample: size(sample.kernel))
    quick = Progress(sample.kernel)
    assert go_through(quick, judging_by(applies(name)), sample.kernel, derivations[sample])
    assert (quick.stage, size(quick.kernel) <= SMALL) == (TREE, True), "it couldn't become much smaller"
    monkeypatch.setattr(validate.reduce, "SMALL", 0)
    derived = derivation(finding_of(sample))
    assert derived is not None
    progress = Progress(sample.kernel)
    stages: dict[int, Kernel] = {}

    def watch(now: Progress) -> bool:
        stages[now.stage] = now.kernel
        return False

    assert go_through(progress, judging_by(applies(name)), sample.kernel, derived, watch)
    assert set(stages) >= {TREE, CHOICES}
    assert measure(stages[CHOICES]) < measure(sample.kernel)
    assert applies(name)(progress.kernel)
    assert measure(progress.kernel) <= measure(reduce(sample.kernel, applies(name)))


def test_a_walk_over_choices_is_taken_up_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate.reduce, "SMALL", 0)
    sample = grown(applies("mul"), 1)[0]
    finding, derived = finding_of(sample), derivation(finding_of(sample))
    whole = Progress(sample.kernel)
    assert go_through(whole, judging_by(applies("mul")), sample.kernel, derived)
    path = tmp_path / "progress.json"
    progress, sessions = Progress(sample.kernel), 0
    while not go_through(
        progress, judging_by(applies("mul")), sample.kernel, derived, lambda _: True, most=1 + sessions % 7
    ):
        save_progress(path, finding, progress)
        progress, sessions = load_progress(path, finding), sessions + 1
    assert sessions > 10
    assert (progress.kernel, progress.stage) == (whole.kernel, REGROWN)


def found_by_fuzzing(plan: Plan, interesting: Interesting) -> Iterator[Finding]:
    """What a run finds if such kernels are at fault."""
    for index in range(2000):
        recipe = recipe_of(plan, index, ())
        made, choices = grown_of(recipe, plan)
        if made is not None and interesting(made):
            seen = Observed(index, Outcome.VALUE.value, kernel=made, choices=choices)
            (bucket,) = Tally(plan).add((recipe,), (seen,))
            assert bucket.smallest is not None
            yield bucket.smallest


def test_a_kernel_that_fuzzing_gave_a_way_out_is_reduced_through_its_choices(tmp_path: Path) -> None:
    leaves_at_a_float: Interesting = lambda one: any(  # noqa: E731 # a predicate
        isinstance(stmt, If) and isinstance(stmt.body[0], Break) and "float" in repr(stmt.condition)
        for stmt in statements(one.body)
    )
    plan = Plan(depths=(6, 8), profiles=("uniform",), allow_known=True)
    finding = load(save(tmp_path, next(found_by_fuzzing(plan, leaves_at_a_float))))
    assert derivation(replace(finding, settings={**finding.settings, "exits": False})) is None
    derived = derivation(finding)
    assert derived is not None
    progress, stages = Progress(finding.kernel), dict[int, Kernel]()

    def watch(now: Progress) -> bool:
        stages[now.stage] = now.kernel
        return False

    assert go_through(progress, judging_by(leaves_at_a_float), finding.kernel, derived, watch)
    assert measure(stages[CHOICES]) < measure(finding.kernel)
    assert leaves_at_a_float(stages[CHOICES]), "what it is reduced to is left early, too"
    assert leaves_at_a_float(progress.kernel)
    assert len(emit(progress.kernel).splitlines()) <= 12, emit(progress.kernel)


def judging_by(interesting: Interesting) -> Callable[[Sequence[Kernel]], list[bool]]:
    return lambda kernels: [interesting(one) for one in kernels]


# -- with the compiler ------------------------------------------------------------------------------------------------


def planted(term: Term) -> Term:
    """The sine that the reference is led to believe in."""
    if isinstance(term, Apply) and term.op.name == "sin":
        right = term.op
        return Apply(replace(right, meaning=lambda x: 0.9 * right.meaning(x)), term.args)
    return term


@pytest.mark.warp
def test_a_wrong_cell_is_reduced_to_its_operation() -> None:
    start()
    sample = grown(applies("sin"), 1)[0]
    finding = Finding(Outcome.VALUE, "", sample.kernel, sample.seed, LANES)

    def observed(kernels: Sequence[Kernel]) -> list[tuple[Outcome, str]]:
        misled = [replace(one, body=with_all_terms(one.body, planted)) for one in kernels]
        return observe(misled, sample.seed, LANES, DEFAULT)

    judge = judge_of(finding, observed)
    assert judge([sample.kernel]) == [True]
    progress = Progress(sample.kernel)
    assert go_on(progress, judge)
    assert len(progress.kernel.body) == 2
    assert [term.op.name for term in all_terms(progress.kernel) if isinstance(term, Apply)] == ["sin"]


@pytest.mark.warp
def test_the_command_reduces_a_finding_and_its_program_shows_the_bug(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARP_CACHE_PATH", str(tmp_path / "cache"))
    longer = kernel(
        (X, array("y"), scalar("n", I32, 3, 6), scalar("a"), OUT),
        let("scale", do("mul", do("sin", at("y")), var("a"))),
        *EARLY.body[1:-1],
        when(do("greater", at("y"), 0.5), change("total", "add", var("scale"))),
        put("out", do("add", do("mul", var("total"), 2.0), var("scale"))),
    )
    path = save(tmp_path, Finding(Outcome.GRADIENT, "d/dx[0]: wrong", longer, 5, LANES, settings={"depth": 4}))
    assert command(path, 1e-9, None) == 0
    assert "run the same command again" in capsys.readouterr().out
    assert path.with_suffix(".progress.json").exists()
    small_path = tmp_path / "small.json"
    assert command(path, None, small_path) == 0
    told = capsys.readouterr().out
    assert "exits 0: the bug stands" in told
    assert "drop statements" in told
    assert "its choices are not known" in told
    small = load(small_path)
    assert len(emit(small.kernel).splitlines()) <= 12, emit(small.kernel)
    assert defects_of(small.kernel) <= defects_of(longer) == {"break-gradient"}
    assert holds(Break)(small.kernel), emit(small.kernel)
    assert small.settings == {"depth": 4, "reduced_from": path.stem}
    assert not path.with_suffix(".progress.json").exists()


@pytest.mark.warp
def test_a_finding_that_no_longer_shows_is_told(tmp_path: Path) -> None:
    path = save(tmp_path, Finding(Outcome.VALUE, "", RIGHT, 5, LANES))
    with pytest.raises(UserError, match="no longer shows"):
        command(path, None, None)


@pytest.mark.warp
def test_candidates_that_are_not_defined_or_race_never_meet_the_compiler() -> None:
    met: list[Kernel] = []

    def observed(kernels: Sequence[Kernel]) -> list[tuple[Outcome, str]]:
        met.extend(kernels)
        return [(Outcome.VALUE, "") for _ in kernels]

    outside = kernel((X, OUT), put("out", at("x", number(10_000))))
    racing = kernel((X, OUT), put("out", at("x"), number(0)))
    endless = kernel((X, OUT), while_(number(True), put("out", at("x"))))
    judge = judge_of(Finding(Outcome.VALUE, "", RIGHT, 5, LANES), observed)
    assert judge([outside, racing, endless, EARLY, RIGHT]) == [False, False, False, False, True]
    assert met == [RIGHT], "nor does what has a known defect that the finding is free of"


def test_what_was_only_slow_is_reduced_once_more_with_patience(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = kernel((X, array("y"), OUT), let("a", do("sin", at("x"))), put("out", do("mul", var("a"), at("y"))))
    hangs = applies("sin")

    @contextmanager
    def judging(_: Finding, hasty: bool = True) -> Iterator[Judge]:
        yield lambda kernels: [applies("mul")(one) if hasty else hangs(one) for one in kernels]

    monkeypatch.setattr(validate.reduce, "judging", judging)
    monkeypatch.setattr(validate.reduce, "shows", lambda _, one: hangs(one))
    monkeypatch.setattr(validate.reduce, "_replayed", lambda _: "")
    path = save(tmp_path, Finding(Outcome.TIMEOUT, "", whole, 5, LANES))
    small = tmp_path / "small.json"
    assert command(path, None, small) == 0
    assert "what seemed to hang was slow" in capsys.readouterr().out
    assert "wp.sin(" in emit(load(small).kernel)


def test_findings_are_plain_json(tmp_path: Path) -> None:
    path = save(tmp_path, Finding(Outcome.COMPILE, "TypeError: no", EARLY, 5, LANES))
    assert json.loads(path.read_text())["outcome"] == "compile"


@pytest.mark.parametrize(
    "argv",
    [
        ["reduce", "missing.json"],
        ["reduce"],
        ["reduce", "x.json", "--out", "y.py"],
        ["reduce", "x.json", "--time-limit", "x"],
    ],
)
def test_mistakes_are_one_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("validate: ")
