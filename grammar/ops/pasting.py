"""Parts of vectors and matrices that are put in place of others: `v[1:] = w`, `m[0] = row`, `m[:, 2] = column`.

The key insight: what can be taken out of a composite as a whole can be put there, so these rows follow from those.
"""

from __future__ import annotations

from collections.abc import Iterator

from grammar.op import Item, Op, Pasted
from grammar.ops import matrix, parts, vector
from grammar.types import Composite


def _pasting(taken: Op) -> Iterator[Op]:
    match taken:
        case Op(params=(Composite() as whole, *_), result=Composite() as part, spelling=Item((_, *_) as indices)):
            meaning = parts.pasted(whole.shape, *indices)
            spelt = Pasted(tuple(indices))
            yield Op("paste", (whole, part), whole, spelt, meaning, exact=True, group=taken.group, weight=0.1)
        case _:
            pass


CHANGERS: tuple[Op, ...] = tuple(row for op in (*vector.ROWS, *matrix.ROWS) for row in _pasting(op))
