"""Functions with an adjoint of their own, and calls of gradients: rules, words, values, what comes back.

The key insight: an adjoint that is made of rules can be held against differences of the function itself, and Warp's
against both: a rule that is wrong is caught where it is written down as where it is only computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import grammar.calls
import grammar.derive
import grammar.grow
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.derive import RULES, adjoint_of, gradient_of, is_smooth
from grammar.emit import emit
from grammar.families import family_named
from grammar.flow import active_names
from grammar.grow import grow
from grammar.inputs import regular
from grammar.op import Lanes, Op
from grammar.ops import TABLE
from grammar.plain import run_plain
from grammar.profiles import profile
from grammar.serial import kernel_of, plain_of
from grammar.tree import (
    Apply,
    Assign,
    Const,
    Function,
    Invoke,
    Kernel,
    Outlined,
    Return,
    Term,
    Unpack,
    Var,
    Whole,
    all_functions,
    bodies,
    called_in,
    own_terms,
)
from grammar.types import F32, F64, I32, Array, Composite, type_named
from tests.builders import LANES, OUT, X, Y, array, at, change, do, ints, kernel, let, loop, out, put, var, when
from tests.each import each
from tests.lane_by_lane import lane_by_lane
from tests.proving import verified
from tests.reading import Reader
from validate.passes import drop_adjoints
from validate.verdict import Outcome

V3 = type_named("vec3f")
BUMP = Function(
    "bump",
    (var("a"), var("b")),
    (
        let("s", do("mul", var("a"), var("b"))),
        let("t", do("tanh", do("add", var("s"), var("a")))),
        Return(do("sub", do("mul", var("t"), var("s")), do("div", var("a"), var("b")))),
    ),
    F32,
)
WELL = Function(
    "well",
    (Var("p", V3),),
    (let("r", do("length", Var("p", V3))), Return(do("exp", do("neg", do("mul", var("r"), var("r")))))),
    F32,
)
POSITIVE = replace(Y, low=0.5)
P = array("points", V3)


def gradient(function: Function) -> Function:
    """The function as it is called for its gradient."""
    found = gradient_of(function)
    assert found is not None
    return replace(function, result=found.result, others=found.others, gradient=True)


CUSTOM = kernel((X, POSITIVE, OUT), put("out", Invoke(replace(BUMP, custom=True), (at("x"), at("y")))), name="custom")
SEVERAL = kernel(
    (X, POSITIVE, OUT),
    Unpack(("u", "v"), gradient(BUMP), (at("x"), at("y"))),
    put("out", do("mul", do("add", var("u"), var("v")), at("x"))),
    name="several",
)
FORCE = kernel((P, out("out", V3)), put("out", Invoke(gradient(WELL), (at("points", type=V3),))), name="force")
BY_HAND = (CUSTOM, SEVERAL, FORCE)


# -- rules ------------------------------------------------------------------------------------------------------------

SMOOTH = [op for op in TABLE if op.name in RULES and op.result.scalar is F64 and is_smooth(op.result)]
STEP = 1e-6


def value(term: Term, env: Mapping[str, Lanes]) -> Lanes:
    """Of a term without calls; the first axis of a composite numbers its scalars."""
    match term:
        case Var(name, _):
            return env[name]
        case Const(type, number):
            return np.full(LANES, number, type.dtype)
        case Apply(op, args):
            return op(*(value(arg, env) for arg in args))
        case _:
            raise AssertionError(term)


def values(function: Function, env: Mapping[str, Lanes]) -> list[Lanes]:
    known = dict(env)
    for stmt in function.body[:-1]:
        assert isinstance(stmt, Assign)
        known[stmt.name] = value(stmt.value, known)
    return [value(term, known) for term in own_terms(function.body[-1])]


def has_rule(op: Op) -> bool:
    """None has what takes matrices, extremes of vectors, and a number over a vector."""
    vectors = [type for type in op.params if isinstance(type, Composite)]
    if any(type.kind != "vector" for type in vectors):
        return False
    return not vectors or not (op.name in ("abs", "min", "max") or (op.name == "div" and op.params[1] in vectors))


@each(SMOOTH)
def test_a_rule_says_what_differences_say(op: Op) -> None:
    """Or there is none, which is so for matrices and the like."""
    params = tuple(Var(f"a{k}", type) for k, type in enumerate(op.params))
    function = Function("f", params, (Return(Apply(op, params)),), op.result)
    adjoint = adjoint_of(function)
    assert (adjoint is not None) == has_rule(op)
    if adjoint is None:
        return
    env = {param.name: drawn(param.type, (0.4, 2.0), k) for k, param in enumerate(params)}
    found = values(adjoint, env | {"adj_ret": drawn(op.result, (-1.0, 1.0), 9)})
    back = drawn(op.result, (-1.0, 1.0), 9).reshape(-1, LANES)
    for param, told in zip(params, found, strict=True):
        if not is_smooth(param.type):
            assert not told.any()
            continue
        for k, one in enumerate(told.reshape(-1, LANES)):
            slope = difference(op, [env[p.name] for p in params], params.index(param), k)
            assert np.allclose(one, (slope * back).sum(axis=0), rtol=1e-6, atol=1e-7), param


def drawn(type: Any, span: tuple[float, float], seed: int) -> Lanes:
    """Values of the type; the first axis of a composite numbers its scalars."""
    numbers = np.random.Generator(np.random.PCG64(seed))
    if not is_smooth(type):
        return np.asarray(numbers.random(LANES) < 0.5)
    return numbers.uniform(*span, (type.width, LANES) if isinstance(type, Composite) else LANES)


def difference(op: Op, args: Sequence[Lanes], place: int, part: int) -> Lanes:
    """The slope of each scalar of the result along one scalar of an argument."""
    ends = []
    for side in (STEP, -STEP):
        moved = args[place].copy()
        moved.reshape(-1, LANES)[part] += side
        ends.append(op(*args[:place], moved, *args[place + 1 :]).reshape(-1, LANES))
    return np.asarray((ends[0] - ends[1]) / (2 * STEP))


def test_every_rule_is_for_some_operation() -> None:
    assert {op.name for op in SMOOTH if has_rule(op)} == RULES.keys()


# -- functions --------------------------------------------------------------------------------------------------------


def test_an_adjoint_goes_through_the_steps_backwards() -> None:
    assert emit(CUSTOM).split("\n\n\n")[1:3] == [
        "@wp.func\ndef bump(a: float, b: float):\n    s = a * b\n    t = wp.tanh(s + a)\n    return t * s - a / b",
        "@wp.func_grad(bump)\n"
        "def adj_bump(a: float, b: float, adj_ret: float):\n"
        "    s = a * b\n"
        "    t = wp.tanh(s + a)\n"
        "    adj_s = adj_ret * t + adj_ret * s * (1.0 - t * t)\n"
        "    wp.adjoint[a] += adj_ret * s * (1.0 - t * t) - adj_ret / b + adj_s * b\n"
        "    wp.adjoint[b] += adj_ret * (a / b / b) + adj_s * a",
    ]
    assert "out[i] = wp.grad(well)(points[i])" in emit(FORCE)
    assert "u, v = wp.grad(bump)(x[i], y[i])" in emit(SEVERAL)


A = var("a")
ODD = {
    "an early way out": (when(do("less", A, 0.0), Return(A)), Return(do("mul", A, A))),
    "a loop": (let("s", 0.0), loop("k", 3, change("s", "add", A)), Return(var("s"))),
    "a local with two values": (let("s", A), let("s", do("mul", var("s"), A)), Return(var("s"))),
    "an operation without a rule": (Return(do("floor", do("mul", A, 2.0))),),
    "several results": (Return(do("mul", A, A), (A,)),),
}


@pytest.mark.parametrize("why", ODD)
def test_what_is_no_chain_of_smooth_steps_has_no_adjoint(why: str) -> None:
    odd = Function("odd", (A,), ODD[why], F32, (F32,) if why == "several results" else ())
    assert adjoint_of(odd) is None
    assert gradient_of(odd) is None
    if not odd.others:
        called = Invoke(replace(odd, custom=True), (at("x"),))
        assert problems(kernel((X, OUT), put("out", called))) == ("odd has no adjoint that could be written down",)
        called = Invoke(replace(odd, gradient=True), (at("x"),))
        assert "odd has no such gradient" in problems(kernel((X, OUT), put("out", called)))


def test_neither_arrays_nor_fields_nor_integers_have_slopes() -> None:
    reading = Function("reading", (Whole("y", Array(F32)), ints("k")), (Return(at("y", ints("k"))),), F32)
    of_field = Function("field", (var("p.x"),), (Return(do("mul", var("p.x"), var("p.x"))),), F32)
    assert adjoint_of(reading) is None
    assert adjoint_of(of_field) is None
    counting = Function("counting", (A, ints("k")), (Return(do("mul", A, do("float32", ints("k")))),), F32)
    assert adjoint_of(counting) is None  # as a cast has no rule
    chosen = Function("chosen", (A, var("c", I32)), (Return(do("where", var("c", I32), A, do("mul", A, A))),), F32)
    assert adjoint_of(chosen) is not None
    assert gradient_of(chosen) is None


def test_a_kernel_says_for_which_slopes_it_calls() -> None:
    assert all(problems(one) == () for one in BY_HAND)
    wrong = replace(gradient(WELL), result=F32)
    assert "well has no such gradient" in problems(
        kernel((P, OUT), put("out", Invoke(wrong, (at("points", type=V3),))))
    )
    within = Function("within", (Var("p", V3),), (Return(do("length", Invoke(gradient(WELL), (Var("p", V3),)))),), F32)
    nested = kernel((P, OUT), put("out", Invoke(within, (at("points", type=V3),))))
    assert problems(nested) == ("within calls for a gradient, and so would have no adjoint",)
    writing = replace(FORCE, body=(FORCE.body[0], Outlined("write_force", FORCE.body[1:])))
    assert problems(writing) == ("write_force calls for a gradient, and so would have no adjoint",)


@pytest.mark.parametrize("one", BY_HAND, ids=lambda one: one.name)
def test_they_are_stored_read_back_and_told_apart(one: Kernel) -> None:
    assert kernel_of(plain_of(one)) == one
    assert Reader(emit(one)).body == one.body
    plain = next(drop_adjoints(one), None)
    assert (plain is not None) == (one is CUSTOM)
    if plain is not None:
        assert "func_grad" not in emit(plain)
        assert canonical_hash(plain) != canonical_hash(one)


def test_the_slopes_are_those_along_the_parameters() -> None:
    inputs = regular(SEVERAL, Seed(1), LANES)
    x, y = (inputs.arrays[name].reshape(-1).astype(np.float64) for name in ("x", "y"))
    s, t = x * y, np.tanh(x * y + x)
    along_s = t + s * (1 - t * t)
    wanted = (along_s * y + s * (1 - t * t) - 1 / y + along_s * x + x / y**2) * x
    assert np.allclose(run_plain(SEVERAL, inputs).arrays["out"], wanted, rtol=1e-4, atol=1e-5)
    assert np.array_equal(lane_by_lane(SEVERAL, inputs)[0]["out"], run_plain(SEVERAL, inputs).arrays["out"])


def test_no_gradient_flows_through_a_gradient() -> None:
    taken = kernel((X, OUT), let("v", Invoke(gradient(SQUARE), (at("x"),))), put("out", var("v")))
    assert active_names(taken) == {"x"}
    passed = kernel((X, OUT), let("v", Invoke(SQUARE, (at("x"),))), put("out", var("v")))
    assert active_names(passed) == {"x", "v"}


SQUARE = Function("square", (A,), (Return(do("mul", A, A)),), F32)


# -- against Warp -----------------------------------------------------------------------------------------------------


@pytest.mark.warp
def test_warp_means_the_same() -> None:
    mixed = do("add", Invoke(gradient(SQUARE), (at("x"),)), Invoke(replace(SQUARE, name="other"), (at("y"),)))
    verified([*BY_HAND, kernel((X, Y, OUT), put("out", mixed), name="mixed")])


@pytest.mark.warp
@pytest.mark.parametrize(("one", "outcome"), [(CUSTOM, Outcome.GRADIENT), (SEVERAL, Outcome.VALUE)])
def test_a_wrong_rule_is_noticed(one: Kernel, outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written down goes back wrongly; what is computed is not what Warp computes."""
    from extract.compile import Compiled, compile_block, release, start
    from validate.oracle import check

    start()
    monkeypatch.setattr(grammar.derive, "RULES", {**RULES, "tanh": lambda g, whole, *_: (do("mul", g, whole),)})
    for known in (adjoint_of, gradient_of):
        known.cache_clear()
    try:
        block = compile_block([(one.name, emit(one))])
        (made,) = block.kernels
        assert isinstance(made, Compiled)
        assert check(one, made.handle, 5, LANES).outcome is outcome
        release(block)
    finally:
        for known in (adjoint_of, gradient_of):
            known.cache_clear()


# -- as they are grown ------------------------------------------------------------------------------------------------


def test_they_are_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is alive, and reads back as it was."""
    monkeypatch.setattr(grammar.grow, "DIFFERENTIATED", 1.0)
    monkeypatch.setattr(grammar.calls, "CUSTOM", 1.0)
    natural, made, custom = profile("natural"), 0, 0
    for seed in range(60):
        family = family_named(("math", "vector_physics", "function_library")[seed % 3])
        one = grow(seeded(Seed(seed)), family, natural, 5, seed, LANES)
        if one is None:
            continue
        called = [function for body in bodies(one) for function in called_in(body)]
        made += any(function.gradient for function in called)
        custom += any(function.custom for function in called)
        assert problems(one) == ()
        assert one.structs or Reader(emit(one)).body == one.body
        assert all(adjoint_of(function) is not None for function in all_functions(one) if function.custom)
    assert made > 15
    assert custom > 3
