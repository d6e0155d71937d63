"""The pipeline's properties on kernels that Hypothesis draws, and shrinks where one fails: `pytest -m fuzz`.

The key insight: kernels are compiled by the block, as most of a compile is per module; so an example is a block, and a
failing one shrinks to a block of one small kernel.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.compile import BlockBuild, Compiled, CompileOptions, compile_block, release, start
from grammar.check import problems
from grammar.defects import defect
from grammar.emit import emit
from grammar.fields import without_structs
from grammar.heights import height
from grammar.strategies import LANES, SEED, kernels
from grammar.tree import Kernel
from tests.reading import Reader
from validate.axes import AXES, check_axes, check_spellings
from validate.oracle import check
from validate.plugin import FuzzSettings
from validate.verdict import Verdict

BLOCK = 16

pytestmark = pytest.mark.fuzz


@st.composite
def blocks(draw: Any, fuzz: FuzzSettings, size: int) -> list[Kernel]:
    """Kernels to be compiled together: nearly always `size` of them; shrinks to one."""
    number = min(size, 1 + draw(st.integers(0, 127)))
    return [draw(kernels(fuzz.depth, fuzz.profile)) for _ in range(number)]


def tried(fuzz: FuzzSettings, holds: Callable[[list[Kernel]], None]) -> None:
    """Tries the property on as many kernels as the command line asks for."""
    size = min(BLOCK, fuzz.kernels)
    each = settings(max_examples=-(-fuzz.kernels // size), deadline=None, database=None)
    each(given(blocks(fuzz, size))(holds))()


def none_of(findings: Sequence[tuple[Kernel, Verdict]]) -> None:
    assert [f"{v.outcome.value} {v.detail}\n{emit(k)}" for k, v in findings if v.outcome.is_finding] == []


def test_emission_round_trips_and_the_checker_accepts(fuzz: FuzzSettings) -> None:
    def holds(block: list[Kernel]) -> None:
        for kernel in block:
            ast.parse(emit(kernel))
            plain = without_structs(kernel)  # whose fields would stand in several places
            read = Reader(emit(plain))
            assert (read.name, read.body) == (plain.name, plain.body)
            assert problems(kernel) == ()
            assert defect(kernel) is None
            assert height(kernel) <= fuzz.depth

    tried(fuzz, holds)


@pytest.mark.warp
def test_values_and_adjoints_match_the_reference(fuzz: FuzzSettings) -> None:
    def holds(block: list[Kernel]) -> None:
        built = compile_block([(k.name, emit(k)) for k in block], options=CompileOptions())
        try:
            none_of([(k, verdict_of(k, built, n)) for n, k in enumerate(block)])
        finally:
            release(built)

    start()
    tried(fuzz, holds)


def verdict_of(kernel: Kernel, built: BlockBuild, number: int) -> Verdict:
    made = built.kernels[number]
    assert isinstance(made, Compiled), f"{made.message}\n{made.source}"
    return check(kernel, made.handle, SEED, LANES)


@pytest.mark.warp
@pytest.mark.parametrize("axis", AXES)
def test_a_kernel_agrees_with_itself(fuzz: FuzzSettings, axis: str) -> None:
    def holds(block: list[Kernel]) -> None:
        verdicts = check_axes(block, SEED, LANES, [axis])
        none_of([(k, v[axis]) for k, v in zip(block, verdicts, strict=True)])

    if fuzz.axes is not None and axis not in fuzz.axes:
        pytest.skip("not among --fuzz-axes")
    start()
    tried(fuzz, holds)


@pytest.mark.warp
def test_spellings_agree(fuzz: FuzzSettings) -> None:
    def holds(block: list[Kernel]) -> None:
        verdicts = check_spellings(block, SEED, LANES)
        none_of([(k, v) for k, named in zip(block, verdicts, strict=True) for v in named.values()])

    start()
    tried(fuzz, holds)
