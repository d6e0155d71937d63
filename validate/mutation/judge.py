"""What became of a planted fault: caught, or else why not.

The key insight: a fault that the oracle let through is no fault if nothing differs, bit for bit, on any input tried;
and where something does differ, what matters is whether the oracle had said that it could decide there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from extract.compile import Handle
from extract.launch import run
from grammar.evaluate import EndlessLoopError
from grammar.floats import FLOATING
from grammar.inputs import regular
from grammar.layout import Inputs, Mask
from grammar.limits import has_gradient, limitation
from grammar.op import Lanes
from grammar.plain import run_plain
from grammar.tree import Kernel
from validate.gradient import CLOSER, cotangents, expected_gradients
from validate.oracle import PATTERNS, check, differentiated, flat, values_of
from validate.shadow import expected, run_shadowed
from validate.specials import joined, special

FURTHER = 3
"""Seeds of inputs, beside the one a fault was checked on, before it is taken for none."""


class Fate(Enum):
    KILLED = "killed"
    EQUIVALENT = "equivalent"
    """Nothing differs on the inputs of any seed tried."""
    MASKED = "masked"
    """What differs could not be decided by the oracle."""
    MISSED = "missed"
    """Something differs where the oracle could decide, and it accepted it."""
    REFUSED = "refused"
    """Clang did not compile it: no fault was planted."""


Judgement = tuple[Fate, str]
"""The fate, and in words by what it was caught or where it differs."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the oracle knows of one array, flattened over launches."""

    decided: Mask
    tolerance: NDArray[np.float64]


def judged(kernel: Kernel, original: Handle, mutant: Handle, seed: int, lanes: int) -> Judgement:
    """The fate of a fault in compiled code."""
    verdict = check(kernel, mutant, seed, lanes)
    if verdict.outcome.is_finding:
        return Fate.KILLED, verdict.outcome.value
    return _survived(kernel, original, mutant, seed, lanes)


def judged_cell(right: Kernel, wrong: Kernel, handle: Handle, seed: int, lanes: int) -> Judgement:
    """The fate of a fault in the table: `wrong` is what the reference takes the compiled kernel `right` for."""
    try:
        verdict = check(wrong, handle, seed, lanes)
    except EndlessLoopError:
        return Fate.KILLED, "endless"
    if verdict.outcome.is_finding:
        return Fate.KILLED, verdict.outcome.value
    return _cell_survived(right, wrong, handle, seed, lanes)


def _cell_survived(right: Kernel, wrong: Kernel, handle: Handle, seed: int, lanes: int) -> Judgement:
    masked = ""
    tried = 0
    for each in _seeds(seed):
        inputs = joined(regular(right, each, lanes), special(right, each, lanes))
        if not _is_defined(right, inputs):
            continue
        tried += 1
        try:
            one, other = run_plain(right, inputs).arrays, run_plain(wrong, inputs).arrays
        except EndlessLoopError:
            return Fate.MISSED, "the wrong reference does not end, only on inputs of another seed, where it is caught"
        pairs = [(p.name, one[p.name], other[p.name]) for p in right.params if p.is_output]
        fate, where = _weighed(pairs, partial(_known, wrong, inputs, None, each))
        if fate is Fate.MISSED:
            return fate, where + _elsewhere(wrong, handle, each, lanes, each == seed)
        masked = masked or where
    return (Fate.MASKED, masked) if masked else (Fate.EQUIVALENT, f"on {tried} sets of inputs")


def _seeds(seed: int) -> list[int]:
    return [(seed + 1_000_003 * k) % 2**63 for k in range(FURTHER + 1)]


def _is_defined(kernel: Kernel, inputs: Inputs) -> bool:
    """The kernel was grown on the inputs of its seed; on others it may do what no kernel may."""
    try:
        return not run_plain(kernel, inputs).undefined.any()
    except EndlessLoopError:
        return False


# -- what differs -----------------------------------------------------------------------------------------------------


def _survived(kernel: Kernel, original: Handle, mutant: Handle, seed: int, lanes: int) -> Judgement:
    masked = ""
    tried = 0
    for each in _seeds(seed):
        usual = regular(kernel, each, lanes)
        inputs = joined(usual, special(kernel, each, lanes))
        if not _is_defined(kernel, inputs):
            continue
        tried += 1
        pairs = list(_observed(kernel, original, mutant, usual, inputs, each))
        fate, where = _weighed(pairs, partial(_known, kernel, inputs, usual, each))
        if fate is Fate.MISSED:
            return fate, where + _elsewhere(kernel, mutant, each, lanes, each == seed)
        masked = masked or where
    return (Fate.MASKED, masked) if masked else (Fate.EQUIVALENT, f"on {tried} sets of inputs")


def _elsewhere(kernel: Kernel, handle: Handle, seed: int, lanes: int, is_own: bool) -> str:
    """What is to be added where something differs on other inputs than those that were checked."""
    if is_own:
        return ""
    caught = "" if check(kernel, handle, seed, lanes).outcome.is_finding else "not "
    return f", only on inputs of another seed, where it is {caught}caught"


def _weighed(pairs: list[tuple[str, Lanes, Lanes]], known: Callable[[int], Mapping[str, Known]]) -> Judgement:
    """Whether what differs on one set of inputs was decided, and where.

    The oracle looks a second time where the first look objects, and the second decides less; so it is done here.
    """
    pairs = [pair for pair in pairs if _differs(*pair[1:]).any()]
    if not pairs:
        return Fate.EQUIVALENT, ""
    for look in range(len(PATTERNS)):
        noted = known(look)
        decided = [(*pair, noted[pair[0]]) for pair in pairs if (_differs(*pair[1:]) & noted[pair[0]].decided).any()]
        if not decided:
            break
        if look == len(PATTERNS) - 1 or all(_is_tolerated(one, other, array) for _, one, other, array in decided):
            return Fate.MISSED, _told(*decided[0])
    name, one, other = pairs[0]
    return Fate.MASKED, f"{name}: {int(_differs(one, other).sum())} of {one.size} elements, none of them decided"


def _is_tolerated(one: Lanes, other: Lanes, known: Known) -> bool:
    with np.errstate(all="ignore"):
        away = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return bool((away <= known.tolerance)[_differs(one, other) & known.decided].all())


def _observed(
    kernel: Kernel, original: Handle, mutant: Handle, usual: Inputs, inputs: Inputs, seed: int
) -> Iterator[tuple[str, Lanes, Lanes]]:
    """The outputs and gradients of two compiled kernels, as the oracle names and flattens them."""
    one, other = (_outputs(kernel, handle, inputs) for handle in (original, mutant))
    if _is_differentiated(kernel):
        one |= _gradients(kernel, original, usual, seed)
        other |= _gradients(kernel, mutant, usual, seed)
    for name in one:
        yield name, one[name], other[name]


def _is_differentiated(kernel: Kernel) -> bool:
    return has_gradient(kernel) and not limitation(kernel)


def _outputs(kernel: Kernel, handle: Handle, inputs: Inputs) -> dict[str, Lanes]:
    launches = [run(handle, kernel.params, values_of(inputs, k), inputs.lanes) for k in range(inputs.launches)]
    return {p.name: flat([la.arrays[p.name] for la in launches]) for p in kernel.params if p.is_output}


def _gradients(kernel: Kernel, handle: Handle, usual: Inputs, seed: int) -> dict[str, Lanes]:
    weights = cotangents(kernel, usual, seed)
    launches = [differentiated(kernel, handle, usual, k, weights) for k in range(usual.launches)]
    names = launches[0].gradients
    return {f"d/d{name}": flat([launch.gradients[name] for launch in launches]) for name in names}


def _differs(one: Lanes, other: Lanes) -> Mask:
    """Bit for bit, but that one NaN is as good as another."""
    bits = f"u{one.dtype.itemsize}"
    differs = one.view(bits) != other.view(bits)
    if one.dtype.kind in FLOATING:
        differs &= ~(np.isnan(one) & np.isnan(other))
    return np.asarray(differs, np.bool_)


def _known(kernel: Kernel, inputs: Inputs, usual: Inputs | None, seed: int, look: int) -> Mapping[str, Known]:
    """By output, and by gradient where `usual` is given: what the oracle can decide at a look, and how exactly."""
    shadowed = run_shadowed(kernel, inputs, PATTERNS[look])
    known = {}
    for name in (p.name for p in kernel.params if p.is_output):
        wanted = expected(shadowed, name)
        known[name] = Known(wanted.decided, wanted.tolerance)
    if usual is not None and _is_differentiated(kernel):
        weights = cotangents(kernel, usual, seed)
        reference = run_shadowed(kernel, usual, CLOSER) if look else shadowed
        for name, gradient in expected_gradients(kernel, usual, reference, weights).items():
            known[f"d/d{name}"] = Known(gradient.decided, gradient.tolerance)
    return known


def _told(name: str, one: Lanes, other: Lanes, known: Known) -> str:
    """The decided element that is farthest off for its tolerance."""
    differs = _differs(one, other)
    places = np.flatnonzero(differs & known.decided)
    with np.errstate(all="ignore"):
        away = np.abs(one[places].astype(np.float64) - other[places].astype(np.float64))
        worst = places[int(np.argmax(np.nan_to_num(away / (known.tolerance[places] + 5e-324))))]
    return (
        f"{name}[{worst}]: {one[worst]:.9g} became {other[worst]:.9g}, tolerance {known.tolerance[worst]:.3g}; "
        f"{places.size} of {differs.size} elements"
    )
