"""Families of kernels: what each asks of the grammar.

The key insight: a family is a bias, not a template. It names the features a kernel must have, the groups of operations
it favours and how its result leaves the kernel; all the rest is drawn as in any other kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

from grammar.calls import call_function
from grammar.features import (
    Feature,
    branch_both,
    branch_chain,
    branch_update,
    gather,
    loop_count,
    loop_nested,
    loop_sum,
    loop_while,
    stencil,
)
from grammar.types import F32, VECTORS, Element


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    least_depth: int
    """The lowest height at which the family has a kernel at all."""
    features: tuple[tuple[tuple[Feature, float], ...], ...] = ()
    """One feature is drawn from each of these tables."""
    favoured: frozenset[str] = frozenset()
    """Groups of operations that are drawn more often; `scalar` stands for scalar parameters."""
    atomic: bool = False
    """The result is reduced into an array by an atomic operation."""
    types: tuple[tuple[Element, float], ...] = ()
    """What its kernels compute in; none means any scalar type."""

    def has(self, feature: Feature) -> bool:
        """Whether its kernels may have the feature."""
        return any(feature is one for table in self.features for one, _ in table)


BRANCHES: tuple[tuple[Feature, float], ...] = ((branch_update, 3.0), (branch_both, 2.0))
LOOPS: tuple[tuple[Feature, float], ...] = ((loop_sum, 6.0), (loop_while, 1.0), (loop_count, 1.5))
ANY: tuple[tuple[Feature, float], ...] = (
    *BRANCHES,
    (branch_chain, 1.5),
    (loop_sum, 3.0),
    (loop_while, 0.6),
    (loop_count, 1.0),
    (loop_nested, 1.0),
    (stencil, 2.0),
    (gather, 2.0),
    (call_function, 1.5),
)

SPACE: tuple[tuple[Element, float], ...] = tuple(
    (V, {2: 2.0, 3: 8.0, 4: 1.0}[V.width] * (1.0 if V.scalar is F32 else 0.15)) for V in VECTORS
)

FAMILIES: tuple[Family, ...] = (
    Family("arithmetic", 1, favoured=frozenset({"arithmetic"})),
    Family("math", 2, favoured=frozenset({"math"})),
    Family("conditional", 3, features=(BRANCHES,)),
    Family("multi_branch", 3, features=(((branch_chain, 1.0),),)),
    Family("loop", 3, features=(LOOPS,)),
    Family("nested_loop", 4, features=(((loop_nested, 1.0),),)),
    Family("scalar_parameter", 2, favoured=frozenset({"scalar", "arithmetic"})),
    Family("atomic_reduction", 1, atomic=True),
    Family("stencil", 4, features=(((stencil, 1.0),),)),
    Family("combined", 4, features=(ANY, ANY), favoured=frozenset({"math"})),
    Family("function_library", 4, features=(((call_function, 1.0),), ((call_function, 2.0), (branch_update, 1.0)))),
    Family("vector_physics", 2, favoured=frozenset({"vector"}), types=SPACE),
)


def family_named(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def families_at(depth: int) -> tuple[Family, ...]:
    """The families that have kernels of the given height or less."""
    return tuple(family for family in FAMILIES if family.least_depth <= depth)
