"""Rigid transforms, and what they do to points and directions.

The key insight: a transform is a position, then a quaternion, so its scalars are those of the two laid end to end, and
its rows are written with the rows of quaternions in the order of `spatial.h`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from grammar.number import Numbers
from grammar.op import Call, Infix, InPlace, Item, Member, Op, Ternary
from grammar.ops import parts, quaternion
from grammar.ops.matrix import times_vector
from grammar.ops.quaternion import conjugate, product, rotated, space
from grammar.types import BOOL, F32, I32, MATRICES, QUATERNIONS, TRANSFORMS, Composite

_row = partial(Op, exact=True, group="transform")


def _product(a: Numbers, b: Numbers) -> Numbers:
    return (*parts.plus(rotated(a[3:], b[:3]), a[:3]), *product(a[3:], b[3:]))


def _inverse(t: Numbers) -> Numbers:
    back = conjugate(t[3:])
    return (*parts.opposite(rotated(back, t[:3])), *back)


def _point(t: Numbers, p: Numbers) -> Numbers:
    return parts.plus(t[:3], rotated(t[3:], p))


def _vector(t: Numbers, v: Numbers) -> Numbers:
    return rotated(t[3:], v)


def _point_by_matrix(m: Numbers, p: Numbers) -> Numbers:
    return times_vector(m, (*p, p[0].calculus.number(1.0, p[0].type)))[:3]


def _vector_by_matrix(m: Numbers, v: Numbers) -> Numbers:
    return times_vector(m, (*v, v[0].calculus.number(0.0, v[0].type)))[:3]


def _to_matrix(t: Numbers) -> tuple[object, ...]:
    turn = quaternion.matrix(t[3:])
    rows = (part for k in range(3) for part in (*turn[3 * k : 3 * k + 3], t[k]))
    return (*rows, 0.0, 0.0, 0.0, 1.0)


def _composed(p: Numbers, q: Numbers, scale: Numbers) -> tuple[object, ...]:
    turn = quaternion.matrix(q)
    rows = (part for k in range(3) for part in (*(scale[j] * turn[3 * k + j] for j in range(3)), p[k]))
    return (*rows, 0.0, 0.0, 0.0, 1.0)


def _from_matrix(m: Numbers) -> Numbers:
    return (m[3], m[7], m[11], *quaternion.from_matrix(m))


# -- rows of the table ------------------------------------------------------------------------------------------------


def _made(T: Composite) -> Iterator[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    S, V, Q = T.scalar, space(T), _rotation(T)  # noqa: N806 - likewise
    dtype = () if S is F32 else (("dtype", S.spelling),)
    yield _row(
        "transform_identity", (), T, Call("wp.transform_identity", dtype), lambda: (0.0,) * 6 + (1.0,), weight=0.0
    )
    yield _row(T.name, (V, Q), T, Call(T.spelling), parts.joined, weight=4.0)
    for name, member, type, meaning in (
        ("transform_get_translation", "p", V, parts.parts(0, 1, 2)),
        ("transform_get_rotation", "q", Q, parts.parts(3, 4, 5, 6)),
    ):
        yield _row(name, (T,), type, Call(f"wp.{name}"), meaning, weight=1.5)
        yield _row(f"get_{member}", (T,), type, Member(member), meaning)
    yield from (_row("extract", (T,), S, Item((k,)), parts.part(k), weight=0.05) for k in range(7))
    yield _row("extract", (T, I32), S, Item(), parts.element(7), weight=0.05)


def _rotation(T: Composite) -> Composite:  # noqa: N803 - likewise
    return next(Q for Q in QUATERNIONS if Q.scalar is T.scalar)


def _motions(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    V, Q = space(T), _rotation(T)  # noqa: N806 - likewise
    M = next(M for M in MATRICES if M.scalar is T.scalar and M.width == 16)  # noqa: N806 - likewise
    yield _row("transform_multiply", (T, T), T, Call("wp.transform_multiply"), _product, weight=2.5)
    yield _row("mul", (T, T), T, Infix("Multiply"), _product, weight=2.5)
    yield _row("transform_inverse", (T,), T, Call("wp.transform_inverse"), _inverse, weight=3.0)
    yield _row("transform_point", (T, V), V, Call("wp.transform_point"), _point, weight=5.0)
    yield _row("transform_vector", (T, V), V, Call("wp.transform_vector"), _vector, weight=3.0)
    yield _row("transform_point", (M, V), V, Call("wp.transform_point"), _point_by_matrix)
    yield _row("transform_vector", (M, V), V, Call("wp.transform_vector"), _vector_by_matrix)
    yield _row("transform_to_matrix", (T,), M, Call("wp.transform_to_matrix"), _to_matrix, weight=0.5)
    yield _row("transform_compose", (V, Q, V), M, Call("wp.transform_compose"), _composed, weight=0.5)
    yield _row("transform_from_matrix", (M,), T, Call("wp.transform_from_matrix"), _from_matrix, weight=0.2)


def _arithmetic(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """Which nobody does to transforms much, as Warp's own comments say."""
    S = T.scalar  # noqa: N806 - likewise
    yield _row("add", (T, T), T, Infix("Add"), parts.plus, weight=0.1)
    yield _row("sub", (T, T), T, Infix("Subtract"), parts.each("sub"), weight=0.05)
    yield _row("mul", (T, S), T, Infix("Multiply"), parts.scaled, weight=0.1)
    yield _row("mul", (S, T), T, Infix("Multiply"), parts.scaling, weight=0.1)
    yield _row("lerp", (T, T, S), T, Call("wp.lerp"), parts.mixed, weight=0.3)
    yield _row("where", (BOOL, T, T), T, Call("wp.where"), parts.chosen, weight=0.5)
    yield _row("ternary", (BOOL, T, T), T, Ternary(), parts.chosen, weight=0.3)


ROWS: tuple[Op, ...] = tuple(row for T in TRANSFORMS for rows in (_made, _motions, _arithmetic) for row in rows(T))


def _changing(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    yield _row(
        "transform_set_translation",
        (T, space(T)),
        T,
        InPlace("wp.transform_set_translation", 0),
        lambda t, p: (*p, *t[3:]),
    )
    yield _row(
        "transform_set_rotation",
        (T, _rotation(T)),
        T,
        InPlace("wp.transform_set_rotation", 0),
        lambda t, q: (*t[:3], *q),
    )


CHANGERS: tuple[Op, ...] = tuple(row for T in TRANSFORMS for row in _changing(T))
