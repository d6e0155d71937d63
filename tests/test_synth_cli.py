"""The command line of the main job: flags, mistakes, what is printed.

The key insight: mistakes must be found before any worker starts, so they are tested in this process, on a fake
pipeline.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from extract.build import Target
from grammar.command import call
from grammar.errors import UserError
from synth import report
from synth.cli import app
from synth.manifest import Totals
from synth.settings import checked, default_jobs, default_out, parsed_family, parsed_targets
from tests import fakes

HEAVY = ("warp", "numpy", "pyarrow", "hypothesis", "libcst", "datasets")


def synth(*argv: str) -> int:
    return call(app, "synth", argv, fakes.pipeline)


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys; from synth.cli import main; main(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--time-limit" in done.stdout
    assert time.monotonic() - started < 5  # 0.2 s where nothing else runs


def test_progress_is_a_line_with_what_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "LINE_SECONDS", 0.0)
    totals = Totals(rows=150, candidates=200, findings=2)
    totals.outcomes.update(verified=150, duplicate=40, dead=8, value=2)
    with report.progress(fakes.settings(tmp_path)) as show:
        show(Totals(rows=100))
        time.sleep(0.1)
        show(totals)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("verified 100/300 (33%)  0.0 rows/s  ETA ?  rejected: none  findings: 0")
    assert last.startswith("verified 150/300 (50%)  ")
    assert last.endswith("ETA 00:00  rejected: duplicate 40, dead 8, value 2  findings: 2")


def test_times_read_as_on_a_clock() -> None:
    assert [report.clock(seconds) for seconds in (0.4, 61, 3723)] == ["00:00", "01:01", "1:02:03"]


def test_a_run_prints_a_summary(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fakes", "plain_block", "2000", "--depth", "3", "--n", "50"]
    done = subprocess.run([*command, "--out", "out"], cwd=tmp_path, env=here(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout
    assert "duplicate" in done.stdout
    assert "rows      out/data (50)" in done.stdout
    again = subprocess.run([*command, "--out", "out"], cwd=tmp_path, env=here(), capture_output=True, text=True)
    assert again.returncode == 0
    assert "rows      out/data (50)" in again.stdout


def here() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "--depth"),
        ("--depth x", "Invalid value for '--depth'"),
        ("--depth 0", "--depth must be from 1 to 64, not 0"),
        ("--depth 3 --n 0", "--n must be from 1 to"),
        ("--depth 3 --seed -1", "--seed must be from 0 to"),
        ("--depth 3 --jobs 0", "--jobs must be from 1 to"),
        ("--depth 3 --block 0", "--block must be from 1 to"),
        ("--depth 3 --lanes 8", "--lanes must be from 64 to"),
        ("--depth 3 --time-limit 0", "--time-limit must be a positive number"),
        ("--depth 3 --time-limit nan", "--time-limit must be a positive number"),
        ("--depth 3 --family knitting", "there is no 'knitting'; choose from loop, math"),
        ("--depth 3 --family ,", "--family names nothing"),
        ("--depth 3 --targets cpp,wasm", "there is no 'wasm'; choose from cpp, cuda, llvm, ptx"),
        ("--depth 3 --profile odd", "there is no 'odd'; choose from natural, uniform"),
        ("--depth 3 --frobnicate", "No such option"),
        ("--depth 3 --out /dev/null", "/dev/null is a file"),
        ("--depth 3 --out /dev/null/x", "cannot make the folder /dev/null/x: Not a directory"),
        ("--depth 3 --out .", "is not empty"),
    ],
)
def test_mistakes_are_one_line(
    arguments: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "something").touch()
    monkeypatch.chdir(tmp_path)
    assert synth(*arguments.split()) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert [p.name for p in tmp_path.iterdir()] == ["something"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert synth("--depth", "3", "--out", str(tmp_path / "out")) == 2
    assert synth("--depth", "3", "--out", str(tmp_path)) == 2
    assert capsys.readouterr().err.count("Permission denied\n") == 2


def test_values_between_commas_have_one_order() -> None:
    assert parsed_targets("cuda, cpp") == (Target.CPP, Target.CUDA)
    assert parsed_family("math,loop,math") == ("loop", "math")
    assert parsed_family(None) is None


def test_the_default_folder_tells_runs_apart(tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path)
    assert default_out(settings) == Path("datasets/depth3-natural-seed0-n300")
    some = fakes.settings(tmp_path, family=("loop", "math"))
    assert default_out(some) == Path("datasets/depth3-natural-loop+math-seed0-n300")


def test_the_identity_leaves_out_what_does_not_change_bytes(tmp_path: Path) -> None:
    one, other = fakes.settings(tmp_path), fakes.settings(tmp_path / "x", jobs=7, time_limit=1.0)
    assert one.identity() == other.identity()
    assert one.identity() != fakes.settings(tmp_path, block=17).identity()


def test_blocks_share_out_the_candidates(tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path, block=10)
    assert settings.indices(0) + settings.indices(1) == tuple(range(20))


def test_settings_that_make_sense_pass(tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path, family=("math",), jobs=default_jobs())
    assert checked(settings, ("math",), ("natural",)) is settings
    with pytest.raises(UserError):
        checked(settings, ("loop",), ("natural",))
