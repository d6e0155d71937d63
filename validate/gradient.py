"""What the adjoint must be: central differences of the float64 reference, per element of each float input array.

The key insight: lanes only meet in outputs, so each lane can be asked by itself how its writes change when one element
it reads is moved: a few variants per element *read by a lane*, instead of two runs per element of every array.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grammar.inputs import uniform
from grammar.layout import Inputs, Mask
from grammar.op import Lanes
from grammar.tree import Atomic, AtomicKind, AugStore, Kernel, Param, Store, all_terms
from grammar.types import F16, FLOATS, Array
from validate.shadow import MARGIN, Event, Expected, Shadowed, Value, expected, run_shadowed
from validate.variants import Noise, Steps

QUIET, NOISY = (1.0, -1.0), ((2.0, -2.0), (3.0, -3.0))
"""Steps in units of h, without noise, and with noise in turn. The latter are longer, so that they also tell how the
slope changes; of two lengths, so that no period fits both."""

UNDERFLOW = {
    **{np.dtype(t): 1e4 * float(np.finfo(t).tiny) for t in (np.float32, np.float64)},
    np.dtype(np.float16): 1e4 * float(np.finfo(np.float16).smallest_subnormal),
}
"""What an adjoint may lose where a product on the way underflows; of float16, which is done in float32 and rounded, to
the last bit of its range."""

OVERFLOW = float(np.finfo(np.float16).max) / 16
"""Gradients larger than this may have overflowed float16 on the way."""

TELLING, NEGLIGIBLE = 0.1, 1e-5
"""A tolerance above this share of the gradient, and above this, says that differences can't tell what it is."""

SLIGHT = 0.01
"""Of the gradient, the share that may come from writes whose own slope differences can't tell: steps may be too long
for one of two outputs, and the other must not cover for it."""

COARSE = (0.3, 0.1, 3e-3)
"""The three where float16 takes part, which has but eleven bits."""

MOST = 64
"""Scalars per lane that are differentiated, as many as four matrices of four by four have; further ones are counted as
not checked."""

Gradient = NDArray[np.float64]


@dataclass(slots=True)
class ExpectedGradient:
    """Of one float input array, flattened over launches: its gradient, how far off Warp may be, where it is known."""

    value: Gradient
    tolerance: Gradient
    magnitude: Gradient
    """Sum of the magnitudes of what the lanes contribute."""
    vague: Gradient
    """Sum of the tolerances of what differences can't tell of it."""
    decided: Mask


def float_inputs(kernel: Kernel) -> list[Param]:
    return [p for p in kernel.params if isinstance(p.type, Array) and p.element.scalar in FLOATS and not p.is_output]


def float_outputs(kernel: Kernel) -> list[Param]:
    return [p for p in kernel.params if p.is_output and p.element.scalar in FLOATS]


def cotangents(kernel: Kernel, inputs: Inputs, seed: int) -> Mapping[str, Lanes]:
    """Gradients with respect to the float outputs, of magnitude 0.5 to 1.5, in the shape of the arrays."""
    result = {}
    for param in float_outputs(kernel):
        drawn = 4 * uniform(seed, f"{param.name} cotangent", inputs.arrays[param.name].shape) - 2
        result[param.name] = (np.sign(drawn) * (0.5 + np.abs(drawn) / 2)).astype(param.element.dtype)
    return result


def expected_gradients(
    kernel: Kernel, inputs: Inputs, first: Shadowed, weights: Mapping[str, Lanes], patterns: int
) -> Mapping[str, ExpectedGradient]:
    """The gradients of the launches in `inputs`, which are the leading ones of those that `first` ran."""
    lanes = inputs.launches * inputs.lanes
    steps, missed = _steps(kernel, inputs, first, patterns)
    results = {p.name: _nothing_yet(inputs.arrays[p.name].size) for p in float_inputs(kernel)}
    half = [F16.dtype] if any(term.type is F16 for term in all_terms(kernel)) else []
    uncertain = (first.undecided | first.undefined)[:lanes]
    if steps is not None:
        noise = Noise(patterns, lanes, stepped=True)
        algebra = run_shadowed(kernel, inputs, noise, steps)
        uncertain |= algebra.unsmooth
        with np.errstate(all="ignore"):
            finals = {array: expected(first, array) for array in weights}
            _differences(results, algebra, steps, weights, finals, uncertain, half)
    _blame(results, first, uncertain, lanes)
    for name, unmoved in missed.items():
        results[name].decided[unmoved] = False
    telling, slight, negligible = COARSE if half else (TELLING, SLIGHT, NEGLIGIBLE)
    for result in results.values():
        result.decided &= result.tolerance <= telling * result.magnitude + negligible
        result.decided &= result.vague <= slight * result.magnitude + negligible
        if half:
            result.decided &= result.magnitude <= OVERFLOW
    return results


def _nothing_yet(size: int) -> ExpectedGradient:
    value, tolerance, magnitude, vague = np.zeros((4, size))
    return ExpectedGradient(value, tolerance, magnitude, vague, np.ones(size, np.bool_))


# -- which elements to move -------------------------------------------------------------------------------------------


def _steps(
    kernel: Kernel, inputs: Inputs, first: Shadowed, patterns: int
) -> tuple[Steps | None, Mapping[str, NDArray[np.intp]]]:
    """The steps, None where nothing is read; and by array the elements that some lane has no room to move."""
    lanes = inputs.launches * inputs.lanes
    read = {param.name: _distinct(first.reads.get(param.name, []), lanes) for param in float_inputs(kernel)}
    share = min(1.0, MOST / max(1, sum(map(len, read.values()))))
    missed: dict[str, NDArray[np.intp]] = {}
    slots: dict[str, slice] = {}
    targets: list[NDArray[np.intp]] = []
    sizes: list[Gradient] = []
    for name, elements in read.items():
        room = int(share * len(elements) + 1e-9)
        if room < len(elements):  # what all lanes read alike is but one element, which may be missed
            elements = elements[np.argsort([-len(np.unique(slot)) for slot in elements], kind="stable")]
        missed[name] = elements[room:][elements[room:] >= 0]
        slots[name] = slice(len(targets), len(targets) + room)
        targets.extend(elements[:room])
        sizes.extend(_step(inputs.arrays[name].reshape(-1), each) for each in elements[:room])
    if not targets:
        return None, missed
    factors = itertools.chain(QUIET, *itertools.islice(itertools.cycle(NOISY), patterns))
    return Steps(slots, np.array(targets), np.array(sizes), tuple(factors)), missed


def _distinct(reads: Sequence[tuple[NDArray[np.intp], Mask]], lanes: int) -> NDArray[np.intp]:
    """Shape (slots, lanes): the different elements each lane read, −1 where it read fewer.

    What is read at one place of the kernel is in one slot, mostly, so that few values hang on it.
    """
    table, slots = np.full((len(reads), lanes), -1), 0
    for where, active in reads:
        new = active[:lanes] & (table[:slots] != where[:lanes]).all(axis=0)
        if new.any():
            free = np.flatnonzero((table[: slots + 1, new] < 0).all(axis=1))[0]
            table[free, new] = where[:lanes][new]
            slots = max(slots, int(free) + 1)
    return table[:slots]


def _step(values: Lanes, target: NDArray[np.intp]) -> Gradient:
    """A few millionths of the element, and a power of two so that adding it does not round."""
    element = values[np.maximum(target, 0)].astype(np.float64)
    _, exponent = np.frexp(np.abs(element) + 2.0**-6)
    return np.asarray(np.ldexp(1.0, exponent - 18))


# -- differences ------------------------------------------------------------------------------------------------------


def _differences(
    results: Mapping[str, ExpectedGradient],
    algebra: Shadowed,
    steps: Steps,
    weights: Mapping[str, Lanes],
    finals: Mapping[str, Expected],
    uncertain: Mask,
    by_way_of: Sequence[np.dtype[Any]],
) -> None:
    """`by_way_of`: the types narrower than float32 that adjoints may pass through."""
    lost = {array: np.zeros(given.size, np.bool_) for array, given in weights.items()}
    for event in reversed(algebra.events):
        array = event.stmt.array
        if array not in weights:
            continue
        before, kept = algebra.inputs.arrays[array].reshape(-1), ~lost[array][event.where]
        if isinstance(event.stmt, Store):
            lost[array][event.where[event.active]] = True  # what came before it counts no longer
        if event.value.shadow is None:
            continue
        weight = kept * _weight(event, weights[array].reshape(-1), finals[array], before, uncertain)
        for name, slots in steps.slots.items():
            moved = [k for k in event.value.moved if slots.start <= k < slots.stop]
            if not moved:
                continue
            dtypes = (event.value.lanes.dtype, algebra.inputs.arrays[name].dtype, *by_way_of)
            eps = max(float(np.finfo(dtype).eps) for dtype in dtypes)
            slope, error = _slope(event.value, algebra.noise, steps, moved, eps)
            error += algebra.scale * (8 * 2.0**-52) / steps.sizes[moved] + max(map(UNDERFLOW.__getitem__, dtypes))
            _add(results[name], steps.targets[moved], weight, slope, error, uncertain)


def _slope(value: Value, noise: Noise, steps: Steps, moved: Sequence[int], eps: float) -> tuple[Gradient, Gradient]:
    """The derivatives of a written value by these elements, and by how much right adjoints may differ from them.

    Both of shape (elements, lanes).
    """
    assert value.shadow is not None
    h = steps.sizes[moved]
    rows = noise.split(value.shadow)[:, [1 + value.moved.index(k) for k in moved]]
    plain = (rows[0] - rows[1]) / (2 * h)
    noisy = (rows[2::2] - rows[3::2]) / np.multiply.outer(steps.factors[2::2], 2 * h)
    error = MARGIN * np.abs(noisy - plain).max(axis=0) + 16 * eps * np.abs(plain)
    return plain, error


def _add(
    result: ExpectedGradient,
    target: NDArray[np.intp],
    weight: Gradient,
    slope: Gradient,
    error: Gradient,
    uncertain: Mask,
) -> None:
    here = (target >= 0) & (weight != 0)
    unknown = here & ~(np.isfinite(slope) & np.isfinite(error))
    uncertain |= unknown.any(axis=0)
    here &= ~unknown
    where, share, off = target[here], (weight * slope)[here], (np.abs(weight) * error)[here]
    np.add.at(result.value, where, share)
    np.add.at(result.tolerance, where, off)
    np.add.at(result.magnitude, where, np.abs(share))
    vague = (error > TELLING * np.abs(slope) + NEGLIGIBLE)[here]
    if vague.any():
        np.add.at(result.vague, where[vague], off[vague])


def _weight(event: Event, weights: Lanes, final: Expected, before: Lanes, uncertain: Mask) -> Gradient:
    """By how much each lane's written value counts in the sum that the adjoint differentiates."""
    weight = np.where(event.active, weights[event.where].astype(np.float64), 0.0)
    match event.stmt:
        case Store():
            return weight
        case AugStore(_, _, op, _):
            return -weight if op.name == "sub" else weight
        case Atomic(kind, _, _, _):
            if kind in (AtomicKind.ADD, AtomicKind.SUB):
                return -weight if kind is AtomicKind.SUB else weight
            return _winner(event, weight, final, before, uncertain)


def _winner(event: Event, weight: Gradient, final: Expected, before: Lanes, uncertain: Mask) -> Gradient:
    """A minimum hands its gradient to the lane or the old value that gave it; of two that are close, who knows."""
    best = final.lanes.astype(np.float64)
    close = 2 * final.tolerance + 1e-6 * np.abs(best)
    value = event.value.lanes.astype(np.float64)
    near = event.active & (np.abs(value - best[event.where]) <= close[event.where])
    size = before.size
    rivals = (np.abs(before.astype(np.float64) - best[:size]) <= close[:size]).astype(np.intp)
    np.add.at(rivals, event.where[near], 1)
    uncertain |= near & (rivals[event.where] > 1)
    return np.where(near, weight, 0.0)


def _blame(results: Mapping[str, ExpectedGradient], first: Shadowed, uncertain: Mask, lanes: int) -> None:
    """The elements that uncertain lanes read have no gradient to compare with."""
    for name, result in results.items():
        for where, _ in first.reads.get(name, []):
            result.decided[where[:lanes][uncertain]] = False
