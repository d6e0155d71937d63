"""Functions that write to arrays: how they are spelt, what they may hold, and what Warp makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

import grammar.emit
from grammar.atomics import AtomicKind
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.outline import outlined_parts
from grammar.outlining import outlined
from grammar.plain import run_plain
from grammar.rewrites import REWRITES
from grammar.serial import kernel_of, plain_of
from grammar.tree import Break, Kernel, Outlined, Return, Stmt, all_statements
from tests.builders import (
    LANES,
    OUT,
    X,
    Y,
    accumulator,
    at,
    atomic,
    bump,
    change,
    do,
    kernel,
    let,
    loop,
    number,
    put,
    samples,
    scalar,
    var,
    when,
)
from tests.proving import verified
from tests.reading import Reader
from validate.verdict import Outcome

SQUARED = do("mul", var("v"), var("v"))
STORED = kernel((X, OUT), let("v", at("x")), Outlined("write_square", (put("out", SQUARED),)), name="store")
ADDED = kernel(
    (X, Y, accumulator("sums", size=4), OUT),
    let("v", do("mul", at("x"), 2.0)),
    Outlined(
        "add_square",
        (
            let("t", do("mul", SQUARED, at("y"))),
            when(do("greater", at("y"), 0.5), atomic(AtomicKind.ADD, "sums", var("t"), number(1))),
        ),
    ),
    put("out", var("v")),
    name="add",
)
SUMMED = kernel(
    (X, scalar("a"), accumulator("sums", size=None)),
    let("v", at("x")),
    Outlined(
        "add_sum",
        (
            let("s", number(0.0)),
            loop("k", 20, change("s", "add", do("mul", var("v"), var("a")))),
            bump("sums", "add", var("s")),
        ),
    ),
    name="sum_all",
)


LOOPED = kernel(
    (X, scalar("a"), OUT),
    let("s", number(0.0)),
    loop("k", 20, change("s", "add", do("mul", at("x"), var("a")))),
    Outlined("write_sum", (put("out", do("add", var("s"), do("sin", at("x")))),)),
    name="sum_before",
)


def test_it_is_called_with_what_it_uses() -> None:
    assert problems(STORED) == ()
    assert emit(STORED) == (
        "import warp as wp\n\n\n@wp.func\ndef write_square(out: wp.array[float], i: int, v: float):\n"
        "    out[i] = v * v\n\n\n"
        "@wp.kernel\ndef store(x: wp.array[float], out: wp.array[float]):\n"
        "    i = wp.tid()\n    v = x[i]\n    write_square(out, i, v)\n"
    )


def test_what_must_not_be_done_again_has_a_replay_that_does_nothing() -> None:
    assert problems(ADDED) == ()
    assert (
        "@wp.func_replay(add_square)\n"
        "def replay_add_square(v: float, y: wp.array[float], i: int, sums: wp.array[float]):\n    pass\n" in emit(ADDED)
    )


@pytest.mark.parametrize("by_hand", [STORED, ADDED, SUMMED, LOOPED], ids=lambda one: one.name)
def test_it_is_read_back_and_stored(by_hand: Kernel) -> None:
    assert Reader(emit(by_hand)).body == by_hand.body
    assert kernel_of(plain_of(by_hand)) == by_hand


@pytest.mark.warp
def test_warp_and_its_adjoint_do_what_it_holds() -> None:
    verified([STORED, ADDED, SUMMED, LOOPED])


@pytest.mark.warp
@pytest.mark.parametrize("with_replay", [True, False])
def test_an_adjoint_adds_nothing_again_thanks_to_the_replay(monkeypatch: pytest.MonkeyPatch, with_replay: bool) -> None:
    from extract.compile import start
    from validate.axes import check_axes

    start()
    if not with_replay:
        monkeypatch.setattr(grammar.emit, "is_changed_by_replay", lambda *_: False)
    kernels = [STORED, ADDED, SUMMED, LOOPED]
    found = [each["adjoint launch"].outcome for each in check_axes(kernels, 5, LANES, ["adjoint launch"])]
    assert found == [Outcome.VERIFIED, *[Outcome.VERIFIED if with_replay else Outcome.VALUE] * 3]


BAD: dict[str, tuple[str, tuple[Stmt, ...]]] = {
    "writes nothing": ("writes to no array", (let("t", SQUARED),)),
    "returns": ("holds what no function does", (put("out", SQUARED), when(do("less", var("v"), 0.0), Return()))),
    "leaves a loop": ("break outside of a loop", (put("out", SQUARED), Break())),
    "changes what it takes": ("changes v", (change("v", "add", 1.0), put("out", var("v")))),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_such_function_does(name: str) -> None:
    problem, body = BAD[name]
    bad = kernel((X, OUT), let("v", at("x")), Outlined("write_square", body))
    assert any(problem in found for found in problems(bad)), problems(bad)


def test_nothing_behind_it_sees_its_locals() -> None:
    inside = Outlined("write_square", (let("t", SQUARED), put("out", var("t"))))
    bad = kernel((X, OUT, replace(OUT, name="more")), let("v", at("x")), inside, put("more", var("t")))
    assert any("t" in found for found in problems(bad))


def test_names_are_its_own() -> None:
    bad = replace(STORED, name="write_square")
    assert "write_square is declared twice" in problems(bad)


def test_some_are_grown() -> None:
    found = [sample.kernel for sample in samples(2) if outlined_parts(sample.kernel)]
    assert 0.01 < len(found) / len(samples(2)) < 0.1
    assert any(len(part.body) > 1 for one in found for part in outlined_parts(one))


def test_what_is_put_into_a_function_is_computed_all_the_same() -> None:
    made = 0
    for k, sample in enumerate(samples(1)):
        plain = REWRITES["function that writes inlined"](sample.kernel) or sample.kernel
        new = next(
            (new for tries in range(40) if (new := outlined(seeded(Seed(40 * k + tries)), plain)) != plain), None
        )
        if new is None:
            continue
        made += 1
        assert problems(new) == ()
        assert len(all_statements(new)) == len(all_statements(plain)) + 1
        before, after = (run_plain(one, sample.inputs).arrays for one in (plain, new))
        assert all(before[p.name].tobytes() == after[p.name].tobytes() for p in plain.params if p.is_output)
    assert made > 40
