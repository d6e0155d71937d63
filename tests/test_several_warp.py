"""Every builtin that gives several values against Warp: values, adjoints, the registry, planted mistakes.

The key insight: the kernel around it stores each value to an array of its own, so one that is right can't hide another
that is wrong, and a mistake is planted in each by itself.
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
from grammar.ops import ROWS, SEVERAL
from grammar.params import Param, Role
from grammar.several import OF_SYMMETRIC
from grammar.tree import Apply, Kernel, Read, Store, Term, Thread, Unpack, Var
from grammar.types import F64, I32, Array, Composite
from tests.composite_values import (
    CHANGES,
    arguments,
    before,
    changed,
    lanes_of,
    regular_arguments,
    share_off,
    told_slopes,
)
from tests.each import each
from validate.oracle import compare
from validate.shadow import expected, run_shadowed

pytestmark = pytest.mark.warp

PATTERNS = 12
POINTS = 48
"""At which adjoints are compared with differences."""
RARELY = 0.05
"""Share of the lanes that are near a kink, or so ill-conditioned that nothing can be told."""


def kernel_of(op: Op, name: str = "several") -> Kernel:
    """`u0, u1 = op(a[i])`, each stored; of what has to be symmetric, `op(a[i] + wp.transpose(a[i]))`."""
    i, (taken,) = Var("i", I32), op.params
    names = tuple(f"u{k}" for k in range(len(op.results)))
    params = [Param("a", Array(taken), Role.VALUE)]
    params += [Param(f"out{k}", Array(type), Role.OUT) for k, type in enumerate(op.results)]
    stores = (Store(f"out{k}", i, Var(f"u{k}", type)) for k, type in enumerate(op.results))
    given: Term = Read("a", i, taken)
    if op.name in OF_SYMMETRIC:
        across = Apply(ROWS[f"transpose({taken.name})"], (given,))
        given = Apply(ROWS[f"add({taken.name},{taken.name})"], (given, across))
    return Kernel(name, tuple(params), (Thread("i"), Unpack(names, op, (given,)), *stores), "")


def meant(op: Op, points: Lanes) -> Lanes:
    """What the row gives in that kernel: the scalars of all results."""
    m = lanes_of(points)
    n = op.params[0].shape[-1] if isinstance(op.params[0], Composite) else 1
    return op(m + m.reshape(n, n, -1).swapaxes(0, 1).reshape(n * n, -1) if op.name in OF_SYMMETRIC else m)


@dataclass(frozen=True, slots=True)
class Answer:
    given: Lanes
    results: tuple[Lanes, ...]
    points: Lanes
    gradient: Lanes


@pytest.fixture(scope="module")
def answers() -> Mapping[str, Answer]:
    """By key of the row."""
    return dict(_answers())


def _answers() -> Iterator[tuple[str, Answer]]:
    from extract.compile import compile_block, release, start
    from extract.launch import differentiate, run

    start()
    kernels = [kernel_of(op, f"several_{number}") for number, op in enumerate(SEVERAL)]
    block = compile_block([(kernel.name, emit(kernel)) for kernel in kernels])
    for op, kernel, compiled in zip(SEVERAL, kernels, block.kernels, strict=True):
        assert not isinstance(compiled, BuildFailure), compiled
        (given,), (points,) = arguments(op, exact=True), regular_arguments(op, POINTS)
        launched = run(compiled.handle, kernel.params, values(op, given), len(given))
        assert launched.intact, launched.stray
        weight = {name: np.broadcast_to(w, values(op, points)[name].shape) for name, w in weights(op).items()}
        found = differentiate(compiled.handle, kernel.params, values(op, points), weight, POINTS)
        results = tuple(launched.arrays[f"out{k}"] for k in range(len(op.results)))
        yield op.key, Answer(given, results, points, found.gradients["a"])
    release(block)


def values(op: Op, given: Lanes) -> dict[str, Lanes]:
    shapes = [(len(given), type.width) if isinstance(type, Composite) else (len(given),) for type in op.results]
    outputs = zip(op.results, shapes, strict=True)
    return {"a": given} | {f"out{k}": np.zeros(shape, type.dtype) for k, (type, shape) in enumerate(outputs)}


def weights(op: Op) -> dict[str, Lanes]:
    """How much each scalar counts in the sum that is differentiated, by output."""
    each = np.array([(-1.0) ** k * (1.0 + k / 8) for k in range(sum(type.width for type in op.results))])
    parts = np.split(each, np.cumsum([type.width for type in op.results])[:-1])
    pairs = zip(op.results, parts, strict=True)
    return {f"out{k}": part.astype(type.dtype) for k, (type, part) in enumerate(pairs)}


# -- values -----------------------------------------------------------------------------------------------------------


def disagreement(op: Op, answer: Answer) -> str:
    """Which value is not what Warp computed; empty where there is none."""
    count = len(answer.given)
    arrays = {name: column[np.newaxis] for name, column in values(op, answer.given).items()}
    shadowed = run_shadowed(kernel_of(op), Inputs(count, arrays, {}), PATTERNS)
    assert not shadowed.undefined.any()
    found = (compare(f"out{k}", expected(shadowed, f"out{k}"), got.reshape(-1)) for k, got in enumerate(answer.results))
    return next(filter(None, found), "")


@each(SEVERAL)
def test_values_are_what_warp_computes(op: Op, answers: Mapping[str, Answer]) -> None:
    assert disagreement(op, answers[op.key]) == ""


@each(SEVERAL)
def test_planted_mistakes_are_noticed(op: Op, answers: Mapping[str, Answer]) -> None:
    """Save what makes no difference."""
    answer = answers[op.key]
    right = meant(op, answer.points)
    wrong = [(name, row) for name, row in mistakes(op) if not same(right, meant(row, answer.points))]
    assert len(wrong) > 2 * len(op.results)
    assert [name for name, row in wrong if not disagreement(row, answer)] == []


def mistakes(op: Op) -> Iterator[tuple[str, Op]]:
    """The row with a mistake in one of its results, or in what it makes of its argument."""
    for name, change in CHANGES.items():
        yield f"argument {name}", replace(op, meaning=before(op, 0, change))
        for k in range(len(op.results)):
            yield f"result {k} {name}", replace(op, meaning=_with_wrong(op, k, change))


def _with_wrong(op: Op, k: int, change: Any) -> Any:
    def wrong(*args: Any) -> Any:
        right = op.meaning(*args)
        return (*right[:k], changed(right[k], change), *right[k + 1 :])

    return wrong


def same(one: Lanes, other: Lanes) -> bool:
    return bool(np.array_equal(one, other, equal_nan=True))


# -- adjoints ---------------------------------------------------------------------------------------------------------


def slopes(op: Op, points: Lanes) -> tuple[Lanes, Lanes]:
    """The derivatives by each scalar of the argument, and where they can be told."""
    counted = np.concatenate([np.atleast_1d(part) for part in weights(op).values()])

    def total(moved: Lanes) -> Lanes:
        return np.asarray(counted @ meant(op, moved))

    return told_slopes(total, points)


@each([op for op in SEVERAL if op.result.scalar is F64])
def test_adjoint_is_the_derivative(op: Op, answers: Mapping[str, Answer]) -> None:
    answer = answers[op.key]
    slope, smooth = slopes(op, answer.points)
    assert smooth.mean() > 1 - 4 * RARELY
    assert share_off(answer.gradient, slope, smooth) <= RARELY


# -- Warp's registry --------------------------------------------------------------------------------------------------


@each(SEVERAL)
def test_row_agrees_with_the_registry(op: Op) -> None:
    from warp._src import codegen, context, types

    same_type: Any = types.types_equal
    builtin: Any = context.builtin_functions[op.name]
    if not builtin.is_builtin():  # written in Python: what it takes and gives follows from what it calls
        assert len(builtin.input_types) == len(op.params)
        return
    matches: Any = codegen.func_match_args
    taken = getattr(wp, op.params[0].name)
    overload = next(f for f in builtin.overloads if matches(f, [taken], {}))
    given = overload.value_func(dict.fromkeys(overload.input_types, taken), None)
    assert len(given) == len(op.results)
    assert all(same_type(one, getattr(wp, type.name)) for one, type in zip(given, op.results, strict=True))
    assert op.differentiable == overload.is_differentiable
