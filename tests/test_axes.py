"""A kernel agrees with itself, and where it does not, that is seen.

The key insight: a disagreement is planted by handing the comparison two kernels that differ, which is what a compiler
fault along an axis would look like.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from extract.compile import Compiled, CompileOptions, compile_block, release, start
from grammar.atomics import AtomicKind
from grammar.emit import emit
from grammar.tree import Kernel
from tests.builders import LANES, OUT, X, Y, accumulator, array, at, atomic, do, kernel, put, samples
from validate import axes
from validate.axes import AXES, check_axes, check_spellings
from validate.verdict import Outcome

pytestmark = pytest.mark.warp

SEED = 0
PRODUCT = kernel((X, Y, OUT), put("out", do("add", do("mul", at("x"), at("y")), 1.0)), name="product")
QUOTIENT = kernel((X, Y, OUT), put("out", do("add", do("mul", at("x"), at("y")), 1.0000001)), name="product")
WAVE = kernel((X, OUT), put("out", do("sin", at("x"))), name="wave")
TOTAL = kernel((X, accumulator()), atomic(AtomicKind.ADD, "total", at("x")), name="total_of")
KERNELS = (PRODUCT, WAVE, TOTAL, *(s.kernel for s in samples(1, (3,))[::8]))


@pytest.fixture(autouse=True, scope="module")
def _started() -> None:
    start()


@pytest.mark.parametrize("axis", AXES)
def test_kernels_agree_with_themselves(axis: str) -> None:
    verdicts = check_axes(KERNELS, SEED, LANES, [axis])
    assert [v[axis].detail for v in verdicts if v[axis].outcome.is_finding] == []
    if axis != "cuda":
        assert verdicts[0][axis].outcome is Outcome.VERIFIED


def test_spellings_agree() -> None:
    verdicts = check_spellings(KERNELS, SEED, LANES)
    assert [v.detail for named in verdicts for v in named.values() if v.outcome.is_finding] == []
    assert "arguments exchanged" in verdicts[0]


def both(first: Kernel, second: Kernel, contracted: bool = False) -> tuple[Outcome, str]:
    block = compile_block([(k.name, emit(k)) for k in (first, second)], options=CompileOptions())
    one, other = block.kernels
    verdict = axes._both(axes.subject_of(first, SEED, LANES), one, other, contracted=contracted)
    release(block)
    return verdict.outcome, verdict.detail


def test_one_bit_is_a_disagreement_where_all_is_exact() -> None:
    outcome, detail = both(PRODUCT, QUOTIENT)
    assert outcome is Outcome.VALUE
    assert detail.startswith("out[")


def test_a_rounding_is_none_where_products_and_sums_may_be_fused() -> None:
    assert both(PRODUCT, QUOTIENT, contracted=True)[0] is Outcome.VERIFIED


def test_a_wrong_value_is_a_disagreement_however_loose() -> None:
    other = kernel((X, OUT), put("out", do("mul", do("sin", at("x")), 1.001)), name="wave")
    assert both(WAVE, other, contracted=True)[0] is Outcome.VALUE


def test_a_rewrite_that_changes_the_value_is_seen() -> None:
    def wrong(_: Kernel) -> Kernel:
        return kernel((X, Y, OUT), put("out", do("mul", at("x"), at("y"))), name="product")

    (verdict,) = check_spellings([PRODUCT], SEED, LANES, {"wrong": wrong})
    assert verdict["wrong"].outcome is Outcome.VALUE


def test_a_gradient_that_differs_is_seen() -> None:
    one = kernel((X, OUT), put("out", do("abs", do("floor", at("x")))), name="one")
    assert both(one, one)[0] is Outcome.VERIFIED
    pair = compiled([PRODUCT])
    subject = axes.subject_of(PRODUCT, SEED, LANES)
    did = axes.ran(subject, pair[0].handle)
    bent = axes.Ran(did.outputs, {name: g * 1.01 for name, g in did.gradients.items()}, did.after)
    assert axes._same_gradients(subject, did, bent, loose=True).outcome is Outcome.GRADIENT


def compiled(kernels: Sequence[Kernel]) -> list[Compiled]:
    block = compile_block([(k.name, emit(k)) for k in kernels], options=CompileOptions())
    assert all(isinstance(made, Compiled) for made in block.kernels)
    return [made for made in block.kernels if isinstance(made, Compiled)]


def test_what_warp_refuses_is_a_verdict() -> None:
    refused = kernel((array("throw"), OUT), put("out", at("throw")))
    (verdict,) = check_axes([refused], SEED, LANES, ["forward only"])
    assert verdict["forward only"].outcome is Outcome.COMPILE
