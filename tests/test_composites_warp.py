"""Every composite row of the table against Warp: values on special scalars, adjoints, the registry, planted mistakes.

The key insight: as for scalar rows, Warp's answers are computed once for all, and one function says whether a meaning
agrees with them. A row that calls only exact rows in Warp's own order must have Warp's bits; of the others the
tolerance is the one that kernels are checked with, which follows from the rows they call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from extract.build import BuildFailure
from extract.launch import of_warp
from extract.options import CompileOptions
from grammar.emit import emit
from grammar.floats import FLOATING
from grammar.layout import Inputs
from grammar.op import Call, InPlace, Item, Lanes, Member, Op, Pasted, Ternary
from grammar.ops import CHANGERS, COMPOSITE_ROWS, ROWS
from grammar.params import Param, Role
from grammar.tiles import is_tile
from grammar.tree import Apply, Assign, Kernel, Read, Stmt, Store, Thread, Var
from grammar.types import FLOATS, I32, Array, Composite, Element
from tests.composite_values import (
    arguments,
    is_partial,
    lanes_of,
    mistakes,
    reachable,
    regular_arguments,
    share_off,
    told_slopes,
    watched,
)
from tests.each import each
from tests.test_table_warp import SPELT_ONLY, ulps_between
from validate.oracle import compare
from validate.shadow import expected, run_shadowed

pytestmark = pytest.mark.warp

PER_KERNEL, PER_MODULE = 8, 64
"""Rows in a kernel, which have the same parameters, and kernels in a module."""
GRADIENT_LANES = 48
PATTERNS = 12
"""Noise variants that a tolerance follows from."""
RARELY = 0.05
"""Share of the lanes near a kink, or so ill-conditioned that float32 can't tell."""

WRONG_ADJOINTS: Mapping[str, frozenset[int]] = {
    op.key: frozenset([0]) for op in CHANGERS if op.name.startswith("transform_set_") or isinstance(op.spelling, Pasted)
}
"""Arguments whose gradient Warp 1.19 gets wrong: what is replaced keeps its own, as Warp documents."""

CHECKED = (*COMPOSITE_ROWS, *CHANGERS)

NAMES = tuple(f"a{k}" for k in range(16))


# -- Warp's answers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    args: tuple[Lanes, ...]
    result: Lanes
    exact: bool
    """Whether the row and all that it calls have Warp's bits."""
    points: tuple[Lanes, ...]
    """Regular arguments, and beside them the gradient that Warp has there for each, None where it has none."""
    gradients: tuple[Lanes | None, ...]


def kernel_of(rows: Sequence[Op], name: str = "rows") -> Kernel:
    """`out0[i] = op(a0[i], a1[i], …)` and so on, of rows with the same parameters."""
    i = Var("i", I32)
    named = list(zip(NAMES, rows[0].params, strict=False))
    params = [Param(name, Array(type), Role.VALUE) for name, type in named]
    params += [Param(f"out{k}", Array(op.result), Role.OUT) for k, op in enumerate(rows)]
    reads = tuple(Read(name, i, type) for name, type in named)
    loads: list[Stmt] = []
    if any(op.name == "tile" for op in rows):  # which takes no element of an array
        loads = [Assign(f"t{k}", read) for k, read in enumerate(reads)]
    elif any(op in CHANGERS for op in rows):
        return Kernel(name, tuple(params), (Thread("i"), *in_place(rows, reads)), "")
    given = tuple(Var(load.name, load.value.type) for load in loads if isinstance(load, Assign)) or reads
    stores = (Store(f"out{k}", i, Apply(op, given)) for k, op in enumerate(rows))
    return Kernel(name, tuple(params), (Thread("i"), *loads, *stores), "")


def in_place(rows: Sequence[Op], reads: Sequence[Read]) -> Iterator[Stmt]:
    """`t0 = a0[i]`, `op(t0, a1[i])`, `out0[i] = t0`, and so on."""
    for k, op in enumerate(rows):
        changed = Var(f"t{k}", op.result)
        yield Assign(changed.name, reads[0])
        yield Assign(changed.name, Apply(op, (changed, *reads[1:])))
        yield Store(f"out{k}", Var("i", I32), changed)


@pytest.fixture(scope="module")
def answers() -> Mapping[str, Answer]:
    """By key of the row."""
    from extract.compile import start

    start()
    found: dict[str, Answer] = {}
    for with_adjoint in (True, False):
        alike: dict[object, list[Op]] = {}
        for op in CHECKED:
            if (op in DIFFERENTIATED) == with_adjoint:
                alike.setdefault((op.params, op if is_risky(op) else None, op in CHANGERS), []).append(op)
        groups = [rows[k : k + PER_KERNEL] for rows in alike.values() for k in range(0, len(rows), PER_KERNEL)]
        for first in range(0, len(groups), PER_MODULE):
            found.update(answers_of(groups[first : first + PER_MODULE], with_adjoint))
    return found


def answers_of(groups: Sequence[Sequence[Op]], with_adjoint: bool) -> Iterator[tuple[str, Answer]]:
    from extract.compile import compile_block, release

    kernels = [kernel_of(rows, f"rows_{number}") for number, rows in enumerate(groups)]
    options = CompileOptions(enable_backward=with_adjoint)
    block = compile_block([(kernel.name, emit(kernel)) for kernel in kernels], frozenset(), options)
    for rows, kernel, compiled in zip(groups, kernels, block.kernels, strict=True):
        assert not isinstance(compiled, BuildFailure), compiled
        yield from zip((op.key for op in rows), answered(rows, kernel, compiled.handle), strict=True)
    release(block)


def is_risky(op: Op) -> bool:
    """Whether what it does is undefined for some arguments, so that no row beside it may have these either.

    Or so is its adjoint, and no gradient would come through to an argument that they share.
    """
    return is_partial(op) or not watched(op, arguments(op, True))[0].all()


def answered(rows: Sequence[Op], kernel: Kernel, handle: Any) -> Iterator[Answer]:
    from extract.launch import differentiate, run

    op = rows[0]
    args = reachable(op, arguments(op, all(row.exact for row in rows)))
    points = reachable(op, regular_arguments(op, GRADIENT_LANES))
    launched = run(handle, kernel.params, values(rows, args), lanes(args))
    assert launched.intact, launched.stray
    given = values(rows, points)
    for k, row in enumerate(rows):
        name = f"out{k}"
        gradients: Mapping[str, Lanes] = {}
        if row in DIFFERENTIATED:
            weight = {name: np.broadcast_to(weights(row), given[name].shape)}
            gradients = differentiate(handle, kernel.params, given, weight, lanes(points)).gradients
        exact = row.exact and watched(row, args)[1]
        beside = tuple(gradients.get(name) for name in NAMES[: len(row.params)])
        yield Answer(args, launched.arrays[name], exact, points, beside)


def lanes(args: Sequence[Lanes]) -> int:
    return len(args[0]) if args else 1


def values(rows: Sequence[Op], args: tuple[Lanes, ...]) -> dict[str, Lanes]:
    shapes = [(lanes(args), op.result.width) if isinstance(op.result, Composite) else (lanes(args),) for op in rows]
    outputs = [np.zeros(shape, op.result.dtype) for op, shape in zip(rows, shapes, strict=True)]
    return dict(zip(NAMES, args, strict=False)) | {f"out{k}": output for k, output in enumerate(outputs)}


def weights(op: Op) -> Lanes:
    """How much each scalar of the result counts in the sum that is differentiated."""
    return np.array([(-1.0) ** k * (1.0 + k / 8) for k in range(op.result.width)], op.result.dtype)


def meant(op: Op, args: tuple[Lanes, ...]) -> Lanes:
    """What the row means, of shape (lanes,) or (lanes, scalars)."""
    return np.broadcast_to(op(*map(lanes_of, args)).T, values([op], args)["out0"].shape)


# -- values -----------------------------------------------------------------------------------------------------------


def disagreement(op: Op, answer: Answer) -> str:
    """The first scalar on which the row's meaning isn't what Warp computed; empty where there is none."""
    if answer.exact:
        want = meant(op, answer.args)
        assert want.dtype == answer.result.dtype
        wrong = ulps_between(answer.result, np.ascontiguousarray(want)) != 0
        if not wrong.any():
            return ""
        place = tuple(np.argwhere(wrong)[0])
        return f"{[arg[place[0]] for arg in answer.args]}: {want[place]}, not {answer.result[place]} {place}"
    return beyond_rounding(op, answer)


def beyond_rounding(op: Op, answer: Answer) -> str:
    given = {name: column[np.newaxis] for name, column in values([op], answer.args).items()}
    count = lanes(answer.args)
    shadowed = run_shadowed(kernel_of([op]), Inputs(count, given, {}), PATTERNS)
    return compare("out0", expected(shadowed, "out0"), answer.result.reshape(-1))


@pytest.mark.no_cover
@each(CHECKED)
def test_meaning_is_what_warp_computes(op: Op, answers: Mapping[str, Answer]) -> None:
    assert disagreement(op, answers[op.key]) == ""


@pytest.mark.no_cover
@each(CHECKED)
def test_planted_mistakes_are_noticed(op: Op, answers: Mapping[str, Answer]) -> None:
    """Save what makes no difference, such as the order of the operands of a sum."""
    answer = answers[op.key]
    right = meant(op, answer.points)
    wrong = [(name, row) for name, row in mistakes(op) if not same(right, meant(row, answer.points))]
    assert wrong
    assert [name for name, row in wrong if not disagreement(row, answer)] == []


def same(one: Lanes, other: Lanes) -> bool:
    return bool((ulps_between(np.ascontiguousarray(one), np.ascontiguousarray(other)) == 0).all())


# -- adjoints ---------------------------------------------------------------------------------------------------------


def in_float64(op: Op) -> Op:
    """The row of that name on float64, which rounds nothing to float32 on the way; itself where there is none."""
    name = _wide(op.result) if op.name == op.result.name else op.key.partition("(")[0]
    return ROWS.get(f"{name}({','.join(map(_wide, op.params))})", op)


def _wide(type: Element) -> str:
    if type.scalar not in FLOATS:
        return type.name
    return f"{type.name[:-1]}d" if isinstance(type, Composite) else "float64"


CONTINUOUS = [op for op in CHECKED if op.result.scalar in FLOATS and any(T.scalar in FLOATS for T in op.params)]
DIFFERENTIATED = frozenset(op for op in CONTINUOUS if in_float64(op) is op)
"""Of each pair of instances of one template, that in float64, whose gradients are told best."""


def slopes(op: Op, points: tuple[Lanes, ...], k: int) -> tuple[Lanes, Lanes]:
    """The derivatives by each scalar of the k-th argument, in float64, and where they can be told."""
    wide = [point.astype(np.float64) if point.dtype.kind in FLOATING else point for point in points]
    flat = wide[k].reshape(len(wide[k]), -1)

    def total(moved: Lanes) -> Lanes:
        result = meant(op, (*wide[:k], moved.reshape(wide[k].shape), *wide[k + 1 :]))
        return np.asarray(result.reshape(len(flat), -1) @ weights(op).astype(np.float64))

    told = told_slopes(total, flat, (0.5, 1.0), 1e-2) if op.group == "cast" else told_slopes(total, flat)
    slope, smooth = (part.reshape(wide[k].shape) for part in told)  # casts are linear but for their rounding
    return slope, smooth


@each(sorted(DIFFERENTIATED, key=repr))
def test_adjoint_is_the_derivative(op: Op, answers: Mapping[str, Answer]) -> None:
    """Zero, where Warp's registry says that a builtin is not differentiable; but what is done in place hands on all."""
    answer, wrong = answers[op.key], set()
    for k, gradient in enumerate(answer.gradients):
        if gradient is not None:
            slope, smooth = slopes(op, answer.points, k)
            handed_on = weights(op) if isinstance(op.spelling, InPlace) and k == 0 else np.zeros_like(slope)
            want = slope if op.differentiable else handed_on
            assert smooth.mean() > 1 - 4 * RARELY
            if share_off(gradient, want, smooth) > RARELY:
                wrong.add(k)
    assert wrong == WRONG_ADJOINTS.get(op.key, frozenset())


# -- Warp's registry --------------------------------------------------------------------------------------------------

BUILTINS = {"matmul": "mul"}
"""Operators that Warp's code generation translates to a builtin of another name."""


def is_registered(op: Op) -> bool:
    """Constructors, components, and what takes numbers known at compile time, are code generation's own business."""
    fixed = isinstance(op.spelling, Call) and (op.spelling.keywords or op.spelling.first)
    spelt_apart = isinstance(op.spelling, Member | Item) or fixed
    spelt_apart = spelt_apart or op.name in ("tile", "untile")  # whose shape is that of the block
    return bool(op.params) and not spelt_apart and op.name not in (op.result.name, *SPELT_ONLY)


@each([op for op in COMPOSITE_ROWS if is_registered(op)])
def test_row_agrees_with_the_registry(op: Op) -> None:
    from warp._src import codegen, context, types

    name = "where" if isinstance(op.spelling, Ternary) else BUILTINS.get(op.name, op.name)
    builtin: Any = context.builtin_functions[name]
    if not builtin.is_builtin():  # written in Python: what it takes and gives follows from what it calls
        assert len(builtin.input_types) == len(op.params)
        return
    taken = [_of_warp(type) for type in op.params]
    matches: Any = codegen.func_match_args
    fits: Any = matches if op.group != "tile" or name in OPERATORS else _takes_as_many
    overload = next(f for f in builtin.overloads if (f.variadic and op.group != "tile") or fits(f, taken, {}))
    in_one = overload.variadic and op.group != "tile"
    given = {"args": taken} if in_one else dict(zip(overload.input_types, taken, strict=False))
    same_type: Any = types.types_equal
    found = overload.value_func(given, {})
    assert same_type(getattr(found, "type", found), _of_warp(op.result))  # of a length, it is the length
    if op.result.scalar in FLOATS:
        assert op.differentiable == overload.is_differentiable


@each([op for op in CHANGERS if isinstance(op.spelling, InPlace)])
def test_what_is_done_in_place_gives_nothing_back(op: Op) -> None:
    from warp._src import context

    assert isinstance(op.spelling, InPlace)
    taken = [_of_warp(type) for type in op.spelling.ordered(op.params)]
    overloads: Any = context.builtin_functions[op.spelling.function.removeprefix("wp.")].overloads
    overload = next(f for f in overloads if _takes_as_many(f, taken, {}))
    assert overload.value_func(dict(zip(overload.input_types, taken, strict=False)), {}) is None
    assert op.differentiable == overload.is_differentiable
    assert op.result is op.params[0]


OPERATORS = ("add", "sub", "mul", "div", "neg", "bit_and", "bit_or", "bit_xor")


def _takes_as_many(overload: Any, taken: list[Any], _: object) -> bool:
    return len(overload.input_types) - len(overload.defaults) <= len(taken) <= len(overload.input_types)


def _of_warp(type: Element) -> Any:
    """Warp's own type of that name."""
    from warp._src import types

    tile: Any = types.tile
    return tile(dtype=of_warp(type.element), shape=type.extent) if is_tile(type) else of_warp(type)
