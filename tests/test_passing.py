"""Functions that are handed functions: what they may take, what they mean, how they are spelt, stored and compiled.

The key insight: the same text is made for each function that it is handed, so every test hands it two that differ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import grammar.families
from grammar.applying import call_with_function
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.derive import adjoint_of, gradient_of
from grammar.emit import emit
from grammar.families import Family
from grammar.grow import grow
from grammar.inputs import regular
from grammar.passing import abstracted, with_passed
from grammar.plain import run_plain
from grammar.profiles import profile
from grammar.rewrites import REWRITES
from grammar.serial import kernel_of, plain_of
from grammar.tree import Function, Invoke, Passed, Return, Term, all_functions
from grammar.types import F32
from tests.builders import LANES, OUT, X, Y, at, do, kernel, number, put, var
from tests.lane_by_lane import lane_by_lane
from tests.proving import verified
from tests.reading import Reader

A = var("a")
SQUARE = Function("square", (A,), (Return(do("mul", A, A)),), F32)
WAVE = Function("wave", (var("t"),), (Return(do("sin", do("mul", var("t"), 3.0))),), F32)


def called(function: Function, *args: Term) -> Invoke:
    return Invoke(function, args)


TWICE = Function("twice", (A,), (Return(called(SQUARE, called(SQUARE, A))),), F32, takes=(Passed("f", SQUARE),))
OF_WAVE = with_passed(TWICE, [WAVE])
BOTH = kernel((X, Y, OUT), put("out", do("add", called(TWICE, at("x")), called(OF_WAVE, at("y")))), name="both")


def test_it_is_written_down_once_and_made_for_each() -> None:
    assert problems(BOTH) == ()
    text = emit(BOTH)
    assert text.count("def twice(f: wp.Function, a: float):\n    return f(f(a))\n") == 1
    assert "out[i] = twice(square, x[i]) + twice(wave, y[i])" in text
    assert [one.name for one in all_functions(BOTH)] == ["square", "twice", "wave", "twice"]
    assert abstracted(TWICE) == abstracted(OF_WAVE)
    assert Reader(text).body == BOTH.body


def test_it_means_what_the_handed_function_does() -> None:
    inputs = regular(BOTH, Seed(1), LANES)
    x, y = (inputs.arrays[name].reshape(-1) for name in ("x", "y"))
    three = np.float32(3)
    wanted = (x * x) * (x * x) + np.sin(np.sin(y * three) * three)
    assert np.allclose(run_plain(BOTH, inputs).arrays["out"], wanted, rtol=1e-6)
    assert np.array_equal(lane_by_lane(BOTH, inputs)[0]["out"], run_plain(BOTH, inputs).arrays["out"])
    inlined = REWRITES["function inlined"](BOTH)
    assert inlined is not None
    assert np.array_equal(run_plain(inlined, inputs).arrays["out"], run_plain(BOTH, inputs).arrays["out"])


def test_it_is_stored_and_differs_from_one_that_is_handed_nothing() -> None:
    assert kernel_of(plain_of(BOTH)) == BOTH
    bare = kernel((X, Y, OUT), put("out", do("add", called(replace(TWICE, takes=()), at("x")), at("y"))))
    one = kernel((X, Y, OUT), put("out", do("add", called(TWICE, at("x")), at("y"))))
    assert canonical_hash(bare) != canonical_hash(one)
    assert adjoint_of(TWICE) is None
    assert gradient_of(TWICE) is None


DOUBLE = replace(TWICE, takes=(Passed("f", SQUARE), Passed("g", SQUARE)))
WRONG = {
    "twice does not call wave, which it is handed": replace(TWICE, takes=(Passed("f", SQUARE), Passed("g", WAVE))),
    "twice has one name for two things, or is handed a function twice": DOUBLE,
    "twice is handed square, which is none that it may be": with_passed(TWICE, [replace(SQUARE, generic=True)]),
    "twice takes functions, and is more than others that do": replace(TWICE, defaults=(number(1.0),)),
}


@pytest.mark.parametrize("why", WRONG)
def test_what_it_may_not_be_is_told(why: str) -> None:
    assert why in problems(kernel((X, OUT), put("out", called(WRONG[why], at("x")))))


def test_a_name_is_of_one_thing() -> None:
    clash = replace(TWICE, takes=(Passed("a", SQUARE),))
    (problem,) = problems(kernel((X, OUT), put("out", called(clash, at("x")))))
    assert problem == "twice has one name for two things, or is handed a function twice"
    other = Function("twice", (A,), (Return(do("neg", called(SQUARE, A))),), F32, takes=(Passed("f", SQUARE),))
    both = kernel((X, OUT), put("out", do("add", called(TWICE, at("x")), called(other, at("x")))))
    assert problems(both) == ("twice may mean several functions",)


@pytest.mark.warp
def test_warp_means_the_same_and_its_text_does_not_depend_on_the_block() -> None:
    first, *others = verified([BOTH, replace(BOTH, name="once"), replace(BOTH, name="more")])
    for other, name in zip(others, ("once", "more"), strict=True):
        assert other.ir == {target: text.replace("both", name) for target, text in first.ir.items()}
    assert any("twice_0_callable_1" in text for text in first.ir.values())


def test_they_are_grown() -> None:
    family, made, several = Family("combined", 4, features=(((call_with_function, 1.0),),)), 0, 0
    assert call_with_function in dict(grammar.families.CALLS)
    for seed in range(40):
        one = grow(seeded(Seed(seed)), family, profile("natural"), 5, seed, LANES)
        if one is not None:
            takes = [function for function in all_functions(one) if function.takes]
            made, several = made + bool(takes), several + (len(takes) > 1)
            assert problems(one) == ()
            assert one.structs or Reader(emit(one)).body == one.body
    assert made > 10
    assert several > 1
