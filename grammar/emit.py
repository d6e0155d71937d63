"""Kernels as Python source, by way of libcst nodes only.

The key insight: a spelling names a libcst class and a precedence, and parentheses stand where precedence needs them
and about what bits are combined with, so what is printed is what a person would have typed and parses back to the same
tree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from functools import lru_cache
from typing import NamedTuple, assert_never

import libcst as cst

from grammar.atomics import AtomicKind
from grammar.derive import adjoint_of
from grammar.literal import zero
from grammar.nodes import (
    EMPTY,
    END,
    LEFT,
    RIGHT,
    SPACE,
    call,
    called_with,
    dotted,
    identifier,
    in_parentheses,
    known_node,
    literal,
    operator,
    printed,
    remembered,
    subscript,
)
from grammar.op import Call, Chain, Infix, InPlace, Item, Member, Op, Pasted, Placed, Prefix, Slice, Ternary
from grammar.ops.tile import written
from grammar.outline import is_changed_by_replay, outlined_parts, replay_name, taken_by
from grammar.params import Param
from grammar.passing import abstracted
from grammar.paths import ELEMENT, root
from grammar.signature import annotation, classes, imports, marked, own_types, parameters
from grammar.tiles import is_tile, offset_of
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
    all_functions,
    constants,
    indices_of,
    own_terms,
    statements,
)
from grammar.types import BARE, I32, LETTERS, WARPS, Composite, Element, Scalar
from grammar.unrolling import is_unrolled, rebound_in_loops

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


def emit(kernel: Kernel) -> str:
    """The whole runnable module: `import warp as wp`, constants, structs, functions that are called, the kernel."""
    named = [*own_types(kernel), *(_constant(name, const) for name, const in constants(kernel).items())]
    if named:
        named[0] = named[0].with_changes(leading_lines=[EMPTY])
    called = all_functions(kernel)
    is_generic = kernel.generic or any(function.generic for function in called)
    writing = [part for stmt in outlined_parts(kernel) for part in _outlined(stmt, kernel)]
    own = [part for function in dict.fromkeys(map(abstracted, called)) for part in _function(function)]
    definitions = [*classes(kernel), *own, *writing, _kernel(kernel)]
    return printed(cst.Module([*imports(is_generic), *named, *definitions, *_overload(kernel)]))


def emit_term(term: Term) -> str:
    """One term as Python source."""
    return printed(_term(term, 0))


# -- terms ------------------------------------------------------------------------------------------------------------


def _term(term: Term, context: int) -> cst.BaseExpression:
    """The expression, in parentheses if it binds looser than `context`."""
    node, precedence = _bare(term)
    return _parenthesised(node) if precedence < context else node


def _bare(term: Term) -> tuple[cst.BaseExpression, int]:
    match term:
        case Const(type, value, name):
            return _named(term) if name else _const(type, value)
        case Var(name, _):
            return dotted(name), ATOM
        case Read(array, index, type):
            if term.via:
                return _element(term.via, indices_of(index)[-1]), ATOM
            return _tile_load(array, index, type) if is_tile(type) else _element(array, index), ATOM
        case Invoke(called, args):
            return _call_of(called, args), ATOM
        case Size(array, by_len=True):
            return call("len", [dotted(array.partition(ELEMENT)[0])]), ATOM
        case Size(array, _, axis):
            return subscript(dotted(f"{array.partition(ELEMENT)[0]}.shape"), cst.Integer(str(axis))), ATOM
        case Whole(name, _):
            return dotted(name), ATOM
        case At():
            raise AssertionError("indices are no value")
        case Apply(op, args):
            match op.spelling:
                case Infix(token):
                    return _infix(token, args)
                case Prefix(token):
                    return _prefix(token, args[0])
                case Call(function, keywords, first):
                    return call(function, [*map(known_node, first), *(_term(arg, 0) for arg in args)], keywords), ATOM
                case Ternary():
                    return _ternary(args), 0
                case Chain():
                    return _chain(op.spelling, args), COMPARISON
                case Member(name):
                    return cst.Attribute(_term(args[0], ATOM), identifier(name)), ATOM
                case Item(indices):
                    known = [_known_index(index) for index in indices]
                    return subscript(_term(args[0], ATOM), *known, *(_term(index, 0) for index in args[1:])), ATOM
                case InPlace() | Pasted() | Placed():
                    raise AssertionError(f"{op.key} is a statement")
                case _:
                    assert_never(op.spelling)
        case _:
            assert_never(term)


def _known_index(index: int | Slice) -> cst.Integer | cst.Slice:
    if isinstance(index, int):
        return cst.Integer(str(index))
    first, last = (None if end is None else cst.Integer(str(end)) for end in (index.start, index.stop))
    return cst.Slice(first, last)


def _const(type: Scalar, value: float | int | bool) -> tuple[cst.BaseExpression, int]:
    if isinstance(value, bool):
        return identifier(str(value)), ATOM
    kind = cst.Float if isinstance(value, float) else cst.Integer
    node: cst.BaseExpression = literal(kind, repr(abs(value)).replace("e-0", "e-"))
    negative = math.copysign(1.0, value) < 0
    if negative:
        node = cst.UnaryOperation(operator("Minus"), node)
    if type not in BARE:
        return call(type.spelling, [node]), ATOM
    return node, UNARY if negative else ATOM


def _named(const: Const) -> tuple[cst.BaseExpression, int]:
    """A constant of the module is of its type; those of Warp's become floats of other types by a cast."""
    node = dotted(const.name)
    if const.static:
        return call("wp.static", [node]), ATOM
    return (call(const.type.spelling, [node]) if const.name in WARPS and const.type not in BARE else node), ATOM


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
    return node.with_changes(lpar=[LEFT], rpar=[RIGHT])


# -- tiles ------------------------------------------------------------------------------------------------------------


def _tile_load(array: str, index: Term, type: Element) -> cst.Call:
    assert isinstance(type, Composite)
    shape = ("shape", known_node(written(type)))
    spelt_out = "." in array  # as Warp does not see how many zeros there are
    return called_with("wp.tile_load", [dotted(array)], [shape, *_offset(index, type, spelt_out)])


def _tile_call(function: str, array: str, index: Term, value: Term) -> cst.Expr:
    """`wp.tile_store(array, value, offset=…)`, or likewise `wp.tile_atomic_add`."""
    assert isinstance(value.type, Composite)
    return cst.Expr(called_with(function, [dotted(array), _term(value, 0)], _offset(index, value.type)))


def _offset(index: Term, type: Composite, spelt_out: bool = False) -> list[tuple[str, cst.BaseExpression]]:
    """`offset=…`, or nothing where it is 0, unless that is spelt out."""
    if index == Const(I32, 0) and not spelt_out:
        return []
    terms = [_term(term, 0) for term in offset_of(index, type)]
    return [("offset", terms[0] if len(terms) == 1 else in_parentheses(terms))]


def _element(array: str, index: Term) -> cst.Subscript | cst.Attribute:
    """`x[i]`, or `bodies[i].x` of an array of structs."""
    name, _, field = array.partition(ELEMENT)
    node: cst.Subscript | cst.Attribute
    if isinstance(index, At):
        node = subscript(dotted(name), *(_term(part, 0) for part in indices_of(index)))
    else:
        node = _at(name, index.name) if isinstance(index, Var) else subscript(dotted(name), _term(index, 0))
    for part in field.split(".")[1:]:
        node = cst.Attribute(node, identifier(part))
    return node


@lru_cache(maxsize=4096)
def _at(array: str, variable: str) -> cst.Subscript:
    return subscript(dotted(array), dotted(variable), kind=remembered(cst.Subscript))


def _call_of(function: Function, args: Sequence[Term]) -> cst.Call:
    passed = [identifier(one.function.name) for one in function.takes]
    given = call(function.name, [*passed, *_arguments(function, args)])
    return given.with_changes(func=call("wp.grad", [identifier(function.name)])) if function.gradient else given


def _arguments(function: Function, args: Sequence[Term]) -> Iterator[cst.BaseExpression]:
    """What a function is called with: a struct once, for all of its fields."""
    passed: set[str] = set()
    for param, arg in zip(function.params, said(function, args), strict=False):
        if param.name == root(param.name):
            yield _term(arg, 0)
        elif root(param.name) not in passed:
            passed.add(root(param.name))
            yield _owner(arg)


def said(function: Function, args: Sequence[Term]) -> Sequence[Term]:
    """Those that a call has to say: not what the last parameters are anyway."""
    usual = [*[None] * (len(args) - len(function.defaults)), *function.defaults]
    saying = [k for k, arg in enumerate(args) if usual[k] is None or repr(arg) != repr(usual[k])]  # two zeros are equal
    return args[: max(saying, default=-1) + 1]


def _owner(term: Term) -> cst.BaseExpression:
    """The struct that a term is a field of: `p` of `p.x`, `bodies[i]` of `bodies[i].x`."""
    match term:
        case Var(name, _):
            return dotted(name.rpartition(".")[0])
        case Read(array, index, _):
            return _element(array.rpartition(".")[0], index)
        case _:
            raise AssertionError("fields are of locals, parameters or elements")


# -- statements -------------------------------------------------------------------------------------------------------


def _block(body: Sequence[Stmt], names: _Names) -> cst.IndentedBlock:
    return cst.IndentedBlock([line for stmt in body for line in _lines(stmt, names)], header=END)


def _lines(stmt: Stmt, names: _Names) -> Iterator[cst.BaseStatement]:
    match stmt:
        case Unpack(targets, Op(spelling=Placed(function)) as op, operands):
            for target, type in zip(targets, op.results, strict=True):
                yield _line(_assign(identifier(target), _initial(zero(type), names)))
            yield _line(cst.Expr(call(function, [*(_term(each, 0) for each in operands), *map(identifier, targets)])))
        case _:
            yield _statement(stmt, names)


def _statement(stmt: Stmt, names: _Names) -> cst.BaseStatement:
    match stmt:
        case If(condition, body, orelse):
            return cst.If(_term(condition, 0), _block(body, names), orelse=_orelse(orelse, names))
        case For(variable, _, _, body):
            trips = call("range", [_term(bound, 0) for bound in stmt.bounds])
            return cst.For(identifier(variable), trips, _block(body, names))
        case While(condition, body):
            return cst.While(_term(condition, 0), _block(body, names))
        case _:
            return _line(_small(stmt, names))


def _line(small: cst.BaseSmallStatement) -> cst.SimpleStatementLine:
    return cst.SimpleStatementLine([small], trailing_whitespace=END)


def _small(stmt: Stmt, names: _Names) -> cst.BaseSmallStatement:
    match stmt:
        case Thread(name, ()):
            return _assign(identifier(name), call("wp.tid", []))
        case Thread():
            return _assign(_tuple([identifier(name) for name in stmt.names]), call("wp.tid", []))
        case View(name, array, index):
            return _assign(identifier(name), _element(array, index))
        case Assign(_, Apply(Op(spelling=InPlace() as spelling), operands)):
            return cst.Expr(
                call(spelling.function, [_term(each, 0) for each in spelling.ordered(operands)], spelling.keywords)
            )
        case Assign(name, Apply(Op(spelling=Pasted(indices)), (_, part))):
            return _assign(subscript(identifier(name), *map(_known_index, indices)), _term(part, 0))
        case Assign(name, value):
            return _assign(dotted(name), _initial(value, names) if name in names.rebound else _term(value, 0))
        case AugAssign(name, op, value):
            return _augmented(dotted(name), op.spelling, value)
        case AssignPart(value=value, op=op) | StorePart(value=value, op=op):
            target = _part(stmt) if isinstance(stmt, AssignPart) else _element_part(stmt)
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
        case Atomic(kind, array, index, value, name):
            compared = [Const(I32, 0)] if kind is AtomicKind.CAS else []
            args = [_term(arg, 0) for arg in (*indices_of(index), *compared, value)]
            done = call(f"wp.{kind.value}", [dotted(array), *args])
            return _assign(identifier(name), done) if name else cst.Expr(done)
        case Fieldwise():
            return _whole(stmt)
        case Outlined(name):
            return cst.Expr(call(name, [dotted(each.name) for each in taken_by(stmt, names.params)]))
        case Break():
            return cst.Break()
        case Continue():
            return cst.Continue()
        case Return(value, others):
            values = [] if value is None else [_term(each, 0) for each in (value, *others)]
            return cst.Return(_tuple(values) if others else values[0] if values else None)
        case Unpack(targets):
            return _assign(_tuple([identifier(target) for target in targets]), _term(stmt.call, 0))
        case If() | For() | While():
            raise AssertionError("compound statements are not small")
        case _:
            assert_never(stmt)


def _part(stmt: AssignPart) -> cst.Attribute | cst.Subscript:
    if stmt.lettered:
        assert stmt.known is not None
        return cst.Attribute(identifier(stmt.name), identifier(LETTERS[stmt.known]))
    return _element(stmt.name, stmt.index)


def _element_part(stmt: StorePart) -> cst.Attribute | cst.Subscript:
    element = _element(stmt.array, stmt.index)
    if stmt.lettered:
        return cst.Attribute(element, identifier(LETTERS[stmt.place]))
    return subscript(element, *map(_known_index, stmt.type.indices(stmt.place)))


def _tuple(parts: Sequence[cst.BaseExpression]) -> cst.Tuple:
    return cst.Tuple([cst.Element(part) for part in parts], [], [])


def _whole(stmt: Fieldwise) -> cst.Assign:
    match stmt.body:
        case ():
            return _assign(dotted(stmt.target), call(stmt.struct, []))
        case (Assign(_, Read() as element), *_):
            return _assign(dotted(stmt.target), _owner(element))
        case (Store(array, index, value), *_):
            return _assign(_element(array.rpartition(".")[0], index), _owner(value))
        case _:
            raise AssertionError("a struct is loaded, made or stored")


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
    params: tuple[Param, ...] = ()
    """What the kernel takes."""


def _names(body: tuple[Stmt, ...], params: tuple[Param, ...] = ()) -> _Names:
    rebound, constant = frozenset(rebound_in_loops(body)), set[str]()
    for stmt in statements(body):
        match stmt:
            case For(variable) if is_unrolled(stmt):
                constant.add(variable)
            case Assign(name, value) if name not in rebound and _is_constant(value, constant):
                constant.add(name)
    return _Names(rebound, frozenset(constant), params)


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


# -- the module -------------------------------------------------------------------------------------------------------


def _constant(name: str, const: Const) -> cst.SimpleStatementLine:
    number, _ = _const(const.type, const.value)
    value = number if const.static else call("wp.constant", [number])
    return cst.SimpleStatementLine([_assign(identifier(name), value)], trailing_whitespace=END)


def _function(function: Function) -> Iterator[cst.FunctionDef]:
    """The function, and its adjoint if it has one of its own."""
    free = {param.name for param in function.params if function.generic}
    params, opening = parameters(function.name, (*function.takes, *function.params), function.structs, free)
    last = function.params[len(function.params) - len(function.defaults) :]
    usual = {param.name: _term(const, 0) for param, const in zip(last, function.defaults, strict=True)}
    params = [param.with_changes(default=usual.get(param.name.value, param.default)) for param in params]
    yield _definition(marked("wp.func"), function.name, params, opening, _block(function.body, _names(function.body)))
    adjoint = adjoint_of(function) if function.custom else None
    if adjoint is not None:
        of = cst.Decorator(call("wp.func_grad", [identifier(function.name)]))
        params, opening = parameters(adjoint.name, adjoint.params, (), frozenset())
        steps = _block(adjoint.body[:-1], _names(adjoint.body)).body
        added = [_added(*pair) for pair in zip(function.params, own_terms(adjoint.body[-1]), strict=True)]
        lines = cst.IndentedBlock([*steps, *filter(None, added)], header=END)
        yield _definition(of, adjoint.name, params, opening, lines)


def _added(param: Var | Whole, value: Term) -> cst.SimpleStatementLine | None:
    """`wp.adjoint[x] += value`, or nothing where that is zero."""
    if value == zero(param.type):
        return None
    subtracted = isinstance(value, Apply) and value.op.name == "neg"
    token, value = ("Subtract", value.args[0]) if subtracted else ("Add", value)
    return _line(_augmented(subscript(dotted("wp.adjoint"), identifier(param.name)), Infix(token), value))


def _outlined(stmt: Outlined, kernel: Kernel) -> Iterator[cst.FunctionDef]:
    """The function, and what its adjoint does in place of it if it may not be done again: nothing."""
    params, opening = parameters(stmt.name, taken_by(stmt, kernel.params), (), frozenset())
    yield _definition(marked("wp.func"), stmt.name, params, opening, _block(stmt.body, _names(stmt.body)))
    if is_changed_by_replay(stmt, any(rebound_in_loops([other for other in kernel.body if other is not stmt]))):
        nothing = cst.IndentedBlock([_line(cst.Pass())], header=END)
        replay = cst.Decorator(call("wp.func_replay", [identifier(stmt.name)]))
        yield _definition(replay, replay_name(stmt), params, opening, nothing)


def _kernel(kernel: Kernel) -> cst.FunctionDef:
    free = {param.name for param in kernel.of_any_type}
    params, opening = parameters(kernel.name, kernel.params, kernel.structs, free)
    body = _block(kernel.body, _names(kernel.body, kernel.params))
    return _definition(marked("wp.kernel"), kernel.name, params, opening, body)


def _overload(kernel: Kernel) -> Iterator[cst.SimpleStatementLine]:
    """`wp.overload(scale, {"x": wp.array[float]})`: for which types a kernel of any types is made."""
    if kernel.generic:
        types = [cst.DictElement(cst.SimpleString(f'"{p.name}"'), annotation(p.type)) for p in kernel.of_any_type]
        made = call("wp.overload", [identifier(kernel.name), cst.Dict(types)])
        yield _line(cst.Expr(made)).with_changes(leading_lines=[EMPTY, EMPTY])


def _definition(
    decorator: cst.Decorator,
    name: str,
    params: Sequence[cst.Param],
    opening: cst.BaseParenthesizableWhitespace,
    body: cst.IndentedBlock,
) -> cst.FunctionDef:
    return cst.FunctionDef(
        name=identifier(name),
        params=cst.Parameters(params),
        whitespace_before_params=opening,
        body=body,
        decorators=[decorator],
        leading_lines=[EMPTY, EMPTY],
    )
