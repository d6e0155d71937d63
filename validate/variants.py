"""Variants of a value: which there are, in what order, and by what they err.

The key insight: steps and noise don't depend on what is computed, so how variants are laid out is known of each value
from the elements it hangs on, and draws of noise are shared by all kernels.

The noise is Monte Carlo arithmetic (Parker 1997).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grammar.layout import Mask
from grammar.types import F16, F32, F64, FLOATS, Scalar

Variants = NDArray[np.float64]
"""Shape (variants, lanes); (1, lanes) where all variants agree."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Which input elements the step variants move, and how far.

    Element k that a lane reads is `targets[k]` (−1: none) of the array whose range in `slots` holds k. The variants
    after the first come in rows, one for each of `factors`: unmoved, then moved by `sizes[k]` times the factor for each
    element k that the value hangs on.
    """

    slots: Mapping[str, slice]
    targets: NDArray[np.intp]
    sizes: Variants
    factors: tuple[float, ...]

    def met(self, array: str, where: NDArray[np.intp], active: Mask) -> tuple[tuple[int, ...], Variants]:
        """The elements that the lanes read there, and their sizes: 0 for lanes that read another."""
        mine = self.slots[array]
        hit = (self.targets[mine] == where) & active
        rows = np.flatnonzero(hit.any(axis=1))
        return tuple((rows + mine.start).tolist()), np.where(hit[rows], self.sizes[mine][rows], 0.0)


@dataclass(frozen=True, slots=True)
class Noise:
    """How the variants err: the first doesn't; then come `patterns` that do.

    Where steps are taken each pattern is two rows, a step up and the step down beside it, and before them come two rows
    that don't err. Up and down err alike, so that their difference shows how the derivative itself depends on rounding.
    In float64 the difference's own rounding is what matters, so there they err apart.
    """

    patterns: int
    lanes: int
    stepped: bool = False

    @property
    def rows(self) -> int:
        return 2 + 2 * self.patterns if self.stepped else self.patterns

    def variants(self, moved: Sequence[int]) -> int:
        """How many there are of a value that hangs on these elements."""
        return 1 + self.rows * (1 + len(moved))

    def split(self, shadow: Variants) -> Variants:
        """The variants after the first as (rows, elements, lanes), a view."""
        return shadow[1:].reshape(self.rows, -1, shadow.shape[1])

    def blocks(self, shadow: Variants) -> Variants:
        """The noisy variants as (patterns, up and down, elements, lanes), a view."""
        rows = self.split(shadow)[2 * self.stepped :]
        return rows.reshape(self.patterns, 1 + self.stepped, *rows.shape[1:])

    def quiet(self, shadow: Variants) -> int:
        """How many variants don't err."""
        return 1 + 2 * self.stepped * (len(shadow) - 1) // self.rows

    def errors(self, turn: int, type: Scalar) -> Errors:
        """Errors that fit `blocks`, of a size with those of the type."""
        return errors(turn % POOL, self.patterns, self.lanes, type, type is F64 and self.stepped)


@lru_cache(maxsize=4096)
def places(own: tuple[int, ...], moved: tuple[int, ...]) -> NDArray[np.intp]:
    """Where among the variants of a value in a row, which hangs on elements of its `own`, stands that of each moved."""
    found = {k: 1 + place for place, k in enumerate(own)}
    return np.array([0, *(found.get(k, 0) for k in moved)])


# -- by what they err --------------------------------------------------------------------------------------------------

EPSILON = {type: float(np.finfo(type.dtype).eps) for type in FLOATS}

ROUNDED = 0.5
LIBRARY = {F32: 4.0, F64: 4.0, F16: ROUNDED + 4.0 * EPSILON[F32] / EPSILON[F16]}
"""By how many epsilons of its type a result is off: that of an exact row is only rounded. Functions of a float16 are
those of float32, rounded."""

POOL = 61
"""Draws of noise before they recur; prime, so that loops don't fall in step with them."""


class Errors(NamedTuple):
    """By what one operation is off, in the shape of `Noise.blocks`."""

    exact: Variants
    """Factor of a result that is only rounded."""
    inexact: Variants
    """Factor of what a library function gives."""
    used: Variants
    """(1 + a) · (1 + b), where an argument x moves from x₀ by a too much, and is off by b as a whole."""
    kept: Variants
    """a · (1 + b): times x₀, by how much x times `used` is then too large."""
    unit: Variants
    """Numbers in ± epsilon."""
    sign: Variants
    """Numbers in ± 1."""


@lru_cache(maxsize=512)
def errors(turn: int, patterns: int, lanes: int, type: Scalar, apart: bool) -> Errors:
    """The same for all kernels: it only has to be unrelated to what they compute."""
    eps = EPSILON[type]
    a, b, result, sign = (_fitting(turn + k, patterns, lanes, apart) for k in range(4))
    a, b, result = a * eps, b * eps, result * eps
    each = (1 + ROUNDED * result, 1 + LIBRARY[type] * result, (1 + 2 * a) * (1 + b), 2 * a * (1 + b), sign * eps, sign)
    for array in each:
        array.setflags(write=False)
    return Errors(*each)


def _fitting(turn: int, patterns: int, lanes: int, apart: bool) -> Variants:
    """Numbers in [−1, 1] that fit `Noise.blocks`: the same up and down unless they are to be apart."""
    drawn = _signs(patterns, lanes)[turn % POOL]
    return np.asarray(drawn.reshape(patterns, 2, 1, -1) if apart else drawn[:patterns, np.newaxis, np.newaxis])


@lru_cache(maxsize=8)
def _signs(patterns: int, lanes: int) -> Variants:
    return np.random.Generator(np.random.PCG64([patterns, lanes])).uniform(-1.0, 1.0, (POOL, 2 * patterns, lanes))
