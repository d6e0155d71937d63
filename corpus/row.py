"""One row of the corpus: what is known about a verified kernel, flattened into plain values.

The key insight: `row_of` is the one constructor, a pure function of the kernel, its build, its verdict and the recipe
that all rows of a run share. Nothing that differs between machines, workers or moments goes in, so equal runs give
equal bytes. Names and descriptions of the columns are `corpus.schema.COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from extract.build import PIECES, Build
from grammar.heights import height, size
from grammar.layout import grid
from grammar.op import Op
from grammar.params import Param
from grammar.threads import dimensions
from grammar.tiles import laid_out
from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Continue,
    Fieldwise,
    For,
    If,
    Kernel,
    Outlined,
    Return,
    Sample,
    Stmt,
    Store,
    StorePart,
    Thread,
    Unpack,
    View,
    While,
    all_statements,
    all_terms,
)
from grammar.types import Array, Type
from validate.verdict import Verdict

Row = dict[str, Any]
ID_LENGTH = 16
"""Hexadecimal digits of an id: 64 bits, so that a million rows collide with probability 3e-8."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Where a kernel comes from and what makes it equal to another."""

    seed: int
    index: int
    canonical: str
    """Hash of the canonical form: kernels that differ only in names have the same."""
    shape: str
    """The same hash with literals blanked."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all rows of a run share."""

    profile: str
    depth: int
    lanes: int
    input_sets: int
    table_digest: str
    versions: Mapping[str, str]
    """Of `warp`, `llvm`, `nvrtc` and `numpy`."""
    flags: Mapping[str, object]
    """Compiler options that bear on values or text (`optimization_level`, `fuse_fp`, …)."""


def row_of(identity: Identity, recipe: Recipe, kernel: Kernel, build: Build, verdict: Verdict) -> Row:
    """The row of a verified kernel: a value for each column of `corpus.schema.COLUMNS`, in any order."""
    return {
        "id": identity.canonical[:ID_LENGTH],
        "canonical_hash": identity.canonical,
        "shape_hash": identity.shape,
        "seed": identity.seed,
        "index": identity.index,
        "profile": recipe.profile,
        "depth": recipe.depth,
        "family": kernel.family,
        "name": kernel.name,
        "height": height(kernel),
        "size": size(kernel),
        "operations": operations(kernel),
        "statements": sorted({statement_kind(stmt) for stmt in all_statements(kernel)}),
        "parameters": [_parameter(param) for param in kernel.params],
        "python": build.source,
        **{piece: build.ir.get(piece) for pieces in PIECES.values() for piece in pieces},
        **{what: tensors(_laid_out(kernel, arrays)) for what, arrays in _values(verdict).items()},
        "lanes": recipe.lanes,
        "dim": list(grid(recipe.lanes, dimensions(kernel))),
        "input_sets": recipe.input_sets,
        "checked": float(verdict.checked),
        "residual": float(verdict.residual),
        "gradient": verdict.gradient.value,
        "limitation": verdict.limitation,
        "gradient_checked": float(verdict.gradient_checked),
        "gradient_residual": float(verdict.gradient_residual),
        "table_digest": recipe.table_digest,
        **{f"{name}_version": recipe.versions[name] for name in ("warp", "llvm", "nvrtc", "numpy", "ml_dtypes")},
        "flags": [{"name": name, "value": str(value)} for name, value in sorted(recipe.flags.items())],
    }


def _values(verdict: Verdict) -> dict[str, Mapping[str, NDArray[Any]]]:
    return {
        "inputs": verdict.inputs,
        "outputs": verdict.outputs,
        "cotangents": verdict.cotangents,
        "gradients": verdict.gradients,
    }


def _laid_out(kernel: Kernel, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    """By parameter, as Warp is given them."""
    types = {param.name: param.type for param in kernel.params}
    return {name: _as_given(array, types[name]) for name, array in arrays.items()}


def _as_given(values: NDArray[Any], type: Type) -> NDArray[Any]:
    return laid_out(values, type) if isinstance(type, Array) else values


def operations(kernel: Kernel) -> list[str]:
    """Keys of the rows of the table that a kernel uses, sorted, each once."""
    applied = {term.op.key for term in all_terms(kernel) if isinstance(term, Apply)}
    done = {
        s.op for s in all_statements(kernel) if isinstance(s, AugAssign | AssignPart | AugStore | StorePart | Sample)
    }
    called = {s.function for s in all_statements(kernel) if isinstance(s, Unpack)}
    return sorted(applied | {op.key for op in done | called if isinstance(op, Op)})


def statement_kind(stmt: Stmt) -> str:
    """What a kind of statement is called in the column `statements`."""
    match stmt:
        case Thread():
            return "thread"
        case View():
            return "view"
        case Assign():
            return "assign"
        case AugAssign():
            return "augmented_assign"
        case AssignPart():
            return "part_assign"
        case Sample():
            return "sample"
        case Unpack():
            return "unpack"
        case Store():
            return "store"
        case AugStore():
            return "augmented_store"
        case StorePart():
            return "part_store"
        case Atomic(kind):
            return kind.value
        case If():
            return "if"
        case For():
            return "for"
        case While():
            return "while"
        case Fieldwise():
            return "struct"
        case Outlined():
            return "call"
        case Break():
            return "break"
        case Continue():
            return "continue"
        case Return():
            return "return"
        case _:
            assert_never(stmt)


def tensors(arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Named arrays or scalars as plain values; `data` holds the elements in C order, little-endian."""
    return [_tensor(name, np.asarray(array)) for name, array in arrays.items()]


def array_of(tensor: Mapping[str, Any]) -> NDArray[Any]:
    """The array that a value of `tensors` stands for (read-only)."""
    flat = np.frombuffer(tensor["data"], np.dtype(tensor["dtype"]).newbyteorder("<"))
    return flat.reshape(tuple(tensor["shape"]))


def _tensor(name: str, array: NDArray[Any]) -> dict[str, Any]:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "data": little.tobytes()}


def _parameter(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "type": repr(param.type.laid_out if isinstance(param.type, Array) else param.type),
        "role": param.role.value,
        "low": float(param.low),
        "high": float(param.high),
        "size": param.size,
    }
