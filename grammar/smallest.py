"""For each construct of the grammar, a kernel of next to nothing else; and for several, such kernels side by side.

The key insight: where a failure is due to one construct, the kernel that it should shrink to is known beforehand. So
whoever draws a kernel can offer what it holds, side by side, as a simpler one, and then leave out one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from itertools import count

from grammar.alive import is_alive
from grammar.atomics import BITWISE, MARKING, AtomicKind
from grammar.choose import Seed, replaying
from grammar.defects import defect
from grammar.draft import Draft, start
from grammar.families import ANY, Family
from grammar.features import (
    Feature,
    branch_both,
    branch_chain,
    branch_update,
    loop_count,
    loop_nested,
    loop_sum,
    loop_while,
)
from grammar.fields import names_of, renamed
from grammar.gaps import TESTS
from grammar.grow import grow
from grammar.heights import height
from grammar.literal import number
from grammar.menus import spans_for
from grammar.names import RESERVED
from grammar.neighbours import gather, stencil
from grammar.op import Chain, Op
from grammar.ops import ROWS, TABLE
from grammar.params import Param, Role, Struct
from grammar.paths import owner, root
from grammar.profiles import profile
from grammar.ranges import Span
from grammar.terms import new_array
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
    Passed,
    Read,
    Return,
    Size,
    Stmt,
    Store,
    StorePart,
    Term,
    Thread,
    Var,
    View,
    While,
    all_terms,
    statements,
)
from grammar.types import BOOL, F32, F64, FLOATS, I32, NUMBERS, SCALARS, Array, Composite, Element, Scalar, type_named


class Trait(Enum):
    """What else a kernel may have that the compiler treats in a way of its own."""

    BREAK = "break"
    CONTINUE = "continue"
    RETURN = "return"
    UPDATE = "augmented assignment to a local"
    PART = "assignment to a part of a vector"
    ARRAY_UPDATE = "augmented assignment to an element"
    ELEMENT_PART = "assignment to a part of an element"
    ELEMENT_PART_UPDATE = "augmented assignment to a part of an element"
    SCALING = "multiplication of an element in place"
    RUN_TIME_BOUND = "bound of a loop that is known at run time"
    VIEW = "name for a part of an array"
    SCALAR = "scalar parameter"
    STRUCT = "struct parameter"
    RECORD = "array of structs"
    OUTLINED = "function that writes to an array"
    CUSTOM = "function with an adjoint of its own"
    GRADIENT = "gradient of a function"
    PASSED = "function that is handed a function"


@dataclass(frozen=True, slots=True)
class Nesting:
    """An operation on what another one gives."""

    outer: Op
    place: int
    """Of the argument."""
    inner: Op


Construct = Op | Feature | AtomicKind | Trait | Scalar | Nesting | None
"""None is nothing in particular; a type stands for arrays of it."""

OUT = "out"
I = Var("i", I32)  # noqa: E741 - what kernels call it, too
X = Param("x", Array(F32), Role.VALUE, -2.0, 2.0)

SIMPLEST = Kernel(
    "copy_values",
    (X, Param(OUT, Array(F32), Role.OUT)),
    (Thread("i"), Store(OUT, I, Read("x", I, F32))),
    "arithmetic",
)


HERE = Read("x", I, F32)
FLAG = Read("mask", I, BOOL)
MASK = Param("mask", Array(BOOL), Role.VALUE, -8, 8)
N = Param("n", I32, Role.VALUE, 3, 6)
FACTOR = Param("s", F32, Role.VALUE, -2.0, 2.0)
ADD, MUL, COUNTING = (ROWS[key] for key in ("add(float32,float32)", "mul(float32,float32)", "add(int32,int32)"))
BEYOND = Apply(ROWS["greater_equal(int32,int32)"], (I, Var("n", I32)))
SUMMED = AugAssign("s", ADD, Read("x", Var("k", I32), F32))


SQUARE = Function("square", (Var("a", F32),), (Return(Apply(MUL, (Var("a", F32), Var("a", F32)))),), F32)
ONCE = replace(SQUARE, name="squared")
AGAIN = Return(Invoke(ONCE, (Invoke(ONCE, (Var("a", F32),)),)))
TWICE = Function("twice", (Var("a", F32),), (AGAIN,), F32, takes=(Passed("f", ONCE),))
SHEET = Param("table", Array(F32, 2), Role.VALUE, -2.0, 2.0, 4)
OF_ROW = tuple(Read("table", At((I, Const(I32, k))), F32, "row") for k in range(2))
V3 = type_named("vec3f")
assert isinstance(V3, Composite)
XS = Param("xs", Array(V3), Role.VALUE, -2.0, 2.0)
THERE, RESULT = Read("xs", I, V3), Store(OUT, I, Var("v", V3))


def _of(body: tuple[Stmt, ...], *params: Param, out: Element = F32, role: Role = Role.OUT) -> Kernel:
    return Kernel("copy_values", (*params, Param(OUT, Array(out), role, -1.0, 1.0)), (Thread("i"), *body), "combined")


def _summed(stop: Term, *body: Stmt) -> tuple[Stmt, ...]:
    """A sum over a loop, to which comes what keeps it from being the same everywhere."""
    total = Apply(ADD, (Var("s", F32), HERE))
    return (Assign("s", Const(F32, 0.0)), For("k", None, stop, body), Store(OUT, I, total))


def _counted(leave: Stmt) -> tuple[Stmt, ...]:
    """How many trips of a loop there are that some lanes leave. Of integers, as those cost no gradient."""
    trip = (If(FLAG, (leave,)), AugAssign("s", COUNTING, Const(I32, 1)))
    return (Assign("s", Const(I32, 0)), For("k", None, Const(I32, 3), trip), Store(OUT, I, Var("s", I32)))


TRAITS: Mapping[Trait, Kernel] = {
    Trait.BREAK: _of(_counted(Break()), MASK, out=I32),
    Trait.CONTINUE: _of(_counted(Continue()), MASK, out=I32),
    Trait.RETURN: _of((If(BEYOND, (Return(),)), Store(OUT, I, HERE)), X, Param("n", I32, Role.COUNT)),
    Trait.UPDATE: _of((Assign("s", HERE), AugAssign("s", MUL, HERE), Store(OUT, I, Var("s", F32))), X),
    Trait.ARRAY_UPDATE: _of((AugStore(OUT, I, ADD, HERE),), X, role=Role.ACCUMULATOR),
    Trait.PART: _of((Assign("v", THERE), AssignPart("v", V3, Const(I32, 0), HERE, ADD), RESULT), X, XS, out=V3),
    Trait.ELEMENT_PART: _of((StorePart(OUT, I, V3, 0, HERE),), X, out=V3, role=Role.ACCUMULATOR),
    Trait.ELEMENT_PART_UPDATE: _of((StorePart(OUT, I, V3, 0, HERE, ADD),), X, out=V3, role=Role.ACCUMULATOR),
    Trait.SCALING: _of((Store(OUT, I, HERE), AugStore(OUT, I, MUL, Const(F32, 2.0))), X),
    Trait.RUN_TIME_BOUND: _of(_summed(Var("n", I32), SUMMED), X, N),
    Trait.OUTLINED: _of((Outlined("write_value", (Store(OUT, I, HERE),)),), X),
    Trait.CUSTOM: _of((Store(OUT, I, Invoke(replace(SQUARE, custom=True), (HERE,))),), X),
    Trait.PASSED: _of((Store(OUT, I, Invoke(TWICE, (HERE,))),), X),
    Trait.GRADIENT: _of((Store(OUT, I, Invoke(replace(SQUARE, name="energy", gradient=True), (HERE,))),), X),
    Trait.VIEW: _of((View("row", "table", I), Store(OUT, I, Apply(ADD, OF_ROW))), SHEET),
    Trait.SCALAR: _of((Store(OUT, I, Apply(MUL, (Var("s", F32), HERE))),), X, FACTOR),
    Trait.STRUCT: replace(
        _of((Store(OUT, I, Apply(MUL, (Var("params.s", F32), HERE))),), X, replace(FACTOR, name="params.s")),
        structs=(Struct("params", "Params"),),
    ),
    Trait.RECORD: replace(
        _of(
            (
                Fieldwise("Point", "p", (Assign("p.x", Read("points[].x", I, F32)),)),
                Store(OUT, I, Var("p.x", F32)),
            ),
            replace(X, name="points[].x"),
        ),
        structs=(Struct("points[]", "Point"),),
    ),
}
TYPES = (F64, I32, BOOL)
STANDS_FOR: Mapping[type[Stmt], Construct] = {
    While: loop_while,
    Break: Trait.BREAK,
    Continue: Trait.CONTINUE,
    Return: Trait.RETURN,
    AugAssign: Trait.UPDATE,
    AssignPart: Trait.PART,
    AugStore: Trait.ARRAY_UPDATE,
    StorePart: Trait.ELEMENT_PART,
    Fieldwise: Trait.RECORD,
    View: Trait.VIEW,
    Outlined: Trait.OUTLINED,
}


BRANCHING: tuple[Construct, ...] = (
    *(branch_update, branch_both, branch_chain, stencil),
    *(Trait.RETURN, loop_count, Trait.CONTINUE, Trait.BREAK),
)
"""What holds a branch, the simplest first."""


@cache
def constructs() -> tuple[Construct, ...]:
    """Nothing in particular, the rows of the table, features of families, kinds of atomic operations, traits, types.

    Side by side are rows of one name, and what holds a branch: Hypothesis shrinks a number to the one before.
    """
    names = list(dict.fromkeys(op.name for op in TABLE))
    others = (*(feature for feature, _ in ANY), *AtomicKind, *Trait, *TYPES)
    return (
        None,
        *sorted(TABLE, key=lambda op: names.index(op.name)),
        *(one for one in others if one not in BRANCHING),
        *BRANCHING,
    )


def constructs_of(kernel: Kernel) -> tuple[Construct, ...]:
    """Those that a kernel holds, each once; of features, what stands for each kind of statement or index."""
    found: list[Construct] = []
    for stmt in statements(kernel.body):
        found += _constructs_in(stmt)
    scalars = {param.name for param in kernel.params if param.type in SCALARS and param.role is Role.VALUE}
    for term in all_terms(kernel):
        match term:
            case Apply(op, _):
                found.append(op)
            case Var(name, _) if name in scalars:
                found.append(Trait.STRUCT if "." in name else Trait.SCALAR)
            case Read(_, Read(), _):
                found.append(gather)
            case Size():
                found.append(stencil)
            case Invoke(function, _):
                marks = {
                    Trait.GRADIENT: function.gradient,
                    Trait.CUSTOM: function.custom,
                    Trait.PASSED: function.takes,
                }
                found += [trait for trait, holds in marks.items() if holds]
            case _:
                pass
    found += [param.element for param in kernel.params if param.element in TYPES]
    return tuple(dict.fromkeys(found))


def nestings_of(kernel: Kernel) -> tuple[Nesting, ...]:
    """Those that a kernel holds of rows of the table, each once."""
    known = _numbers_of_rows()
    nested = (
        Nesting(term.op, place, arg.op)
        for term in all_terms(kernel)
        if isinstance(term, Apply)
        for place, arg in enumerate(term.args)
        if isinstance(arg, Apply) and term.op.key in known and arg.op.key in known
    )
    return tuple(dict.fromkeys(nested))


MOST_ARGUMENTS = max(len(op.params) for op in TABLE)
INSIDES = len(TABLE) * MOST_ARGUMENTS
"""How many numbers there are of what may stand inside of an operation, and where; few fit a given one."""


def inside_of(nesting: Nesting) -> int:
    """What stands inside and where, as a number from 1 to `INSIDES`."""
    return 1 + _numbers_of_rows()[nesting.inner.key] * MOST_ARGUMENTS + nesting.place


def with_inside(construct: Construct, number: int) -> Construct:
    """With what that number says inside, if it fits there; 0 says nothing."""
    if not number or not isinstance(construct, Op):
        return construct
    row, place = divmod(number - 1, MOST_ARGUMENTS)
    inner = TABLE[row]
    fits = place < len(construct.params) and construct.params[place] is inner.result
    return Nesting(construct, place, inner) if fits and not isinstance(inner.spelling, Chain) else construct


@cache
def _numbers_of_rows() -> Mapping[str, int]:
    return {op.key: k for k, op in enumerate(TABLE)}


def _constructs_in(stmt: Stmt) -> list[Construct]:
    """What stands for the kind of statement, the simplest first, and the operation that is written with it."""
    match stmt:
        case Atomic(kind, _, _, _):
            return [kind]
        case If(_, _, orelse):
            chained = len(orelse) == 1 and isinstance(orelse[0], If)
            return [branch_update, *[branch_both] * bool(orelse), *[branch_chain] * chained]
        case For(_, _, _, body):
            nested = any(isinstance(inner, For) for inner in statements(body))
            run_time = not all(isinstance(bound, Const) for bound in stmt.bounds)
            return [loop_sum, *[loop_nested] * nested, *[Trait.RUN_TIME_BOUND] * run_time]
        case AugStore(_, _, op, _) if stmt.kind is None:
            return [op, Trait.SCALING]
        case StorePart(op=Op() as op):
            return [op, Trait.ELEMENT_PART_UPDATE]
        case AugAssign(_, op, _) | AugStore(_, _, op, _):
            return [op, STANDS_FOR[type(stmt)]]
        case _:
            return [STANDS_FOR[type(stmt)]] if type(stmt) in STANDS_FOR else []


def smallest(construct: Construct, seed: Seed, lanes: int) -> Kernel:
    """The smallest kernel that holds the construct and is alive; `SIMPLEST` where there is none so simple."""
    if construct is None:
        return SIMPLEST
    if isinstance(construct, Trait):
        return TRAITS[construct]
    if isinstance(construct, Scalar):
        return _copied(construct)
    if isinstance(construct, AtomicKind):
        return _reduced(construct)
    of_threads = next(filter(_is_of_threads, _rows_of(construct)), None)
    if of_threads is not None:
        return _by_block(of_threads.result.scalar)
    if isinstance(construct, Nesting):
        kernel = _applied(construct.outer, seed, lanes, construct)
    elif isinstance(construct, Op):
        kernel = _applied(construct, seed, lanes)
    else:
        kernel = _featured(construct, seed, lanes)
    return SIMPLEST if kernel is None else kernel


def _rows_of(construct: Construct) -> tuple[Op, ...]:
    if isinstance(construct, Nesting):
        return construct.outer, construct.inner
    return (construct,) if isinstance(construct, Op) else ()


def _is_of_threads(op: Op) -> bool:
    return any(map(is_of_threads, (*op.params, op.result)))


def around(construct: Feature) -> Family:
    """A family whose kernels have the feature."""
    return Family("combined", 3, features=(((construct, 1.0),),))


def _copied(type: Scalar) -> Kernel:
    """`out[i] = x[i]`."""
    param = replace(X, type=Array(type)) if type in FLOATS else replace(MASK, type=Array(type))
    return _of((Store(OUT, I, Read(param.name, I, type)),), param, out=type)


def _reduced(kind: AtomicKind) -> Kernel:
    """`wp.atomic_add(out, 0, x[i])`; what only marks does so where an array says."""
    if kind in MARKING:
        given, marked = Param("indices", Array(I32), Role.INDEX), Param(OUT, Array(I32), Role.ACCUMULATOR, 0, 1)
        mark = Atomic(kind, OUT, Read("indices", I, I32), Const(I32, 1))
        return Kernel("mark_values", (given, marked), (Thread("i"), mark), "atomic_reduction")
    type, given = (I32, replace(X, type=Array(I32), low=0, high=20)) if kind in BITWISE else (F32, X)
    total = Param(OUT, Array(type), Role.ACCUMULATOR, -1.0, 1.0, None if kind in BITWISE else 1)
    stmt = Atomic(kind, OUT, I if kind in BITWISE else Const(I32, 0), Read("x", I, type))
    return Kernel("reduce_values", (given, total), (Thread("i"), stmt), "atomic_reduction")


def _by_block(scalar: Scalar) -> Kernel:
    """`wp.tile_atomic_add(out, wp.tile_sum(wp.tile(a)))`, of which no part stands alone."""
    each = ROWS[f"tile({scalar.name})"]
    summed = ROWS[f"tile_sum({each.result.name})"]
    given = _copied(scalar).params[0]
    total = Apply(summed, (Apply(each, (Var("a", scalar),)),))
    body = (Assign("a", Read(given.name, I, scalar)), Atomic(AtomicKind.ADD, OUT, Const(I32, 0), total))
    kernel = _of(body, given, out=summed.result, role=Role.ACCUMULATOR)
    return replace(kernel, params=(given, replace(kernel.params[-1], size=1)))


@cache
def _applied(op: Op, seed: Seed, lanes: int, nesting: Nesting | None = None) -> Kernel | None:
    """`out[i] = wp.sin(x[i])`: the operation on elements of arrays of its own; the last may have to be a number.

    One of them may be what another operation gives: `out[i] = wp.sin(wp.abs(x[i]))`.
    """
    if not op.params:
        return None  # it makes something of nothing
    draft = Draft(replaying(()), profile("natural"), op.params[0] if op.params[0] in NUMBERS else F32, seed, lanes)
    start(draft)
    args = _elements(draft, op, nesting)
    out = Param(OUT, Array(op.result), Role.OUT)
    chained = isinstance(op.spelling, Chain)  # Warp takes no element at its end
    plain = number(op.params[-1], 16 if chained else 1)
    ways = [] if chained else [(draft.params, args[-1])]
    ways += [(draft.params[:-1], plain)] if isinstance(args[-1], Read) else []
    for params, last in ways:
        body: tuple[Stmt, ...] = (*draft.block, Store(OUT, draft.thread, Apply(op, (*args[:-1], last))))
        kernel = Kernel("apply_values", (*params, out), body, "arithmetic")
        if defect(kernel) is None and is_alive(kernel, seed, lanes):
            return kernel
    return None


def _elements(draft: Draft, op: Op, nesting: Nesting | None = None) -> list[Term]:
    """An element of an array of its own for each argument, or what another operation gives for such."""
    return [
        Apply(nesting.inner, tuple(_elements(draft, nesting.inner)))
        if nesting is not None and place == nesting.place
        else Read(_array_for(draft, op, type, span).name, draft.thread, type)
        for place, (type, span) in enumerate(zip(op.params, spans_for(op), strict=True))
    ]


def _array_for(draft: Draft, op: Op, type: Element, span: Span) -> Param:
    """Of what tells missing data from others, one in which some are missing."""
    return new_array(draft, type, span, role=TESTS[op.name][0] if op.name in TESTS else Role.VALUE)


@cache
def _featured(feature: Feature, seed: Seed, lanes: int) -> Kernel | None:
    """What is grown where every choice is the simplest."""
    for depth in (3, 4, 5):
        kernel = grow(replaying(()), around(feature), profile("natural"), depth, seed, lanes, attempts=1)
        if kernel is not None:
            return kernel
    return None


# -- several ----------------------------------------------------------------------------------------------------------


def sketch(held: Iterable[Construct], depth: int, seed: Seed, lanes: int) -> Kernel:
    """The smallest kernels with the constructs, side by side in one; those that are higher than `depth` are left out.

    So is what is dull under other names, as inputs vary with names, or where lanes are missing that have left before.
    """
    parts = dict.fromkeys(smallest(construct, seed, lanes) for construct in held)
    fitting = [part for part in parts if part != SIMPLEST and height(part) <= depth]
    fitting.sort(key=_returns)
    kernel = fitting[0] if fitting else SIMPLEST
    for part in fitting[1:]:
        other = _fitted(part, kernel)
        both = beside(kernel, other)
        tiles = {is_of_threads(param.element) for param in both.params if is_tile(param.element)}
        if len(tiles) < 2 and is_alive(both if _returns(kernel) else other, seed, lanes) and defect(both) is None:
            kernel = both
    return kernel


def _returns(kernel: Kernel) -> bool:
    """Whether lanes leave the kernel before its end: what stands behind is not for all of them."""
    return any(isinstance(stmt, Return) for stmt in statements(kernel.body))


def beside(kernel: Kernel, other: Kernel) -> Kernel:
    """A kernel that does what the one does, then the other, with which it has no names in common but of inputs."""
    params = tuple(dict.fromkeys(kernel.params + other.params))
    ordered = [p for p in params if not p.is_output] + [p for p in params if p.is_output]
    structs = (*kernel.structs, *other.structs)
    return Kernel(kernel.name, tuple(ordered), kernel.body + other.body[1:], "combined", structs)


def _fitted(kernel: Kernel, place: Kernel) -> Kernel:
    """The kernel with other names where `place` has the same, except for inputs that are the same, and the thread."""
    shared = {p.name for p in kernel.params if not p.is_output and p in place.params and p.name == root(p.name)}
    taken = {*names_of(place), *RESERVED}
    names: dict[str, str] = {}
    for name in dict.fromkeys(names_of(kernel)):
        names[name] = name if name in shared else next(new for new in _numbered(name) if new not in taken)
        taken.add(names[name])
    names[_thread(kernel)] = _thread(place)
    return renamed(kernel, lambda name: _moved(name, names))


def _thread(kernel: Kernel) -> str:
    first = kernel.body[0]
    assert isinstance(first, Thread)
    return first.name


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{k}" for k in count(1))


def _moved(name: str, names: Mapping[str, str]) -> str:
    """The name with another for what it is a field of."""
    own = owner(name)
    return names[own] + name.removeprefix(own)
