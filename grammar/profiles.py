"""Profiles: the probabilities with which kernels are grown.

The key insight: a profile is plain data, so the grower knows one code path. `uniform` spreads evenly over what the
table offers, `natural` has the mix of the kernels that ship inside Warp, and `swarm` is any of them with random
features switched off per kernel, which reaches combinations that an average mix never does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

from grammar.op import Op

STATEMENTS: Mapping[str, float] = {
    "assign": 10.0,
    "aug_assign": 4.0,
    "store": 4.0,
    "if": 3.0,
    "else": 1.5,
    "elif": 0.7,
    "for_static": 1.0,
    "for_dynamic": 1.0,
    "while": 0.3,
    "break": 0.2,
    "continue": 0.2,
    "return": 1.0,
    "aug_store": 0.5,
    "atomic_add": 1.0,
    "atomic_sub": 0.3,
    "atomic_min": 0.3,
    "atomic_max": 0.3,
}
"""The kinds of statement. `for_static` has constant bounds; `return` is a guard; `else`, `elif` extend an `if`."""

PROFILES = ("natural", "uniform")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Profile:
    """Weights (not normalised) of everything the grower draws."""

    name: str
    operations: Mapping[str, float]
    """Weight by `Op.name`."""
    statements: Mapping[str, float]
    """Weight by kind of statement, the keys of `STATEMENTS`."""
    aug_operators: Mapping[str, float]
    """Weight by `Op.name` of the operator in `name OP= value`."""
    term_heights: Mapping[int, float]
    """How high the terms of statements are, as `grammar.tree.term_height` counts."""
    leaves: Mapping[str, float]
    """`constant`, `local` (a loop variable or the thread index too), `scalar` (a parameter), `read` (of an array)."""
    body_lengths: Mapping[int, float]
    """How many statements stand directly in a kernel, a branch or a loop."""
    float_literals: tuple[tuple[float, float], ...]
    """(value, weight), the commonest first."""
    int_literals: tuple[tuple[int, float], ...]
    trip_counts: tuple[tuple[int, float], ...]
    """Trips of loops whose bounds are constants."""
    floor: float = 1.0
    """Weight of an operation that `operations` doesn't name, so that a new row of the table is grown at once."""

    def weight(self, op: Op) -> float:
        return self.operations.get(op.name, self.floor) * op.weight


@cache
def profile(name: str) -> Profile:
    """The profile of that name, one of `PROFILES`. Raises KeyError for any other."""
    return {"uniform": _uniform, "natural": _natural}[name]()


def swarm(base: Profile, choose: Callable[[int], int]) -> Profile:
    """`base` with about half of its operations and optional statements switched off, drawn through `choose(n)`.

    What every kernel needs stays: `assign`, `store`, one comparison and one arithmetic operation at least. A draw of 0
    leaves a feature on, so that shrinking goes towards `base`.
    """
    from grammar.ops import TABLE

    names = list(dict.fromkeys(op.name for op in TABLE))
    operations = {name: base.operations.get(name, base.floor) * (1 - choose(2)) for name in names}
    for group in ("arithmetic", "comparison"):
        members = list(dict.fromkeys(op.name for op in TABLE if op.group == group))
        if members and not any(operations[name] for name in members):
            kept = members[choose(len(members))]
            operations[kept] = base.operations.get(kept, base.floor)
    statements = {
        kind: w if kind in ("assign", "store") else w * (1 - choose(2)) for kind, w in base.statements.items()
    }
    return replace(base, name=f"swarm-{base.name}", operations=operations, statements=statements)


def _flatter(weights: tuple[tuple[_T, float], ...]) -> tuple[tuple[_T, float], ...]:
    """The square root of each weight: rare values become less rare, the order stays."""
    return tuple((value, weight**0.5) for value, weight in weights)


def _uniform() -> Profile:
    natural = _natural()
    return Profile(
        name="uniform",
        operations={},
        statements=dict.fromkeys(STATEMENTS, 1.0),
        aug_operators=dict.fromkeys(natural.aug_operators, 1.0),
        term_heights=dict.fromkeys(natural.term_heights, 1.0),
        leaves=dict.fromkeys(natural.leaves, 1.0),
        body_lengths=dict.fromkeys(natural.body_lengths, 1.0),
        float_literals=_flatter(natural.float_literals),
        int_literals=_flatter(natural.int_literals),
        trip_counts=_flatter(natural.trip_counts),
    )


def _natural() -> Profile:
    return Profile(
        name="natural",
        operations={"mul": 30.0, "add": 20.0, "sub": 15.0, "div": 8.0, "less": 5.0, "greater": 5.0, "neg": 3.0},
        statements=STATEMENTS,
        aug_operators={"add": 8.0, "sub": 1.0, "mul": 1.0},
        term_heights={1: 4.0, 2: 5.0, 3: 3.0, 4: 1.0},
        leaves={"local": 5.0, "constant": 2.0, "read": 2.0, "scalar": 1.5},
        body_lengths={1: 6.0, 2: 4.0, 3: 3.0, 4: 2.0, 5: 1.0, 6: 1.0, 7: 0.5, 8: 0.5},
        float_literals=(
            (0.0, 9.0),
            (1.0, 8.0),
            (2.0, 6.0),
            (0.5, 6.0),
            (3.0, 2.0),
            (0.1, 2.0),
            (-1.0, 2.0),
            (0.25, 1.0),
        ),
        int_literals=((0, 9.0), (1, 9.0), (2, 4.0), (3, 2.0), (4, 1.0), (8, 0.5), (10, 0.5)),
        trip_counts=((3, 4.0), (2, 3.0), (4, 3.0), (8, 2.0), (5, 1.0), (10, 1.0), (16, 0.5)),
    )
