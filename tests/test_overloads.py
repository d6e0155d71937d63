"""Functions of one name: what a call means, which may share one, and what Warp makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.families import family_named
from grammar.grow import grow
from grammar.profiles import profile
from grammar.serial import kernel_of, plain_of
from grammar.tree import Function, Invoke, Kernel, Return, Var, all_functions
from grammar.types import F32, type_named
from tests.builders import LANES, OUT, X, array, at, do, kernel, put
from tests.proving import verified
from tests.reading import Reader

V3 = type_named("vec3f")
A, B, P = Var("a", F32), Var("b", F32), Var("p", V3)
OF_ONE = Function("scaled", (A,), (Return(do("mul", A, do("sin", A))),), F32)
OF_TWO = Function("scaled", (A, B), (Return(do("sub", do("mul", A, B), A)),), F32)
OF_POINT = Function("scaled", (P,), (Return(do("dot", P, do("add", P, P))),), F32)
POINTS = array("points", V3)


def summed(*calls: Invoke) -> Kernel:
    total = calls[0]
    terms = [do("add", total, other) for other in calls[1:]]
    return kernel((X, POINTS, OUT), put("out", do("add", terms[0], calls[-1]) if len(calls) > 2 else terms[0]))


ONE, TWO = Invoke(OF_ONE, (at("x"),)), Invoke(OF_TWO, (at("x"), do("length", at("points", type=V3))))
POINT = Invoke(OF_POINT, (at("points", type=V3),))
ALL = summed(ONE, TWO, POINT)


def test_they_are_told_apart_by_what_they_take() -> None:
    assert problems(ALL) == ()
    text = emit(ALL)
    assert text.count("def scaled(") == 3
    assert Reader(text).body == ALL.body
    assert kernel_of(plain_of(ALL)) == ALL


@pytest.mark.parametrize(
    "other",
    [
        replace(OF_ONE, body=(Return(A),)),
        replace(OF_TWO, generic=True),
        replace(OF_TWO, defaults=(do("add", 1.0, 2.0).args[0],)),  # type: ignore[arg-type] # a number
    ],
    ids=["takes the same", "takes any type", "has a default"],
)
def test_others_have_names_of_their_own(other: Function) -> None:
    args = (at("x"), do("length", at("points", type=V3)))[: len(other.params)]
    assert "scaled may mean several functions" in problems(summed(ONE, Invoke(other, args)))


@pytest.mark.warp
def test_warp_calls_the_one_that_is_meant() -> None:
    (build,) = verified([ALL])
    assert all(f" scaled_{k}(" in build.ir["cpp_forward"] for k in range(3))


def test_some_are_grown() -> None:
    family, natural = family_named("function_library"), profile("natural")
    grown = (grow(seeded(Seed(k)), family, natural, 5, k, LANES) for k in range(200))
    named = [[function.name for function in all_functions(one)] for one in grown if one is not None]
    assert sum(len(set(names)) < len(names) for names in named) > 3
