"""Slopes that the reference tells without Warp: what they are, by how much an adjoint may differ, where there are none.

The key insight: a derivative that is known by heart shows whether differences find it, and a tolerance that is known to
be needed, because adjoints round on the way, shows whether noise finds that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from grammar.atomics import AtomicKind
from grammar.layout import Inputs
from grammar.limits import has_gradient
from grammar.op import Lanes
from grammar.ops import ROWS
from grammar.tree import Apply, Const, Kernel, Term
from grammar.types import BOOL, F32, F64, HALVES, Scalar, type_named
from tests.builders import (
    OUT,
    I,
    X,
    accumulator,
    array,
    at,
    atomic,
    change,
    do,
    double,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    put,
    samples,
    scalar,
    var,
)
from tests.test_shadow import ULP, inputs_of, shadowed, zeros
from validate.gradient import ExpectedGradient, cotangents, expected_gradients


def slopes(kernel: Kernel, inputs: Inputs, **weights: Sequence[float]) -> Mapping[str, ExpectedGradient]:
    given = {name: np.array([weight], np.float64) for name, weight in weights.items()}
    return expected_gradients(kernel, inputs, shadowed(kernel, inputs, 3), given)


@pytest.mark.parametrize(
    ("term", "slope"),
    [
        (do("mul", at("x"), at("x")), lambda x: 2 * x),
        (do("sin", do("mul", at("x"), 3.0)), lambda x: 3 * np.cos(3 * x)),
        (do("div", number(1.0), at("x")), lambda x: -1 / x**2),
        (do("neg", do("exp", at("x"))), lambda x: -np.exp(x)),
        (do("abs", at("x")), np.sign),
        (do("max", at("x"), 0.5), lambda x: (x > 0.5) * 1.0),
        (do("floor", at("x")), lambda x: 0 * x),
        (do("float32", do("float64", at("x"))), lambda x: 0 * x + 1),
        (do("ternary", do("less", at("x"), 0.5), at("x"), number(1.0)), lambda x: (x < 0.5) * 1.0),
    ],
)
def test_slopes_are_derivatives(term: Term, slope: Callable[[Lanes], Lanes]) -> None:
    x = np.array([-1.3, -0.4, 0.3, 0.7, 1.9], np.float32)
    weights = (1.0, -0.5, 1.5, 0.7, -1.1)
    found = slopes(kernel((X, OUT), put("out", term)), inputs_of(x=x, out=zeros(5)), out=weights)["x"]
    assert found.decided.all()
    wanted = np.array(weights) * slope(x.astype(np.float64))
    assert np.allclose(found.value, wanted, rtol=1e-6, atol=1e-9)  # the slopes are those at float32's values
    assert (np.abs(found.value - wanted) <= found.tolerance).all()
    assert (found.tolerance <= 1e-4 * (1 + np.abs(wanted))).all()


@pytest.mark.parametrize("choice", ["where", "ternary"])
def test_what_is_not_chosen_has_no_slope_even_if_it_is_no_number(choice: str) -> None:
    x, y = np.array([0.5, np.nan, np.inf, 2.0], np.float32), np.ones(4, np.float32)
    params = (X, array("y", F32), OUT)
    body = put("out", do(choice, do("isfinite", at("x")), at("x"), at("y")))
    found = slopes(kernel(params, body), inputs_of(x=x, y=y, out=zeros(4)), out=(1.0,) * 4)
    assert all(one.decided.all() for one in found.values())
    assert np.allclose(found["x"].value, [1, 0, 0, 1])
    assert np.allclose(found["y"].value, [0, 1, 1, 0])
    body = put("out", do("mul", at("x"), at("y")))
    found = slopes(kernel(params, body), inputs_of(x=x, y=y, out=zeros(4)), out=(1.0,) * 4)
    assert found["y"].decided.tolist() == [True, False, False, True]


@pytest.mark.parametrize("half", HALVES)
def test_halves_loosen_only_the_gradients_that_come_through_one(half: Scalar) -> None:
    params = (X, array("m", half), OUT, out("small", BOOL))
    beside = put("small", do("less", at("m", I, half), Const(half, 1.0)))
    inputs = inputs_of(x=[0.5, 1.5], m=np.ones(2, half.dtype), out=zeros(2), small=np.zeros(2, np.bool_))
    through = do("float32", do(half.name, do("mul", at("x"), at("x"))))
    alone, coarse = (
        slopes(kernel(params, put("out", value), beside), inputs, out=(1.0, 1.0))["x"]
        for value in (do("mul", at("x"), at("x")), through)
    )
    assert (alone.tolerance < 1e-4).all()
    assert (coarse.tolerance > 1e-3).all()


def test_slopes_add_up_over_lanes_and_trips() -> None:
    """Each element is read by every lane: sum over i of weight_i · i."""
    by_hand = kernel(
        (X, OUT),
        let("v", 0.0),
        loop("j", 3, change("v", "add", do("mul", at("x", ints("j")), do("float32", I)))),
        put("out", var("v")),
    )
    found = slopes(by_hand, inputs_of(x=[1.0, 2.0, 3.0, 4.0], out=zeros(4)), out=(1.0, 2.0, 3.0, 4.0))["x"]
    assert np.allclose(found.value, [20, 20, 20, 0], rtol=1e-7)
    assert found.decided.all()


def test_slopes_of_sums_and_extremes() -> None:
    """A sum gives its weight to all, an extreme to the lane that won."""
    params = (X, accumulator("total"), accumulator("most"))
    body = (atomic(AtomicKind.SUB, "total", at("x")), atomic(AtomicKind.MAX, "most", do("mul", at("x"), 2.0)))
    inputs = inputs_of(x=[1.0, 3.0, 2.0], total=[0.0], most=[0.0])
    found = slopes(kernel(params, *body), inputs, total=(0.5,), most=(1.0,))["x"]
    assert np.allclose(found.value, [-0.5, 1.5, -0.5])


def test_an_extreme_that_was_there_before_leaves_no_slope() -> None:
    by_hand = kernel((X, accumulator("most")), atomic(AtomicKind.MAX, "most", at("x")))
    found = slopes(by_hand, inputs_of(x=[1.0, 3.0], most=[9.0]), most=(1.0,))["x"]
    assert found.value.tolist() == [0.0, 0.0]


def test_ties_have_no_slope_to_compare_with() -> None:
    by_hand = kernel((X, accumulator("most")), atomic(AtomicKind.MAX, "most", at("x")))
    found = slopes(by_hand, inputs_of(x=[3.0, 3.0, 1.0], most=[0.0]), most=(1.0,))["x"]
    assert found.decided.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("term", "decided"),
    [
        (do("abs", do("sub", at("x"), 1.0)), [True, False, True]),
        (do("max", at("x"), 1.0), [True, False, True]),
        (do("floor", at("x")), [True, True, True]),
        (do("sqrt", do("abs", do("sub", at("x"), 1.0))), [True, False, True]),
        (do("mul", at("x"), at("x")), [True, True, True]),
        (do("ternary", do("less", at("x"), 1.0), at("x"), number(1.0)), [True, True, True]),
    ],
)
def test_no_slope_is_asked_for_at_kinks(term: Term, decided: list[bool]) -> None:
    """What passes no gradient on, and which way a branch went, is known at a jump of exact values too."""
    found = slopes(kernel((X, OUT), put("out", term)), inputs_of(x=[0.5, 1.0, 1.5], out=zeros(3)), out=(1.0, 1.0, 1.0))
    assert found["x"].decided.tolist() == decided


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_kink_is_near_wherever_the_argument_stands_that_is_near_it(place: int) -> None:
    """Any two of the three: 1 - 1e-8 is nearer to 1 than a step is long, and 0.5 is not."""
    ends = ((at("z", I, F64), double(-9.0), double(1.0)), (double(1.0), at("z", I, F64), double(9.0)))
    args = (*ends, (double(1.0), double(-9.0), at("z", I, F64)))[place]
    by_hand = kernel((array("z", F64), out("out", F64)), put("out", do("clamp", *args)))
    found = slopes(by_hand, inputs_of(z=np.array([0.5, 1 - 1e-8, 1.5]), out=zeros(3, np.float64)), out=(1.0,) * 3)
    assert found["z"].decided.tolist() == [True, False, True]


@pytest.mark.parametrize(("off", "is_told"), [(1e-1, True), (1e-6, False)])
def test_no_gradient_is_told_through_the_inverse_of_a_nearly_singular_matrix(off: float, is_told: bool) -> None:
    """Whose adjoint takes the inverse as it was rounded."""
    square = type_named("mat22f")
    taken = do("inverse", do("mul", at("m", I, square), 0.7))
    by_hand = kernel((array("m", square), out("out", square)), put("out", taken))
    given = inputs_of(m=np.array([[1.0, 0.3, 1.0, 0.3 + off]], np.float32), out=np.zeros((1, 4), np.float32))
    assert (slopes(by_hand, given, out=(1.0, 2.0, -1.0, 0.5))["m"].decided == is_told).all()


def test_no_slope_is_asked_for_where_a_value_underflows() -> None:
    """exp(-200) is 0 in float32: the slope of the cube root is infinite there, though it isn't of the number meant."""
    root = do("cbrt", do("exp", at("x")))
    found = slopes(kernel((X, OUT), put("out", root)), inputs_of(x=[-200.0, -2.0], out=zeros(2)), out=(1.0, 1.0))
    assert found["x"].decided.tolist() == [False, True]


def test_no_slope_is_told_where_a_factor_underflows() -> None:
    """erfc(15) is 0 in float32, and no gradient comes back through `nonzero`; but it decides what comes back to y."""
    told = do("nonzero", do("erfc", do("mul", at("x"), 15.0)))
    by_hand = kernel((X, array("y"), OUT), put("out", do("mul", at("y"), told)))
    found = slopes(by_hand, inputs_of(x=[1.0, 0.1], y=[1.0, 1.0], out=zeros(2)), out=(1.0, 1.0))["y"]
    assert found.decided.tolist() == [False, True]


def test_slopes_of_what_nearly_underflows_are_told_roughly() -> None:
    """erfc(27.1) is a handful of the smallest numbers there are, and so are the values on either side of it."""
    x = np.array([26.0, 26.8, 27.1, 27.2, 27.25])
    by_hand = kernel((array("x", F64), out("out", F64)), put("out", do("erfc", at("x", I, F64))))
    found = slopes(by_hand, inputs_of(x=x, out=zeros(5, np.float64)), out=(1.0,) * 5)["x"]
    assert found.decided.all()
    assert (np.abs(found.value + 2 / np.sqrt(np.pi) * np.exp(-(x**2))) <= found.tolerance).all()
    assert (found.tolerance < 1e-290).all()


@pytest.mark.parametrize(("factor", "is_told"), [(1e2, True), (1e5, False)])
def test_no_gradient_is_told_that_overflows_halves(factor: float, is_told: bool) -> None:
    """Nor one to an element that is made of halves."""
    halves = type_named("vec3h")
    scaled = do("mul", do("vec3f", at("b", I, halves)), factor)
    by_hand = kernel((array("b", halves), out("out", type_named("vec3f"))), put("out", scaled))
    given = inputs_of(b=np.ones((2, 3), np.float16), out=np.zeros((2, 3), np.float32))
    assert (slopes(by_hand, given, out=(1.0,) * 6)["b"].decided == is_told).all()


@pytest.mark.parametrize(("factor", "is_told"), [(1e6, True), (1e14, False), (1e-14, False)])
def test_no_gradient_is_told_through_what_is_too_long_or_too_short(factor: float, is_told: bool) -> None:
    """Warp's adjoint divides by the cube of the length, of which too little is left in float32."""
    turn = type_named("quatf")
    part = do("mul", at("x"), factor)
    long = Apply(ROWS["quatf(float32,float32,float32,float32)"], (number(0.0), part, part, number(factor)))
    turned = Apply(ROWS["quat_slerp(quatf,quatf,float32)"], (Apply(ROWS["quat_identity()"], ()), long, number(0.5)))
    by_hand = kernel((X, out("out", turn)), put("out", turned))
    found = slopes(by_hand, inputs_of(x=[0.7], out=np.zeros((1, 4), np.float32)), out=(1.0, 2.0, -1.0, 0.5))["x"]
    assert (found.decided == is_told).all()


def test_slope_is_zero_where_an_operation_passes_none_on() -> None:
    """Warp's registry says that `step` has no gradient; and ints carry none."""
    by_hand = kernel((X, OUT), put("out", do("add", do("step", at("x")), do("float32", do("int32", at("x"))))))
    found = slopes(by_hand, inputs_of(x=[0.5, 1.5], out=zeros(2)), out=(1.0, 1.0))["x"]
    assert found.value.tolist() == [0.0, 0.0]
    assert found.decided.all()


def test_slopes_by_double_precision_arrays() -> None:
    wide = kernel((array("z", F64), out(type=F64)), put("out", do("mul", do("sin", at("z", I, F64)), double(2.0))))
    found = slopes(wide, inputs_of(z=np.array([0.3, 1.1]), out=zeros(2, np.float64)), out=(1.0, 1.0))["z"]
    assert np.allclose(found.value, 2 * np.cos([0.3, 1.1]), rtol=1e-8)


def test_slopes_of_single_precision_inputs_are_rounded_to_it() -> None:
    """However precise what is computed from them is: their gradient is of their own type."""
    wide = kernel((X, out(type=F64)), put("out", do("mul", do("float64", at("x")), double(0.7))))
    found = slopes(wide, inputs_of(x=[0.3, 1.1], out=zeros(2, np.float64)), out=(1.0, 1.0))["x"]
    assert (np.abs(np.float32(0.7) - found.value) <= found.tolerance).all()
    assert (found.tolerance < 1e-5).all()


def test_slopes_that_cancel_within_an_operation_are_rounded_before() -> None:
    """The adjoint of t in lerp(a, b, t) is b·c − a·c, each rounded."""
    near = do("lerp", 1.5, 1.5000001, at("x"))
    found = slopes(kernel((X, OUT), put("out", near)), inputs_of(x=[0.3], out=zeros(1)), out=(1.0,))["x"]
    assert found.tolerance[0] > ULP


def test_slopes_that_cancel_behind_casts_are_rounded_before() -> None:
    """What is computed in float64 from a float32 goes back to it in float32, once for each cast."""
    wide = do("float64", at("x"))
    scaled = do("mul", do("float64", at("x")), double(-1.0000001))
    found = slopes(
        kernel((X, out(type=F64)), put("out", do("add", scaled, wide))),
        inputs_of(x=[0.3], out=zeros(1, np.float64)),
        out=(1.0,),
    )["x"]
    assert found.tolerance[0] > ULP


def test_slopes_that_cancel_between_operations_err_apart() -> None:
    """Near 1 the slope of acos loses digits, each time that it is asked for; acos(x)² has a smooth one."""
    angle = do("acos", at("x"))
    found = slopes(
        kernel((X, OUT), put("out", do("mul", angle, angle))), inputs_of(x=[0.99969], out=zeros(1)), out=(1.0,)
    )
    assert 1e-5 < found["x"].tolerance[0] / -found["x"].value[0] < 1e-1


def test_an_output_that_turns_fast_is_followed() -> None:
    """Near a pole of tan, sin(2 · tan x) goes through a period within a step of x, but not within steps of its own."""
    steep = do("tan", at("z", I, F64))
    both = kernel(
        (array("z", F64), out(type=F64), out("fast", F64)),
        put("out", steep),
        put("fast", do("sin", do("mul", steep, double(2.0)))),
    )
    z = np.array([-1.57224133, 0.3])
    found = slopes(both, inputs_of(z=z, out=zeros(2, np.float64), fast=zeros(2, np.float64)), out=(1, 1), fast=(9, 9))
    wanted = (1 + 18 * np.cos(2 * np.tan(z))) / np.cos(z) ** 2
    assert found["z"].decided.all()
    assert (np.abs(found["z"].value - wanted) <= found["z"].tolerance).all()
    assert (found["z"].tolerance <= 1e-3 * np.abs(wanted)).all()


def bell(x: Lanes) -> Lanes:
    """How fast erfcinv falls at |x|."""
    return np.asarray(np.sqrt(np.pi) / 2 * np.exp(ROWS["erfcinv(float64)"](np.abs(x)) ** 2))


def test_slopes_near_zero_are_told_by_short_steps() -> None:
    """Those of 1/x and of sqrt change within a step of common length; that of cos is lost in a short one.

    That of erfcinv would be, too, had 1 − x to tell one end of it from the other.
    """
    x = np.array([3e-9, -2e-7, 1e-5], np.float32)
    cases: tuple[tuple[Term, Callable[[Lanes], Lanes]], ...] = (
        (do("div", number(1.0), at("x")), lambda x: -1 / x**2),
        (do("sqrt", do("abs", at("x"))), lambda x: np.sign(x) / np.sqrt(np.abs(x)) / 2),
        (do("log", do("abs", at("x"))), lambda x: 1 / x),
        (do("cos", at("x")), lambda x: -x),
        (do("erfcinv", do("abs", at("x"))), lambda x: -np.sign(x) * bell(x)),
    )
    for term, slope in cases:
        found = slopes(kernel((X, OUT), put("out", term)), inputs_of(x=x, out=zeros(3)), out=(1.0, 1.0, 1.0))["x"]
        assert found.decided.all()
        assert np.allclose(found.value, slope(x.astype(np.float64)), rtol=1e-5, atol=1e-8)


def test_what_two_writes_give_back_is_rounded_before_it_cancels() -> None:
    by_hand = kernel((X, OUT, out("other")), put("out", at("x")), put("other", do("neg", at("x"))))
    given = inputs_of(x=[0.3], out=zeros(1), other=zeros(1))
    found = slopes(by_hand, given, out=(1.0,), other=(1.0 - 2.0**-20,))["x"]
    assert found.tolerance[0] > ULP / 2


def test_what_comes_back_thrice_is_rounded_before_it_cancels() -> None:
    """w − w + v is v only if it is added up in that order."""
    by_hand = kernel(
        (X, OUT, out("other")),
        let("a", at("x")),
        put("out", do("sub", do("add", var("a"), 3.0), var("a"))),
        put("other", do("mul", var("a"), 1e-3)),
    )
    found = slopes(by_hand, inputs_of(x=[0.3], out=zeros(1), other=zeros(1)), out=(1.0,), other=(1.0,))["x"]
    assert found.tolerance[0] > ULP / 2


def test_no_slope_is_asked_for_where_nothing_is_multiplied_by_infinity() -> None:
    """The slope of 0 ** b is 0 times the logarithm of 0, which is no number, whatever it is multiplied by."""
    angle = do("acos", at("x"))
    power = do("mul", angle, do("pow", angle, at("x")))
    found = slopes(kernel((X, OUT), put("out", power)), inputs_of(x=[1.0, 0.5], out=zeros(2)), out=(1.0, 1.0))["x"]
    assert found.decided.tolist() == [False, True]


def test_cotangents_are_of_order_one_and_repeat() -> None:
    seen = 0
    for sample in samples(1):
        if has_gradient(sample.kernel):
            weights = cotangents(sample.kernel, sample.inputs, sample.seed)
            again = cotangents(sample.kernel, sample.inputs, sample.seed)
            for name, weight in weights.items():
                seen += 1
                assert weight.dtype == sample.kernel.param(name).element.dtype
                assert weight.shape == sample.inputs.arrays[name].shape
                assert weight.tobytes() == again[name].tobytes()
                assert (np.abs(weight) >= 0.5).all()
                assert (np.abs(weight) <= 1.5).all()
    assert seen > 50


def test_most_slopes_of_grown_kernels_are_decided() -> None:
    shares = []
    for sample in samples(1, (3, 5)):
        if has_gradient(sample.kernel):
            inputs = sample.inputs
            weights = cotangents(sample.kernel, inputs, sample.seed)
            found = expected_gradients(sample.kernel, inputs, shadowed(sample.kernel, inputs, 3), weights)
            shares.append(np.concatenate([one.decided for one in found.values()]).mean())
    assert np.mean(shares) > 0.9


def test_scalars_have_no_slope_but_take_part() -> None:
    by_hand = kernel((X, scalar("s"), OUT), put("out", do("mul", at("x"), var("s"))))
    inputs = Inputs(2, dict(inputs_of(x=[1.0, 2.0], out=zeros(2)).arrays), {"s": np.array([3.0], np.float32)})
    found = slopes(by_hand, inputs, out=(1.0, 1.0))
    assert set(found) == {"x"}
    assert np.allclose(found["x"].value, [3.0, 3.0])
