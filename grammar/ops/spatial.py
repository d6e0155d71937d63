"""Spatial vectors, which are two vectors of three in one, and the matrices that map them.

The key insight: as `spatial.h` does it; what Warp has written in Python besides, it has for float32 alone, in whose
order of operations those rows are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from grammar.number import Number, Numbers
from grammar.op import Call, Infix, Item, Op, Prefix, Slice, Ternary
from grammar.ops import parts
from grammar.ops.matrix import outer, rows_of, times, times_vector, transposed
from grammar.ops.quaternion import rotated, space
from grammar.types import BOOL, F32, I32, MATRICES, SPATIAL_MATRICES, TRANSFORMS, TWISTS, Composite, vector_of

_row = partial(Op, exact=True, group="spatial")


def _cross(a: Numbers, b: Numbers) -> Numbers:
    across = parts.plus(parts.cross(a[3:], b[:3]), parts.cross(a[:3], b[3:]))
    return (*parts.cross(a[:3], b[:3]), *across)


def _cross_dual(a: Numbers, b: Numbers) -> Numbers:
    along = parts.plus(parts.cross(a[:3], b[:3]), parts.cross(a[3:], b[3:]))
    return (*along, *parts.cross(a[:3], b[3:]))


def _twist(t: Numbers, x: Numbers) -> Numbers:
    turning = rotated(t[3:], x[:3])
    return (*turning, *parts.plus(rotated(t[3:], x[3:]), parts.cross(t[:3], turning)))


def _wrench(t: Numbers, x: Numbers) -> Numbers:
    force = rotated(t[3:], x[3:])
    return (*parts.plus(rotated(t[3:], x[:3]), parts.cross(t[:3], force)), *force)


def _velocity_at(qd: Numbers, r: Numbers) -> Numbers:
    return parts.plus(qd[3:], parts.cross(qd[:3], r))


def _adjoint(turn: Numbers, shear: Numbers) -> list[Number | float]:
    """The one on the diagonal twice, the other below."""
    result: list[Number | float] = []
    for row in rows_of(turn, 3):
        result += [*row, 0.0, 0.0, 0.0]
    for left, right in zip(rows_of(shear, 3), rows_of(turn, 3), strict=True):
        result += [*left, *right]
    return result


# -- rows of the table ------------------------------------------------------------------------------------------------


def _twists(W: Composite) -> Iterator[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    S, V = W.scalar, space(W)  # noqa: N806 - likewise
    yield _row(W.name, (), W, Call(W.spelling), lambda: (0.0,) * 6, weight=0.0)  # accumulators begin with it
    if S is F32:  # of two vectors Warp makes none in float64
        yield _row(W.name, (V, V), W, Call(W.spelling), parts.joined, weight=4.0)
    yield _row(W.name, (S,) * 6, W, Call(W.spelling), parts.given, weight=0.3)
    yield from (_row("extract", (W,), S, Item((k,)), parts.part(k), weight=0.2) for k in range(6))
    yield _row("extract", (W, I32), S, Item(), parts.element(6), weight=0.2)
    for half in (Slice(None, 3), Slice(3)):
        yield _row("extract", (W,), vector_of(S, 3), Item((half,)), parts.cut(W.shape, half), weight=0.4)
    yield _row("spatial_top", (W,), V, Call("wp.spatial_top"), parts.parts(0, 1, 2), weight=2.5)
    yield _row("spatial_bottom", (W,), V, Call("wp.spatial_bottom"), parts.parts(3, 4, 5), weight=2.5)
    yield _row("spatial_dot", (W, W), S, Call("wp.spatial_dot"), parts.dot_of_vectors, weight=2.0)
    yield _row("spatial_cross", (W, W), W, Call("wp.spatial_cross"), _cross)
    yield _row("spatial_cross_dual", (W, W), W, Call("wp.spatial_cross_dual"), _cross_dual)
    if S is F32:  # functions that Warp has written in Python
        yield _row("velocity_at_point", (W, V), V, Call("wp.velocity_at_point"), _velocity_at)
        T = TRANSFORMS[0]  # noqa: N806 - likewise
        yield _row("transform_twist", (T, W), W, Call("wp.transform_twist"), _twist)
        yield _row("transform_wrench", (T, W), W, Call("wp.transform_wrench"), _wrench)


def _twist_arithmetic(W: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S = W.scalar  # noqa: N806 - likewise
    yield _row("add", (W, W), W, Infix("Add"), parts.each("add"), weight=3.0)
    yield _row("sub", (W, W), W, Infix("Subtract"), parts.each("sub"), weight=2.0)
    yield _row("mul", (W, S), W, Infix("Multiply"), parts.scaled, weight=1.5)
    yield _row("mul", (S, W), W, Infix("Multiply"), parts.scaling, weight=1.5)
    yield _row("div", (W, S), W, Infix("Divide"), parts.divided, weight=0.3)
    yield _row("neg", (W,), W, Prefix("Minus"), parts.opposite, weight=0.5)
    yield _row("dot", (W, W), S, Call("wp.dot"), parts.dot_of_vectors)
    yield _row("length", (W,), S, Call("wp.length"), parts.length, weight=0.5)
    yield _row("where", (BOOL, W, W), W, Call("wp.where"), parts.chosen, weight=0.5)
    yield _row("ternary", (BOOL, W, W), W, Ternary(), parts.chosen, weight=0.3)


def _matrices(M: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S = M.scalar  # noqa: N806 - likewise
    W = next(W for W in TWISTS if W.scalar is S)  # noqa: N806 - likewise
    block = next(one for one in MATRICES if one.scalar is S and one.width == 9)
    yield _row(M.name, (), M, Call(M.spelling), lambda: (0.0,) * 36, weight=0.0)  # accumulators begin with it
    unit = tuple(float(k % 7 == 0) for k in range(36))
    yield _row("identity", (), M, Call("wp.identity", (("n", 6), ("dtype", S.spelling))), lambda: unit, weight=0.0)
    yield _row("spatial_adjoint", (block, block), M, Call("wp.spatial_adjoint"), _adjoint, weight=2.0)
    yield _row("outer", (W, W), M, Call("wp.outer"), outer)
    yield _row("extract", (M, I32, I32), S, Item(), parts.element(6, 6), weight=0.2)
    yield _row("mul", (M, W), W, Infix("Multiply"), times_vector, weight=2.0)
    yield _row("matmul", (M, W), W, Infix("MatrixMultiply"), times_vector)
    yield _row("mul", (M, M), M, Infix("Multiply"), times(6, 6), exact=False)
    yield _row("transpose", (M,), M, Call("wp.transpose"), lambda m: transposed(m, 6))
    yield _row("add", (M, M), M, Infix("Add"), parts.each("add"))
    yield _row("sub", (M, M), M, Infix("Subtract"), parts.each("sub"), weight=0.5)
    yield _row("mul", (M, S), M, Infix("Multiply"), parts.scaled, weight=0.5)
    yield _row("mul", (S, M), M, Infix("Multiply"), parts.scaling, weight=0.5)
    yield _row("where", (BOOL, M, M), M, Call("wp.where"), parts.chosen, weight=0.3)
    yield _row("ternary", (BOOL, M, M), M, Ternary(), parts.chosen, weight=0.2)
    yield _row("neg", (M,), M, Prefix("Minus"), parts.opposite, weight=0.2)


ROWS: tuple[Op, ...] = (
    *(row for W in TWISTS for rows in (_twists, _twist_arithmetic) for row in rows(W)),
    *(row for M in SPATIAL_MATRICES for row in _matrices(M)),
)
