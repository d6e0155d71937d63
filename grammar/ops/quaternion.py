"""Quaternions: rotations and their making, products, interpolation.

The key insight: in the order of `quat.h`, as polynomials of the four components, so what a row gives is right for
quaternions of any length; that inputs have length 1 is the business of whoever draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from grammar.number import Number, Numbers, call, where
from grammar.op import Call, Infix, Item, Member, Op, Prefix, Ternary
from grammar.ops import parts
from grammar.ops.matrix import transposed
from grammar.types import BOOL, F32, I32, MATRICES, QUATERNIONS, Composite, vector_of

_row = partial(Op, exact=True, group="quaternion")

PI, HALF_PI, SLIGHT = (float(np.float32(value)) for value in (np.pi, np.pi / 2, 1e-6))


def product(a: Numbers, b: Numbers) -> Numbers:
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + bw * ax + ay * bz - by * az,
        aw * by + bw * ay + az * bx - bz * ax,
        aw * bz + bw * az + ax * by - bx * ay,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def conjugate(q: Numbers) -> Numbers:
    return (*parts.opposite(q[:3]), q[3])


def rotated(q: Numbers, v: Numbers) -> Numbers:
    c, d = _shares(q, v)
    return tuple(v[k] * c + q[k] * d + turn * q[3] * 2.0 for k, turn in enumerate(parts.cross(q[:3], v)))


def _rotated_back(q: Numbers, v: Numbers) -> Numbers:
    c, d = _shares(q, v)
    return tuple(v[k] * c + q[k] * d - turn * q[3] * 2.0 for k, turn in enumerate(parts.cross(q[:3], v)))


def _shares(q: Numbers, v: Numbers) -> tuple[Number, Number]:
    return 2.0 * q[3] * q[3] - 1.0, 2.0 * parts.dot(q[:3], v)


def _about(axis: Numbers, angle: Number) -> Numbers:
    half = angle * 0.5
    return (*parts.scaled(axis, call("sin", half)), call("cos", half))


def _rpy(roll: Number, pitch: Number, yaw: Number) -> Numbers:
    (cy, sy), (cr, sr), (cp, sp) = ((call("cos", x * 0.5), call("sin", x * 0.5)) for x in (yaw, roll, pitch))
    w = cy * cr * cp + sy * sr * sp
    return cy * sr * cp - sy * cr * sp, cy * cr * sp + sy * sr * cp, sy * cr * cp - cy * sr * sp, w


def _normalized(q: Numbers) -> Numbers:
    size = parts.length(q)
    positive = size > 0.0
    inverse = 1.0 / where(positive, size, 1.0)
    return tuple(where(positive, part * inverse, float(k == 3)) for k, part in enumerate(q))


def axis_angle(q: Numbers) -> tuple[Numbers, Number]:
    """Of a rotation by at most half a turn."""
    v, w = q[:3], q[3]
    size = parts.length(v)
    divisor = where(size > 0.0, size, 1.0)
    axis = tuple(where(size > 0.0, part / divisor, 0.0) for part in v)
    axis = parts.chosen(w < 0.0, parts.opposite(axis), axis)
    return axis, 2.0 * call("atan2", size, call("abs", w))


def _slerp(a: Numbers, b: Numbers, t: Number) -> Numbers:
    axis, angle = axis_angle(product(conjugate(a), b))
    return product(a, _about(axis, t * angle))


def _twist(axis: Numbers, q: Numbers) -> Numbers:
    return _normalized((*parts.scaled(axis, parts.dot(q[:3], axis)), q[3]))


def _twist_angle(axis: Numbers, q: Numbers) -> Number:
    return 2.0 * call("atan2", call("abs", parts.dot(axis, q[:3])), q[3])


def _twist_angle_signed(axis: Numbers, q: Numbers) -> Number:
    return 2.0 * call("atan2", parts.dot(axis, q[:3]), q[3])


def _to_rpy(q: Numbers) -> Numbers:
    x, y, z, w = q
    roll = call("atan2", 2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = call("asin", call("clamp", 2.0 * (w * y - z * x), -1.0, 1.0))
    return roll, pitch, call("atan2", 2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def _from_euler(*axes: int) -> Callable[[Numbers], Numbers]:
    def from_euler(e: Numbers) -> Numbers:
        zero = e[0].calculus.number(0.0, e[0].type)
        first, second, third = (_about_axis(axis, 0.5 * e[axis], zero) for axis in axes)
        return product(third, product(second, first))

    return from_euler


def _to_euler(i: int, j: int, k: int) -> Callable[[Numbers], Numbers]:
    """Of three different axes: Bernardes and Viollet (2022). Half a turn about the second leaves but one angle."""
    sign = 1.0 if (j - i) % 3 == 1 else -1.0

    def to_euler(q: Numbers) -> Numbers:
        a, b, c, d = q[3] - q[j], q[i] + q[k] * sign, q[j] + q[3], q[k] * sign - q[i]
        one = a * a + b * b
        middle = call("acos", 2.0 * one / (one + c * c + d * d) - 1.0)
        plus, minus = call("atan2", b, a), call("atan2", d, c)
        none, half = (call("abs", x) < SLIGHT for x in (middle, middle - PI))
        first = where(none, 0.0, where(half, 0.0, plus - minus))
        last = where(none, 2.0 * plus, where(half, 2.0 * minus, plus + minus))
        angles = {i: first, j: middle - HALF_PI, k: last * sign}
        return angles[0], angles[1], angles[2]

    return to_euler


def _about_axis(axis: int, half: Number, zero: Number) -> Numbers:
    return (*(call("sin", half) if k == axis else zero for k in range(3)), call("cos", half))


def matrix(q: Numbers) -> Numbers:
    """Its columns are the rotated axes; row by row."""
    one, zero = (q[0].calculus.number(value, q[0].type) for value in (1.0, 0.0))
    axes = ((one, zero, zero), (zero, one, zero), (zero, zero, one))
    return transposed(parts.joined(*(rotated(q, axis) for axis in axes)), 3)


def from_matrix(m: Numbers) -> Numbers:
    """Of the four quotients that are equal where the matrix is a rotation, the one that is best to divide by."""
    n = 3 if len(m) == 9 else 4
    (m00, m01, m02), (m10, m11, m12), (m20, m21, m22) = (m[first : first + 3] for first in (0, n, 2 * n))
    trace = m00 + m11 + m22
    h = _root(trace)
    r = 0.5 / h
    by_trace = (m21 - m12) * r, (m02 - m20) * r, (m10 - m01) * r, 0.5 * h
    h = _root(m00 - (m11 + m22))
    r = 0.5 / h
    by_x = 0.5 * h, (m01 + m10) * r, (m20 + m02) * r, (m21 - m12) * r
    h = _root(m11 - (m22 + m00))
    r = 0.5 / h
    by_y = (m01 + m10) * r, 0.5 * h, (m12 + m21) * r, (m02 - m20) * r
    h = _root(m22 - (m00 + m11))
    r = 0.5 / h
    by_z = (m20 + m02) * r, (m12 + m21) * r, 0.5 * h, (m10 - m01) * r
    y_first = m11 > m00
    best = parts.chosen(y_first, by_y, by_x)
    best = parts.chosen(m22 > where(y_first, m11, m00), by_z, best)
    return _normalized(parts.chosen(call("greater_equal", trace, 0.0), by_trace, best))


def _root(x: Number) -> Number:
    """Where it would not be one, another is taken in the end."""
    size = x + 1.0
    return call("sqrt", where(call("less_equal", size, 0.0), size.calculus.number(1.0, size.type), size))


# -- rows of the table ------------------------------------------------------------------------------------------------


def _made(Q: Composite) -> Iterator[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    S, V = Q.scalar, space(Q)  # noqa: N806 - likewise
    dtype = () if S is F32 else (("dtype", S.spelling),)
    yield _row("quat_identity", (), Q, Call("wp.quat_identity", dtype), lambda: (0.0, 0.0, 0.0, 1.0), weight=0.0)
    yield _row(Q.name, (), Q, Call(Q.spelling), lambda: (0.0,) * 4, weight=0.0)
    yield from (
        _row(Q.name, (other,), Q, Call(Q.spelling), parts.cast(S.name), group="cast", weight=0.2)
        for other in QUATERNIONS
        if other is not Q
    )
    yield _row(Q.name, (S,) * 4, Q, Call(Q.spelling), parts.given, weight=0.3)
    yield _row(Q.name, (V, S), Q, Call(Q.spelling), lambda v, w: (*v, w), weight=0.7)
    yield _row("quat_from_axis_angle", (V, S), Q, Call("wp.quat_from_axis_angle"), _about, weight=3.0)
    yield _row("quat_rpy", (S, S, S), Q, Call("wp.quat_rpy"), _rpy)
    for M in MATRICES:  # noqa: N806 - likewise
        if M.scalar is S and M.shape[0] > 2:
            weight = 1.0 if M.shape[0] == 3 else 0.2
            yield _row("quat_from_matrix", (M,), Q, Call("wp.quat_from_matrix"), from_matrix, weight=weight)
    for k, letter in enumerate("xyzw"):
        yield _row(f"get_{letter}", (Q,), S, Member(letter), parts.part(k), weight=0.2)
        yield _row("extract", (Q,), S, Item((k,)), parts.part(k), weight=0.2)
    yield _row("extract", (Q, I32), S, Item(), parts.element(4), weight=0.1)


def space(type: Composite) -> Composite:
    """Vectors of three, of the same scalars."""
    return vector_of(type.scalar, 3)


def _rotations(Q: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S, V = Q.scalar, space(Q)  # noqa: N806 - likewise
    M = next(M for M in MATRICES if M.scalar is S and M.width == 9)  # noqa: N806 - likewise
    yield _row("quat_rotate", (Q, V), V, Call("wp.quat_rotate"), rotated, weight=5.0)
    yield _row("quat_rotate_inv", (Q, V), V, Call("wp.quat_rotate_inv"), _rotated_back, weight=2.5)
    yield _row("mul", (Q, Q), Q, Infix("Multiply"), product, weight=5.0)
    yield _row("quat_inverse", (Q,), Q, Call("wp.quat_inverse"), conjugate, weight=3.0)
    yield _row("normalize", (Q,), Q, Call("wp.normalize"), _normalized, weight=3.0)
    yield _row("quat_slerp", (Q, Q, S), Q, Call("wp.quat_slerp"), _slerp, weight=1.5)
    yield _row("quat_to_matrix", (Q,), M, Call("wp.quat_to_matrix"), matrix, weight=2.0)
    if S is F32:
        yield from _written_in_python(Q, V)


def _written_in_python(Q: Composite, V: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S = Q.scalar  # noqa: N806 - likewise
    yield _row("quat_twist", (V, Q), Q, Call("wp.quat_twist"), _twist, weight=0.7)
    yield _row("quat_twist_angle", (V, Q), S, Call("wp.quat_twist_angle"), _twist_angle)
    yield _row("quat_twist_angle_signed", (V, Q), S, Call("wp.quat_twist_angle_signed"), _twist_angle_signed)
    yield _row("quat_to_rpy", (Q,), V, Call("wp.quat_to_rpy"), _to_rpy, weight=0.7)
    for axes in ((0, 1, 2), (2, 1, 0)):
        order = Call("wp.quat_from_euler", tuple(zip("ijk", axes, strict=True)))
        yield _row("quat_from_euler", (V,), Q, order, _from_euler(*axes), weight=0.3)
        order = Call("wp.quat_to_euler", tuple(zip("ijk", axes, strict=True)))
        yield _row("quat_to_euler", (Q,), V, order, _to_euler(*axes), weight=0.3)


def _arithmetic(Q: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S = Q.scalar  # noqa: N806 - likewise
    yield _row("add", (Q, Q), Q, Infix("Add"), parts.each("add"), weight=0.4)
    yield _row("sub", (Q, Q), Q, Infix("Subtract"), parts.each("sub"), weight=0.3)
    yield _row("mul", (Q, S), Q, Infix("Multiply"), parts.scaled, weight=0.2)
    yield _row("mul", (S, Q), Q, Infix("Multiply"), parts.scaling, weight=0.2)
    yield _row("div", (Q, S), Q, Infix("Divide"), parts.divided, weight=0.3)
    yield _row("div", (S, Q), Q, Infix("Divide"), parts.dividing, weight=0.02)
    yield _row("neg", (Q,), Q, Prefix("Minus"), parts.opposite, weight=0.3)
    yield _row("lerp", (Q, Q, S), Q, Call("wp.lerp"), parts.mixed, weight=0.5)
    yield _row("dot", (Q, Q), S, Call("wp.dot"), parts.dot, weight=1.0)
    yield _row("length", (Q,), S, Call("wp.length"), parts.length, weight=0.7)
    yield _row("length_sq", (Q,), S, Call("wp.length_sq"), lambda q: parts.dot(q, q), weight=0.3)
    yield _row("where", (BOOL, Q, Q), Q, Call("wp.where"), parts.chosen, weight=0.5)
    yield _row("ternary", (BOOL, Q, Q), Q, Ternary(), parts.chosen, weight=0.3)
    yield from (
        _row(name, (Q,), BOOL, Call(f"wp.{name}"), parts.any_of(name), weight=0.1) for name in ("isnan", "isinf")
    )
    yield _row("isfinite", (Q,), BOOL, Call("wp.isfinite"), parts.all_of("isfinite"), weight=0.1)


ROWS: tuple[Op, ...] = tuple(row for Q in QUATERNIONS for rows in (_made, _rotations, _arithmetic) for row in rows(Q))
