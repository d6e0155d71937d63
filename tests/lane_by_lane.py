"""A second interpreter of kernels: one thread after the other, with Python's own control flow.

The key insight: it shares with the reference only the meanings of the rows, so masks can be held against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import assert_never

import numpy as np

from grammar.derive import gradient_of
from grammar.layout import Inputs, grid
from grammar.number import Calculus, sampled
from grammar.op import Lanes, Op
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
    indices_of,
)
from grammar.types import I32, Composite


class BreakLoop(Exception):  # noqa: N818 - not an error
    pass


class ContinueLoop(Exception):  # noqa: N818 - not an error
    pass


class ReturnKernel(Exception):  # noqa: N818 - not an error
    pass


@dataclass(slots=True)
class Lane:
    """One thread of one launch; a value is an array of one element, so that the table's meanings apply as they are.

    Of a composite it has one more axis in front, which numbers the scalars.
    """

    index: int
    lanes: int
    arrays: Mapping[str, Lanes]
    env: dict[str, Lanes]
    undefined: bool = False

    def run(self, kernel: Kernel) -> None:
        with suppress(ReturnKernel):
            self.block(kernel.body)

    def block(self, body: tuple[Stmt, ...]) -> None:
        for stmt in body:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        match stmt:
            case Thread(_, others):
                place = np.unravel_index(self.index, grid(self.lanes, 1 + len(others)))
                self.env |= {name: np.array([k], np.int32) for name, k in zip(stmt.names, place, strict=True)}
            case Assign(name, value):
                self.env[name] = self.term(value)
            case AugAssign(name, op, value):
                self.env[name] = self.apply(Apply(op, (Var(name, op.params[0]), value)))
            case AssignPart():
                self.assign_part(stmt)
            case Sample(name, op, state, args):
                given = [self.env[state], *(self.term(arg) for arg in args if not isinstance(arg, Whole))]
                calculus = Calculus(lambda row, values: row(*values), lambda v, type: np.array([v], type.dtype))
                parts, self.env[state] = sampled(op, given, calculus)
                self.env[name] = np.stack(parts) if isinstance(op.result, Composite) else parts[0]
                for arg in args:
                    if isinstance(arg, Whole):
                        self.env[name] = np.searchsorted(self.arrays[arg.name][:-1], parts[0]).astype(np.int32)
            case Store(array, index, value):
                self.put(array, self.place(index), self.term(value), "store")
            case AugStore(array, index, op, value) if stmt.kind is None:
                old = Read(array, index, op.result)
                self.put(array, self.place(index), self.apply(Apply(op, (old, value))), "store")
            case AugStore(array, index, op, value):
                self.put(array, self.place(index), self.term(value), op.name.removeprefix("bit_"))
            case StorePart(array, index, _, part, value, op):
                how = "store" if op is None else op.name.removeprefix("bit_")
                self.put_scalar(self.arrays[array][..., part], self.place(index), self.term(value), how)
            case Atomic(kind, array, index, value, name):
                if name:
                    self.env[name] = self.term(Read(array, index, I32))
                self.put(array, self.place(index), self.term(value), kind.name.lower())
            case If(condition, yes, no):
                self.block(yes if self.holds(condition) else no)
            case For(variable, _, _, body):
                for counter in range(*map(self.whole, stmt.bounds)):
                    self.env[variable] = np.array([counter], np.int32)
                    if not self.goes_on(body):
                        break
            case While(condition, body):
                while self.holds(condition) and self.goes_on(body):
                    pass
            case View():
                pass
            case Fieldwise(_, _, body) | Outlined(_, body):
                self.block(body)
            case Break():
                raise BreakLoop
            case Continue():
                raise ContinueLoop
            case Return(value, others):
                raise ReturnKernel([] if value is None else [self.term(each) for each in (value, *others)])
            case Unpack(names, function, args):
                given = list(self.each(function, args)) if isinstance(function, Op) else self.invoke(function, args)
                self.env |= dict(zip(names, given, strict=True))
            case _:
                assert_never(stmt)

    def each(self, op: Op, args: tuple[Term, ...]) -> Iterator[Lanes]:
        """All results of a builtin that gives several."""
        scalars = iter(op(*map(self.term, args)))
        for type in op.results:
            own = list(islice(scalars, type.width))
            yield np.stack(own) if isinstance(type, Composite) else own[0]

    def assign_part(self, stmt: AssignPart) -> None:
        value, where, shape = self.term(stmt.value), self.place(stmt.index), stmt.type.shape
        if not all(0 <= k < n for k, n in zip(where, shape, strict=True)):
            self.undefined = True
            return
        parts = self.env[stmt.name].copy().reshape(*shape, 1)
        parts[where] = value if stmt.op is None else stmt.op(parts[where], value)
        self.env[stmt.name] = parts.reshape(-1, 1)

    def goes_on(self, body: tuple[Stmt, ...]) -> bool:
        """Once through the body of a loop; False if it is left."""
        try:
            self.block(body)
        except ContinueLoop:
            pass
        except BreakLoop:
            return False
        return True

    def place(self, index: Term) -> tuple[int, ...]:
        return tuple(map(self.whole, indices_of(index)))

    def put(self, array: str, index: tuple[int, ...], value: Lanes, how: str) -> None:
        target = self.arrays[array]
        if not inside(target, index):
            self.undefined = True
            return
        if value.ndim > 1:
            for number, part in enumerate(value):
                self.put_scalar(target[..., number], index, part, how)
        else:
            self.put_scalar(target, index, value, how)

    def put_scalar(self, target: Lanes, index: tuple[int, ...], value: Lanes, how: str) -> None:
        old, new = target[index], value[0]
        with np.errstate(all="ignore"):
            match how:
                case "store":
                    target[index] = new
                case "exch":
                    target[index] = new
                case "cas":
                    target[index] = old if old else new
                case "add":
                    target[index] = old + new
                case "sub":
                    target[index] = old - new
                case "min":
                    target[index] = new if np.isnan(old) or new < old else old
                case "max":
                    target[index] = new if np.isnan(old) or new > old else old
                case "and":
                    target[index] = old & new
                case "or":
                    target[index] = old | new
                case "xor":
                    target[index] = old ^ new
                case _:
                    raise AssertionError(how)

    def whole(self, term: Term) -> int:
        return int(self.term(term)[0])

    def holds(self, term: Term) -> bool:
        return bool(self.term(term)[0])

    def term(self, term: Term) -> Lanes:
        match term:
            case Const(type, value):
                return np.array([value], type.dtype)
            case Var(name, _):
                return self.env[name]
            case Size(array, _, axis):
                return np.array([self.arrays[array].shape[axis]], np.int32)
            case Read(array, index, _):
                where, source = self.place(index), self.arrays[array]
                self.undefined |= not inside(source, where)
                clipped = tuple(min(max(k, 0), n - 1) for k, n in zip(where, source.shape, strict=False))
                return np.asarray(source[clipped][np.newaxis].T)
            case At() | Whole():
                raise AssertionError("indices and arrays are no values")
            case Apply():
                return self.apply(term)
            case Invoke(function, args):
                return self.invoke(function, args)[0]
            case _:
                assert_never(term)

    def invoke(self, function: Function, args: tuple[Term, ...]) -> list[Lanes]:
        outer, arrays, given = self.env, self.arrays, list(zip(function.params, args, strict=True))
        own = {param.name: self.term(arg) for param, arg in given if not isinstance(arg, Whole)}
        self.arrays = {param.name: arrays[arg.name] for param, arg in given if isinstance(arg, Whole)}
        self.env = own
        meant = gradient_of(function) if function.gradient else function
        assert meant is not None
        try:
            self.block(meant.body)
        except ReturnKernel as result:
            returned: list[Lanes] = result.args[0]
        self.env, self.arrays = outer, arrays
        return returned

    def apply(self, term: Apply) -> Lanes:
        op, args = term.op, [self.term(arg) for arg in term.args]
        if op.domain is not None and op.result is I32:
            self.undefined |= not op.domain(*args).all()
        value = op(*args)
        value = value if args and value.ndim else value[..., np.newaxis]  # what hangs on no lane, or on its type alone
        assert value.shape == ((op.result.width, 1) if isinstance(op.result, Composite) else (1,))
        assert value.dtype == op.result.dtype
        return value


def inside(array: Lanes, index: tuple[int, ...]) -> bool:
    return all(0 <= k < length for k, length in zip(index, array.shape, strict=False))


def lane_by_lane(kernel: Kernel, inputs: Inputs) -> tuple[dict[str, Lanes], Lanes]:
    """Each array after the launches, flattened over them, and the lanes that were undefined."""
    arrays = {name: np.array(column) for name, column in inputs.arrays.items()}
    undefined = []
    for launch in range(inputs.launches):
        own = {name: column[launch] for name, column in arrays.items()}
        for index in range(inputs.lanes):
            lane = Lane(index, inputs.lanes, own, {name: column[[launch]].T for name, column in inputs.scalars.items()})
            lane.run(kernel)
            undefined.append(lane.undefined)
    return {name: column.reshape(-1) for name, column in arrays.items()}, np.array(undefined)
