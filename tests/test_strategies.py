"""Hypothesis draws kernels: sound ones, many different ones, and what fails shrinks to what is at fault."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import find, given, seed, settings
from hypothesis import strategies as st

from grammar.alive import is_alive
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.emit import emit, emit_term
from grammar.evaluate import Inputs, run_plain
from grammar.inputs import regular
from grammar.smallest import SIMPLEST
from grammar.strategies import LANES, SEED, inputs, is_defined, kernels, terms
from grammar.tree import Apply, Atomic, AtomicKind, For, Kernel, Stmt, Term, all_terms, height, statements, term_height
from grammar.types import SCALARS, Scalar

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


def test_what_is_drawn_differs() -> None:
    seen = set()

    @seed(1)
    @settings(max_examples=100, deadline=None, database=None)
    @given(kernels(5))
    def draw(kernel: Kernel) -> None:
        seen.add(canonical_hash(kernel))

    draw()
    assert len(seen) >= 60


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


def applies(name: str) -> Callable[[Kernel], bool]:
    return lambda k: any(isinstance(t, Apply) and t.op.name == name for t in all_terms(k))


def holds_a(kind: type[Stmt]) -> Callable[[Kernel], bool]:
    return lambda k: any(isinstance(s, kind) for s in statements(k.body))


def is_a_greatest(kernel: Kernel) -> bool:
    return any(isinstance(s, Atomic) and s.kind is AtomicKind.MAX for s in statements(kernel.body))


SHRUNK = {
    "anything": (lambda _: True, ["out[i] = x[i]"]),
    "sin": (applies("sin"), ["out[i] = wp.sin(x[i])"]),
    "atomic": (holds_a(Atomic), ["wp.atomic_add(out, 0, x[i])"]),
    "erfcinv": (applies("erfcinv"), ["out[i] = wp.erfcinv(weights[i])"]),
    "cbrt": (applies("cbrt"), ["out[i] = wp.cbrt(x[i])"]),
    "where": (applies("where"), ["out[i] = wp.where(mask[i], x[i], a[i])"]),
    "atomic_max": (is_a_greatest, ["wp.atomic_max(out, 0, x[i])"]),
    "for": (holds_a(For), ["s = 0.0", "for k in range(3):", "s += x[k]", "out[i] = s + x[i]"]),
}


@pytest.mark.parametrize("fault", SHRUNK)
def test_a_fault_shrinks_to_the_construct_at_fault(fault: str) -> None:
    fails, body = SHRUNK[fault]
    many = settings(max_examples=1000, deadline=None, database=None)
    smallest = find(kernels(2 if fault == "sin" else 3), fails, settings=many, random=Random(0))
    _, _, text = emit(smallest).partition("i = wp.tid()\n")
    assert [line.strip() for line in text.splitlines()] == body


def test_importing_hypothesis_does_not_load_the_grower() -> None:
    code = "import sys, hypothesis.strategies; sys.exit('grammar.grow' in sys.modules or 'warp' in sys.modules)"
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60).returncode == 0
