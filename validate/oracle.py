"""Is the compiled kernel right? Values and gradients, on several input sets, special values among them.

The key insight: what Warp may rightly compute is known before it runs: bits where the reference is exact, a tolerance
that follows from rounding elsewhere, and lanes on which nobody can say. Whatever is outside of that is a finding. A
first look uses few noise variants; only what fails it is looked at with many, so that the common case stays cheap and a
rare unlucky draw is no false alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from extract.compile import Handle
from extract.launch import AdjointResult, LaunchResult, differentiate, run
from grammar.floats import FLOATING
from grammar.inputs import regular
from grammar.layout import Inputs, Mask
from grammar.limits import has_gradient, limitation
from grammar.op import Lanes
from grammar.tree import Kernel
from validate.gradient import CLOSER, ExpectedGradient, cotangents, expected_gradients
from validate.shadow import Expected, Shadowed, expected, float_inputs, looks, run_shadowed
from validate.specials import joined, special
from validate.verdict import GradientLabel, Outcome, Verdict

PATTERNS = (3, 40)
"""Noise variants for values at the first and at the second look."""
LEAST_CHECKED = 0.5
"""Below this share of decided elements a kernel counts as not checked."""


def check(kernel: Kernel, handle: Handle, seed: int, lanes: int) -> Verdict:
    """Launches the kernel and judges what it did. Deterministic: a pure function of its arguments."""
    usual = regular(kernel, seed, lanes)
    first = _first_look(kernel, usual, seed)
    inputs = first.inputs
    weights = cotangents(kernel, usual, seed) if has_gradient(kernel) else {}
    there_and_back = [
        differentiated(kernel, handle, usual, k, weights) for k in range(usual.launches if weights else 0)
    ]
    there = [both.forward for both in there_and_back]
    there += [run(handle, kernel.params, values_of(inputs, k), lanes) for k in range(len(there), inputs.launches)]
    verdict = _check_values(kernel, first, there)
    if isinstance(verdict, Verdict):
        return verdict
    shadowed, passed = verdict
    return _check_gradients(kernel, usual, shadowed, passed, weights, there_and_back) if weights else passed


def differentiated(
    kernel: Kernel, handle: Handle, inputs: Inputs, launch: int, weights: Mapping[str, Lanes], device: str = "cpu"
) -> AdjointResult:
    """One launch forward and back; `weights` are those of all launches."""
    own = {name: weight[launch] for name, weight in weights.items()}
    return differentiate(handle, kernel.params, values_of(inputs, launch), own, inputs.lanes, device)


# -- values -----------------------------------------------------------------------------------------------------------


def _first_look(kernel: Kernel, usual: Inputs, seed: int) -> Shadowed:
    """The reference on ordinary inputs and on special ones, of which it says itself whether they are defined."""
    tried: list[Shadowed] = []

    def undefined(other: Inputs) -> Mask:
        tried.append(run_shadowed(kernel, joined(usual, other), PATTERNS[0]))
        return tried[-1].undefined[-usual.lanes :]

    other = special(kernel, seed, usual.lanes, undefined)
    return tried[-1] if tried and other is not None else run_shadowed(kernel, joined(usual, other), PATTERNS[0])


def _check_values(
    kernel: Kernel, first: Shadowed, launches: Sequence[LaunchResult]
) -> Verdict | tuple[Shadowed, Verdict]:
    for launch in launches:
        if launch.stray:
            return Verdict(Outcome.STRAY_WRITE, f"something was written beside or in {launch.stray}")
    computed = {p.name: flat([la.arrays[p.name] for la in launches]) for p in kernel.params if p.is_output}
    for shadowed in looks(kernel, first, first.inputs, PATTERNS[1]):
        wanted = {name: expected(shadowed, name) for name in computed}
        mismatch = next((m for n, e in wanted.items() if (m := compare(n, e, computed[n]))), "")
        if not mismatch:
            break
    if mismatch:
        return Verdict(Outcome.VALUE, mismatch)
    decided = np.concatenate([e.decided for e in wanted.values()])
    residual = max(_residual(e, computed[n]) for n, e in wanted.items())
    values = values_of(first.inputs, 0)
    given = {p.name: values[p.name] for p in kernel.params}
    outputs = {p.name: launches[0].arrays[p.name] for p in kernel.params if p.is_output}
    share = float(decided.mean())
    outcome = Outcome.VERIFIED if share >= LEAST_CHECKED else Outcome.UNCHECKED
    return shadowed, Verdict(outcome, checked=share, residual=residual, inputs=given, outputs=outputs)


def values_of(inputs: Inputs, launch: int) -> Mapping[str, Any]:
    """The parameters of one launch, by name."""
    return {name: column[launch] for name, column in {**inputs.arrays, **inputs.scalars}.items()}


def flat(arrays: Sequence[Lanes]) -> Lanes:
    """Those of all launches end to end, scalar by scalar."""
    return np.concatenate([array.reshape(-1) for array in arrays])


def compare(name: str, wanted: Expected, computed: Lanes) -> str:
    """The first element that is decided and not as it must be, in words; empty if all are right."""
    wrong = wanted.decided & ~_agrees(wanted, computed)
    return _told(name, wrong, wanted.lanes, wanted.tolerance, computed)


def _told(name: str, wrong: Mask, wanted: Lanes, tolerance: Lanes, computed: Lanes) -> str:
    if not wrong.any():
        return ""
    k = int(np.flatnonzero(wrong)[0])
    count = f"{int(wrong.sum())} of {wrong.size} elements"
    return f"{name}[{k}]: expected {wanted[k]:.9g} within {tolerance[k]:.3g}, got {computed[k]:.9g}; {count}"


def _agrees(wanted: Expected, computed: Lanes) -> Mask:
    """Equal, both NaN, or within the tolerance. What must not be written is poisoned, so a NaN compares by its bits."""
    same = _bits(wanted.lanes) == _bits(computed)
    if computed.dtype.kind not in FLOATING:
        return np.asarray(same)
    both_nan = np.isnan(wanted.lanes) & np.isnan(computed)
    with np.errstate(all="ignore"):
        near = np.abs(computed.astype(np.float64) - wanted.lanes.astype(np.float64)) <= wanted.tolerance
    signed = (wanted.tolerance > 0) | (np.signbit(wanted.lanes) == np.signbit(computed))
    return np.asarray(same | both_nan | (near & signed), np.bool_)


def _bits(values: Lanes) -> Lanes:
    return np.asarray(values.view(f"u{values.dtype.itemsize}"))


def _residual(wanted: Expected, computed: Lanes) -> float:
    """The largest difference from the reference, as a share of what rounding allows."""
    loose = wanted.decided & (wanted.tolerance > 0) & np.isfinite(wanted.lanes.astype(np.float64))
    if not loose.any():
        return 0.0
    away = np.abs(computed[loose].astype(np.float64) - wanted.lanes[loose].astype(np.float64))
    return float((away / wanted.tolerance[loose]).max())


# -- gradients --------------------------------------------------------------------------------------------------------


def _check_gradients(
    kernel: Kernel,
    inputs: Inputs,
    shadowed: Shadowed,
    passed: Verdict,
    weights: Mapping[str, Lanes],
    launches: Sequence[AdjointResult],
) -> Verdict:
    for launch in launches:
        if launch.stray:
            return replace(passed, outcome=Outcome.STRAY_WRITE, detail=f"the adjoint wrote beside or in {launch.stray}")
    names = [p.name for p in float_inputs(kernel)]
    computed = {name: flat([launch.gradients[name] for launch in launches]) for name in names}
    kept = replace(
        passed,
        cotangents={name: weight[0] for name, weight in weights.items()},
        gradients={name: launches[0].gradients[name] for name in names},
    )
    reason = limitation(kernel)
    if reason:
        return replace(kept, gradient=GradientLabel.LIMITED, limitation=reason)
    for look in looks(kernel, shadowed, inputs, CLOSER):
        wanted = expected_gradients(kernel, inputs, look, weights)
        mismatch = next((m for n in names if (m := _differs(n, wanted[n], computed[n]))), "")
        if not mismatch:
            break
    if mismatch:
        return replace(kept, outcome=Outcome.GRADIENT, detail=mismatch)
    decided = np.concatenate([wanted[name].decided for name in names])
    share = float(decided.mean())
    residual = max(_gradient_residual(wanted[name], computed[name]) for name in names)
    outcome = kept.outcome if share >= LEAST_CHECKED else Outcome.UNCHECKED
    return replace(
        kept, outcome=outcome, gradient=GradientLabel.VERIFIED, gradient_checked=share, gradient_residual=residual
    )


def _differs(name: str, wanted: ExpectedGradient, computed: Lanes) -> str:
    away = np.abs(computed.astype(np.float64) - wanted.value)
    return _told(f"d/d{name}", wanted.decided & ~(away <= wanted.tolerance), wanted.value, wanted.tolerance, computed)


def _gradient_residual(wanted: ExpectedGradient, computed: Lanes) -> float:
    known = wanted.decided & (wanted.tolerance > 0)
    if not known.any():
        return 0.0
    return float((np.abs(computed[known] - wanted.value[known]) / wanted.tolerance[known]).max())
