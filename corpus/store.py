"""Rows as files: batches on their way, shards of Parquet, and reading them back.

The key insight: a file appears whole or not at all. Everything is first serialised in memory (a shard is some 8 MB),
written to a temporary name, and renamed; so whoever reads a folder, at whatever moment a run was killed, finds only
complete files. What is written is a pure function of the rows: one chunk per column, fixed page and group sizes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.schema import COLUMNS, schema_of
from grammar.errors import UserError, refused

DATA = "data"
SHARD_ROWS = 2000
GROUP_ROWS = 1000
"""Viewers of data sets load a group at a time, so pyarrow's default of a million rows would be too many."""

LEVEL = 7
"""Of zstd: 9 takes as long again to save two percent."""

CHUNKING = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}
"""Pages are cut where the content says so, hence equal rows give equal pages wherever they stand: stores that know
deduplicate them. The figures are those of the Hugging Face Hub."""

# -- writing ----------------------------------------------------------------------------------------------------------


def write_atomically(path: Path, data: bytes | memoryview, temporary: Path) -> None:
    """Makes `path` hold `data`, by way of the file `temporary` on the same file system. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise refused(path, "write", error) from error


def pack(rows: Sequence[Mapping[str, Any]], note: Mapping[str, Any]) -> bytes:
    """Rows and a note (plain JSON) in one Arrow file: what workers send, and what a run keeps to resume from."""
    return pack_table(table_of(rows), note)


def pack_table(table: Any, note: Mapping[str, Any]) -> bytes:
    """`pack` for rows that are a table already."""
    table = table.replace_schema_metadata({"note": json.dumps(note)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpack(data: bytes) -> tuple[Any, dict[str, Any]]:
    """The table and the note that `pack` was given. Raises `pyarrow.ArrowInvalid` for anything else."""
    table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    note: dict[str, Any] = json.loads(table.schema.metadata[b"note"])
    return table.replace_schema_metadata(None), note


def table_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as an Arrow table with the columns of the corpus."""
    schema = schema_of()
    return pa.table([pa.array([row[field.name] for row in rows], field.type) for field in schema], schema=schema)


def shard_bytes(pieces: Sequence[Any], metadata: Mapping[str, str]) -> bytes:
    """A Parquet file of the rows of some tables, in order; `metadata` goes into its schema."""
    schema = schema_of(metadata)
    table = pa.concat_tables(pieces).combine_chunks().cast(schema_of())
    leaves = _leaves(schema)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=[leaf for leaf in leaves if _repeats(leaf)],
        write_statistics=[leaf for leaf in leaves if _is_small(leaf)],
        write_page_index=True,
        use_content_defined_chunking=CHUNKING,
    ) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKING)})
    return bytes(sink.getvalue())


def _leaves(schema: Any) -> list[str]:
    sink = pa.BufferOutputStream()
    pq.write_metadata(schema, sink)
    parquet = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    return [parquet.column(i).path for i in range(len(parquet))]


def _repeats(leaf: str) -> bool:
    root, *inner = leaf.split(".")
    return next(c.repeats for c in COLUMNS if c.name == root) or (bool(inner) and inner[-1] != "data")


def _is_small(leaf: str) -> bool:
    """Whether the least and greatest value of a page are worth storing: not for texts of kilobytes."""
    texts = ("python", "cpp_", "cuda_", "llvm", "ptx")
    return "." not in leaf and (leaf.endswith("_version") or not leaf.startswith(texts))


# -- reading ----------------------------------------------------------------------------------------------------------


def shard_name(number: int) -> str:
    """Path of a shard inside its data set."""
    return f"{DATA}/train-{number:05d}.parquet"


def shards(folder: Path) -> list[Path]:
    """The shards of a data set, in order. Raises UserError where there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    found = sorted((folder / DATA).glob("*.parquet"))
    if not found:
        raise UserError(f"{folder} holds no data set (no {DATA}/*.parquet)")
    return found


def opened(path: Path) -> Any:
    """A shard as a `pyarrow.parquet.ParquetFile`. Raises UserError if it is truncated or none of ours."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged: {reason}; delete it and run the command that made it again") from error
    if "canonical_hash" not in file.schema_arrow.names:
        raise UserError(f"{path} is not a shard of this project")
    return file


def column(path: Path, name: str) -> list[Any]:
    """The values of one column of a shard."""
    values: list[Any] = read(path, [name]).column(name).to_pylist()
    return values


def read(path: Path, names: Sequence[str] | None = None) -> Any:
    """Some columns of a shard (by default all) as a table. Raises UserError."""
    try:
        return opened(path).read(columns=names)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def digest(data: bytes) -> str:
    """What says that two files are the same."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
