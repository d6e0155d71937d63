"""`python -m validate fuzz`: kernels follow from their recipes, and planted faults are blamed on the right ones."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from grammar.canon import canonical_hash
from grammar.choose import Seed
from grammar.emit import emit
from grammar.errors import UserError
from grammar.heights import height, size
from grammar.tree import Break, Kernel, all_terms
from grammar.types import I32
from tests.builders import LANES, OUT, X, at, change, do, ints, kernel, let, loop, put, scalar, var, when
from tests.fuzz_workshops import ACROSS, BLOW_UP, CALM, CRASH, DOOMED, FAULTY, HANG, MISTAKEN, UNGROWN, WRONG
from validate import fuzz as command_line
from validate import processes
from validate.axes import AXES, OPTIONS
from validate.cli import main
from validate.findings import Finding, load
from validate.fuzz import Wanted, command, plan_of
from validate.fuzzing import causes, show, tally
from validate.fuzzing.plan import ALL_AXES, ROUND, Kept, Plan, Recipe, grown, recipe_of
from validate.fuzzing.run import Ending, fuzz, joined, order
from validate.fuzzing.tally import Bucket, Tally
from validate.fuzzing.work import BIGRAMS, NOT_GROWN, Observed
from validate.judge import defects_of
from validate.verdict import Outcome, Verdict

SMALL = Plan(depths=(1, 4), axes=(), block=4)


# -- recipes ----------------------------------------------------------------------------------------------------------


def kept(plan: Plan, count: int) -> list[Kept]:
    recipes = [recipe_of(plan, index, ()) for index in range(count)]
    return [Kept(recipe, choices) for recipe in recipes if (choices := grown(recipe, plan)[1])]


def test_a_recipe_follows_from_the_plan_the_index_and_what_was_kept() -> None:
    known = kept(SMALL, 12)
    assert [recipe_of(SMALL, k, known) for k in range(50)] == [recipe_of(SMALL, k, known) for k in range(50)]
    assert recipe_of(SMALL, 3, ()) != recipe_of(replace(SMALL, seed=1), 3, ())
    assert recipe_of(SMALL, 3, ()) == recipe_of(replace(SMALL, block=64), 3, ())
    assert {recipe_of(SMALL, k, ()).depth for k in range(50)} == {1, 2, 3, 4}


def test_the_choices_of_a_kernel_make_it_again() -> None:
    for one in kept(SMALL, 12):
        again = replace(one.recipe, choices=one.choices, fresh=Seed(one.recipe.fresh + 1))
        assert grown(again, SMALL) == grown(one.recipe, SMALL)


def test_relatives_differ_from_their_parents_and_are_like_them() -> None:
    known = kept(SMALL, 40)
    relatives = [recipe for k in range(400) if (recipe := recipe_of(SMALL, k, known)).choices]
    assert 120 < len(relatives) < 280
    parents = {one.recipe.seed: one for one in known}
    same, kernels = 0, 0
    for recipe in relatives:
        (child, _), (parent, _) = grown(recipe, SMALL), grown(parents[recipe.seed].recipe, SMALL)
        if child is not None and parent is not None:
            kernels += 1
            same += canonical_hash(child) == canonical_hash(parent)
            assert height(child) <= recipe.depth
    assert kernels > 0.9 * len(relatives)
    assert 0 < same < 0.6 * kernels


def test_known_idioms_are_grown_where_they_are_asked_for() -> None:
    plan = Plan(depths=(5, 5), allow_known=True)
    plans = (plan, replace(plan, allow_known=False))
    lenient, strict = ([grown(recipe_of(one, k, ()), one)[0] for k in range(80)] for one in plans)
    assert any(defects_of(made) for made in lenient if made is not None)
    assert not any(defects_of(made) for made in strict if made is not None)


def test_axes_are_taken_in_turn_or_all_at_once() -> None:
    sampled, every = Plan(), Plan(axes=("O1", "O3"), sampled=False)
    turns = Counter(recipe_of(sampled, k, ()).axes for k in range(2 * 64 * len(ALL_AXES)))
    assert {axes for axes in turns if axes} == {(axis,) for axis in ALL_AXES}
    assert {turns[(axis,)] for axis in ALL_AXES} == {16}
    assert {recipe_of(every, k, ()).axes for k in range(20)} == {("O1", "O3")}


# -- rounds -----------------------------------------------------------------------------------------------------------


def test_the_same_kernels_for_any_number_of_workers() -> None:
    plan = replace(SMALL, block=2)
    one, two = (fuzz(plan, CALM, jobs, Ending(6 * ROUND)) for jobs in (1, 2))
    assert one.kernels == 6 * ROUND
    assert one.relatives > 0
    assert (one.kept, one.marks, one.features) == (two.kept, two.marks, two.features)


def test_a_round_is_grown_from_those_before_the_last() -> None:
    told = Tally(SMALL)
    for block in range(3 * ROUND):
        assert told.is_ready(block)
        assert not told.is_ready((block // ROUND + 2) * ROUND)
        recipes = tuple(recipe_of(SMALL, 4 * block + k, ()) for k in range(4))
        told.add(recipes, [new_feature(recipe) for recipe in recipes])
    assert [len(told.parents(block)) for block in (0, ROUND, 2 * ROUND, 3 * ROUND)] == [0, 0, 4 * ROUND, 8 * ROUND]


def new_feature(recipe: Recipe) -> Observed:
    return Observed(recipe.index, "verified", choices=(1,), height=2, features={BIGRAMS: (f"{recipe.index}",)})


def test_what_brings_nothing_new_is_not_kept() -> None:
    told, recipes = Tally(SMALL), tuple(recipe_of(SMALL, k, ()) for k in range(3))
    old = replace(new_feature(recipes[0]), index=1)
    told.add(recipes, [new_feature(recipes[0]), old, Observed(2, NOT_GROWN)])
    assert [one.recipe.index for one in told.kept] == [0]
    assert told.outcomes == {"verified": 2, NOT_GROWN: 1}


# -- planted faults ---------------------------------------------------------------------------------------------------


def test_each_fault_is_blamed_on_its_kernel_and_the_rest_goes_on() -> None:
    done = fuzz(replace(SMALL, block=2), FAULTY, 2, Ending(12))
    assert done.kernels == 12
    found = {bucket.index: bucket.key[:2] for bucket in done.buckets.values()}
    faults = {CRASH: "crash", HANG: "timeout", BLOW_UP: "crash", UNGROWN: "crash"} | dict.fromkeys(WRONG, "value")
    assert found == {index: (outcome, "") for index, outcome in faults.items()}
    assert done.outcomes[NOT_GROWN] + done.outcomes["verified"] == 12 - len(found)
    details = {bucket.index: bucket.smallest and bucket.smallest.detail for bucket in done.buckets.values()}
    assert details[CRASH] == "the process died of SIGSEGV"
    assert details[HANG] == "took longer than 2 s"
    assert details[BLOW_UP] == "ran out of memory"
    assert details[UNGROWN] is None


def test_what_dies_only_while_it_is_compared_is_told_so() -> None:
    done = fuzz(Plan(depths=(2, 2), axes=("O1",), sampled=False, block=1), FAULTY, 1, Ending(1))
    ((key, bucket),) = done.buckets.items()
    assert key[:2] == ("crash", "O1")
    assert bucket.index == ACROSS
    assert bucket.smallest is not None
    assert bucket.smallest.options == OPTIONS["O1"]


def test_when_every_worker_dies_it_is_not_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "HOPELESS", 2)
    with pytest.raises(UserError, match="2 worker processes in a row exited with code 7"):
        fuzz(SMALL, DOOMED, 1, Ending(16))


def test_an_interrupt_ends_a_run_with_what_it_has() -> None:
    def watch(told: Tally) -> None:
        if told.blocks:
            with command_line.stoppable():
                os.kill(os.getpid(), signal.SIGTERM)

    done = fuzz(SMALL, CALM, 1, Ending(10**9), watch)
    assert done.interrupted
    assert 0 < done.kernels < 1000


@pytest.mark.warp
def test_a_wrong_cell_is_found_and_reduced_to_the_operation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = Wanted(n=448, depth="2-3", profile="uniform", axes="none", jobs=1, out=tmp_path / "new")
    assert command(wanted, MISTAKEN) == 1
    kernels = [load(path).kernel for path in (tmp_path / "new").glob("value-*.json")]
    smallest = min(kernels, key=size)
    assert size(smallest) <= 6, emit(smallest)
    assert "wp.sin(" in emit(smallest)
    printed = capsys.readouterr()
    assert "operations" in printed.out
    assert emit(smallest) in printed.out
    assert ": reduced, 3 lines" in printed.err


@pytest.mark.warp
def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "none"
    assert main(["fuzz", "--n", "6", "--depth", "3", "--axes", "launch sizes,spellings", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "6 kernels in" in printed
    assert "findings             0 in 0 buckets" in printed
    assert not out.exists()


# -- buckets ----------------------------------------------------------------------------------------------------------

EARLY = kernel(
    (X, scalar("n", I32, 3, 6), OUT),
    let("total", 0.0),
    loop("j", ints("n"), when(do("equal", ints("j"), 2), Break()), change("total", "add", at("x"))),
    put("out", var("total")),
)
RIGHT = kernel((X, OUT), put("out", do("mul", at("x"), 3.0)))
LARGER = kernel((X, OUT), put("out", do("mul", do("sin", at("x")), 3.0)))


def observed(index: int, one: Kernel, outcome: Outcome = Outcome.GRADIENT, detail: str = "") -> Observed:
    return Observed(index, outcome.value, detail, kernel=one)


def added(*found: Observed) -> Tally:
    done = Tally(SMALL)
    done.add(tuple(recipe_of(SMALL, one.index, ()) for one in found), found)
    return done


def test_buckets_are_by_cause_and_remember_the_smallest() -> None:
    done = added(
        observed(0, EARLY),
        observed(1, LARGER),
        observed(2, RIGHT),
        observed(3, EARLY),
        observed(4, EARLY, Outcome.VALUE),
    )
    assert [(b.key[0], b.count, b.known) for b in done.buckets.values()] == [
        ("gradient", 2, True),
        ("gradient", 1, False),
        ("gradient", 1, False),
        ("value", 1, False),
    ]
    assert done.findings == 5
    same = added(
        observed(0, LARGER, Outcome.COMPILE, "TypeError: a"), observed(1, RIGHT, Outcome.COMPILE, "TypeError: b")
    )
    ((key, bucket),) = same.buckets.items()
    assert key == ("compile", "", "TypeError")
    assert bucket.smallest is not None
    assert (bucket.count, bucket.index, bucket.smallest.kernel) == (2, 1, RIGHT)


def test_there_is_an_end_to_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_BUCKETS", 1)
    done = added(observed(0, RIGHT), observed(1, LARGER), observed(2, EARLY), observed(3, LARGER))
    assert [(key[2], bucket.count) for key, bucket in done.buckets.items()][1:] == [
        (tally.FURTHER, 2),
        ("break-gradient", 1),
    ]


def test_buckets_whose_kernels_come_to_the_same_are_one() -> None:
    done = added(observed(0, LARGER), observed(1, EARLY), observed(2, LARGER), observed(3, RIGHT, Outcome.VALUE))
    (large, early, value) = done.buckets.values()
    large.smallest = early.smallest
    found = joined(done.buckets)
    assert [(key[0], key[2], bucket.count) for key, bucket in found.items()] == [
        ("gradient", "break-gradient", 3),
        ("value", value.key[2], 1),
    ]


# -- reducing ---------------------------------------------------------------------------------------------------------


def test_first_those_are_reduced_that_have_one_known_cause_and_last_those_with_several() -> None:
    keys = [("value", "", "a+b"), ("value", "", "a"), ("gradient", "", "12ab"), ("gradient", "", "a+c+d")]
    buckets = [Bucket(key, 1, 0, None, known="a" in key[2][:1]) for key in keys]
    assert [bucket.key[2] for bucket in sorted(buckets, key=order)] == ["a", "12ab", "a+c+d", "a+b"]


def test_what_disagrees_with_itself_is_reduced_across_its_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    def disagreement(seeded: Sequence[tuple[Kernel, int]], axes: Sequence[str], lanes: int) -> list[dict[str, Verdict]]:
        assert (list(axes), lanes) == (["O3"], LANES)
        sines = [any("sin" in repr(term) for term in all_terms(one)) for one, _ in seeded]
        return [{"O3": Verdict(Outcome.VALUE if found else Outcome.VERIFIED, "O3: wrong")} for found in sines]

    monkeypatch.setattr(causes, "disagreement", disagreement)
    finding = Finding(Outcome.VALUE, "O3: odd", LARGER, 0, LANES, OPTIONS["O3"], {"axis": "O3"})
    smaller, how = causes.reduced(finding, 60.0)
    assert how == "reduced"
    assert size(smaller.kernel) < size(LARGER)
    assert "wp.sin(" in emit(smaller.kernel)
    assert (smaller.detail, smaller.settings["reduced_from"]) == ("O3: wrong", finding.name)
    assert causes.reduced(replace(finding, kernel=RIGHT), 60.0)[1] == "does not show when it is looked at again"
    assert causes.reduced(finding, 0.0)[1] == "not at its smallest after 0 s"


# -- what is shown, and mistakes --------------------------------------------------------------------------------------


def test_what_is_printed() -> None:
    done = added(observed(0, EARLY), observed(1, LARGER))
    done.comparisons["O1"].update(verified=3, unchecked=1)
    (known, new) = done.buckets.values()
    text = StringIO()
    show.show(done, 2.0, {new.key: Path("here.json")}, Console(file=text, width=120))
    printed = text.getvalue()
    assert "2 kernels in 2 s (1.0 kernels/s)" in printed
    assert "gradient: break-gradient (known)" in printed
    assert f"gradient: {new.key[2]}\nhere.json\n" in printed
    assert emit(LARGER) in printed
    assert [show.lines_of(known), show.lines_of(new)] == [8, 3]


def test_progress_is_a_line_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "LINE_SECONDS", 0.0)
    with show.watching(Ending(kernels=10)) as watch:
        watch(added(observed(0, RIGHT)))
    line = capsys.readouterr().err
    assert line.startswith("kernels 1/10  ")
    assert "findings 1 in 1 buckets" in line


def test_progress_is_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = StringIO()
    monkeypatch.setattr(show, "DRAW_SECONDS", 0.0)
    monkeypatch.setattr(show, "Console", lambda **_: Console(file=text, force_terminal=True, width=120))
    with show.watching(Ending(kernels=10)) as watch:
        watch(added(observed(0, EARLY), observed(1, RIGHT)))
    drawn = text.getvalue()
    assert "findings: 2" in drawn
    assert "break-gradient" in drawn


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--depth", "0"], "--depth must be a number"),
        (["--depth", "5-3"], "--depth must be a number"),
        (["--depth", "1-99"], "--depth must be a number"),
        (["--profile", "wild"], "there is no 'wild'"),
        (["--axes", "O7"], "there is no 'O7'"),
        (["--axes", ","], "names nothing"),
        (["--minutes", "0"], "--minutes must be a positive number"),
        (["--n", "0"], "--n must be from 1"),
        (["--jobs", "0"], "--jobs must be from 1"),
        (["--seed", "-1"], "--seed must be from 0"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", *argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_options_mean_what_they_say() -> None:
    assert plan_of(Wanted()) == Plan()
    assert plan_of(Wanted(depth="5")).depths == (5, 5)
    assert plan_of(Wanted(profile="all")).profiles == ("natural", "uniform", "swarm")
    assert plan_of(Wanted(axes="none")).axes == ()
    assert set(AXES) < set(plan_of(Wanted(axes="all")).axes)
    assert not plan_of(Wanted(axes="all")).sampled
    ending = command_line._ending(Wanted(), 0.0)
    assert (ending.kernels, ending.deadline) == (None, 1800.0)
    assert command_line._ending(Wanted(n=5), 0.0) == Ending(5, None)
    assert command_line._ending(Wanted(n=5, minutes=1), 0.0) == Ending(5, 60.0)
