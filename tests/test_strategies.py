"""Hypothesis draws kernels: sound ones, many different ones, and what fails shrinks to what is at fault."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import find, given, seed, settings
from hypothesis import strategies as st

from grammar.alive import is_alive
from grammar.atomics import AtomicKind
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.emit import emit, emit_term
from grammar.heights import height, size, term_height
from grammar.inputs import regular
from grammar.layout import Inputs
from grammar.op import Op
from grammar.ops import row
from grammar.plain import run_plain
from grammar.smallest import SIMPLEST, Construct, Nesting, constructs_of, nestings_of
from grammar.strategies import LANES, SEED, inputs, is_defined, kernels, terms
from grammar.tree import Apply, Atomic, Break, For, If, Kernel, Stmt, Term, While, all_terms, statements
from grammar.types import SCALARS, Scalar

MANY = settings(max_examples=3000, deadline=None, database=None)
FEW = settings(max_examples=40, deadline=None, database=None, derandomize=True)


@FEW
@given(st.sampled_from(["natural", "uniform", "swarm"]).flatmap(lambda name: kernels(4, name)))
def test_what_is_drawn_is_a_live_kernel(kernel: Kernel) -> None:
    assert problems(kernel) == ()
    assert is_alive(kernel, SEED, LANES)
    assert height(kernel) <= 4


@FEW
@given(k=...)
def test_kernels_are_drawn_by_annotation(k: Kernel) -> None:
    assert problems(k) == ()


@FEW
@given(kernels(5, family="nested_loop"))
def test_a_family_is_drawn(kernel: Kernel) -> None:
    assert kernel == SIMPLEST or kernel.family == "nested_loop"


def test_the_simplest_kernel_is_one() -> None:
    assert problems(SIMPLEST) == ()
    assert is_alive(SIMPLEST, SEED, LANES)


@pytest.mark.parametrize(
    "wrong", [{"profile": "sparse"}, {"family": "waltz"}, {"depth": 0}, {"family": "loop", "depth": 2}]
)
def test_names_that_do_not_exist_are_told_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no "):
        kernels(**wrong)  # type: ignore[arg-type] # which is what is tested


@pytest.mark.no_cover
def test_what_is_drawn_differs() -> None:
    seen, ops = Counter[str](), set[Construct]()

    @seed(1)
    @settings(max_examples=200, deadline=None, database=None)
    @given(kernels(5))
    def draw(kernel: Kernel) -> None:
        seen[canonical_hash(kernel)] += 1
        ops.update(one for one in constructs_of(kernel) if isinstance(one, Op))

    draw()
    assert len(seen) >= 140
    assert seen[canonical_hash(SIMPLEST)] <= 40
    assert len(ops) >= 80


@pytest.mark.parametrize("type", SCALARS)
def test_terms_have_their_type_and_height(type: Scalar) -> None:
    @FEW
    @given(terms(type, height=3))
    def holds(term: Term) -> None:
        assert term.type is type
        assert term_height(term) <= 3
        assert emit_term(term)

    holds()


def test_inputs_are_defined_and_shrink_to_the_regular_ones() -> None:
    kernel = find(kernels(3), lambda _: True, settings=FEW, random=Random(0))

    @FEW
    @given(inputs(kernel))
    def holds(drawn: Inputs) -> None:
        assert is_defined(kernel, drawn)

    holds()
    simplest = find(inputs(kernel), lambda _: True, settings=FEW, random=Random(0))
    wanted = regular(kernel, SEED, LANES)
    assert all(np.array_equal(simplest.arrays[name], values, equal_nan=True) for name, values in wanted.arrays.items())
    assert run_plain(kernel, simplest).undefined.sum() == 0


# -- what failures shrink to ------------------------------------------------------------------------------------------


def applies(name: str, composite: bool = False) -> Callable[[Kernel], bool]:
    def holds(term: Term) -> bool:
        return isinstance(term, Apply) and term.op.name == name and term.op.is_composite == composite

    return lambda k: any(map(holds, all_terms(k)))


def applies_row(key: str) -> Callable[[Kernel], bool]:
    return lambda k: any(isinstance(term, Apply) and term.op.key == key for term in all_terms(k))


def holds_a(kind: type[Stmt]) -> Callable[[Kernel], bool]:
    return lambda k: any(isinstance(s, kind) for s in statements(k.body))


def is_a(kind: AtomicKind) -> Callable[[Kernel], bool]:
    return lambda k: any(isinstance(s, Atomic) and s.kind is kind for s in statements(k.body))


def both(one: Callable[[Kernel], bool], other: Callable[[Kernel], bool]) -> Callable[[Kernel], bool]:
    return lambda k: one(k) and other(k)


DRAWS = [0, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 2))]
"""Whatever Hypothesis draws; more than one is for who has the time."""

STOPPED = ["s = int(0)", "for k in range(3):", "if mask[i]:", "break", "s += 1", "out[i] = s"]
HALVED = ["a = x[i]", "j = int(0)", "while a > 0.0 and j < 3:", "a -= 0.5", "j += 1", "out[i] = a"]

SHRUNK = {
    "anything": (lambda _: True, ["out[i] = x[i]"]),
    "sin": (applies("sin"), ["out[i] = wp.sin(x[i])"]),
    "erfcinv": (applies("erfcinv"), ["out[i] = wp.erfcinv(weights[i])"]),
    "cbrt": (applies("cbrt"), ["out[i] = wp.cbrt(x[i])"]),
    "where": (applies("where"), ["out[i] = wp.where(mask[i], x[i], a[i])"]),
    "add": (applies("add"), ["out[i] = x[i] + a[i]"]),
    "lshift": (applies("lshift"), ["out[i] = values[i] << counts[i]"]),
    "bit_count": (applies("bit_count"), ["out[i] = wp.bit_count(values[i])"]),
    "atomic": (holds_a(Atomic), ["wp.atomic_add(out, 0, x[i])"]),
    "clamp": (applies_row("clamp(float32,float32,float32)"), ["out[i] = wp.clamp(x[i], a[i], input[i])"]),
    "atomic_min": (is_a(AtomicKind.MIN), ["wp.atomic_min(out, 0, x[i])"]),
    "atomic_max": (is_a(AtomicKind.MAX), ["wp.atomic_max(out, 0, x[i])"]),
    "if": (holds_a(If), ["a = x[i]", "if a < 0.0:", "a += 1.0", "out[i] = a"]),
    "while": (holds_a(While), HALVED),
    "break": (holds_a(Break), STOPPED),
    "dot": (applies("dot", composite=True), ["out[i] = wp.dot(x[i], points[i])"]),
}


LIKE_OTHERS = ("erfcinv", "cbrt", "add", "lshift", "bit_count", "atomic_min", "atomic_max", "while", "break")
"""What shrinks as some other fault does, or is long looked for; for who has the time, too."""


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("number", "fault"),
    [pytest.param(*pair, marks=[pytest.mark.slow] * (pair[1] in LIKE_OTHERS)) for pair in enumerate(SHRUNK)],
    ids=list(SHRUNK),
)
def test_a_fault_shrinks_to_the_construct_at_fault(number: int, fault: str) -> None:
    fails, body = SHRUNK[fault]
    smallest = find(kernels((3, 5)[number % 2]), fails, settings=MANY, random=Random(number))
    _, _, text = emit(smallest).partition("i = wp.tid()\n")
    assert [line.strip() for line in text.splitlines()] == body


@pytest.mark.parametrize("number", DRAWS[:2])
def test_a_fault_of_an_operation_in_another_shrinks_to_the_two(number: int) -> None:
    sums_products = Nesting(row("add(float32,float32)"), 0, row("mul(float32,float32)"))
    judged: list[bool] = []

    def noted(kernel: Kernel) -> bool:
        fails = sums_products in nestings_of(kernel)
        judged.extend([fails] * (fails or bool(judged)))
        return fails

    smallest = find(kernels(5), noted, settings=MANY, random=Random(number))
    assert emit(smallest).splitlines()[-1].strip() == "out[i] = x[i] * a[i] + input[i]"
    assert len(judged) <= 800  # mostly some dozens, as with constructs


TOGETHER = {
    "for": (holds_a(For), 14),
    "sin and for": (both(applies("sin"), holds_a(For)), 19),
    "add and if": (both(applies("add"), holds_a(If)), 26),
    "mul and atomic": (both(applies("mul"), holds_a(Atomic)), 15),
}
"""With the most nodes of what each shrinks to: several kernels there are that no single step makes smaller."""


@pytest.mark.no_cover
@pytest.mark.parametrize("fault", TOGETHER)
@pytest.mark.parametrize("number", DRAWS)
def test_it_takes_few_kernels_to_shrink_one(fault: str, number: int) -> None:
    fails, least = TOGETHER[fault]
    sizes: list[int] = []

    def noted(kernel: Kernel) -> bool:
        found = fails(kernel)
        sizes.extend([size(kernel)] * (found or bool(sizes)))
        return found

    assert size(find(kernels(5), noted, settings=MANY, random=Random(number))) <= least
    assert len(sizes) <= 800  # mostly some dozens, with a table of some hundreds of rows


def test_importing_hypothesis_does_not_load_the_grower() -> None:
    code = "import sys, hypothesis.strategies; sys.exit('grammar.grow' in sys.modules or 'warp' in sys.modules)"
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60).returncode == 0
