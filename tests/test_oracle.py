"""The oracle on compiled kernels: what is right is verified, and what is wrong, anywhere, is not.

The key insight: instead of breaking Warp, the tests break the reference. A kernel that differs in one place from the
one that was compiled is what a compiler fault would look like from here, and costs no compile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

from grammar.check import problems
from grammar.emit import emit
from grammar.evaluate import EndlessLoopError
from grammar.floats import FLOATING
from grammar.limits import CARRIED, has_gradient
from grammar.op import Lanes
from grammar.ops import ROWS, TABLE
from grammar.plain import run_plain
from grammar.tree import Apply, At, Const, For, Kernel, Read, Stmt, Term, all_terms
from grammar.types import F16, FLOATS, I32, type_named
from tests.builders import (
    LANES,
    OUT,
    I,
    Sample,
    X,
    array,
    at,
    do,
    edits,
    kernel,
    number,
    out,
    put,
    samples,
)
from tests.limits_of_parts import REASONS
from tests.test_evaluate import BY_HAND, UNDEFINED
from tests.test_limits import DEFECTIVE, FINE, LIMITED
from validate.edits import in_terms
from validate.specials import FLOAT_SPECIALS, joined, special
from validate.verdict import GradientLabel, Outcome, Verdict

pytestmark = pytest.mark.warp

SEED = 3
UNLIMITED = {f"limited: {name}": by_hand for name, by_hand in LIMITED.items()}
STATEMENTS = {
    f"statement: {name}": by_hand
    for name, by_hand in BY_HAND.items()
    if name not in UNDEFINED and name not in ("while", "while with break")
}
"""Those two would not end on an infinity."""
SQUARE = kernel((X, OUT), put("out", do("mul", at("x"), at("x"))))
DIVIDED = kernel(
    (array("m", I32, 1, 8), array("d", I32, -8, -1), out("counts", I32)),
    put(
        "counts",
        do("floordiv", do("add", at("m", I, I32), do("mod", at("m", I, I32), at("d", I, I32))), at("d", I, I32)),
    ),
)
CAST = kernel(
    (array("x", low=1.0, high=4.0), out("counts", I32)), put("counts", do("div", number(100), do("int32", at("x"))))
)
COPIED = kernel((array("m", I32), out("counts", I32)), put("counts", at("m", I, I32)))
CANCELLED = kernel(
    (X, OUT), put("out", do("add", do("mul", do("sub", at("x"), at("x")), 30.0), do("mul", at("x"), 0.01)))
)
"""Going back, the two large shares of the element take with them what the small one had beyond their last bit."""
SMALL = type_named("mat22f")
THROUGH_INVERSES = kernel(
    (array("a", SMALL), array("m", SMALL), out("out", SMALL)),
    put("out", do("mul", do("inverse", do("mul", at("a", I, SMALL), at("m", I, SMALL))), at("a", I, SMALL))),
)
"""Where a is nearly singular, what comes back to the elements of the inverse's argument cancels in that to m, but for
how each was rounded."""
SPECIAL = {
    "cancelled": CANCELLED,
    "through inverses": THROUGH_INVERSES,
    "square": SQUARE,
    "division of ints": DIVIDED,
    "cast": CAST,
}
DEFECTS = {f"defect: {name}": by_hand for name, (_, by_hand) in DEFECTIVE.items()}

GROWN = tuple(sample for sample in samples(1) if sample.depth in (2, 3, 4, 5, 7))[::2]

STRAY: Mapping[str, tuple[Kernel, str]] = {
    "input_written": (
        SQUARE,
        """import warp as wp


@wp.kernel
def input_written(x: wp.array[float], out: wp.array[float]):
    i = wp.tid()
    out[i] = x[i] * x[i]
    x[i] = 1.0
""",
    ),
    "beside": (
        SQUARE,
        """import warp as wp


@wp.kernel
def beside(x: wp.array[float], out: wp.array[float]):
    i = wp.tid()
    out[i] = x[i] * x[i]
    out[i + 1] = x[i] * x[i]
""",
    ),
    "ints_beside": (
        COPIED,
        """import warp as wp


@wp.kernel
def ints_beside(m: wp.array[int], counts: wp.array[int]):
    i = wp.tid()
    counts[i + 1] = 7
    counts[i] = m[i]
""",
    ),
}
"""Kernels as they are meant, and texts that compute the same and write where they should not."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A compiled kernel, and the seed of its inputs."""

    kernel: Kernel
    handle: Any
    seed: int

    def of(self, other: Kernel) -> Verdict:
        """The verdict on the compiled kernel if `other` is what was meant."""
        from validate.oracle import check

        return check(other, self.handle, self.seed, LANES)


@pytest.fixture(scope="module")
def proofs() -> Iterator[Mapping[str, Proof]]:
    """All kernels of these tests, compiled as one block, by name; grown ones by their number."""
    from extract.compile import Compiled, compile_block, release, start

    start()
    by_hand = {**FINE, **UNLIMITED, **STATEMENTS, **SPECIAL, **DEFECTS}
    wanted = [(name, kernel, SEED) for name, kernel in by_hand.items()]
    wanted += [(f"grown {nth}", sample.kernel, sample.seed) for nth, sample in enumerate(GROWN)]
    named = [(name, replace(kernel, name=f"kernel_{k}"), seed) for k, (name, kernel, seed) in enumerate(wanted)]
    sources = [(kernel.name, emit(kernel)) for _, kernel, _ in named]
    sources += [(name, text) for name, (_, text) in STRAY.items()]
    block = compile_block(sources)
    entries = [*named, *((name, meant, SEED) for name, (meant, _) in STRAY.items())]
    found = {}
    for (name, compiled_kernel, seed), made in zip(entries, block.kernels, strict=True):
        assert isinstance(made, Compiled), f"{name}: {made}"
        found[name] = Proof(compiled_kernel, made.handle, seed)
    yield found
    release(block)


# -- what is right ----------------------------------------------------------------------------------------------------


def assert_verified(verdict: Verdict, told: object) -> None:
    assert verdict.outcome is Outcome.VERIFIED, f"{told}: {verdict.outcome}, {verdict.detail}"
    assert verdict.detail == ""
    assert verdict.residual <= 1


@pytest.mark.parametrize("name", [*FINE, *STATEMENTS, *SPECIAL])
def test_kernels_by_hand_are_verified(name: str, proofs: Mapping[str, Proof]) -> None:
    proof = proofs[name]
    verdict = proof.of(proof.kernel)
    assert_verified(verdict, name)
    assert verdict.gradient is (GradientLabel.VERIFIED if has_gradient(proof.kernel) else GradientLabel.NONE)
    assert verdict.checked > 0.6


def test_grown_kernels_are_verified(proofs: Mapping[str, Proof]) -> None:
    """But for the odd one of which too little can be decided; none is a finding."""
    unchecked = 0
    for nth, sample in enumerate(GROWN):
        proof = proofs[f"grown {nth}"]
        verdict = proof.of(proof.kernel)
        if verdict.outcome is Outcome.UNCHECKED:
            unchecked += 1
        else:
            assert_verified(verdict, sample)
    assert unchecked <= 0.05 * len(GROWN)


def test_most_elements_are_checked(proofs: Mapping[str, Proof]) -> None:
    verdicts = [proofs[f"grown {nth}"].of(proofs[f"grown {nth}"].kernel) for nth in range(len(GROWN))]
    assert np.mean([v.checked for v in verdicts]) > 0.9
    assert np.mean([v.gradient_checked for v in verdicts if v.gradient is GradientLabel.VERIFIED]) > 0.95


def test_verdicts_repeat(proofs: Mapping[str, Proof]) -> None:
    for name in ("sum", "square", "grown 0", "grown 7"):
        one, other = (proofs[name].of(proofs[name].kernel) for _ in range(2))
        assert repr(one) == repr(other)


def test_verdicts_hold_what_a_row_needs(proofs: Mapping[str, Proof]) -> None:
    verdict = proofs["square"].of(proofs["square"].kernel)
    x = verdict.inputs["x"]
    assert np.array_equal(verdict.outputs["out"], x * x)
    assert np.allclose(verdict.gradients["x"], 2 * x * verdict.cotangents["out"], rtol=1e-6)
    assert set(verdict.inputs) == {"x", "out"}


# -- wrong values -----------------------------------------------------------------------------------------------------


def other_operations(term: Term) -> Iterator[Term]:
    if isinstance(term, Apply):
        kin = [o for o in TABLE if o.params == term.op.params and o.result is term.op.result and o is not term.op]
        yield from (Apply(op, term.args) for op in kin[:6])


def swapped(term: Term) -> Iterator[Term]:
    if isinstance(term, Apply) and len(term.args) > 1 and term.args[0].type is term.args[1].type:
        yield Apply(term.op, (term.args[1], term.args[0], *term.args[2:]))


def negated(term: Term) -> Iterator[Term]:
    negation = ROWS.get(f"neg({term.type.name})")
    if isinstance(term, Apply | Read) and negation is not None:
        yield Apply(negation, (term,))


def slightly_off(term: Term) -> Iterator[Term]:
    """Literals by a hundredth, results of operations by a thousandth; of halves, by fifty times as much."""
    more = 50.0 if term.type.scalar is F16 else 1.0
    if isinstance(term, Const) and term.type in FLOATS:
        yield Const(term.type, term.value * (1 + 0.01 * more))
    scaling = ROWS.get(f"mul({term.type.name},{term.type.scalar.name})")
    if isinstance(term, Apply) and term.type.scalar in FLOATS and scaling is not None:
        yield Apply(scaling, (term, Const(term.type.scalar, 1 + 0.001 * more)))


def one_more(term: Term) -> Iterator[Term]:
    if isinstance(term, Const) and term.type is I32:
        yield Const(I32, term.value + 1)


def one_further(term: Term) -> Iterator[Term]:
    if isinstance(term, Read) and not isinstance(term.index, At):
        yield Read(term.array, Apply(ROWS["add(int32,int32)"], (term.index, Const(I32, 1))), term.type)


FAULTS: Mapping[str, Callable[[Term], Iterator[Term]]] = {
    "another operation": other_operations,
    "arguments swapped": swapped,
    "sign": negated,
    "slightly off": slightly_off,
    "one more": one_more,
    "index": one_further,
}


def faulty(kernel: Kernel, fault: str) -> Iterator[Kernel]:
    bodies = in_terms(kernel.body, FAULTS[fault]) if fault in FAULTS else (rest for _, rest in edits(kernel.body))
    yield from (replace(kernel, body=body) for body in bodies)


def shows(meant: Kernel, other: Kernel, seed: int) -> bool:
    """Whether the other kernel is defined on the inputs of the check, and computes something else there."""
    if any("unassigned" in problem for problem in problems(other)):
        return False
    try:
        inputs = [joined(Sample(k, seed, 1, "").inputs, special(k, seed, LANES)) for k in (meant, other)]  # type: ignore[arg-type] # a Seed is an int
        runs = [run_plain(k, one) for k, one in zip((meant, other), inputs, strict=True)]
        runs.append(run_plain(meant, inputs[1]))  # which is what was compiled
    except (EndlessLoopError, KeyError):
        return False
    if any(plain.undefined.any() for plain in runs):
        return False
    return any(_bits(runs[0].arrays[p.name]) != _bits(runs[1].arrays[p.name]) for p in meant.params if p.is_output)


def _bits(values: Lanes) -> bytes:
    """But for those that NaN has: of two that are added, one or the other is left."""
    return (
        np.where(np.isnan(values), values.dtype.type(np.nan), values).tobytes()
        if values.dtype.kind in FLOATING
        else values.tobytes()
    )


@pytest.mark.no_cover
@pytest.mark.parametrize("fault", [*FAULTS, "statement dropped"])
def test_planted_faults_are_noticed(fault: str, proofs: Mapping[str, Proof]) -> None:
    """All but a few in a hundred of those that change what is computed at all, if by less than rounding may."""
    planted, missed = 0, []
    for nth in range(len(GROWN)):
        proof = proofs[f"grown {nth}"]
        for other in islice(faulty(proof.kernel, fault), 8):
            if shows(proof.kernel, other, proof.seed):
                planted += 1
                if proof.of(other).outcome is Outcome.VERIFIED:
                    missed.append((nth, emit(proof.kernel), emit(other)))
    assert planted > 20
    assert len(missed) <= 0.03 * planted, missed


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("sum", lambda body: _with_loop(body, stop=Const(I32, 6))),
        ("product over a static loop", lambda body: _with_loop(body, stop=Const(I32, 5))),
        ("product over a static loop", lambda body: _with_loop(body, start=Const(I32, 1))),
    ],
)
def test_another_number_of_trips_is_noticed(
    name: str, wrong: Callable[[tuple[Stmt, ...]], tuple[Stmt, ...]], proofs: Mapping[str, Proof]
) -> None:
    proof = proofs[name]
    verdict = proof.of(replace(proof.kernel, body=wrong(proof.kernel.body)))
    assert verdict.outcome is Outcome.VALUE
    assert verdict.detail.startswith("out[")


def _with_loop(body: tuple[Stmt, ...], **changes: Any) -> tuple[Stmt, ...]:
    return tuple(replace(stmt, **changes) if isinstance(stmt, For) else stmt for stmt in body)


@pytest.mark.parametrize("op", ["mul", "min", "floordiv"])
def test_a_wrong_meaning_is_noticed(op: str, proofs: Mapping[str, Proof]) -> None:
    """A cell of the table that is off by one unit in the last place."""
    right = ROWS[f"{op}(float32,float32)"]
    wrong = replace(right, meaning=lambda *args: np.nextafter(right.meaning(*args), np.float32(np.inf)))
    meant = kernel((X, OUT), put("out", Apply(wrong, (at("x"), at("x")))))
    assert proofs["square"].of(meant).outcome is Outcome.VALUE


# -- wrong gradients --------------------------------------------------------------------------------------------------

Gradients = dict[str, Lanes]


def _scaled(gradients: Gradients) -> None:
    for values in gradients.values():
        values *= values.dtype.type(1.002)


def _first_of(gradients: Gradients) -> tuple[Lanes, int]:
    """Some scalar that has a gradient, by its number among all."""
    values = next(values for values in gradients.values() if values.any()).reshape(-1)
    return values, int(np.argmax(np.abs(values)))


def _flipped(gradients: Gradients) -> None:
    values, _ = _first_of(gradients)
    values *= -1


def _one_lost(gradients: Gradients) -> None:
    values, k = _first_of(gradients)
    values[k] = 0


def _one_doubled(gradients: Gradients) -> None:
    values, k = _first_of(gradients)
    values[k] *= 2


def _moved(gradients: Gradients) -> None:
    for name, values in gradients.items():
        gradients[name] = np.roll(values, 1)


def _lost(gradients: Gradients) -> None:
    for values in gradients.values():
        values[:] = 0


def _one_is_nan(gradients: Gradients) -> None:
    values, k = _first_of(gradients)
    values[k] = np.nan


TAMPERINGS = (_scaled, _flipped, _one_lost, _one_doubled, _moved, _lost, _one_is_nan)


@pytest.fixture(scope="module")
def flowing(proofs: Mapping[str, Proof]) -> list[Proof]:
    """The kernels all of whose gradients are verified, some of them not zero, and to more than three digits."""
    return [proof for proof in proofs.values() if _has_slope(proof) and not _has_halves(proof.kernel)]


def _has_halves(kernel: Kernel) -> bool:
    return any(term.type.scalar is F16 for term in all_terms(kernel))


def _has_slope(proof: Proof) -> bool:
    verdict = proof.of(proof.kernel)
    is_verified = verdict.outcome is Outcome.VERIFIED and verdict.gradient is GradientLabel.VERIFIED
    return is_verified and verdict.gradient_checked == 1 and any(g.any() for g in verdict.gradients.values())


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda f: f.__name__)
def test_wrong_gradients_are_noticed(
    tampering: Callable[[Gradients], None], flowing: list[Proof], monkeypatch: pytest.MonkeyPatch
) -> None:
    from extract.launch import differentiate as true

    def tampered(*args: Any) -> Any:
        result = true(*args)
        gradients = {name: np.array(values) for name, values in result.gradients.items()}
        if any(values.any() for values in gradients.values()):
            tampering(gradients)
        return replace(result, gradients=gradients)

    monkeypatch.setattr("validate.oracle.differentiate", tampered)
    noticed = [proof.of(proof.kernel).outcome is Outcome.GRADIENT for proof in flowing]
    assert len(noticed) > 50
    assert sum(noticed) >= 0.98 * len(noticed)


@pytest.mark.parametrize("name", LIMITED)
def test_documented_limits_are_labelled_and_really_wrong(
    name: str, proofs: Mapping[str, Proof], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rule, a label; without it, a finding: so each rule is needed, and gradients are really compared."""
    proof = proofs[f"limited: {name}"]
    verdict = proof.of(proof.kernel)
    assert_verified(verdict, name)
    assert (verdict.gradient, verdict.limitation) == (GradientLabel.LIMITED, REASONS.get(name, CARRIED))
    monkeypatch.setattr("validate.oracle.limitation", lambda _: "")
    found = proof.of(proof.kernel)
    assert found.outcome is Outcome.GRADIENT
    assert found.detail.startswith("d/d")


@pytest.mark.parametrize("name", DEFECTIVE)
def test_defects_are_found(name: str, proofs: Mapping[str, Proof], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each idiom really comes out wrong, whatever else Warp documents about such a kernel."""
    monkeypatch.setattr("validate.oracle.limitation", lambda _: "")
    proof = proofs[f"defect: {name}"]
    wanted = Outcome.GRADIENT if DEFECTIVE[name][0].endswith("-gradient") else Outcome.VALUE
    assert proof.of(proof.kernel).outcome is wanted


# -- stray writes and special values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRAY)
def test_stray_writes_are_found(name: str, proofs: Mapping[str, Proof]) -> None:
    verdict = proofs[name].of(proofs[name].kernel)
    assert verdict.outcome is Outcome.STRAY_WRITE
    assert verdict.outcome.is_finding


def test_a_wrong_result_on_special_values_only_is_found(proofs: Mapping[str, Proof]) -> None:
    """abs(x) * abs(x) is x * x, but for what is done here with a NaN, an infinity and minus zero."""
    for value in (np.nan, np.inf, -0.0):
        assert any(value == v or (np.isnan(value) and np.isnan(v)) for v in FLOAT_SPECIALS)

    def differs_at(special: Callable[[Lanes], Lanes], result: float) -> Kernel:
        right = ROWS["mul(float32,float32)"]
        wrong = replace(right, meaning=lambda a, b: np.where(special(a), np.float32(result), right.meaning(a, b)))
        return kernel((X, OUT), put("out", Apply(wrong, (at("x"), at("x")))))

    assert proofs["square"].of(differs_at(np.isnan, 0.0)).outcome is Outcome.VALUE
    assert proofs["square"].of(differs_at(np.isinf, -np.inf)).outcome is Outcome.VALUE
    assert proofs["square"].of(differs_at(lambda x: x == 0, -0.0)).outcome is Outcome.VALUE
    assert proofs["square"].of(differs_at(lambda x: x == 12345.0, 0.0)).outcome is Outcome.VERIFIED


def test_gradients_through_inverses_are_told_where_they_cancel(proofs: Mapping[str, Proof]) -> None:
    """Nearly singular matrices are rare: of so many there are some."""
    from validate.oracle import check

    proof = proofs["through inverses"]
    for seed in range(4):
        verdict = check(proof.kernel, proof.handle, seed, 1024)
        assert_verified(verdict, f"seed {seed}")
        assert verdict.gradient_checked > 0.99


def test_too_little_decided_is_no_pass(proofs: Mapping[str, Proof], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("validate.oracle.LEAST_CHECKED", 1.01)
    verdict = proofs["square"].of(proofs["square"].kernel)
    assert verdict.outcome is Outcome.UNCHECKED
    assert not verdict.outcome.is_finding


def test_more_input_sets_than_the_regular_ones_are_run(
    proofs: Mapping[str, Proof], monkeypatch: pytest.MonkeyPatch
) -> None:
    from extract import launch

    launched: list[str] = []

    def counting(name: str) -> None:
        true = getattr(launch, name)

        def noted(*args: Any) -> Any:
            launched.append(name)
            return true(*args)

        monkeypatch.setattr(f"validate.oracle.{name}", noted)

    counting("run")
    counting("differentiate")
    assert_verified(proofs["square"].of(proofs["square"].kernel), "square")
    assert launched == ["differentiate", "differentiate", "run"]
