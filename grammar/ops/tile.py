"""Tiles: what the threads of a block do together to a part of an array.

The key insight: on the CPU a block is one thread, which does a tile's scalars one after the other; so a row says in
which order, as those of vectors do. What `tile_*.h` leaves without an adjoint has a gradient of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

from grammar.number import Number, Numbers, call, total, where
from grammar.op import Call, Infix, InPlace, Item, Known, Op, Prefix
from grammar.ops import parts
from grammar.ops.matrix import rows_of, transposed
from grammar.types import BLOCK_TILES, F32, F64, FLOATS, I32, INT_TILES, THREAD_TILES, TILES, Composite, Scalar

_row = partial(Op, exact=True, group="tile")
_step = partial(_row, differentiable=False)

_ALL = (*TILES, *INT_TILES)


@cache
def tile_of(scalar: Scalar, *shape: int) -> Composite | None:
    """The tile of that shape, if there is one."""
    return next((T for T in _ALL if T.scalar is scalar and T.shape == shape), None)


def written(T: Composite) -> Known:  # noqa: N803 - a type, as in the comprehensions of this package
    """How far it extends: a number, or a tuple of them."""
    return T.extent[0] if len(T.extent) == 1 else T.extent


# -- meanings ---------------------------------------------------------------------------------------------------------


def _dot(a: Numbers, b: Numbers) -> Numbers:
    return (total([_none(a[0]), *(x * y for x, y in zip(a, b, strict=True))]),)


def _none(like: Number) -> Number:
    return like.calculus.number(0, like.type)


def _first(name: str) -> Callable[[Numbers], Numbers]:
    """The place of the scalar that is the least or the greatest, the first of such; NaN are passed over once past."""

    def first(a: Numbers) -> Numbers:
        best, place = a[0], a[0].calculus.number(0, I32)
        for k, part in enumerate(a[1:], 1):
            better = call(name, part, best)
            place = where(better, place.calculus.number(k, I32), place)
            best = call("min" if name == "less" else "max", best, part)
        return (place,)

    return first


def _along(axis: int, columns: int, fold: Callable[[Numbers], Number]) -> Callable[[Numbers], Numbers]:
    """What each row (axis 1) or each column (axis 0) comes to."""

    def along(a: Numbers) -> Numbers:
        rows = rows_of(a, columns)
        return tuple(fold(line) for line in (rows if axis == 1 else zip(*rows, strict=True)))

    return along


def _sums(a: Numbers) -> Numbers:
    """Up to each scalar, itself included; from 0, so that none is -0."""
    sums = [_none(a[0])]
    for part in a:
        sums.append(sums[-1] + part)
    return tuple(sums)


def _extremes(name: str) -> Callable[[Numbers], Numbers]:
    """The greatest, or the least, up to each scalar."""

    def extremes(a: Numbers) -> Numbers:
        found = [a[0]]
        for part in a[1:]:
            found.append(call(name, found[-1], part))
        return tuple(found)

    return extremes


def _product(inner: int, columns: int) -> Callable[[Numbers, Numbers], Numbers]:
    def product(a: Numbers, b: Numbers) -> Numbers:
        across = rows_of(transposed(b, columns), inner)
        zero = _none(a[0])
        return tuple(
            total([zero, *(x * y for x, y in zip(row, column, strict=True))])
            for row in rows_of(a, inner)
            for column in across
        )

    return product


def _repeated(T: Composite, to: Composite) -> Callable[[Numbers], Numbers]:  # noqa: N803 - likewise
    """Broadcast as NumPy does."""
    places = _broadcast_places(T.shape, to.shape)
    return lambda a: tuple(a[k] for k in places)


def _broadcast_places(shape: tuple[int, ...], to: tuple[int, ...]) -> tuple[int, ...]:
    if len(to) == 1:
        return tuple(k if shape[0] > 1 else 0 for k in range(to[0]))
    rows, columns = (1,) * (2 - len(shape)) + shape
    return tuple(
        (i if rows > 1 else 0) * columns + (j if columns > 1 else 0) for i in range(to[0]) for j in range(to[1])
    )


def _with_diagonal(a: Numbers, d: Numbers) -> Numbers:
    n = len(d)
    return tuple(part + d[k // n] if k % (n + 1) == 0 else part for k, part in enumerate(a))


def _factor(n: int) -> Callable[[Numbers], Numbers]:
    """The lower triangle whose product with its transpose is the matrix, of which only the lower one is read."""

    def factor(a: Numbers) -> Numbers:
        found: dict[tuple[int, int], Number] = {}
        for j in range(n):
            found[j, j] = call("sqrt", _less(a[j * n + j], [(found[j, k], found[j, k]) for k in range(j)]))
            reciprocal = 1.0 / found[j, j]
            for i in range(j + 1, n):
                found[i, j] = _less(a[i * n + j], [(found[i, k], found[j, k]) for k in range(j)]) * reciprocal
        return tuple(found.get((i, j), _none(a[0])) for i in range(n) for j in range(n))

    return factor


def _less(start: Number, products: list[tuple[Number, Number]]) -> Number:
    """What is left when the products are taken away, one after the other."""
    for x, y in products:
        start = start - x * y
    return start


def _solved(upper: bool, turned: bool = False) -> Callable[[Numbers, Numbers], Numbers]:
    """The vector that a triangle, perhaps transposed, makes the given one of."""

    def solved(a: Numbers, y: Numbers) -> Numbers:
        n = len(y)
        found: dict[int, Number] = {}
        for i in reversed(range(n)) if upper else range(n):
            row = {j: a[j * n + i] if turned else a[i * n + j] for j in (range(i + 1, n) if upper else range(i))}
            left, diagonal = _less(y[i], [(part, found[j]) for j, part in row.items()]), a[i * n + i]
            regular = call("not_equal", diagonal, 0.0)
            found[i] = where(regular, left / where(regular, diagonal, 1.0), left)
        return tuple(found[i] for i in range(n))

    return solved


def _solved_twice(a: Numbers, y: Numbers) -> Numbers:
    return _solved(upper=True, turned=True)(a, _solved(upper=False)(a, y))


# -- rows of the table ------------------------------------------------------------------------------------------------


def made(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """What is the same in all places."""
    shape, typed = ("shape", written(T)), ("dtype", T.element.spelling)
    yield _step("tile_zeros", (), T, Call("wp.tile_zeros", (shape, typed)), lambda: (0,) * T.width, weight=0.0)
    yield _step("tile_ones", (), T, Call("wp.tile_ones", (shape, typed)), lambda: (1,) * T.width, weight=0.0)
    full = Call("wp.tile_full", (typed,), (written(T),))
    yield _step("tile_full", (T.element,), T, full, _repeating(T.width // T.element.width), weight=0.2)


def _repeating(count: int) -> Callable[[Number | Numbers], Numbers]:
    return lambda value: (value if isinstance(value, tuple) else (value,)) * count


def _counted(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    if T.width > 1:
        given = Call("wp.tile_from_thread", (("thread_idx", 0),), (written(T),))
        yield _step("tile_from_thread", (T.scalar,), T, given, lambda value: (value,) * T.width, weight=0.0)
    if len(T.shape) == 1 and T.width > 1:
        counted = Call("wp.tile_arange", (("dtype", T.scalar.spelling),), (T.width,))
        yield _step("tile_arange", (), T, counted, lambda: tuple(range(T.width)), weight=0.0)


def _arithmetic(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S = T.scalar  # noqa: N806 - likewise
    yield _row("add", (T, T), T, Infix("Add"), parts.each("add"), weight=4.0)
    yield _row("sub", (T, T), T, Infix("Subtract"), parts.each("sub"), weight=3.0)
    yield _row("mul", (T, T), T, Infix("Multiply"), parts.each("mul"), weight=3.0)
    yield _row("div", (T, T), T, Infix("Divide"), parts.each("div"), weight=1.0)
    yield _row("mul", (T, S), T, Infix("Multiply"), parts.scaled, weight=2.0)
    yield _row("mul", (S, T), T, Infix("Multiply"), parts.scaling, weight=2.0)
    yield _row("div", (T, S), T, Infix("Divide"), parts.divided, weight=0.6)
    yield _row("div", (S, T), T, Infix("Divide"), parts.dividing, weight=0.2)
    yield _row("neg", (T,), T, Prefix("Minus"), parts.each("neg"), weight=0.4)


UNARY = (("sin", 1.0), ("cos", 1.0), ("exp", 1.0), ("sqrt", 1.0), ("tanh", 0.7), ("abs", 0.7), ("log", 0.5))
BINARY = (("min", 0.7), ("max", 1.0), ("atan2", 0.2))


def _maps(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    for name, weight in UNARY:
        yield _row("tile_map", (T,), T, Call("wp.tile_map", first=(f"wp.{name}",)), parts.each(name), weight=weight)
    for name, weight in BINARY:
        yield _row("tile_map", (T, T), T, Call("wp.tile_map", first=(f"wp.{name}",)), parts.each(name), weight=weight)


def _reductions(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    one, place = tile_of(T.scalar, 1), tile_of(I32, 1)
    assert one is not None
    assert place is not None
    yield _row("tile_sum", (T,), one, Call("wp.tile_sum"), _single("add"), weight=6.0)
    yield _row("tile_dot", (T, T), one, Call("wp.tile_dot"), _dot, weight=1.5)
    yield from (_step(f"tile_{n}", (T,), one, Call(f"wp.tile_{n}"), _single(n), weight=2.0) for n in ("min", "max"))
    for name, weight in (("mul", 1.0), ("add", 0.5), ("max", 0.5), ("min", 0.5)):
        folded = Call("wp.tile_reduce", first=(f"wp.{name}",))
        yield _step("tile_reduce", (T,), one, folded, _single(name), weight=weight)
    yield _step("tile_argmin", (T,), place, Call("wp.tile_argmin"), _first("less"), weight=0.5)
    yield _step("tile_argmax", (T,), place, Call("wp.tile_argmax"), _first("greater"), weight=0.5)


def _single(name: str) -> Callable[[Numbers], Numbers]:
    return lambda a: (parts.reduced(name)(a),)


def _axes(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    for axis in (0, 1):
        left = tile_of(T.scalar, T.shape[1 - axis])
        if left is not None:
            sums = Call("wp.tile_sum", (("axis", axis),))
            yield _row("tile_sum", (T,), left, sums, _along(axis, T.shape[1], parts.reduced("add")), weight=3.0)
            greatest = Call("wp.tile_reduce", (("axis", axis),), ("wp.max",))
            yield _step("tile_reduce", (T,), left, greatest, _along(axis, T.shape[1], parts.reduced("max")))


def _scans(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    for name, meaning, weight in (
        ("inclusive", lambda a: _sums(a)[1:], 1.5),
        ("exclusive", lambda a: _sums(a)[:-1], 1.0),
        ("max_inclusive", _extremes("max"), 0.5),
        ("min_inclusive", _extremes("min"), 0.5),
    ):
        yield _step(f"tile_scan_{name}", (T,), T, Call(f"wp.tile_scan_{name}"), meaning, weight=weight)


def _shapes(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """The same scalars, or some of them, in another shape."""
    for to in _ALL:
        if to is T or to.scalar is not T.scalar:
            continue
        if len(to.shape) >= len(T.shape) and _broadcasts(T.shape, to.shape):
            repeated = Call("wp.tile_broadcast", (("shape", to.shape),))
            yield _row("tile_broadcast", (T,), to, repeated, _repeated(T, to), weight=1.5)
        elif to.width == T.width and 1 not in (*T.shape, *to.shape):
            yield _row(
                "tile_reshape", (T,), to, Call("wp.tile_reshape", (("shape", to.shape),)), lambda a: a, weight=0.8
            )
    if len(T.shape) == 2:
        turned = tile_of(T.scalar, *T.shape[::-1])
        if turned is not None:
            columns = T.shape[1]
            spelt = Call("wp.tile_transpose")
            yield _row("tile_transpose", (T,), turned, spelt, lambda a: transposed(a, columns), weight=2.0)
        if T.shape[0] == 1:
            line = tile_of(T.scalar, T.shape[1])
            assert line is not None
            yield _row("tile_squeeze", (T,), line, Call("wp.tile_squeeze"), lambda a: a, weight=0.8)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    padded = (1,) * (len(to) - len(shape)) + shape
    return all(own in (1, wanted) for own, wanted in zip(padded, to, strict=True))


def _places(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    S, shape = T.scalar, T.shape  # noqa: N806 - likewise
    if T.width == 1:
        yield _row("extract", (T,), S, Item((0,)), parts.part(0), weight=2.0)
        return
    indices = (I32,) * len(shape)
    if 1 in shape:  # where there is nothing to choose
        return
    yield _row("tile_extract", (T, *indices), S, Call("wp.tile_extract"), parts.element(*shape), weight=0.5)
    yield _row("extract", (T, *indices), S, Item(), parts.element(*shape), weight=0.5)
    line, width = tile_of(S, shape[-1]), shape[-1]
    if len(shape) == 2 and shape[0] > 1 and line is not None:
        yield from (
            _row("extract", (T,), line, Item((k,)), parts.parts(*range(k * width, (k + 1) * width)), weight=0.3)
            for k in (0, shape[0] - 1)
        )


def _views(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """Some rows of a tile."""
    rows, columns = T.shape
    for part in _ALL:
        if part.scalar is T.scalar and len(part.shape) == 2 and part.shape[1] == columns and part.shape[0] < rows:
            spelt = Call("wp.tile_view", (("offset", (rows - part.shape[0], 0)), ("shape", part.shape)))
            yield _row("tile_view", (T,), part, spelt, parts.parts(*range(T.width - part.width, T.width)))


def _converted(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    for scalar in (F32, F64, I32):
        to = tile_of(scalar, *T.shape)
        if to is not None and to is not T and T.scalar in FLOATS:
            spelt = Call("wp.tile_astype", (("dtype", scalar.spelling),))
            yield _row("tile_astype", (T,), to, spelt, parts.cast(scalar.name), group="cast")


def _products(scalar: Scalar) -> Iterator[Op]:
    """Made by fused operations, which no row of scalars has."""
    for A in _ALL:  # noqa: N806 - likewise
        for B in _ALL:  # noqa: N806 - likewise
            if A.scalar is B.scalar is scalar and len(A.shape) == len(B.shape) == 2 and A.shape[1] == B.shape[0]:
                made = tile_of(scalar, A.shape[0], B.shape[1])
                if made is not None:
                    meaning = _product(A.shape[1], B.shape[1])
                    yield _row("tile_matmul", (A, B), made, Call("wp.tile_matmul"), meaning, exact=False, weight=4.0)


def _squares(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """What has a weight of 0 asks for a matrix that comes with it (`grammar.tiling.tile_solved`)."""
    line = tile_of(T.scalar, T.shape[0])
    assert line is not None
    yield _step("tile_diag_add", (T, line), T, Call("wp.tile_diag_add"), _with_diagonal)
    yield _row("tile_cholesky", (T,), T, Call("wp.tile_cholesky"), _factor(T.shape[0]), weight=0.0)
    yield _row("tile_lower_solve", (T, line), line, Call("wp.tile_lower_solve"), _solved(upper=False))
    yield _step("tile_upper_solve", (T, line), line, Call("wp.tile_upper_solve"), _solved(upper=True), weight=0.5)
    yield _step("tile_cholesky_solve", (T, line), line, Call("wp.tile_cholesky_solve"), _solved_twice, weight=0.0)


def _threads(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """What a thread gets back from its block: on the CPU, the only one."""
    yield _row("untile", (T,), T.scalar, Call("wp.untile"), parts.part(0))


def _by_block(T: Composite, B: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """What all threads of a block have, and its sum: only `grammar.outputs` asks for them."""
    yield _row("tile", (T.scalar,), T, Call("wp.tile"), lambda x: (x,), weight=0.0)
    yield _row("tile_sum", (T,), B, Call("wp.tile_sum"), _single("add"), weight=0.0)


def _whole(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    for name, token in (("add", "Add"), ("sub", "Subtract"), ("mul", "Multiply")):
        yield _row(name, (T, T), T, Infix(token), parts.each(name), weight=2.0)
    if T.width == 1:
        return
    for name, token in (("bit_and", "BitAnd"), ("bit_or", "BitOr"), ("bit_xor", "BitXor")):
        yield _step(name, (T, T), T, Infix(token), parts.each(name), weight=0.7)
    one = tile_of(I32, 1)
    assert one is not None
    yield _step("tile_sum", (T,), one, Call("wp.tile_sum"), _single("add"), weight=2.0)
    yield _step("tile_max", (T,), one, Call("wp.tile_max"), _single("max"))


_FLAT = tuple(T for T in TILES if len(T.shape) == 1)
_GRIDS = tuple(T for T in TILES if len(T.shape) == 2)
_WORKED = tuple(T for T in TILES if T.shape in ((4,), (8,), (1, 4), (4, 4)))
"""What builtins are applied to that do the same to a tile of any shape."""

ROWS: tuple[Op, ...] = (
    *(row for T in _ALL for rows in (made, _counted, _places, _converted) for row in rows(T)),
    *(row for T in TILES if T.shape != (4, 2) for row in _arithmetic(T)),
    *(row for T in TILES for row in _shapes(T)),
    *(row for T in _WORKED for rows in (_maps, _reductions) for row in rows(T)),
    *(row for T in _FLAT if T.width > 1 and T.scalar is F32 for row in _scans(T)),
    *(row for T in _GRIDS for rows in (_axes, _views) for row in rows(T)),
    *(row for T in _GRIDS if T.shape[0] == T.shape[1] for row in _squares(T)),
    *(row for scalar in (F32, F64) for row in _products(scalar)),
    *(row for T in _ALL if T.shape == (1,) for row in _threads(T)),
    *(row for T in INT_TILES for row in _whole(T)),
    *(row for T, B in zip(THREAD_TILES, BLOCK_TILES, strict=True) for row in _by_block(T, B)),
)


def _changing(scalar: Scalar) -> Iterator[Op]:
    """What becomes of the first operand. Of a product, its sum is added up first, then to what was there."""
    for product in _products(scalar):
        made, (A, B) = product.result, product.params  # noqa: N806 - likewise
        added, taken = InPlace("wp.tile_matmul", 2), InPlace("wp.tile_matmul", 2, (("alpha", -1.0),))
        yield _row("tile_matmul", (made, A, B), made, added, _added(product.meaning), exact=False)
        yield _row("tile_matmul", (made, A, B), made, taken, _taken(product.meaning), exact=False)


def _added(meaning: Callable[..., Numbers]) -> Callable[..., Numbers]:
    return lambda to, *args: tuple(x + y for x, y in zip(to, meaning(*args), strict=True))


def _taken(meaning: Callable[..., Numbers]) -> Callable[..., Numbers]:
    """Away, that is; with alpha = -1, of which each product is a multiple."""
    return lambda to, *args: tuple(x - y for x, y in zip(to, meaning(*args), strict=True))


def _increased(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    yield _row("tile_axpy", (T, T.scalar, T), T, InPlace("wp.tile_axpy", 2), _scaled_and_added, weight=2.0)


def _scaled_and_added(to: Numbers, factor: Number, added: Numbers) -> Numbers:
    return tuple(x + y * factor for x, y in zip(to, added, strict=True))


def _overwritten(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """At the end, by a smaller tile."""
    for part in TILES:
        if part.scalar is T.scalar and part.shape[1:] == T.shape[1:] and 1 < part.width < T.width:
            kept = T.width - part.width
            offset = (T.shape[0] - part.shape[0], *(0 for _ in T.shape[1:]))
            spelt = InPlace("wp.tile_assign", 0, (("offset", offset),))
            yield _row("tile_assign", (T, part), T, spelt, lambda to, new, kept=kept: (*to[:kept], *new))


def _solving(T: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """Warp passes on what comes back as it is; only `grammar.tiling` asks for them."""
    line = tile_of(T.scalar, T.shape[0])
    assert line is not None
    yield _step("tile_cholesky_inplace", (T,), T, InPlace("wp.tile_cholesky_inplace", 0), _factor(T.shape[0]))
    for name, meaning in (
        ("tile_lower_solve", _solved(upper=False)),
        ("tile_upper_solve", _solved(upper=True)),
        ("tile_cholesky_solve", _solved_twice),
    ):
        spelt = InPlace(f"wp.{name}_inplace", 1)
        yield _step(f"{name}_inplace", (line, T), line, spelt, lambda y, a, meaning=meaning: meaning(a, y))


def _sorting(T: Composite, keys: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """Which moves what goes with equal keys as it comes: that is as undefined as a division by their difference."""
    yield _step("tile_sort", (T, keys), T, InPlace("wp.tile_sort", 1, both=True), _sorted_by)


def _sorted_by(values: Numbers, keys: Numbers) -> Numbers:
    """Pairs change places, as in Batcher's network, until the keys ascend."""
    pairs = list(zip(keys, values, strict=True))
    for i, j in SORTED_BY:
        (low, first), (high, second) = pairs[i], pairs[j]
        call("floordiv", 1, call("sub", low, high))
        over = call("greater", low, high)
        pairs[i] = where(over, high, low), where(over, second, first)
        pairs[j] = where(over, low, high), where(over, first, second)
    return tuple(value for _, value in pairs)


SORTED_BY = ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2))
"""What is compared where there are four."""


CHANGERS: tuple[Op, ...] = (
    *(row for scalar in (F32, F64) for row in _changing(scalar)),
    *(row for T in TILES if T.width > 1 for rows in (_increased, _overwritten) for row in rows(T)),
    *(row for T in _GRIDS if T.shape[0] == T.shape[1] for row in _solving(T)),
    *(row for T in (*TILES, *INT_TILES) if T.shape == (4,) for row in _sorting(T, INT_TILES[-1])),
)
