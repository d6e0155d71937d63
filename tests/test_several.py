"""Functions and builtins with several results: what they mean, how they are spelt and stored, what is wrong.

The key insight: the lanes that return early and those that don't must each get their own pair, so the function by hand
returns in two places.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from corpus.row import operations
from grammar.alive import swept
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.families import family_named
from grammar.flow import active_names, carriers
from grammar.grow import grow
from grammar.heights import height
from grammar.inputs import regular
from grammar.layout import Inputs
from grammar.limits import APPROXIMATE, limitation
from grammar.ops import ROWS, SEVERAL
from grammar.params import Param, Role
from grammar.plain import run_plain
from grammar.profiles import profile
from grammar.rewrites import REWRITES
from grammar.serial import kernel_of, plain_of
from grammar.several import OF_SYMMETRIC
from grammar.tree import Apply, Function, Invoke, Kernel, Read, Return, Term, Unpack, Var, all_statements, functions
from grammar.types import F32, I32, Composite, Element
from tests.builders import (
    LANES,
    OUT,
    I,
    X,
    Y,
    array,
    at,
    change,
    do,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    put,
    size,
    var,
    when,
)
from tests.lane_by_lane import lane_by_lane
from tests.reading import Reader
from tests.test_calls import grown
from validate.mutation.cells import wrong_cells
from validate.shadow import run_shadowed

A, B, U, V = var("a"), var("b"), var("u"), var("v")
SPLIT = Function(
    "split",
    (A, B),
    (
        when(do("less", A, 0.0), Return(number(0.0), (do("neg", B),))),
        Return(do("add", A, B), (do("mul", A, B),)),
    ),
    F32,
    (F32,),
)
USED = kernel((X, Y, OUT), Unpack(("u", "v"), SPLIT, (at("x"), at("y"))), put("out", do("sub", U, V)))


def test_each_lane_gets_its_own_results() -> None:
    inputs = regular(USED, Seed(1), LANES)
    x, y = (inputs.arrays[name].reshape(-1) for name in "xy")
    want = np.where(x < 0, np.float32(0.0) - -y, (x + y) - x * y)
    assert (x < 0).any()
    assert np.array_equal(run_plain(USED, inputs).arrays["out"], want)
    assert np.array_equal(lane_by_lane(USED, inputs)[0]["out"], want)


def test_text_is_read_back() -> None:
    text = emit(USED)
    assert "        return 0.0, -b\n    return a + b, a * b\n" in text
    assert "    u, v = split(x[i], y[i])\n" in text
    reader = Reader(text)
    assert (reader.body, tuple(one for each in reader.functions.values() for one in each)) == (
        USED.body,
        functions(USED.body),
    )


def test_it_is_stored_and_told_from_others() -> None:
    assert kernel_of(plain_of(USED)) == USED
    exchanged = kernel((X, Y, OUT), Unpack(("v", "u"), SPLIT, (at("x"), at("y"))), put("out", do("sub", U, V)))
    renamed = kernel((X, Y, OUT), Unpack(("v", "u"), SPLIT, (at("x"), at("y"))), put("out", do("sub", V, U)))
    assert canonical_hash(exchanged) != canonical_hash(USED)
    assert canonical_hash(renamed) == canonical_hash(USED)


def test_what_gradients_flow_through_and_what_goes_stale() -> None:
    assert active_names(USED) == {"x", "y", "u", "v"} == carriers(USED)
    carried = kernel(
        (X, Y, OUT),
        let("u", at("x")),
        loop("k", size("x"), Unpack(("u", "v"), SPLIT, (U, at("y"))), change("u", "add", V)),
        put("out", U),
    )
    assert problems(carried) == ()
    assert limitation(carried)


def test_it_stands_as_high_as_a_call() -> None:
    single = kernel((X, Y, OUT), let("u", Invoke(SPLIT, (at("x"), at("y")))), put("out", U))
    assert height(USED) == height(single)


def test_rewrites_know_its_names() -> None:
    taken = kernel((X, Y, OUT), Unpack(("part_0", "v"), SPLIT, (at("x"), at("y"))), put("out", NESTED))
    hoisted = REWRITES["hoisted"](taken)
    assert hoisted is not None
    assert problems(hoisted) == ()
    assert "part_1 = " in emit(hoisted)


NESTED = do("sin", do("mul", var("part_0"), V))


def test_a_result_without_use_makes_a_draft_nothing() -> None:
    unused = kernel((X, Y, OUT), Unpack(("u", "v"), SPLIT, (at("x"), at("y"))), put("out", U))
    assert swept(unused) is None
    assert "local v is never read" in problems(unused)
    assert swept(USED) == USED


AXIS_ANGLE = ROWS["quat_to_axis_angle(quatf)"]
QUAT, VEC = AXIS_ANGLE.params[0], AXIS_ANGLE.result
ROTATIONS, TURNED = array("rotations", QUAT), out("turned", VEC)
OWN = Read("rotations", I, QUAT)
TAKEN_APART = kernel(
    (ROTATIONS, TURNED),
    Unpack(("axis", "angle"), AXIS_ANGLE, (OWN,)),
    put("turned", Apply(ROWS["mul(vec3f,float32)"], (Var("axis", VEC), var("angle")))),
)


def test_what_a_builtin_gives_is_what_it_means() -> None:
    assert problems(TAKEN_APART) == ()
    inputs = regular(TAKEN_APART, Seed(1), LANES)
    x, y, z, w = np.moveaxis(inputs.arrays["rotations"].reshape(-1, 4), 1, 0).astype(np.float64)
    axis = np.stack((x, y, z)) / np.sqrt(x * x + y * y + z * z) * np.where(w < 0, -1, 1)
    want = (axis * 2 * np.arccos(np.abs(w))).T
    got = run_plain(TAKEN_APART, inputs).arrays["turned"]
    assert np.allclose(got.reshape(-1, 3), want, rtol=1e-4, atol=1e-4)
    assert np.array_equal(got, lane_by_lane(TAKEN_APART, inputs)[0]["turned"])


def test_a_builtin_is_spelt_stored_and_told_from_others() -> None:
    text = emit(TAKEN_APART)
    assert "    axis, angle = wp.quat_to_axis_angle(rotations[i])\n" in text
    assert Reader(text).body == TAKEN_APART.body
    assert kernel_of(plain_of(TAKEN_APART)) == TAKEN_APART
    assert operations(TAKEN_APART) == ["mul(vec3f,float32)", "quat_to_axis_angle(quatf)"]
    assert active_names(TAKEN_APART) == {"rotations", "axis", "angle"} == carriers(TAKEN_APART)


def test_each_value_of_a_builtin_may_be_wrong() -> None:
    inputs = regular(TAKEN_APART, Seed(1), LANES)
    right = run_plain(TAKEN_APART, inputs).arrays["turned"]
    faults = [(fault, wrong) for fault, wrong in wrong_cells(TAKEN_APART) if fault.before.startswith("quat")]
    assert [fault.after for fault, _ in faults] == ["its value 0 negated", "its value 1 negated"]
    assert all(not np.array_equal(run_plain(wrong, inputs).arrays["turned"], right) for _, wrong in faults)


MAT = ROWS["svd3(mat33f)"].params[0]


def factorized(matrix: Term, *params: Param) -> Kernel:
    """`u, s, v = wp.svd3(matrix)`, in which all take part."""
    add, spread = ROWS["add(mat33f,mat33f)"], Apply(ROWS["diag(vec3f)"], (Var("s", VEC),))
    value = Apply(add, (Var("u", MAT), Apply(add, (spread, Var("v", MAT)))))
    return kernel(
        (*params, out("given", MAT)), Unpack(("u", "s", "v"), ROWS["svd3(mat33f)"], (matrix,)), put("given", value)
    )


def test_gradients_of_factors_are_documented_to_be_unstable() -> None:
    """Where there is one."""
    of_arrays = factorized(Read("stresses", I, MAT), array("stresses", MAT))
    of_none = factorized(Var("stress", MAT), Param("stress", MAT, Role.VALUE))
    assert problems(of_arrays) == problems(of_none) == ()
    assert (limitation(of_arrays), limitation(of_none)) == (APPROXIMATE, "")


FACTORS: dict[str, Callable[..., Any]] = {
    "qr3(mat33d)": lambda q, r: q @ r,
    "eig3(mat33d)": lambda q, d: q @ np.diag(d) @ q.T,
    "svd3(mat33d)": lambda u, s, v: u @ np.diag(s) @ v.T,
    "svd2(mat22d)": lambda u, s, v: u @ np.diag(s) @ v.T,
}


@pytest.mark.parametrize("key", FACTORS)
def test_a_matrix_is_the_product_of_its_factors(key: str) -> None:
    """And NumPy finds the same singular values, or eigenvalues, whatever their signs and order."""
    op, rng = ROWS[key], np.random.Generator(np.random.PCG64(0))
    for m in rng.normal(size=(20, *shape_of(op.params[0]))):
        m = m + m.T if op.name == "eig3" else m
        scalars = np.split(op(m.reshape(-1)), np.cumsum([type.width for type in op.results])[:-1])
        factors = [part.reshape(shape_of(type)) for part, type in zip(scalars, op.results, strict=True)]
        assert np.allclose(FACTORS[key](*factors), m, atol=1e-9)
        assert np.allclose(factors[0].T @ factors[0], np.eye(len(m)))
        sizes = np.abs(np.diag(factors[1]) if op.name == "qr3" else factors[1])
        wanted = np.abs(np.diag(np.linalg.qr(m)[1])) if op.name == "qr3" else np.linalg.svd(m)[1]
        assert np.allclose(np.sort(sizes), np.sort(wanted))


def test_values_that_are_alike_decide_nothing() -> None:
    """Of a rotation `wp.svd2` gives two identities, whose product it is not."""
    op, turns = ROWS["svd2(mat22f)"], np.linspace(0.1, 3.0, LANES, dtype=np.float32)
    m, results = op.params[0], [out(f"out{k}", type) for k, type in enumerate(op.results)]
    names = ("u", "s", "v")
    stores = (put(param.name, Var(name, param.element)) for name, param in zip(names, results, strict=True))
    taken = kernel((array("m", m), *results), Unpack(names, op, (Read("m", I, m),)), *stores)
    rotations = np.stack([np.cos(turns), -np.sin(turns), np.sin(turns), np.cos(turns)], axis=1)
    stretched = rotations * np.array([1, 1, 2, 2], np.float32)
    given = {param.name: np.zeros((1, LANES, param.element.width), np.float32) for param in results}
    for matrices, undecided in ((rotations, True), (stretched, False)):
        inputs = Inputs(LANES, given | {"m": matrices[np.newaxis]}, {})
        assert (run_shadowed(taken, inputs, 4).undecided == undecided).all()


def test_eigenvalues_are_those_of_symmetric_matrices() -> None:
    found = [stmt for one in apart() for stmt in all_statements(one) if isinstance(stmt, Unpack)]
    matrices = [stmt.args[0] for stmt in found if stmt.function.name in OF_SYMMETRIC]
    assert len(matrices) > 2
    for matrix in matrices:
        assert isinstance(matrix, Apply)
        one, other = matrix.args
        assert is_transpose(one, other) or is_transpose(other, one)


def is_transpose(one: Term, other: Term) -> bool:
    return isinstance(one, Apply) and one.op.name == "transpose" and one.args == (other,)


def shape_of(type: Element) -> tuple[int, ...]:
    assert isinstance(type, Composite)
    return type.shape


WRONG: dict[str, tuple[Kernel, str]] = {
    "too few names": (
        kernel((X, Y, OUT), Unpack(("u",), SPLIT, (at("x"), at("y"))), put("out", U)),
        "split does not return one value for each of u",
    ),
    "a name twice": (
        kernel((X, Y, OUT), Unpack(("u", "u"), SPLIT, (at("x"), at("y"))), put("out", U)),
        "split does not return one value for each of u, u",
    ),
    "several for one": (
        kernel((X, Y, OUT), put("out", Invoke(SPLIT, (at("x"), at("y"))))),
        "split returns several values where one should stand",
    ),
    "arguments of another type": (
        kernel((X, OUT), Unpack(("u", "v"), SPLIT, (at("x"), number(1))), put("out", do("sub", U, V))),
        "split is called with other types",
    ),
    "a name of another type": (
        kernel(
            (X, Y, OUT, out("n", I32)),
            let("u", 1),
            put("n", ints("u")),
            Unpack(("u", "v"), SPLIT, (at("x"), at("y"))),
            put("out", do("sub", U, V)),
        ),
        "local u changes its type",
    ),
    "a builtin of another type": (
        kernel((X, Y, OUT), Unpack(("u", "v"), AXIS_ANGLE, (at("x"),)), put("out", do("sub", U, V))),
        "quat_to_axis_angle(quatf) does not give several values of these",
    ),
    "a builtin that gives one": (
        kernel((X, OUT), Unpack(("u",), ROWS["sin(float32)"], (at("x"),)), put("out", U)),
        "sin(float32) does not give several values of these",
    ),
    "several of a builtin for one": (
        kernel((ROTATIONS, TURNED), put("turned", Apply(AXIS_ANGLE, (OWN,)))),
        "quat_to_axis_angle(quatf) gives several values where one should stand",
    ),
    "a result too few": (
        kernel(
            (X, OUT),
            Unpack(("u", "v"), Function("f", (A,), (Return(do("neg", A)),), F32, (F32,)), (at("x"),)),
            put("out", do("sub", U, V)),
        ),
        "what is returned is of another type",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name: str) -> None:
    faulty, complaint = WRONG[name]
    assert problems(USED) == ()
    assert any(complaint in problem for problem in problems(faulty)), problems(faulty)


@pytest.mark.parametrize("name", sorted({op.name for op in SEVERAL}))
def test_builtins_are_grown(name: str) -> None:
    found = [stmt for one in apart() for stmt in all_statements(one) if isinstance(stmt, Unpack)]
    assert any(stmt.function.name == name for stmt in found)


@cache
def apart() -> tuple[Kernel, ...]:
    pairs = [(family_named(name), seed) for seed in range(320) for name in ("rigid_transform", "matrix_vector")]
    kernels = (grow(seeded(Seed(seed)), family, profile("natural"), 5, Seed(seed), LANES) for family, seed in pairs)
    return tuple(one for one in kernels if one is not None)


def test_it_is_grown() -> None:
    assert sum(any(isinstance(stmt, Unpack) for stmt in all_statements(one)) for one in grown()) >= 4
