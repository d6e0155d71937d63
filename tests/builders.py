"""Trees by hand in few words, and a sample of grown kernels over all families and depths.

The key insight: an operation's row follows from its name and the types of its arguments, and what a parameter is for
follows from how the body uses it, so a test states only what it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from grammar.atomics import AtomicKind
from grammar.choose import Seed, seeded
from grammar.families import families_at
from grammar.grow import grow
from grammar.inputs import regular
from grammar.layout import Inputs
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.plain import Plain, run_plain
from grammar.profiles import PROFILES, profile
from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    Atomic,
    AugAssign,
    AugStore,
    Const,
    For,
    If,
    Kernel,
    Read,
    Size,
    Stmt,
    Store,
    StorePart,
    Term,
    Thread,
    Var,
    While,
)
from grammar.types import BOOL, F32, F64, I32, Array, Composite, Element, type_named

LANES = 64
DEPTHS = (1, 2, 3, 4, 5, 6, 7, 9)
COPIES = 2

# -- terms ------------------------------------------------------------------------------------------------------------


def var(name: str, type: Element = F32) -> Var:
    return Var(name, type)


def ints(name: str) -> Var:
    return Var(name, I32)


I = Var("i", I32)  # noqa: E741 - the thread index, as kernels call it


def number(value: float | int | bool) -> Const:
    """An int32, a float32 or a bool, as the value is."""
    return Const(BOOL if isinstance(value, bool) else I32 if isinstance(value, int) else F32, value)


def double(value: float) -> Const:
    return Const(F64, value)


def at(array: str, index: Term = I, type: Element = F32) -> Read:
    return Read(array, index, type)


def size(array: str) -> Size:
    return Size(array, I32)


def do(name: str, *args: Term | float) -> Apply:
    """The operation of that name on the types of these arguments; plain numbers stand for literals."""
    terms = tuple(number(arg) if isinstance(arg, bool | int | float) else arg for arg in args)
    return Apply(ROWS[f"{name}({','.join(term.type.name for term in terms)})"], terms)


# -- statements -------------------------------------------------------------------------------------------------------


def let(name: str, value: Term | float) -> Assign:
    return Assign(name, number(value) if isinstance(value, bool | int | float) else value)


def change(name: str, operator: str, value: Term | float) -> AugAssign:
    """`name OP= value`, such as `change("v", "add", 1.0)`."""
    term = number(value) if isinstance(value, bool | int | float) else value
    return AugAssign(name, ROWS[f"{operator}({term.type.name},{term.type.name})"], term)


def part(
    name: str, place: int | Term, value: Term | float, operator: str = "", lettered: bool = False, type: str = "vec3f"
) -> AssignPart:
    """`name[place] OP= value`."""
    term = number(value) if isinstance(value, bool | int | float) else value
    whole, scalar = type_named(type), term.type.name
    assert isinstance(whole, Composite)
    op = ROWS[f"{operator}({scalar},{scalar})"] if operator else None
    return AssignPart(name, whole, number(place) if isinstance(place, int) else place, term, op, lettered)


def put(array: str, value: Term, index: Term = I) -> Store:
    return Store(array, index, value)


def bump(array: str, operator: str, value: Term, index: Term = I) -> AugStore:
    return AugStore(array, index, ROWS[f"{operator}({value.type.name},{value.type.name})"], value)


def put_part(
    array: str, place: int, value: Term, operator: str = "", lettered: bool = False, type: str = "vec3f"
) -> StorePart:
    """`array[i][place] OP= value`."""
    whole, scalar = type_named(type), value.type.name
    assert isinstance(whole, Composite)
    op = ROWS[f"{operator}({scalar},{scalar})"] if operator else None
    return StorePart(array, I, whole, place, value, op, lettered)


def atomic(kind: AtomicKind, array: str, value: Term, index: Term | None = None) -> Atomic:
    return Atomic(kind, array, number(0) if index is None else index, value)


def when(condition: Term, *body: Stmt, orelse: tuple[Stmt, ...] = ()) -> If:
    return If(condition, body, orelse)


def loop(variable: str, stop: Term | int, *body: Stmt, start: Term | None = None, step: Term | None = None) -> For:
    return For(variable, start, number(stop) if isinstance(stop, int) else stop, body, step)


def while_(condition: Term, *body: Stmt) -> While:
    return While(condition, body)


# -- parameters and kernels -------------------------------------------------------------------------------------------


def array(name: str, type: Element = F32, low: float = -2.0, high: float = 2.0) -> Param:
    return Param(name, Array(type), Role.VALUE, low, high)


def scalar(name: str, type: Element = F32, low: float = 0.5, high: float = 2.0) -> Param:
    return Param(name, type, Role.VALUE, low, high)


def out(name: str = "out", type: Element = F32) -> Param:
    return Param(name, Array(type), Role.OUT)


def accumulator(name: str = "total", type: Element = F32, size: int | None = 1) -> Param:
    return Param(name, Array(type), Role.ACCUMULATOR, -1.0, 1.0, size)


def kernel(params: tuple[Param, ...], *body: Stmt, name: str = "by_hand") -> Kernel:
    """A kernel that begins with `i = wp.tid()`."""
    return Kernel(name, params, (Thread("i"), *body), "by hand")


X, Y = array("x"), array("y")
OUT = out()


# -- grown kernels ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """A grown kernel, and what it was grown from."""

    kernel: Kernel
    seed: Seed
    depth: int
    profile: str

    @property
    def inputs(self) -> Inputs:
        """Its regular inputs."""
        return regular(self.kernel, self.seed, LANES)

    def __str__(self) -> str:
        return f"{self.kernel.family} at depth {self.depth}, {self.profile}, seed {self.seed}"


@cache
def samples(per_family: int = COPIES, depths: tuple[int, ...] = DEPTHS) -> tuple[Sample, ...]:
    """So many kernels of each family at each of the depths under each profile."""
    return tuple(
        grown
        for depth in depths
        for name in PROFILES
        for number in range(len(families_at(depth)))
        for copy in range(per_family)
        if (grown := _grown(depth, name, number, copy)) is not None
    )


@cache
def _grown(depth: int, name: str, number: int, copy: int) -> Sample | None:
    """One of them: sets that differ in size have most in common."""
    seed = Seed(((depth * 100 + number) * 100 + copy) * 2 + PROFILES.index(name))
    grown = grow(seeded(seed), families_at(depth)[number], profile(name), depth, seed, LANES)
    return None if grown is None else Sample(grown, seed, depth, name)


# -- kernels with one thing less or changed ----------------------------------------------------------------------------

BLOCK_FIELDS = ("body", "orelse")
Body = tuple[Stmt, ...]


def edits(body: Body) -> Iterator[tuple[Stmt, Body]]:
    """Each statement, nested ones too, and the body without it."""
    for k, stmt in enumerate(body):
        yield stmt, body[:k] + body[k + 1 :]
        for name, block in _blocks(stmt):
            for inner, rest in edits(block):
                yield inner, (*body[:k], _with(stmt, name, rest), *body[k + 1 :])


def _blocks(stmt: Stmt) -> list[tuple[str, Body]]:
    return [(name, block) for name in BLOCK_FIELDS if (block := getattr(stmt, name, None)) is not None]


def _with(stmt: Stmt, name: str, value: object) -> Stmt:
    changes: dict[str, Any] = {name: value}
    return replace(stmt, **changes)


def outputs(kernel: Kernel, inputs: Inputs) -> dict[str, bytes]:
    """The bits of each output after the kernel ran in NumPy. Raises EndlessLoopError and KeyError (an unknown name)."""
    return _bits(kernel, run_plain(kernel, inputs))


def _bits(kernel: Kernel, plain: Plain) -> dict[str, bytes]:
    return {param.name: plain.arrays[param.name].tobytes() for param in kernel.params if param.is_output}
