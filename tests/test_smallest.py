"""The smallest kernel with each construct is one, holds it, and holds next to nothing else."""

from __future__ import annotations

import pytest

from grammar.alive import is_alive
from grammar.check import problems
from grammar.choose import Seed
from grammar.op import Op
from grammar.smallest import SIMPLEST, Construct, constructs, constructs_of, smallest
from grammar.tree import AtomicKind, statements
from tests.builders import LANES

SEED = Seed(0)
NAMELESS = ("isfinite", "isnan", "isinf", "nonzero", "equal", "not_equal", "bool")
"""Operations that give the same everywhere on ordinary floats, so that no kernel is alive that only stores them."""


def name_of(construct: Construct) -> str:
    if construct is None:
        return "nothing"
    return construct.key if isinstance(construct, Op) else getattr(construct, "__name__", str(construct))


@pytest.mark.parametrize("construct", constructs(), ids=name_of)
def test_the_smallest_kernel_with_a_construct(construct: Construct) -> None:
    kernel = smallest(construct, SEED, LANES)
    assert problems(kernel) == ()
    assert is_alive(kernel, SEED, LANES)
    if isinstance(construct, Op) and construct.name in NAMELESS and kernel is SIMPLEST:
        return
    if isinstance(construct, Op | AtomicKind):
        assert constructs_of(kernel) == (construct,)
        assert len(list(statements(kernel.body))) == 2
    elif construct is not None:
        assert kernel is not SIMPLEST
        assert len(list(statements(kernel.body))) <= 9
