"""How long a composite is, as its type says: `len(v)`.

The key insight: it is the number over which an index runs, so it stands where loops end, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable

from grammar.number import Number, Numbers
from grammar.op import Call, Op
from grammar.types import COMPOSITES, I32, SPATIAL_MATRICES, TILES, Composite


def _always(length: int) -> Callable[[Numbers], Number]:
    return lambda a: a[0].calculus.number(length, I32)


def _row(T: Composite) -> Op:  # noqa: N803 - a type, as in the comprehensions of this package
    """Of weight 0, as it is a number that nobody computes with; only `grammar.folds` asks for it."""
    length = _always(T.shape[0])
    return Op("len", (T,), I32, Call("len"), length, exact=True, differentiable=False, group="select", weight=0.0)


ROWS: tuple[Op, ...] = (
    *(_row(T) for T in COMPOSITES if T not in SPATIAL_MATRICES),
    *(_row(T) for T in TILES if len(T.shape) == 1 and T.width > 1),
)
