"""What a kernel computes, on all threads at once: the fold of the table over a tree, with masks for control flow.

The key insight: control flow is one set of masks, whatever the values are. So the interpreter of statements is written
once, over an *algebra* of values: plain NumPy arrays while a kernel is grown, arrays with higher-precision shadows when
it is checked. It runs the Kernel, never the emitted text, so that it can't share emission's faults.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar, assert_never

import numpy as np

from grammar.atomics import MARKING
from grammar.derive import gradient_of
from grammar.lanes import every, filled, some
from grammar.layout import WHOLE, Index, Inputs, Mask, Part, coordinates, flat_index, thread_indices
from grammar.number import Alike, Calculus, composed_each, sampled
from grammar.op import Call, Lanes, Op
from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    At,
    Atomic,
    AugAssign,
    AugStore,
    Break,
    Const,
    Continue,
    Fieldwise,
    For,
    Function,
    If,
    Invoke,
    Kernel,
    Outlined,
    Read,
    Return,
    Sample,
    Size,
    Stmt,
    Store,
    StorePart,
    Term,
    Thread,
    Unpack,
    Var,
    View,
    While,
    Whole,
    statements,
)
from grammar.types import BOOL, F32, I32, Array, Composite, Element, Scalar

V = TypeVar("V")

SLOPE = Op("grad", (), F32, Call("wp.grad"), lambda: None, differentiable=False)
"""What is computed for the gradient of a function is computed within: it is no row of the table."""

TRIP_LIMIT = 4096
"""No grown loop comes near it; one that does is taken for endless."""


class EndlessLoopError(Exception):
    """A loop ran `TRIP_LIMIT` times."""


class Algebra(ABC, Generic[V]):
    """How values of one kind are made and combined; lanes of all launches are laid end to end in one axis."""

    stacked: ClassVar[bool] = False
    """Whether a composite is an array of its scalars, on which a scalar row does what it does on each of them."""

    @abstractmethod
    def lift(self, value: Lanes, type: Scalar) -> V:
        """A value known exactly: the thread index, a scalar parameter, a loop variable; `value` broadcasts to lanes."""

    @abstractmethod
    def const(self, value: float | int | bool, type: Scalar) -> V: ...

    @abstractmethod
    def apply(self, op: Op, args: Sequence[V], active: Mask, within: Op | None = None) -> V:
        """A scalar row, perhaps for the sake of a composite one, whose order Warp keeps only if that is exact."""

    @abstractmethod
    def read(self, array: str, index: Index, active: Mask, part: Part = WHOLE) -> V: ...

    def element(self, array: str, index: Index, active: Mask, width: int) -> V:
        """What is read of an array of composites."""
        return self.pack([self.read(array, index, active, Part(k, width)) for k in range(width)])

    @abstractmethod
    def pack(self, parts: Sequence[V]) -> V:
        """A composite of these scalars."""

    @abstractmethod
    def parts(self, value: V) -> Sequence[V]:
        """The scalars of a composite."""

    @abstractmethod
    def select(self, mask: Mask, new: V, old: V) -> V: ...

    @abstractmethod
    def discrete(self, value: V) -> Lanes:
        """The lanes of an int or bool value: conditions, indices and bounds."""

    @abstractmethod
    def write(
        self, stmt: Store | AugStore | Atomic, index: Index, value: V, active: Mask, part: Part = WHOLE
    ) -> None: ...

    @abstractmethod
    def note_undefined(self, lanes: Mask) -> None:
        """Called with the lanes that do what is undefined behaviour in C++."""

    def held(self, value: V, active: Mask) -> V:
        """The value, no gradient of which is asked for, and which is to be a number on the active lanes."""
        del active
        return value

    def fork(self, site: Term, condition: V, active: Mask) -> None:
        """Called where lanes part ways, with the condition as it stands in the tree."""


@dataclass(slots=True)
class _Loop:
    broken: Mask
    continued: Mask


class Interpreter(Generic[V]):
    """Runs a kernel's body over an algebra; afterwards `env` holds the locals."""

    def __init__(self, algebra: Algebra[V], inputs: Inputs) -> None:
        self.algebra = algebra
        self.inputs = inputs
        self.env: dict[str, V] = {}
        self.passed: dict[str, str] = {}
        """The kernel's names of the arrays that the function which is being called was given."""
        self.loops: list[_Loop] = []
        self.contents: dict[str, V] = {}
        """Of the arrays of which statements read the thread's own element to change it, what it holds."""
        self.returned: list[tuple[V, ...]] = []
        """What the functions that are being called have returned so far, the innermost last."""
        self.within: Op | None = None
        """What it is for that is computed now, if not for the kernel itself."""
        self.thread = thread_indices(inputs.launches, inputs.lanes)
        self.everywhere: Mask = filled(True, BOOL, self.thread.size)
        self.nowhere: Mask = filled(False, BOOL, self.thread.size)

    def run(self, kernel: Kernel) -> None:
        for param in kernel.params:
            if not isinstance(param.type, Array):
                value = np.repeat(self.inputs.scalars[param.name], self.inputs.lanes, axis=0)
                self.env[param.name] = self.lifted(value, param.type)
        for name in updated_arrays(kernel):
            element = kernel.param(name).element
            own = self.inputs.arrays[name].reshape(len(self.thread), *element_shape(element))
            self.contents[name] = self.lifted(own, element)
        self.block(kernel.body, self.everywhere)

    # -- terms --------------------------------------------------------------------------------------------------------

    def term(self, term: Term, active: Mask) -> V:
        match term:
            case Apply(op, args):
                return self.apply(op, [self.term(arg, active) for arg in args], active)
            case Var(name, _):
                return self.env[name]
            case Const(type, value):
                return self.algebra.const(value, type)
            case Read(name, index, type):
                where, array = self.index(index, active), self.passed.get(name, name)
                if not isinstance(type, Composite):
                    return self.algebra.read(array, where, active)
                return self.algebra.element(array, where, active, type.width)
            case Size(array, _, axis):
                return self.algebra.const(self.inputs.arrays[self.passed.get(array, array)].shape[1 + axis], I32)
            case At() | Whole():
                raise AssertionError("indices and arrays are no values")
            case Invoke(function, args):
                return self.invoke(function, self.given(args, active), active)
            case _:
                assert_never(term)

    def index(self, term: Term, active: Mask) -> Index:
        """Which element is meant: the lanes of an index, or of one for each axis."""
        if isinstance(term, At):
            return tuple(self.algebra.discrete(self.term(index, active)) for index in term.indices)
        return self.algebra.discrete(self.term(term, active))

    def lifted(self, value: Lanes, type: Element) -> V:
        """Of a composite, the last axis of `value` numbers its scalars."""
        if isinstance(type, Composite):
            return self.algebra.pack([self.algebra.lift(value[:, k], type.scalar) for k in range(type.width)])
        return self.algebra.lift(value, type)

    def apply(self, op: Op, args: Sequence[V], active: Mask) -> V:
        """Any row."""
        if not op.is_composite:
            return self.algebra.apply(op, args, active, self.within)
        return self.each(op, args, active)[0]

    def each(self, op: Op, args: Sequence[V], active: Mask) -> list[V]:
        """All results of a composite row."""
        if self.algebra.stacked and isinstance(op.meaning, Alike):
            return [op.meaning.at_once(op, args, self.calculus(op, active))]
        given = [
            self.algebra.parts(arg) if isinstance(type, Composite) else arg
            for arg, type in zip(args, op.params, strict=True)
        ]
        found = composed_each(op, given, self.calculus(op, active))
        return [self.packed(type, parts) for type, parts in zip(op.results, found, strict=True)]

    def calculus(self, op: Op, active: Mask) -> Calculus:
        """What the meaning of a composite row or of a sampler is worked out with."""
        algebra, within = self.algebra, self.within or op
        return Calculus(lambda row, values: algebra.apply(row, values, active, within), algebra.const)

    def packed(self, type: Element, parts: Sequence[V]) -> V:
        """What has these scalars."""
        return self.algebra.pack(parts) if isinstance(type, Composite) else parts[0]

    def invoke(self, function: Function, args: Sequence[V | Whole], active: Mask) -> V:
        """The one value that the function returns on the active lanes."""
        return self.results(function, args, active)[0]

    def results(self, function: Function, args: Sequence[V | Whole], active: Mask) -> tuple[V, ...]:
        """All that the function returns on the active lanes."""
        if function.gradient:
            return self.slopes(function, args, active)
        outer = self.env, self.loops, self.passed
        self.env, self.passed = self.bound(function.params, args)
        self.loops = []
        self.returned.append(())
        left = self.block(function.body, active)
        assert not left.any(), f"{function.name} ends without a result"
        results = self.returned.pop()
        self.env, self.loops, self.passed = outer
        assert results, f"{function.name} is called on no lane"
        return results

    def slopes(self, function: Function, args: Sequence[V | Whole], active: Mask) -> tuple[V, ...]:
        """What its gradient gives: not in Warp's order, and plain numbers to the adjoint of the kernel."""
        gradient = gradient_of(function)
        assert gradient is not None, f"{function.name} has no gradient that can be told"
        held = [arg if isinstance(arg, Whole) else self.algebra.held(arg, active) for arg in args]
        outer, self.within = self.within, SLOPE
        self.results(function.primal, held, active)  # what is no number there goes back even where it counts 0 times
        found = self.results(gradient, held, active)
        self.within = outer
        return found

    def given(self, args: Sequence[Term], active: Mask) -> list[V | Whole]:
        return [arg if isinstance(arg, Whole) else self.term(arg, active) for arg in args]

    def give_back(self, values: Sequence[V], active: Mask) -> None:
        """From the function that is being called, on the active lanes."""
        before = self.returned[-1]
        pairs = zip(values, before or values, strict=True)
        self.returned[-1] = tuple(self.algebra.select(active, *pair) if before else pair[0] for pair in pairs)

    def bound(self, params: Sequence[Var | Whole], args: Sequence[V | Whole]) -> tuple[dict[str, V], dict[str, str]]:
        """What a function has under its own names: values, and the kernel's names of arrays."""
        env: dict[str, V] = {}
        passed: dict[str, str] = {}
        for param, arg in zip(params, args, strict=True):
            if isinstance(arg, Whole):
                passed[param.name] = self.passed.get(arg.name, arg.name)
            else:
                env[param.name] = arg
        return env, passed

    # -- statements ---------------------------------------------------------------------------------------------------

    def block(self, body: Sequence[Stmt], active: Mask) -> Mask:
        """Runs the statements for the active lanes; returns the lanes that get to the end of the block.

        The very mask that came in is returned unless some lane left.
        """
        for stmt in body:
            after = self.statement(stmt, active)
            if after is not active:
                active = after
                if not some(active):
                    break
        return active

    def statement(self, stmt: Stmt, active: Mask) -> Mask:
        match stmt:
            case Assign(name, value):
                self.assign(name, self.term(value, active), active)
            case AugAssign(name, op, value):
                self.assign(name, self.apply(op, [self.env[name], self.term(value, active)], active), active)
            case AssignPart():
                self.assign_part(stmt, active)
            case Sample():
                self.sample(stmt, active)
            case Store(array, index, value) | AugStore(array, index, _, value) if array in self.contents:
                self.update(stmt, self.index(index, active), self.term(value, active), active)
            case StorePart(_, index, _, _, value):
                self.store_part(stmt, self.index(index, active), self.term(value, active), active)
            case Store(_, index, value) | AugStore(_, index, _, value) | Atomic(_, _, index, value):
                where = self.index(index, active)
                if isinstance(stmt, Atomic) and stmt.name:
                    self.assign(stmt.name, self.turns(stmt, where, active), active)
                self.write(stmt, where, self.term(value, active), value.type, active)
            case If(condition, body, orelse):
                return self.branch(condition, body, orelse, active)
            case For():
                return self.for_range(stmt, active)
            case While(condition, body):
                return self.while_true(condition, body, active)
            case Thread(name, ()):
                self.env[name] = self.algebra.lift(self.thread, I32)
            case Thread():
                each = coordinates(self.inputs.launches, self.inputs.lanes, len(stmt.names))
                self.env |= {name: self.algebra.lift(lanes, I32) for name, lanes in zip(stmt.names, each, strict=True)}
            case View():
                pass  # only who writes it down needs it
            case Fieldwise(_, _, body) | Outlined(_, body):
                return self.block(body, active)
            case Break():
                self.loops[-1].broken = self.loops[-1].broken | active
                return self.nowhere
            case Continue():
                self.loops[-1].continued = self.loops[-1].continued | active
                return self.nowhere
            case Unpack(names):
                for name, result in zip(names, self.unpacked(stmt, active), strict=True):
                    self.assign(name, result, active)
            case Return(value, others):
                if value is not None:
                    self.give_back([self.term(each, active) for each in (value, *others)], active)
                return self.nowhere
            case _:
                assert_never(stmt)
        return active

    def sample(self, stmt: Sample, active: Mask) -> None:
        given = self.given(stmt.args, active)
        args = [self.env[stmt.state], *(arg for arg in given if not isinstance(arg, Whole))]
        parts, state = sampled(stmt.op, args, self.calculus(stmt.op, active))
        for array in given:
            if isinstance(array, Whole):
                parts = [self.searched(array.name, self.algebra.discrete(parts[0]))]
        self.assign(stmt.name, self.packed(stmt.op.result, parts), active)
        self.assign(stmt.state, state, active)

    def searched(self, array: str, wanted: Lanes) -> V:
        """Where in an array of growing numbers one could go, as Warp finds it; of others, where its search ends."""
        numbers = self.inputs.arrays[self.passed.get(array, array)]
        launch = np.arange(wanted.size) // self.inputs.lanes
        low, high = np.zeros(wanted.shape, np.int32), np.full(wanted.shape, numbers.shape[1] - 1, np.int32)
        while some(low < high):
            middle = low + (high - low) // 2
            beyond = (low < high) & (numbers[launch, middle] < wanted)
            low, high = np.where(beyond, middle + 1, low), np.where(beyond, high, middle)
        return self.algebra.lift(low, I32)

    def unpacked(self, stmt: Unpack, active: Mask) -> Sequence[V]:
        """All that the function or the builtin gives."""
        if isinstance(stmt.function, Op):
            return self.each(stmt.function, [self.term(arg, active) for arg in stmt.args], active)
        return self.results(stmt.function, self.given(stmt.args, active), active)

    def write(self, stmt: Store | AugStore | Atomic, where: Index, value: V, type: Element, active: Mask) -> None:
        if not isinstance(type, Composite):
            self.algebra.write(stmt, where, value, active)
            return
        for k, part in enumerate(self.algebra.parts(value)):
            self.algebra.write(stmt, where, part, active, Part(k, type.width))

    def turns(self, stmt: Atomic, where: Index, active: Mask) -> V:
        """What lanes find, one after the other: how many came before, or whether one came to the same element."""
        if stmt.kind in MARKING:
            lanes = np.flatnonzero(active)
            places = flat_index(self.inputs, stmt.array, where, active, self.nowhere.copy(), WHOLE)[lanes]
            found = np.ones(active.size, np.int32)
            found[lanes[np.unique(places, return_index=True)[1]]] = 0
            return self.algebra.lift(found, I32)
        came = active.reshape(self.inputs.launches, -1)
        return self.algebra.lift((np.cumsum(came, axis=1) - came).reshape(-1), I32)

    def update(self, stmt: Store | AugStore, where: Index, value: V, active: Mask) -> None:
        """What is stored to, or made of, an element that only its own thread changes."""
        old, type = self.contents[stmt.array], stmt.value.type
        if isinstance(stmt, AugStore):
            value, type = self.apply(stmt.op, [old, value], active), stmt.op.result
        self.contents[stmt.array] = self.algebra.select(active, value, old)
        self.write(Store(stmt.array, stmt.index, stmt.value), where, value, type, active)

    def store_part(self, stmt: StorePart, where: Index, value: V, active: Mask) -> None:
        written = stmt.of_scalar
        if stmt.array in self.contents:
            parts = list(self.algebra.parts(self.contents[stmt.array]))
            old = parts[stmt.place]
            if isinstance(written, AugStore):
                value = self.apply(written.op, [old, value], active)
                written = Store(stmt.array, stmt.index, stmt.value)
            parts[stmt.place] = self.algebra.select(active, value, old)
            self.contents[stmt.array] = self.algebra.pack(parts)
        self.algebra.write(written, where, value, active, Part(stmt.place, stmt.type.width))

    def assign_part(self, stmt: AssignPart, active: Mask) -> None:
        parts = list(self.algebra.parts(self.env[stmt.name]))
        value, place = self.term(stmt.value, active), stmt.known
        if place is not None:
            parts[place] = value if stmt.op is None else self.apply(stmt.op, [parts[place], value], active)
        else:
            there = self.place(stmt, active)
            for k, old in enumerate(parts):
                if some(here := active & (there == k)):
                    new = value if stmt.op is None else self.apply(stmt.op, [old, value], here)
                    parts[k] = self.algebra.select(here, new, old)
        self.assign(stmt.name, self.algebra.pack(parts), active)

    def place(self, stmt: AssignPart, active: Mask) -> Lanes:
        """Which scalar each lane means, row by row; one that isn't there is noted."""
        index = self.index(stmt.index, active)
        indices = index if isinstance(index, tuple) else (index,)
        for size, along in zip(stmt.type.shape, indices, strict=True):
            self.algebra.note_undefined(active & ((along < 0) | (along >= size)))
        return np.asarray(indices[0] * stmt.type.shape[-1] + indices[1] if len(indices) > 1 else indices[0])

    def assign(self, name: str, value: V, active: Mask) -> None:
        if active is not self.everywhere and name in self.env and not every(active):
            value = self.algebra.select(active, value, self.env[name])
        self.env[name] = value

    def branch(self, condition: Term, body: Sequence[Stmt], orelse: Sequence[Stmt], active: Mask) -> Mask:
        value = self.term(condition, active)
        self.algebra.fork(condition, value, active)
        chosen = self.algebra.discrete(value)
        yes, no = active & chosen, active & ~chosen
        after_yes = self.block(body, yes) if some(yes) else yes
        after_no = self.block(orelse, no) if orelse and some(no) else no
        return active if after_yes is yes and after_no is no else after_yes | after_no

    def for_range(self, loop: For, active: Mask) -> Mask:
        bounds = [self.algebra.discrete(self.term(bound, active)) for bound in loop.bounds]
        first = 0 if loop.start is None else bounds[0]
        step = 1 if loop.step is None else bounds[-1]
        if loop.step is not None:
            self.algebra.note_undefined(active & (step == 0))  # which Warp takes for no trip, and Python for an error
        stops = bounds[loop.start is not None]
        left = self.nowhere
        for trip in range(TRIP_LIMIT):
            value = first + trip * step
            here, done = parted(
                active, value < stops if loop.step is None else np.where(step > 0, value < stops, value > stops)
            )
            left = left | done
            if not some(here):
                return left
            self.env[loop.variable] = self.counter(value)
            active, left = self.trip(loop.body, here, left)
        raise EndlessLoopError

    def counter(self, value: Lanes | int) -> V:
        if isinstance(value, int):
            return self.algebra.const(value, I32)
        return self.algebra.lift(value, I32)

    def while_true(self, condition: Term, body: Sequence[Stmt], active: Mask) -> Mask:
        left = self.nowhere
        for _ in range(TRIP_LIMIT):
            value = self.term(condition, active)
            self.algebra.fork(condition, value, active)
            here, done = parted(active, self.algebra.discrete(value))
            left = left | done
            if not some(here):
                return left
            active, left = self.trip(body, here, left)
        raise EndlessLoopError

    def trip(self, body: Sequence[Stmt], here: Mask, left: Mask) -> tuple[Mask, Mask]:
        """One time round: the lanes that go round again, and those that have left the loop but not the kernel."""
        loop = _Loop(self.nowhere, self.nowhere)
        self.loops.append(loop)
        after = self.block(body, here)
        self.loops.pop()
        again = after if loop.continued is self.nowhere else after | loop.continued
        return again, left | loop.broken


def parted(active: Mask, condition: Mask) -> tuple[Mask, Mask]:
    """The active lanes on which it holds, those very ones if it holds on all, and the others."""
    failed = active & ~condition
    return (active & condition if some(failed) else active), failed


def updated_arrays(kernel: Kernel) -> tuple[str, ...]:
    """The arrays with elements that are read where they are changed, each by its own thread."""
    updates = (stmt.array for stmt in statements(kernel.body) if isinstance(stmt, AugStore) and stmt.kind is None)
    return tuple(dict.fromkeys(updates))


def element_shape(element: Element) -> tuple[int, ...]:
    """The axes that the scalars of an element take."""
    return (element.width,) if isinstance(element, Composite) else ()
