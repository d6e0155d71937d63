"""Growing signed distances: how far a point is from a sphere, a box, a plane or a torus, and from what they make up.

The key insight: a shape is a function of the module that takes a point relative to it, and all shapes give a number; so
they are joined, cut out of each other and made hollow by minima, maxima and differences of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grammar.calls import called
from grammar.choose import Choose, chance, pick, weighted
from grammar.draft import Draft, Grown, StuckError, add_param, define
from grammar.features import infix
from grammar.literal import number, zero
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.terms import attempt, new_scalar, read_element
from grammar.tree import Apply, Assign, Const, Function, Return, Stmt, Term, Var
from grammar.types import F32, Element, type_named

V3, V2 = type_named("vec3f"), type_named("vec2f")


def _do(name: str, *args: Term) -> Term:
    return Apply(ROWS[f"{name}({','.join(arg.type.name for arg in args)})"], args)


def _sphere(_: Choose, p: Var, r: Var) -> tuple[Stmt, ...]:
    return (Return(_do("sub", _do("length", p), r)),)


def _plane(_: Choose, p: Var, n: Var, d: Var) -> tuple[Stmt, ...]:
    return (Return(_do("sub", _do("dot", p, n), d)),)


def _box(choose: Choose, p: Var, half: Var) -> tuple[Stmt, ...]:
    """Beyond the sides, and how deep within."""
    q, away = Var(pick(choose, ("q", "e")), V3), Var(pick(choose, ("away", "outer", "beyond")), F32)
    deepest = Var(pick(choose, ("deepest", "inner", "m")), F32)
    return (
        Assign(q.name, _do("sub", _do("abs", p), half)),
        Assign(deepest.name, _do("max", _do("get_y", q), _do("get_z", q))),
        Assign(away.name, _do("length", _do("max", q, zero(V3)))),
        Return(_do("add", away, _do("min", _do("max", _do("get_x", q), deepest), Const(F32, 0.0)))),
    )


def _torus(choose: Choose, p: Var, major: Var, minor: Var) -> tuple[Stmt, ...]:
    ring = Var(pick(choose, ("ring", "h", "rho")), F32)
    flat = _do("length", _do(V2.name, _do("get_x", p), _do("get_z", p)))
    return (
        Assign(ring.name, _do("sub", flat, major)),
        Return(_do("sub", _do("length", _do(V2.name, ring, _do("get_y", p))), minor)),
    )


Shape = tuple[str, Callable[..., tuple[Stmt, ...]], tuple[tuple[tuple[str, ...], Element], ...], int, float]
SHAPES: tuple[Shape, ...] = (
    ("sphere", _sphere, ((("r", "radius"), F32),), 4, 4.0),
    ("plane", _plane, ((("n", "normal"), V3), (("d", "offset"), F32)), 4, 2.0),
    ("box", _box, ((("half", "size", "b"), V3),), 6, 4.0),
    ("torus", _torus, ((("major", "r0", "a"), F32), (("minor", "r1", "t"), F32)), 6, 2.0),
)
"""Stem of the name, body, what else it takes and by which names, least height of the kernel, weight."""
PREFIXES = ("sd_", "sdf_", "distance_to_", "")
SIZES = {F32: (0.5, 4.0), V3: (0.1, 2.0)}


def distance(draft: Draft, type: Element, height: int) -> Grown:
    """The distance to one shape, or to what two of them make up."""
    del type  # which is float32
    one = _to_shape(draft, height)
    if chance(draft.choose, 0.25):
        return one
    other = _to_shape(draft, height)
    return _combined(draft, one, other)


def _to_shape(draft: Draft, height: int) -> Grown:
    stem, make, beside, _, _ = weighted(draft.choose, [(shape, shape[4]) for shape in SHAPES if shape[3] <= height + 1])
    known = next((function for function in draft.functions if function.name.endswith(stem)), None)
    if known is None:
        params = (
            Var(pick(draft.choose, ("p", "point", "x")), V3),
            *(Var(pick(draft.choose, names), type) for names, type in beside),
        )
        known = Function(pick(draft.choose, PREFIXES) + stem, params, make(draft.choose, *params), F32)
        if known.name in draft.taken:
            raise StuckError
        draft.functions.append(known)
        draft.taken.add(known.name)
    sizes = [_size(draft, type, names[-1]) for names, type in beside]
    grown = called(draft, known, [_point(draft), *sizes])
    if grown is None:
        raise StuckError
    return define(draft, "local", grown)


def _point(draft: Draft) -> Grown:
    """The thread's own point, mostly as seen from a centre."""
    point = read_element(draft, V3)
    if chance(draft.choose, 0.3):
        return point
    center = new_scalar(draft, V3)
    seen = attempt(draft, infix("sub", V3), [point, draft.grown(Var(center.name, V3))])
    return point if seen is None else define(draft, "local", seen) if chance(draft.choose, 0.5) else seen


def _size(draft: Draft, type: Element, name: str) -> Grown:
    if type is F32 and chance(draft.choose, 0.4):
        return draft.grown(number(F32, pick(draft.choose, (0.5, 1.0, 0.25, 2.0))))
    known = draft.name("scalar_positive") if name in draft.taken or len(name) == 1 else name
    return draft.grown(Var(add_param(draft, Param(known, type, Role.VALUE, *SIZES[type])).name, type))


def _combined(draft: Draft, one: Grown, other: Grown) -> Grown:
    """Both, what is in both, or the one without the other."""
    first, second = one.term, other.term
    ways: Sequence[tuple[Term, float]] = (
        (_do("min", first, second), 4.0),
        (_do("max", first, second), 1.5),
        (_do("max", first, _do("neg", second)), 2.0),
        (_do("sub", _do("min", first, second), Const(F32, 0.1)), 1.0),
        (_do("sub", _do("abs", _do("min", first, second)), Const(F32, 0.1)), 0.7),
    )
    return draft.grown(weighted(draft.choose, ways))
