"""Numbers that meanings of composite types are written with.

The key insight: whatever a vector or a matrix means, it means in scalars. So a row on composites says how its result
comes about by scalar rows, in the very order in which Warp does it; and everything that is known of those (where they
are defined, where they jump, how they round) is then known of it, in any algebra, without a word more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from grammar.op import Call, Op
from grammar.types import BOOL, FLOATS, Composite, Element, Scalar


@dataclass(frozen=True, slots=True)
class Calculus:
    """How numbers are combined: by rows of the table, over the values of some algebra."""

    apply: Callable[[Op, Sequence[Any]], Any]
    const: Callable[[float | int | bool, Scalar], Any]

    def call(self, name: str, *args: Number | float) -> Number:
        """The row of that name on these arguments; Python's own numbers take the type of the last of the others."""
        op, common, result = _row_for(name, *[arg.type if isinstance(arg, Number) else None for arg in args])
        given = [arg.value if isinstance(arg, Number) else self.const(arg, common) for arg in args]
        return Number(self.apply(op, given), result, self)

    def number(self, value: float | int | bool, type: Scalar) -> Number:
        return Number(self.const(value, type), type, self)


@cache
def _row_for(name: str, *types: Scalar | None) -> tuple[Op, Scalar, Scalar]:
    """The row; the type of the arguments that have none; and that of the result."""
    from grammar.ops import ROWS  # which are written with this module

    known = [type for type in types if type is not None]
    common = next((type for type in reversed(known) if type is not BOOL), known[-1])
    op = ROWS[f"{name}({','.join((type or common).name for type in types)})"]
    assert isinstance(op.result, Scalar)
    return op, common, op.result


@dataclass(eq=False, slots=True)  # frozen ones take twice as long to make, and composites are made of these
class Number:
    """A scalar of some algebra; nobody changes it."""

    value: Any
    type: Scalar
    calculus: Calculus

    def __add__(self, other: Number | float) -> Number:
        return self.calculus.call("add", self, other)

    def __radd__(self, other: float) -> Number:
        return self.calculus.call("add", other, self)

    def __sub__(self, other: Number | float) -> Number:
        return self.calculus.call("sub", self, other)

    def __rsub__(self, other: float) -> Number:
        return self.calculus.call("sub", other, self)

    def __mul__(self, other: Number | float) -> Number:
        return self.calculus.call("mul", self, other)

    def __rmul__(self, other: float) -> Number:
        return self.calculus.call("mul", other, self)

    def __truediv__(self, other: Number | float) -> Number:
        return self.calculus.call("div", self, other)

    def __rtruediv__(self, other: float) -> Number:
        return self.calculus.call("div", other, self)

    def __neg__(self) -> Number:
        return self.calculus.call("neg", self)

    def __lt__(self, other: Number | float) -> Number:
        return self.calculus.call("less", self, other)

    def __gt__(self, other: Number | float) -> Number:
        return self.calculus.call("greater", self, other)


def on_arrays(apply: Callable[[Op, Sequence[Any]], Any]) -> Calculus:
    """Over plain arrays."""
    return Calculus(apply, lambda value, type: np.asarray(value, type.dtype))


Numbers = tuple[Number, ...]
"""A composite: its scalars, row by row."""


@dataclass(frozen=True, slots=True)
class Alike:
    """A meaning that does the same with each scalar of composites, and with the scalars that stand beside them.

    So where an algebra's composites are single arrays, it may be done with these as if they were scalars.
    """

    each: Callable[..., Number]

    def __call__(self, *args: Numbers | Number) -> Numbers:
        width = max(len(arg) for arg in args if isinstance(arg, tuple))
        spread = [arg if isinstance(arg, tuple) else (arg,) * width for arg in args]
        return tuple([self.each(*parts) for parts in zip(*spread, strict=True)])

    def at_once(self, op: Op, args: Sequence[Any], calculus: Calculus) -> Any:
        """What the row of that meaning gives, the composites being arrays of one more axis than scalars."""
        numbers = [Number(arg, type.scalar, calculus) for arg, type in zip(args, op.params, strict=True)]
        return self.each(*numbers).value


def composed(op: Op, args: Sequence[Any], calculus: Calculus) -> list[Any]:
    """What a composite row gives: the scalars of its result. Of a composite argument, the scalars are given."""
    (result,) = composed_each(op, args, calculus)
    return result


def composed_each(op: Op, args: Sequence[Any], calculus: Calculus) -> list[list[Any]]:
    """The same of each of its results."""
    found = op.meaning(*_given(op, args, calculus))
    each = found if op.others else (found,)
    return [_scalars(op, type, result, calculus) for type, result in zip(op.results, each, strict=True)]


def _scalars(op: Op, type: Element, result: Any, calculus: Calculus) -> list[Any]:
    parts = result if isinstance(type, Composite) else (result,)
    values = [p.value if isinstance(p, Number) else calculus.const(p, type.scalar) for p in parts]
    if op.differentiable or type.scalar not in FLOATS:
        return values
    return [calculus.apply(_detached(type.scalar), [value]) for value in values]


def sampled(op: Op, args: Sequence[Any], calculus: Calculus) -> tuple[list[Any], Any]:
    """What a sampler gives: the scalars of the sample, and the new state."""
    *parts, state = op.meaning(*_given(op, args, calculus))
    return [part.value for part in parts], state.value


def _given(op: Op, args: Sequence[Any], calculus: Calculus) -> list[Any]:
    return [
        tuple([Number(part, type.scalar, calculus) for part in arg])
        if isinstance(type, Composite)
        else Number(arg, type, calculus)
        for arg, type in zip(args, op.params, strict=True)
    ]


@cache
def _detached(type: Scalar) -> Op:
    """The value itself, through which no gradient flows."""
    return Op("detached", (type,), type, Call(type.spelling), lambda x: x, exact=True, differentiable=False)


def call(name: str, *args: Number | float) -> Number:
    """The scalar row of that name: `call("sqrt", x)`."""
    calculus, *_ = [arg.calculus for arg in args if isinstance(arg, Number)]
    return calculus.call(name, *args)


def is_defined(op: Op, args: Sequence[Any]) -> bool:
    """Whether a composite row is defined on all of these lanes; of a composite argument, the scalars are given."""
    fine = True

    def apply(row: Op, values: Sequence[Any]) -> Any:
        nonlocal fine
        fine = fine and (row.domain is None or bool(np.all(row.domain(*values))))
        return row.meaning(*values)

    with np.errstate(all="ignore"):
        composed_each(op, args, on_arrays(apply))
    return fine


def where(condition: Number, yes: Number | float, no: Number | float) -> Number:
    return call("where", condition, yes, no)


def total(terms: Sequence[Number]) -> Number:
    """Their sum, from the first to the last."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result
