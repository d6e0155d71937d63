"""One more set of inputs, with the values that random ones never hit: zeros of both signs, halves, infinities, NaN.

The key insight: a special value may go anywhere except where it would make the kernel undefined (an index out of
bounds, an integer divided by zero), and whether it does is seen by running the kernel on it in NumPy first. What is
the same on all lanes shows one side of itself per launch, so here scalars and flags show the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from grammar.evaluate import EndlessLoopError
from grammar.floats import precision
from grammar.inputs import column, from_columns, uniform
from grammar.layout import Inputs, Mask
from grammar.op import Lanes
from grammar.params import Param, Role
from grammar.plain import run_plain
from grammar.ranges import is_wide
from grammar.tree import Apply, Kernel, Read, Sample, Term, Var, While, Whole, all_terms, statements
from grammar.types import BF16, BOOL, F16, FLOATS, INTEGERS, Array, Composite

FLOAT_SPECIALS = (
    *(0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, -2.5, 3.0, -3.0),
    *(np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e-30, 1e30, -1e30, 3.4028234e38, -3.4028234e38),
)
HALF_SPECIALS = (*FLOAT_SPECIALS[:15], 6e-8, -6e-8, 6.1e-5, 2048.0, 2049.0, 65504.0, -65504.0)
LARGEST = precision(BF16.dtype).max
CHOICES = {F16: HALF_SPECIALS, BF16: (*FLOAT_SPECIALS[:-2], LARGEST, -LARGEST)}
FLOAT_CHOICES = {scalar: np.array(CHOICES.get(scalar, FLOAT_SPECIALS)).astype(scalar.dtype) for scalar in FLOATS}
SHUFFLES = 256
"""Ways to lay them out among ordinary values; that two parameters have another is what matters."""
ROUNDS = 4
"""How often lanes that turn out undefined are given ordinary values before the set is done without."""


Undefined = Callable[[Inputs], Mask]
"""Tells the lanes on which a kernel would be undefined; raises EndlessLoopError."""


def special(kernel: Kernel, seed: int, lanes: int, undefined: Undefined | None = None) -> Inputs | None:
    """A launch's worth of inputs, special values among them; None if the kernel would be undefined on any such set.

    If `undefined` is asked at all, it is asked about the inputs that are returned last.
    """
    undefined = undefined or (lambda inputs: run_plain(kernel, inputs).undefined)
    ordinary = {p.name: column(p, seed, lanes)[:1] for p in kernel.params}
    mixed = {p.name: _mixed(p, ordinary[p.name], seed) for p in kernel.params}
    opposite = {p.name: _opposite(p, mixed[p.name]) for p in kernel.params}
    sets = (_defined(kernel, each, ordinary, lanes, undefined) for each in (opposite, mixed))
    return next((inputs for inputs in sets if inputs is not None), None)


def _defined(
    kernel: Kernel, mixed: dict[str, Lanes], ordinary: dict[str, Lanes], lanes: int, undefined: Undefined
) -> Inputs | None:
    """As inputs, once no lane is undefined any more."""
    risky = any(isinstance(stmt, While | Sample) for stmt in statements(kernel.body))
    risky = risky or any(map(_can_be_undefined, all_terms(kernel)))
    for _ in range(ROUNDS):
        inputs = from_columns(kernel.params, mixed, lanes)
        if not risky:
            return inputs
        try:
            bad = undefined(inputs)
        except EndlessLoopError:
            return None
        if not bad.any():
            return inputs
        mixed = {name: _mended(values, ordinary[name], bad) for name, values in mixed.items()}
    return None


def _can_be_undefined(term: Term) -> bool:
    """Integer operations off their domain, inside of composite rows too, and indices that aren't the thread's own."""
    match term:
        case Apply(op, _) if op.is_composite:
            return any(type.scalar in INTEGERS for type in (*op.params, op.result))
        case Apply(op, _):
            return op.result in INTEGERS and op.domain is not None
        case Read(_, index, _):
            return not isinstance(index, Var)
        case Whole():
            return True
        case _:
            return False


def _mixed(param: Param, values: Lanes, seed: int) -> Lanes:
    """The values, of which some are replaced by special ones."""
    if param.role is not Role.VALUE or not isinstance(param.type, Array):
        return values
    chosen: Lanes
    if param.element.scalar in FLOATS:
        chosen = FLOAT_CHOICES[param.element.scalar]
    elif param.element in INTEGERS:
        low, high = int(param.low), int(param.high)
        chosen = np.array(sorted({low, high, *(n for n in (-1, 0, 1) if low <= n <= high)}), param.element.dtype)
    else:
        return values
    length = values[0].size
    which = int(uniform(seed, f"{param.name} special", (1,))[0] * SHUFFLES)
    places = _shuffled(length, which)[: max(1, min(2 * length // 3, 2 * len(chosen)))]
    result = values.copy()
    result[0].reshape(-1)[places] = np.resize(chosen, len(places))
    return result


def _opposite(param: Param, values: Lanes) -> Lanes:
    """Flags negated, and a number that is the same on all lanes as far from the other end of its range."""
    if param.role is not Role.VALUE:
        return values
    if param.element is BOOL:
        return np.logical_not(values)
    rigid = isinstance(param.element, Composite) and param.element.is_rigid
    if isinstance(param.type, Array) or rigid or is_wide(param.low, param.high):
        return values
    return (param.low + param.high - values.astype(np.float64)).astype(values.dtype)


@lru_cache(maxsize=4 * SHUFFLES)
def _shuffled(length: int, which: int) -> NDArray[np.intp]:
    return np.argsort(uniform(which, "shuffled", (length,)), kind="stable")


def _mended(mixed: Lanes, ordinary: Lanes, bad: Lanes) -> Lanes:
    """Ordinary values in place of those that the undefined lanes have as their own."""
    if mixed.ndim == 1 or mixed[0].size % bad.size:
        return mixed
    each = mixed.reshape(bad.size, -1)  # the scalars that a lane has as its own
    return np.where(bad[:, np.newaxis], ordinary.reshape(each.shape), each).reshape(mixed.shape)


def joined(regular: Inputs, other: Inputs | None) -> Inputs:
    """Both sets of launches in one."""
    if other is None:
        return regular
    arrays = {name: np.concatenate([array, other.arrays[name]]) for name, array in regular.arrays.items()}
    scalars = {name: np.concatenate([value, other.scalars[name]]) for name, value in regular.scalars.items()}
    return replace(regular, arrays=arrays, scalars=scalars)
