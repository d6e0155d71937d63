"""Builtins that give several values: what a rotation, a pose or a matrix is made of.

The key insight: each value that comes out is written in the same scalar rows, in Warp's order; so what is known of one
is known of all, and a kernel takes the whole apart by one statement, in which every part has a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from grammar.number import Number, Numbers, call, where
from grammar.op import Call, Op, Placed
from grammar.ops import factors, parts, quaternion
from grammar.ops.quaternion import space
from grammar.types import F32, F64, MATRICES, QUATERNIONS, Composite, vector_of

_row = partial(Op, exact=True)


def _decomposed(m: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Where it is, how it is turned, and by what it is scaled along its own axes."""
    columns = [m[k:12:4] for k in range(4)]
    scale = tuple(map(parts.length, columns[:3]))
    axes = [parts.divided(axis, _divisor(size)) for axis, size in zip(columns[:3], scale, strict=True)]
    turn = quaternion.from_matrix(parts.joined(*zip(*axes, strict=True)))
    return columns[3], turn, scale


def _divisor(size: Number) -> Number:
    """What has no size is divided by nothing."""
    return where(call("not_equal", size, 0.0), size, 1.0)


# -- rows of the table ------------------------------------------------------------------------------------------------


def _turns(Q: Composite) -> Iterator[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    S, V = Q.scalar, space(Q)  # noqa: N806 - likewise
    M = next(M for M in MATRICES if M.scalar is S and M.width == 16)  # noqa: N806 - likewise
    name, group = "quat_to_axis_angle", "quaternion"
    yield _row(name, (Q,), V, Call(f"wp.{name}"), quaternion.axis_angle, others=(S,), group=group)
    name, group = "transform_decompose", "transform"
    yield _row(name, (M,), V, Call(f"wp.{name}"), _decomposed, others=(Q, V), group=group)


def _factors(M: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    V = vector_of(M.scalar, M.shape[1])  # noqa: N806 - likewise
    row = partial(_row, group="matrix", approximate=True)
    if M.shape[0] == 2:
        yield row("svd2", (M,), M, Call("wp.svd2"), factors.singular_2, others=(V, M))
    else:
        yield row("qr3", (M,), M, Call("wp.qr3"), factors.qr, others=(M,))
        yield row("eig3", (M,), M, Call("wp.eig3"), factors.eigen, others=(V,))
        yield row("svd3", (M,), M, Call("wp.svd3"), factors.singular, others=(V, M))


SIZES = ((2, 2), (3, 3))
_RETURNING: tuple[Op, ...] = (
    *(row for Q in QUATERNIONS for row in _turns(Q)),
    *(row for M in MATRICES if M.scalar in (F32, F64) and M.shape in SIZES for row in _factors(M)),
)
ROWS = (
    *_RETURNING,
    *(replace(row, spelling=Placed(f"wp.{row.name}")) for row in _RETURNING if row.name != "transform_decompose"),
)
