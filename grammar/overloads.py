"""Functions of one name: which of them a call means.

The key insight: Warp takes the one whose parameters have the types of what is handed over, and converts nothing; so
two may share a name wherever these differ, as long as no default and no parameter of any type makes that unclear.
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar.passing import abstracted
from grammar.tree import Function, taken


def are_told_apart(functions: Sequence[Function]) -> bool:
    """Whether a call says which of the functions it means, if they have one name."""
    if len(set(map(abstracted, functions))) == 1:
        return True
    is_clear = not any(one.generic or one.defaults or one.structs or one.custom or one.takes for one in functions)
    signatures = {tuple(map(taken, function.params)) for function in functions}
    return is_clear and len(signatures) == len(functions)
