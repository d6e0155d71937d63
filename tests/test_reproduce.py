"""Rows made again: the same bytes where the versions are the same, and what differs said plainly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus import store
from corpus.cli import main
from corpus.minimize import minimized
from corpus.reproduce import compared, reproduced
from corpus.row import Row, array_of
from extract.build import Target
from extract.compile import start
from synth.block import facts, run_block
from synth.settings import Settings

pytestmark = pytest.mark.warp


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """A real block, in which one row has all texts that there are."""
    start()
    settings = Settings(4, 12, tmp_path_factory.mktemp("run"), seed=5, block=12)
    rows = [dict(row) for row in run_block(settings, 0, settings.indices(0)).rows]
    everything = dataclasses.replace(settings, targets=tuple(Target))
    rows[0] = dict(run_block(everything, 0, (rows[0]["index"],)).rows[0])
    return rows


def write(folder: Path, rows: list[Row]) -> Path:
    data = store.shard_bytes([store.table_of(rows)], dict(facts()))
    store.write_atomically(folder / store.shard_name(0), data, folder / "part")
    return folder


def again(row: Row) -> Row:
    found = reproduced(row)
    assert not isinstance(found, str), found
    return found


def test_each_row_of_a_block_is_made_again_from_itself_alone(made: list[Row]) -> None:
    assert len(made) > 8
    for row in made:
        assert [column.name for column in compared(row, again(row)) if not column.is_same] == []


def test_a_row_of_a_minimised_data_set_is_reproduced(
    made: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minimized([write(tmp_path / "all", made)], tmp_path / "few")
    assert main(["reproduce", str(tmp_path / "few"), made[0]["id"]]) == 0
    text = capsys.readouterr().out
    assert f"row {made[0]['id']} is the same, byte for byte" in text
    cells = [[cell.strip() for cell in line.split("│")[1:4]] for line in text.splitlines() if line.startswith("│")]
    told = {name: how for name, _, how in cells}
    assert set(told) == set(made[0])
    assert told["llvm"] == told["gradients"] == "the same"
    assert told["seed"] == "given"


def _longer(row: Row) -> dict[str, Any]:
    return {"cpp_forward": row["cpp_forward"].replace("wp::load", "wp::copy", 1)}


def _nudged(row: Row) -> dict[str, Any]:
    first, *rest = row["outputs"]
    lanes = np.nextafter(array_of(first), 9, dtype=array_of(first).dtype)
    return {"outputs": [{**first, "data": lanes.tobytes()}, *rest]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_longer, ("cpp_forward", "wp::copy(")),
        (_nudged, ("outputs", ": its data")),
        (lambda _: {"checked": 0.125}, ("checked", "0.125 there, ")),
        (lambda row: {"size": row["size"] + 1}, ("size", " here")),
    ],
)
def test_what_differs_is_named(
    change: Any, said: tuple[str, str], made: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = next(row for row in made if row["outputs"][0]["dtype"] == "float32" and "wp::load" in row["cpp_forward"])
    changed = {**row, **change(row)}
    assert [column.name for column in compared(changed, again(changed)) if not column.is_same] == [said[0]]
    assert main(["reproduce", str(write(tmp_path / "set", [changed])), "0"]) == 1
    text = capsys.readouterr().out
    assert f"row {row['id']} differs in {said[0]}\n" in text
    assert said[1] in "".join(line.strip("│").rpartition("│")[2].strip() for line in text.splitlines())


def test_nan_and_the_sign_of_zero_count(made: list[Row]) -> None:
    one = {**made[0], "residual": float("nan"), "checked": 0.0}
    assert all(column.is_same for column in compared(one, dict(one)))
    other = {**one, "checked": -0.0}
    assert [column.name for column in compared(one, other) if not column.is_same] == ["checked"]


VERSIONS = ["table_digest", *(f"{of}_version" for of in ("warp", "llvm", "nvrtc", "numpy", "ml_dtypes"))]


@pytest.mark.parametrize("column", VERSIONS)
def test_other_versions_are_one_line(
    column: str, made: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "set", [{**made[1], column: "0.0"}])
    assert main(["reproduce", str(folder), "0"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"corpus: row {made[1]['id']} was made by other versions and can't be made again: ")
    assert f"{column.replace('_', ' ')} 0.0 there, {made[1][column]} here" in captured.err
    assert captured.err.count("\n") == 1


def test_a_seed_that_grows_something_else_is_told(
    made: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = ({**made[1], "seed": row["seed"]} for row in made[2:])
    other = next(row for row in others if not isinstance(reproduced(row), str))
    folder = write(tmp_path / "set", [other])
    assert main(["reproduce", str(folder), made[1]["id"]]) == 1
    text = capsys.readouterr().out
    assert "is another kernel when it is grown here: differs in id, canonical_hash, shape_hash" in text


def test_a_kernel_that_does_not_pass_is_told(
    made: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from validate.verdict import Outcome, Verdict

    monkeypatch.setattr("corpus.candidate.check", lambda *_: Verdict(Outcome.VALUE, "y[3]: expected 1, got 2"))
    assert main(["reproduce", str(write(tmp_path / "set", made)), "1"]) == 1
    assert "can't be made again: it is not verified but value: y[3]: expected 1, got 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "nowhere", "0"], "nowhere is not a folder"),
        (["reproduce", "."], "Missing argument 'ID'"),
        (["reproduce", "set", "zz"], "no row whose id begins with 'zz'"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    made: list[Row],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set", made)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
