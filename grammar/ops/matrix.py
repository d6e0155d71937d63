"""Matrices: construction, elements and rows, products, and what linear algebra asks of square ones.

The key insight: as `mat.h` does it. A product of matrices is made by fused operations, which no row of scalars has, so
that one is rounded; all else is sums and products in Warp's own order, of which the determinant of four columns and
its inverse are done in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from grammar.number import Number, Numbers, call, total, where
from grammar.op import Call, Infix, Item, Op, Prefix, Slice, Ternary
from grammar.ops import parts
from grammar.ops.parts import narrow, wide
from grammar.types import BOOL, I32, MATRICES, RECTANGULAR, Composite, Scalar, vector_of

_row = partial(Op, exact=True, group="matrix")

Grid = tuple[Numbers, ...]
"""The rows of a matrix."""


def rows_of(m: Numbers, columns: int) -> Grid:
    return tuple(m[first : first + columns] for first in range(0, len(m), columns))


def transposed(m: Numbers, columns: int) -> Numbers:
    """Also what columns make, given one after the other."""
    return parts.joined(*zip(*rows_of(m, columns), strict=True))


def times_vector(m: Numbers, v: Numbers) -> Numbers:
    return tuple(parts.dot(row, v) for row in rows_of(m, len(v)))


def _vector_times(v: Numbers, m: Numbers) -> Numbers:
    return times_vector(transposed(m, len(m) // len(v)), v)


def times(inner: int, columns: int) -> Callable[[Numbers, Numbers], Numbers]:
    """The product of a matrix with so many columns, and of one with as many rows and its own columns."""

    def times(a: Numbers, b: Numbers) -> Numbers:
        turned = rows_of(transposed(b, columns), inner)
        return tuple(parts.dot(row, column) for row in rows_of(a, inner) for column in turned)

    return times


def outer(a: Numbers, b: Numbers) -> Numbers:
    return tuple(x * y for x in a for y in b)


def _diagonal(n: int) -> tuple[int, ...]:
    return tuple(range(0, n * n, n + 1))


def _on_diagonal(d: Numbers) -> tuple[Number | float, ...]:
    n = len(d)
    return tuple(d[i] if i == j else 0.0 for i in range(n) for j in range(n))


def skew(a: Numbers) -> tuple[Number | float, ...]:
    x, y, z = a
    minus_x, minus_y, minus_z = parts.opposite(a)
    return 0.0, minus_z, y, z, 0.0, minus_x, minus_y, x, 0.0


# -- determinants and inverses ----------------------------------------------------------------------------------------


def _determinant(n: int) -> Callable[[Numbers], Number]:
    return {2: _determinant_2, 3: _determinant_3, 4: _determinant_4}[n]


def _determinant_2(m: Numbers) -> Number:
    return m[0] * m[3] - m[2] * m[1]


def _determinant_3(m: Numbers) -> Number:
    a, b, c = rows_of(m, 3)
    return parts.dot(a, parts.cross(b, c))


def _minors(a: Numbers, b: Numbers) -> Numbers:
    """The determinants of two columns, at rows 01, 02, 03, 12, 13, 23; in float64, of differences in their own type."""
    pairs = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    return tuple(wide(a[i] * b[j] - a[j] * b[i]) for i, j in pairs)


def _cofactors(x: Numbers, y: Numbers) -> Numbers:
    """Of a column beside x, where y are the minors of the other two; rows 0 to 3, in float64."""
    w = tuple(map(wide, x))
    y01, y02, y03, y12, y13, y23 = y
    return (
        w[1] * y23 - w[2] * y13 + w[3] * y12,
        w[2] * y03 - w[3] * y02 - w[0] * y23,
        w[0] * y13 - w[1] * y03 + w[3] * y01,
        w[1] * y02 - w[2] * y01 - w[0] * y12,
    )


def _opposed(x: Numbers, y: Numbers) -> Numbers:
    """The same with the other sign."""
    w = tuple(map(wide, x))
    y01, y02, y03, y12, y13, y23 = y
    return (
        w[2] * y13 - w[3] * y12 - w[1] * y23,
        w[0] * y23 - w[2] * y03 + w[3] * y02,
        w[1] * y03 - w[3] * y01 - w[0] * y13,
        w[0] * y12 - w[1] * y02 + w[2] * y01,
    )


def _rounded(z: Numbers, like: Number) -> Numbers:
    return tuple(narrow(part, like) for part in z)


def _expanded(x: Numbers, z: Numbers) -> Number:
    return total([x[3] * z[3], x[2] * z[2], x[1] * z[1], x[0] * z[0]])


def _determinant_4(m: Numbers) -> Number:
    x0, x1, x2, x3 = rows_of(transposed(m, 4), 4)
    return _expanded(x0, _rounded(_cofactors(x1, _minors(x2, x3)), m[0]))


def _inverse(n: int) -> Callable[[Numbers], Numbers]:
    return {2: _inverse_2, 3: _inverse_3, 4: _inverse_4}[n]


def _over(adjugate: Numbers, det: Number, regular: Number) -> Numbers:
    """The adjugate times the reciprocal of the determinant; zero where that is not regular."""
    reciprocal = 1.0 / where(regular, det, 1.0)
    return tuple(where(regular, part * reciprocal, 0.0) for part in adjugate)


def _inverse_2(m: Numbers) -> Numbers:
    det = _determinant_2(m)
    adjugate = m[3], m[1] * -1.0, m[2] * -1.0, m[0]
    return _over(adjugate, det, call("logical_or", det > 0.0, det < 0.0))


def _inverse_3(m: Numbers) -> Numbers:
    det = _determinant_3(m)
    a, b, c = rows_of(m, 3)
    adjugate = (
        *(b[1] * c[2] - b[2] * c[1], a[2] * c[1] - a[1] * c[2], a[1] * b[2] - a[2] * b[1]),
        *(b[2] * c[0] - b[0] * c[2], a[0] * c[2] - a[2] * c[0], a[2] * b[0] - a[0] * b[2]),
        *(b[0] * c[1] - b[1] * c[0], a[1] * c[0] - a[0] * c[1], a[0] * b[1] - a[1] * b[0]),
    )
    return _over(adjugate, det, call("not_equal", det, 0.0))


def _inverse_4(m: Numbers) -> Numbers:
    """Cofactors of the first two columns are rounded to the type of the matrix, the others are not."""
    x0, x1, x2, x3 = rows_of(transposed(m, 4), 4)
    first, last = _minors(x0, x1), _minors(x2, x3)
    z0, z1 = _rounded(_cofactors(x1, last), m[0]), _rounded(_opposed(x0, last), m[0])
    z2, z3 = _cofactors(x3, first), _opposed(x2, first)
    det = wide(_expanded(x0, z0))
    adjugate = tuple(map(wide, parts.joined(z0, z1, z2, z3)))
    return _rounded(_over(adjugate, det, call("abs", det) > 0.0), m[0])


# -- rows of the table ------------------------------------------------------------------------------------------------


_ALL = (*MATRICES, *RECTANGULAR)
MOST_GIVEN = 9
"""Scalars of which people make a matrix one by one."""


def _made(M: Composite) -> Iterator[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    S, (rows, columns) = M.scalar, M.shape  # noqa: N806 - likewise
    row, column = vector_of(S, columns), vector_of(S, rows)
    yield _row(M.name, (), M, Call(M.spelling), lambda: (0.0,) * M.width, weight=0.0)  # accumulators begin with it
    yield _row(M.name, (S,), M, Call(M.spelling), lambda s: (s,) * M.width, weight=0.05)
    if M.width <= MOST_GIVEN:
        yield _row(M.name, (S,) * M.width, M, Call(M.spelling), parts.given, weight=0.3 / rows)
    yield _row("matrix_from_rows", (row,) * rows, M, Call("wp.matrix_from_rows"), parts.joined, weight=1.5)
    from_columns = Call("wp.matrix_from_cols")
    yield _row("matrix_from_cols", (column,) * columns, M, from_columns, lambda *c: transposed(parts.joined(*c), rows))
    yield _row("outer", (column, row), M, Call("wp.outer"), outer, weight=2.0)
    yield from (
        _row(M.name, (other,), M, Call(M.spelling), parts.cast(S.name), group="cast", weight=0.3)
        for other in _ALL
        if other.shape == M.shape and other is not M
    )


def _matrix(scalar: Scalar, *shape: int) -> Composite | None:
    return next((M for M in _ALL if M.scalar is scalar and M.shape == shape), None)


def _parts(M: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S, (rows, columns) = M.scalar, M.shape  # noqa: N806 - likewise
    V = vector_of(S, columns)  # noqa: N806 - likewise
    for i in range(rows):
        places = range(i * columns, (i + 1) * columns)
        yield _row("extract", (M,), V, Item((i,)), parts.parts(*places), weight=0.6 / rows)
        yield from (
            _row("extract", (M,), S, Item((i, j)), parts.part(place), weight=1.5 / M.width)
            for j, place in enumerate(places)
        )
    yield from (_cut(M, vector_of(S, rows), Slice(), j) for j in range(columns))
    smaller = _matrix(S, rows - 1, columns - 1)
    if smaller is not None and rows == columns:
        head = Slice(None, rows - 1)
        yield from (_cut(M, smaller, head, head), _cut(M, vector_of(S, rows - 1), head, columns - 1))
    yield _row("extract", (M, I32), V, Item(), parts.row(rows, columns), weight=0.2)
    yield _row("extract", (M, I32, I32), S, Item(), parts.element(rows, columns), weight=0.2)


def _cut(M: Composite, part: Composite, *indices: int | Slice) -> Op:  # noqa: N803 - likewise
    """`m[:, 0]`, a column, or `m[:3, :3]` and `m[:3, 3]`, what turns and what moves."""
    return _row("extract", (M,), part, Item(indices), parts.cut(M.shape, *indices), weight=0.4 / M.shape[1])


def _products(M: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S, (rows, columns) = M.scalar, M.shape  # noqa: N806 - likewise
    row, column = vector_of(S, columns), vector_of(S, rows)
    yield _row("mul", (M, row), column, Infix("Multiply"), times_vector, weight=4.0)
    yield _row("matmul", (M, row), column, Infix("MatrixMultiply"), times_vector, weight=1.5)
    yield _row("mul", (column, M), row, Infix("Multiply"), _vector_times, weight=0.3)
    yield _row("matmul", (column, M), row, Infix("MatrixMultiply"), _vector_times, weight=0.2)
    for N in (other for other in _ALL if other.scalar is S and other.shape[0] == columns):  # noqa: N806 - likewise
        product, meaning = _matrix(S, rows, N.shape[1]), times(columns, N.shape[1])
        if product is not None:
            yield _row("mul", (M, N), product, Infix("Multiply"), meaning, exact=False, weight=3.0)
            yield _row("matmul", (M, N), product, Infix("MatrixMultiply"), meaning, exact=False, weight=1.5)
    turned = _matrix(S, columns, rows)
    assert turned is not None
    yield _row("transpose", (M,), turned, Call("wp.transpose"), lambda m: transposed(m, columns), weight=3.0)
    yield _row("ddot", (M, M), S, Call("wp.ddot"), parts.dot, exact=False, weight=1.5)


def _square(M: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S, n = M.scalar, M.shape[0]  # noqa: N806 - likewise
    V = vector_of(S, n)  # noqa: N806 - likewise
    keywords = (("n", n), ("dtype", S.spelling))
    unit = tuple(float(k in _diagonal(n)) for k in range(n * n))
    yield _row("identity", (), M, Call("wp.identity", keywords), lambda: unit, weight=0.0)
    yield _row("diag", (V,), M, Call("wp.diag"), _on_diagonal)
    if n == 3:
        yield _row("skew", (V,), M, Call("wp.skew"), skew, weight=1.5)
    yield _row("inverse", (M,), M, Call("wp.inverse"), _inverse(n), weight=1.5)
    yield _row("determinant", (M,), S, Call("wp.determinant"), _determinant(n), weight=2.0)
    yield _row("trace", (M,), S, Call("wp.trace"), lambda m: total([m[k] for k in _diagonal(n)]), weight=2.0)
    yield _row("get_diag", (M,), V, Call("wp.get_diag"), parts.parts(*_diagonal(n)), weight=0.7)


def _arithmetic(M: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S = M.scalar  # noqa: N806 - likewise
    yield _row("add", (M, M), M, Infix("Add"), parts.each("add"), weight=3.0)
    yield _row("sub", (M, M), M, Infix("Subtract"), parts.each("sub"), weight=2.0)
    yield _row("mul", (M, S), M, Infix("Multiply"), parts.scaled, weight=2.0)
    yield _row("mul", (S, M), M, Infix("Multiply"), parts.scaling, weight=2.0)
    yield _row("div", (M, S), M, Infix("Divide"), parts.divided)
    yield _row("div", (S, M), M, Infix("Divide"), parts.dividing, weight=0.1)
    yield _row("neg", (M,), M, Prefix("Minus"), parts.opposite, weight=0.5)
    yield _row("cw_mul", (M, M), M, Call("wp.cw_mul"), parts.each("mul"), weight=0.7)
    yield _row("cw_div", (M, M), M, Call("wp.cw_div"), parts.each("div"), weight=0.3)
    yield _row("lerp", (M, M, S), M, Call("wp.lerp"), parts.mixed, weight=0.5)
    yield _row("where", (BOOL, M, M), M, Call("wp.where"), parts.chosen, weight=0.5)
    yield _row("ternary", (BOOL, M, M), M, Ternary(), parts.chosen, weight=0.3)
    yield from (
        _row(name, (M,), BOOL, Call(f"wp.{name}"), parts.any_of(name), weight=0.1) for name in ("isnan", "isinf")
    )
    yield _row("isfinite", (M,), BOOL, Call("wp.isfinite"), parts.all_of("isfinite"), weight=0.1)


ROWS: tuple[Op, ...] = (
    *(row for M in _ALL for rows in (_made, _parts, _products, _arithmetic) for row in rows(M)),
    *(row for M in MATRICES for row in _square(M)),
)
