"""Kernels for arrays of any type: how they are spelt, what they are made for, and which are grown."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.emit import emit
from grammar.serial import kernel_of, plain_of
from grammar.tree import Kernel, Read
from grammar.types import type_named
from tests.builders import OUT, I, X, array, at, do, ints, kernel, out, put, samples, scalar, var
from tests.proving import verified
from tests.reading import Reader

POINT, GRID = type_named("vec3f"), type_named("tile4f")
COUNTS = array("counts", type_named("int32"), 1, 8)
POINTS = do("mul", Read("points", I, POINT), do("float32", at("counts", I, type_named("int32"))))
TYPED = kernel((array("points", POINT), COUNTS, out("scaled", POINT)), put("scaled", POINTS), name="scale_points")
FREE = replace(TYPED, generic=True)
SCALED = replace(
    kernel(
        (X, scalar("a"), scalar("n", type_named("int32"), 2, 5), OUT),
        put("out", do("mul", at("x"), do("add", var("a"), do("mul", do("float32", ints("n")), var("a"))))),
        name="scale",
    ),
    generic=True,
)


def test_what_is_of_the_type_of_the_first_output_is_of_any() -> None:
    assert problems(FREE) == ()
    assert [param.name for param in FREE.of_any_type] == ["points", "scaled"]
    assert TYPED.of_any_type == ()
    assert emit(FREE) == (
        "from typing import Any\n\nimport warp as wp\n\n\n@wp.kernel\n"
        "def scale_points(points: wp.array[Any], counts: wp.array[int], scaled: wp.array[Any]):\n"
        "    i = wp.tid()\n"
        "    scaled[i] = points[i] * float(counts[i])\n\n\n"
        'wp.overload(scale_points, {"points": wp.array[wp.vec3], "scaled": wp.array[wp.vec3]})\n'
    )


def test_numbers_of_the_type_are_of_any_as_well() -> None:
    text = emit(SCALED)
    assert "def scale(x: wp.array[Any], a: Any, n: int, out: wp.array[Any]):" in text
    assert 'wp.overload(scale, {"x": wp.array[float], "a": float, "out": wp.array[float]})\n' in text
    assert Reader(text).body == SCALED.body


def test_it_is_read_back_stored_and_told_from_others() -> None:
    assert Reader(emit(FREE)).body == FREE.body
    assert kernel_of(plain_of(FREE)) == FREE
    older = {name: value for name, value in plain_of(TYPED).items() if name != "generic"}
    assert kernel_of(older) == TYPED
    assert canonical_hash(FREE) != canonical_hash(TYPED)


def test_no_struct_or_tile_is_of_any_type() -> None:
    tiled = kernel((array("x", GRID), out("out", GRID)), put("out", Read("x", I, GRID)))
    assert problems(tiled) == ()
    assert any("any type" in problem for problem in problems(replace(tiled, generic=True)))


@pytest.mark.warp
def test_it_is_compiled_for_the_types_that_it_says() -> None:
    plain = kernel((X, scalar("a"), OUT), put("out", do("mul", at("x"), do("sin", at("x")))), name="scale_points")
    first, *_, typed = verified((FREE, SCALED, replace(plain, params=(X, OUT), generic=True), TYPED), seed=3)
    assert first.ir["cpp_args"] == typed.ir["cpp_args"]


@cache
def grown() -> tuple[Kernel, ...]:
    return tuple(sample.kernel for sample in samples(4))


def test_some_are_grown() -> None:
    free = [one for one in grown() if one.generic]
    assert 0.005 < len(free) / len(grown()) < 0.08
    assert all(len(one.of_any_type) > 1 for one in free)
