"""A kernel while it is grown: what is in scope, and what every value in scope is.

The key insight: a draft holds the *values* of its variables beside their names. Whether an operation is defined,
changes anything, or a condition goes both ways is then seen before anything is written down, so nothing needs a wrapper
later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np

from grammar.choose import Choose, pick
from grammar.evaluate import Interpreter
from grammar.floats import FLOATING
from grammar.inputs import REGULAR_SETS, column
from grammar.lanes import greatest, least, some
from grammar.layout import Inputs, Mask
from grammar.names import COMPOSITE_ROLES, GRIDS, NameRole, name_for, singular
from grammar.op import Lanes, Op
from grammar.params import Param
from grammar.plain import Plain
from grammar.profiles import Profile
from grammar.ranges import PATTERNS
from grammar.tree import Assign, At, Const, Function, Read, Stmt, Term, Thread, Var
from grammar.types import BOOL, I32, INTEGERS, Array, Composite, Element

T = TypeVar("T")

LIMIT = 1e4
"""Float values of greater magnitude are not grown: they soon overflow, and nobody's kernel means them."""
HALF_LIMIT = 500.0
"""The same for float16, of which the square is soon infinite."""
FLOOR = 1e-2
"""Nor are those that are everywhere smaller than this."""
ANYWHERE = (-LIMIT, LIMIT)
"""The range of values that asks for nothing in particular."""
INT_LIMIT = 1 << 20
NEAR = 1e-4
"""Values whose difference is a smaller share of them differ by rounding."""
SPLIT = 0.08
"""A condition must hold on at least this share of the lanes, and fail on as many."""


class StuckError(Exception):
    """The draft came to where no lane goes: nothing can be seen there, so it is given up."""


class Grown(NamedTuple):
    """A term and its value on each lane."""

    term: Term
    value: Lanes
    parts: tuple[Lanes, ...] = ()
    """The values of its arguments, where it (or what the local of that name stands for) is an operation."""


@dataclass(slots=True)
class Draft:
    choose: Choose
    profile: Profile
    main: Element
    """The type most of the kernel computes in."""
    seed: int
    lanes: int
    params: list[Param] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    scope: list[Var] = field(default_factory=list)
    """Locals that may be read here, oldest first."""
    block: list[Stmt] = field(default_factory=list)
    """Where statements go."""
    pending: list[Grown] = field(default_factory=list)
    """Values that must still be used."""
    indices: list[Var] = field(default_factory=list)
    """Variables that index arrays: the thread indices, then loop variables, innermost last."""
    dimensions: int = 1
    """Of the grid of threads."""
    kin: frozenset[Element] = frozenset()
    """The types in which the kernel computes: the main one, its scalar, and whatever the family has beside it."""
    favoured: frozenset[str] = frozenset()
    """Groups of operations that the family favours."""
    locals_left: int = 6
    most_arrays: int = 4
    """So many that are read, unless there is no other way."""
    parts: dict[str, tuple[Lanes, ...]] = field(default_factory=dict)
    """Of locals that stand for an operation, the values of its arguments."""
    reads: dict[Read, Var | None] = field(default_factory=dict)
    """Elements of arrays that have been read, and the local that is one of them, if it has a name."""
    constants: list[Const] = field(default_factory=list)
    """Those of the module that have a name."""
    functions: list[Function] = field(default_factory=list)
    """Those of the module's own, in the order in which they came up."""
    closed: bool = False
    """Whether a function is being grown, which sees nothing but its parameters."""
    patterns: bool = False
    """Whether unsigned integers are patterns of bits, which wrap, rather than counts, which don't."""
    tolerant: bool = False
    """Whether Warp may document the kernel's adjoint as wrong."""
    gathers: bool = False
    """Whether what has an element per thread will be the fields of structs."""
    tall: bool = False
    """Whether the kernel is to fill the height it may have, by statements within statements."""
    judged: dict[str, tuple[Lanes, Mask, bool]] = field(default_factory=dict)
    """Of locals, whether they are sound: with such a value, on such lanes."""
    interpreter: Interpreter[Lanes] = field(init=False)
    plain: Plain = field(init=False)
    active: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.kin = self.kin or relatives(self.main)
        shape = (REGULAR_SETS, self.lanes)
        inputs = Inputs(self.lanes, {"": np.zeros(shape)}, {})
        self.plain = Plain.on(inputs)
        self.interpreter = Interpreter(self.plain, inputs)
        self.active = self.interpreter.everywhere

    @property
    def thread(self) -> Var:
        return self.indices[0]

    @property
    def own(self) -> Term:
        """The index of the element that is the thread's own."""
        return self.indices[0] if self.dimensions == 1 else At(tuple(self.indices[: self.dimensions]))

    def name(self, role: NameRole) -> str:
        name = name_for(role, self.choose, self.taken)
        one = singular(name) if self.gathers else None
        name = name if one is None or one in self.taken else one
        self.taken.add(name)
        return name

    def value(self, term: Term) -> Lanes:
        return self.interpreter.term(term, self.active)

    def grown(self, term: Term) -> Grown:
        return Grown(term, self.value(term))


@cache
def relatives(main: Element, beside: frozenset[Element] = frozenset()) -> frozenset[Element]:
    """The types in which a kernel computes."""
    return beside | {main, main.scalar, I32, BOOL}


def start(draft: Draft) -> None:
    """Writes `i = wp.tid()`, or `i, j = wp.tid()`."""
    if draft.dimensions == 1:
        names: tuple[str, ...] = (draft.name("thread"),)
    else:
        names = pick(draft.choose, GRIDS)[: draft.dimensions]
        draft.taken |= set(names)
    draft.indices += [Var(name, I32) for name in names]
    run(draft, Thread(names[0], names[1:]))


def run(draft: Draft, stmt: Stmt) -> None:
    """Appends the statement, and does it."""
    draft.block.append(stmt)
    draft.active = draft.interpreter.statement(stmt, draft.active)


def assign(draft: Draft, stmt: Stmt, variable: Var, value: Lanes) -> Grown:
    """Appends a statement that does no more than give a local the value, on the active lanes; in scope from here on.

    Raises StuckError if there are no such lanes.
    """
    draft.block.append(stmt)
    if not some(draft.active):
        raise StuckError
    draft.interpreter.assign(variable.name, value, draft.active)
    return local(draft, variable.name, variable.type)


def add_param(draft: Draft, param: Param) -> Param:
    """Declares a parameter and makes its values; but for outputs, which nothing in a kernel reads."""
    draft.params.append(param)
    draft.taken.add(param.name)
    if param.is_output:
        return param
    values = column(param, draft.seed, draft.lanes)
    inputs = draft.interpreter.inputs
    if isinstance(param.type, Array):
        inputs.arrays[param.name] = values  # type: ignore[index] # a draft's inputs grow: its mappings are dicts
        draft.plain.arrays[param.name] = values.reshape(-1)
    else:
        inputs.scalars[param.name] = values  # type: ignore[index] # as above
        values = np.repeat(values, draft.lanes, axis=0)
        draft.interpreter.env[param.name] = draft.interpreter.lifted(values, param.type)
    return param


def define(draft: Draft, role: NameRole, grown: Grown) -> Grown:
    """Gives a value a name: a local that is in scope from here on."""
    variable = Var(draft.name(role), grown.term.type)
    draft.locals_left -= 1
    draft.parts[variable.name] = grown.parts
    return assign(draft, Assign(variable.name, grown.term), variable, grown.value)


def local(draft: Draft, name: str, type: Element) -> Grown:
    """The local that statements just run have defined, in scope from here on. Raises StuckError if none of them ran."""
    variable = Var(name, type)
    if name not in draft.interpreter.env:
        raise StuckError
    if variable not in draft.scope:
        draft.scope.append(variable)
    return Grown(variable, draft.interpreter.env[name], draft.parts.get(name, ()))


def local_role(type: Element) -> NameRole:
    if isinstance(type, Composite):
        return COMPOSITE_ROLES[type.kind][2]
    if type in PATTERNS:
        return "local_bits"
    return "local_bool" if type is BOOL else "local_int" if type in INTEGERS else "local"


@contextmanager
def nested(draft: Draft, active: Mask) -> Iterator[list[Stmt]]:
    """A block of its own, for the given lanes: yields the list its statements go to; its locals end with it."""
    outer_block, outer_active, depth, width = draft.block, draft.active, len(draft.scope), len(draft.indices)
    outer_env = dict(draft.interpreter.env)
    block: list[Stmt] = []
    draft.block, draft.active = block, active
    try:
        yield block
    finally:
        draft.block, draft.active = outer_block, outer_active
        del draft.scope[depth:], draft.indices[width:]
        inner = draft.interpreter.env
        draft.interpreter.env = outer_env | {p.name: inner[p.name] for p in draft.params if p.name in inner}


def outcome(draft: Draft, op: Op, values: Sequence[Lanes]) -> Lanes | None:
    """What the operation gives; None where it isn't defined on all active lanes."""
    if not op.is_composite:
        fine = op.domain is None or not some(draft.active & ~op.domain(*values))
        return np.asarray(op.meaning(*values)) if fine else None
    return defined(draft, lambda: draft.interpreter.apply(op, values, draft.active))


def defined(draft: Draft, compute: Callable[[], T]) -> T | None:
    """What is computed; None where something in it isn't defined on all active lanes."""
    plain, nowhere = draft.plain, draft.interpreter.nowhere
    before = plain.undefined, plain.outside
    plain.undefined, plain.outside = nowhere.copy(), nowhere.copy()
    value = compute()
    fine = not (some(plain.undefined) or some(plain.outside))
    plain.undefined, plain.outside = before
    return value if fine else None


# -- what a value must be like to be worth having ---------------------------------------------------------------------


def is_sound(draft: Draft, value: Lanes, active: Mask | None = None) -> bool:
    """Finite, of a reasonable magnitude, and not the same everywhere; of a composite, each and one of its scalars."""
    if active is None:
        active = draft.active
    seen = value if active is draft.interpreter.everywhere else value[..., active]
    if seen.size == 0:
        return False
    if value.ndim > 1:
        return bool(greatest(np.abs(seen)) <= LIMIT) and any(is_sound(draft, part, active) for part in value)
    if seen.dtype.kind == "b":
        return _parts(draft, value, active)
    low, high = float(least(seen)), float(greatest(seen))  # NaN where any is: fails all below
    if seen.dtype.kind in "iu":
        any_size = draft.patterns and seen.dtype.kind == "u"
        return low < high and (any_size or (low >= -INT_LIMIT and high <= INT_LIMIT))
    return _varies(low, high) and (seen.dtype != np.float16 or -HALF_LIMIT <= low <= high <= HALF_LIMIT)


def is_sound_local(draft: Draft, name: str) -> bool:
    """Whether the value of a local is sound on the active lanes, which is asked again and again."""
    value, active = draft.interpreter.env[name], draft.active
    known = draft.judged.get(name)
    if known is None or known[0] is not value or known[1] is not active:
        known = draft.judged[name] = value, active, is_sound(draft, value)
    return known[2]


def _parts(draft: Draft, condition: Lanes, active: Mask) -> bool:
    """In each launch that is active at all, the condition holds on some lanes and fails on others."""
    for there, held in zip(active.reshape(-1, draft.lanes), (condition & active).reshape(-1, draft.lanes), strict=True):
        count, share = np.count_nonzero(there), np.count_nonzero(held)
        if not (count and SPLIT * count <= share <= (1 - SPLIT) * count):
            return False
    return True


def _varies(low: float, high: float) -> bool:
    magnitude = high if high > -low else -low
    return FLOOR <= magnitude <= LIMIT and high - low > 1e-3 * magnitude


def is_like(draft: Draft, one: Lanes, other: Lanes) -> bool:
    """Whether two values are the same on nearly all lanes: then the operation between them does nothing."""
    if one.dtype != other.dtype or one.shape[:-1] != other.shape[:-1]:
        return False
    same = one == other if one.ndim == 1 else (np.abs(one - other) <= NEAR * np.abs(other)).all(axis=0)
    if draft.active is draft.interpreter.everywhere:
        return bool(np.count_nonzero(same) > (1 - SPLIT) * same.size)
    return bool(np.count_nonzero(same & draft.active) > (1 - SPLIT) * np.count_nonzero(draft.active))


def gives_back(draft: Draft, value: Lanes, part: Lanes) -> bool:
    """Whether two values are, but for their signs and for rounding, the same on nearly all lanes."""
    if value.dtype != part.dtype or value.shape[:-1] != part.shape[:-1]:
        return False
    if value.ndim > 1:
        return all(gives_back(draft, *both) for both in zip(value, part, strict=True))
    lane = 0 if draft.active is draft.interpreter.everywhere else int(draft.active.argmax())
    one, other = abs(value.item(lane)), abs(part.item(lane))
    if value.dtype.kind != "u" and abs(one - other) > NEAR * other:
        return False  # as nearly always, which need not be seen on all lanes
    if value.dtype.kind in FLOATING:
        near = np.abs(np.abs(value) - np.abs(part)) <= NEAR * np.abs(part)
    else:
        near = (value == part) | (value == np.negative(part)) | (value == ~part)
    return bool(np.count_nonzero(near & draft.active) > (1 - SPLIT) * np.count_nonzero(draft.active))


def in_span(value: Lanes, span: tuple[float, float]) -> bool:
    return span == ANYWHERE or bool(span[0] <= least(value) and greatest(value) <= span[1])
