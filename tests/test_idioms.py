"""Idioms of known defects are put where they may stand, and each of them comes up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.defects import DEFECTS
from grammar.emit import emit
from grammar.idioms import with_idiom
from grammar.limits import limitation
from grammar.params import Struct
from grammar.tree import Assign, Fieldwise, Kernel, Var
from grammar.types import BOOL, I32, U32, type_named
from tests.builders import I, X, array, at, do, kernel, let, number, out, put, scalar, var
from validate.judge import defects_of

VEC3, SQUARE, LINE, ONE = (type_named(name) for name in ("vec3f", "tile4x4f", "tile4f", "tile1f"))

VECTOR = kernel(
    (array("p", VEC3), out("squares"), out("out", VEC3)),
    let("v", at("p", I, VEC3)),
    put("squares", do("dot", var("v", VEC3), var("v", VEC3))),
    put("out", var("v", VEC3)),
)
TILE = kernel(
    (array("a", SQUARE), array("y", LINE), out("squares", SQUARE), out("out", LINE)),
    let("t", at("a", I, SQUARE)),
    put("squares", do("mul", var("t", SQUARE), var("t", SQUARE))),
    put("out", do("tile_lower_solve", var("t", SQUARE), at("y", I, LINE))),
)
SUM = kernel(
    (array("y", LINE), out()),
    let("t", do("tile_sum", at("y", I, LINE))),
    put("out", do("untile", var("t", ONE))),
)
FLAGGED = replace(
    kernel(
        (array("bodies[].flag", BOOL), X, out(), out("flags", BOOL)),
        Fieldwise("Body", "b", (Assign("b.flag", at("bodies[].flag", I, BOOL)),)),
        let("v", do("ternary", var("b.flag", BOOL), at("x"), 1.0)),
        put("flags", var("b.flag", BOOL)),
        put("out", var("v")),
    ),
    structs=(Struct("bodies[]", "Body"),),
)
SHARE = kernel(
    (X, array("m", I32, 1, 8), out()),
    put("out", do("add", at("x"), do("float32", do("floordiv", at("m", I, I32), 2)))),
)
STRUCT = replace(
    kernel(
        (array("bodies[].x"), scalar("s"), out()),
        Fieldwise("Body", "b", (Assign("b.x", at("bodies[].x")),)),
        let("v", do("mul", var("b.x"), var("s"))),
        put("out", do("add", var("v"), var("b.x"))),
    ),
    structs=(Struct("bodies[]", "Body"),),
)
NOISE = kernel(
    (X, out()),
    let("state", do("uint32", number(1))),
    let("v", do("noise", Var("state", U32), at("x"))),
    put("out", do("mul", var("v"), var("v"))),
)
CASES = {
    "vector": (VECTOR, {"part-update-gradient", "letter-update-gradient", "whole-numbers-gradient"}),
    "tile": (TILE, {"tile-transpose-gradient", "tile-broadcast-layout"}),
    "sum": (SUM, {"untile-shared-gradient"}),
    "struct": (STRUCT, {"overwritten-field-gradient"}),
    "flag": (FLAGGED, {"field-condition"}),
    "share": (SHARE, {"stale-divisor-crash"}),
    "noise": (NOISE, {"moved-state-gradient"}),
}


def changed(name: str) -> list[Kernel]:
    one = CASES[name][0]
    made = [with_idiom(seeded(Seed(seed)), one) for seed in range(40)]
    return [other for other in made if other is not None]


@pytest.mark.parametrize("name", CASES)
def test_the_known_defects_come_up(name: str) -> None:
    one, wanted = CASES[name]
    assert defects_of(one) == frozenset()
    assert {known for other in changed(name) if not limitation(other) for known in defects_of(other)} == wanted


@pytest.mark.parametrize("name", CASES)
def test_kernels_stay_in_the_grammar(name: str) -> None:
    assert not problems(CASES[name][0])
    for other in changed(name):
        assert other != CASES[name][0]
        assert not problems(other)
        assert emit(other) != emit(CASES[name][0])


def test_every_known_defect_comes_up() -> None:
    by_themselves = {"remainder-divisor-gradient", "float64-of-constant"}
    of_exits = {"break-gradient", "continue-gradient"}  # tests/test_exits.py
    idioms = set().union(*(wanted for _, wanted in CASES.values()))
    assert by_themselves | of_exits | idioms == {known.name for known in DEFECTS}


def test_numbers_alone_have_none() -> None:
    assert with_idiom(seeded(Seed(0)), kernel((X, out()), put("out", do("mul", at("x"), 3.0)))) is None
