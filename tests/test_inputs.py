"""The values kernels are launched with: repeatable, in range, unrelated between names; and the special ones.

The key insight: columns are functions, so statistics of many draws and equality of two calls are all there is to test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from grammar.atomics import AtomicKind
from grammar.floats import precision
from grammar.inputs import COUNT_SLACK, POISON, REGULAR_SETS, column, from_columns, poison, regular, uniform
from grammar.layout import Inputs
from grammar.op import Lanes
from grammar.params import Param, Role
from grammar.plain import run_plain
from grammar.types import BOOL, F32, F64, FLOATS, HALVES, I32, SCALARS, Array, Composite, Element, Scalar, type_named
from tests.builders import (
    LANES,
    OUT,
    I,
    X,
    accumulator,
    array,
    at,
    atomic,
    do,
    ints,
    kernel,
    let,
    number,
    out,
    put,
    samples,
    scalar,
    var,
    when,
    while_,
)
from validate.specials import FLOAT_CHOICES, FLOAT_SPECIALS, joined, special

BITS = {scalar.name: f"u{scalar.dtype.itemsize}" for scalar in SCALARS}


def each(types: tuple[Scalar, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("type", types, ids=repr)


# -- numbers in [0, 1) ------------------------------------------------------------------------------------------------


def test_uniform_numbers_are_the_same_everywhere() -> None:
    """Written down: data can be made again on any machine, with any version of NumPy."""
    assert uniform(7, "x", (3,)).tolist() == [0.34384449004610895, 0.7759821587022927, 0.03768123669660561]


def test_uniform_numbers_have_the_moments_of_uniform_ones() -> None:
    many = uniform(1, "x", (100, 1000))
    assert many.min() >= 0
    assert many.max() < 1
    assert abs(many.mean() - 1 / 2) < 0.005
    assert abs(many.var() - 1 / 12) < 0.002
    counts, _ = np.histogram(many, 64, (0, 1))
    expected = many.size / 64
    assert float(((counts - expected) ** 2 / expected).sum()) < 64 + 5 * np.sqrt(2 * 64)


def test_neighbours_are_unrelated() -> None:
    many = uniform(2, "x", (20000,))
    for lag in (1, 2, 64):
        assert abs(np.corrcoef(many[lag:], many[:-lag])[0, 1]) < 0.03


def test_names_and_seeds_are_unrelated() -> None:
    """Also names that differ in a letter, and seeds that differ by one."""
    columns = [uniform(seed, name, (4000,)) for seed in (0, 1, 2, 1 << 40) for name in ("x", "y", "x1", "x2", "xs")]
    for one, other in combinations(columns, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.08
        assert np.intersect1d(one, other).size == 0


def test_shape_is_only_a_shape() -> None:
    assert uniform(3, "x", (2, 50)).ravel().tolist() == uniform(3, "x", (100,)).tolist()


# -- columns ----------------------------------------------------------------------------------------------------------


@each(SCALARS)
def test_columns_repeat(type: Scalar) -> None:
    param = array("x", type)
    column.cache_clear()
    first = column(param, 5, LANES).copy()
    column.cache_clear()
    assert column(param, 5, LANES).tobytes() == first.tobytes()
    assert column(param, 6, LANES).tobytes() != first.tobytes()
    assert column(replace(param, name="y"), 5, LANES).tobytes() != first.tobytes()


@each(SCALARS)
def test_columns_can_t_be_written_to(type: Scalar) -> None:
    """They are shared between kernels of a seed."""
    with pytest.raises(ValueError, match="read-only"):
        column(array("x", type), 5, LANES)[0] = 0


@each(FLOATS)
def test_floats_fill_their_range(type: Scalar) -> None:
    values = column(array("x", type, -0.5, 2.0), 5, 4096)
    assert values.dtype == type.dtype
    assert values.shape == (REGULAR_SETS, 4096)
    assert -0.5 <= values.min() < -0.49
    assert 1.99 < values.max() <= 2.0


def test_ints_take_every_value_of_their_range() -> None:
    values = column(array("m", I32, -3, 2), 5, 512)
    assert values.dtype == np.int32
    assert sorted(set(values.ravel().tolist())) == [-3, -2, -1, 0, 1, 2]


def test_bools_are_even() -> None:
    values = column(array("flag", BOOL), 5, 4096)
    assert values.dtype == np.bool_
    assert 0.45 < values.mean() < 0.55


@each(SCALARS)
def test_scalars_have_a_value_per_launch(type: Scalar) -> None:
    assert column(scalar("s", type), 5, LANES, launches=3).shape == (3,)


def test_indices_are_valid_and_reach_everywhere() -> None:
    values = column(Param("at", Array(I32), Role.INDEX), 5, LANES, launches=100)
    assert sorted(set(values.ravel().tolist())) == list(range(LANES))


def test_counts_leave_some_lanes_out() -> None:
    values = column(Param("n", I32, Role.COUNT), 5, LANES)
    assert values.tolist() == [LANES - COUNT_SLACK] * REGULAR_SETS


@pytest.mark.parametrize("type", [F32, F64, type_named("vec3f")])
@pytest.mark.parametrize(("role", "is_missing"), [(Role.MISSING, np.isnan), (Role.INFINITE, np.isinf)])
def test_a_share_of_elements_is_missing(type: Element, role: Role, is_missing: Callable[[Lanes], Lanes]) -> None:
    """The others are as ever; of infinities there are both."""
    param = Param("x", Array(type), role, 1.0, 2.0)
    values = column(param, 5, 1024).reshape(-1, type.width if isinstance(type, Composite) else 1)
    missing = is_missing(values)
    assert 0.2 < missing.any(axis=1).mean() < 0.3
    assert ((values[~missing] >= 1.0) & (values[~missing] <= 2.0)).all()
    assert role is Role.MISSING or 0.4 < (values[missing] > 0).mean() < 0.6


def test_accumulators_hold_numbers_before_the_launch() -> None:
    values = column(accumulator(size=4), 5, LANES)
    assert values.shape == (REGULAR_SETS, 4)
    assert np.isfinite(values).all()
    assert (values != 0).all()


def test_launches_differ() -> None:
    one, other = column(array("x"), 5, LANES)
    assert (one != other).all()


# -- poison -----------------------------------------------------------------------------------------------------------


@each(SCALARS)
def test_outputs_hold_poison(type: Scalar) -> None:
    values = column(out(type=type), 5, LANES)
    assert values.dtype == type.dtype
    assert set(values.view(BITS[type.name]).ravel().tolist()) == {POISON[type.name]}


@each(FLOATS)
def test_poison_is_a_quiet_nan_with_a_payload(type: Scalar) -> None:
    """So it isn't the NaN that arithmetic makes, and arithmetic on it raises nothing."""
    value = poison(out(type=type), (1,))
    quiet = round(0.5 / precision(type.dtype).eps)
    bits = int(value.view(BITS[type.name])[0])
    assert np.isnan(value).all()
    assert bits & quiet
    assert bits != int(np.array([np.nan], type.dtype).view(BITS[type.name])[0])


# -- sets of inputs ---------------------------------------------------------------------------------------------------


def test_regular_inputs_have_every_parameter_once() -> None:
    for sample in samples(1):
        inputs = sample.inputs
        names = [*inputs.arrays, *inputs.scalars]
        assert sorted(names) == sorted(p.name for p in sample.kernel.params)
        assert inputs.launches == REGULAR_SETS


def test_grown_kernels_are_defined_on_their_regular_inputs() -> None:
    for sample in samples():
        assert not run_plain(sample.kernel, sample.inputs).undefined.any(), sample


def test_from_columns_tells_arrays_from_scalars() -> None:
    params = (X, scalar("s"))
    inputs = from_columns(params, {p.name: column(p, 1, 8) for p in params}, 8)
    assert set(inputs.arrays) == {"x"}
    assert set(inputs.scalars) == {"s"}
    assert inputs.lanes == 8


# -- special values ---------------------------------------------------------------------------------------------------


def test_special_values_are_there() -> None:
    """Zeros of both signs, infinities, NaN, halves and the extremes of float32, all within 64 lanes."""
    inputs = special(kernel((X, OUT), put("out", at("x"))), 5, LANES)
    assert inputs is not None
    values = inputs.arrays["x"]
    assert values.shape == (1, LANES)
    there = set(values.view(np.uint32).ravel().tolist())
    assert set(np.array(FLOAT_SPECIALS, np.float32).view(np.uint32).tolist()) <= there
    assert np.isin(values, column(X, 5, LANES, 1)).sum() >= LANES / 4


@each((F32, *HALVES))
def test_the_largest_number_is_among_the_special_ones(type: Scalar) -> None:
    largest = precision(type.dtype).max
    assert {largest, -largest} <= set(FLOAT_CHOICES[type].astype(np.float64).tolist())


def test_special_values_differ_between_parameters_and_seeds() -> None:
    both = kernel((X, array("y"), OUT), put("out", do("add", at("x"), at("y"))))
    one, other = special(both, 5, LANES), special(both, 6, LANES)
    assert one is not None
    assert other is not None
    assert one.arrays["x"].tobytes() != one.arrays["y"].tobytes()
    assert one.arrays["x"].tobytes() != other.arrays["x"].tobytes()


@pytest.mark.parametrize("operation", ["div", "floordiv", "mod"])
def test_integers_are_not_divided_by_zero(operation: str) -> None:
    """Lanes on which a special value would be undefined have ordinary ones."""
    divided = kernel(
        (array("m", I32, 1, 8), array("d", I32, 1, 8), out("counts", I32)),
        put("counts", do(operation, at("m", I, I32), do("sub", at("d", I, I32), 8))),
    )
    by_zero = column(divided.param("d"), 5, LANES, 1) == 8
    inputs = special(divided, 5, LANES)
    assert by_zero.any() == (inputs is None)


def test_only_lanes_that_would_be_undefined_are_mended() -> None:
    """1 / int(x): NaN, infinities and what is too large can't be cast; halves, zeros of either sign can't divide."""
    inverse = kernel(
        (array("x", F32, 1.0, 4.0), out("counts", I32)),
        put("counts", do("div", number(100), do("int32", at("x")))),
    )
    inputs = special(inverse, 5, LANES)
    assert inputs is not None
    values = inputs.arrays["x"][0]
    assert not run_plain(inverse, inputs).undefined.any()
    assert {1.5, 2.5, 3.0, -1.0, -2.5} <= set(values.tolist())
    assert np.isfinite(values).all()
    assert (np.abs(values) >= 1).all()


def test_indices_and_counts_stay_ordinary() -> None:
    params = (X, Param("at", Array(I32), Role.INDEX), Param("n", I32, Role.COUNT), OUT)
    gathered = kernel(params, when(do("less", I, var("n", I32)), put("out", at("x", at("at", I, I32)))))
    inputs = special(gathered, 5, LANES)
    assert inputs is not None
    assert inputs.arrays["at"].tolist() == column(params[1], 5, LANES, 1).tolist()
    assert inputs.scalars["n"].tolist() == [LANES - COUNT_SLACK]
    assert set(inputs.arrays["out"].view(np.uint32).ravel().tolist()) == {POISON["float32"]}


def test_what_all_lanes_share_shows_its_other_side() -> None:
    """A number is as far from the other end of its range; a flag is negated."""
    n = scalar("n", I32, -8, 8)
    mask, turn = array("mask", BOOL), scalar("turn", type_named("quatf"), -1.0, 1.0)
    term = do("where", at("mask", I, BOOL), do("mul", at("x"), var("s")), 0.0)
    many = kernel((X, scalar("s"), n, mask, turn, OUT), put("out", term))
    usual, other = regular(many, 5, LANES), special(many, 5, LANES)
    assert other is not None
    assert other.scalars["s"][0] == pytest.approx(2.5 - usual.scalars["s"][0])
    assert other.scalars["n"][0] == -usual.scalars["n"][0]
    assert (other.arrays["mask"][0] == ~usual.arrays["mask"][0]).all()
    assert (other.scalars["turn"][0] == usual.scalars["turn"][0]).all()


def test_a_scalar_whose_other_side_would_be_undefined_stays() -> None:
    n = scalar("n", I32, 1, 8)
    usual = regular(kernel((X, n, OUT), put("out", at("x"))), 5, LANES)
    side = 9 - int(usual.scalars["n"][0])
    divided = kernel(
        (array("m", I32, 1, 8), n, out("counts", I32)),
        put("counts", do("div", at("m", I, I32), do("sub", ints("n"), side))),
    )
    inputs = special(divided, 5, LANES)
    assert inputs is not None
    assert inputs.scalars["n"][0] == usual.scalars["n"][0]


def test_no_special_inputs_where_the_kernel_is_always_undefined() -> None:
    always = kernel((X, out("counts", I32)), put("counts", do("div", number(1), number(0))))
    assert special(always, 5, LANES) is None


def test_no_special_inputs_where_a_loop_would_not_end() -> None:
    halving = kernel(
        (array("x", F32, 1.0, 2.0), OUT),
        let("v", at("x")),
        while_(do("greater", var("v"), 0.5), let("v", do("max", do("mul", var("v"), 0.5), at("x")))),
        put("out", var("v")),
    )
    assert special(halving, 5, LANES) is None


def test_joined_inputs_are_more_launches() -> None:
    total = kernel((X, scalar("s"), accumulator()), atomic(AtomicKind.ADD, "total", do("mul", at("x"), var("s"))))
    usual, other = regular(total, 5, LANES), special(total, 5, LANES)
    assert other is not None
    both = joined(usual, other)
    assert both.launches == REGULAR_SETS + 1
    assert joined(usual, None) is usual
    for launch in range(both.launches):
        one: Inputs = usual if launch < REGULAR_SETS else other
        k = launch if launch < REGULAR_SETS else 0
        assert both.arrays["x"][launch].tobytes() == one.arrays["x"][k].tobytes()
        assert both.scalars["s"][launch] == one.scalars["s"][k]


def test_most_grown_kernels_have_special_inputs() -> None:
    special_sets = [special(sample.kernel, sample.seed, LANES) for sample in samples(1)]
    assert sum(inputs is not None for inputs in special_sets) > 0.95 * len(special_sets)
    for sample, inputs in zip(samples(1), special_sets, strict=True):
        assert inputs is None or not run_plain(sample.kernel, inputs).undefined.any(), sample


def test_double_precision_gets_its_own_extremes() -> None:
    wide = special(kernel((array("z", F64), out("wide", F64)), put("wide", at("z", I, F64))), 5, LANES)
    assert wide is not None
    assert wide.arrays["z"].dtype == np.float64
    assert {np.inf, -np.inf, 1e30} <= set(wide.arrays["z"][0].tolist())
