"""What the compiler makes of kernels that may end or hang the process: told from outside, apart or together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

import validate.observe
import validate.reduce
from extract.options import DEFAULT
from grammar.tree import (
    Kernel,
)
from tests.builders import (
    LANES,
)
from tests.fates import prepare
from tests.test_findings import EARLY, RIGHT
from validate.findings import Finding
from validate.judge import judge_of
from validate.observe import CPU_SECONDS, LEAST_CPU_SECONDS, Hired, _Going, crew, each_apart, together
from validate.verdict import Outcome


def test_crashes_and_hangs_are_observed_in_a_process_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate.observe, "CPU_SECONDS", 0.5)
    monkeypatch.setattr(validate.observe, "IDLE_SECONDS", 1.0)
    names = ("calm", "crashes", "sleeps", "spins", "exits", "calm")
    with crew(prepare=prepare) as hired:
        came_to = list(each_apart(hired, [replace(RIGHT, name=name) for name in names], 5, LANES, DEFAULT))
    assert came_to == [
        (Outcome.VERIFIED, "calm"),
        (Outcome.CRASH, "the process died of SIGSEGV"),
        (Outcome.TIMEOUT, "did nothing for 1 s"),
        (Outcome.TIMEOUT, "took longer than 0.5 s of CPU time"),
        (Outcome.CRASH, "the process exited with code 3"),
        (Outcome.VERIFIED, "calm"),
    ]


def test_what_ends_a_process_that_it_shares_is_observed_apart() -> None:
    with crew(prepare=prepare) as hired:
        calm, mixed = (
            list(together(hired, [replace(RIGHT, name=name) for name in names], 5, LANES, DEFAULT))
            for names in (("a", "b"), ("a", "crashes", "b"))
        )
        assert list(together(hired, [], 5, LANES, DEFAULT)) == []
    assert calm == [(Outcome.VERIFIED, "a"), (Outcome.VERIFIED, "b")]
    assert mixed == [calm[0], (Outcome.CRASH, "the process died of SIGSEGV"), calm[1]]


def test_in_haste_a_hang_is_told_by_what_other_kernels_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate.observe, "CPU_SECONDS", 600.0)
    monkeypatch.setattr(validate.observe, "LEAST_CPU_SECONDS", 0.5)
    with crew(prepare=prepare) as hired:
        calm, spins = (list(_apart(hired, name, hasty=True)) for name in ("calm", "spins"))
    assert [*calm, *spins] == [
        (Outcome.VERIFIED, "calm"),
        (Outcome.TIMEOUT, "took longer than 0.5 s of CPU time"),
    ]


def _apart(hired: Hired, name: str, hasty: bool) -> Iterator[tuple[Outcome, str]]:
    return each_apart(hired, [replace(RIGHT, name=name)], 5, LANES, DEFAULT, hasty=hasty)


def test_how_long_a_kernel_gets_follows_from_what_those_took_that_came_back(tmp_path: Path) -> None:
    hired = Hired(lambda: None, tmp_path)
    assert hired.patience(EARLY, True) == CPU_SECONDS, "as long as nothing is known"
    hired.learn(_came_back(RIGHT, tmp_path, 0.05))
    hired.learn(_came_back(RIGHT, tmp_path, 0.07))
    hired.learn(_came_back(RIGHT, tmp_path, None))
    assert LEAST_CPU_SECONDS <= hired.patience(RIGHT, True) == pytest.approx(max(LEAST_CPU_SECONDS, 5 * 0.07))
    assert hired.patience(RIGHT, True) < hired.patience(EARLY, True) < CPU_SECONDS, "as EARLY is larger"
    assert hired.patience(RIGHT, False) == CPU_SECONDS
    hired.learn(_came_back(RIGHT, tmp_path, 1.0))
    assert hired.patience(RIGHT, True) == CPU_SECONDS


def _came_back(one: Kernel, scratch: Path, seconds: float | None) -> _Going:
    """Or not, without a number of seconds."""
    future: Future[tuple[tuple[Outcome, str], float]] = Future()
    if seconds is None:
        future.set_exception(TimeoutError())
    else:
        future.set_result(((Outcome.VERIFIED, ""), seconds))
    return _Going(future, one, scratch, CPU_SECONDS)


def test_nothing_is_begun_after_the_first_that_fails_alike() -> None:
    names = ("a", "b", "crashes", "c", "d", "e", "f")
    kernels = [replace(RIGHT, name=name) for name in names]
    with crew(prepare=prepare) as hired:
        finding = Finding(Outcome.CRASH, "", RIGHT, 5, LANES)
        judge = judge_of(finding, lambda some: each_apart(hired, some, 5, LANES, DEFAULT), until_one=True)
        assert judge(kernels) == [False, False, True]
        assert judge(kernels[3:]) == [False] * 4
