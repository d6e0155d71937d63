"""Whether a tree is a kernel, derived anew from the tree alone, and what Warp documents about its adjoint.

The key insight: the generator's promises are only worth something if something else can break them, so types, scopes,
definite assignment and use are checked here without a line of the code that grew the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import numpy as np

from grammar.atomics import BITWISE, MARKING, AtomicKind
from grammar.derive import adjoint_problems, gradient_problems
from grammar.names import RESERVED
from grammar.op import Chain, Infix, InPlace, Item, Member, Op, is_changing
from grammar.ops import SAMPLERS, SEVERAL
from grammar.outline import outline_problems, outlined_parts, replay_name
from grammar.overloads import are_told_apart
from grammar.params import Param, Role
from grammar.passing import passing_problems
from grammar.paths import ELEMENT, owner, root
from grammar.slots import is_kept, slot_problems, slots
from grammar.structs import Classes, struct_problems
from grammar.threads import marked_otherwise, out_of_step
from grammar.tiles import is_of_threads, is_tile
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
    Writing,
    all_functions,
    all_terms,
    indices_of,
    is_own,
    own_subterms,
    statements,
    taken,
)
from grammar.types import ATOMIC, BARE, BITS, BOOL, F16, I32, INTEGERS, WARPS, Array, Element, Scalar
from grammar.views import is_read_by, view_problems

SHARING = ("tile_view", "tile_transpose", "tile_broadcast", "tile_reshape", "tile_squeeze", "extract")
"""Operations that give a tile which is another one, seen otherwise."""

Scope = dict[str, Element | str]
"""The locals that are certainly assigned here, with their types; structs with their classes."""


def problems(kernel: Kernel) -> tuple[str, ...]:
    """What is wrong with the kernel, one line each; empty for a kernel of the grammar."""
    called = all_functions(kernel)
    structs = dict.fromkeys(owner(param.name) for param in kernel.params if "." in param.name)
    functions = dict.fromkeys(function.name for function in called)
    names = [kernel.name, *(param.name for param in kernel.params), *functions, *structs]
    names += [name for stmt in outlined_parts(kernel) for name in (stmt.name, replay_name(stmt))]
    names += {struct.name for struct in kernel.structs}
    values: dict[str, Const] = {}
    for term in all_terms(kernel):
        if isinstance(term, Const) and is_own(term) and repr(values.setdefault(term.name, term)) != repr(term):
            return (f"{term.name} is two constants",)
    names += values
    twice = (f"{name} is declared twice" for name in sorted(set(names)) if names.count(name) > 1)
    alike = [[function for function in called if function.name == name] for name in functions]
    unclear = (f"{each[0].name} may mean several functions" for each in alike if not are_told_apart(each))
    inside = (problem for function in called for problem in _of_function(function))
    outside = (*twice, *unclear, *_of_any_type(kernel), *struct_problems(kernel), *slot_problems(kernel))
    return (*outside, *view_problems(kernel), *inside, *_Checker(kernel).complaints())


def _of_any_type(kernel: Kernel) -> Iterator[str]:
    """What no kernel has that is written for arrays of any type."""
    tiled = any(is_tile(param.element) for param in kernel.params)
    if kernel.generic and (kernel.structs or tiled or not kernel.of_any_type):
        yield "it is written for arrays of any type, but has structs, tiles or no output"


def _of_function(function: Function) -> Iterator[str]:
    """What is wrong with it, seen as a kernel that takes its parameters and stores what it returns."""
    params = tuple(Param(param.name, taken(param), Role.VALUE) for param in function.params)
    checker = _Checker(Kernel(function.name, params, function.body, "", function.structs), function.results)
    scope: Scope = {param.name: param.type for param in function.params if isinstance(param, Var)}
    for problem in (*checker.block(function.body, scope, loop=False), *checker.unread()):
        yield f"{function.name}: {problem}"
    usual = [(param.type, const.type) for param, const in zip(params[::-1], function.defaults[::-1], strict=False)]
    if len(usual) < len(function.defaults) or any(type is not given or given not in BARE for type, given in usual):
        yield f"{function.name} has other defaults than numbers of the types of its last parameters"
    if function.generic and not all(isinstance(param, Var) and "." not in param.name for param in function.params):
        yield f"{function.name} takes arrays or structs of any type"
    if any(const.name for const in function.defaults):
        yield f"{function.name} has a constant of the module for a default"
    yield from (*adjoint_problems(function), *passing_problems(function))
    if not _leaves(function.body):
        yield f"{function.name} may end without a result"
    if any(isinstance(stmt, Thread | View | Writing) for stmt in statements(function.body)):
        yield f"{function.name} does what only kernels do"


class _Checker:
    def __init__(self, kernel: Kernel, results: tuple[Element, ...] = ()) -> None:
        self.kernel = kernel
        self.results = results
        """What a function returns; nothing in a kernel."""
        self.params = {param.name: param for param in kernel.params}
        self.roots = {owner(param.name) for param in kernel.params}
        self.classes = Classes.of(kernel)
        self.slots = slots(kernel)
        self.read: set[str] = set()
        self.written: set[str] = set()
        self.own_only: set[str] = set()
        """Arrays whose elements are read where they are changed."""
        self.shared: set[str] = set()
        """Arrays of which threads change each other's elements."""
        self.views: dict[str, View] = {}
        self.sharing: set[str] = set()
        """Tiles that hold what others do."""
        self.types: Scope = {}
        self.counters: list[str] = []
        """The thread indices, then the loop variables, innermost last."""
        self.own: Term | None = None
        """The index of a thread's own element."""

    def complaints(self) -> Iterator[str]:
        if not self.kernel.body or not isinstance(self.kernel.body[0], Thread):
            yield "the first statement is not the thread index"
        scope: Scope = {p.name: p.type for p in self.kernel.params if not isinstance(p.type, Array)}
        yield from self.block(self.kernel.body, scope, loop=False)
        yield from self.unread()
        yield from out_of_step(self.kernel)

    def unread(self) -> Iterator[str]:
        """What is declared and comes to nothing; no tile is passed to a kernel by itself."""
        yield from (f"{param.name} is a tile" for param in self.kernel.params if is_tile(param.type))
        for param in self.kernel.params:
            used = self.written if param.is_output else self.read
            if param.name not in used:
                yield f"parameter {param.name} is not used"
            if param.is_output and param.name in self.read:
                yield f"output {param.name} is read"
        yield from marked_otherwise(self.kernel)
        yield from (f"{name} is changed by its threads and by others" for name in sorted(self.own_only & self.shared))
        yield from (f"local {name} is never read" for name in self.types if name not in self.read)

    # -- statements ---------------------------------------------------------------------------------------------------

    def block(self, body: tuple[Stmt, ...], scope: Scope, loop: bool) -> Iterator[str]:
        for k, stmt in enumerate(body):
            if isinstance(stmt, Break | Continue | Return) and k + 1 < len(body):
                yield f"statements after {type(stmt).__name__.lower()} are never reached"
            if isinstance(stmt, Thread) and (body is not self.kernel.body or k > 0):
                yield "the thread index is taken twice"
            yield from self.statement(stmt, scope, loop)

    def statement(self, stmt: Stmt, scope: Scope, loop: bool) -> Iterator[str]:
        match stmt:
            case Thread():
                for name in stmt.names:
                    yield from self.own_name(name)
                    self.counters.append(name)
                    scope[name] = I32
                self.own = stmt.own
            case View(name, array, index):
                yield from self.own_name(name)
                for part in indices_of(index):
                    yield from self.term(part, scope)
                    if part.type is not I32:
                        yield f"{array} is indexed by a {part.type}"
                self.counters.append(name)
                self.views[name] = stmt
            case Assign(name, Apply(op, (Var(same) as old, *others))) if same == name and is_changing(op):
                yield from self.changed_in_place(op, old, tuple(others), scope)
            case Assign(name, value):
                if _shares(value):
                    self.sharing.add(name)
                yield from self.term(value, scope, reader=name)
                yield from self.define(name, value.type, scope)
            case AugAssign(name, op, value):
                if is_tile(value.type) and name in self.read:
                    yield f"{name} is changed in place, which has been read before"
                yield from self.term(value, scope, reader=name)
                yield from self.augmented(op.spelling, op.params, op.result, scope.get(name), value)
            case AssignPart():
                yield from self.part(stmt, scope)
            case Sample(name, op, state, args):
                for arg in args:
                    yield from self.passed(arg) if isinstance(arg, Whole) else self.term(arg, scope)
                wanted = (*op.params[1:], *([Array(op.searched)] if op.searched else ()))
                if scope.get(state) is not op.params[0] or tuple(map(taken, args)) != wanted or op not in SAMPLERS:
                    yield f"{op.key} does not sample with {state}"
                self.read.add(state)
                yield from self.define(name, op.result, scope)
            case Unpack(names, function, args):
                yield from self.unpacked(function, args, scope)
                if len(set(names)) < len(names) or len(names) != len(function.results) or not function.others:
                    yield f"{function.name} does not return one value for each of {', '.join(names)}"
                for name, result in zip(names, function.results, strict=False):
                    yield from self.define(name, result, scope)
            case Store(array, index, value):
                yield from self.write(array, index, value, scope)
                if is_of_threads(value.type):
                    yield f"what is stored to {array} depends on how many threads are in a block"
                if index != self.own and not is_kept(stmt, self.slots):
                    yield f"{array} is stored to at an index that is not the thread's own"
                scope[stored(array)] = value.type
            case Atomic(kind, array, index, value, name):
                yield from self.write(array, index, value, scope)
                if name:
                    yield from self.define(name, value.type, scope)
                yield from self.updated(array, value, kind)
                self.shared.add(array)
                if is_tile(value.type) and kind is not AtomicKind.ADD:
                    yield f"there is no {kind.value} of tiles"
                if is_of_threads(value.type) and index != Const(I32, 0):
                    yield f"not all threads of a block add to the same place of {array}"
                if kind in (AtomicKind.MIN, AtomicKind.MAX) and value.type.scalar is F16:
                    yield f"there is no {kind.value} of float16"
            case AugStore(array, index, op, value):
                yield from self.write(array, index, value, scope, op.result)
                if is_tile(op.result):
                    yield f"{array} is updated by a tile, but not by tile_atomic_add"
                yield from self.augmented(op.spelling, op.params, op.result, op.result, value)
                if stmt.kind is not None:
                    yield from self.updated(array, value, stmt.kind)
                    if index != self.own:
                        self.shared.add(array)
                else:
                    yield from self.changed(array, index, op.result, scope)
                    if "." in array:
                        yield f"{array} is changed by an operator that is no atomic, a field"
            case StorePart(array, index, _, _, value):
                yield from self.write(array, index, value, scope, stmt.type)
                yield from self.element_part(stmt)
            case If(condition, yes, no):
                yield from self.condition(condition, scope)
                yield from self.fork(yes, no, scope, loop)
            case For(variable, start, _, body, step):
                yield from self.own_name(variable)
                if not body:
                    yield "a loop has no body"
                if start is None and step is not None:
                    yield "a loop has a step but no start"
                if isinstance(step, Const) and step.value == 0:
                    yield "a loop steps by nothing"
                for bound in stmt.bounds:
                    yield from self.term(bound, scope)
                    if bound.type is not I32:
                        yield "a loop bound is not an int32"
                self.counters.append(variable)
                yield from self.trips(body)
                yield from self.block(body, {**scope, variable: I32}, loop=True)
                self.counters.pop()
            case While(condition, body):
                if not body:
                    yield "a loop has no body"
                yield from self.condition(condition, scope)
                yield from self.trips(body)
                yield from self.block(body, dict(scope), loop=True)
            case Fieldwise(struct, target, body):
                yield from self.classes.problems(stmt, {n: c for n, c in scope.items() if isinstance(c, str)})
                if not target.endswith(ELEMENT):
                    yield from self.own_name(target)
                    scope[target] = struct
                yield from self.block(body, scope, loop)
            case Outlined(_, body):
                yield from outline_problems(stmt, set(scope))
                yield from self.block(body, dict(scope), loop=False)
            case Break() | Continue():
                if not loop:
                    yield f"{type(stmt).__name__.lower()} outside of a loop"
            case Return(value, others):
                if loop:
                    yield "return inside of a loop"
                values = () if value is None else (value, *others)
                if tuple(each.type for each in values) != self.results:
                    yield "what is returned is of another type"
                for each in values:
                    yield from self.term(each, scope)
            case _:
                assert_never(stmt)

    def trips(self, body: tuple[Stmt, ...]) -> Iterator[str]:
        for name in _changed_where_read(body):
            yield f"{name} is changed in place, which the trip before has read"

    def changed_in_place(self, op: Op, old: Var, others: tuple[Term, ...], scope: Scope) -> Iterator[str]:
        """A local that no adjoint needs as it was, nor holds what others do."""
        if old.name in self.read:
            yield f"{old.name} is changed in place, which has been read before"
        both = isinstance(op.spelling, InPlace) and op.spelling.both
        for other in others:
            if both and not (isinstance(other, Var) and other.name not in self.read | self.sharing):
                yield f"{op.key} changes what has been read before, or has no name"
            yield from self.term(other, scope)
            if both and isinstance(other, Var):
                scope.pop(other.name, None)
        if old.name in self.read:
            yield f"{old.name} is changed in place by what is made of it"
        if old.name in self.sharing:
            yield f"{old.name} is changed in place, which is a part of another tile"
        if scope.get(old.name) is not old.type or old.name in self.params or "." in old.name:
            yield f"{old.name} is changed in place, which is no local of that type"
        if (old.type, *(other.type for other in others)) != op.params:
            yield f"{op.key} is applied to other types"

    def own_name(self, name: str) -> Iterator[str]:
        """Of the thread index or a loop variable: nothing else in the kernel bears it."""
        if name in self.roots or name in self.types or name in self.counters:
            yield f"{name} is the name of something else, too"

    def define(self, name: str, type: Element, scope: Scope) -> Iterator[str]:
        if root(name) in self.roots:
            yield f"parameter {name} is assigned to"
        if "." in name and not isinstance(scope.get(root(name)), str):
            yield f"{root(name)} is no struct here, or may be unassigned"
        if isinstance(scope.get(name), str):
            yield f"{name} is the name of something else, too"
        if name in self.counters:
            yield f"{name} is assigned to, which is the thread index or a loop variable"
        if name in RESERVED or name == self.kernel.name:
            yield f"{name} can't be the name of a local"
        if self.types.setdefault(name, type) != type:
            yield f"local {name} changes its type"
        scope[name] = type

    def fork(self, yes: tuple[Stmt, ...], no: tuple[Stmt, ...], scope: Scope, loop: bool) -> Iterator[str]:
        """Afterwards a name is assigned if both ways assign it; a way that leaves the block doesn't count."""
        if not yes:
            yield "an if has no body"
        one, other = dict(scope), dict(scope)
        yield from self.block(yes, one, loop)
        yield from self.block(no, other, loop)
        ways = [names for names, body in ((one, yes), (other, no)) if not _leaves(body)] or [scope]
        scope.update({name: type for name, type in ways[0].items() if all(name in way for way in ways)})

    def condition(self, condition: Term, scope: Scope) -> Iterator[str]:
        yield from self.term(condition, scope)
        if condition.type is not BOOL:
            yield "a condition is not a bool"

    def part(self, stmt: AssignPart, scope: Scope) -> Iterator[str]:
        name, type = stmt.name, stmt.type
        yield from self.term(stmt.value, scope, reader=name)
        indices = indices_of(stmt.index)
        for index in indices:
            yield from self.term(index, scope)
        if name not in self.types or scope.get(name) is not type:
            yield f"a part of {name} is assigned to, which is no local of that type"
        if stmt.value.type is not type.scalar or any(index.type is not I32 for index in indices):
            yield f"a part of {name} is given another type, or meant by no int32"
        if type.is_rigid or len(indices) != len(type.shape):
            yield f"{name} has no part with {len(indices)} indices"
        elif any(isinstance(i, Const) and not 0 <= i.value < n for i, n in zip(indices, type.shape, strict=True)):
            yield f"{name} has no such part"
        if stmt.lettered and (stmt.known is None or not type.has_letters or "." in name):
            yield f"no part of {name} has a letter"
        if stmt.op is not None:
            yield from self.augmented(stmt.op.spelling, stmt.op.params, stmt.op.result, type.scalar, stmt.value)

    def element_part(self, stmt: StorePart) -> Iterator[str]:
        array, type, update = stmt.array, stmt.type, stmt.of_scalar
        if type.is_rigid or type.is_tile or ELEMENT in array:
            yield f"the elements of {array} have no parts to write to"
        elif not 0 <= stmt.place < type.width or (stmt.lettered and not type.has_letters):
            yield f"the elements of {array} have no such part"
        if stmt.value.type is not type.scalar:
            yield f"a part of {array} is given another type"
        if isinstance(update, Store):
            self.own_only.add(array)
        elif update.kind is None:
            yield f"a part of {array} is changed by an operator that is no atomic"
        else:
            yield from self.augmented(update.op.spelling, update.op.params, update.op.result, type.scalar, stmt.value)
            yield from self.updated(array, stmt.value, update.kind)
        if stmt.index != self.own:
            self.shared.add(array)

    def changed(self, array: str, index: Term, type: Element, scope: Scope) -> Iterator[str]:
        """An element that is read and then stored to."""
        param = self.params.get(array)
        self.own_only.add(array)
        if index != self.own:
            yield f"{array} is changed at an index that is not the thread's own"
        if param is None or (param.role is not Role.ACCUMULATOR and scope.get(stored(array)) is not type):
            yield f"{array} is changed before it holds anything"

    def write(self, array: str, index: Term, value: Term, scope: Scope, type: Element | None = None) -> Iterator[str]:
        yield from self.index(array, index, scope)
        yield from self.term(value, scope)
        param = self.params.get(array)
        self.written.add(array)
        if param is None or not param.is_output:
            yield f"{array} is written but is no output"
        elif param.element is not (type or value.type) or index.type is not I32:
            yield f"a value of type {value.type} is written to {array}, or at an index that is not an int32"
        if "." in array and is_tile(value.type):
            yield f"{array} is written as tiles, a field"

    def updated(self, array: str, value: Term, kind: AtomicKind) -> Iterator[str]:
        param = self.params.get(array)
        if ELEMENT in array:
            yield f"{array} is updated in place, a field of structs"
        if value.type.scalar not in ATOMIC or param is None or param.role is not Role.ACCUMULATOR:
            yield f"{array} is updated in place but holds no numbers to begin with"
        if kind in MARKING and not (isinstance(value, Const) and value.type in INTEGERS):
            yield f"{array} is marked by what is no whole number"
        if kind in BITWISE and value.type not in BITS:
            yield f"there is no {kind.value} of {value.type}"

    def augmented(
        self, spelling: object, params: tuple[Element, ...], result: Element, target: Element | str | None, value: Term
    ) -> Iterator[str]:
        if not isinstance(spelling, Infix) or params != (target, value.type) or result is not target:
            yield "an augmented assignment has no such operator on these types"

    # -- terms --------------------------------------------------------------------------------------------------------

    def term(self, term: Term, scope: Scope, reader: str = "") -> Iterator[str]:
        """`reader` is the local that the term is assigned to: reading only itself doesn't make it read."""
        match term:
            case Const(type, value):
                if value != value or (type in INTEGERS and not _is_of(type, value)):
                    yield f"{value!r} is no literal"
                if term.name.startswith("wp.") and WARPS.get(term.name) != value:
                    yield f"{term.name} is not {value!r}"
                if term.static and (not is_own(term) or type not in BARE):
                    yield f"{term.name or value} is no number of Python's"
                if isinstance(value, bool) is not (type is BOOL) or isinstance(value, int) is not (
                    type in (BOOL, *INTEGERS)
                ):
                    yield f"{value!r} is no {type}"
            case Var(name, type):
                if name != reader:
                    self.read.add(name)
                if scope.get(name) is not type:
                    yield f"{name} may be unassigned here, or is no {type}"
            case Read(array, index, type, via):
                if via and not is_read_by(self.views.get(via), term):
                    yield f"an element of {array} is read by {via}, in which it does not lie"
                yield from self.array(array, type)
                yield from self.index(array, index, scope, reader)
            case At():
                yield "indices stand where a value should"
            case Size(array, type, axis, by_len):
                if by_len and axis:
                    yield f"len is the length of {array} along its first axis"
                yield from self.array(array, None)
                if type is not I32:
                    yield "a length is an int32"
                if array in self.params and is_tile(self.params[array].element):
                    yield f"the length of {array} is that of scalars, not of tiles"
                if not 0 <= axis < self.dimensions(array):
                    yield f"{array} has no axis {axis}"
            case Apply(op, args):
                for arg in args:
                    yield from self.term(arg, scope, reader)
                if tuple(arg.type for arg in args) != op.params:
                    yield f"{op.key} is applied to other types"
                if is_changing(op):
                    yield f"{op.key} stands where a value should, or changes another local than it is assigned to"
                if isinstance(op.spelling, Chain) and _is_element(args[-1]):
                    yield f"{op.key} has an element of an array for the last of three"
                if op.name == "tile" and (_is_element(args[0]) or (isinstance(args[0], Var) and "." in args[0].name)):
                    yield f"{op.key} has an element of an array, or a field, for its value"
                if op.others:
                    yield f"{op.key} gives several values where one should stand"
            case Invoke(function, args):
                yield from self.call(function, args, scope, reader)
                yield from self.classes.passing(function, args, {n: c for n, c in scope.items() if isinstance(c, str)})
                if function.others:
                    yield f"{function.name} returns several values where one should stand"
            case Whole():
                yield "an array stands where a value should"
            case _:
                assert_never(term)

    def call(self, function: Function, args: tuple[Term, ...], scope: Scope, reader: str = "") -> Iterator[str]:
        for arg in args:
            yield from self.passed(arg) if isinstance(arg, Whole) else self.term(arg, scope, reader)
        if tuple(map(taken, args)) != tuple(map(taken, function.params)):
            yield f"{function.name} is called with other types"
        yield from gradient_problems(function)

    def unpacked(self, function: Function | Op, args: tuple[Term, ...], scope: Scope) -> Iterator[str]:
        if isinstance(function, Function):
            yield from self.call(function, args, scope)
            return
        for arg in args:
            yield from self.term(arg, scope)
        if tuple(arg.type for arg in args) != function.params or function not in SEVERAL:
            yield f"{function.key} does not give several values of these"

    def passed(self, array: Whole) -> Iterator[str]:
        yield from self.array(array.name, array.type)
        if self.dimensions(array.name) != array.array.dimensions:
            yield f"{array.name} is passed as an array of {array.array.dimensions} dimensions"
        if ELEMENT in array.name:
            yield f"{array.name} is passed as an array, a field of structs"

    def index(self, array: str, index: Term, scope: Scope, reader: str = "") -> Iterator[str]:
        parts = indices_of(index)
        for part in parts:
            yield from self.term(part, scope, reader)
            if part.type is not I32:
                yield f"{array} is indexed by a {part.type}"
        if len(parts) != self.dimensions(array):
            yield f"{array} has not {len(parts)} dimensions"

    def dimensions(self, array: str) -> int:
        param = self.params.get(array)
        return param.type.dimensions if param is not None and isinstance(param.type, Array) else 1

    def array(self, name: str, element: Element | None) -> Iterator[str]:
        self.read.add(name)
        param: Param | None = self.params.get(name)
        if param is None or not isinstance(param.type, Array):
            yield f"{name} is no array"
        elif element is not None and param.element is not element:
            yield f"{name} holds no {element}"
        elif param.role is Role.OUT:
            yield f"output {name} is read"


def stored(array: str) -> str:
    """What stands in a scope for an array whose own element was stored to."""
    return f"{array}[]"


def _shares(term: Term) -> bool:
    """Whether it is a tile that another is seen as."""
    return isinstance(term, Apply) and is_tile(term.type) and term.op.name in SHARING


def _changed_where_read(body: tuple[Stmt, ...]) -> Iterator[str]:
    """Tiles that a trip of a loop changes in place when the one before has read them."""
    within = tuple(statements(body))
    changes = [stmt for stmt in within if isinstance(stmt, Assign) and _is_in_place(stmt)]
    others = [stmt for stmt in within if stmt not in changes]
    read = {term.name for stmt in others for term in own_subterms(stmt) if isinstance(term, Var)}
    fresh = {stmt.name for stmt in others if isinstance(stmt, Assign)}
    yield from dict.fromkeys(stmt.name for stmt in changes if stmt.name in read - fresh)


def _is_in_place(stmt: Assign) -> bool:
    return isinstance(stmt.value, Apply) and isinstance(stmt.value.op.spelling, InPlace)


def _is_of(type: Scalar, value: float) -> bool:
    ends = np.iinfo(type.dtype)
    return int(ends.min) <= value <= int(ends.max)


def _is_element(term: Term) -> bool:
    """Of an array, or a part of one: what Warp refers to rather than reads."""
    while isinstance(term, Apply) and isinstance(term.op.spelling, Member | Item):
        term = term.args[0]
    return isinstance(term, Read)


def _leaves(body: tuple[Stmt, ...]) -> bool:
    """Whether the block never gets to its end."""
    if not body:
        return False
    last = body[-1]
    match last:
        case Break() | Continue() | Return():
            return True
        case If(_, yes, no):
            return _leaves(yes) and _leaves(no)
        case _:
            return False
