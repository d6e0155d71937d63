"""Growing reads of arrays: whether what is read has a name of its own, and which.

The key insight: people read an element once, give it the array's name in the singular, and go on with that. So whether
an element has a name is settled where it is read first; afterwards the local is what is at hand.
"""

from __future__ import annotations

from collections.abc import Set

from grammar.choose import chance
from grammar.draft import Draft, Grown, assign, define, local_role
from grammar.lanes import some
from grammar.names import RESERVED, singular
from grammar.tree import Assign, Read, Var

LIKE_ARRAY = 0.6
"""How often the element of an array has its name, so far as there is one."""
UNNAMED = 0.1
"""How often components of elements of arrays are read as `x[i][0]`."""


def read(draft: Draft, element: Read) -> Grown:
    """What is read: under the name it has already, or one of its own, or where it is used."""
    known = draft.reads.get(element)
    if known is not None and known in draft.scope:
        return Grown(known, draft.interpreter.env[known.name])
    grown = draft.grown(element)
    is_first = element not in draft.reads or known is not None
    if not (is_first and some(draft.active) and chance(draft.choose, draft.profile.named_reads)):
        draft.reads[element] = None
        return grown
    return name_read(draft, grown)


def name_read(draft: Draft, grown: Grown) -> Grown:
    """What is read, as a local; mostly named after the array."""
    assert isinstance(grown.term, Read)
    name = own_name(grown.term, draft.taken) if chance(draft.choose, LIKE_ARRAY) else None
    if name is not None:
        draft.taken.add(name)
    variable = Var(name or draft.name(local_role(grown.term.type)), grown.term.type)
    draft.reads[grown.term] = variable
    return assign(draft, Assign(variable.name, grown.term), variable, grown.value)


def own_name(element: Read, taken: Set[str]) -> str | None:
    """`force` for `forces[i]`, `xi` for `x[i]`; None where there is no such name, or it is taken."""
    name = singular(element.array)
    if name is None and len(element.array) <= 2 and isinstance(element.index, Var) and len(element.index.name) == 1:
        name = element.array + element.index.name
    return name if name is not None and name not in taken | RESERVED else None


def with_name(draft: Draft, grown: Grown) -> Grown:
    """What has components has a name, before one of them is read."""
    if isinstance(grown.term, Var) or not some(draft.active) or chance(draft.choose, UNNAMED):
        return grown
    if isinstance(grown.term, Read):
        return name_read(draft, grown)
    draft.locals_left += 1
    return define(draft, local_role(grown.term.type), grown)
