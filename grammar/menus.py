"""Which operations are on offer where a term of some type is wanted, and on which values they are defined.

The key insight: what may be drawn follows from the profile, the family and the types in which the kernel computes, and
from nothing else of the draft; so it is put together once, and a draw is a spin of a wheel.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import numpy as np

from grammar.choose import Wheel
from grammar.draft import ANYWHERE, Draft
from grammar.number import is_defined
from grammar.op import Chain, Item, Lanes, Op
from grammar.ops import TABLE
from grammar.profiles import Profile
from grammar.ranges import Span, spans
from grammar.types import BOOL, ELEMENTS, I32, Composite, Element


def menu(draft: Draft, result: Element) -> Wheel[Op]:
    return _menu(draft.profile, draft.favoured, draft.kin, result)


@lru_cache(maxsize=512)
def _menu(profile: Profile, favoured: frozenset[str], kin: frozenset[Element], result: Element) -> Wheel[Op]:
    options = [(op, share * (6.0 if op.group in favoured else 1.0)) for op, share in _shares(kin, result).items()]
    return _wheel(profile, options)


def offered(draft: Draft, ops: Sequence[Op]) -> Wheel[Op]:
    """The profile's choice of some operations."""
    return _wheel(draft.profile, [(op, 1.0) for op in ops])


def _wheel(profile: Profile, options: list[tuple[Op, float]]) -> Wheel[Op]:
    """The profile's weights times the given ones; where it switches all of these off, the table's own instead."""
    weighed = [(op, profile.weight(op) * weight) for op, weight in options]
    live = any(weight > 0 for _, weight in weighed)
    return Wheel(weighed if live else [(op, op.weight * weight) for op, weight in options])


@lru_cache(maxsize=2048)
def kindred(profile: Profile, op: Op) -> Wheel[Op] | None:
    """The other operations on the same types."""
    kin = [(o, 1.0) for o in _by_result()[op.result] if o.params == op.params and o is not op and o.weight]
    return _wheel(profile, kin) if kin else None


@lru_cache(maxsize=64)
def connectives(profile: Profile) -> Wheel[Op]:
    return _wheel(profile, [(o, 1.0) for o in TABLE if set(o.params) == {BOOL} == {o.result}])


@lru_cache(maxsize=64)
def comparisons(profile: Profile, main: Element) -> Wheel[Op]:
    return _wheel(profile, [(o, 1.0) for o in menu_of_comparisons(main)])


def _kinship(kin: frozenset[Element], op: Op) -> float:
    """Kernels compute in one type, with the odd conversion."""
    if kin.issuperset(op.params):
        return 1.0
    return 0.02 if op.group == "cast" else 0.005 if op.group == "select" and op.result in kin else 0.0


@lru_cache(maxsize=512)
def _shares(kin: frozenset[Element], result: Element) -> Mapping[Op, float]:
    """The kinship, but that what others have of the weight of a name goes to those that are akin."""
    kinship = {op: _kinship(kin, op) for op in _by_result()[result]}
    overloads = Counter(op.name for op in kinship)
    akin = dict.fromkeys(overloads, 0.0)
    for op, share in kinship.items():
        akin[op.name] += share
    return {
        op: share if op.is_composite else share * overloads[op.name] / max(1.0, akin[op.name])
        for op, share in kinship.items()
    }


@cache
def _by_result() -> dict[Element, tuple[Op, ...]]:
    return {t: tuple(op for op in TABLE if op.result is t) for t in ELEMENTS.values()}


@cache
def spans_for(op: Op) -> tuple[Span, ...]:
    """Per parameter, the most permissive range of values on which the operation is defined throughout."""
    if (isinstance(op.spelling, Item) or op.name == "tile_extract") and isinstance(op.params[0], Composite):
        return (ANYWHERE, *((0, size - 1) for size in op.params[0].shape[: len(op.params) - 1]))
    if op.domain is None and not op.is_composite:
        return tuple(ANYWHERE for _ in op.params)
    for chosen in itertools.product(*(spans(p.scalar) for p in op.params)):
        if (_is_defined_together if op.is_composite else _is_defined)(op, chosen):
            return tuple(ANYWHERE if s == spans(p.scalar)[0] else s for p, s in zip(op.params, chosen, strict=True))
    return tuple(ANYWHERE for _ in op.params)


def _is_defined(op: Op, chosen: Sequence[Span]) -> bool:
    assert op.domain is not None
    grid = np.meshgrid(*(_probes(p, s) for p, s in zip(op.params, chosen, strict=True)), sparse=True)
    with np.errstate(all="ignore"):
        return bool(np.all(op.domain(*grid)))


def _probes(type: Element, span: Span) -> Lanes:
    return np.linspace(span[0], span[1], 17).astype(type.dtype)


def _is_defined_together(op: Op, chosen: Sequence[Span]) -> bool:
    """Of a composite row, on some hundreds of combinations of the numbers that a scalar row would be tried on."""
    places = np.random.Generator(np.random.PCG64(0))
    args = [
        _probes(p, s)[places.integers(0, 17, (p.width, 512) if isinstance(p, Composite) else 512)]
        for p, s in zip(op.params, chosen, strict=True)
    ]
    return is_defined(op, args)


@lru_cache(maxsize=512)
def favoured_menu(profile: Profile, groups: frozenset[str], kin: frozenset[Element], result: Element) -> Wheel[Op]:
    options = [(op, share) for op, share in _shares(kin, result).items() if op.group in groups]
    return _wheel(profile, options) if any(w > 0 for _, w in options) else _menu(profile, groups, kin, result)


@cache
def menu_of_comparisons(main: Element) -> tuple[Op, ...]:
    compared = (main.scalar, I32)
    return tuple(op for op in TABLE if op.group == "comparison" and len(op.params) == 2 and op.params[0] in compared)


@cache
def betweens(type: Element) -> tuple[Op, ...]:
    """The rows that compare three values of the type."""
    return tuple(op for op in TABLE if isinstance(op.spelling, Chain) and op.params[1] is type)
