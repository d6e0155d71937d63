"""How like real code a data set reads: counts and divergences by hand, and the command on a small data set.

The key insight: code compared with itself has a divergence of nothing, and with what shares nothing, of one bit.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from corpus import store
from corpus.cli import main
from corpus.realism import KINDS, divergence, halves, realism, syntax_of
from grammar.fit import installed_warp
from tests import fakes

KERNEL = '''
import warp as wp

@wp.kernel(enable_backward=False)
def scale(x: wp.array(dtype=float), n: int):
    """Says what it does."""
    i = wp.tid()
    for j in range(n):
        x[i] = helper(-x[j])

@wp.func
def one() -> float:
    return 1.0

def plain(x):
    return [y for y in x]
'''


def test_nodes_pairs_and_calls_are_counted() -> None:
    found = syntax_of(KERNEL)
    assert found.functions == 2
    statements = {"Assign": 2, "For": 1, "Return": 1}
    terms = {"Name": 10, "Call": 3, "Subscript": 2, "UnaryOp": 1, "USub": 1, "Constant": 1, "Attribute": 1}
    assert found.nodes == statements | terms
    assert found.bigrams["FunctionDef > Assign"] == found.bigrams["For > Assign"] == 1
    assert found.bigrams["Subscript > Name"] == 4
    assert found.bigrams.total() == found.nodes.total()
    assert found.calls == {"wp.tid": 1, "range": 1, "another function": 1}


def test_warp_has_one_name() -> None:
    source = "@warp.kernel\ndef k():\n    x = warp.sin(1.0)\n"
    assert syntax_of(source).calls == {"wp.sin": 1}


@pytest.mark.parametrize(
    ("ours", "theirs", "bits"),
    [
        ({"a": 3, "b": 1}, {"a": 30, "b": 10}, 0.0),
        ({"a": 5}, {"b": 7}, 1.0),
        # m is (3/4, 1/4): half of log2(4/3), and half of 1/2 log2(2/3) + 1/2 log2(2)
        ({"a": 2}, {"a": 1, "b": 1}, 0.5 * math.log2(4 / 3) + 0.25 * math.log2(2 / 3) + 0.25),
    ],
)
def test_divergence_is_that_of_jensen_and_shannon(ours: dict[str, int], theirs: dict[str, int], bits: float) -> None:
    assert divergence(ours, theirs) == pytest.approx(bits, abs=1e-12)
    assert divergence(theirs, ours) == pytest.approx(bits, abs=1e-12)


def real_code(folder: Path, count: int = 8) -> Path:
    """Files with kernels that differ, among others that are passed over."""
    folder.mkdir()
    for number in range(count):
        name = ("sin", "cos", "exp")[number % 3]
        text = f"\n@wp.kernel\ndef k{number}(x: wp.array(dtype=float)):\n    i = wp.tid()\n    x[i] = wp.{name}(x[i])\n"
        (folder / f"{number}.py").write_text(text)
    (folder / "broken.py").write_text("@wp.kernel\ndef (:")
    (folder / "empty.py").write_text("x = 1\n")
    return folder


def test_halves_follow_from_what_files_hold(tmp_path: Path) -> None:
    first, second = halves(real_code(tmp_path / "a"))
    assert first.functions + second.functions == 8
    assert first.functions
    assert second.functions
    for file in sorted((tmp_path / "a").glob("?.py"), reverse=True):
        (tmp_path / f"elsewhere{file.name}").write_bytes(file.read_bytes())
    assert halves(tmp_path / "a") == (first, second)
    (tmp_path / "a").rename(tmp_path / "b")
    assert [half.calls for half in halves(tmp_path / "b")] == [first.calls, second.calls]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data set")
    rows = [fakes.row(fakes.settings(path), index, index) | {"python": KERNEL} for index in range(6)]
    data = store.shard_bytes([store.table_of(rows)], fakes.FACTS)
    store.write_atomically(path / store.shard_name(0), data, path / "part")
    return path


def test_the_data_set_is_compared_with_all_of_the_real_code(folder: Path, tmp_path: Path) -> None:
    found = realism(folder, real_code(tmp_path / "a"))
    assert tuple(found) == KINDS
    for one in found.values():
        assert [part.bits for part in one.parts] == sorted((part.bits for part in one.parts), reverse=True)
        assert 0.0 <= one.floor < one.divergence <= 1.0
        assert all(part.here != part.there and part.bits > 0 for part in one.parts)
    shares = {part.name: (part.here, part.there) for part in found["calls"].parts}
    assert shares["wp.tid"] == (1 / 3, 1 / 2)
    assert shares["range"] == (1 / 3, 0.0)


def test_the_command_prints_tables_or_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = real_code(tmp_path / "a")
    assert main(["realism", str(folder), "--against", str(code)]) == 0
    text = capsys.readouterr().out
    assert all(kind in text for kind in KINDS)
    assert "floor" in text
    assert main(["realism", str(folder), "--against", str(code), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert main(["realism", str(folder), "--against", str(code), "--json", "--most", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"]["parts"] == data["nodes"]["parts"][:1]
    assert data["calls"]["divergence"] == realism(folder, code)["calls"].divergence


@pytest.mark.parametrize(
    ("data", "real", "message"),
    [
        ("{data}", "nowhere", "no such file or folder"),
        ("nowhere", "{code}", "is not a folder"),
        ("{data}", "{code}/0.py", "too little real code"),
        ("{data}", "{code}/empty.py", "too little real code"),
    ],
)
def test_mistakes_are_one_line(
    data: str, real: str, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"data": str(folder), "code": str(real_code(tmp_path / "a"))}
    assert main(["realism", data.format(**names), "--against", real.format(**names)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_the_halves_of_warps_examples_are_near_each_other() -> None:
    first, second = halves(installed_warp() / "examples" / "core")
    assert 0.001 < divergence(first.nodes, second.nodes) < 0.05
    assert divergence(first.bigrams, second.bigrams) < 0.15
    assert first.functions + second.functions > 50
