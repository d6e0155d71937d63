"""Functions with several results, `a, b = split(x, y)`, and builtins: `axis, angle = wp.quat_to_axis_angle(q)`.

The key insight: what is returned together belongs together, so whoever calls has a use for each: the results of a
function are grown from the same parameters, and what a builtin gives is brought to one type, part by part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from grammar.calls import (
    Argument,
    call_function,
    given_by,
    inside,
    needed,
    new_arguments,
    own_values,
    plain_result,
    terms_of,
)
from grammar.choose import chance, pick, weighted
from grammar.draft import (
    ANYWHERE,
    Draft,
    Grown,
    StuckError,
    defined,
    gives_back,
    is_like,
    is_sound,
    local,
    local_role,
    run,
)
from grammar.neighbours import grow_with
from grammar.op import Lanes, Op
from grammar.ops import ROWS, SEVERAL, TABLE
from grammar.terms import TRIES, attempt, grow_argument, grow_condition, grow_leaf, grow_term
from grammar.tree import Apply, Function, If, Return, Stmt, Term, Unpack, Whole
from grammar.types import I32, Element, Scalar

ATTEMPTS = 3
"""Functions that are grown before one with a single result has to do; arguments that a builtin is tried on."""


def call_several(draft: Draft, type: Element, height: int) -> Grown:
    """`a, b = split(x[i], y[i])`, and a value in which both take part."""
    results = next(filter(None, (_new(draft, type, height) for _ in range(ATTEMPTS))), None)
    if results is None:
        return call_function(draft, type, height)
    draft.pending.extend(results[1:])
    return grow_with(draft, results[0], type, height)


def _new(draft: Draft, type: Element, height: int) -> list[Grown] | None:
    args = new_arguments(draft, type, height)
    name, count = draft.name("function"), weighted(draft.choose, [(2, 6.0), (3, 1.0)])
    with inside(draft, name, args) as params:
        body = _body(draft, type, max(2, height - 2), own_values(draft, params, type, height), count)
    kept = [] if body is None else needed(params, body)
    if body is None or not kept:
        return None
    function = Function(name, tuple(params[k] for k in kept), body, type, (type,) * (count - 1))
    return unpacked(draft, function, [args[k] for k in kept])


def _body(draft: Draft, type: Element, height: int, owed: list[Grown], count: int) -> tuple[Stmt, ...] | None:
    """What ends in `return value, other`, perhaps after `if condition: return plain, plain`."""
    if height >= 3 and chance(draft.choose, 0.2):
        condition = grow_condition(draft, 2)
        early = tuple(plain_result(draft, type) for _ in range(count))
        draft.block.append(If(condition.term, (Return(early[0], early[1:]),)))
        draft.active = draft.active & ~condition.value
    values: list[Grown] = []
    for _ in range(count):
        draft.pending[:] = owed
        value = _another(draft, type, height, values)
        if value is None:
            return None
        values.append(value)
    draft.pending.clear()
    return (*draft.block, Return(values[0].term, tuple(value.term for value in values[1:])))


def _another(draft: Draft, type: Element, height: int, before: Sequence[Grown]) -> Grown | None:
    """An operation that gives something else than those before."""
    for _ in range(TRIES):
        value = grow_term(draft, type, height)
        if isinstance(value.term, Apply) and not any(is_like(draft, value.value, other.value) for other in before):
            return value
    return None


def unpacked(draft: Draft, function: Function, args: Sequence[Argument]) -> list[Grown] | None:
    """The locals that get what the function returns, if it is all sound and new."""
    results = defined(draft, lambda: draft.interpreter.results(function, given_by(args), draft.active))
    values = [arg.value for arg in args if not isinstance(arg, Whole)]
    if not _are_new(draft, terms_of(args), values, results):
        return None
    draft.functions.append(function.primal)
    names = tuple(draft.name(local_role(type)) for type in function.results)
    return _named(draft, Unpack(names, function, terms_of(args)))


def _are_new(draft: Draft, terms: Sequence[Term], values: Sequence[Lanes], results: Sequence[Lanes] | None) -> bool:
    """Whether the results are defined and sound, and none is what another one or an argument is."""
    if results is None or len(set(terms)) < len(terms):
        return False
    known = [(result, (*values, *results[:k])) for k, result in enumerate(results)]
    return all(is_sound(draft, one) and not any(is_like(draft, one, other) for other in rest) for one, rest in known)


def _named(draft: Draft, stmt: Unpack) -> list[Grown]:
    run(draft, stmt)
    return [local(draft, name, type) for name, type in zip(stmt.names, stmt.function.results, strict=True)]


# -- builtins ---------------------------------------------------------------------------------------------------------

NAMES: Mapping[str, Sequence[tuple[str, ...]]] = {
    "quat_to_axis_angle": (("axis", "angle"),),
    "transform_decompose": (("position", "rotation", "scale"), ("pos", "rot", "scale"), ("p", "q", "s")),
    "qr3": (("q", "r"),),
    "eig3": (("q", "d"), ("vectors", "values"), ("axes", "d")),
    "svd3": (("u", "s", "v"), ("u", "sigma", "v")),
    "svd2": (("u", "s", "v"), ("u", "sigma", "v")),
}
"""What the parts are called, by builtin."""
JOINT = 10.0
"""How much rather parts are used together than each with something else."""


def apart(draft: Draft, type: Element) -> list[tuple[Op, float]]:
    """The builtins that take something apart which the kernel has, with their weights."""
    options = [op for op in SEVERAL if draft.kin.issuperset(op.params) and (draft.tolerant or not op.approximate)]
    return [
        (op, draft.profile.weight(op)) for op in options if all(_uses(op.results, part, type) for part in op.results)
    ]


def take_apart(draft: Draft, type: Element, height: int) -> Grown:
    """`axis, angle = wp.quat_to_axis_angle(q)`, and a value in which all parts take part. Raises StuckError."""
    tried = (_parts(draft, weighted(draft.choose, apart(draft, type))) for _ in range(ATTEMPTS))
    parts = next(filter(None, tried), None)
    if parts is None:
        raise StuckError
    made = list(_brought(draft, parts, type))
    draft.pending.extend(made[1:])
    return grow_with(draft, made[0], type, height)


def _parts(draft: Draft, op: Op) -> list[Grown] | None:
    """The locals that get what the builtin gives of something, if it is all sound and new."""
    args = [grow_argument(draft, type, 1 + draft.choose(2) * draft.choose(2), ANYWHERE) for type in op.params]
    if op.name in OF_SYMMETRIC:
        args = [_symmetric(draft, arg) for arg in args]
    values = [arg.value for arg in args]
    results = defined(draft, lambda: draft.interpreter.each(op, values, draft.active))
    if not _are_new(draft, terms_of(args), values, results) or _puts_back(draft, args, results or ()):
        return None
    names = _names(draft, op)
    draft.parts |= dict.fromkeys(names, tuple(values))
    return _named(draft, Unpack(names, op, terms_of(args)))


OF_SYMMETRIC = ("eig3",)
"""Builtins that take symmetric matrices alone."""


def _symmetric(draft: Draft, m: Grown) -> Grown:
    """`m + wp.transpose(m)` or `wp.transpose(m) * m`, of a matrix."""
    name = m.term.type.name
    if isinstance(m.term, Apply) and m.term.op.name == "transpose":
        m = draft.grown(m.term.args[0])  # which comes to the same
    across = Apply(ROWS[f"transpose({name})"], (m.term,))
    both = [(across, m.term), (m.term, across)]
    op, terms = pick(draft.choose, [("add", both[1]), ("mul", both[0]), ("mul", both[1])])
    return draft.grown(Apply(ROWS[f"{op}({name},{name})"], terms))


def _puts_back(draft: Draft, args: Sequence[Grown], results: Sequence[Lanes]) -> bool:
    """Whether what comes out is what the argument was made of."""
    made_of = [part for arg in args for part in arg.parts]
    return any(gives_back(draft, result, part) for result in results for part in made_of)


def _names(draft: Draft, op: Op) -> tuple[str, ...]:
    """Those by which people call the parts, or any."""
    free = [names for names in NAMES[op.name] if draft.taken.isdisjoint(names)]
    if not free:
        return tuple(draft.name(local_role(type)) for type in op.results)
    names = pick(draft.choose, free)
    draft.taken.update(names)
    return names


def _brought(draft: Draft, parts: Sequence[Grown], type: Element) -> Iterator[Grown]:
    """Values of the type that the parts lead to: `axis * angle`. Raises StuckError."""
    left = list(parts)
    while left:
        part = left.pop(0)
        yield part if part.term.type is type else _used(draft, part, left, type)


def _used(draft: Draft, part: Grown, left: list[Grown], type: Element) -> Grown:
    """An operation on the part and perhaps others, which are left no longer."""
    beside = {other.term.type for other in left}
    known = (*beside, *sorted(draft.kin, key=repr))
    options = [
        (op, draft.profile.weight(op) * (1.0 if beside.isdisjoint(op.params) else JOINT))
        for op in _uses(known, part.term.type, type)
        if draft.profile.weight(op)
    ]
    for _ in range(TRIES if options else 0):
        op, rest = weighted(draft.choose, options), list(left)
        place = op.params.index(part.term.type)
        args = [part if k == place else _beside(draft, rest, param) for k, param in enumerate(op.params)]
        grown = attempt(draft, op, args) if len(set(terms_of(args))) == len(args) else None
        if grown is not None:
            left[:] = rest
            return grown
    raise StuckError


def _beside(draft: Draft, left: list[Grown], type: Element) -> Grown:
    """Another part of that type, or something else."""
    fitting = [k for k, part in enumerate(left) if part.term.type is type]
    return left.pop(fitting[0]) if fitting else grow_leaf(draft, type)


def _uses(known: Sequence[Element], part: Element, type: Element) -> list[Op]:
    """The operations on such a part, and on what else is known, that give the type."""
    return [op for op in _operations(part, type) if {part, *known}.issuperset(op.params)]


@lru_cache
def _operations(part: Element, type: Element) -> tuple[Op, ...]:
    rows = (op for op in TABLE if op.result is type and part in op.params and op.weight)
    return tuple(op for op in rows if len(op.params) <= MOST_ARGUMENTS and not _is_odd(op))


def _is_odd(op: Op) -> bool:
    """Whether it is not what a part is for: it is counted or chosen with, or one number among those of a composite."""
    constructs = op.name == op.result.name and any(isinstance(type, Scalar) for type in op.params)
    return constructs or op.group in ("cast", "select") or I32 in op.params


MOST_ARGUMENTS = 3
