"""Every sampler against Warp: samples and states on special states and random ones, the registry, planted mistakes.

The key insight: a sampler changes its state, so it is a statement and no term; but the kernel around it is as small as
that of any row, it is checked with the tolerances of the oracle, and the state behind it has to be right to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import warp as wp

from extract.build import BuildFailure
from grammar.emit import emit
from grammar.layout import Inputs
from grammar.op import Lanes, Op
from grammar.ops import SAMPLERS
from grammar.params import Param, Role
from grammar.tree import Assign, Kernel, Read, Sample, Store, Thread, Var, Whole
from grammar.types import F32, I32, U32, Array, Composite
from tests.each import each
from validate.oracle import compare
from validate.shadow import expected, run_shadowed

pytestmark = pytest.mark.warp

PATTERNS = 12
STATES = (0, 1, 2, 42, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
FIRST: Mapping[object, tuple[float, ...]] = {
    F32: (0.0, 0.5, 1.0, 3.0, 9.5, 0.0625),
    I32: (0, -4, 1, -100, -(2**30), 7),
    U32: (0, 1, 2, 1000, 2**31, 7),
}
"""Lower bounds, or means."""
WIDTHS: Mapping[object, tuple[float, ...]] = {
    F32: (1.0, 0.5, 4.0, 100.0),
    I32: (1, 8, 1000, 2**30),
    U32: (1, 10, 2**31 - 1, 3),
}
LANES = 2048
FEW = 65
"""Elements of the array that is searched."""


def kernel_of(op: Op, name: str) -> Kernel:
    """`state = states[i]`, a sample, and what the state is then."""
    i = Var("i", I32)
    bounds = tuple(zip("ab", op.params[1:], strict=False))
    searched = (Param("cdf", Array(op.searched), Role.SHARES, size=FEW),) if op.searched else ()
    params = (
        Param("states", Array(U32), Role.VALUE),
        *(Param(letter, Array(type), Role.VALUE) for letter, type in bounds),
        *searched,
        Param("out", Array(op.result), Role.OUT),
        Param("after", Array(U32), Role.OUT),
    )
    body = (
        Thread("i"),
        Assign("state", Read("states", i, U32)),
        Sample(
            "drawn",
            op,
            "state",
            (*(Read(letter, i, type) for letter, type in bounds), *(Whole(p.name, Array(F32)) for p in searched)),
        ),
        Store("out", i, Var("drawn", op.result)),
        Store("after", i, Var("state", U32)),
    )
    return Kernel(name, params, body, "")


@dataclass(frozen=True, slots=True)
class Answer:
    given: Mapping[str, Lanes]
    out: Lanes
    after: Lanes


def given(op: Op) -> dict[str, Lanes]:
    rng = np.random.Generator(np.random.PCG64(0))
    states = rng.integers(0, 2**32, LANES, np.uint32)
    states[: len(STATES)] = STATES
    values: dict[str, Lanes] = {"states": states}
    if len(op.params) > 1:
        values["a"] = np.resize(FIRST[op.params[1]], LANES).astype(op.params[1].dtype)
    if len(op.params) > 2:
        values["b"] = values["a"] + np.repeat(WIDTHS[op.params[2]], LANES // 4).astype(op.params[2].dtype)
    if op.searched:
        values["cdf"] = np.append(np.sort(rng.uniform(0, 1, FEW - 1)), 1.0).astype(op.searched.dtype)
    shape = (LANES, op.result.width) if isinstance(op.result, Composite) else (LANES,)
    return values | {"out": np.zeros(shape, op.result.dtype), "after": np.zeros(LANES, np.uint32)}


@pytest.fixture(scope="module")
def answers() -> Mapping[str, Answer]:
    """By key of the sampler."""
    return dict(_answers())


def _answers() -> Iterator[tuple[str, Answer]]:
    from extract.compile import compile_block, release, start
    from extract.launch import run

    start()
    kernels = [kernel_of(op, f"sampler_{number}") for number, op in enumerate(SAMPLERS)]
    block = compile_block([(kernel.name, emit(kernel)) for kernel in kernels])
    for op, kernel, compiled in zip(SAMPLERS, kernels, block.kernels, strict=True):
        assert not isinstance(compiled, BuildFailure), compiled
        values = given(op)
        launched = run(compiled.handle, kernel.params, values, LANES)
        assert launched.intact, launched.stray
        yield op.key, Answer(values, launched.arrays["out"], launched.arrays["after"])
    release(block)


def disagreement(op: Op, answer: Answer) -> str:
    """What of the samples, or of the states behind them, is not what Warp computed; empty where there is nothing."""
    arrays = {name: column[np.newaxis] for name, column in answer.given.items()}
    shadowed = run_shadowed(kernel_of(op, "sampler"), Inputs(LANES, arrays, {}), PATTERNS)
    assert shadowed.undecided.mean() < 0.02
    assert not shadowed.undefined.any()
    pairs = (("out", answer.out), ("after", answer.after))
    return next(filter(None, (compare(name, expected(shadowed, name), got.reshape(-1)) for name, got in pairs)), "")


@each(SAMPLERS)
def test_samples_and_states_are_what_warp_computes(op: Op, answers: Mapping[str, Answer]) -> None:
    assert disagreement(op, answers[op.key]) == ""


@each(SAMPLERS)
def test_planted_mistakes_are_noticed(op: Op, answers: Mapping[str, Answer]) -> None:
    for name, wrong in mistakes(op):
        assert disagreement(wrong, answers[op.key]), f"{op.key}: {name}"


def mistakes(op: Op) -> Iterator[tuple[str, Op]]:
    """Named wrong samplers."""

    def changed(change: Any) -> Op:
        return replace(op, meaning=lambda *args: change(*op.meaning(*args)))

    yield "off by a little", changed(lambda first, *rest: (_off(first), *rest))
    yield "negated", changed(lambda *parts: (*(-part for part in parts[:-1]), parts[-1]))
    yield "of the state behind", replace(op, meaning=lambda s, *args: op.meaning(op.meaning(s, *args)[-1], *args))
    if isinstance(op.result, Composite):
        yield "places swapped", changed(lambda *parts: (*parts[-2::-1], parts[-1]))
    if len(op.params) > 2:
        yield "bounds swapped", replace(op, meaning=lambda s, low, high: op.meaning(s, high, low))
    if len(op.params) == 2:
        yield "of another mean", replace(op, meaning=lambda s, mean: op.meaning(s, mean * 1.02))
    yield "one step too many", replace(op, meaning=lambda s, *a: (*op.meaning(s, *a)[:-1], op.meaning(s + 1, *a)[-1]))


def _off(first: Any) -> Any:
    return first * 1.0001 if first.type is F32 else first + 1


@each(SAMPLERS)
def test_sampler_agrees_with_the_registry(op: Op) -> None:
    from warp._src import context, types

    same_type: Any = types.types_equal
    builtin: Any = context.builtin_functions[op.name]
    taken = [getattr(wp, type.name) for type in op.params]
    taken += [wp.array(dtype=getattr(wp, op.searched.name))] if op.searched else []
    (overload,) = (f for f in builtin.overloads if list(map(types.type_repr, f.input_types.values())) == _names(taken))
    assert same_type(overload.value_func(None, None), getattr(wp, op.result.name))
    assert op.differentiable == overload.is_differentiable


def _names(taken: list[Any]) -> list[str]:
    from warp._src import types

    return [types.type_repr(type) for type in taken]
