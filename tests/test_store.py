"""The store: Parquet files as readers see them, and files that are whole or absent.

The key insight: what counts is what other programs read, so `datasets`, DuckDB and pyarrow's own data sets read here.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from corpus import store
from corpus.card import card
from corpus.schema import COLUMNS
from grammar.errors import UserError
from tests import fakes

LOAD = """
import json, sys
from datasets import load_dataset
rows = load_dataset(sys.argv[1], split="train")
print(json.dumps([rows.num_rows, rows.column_names, rows[3]["id"], rows[3]["inputs"][0]["shape"]]))
"""


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    return [fakes.row(fakes.settings(tmp_path), index, index) for index in range(30)]


@pytest.fixture
def folder(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    """A data set of two shards."""
    for number, part in enumerate((rows[:20], rows[20:])):
        data = store.shard_bytes([store.table_of(part)], fakes.FACTS)
        store.write_atomically(tmp_path / store.shard_name(number), data, tmp_path / "part")
    (tmp_path / "README.md").write_text(card({"depth": 3, "family": None}, fakes.FACTS))
    return tmp_path


def test_rows_come_back_as_they_were(folder: Path, rows: list[dict[str, Any]]) -> None:
    back = [row for file in store.shards(folder) for row in store.read(file).to_pylist()]
    assert back == rows


def test_bytes_do_not_depend_on_how_rows_were_batched(rows: list[dict[str, Any]]) -> None:
    whole = store.shard_bytes([store.table_of(rows)], fakes.FACTS)
    parts = [store.table_of(rows[start : start + 7]) for start in range(0, len(rows), 7)]
    assert store.shard_bytes(parts, fakes.FACTS) == whole
    sent = [store.unpack(store.pack_table(part, {}))[0] for part in parts]
    assert store.shard_bytes(sent, fakes.FACTS) == whole


def test_packing_keeps_rows_and_note(rows: list[dict[str, Any]]) -> None:
    note = {"block": 3, "outcomes": {"verified": 30}}
    table, back = store.unpack(store.pack(rows, note))
    assert (table.to_pylist(), back) == (rows, note)


def test_files_are_laid_out_for_viewers(folder: Path) -> None:
    file = pq.ParquetFile(store.shards(folder)[0])
    chunk = file.metadata.row_group(0).column(0)
    assert chunk.compression == "ZSTD"
    assert chunk.has_offset_index
    assert chunk.has_column_index
    assert json.loads(file.metadata.metadata[b"content_defined_chunking"]) == store.CHUNKING
    assert file.schema_arrow.metadata[b"table_digest"] == b"00"
    assert all(field.metadata[b"description"] for field in file.schema_arrow)


def test_groups_hold_a_thousand_rows(rows: list[dict[str, Any]]) -> None:
    table = pa.concat_tables([store.table_of(rows)] * 50)
    metadata = pq.ParquetFile(pa.BufferReader(store.shard_bytes([table], {}))).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [1000, 500]


def test_datasets_loads_it_offline(folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    count, names, id_, shape = json.loads(done.stdout.splitlines()[-1])
    assert (count, names, shape) == (30, [column.name for column in COLUMNS], [64])
    assert id_ == store.column(store.shards(folder)[0], "id")[3]


def test_duckdb_and_pyarrow_read_it(folder: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    figures = "count(*), count(distinct canonical_hash), sum(octet_length(inputs[1].data))"
    found = duckdb.sql(f"select {figures} from '{folder}/{store.DATA}/*.parquet'").fetchall()
    assert found == [(30, 30, 30 * 64 * 4)]
    assert pyarrow.dataset.dataset(folder / store.DATA).count_rows() == 30


def test_a_truncated_shard_is_named(folder: Path) -> None:
    file = store.shards(folder)[1]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"{file} is damaged"):
        store.read(file)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        store.write_atomically(path, b"after", tmp_path / "part")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "before"


def test_the_card_names_each_column() -> None:
    text = card({"depth": 3}, fakes.FACTS)
    assert all(f"| `{column.name}` |" in text for column in COLUMNS)
