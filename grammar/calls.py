"""Growing functions of the module's own, and calls of them.

The key insight: a function is grown at its first call, where its parameters have values. So what it does to them is
seen like anything else; further calls need only be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile

from grammar.alive import names_in
from grammar.choose import Choose, chance, pick, weighted
from grammar.derive import adjoint_of
from grammar.draft import ANYWHERE, Draft, Grown, define, defined, is_like, is_sound, local_role, run
from grammar.features import combine, infixes
from grammar.literal import zero
from grammar.names import NameRole
from grammar.neighbours import clamped_along
from grammar.op import Lanes
from grammar.overloads import are_told_apart
from grammar.params import Param, Role
from grammar.terms import (
    TRIES,
    grow_argument,
    grow_condition,
    grow_number,
    grow_term,
    index_into,
    new_array,
    stored_index,
)
from grammar.tree import (
    Apply,
    Assign,
    At,
    Const,
    Function,
    If,
    Invoke,
    Read,
    Return,
    Stmt,
    Term,
    Var,
    Whole,
    indices_of,
    own_terms,
    statements,
    terms_in,
)
from grammar.types import BARE, F32, I32, Array, Composite, Element

MOST_FUNCTIONS = 3
FEWEST_OPERATIONS = 2
"""Nobody gives a name to less."""


def call_function(draft: Draft, type: Element, height: int) -> Grown:
    """`falloff(x[i], radius)`: a function that is there already, or a new one."""
    known = [function for function in draft.functions if function.results == (type,)]
    if known and (len(draft.functions) >= MOST_FUNCTIONS or chance(draft.choose, 0.4)):
        function = pick(draft.choose, known)
        grown = called(draft, function, _arguments(draft, function))
    else:
        grown = next(filter(None, (_new(draft, type, height) for _ in range(TRIES))), None)
    return grown or grow_term(draft, type, height)


Argument = Grown | Whole


def terms_of(args: Sequence[Argument]) -> tuple[Term, ...]:
    """What stands in the call."""
    return tuple(arg if isinstance(arg, Whole) else arg.term for arg in args)


def given_by(args: Sequence[Argument]) -> list[Lanes | Whole]:
    """What the function works with: values, and arrays as a whole."""
    return [arg if isinstance(arg, Whole) else arg.value for arg in args]


def called(draft: Draft, function: Function, args: Sequence[Argument]) -> Grown | None:
    """The function on these arguments, if it is defined on the active lanes, does something, and is called for once."""
    terms, given = terms_of(args), given_by(args)
    if len(set(terms)) < len(terms):
        return None
    value = defined(draft, lambda: draft.interpreter.invoke(function, given, draft.active))
    values = [arg.value for arg in args if not isinstance(arg, Whole)]
    if value is None or not is_sound(draft, value) or any(is_like(draft, value, other) for other in values):
        return None
    if any(is_like(draft, value, draft.interpreter.env[known.name]) for known in draft.scope):
        return None
    return Grown(Invoke(function, terms), value)


def _arguments(draft: Draft, function: Function) -> list[Argument]:
    """For another call of a function: an array with indices into it, or values."""
    first, given = function.params[0], list[Argument]()
    if isinstance(first, Whole):
        fitting = [param for param in _arrays(draft, first.type) if param.type == first.array]
        given += _element_of(pick(draft.choose, fitting), draft)
    usual = {param.name: const for param, const in zip(function.params[::-1], function.defaults[::-1], strict=False)}
    for param in function.params[len(given) :]:
        is_usual = param.name in usual and chance(draft.choose, 0.6)
        given.append(draft.grown(usual[param.name]) if is_usual else grow_argument(draft, param.type, 1, ANYWHERE))
    return given


def _arrays(draft: Draft, type: Element) -> Iterator[Param]:
    """Those whose elements a lane may call its own."""
    for param in draft.params:
        if isinstance(param.type, Array) and param.element is type and param.role is Role.VALUE and param.size is None:
            yield param


def _element_of(param: Param, draft: Draft) -> list[Argument]:
    """`x, i`: an array and where in it."""
    assert isinstance(param.type, Array)
    index = index_into(draft, param)
    if draft.dimensions == 1 and chance(draft.choose, 0.1):
        index = stored_index(draft)
    parts = indices_of(index)
    return [Whole(param.name, param.type), *map(draft.grown, parts)]


# -- a new one --------------------------------------------------------------------------------------------------------

GENERIC = 0.2
"""How often a function is written for any type."""
USUAL = 0.12
"""How often the last parameter of a function has a default."""
OVERLOADED = 0.5
"""How often a function has the name of another, of those that may."""
CUSTOM = 0.35
"""How often a function has an adjoint of its own, of those for which it can be told."""
ON_ARRAYS = 0.3
"""How often a function takes an array and indices into it."""


def _new(draft: Draft, type: Element, height: int) -> Grown | None:
    args = new_arguments(draft, type, height)
    name = draft.name("function")
    with inside(draft, name, args) as params:
        body = _body(draft, type, max(2, height - 2), own_values(draft, params, type, height))
    kept = needed(params, body)
    if not kept:
        return None
    given = [args[k] for k in kept]
    own = tuple(params[k] for k in kept)
    generic = all(map(_is_plain, own)) and not any(map(_is_made, terms_in(body))) and chance(draft.choose, GENERIC)
    function = Function(name, own, body, type, defaults=_last_numbers(given), generic=generic)
    function = _overloading(draft, with_adjoint(draft.choose, function))
    grown = called(draft, function, given)
    if grown is not None:
        draft.functions.append(function)
    return grown


def with_adjoint(choose: Choose, function: Function) -> Function:
    """The function, perhaps with an adjoint of its own."""
    fits = not function.defaults and adjoint_of(function) is not None
    return replace(function, custom=True) if fits and chance(choose, CUSTOM) else function


def _overloading(draft: Draft, function: Function) -> Function:
    """The function, perhaps under the name of others that take something else."""
    names = dict.fromkeys(known.name for known in draft.functions if not known.others)
    sets = [[function, *(known for known in draft.functions if known.name == name)] for name in names]
    fitting = [(first, *others) for first, *others in sets if are_told_apart((first, *others))]
    if not fitting or not chance(draft.choose, OVERLOADED):
        return function
    return replace(function, name=pick(draft.choose, fitting)[-1].name)


def _is_plain(param: Var | Whole) -> bool:
    """Whether it is a value of a type whose numbers are written as they are, as those of any type would be."""
    return isinstance(param, Var) and param.type.scalar in (F32, I32)


def _is_made(term: Term) -> bool:
    """Whether it is a composite that is made of numbers, of one type and no other."""
    if not isinstance(term, Apply) or not isinstance(term.type, Composite):
        return False
    return not any(isinstance(param, Composite) for param in term.op.params)


def _last_numbers(args: Sequence[Argument]) -> tuple[Const, ...]:
    """What is handed over last, as far as it is numbers."""
    last = takewhile(lambda term: isinstance(term, Const), reversed(terms_of(args)))
    return tuple(term for term in last if isinstance(term, Const))[::-1]


def needed(params: Sequence[Var | Whole], body: tuple[Stmt, ...]) -> list[int]:
    """Which parameters the body reads; none if it does too little, or has a local that came to nothing."""
    used = {name for stmt in statements(body) for term in own_terms(stmt) for name in names_in(term)}
    if any(isinstance(stmt, Assign) and stmt.name not in used for stmt in statements(body)):
        return []
    return [] if is_slight(body) else [k for k, param in enumerate(params) if param.name in used]


def is_slight(body: tuple[Stmt, ...]) -> bool:
    """Whether it does too little for anybody to give it a name."""
    return sum(isinstance(part, Apply) for part in terms_in(body)) < FEWEST_OPERATIONS


def new_arguments(draft: Draft, type: Element, height: int) -> list[Argument]:
    """An element of an array as the array and where in it, or a value; and some more values."""
    args = _new_element(draft, type) if height >= 4 and chance(draft.choose, ON_ARRAYS) else []
    kinds: list[Element] = [type, type.scalar] if isinstance(type, Composite) else [type]
    more = weighted(draft.choose, [(1, 4.0), (2, 2.0), (0, 1.5)])
    for each in [*[type][: not args], *(pick(draft.choose, kinds) for _ in range(more))]:
        grown = grow_argument(draft, each, 1 + draft.choose(2) * draft.choose(2), ANYWHERE)
        if all(isinstance(arg, Whole) or arg.term != grown.term for arg in args):  # nobody hands over the same twice
            args.append(grown)
    if type.scalar in BARE and chance(draft.choose, USUAL):
        args.append(draft.grown(grow_number(draft, type.scalar)))
    return args


def _new_element(draft: Draft, type: Element) -> list[Argument]:
    known = list(_arrays(draft, type))
    return _element_of(pick(draft.choose, known) if known else new_array(draft, type), draft)


def own_values(draft: Draft, params: Sequence[Var | Whole], type: Element, height: int) -> list[Grown]:
    """What the function is about: the element that it is given, perhaps with those beside it, and its parameters."""
    array, *others = params
    if not isinstance(array, Whole):
        return [draft.grown(param) for param in params if param.type is type]
    dimensions = array.array.dimensions
    place = [param for param in others[:dimensions] if isinstance(param, Var)]
    places: list[list[Term]] = [[*place]]
    if height >= 5 and chance(draft.choose, 0.4):
        axis = draft.choose(dimensions)
        named = chance(draft.choose, 0.5)
        sides = clamped_along(array.name, axis, place[axis])
        moved = [_named_index(draft, side) if named else side for side in sides]
        places += [[*place[:axis], index, *place[axis + 1 :]] for index in moved]
    values = [_element(draft, array, each) for each in places]
    if len(others) == dimensions:
        values = [define(draft, local_role(type), value) for value in values]
    return [*values, *(draft.grown(param) for param in others[dimensions:] if param.type is type)]


def _named_index(draft: Draft, index: Term) -> Var:
    """Under a name that nothing but a read comes to see."""
    name = draft.name("index")
    run(draft, Assign(name, index))
    return Var(name, I32)


def _element(draft: Draft, array: Whole, place: Sequence[Term]) -> Grown:
    index = place[0] if len(place) == 1 else At(tuple(place))
    return draft.grown(Read(array.name, index, array.type))


def _body(draft: Draft, type: Element, height: int, owed: list[Grown]) -> tuple[Stmt, ...]:
    """What ends in `return value`, perhaps after `if condition: return other`."""
    if height >= 3 and chance(draft.choose, 0.3):
        condition = grow_condition(draft, 2)
        draft.block.append(If(condition.term, (Return(plain_result(draft, type)),)))
        draft.active = draft.active & ~condition.value
    return returned(draft, type, height, owed)


def returned(draft: Draft, type: Element, height: int, owed: Sequence[Grown]) -> tuple[Stmt, ...]:
    """The steps that there are by then, and `return value`, in which there is all that is owed."""
    draft.pending[:] = owed
    value = grow_term(draft, type, height)
    left = [grown for grown in draft.pending if grown.term != value.term]
    draft.pending.clear()
    if left and infixes(type, [("add", 1.0)]):
        value = combine(draft, [value, *left], height)
    return (*draft.block, Return(value.term))


def plain_result(draft: Draft, type: Element) -> Term:
    """What a function returns early: nothing much, or one of its parameters."""
    params = [param for param in draft.scope if param.type is type]
    return pick(draft.choose, params) if params and not chance(draft.choose, 0.6) else zero(type)


@contextmanager
def inside(draft: Draft, name: str, args: Sequence[Argument]) -> Iterator[list[Var | Whole]]:
    """The scope of a function of that name that is called with these arguments: yields the parameters."""
    kept = ("block", "scope", "taken", "pending", "locals_left", "active", "parts")
    interpreter = draft.interpreter
    outer, env, passed = {name: getattr(draft, name) for name in kept}, interpreter.env, interpreter.passed
    draft.block, draft.scope, draft.pending, draft.parts, draft.locals_left = [], [], [], {}, 2
    draft.taken = {name, *(function.name for function in draft.functions)}
    params = list(parameters(draft, args))
    interpreter.env, interpreter.passed = interpreter.bound(params, given_by(args))
    indices = sum(param.array.dimensions for param in params if isinstance(param, Whole))
    draft.scope.extend(param for param in params[indices + (indices > 0) :] if isinstance(param, Var))
    draft.closed = True
    try:
        yield params
    finally:
        for field, value in outer.items():
            setattr(draft, field, value)
        interpreter.env, interpreter.passed, draft.closed = env, passed, False


def parameters(draft: Draft, args: Sequence[Argument]) -> Iterator[Var | Whole]:
    """Names for what a function is given: the indices into an array come right after it."""
    indices = 0
    for arg in args:
        if isinstance(arg, Whole):
            indices = arg.array.dimensions
            yield Whole(draft.name("array_in"), arg.array)
            continue
        type = arg.term.type
        role: NameRole = "index" if indices else local_role(type) if isinstance(type, Composite) else "parameter"
        indices -= indices > 0
        yield Var(draft.name(role), type)
