"""What one operation is: a row of the table.

The key insight: a row says what an operation *means* (a NumPy callable that works at any float width, where it is
defined, where its value jumps, where its slope kinks) and, apart from that, how Python spells it. Emission, the
reference, inputs, masks, tolerances and statistics are folds over rows, so a new operation is one row and no other
edit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from grammar.types import Composite, Element, Scalar

T = TypeVar("T")

Lanes = NDArray[Any]
"""One value per lane. Leading axes, where present, hold variants of the same lanes (see `validate.shadow`)."""


@dataclass(frozen=True, slots=True)
class Infix:
    """A binary operator: `left TOKEN right`. `token` is the class name of the libcst operator, such as `Add`."""

    token: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """A unary operator: `TOKEN operand`."""

    token: str


Known = int | float | str | tuple[int, ...]
"""What is known when compiling: a number, a dotted name, or a shape."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a dotted name: `wp.sin(x)`, `float(n)`, `wp.identity(n=3, dtype=float)`, `wp.tile_map(wp.sin, t)`."""

    function: str
    keywords: tuple[tuple[str, Known], ...] = ()
    """Behind the operands: names with what is known when compiling."""
    first: tuple[Known, ...] = ()
    """Before the operands, likewise."""


@dataclass(frozen=True, slots=True)
class Ternary:
    """`a if condition else b`; its arguments are (condition, a, b)."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A comparison of three: `low <= x < high`. Warp takes no element of an array for the last of them."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Member:
    """An attribute of the operand: `v.x`."""

    name: str


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of indices along an axis: the `1:3` of `v[1:3]`, the `:2` of `v[:2]`, or all of them, `:`."""

    start: int | None = None
    stop: int | None = None

    def __str__(self) -> str:
        return ":".join("" if end is None else str(end) for end in (self.start, self.stop))


@dataclass(frozen=True, slots=True)
class Item:
    """A subscript: `v[0]`, `v[k]`, `m[i, j]`, `m[:2, 0]`; its arguments are (value, *indices)."""

    indices: tuple[int | Slice, ...] = ()
    """Where they are always the same: then the value is the only argument."""


@dataclass(frozen=True, slots=True)
class InPlace:
    """A statement that makes its first operand what the row gives: `wp.tile_matmul(a, b, acc)`.

    It stands nowhere but in `acc = …`, `acc` being a local, as all of the value.
    """

    function: str
    place: int
    """Where the first operand stands among the others."""
    keywords: tuple[tuple[str, Known], ...] = ()
    both: bool = False
    """Whether the others are changed as well, locals that nobody reads any more."""

    def ordered(self, operands: Sequence[T]) -> list[T]:
        """As they are written."""
        first, *others = operands
        return [*others[: self.place], first, *others[self.place :]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A statement that puts each result into a local that stands behind the operands: `wp.svd3(a, u, s, v)`."""

    function: str


@dataclass(frozen=True, slots=True)
class Pasted:
    """A statement that puts its second operand in place of a part of the first: `m[0] = row`, `v[1:] = w`.

    Like `InPlace`, it stands nowhere but in `m = …`, `m` being a local, as all of the value.
    """

    indices: tuple[int | Slice, ...]


Spelling = Infix | Prefix | Call | Ternary | Chain | Member | Item | InPlace | Pasted | Placed


@dataclass(frozen=True, eq=False, slots=True)
class Op:
    """One operation at one signature. Rows are singletons of `grammar.ops.TABLE`: compare them by identity."""

    name: str
    """Warp's name of the builtin (`add`, `sin`, `where`), or the operator's (`less`, `logical_and`)."""
    params: tuple[Element, ...]
    result: Element
    spelling: Spelling
    meaning: Callable[..., Any]
    """Of a scalar row: arguments as arrays (ints and bools at their own width, floats at float32, float64 or wider) →
    the result, as Warp defines it, special values included. Elementwise, so it broadcasts.

    Of a composite row: arguments as `grammar.number.Number`s, a tuple of them for a composite → the result likewise,
    or a tuple of several results, done in Warp's order if the row is `exact`. Domain, jump and kink are those of the
    scalar rows that it calls."""
    domain: Callable[..., Lanes] | None = None
    """True where the operation is meaningfully defined. Outside, a float result is NaN or infinite; a result that
    is an integer is undefined behaviour, which no input may reach."""
    jump: Callable[..., Lanes] | None = None
    """Numbers the pieces between which the value jumps: lanes whose piece is uncertain can't be decided."""
    kink: Callable[..., Lanes] | None = None
    """Numbers the pieces between which only the slope jumps: lanes near a seam have no gradient to check."""
    exact: bool = False
    """The result has the same bits in Warp as in NumPy, given arguments with the same bits (and if the scalar rows do
    which it calls)."""
    differentiable: bool = True
    """A float argument's gradient flows through (Warp's registry says so). Otherwise the adjoint is zero."""
    group: str = "math"
    """What it counts as: `arithmetic`, `math`, `comparison`, `logic`, `integer`, `cast`, `select`, `vector`,
    `matrix`, `quaternion`, `transform`, `spatial` or `tile`."""
    weight: float = 1.0
    """Relative frequency under the `uniform` profile; 0 for what nobody writes, as the sign of an unsigned."""
    is_composite: bool = False
    """Whether its meaning is written in numbers: always, where it takes or gives composites."""
    others: tuple[Element, ...] = ()
    """Further results, which make it one for `grammar.tree.Unpack` only."""
    searched: Scalar | None = None
    """Of a sampler: what the array holds, its last argument, in which what the meaning draws is looked up."""
    approximate: bool = False
    """Warp documents that it gives an approximation, while the adjoint is that of the exact result, and unstable."""
    key: str = field(init=False)
    """What tells the row from all others: `add(float32,float32)`."""

    def __post_init__(self) -> None:
        composite = any(isinstance(type, Composite) for type in (*self.params, self.result))
        object.__setattr__(self, "is_composite", self.is_composite or composite)
        params = ",".join(type.name for type in self.params)
        object.__setattr__(self, "key", f"{self.name}{_variant(self.spelling)}({params})")

    @property
    def results(self) -> tuple[Element, ...]:
        return (self.result, *self.others)

    def __call__(self, *args: Lanes) -> Lanes:
        """The result on plain arrays; composites are arrays whose first axis numbers their scalars.

        Of several results, it numbers the scalars of one after the other.
        """
        with np.errstate(all="ignore"):
            return self._composed(args) if self.is_composite else np.asarray(self.meaning(*args))

    def _composed(self, args: Sequence[Lanes]) -> Lanes:
        from grammar.number import composed_each, on_arrays

        results = composed_each(self, args, on_arrays(lambda op, values: np.asarray(op.meaning(*values))))
        parts = [part for result in results for part in result]
        single = not isinstance(self.result, Composite) and not self.others
        return np.asarray(parts[0]) if single else np.stack(np.broadcast_arrays(*parts))

    def __repr__(self) -> str:
        return self.key

    def __reduce__(self) -> tuple[Callable[[str], Op], tuple[str]]:
        return _row, (self.key,)


def is_changing(op: Op) -> bool:
    """Whether it changes a local that has a value: it is a statement, `m = op(m, …)`."""
    return isinstance(op.spelling, InPlace | Pasted)


def _variant(spelling: Spelling) -> str:
    """What tells rows of one name on the same types apart: `[0,1]`."""
    fixed: tuple[Known | Slice, ...] = ()
    if isinstance(spelling, Item | Pasted):
        fixed = spelling.indices
    elif isinstance(spelling, Call):
        fixed = (*spelling.first, *(value for _, value in spelling.keywords))
    elif isinstance(spelling, InPlace):
        fixed = tuple(value for _, value in spelling.keywords)
    elif isinstance(spelling, Placed):
        fixed = ("placed",)
    elif isinstance(spelling, Chain):
        fixed = (spelling.first, spelling.second)
    return f"[{','.join(map(_shown, fixed))}]" if fixed else ""


def _shown(known: Known | Slice) -> str:
    return "x".join(map(str, known)) if isinstance(known, tuple) else str(known)


def _row(key: str) -> Op:
    from grammar.ops import ROWS

    return ROWS[key]
