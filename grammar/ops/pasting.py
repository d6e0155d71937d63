"""Parts of vectors and matrices that are put in place of others: `v[1:] = w`, `m[0] = row`, `m[:, 2] = column`.

The key insight: what can be taken out of a composite as a whole can be put there, so these rows follow from those.
"""

from __future__ import annotations

from collections.abc import Iterator

from grammar.op import Item, Op, Pasted
from grammar.ops import matrix, parts, vector
from grammar.types import Composite


def _pasting(taken: Op) -> Iterator[Op]:
    (whole,), part = taken.params[:1], taken.result
    known = isinstance(taken.spelling, Item) and bool(taken.spelling.indices)
    if known and isinstance(taken.spelling, Item) and isinstance(whole, Composite) and isinstance(part, Composite):
        indices = taken.spelling.indices
        meaning = parts.pasted(whole.shape, *indices)
        yield Op("paste", (whole, part), whole, Pasted(indices), meaning, exact=True, group=taken.group, weight=0.1)


CHANGERS: tuple[Op, ...] = tuple(row for op in (*vector.ROWS, *matrix.ROWS) if op.params for row in _pasting(op))
