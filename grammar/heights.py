"""How high and how large a kernel is: what `--depth` bounds, and what shrinks.

The key insight: height is that of the derivation, so what stands beside something is as high as that, and what stands
within is one lower, whether it is a term, a statement or what is called.
"""

from __future__ import annotations

from grammar.tree import (
    Apply,
    At,
    Fieldwise,
    If,
    Invoke,
    Kernel,
    Outlined,
    Read,
    Stmt,
    Term,
    Unpack,
    all_statements,
    all_terms,
    blocks,
    own_terms,
)


def term_height(term: Term) -> int:
    """1 for a leaf; an array element is as high as its index; a call is one higher than what it calls."""
    match term:
        case Apply(_, args):
            return 1 + max(map(term_height, args), default=0)
        case Invoke(function, args):
            return 1 + max(*map(term_height, args), *map(stmt_height, function.body))
        case Read(_, index, _):
            return term_height(index)
        case At(indices):
            return max(map(term_height, indices))
        case _:
            return 1


def stmt_height(stmt: Stmt) -> int:
    """One more than the highest statement within; an `elif` is as high as its `if`, and so are fields and functions."""
    heights = list(map(term_height, own_terms(stmt)))
    if isinstance(stmt, Unpack):
        heights.append(term_height(stmt.call))
    for block in blocks(stmt):
        is_elif = isinstance(stmt, If) and block is stmt.orelse and len(block) == 1 and isinstance(block[0], If)
        level = is_elif or isinstance(stmt, Fieldwise | Outlined)
        heights += [stmt_height(inner) + (not level) for inner in block]
    return max(heights, default=1)


def height(kernel: Kernel) -> int:
    """The height of the derivation tree: what `--depth` bounds."""
    return max(map(stmt_height, kernel.body))


def size(kernel: Kernel) -> int:
    """The number of nodes: statements and terms."""
    return len(all_statements(kernel)) + len(all_terms(kernel))
