"""Small data sets that cover what large ones do: features, choice, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import store
from corpus.card import card
from corpus.cli import main
from corpus.cover import cover
from corpus.features import features_of, llvm_opcodes, ptx_opcodes
from corpus.minimize import minimized, survey
from corpus.schema import FORMAT, schema_of
from corpus.stats import stats_of
from grammar.emit import emit
from grammar.heights import size
from tests import fakes
from tests.builders import samples
from validate.features import bigrams, native_functions, nestings

# -- features ---------------------------------------------------------------------------------------------------------

SOURCE = """
import warp as wp

@wp.kernel
def k(x: wp.array[float], out: wp.array[float], n: int):
    i = wp.tid()
    total = 0.5
    for j in range(n):
        if x[i + j] < -1.0 and not False:
            total += wp.sin(x[i]) * float(j)
        elif i >= x.shape[0]:
            continue
    out[i] = total if i == 0 else wp.float64(2.0)
    wp.atomic_add(out, i - 1, total)
"""


def test_bigrams_are_what_is_applied_to_what() -> None:
    assert sorted(set(bigrams(SOURCE))) == sorted(
        {
            "assign > tid",
            "assign > constant",
            "for > range",
            "range > name",
            *("if > and", "and > lt", "and > not", "not > constant", "lt > read", "read > add", "add > name"),
            *("lt > usub", "usub > constant"),
            *("add= > mult", "mult > sin", "mult > float", "float > name", "sin > read", "read > name"),
            *("if > gte", "gte > name", "gte > shape"),
            *("store > name", "store > ternary", "ternary > name", "ternary > eq", "eq > name", "eq > constant"),
            *("ternary > float64", "float64 > constant"),
            *("atomic_add > name", "atomic_add > sub", "sub > name", "sub > constant"),
        }
    )


def test_nestings_are_what_stands_in_what() -> None:
    assert set(nestings(SOURCE)) == {
        *("assign", "for", "store", "atomic_add"),
        *("for > if", "for > if > add=", "if > else > if", "else > if > continue"),
    }


def test_native_functions_are_told_apart_by_types() -> None:
    forward = """
    wp::float32 var_x = _wp_args->x;
    const wp::int32 var_2 = 5;
    wp::float32* var_1;
    bool var_3;
    // var_9 = wp::cos(var_x);
    var_0 = builtin_tid1d();
    var_1 = wp::load(var_1);
    var_3 = (var_x < var_2);
    if (var_3) {
        wp::array_store(var_x, var_2, var_3);
    }
    var_3 = var_3 && var_3;
    var_4 = var_3;
    var_5 = &(wp::index(var_1, var_2));
    wp::store(&(wp::index(var_1, var_2).x), var_x);
    if (iter_cmp(var_3) == 0) goto end_for_0;
    return;
"""
    assert set(native_functions(forward, None, "unread", None)) == {
        "builtin_tid1d()",
        "wp::load(wp::float32*)",
        "wp::float32 < wp::int32",
        "bool && bool",
        "wp::array_store(wp::float32, wp::int32, bool)",
        "wp::index(wp::float32*, wp::int32)",
        "wp::store(, , wp::float32)",
    }
    cuda = "    wp::array_t<wp::float32> var_x,\n    wp::int32 adj_2)\n{\n    wp::adj_sin(var_x, adj_2);\n"
    assert list(native_functions(None, None, None, cuda)) == ["wp::adj_sin(wp::array_t<wp::float32>, wp::int32)"]


def test_no_native_function_is_missed() -> None:
    """On what Warp really prints: each word before a parenthesis in `wp::`, found by cutting the text at those."""
    regressions = rows(Path(__file__).parent.parent / "corpus" / "regressions" / "kernels")
    assert len(regressions) > 12
    for row in regressions:
        forward, adjoint = row["cpp_forward"], row["cpp_adjoint"]
        lines = [line for line in (forward + adjoint).splitlines() if not line.strip().startswith("//")]
        words = {part.partition("(")[0] for line in lines for part in line.split("wp::")[1:] if "(" in part}
        found = native_functions(forward, adjoint, None, None)
        names = {text[4:].partition("(")[0] for text in found if text.startswith("wp::") and "(" in text}
        assert set(filter(str.isidentifier, names)) == set(filter(str.isidentifier, words))


def test_opcodes_are_read_from_lines() -> None:
    llvm = """define void @k() {
entry:
  %0 = fmul fast float %x, 2.0
  store i32 0, ptr @base
  switch i32 %n, label %a [
    i32 3, label %b
  ]
  %1 = tail call float @llvm.sin.f32(float %0), !dbg !3
  call void @_ZL5inneriP9wp_args_k(ptr %0)
  br label %a
}
"""
    assert list(llvm_opcodes(llvm)) == ["fmul", "store", "switch", "call llvm.sin.f32", "call", "br"]
    ptx = """
.entry k(
{
\t// .globl k
\t.reg .f32 %f<2>;
\t@%p1 bra $L1;
\tcall.uni (r),
\tparam0
\tret;
$L1:
}
"""
    assert list(ptx_opcodes(ptx)) == ["bra", "call.uni", "ret"]
    assert list(llvm_opcodes(None)) == list(ptx_opcodes(None)) == []


# -- the choice -------------------------------------------------------------------------------------------------------

ITEMS = st.lists(st.tuples(st.sets(st.integers(0, 12), max_size=6), st.integers(1, 9)), max_size=14)


@given(ITEMS, st.frozensets(st.integers(0, 12), max_size=4))
def test_every_feature_is_kept_and_nothing_is_kept_in_vain(
    items: list[tuple[set[int], int]], known: frozenset[int]
) -> None:
    features, costs = [sorted(item) for item, _ in items], [cost for _, cost in items]
    chosen = cover(features, costs, known)
    assert _union(features, range(len(items))) | known == _union(features, chosen) | known
    for number in chosen:
        others = [other for other in chosen if other != number]
        assert _union(features, others) | known != _union(features, chosen) | known
    assert chosen == sorted(set(chosen)) == cover(features, costs, known)
    assert cover(features, costs, known, 2) == sorted(set(cover(features, costs, known, 2)))
    assert len(cover(features, costs, known, 2)) <= 2


def _union(features: Sequence[Sequence[int]], numbers: Sequence[int]) -> set[int]:
    return {feature for number in numbers for feature in features[number]}


def test_few_items_come_before_cheap_ones_and_cheap_before_early() -> None:
    assert cover([[1], [2], [1, 2]], [1, 1, 9]) == [2]
    assert cover([[1], [1], [1]], [7, 3, 3]) == [1]
    assert cover([[1, 2], [3], [2, 3]], [1, 1, 1], most=1) == [0]


# -- files ------------------------------------------------------------------------------------------------------------


def write(folder: Path, start: int, stop: int, shard: int = 20) -> Path:
    """A data set of some sampled kernels, with the source and size of each."""
    kernels = [sample.kernel for sample in samples(per_family=2, depths=(3, 4))][start:stop]
    settings = fakes.settings(folder)
    rows = [
        {**fakes.row(settings, number, number), "python": emit(kernel), "size": size(kernel)}
        for number, kernel in enumerate(kernels, start)
    ]
    for first in range(0, len(rows), shard):
        data = store.shard_bytes([store.table_of(rows[first : first + shard])], fakes.FACTS)
        store.write_atomically(folder / store.shard_name(first // shard), data, folder / "part")
    manifest = {"settings": settings.identity(), "facts": fakes.FACTS, "ended": "complete", "shards": []}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "README.md").write_text(card(settings.identity(), fakes.FACTS))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sets") / "all", 0, 36)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in store.shards(folder) for row in store.read(path).to_pylist()]


def features(folder: Path) -> set[tuple[str, str]]:
    return {feature for row in rows(folder) for feature in features_of(row)}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_minimising_keeps_every_feature_of_fewer_rows(folder: Path, tmp_path: Path) -> None:
    before, after = minimized([folder], tmp_path / "few")
    assert features(tmp_path / "few") == features(folder)
    assert len(after.sizes) == len(rows(tmp_path / "few")) < len(rows(folder)) == len(before.sizes)
    whole = {row["id"]: row for row in rows(folder)}
    assert all(repr(row) == repr(whole[row["id"]]) for row in rows(tmp_path / "few"))
    assert sorted(os.listdir(tmp_path)) == ["few"], "nothing else is left"


def test_the_same_bytes_each_time(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        minimized([folder], tmp_path / name)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_what_is_minimal_stays(folder: Path, tmp_path: Path) -> None:
    minimized([folder], tmp_path / "few")
    minimized([tmp_path / "few"], tmp_path / "same")
    assert [row["id"] for row in rows(tmp_path / "few")] == [row["id"] for row in rows(tmp_path / "same")]


def test_merging_adds_what_is_new(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", 0, 24), write(tmp_path / "two", 12, 36)
    minimized([one], tmp_path / "few")
    minimized([one, two], tmp_path / "both")
    assert features(tmp_path / "both") == features(one) | features(two)
    ids = [row["id"] for row in rows(tmp_path / "both")]
    assert ids[: len(rows(tmp_path / "few"))] == [row["id"] for row in rows(tmp_path / "few")]
    assert len(set(ids)) == len(ids), "rows that both hold come once"
    assert set(ids) - {row["id"] for row in rows(one)}, "the second adds some"
    minimized([one, one], tmp_path / "itself")
    assert [row["id"] for row in rows(tmp_path / "itself")] == [row["id"] for row in rows(tmp_path / "few")]


def test_a_number_of_rows_can_be_set(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["minimize", str(folder), "--out", str(tmp_path / "few"), "--rows", "5"]) == 0
    assert len(rows(tmp_path / "few")) == 5
    kept, all_ = len(survey([tmp_path / "few"]).known), len(survey([folder]).known)
    assert f"5 of 36 rows of {folder}, {kept} of {all_} features ({kept / all_:.0%})" in capsys.readouterr().out


def test_it_tells_what_was_there_before_and_after(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(folder), str(folder), "--out", str(tmp_path / "few")]) == 0
    lines = [line.split("│")[1:5] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    told = {name.strip(): (before.strip(), after.strip(), kept.strip()) for name, before, after, kept in lines}
    assert told["rows"][:2] == ("72", str(len(rows(tmp_path / "few"))))
    assert told["files"] == ("4", "1", "25.0%")
    assert told["features"][2] == "100.0%"
    assert int(told["operation bigrams"][0]) == len(set().union(*(bigrams(row["python"]) for row in rows(folder))))


LOAD = """
import json, sys
from datasets import load_dataset
rows = load_dataset(sys.argv[1], split="train")
print(json.dumps(rows["id"][:]))
"""


def test_the_result_is_a_data_set_like_any_other(folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    minimized([folder], few)
    assert stats_of(few).rows == len(rows(few))
    assert main(["show", str(few), "0", "--no-ir"]) == 0
    manifest = json.loads((few / "manifest.json").read_text())
    assert manifest["settings"]["minimized"] == [f"{len(rows(few))} of 36 rows of all"]
    assert manifest["settings"]["depth"] == 3
    assert manifest["files"][0]["digest"] == store.digest((few / store.shard_name(0)).read_bytes())
    assert store.opened(few / store.shard_name(0)).schema_arrow.metadata[b"warp"] == b"1"
    assert f"| minimized | {len(rows(few))} of 36 rows of all |" in (few / "README.md").read_text()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    command = [sys.executable, "-c", LOAD, str(few)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [row["id"] for row in rows(few)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["minimize", "{all}"], "Missing option '--out'"),
        (["minimize", "nowhere", "--out", "new"], "nowhere is not a folder"),
        (["minimize", "{all}", "--out", "{all}"], "is not empty; --out must name a new or empty folder"),
        (["minimize", "{all}", "--out", "{all}/few"], "lies in a data set that is read"),
        (["minimize", "{all}", "--out", "file"], "cannot write file: Not a directory"),
        (["minimize", "{all}", "--out", "file/few"], "cannot write"),
        (["minimize", "{all}", "--out", "new", "--rows", "0"], "Invalid value for '--rows'"),
        (["merge", "{all}", "--out", "new"], "Missing argument 'B'"),
        (["merge", "{all}", "damaged", "--out", "new"], "is damaged"),
        (["merge", "{all}", "foreign", "--out", "new"], "is not a shard of this project"),
        (["merge", "{all}", "old", "--out", "new"], f"is of another version (format 0, here {FORMAT})"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for name in ("damaged", "foreign", "old"):
        Path(name, store.DATA).mkdir(parents=True)
    Path("damaged", store.shard_name(0)).write_bytes(b"PAR1 and nothing more")
    pq.write_table(pa.table({"a": [1]}), Path("foreign", store.shard_name(0)))
    table = store.read(store.shards(folder)[0]).replace_schema_metadata({**schema_of().metadata, b"format": b"0"})
    pq.write_table(table, Path("old", store.shard_name(0)))
    was = {*os.listdir(tmp_path), *os.listdir(folder)}
    assert main([argument.format(all=folder) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert {*os.listdir(tmp_path), *os.listdir(folder)} == was
