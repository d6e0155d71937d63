"""Growing terms: operations over leaves, each seen at work before it is kept.

The key insight: arguments first, operation after. Once the arguments have values, an operation is on offer only if it
is defined on them and does something to them; a guard is spelt only where a value really leaves a domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from grammar.angles import turned, whole
from grammar.choose import Wheel, chance, pick, weighted
from grammar.draft import (
    ANYWHERE,
    INT_LIMIT,
    Draft,
    Grown,
    StuckError,
    add_param,
    define,
    gives_back,
    in_span,
    is_like,
    is_sound,
    is_sound_local,
    local_role,
    outcome,
)
from grammar.heights import term_height
from grammar.lanes import some
from grammar.literal import identity, number, zero
from grammar.menus import betweens, comparisons, connectives, favoured_menu, kindred, menu, offered, spans_for
from grammar.names import COMPOSITE_ROLES, NameRole, name_for
from grammar.op import Chain, Item, Lanes, Member, Op
from grammar.ops import ROWS, TABLE
from grammar.params import Param, Role
from grammar.profiles import Profile
from grammar.ranges import DISTANCES, MIXERS, PATTERNS, Span, is_wide, spans, wrapped
from grammar.reads import read, with_name
from grammar.tiles import is_single, is_tile
from grammar.tree import Apply, Assign, At, Const, Read, Term, Var
from grammar.types import (
    BARE,
    BOOL,
    FLOATS,
    I32,
    INTEGERS,
    Array,
    Composite,
    Element,
    Kind,
    Scalar,
)
from grammar.wording import is_clumsy, is_prefix

MAX_SCALARS = 3
TRIES = 4
"""How many operations are tried on the arguments at hand before one of the arguments is taken as it is."""


# -- growing ----------------------------------------------------------------------------------------------------------


def grow_term(draft: Draft, type: Element, height: int, span: Span = ANYWHERE) -> Grown:
    """A term of the given type, at most that high, that is sound on the active lanes."""
    if type is BOOL and height >= 2:
        return grow_condition(draft, height)
    if height <= 1 or chance(draft.choose, 0.12):
        return grow_leaf(draft, type, span, height)
    op = spun(draft, menu(draft, type))
    if op is None:
        return grow_leaf(draft, type, span, height)
    args = turned(draft, op, grow_arguments(draft, op, height - 1), height)
    grown = settle(draft, op, args, height) or args_as_they_are(draft, type, args)
    return grow_leaf(draft, type, span, height) if grown is None else _shared(draft, grown, height)


def _shared(draft: Draft, grown: Grown, height: int) -> Grown:
    """The term; of what gives an angle, now and then the share that it is of a whole one."""
    divisor = whole(draft, grown, height)
    if divisor is None:
        return grown
    op = ROWS[f"div({divisor.type.name},{divisor.type.name})"]
    return attempt(draft, op, [grown, draft.grown(divisor)]) or grown


def spun(draft: Draft, wheel: Wheel[Op]) -> Op | None:
    """An operation; in a function, one on types that are to be had there."""
    if not draft.closed:
        return wheel.spin(draft.choose)
    types = {BOOL, *(variable.type for variable in draft.scope)}
    drawn = (wheel.spin(draft.choose) for _ in range(TRIES))
    return next((op for op in drawn if types.issuperset(op.params)), None)


def grow_favoured(draft: Draft, type: Element, height: int) -> Grown:
    """A term whose outermost operation is of a group that the family favours."""
    for _ in range(TRIES):
        op = favoured_menu(draft.profile, draft.favoured, draft.kin, type).spin(draft.choose)
        args = grow_arguments(draft, op, height - 1)
        grown = attempt(draft, op, args) or (guarded(draft, op, args, height) if op.domain is not None else None)
        if grown is not None:
            return grown
    return grow_term(draft, type, height)


def grow_arguments(draft: Draft, op: Op, height: int) -> list[Grown]:
    """One argument of full height, the others mostly low, so that size grows gently with height."""
    shifts = op.name in SHIFTS
    tall = 0 if shifts else draft.choose(max(1, len(op.params)))
    within = spans_for(op)
    args: list[Grown] = []
    for k, type in enumerate(op.params):
        own = height if k == tall else 1 + draft.choose(height) * min(1, draft.choose(3))
        if type not in draft.kin or (is_tile(draft.main) and not is_tile(type)):
            own = 1  # what is only converted is read and no more, and what scales a tile
        constant = k != tall and len(op.params) > 1 and chance(draft.choose, 0.85 if shifts else _constants(draft))
        args.append(grow_constant(draft, type, within[k]) if constant else grow_argument(draft, type, own, within[k]))
    if isinstance(op.spelling, Member | Item):
        args[0] = with_name(draft, args[0])
    return args


def _constants(draft: Draft) -> float:
    """How often an argument is a number, where it may be: so often that among all leaves numbers have their share."""
    leaves = draft.profile.leaves
    return 1.5 * leaves["constant"] / sum(leaves.values())


SHIFTS = ("lshift", "rshift", "power")
"""By how far, or to which power, is mostly a plain number."""


def grow_argument(draft: Draft, type: Element, height: int, span: Span) -> Grown:
    grown = grow_term(draft, type, height, span)
    if isinstance(grown.term, Apply) and _deserves_name(draft, grown):
        return define(draft, local_role(type), grown)
    return grown


def _deserves_name(draft: Draft, grown: Grown) -> bool:
    share = 0.12 if term_height(grown.term) < 4 + draft.tall else 0.5
    return draft.locals_left > 0 and some(draft.active) and chance(draft.choose, share)


def lowered(draft: Draft, grown: Grown, height: int) -> Grown:
    """The value, under a name of its own if its term is higher than that."""
    return grown if term_height(grown.term) <= height else define(draft, local_role(grown.term.type), grown)


def settle(draft: Draft, op: Op, args: list[Grown], height: int) -> Grown | None:
    """The operation on these arguments, or a guarded or kindred one where it would be undefined or do nothing."""
    grown = attempt(draft, op, args)
    if grown is None and op.domain is not None and chance(draft.choose, 0.5):
        grown = guarded(draft, op, args, height)
    if grown is None:
        kin = kindred(draft.profile, op)
        for _ in range(TRIES if kin else 0):
            assert kin is not None
            grown = attempt(draft, kin.spin(draft.choose), args)
            if grown is not None:
                break
    return grown


def attempt(draft: Draft, op: Op, args: list[Grown]) -> Grown | None:
    """The operation on these arguments, if it is defined on the active lanes, does something, and reads well."""
    terms, values = [arg.term for arg in args], [arg.value for arg in args]
    value = None if is_clumsy(draft, op, terms) else outcome(draft, op, values)
    if value is None:
        return None
    if op.name == "add" and isinstance(terms[0], Const):
        terms = terms[::-1]
    if not is_sound(draft, value) or any(_is_idle(draft, op, value, other) for other in values):
        return None
    if op.result in INTEGERS and not draft.patterns and some(wrapped(op, values, value) & draft.active):
        return None
    if op.result is not BOOL and _undoes(draft, op, args, value):
        return None
    return Grown(Apply(op, tuple(terms)), value, tuple(values))


def _is_idle(draft: Draft, op: Op, value: Lanes, other: Lanes) -> bool:
    """Whether an operation gives what it is given; a quaternion and its opposite are one rotation."""
    if is_like(draft, value, other):
        return True
    rigid = isinstance(op.result, Composite) and op.result.is_rigid and op.name != "neg"
    return rigid and is_like(draft, -value, other)


def _undoes(draft: Draft, op: Op, args: list[Grown], value: Lanes) -> bool:
    """`exp(log(x))`, `sqrt(x * x)`, `x + y - x`: what went into an argument comes out. `cos(-x)`: or might as well."""
    for k, arg in enumerate(args):
        for part in arg.parts:
            if gives_back(draft, value, part):
                return True
        if arg.parts and is_prefix(arg.term):
            bare = [arg.parts[0] if j == k else other.value for j, other in enumerate(args)]
            plain = outcome(draft, op, bare)
            if plain is not None and is_like(draft, value, plain):
                return True
    return False


def guarded(draft: Draft, op: Op, args: list[Grown], height: int) -> Grown | None:
    """The operation with its first argument brought into the domain the way people do: `abs(x)`, `max(x, 0.1)`, …

    None where that doesn't do, or there is no room for it.
    """
    inner = args[0]
    name = inner.term.type.name
    if inner.term.type not in FLOATS or isinstance(inner.term, Const):
        return None
    square = Apply(ROWS[f"mul({name},{name})"], (inner.term, inner.term))
    small, one = Const(inner.term.type, pick(draft.choose, (0.1, 0.01, 0.5))), Const(inner.term.type, 1.0)
    guards = [
        Apply(ROWS[f"abs({name})"], (inner.term,)),
        Apply(ROWS[f"max({name},{name})"], (inner.term, small)),
        Apply(ROWS[f"add({name},{name})"], (one, square)),
        Apply(ROWS[f"clamp({name},{name},{name})"], (inner.term, Const(inner.term.type, 0.0), one)),
    ]
    first = draft.choose(len(guards))
    for guard in guards[first:] + guards[:first]:
        if term_height(guard) >= height:
            continue
        grown = attempt(draft, op, [draft.grown(guard), *args[1:]])
        if grown is not None:
            return grown
    return None


def args_as_they_are(draft: Draft, type: Element, args: list[Grown]) -> Grown | None:
    for arg in args:
        if arg.term.type is type and not isinstance(arg.term, Const) and is_sound(draft, arg.value):
            return arg
    return None


# -- conditions -------------------------------------------------------------------------------------------------------


def grow_condition(draft: Draft, height: int) -> Grown:
    """A bool term that holds on some active lanes and fails on others."""
    for _ in range(TRIES):
        if height >= 3 and chance(draft.choose, draft.profile.connected):
            grown = _grow_connective(draft, height)
        elif chance(draft.choose, 0.08):
            grown = _grow_predicate(draft, height)
        elif height >= 2 and chance(draft.choose, BETWEEN):
            grown = _grow_between(draft, height)
        else:
            grown = grow_comparison(draft, height)
        if grown is not None:
            return grown
    return _flag(draft)


def _grow_connective(draft: Draft, height: int) -> Grown | None:
    op = connectives(draft.profile).spin(draft.choose)
    return attempt(draft, op, [grow_condition(draft, height - 1) for _ in op.params])


def _grow_predicate(draft: Draft, height: int) -> Grown | None:
    """Any operation of the table that gives a bool."""
    op = spun(draft, menu(draft, BOOL))
    if op is None or isinstance(op.spelling, Chain):
        return _grow_between(draft, height, op)
    return attempt(draft, op, grow_arguments(draft, op, height - 1))


BETWEEN = 0.03
"""Share of conditions that compare three; people mostly write two comparisons."""


def _grow_between(draft: Draft, height: int, op: Op | None = None) -> Grown | None:
    """`low < value < high`, of plain numbers within the values at hand."""
    type = draft.main.scalar if op is None else op.params[1]
    if draft.closed and all(variable.type is not type for variable in draft.scope):
        return None
    options = [row for row in betweens(type) if draft.profile.weight(row)]
    if not options:
        return None
    value = grow_argument(draft, type, max(1, height - 1), ANYWHERE)
    ends = threshold_for(draft, value, 0.05, 0.35), threshold_for(draft, value, 0.6, 0.95)
    if isinstance(value.term, Const) or None in ends:
        return None
    low, high = (draft.grown(end) for end in ends if end is not None)
    return attempt(draft, op or pick(draft.choose, options), [low, value, high])


def grow_comparison(draft: Draft, height: int) -> Grown | None:
    """`value < threshold`, the threshold being a plain number within the values at hand, or another value."""
    op = spun(draft, comparisons(draft.profile, draft.main))
    if op is None:
        return None
    left = grow_argument(draft, op.params[0], height - 1, ANYWHERE)
    if isinstance(left.term, Const):
        return None
    if chance(draft.choose, 0.35):
        right = grow_leaf(draft, op.params[1], ANYWHERE)
        return None if right.term == left.term else attempt(draft, op, [left, right])
    threshold = threshold_for(draft, left)
    return None if threshold is None else attempt(draft, op, [left, draft.grown(threshold)])


def threshold_for(draft: Draft, grown: Grown, lowest: float = 0.2, highest: float = 0.8) -> Const | None:
    """A plain number between two quantiles of the value."""
    seen = grown.value[draft.active]
    if seen.size == 0:
        return None
    ranked = np.sort(seen)
    first, last = ranked[int(lowest * (seen.size - 1))], ranked[int(highest * (seen.size - 1))]
    type = grown.term.type.scalar
    if type in INTEGERS:
        return Const(type, _between(draft, int(first), int(last)))
    low, high = float(first), float(last)
    literals = [(v, w) for v, w in ((0.0, 8.0), *draft.profile.float_literals) if low <= v <= high]
    if literals:
        return Const(type, weighted(draft.choose, literals))
    middle = float(f"{(low + high) / 2:.2g}")
    return Const(type, middle if low <= middle <= high else float(f"{(low + high) / 2:.4g}"))


def _between(draft: Draft, low: int, high: int) -> int:
    """A whole number; of far more than anybody counts, a power of two if there is one."""
    if high - low <= INT_LIMIT:
        return low + draft.choose(max(1, high - low + 1))
    power = 1 << (high.bit_length() - 1)
    if power == 1 << 31:
        power >>= 1  # Warp writes literals down as int32 first, and Clang warns of those that aren't
    return power if power > low else (low + high) // 2


# -- leaves -----------------------------------------------------------------------------------------------------------


def grow_leaf(draft: Draft, type: Element, span: Span = ANYWHERE, height: int = 1) -> Grown:
    """A variable, an element of an array, or a new parameter: never a constant; or what is owed, at most that high."""
    owed = [k for k, g in enumerate(draft.pending) if g.term.type is type and in_span(g.value, span)]
    if owed and not chance(draft.choose, 0.15):
        return lowered(draft, draft.pending.pop(owed[0]), height)
    weights = draft.profile.leaves
    found = _locals(draft, type, span)
    if isinstance(type, Composite) and type.is_tile:
        return pick(draft.choose, found) if found and chance(draft.choose, 0.5) else tile_leaf(draft, type)
    if draft.closed:
        return pick(draft.choose, found or _locals(draft, type, ANYWHERE) or _stuck())
    options: list[tuple[str, float]] = [
        ("local", weights["local"] * THERE if found else 0.0),
        ("read", weights["read"] * (0.1 if is_tile(draft.main) else 1.0)),
        ("scalar", weights["scalar"] * (4.0 if "scalar" in draft.favoured else 0.8 / type.width**0.5)),
        (
            "counter",
            0.0 if not _counts(type) or (type is not I32 and height < 2) else 0.3 if draft.patterns else 0.03,
        ),
    ]
    match weighted(draft.choose, options):
        case "local":
            return found[len(found) - 1 - draft.choose(len(found)) * draft.choose(2)]
        case "scalar":
            return _scalar(draft, type, span) or read_element(draft, type, span)
        case "counter":
            return _counter(draft, type, span) or read_element(draft, type, span)
        case _:
            return read_element(draft, type, span)


def _counts(type: Element) -> bool:
    return type is not BOOL and not isinstance(type, Composite)


THERE = 2.5
"""How much likelier locals are where there are any, so that over all leaves they have their share."""


def _stuck() -> list[Grown]:
    raise StuckError


def _locals(draft: Draft, type: Element, span: Span) -> list[Grown]:
    env, parts = draft.interpreter.env, draft.parts
    sound = (v for v in draft.scope if v.type is type and is_sound_local(draft, v.name))
    grown = [Grown(v, env[v.name], parts.get(v.name, ())) for v in sound]
    return [g for g in grown if in_span(g.value, span)]


def read_element(draft: Draft, type: Element, span: Span = ANYWHERE) -> Grown:
    """An element of an array, at the index at hand."""
    known = [p for p in draft.params if isinstance(p.type, Array) and p.element is type and p.role is Role.VALUE]
    fitting = [p for p in known if _fits(p, span) and p.size is None]
    room = sum(isinstance(p.type, Array) for p in draft.params) < draft.most_arrays
    if fitting and not (room and chance(draft.choose, 0.6 / len(fitting))):
        param = pick(draft.choose, fitting)
    else:
        param = new_array(draft, type, span)
    index = index_into(draft, param)
    if room and draft.dimensions == 1 and chance(draft.choose, 0.02):
        index = stored_index(draft)
    return read(draft, Read(param.name, index, type))


def tile_leaf(draft: Draft, type: Composite) -> Grown:
    """A tile that is loaded under a name; one of a single scalar is what a larger one comes to."""
    if is_single(type) and any(is_tile(other) and not is_single(other) for other in draft.kin):
        return reduced(draft, type, 1)
    read = read_element(draft, type)
    if isinstance(read.term, Var):
        return read
    for stmt in draft.block:  # nobody loads a tile twice
        if isinstance(stmt, Assign) and stmt.value == read.term and Var(stmt.name, type) in draft.scope:
            return draft.grown(Var(stmt.name, type))
    return define(draft, local_role(type), read)


def reduced(draft: Draft, type: Composite, height: int) -> Grown:
    """`wp.tile_sum(t)` and its kin, under a name."""
    known = [op for op in TABLE if op.result is type and len(op.params) == 1 and is_tile(op.params[0])]
    larger = {op.params[0] for op in known if op.group == "tile" and not is_single(op.params[0])}
    sources = larger & draft.kin
    if not sources:
        raise StuckError
    source = pick(draft.choose, sorted(sources, key=repr))
    value = lowered(draft, grow_term(draft, source, height), 1)
    wheel = offered(draft, [op for op in known if op.params == (source,)])
    for _ in range(TRIES):
        op = wheel.spin(draft.choose)
        grown = None if op is None else attempt(draft, op, [value])
        if grown is not None:
            return define(draft, local_role(type), grown)
    raise StuckError


def index_into(draft: Draft, param: Param) -> Term:
    """The thread's own indices, or loop variables in their place."""
    assert isinstance(param.type, Array)
    dimensions, loops = param.type.dimensions, draft.indices[draft.dimensions :]
    if dimensions == 1:
        return draft.indices[len(draft.indices) - 1 - draft.choose(len(draft.indices)) * draft.choose(2)]
    own = list(draft.indices[:dimensions])
    if loops and draft.choose(2):
        own[draft.choose(dimensions)] = loops[-1]
    return At(tuple(own))


def stored_index(draft: Draft) -> Term:
    """`indices[i]`: valid in any array that has an element per lane."""
    known = [p for p in draft.params if p.role is Role.INDEX]
    param = known[0] if known else add_param(draft, Param(draft.name("array_index"), Array(I32), Role.INDEX))
    return Read(param.name, draft.thread, I32)


def new_array(
    draft: Draft, type: Element, span: Span = ANYWHERE, dimensions: int = 0, role: Role = Role.VALUE
) -> Param:
    """An array of so many dimensions; of 0, mostly of those that the grid of threads has."""
    low, high = range_for(draft, type, span)
    words: NameRole = "flag" if type is BOOL else "array_positive" if low > 0 and type in FLOATS else "array_in"
    if type in INTEGERS:
        words = "array_bits" if is_wide(low, high) else "array_int"
    if isinstance(type, Composite):
        words = COMPOSITE_ROLES[type.kind][0]
    flat = is_tile(type) and len(type.shape) < draft.dimensions
    if not dimensions:
        dimensions = 1 if flat or (draft.dimensions > 1 and chance(draft.choose, 0.15)) else draft.dimensions
    return add_param(draft, Param(draft.name(words), Array(type, dimensions), role, low, high))


def _fits(param: Param, span: Span) -> bool:
    return span == ANYWHERE or (span[0] <= param.low and param.high <= span[1])


def _scalar(draft: Draft, type: Element, span: Span) -> Grown | None:
    known = [p for p in draft.params if p.type is type and p.role is Role.VALUE]
    fitting = [p for p in known if _fits(p, span)]
    if fitting and (len(known) >= MAX_SCALARS or not chance(draft.choose, 0.35)):
        return draft.grown(Var(pick(draft.choose, fitting).name, type))
    if len(known) >= MAX_SCALARS or type is BOOL:
        return None
    return draft.grown(Var(new_scalar(draft, type, span).name, type))


def new_scalar(draft: Draft, type: Element, span: Span = ANYWHERE) -> Param:
    low, high = range_for(draft, type, span)
    role: NameRole = "int_scalar" if type in INTEGERS else "scalar_positive" if low > 0 else "scalar"
    if is_wide(low, high):
        role = "bits_scalar"
    if isinstance(type, Composite):
        role = COMPOSITE_ROLES[type.kind][1]
    return add_param(draft, Param(draft.name(role), type, Role.VALUE, low, high))


def range_for(draft: Draft, type: Element, span: Span = ANYWHERE) -> Span:
    ranges = spans(type.scalar, draft.patterns)
    options = [s for s in ranges if span == ANYWHERE or (span[0] <= s[0] and s[1] <= span[1])] or [span]
    return options[0] if not chance(draft.choose, 0.4) else pick(draft.choose, options)


def _counter(draft: Draft, type: Element, span: Span) -> Grown | None:
    """The thread index or a loop variable, as a number."""
    counter: Term = draft.indices[-1]
    if type is not I32:
        counter = Apply(ROWS[f"{type.name}(int32)"], (counter,))
    grown = draft.grown(counter)
    return grown if in_span(grown.value, span) and is_sound(draft, grown.value) else None


def grow_constant(draft: Draft, type: Element, span: Span = ANYWHERE) -> Grown:
    if isinstance(type, Composite) and chance(draft.choose, CONSTANT[type.kind]):
        return draft.grown(_composite_constant(draft, type))
    if type is BOOL or isinstance(type, Composite):
        return grow_leaf(draft, type, span)
    if draft.patterns and type in PATTERNS and chance(draft.choose, 0.6):
        mixers = MIXERS[type] if span == ANYWHERE else [d for d in DISTANCES if span[0] <= d <= 3 * span[1]]
        return draft.grown(Const(type, pick(draft.choose, mixers)))
    number = grow_number(draft, type, span)
    named = type in BARE and number.value not in PLAIN and chance(draft.choose, NAMED)
    return draft.grown(constant(draft, type, number.value) if named else number)


def grow_number(draft: Draft, type: Scalar, span: Span = ANYWHERE) -> Const:
    """A plain one."""
    return Const(type, weighted(draft.choose, _fitting(draft.profile, type in INTEGERS, span)))


@lru_cache(maxsize=256)
def _fitting(profile: Profile, whole: bool, span: Span) -> tuple[tuple[float, float], ...]:
    """The numbers that one may be, with their weights."""
    literals = profile.int_literals if whole else profile.float_literals
    usual = ((v, w) for v, w in literals if 0 < v <= 10 and not (v == 1 and w < 0))
    return tuple((v, w) for v, w in usual if span[0] <= v <= span[1])


NAMED = 0.2
"""How often a number that isn't plain is a constant of the module."""
STATIC = 0.12
"""How often that is a number of Python's."""
PLAIN = (0, 1, 2, 0.5)


def constant(draft: Draft, type: Scalar, value: float | int) -> Const:
    """A number under a name of its own, or the one that it has already."""
    known = [const for const in draft.constants if const.type is type and const.value == value]
    if not known:
        taken = {const.name for const in draft.constants}
        name = name_for("whole_constant" if type in INTEGERS else "constant", draft.choose, taken)
        draft.constants.append(Const(type, value, name, chance(draft.choose, STATIC)))
    return (known or draft.constants)[-1]


CONSTANT: Mapping[Kind, float] = {
    "vector": 0.5,
    "matrix": 0.4,
    "quaternion": 0.2,
    "transform": 0.1,
    "twist": 0.0,
    "tile": 0.0,
}
"""How often a composite that may be constant is."""


def _composite_constant(draft: Draft, type: Composite) -> Term:
    """`wp.vec3(0.0, 1.0, 0.0)`, `wp.identity(n=3, dtype=float)`, `mat23(1.0)`, `wp.quat_identity()`."""
    if type.kind == "matrix":
        return identity(type) if type.shape[0] == type.shape[1] else number(type, 1)
    if type.kind != "vector":
        return zero(type)
    axis, size = draft.choose(type.width), 1.0
    if chance(draft.choose, 0.4):
        size = weighted(draft.choose, [(v, w) for v, w in draft.profile.float_literals if 0 < abs(v) <= 10])
    parts = [number(type.scalar, size if k == axis else 0.0) for k in range(type.width)]
    if chance(draft.choose, 0.3):
        parts = [grow_constant(draft, type.scalar).term for _ in parts]
    return Apply(ROWS[f"{type.name}({','.join([type.scalar.name] * type.width)})"], tuple(parts))


def _flag(draft: Draft) -> Grown:
    """An element of an array of flags: a new one, unless one at hand still tells the active lanes apart."""
    if draft.closed:
        raise StuckError
    known = [p for p in draft.params if isinstance(p.type, Array) and p.element is BOOL and p.role is Role.VALUE]
    flags = [draft.grown(Read(p.name, _own(draft, p), BOOL)) for p in known]
    telling = [flag for flag in flags if is_sound(draft, flag.value)]
    if telling:
        return pick(draft.choose, telling)
    param = new_array(draft, BOOL)
    return draft.grown(Read(param.name, _own(draft, param), BOOL))


def _own(draft: Draft, param: Param) -> Term:
    """The thread's own element, as far as the array has axes."""
    assert isinstance(param.type, Array)
    return draft.own if param.type.dimensions == draft.dimensions else draft.indices[0]
