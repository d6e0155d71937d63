"""`python -m corpus show` and `stats`, on a small data set.

The key insight: commands return their exit code, so mistakes are tested without a process for each.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpus import store
from corpus.cli import main
from corpus.row import tensors
from corpus.show import elements, find
from corpus.stats import evenness, kernel_lines, stats_of
from tests import fakes

ROWS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards; row 7 appears twice."""
    path = tmp_path_factory.mktemp("data set")
    rows = [fakes.row(fakes.settings(path), index, index) for index in range(ROWS)]
    for number, part in enumerate((rows[:8], [*rows[8:], rows[7]])):
        data = store.shard_bytes([store.table_of(part)], fakes.FACTS)
        store.write_atomically(path / store.shard_name(number), data, path / "part")
    return path


@pytest.mark.parametrize("number", [0, 7, 8, ROWS - 1])
def test_a_row_is_found_by_number_and_by_id(folder: Path, number: int) -> None:
    row = find(folder, str(number))
    assert row["index"] == number
    if number != 7:  # which is there twice
        assert find(folder, row["id"][:12]) == row


def test_show_prints_all_there_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder), "1"]) == 0
    text = capsys.readouterr().out
    row = find(folder, "1")
    assert row["python"] in text
    for piece in ("cpp_args", "cpp_forward", "cpp_adjoint", "cpp_entry"):
        assert row[piece] in text
    assert "cuda_forward" not in text
    assert "float32[64]  0.345584 0.821618 " in text
    assert "gradient verified: 50.0% of elements checked" in text


def test_elements_of_composites_are_shown_together() -> None:
    (vectors,) = tensors({"v": np.arange(12, dtype=np.float32).reshape(4, 3) / 2})
    assert elements(vectors, "array(vec3f)") == "vec3f[4]  (0 0.5 1) (1.5 2 2.5) …"
    (matrix,) = tensors({"m": np.arange(4, dtype=np.float64)})
    assert elements(matrix, "mat22d") == "mat22d  (0 1 2 3)"
    (numbers,) = tensors({"n": np.arange(8, dtype=np.int32)})
    assert elements(numbers, "array(int32)") == "int32[8]  0 1 2 3 4 5 …"
    (number,) = tensors({"s": np.asarray(np.float32(0.1))})
    assert elements(number, "float32") == "float32  0.1"


def test_the_first_row_is_shown_by_default(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder)]) == 0
    assert "seed 0, index 0," in capsys.readouterr().out


def test_figures_are_those_of_the_rows(folder: Path) -> None:
    stats = stats_of(folder)
    assert (stats.rows, stats.distinct, stats.shapes) == (ROWS + 1, ROWS, ROWS)
    assert stats.families == {"loop": 4, "math": 9}
    assert (stats.float_inputs, stats.float_inputs_verified) == (13, 10)  # 0, 5 and 10 have no gradient
    assert stats.checked / stats.rows == 1.0
    assert stats.gradient_checked / stats.gradients["verified"] == 0.5
    assert stats.statements == {"thread": 13, "store": 13}
    assert stats.bytes == sum(file.stat().st_size for file in store.shards(folder))


def test_stats_prints_what_is_not_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "sin(float32)" in text.split("operations not used")[1]
    assert "duplicates                       │ 1 " in text


def test_how_even_families_are_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bounds are those of published tables: 41.3 for 28 degrees of freedom, 9.49 for 4."""
    assert main(["stats", str(folder)]) == 0
    assert "equal shares: chi-square 1.9 with 1 degrees" in capsys.readouterr().out
    assert "chi-square 0.0 with 28 degrees of freedom, below 41.3 in" in evenness([690] * 29)
    uneven = evenness([150, 100, 100, 100, 50])
    assert "chi-square 50.0 with 4 degrees of freedom, below 9.5 in" in uneven
    assert "at most 10.00% of the rows off" in uneven


def test_lines_are_counted_from_the_decorator() -> None:
    assert kernel_lines("import warp as wp\n\n\n@wp.kernel\ndef k():\n\n    i = wp.tid()\n") == 3
    assert kernel_lines("a = 1\n\nb = 2\n") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "Missing argument 'DIR'"),
        (["show", "nowhere"], "nowhere is not a folder"),
        (["stats", "."], "holds no data set"),
        (["show", "{folder}", "zz"], "no row whose id begins with 'zz'"),
        (["show", "{folder}", ""], "give more digits"),
        (["stats", "{damaged}"], "is damaged"),
        (["stats", "{foreign}"], "is not a shard of this project"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in ("damaged", "foreign"):
        (tmp_path / name / store.DATA).mkdir(parents=True)
    (tmp_path / "damaged" / store.shard_name(0)).write_bytes(b"PAR1 and nothing more")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign" / store.shard_name(0))
    monkeypatch.chdir(tmp_path)
    names = {"folder": folder, "damaged": "damaged", "foreign": "foreign"}
    assert main([argument.format(**names) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
