"""Vectors: construction, components, arithmetic and geometry.

The key insight: each row says what it does in scalars, in the order in which Warp's `vec.h` does it, so a dot product
has the same bits and a length the same edge at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from grammar.number import Number, Numbers, call, total, where
from grammar.op import Call, Infix, Item, Member, Op, Prefix, Slice, Ternary
from grammar.ops import parts
from grammar.types import BOOL, F32, FLOATS, I32, INT_VECTORS, LETTERS, LONG_VECTORS, U32, VECTORS, Composite

_row = partial(Op, exact=True, group="vector")
_step = partial(_row, differentiable=False)


def _normalized(a: Numbers) -> Numbers:
    size = parts.length(a)
    divisor = where(size > 0.0, size, 1.0)
    return tuple(where(size > 0.0, part / divisor, 0.0) for part in a)


def _signs(a: Numbers) -> Numbers:
    return tuple(where(part < 0, part.calculus.number(-1, part.type), 1) for part in a)


def _first(name: str) -> Callable[[Numbers], Number]:
    """The index of the component that is the least or the greatest, the first of such; NaN are passed over."""

    def first(a: Numbers) -> Number:
        best, index = a[0], a[0].calculus.number(0, U32)
        for k, part in enumerate(a[1:], 1):
            better = call(name, part, best)
            if part.type in FLOATS:
                skipped = call("logical_and", call("isnan", best), call("logical_not", call("isnan", part)))
                better = call("logical_or", better, skipped)
            index, best = where(better, index.calculus.number(k, U32), index), where(better, part, best)
        return index

    return first


def _norm_l1(a: Numbers) -> Number:
    """Warp adds to 0, which matters to signs of zeros alone."""
    return total([a[0].calculus.number(0.0, a[0].type), *(call("abs", part) for part in a)])


def _norm_huber(a: Numbers, delta: Number) -> Number:
    square = parts.dot(a, a)
    near = call("less_equal", square, delta * delta)
    return where(near, 0.5 * square, delta * (call("sqrt", square) - 0.5 * delta))


def _norm_pseudo_huber(a: Numbers, delta: Number) -> Number:
    return delta * call("sqrt", 1.0 + parts.dot(a, a) / (delta * delta))


def _made(V: Composite) -> Iterator[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    S, n = V.scalar, V.width  # noqa: N806 - likewise
    make = Call(V.spelling)
    yield _row(V.name, (), V, make, lambda: (0,) * n, weight=0.0)  # accumulators begin with it
    yield _row(V.name, (S,), V, make, lambda s: (s,) * n, weight=0.3)
    yield _row(V.name, (S,) * n, V, make, parts.given, weight=2.0)
    yield from (
        _row(V.name, (other,), V, make, parts.cast(S.name), group="cast", weight=0.5)
        for other in (*VECTORS, *INT_VECTORS, *LONG_VECTORS)
        if other.shape == V.shape and other is not V
    )
    for k in range(n):
        if n <= len(LETTERS):
            yield _row(f"get_{LETTERS[k]}", (V,), S, Member(LETTERS[k]), parts.part(k), weight=1.5)
        yield _row("extract", (V,), S, Item((k,)), parts.part(k), weight=1.5)
    yield _row("extract", (V, I32), S, Item(), parts.element(n), weight=0.5)
    for short in (other for other in (*VECTORS, *INT_VECTORS) if other.scalar is S and other.width < n <= len(LETTERS)):
        for first in range(n - short.width + 1):
            last = first + short.width
            item = Item((Slice(first or None, None if last == n else last),))
            yield _row("extract", (V,), short, item, parts.cut(V.shape, *item.indices), weight=0.15)


def _rows(V: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """What vectors of all types have."""
    S = V.scalar  # noqa: N806 - likewise
    yield _row("add", (V, V), V, Infix("Add"), parts.each("add"), weight=4.0)
    yield _row("sub", (V, V), V, Infix("Subtract"), parts.each("sub"), weight=4.0)
    yield _row("mul", (V, S), V, Infix("Multiply"), parts.scaled, weight=3.0)
    yield _row("mul", (S, V), V, Infix("Multiply"), parts.scaling, weight=3.0)
    yield _row("div", (V, S), V, Infix("Divide"), parts.divided)
    yield _row("div", (S, V), V, Infix("Divide"), parts.dividing, weight=0.2)
    yield _step("mod", (V, V), V, Infix("Modulo"), parts.each("mod"), weight=0.1)
    yield _row("neg", (V,), V, Prefix("Minus"), parts.opposite)
    yield _row("cw_mul", (V, V), V, Call("wp.cw_mul"), parts.each("mul"))
    yield _row("cw_div", (V, V), V, Call("wp.cw_div"), parts.each("div"), weight=0.5)
    yield from (_row(name, (V, V), V, Call(f"wp.{name}"), parts.each(name)) for name in ("min", "max"))
    yield _row("abs", (V,), V, Call("wp.abs"), parts.each("abs"))
    yield _step("sign", (V,), V, Call("wp.sign"), _signs, weight=0.3)
    yield _row("dot", (V, V), S, Call("wp.dot"), parts.dot_of_vectors, weight=4.0)
    yield _row("length_sq", (V,), S, Call("wp.length_sq"), lambda a: parts.dot(a, a))
    yield from (_row(name, (V,), S, Call(f"wp.{name}"), parts.reduced(name), weight=0.5) for name in ("min", "max"))
    yield _step("argmin", (V,), U32, Call("wp.argmin"), _first("less"), weight=0.5)
    yield _step("argmax", (V,), U32, Call("wp.argmax"), _first("greater"), weight=0.5)
    if V.width == 3:
        yield _row("cross", (V, V), V, Call("wp.cross"), parts.cross, weight=2.0)
    yield _row("where", (BOOL, V, V), V, Call("wp.where"), parts.chosen)
    yield _row("ternary", (BOOL, V, V), V, Ternary(), parts.chosen, weight=0.5)


def _geometry(V: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """What vectors of floats have."""
    S = V.scalar  # noqa: N806 - likewise
    yield _row("normalize", (V,), V, Call("wp.normalize"), _normalized, weight=2.0)
    yield _row("lerp", (V, V, S), V, Call("wp.lerp"), parts.mixed)
    yield _row("length", (V,), S, Call("wp.length"), parts.length, weight=3.0)


_BITS = (
    *(("bit_and", "BitAnd"), ("bit_or", "BitOr"), ("bit_xor", "BitXor")),
    *(("lshift", "LeftShift"), ("rshift", "RightShift")),
)


def _whole(V: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """What vectors of integers have; `a != b` isn't, of which Warp 1.19 makes C++ that doesn't compile."""
    yield from (_step(name, (V, V), V, Infix(token), parts.each(name), weight=0.3) for name, token in _BITS)
    yield _step("invert", (V,), V, Prefix("BitInvert"), parts.each("invert"), weight=0.2)
    yield _step("equal", (V, V), BOOL, Infix("Equal"), parts.all_of("equal"), weight=0.5)


def _norms(V: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    """Functions that Warp has written in Python, for float32."""
    S = V.scalar  # noqa: N806 - likewise
    if S is F32:
        yield _row("norm_l1", (V,), S, Call("wp.norm_l1"), _norm_l1, weight=0.3)
        yield _row("norm_l2", (V,), S, Call("wp.norm_l2"), parts.length, weight=0.2)
        yield _row("norm_huber", (V, S), S, Call("wp.norm_huber"), _norm_huber, weight=0.3)
        yield _row("norm_pseudo_huber", (V, S), S, Call("wp.norm_pseudo_huber"), _norm_pseudo_huber, weight=0.3)
        yield _row(
            "smooth_normalize",
            (V, S),
            V,
            Call("wp.smooth_normalize"),
            lambda a, delta: parts.divided(a, _norm_pseudo_huber(a, delta)),
            weight=0.3,
        )


def _predicates(V: Composite) -> Iterator[Op]:  # noqa: N803 - likewise
    yield from (
        _row(name, (V,), BOOL, Call(f"wp.{name}"), parts.any_of(name), weight=0.1) for name in ("isnan", "isinf")
    )
    yield _row("isfinite", (V,), BOOL, Call("wp.isfinite"), parts.all_of("isfinite"), weight=0.1)


_OF_FLOATS = (_made, _rows, _geometry, _norms, _predicates)

ROWS: tuple[Op, ...] = (
    *(row for V in (*VECTORS, *LONG_VECTORS) for rows in _OF_FLOATS for row in rows(V)),
    *(row for V in INT_VECTORS for rows in (_made, _rows, _whole) for row in rows(V)),
)
