"""Growing what people do about data of which some are missing: not a number, or infinite.

The key insight: what is missing is seen once, where it is read, and gives way to another value. So nothing that comes
after has to know of it, and `isnan` stands in kernels that are launched with NaN.
"""

from __future__ import annotations

from grammar.choose import pick, weighted
from grammar.draft import Draft, Grown, StuckError, assign, is_sound, local, local_role, run
from grammar.literal import zero
from grammar.names import singular
from grammar.op import Op
from grammar.ops import ROWS
from grammar.params import Role
from grammar.terms import grow_leaf, new_array
from grammar.tree import Apply, Assign, If, Read, Term, Var
from grammar.types import Element

TESTS = {"isnan": (Role.MISSING,), "isinf": (Role.INFINITE,), "isfinite": (Role.MISSING, Role.INFINITE)}
"""By what tells values that are missing from others, what may stand for them."""


def filled(draft: Draft, test: Op) -> Grown:
    """An element of an array of its own; in place of those that are missing, another value. Raises StuckError."""
    type = test.params[0]
    raw = _raw(draft, type, pick(draft.choose, TESTS[test.name]))
    missing: Term = Apply(test, (raw,))
    other = draft.grown(zero(type)) if draft.choose(2) else grow_leaf(draft, type)
    if draft.choose(2):
        missing = Apply(ROWS["logical_not(bool)"], (missing,)) if test.name == "isfinite" else missing
        run(draft, If(missing, (Assign(raw.name, other.term),)))
        return local(draft, raw.name, type)
    choice = ROWS[f"{weighted(draft.choose, [('where', 3.0), ('ternary', 1.0)])}(bool,{type.name},{type.name})"]
    ways = (raw, other.term) if test.name == "isfinite" else (other.term, raw)
    grown = draft.grown(Apply(choice, (missing, *ways)))
    if not is_sound(draft, grown.value):
        raise StuckError
    name = draft.name(local_role(type))
    return assign(draft, Assign(name, grown.term), Var(name, type), grown.value)


def _raw(draft: Draft, type: Element, role: Role) -> Var:
    """What is read, under a name that nothing but the test and the choice sees."""
    param = new_array(draft, type, dimensions=draft.dimensions, role=role)
    element = Read(param.name, draft.own, type)
    one = singular(param.name)
    name = one if one is not None and one not in draft.taken else draft.name(local_role(type))
    draft.taken.add(name)
    run(draft, Assign(name, element))
    return Var(name, type)
