"""Functions that kernels call: what they may take, what they mean, how they are spelt and stored.

The key insight: a function has its own names, so each test gives it names that stand for something else in the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.families import family_named
from grammar.flow import active_names
from grammar.grow import grow
from grammar.inputs import regular
from grammar.limits import limitation
from grammar.plain import run_plain
from grammar.profiles import profile
from grammar.rewrites import REWRITES
from grammar.serial import NotAKernelError, kernel_of, plain_of
from grammar.tree import (
    Apply,
    Assign,
    Const,
    Function,
    Invoke,
    Kernel,
    Return,
    Size,
    Term,
    Var,
    Whole,
    functions,
    own_terms,
    statements,
)
from grammar.types import F32, F64, I32, Array
from tests.builders import LANES, OUT, I, X, Y, at, change, do, ints, kernel, let, loop, number, put, size, var
from tests.lane_by_lane import lane_by_lane
from tests.proving import verified
from tests.reading import Reader

FLOATS = Array(F32)
Y_INSIDE = Whole("y", FLOATS)
BESIDE = Function(
    "beside",
    (Y_INSIDE, ints("k")),
    (
        let("x", do("min", do("add", ints("k"), 1), do("sub", size("y"), 1))),
        Return(do("sub", at("y", ints("x")), at("y", ints("k")))),
    ),
    F32,
)
"""Its `y` is the kernel's `x`, and its `x` is a number."""
SLOPE_ARGS = (Whole("x", FLOATS), I)
SLOPE = kernel((X, Y, OUT), put("out", do("mul", Invoke(BESIDE, SLOPE_ARGS), at("y"))))


def with_arguments(*args: Term) -> Kernel:
    return kernel((X, OUT), put("out", Invoke(BESIDE, args)))


def test_a_function_reads_the_array_that_it_is_given() -> None:
    inputs = regular(SLOPE, Seed(1), LANES)
    x, y = inputs.arrays["x"], inputs.arrays["y"]
    after = np.minimum(np.arange(LANES) + 1, LANES - 1)
    assert np.array_equal(run_plain(SLOPE, inputs).arrays["out"], ((x[:, after] - x) * y).reshape(-1))
    assert np.array_equal(lane_by_lane(SLOPE, inputs)[0]["out"], run_plain(SLOPE, inputs).arrays["out"])


def test_an_index_out_of_bounds_is_noticed_inside() -> None:
    function = Function("after", (Y_INSIDE, ints("k")), (Return(at("y", do("add", ints("k"), 1))),), F32)
    reading = kernel((X, OUT), put("out", Invoke(function, (Whole("x", FLOATS), I))))
    assert run_plain(reading, regular(reading, Seed(1), LANES)).undefined.sum() == 2


def test_functions_pass_arrays_on() -> None:
    inner = Function("inner", (Whole("x", FLOATS), ints("i")), (Return(at("x", ints("i"))),), F32)
    passing = Function("passing", (Y_INSIDE, ints("k")), (Return(Invoke(inner, (Y_INSIDE, ints("k")))),), F32)
    passed = kernel((X, Y, OUT), put("out", do("sub", Invoke(passing, (Whole("x", FLOATS), I)), at("y"))))
    assert problems(passed) == ()
    inputs = regular(passed, Seed(1), LANES)
    want = (inputs.arrays["x"] - inputs.arrays["y"]).reshape(-1)
    assert np.array_equal(run_plain(passed, inputs).arrays["out"], want)
    assert np.array_equal(lane_by_lane(passed, inputs)[0]["out"], want)
    assert [function.name for function in functions(passed.body)] == ["inner", "passing"]


def test_a_function_with_an_array_is_spelt_and_read_back() -> None:
    text = emit(SLOPE)
    assert "def beside(y: wp.array[float], k: int):" in text
    assert "out[i] = beside(x, i) * y[i]" in text
    reader = Reader(text)
    assert reader.body == SLOPE.body


def test_it_is_stored_and_its_names_are_chance() -> None:
    assert kernel_of(plain_of(SLOPE)) == SLOPE
    renamed = replace(BESIDE, name="slope", params=(Whole("field", FLOATS), ints("k")))
    body = (
        let("x", do("min", do("add", ints("k"), 1), do("sub", Size("field", I32), 1))),
        Return(do("sub", at("field", ints("x")), at("field", ints("k")))),
    )
    other = kernel((X, Y, OUT), put("out", do("mul", Invoke(replace(renamed, body=body), SLOPE_ARGS), at("y"))))
    assert canonical_hash(other) == canonical_hash(SLOPE)
    exchanged = kernel((X, Y, OUT), put("out", do("mul", Invoke(BESIDE, (Whole("y", FLOATS), I)), at("y"))))
    assert canonical_hash(exchanged) != canonical_hash(SLOPE)
    broken = plain_of(SLOPE)
    broken["body"][1]["value"]["args"][0]["args"][0]["array"] = "float32"
    with pytest.raises(NotAKernelError, match="expected an array"):
        kernel_of(broken)


def test_inlined_it_reads_the_kernels_own_array() -> None:
    inlined = REWRITES["function inlined"](SLOPE)
    assert inlined is not None
    assert "out[i] = (x[wp.min(i + 1, x.shape[0] - 1)] - x[i]) * y[i]" in emit(inlined)
    inputs = regular(SLOPE, Seed(1), LANES)
    assert np.array_equal(run_plain(inlined, inputs).arrays["out"], run_plain(SLOPE, inputs).arrays["out"])


def test_gradients_flow_through_the_array() -> None:
    carried = kernel((X, OUT), let("v", Invoke(BESIDE, SLOPE_ARGS)), put("out", var("v")))
    assert active_names(carried) == {"x", "v"}
    stale = kernel(
        (X, OUT),
        let("v", at("x")),
        loop("j", size("x"), change("v", "mul", Invoke(BESIDE, (Whole("x", FLOATS), ints("j"))))),
        put("out", var("v")),
    )
    assert limitation(stale)


WRONG: dict[str, tuple[Kernel, str]] = {
    "an element for an array": (with_arguments(at("x"), I), "beside is called with other types"),
    "an array for an index": (with_arguments(*SLOPE_ARGS[:1], SLOPE_ARGS[0]), "beside is called with other types"),
    "an array of other elements": (with_arguments(Whole("x", Array(F64)), I), "x holds no float64"),
    "an array of other dimensions": (with_arguments(Whole("x", Array(F32, 2)), I), "passed as an array of 2"),
    "an output": (with_arguments(Whole("out", FLOATS), I), "output out is read"),
    "an unknown array": (with_arguments(Whole("z", FLOATS), I), "z is no array"),
    "an array as a value": (kernel((X, OUT), put("out", Whole("x", FLOATS))), "an array stands where a value should"),
    "a function that writes": (
        kernel((X, OUT), put("out", Invoke(replace(BESIDE, body=(put("y", at("y")), *BESIDE.body)), SLOPE_ARGS))),
        "y is written but is no output",
    ),
}


ADJUSTED = Function(
    "adjusted",
    (var("v"), var("scale"), var("shift")),
    (Return(do("add", do("mul", var("v"), var("scale")), var("shift"))),),
    F32,
    defaults=(number(2.0), number(0.0)),
)


def adjusted(*more: Term | float) -> Invoke:
    return Invoke(ADJUSTED, (at("x"), *(number(term) if isinstance(term, float) else term for term in more)))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (adjusted(2.0, 0.0), "adjusted(x[i])"),
        (adjusted(3.0, 0.0), "adjusted(x[i], 3.0)"),
        (adjusted(2.0, 1.0), "adjusted(x[i], 2.0, 1.0)"),
        (adjusted(2.0, -0.0), "adjusted(x[i], 2.0, -0.0)"),
        (adjusted(at("y"), 0.0), "adjusted(x[i], y[i])"),
    ],
)
def test_a_call_says_what_is_not_the_default(call: Invoke, text: str) -> None:
    by_hand = kernel((X, Y, OUT), put("out", do("add", call, at("y"))))
    assert problems(by_hand) == ()
    emitted = emit(by_hand)
    assert "def adjusted(v: float, scale: float = 2.0, shift: float = 0.0):" in emitted
    assert f"out[i] = {text} + y[i]" in emitted
    assert Reader(emitted).body == by_hand.body
    assert kernel_of(plain_of(by_hand)) == by_hand


def test_a_default_tells_functions_apart() -> None:
    one, other = (
        kernel((X, OUT), put("out", Invoke(replace(ADJUSTED, defaults=given), adjusted(3.0, 1.0).args)))
        for given in (ADJUSTED.defaults, (number(0.0),))
    )
    assert canonical_hash(one) != canonical_hash(other)


@pytest.mark.parametrize(
    "defaults",
    [(number(1),), tuple(number(1.0) for _ in range(4)), (Const(F32, 9.8, "GRAVITY"),)],
    ids=["of another type", "more than there are parameters", "a constant of the module"],
)
def test_defaults_are_numbers_of_the_types_of_the_last_parameters(defaults: tuple[Const, ...]) -> None:
    wrong = kernel((X, OUT), put("out", Invoke(replace(ADJUSTED, defaults=defaults), adjusted(3.0, 1.0).args)))
    assert any("default" in problem for problem in problems(wrong))


ANY = replace(ADJUSTED, generic=True)
SCALES: tuple[Term, ...] = (number(2.0), at("x"))


def test_a_function_may_be_written_for_any_type() -> None:
    by_hand = kernel((X, OUT), put("out", Invoke(ANY, (at("x"), at("x"), number(0.0)))))
    assert problems(by_hand) == ()
    text = emit(by_hand)
    assert text.startswith("from typing import Any\n\nimport warp as wp\n")
    assert "def adjusted(v: Any, scale: Any = 2.0, shift: Any = 0.0):" in text
    assert Reader(text).body == by_hand.body
    assert kernel_of(plain_of(by_hand)) == by_hand
    typed = kernel((X, OUT), put("out", Invoke(ADJUSTED, (at("x"), at("x"), number(0.0)))))
    assert canonical_hash(typed) != canonical_hash(by_hand)


def test_nothing_but_values_is_of_any_type() -> None:
    wrong = kernel((X, OUT), put("out", Invoke(replace(BESIDE, generic=True), SLOPE_ARGS)))
    assert "beside takes arrays or structs of any type" in problems(wrong)


@pytest.mark.warp
def test_functions_with_defaults_or_of_any_type_are_what_they_are_said_to_be() -> None:
    some = [
        kernel((X, OUT), put("out", Invoke(function, (at("x"), scale, number(0.0)))), name=f"adjust_{k}")
        for k, (function, scale) in enumerate(product((ADJUSTED, ANY), SCALES))
    ]
    verified(some)


def test_functions_of_any_type_are_grown() -> None:
    generic = [function for one in grown() for function in functions(one.body) if function.generic]
    assert 1 <= len(generic) <= 40


def test_functions_with_defaults_are_grown() -> None:
    usual = [function for one in grown() for function in functions(one.body) if function.defaults]
    assert 2 <= len(usual) <= 80


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_call_is_said(name: str) -> None:
    faulty, complaint = WRONG[name]
    assert problems(SLOPE) == ()
    assert any(complaint in problem for problem in problems(faulty)), problems(faulty)


# -- grown ------------------------------------------------------------------------------------------------------------


@cache
def grown() -> tuple[Kernel, ...]:
    return tuple(_grown())


def _grown() -> Iterator[Kernel]:
    for seed in map(Seed, range(120)):
        kernel = grow(seeded(seed), family_named("function_library"), profile("natural"), 5, seed, LANES)
        if kernel is not None:
            yield kernel


def test_nothing_in_a_function_bears_its_name() -> None:
    for seed in map(Seed, range(150)):
        one = grow(seeded(seed), family_named("function_library"), profile("uniform"), 4, seed, LANES)
        assert one is None or problems(one) == ()


def test_functions_on_arrays_are_grown() -> None:
    params = [param for one in grown() for function in functions(one.body) for param in function.params]
    assert sum(isinstance(param, Whole) for param in params) >= 8
    assert all(problems(one) == () for one in grown())


def test_indices_are_for_reading_only() -> None:
    """Nobody computes with the place of an element."""
    for function in (function for one in grown() for function in functions(one.body)):
        if isinstance(function.params[0], Whole):
            indices = function.params[1 : 1 + function.params[0].array.dimensions]
            for stmt in statements(function.body):
                if not isinstance(stmt, Assign) or stmt.value.type is not I32:
                    seen = {name for term in own_terms(stmt) for name in _values_in(term)}
                    assert seen.isdisjoint(index.name for index in indices)


def _values_in(term: Term) -> Iterator[str]:
    """Names of what a term computes with, indices aside."""
    match term:
        case Var(name, _):
            yield name
        case Apply(_, args) | Invoke(_, args):
            for arg in args:
                yield from _values_in(arg)
        case _:
            pass
