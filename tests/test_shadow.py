"""Shadows without Warp: what must agree to the bit, how far off the rest may be, and what can't be decided.

The key insight: Warp's rounding can be imitated. A run in which each inexact operation errs by two units in the last
place must pass whatever the kernel is, and one that errs by much more, or takes another way, must not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from grammar.atomics import MARKING, AtomicKind
from grammar.evaluate import Interpreter
from grammar.floats import precision
from grammar.layout import Inputs, Mask
from grammar.op import Lanes, Op
from grammar.ops import ROWS, SCALAR_ROWS
from grammar.params import Param, Role
from grammar.plain import Plain
from grammar.tree import Apply, Kernel, Read, Term
from grammar.types import F32, F64, FLOATS, HALVES, I32, Array, Scalar
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
    do,
    kernel,
    let,
    number,
    out,
    put,
    samples,
    size,
    var,
    when,
)
from tests.each import each
from validate.oracle import compare
from validate.shadow import Expected, Shadowed, expected, rounds_inside, run_shadowed

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
    return run_shadowed(kernel, inputs, patterns)


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
    loose = op.result in (F32, F64) and not op.exact
    assert (event.value.shadow is not None) == loose
    judgement = expected(algebra, "out")
    assert judgement.decided.sum() >= (4 if loose or op.exact else 3)
    assert (judgement.tolerance > 0).all() == loose


@pytest.mark.parametrize("type", HALVES)
@pytest.mark.parametrize("name", ["exp", "sin", "cbrt", "erf"])
def test_functions_of_two_bytes_are_exact_but_next_to_a_tie(name: str, type: Scalar) -> None:
    """Of all numbers: where it is decided, a few ulp of float32 make no difference."""
    op = ROWS[f"{name}({type})"]
    x = np.arange(2**16, dtype=np.uint16).view(type.dtype)
    value = Apply(op, (Read("a", I, type),))
    by_hand = kernel((Param("a", Array(type), Role.VALUE), out(type=type)), put("out", value))
    with np.errstate(all="ignore"):
        algebra = shadowed(by_hand, inputs_of(a=x, out=np.zeros(x.size, type.dtype)))
        single = op.meaning(x.astype(np.float32))
        ends = [single * np.float32(1 + side * 2.0**-22) for side in (1, -1)]
        results = [end.astype(type.dtype) for end in ends]
    (event,) = algebra.events
    finite, decided = np.isfinite(results[0].astype(np.float32)), ~algebra.undecided
    assert np.count_nonzero(~decided) < 0.01 * x.size
    for result in results:
        assert (result == event.value.lanes)[finite & decided].all()


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
        f"{name}({T},{T},{T})" for name in ("lerp", "smoothstep") for T in ("float32", "float16", "bfloat16")
    ]


def test_where_precision_is_lost_nothing_is_decided() -> None:
    lost = kernel((X, OUT), put("out", do("sub", do("add", do("sin", at("x")), 1e6), 1e6)))
    assert compare("out", judged(lost, inputs_of(x=[0.5], out=zeros(1))), np.array([123.0], np.float32)) == ""


def test_where_rounding_may_overflow_nothing_is_decided() -> None:
    """What cancels but for its last bits, which may be large, is infinite when squared, and 0 times that is NaN."""
    large = do("mul", do("sin", at("x")), at("y"))
    rest = do("sub", large, large)
    given = kernel((X, array("y", high=1e30), OUT), put("out", do("mul", do("mul", rest, rest), 0.0)))
    found = judged(given, inputs_of(x=[0.5, 0.5], y=[1.0, 1e30], out=zeros(2)))
    assert found.lanes.tolist() == [0.0, 0.0]
    assert found.decided.tolist() == [True, False]


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
        wide = [arg.astype(np.float64) if arg.dtype in self.error else arg for arg in args]
        right = Plain.apply(self, op, wide, active, within) if op.result in HALVES else value
        return np.asarray(right * (1 + noise * self.error[value.dtype])).astype(value.dtype)


TWO_ULPS = {t.dtype: 2 * precision(F32.dtype if t in HALVES else t.dtype).eps for t in FLOATS}
"""Of functions of two bytes, before they are rounded."""
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
    value = number(7) if kind in MARKING else at("m", I, I32)
    by_hand = kernel((array("m", I32), accumulator(type=I32)), atomic(kind, "total", value))
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
