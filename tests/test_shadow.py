"""Shadows without Warp: what must agree to the bit, how far off the rest may be, what can't be decided, and slopes.

The key insight: Warp's rounding can be imitated. A run in which each inexact operation errs by two units in the last
place must pass whatever the kernel is, and one that errs by much more, or takes another way, must not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from grammar.evaluate import Interpreter, Plain
from grammar.layout import Inputs, Mask
from grammar.limits import has_gradient
from grammar.op import Lanes, Op
from grammar.ops import ROWS, SCALAR_ROWS
from grammar.tree import Apply, AtomicKind, Kernel, Param, Read, Role, Term
from grammar.types import F64, FLOATS, I32, Array
from tests.builders import (
    OUT,
    I,
    Sample,
    X,
    Y,
    accumulator,
    array,
    at,
    atomic,
    bump,
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
    size,
    var,
    when,
)
from tests.each import each
from validate.gradient import ExpectedGradient, cotangents, expected_gradients
from validate.oracle import compare
from validate.shadow import Expected, Shadowed, expected, rounds_inside, run_shadowed
from validate.variants import Noise

PATTERNS = 12
ULP = 2.0**-23


def inputs_of(**columns: Sequence[float] | Lanes) -> Inputs:
    """One launch; what is not an array is a whole column of float32."""
    arrays = {
        name: np.asarray(column if isinstance(column, np.ndarray) else np.array(column, np.float32))[np.newaxis]
        for name, column in columns.items()
    }
    return Inputs(max(array.shape[1] for array in arrays.values()), arrays, {})


def shadowed(kernel: Kernel, inputs: Inputs, patterns: int = PATTERNS) -> Shadowed:
    return run_shadowed(kernel, inputs, Noise(patterns, inputs.launches * inputs.lanes))


def judged(kernel: Kernel, inputs: Inputs, name: str = "out") -> Expected:
    return expected(shadowed(kernel, inputs), name)


def zeros(count: int, type: type[Any] = np.float32) -> Lanes:
    return np.zeros(count, type)


# -- exact values -----------------------------------------------------------------------------------------------------


def kernel_of(op: Op) -> tuple[Kernel, Inputs]:
    """`out[i] = op(a[i], …)` on values at which every row is defined."""
    params = tuple(Param(letter, Array(type), Role.VALUE) for letter, type in zip("abc", op.params, strict=False))
    value = Apply(op, tuple(Read(p.name, I, p.element) for p in params))
    shares = np.array([[0.25, 0.5, 0.55, 0.3]])
    columns = [shares + 0.2 * k if p.element in FLOATS else np.array([[1, 2, 3, 0]]) + 1 for k, p in enumerate(params)]
    arrays = {p.name: column.astype(p.element.dtype) for p, column in zip(params, columns, strict=True)}
    arrays["out"] = np.zeros((1, 4), op.result.dtype)
    return kernel((*params, out(type=op.result)), put("out", value)), Inputs(4, arrays, {})


@each(SCALAR_ROWS)
def test_only_inexact_rows_leave_a_shadow(op: Op) -> None:
    by_hand, inputs = kernel_of(op)
    algebra = shadowed(by_hand, inputs)
    (event,) = algebra.events
    loose = op.result in FLOATS and not op.exact
    assert (event.value.shadow is not None) == loose
    judgement = expected(algebra, "out")
    assert judgement.decided.all()
    assert (judgement.tolerance > 0).all() == loose


def test_exact_rows_of_exact_values_are_exact() -> None:
    """Cancellation or not: Warp rounds each step as NumPy does."""
    cancelled = kernel((X, OUT), put("out", do("div", do("sub", do("add", at("x"), 1e4), 1e4), 3.0)))
    judgement = judged(cancelled, inputs_of(x=[0.1, 0.2, 0.3], out=zeros(3)))
    assert judgement.tolerance.tolist() == [0, 0, 0]
    assert judgement.lanes[0] == np.float32((np.float32(0.1) + np.float32(1e4)) - np.float32(1e4)) / np.float32(3)


def test_locals_hold_shadows_only_on_the_lanes_that_have_them() -> None:
    mixed = kernel(
        (X, OUT), let("v", at("x")), when(do("greater", I, 1), let("v", do("sin", at("x")))), put("out", var("v"))
    )
    judgement = judged(mixed, inputs_of(x=[0.1, 0.2, 0.3, 0.4], out=zeros(4)))
    assert judgement.lanes.tolist()[:2] == np.array([0.1, 0.2], np.float32).tolist()
    assert (judgement.tolerance[2:] > 0).all()
    assert (judgement.tolerance[:2] <= 4 * ULP).all()


# -- tolerances -------------------------------------------------------------------------------------------------------


def test_tolerance_of_one_inexact_row_is_a_few_ulps() -> None:
    judgement = judged(kernel((X, OUT), put("out", do("exp", at("x")))), inputs_of(x=[0.5, 1.0, 1.5], out=zeros(3)))
    in_ulps = judgement.tolerance / (np.abs(judgement.lanes) * ULP)
    assert (in_ulps > 4).all()
    assert (in_ulps < 64).all()


def test_tolerance_grows_with_cancellation() -> None:
    """(sin x + c) - c keeps the rounding that the sum had at c."""

    def tolerance(shift: float) -> float:
        value = do("sub", do("add", do("sin", at("x")), shift), shift)
        return float(
            judged(kernel((X, OUT), put("out", value)), inputs_of(x=[0.5, 0.6, 0.7], out=zeros(3))).tolerance.max()
        )

    assert tolerance(1.0) < 100 * ULP
    assert tolerance(16.0) > 4 * tolerance(1.0)
    assert tolerance(64.0) > 2 * tolerance(16.0)


def test_tolerance_knows_of_rounding_inside_an_operation() -> None:
    """lerp(x, x, t) is x whatever t is; but x·(1 − t) + x·t loses as many digits as t has before the point."""
    same = kernel((X, Y, OUT), put("out", do("lerp", at("x"), at("x"), do("exp", at("y")))))
    x = np.linspace(0.3, 0.9, 40, dtype=np.float32)
    allowed = judged(same, inputs_of(x=x, y=np.full(40, 6.0, np.float32), out=zeros(40)))
    assert (allowed.tolerance >= 0.5 * ULP * 400 * x).mean() > 0.7
    assert [key for key, op in ROWS.items() if rounds_inside(op)] == [
        f"{name}({T},{T},{T})" for name in ("lerp", "smoothstep") for T in ("float32", "float16")
    ]


def test_where_precision_is_lost_nothing_is_decided() -> None:
    lost = kernel((X, OUT), put("out", do("sub", do("add", do("sin", at("x")), 1e6), 1e6)))
    assert compare("out", judged(lost, inputs_of(x=[0.5], out=zeros(1))), np.array([123.0], np.float32)) == ""


def test_tolerance_follows_the_slope() -> None:
    steep, flat = (
        kernel((X, OUT), put("out", do("exp", do("mul", do("sin", at("x")), factor)))) for factor in (8.0, 0.125)
    )
    inputs = inputs_of(x=[1.0, 1.2], out=zeros(2))
    relative = [j.tolerance / j.lanes for j in (judged(steep, inputs), judged(flat, inputs))]
    assert (relative[0] > 2 * relative[1]).all()


def test_double_precision_has_finer_tolerances() -> None:
    wide = kernel((array("z", F64), out(type=F64)), put("out", do("sin", at("z", I, F64))))
    judgement = judged(wide, inputs_of(z=np.array([0.5, 0.6]), out=zeros(2, np.float64)))
    assert (judgement.tolerance < 64 * 2.0**-52).all()


@dataclass(slots=True)
class Erring(Plain):
    """Plain values of which each result of an inexact float operation is off, by at most so much of itself."""

    error: Mapping[np.dtype[Any], float] = field(default_factory=dict)
    seed: int = 0

    def apply(self, op: Op, args: Sequence[Lanes], active: Mask, within: Op | None = None) -> Lanes:
        value = Plain.apply(self, op, args, active, within)
        if op.result not in FLOATS or op.exact:
            return value
        self.seed += 1
        noise = np.random.Generator(np.random.PCG64(self.seed)).uniform(-1, 1, value.shape)
        return np.asarray(value * (1 + noise * self.error[value.dtype])).astype(value.dtype)


TWO_ULPS = {t.dtype: 2 * float(np.finfo(t.dtype).eps) for t in FLOATS}
MUCH = {t.dtype: 1e-4 for t in FLOATS}
NOTHING = {t.dtype: 0.0 for t in FLOATS}


def erring(sample: Sample, error: Mapping[np.dtype[Any], float]) -> Mapping[str, Lanes]:
    plain = Erring.on(sample.inputs)
    assert isinstance(plain, Erring)
    plain.error = error
    with np.errstate(all="ignore"):
        Interpreter(plain, sample.inputs).run(sample.kernel)
    return {p.name: plain.arrays[p.name] for p in sample.kernel.params if p.is_output}


def told(sample: Sample, computed: Mapping[str, Lanes], patterns: int) -> str:
    """What the oracle has to say on these outputs."""
    algebra = shadowed(sample.kernel, sample.inputs, patterns)
    return next((said for name in computed if (said := compare(name, expected(algebra, name), computed[name]))), "")


def test_what_rounding_may_do_is_tolerated() -> None:
    """The second look has many variants; the first, of three, is rarely wrong."""
    alarms = 0
    for sample in samples(1):
        computed = erring(sample, TWO_ULPS)
        if told(sample, computed, 3):
            alarms += 1
            assert told(sample, computed, 40) == "", sample
    assert alarms <= 0.02 * len(samples(1))


@pytest.mark.no_cover
def test_what_rounding_can_t_do_is_not_tolerated() -> None:
    """Operations off by a ten-thousandth show in nearly all kernels in whose results that makes a difference."""
    shown = [sample for sample in samples(2) if _differs(erring(sample, NOTHING), erring(sample, MUCH))]
    caught = [sample for sample in shown if told(sample, erring(sample, MUCH), 3)]
    assert len(shown) > 40
    assert len(caught) > 0.97 * len(shown)


def _differs(right: Mapping[str, Lanes], wrong: Mapping[str, Lanes]) -> bool:
    return any(not np.allclose(right[name], wrong[name], rtol=1e-5, equal_nan=True) for name in right)


# -- jumps ------------------------------------------------------------------------------------------------------------

SINE = np.sin(np.array([0.3, 0.6, 0.9], np.float32))
"""Of which the second is the threshold below."""


def compared(left: Term, right: Term) -> Kernel:
    return kernel((X, Y, OUT), when(do("less", left, right), put("out", at("x")), orelse=(put("out", at("y")),)))


def test_comparisons_of_inexact_values_are_undecided_at_their_threshold() -> None:
    inputs = inputs_of(x=[0.3, 0.6, 0.9], y=[SINE[1]] * 3, out=zeros(3))
    algebra = shadowed(compared(do("sin", at("x")), at("y")), inputs)
    assert algebra.undecided.tolist() == [False, True, False]
    assert expected(algebra, "out").decided.tolist() == [True, False, True]


def test_comparisons_of_exact_values_are_decided_at_their_threshold() -> None:
    inputs = inputs_of(x=[0.3, 0.6, 0.9], y=[0.6] * 3, out=zeros(3))
    assert not shadowed(compared(at("x"), at("y")), inputs).undecided.any()


def test_the_undecided_are_few_ulps_wide() -> None:
    """A thousand ulps away from the threshold a comparison is decided."""
    near, far = 1 + 2 * ULP, 1 + 1000 * ULP
    inputs = inputs_of(x=[0.6] * 3, y=np.float32(SINE[1]) * np.array([1, near, far], np.float32), out=zeros(3))
    assert shadowed(compared(do("sin", at("x")), at("y")), inputs).undecided.tolist() == [True, True, False]


@pytest.mark.parametrize("operation", ["floor", "ceil", "trunc", "int32"])
def test_steps_of_inexact_values_are_undecided(operation: str) -> None:
    stepped = do(operation, do("exp", at("x")))
    by_hand = kernel((X, out(type=stepped.type)), put("out", stepped))
    inputs = inputs_of(x=[0.5, np.log(2.0), 0.9], out=zeros(3, stepped.type.dtype.type))
    assert shadowed(by_hand, inputs).undecided.tolist() == [False, True, False]


def test_rounding_is_undecided_at_halves_only() -> None:
    by_hand = kernel((X, OUT), put("out", do("rint", do("exp", at("x")))))
    inputs = inputs_of(x=[np.log(2.0), np.log(2.5), np.log(3.0)], out=zeros(3))
    assert shadowed(by_hand, inputs).undecided.tolist() == [False, True, False]


def test_inactive_lanes_are_not_undecided() -> None:
    guarded = kernel(
        (X, OUT), when(do("equal", I, 0), put("out", do("floor", do("exp", at("x")))), orelse=(put("out", at("x")),))
    )
    inputs = inputs_of(x=[np.log(2.0), np.log(2.0)], out=zeros(2))
    assert shadowed(guarded, inputs).undecided.tolist() == [True, False]


def test_an_undecided_lane_spoils_only_what_it_may_write() -> None:
    gathered = compared(do("sin", at("x", do("mod", do("add", I, 1), size("x")))), at("y"))
    inputs = inputs_of(x=[0.3, 0.6, 0.9], y=[SINE[1]] * 3, out=zeros(3))
    assert judged(gathered, inputs).decided.tolist() == [False, True, True]


def test_an_undecided_lane_spoils_the_sum_it_takes_part_in() -> None:
    by_hand = kernel(
        (X, Y, accumulator(size=2)),
        when(do("less", do("sin", at("x")), at("y")), atomic(AtomicKind.ADD, "total", at("x"), do("mod", I, 2))),
    )
    inputs = inputs_of(x=[0.3, 0.6, 0.9], y=[SINE[1]] * 3, total=zeros(2))
    assert judged(by_hand, inputs, "total").decided.tolist() == [True, False]


def binned(index: Term, *others: Param) -> Kernel:
    return kernel((X, *others, accumulator(size=4)), atomic(AtomicKind.ADD, "total", at("x"), index))


def test_who_may_write_anywhere_spoils_all_of_an_array_but_only_in_its_own_launch() -> None:
    jump = float(np.log(np.float32(2.0)))
    two_launches = Inputs(2, {"x": np.array([[0.1, jump], [0.2, 1.2]], np.float32), "total": np.zeros((2, 4))}, {})
    by_hand = binned(do("clamp", do("int32", do("exp", at("x"))), 0, 3))
    assert shadowed(by_hand, two_launches).undecided.tolist() == [False, True, False, False]
    assert judged(by_hand, two_launches, "total").decided.tolist() == [False] * 4 + [True] * 4


def test_who_writes_where_an_input_says_spoils_that_alone() -> None:
    places = np.array([2, 0, 3], np.int32)
    inputs = replace(inputs_of(x=[0.3, 0.6, 0.9], y=[SINE[1]] * 3, m=places, total=zeros(4)), lanes=3)
    by_hand = binned(at("m", I, I32), Y, array("m", I32))
    guarded = replace(by_hand, body=(by_hand.body[0], when(do("less", do("sin", at("x")), at("y")), by_hand.body[1])))
    assert judged(guarded, inputs, "total").decided.tolist() == [False, True, True, True]


def test_undefined_lanes_are_undecided() -> None:
    by_hand = kernel((array("m", I32), out(type=I32)), put("out", do("div", number(6), at("m", I, I32))))
    inputs = inputs_of(m=np.array([1, 0, 2], np.int32), out=zeros(3, np.int32))
    judgement = judged(by_hand, inputs)
    assert judgement.decided.tolist() == [True, False, True]
    assert judgement.lanes[[0, 2]].tolist() == [6, 3]


# -- what the outputs hold --------------------------------------------------------------------------------------------


def test_what_is_not_written_stays_as_it_was() -> None:
    by_hand = kernel((X, OUT), when(do("greater", at("x"), 0.0), put("out", at("x"))))
    judgement = judged(by_hand, inputs_of(x=[1.0, -1.0], out=[7.0, 8.0]))
    assert judgement.lanes.tolist() == [1.0, 8.0]
    assert judgement.tolerance.tolist() == [0.0, 0.0]
    assert judgement.decided.all()


def test_the_last_store_counts() -> None:
    by_hand = kernel((X, OUT), put("out", do("sin", at("x"))), put("out", at("x")))
    judgement = judged(by_hand, inputs_of(x=[1.0, 2.0], out=zeros(2)))
    assert judgement.lanes.tolist() == [1.0, 2.0]
    assert judgement.tolerance.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("kind", "result"),
    [(AtomicKind.ADD, 16.5), (AtomicKind.SUB, 3.5), (AtomicKind.MIN, 0.5), (AtomicKind.MAX, 10.0)],
)
def test_atomics_fold(kind: AtomicKind, result: float) -> None:
    judgement = judged(
        kernel((X, accumulator()), atomic(kind, "total", at("x"))), inputs_of(x=[1, 5, 0.5], total=[10]), "total"
    )
    assert judgement.lanes.tolist() == [result]


def test_sums_of_floats_may_be_added_in_any_order() -> None:
    """However badly they cancel: the bound follows from the terms, not from the sum."""
    rng = np.random.Generator(np.random.PCG64(3))
    values = np.concatenate([v := rng.uniform(0, 1000, 200).astype(np.float32), -v[::-1] + np.float32(0.1)])
    by_hand = kernel((X, accumulator()), atomic(AtomicKind.ADD, "total", at("x")))
    judgement = judged(by_hand, inputs_of(x=values, total=[1.0]), "total")
    for _ in range(20):
        total = np.float32(1.0)
        for value in rng.permutation(values):
            total += value
        assert compare("total", judgement, np.array([total], np.float32)) == ""
    assert judgement.tolerance[0] < 1.0


@pytest.mark.parametrize("kind", [AtomicKind.MIN, AtomicKind.MAX])
def test_extremes_of_exact_values_are_exact(kind: AtomicKind) -> None:
    by_hand = kernel((X, accumulator()), atomic(kind, "total", at("x")))
    judgement = judged(by_hand, inputs_of(x=[1.0, 2.0, 3.0], total=[2.5]), "total")
    off = np.nextafter(judgement.lanes, np.float32(9))
    assert compare("total", judgement, judgement.lanes) == ""
    assert compare("total", judgement, off) != ""


@pytest.mark.parametrize("kind", AtomicKind)
def test_atomics_of_ints_are_exact(kind: AtomicKind) -> None:
    by_hand = kernel((array("m", I32), accumulator(type=I32)), atomic(kind, "total", at("m", I, I32)))
    inputs = inputs_of(m=np.array([3, 4], np.int32), total=zeros(1, np.int32))
    judgement = judged(by_hand, inputs, "total")
    assert judgement.tolerance.tolist() == [0.0]
    assert compare("total", judgement, judgement.lanes + np.int32(1)) != ""


def test_one_addition_per_element_is_exact() -> None:
    by_hand = kernel((X, accumulator(size=None)), bump("total", "sub", at("x")))
    judgement = judged(by_hand, inputs_of(x=[1.0, 2.0], total=[0.1, 0.2]), "total")
    assert judgement.lanes.tolist() == (np.array([0.1, 0.2], np.float32) - np.array([1, 2], np.float32)).tolist()
    assert judgement.tolerance.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_must_be_what_they_are(value: float) -> None:
    by_hand = kernel((X, OUT), put("out", do("mul", do("sin", at("x")), at("x"))), put("out", at("x")))
    judgement = judged(by_hand, inputs_of(x=[value], out=zeros(1)))
    assert compare("out", judgement, np.array([value], np.float32)) == ""
    for other in {np.nan, np.inf, -np.inf, 1.0} - {value}:
        if not (np.isnan(other) and np.isnan(value)):
            assert compare("out", judgement, np.array([other], np.float32)) != ""


def test_signs_of_zero_count_where_exact() -> None:
    judgement = judged(kernel((X, OUT), put("out", do("mul", at("x"), -1.0))), inputs_of(x=[0.0], out=zeros(1)))
    assert compare("out", judgement, np.array([-0.0], np.float32)) == ""
    assert compare("out", judgement, np.array([0.0], np.float32)) != ""


# -- slopes -----------------------------------------------------------------------------------------------------------


def slopes(kernel: Kernel, inputs: Inputs, **weights: Sequence[float]) -> Mapping[str, ExpectedGradient]:
    given = {name: np.array([weight], np.float64) for name, weight in weights.items()}
    return expected_gradients(kernel, inputs, shadowed(kernel, inputs), given, 2)


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
    assert np.allclose(found.value, wanted, rtol=1e-7, atol=1e-9)
    assert (np.abs(found.value - wanted) <= found.tolerance).all()
    assert (found.tolerance <= 1e-4 * (1 + np.abs(wanted))).all()


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


def test_no_slope_is_asked_for_where_a_value_underflows() -> None:
    """exp(-200) is 0 in float32: the slope of the cube root is infinite there, though it isn't of the number meant."""
    root = do("cbrt", do("exp", at("x")))
    found = slopes(kernel((X, OUT), put("out", root)), inputs_of(x=[-200.0, -2.0], out=zeros(2)), out=(1.0, 1.0))
    assert found["x"].decided.tolist() == [False, True]


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


def test_one_output_does_not_cover_for_another_that_turns_faster_than_steps() -> None:
    """Near a pole of tan, sin(2 · tan x) has a period between two steps; the slope of tan itself is greater still."""
    steep = do("tan", at("z", I, F64))
    both = kernel(
        (array("z", F64), out(type=F64), out("fast", F64)),
        put("out", steep),
        put("fast", do("sin", do("mul", steep, double(2.0)))),
    )
    given = inputs_of(z=np.array([-1.57224133, 0.3]), out=zeros(2, np.float64), fast=zeros(2, np.float64))
    assert slopes(both, given, out=(1.0, 1.0), fast=(0.5, 0.5))["z"].decided.tolist() == [False, True]


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
            found = expected_gradients(sample.kernel, inputs, shadowed(sample.kernel, inputs), weights, 2)
            shares.append(np.concatenate([one.decided for one in found.values()]).mean())
    assert np.mean(shares) > 0.9


def test_scalars_have_no_slope_but_take_part() -> None:
    by_hand = kernel((X, scalar("s"), OUT), put("out", do("mul", at("x"), var("s"))))
    inputs = Inputs(2, dict(inputs_of(x=[1.0, 2.0], out=zeros(2)).arrays), {"s": np.array([3.0], np.float32)})
    found = slopes(by_hand, inputs, out=(1.0, 1.0))
    assert set(found) == {"x"}
    assert np.allclose(found["x"].value, [3.0, 3.0])
