"""The runner: the same bytes whatever happens on the way, and an end whatever it is asked for.

The key insight: what a fake pipeline gives is a function of the index, so the rows a run must hold are said in one line
and every accident is judged by comparing whole folders.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from corpus import store
from grammar.errors import UserError
from synth.findings import FOLDER
from synth.manifest import FILE, WORK, Totals
from synth.result import Pipeline
from synth.run import BARREN, COMPLETE, Summary, exhausted, run
from tests import fakes
from validate import processes

ROWS_PER_SHARD = 100


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_ROWS", ROWS_PER_SHARD)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr("tempfile.tempdir", str(path))
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run of one worker that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "SHARD_ROWS", ROWS_PER_SHARD)
        make(out)
    return files(out)


def make(out: Path, pipeline: Pipeline | None = None, **given: Any) -> Summary:
    return run(fakes.settings(out, **given), pipeline or fakes.pipeline())


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if not p.is_dir()}


def numbers(out: Path) -> list[int]:
    return [index for file in store.shards(out) for index in store.column(file, "index")]


def expected(out: Path, n: int) -> list[int]:
    """Indices of the first n candidates that are some kernel, and not one that was there before."""
    settings, seen, found = fakes.settings(out), set[int](), list[int]()
    for index in range(10 * n):
        number = fakes.number_of(settings, index)
        if number is not None and number not in seen:
            seen.add(number)
            found.append(index)
    return found[:n]


# -- bytes ------------------------------------------------------------------------------------------------------------


def test_rows_are_the_first_distinct_ones_in_order(tmp_path: Path, own_temporary_folder: Path) -> None:
    out = tmp_path / "out"
    summary = make(out, n=250)
    assert summary.ended == COMPLETE
    assert numbers(out) == expected(out, 250)
    assert [len(store.column(file, "id")) for file in store.shards(out)] == [100, 100, 50]
    assert summary.totals.outcomes["verified"] == summary.totals.rows == 250
    assert summary.totals.outcomes["duplicate"] > 0
    assert sum(summary.totals.gradients.values()) == 250
    assert summary.seconds["grow"] > 0
    assert not (out / WORK).exists()
    assert list(own_temporary_folder.iterdir()) == []


def test_two_workers_give_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    make(tmp_path / "out", jobs=2)
    assert files(tmp_path / "out") == undisturbed


def test_it_makes_no_difference_what_workers_know(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    for jobs in (1, 2):
        out = tmp_path / f"{jobs}"
        make(out, fakes.pipeline(fakes.knowing_block), jobs=jobs)
        assert files(out) == undisturbed


def test_nothing_is_done_twice(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    make(out)
    again = make(out, fakes.pipeline(fakes.doomed_block))
    assert (again.ended, again.rows_before, again.totals.rows) == (COMPLETE, 300, 300)
    assert files(out) == undisturbed


def kill_and_resume(out: Path, kills: int, n: int = 300) -> int:
    """Kills runs at random moments, then lets one end; returns how many were killed with something left to do."""
    rng, struck = random.Random(0), 0
    command = [sys.executable, "-m", "tests.fakes", "slow_block", str(ROWS_PER_SHARD)]
    command += ["--depth", "3", "--n", str(n), "--block", "16", "--targets", "cpp", "--out", str(out), "--jobs"]
    for _ in range(kills):
        with subprocess.Popen([*command, "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(rng.uniform(0.3, 2.0))
            process.kill()
            struck += process.wait() != 0
    done = subprocess.run([*command, "1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return struck


def test_killed_runs_end_with_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    assert kill_and_resume(tmp_path / "out", kills=3)
    assert files(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_twenty_kills_end_with_the_same_bytes(tmp_path: Path) -> None:
    make(tmp_path / "undisturbed", n=12_000, jobs=2)
    assert kill_and_resume(tmp_path / "out", kills=20, n=12_000) == 20
    assert files(tmp_path / "out") == files(tmp_path / "undisturbed")


def test_workers_do_not_outlive_their_parent(tmp_path: Path, own_temporary_folder: Path) -> None:
    command = [sys.executable, "-m", "tests.fakes", "hang_block", "100", "--depth", "3", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        caches = wait_for(lambda: list(own_temporary_folder.glob("warpsmith-*/cache-*")))
        time.sleep(0.5)
        process.kill()
    workers = [int(cache.name.removeprefix("cache-")) for cache in caches]
    assert workers
    assert wait_for(lambda: not any(map(psutil.pid_exists, workers)))


def wait_for(condition: Callable[[], Any]) -> Any:
    until = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


# -- accidents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "limit", "outcome", "detail"),
    [
        (fakes.crash_block, 60.0, "crash", "the process died of SIGSEGV"),
        (fakes.hang_block, 5.0, "timeout", "took longer than 5.01 s"),
    ],
)
def test_one_kernel_is_blamed_and_its_neighbours_kept(
    tmp_path: Path, block: Any, limit: float, outcome: str, detail: str
) -> None:
    pipeline = fakes.pipeline(block, seconds_to_start=limit, seconds_per_kernel=0.01)
    summary = make(tmp_path / "out", pipeline, jobs=2, n=100, block=4)
    assert numbers(tmp_path / "out") == [i for i in expected(tmp_path, 101) if i != fakes.GUILTY]
    assert summary.totals.outcomes[outcome] == summary.totals.findings == 1
    text, source = (path.read_text() for path in sorted((tmp_path / "out" / FOLDER).iterdir()))
    assert f'"index": {fakes.GUILTY},' in text
    assert detail in text
    assert source == fakes.describe(summary.settings, fakes.GUILTY).source


def test_a_crash_that_is_nobodys_fault_changes_nothing(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    make(tmp_path / "out", fakes.pipeline(fakes.innocent_block), jobs=2)
    assert files(tmp_path / "out") == undisturbed


def test_a_kernel_that_cannot_even_be_described_is_blamed(tmp_path: Path) -> None:
    pipeline = Pipeline(
        fakes.crash_block, fakes.crash_describe, fakes.start_worker, fakes.facts, ("math",), ("natural",)
    )
    summary = run(fakes.settings(tmp_path / "out", n=60), pipeline)
    assert summary.totals.outcomes["crash"] == 1
    assert [p.stat().st_size for p in (tmp_path / "out" / FOLDER).glob("*.py")] == [0]


@pytest.mark.parametrize("given", [{"run_block": fakes.doomed_block}, {"start_worker": fakes.start_badly}])
def test_workers_that_always_die_end_the_run(tmp_path: Path, given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "HOPELESS", 3)
    with pytest.raises(UserError, match="worker processes in a row"):
        make(tmp_path / "out", fakes.pipeline(**given), n=60)


def test_a_fault_of_ours_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="every verified candidate is a row"):
        make(tmp_path / "out", fakes.pipeline(fakes.false_block))


def test_findings_are_kept(tmp_path: Path) -> None:
    summary = make(tmp_path / "out", fakes.pipeline(fakes.finding_block), n=60)
    stored = sorted(p.read_text() for p in (tmp_path / "out" / FOLDER).glob("*.py"))
    assert len(stored) == summary.totals.findings == summary.totals.outcomes["value"] > 3
    assert "# kernel 5\n" in stored


def test_a_file_that_cannot_grow_ends_the_run_and_it_can_go_on(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    command = [sys.executable, "-m", "tests.fakes", "plain_block", str(ROWS_PER_SHARD), "--depth", "3", "--n", "300"]
    command += ["--block", "16", "--targets", "cpp", "--out", str(tmp_path / "out")]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    failed = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 2
    assert "cannot write" in failed.stderr.splitlines()[-1]
    assert "File too large" in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    assert files(tmp_path / "out") == undisturbed


# -- ends -------------------------------------------------------------------------------------------------------------


def test_a_run_ends_when_there_are_no_more_kernels(tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = make(out, fakes.pipeline(fakes.few_block), block=128)
    assert len(numbers(out)) == fakes.SPACE
    assert summary.ended.startswith(f"only {fakes.SPACE} distinct kernels found at depth 3 (all families)")
    assert summary.totals.candidates < BARREN + 2 * 128
    before = files(out)
    assert make(out, fakes.pipeline(fakes.doomed_block), block=128).ended == summary.ended
    assert files(out) == before


def test_exhaustion_is_judged_by_candidates_and_by_duplicates(tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path, n=1000)
    assert not exhausted(Totals(rows=5, candidates=5000, candidates_at_last_row=3001), settings)
    assert "the last 2,000 candidates" in exhausted(
        Totals(rows=5, candidates=5000, candidates_at_last_row=3000), settings
    )
    rare = Totals(rows=900, candidates=6000, candidates_at_last_row=6000)
    rare.outcomes["duplicate"] = 5000
    assert "5,000 candidates were duplicates" in exhausted(rare, settings)


def test_a_run_without_candidates_ends(tmp_path: Path) -> None:
    summary = make(tmp_path / "out", fakes.pipeline(fakes.none_block))
    assert summary.ended.startswith("no distinct kernels found at depth 3")
    assert not (tmp_path / "out" / store.DATA).exists()


def test_a_time_limit_keeps_what_is_there(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    for limit in (1.2, 5.0, 20.0):  # a busy machine needs longer to start workers
        out = tmp_path / f"{limit}"
        stopped = make(out, fakes.pipeline(fakes.stuck_block), time_limit=limit)
        assert stopped.stopped == "time limit"
        if stopped.totals.rows:
            break
    assert 0 < stopped.totals.rows < 300
    assert len(numbers(out)) == stopped.totals.rows
    assert make(out).ended == COMPLETE
    assert files(out) == undisturbed


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_there(
    tmp_path: Path, undisturbed: dict[str, bytes], number: signal.Signals, code: int
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tests.fakes", "slow_block", str(ROWS_PER_SHARD), "--depth", "3", "--n", "300"]
    command += ["--block", "16", "--targets", "cpp", "--out", str(out), "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: len(list((out / WORK).glob("*.arrow"))) > 2)
        os.kill(process.pid, number)
        text, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "run the same command to go on" in text
    assert "Traceback" not in errors
    assert numbers(out) == expected(out, 300)[: len(numbers(out))]
    make(out)
    assert files(out) == undisturbed


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_damaged_shard_is_named_and_made_again(tmp_path: Path, undisturbed: dict[str, bytes], number: int) -> None:
    out = tmp_path / "out"
    make(out)
    shard = out / store.shard_name(number)
    shard.write_bytes(shard.read_bytes()[:-1000])
    (out / FILE).write_text((out / FILE).read_text().replace('"complete"', '""'))
    damaged = files(out)
    with pytest.raises(UserError, match=f"{shard} is damaged .* delete it"):
        make(out)
    assert {name: data for name, data in files(out).items() if not name.startswith(WORK)} == damaged
    shard.unlink()
    make(out, jobs=2)
    assert files(out) == undisturbed


def test_a_shard_missing_from_a_complete_run_is_made_again(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    make(out)
    for number in (0, 2):
        (out / store.shard_name(number)).unlink()
    make(out)
    assert files(out) == undisturbed


@pytest.mark.parametrize("given", [{"seed": 1}, {"n": 301}, {"lanes": 65}, {"family": ("math",)}, {"depth": 4}])
def test_a_run_with_other_settings_is_not_touched(tmp_path: Path, given: Any) -> None:
    out = tmp_path / "out"
    make(out, n=20)
    before = files(out)
    with pytest.raises(UserError, match=f"holds a run with other settings .*{next(iter(given))}"):
        make(out, **{"n": 20, **given})
    assert files(out) == before


def test_a_run_of_other_versions_is_not_touched(tmp_path: Path) -> None:
    make(tmp_path / "out", n=20)
    with pytest.raises(UserError, match="warp 1 there, 9 here"):
        make(tmp_path / "out", fakes.pipeline(facts=fakes.other_facts), n=20)


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(UserError, match=r"is not empty \(it holds thesis.tex\)"):
        make(tmp_path, n=20)


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, n=20)
    (out / FILE).write_text("{")
    with pytest.raises(UserError, match=f"{out / FILE} is damaged"):
        make(out, n=20)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    import fcntl

    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(UserError, match="another run is at work"):
            make(tmp_path, n=20)
    finally:
        os.close(handle)
