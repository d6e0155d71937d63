"""Every row of the table against Warp: values on special arguments, adjoints, the registry, and planted mistakes.

The key insight: Warp's answers are computed once for all rows. Whether a meaning agrees with them is then one function,
and a mistake planted in any row must make that same function disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from extract.build import BuildFailure
from grammar.emit import emit
from grammar.floats import FLOATING, precision
from grammar.op import Chain, Lanes, Op, Ternary
from grammar.ops import OUT_OF_SCOPE, ROWS, SCALAR_ROWS
from grammar.params import Param, Role
from grammar.tree import Apply, Assign, Kernel, Read, Store, Thread, Var
from grammar.types import BF16, BOOL, F16, F32, FLOATS, HALVES, I32, INTEGERS, NUMBERS, SCALARS, Array, Element
from tests.each import each
from tests.mistakes import Meaning, mistakes
from tests.special_values import arguments, regular_arguments

pytestmark = pytest.mark.warp

ULPS = 8
"""How far a row that is not exact may be off, in units in the last place: both libraries err by a few."""

IN_SINGLE = ULPS / 2 * precision(F32.dtype).eps
"""The same as a share of a float32, by way of which rows of two bytes go: so much of it the reference allows."""

ROWS_PER_MODULE = 48
GRADIENT_LANES = 400

NEAR: Mapping[Element, float] = {F16: 0.02, BF16: 0.16}
"""How far adjoints may be off that compute in so few bits."""

WRONG_ADJOINTS: Mapping[str, frozenset[int]] = {
    f"{name}({T},{T})": frozenset([1]) for name in ("mod", "modulo") for T in FLOATS
}
"""Arguments whose gradient Warp 1.19 gets wrong: a % b is a - b * trunc(a / b), yet no gradient reaches b."""

CONTINUOUS = [op for op in SCALAR_ROWS if op.result in FLOATS and any(scalar in FLOATS for scalar in op.params)]


# -- Warp's answers ---------------------------------------------------------------------------------------------------


def kernel_of(op: Op, name: str) -> Kernel:
    """`out[i] = op(a[i], b[i], …)`."""
    i = Var("i", I32)
    named = list(zip("abc", op.params, strict=False))
    params = [Param(letter, Array(scalar), Role.VALUE) for letter, scalar in named]
    *others, last = (Read(letter, i, scalar) for letter, scalar in named)
    final = Var("last", last.type) if isinstance(op.spelling, Chain) else last
    before = (Assign("last", last),) if isinstance(op.spelling, Chain) else ()
    stored = Store("out", i, Apply(op, (*others, final)))
    return Kernel(name, (*params, Param("out", Array(op.result), Role.OUT)), (Thread("i"), *before, stored), "")


@dataclass(frozen=True, slots=True)
class Answer:
    args: tuple[Lanes, ...]
    result: Lanes
    points: tuple[Lanes, ...]
    """Regular arguments, and beside them the gradient that Warp has there for each, None where it has none."""
    gradients: tuple[Lanes | None, ...]


@pytest.fixture(scope="module")
def answers() -> Mapping[str, Answer]:
    """By key of the row."""
    from extract.compile import start

    start()
    found: dict[str, Answer] = {}
    for first in range(0, len(SCALAR_ROWS), ROWS_PER_MODULE):
        found.update(answers_of(SCALAR_ROWS[first : first + ROWS_PER_MODULE]))
    return found


def answers_of(rows: tuple[Op, ...]) -> Iterator[tuple[str, Answer]]:
    from extract.compile import compile_block, release

    kernels = [kernel_of(op, f"row_{number}") for number, op in enumerate(rows)]
    block = compile_block([(kernel.name, emit(kernel)) for kernel in kernels])
    for op, kernel, compiled in zip(rows, kernels, block.kernels, strict=True):
        assert not isinstance(compiled, BuildFailure), compiled
        yield op.key, answer(op, kernel, compiled.handle)
    release(block)


def answer(op: Op, kernel: Kernel, handle: Any) -> Answer:
    from extract.launch import differentiate, run

    def values(args: tuple[Lanes, ...]) -> dict[str, Lanes]:
        return dict(zip("abc", args, strict=False)) | {"out": np.zeros(len(args[0]), op.result.dtype)}

    args = arguments(op)
    launched = run(handle, kernel.params, values(args), len(args[0]))
    assert launched.intact, launched.stray
    points = regular_arguments(op, np.random.Generator(np.random.PCG64(7)), GRADIENT_LANES)
    lanes = len(points[0])
    ones = {"out": np.ones(lanes, op.result.dtype)} if op.result in FLOATS else {}
    gradients = differentiate(handle, kernel.params, values(points), ones, lanes).gradients
    return Answer(args, launched.arrays["out"], points, tuple(gradients.get(name) for name in "abc"[: len(op.params)]))


# -- values -----------------------------------------------------------------------------------------------------------


def agrees(op: Op, answer: Answer) -> Lanes:
    """The lanes on which the row's meaning is what Warp computed: the same bits, or a few ulp off if not `exact`.

    Any NaN equals any other. Rows that are not exact are evaluated in float64 and then rounded, those of two bytes from
    numbers that are a few ulp of float32 off.
    """
    got = answer.result
    if op.exact:
        want = op(*answer.args)
        assert want.dtype == got.dtype
        distance = ulps_between(got, want)
        return np.equal(distance, 0)
    with np.errstate(all="ignore"):
        want = op(*(arg.astype(np.float64) for arg in answer.args))
        if op.result not in HALVES:
            return np.less_equal(ulps_between(got, want.astype(got.dtype)), ULPS)
        ends = [(want * (1 + side)).astype(np.float32).astype(got.dtype) for side in (-IN_SINGLE, IN_SINGLE)]
    return np.equal(ulps_between(got, ends[0]), 0) | np.equal(ulps_between(got, ends[1]), 0)


def ulps_between(a: Lanes, b: Lanes) -> Lanes:
    """How many numbers of the type lie between; -0 and +0 are two numbers, all NaN are one."""
    if a.dtype.kind not in FLOATING:
        return np.not_equal(a, b)
    distance = np.abs(position(a) - position(b))
    with np.errstate(invalid="ignore"):  # of a signalling one
        no_a, no_b = np.isnan(a), np.isnan(b)
    return np.where(no_a | no_b, np.where(no_a & no_b, 0.0, np.inf), distance)


def position(x: Lanes) -> Lanes:
    """Counts the numbers of the type in their order, from -0 as -1 and +0 as 0; rounded where they are many."""
    bits = x.view(f"i{x.dtype.itemsize}").astype(np.int64)
    return np.where(bits < 0, -1 - (bits & (2 ** (8 * x.dtype.itemsize - 1) - 1)), bits).astype(np.longdouble)


@each(SCALAR_ROWS)
def test_meaning_is_what_warp_computes(op: Op, answers: Mapping[str, Answer]) -> None:
    answer = answers[op.key]
    wrong = np.flatnonzero(~agrees(op, answer))[:5]
    shown = [(tuple(arg[lane] for arg in answer.args), answer.result[lane]) for lane in wrong]
    assert not shown, f"(arguments, Warp's result): {shown}"


def test_infinitely_many_ulps_between_nan_and_a_number() -> None:
    numbers = np.array([0.0, -0.0, 1.0, np.nan, np.nan, np.inf], np.float32)
    others = np.array([-0.0, -0.0, 1.0 + 2.0**-23, np.nan, 1.0, -np.inf], np.float32)
    assert ulps_between(numbers, others).tolist()[:5] == [1, 0, 1, 0, np.inf]
    assert ulps_between(numbers, others)[5] > 2**31


# -- planted mistakes -------------------------------------------------------------------------------------------------


@each(SCALAR_ROWS)
def test_planted_mistakes_are_noticed(op: Op, answers: Mapping[str, Answer]) -> None:
    for name, wrong in mistakes(op, ULPS):
        planted = replace(op, meaning=_of_the_type(op, wrong))
        assert not agrees(planted, answers[op.key]).all(), f"{op.key}: {name}"


def _of_the_type(op: Op, wrong: Meaning) -> Meaning:
    return lambda *args: np.asarray(wrong(*args)).astype(op(*args).dtype)


# -- adjoints ---------------------------------------------------------------------------------------------------------


def central_difference(op: Op, points: tuple[Lanes, ...], position: int) -> tuple[Lanes, Lanes]:
    """∂f/∂x of the argument at that position, in float64, and on which lanes no jump or kink is near."""
    wide = [point.astype(np.float64)[np.newaxis] if point.dtype.kind in FLOATING else point for point in points]

    def moved(share: float) -> list[Lanes]:
        return [*wide[:position], wide[position] * (1 + share), *wide[position + 1 :]]

    slope = (op(*moved(1e-6)) - op(*moved(-1e-6))) / (2e-6 * wide[position])
    smooth = np.isfinite(slope)
    for pieces in (op.domain, op.jump, op.kink):
        if pieces is not None:
            smooth &= np.equal(pieces(*moved(1e-3)), pieces(*moved(-1e-3)))
    return slope[0], smooth[0]


@each(CONTINUOUS)
def test_adjoint_is_the_derivative(op: Op, answers: Mapping[str, Answer]) -> None:
    """Zero, where Warp's registry says that a builtin is not differentiable."""
    answer = answers[op.key]
    near = max(NEAR.get(scalar, 1e-3) for scalar in (*op.params, op.result))
    wrong = set()
    for position, gradient in enumerate(answer.gradients):
        if gradient is not None:
            slope, smooth = central_difference(op, answer.points, position)
            want = slope if op.differentiable else np.zeros_like(slope)
            smooth &= np.abs(want) < (2e3 if near > 1e-3 else np.inf)  # larger ones may overflow float16 on the way
            assert smooth.sum() > GRADIENT_LANES / 8
            if not np.allclose(gradient[smooth], want[smooth], rtol=near, atol=near):
                wrong.add(position)
    assert wrong == WRONG_ADJOINTS.get(op.key, frozenset())


# -- Warp's registry --------------------------------------------------------------------------------------------------

FAMILIES = {"Scalar": NUMBERS, "Float": FLOATS, "Int": INTEGERS, "Any": SCALARS}
PYTHON_NAMES = {"float": "float32", "int": "int32"}
OPERATORS = {"logical_not": "unot", "modulo": "mod", "power": "pow"}
"""Rows that stand for a builtin of another name."""
SPELT_ONLY = (
    *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "between"),
    *("logical_and", "logical_or"),
)
"""Operators that Warp's code generation translates by itself."""


@dataclass(frozen=True, slots=True)
class Overload:
    name: str
    params: tuple[str, ...]
    result: str | None
    """None where it is the type of the parameters."""
    differentiable: bool

    @property
    def key(self) -> str:
        return f"{self.name}({','.join(self.params)})"


def registered() -> dict[str, Overload]:
    """Every overload on our types, by key, of the builtins that the table is meant to hold."""
    from warp._src.context import builtin_functions

    found: dict[str, Overload] = {}
    for name, builtin in builtin_functions.items():
        if builtin.group in ("Operators", "Scalar Math") or name in ("where", "lerp", "smoothstep"):
            for signature in builtin.overloads:
                result = type_name(signature.value_type) if signature.value_type is not None else None
                for params in concrete([type_name(T) for T in signature.input_types.values()]):
                    overload = Overload(name, params, result, signature.is_differentiable)
                    found.setdefault(overload.key, overload)
    return found


def type_name(annotation: Any) -> str:
    name = getattr(annotation, "__name__", str(annotation))
    return PYTHON_NAMES.get(name, name)


def concrete(params: list[str]) -> Iterator[tuple[str, ...]]:
    """The signatures on our types that a signature stands for: a type variable is one type throughout."""
    variables = {name for name in params if name in FAMILIES}
    assert len(variables) <= 1
    choices = FAMILIES[variables.pop()] if variables else (None,)
    for choice in choices:
        chosen = tuple(choice.name if choice and name in FAMILIES else name for name in params)
        if chosen and set(chosen) <= {scalar.name for scalar in SCALARS}:
            yield chosen


def test_every_builtin_is_in_the_table_or_out_of_scope() -> None:
    names = {"unot": "logical_not"}
    for overload in registered().values():
        key = f"{names.get(overload.name, overload.name)}({','.join(overload.params)})"
        assert key in ROWS or overload.name in OUT_OF_SCOPE or key in OUT_OF_SCOPE, key


def test_nothing_is_out_of_scope_that_warp_does_not_have() -> None:
    overloads = registered()
    assert OUT_OF_SCOPE.keys() <= overloads.keys() | {overload.name for overload in overloads.values()}


@each([op for op in SCALAR_ROWS if op.name not in SPELT_ONLY])
def test_row_agrees_with_the_registry(op: Op) -> None:
    overloads = registered()
    name = "where" if isinstance(op.spelling, Ternary) else OPERATORS.get(op.name, op.name)
    overload = overloads[f"{name}({','.join(scalar.name for scalar in op.params)})"]
    assert op.result.name == (overload.result or overload.params[-1])
    assert op.differentiable == overload.differentiable


@each([op for op in SCALAR_ROWS if op.name in SPELT_ONLY])
def test_operators_without_a_builtin_give_bools(op: Op) -> None:
    assert op.result is BOOL
    assert not op.differentiable
