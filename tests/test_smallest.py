"""The smallest kernel with each construct is one, holds it, and holds next to nothing else; sketches hold several."""

from __future__ import annotations

from random import Random

import pytest

from grammar.alive import is_alive
from grammar.atomics import AtomicKind
from grammar.check import problems
from grammar.choose import Seed
from grammar.defects import defect
from grammar.emit import emit
from grammar.heights import height
from grammar.op import Op
from grammar.ops import row
from grammar.smallest import (
    INSIDES,
    SIMPLEST,
    Construct,
    Nesting,
    Trait,
    constructs,
    constructs_of,
    inside_of,
    nestings_of,
    sketch,
    smallest,
    with_inside,
)
from grammar.tiles import is_of_threads, is_tile
from grammar.tree import statements
from grammar.types import F64, Composite, Scalar
from tests.builders import LANES
from tests.each import each

SEED = Seed(0)
NAMELESS = ("nonzero", "equal", "not_equal", "bool")
"""Operations that give the same everywhere on ordinary floats, so that no kernel is alive that only stores them."""
LENGTHS = ("length", "length_sq")
"""Those of rotations are 1."""


def name_of(construct: Construct) -> str:
    if construct is None:
        return "nothing"
    return construct.key if isinstance(construct, Op) else getattr(construct, "__name__", str(construct))


def besides_types(held: tuple[Construct, ...]) -> list[Construct]:
    return [one for one in held if not isinstance(one, Scalar)]


@each([construct for construct in constructs() if isinstance(construct, Op)])
def test_the_smallest_kernel_with_an_operation(op: Op) -> None:
    assert_smallest(op)


@pytest.mark.parametrize("construct", [one for one in constructs() if not isinstance(one, Op)], ids=name_of)
def test_the_smallest_kernel_with_a_construct(construct: Construct) -> None:
    assert_smallest(construct)


def assert_smallest(construct: Construct) -> None:
    kernel = smallest(construct, SEED, LANES)
    assert problems(kernel) == ()
    assert is_alive(kernel, SEED, LANES)
    if isinstance(construct, Op) and kernel is SIMPLEST and (_is_constant(construct) or not construct.weight):
        return
    assert defect(kernel) is None
    if isinstance(construct, Op) and any(map(is_of_threads, (*construct.params, construct.result))):
        assert construct in constructs_of(kernel)
        assert len(list(statements(kernel.body))) == 3  # of what a block comes to no part stands alone
    elif isinstance(construct, Op | AtomicKind):
        assert besides_types(constructs_of(kernel)) == [construct]
        assert len(list(statements(kernel.body))) == 2
    elif construct is not None:
        assert kernel is not SIMPLEST
        assert len(list(statements(kernel.body))) <= 9
    if isinstance(construct, Trait | Scalar):
        assert construct in constructs_of(kernel)


def _is_constant(op: Op) -> bool:
    rotations = any(isinstance(type, Composite) and type.is_rigid for type in op.params)
    return op.name in NAMELESS or (op.name in LENGTHS and rotations)


NESTED = {
    ("sqrt(float32)", 0, "abs(float32)"): "out[i] = wp.sqrt(wp.abs(x[i]))",
    ("add(float32,float32)", 1, "mul(float32,float32)"): "out[i] = x[i] + a[i] * input[i]",
    ("where(bool,float32,float32)", 0, "less(float32,float32)"): "out[i] = wp.where(x[i] < a[i], input[i], b[i])",
}


@pytest.mark.parametrize(("outer", "place", "inner"), NESTED)
def test_the_smallest_kernel_with_an_operation_in_another(outer: str, place: int, inner: str) -> None:
    nesting = Nesting(row(outer), place, row(inner))
    kernel = smallest(nesting, SEED, LANES)
    assert problems(kernel) == ()
    assert is_alive(kernel, SEED, LANES)
    assert nestings_of(kernel) == (nesting,)
    assert emit(kernel).splitlines()[-1].strip() == NESTED[outer, place, inner]
    assert with_inside(row(outer), inside_of(nesting)) == nesting


def test_what_does_not_fit_inside_is_left_out() -> None:
    nesting = Nesting(row("sqrt(float32)"), 0, row("abs(float32)"))
    for outer in (row("sqrt(float64)"), None, Trait.BREAK):
        assert with_inside(outer, inside_of(nesting)) is outer
    assert with_inside(row("sqrt(float32)"), 0) is row("sqrt(float32)")
    assert with_inside(row("sqrt(float32)"), INSIDES) is row("sqrt(float32)")


def test_a_sketch_holds_its_constructs_side_by_side() -> None:
    held: list[Construct] = [row("sin(float32)"), Trait.RETURN, row("where(bool,float64,float64)"), AtomicKind.MAX]
    _, _, text = emit(sketch(held, 3, SEED, LANES)).partition("i = wp.tid()\n")
    assert [line.strip() for line in text.splitlines()] == [
        "out[i] = wp.sin(x[i])",
        "out_1[i] = wp.where(mask[i], x_1[i], a[i])",
        "wp.atomic_max(out_2, 0, x[i])",
        "if i >= n:",
        "return",
        "out_3[i] = x[i]",
    ]


def test_a_sketch_is_no_higher_than_it_may_be() -> None:
    assert sketch([Trait.BREAK], 2, SEED, LANES) is SIMPLEST
    assert sketch([Trait.BREAK, row("sin(float32)")], 2, SEED, LANES) == smallest(row("sin(float32)"), SEED, LANES)


@pytest.mark.parametrize("trait", Trait)
def test_each_trait_stands_beside_every_other(trait: Trait) -> None:
    for other in Trait:
        if other is not trait:
            kernel = sketch([trait, other], 5, SEED, LANES)
            assert problems(kernel) == ()
            assert {trait, other} <= {*constructs_of(kernel)}


@pytest.mark.parametrize("number", range(20))
def test_any_sketch_is_a_live_kernel_that_lacks_hardly_anything(number: int) -> None:
    held = Random(number).sample([one for one in constructs() if smallest(one, SEED, LANES) is not SIMPLEST], 12)
    kernel = sketch(held, 5, SEED, LANES)
    assert problems(kernel) == ()
    assert is_alive(kernel, SEED, LANES)
    assert defect(kernel) is None
    assert height(kernel) <= 5
    wanted = {one for one in held if isinstance(one, Op | AtomicKind | Trait) or one is F64}
    if any(isinstance(one, Op) and any(map(is_of_threads, one.params)) for one in held):
        wanted = {one for one in wanted if not isinstance(one, Op) or not any(map(is_tile, one.params))}  # no such two
    assert len(wanted.difference(constructs_of(kernel))) <= 2
