"""Where choices come from.

The key insight: growing draws only through `choose(n) -> int in range(n)`. A seeded generator makes bulk data,
Hypothesis makes shrinkable tests, a recorded list replays and reduces: one grammar under all three. Index 0 is the
simplest alternative everywhere, so that shrinking choices shrinks kernels.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Generic, NewType, TypeVar

Choose = Callable[[int], int]
Seed = NewType("Seed", int)
T = TypeVar("T")

RESOLUTION = 1 << 20
"""Weighted choices are drawn as integers in `range(RESOLUTION)`."""


def seeded(seed: Seed) -> Choose:
    """Choices from a generator of its own; the Mersenne Twister's integers are the same on every platform."""
    bits = random.Random(seed).getrandbits

    def choose(n: int) -> int:
        return (bits(32) * n) >> 32

    return choose


def recording(choose: Choose, record: list[int]) -> Choose:
    """The same choices, each appended to `record`."""

    def draw(n: int) -> int:
        choice = choose(n)
        record.append(choice)
        return choice

    return draw


def replaying(record: Iterable[int]) -> Choose:
    """The recorded choices, clipped to what is on offer; then always the simplest."""
    rest = iter(record)

    def choose(n: int) -> int:
        return min(next(rest, 0), n - 1)

    return choose


def pick(choose: Choose, options: Sequence[T]) -> T:
    return options[choose(len(options))]


def weighted(choose: Choose, options: Sequence[tuple[T, float]]) -> T:
    """One of the options with positive weight, in proportion to its weight."""
    live = [(option, weight) for option, weight in options if weight > 0]
    assert live, "nothing to choose from"
    point = choose(RESOLUTION) / RESOLUTION * sum([weight for _, weight in live])
    for option, weight in live:
        point -= weight
        if point < 0:
            return option
    return live[-1][0]


class Wheel(Generic[T]):
    """Options with weights, drawn from again and again."""

    def __init__(self, options: Iterable[tuple[T, float]]) -> None:
        live = [(option, weight) for option, weight in options if weight > 0]
        assert live, "nothing to choose from"
        self.options = tuple(option for option, _ in live)
        total = sum(weight for _, weight in live)
        self.bounds = [int(part / total * RESOLUTION) for part in accumulate(weight for _, weight in live)]

    def spin(self, choose: Choose) -> T:
        return self.options[min(bisect_right(self.bounds, choose(RESOLUTION)), len(self.options) - 1)]


def chance(choose: Choose, probability: float) -> bool:
    """True with the given probability; False is the simplest."""
    return choose(RESOLUTION) >= RESOLUTION * (1 - probability)
