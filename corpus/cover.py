"""A small set of items that has every feature: greedy, then pruned.

The key insight: what an item adds only ever shrinks as others are chosen. So a heap of what each added when last asked
is enough: the item on top is asked again, and if it still adds as much, none can add more. Ties go to the cheaper item,
then to the earlier, so the answer depends on nothing but the question.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def cover(
    features: Sequence[Sequence[int]],
    costs: Sequence[int],
    known: frozenset[int] = frozenset(),
    most: int | None = None,
) -> list[int]:
    """Numbers of the items that together have all features but the `known`, increasing; none of them can be left out.

    Features are given per item, each once. Few items come before cheap ones. With `most`, no more items than that:
    those that have as many features as are quickly found.
    """
    missing = {feature for item in features for feature in item} - known
    heap = [(-len(item), costs[number], number) for number, item in enumerate(features) if item]
    heapq.heapify(heap)
    chosen: list[int] = []
    while missing and (most is None or len(chosen) < most):
        promised, cost, number = heapq.heappop(heap)
        adds = sum(feature in missing for feature in features[number])
        if adds == -promised:
            chosen.append(number)
            missing.difference_update(features[number])
        elif adds:
            heapq.heappush(heap, (-adds, cost, number))
    return _pruned(chosen, features, costs, known)


def _pruned(
    chosen: Sequence[int], features: Sequence[Sequence[int]], costs: Sequence[int], known: frozenset[int]
) -> list[int]:
    """Without those whose every feature others have as well; the dearest go first."""
    having: dict[int, int] = dict.fromkeys(known, 1)
    for number in chosen:
        for feature in features[number]:
            having[feature] = having.get(feature, 0) + 1
    kept = []
    for number in sorted(chosen, key=lambda number: (-costs[number], -number)):
        if all(having[feature] > 1 for feature in features[number]):
            for feature in features[number]:
                having[feature] -= 1
        else:
            kept.append(number)
    return sorted(kept)
