"""What the adjoint must be: the slopes along the tape of the reference, multiplied backwards.

The key insight: lanes only meet in outputs, so what comes back to a value is one number per lane, and beside it a few
noisy ones, as an adjoint that rounds on its way may have them: their spread says how far Warp may rightly be off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from grammar.atomics import AtomicKind
from grammar.floats import precision
from grammar.inputs import uniform
from grammar.layout import Inputs, Mask
from grammar.op import Lanes, Op
from grammar.params import Param
from grammar.tree import Atomic, AugStore, Kernel, Store
from grammar.types import F16, FLOATS, HALVES
from validate.shadow import Event, Expected, Shadowed, expected, float_inputs
from validate.slopes import Slopes, slopes_of
from validate.tape import Applied, Chosen, Fetched, Value
from validate.variants import MARGIN, Draws, Variants

UNDERFLOW = {
    **{type.dtype: 1e4 * precision(type.dtype).tiny for type in FLOATS if type not in HALVES},
    **{half.dtype: 1e4 * precision(half.dtype).smallest_subnormal for half in HALVES},
}
"""What an adjoint may lose where a product on the way underflows; of two bytes, which is done in float32 and rounded,
to the last bit of its range."""

OVERFLOW = precision(F16.dtype).max / 16
"""Gradients larger than this may have overflowed float16 on the way."""

TELLING, NEGLIGIBLE = 0.1, 1e-5
"""A tolerance above this share of the gradient, and above this, says that float precision can't tell what it is."""

COARSE = (0.3, 3e-3)
"""The two where floats of two bytes take part, which have but eleven bits or eight."""

CLOSER = 12
"""Noise variants at a second look."""

Gradient = NDArray[np.float64]


@dataclass(slots=True)
class ExpectedGradient:
    """Of one float input array, flattened over launches: its gradient, how far off Warp may be, where it is known."""

    value: Gradient
    tolerance: Gradient
    magnitude: Gradient
    """Sum of the magnitudes of what the lanes contribute."""
    decided: Mask


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
    kernel: Kernel, inputs: Inputs, first: Shadowed, weights: Mapping[str, Lanes]
) -> Mapping[str, ExpectedGradient]:
    """The gradients of the launches in `inputs`, which are the leading ones of those that `first` ran."""
    lanes = inputs.launches * inputs.lanes
    results = {p.name: _nothing_yet(inputs.arrays[p.name].size) for p in float_inputs(kernel)}
    uncertain = (first.undecided | first.undefined)[:lanes]
    with np.errstate(all="ignore"):
        back = _seeded(first, weights, inputs, uncertain)
        came = list(_walked(first, back, lanes, uncertain))
        halves = [half.dtype for half in HALVES if half.dtype in back.by_way_of]
        dtypes = [*halves, *(weight.dtype for weight in weights.values())]
        for name, result in results.items():
            mine = [(fetched.where[:lanes], adjoint) for fetched, adjoint in came if fetched.array == name]
            if mine:
                _add(result, mine, [inputs.arrays[name].dtype, *dtypes], uncertain)
    if uncertain.any():
        for entry in first.tape:
            if isinstance(entry, Fetched):
                results[entry.array].decided[entry.where[:lanes][uncertain]] = False
    telling, negligible = COARSE if halves else (TELLING, NEGLIGIBLE)
    for result in results.values():
        result.decided &= result.tolerance <= telling * result.magnitude + negligible
        if F16.dtype in halves:
            result.decided &= result.magnitude <= OVERFLOW
    return results


def _nothing_yet(size: int) -> ExpectedGradient:
    value, tolerance, magnitude = np.zeros((3, size))
    return ExpectedGradient(value, tolerance, magnitude, np.ones(size, np.bool_))


# -- backwards --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Backwards:
    """What comes back to each value: shape (1 + patterns, lanes)."""

    draws: Draws
    adjoints: dict[Value, Variants] = field(default_factory=dict)
    sizes: dict[Value, Gradient] = field(default_factory=dict)
    """Inside a composite row: what came back to a value, all signs aside, before any of it cancelled."""

    by_way_of: set[np.dtype[Any]] = field(default_factory=set)
    """The types of the values that anything came back to."""

    def add(self, value: Value, adjoint: Variants) -> None:
        """Of two that nearly cancel, each may have been rounded, even where it is handed on as it is."""
        before = self.adjoints.get(value)
        self.adjoints[value] = adjoint if before is None else before + self.rounded(adjoint, value.lanes.dtype)

    def rounded(self, adjoint: Variants, dtype: np.dtype[Any]) -> Variants:
        return self.draws.disturbed(adjoint, precision(dtype).eps)

    def pass_on(self, entry: Applied, adjoint: Variants, slopes: Slopes, makers: Mapping[Value, Op | None]) -> None:
        """To the arguments, of whose values `makers` says in which composite row they were made.

        The adjoint of a composite is a formula of its own, whose terms cancel elsewhere than on the tape; so what comes
        out of it at an argument is off by what rounding does to the terms, each argument by itself.
        """
        came = self.sizes.pop(entry.result, None)
        for arg, slope in slopes:
            returned = adjoint * slope
            is_inside = entry.within is not None and makers.get(arg) is entry.within
            if is_inside or came is not None:
                factor = slope if isinstance(slope, float) else slope[0]
                size = np.abs((adjoint[0] if came is None else came) * factor)
                if is_inside:
                    self.sizes[arg] = self.sizes[arg] + size if arg in self.sizes else size
                else:
                    returned[1:] += precision(arg.lanes.dtype).eps * size * self.draws(size.size)
            self.add(arg, returned)


def _walked(first: Shadowed, back: _Backwards, lanes: int, uncertain: Mask) -> Iterator[tuple[Fetched, Variants]]:
    """Follows the tape backwards; gives what comes to elements of inputs. Notes lanes that have no slope."""
    applied = [entry for entry in first.tape if isinstance(entry, Applied)]
    slopes = slopes_of(applied, back.draws, uncertain)
    makers = {entry.result: entry.within for entry in applied}
    for entry in reversed(first.tape):
        adjoint = back.adjoints.pop(entry.result, None)
        if adjoint is None:
            continue
        back.by_way_of.add(entry.result.lanes.dtype)
        match entry:
            case Applied():
                back.pass_on(entry, adjoint, slopes[entry], makers)
            case Chosen(mask, new, old, _):
                if new.flows:
                    back.add(new, np.where(mask[:lanes], adjoint, 0.0))
                if old.flows:
                    back.add(old, np.where(mask[:lanes], 0.0, adjoint))
            case Fetched():
                yield entry, adjoint
            case _:
                assert_never(entry)


def _add(
    result: ExpectedGradient,
    came: Sequence[tuple[NDArray[np.intp], Variants]],
    by_way_of: Sequence[np.dtype[Any]],
    uncertain: Mask,
) -> None:
    """`came`: to which elements, and what; `by_way_of`: the types that the adjoint has on its way."""
    target, adjoint = np.concatenate([where for where, _ in came]), np.concatenate([one for _, one in came], axis=1)
    known = np.isfinite(adjoint).all(axis=0)
    uncertain |= ~known.reshape(len(came), -1).all(axis=0)
    here = (adjoint != 0).any(axis=0) & known
    adjoint, where = adjoint[:, here], target[here]
    eps, lost = max(precision(dtype).eps for dtype in by_way_of), max(map(UNDERFLOW.__getitem__, by_way_of))
    share, size = adjoint[0], np.abs(adjoint[0])
    error = MARGIN * np.abs(adjoint[1:] - share).max(axis=0) + 16 * eps * size + lost
    np.add.at(result.value, where, share)
    np.add.at(result.tolerance, where, error)
    np.add.at(result.magnitude, where, size)


# -- what is written --------------------------------------------------------------------------------------------------


def _seeded(first: Shadowed, weights: Mapping[str, Lanes], inputs: Inputs, uncertain: Mask) -> _Backwards:
    """What comes back to the values that are written, from what comes back to the outputs."""
    lanes = uncertain.size
    back = _Backwards(replace(first.draws))  # a copy: the noise is the same whenever this is asked
    finals = {array: expected(first, array) for array in weights}
    lost = {array: np.zeros(given.size, np.bool_) for array, given in weights.items()}
    for event in reversed([event.leading(lanes) for event in first.events if event.stmt.array in weights]):
        array = event.stmt.array
        kept = ~lost[array][event.where]
        if isinstance(event.stmt, Store):
            lost[array][event.where[event.active]] = True  # what came before it counts no longer
        if event.value.flows:
            before = inputs.arrays[array].reshape(-1)
            weight = kept * _weight(event, weights[array].reshape(-1), finals[array], before, uncertain)
            back.add(event.value, back.rounded(weight, weights[array].dtype))
    return back


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
    value = event.value.lanes[: event.where.size].astype(np.float64)
    near = event.active & (np.abs(value - best[event.where]) <= close[event.where])
    size = before.size
    rivals = (np.abs(before.astype(np.float64) - best[:size]) <= close[:size]).astype(np.intp)
    np.add.at(rivals, event.where[near], 1)
    uncertain |= near & (rivals[event.where] > 1)
    return np.where(near, weight, 0.0)
