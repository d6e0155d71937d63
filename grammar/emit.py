"""Kernels as Python source, by way of libcst nodes only.

The key insight: a spelling names a libcst class and a precedence, and parentheses stand where precedence needs them
and about what bits are combined with, so what is printed is what a person would have typed and parses back to the same
tree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from functools import cache, lru_cache
from typing import Any, NamedTuple, assert_never

import libcst as cst
from libcst._nodes.internal import CodegenState

from grammar.op import Call, Chain, Infix, Item, Known, Member, Prefix, Ternary
from grammar.tiles import is_tile, offset_of
from grammar.tree import (
    WARPS,
    Apply,
    Assign,
    Assigning,
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
    Kernel,
    Read,
    Return,
    Sample,
    Size,
    Stmt,
    Store,
    Term,
    Thread,
    Unpack,
    Var,
    While,
    Whole,
    assigned,
    blocks,
    constants,
    functions,
    statements,
    taken,
)
from grammar.types import BARE, I32, Array, Composite, Element, Scalar, Type

ATOM = 14
UNARY = 11
POWER = 12
COMPARISON = 4
NOT = 3
PRECEDENCE = {
    "Or": 1,
    "And": 2,
    "BitOr": 5,
    "BitXor": 6,
    "BitAnd": 7,
    "LeftShift": 8,
    "RightShift": 8,
    "Add": 9,
    "Subtract": 9,
    "Multiply": 10,
    "MatrixMultiply": 10,
    "Divide": 10,
    "FloorDivide": 10,
    "Modulo": 10,
    "Power": POWER,
}
"""Binary operators of Python, tighter binding first number higher; comparisons are the ones not listed."""

LETTERS = "xyzw"
"""Of the scalars of a vector."""

MAX_UNROLL = 16
"""A loop over a constant range of at most this many trips is unrolled by Warp; a longer one runs at run time."""


def emit(kernel: Kernel) -> str:
    """The whole runnable module: `import warp as wp`, constants, the functions that the kernel calls, the kernel."""
    named = [_constant(name, const) for name, const in constants(kernel).items()]
    if named:
        named[0] = named[0].with_changes(leading_lines=[EMPTY])
    return cst.Module([_import_warp(), *named, *map(_function, functions(kernel.body)), _kernel(kernel)]).code


def emit_term(term: Term) -> str:
    """One term as Python source."""
    return _printed(_term(term, 0))


def _printed(node: cst.CSTNode) -> str:
    return cst.Module(body=[]).code_for_node(node)


class _Remembered(cst.CSTNode):
    """Prints what it printed before: libcst goes from node to node, and some expressions stand in nearly every line."""

    def _codegen_impl(self, state: CodegenState) -> None:
        state.add_token(_text(self))


class _Attribute(_Remembered, cst.Attribute):
    pass


class _Subscript(_Remembered, cst.Subscript):
    pass


@lru_cache(maxsize=4096)
def _text(node: _Remembered) -> str:
    state = CodegenState(default_indent="", default_newline="")
    super(_Remembered, node)._codegen_impl(state)  # type: ignore[safe-super]  # next in line is the class that prints
    return "".join(state.tokens)


# -- terms ------------------------------------------------------------------------------------------------------------


def _term(term: Term, context: int) -> cst.BaseExpression:
    """The expression, in parentheses if it binds looser than `context`."""
    node, precedence = _bare(term)
    return _parenthesised(node) if precedence < context else node


def _bare(term: Term) -> tuple[cst.BaseExpression, int]:
    match term:
        case Const(type, value, name):
            return _named(name, type) if name else _const(type, value)
        case Var(name, _):
            return identifier(name), ATOM
        case Read(array, index, type):
            return _tile_load(array, index, type) if is_tile(type) else _element(array, index), ATOM
        case Invoke(called, args):
            return call(called.name, [_term(arg, 0) for arg in args]), ATOM
        case Size(array, _, axis):
            return _subscript(dotted(f"{array}.shape"), cst.Integer(str(axis))), ATOM
        case Whole(name, _):
            return identifier(name), ATOM
        case At():
            raise AssertionError("indices are no value")
        case Apply(op, args):
            match op.spelling:
                case Infix(token):
                    return _infix(token, args)
                case Prefix(token):
                    return _prefix(token, args[0])
                case Call(function, keywords, first):
                    return call(function, [*map(_known, first), *(_term(arg, 0) for arg in args)], keywords), ATOM
                case Ternary():
                    return _ternary(args), 0
                case Chain():
                    return _chain(op.spelling, args), COMPARISON
                case Member(name):
                    return cst.Attribute(_term(args[0], ATOM), identifier(name)), ATOM
                case Item(indices):
                    known = [cst.Integer(str(index)) for index in indices]
                    return _subscript(_term(args[0], ATOM), *known, *(_term(index, 0) for index in args[1:])), ATOM
                case _:
                    assert_never(op.spelling)
        case _:
            assert_never(term)


@cache
def identifier(text: str) -> cst.Name:
    """Nodes without children of their own may stand in many places."""
    return cst.Name(text)


@cache
def operator(kind: str) -> Any:
    """An operator of libcst, by the name of its class."""
    return getattr(cst, kind)()


def _const(type: Scalar, value: float | int | bool) -> tuple[cst.BaseExpression, int]:
    if isinstance(value, bool):
        return identifier(str(value)), ATOM
    literal: cst.BaseExpression
    literal = (
        cst.Float(repr(abs(value)).replace("e-0", "e-")) if isinstance(value, float) else cst.Integer(repr(abs(value)))
    )
    negative = math.copysign(1.0, value) < 0
    if negative:
        literal = cst.UnaryOperation(operator("Minus"), literal)
    if type not in BARE:
        return call(type.spelling, [literal]), ATOM
    return literal, UNARY if negative else ATOM


def _named(name: str, type: Scalar) -> tuple[cst.BaseExpression, int]:
    """A constant of the module is of its type; those of Warp's become floats of other types by a cast."""
    node = dotted(name)
    return (call(type.spelling, [node]) if name in WARPS and type not in BARE else node), ATOM


def _infix(token: str, args: Sequence[Term]) -> tuple[cst.BaseExpression, int]:
    left, right = args
    precedence = PRECEDENCE.get(token, COMPARISON)
    sign = operator(token)
    if precedence == COMPARISON:
        target = cst.ComparisonTarget(sign, _term(right, _clearly(token, right, COMPARISON + 1)))
        return cst.Comparison(_term(left, _clearly(token, left, COMPARISON + 1)), [target]), COMPARISON
    if token in BITWISE:
        first, second = _clearly(token, left, precedence), _clearly(token, right, precedence + 1)
        return cst.BinaryOperation(_term(left, first), sign, _term(right, second)), precedence
    if precedence == POWER:  # from the right, and a sign binds tighter on that side
        return cst.BinaryOperation(_term(left, POWER + 1), sign, _term(right, UNARY)), POWER
    node = cst.BooleanOperation if token in ("And", "Or") else cst.BinaryOperation
    return node(_term(left, precedence), sign, _term(right, precedence + 1)), precedence


BITWISE = ("BitOr", "BitXor", "BitAnd", "LeftShift", "RightShift")


def _clearly(token: str, operand: Term, context: int) -> int:
    """`context`, or one that asks for parentheses where few know by heart what binds tighter: `(a + b) << c`."""
    if not (isinstance(operand, Apply) and isinstance(operand.op.spelling, Infix)):
        return context
    inner = operand.op.spelling.token
    is_odd = inner != token and (token in BITWISE or inner in BITWISE)
    return ATOM if is_odd else context


def _chain(chain: Chain, args: Sequence[Term]) -> cst.BaseExpression:
    left, *others = (_term(arg, COMPARISON + 1) for arg in args)
    signs = operator(chain.first), operator(chain.second)
    return cst.Comparison(left, [cst.ComparisonTarget(*target) for target in zip(signs, others, strict=True)])


def _prefix(token: str, operand: Term) -> tuple[cst.BaseExpression, int]:
    precedence = NOT if token == "Not" else UNARY
    return cst.UnaryOperation(operator(token), _term(operand, precedence)), precedence


def _ternary(args: Sequence[Term]) -> cst.BaseExpression:
    condition, body, orelse = args
    return cst.IfExp(test=_term(condition, 1), body=_term(body, 1), orelse=_term(orelse, 1))


def _parenthesised(node: cst.BaseExpression) -> cst.BaseExpression:
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


@lru_cache(maxsize=4096)
def dotted(name: str) -> cst.Name | cst.Attribute:
    first, *rest = name.split(".")
    node: cst.Name | cst.Attribute = identifier(first)
    for part in rest:
        node = _Attribute(node, identifier(part))
    return node


NOTHING = cst.SimpleWhitespace("")
SPACE = cst.SimpleWhitespace(" ")
OPEN, CLOSE = cst.LeftSquareBracket(), cst.RightSquareBracket()
END = cst.TrailingWhitespace()
EMPTY = cst.EmptyLine(indent=False)
"""Nodes without children of their own may stand in many places, too; libcst would make new ones at each."""


def call(function: str, args: Sequence[cst.BaseExpression], keywords: Sequence[tuple[str, Known]] = ()) -> cst.Call:
    return _call(function, args, [(name, _known(value)) for name, value in keywords])


def _call(
    function: str, args: Sequence[cst.BaseExpression], keywords: Sequence[tuple[str, cst.BaseExpression]]
) -> cst.Call:
    nodes = [cst.Arg(arg, whitespace_after_star=NOTHING, whitespace_after_arg=NOTHING) for arg in args]
    nodes += [cst.Arg(node, identifier(name), equal=cst.AssignEqual(NOTHING, NOTHING)) for name, node in keywords]
    return cst.Call(dotted(function), nodes, whitespace_after_func=NOTHING, whitespace_before_args=NOTHING)


def _known(value: Known) -> cst.BaseExpression:
    match value:
        case int():
            return cst.Integer(str(value))
        case str():
            return dotted(value)
        case _:
            return _in_parentheses([cst.Integer(str(part)) for part in value])


def _in_parentheses(parts: Sequence[cst.BaseExpression]) -> cst.Tuple:
    """In parentheses; of one part, with its comma."""
    elements = [cst.Element(part) for part in parts]
    return cst.Tuple(elements if len(elements) > 1 else [cst.Element(parts[0], cst.Comma())])


# -- tiles ------------------------------------------------------------------------------------------------------------


def _tile_load(array: str, index: Term, type: Element) -> cst.Call:
    assert isinstance(type, Composite)
    shape = type.shape[0] if len(type.shape) == 1 else type.shape
    return _call("wp.tile_load", [identifier(array)], [("shape", _known(shape)), ("offset", _offset(index, type))])


def _tile_call(function: str, array: str, index: Term, value: Term) -> cst.Expr:
    """`wp.tile_store(array, value, offset=…)`, or likewise `wp.tile_atomic_add`; no offset where it is 0."""
    assert isinstance(value.type, Composite)
    offset = [] if index == Const(I32, 0) else [("offset", _offset(index, value.type))]
    return cst.Expr(_call(function, [identifier(array), _term(value, 0)], offset))


def _offset(index: Term, type: Composite) -> cst.BaseExpression:
    terms = [_term(term, 0) for term in offset_of(index, type)]
    return terms[0] if len(terms) == 1 else _in_parentheses(terms)


def _subscript(
    value: cst.BaseExpression, *indices: cst.BaseExpression, kind: type[cst.Subscript] = cst.Subscript
) -> cst.Subscript:
    parts = [cst.SubscriptElement(cst.Index(index)) for index in indices]
    return kind(value, parts, lbracket=OPEN, rbracket=CLOSE, whitespace_after_value=NOTHING)


def _element(array: str, index: Term) -> cst.Subscript:
    if isinstance(index, At):
        return _subscript(identifier(array), *(_term(part, 0) for part in index.indices))
    return _at(array, index.name) if isinstance(index, Var) else _subscript(identifier(array), _term(index, 0))


@lru_cache(maxsize=4096)
def _at(array: str, variable: str) -> cst.Subscript:
    return _subscript(identifier(array), identifier(variable), kind=_Subscript)


# -- statements -------------------------------------------------------------------------------------------------------


def _block(body: Sequence[Stmt], names: _Names) -> cst.IndentedBlock:
    return cst.IndentedBlock([_statement(stmt, names) for stmt in body], header=END)


def _statement(stmt: Stmt, names: _Names) -> cst.BaseStatement:
    match stmt:
        case If(condition, body, orelse):
            return cst.If(_term(condition, 0), _block(body, names), orelse=_orelse(orelse, names))
        case For(variable, start, stop, body):
            bounds = [stop] if start is None else [start, stop]
            trips = call("range", [_term(bound, 0) for bound in bounds])
            return cst.For(identifier(variable), trips, _block(body, names))
        case While(condition, body):
            return cst.While(_term(condition, 0), _block(body, names))
        case _:
            return cst.SimpleStatementLine([_small(stmt, names)], trailing_whitespace=END)


def _small(stmt: Stmt, names: _Names) -> cst.BaseSmallStatement:
    match stmt:
        case Thread(name, ()):
            return _assign(identifier(name), call("wp.tid", []))
        case Thread():
            return _assign(_tuple([identifier(name) for name in stmt.names]), call("wp.tid", []))
        case Assign(name, value):
            return _assign(identifier(name), _initial(value, names) if name in names.rebound else _term(value, 0))
        case AugAssign(name, op, value):
            return _augmented(identifier(name), op.spelling, value)
        case AssignPart(_, _, _, value, op):
            target = _part(stmt)
            return _assign(target, _term(value, 0)) if op is None else _augmented(target, op.spelling, value)
        case Sample(name, op, state, rest):
            assert isinstance(op.spelling, Call)
            given = [identifier(state), *(_term(arg, 0) for arg in rest)]
            return _assign(identifier(name), call(op.spelling.function, given))
        case Store(array, index, value) if is_tile(value.type):
            return _tile_call("wp.tile_store", array, index, value)
        case Store(array, index, value):
            return _assign(_element(array, index), _term(value, 0))
        case AugStore(array, index, op, value):
            return _augmented(_element(array, index), op.spelling, value)
        case Atomic(kind, array, index, value) if is_tile(value.type):
            return _tile_call(f"wp.tile_{kind.value}", array, index, value)
        case Atomic(kind, array, index, value):
            args = [identifier(array), _term(index, 0), _term(value, 0)]
            return cst.Expr(call(f"wp.{kind.value}", args))
        case Break():
            return cst.Break()
        case Continue():
            return cst.Continue()
        case Return(value, others):
            values = [] if value is None else [_term(each, 0) for each in (value, *others)]
            return cst.Return(_tuple(values) if others else values[0] if values else None)
        case Unpack(targets, function, args):
            given = [_term(arg, 0) for arg in args]
            return _assign(_tuple([identifier(target) for target in targets]), call(function.name, given))
        case If() | For() | While():
            raise AssertionError("compound statements are not small")
        case _:
            assert_never(stmt)


def _part(stmt: AssignPart) -> cst.Attribute | cst.Subscript:
    if stmt.lettered:
        assert stmt.known is not None
        return cst.Attribute(identifier(stmt.name), identifier(LETTERS[stmt.known]))
    return _element(stmt.name, stmt.index)


def _tuple(parts: Sequence[cst.BaseExpression]) -> cst.Tuple:
    return cst.Tuple([cst.Element(part) for part in parts], [], [])


def _orelse(orelse: tuple[Stmt, ...], names: _Names) -> cst.If | cst.Else | None:
    match orelse:
        case ():
            return None
        case (If(condition, body, rest),):
            return cst.If(_term(condition, 0), _block(body, names), orelse=_orelse(rest, names))
        case _:
            return cst.Else(_block(orelse, names))


def _assign(target: cst.BaseAssignTargetExpression, value: cst.BaseExpression) -> cst.Assign:
    return cst.Assign([cst.AssignTarget(target, SPACE, SPACE)], value)


def _augmented(target: cst.BaseAssignTargetExpression, spelling: object, value: Term) -> cst.AugAssign:
    assert isinstance(spelling, Infix)
    return cst.AugAssign(target, operator(spelling.token + "Assign"), _term(value, 0))


def _initial(value: Term, names: _Names) -> cst.BaseExpression:
    """Warp takes a bare literal for a constant that a loop at run time may not change: `float(0.0)` is a variable."""
    node = _term(value, 0)
    return call(value.type.spelling, [node]) if _is_constant(value, names.constant) else node


class _Names(NamedTuple):
    """What Warp makes of the locals of a kernel."""

    rebound: frozenset[str]
    """Given a value inside a loop at run time."""
    constant: frozenset[str]
    """Known when the kernel is compiled."""


def _names(body: tuple[Stmt, ...]) -> _Names:
    rebound, constant = frozenset(rebound_in_loops(body)), set[str]()
    for stmt in statements(body):
        match stmt:
            case For(variable, _, _, _) if is_unrolled(stmt):
                constant.add(variable)
            case Assign(name, value) if name not in rebound and _is_constant(value, constant):
                constant.add(name)
    return _Names(rebound, frozenset(constant))


def _is_constant(term: Term, constant: Set[str]) -> bool:
    """Whether Warp folds the term: it does so through names and signs, not through other operations."""
    match term:
        case Const(type, _):
            return type in BARE
        case Var(name, _):
            return name in constant
        case Apply(op, (operand,)) if op.name == "neg":
            return _is_constant(operand, constant)
        case _:
            return False


def is_unrolled(loop: For) -> bool:
    """Whether Warp repeats the body in the source instead of looping at run time."""
    return (
        not is_broken(loop.body)
        and isinstance(loop.stop, Const)
        and (loop.start is None or isinstance(loop.start, Const))
        and loop.stop.value - (0 if loop.start is None else loop.start.value) <= MAX_UNROLL
    )


def is_broken(body: Sequence[Stmt]) -> bool:
    """Whether a break leaves the loop with this body, rather than one inside of it."""
    return any(
        isinstance(stmt, Break) or (not isinstance(stmt, For | While) and any(map(is_broken, blocks(stmt))))
        for stmt in body
    )


def rebound_in_loops(body: Sequence[Stmt], inside: bool = False) -> Iterator[str]:
    """Names that are given a value inside a loop which runs at run time."""
    for stmt in body:
        if inside and isinstance(stmt, Assigning):
            yield from assigned(stmt)
        dynamic = inside or isinstance(stmt, While) or (isinstance(stmt, For) and not is_unrolled(stmt))
        for block in blocks(stmt):
            yield from rebound_in_loops(block, dynamic)


# -- the module -------------------------------------------------------------------------------------------------------


@cache
def _annotation(type: Type) -> cst.BaseExpression:
    if isinstance(type, Array):
        given = type.laid_out
        name = "wp.array" if given.dimensions == 1 else f"wp.array{given.dimensions}d"
        return _subscript(dotted(name), dotted(given.element.spelling), kind=_Subscript)
    return dotted(type.spelling)


@lru_cache(maxsize=4096)
def _param(name: str, type: Type) -> cst.Param:
    return cst.Param(identifier(name), cst.Annotation(_annotation(type)))


LINE = 100
"""A signature longer than this has a line for each parameter."""


def _parameters(name: str, of: Sequence[tuple[str, Type]]) -> tuple[list[cst.Param], cst.BaseParenthesizableWhitespace]:
    params = [_param(*declared) for declared in of]
    width = sum(len(param) + _width(type) for param, type in of)
    if width + len(name) < LINE:
        return params, NOTHING
    apart = cst.ParenthesizedWhitespace(indent=True, last_line=cst.SimpleWhitespace("    "))
    close = cst.ParenthesizedWhitespace(indent=True)
    commas = [cst.Comma(whitespace_after=apart)] * (len(params) - 1) + [cst.Comma(whitespace_after=close)]
    return [p.with_changes(comma=c) for p, c in zip(params, commas, strict=True)], apart


def _constant(name: str, const: Const) -> cst.SimpleStatementLine:
    value = call("wp.constant", [_const(const.type, const.value)[0]])
    return cst.SimpleStatementLine([_assign(identifier(name), value)], trailing_whitespace=END)


def _width(type: Type) -> int:
    """Of an annotation and what is around it."""
    return len(type.element.spelling) + 14 if isinstance(type, Array) else len(type.spelling) + 4


def _kernel(kernel: Kernel) -> cst.FunctionDef:
    params = [(param.name, param.type) for param in kernel.params]
    return _definition("wp.kernel", kernel.name, params, kernel.body)


def _function(function: Function) -> cst.FunctionDef:
    params = [(param.name, taken(param)) for param in function.params]
    return _definition("wp.func", function.name, params, function.body)


def _definition(decorator: str, name: str, of: Sequence[tuple[str, Type]], body: tuple[Stmt, ...]) -> cst.FunctionDef:
    params, opening = _parameters(name, of)
    return cst.FunctionDef(
        name=identifier(name),
        params=cst.Parameters(params),
        whitespace_before_params=opening,
        body=_block(body, _names(body)),
        decorators=[_decorator(decorator)],
        leading_lines=[EMPTY, EMPTY],
    )


@cache
def _decorator(name: str) -> cst.Decorator:
    return cst.Decorator(dotted(name))


@cache
def _import_warp() -> cst.SimpleStatementLine:
    alias = cst.ImportAlias(identifier("warp"), asname=cst.AsName(identifier("wp")))
    return cst.SimpleStatementLine([cst.Import([alias])])
