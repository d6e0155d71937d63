"""Arguments on which the rows of the table are tried: every special value with every other, and random ones.

The key insight: random arguments hide nearly all mistakes about halves, signed zeros, NaN, infinities and the edges of
domains, so those are tried in all combinations; random ones of all magnitudes then try the library beneath.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grammar.floats import precision
from grammar.op import Lanes, Op
from grammar.types import BOOL, FLOATS, INTEGERS, SIGNED, Element, Scalar

RANDOM = 20_000
"""Random tuples of arguments for each row; of the floats half are of all magnitudes and half between -4 and 4."""


def _signed(sizes: Sequence[float], scalar: Scalar) -> Lanes:
    with np.errstate(over="ignore", under="ignore"):
        positive = np.array(sizes).astype(scalar.dtype)
    return np.concatenate([positive, -positive, np.array([np.nan], scalar.dtype)])


def _floats(scalar: Scalar) -> Lanes:
    info = precision(scalar.dtype)
    eps, most, least = info.eps, info.max, info.smallest_subnormal
    plain = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 7.0, 10.0, 100.0, 1e-3, 1e-10, 1e10]
    beside = [0.5 - eps / 4, 0.5 + eps / 2, 1.0 - eps / 2, 1.0 + eps]
    where_integers_end = [0.5 / eps + 0.5, 0.5 / eps + 1.5, 1 / eps - 0.5, 1 / eps + 1, 2 / eps + 2]
    angles = [n * np.pi for n in (1 / 6, 1 / 4, 1 / 2, 1, 3 / 2, 2, 1000)]
    where_int32_ends = [2.0**24 + 1, 2.0**31 - 128, 2.0**31 - 1, 2.0**31]
    where_formulas_change = [0.46875, 5.9, 9.5, 26.6, 88.0, 89.0, 104.0, 709.0, 710.0, 746.0]
    extremes = [most, most**0.5, info.tiny, 0.75 * info.tiny, least, eps, np.inf]
    parts = (plain, beside, where_integers_end, angles, where_int32_ends, where_formulas_change, extremes)
    return _signed([size for part in parts for size in part], scalar)


def _few_floats(scalar: Scalar) -> Lanes:
    info = precision(scalar.dtype)
    extremes = [info.max, info.smallest_subnormal, np.inf]
    return _signed([0.0, 0.25, 0.5, 1.0, 1.5, 3.0, 1e10, *extremes], scalar)


_SMALL = (1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 30, 31, 32, 33, 63, 64, 100, 127, 128, 255, 256, 1000, 46340, 46341)
_LARGE = (65535, 65536, 10**6, 2**24, 2**24 + 1, 2**30, 0x55555555, 0x33333333, 3037000499, 3037000500, 2**53 + 1)
_FEW = (1, 2, 7, 31)
_BOOLS = np.array([False, True])


def _integers(scalar: Scalar, sizes: Sequence[int]) -> Lanes:
    """Those that there are of 0, the sizes, their opposites, and the ends of the type with what lies beside them."""
    ends = np.iinfo(scalar.name)
    least, most = int(ends.min), int(ends.max)
    wanted = dict.fromkeys([0, *sizes, most, *(-n for n in sizes), least, most - 1, most // 2, most // 2 + 1])
    return np.array([n for n in wanted if least <= n <= most], scalar.dtype)


SPECIAL: dict[Element, Lanes] = {
    **{scalar: _floats(scalar) for scalar in FLOATS},
    **{scalar: _integers(scalar, (*_SMALL, *_LARGE)) for scalar in INTEGERS},
    BOOL: _BOOLS,
}
FEW: dict[Element, Lanes] = {
    **{scalar: _few_floats(scalar) for scalar in FLOATS},
    **{scalar: _integers(scalar, _FEW) for scalar in INTEGERS},
    BOOL: _BOOLS,
}


def combinations(columns: Sequence[Lanes]) -> tuple[Lanes, ...]:
    """Every combination of one value from each column, laid out along one axis."""
    return tuple(axis.ravel() for axis in np.meshgrid(*columns, indexing="ij"))


def special_arguments(op: Op) -> tuple[Lanes, ...]:
    """Every combination of special values of the parameters' types; fewer values each for three parameters."""
    values = FEW if len(op.params) > 2 else SPECIAL
    return reachable(op, combinations([values[scalar] for scalar in op.params]))


def random_arguments(op: Op, rng: np.random.Generator, lanes: int = RANDOM) -> tuple[Lanes, ...]:
    return reachable(op, tuple(_random(scalar, rng, lanes) for scalar in op.params))


def arguments(op: Op) -> tuple[Lanes, ...]:
    """The special and the random arguments, always the same ones, laid end to end."""
    rng = np.random.Generator(np.random.PCG64(len(op.params)))
    return tuple(map(np.concatenate, zip(special_arguments(op), random_arguments(op, rng), strict=True)))


def reachable(op: Op, args: tuple[Lanes, ...]) -> tuple[Lanes, ...]:
    """Without the lanes on which C++ leaves the behaviour undefined: an integer result outside the domain."""
    if op.domain is None or op.result in FLOATS:
        return args
    with np.errstate(invalid="ignore"):
        inside = op.domain(*args)
    return tuple(arg[inside] for arg in args)


def regular_arguments(op: Op, rng: np.random.Generator, lanes: int) -> tuple[Lanes, ...]:
    """At most `lanes` tuples of ordinary values in the domain: floats of magnitude 1/16 to 8, ints below 20."""
    columns = tuple(_regular(scalar, rng, lanes) for scalar in op.params)
    inside = np.ones(lanes, np.bool_) if op.domain is None else op.domain(*columns)
    return tuple(column[inside] for column in columns)


def _regular(scalar: Element, rng: np.random.Generator, lanes: int) -> Lanes:
    if scalar in FLOATS:
        size = rng.uniform(0.5, 1.0, lanes) * 2.0 ** rng.integers(-3, 4, lanes)
        return np.where(rng.integers(0, 2, lanes) == 1, size, -size).astype(scalar.dtype)
    return rng.integers(0, 2 if scalar is BOOL else 20, lanes).astype(scalar.dtype)


def _random(scalar: Element, rng: np.random.Generator, lanes: int) -> Lanes:
    if scalar is BOOL:
        return np.asarray(rng.integers(0, 2, lanes) == 1)
    if scalar in INTEGERS:
        kind = "i" if scalar in SIGNED else "u"
        wide = rng.integers(0, 2**64, lanes, np.uint64, endpoint=False).view(f"{kind}8")
        return np.asarray(wide >> rng.integers(64 - scalar.bits, 63, lanes).astype(f"{kind}8")).astype(scalar.dtype)
    width = scalar.dtype.itemsize
    bits = rng.integers(0, 2 ** (8 * width), lanes, np.uint64)
    of_all_magnitudes = bits.astype(f"u{width}").view(scalar.dtype)
    return np.where(rng.integers(0, 2, lanes) == 1, of_all_magnitudes, rng.uniform(-4, 4, lanes).astype(scalar.dtype))
