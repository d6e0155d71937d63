"""Kernels as trees of typed terms and statements.

The key insight: terms are an open set with one closed shape, `Apply(op, args)` over rows of the table, while statements
are few and closed: whoever consumes them matches all, and `assert_never` says so to the type checker. Every node is
frozen, picklable and comparable, so a kernel can be stored, replayed, compared and shrunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

from grammar.atomics import ATOMIC_UPDATES, AtomicKind
from grammar.op import Op
from grammar.params import Param, Role, Struct
from grammar.types import I32, WARPS, Array, Composite, Element, Scalar, Type

# -- terms ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Const:
    """A number; under a name, a constant of the module, `GRAVITY = wp.constant(9.81)`, or one of Warp's: `wp.pi`."""

    type: Scalar
    value: float | int | bool
    name: str = ""
    static: bool = False
    """Whether the name is of a number of Python's, `GRAVITY = 9.81`, which kernels call `wp.static(GRAVITY)`."""
    args: ClassVar[tuple[Term, ...]] = ()


def is_own(const: Const) -> bool:
    """Whether it is a constant of the module's own."""
    return bool(const.name) and const.name not in WARPS


@dataclass(frozen=True, slots=True)
class Var:
    """A local, a loop variable, the thread index or a scalar parameter."""

    name: str
    type: Element
    args: ClassVar[tuple[Term, ...]] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """An element of an array parameter: `x[index]`."""

    array: str
    index: Term
    type: Element
    via: str = ""
    """A view of the array by which it is read, `row[j]`."""

    @property
    def args(self) -> tuple[Term, ...]:
        return (self.index,)


@dataclass(frozen=True, slots=True)
class At:
    """Indices into an array of several dimensions: the `i, j` of `x[i, j]`. It stands nowhere else."""

    indices: tuple[Term, ...]

    @property
    def args(self) -> tuple[Term, ...]:
        return self.indices

    @property
    def type(self) -> Scalar:
        return I32


def indices_of(index: Term) -> tuple[Term, ...]:
    """Those along each axis."""
    return index.indices if isinstance(index, At) else (index,)


@dataclass(frozen=True, slots=True)
class Size:
    """The length of an array parameter along an axis: `x.shape[0]`, an int32."""

    array: str
    type: Scalar
    axis: int = 0
    by_len: bool = False
    """Spelt `len(x)`, which is the length along the first axis."""
    args: ClassVar[tuple[Term, ...]] = ()


@dataclass(frozen=True, slots=True)
class Apply:
    op: Op
    args: tuple[Term, ...]

    @property
    def type(self) -> Element:
        return self.op.result


@dataclass(frozen=True, slots=True)
class Invoke:
    """A call of a function of the module's own: `falloff(x, y)`."""

    function: Function
    args: tuple[Term, ...]

    @property
    def type(self) -> Element:
        return self.function.result


@dataclass(frozen=True, slots=True)
class Whole:
    """An array as a whole: a parameter of a function, what is passed for it, and what is searched; nowhere else."""

    name: str
    array: Array
    args: ClassVar[tuple[Term, ...]] = ()

    @property
    def type(self) -> Element:
        return self.array.element


Term = Const | Var | Read | At | Size | Apply | Invoke | Whole
"""Each has `args`, the terms directly within."""

# -- statements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Thread:
    """`i = wp.tid()` or `i, j = wp.tid()`: always the first statement of a kernel, and only there."""

    name: str
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.others)

    @property
    def own(self) -> Term:
        """The index of the element that is a thread's own."""
        first, *others = (Var(name, I32) for name in self.names)
        return At((first, *others)) if others else first


@dataclass(frozen=True, slots=True)
class View:
    """`row = x[i]`: a name for a part of an array that has one dimension left."""

    name: str
    array: str
    index: Term
    """Along all axes but the last."""


@dataclass(frozen=True, slots=True)
class Assign:
    """`name = value`: defines a local, or gives it a new value of the same type."""

    name: str
    value: Term


@dataclass(frozen=True, slots=True)
class AugAssign:
    """`name OP= value`, `op` being a binary operator (T, T) → T of the table that is spelt infix."""

    name: str
    op: Op
    value: Term


@dataclass(frozen=True, slots=True)
class AssignPart:
    """`name[index] = value`, `name.x = value`, `name[index] OP= value`: changes one scalar of a composite local."""

    name: str
    type: Composite
    index: Term
    """An int32; for a matrix, the row and the column."""
    value: Term
    op: Op | None = None
    lettered: bool = False
    """Whether a letter names the scalar; then the index is a number."""

    @property
    def known(self) -> int | None:
        """Which scalar it is, row by row, where numbers say so."""
        parts = indices_of(self.index)
        numbers = [int(part.value) for part in parts if isinstance(part, Const)]
        if len(numbers) < len(parts) or not all(0 <= k < n for k, n in zip(numbers, self.type.shape, strict=False)):
            return None
        return numbers[0] * self.type.shape[-1] + numbers[1] if len(numbers) > 1 else numbers[0]


@dataclass(frozen=True, slots=True)
class Sample:
    """`name = wp.randf(state, …)`: gives a local a random value, and moves the local `state` on."""

    name: str
    op: Op
    state: str
    args: tuple[Term, ...] = ()
    """Numbers, or the array that is searched."""


@dataclass(frozen=True, slots=True)
class Unpack:
    """`a, b = split(x)`: gives locals what a function of the module's own, or a builtin, returns: as many values."""

    names: tuple[str, ...]
    function: Function | Op
    args: tuple[Term, ...]

    @property
    def call(self) -> Apply | Invoke:
        """As a term, whose type is that of the first result."""
        if isinstance(self.function, Op):
            return Apply(self.function, self.args)
        return Invoke(self.function, self.args)


@dataclass(frozen=True, slots=True)
class Store:
    """`array[index] = value`, each lane to elements of its own."""

    array: str
    index: Term
    value: Term


@dataclass(frozen=True, slots=True)
class AugStore:
    """`array[index] OP= value`. Warp makes it atomic if there is such an atomic; if not, each lane has its own."""

    array: str
    index: Term
    op: Op
    value: Term

    @property
    def kind(self) -> AtomicKind | None:
        """The atomic operation that it is; None where it reads the element and then stores to it."""
        return ATOMIC_UPDATES.get(self.op.name)


@dataclass(frozen=True, slots=True)
class StorePart:
    """`array[index].y = value`, `array[index][k] OP= value`: writes to one scalar of an element."""

    array: str
    index: Term
    type: Composite
    place: int
    """Which scalar it is, row by row."""
    value: Term
    op: Op | None = None
    """One whose update is atomic."""
    lettered: bool = False
    """Whether a letter names the scalar."""

    @property
    def of_scalar(self) -> Store | AugStore:
        """What is done to the scalar, as if it were an element."""
        if self.op is None:
            return Store(self.array, self.index, self.value)
        return AugStore(self.array, self.index, self.op, self.value)


@dataclass(frozen=True, slots=True)
class Atomic:
    """`wp.atomic_add(array, index, value)` and its kin."""

    kind: AtomicKind
    array: str
    index: Term
    value: Term
    name: str = ""
    """A local that gets the old value, which depends on the order of threads: `slot = wp.atomic_add(count, 0, 1)`."""


@dataclass(frozen=True, slots=True)
class If:
    """`if`/`else`. An `orelse` that is one `If` alone is spelt `elif`."""

    condition: Term
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...] = ()


@dataclass(frozen=True, slots=True)
class For:
    """`for variable in range(stop)`; where these are not None, `range(start, stop)` or `range(start, stop, step)`."""

    variable: str
    start: Term | None
    stop: Term
    body: tuple[Stmt, ...]
    step: Term | None = None

    @property
    def bounds(self) -> tuple[Term, ...]:
        """What stands in `range(…)`."""
        return tuple(bound for bound in (self.start, self.stop, self.step) if bound is not None)


@dataclass(frozen=True, slots=True)
class While:
    condition: Term
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Break:
    pass


@dataclass(frozen=True, slots=True)
class Continue:
    pass


@dataclass(frozen=True, slots=True)
class Return:
    """`return` in a kernel, `return value` in a function, or `return value, other`."""

    value: Term | None = None
    others: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Fieldwise:
    """A struct as a whole, done field by field: what is spelt `p = bodies[i]`, `p = Body()` or `out[i] = p`.

    A load assigns the local's fields that are read, the making of one none yet, a store stores all fields.
    """

    struct: str
    """Its class."""
    target: str
    """The local, or the array of structs."""
    body: tuple[Assign | Store, ...] = ()


@dataclass(frozen=True, slots=True)
class Outlined:
    """`add_force(forces, i, f)`: statements that stand in a function of the module's own, which writes to arrays.

    It is called here and nowhere else, and takes what they use from around them, under the names that it has there.
    """

    name: str
    body: tuple[Stmt, ...]


Assigning = Assign | AugAssign | AssignPart | Sample | Unpack
"""Statements that give values to locals."""
Writing = Store | AugStore | StorePart | Atomic
"""Statements that write to arrays."""
Simple = Thread | View | Assigning | Writing
Stmt = Simple | If | For | While | Break | Continue | Return | Fieldwise | Outlined


def assigned(stmt: Assigning) -> tuple[str, ...]:
    """The locals that get a value; the state of a sampler, which moves on, aside."""
    return stmt.names if isinstance(stmt, Unpack) else (stmt.name,)


def bound(stmt: Stmt) -> tuple[str, ...]:
    """The names that a statement itself gives a meaning to; as a whole, a struct's, not its fields'."""
    match stmt:
        case Thread():
            return stmt.names
        case Assign() | AugAssign() | AssignPart() | Sample() | Unpack():
            return assigned(stmt)
        case View(name) | Atomic(name=name) if name:
            return (name,)
        case For(variable):
            return (variable,)
        case Fieldwise(_, target, _):
            return (target,)
        case _:
            return ()


# -- kernels ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Function:
    """A function that kernels call, `@wp.func`: it sees but its parameters, and every way through it returns.

    It reads the arrays that it is given, and writes to none.
    """

    name: str
    params: tuple[Var | Whole, ...]
    body: tuple[Stmt, ...]
    result: Element
    others: tuple[Element, ...] = ()
    """Further results, which make it one for `Unpack` only."""
    structs: tuple[Struct, ...] = ()
    defaults: tuple[Const, ...] = ()
    """What its last parameters are where a call doesn't say."""
    generic: bool = False
    """Whether it is written for any type, `x: Any`, and made for those that it is called with."""
    custom: bool = False
    """Whether its adjoint is written down as well, `@wp.func_grad(falloff)`; it is that which follows from the body."""
    gradient: bool = False
    """Whether what is called is its gradient, `wp.grad(falloff)`: the results are the slopes along its parameters."""
    takes: tuple[Passed, ...] = ()
    """Functions that it is handed over, `def apply(f: wp.Function, x: float)`, each of which it calls under a name."""

    @property
    def results(self) -> tuple[Element, ...]:
        return (self.result, *self.others)

    @property
    def primal(self) -> Function:
        """The function itself, whose gradient it may stand for."""
        if not self.gradient:
            return self
        (value,) = own_terms(self.body[-1])
        return replace(self, result=value.type, others=(), gradient=False)


@dataclass(frozen=True, slots=True)
class Passed:
    name: str
    function: Function


def taken(term: Term) -> Type:
    """What a function takes for a parameter, or is given for it."""
    return term.array if isinstance(term, Whole) else term.type


@dataclass(frozen=True)
class Kernel:
    """Without slots: what stands in all of it is asked for again and again, and kept."""

    name: str
    params: tuple[Param, ...]
    body: tuple[Stmt, ...]
    family: str
    structs: tuple[Struct, ...] = ()
    """Those that the parameters stand in, outer ones first."""
    generic: bool = False
    """Whether it is written for any type, `x: wp.array[Any]`, `a: Any`, where that is the type of the first output."""

    def param(self, name: str) -> Param:
        return {p.name: p for p in self.params}[name]

    @property
    def of_any_type(self) -> tuple[Param, ...]:
        """The parameters that are annotated so."""
        first = next((p.element for p in self.params if p.is_output), None)
        data = (p for p in self.params if isinstance(p.type, Array) or p.role is Role.VALUE)
        return tuple(p for p in data if self.generic and p.element is first)

    @cached_property
    def _functions(self) -> tuple[Function, ...]:
        return functions(self.body)

    @cached_property
    def _statements(self) -> tuple[Stmt, ...]:
        return tuple(stmt for body in bodies(self) for stmt in statements(body))

    @cached_property
    def _terms(self) -> tuple[Term, ...]:
        return tuple(term for body in bodies(self) for term in terms_in(body))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


# -- folds over the shape of trees ------------------------------------------------------------------------------------


def subterms(term: Term) -> Iterator[Term]:
    """The term and all below it, parents first."""
    return _downwards((term,))


def _downwards(terms: Sequence[Term]) -> Iterator[Term]:
    """The terms, each with all below it, parents first."""
    waiting = list(terms[::-1])  # a generator for each term within would take most of the time
    while waiting:
        term = waiting.pop()
        yield term
        waiting += term.args[::-1]


def own_terms(stmt: Stmt) -> tuple[Term, ...]:
    """The terms that stand directly in a statement, in the order they are evaluated."""
    match stmt:
        case Assign(_, value) | AugAssign(_, _, value):
            return (value,)
        case Sample(_, _, _, args) | Unpack(_, _, args):
            return args
        case Store(_, index, value) | AugStore(_, index, _, value) | Atomic(_, _, index, value):
            return (index, value)
        case AssignPart(_, _, index, value) | StorePart(_, index, _, _, value):
            return (index, value)
        case View(_, _, index):
            return (index,)
        case If(condition, _, _) | While(condition, _):
            return (condition,)
        case For():
            return stmt.bounds
        case Return(value, others) if value is not None:
            return (value, *others)
        case _:
            return ()


def blocks(stmt: Stmt) -> tuple[tuple[Stmt, ...], ...]:
    """The blocks of statements that a statement holds."""
    match stmt:
        case If(_, body, orelse):
            return (body, orelse) if orelse else (body,)
        case For(_, _, _, body) | While(_, body) | Fieldwise(_, _, body) | Outlined(_, body):
            return (body,)
        case _:
            return ()


def statements(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """All statements of a body, nested ones too, in source order."""
    waiting = list(body[::-1])
    while waiting:
        stmt = waiting.pop()
        yield stmt
        for block in reversed(blocks(stmt)):
            waiting += block[::-1]


def own_subterms(stmt: Stmt) -> Iterator[Term]:
    """The terms that stand directly in a statement and all below them, parents first."""
    return _downwards(own_terms(stmt))


def terms_in(body: tuple[Stmt, ...]) -> Iterator[Term]:
    """All terms of a body, parents first; not those of functions that it calls."""
    return _downwards([term for stmt in statements(body) for term in own_terms(stmt)])


def functions(body: tuple[Stmt, ...]) -> tuple[Function, ...]:
    """The functions that a body calls, directly or not: each once, after those that it calls itself."""
    found: dict[Function, None] = {}
    for function in called_in(body):
        if function.primal not in found:
            found |= dict.fromkeys(functions(function.body))
            found[function.primal] = None
    return tuple(found)


def _unpacked(stmt: Stmt) -> tuple[Term, ...]:
    return (stmt.call,) if isinstance(stmt, Unpack) else ()


def all_functions(kernel: Kernel) -> tuple[Function, ...]:
    """Those that the kernel calls, directly or not: each once, after those that it calls itself."""
    return kernel._functions


def called_in(body: tuple[Stmt, ...]) -> Iterator[Function]:
    """Those that it calls itself, once for each call."""
    for stmt in statements(body):
        yield from (term.function for term in (*own_subterms(stmt), *_unpacked(stmt)) if isinstance(term, Invoke))


def constants(kernel: Kernel) -> dict[str, Const]:
    """The constants of the module by name, in the order in which they are met."""
    return {term.name: term for term in all_terms(kernel) if isinstance(term, Const) and is_own(term)}


def bodies(kernel: Kernel) -> tuple[tuple[Stmt, ...], ...]:
    """Those of the functions that the kernel calls, and its own."""
    return (*(function.body for function in all_functions(kernel)), kernel.body)


def all_statements(kernel: Kernel) -> tuple[Stmt, ...]:
    """Those of the kernel, and of the functions that it calls."""
    return kernel._statements


def all_terms(kernel: Kernel) -> tuple[Term, ...]:
    """Those of the kernel, and of the functions that it calls."""
    return kernel._terms
