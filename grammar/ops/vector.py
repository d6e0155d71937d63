"""Vectors: construction, components, arithmetic and geometry.

The key insight: each row says what it does in scalars, in the order in which Warp's `vec.h` does it, so a dot product
has the same bits and a length the same edge at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from grammar.number import Number, Numbers, call, total, where
from grammar.op import Call, Infix, Member, Op, Prefix, Ternary
from grammar.types import BOOL, VECTORS, Composite

_row = partial(Op, exact=True, group="vector")


def _each(name: str) -> Callable[..., Numbers]:
    """The scalar row of that name on each component, or pair of components."""
    return lambda *vectors: tuple(call(name, *parts) for parts in zip(*vectors, strict=True))


def _scaled(a: Numbers, s: Number) -> Numbers:
    return tuple(part * s for part in a)


def _divided(a: Numbers, s: Number) -> Numbers:
    return tuple(part / s for part in a)


def _opposite(a: Numbers) -> Numbers:
    """Unlike the scalar's, the negative of +0 is -0."""
    return tuple(part * -1.0 for part in a)


def dot(a: Numbers, b: Numbers) -> Number:
    return total([x * y for x, y in zip(a, b, strict=True)])


def length(a: Numbers) -> Number:
    return call("sqrt", dot(a, a))


def _normalized(a: Numbers) -> Numbers:
    size = length(a)
    divisor = where(size > 0.0, size, 1.0)
    return tuple(where(size > 0.0, part / divisor, 0.0) for part in a)


def _cross(a: Numbers, b: Numbers) -> Numbers:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _chosen(condition: Number, a: Numbers, b: Numbers) -> Numbers:
    return tuple(where(condition, x, y) for x, y in zip(a, b, strict=True))


def _component(k: int) -> Callable[[Numbers], Number]:
    return lambda a: a[k]


def _reduced(name: str) -> Callable[[Numbers], Number]:
    def reduced(a: Numbers) -> Number:
        result = a[0]
        for part in a[1:]:
            result = call(name, result, part)
        return result

    return reduced


def _rows(V: Composite) -> Iterator[Op]:  # noqa: N803 - a type, as in the comprehensions of this package
    S, n = V.scalar, V.width  # noqa: N806 - likewise
    make = Call(V.spelling)
    yield _row(V.name, (), V, make, lambda: (0.0,) * n, weight=0.0)  # accumulators begin with it
    yield _row(V.name, (S,), V, make, lambda s: (s,) * n, weight=0.3)
    yield _row(V.name, (S,) * n, V, make, lambda *parts: parts, weight=2.0)
    for k, letter in enumerate("xyzw"[:n]):
        yield _row(f"get_{letter}", (V,), S, Member(letter), _component(k))
    yield _row("add", (V, V), V, Infix("Add"), _each("add"), weight=4.0)
    yield _row("sub", (V, V), V, Infix("Subtract"), _each("sub"), weight=4.0)
    yield _row("mul", (V, S), V, Infix("Multiply"), _scaled, weight=3.0)
    yield _row("mul", (S, V), V, Infix("Multiply"), lambda s, a: _scaled(a, s), weight=3.0)
    yield _row("div", (V, S), V, Infix("Divide"), _divided)
    yield _row("neg", (V,), V, Prefix("Minus"), _opposite)
    yield _row("cw_mul", (V, V), V, Call("wp.cw_mul"), _each("mul"))
    yield _row("cw_div", (V, V), V, Call("wp.cw_div"), _each("div"), weight=0.5)
    yield from (_row(name, (V, V), V, Call(f"wp.{name}"), _each(name)) for name in ("min", "max"))
    yield _row("abs", (V,), V, Call("wp.abs"), _each("abs"))
    yield _row("normalize", (V,), V, Call("wp.normalize"), _normalized, weight=2.0)
    yield _row("dot", (V, V), S, Call("wp.dot"), dot, weight=4.0)
    yield _row("length", (V,), S, Call("wp.length"), length, weight=3.0)
    yield _row("length_sq", (V,), S, Call("wp.length_sq"), lambda a: dot(a, a))
    yield from (_row(name, (V,), S, Call(f"wp.{name}"), _reduced(name), weight=0.5) for name in ("min", "max"))
    if n == 3:
        yield _row("cross", (V, V), V, Call("wp.cross"), _cross, weight=2.0)
    yield _row("where", (BOOL, V, V), V, Call("wp.where"), _chosen)
    yield _row("ternary", (BOOL, V, V), V, Ternary(), _chosen, weight=0.5)


ROWS: tuple[Op, ...] = tuple(row for V in VECTORS for row in _rows(V))
