"""Rows: what `row_of` makes of a kernel, its build and its verdict.

The key insight: columns and rows are two lists of the same names, so the tests compare them instead of repeating them.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus.card import card
from corpus.row import array_of, operations, statement_kind, tensors
from corpus.schema import COLUMNS, schema_of
from extract.build import PIECES, Target
from extract.launch import of_warp
from grammar.atomics import AtomicKind
from grammar.ops import ROWS
from grammar.tree import (
    Apply,
    Assign,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Const,
    Continue,
    For,
    If,
    Kernel,
    Return,
    Stmt,
    Store,
    Thread,
    Var,
    View,
    While,
)
from grammar.types import BF16, BOOL, COMPOSITES, F32, F64, I32, Array, Composite, Element
from tests import fakes
from tests.builders import put_part

I = Var("i", I32)  # noqa: E741 - the thread index, as kernels call it
ONE = Const(F32, 1.0)
ADD, MUL, SIN = ROWS["add(float32,float32)"], ROWS["mul(float32,float32)"], ROWS["sin(float32)"]
SUB = ROWS["sub(float32,float32)"]


def test_a_row_has_a_value_for_each_column_and_no_other() -> None:
    row = fakes.row(fakes.settings(Path()), 5, 5)
    assert set(row) == {column.name for column in COLUMNS}


@pytest.mark.parametrize("target", Target)
def test_only_the_pieces_of_the_targets_asked_for_are_there(target: Target) -> None:
    row = fakes.row(fakes.settings(Path(), targets=(target,)), 5, 5)
    there = {piece for pieces in PIECES.values() for piece in pieces if row[piece] is not None}
    assert there == set(PIECES[target])


def test_operations_are_those_of_terms_and_of_augmented_statements() -> None:
    body = (
        Thread("i"),
        Assign("a", Apply(SIN, (Apply(SIN, (ONE,)),))),
        For("k", None, Const(I32, 3), (AugAssign("a", MUL, ONE),)),
        AugStore("y", I, SUB, ONE),
        put_part("ys", 0, ONE, "add"),
    )
    assert operations(Kernel("k", (), body, "math")) == sorted([ADD.key, MUL.key, SIN.key, SUB.key])


def test_each_kind_of_statement_has_a_name_of_its_own() -> None:
    true = Const(BOOL, True)
    all_kinds: list[Stmt] = [
        *(Thread("i"), Assign("a", ONE), AugAssign("a", ADD, ONE), Store("y", I, ONE), AugStore("y", I, ADD, ONE)),
        *(If(true, ()), For("k", None, I, ()), While(true, ()), Break(), Continue(), Return()),
        *(Atomic(kind, "y", I, ONE) for kind in AtomicKind),
        *(put_part("ys", 0, ONE), View("row", "table", I)),
    ]
    assert len({statement_kind(stmt) for stmt in all_kinds}) == len(all_kinds)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32),
        np.arange(6, dtype=np.float64).reshape(2, 3).T,
        np.array([True, False]),
        np.int32(-7),
        np.arange(4, dtype=">i4"),
        np.zeros((0,), np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_survive(array: np.ndarray) -> None:
    (stored,) = tensors({"x": array})
    back = array_of(stored)
    assert back.shape == np.shape(array)
    assert back.dtype == np.asarray(array).dtype.newbyteorder("<")
    np.testing.assert_array_equal(back, array)


def test_each_column_is_described_in_the_schema() -> None:
    schema = schema_of({"project": "warpsmith"})
    assert schema.metadata[b"project"] == b"warpsmith"
    assert all(field.metadata[b"description"] for field in schema)


def test_types_are_those_that_every_reader_knows() -> None:
    def plain(type_: pa.DataType) -> bool:
        if pa.types.is_list(type_):
            return plain(type_.value_type)
        if pa.types.is_struct(type_):
            return all(plain(type_.field(i).type) for i in range(type_.num_fields))
        return type_ in (pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.binary())

    assert all(plain(field.type) for field in schema_of())


@pytest.mark.warp
def test_stored_values_are_launched_with_as_the_card_says() -> None:
    code = card({}, {}).split("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    types: tuple[Element, ...] = (*COMPOSITES, F64, BF16, I32)
    module = SimpleNamespace(**{type.spelling: of_warp(type) for type in COMPOSITES if type.is_own})
    for type in types:
        shape = (5, type.width) if isinstance(type, Composite) else (5,)
        values = np.arange(5 * type.width).reshape(shape).astype(type.dtype)
        (whole,) = tensors({"x": values})
        (single,) = tensors({"x": values[2]})
        array = names["launched_with"](whole, repr(Array(type)), module)
        assert array.shape == (5,)
        assert array.numpy().tobytes() == values.tobytes()
        value = names["launched_with"](single, repr(type), module)
        again = np.array(value) if isinstance(type, Composite) else np.array(value.value, type.dtype)
        assert again.tobytes() == values[2].tobytes()  # Warp shows the bits of halves
