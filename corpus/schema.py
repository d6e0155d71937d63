"""The columns of the corpus and their Parquet types.

The key insight: a column is one row of `COLUMNS`, with its description, so the schema, its metadata and the card of a
data set can't disagree. Types stay within lists, structs, strings, numbers, booleans and bytes, which every reader of
Parquet knows (`datasets` rejects maps, uuids and tensor extension types).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

FORMAT = "2"
"""Changes when a column changes its meaning."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: Any
    description: str
    repeats: bool = False
    """Few distinct values, so that a dictionary pays."""
    nullable: bool = False


TENSORS = pa.list_(
    pa.struct([("name", pa.string()), ("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("data", pa.binary())])
)
PARAMETERS = pa.list_(
    pa.struct(
        [
            ("name", pa.string()),
            ("type", pa.string()),
            ("role", pa.string()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("size", pa.int64()),
        ]
    )
)
WORDS = pa.list_(pa.string())
FLAGS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))
TEXT, INT, REAL = pa.string(), pa.int64(), pa.float64()

COLUMNS = (
    Column("id", TEXT, "The row's name: the first 16 digits of canonical_hash."),
    Column("canonical_hash", TEXT, "BLAKE2b of the kernel with its names made canonical; unique in a data set."),
    Column("shape_hash", TEXT, "The same with literals blanked: rows that share it differ only in constants."),
    Column("seed", INT, "Seed of the kernel: it follows from the seed and settings of the run and from the index."),
    Column("index", INT, "Number of the candidate in the run."),
    Column("profile", TEXT, "Table of probabilities that the kernel was grown with.", repeats=True),
    Column("depth", INT, "Height that was asked for: no kernel is higher.", repeats=True),
    Column("family", TEXT, "Family of kernels that growing was biased to.", repeats=True),
    Column("name", TEXT, "Name of the kernel.", repeats=True),
    Column("height", INT, "Height of the derivation tree.", repeats=True),
    Column("size", INT, "Number of its nodes: statements and terms.", repeats=True),
    Column("operations", WORDS, "Operations used, with their parameter types; sorted, each once.", repeats=True),
    Column("statements", WORDS, "Kinds of statements used; sorted, each once.", repeats=True),
    Column(
        "parameters",
        PARAMETERS,
        "Parameters in order: type, what it is for (value, index, out, …), the range [low, high] of their "
        "values, and the length of an array where it is not one element per lane. A field of a struct is named with "
        "it, `params.dt`, and one of each struct of an array `bodies[].mass`.",
        repeats=True,
    ),
    Column("python", TEXT, "A runnable Python module that holds the kernel."),
    Column("cpp_args", TEXT, "C++: struct of the kernel's arguments.", nullable=True),
    Column("cpp_forward", TEXT, "C++: the kernel's forward function.", nullable=True),
    Column("cpp_adjoint", TEXT, "C++: the kernel's adjoint (reverse-mode gradient) function.", nullable=True),
    Column("cpp_entry", TEXT, "C++: the functions that loop over the lanes and are exported.", nullable=True),
    Column("cuda_forward", TEXT, "CUDA: the forward kernel.", nullable=True),
    Column("cuda_adjoint", TEXT, "CUDA: the adjoint kernel.", nullable=True),
    Column("llvm", TEXT, "LLVM IR of the kernel's functions.", nullable=True),
    Column("ptx", TEXT, "PTX of the kernel.", nullable=True),
    Column(
        "inputs",
        TENSORS,
        "The first input set: all parameters, outputs as before the launch (C order, little-endian). Of composites, "
        "the last axis of the shape numbers the scalars of each, row by row: n elements of vec3f have shape (n, 3).",
    ),
    Column("outputs", TENSORS, "What the compiled kernel computed from `inputs`."),
    Column("cotangents", TENSORS, "Gradients with respect to the outputs that the adjoint was seeded with."),
    Column("gradients", TENSORS, "Gradients with respect to the float input arrays, as the adjoint gave them."),
    Column("lanes", INT, "Number of threads of each launch.", repeats=True),
    Column("dim", pa.list_(INT), "Shape of the grid in which these threads are launched: one axis, or more."),
    Column("input_sets", INT, "Number of input sets that the kernel was checked on.", repeats=True),
    Column("checked", REAL, "Share of output elements, over all input sets, that could be decided and agreed."),
    Column("residual", REAL, "Largest difference from the NumPy reference, as a multiple of what rounding allows."),
    Column(
        "gradient",
        TEXT,
        "verified: agrees with central differences; limited: Warp documents that it is wrong; none: nothing to "
        "differentiate.",
        repeats=True,
    ),
    Column("limitation", TEXT, "Which documented rule makes the gradient `limited`; else empty.", repeats=True),
    Column("gradient_checked", REAL, "Share of gradient elements that could be decided and agreed."),
    Column("gradient_residual", REAL, "Largest difference of the gradient, as a multiple of what is allowed."),
    Column("table_digest", TEXT, "Digest of the table of operations the kernel was grown from.", repeats=True),
    Column("warp_version", TEXT, "Version of warp-lang.", repeats=True),
    Column("llvm_version", TEXT, "Version of the LLVM inside warp-lang.", repeats=True),
    Column("nvrtc_version", TEXT, "Version of the NVRTC inside warp-lang.", repeats=True),
    Column("numpy_version", TEXT, "Version of NumPy, which the reference ran on.", repeats=True),
    Column("ml_dtypes_version", TEXT, "Version of ml_dtypes, of which the reference has bfloat16.", repeats=True),
    Column("flags", FLAGS, "Compiler options that bear on values or text.", repeats=True),
)


def schema_of(metadata: Mapping[str, str] | None = None) -> Any:
    """The Arrow schema; `metadata` says what all rows share (project, version, table digest, …)."""
    fields = [
        pa.field(column.name, column.type, nullable=column.nullable, metadata={"description": column.description})
        for column in COLUMNS
    ]
    return pa.schema(fields, metadata={"format": FORMAT, **(metadata or {})})
