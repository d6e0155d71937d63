"""The whole line on real kernels: what is stored is right, is each kernel's own, and no fault ends a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpus import store
from extract.build import Target
from extract.compile import Compiled, compile_block, release, start
from synth.block import PIPELINE, candidate, run_block
from synth.run import Summary, run
from synth.settings import Settings
from tests.planted import ENDLESS, PLANTED, REFUSED, SEGFAULT

pytestmark = pytest.mark.warp

ROWS = 48


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """A real run over all families, with two workers."""
    folder = tmp_path_factory.mktemp("run") / "data"
    return folder, run(Settings(4, ROWS, folder, block=24, jobs=2), PIPELINE)


def rows(folder: Path) -> list[dict[str, object]]:
    return [row for path in store.shards(folder) for row in pq.read_table(path).to_pylist()]


def test_a_run_ends_complete_and_without_findings(made: tuple[Path, Summary]) -> None:
    folder, summary = made
    assert summary.totals.rows == ROWS == len(rows(folder))
    assert summary.totals.findings == 0
    assert summary.ended == "complete"
    assert len({row["canonical_hash"] for row in rows(folder)}) == ROWS


def test_the_ir_of_each_row_is_that_kernel_s_own(made: tuple[Path, Summary]) -> None:
    """Each row's Python, compiled alone in another process than the one that made it, gives the row's texts."""
    start()
    for row in rows(made[0]):
        name, source = str(row["name"]), str(row["python"])
        block = compile_block([(name, source)], frozenset({Target.CPP, Target.CUDA}))
        (alone,) = block.kernels
        release(block)
        assert isinstance(alone, Compiled)
        assert {piece: row[piece] for piece in alone.build.ir} == dict(alone.build.ir)
        assert name in str(row["cpp_forward"])
        assert name in str(row["cuda_adjoint"])


def test_rows_hold_what_a_launch_gives(made: tuple[Path, Summary]) -> None:
    """The stored Python, run as a module on the stored inputs by Warp's public interface, gives the stored outputs."""
    import warp as wp

    start()
    plain = [row for row in rows(made[0]) if "@wp.struct" not in str(row["python"])]  # see tests/test_structs.py
    for number, row in enumerate(plain[:12]):
        launched = _launched(wp, row, number)
        for tensor in row["outputs"]:  # type: ignore[attr-defined] # rows are plain JSON
            stored = np.frombuffer(tensor["data"], tensor["dtype"]).reshape(tensor["shape"])
            np.testing.assert_allclose(launched[tensor["name"]].reshape(stored.shape), stored, rtol=1e-4, atol=1e-5)


def _launched(wp: object, row: dict[str, object], number: int) -> dict[str, np.ndarray]:
    import linecache

    filename = f"<row {number}>"
    text = str(row["python"])
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    scope: dict[str, object] = {"__name__": f"row_{number}"}
    exec(compile(text, filename, "exec"), scope)
    arguments = []
    arrays = {}
    types = {param["name"]: param["type"] for param in row["parameters"]}  # type: ignore[attr-defined] # likewise
    for tensor in row["inputs"]:  # type: ignore[attr-defined] # rows are plain JSON
        named = types[tensor["name"]].partition("(")[2].rstrip(")") or types[tensor["name"]]
        element: Any = getattr(wp, named, None) or scope[named.removesuffix("f")]  # else the module defines it
        value = np.frombuffer(tensor["data"], tensor["dtype"]).reshape(tensor["shape"])
        if types[tensor["name"]].startswith("array"):
            arrays[tensor["name"]] = wp.array(value.copy(), dtype=element, device="cpu")  # type: ignore[attr-defined] # untyped module
            arguments.append(arrays[tensor["name"]])
        else:
            arguments.append(element(*value.reshape(-1).tolist()))
    wp.launch(scope[str(row["name"])], dim=row["dim"], inputs=arguments, device="cpu")  # type: ignore[attr-defined] # untyped module
    return {name: array.numpy() for name, array in arrays.items()}


def test_rows_do_not_depend_on_their_neighbours(tmp_path: Path) -> None:
    """A block done in parts gives the rows that it gives as a whole."""
    start()
    settings = Settings(3, 16, tmp_path, block=16)
    whole = run_block(settings, 0, settings.indices(0)).rows
    parts = [row for k in range(4) for row in run_block(settings, 0, settings.indices(0)[4 * k : 4 * k + 4]).rows]
    assert [_plain(row) for row in whole] == [_plain(row) for row in parts]


def _plain(row: object) -> str:
    return json.dumps(row, default=repr, sort_keys=True)


def test_the_same_bytes_for_one_worker_and_for_two(made: tuple[Path, Summary], tmp_path: Path) -> None:
    run(Settings(4, ROWS, tmp_path / "data", block=24, jobs=1), PIPELINE)
    for path in store.shards(made[0]):
        assert path.read_bytes() == (tmp_path / "data" / "data" / path.name).read_bytes()


def test_planted_faults_become_findings_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    summary = run(Settings(3, 20, folder, block=16, jobs=2, family=("arithmetic", "math")), PLANTED)
    assert summary.totals.rows == 20
    found = {
        json.loads(path.read_text())["index"]: path.name.split("-")[0] for path in (folder / "findings").glob("*.json")
    }
    assert found == {SEGFAULT: "crash", ENDLESS: "timeout", REFUSED: "compile"}


def test_a_candidate_depends_on_its_index_and_the_settings_that_matter(tmp_path: Path) -> None:
    one = Settings(4, 10, tmp_path)
    same = Settings(4, 99, tmp_path / "elsewhere", jobs=2, block=8, targets=(Target.CPP,))
    assert [candidate(one, k) for k in range(12)] == [candidate(same, k) for k in range(12)]
    assert [candidate(Settings(4, 10, tmp_path, seed=1), k) for k in range(12)] != [
        candidate(one, k) for k in range(12)
    ]
