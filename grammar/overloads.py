"""Functions of one name: which of them a call means.

The key insight: Warp takes the one whose parameters have the types of what is handed over, and converts nothing; so
two may share a name wherever these differ, as long as no default and no parameter of any type makes that unclear.
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar.tree import Function, taken


def are_told_apart(functions: Sequence[Function]) -> bool:
    """Whether a call says which of the functions it means, if they have one name."""
    is_clear = not any(one.generic or one.defaults or one.structs or one.custom for one in functions)
    signatures = {tuple(map(taken, function.params)) for function in functions}
    return len(functions) == 1 or (is_clear and len(signatures) == len(functions))
