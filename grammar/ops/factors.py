"""What a matrix is the product of: QR, eigenvalues and singular values, step by step as `svd.h` does it.

The key insight: there are several right answers, and which one comes out hangs on every comparison on the way; so the
steps are those of Warp, Givens' and Jacobi's rotations as quaternions, as many as Warp makes, in its order.

The algorithm is that of McAdams et al., "Computing the Singular Value Decomposition of 3x3 matrices with minimal
branching and elementary floating point operations", TR 1690, University of Wisconsin (2011).
"""

from __future__ import annotations

from functools import cache

from grammar.number import Number, Numbers, call, where
from grammar.op import Call, Op
from grammar.ops import parts
from grammar.ops.matrix import rows_of, times, transposed
from grammar.types import F32, Scalar

GAMMA = 5.82842712474619
COS, SIN = 0.9238795325112867, 0.3826834323650898
"""Of an eighth of half a turn: the angle where the approximate one would be too far off."""
HALF_ROOT = 0.707106781186547524401


def _sweeps(like: Number) -> int:
    return 4 if like.type is F32 else 8


def _slight(like: Number) -> float:
    """A column that is shorter than this is not turned."""
    return 1e-6 if like.type is F32 else 1e-12


def _reciprocal_root(x: Number, used: Number) -> Number:
    """1 / sqrt(x) where it is used."""
    return 1.0 / call("sqrt", where(used, x, 1.0))


# -- QR ---------------------------------------------------------------------------------------------------------------


def _givens(pivot: Number, below: Number) -> tuple[Number, Number]:
    """Cosine and sine of half the angle that turns what is below the pivot to zero."""
    slight = _slight(pivot)
    rho = call("sqrt", pivot * pivot + below * below)
    sh, ch = where(rho > slight, below, 0.0), call("abs", pivot) + call("max", rho, slight)
    back = pivot < 0.0
    sh, ch = where(back, ch, sh), where(back, sh, ch)
    w = 1.0 / call("sqrt", ch * ch + sh * sh)
    return ch * w, sh * w


def _turned(ch: Number, sh: Number, upper: Numbers, lower: Numbers) -> tuple[Numbers, Numbers]:
    """Two rows by twice the angle."""
    a, b = 1.0 - 2.0 * sh * sh, 2.0 * ch * sh
    return (
        tuple(a * x + b * y for x, y in zip(upper, lower, strict=True)),
        tuple(a * y - b * x for x, y in zip(upper, lower, strict=True)),
    )


def qr(m: Numbers) -> tuple[Numbers, Numbers]:
    """A rotation, and what is zero below the diagonal but for rounding."""
    first, second, third = rows_of(m, 3)
    ch1, sh1 = _givens(first[0], second[0])
    first, second = _turned(ch1, sh1, first, second)
    ch2, sh2 = _givens(first[0], third[0])
    first, third = _turned(ch2, sh2, first, third)
    ch3, sh3 = _givens(second[1], third[1])
    second, third = _turned(ch3, sh3, second, third)
    c1, c2, c3 = (-1.0 + 2.0 * (sh * sh) for sh in (sh1, sh2, sh3))
    rest = 1.0 - 2.0 * (sh2 * sh2)
    rotation = (
        c1 * c2,
        4.0 * ch2 * ch3 * c1 * sh2 * sh3 + 2.0 * ch1 * sh1 * c3,
        4.0 * ch1 * ch3 * sh1 * sh3 - 2.0 * ch2 * c1 * sh2 * c3,
        2.0 * ch1 * sh1 * rest,
        -8.0 * ch1 * ch2 * ch3 * sh1 * sh2 * sh3 + c1 * c3,
        -2.0 * ch3 * sh3 + 4.0 * sh1 * (ch3 * sh1 * sh3 + ch1 * ch2 * sh2 * c3),
        2.0 * ch2 * sh2,
        2.0 * ch3 * rest * sh3,
        c2 * c3,
    )
    return rotation, parts.joined(first, second, third)


# -- eigenvalues ------------------------------------------------------------------------------------------------------


def _approximate(s11: Number, s21: Number, s22: Number) -> tuple[Number, Number]:
    """Cosine and sine of about half the angle that makes s21 zero."""
    ch, sh = 2.0 * (s11 - s22), s21
    near = GAMMA * sh * sh < ch * ch
    w = _reciprocal_root(ch * ch + sh * sh, near)
    return where(near, w * ch, COS), where(near, w * sh, SIN)


def _conjugated(s: Numbers, q: Numbers, x: int, y: int, z: int) -> tuple[Numbers, Numbers]:
    """One of Jacobi's rotations; the scalars are in another order afterwards, for the next one."""
    s11, s21, s22, s31, s32, s33 = s
    ch, sh = _approximate(s11, s21, s22)
    scale = ch * ch + sh * sh
    a, b = (ch * ch - sh * sh) / scale, 2.0 * sh * ch / scale
    one, other = a * s21 - b * s11, a * s22 - b * s21
    t11 = a * (a * s11 + b * s21) + b * (a * s21 + b * s22)
    t21, t22 = a * one + b * other, a * other - b * one
    t31, t32 = a * s31 + b * s32, a * s32 - b * s31
    moved, w = [part * sh for part in q[:3]], sh * q[3]
    turn = [part * ch for part in q]
    turn[z] = turn[z] + w
    turn[3] = turn[3] - moved[z]
    turn[x] = turn[x] + moved[y]
    turn[y] = turn[y] - moved[x]
    return (t22, t32, s33, t21, t31, t11), tuple(turn)


def _axes(m: Numbers) -> Numbers:
    """A rotation whose columns are eigenvectors; of the matrix, which is symmetric, what is above is not looked at."""
    s: Numbers = (m[0], m[3], m[4], m[6], m[7], m[8])
    q: Numbers = tuple(m[0].calculus.number(value, m[0].type) for value in (0.0, 0.0, 0.0, 1.0))
    for _ in range(_sweeps(m[0])):
        for places in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            s, q = _conjugated(s, q, *places)
    x, y, z, w = q
    return (
        *(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        *(2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        *(2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    )


def eigen(m: Numbers) -> tuple[Numbers, Numbers]:
    """Eigenvectors as columns, and what belongs to them."""
    axes = _axes(m)
    stretched = times(3, 3)(times(3, 3)(transposed(axes, 3), m), axes)
    return axes, parts.parts(0, 4, 8)(stretched)


# -- singular values --------------------------------------------------------------------------------------------------


def singular(m: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Two rotations around the values, of which the last may be negative."""
    v = _axes(times(3, 3)(transposed(m, 3), m))
    images, axes = _sorted(rows_of(transposed(times(3, 3)(m, v), 3), 3), rows_of(transposed(v, 3), 3))
    u, r = qr(transposed(parts.joined(*images), 3))
    return u, parts.parts(0, 4, 8)(r), transposed(parts.joined(*axes), 3)


Columns = tuple[Numbers, ...]


def _sorted(images: Columns, axes: Columns) -> tuple[Columns, Columns]:
    """The longest image first; whenever two change places, one of them changes its sign."""
    sizes = [parts.dot(image, image) for image in images]
    pairs = [parts.joined(*pair) for pair in zip(images, axes, strict=True)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        swap = sizes[i] < sizes[j]
        pairs[i], pairs[j] = (
            parts.chosen(swap, pairs[j], pairs[i]),
            parts.chosen(swap, parts.opposite(pairs[i]), pairs[j]),
        )
        sizes[i], sizes[j] = where(swap, sizes[j], sizes[i]), where(swap, sizes[i], sizes[j])
    return tuple(pair[:3] for pair in pairs), tuple(pair[3:] for pair in pairs)


def singular_2(m: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """By the quadratic equation.

    Where the values are alike Warp takes the matrix to be a multiple of the identity, though it may be one of a
    rotation: so there nothing is decided.
    """
    a11, a12, a21, a22 = m
    s11, s12, s22 = a11 * a11 + a21 * a21, a11 * a12 + a21 * a22, a12 * a12 + a22 * a22
    trace, difference = s11 + s22, s11 - s22
    discriminant = _positive(difference * difference + 4.0 * s12 * s12)
    apart = call("not_equal", discriminant, 0.0)
    root = call("sqrt", where(apart, discriminant, 1.0))
    larger, smaller = (where(apart, (trace + root) * 0.5, 1.0), where(apart, (trace - root) * 0.5, 1.0))
    inverse = 1.0 / call("sqrt", larger)
    vx, vy = _direction(difference + root - 2.0 * s12, difference - root + 2.0 * s12)
    ux, uy = (a11 * vx + a12 * vy) * inverse, (a21 * vx + a22 * vy) * inverse
    sign = call("sign", a11 * a22 - a12 * a21)
    u, v = (ux, uy * -1 * sign, uy, ux * sign), (vx, vy * -1, vy, vx)
    alike = call("sqrt", 0.5 * trace)
    values = where(apart, 1.0 / inverse, alike), where(apart, call("sqrt", smaller), alike)
    return _or_unit(apart, u), values, _or_unit(apart, v)


def _positive(x: Number) -> Number:
    """The number itself, which nothing is known of where it is zero."""
    return Number(x.calculus.apply(_not_zero(x.type), [x.value]), x.type, x.calculus)


@cache
def _not_zero(type: Scalar) -> Op:
    """No row of the table, as kernels can't call it."""
    return Op("not_zero", (type,), type, Call("not_zero"), lambda x: x, lambda x: x != 0, lambda x: x == 0, exact=True)


def _direction(x: Number, y: Number) -> Numbers:
    size = x * x + y * y
    long = call("not_equal", size, 0.0)
    inverse = _reciprocal_root(size, long)
    return tuple(where(long, part * inverse, HALF_ROOT) for part in (x, y))


def _or_unit(condition: Number, m: Numbers) -> Numbers:
    return tuple(where(condition, part, float(k in (0, 3))) for k, part in enumerate(m))
