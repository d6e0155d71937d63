"""Growing what hashes and generators are made of: rounds that mix the bits of a local.

The key insight: each step of a round can be undone, so no round loses anything, and steps may follow in any order;
what makes it a hash is that shifts to one side alternate with factors that carry to the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from grammar.choose import chance, pick
from grammar.draft import Draft, Grown, define, local, local_role, run
from grammar.features import infix
from grammar.ranges import DISTANCES, MIXERS
from grammar.terms import grow_leaf
from grammar.tree import Apply, AugAssign, Const, Stmt, Term, Var
from grammar.types import Scalar


def rounds(draft: Draft, type: Scalar) -> Grown:
    """`h ^= h >> 16`, `h *= c`, and so on, after each other, on a local of their own."""
    grown = define(draft, local_role(type), grow_leaf(draft, type))
    assert isinstance(grown.term, Var)
    for _ in range(1 + draft.choose(3)):
        for stmt in _round(draft, grown.term):
            run(draft, stmt)
    draft.parts.pop(grown.term.name, None)
    return local(draft, grown.term.name, type)


def _round(draft: Draft, word: Var) -> Iterator[Stmt]:
    yield _update(word, "bit_xor", _shifted(draft, word))
    odd = [factor for factor in MIXERS[_scalar(word)] if factor % 2 and factor > 0xFFFF]
    yield _update(word, "mul", Const(_scalar(word), pick(draft.choose, odd)))
    if chance(draft.choose, 0.3):
        yield _update(word, "add", Const(_scalar(word), pick(draft.choose, odd)))


def _shifted(draft: Draft, word: Var) -> Term:
    name = "lshift" if chance(draft.choose, 0.3) else "rshift"
    distance = Const(_scalar(word), pick(draft.choose, DISTANCES))
    return Apply(infix(name, word.type), (word, distance))


def _update(word: Var, name: str, value: Term) -> Stmt:
    return AugAssign(word.name, infix(name, word.type), value)


def _scalar(word: Var) -> Scalar:
    assert isinstance(word.type, Scalar)
    return word.type
