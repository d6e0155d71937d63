"""The kernels of `corpus/regressions/kernels` still compile to the same text, and compute the same.

The key insight: they are replayed from what is stored alone. Neither the grammar nor the reference takes part, so this
tells what changed in Warp, or in how it is asked, from what changed in what kernels are grown. To make the set anew:

    python -m synth --depth 4 --n 1500 --seed 2026
    python -m corpus minimize datasets/depth4-natural-seed2026-n1500 --rows 16 --out corpus/regressions/kernels
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus import store
from corpus.minimize import survey
from corpus.row import Row, array_of
from corpus.stats import stats_of
from grammar.params import Param, Role
from grammar.types import Array, type_named

FOLDER = Path(__file__).parent.parent / "corpus" / "regressions" / "kernels"
MOST_BYTES = 400_000
CLOSE = {"bfloat16": 5e-2, "float16": 1e-2, "float32": 1e-4, "float64": 1e-10}
"""Relative: another machine's elementary functions may round otherwise, and kernels pass that on."""


def stored() -> list[Row]:
    return [row for path in store.shards(FOLDER) for row in store.read(path).to_pylist()]


def test_the_set_is_small_and_varied() -> None:
    stats = stats_of(FOLDER)
    kinds = Counter(kind for kind, _ in survey([FOLDER]).known)
    assert kinds["native functions"] > 400
    assert kinds["statement nestings"] > 20
    assert kinds["parameter types"] > 40
    assert stats.bytes < MOST_BYTES
    assert stats.distinct == stats.rows <= 40
    assert set(stats.gradients) >= {"verified", "none"}


@pytest.fixture(scope="module")
def replayed() -> Iterator[list[tuple[Row, Any]]]:
    """Each row with what its Python compiles to; all are compiled together."""
    from extract.build import Target
    from extract.compile import compile_block, release, start

    start()
    rows = stored()
    block = compile_block([(row["name"], row["python"]) for row in rows], frozenset({Target.CPP, Target.CUDA}))
    yield list(zip(rows, block.kernels, strict=True))
    release(block)


@pytest.mark.warp
def test_the_set_is_of_this_version_of_warp() -> None:
    """Otherwise texts may differ rightly: then make the set anew."""
    from extract.compile import start
    from extract.versions import versions

    start()
    assert {row["warp_version"] for row in stored()} == {versions()["warp"]}


@pytest.mark.warp
def test_each_compiles_to_the_same_text(replayed: list[tuple[Row, Any]]) -> None:
    for row, made in replayed:
        assert dict(made.build.ir) == {piece: row[piece] for piece in made.build.ir}, row["id"]
        assert len(made.build.ir) == 6


@pytest.mark.warp
def test_each_computes_the_same_values(replayed: list[tuple[Row, Any]]) -> None:
    from extract.launch import run

    for row, made in replayed:
        launched = run(made.handle, params(row), values(row, "inputs"), row["lanes"])
        assert launched.intact, row["id"]
        outputs = values(row, "outputs")
        assert outputs
        for name, wanted in outputs.items():
            same(launched.arrays[name], wanted, f"{row['id']} {name}")


@pytest.mark.warp
def test_each_computes_the_same_gradients(replayed: list[tuple[Row, Any]]) -> None:
    from extract.launch import differentiate

    with_gradient = [(row, made) for row, made in replayed if row["gradient"] == "verified"]
    assert len(with_gradient) > len(replayed) / 2
    for row, made in with_gradient:
        given, weights = values(row, "inputs"), values(row, "cotangents")
        launched = differentiate(made.handle, params(row), given, weights, row["lanes"])
        assert launched.intact, row["id"]
        gradients = values(row, "gradients")
        assert gradients
        for name, wanted in gradients.items():
            same(launched.gradients[name], wanted, f"{row['id']} d/d{name}")


def params(row: Row) -> list[Param]:
    return [
        Param(p["name"], type_of(p["type"]), Role(p["role"]), p["low"], p["high"], p["size"]) for p in row["parameters"]
    ]


def type_of(text: str) -> Any:
    """`array(float32)`, `array2d(float32)` or `float32`."""
    kind, bracket, element = text.removesuffix(")").partition("(")
    if not bracket:
        return type_named(kind)
    return Array(type_named(element), int(kind.removeprefix("array").removesuffix("d") or 1))


def values(row: Row, group: str) -> dict[str, Any]:
    return {tensor["name"]: array_of(tensor)[()] for tensor in row[group]}


def same(computed: Any, wanted: Any, what: str) -> None:
    assert computed.dtype == wanted.dtype, what
    rtol = CLOSE.get(wanted.dtype.name, 0.0)
    finite = np.abs(wanted[np.isfinite(wanted)], dtype=np.float64) if rtol else np.zeros(0)
    atol = rtol * float(finite.max(initial=0.0)) * 1e-3
    np.testing.assert_allclose(computed, wanted, rtol=rtol, atol=atol, err_msg=what)


def test_another_value_is_noticed() -> None:
    wanted = np.array([1.0, np.nan, np.inf, 0.0], np.float32)
    same(wanted * np.float32(1 + 1e-6), wanted, "rounding")
    for other in (
        [1.01, np.nan, np.inf, 0.0],
        [1.0, 0.0, np.inf, 0.0],
        [1.0, np.nan, 9.0, 0.0],
        [1.0, np.nan, np.inf, 1e-3],
    ):
        with pytest.raises(AssertionError, match="what"):
            same(np.array(other, np.float32), wanted, "what")
    with pytest.raises(AssertionError):
        same(np.array([2], np.int32), np.array([3], np.int32), "ints")
