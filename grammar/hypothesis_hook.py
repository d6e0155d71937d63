"""What Hypothesis calls when it is imported: makes `@given(k=...)` draw kernels for the annotation `k: Kernel`.

The key insight: the hook runs in every process that imports Hypothesis, so it only says where the strategy is,
which is imported once somebody asks for a kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from grammar.tree import Kernel


def register() -> None:
    """The entry point of group `hypothesis`."""
    from hypothesis import strategies as st

    from grammar.tree import Kernel

    st.register_type_strategy(Kernel, lambda _: _kernels())


def _kernels() -> SearchStrategy[Kernel]:
    from grammar.strategies import kernels

    return kernels()
