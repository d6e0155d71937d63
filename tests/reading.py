"""Reads emitted Python back into a kernel, by `ast` and the table.

The key insight: whoever reads the text without knowing the tree must come to the same tree.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np

from grammar.atomics import AtomicKind
from grammar.op import Call, Chain, Infix, InPlace, Item, Known, Member, Op, Pasted, Placed, Prefix, Slice, Ternary
from grammar.ops import CHANGERS, SAMPLERS, SEVERAL, TABLE
from grammar.tiles import is_tile
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
    For,
    Function,
    If,
    Invoke,
    Outlined,
    Passed,
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
    is_own,
    own_terms,
    statements,
    taken,
)
from grammar.types import BOOL, COMPOSITES, ELEMENTS, F32, I32, SCALARS, WARPS, Array, Composite, Type

# -- reading text -----------------------------------------------------------------------------------------------------

TOKENS = {
    "Sub": "Subtract",
    "Mult": "Multiply",
    "Div": "Divide",
    "FloorDiv": "FloorDivide",
    "Mod": "Modulo",
    "LShift": "LeftShift",
    "RShift": "RightShift",
    "Lt": "LessThan",
    "LtE": "LessThanEqual",
    "Gt": "GreaterThan",
    "GtE": "GreaterThanEqual",
    "Eq": "Equal",
    "NotEq": "NotEqual",
    "USub": "Minus",
    "Invert": "BitInvert",
    "MatMult": "MatrixMultiply",
    "Pow": "Power",
}
"""The operators that `ast` names otherwise than the table does."""

CASTS = {scalar.spelling: scalar for scalar in SCALARS}
LATE = ("Any", "wp.Function")
"""Annotations of what is read only where it is called."""
ANNOTATIONS: dict[str, Type] = {
    **{type.spelling: type for type in ELEMENTS.values() if not is_tile(type)},
    **{f"wp.array[{type.spelling}]": Array(type) for type in ELEMENTS.values() if not is_tile(type)},
    **{f"wp.array{n}d[{T.spelling}]": Array(T, n) for T in ELEMENTS.values() if not is_tile(T) for n in (2, 3, 4)},
}


KNOWN_FIRST = ("tile_map", "tile_reduce", "tile_full", "tile_from_thread", "tile_arange")
"""Builtins whose first argument is known when compiling."""
LOADED = [type for type in ELEMENTS.values() if is_tile(type) and not type.of_threads]
IN_PLACE = {op.spelling.function for op in CHANGERS if isinstance(op.spelling, InPlace)}


def op_of(spelling: object, args: tuple[Term, ...]) -> Op:
    types = tuple(arg.type for arg in args)
    (op,) = [op for op in TABLE if op.spelling == spelling and op.params == types]
    return op


class Reader:
    """The statements of an emitted kernel, with types inferred from the signature."""

    def __init__(self, source: str) -> None:
        module = ast.parse(source)
        *others, kernel = module.body
        self.made_for: dict[str, str] = {}
        if isinstance(kernel, ast.Expr) and isinstance(kernel.value, ast.Call):
            made, (_, given) = ast.unparse(kernel.value.func), kernel.value.args
            assert made == "wp.overload"
            assert isinstance(given, ast.Dict)
            for name, type in zip(given.keys, given.values, strict=True):
                assert isinstance(name, ast.Constant)
                self.made_for[str(name.value)] = ast.unparse(type)
            *others, kernel = others
        imports = [ast.unparse(node) for node in others if isinstance(node, ast.Import | ast.ImportFrom)]
        assert imports in (["import warp as wp"], ["from typing import Any", "import warp as wp"])
        others = others[len(imports) :]
        self.functions: dict[str, list[Function]] = {}
        self.outlined: list[Outlined] = []
        self.takes: dict[str, list[str]] = {}
        self.generic: dict[str, ast.FunctionDef] = {}
        self.constants: dict[str, Const] = {}
        self.static: dict[str, Const] = {}
        self.views: dict[str, View] = {}
        functions = [node for node in others if isinstance(node, ast.FunctionDef)]
        for node in others[: len(others) - len(functions)]:
            assert isinstance(node, ast.Assign)
            (name,), value = node.targets, node.value
            assert isinstance(name, ast.Name)
            if not isinstance(value, ast.Call):
                number = self.term(value)
                assert isinstance(number, Const)
                self.static[name.id] = replace(number, name=name.id, static=True)
                continue
            if ast.unparse(value.func) in ("wp.types.vector", "wp.types.matrix"):
                assert ANNOTATIONS[name.id] in COMPOSITES
                continue
            assert ast.unparse(value.func) == "wp.constant"
            literal = self.term(value.args[0])
            assert isinstance(literal, Const)
            self.constants[name.id] = replace(literal, name=name.id)
        for function in functions:
            marks = [ast.unparse(mark) for mark in function.decorator_list]
            if self.outlined and marks == [f"wp.func_replay({self.outlined[-1].name})"]:
                assert [ast.unparse(stmt) for stmt in function.body] == ["pass"]
            elif marks[0].startswith("wp.func_grad"):
                of = marks[0].removeprefix("wp.func_grad(").removesuffix(")")
                assert function.name == f"adj_{of}"
                self.functions[of] = [replace(one, custom=True) for one in self.functions[of]]
            elif any(arg.annotation and ast.unparse(arg.annotation) in LATE for arg in function.args.args):
                self.generic[function.name] = function
            else:
                self.function(function)
        self.body = self.definition(kernel, "wp.kernel")

    def function(self, function: ast.FunctionDef, *given: Type, handed: Sequence[Function] = ()) -> None:
        """Of what is written for any type, made for the given ones; of what is handed functions, for these."""
        inner = _inner(function)
        takes = tuple(Passed(name, one) for name, one in zip(inner, handed, strict=True))
        self.functions |= {passed.name: [passed.function] for passed in takes}
        function.args.args = function.args.args[len(inner) :]
        body = self.definition(function, "wp.func", given)
        of = tuple(Whole(n, T) if isinstance(T, Array) else Var(n, T) for n, T in self.params.items())
        returned = [own_terms(stmt) for stmt in statements(body) if isinstance(stmt, Return)]
        if not returned:
            self.outlined.append(Outlined(self.name, body))
            self.takes[self.name] = list(self.params)
            return
        result, *rest = returned[0]
        made = Function(
            *(self.name, of, body, result.type),
            others=tuple(each.type for each in rest),
            defaults=self.numbers(function),
            generic=bool(given),
            takes=takes,
        )
        for passed in takes:
            del self.functions[passed.name]
        self.functions.setdefault(self.name, []).append(made)

    def gradient(self, node: ast.Call, args: tuple[Term, ...]) -> Function:
        """What `wp.grad(name)` calls."""
        (name,) = node.args
        assert ast.unparse(node.func) == "wp.grad"
        of = self.meant(ast.unparse(name), args)
        result, *others = (arg.type for arg in args)
        return replace(of, result=result, others=tuple(others), gradient=True)

    def meant(self, name: str, args: tuple[Term, ...]) -> Function:
        """The function of that name that takes these."""
        each = self.functions[name]
        fitting = [one for one in each if tuple(map(taken, one.params)) == tuple(map(taken, args))]
        return fitting[0] if len(each) > 1 else each[0]

    def numbers(self, function: ast.FunctionDef) -> tuple[Const, ...]:
        """The defaults."""
        terms = map(self.term, function.args.defaults)
        return tuple(term for term in terms if isinstance(term, Const))

    def definition(self, node: ast.stmt, decorator: str, given: Sequence[Type] = ()) -> tuple[Stmt, ...]:
        assert isinstance(node, ast.FunctionDef)
        assert [ast.unparse(d) for d in node.decorator_list] == [decorator]
        self.name = node.name
        notes = [self.made_for.get(arg.arg) or ast.unparse(arg.annotation) for arg in node.args.args if arg.annotation]
        types = given or [ANNOTATIONS[note] for note in notes]
        self.params = {arg.arg: type for arg, type in zip(node.args.args, types, strict=True)}
        self.types = {name: type for name, type in self.params.items() if not isinstance(type, Array)}
        self.params |= dict(self.arrays_of_tiles(node))
        return self.block(node.body)

    def arrays_of_tiles(self, node: ast.FunctionDef) -> Iterator[tuple[str, Type]]:
        """Parameters that tiles are loaded from, by the shape of these and by what counts them."""
        for call in ast.walk(node):
            match call:
                case ast.Call(ast.Attribute(_, "tile_load"), [ast.Name(array)], [shape, *offset]):
                    places = _parts(offset[0].value) if offset else []
                    rank = 1 + sum(not isinstance(place, ast.Constant) for place in places[1:])
                    yield array, Array(self.tile(array, shape.value), rank)

    def tile(self, array: str, shape: ast.expr) -> Composite:
        type = self.params[array]
        assert isinstance(type, Array)
        extent = tuple(size.value for size in _parts(shape))  # type: ignore[attr-defined]
        (found,) = (T for T in LOADED if T.element is type.element and T.extent == extent)
        return found

    def place(self, offset: ast.expr, tile: Composite, rank: int) -> Term:
        """The index of a tile, from where it begins."""
        parts = [self.counted(part, size) for part, size in zip(_parts(offset), tile.extent, strict=True)]
        return parts[0] if rank == 1 else At(tuple(parts[:rank]))

    def counted(self, node: ast.expr, size: int) -> Term:
        term = self.term(node)
        scaled = isinstance(term, Apply) and term.args[-1] == Const(I32, size) and size > 1
        return term.args[0] if isinstance(term, Apply) and scaled else term

    def part_of_element(self, array: str, index: ast.expr, where: list[int], value: ast.expr) -> StorePart:
        given = self.params[array]
        assert isinstance(given, Array)
        assert isinstance(given.element, Composite)
        place = int(np.ravel_multi_index(where, given.element.shape))
        return StorePart(array, self.index(index), given.element, place, self.term(value))

    def dims(self, array: ast.expr) -> int:
        """Of an array; anything else has none."""
        type = self.params.get(ast.unparse(array))
        return type.dimensions if isinstance(type, Array) and not is_tile(type.element) else 0

    def block(self, body: list[ast.stmt]) -> tuple[Stmt, ...]:
        stmts: list[Stmt] = []
        for node in body:
            stmt = self.statement(node)
            match stmt:
                case Unpack(names, Op(spelling=Placed())):
                    del stmts[-len(names) :]  # by which its locals were made
            stmts.append(stmt)
        return tuple(stmts)

    def statement(self, node: ast.stmt) -> Stmt:
        match node:
            case ast.Assign([ast.Name(name)], ast.Call(ast.Attribute(ast.Name("wp"), "tid"), [])):
                self.types[name] = I32
                return Thread(name)
            case ast.Assign([ast.Tuple(names)], ast.Call(ast.Attribute(ast.Name("wp"), "tid"), [])):
                first, *others = (name.id for name in names if isinstance(name, ast.Name))
                self.types |= dict.fromkeys((first, *others), I32)
                return Thread(first, tuple(others))
            case ast.Assign([ast.Name(name)], ast.Call(function, [ast.Name(state), *args])) if (
                spelt := Call(ast.unparse(function))
            ) in [op.spelling for op in SAMPLERS]:
                (op, *_) = ops = [op for op in SAMPLERS if op.spelling == spelt]
                if op.searched:
                    (array,) = args
                    assert isinstance(array, ast.Name)
                    terms: tuple[Term, ...] = (Whole(array.id, Array(op.searched)),)
                else:
                    terms = tuple(map(self.term, args))
                    (op,) = [op for op in ops if op.params[1:] == tuple(term.type for term in terms)]
                self.types[name] = op.result
                return Sample(name, op, state, terms)
            case ast.Assign([ast.Tuple(names)], ast.Call(ast.Name() | ast.Call() as called, args)):
                terms, targets = tuple(map(self.term, args)), tuple(n.id for n in names if isinstance(n, ast.Name))
                own = self.gradient(called, terms) if isinstance(called, ast.Call) else self.meant(called.id, terms)
                self.types |= dict(zip(targets, own.results, strict=True))
                return Unpack(targets, own, terms)
            case ast.Assign([ast.Tuple(names)], ast.Call(function, args)):
                terms, targets = tuple(map(self.term, args)), tuple(n.id for n in names if isinstance(n, ast.Name))
                (op,) = [op for op in SEVERAL if _is_call(op, function, terms)]
                self.types |= dict(zip(targets, op.results, strict=True))
                return Unpack(targets, op, terms)
            case ast.Assign([ast.Name(name)], ast.Call(ast.Attribute(ast.Name("wp"), function)) as taken) if (
                function.startswith("atomic_")
            ):
                counted = self.statement(ast.Expr(taken))
                assert isinstance(counted, Atomic)
                self.types[name] = counted.value.type
                return replace(counted, name=name)
            case ast.Assign([ast.Name(name)], ast.Subscript(array, index)) if self.dims(array) > len(_parts(index)):
                self.views[name] = View(name, ast.unparse(array), self.index(index))
                return self.views[name]
            case ast.Assign([ast.Name(name)], value):
                term = self.term(value)
                self.types[name] = term.type
                return Assign(name, term)
            case ast.Assign([ast.Subscript(ast.Name(name), index)], value) if name in self.types and isinstance(
                (part := self.term(value)).type, Composite
            ):
                indices = tuple(one for one in map(_known, _parts(index)) if one is not None)
                pasting = (op for op in CHANGERS if op.spelling == Pasted(indices))
                op = next(op for op in pasting if op.params == (self.types[name], part.type))
                return Assign(name, Apply(op, (Var(name, op.result), part)))
            case ast.Assign([ast.Subscript(ast.Name(name), index)], value) if name in self.types:
                type = self.types[name]
                assert isinstance(type, Composite)
                return AssignPart(name, type, self.index(index), self.term(value))
            case ast.Assign([ast.Attribute(ast.Name(name), letter)], value):
                type = self.types[name]
                assert isinstance(type, Composite)
                return AssignPart(name, type, Const(I32, "xyzw".index(letter)), self.term(value), lettered=True)
            case ast.AugAssign(
                (ast.Subscript(ast.Name(name)) | ast.Attribute(ast.Name(name))) as part, operator, value
            ) if name in self.types:
                (plain,) = self.block([ast.Assign([part], value)])
                assert isinstance(plain, AssignPart)
                return replace(plain, op=op_of(Infix(token(operator)), (plain.value, plain.value)))
            case ast.Assign([ast.Subscript(ast.Subscript(ast.Name(array), index), part)], value):
                return self.part_of_element(array, index, [int(ast.unparse(k)) for k in _parts(part)], value)
            case ast.Assign([ast.Attribute(ast.Subscript(ast.Name(array), index), letter)], value):
                return replace(self.part_of_element(array, index, ["xyzw".index(letter)], value), lettered=True)
            case ast.AugAssign(
                (ast.Subscript(ast.Subscript()) | ast.Attribute(ast.Subscript())) as part, operator, value
            ):
                (target,) = self.block([ast.Assign([part], value)])
                assert isinstance(target, StorePart)
                return replace(target, op=op_of(Infix(token(operator)), (target.value, target.value)))
            case ast.Assign([ast.Subscript(ast.Name(array), index)], value):
                return Store(array, self.index(index), self.term(value))
            case ast.AugAssign(ast.Name(name), operator, value):
                term = self.term(value)
                return AugAssign(name, op_of(Infix(token(operator)), (Var(name, self.types[name]), term)), term)
            case ast.AugAssign(ast.Subscript(ast.Name(array), index), operator, value):
                term = self.term(value)
                given = self.params[array]
                assert isinstance(given, Array)
                element = Read(array, self.index(index), given.element)
                return AugStore(array, self.index(index), op_of(Infix(token(operator)), (element, term)), term)
            case ast.Expr(ast.Call(called, args)) if Placed(ast.unparse(called)) in [op.spelling for op in SEVERAL]:
                terms = tuple(map(self.term, args))
                placed, types = Placed(ast.unparse(called)), tuple(term.type for term in terms)
                (op,) = [op for op in SEVERAL if op.spelling == placed and (*op.params, *op.results) == types]
                places = [term.name for term in terms[len(op.params) :] if isinstance(term, Var)]
                return Unpack(tuple(places), op, terms[: len(op.params)])
            case ast.Expr(ast.Call(ast.Name(called), args)):
                (outlined,) = [part for part in self.outlined if part.name == called]
                assert [ast.unparse(arg) for arg in args] == self.takes[called]
                return outlined
            case ast.Expr(ast.Call(called) as done) if ast.unparse(called) in IN_PLACE:
                return self.in_place(done)
            case ast.Expr(ast.Call(ast.Attribute(ast.Name("wp"), function), [ast.Name(array), held], offsets)) if (
                function.startswith("tile_")
            ):
                tile = self.term(held)
                assert is_tile(tile.type)
                rank = sum(not isinstance(p, ast.Constant) for k in offsets for p in _parts(k.value))
                where = self.place(offsets[0].value, tile.type, rank) if offsets else Const(I32, 0)
                self.params[array] = Array(tile.type, max(1, rank))
                if function == "tile_store":
                    return Store(array, where, tile)
                return Atomic(AtomicKind(function.removeprefix("tile_")), array, where, tile)
            case ast.Expr(ast.Call(ast.Attribute(ast.Name("wp"), function), [ast.Name(array), *indices, value])):
                along = tuple(map(self.term, indices[:-1] if function == "atomic_cas" else indices))
                return Atomic(AtomicKind(function), array, At(along) if len(along) > 1 else along[0], self.term(value))
            case ast.If(condition, body, orelse):
                return If(self.term(condition), self.block(body), self.block(orelse))
            case ast.For(ast.Name(name), ast.Call(ast.Name("range"), bounds), body, []):
                self.types[name] = I32
                match tuple(map(self.term, bounds)):
                    case (stop,):
                        return For(name, None, stop, self.block(body))
                    case (start, stop, *step):
                        return For(name, start, stop, self.block(body), *step)
            case ast.While(condition, body, []):
                return While(self.term(condition), self.block(body))
            case ast.Break():
                return Break()
            case ast.Continue():
                return Continue()
            case ast.Return(ast.Tuple([value, *others])):
                return Return(self.term(value), tuple(map(self.term, others)))
            case ast.Return(value):
                return Return(None if value is None else self.term(value))
        raise AssertionError(ast.dump(node))

    def in_place(self, node: ast.Call) -> Assign:
        operands = [self.term(arg) for arg in node.args]
        keywords = tuple((k.arg or "", _plain(k.value)) for k in node.keywords)
        for op in CHANGERS:
            assert isinstance(op.spelling, InPlace)
            same = (op.spelling.function, op.spelling.keywords) == (ast.unparse(node.func), keywords)
            if same and op.spelling.ordered(op.params) == [operand.type for operand in operands]:
                changed = operands.pop(op.spelling.place)
                assert isinstance(changed, Var)
                return Assign(changed.name, Apply(op, (changed, *operands)))
        raise AssertionError(ast.dump(node))

    def term(self, node: ast.expr) -> Term:
        match node:
            case ast.Constant(bool() as value):
                return Const(BOOL, value)
            case ast.Constant(int() as value):
                return Const(I32, value)
            case ast.Constant(float() as value):
                return Const(F32, value)
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
                return Const(I32 if isinstance(value, int) else F32, -value)
            case ast.Name(name) if isinstance(type := self.params.get(name), Array):
                return Whole(name, type)
            case ast.Name(name):
                return self.constants.get(name) or Var(name, self.types[name])
            case ast.Call(ast.Attribute(ast.Name("wp"), "static"), [ast.Name(name)]):
                return self.static[name]
            case ast.Call(ast.Name("len"), [ast.Name(array)]) if isinstance(self.params.get(array), Array):
                return Size(array, I32, by_len=True)
            case ast.Subscript(ast.Attribute(ast.Name(array), "shape"), ast.Constant(int() as axis)):
                return Size(array, I32, axis)
            case ast.Subscript(ast.Name(name), index) if name in self.views:
                view = self.views[name]
                of = self.params[view.array]
                assert isinstance(of, Array)
                return Read(view.array, At((*indices_of(view.index), self.term(index))), of.element, name)
            case ast.Subscript(ast.Name(array), index) if isinstance(type := self.params.get(array), Array):
                return Read(array, self.index(index), type.element)
            case ast.Subscript(operand, index):
                return self.component(operand, index.elts if isinstance(index, ast.Tuple) else [index])
            case ast.Attribute(ast.Name("wp"), name):
                return Const(F32, WARPS[f"wp.{name}"], f"wp.{name}")
            case ast.Attribute(operand, name):
                return self.apply(Member(name), operand)
            case ast.BinOp(left, operator, right) | ast.Compare(left, [operator], [right]):
                return self.apply(Infix(token(operator)), left, right)
            case ast.Compare(left, [one, other], [middle, right]):
                return self.apply(Chain(token(one), token(other)), left, middle, right)
            case ast.BoolOp(operator, [*rest, last]):
                first = rest[0] if len(rest) == 1 else ast.BoolOp(operator, rest)
                return self.apply(Infix(token(operator)), first, last)
            case ast.UnaryOp(operator, operand):
                return self.apply(Prefix(token(operator)), operand)
            case ast.IfExp(condition, one, other):
                return self.apply(Ternary(), condition, one, other)
            case ast.Call(ast.Attribute(_, "tile_load"), [ast.Name(array)], [_, *offset]):
                of = self.params[array]
                assert isinstance(of, Array)
                assert is_tile(of.element)
                place = self.place(offset[0].value, of.element, of.dimensions) if offset else Const(I32, 0)
                return Read(array, place, of.element)
            case ast.Call(ast.Attribute(_, name), [first, *_], _) if name in KNOWN_FIRST:
                keywords = tuple((k.arg or "", _plain(k.value)) for k in node.keywords)
                return self.apply(Call(ast.unparse(node.func), keywords, (_plain(first),)), *node.args[1:])
            case ast.Call(ast.Call() as function, args):
                terms = tuple(map(self.term, args))
                return Invoke(self.gradient(function, terms), terms)
            case ast.Call(function, args, keywords):
                given = tuple((k.arg or "", _plain(k.value)) for k in keywords)
                return self.call(ast.unparse(function), args, given)
        raise AssertionError(ast.dump(node))

    def index(self, node: ast.expr) -> Term:
        return At(tuple(map(self.term, node.elts))) if isinstance(node, ast.Tuple) else self.term(node)

    def component(self, operand: ast.expr, indices: list[ast.expr]) -> Term:
        known = [one for index in indices if (one := _known(index)) is not None]
        if len(known) == len(indices):
            return self.apply(Item(tuple(known)), operand)
        return self.apply(Item(), operand, *indices)

    def call(self, function: str, args: list[ast.expr], keywords: tuple[tuple[str, Known], ...]) -> Term:
        """A cast of a literal is a literal of that type."""
        if function in self.generic and _inner(self.generic[function]):
            return self.handed(self.generic[function], args)
        if function in self.generic and function not in self.functions:
            node, outer = self.generic[function], (self.name, self.params, self.types)
            types = [*(term.type for term in map(self.term, args)), *(const.type for const in self.numbers(node))]
            self.function(node, *types[: len(args)], *types[len(types) - len(node.args.args) + len(args) :])
            self.name, self.params, self.types = outer
        if function in self.functions:
            given = tuple(map(self.term, args))
            called = self.meant(function, given)
            left = len(called.params) - len(given)
            return Invoke(called, given + called.defaults[len(called.defaults) - left :])
        if function in CASTS and isinstance(literal := self.term(args[0]), Const) and not is_own(literal):
            return replace(literal, type=CASTS[function])
        if function in CASTS and (same := self.term(args[0])).type is CASTS[function]:
            return same  # what makes a variable of a constant
        return self.apply(Call(function, keywords), *args)

    def handed(self, node: ast.FunctionDef, args: list[ast.expr]) -> Term:
        """A call of a function that takes functions, which is made for them."""
        count = len(_inner(node))
        outer = self.name, self.params, self.types
        given = tuple(map(self.term, args[count:]))
        handed = [self.functions[ast.unparse(arg)][0] for arg in args[:count]]
        self.function(deepcopy(node), handed=handed)
        self.name, self.params, self.types = outer
        return Invoke(self.functions.pop(node.name)[-1], given)

    def apply(self, spelling: object, *nodes: ast.expr) -> Apply:
        args = tuple(map(self.term, nodes))
        return Apply(op_of(spelling, args), args)


def _inner(function: ast.FunctionDef) -> list[str]:
    """What a function calls the functions that it is handed."""
    args = function.args.args
    return [arg.arg for arg in args if arg.annotation and ast.unparse(arg.annotation) == "wp.Function"]


def _is_call(op: Op, function: ast.expr, args: tuple[Term, ...]) -> bool:
    return op.spelling == Call(ast.unparse(function)) and op.params == tuple(arg.type for arg in args)


def _parts(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _plain(node: ast.expr) -> Known:
    """A number, a dotted name or a shape."""
    match node:
        case ast.Tuple(parts):
            return tuple(part.value for part in parts)  # type: ignore[attr-defined] # numbers
        case ast.Constant(int() | float() as value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(float() as value)):
            return -value
        case _:
            return ast.unparse(node)


def token(operator: ast.AST) -> str:
    name = type(operator).__name__
    return TOKENS.get(name, name)


def _known(index: ast.expr) -> int | Slice | None:
    """A number or numbers; None for what is known at run time."""
    match index:
        case ast.Constant(int() as value):
            return value
        case ast.Slice(start, stop):
            first, last = (None if end is None else int(ast.unparse(end)) for end in (start, stop))
            return Slice(first, last)
        case _:
            return None
