"""Profiles: the probabilities with which kernels are grown.

The key insight: a profile is plain data, so the grower knows one code path. `uniform` spreads evenly over what the
table offers, `natural` has the mix of the kernels that ship inside Warp, and `swarm` is any of them with random
features switched off per kernel, which reaches combinations that an average mix never does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TypeVar

from grammar.choose import Choose
from grammar.kinds import COMPOSITE_KINDS, strongest
from grammar.natural import natural_data
from grammar.op import Op
from grammar.types import ELEMENTS, FLOATS, INTEGERS, NUMBERS, Composite, Element

PROFILES = ("natural", "uniform")

AUG_OPERATORS = ("add", "mul", "sub", "div")
"""Operators of `name OP= value` that floats and ints both have."""

FLOOR = 0.125
"""Least weight of an operation under `natural`, where 1 is an even share, so that all of the table is grown."""
RAREST = 0.005
"""Least share of a scalar type under `natural`, of the kernels that may compute in any."""
GENERAL = ("vec2f", "vec3f", "vec4f", "vec2d", "vec3d", "mat22f", "mat33f")
"""Composites in which kernels of any family may compute: those that add up and are scaled."""
FAVOUR = 100.0
"""Weight of an operation that is favoured."""
LEAST_SHARE = 0.005
"""Least share of a kind of statement under `natural`."""
DRAWS: Mapping[str, float] = {
    "mul(float)": 2.0,
    "div(float)": 3.0,
    "mul(vector)": 1.3,
    "less_equal(float)": 3.0,
    "less_equal(int)": 3.0,
}
"""How much oftener than people write them some operations are drawn, as many draws come to nothing: a product soon is
too large, and where people divide or say `<=` other conditions or values than those at hand are meant."""
GRIDS, CALLS = 1.4, 2.0
"""Likewise grids of threads, and calls of functions: not every family has them."""

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Profile:
    """Weights (not normalised) of everything the grower draws."""

    name: str
    operations: Mapping[str, float]
    """Weight by name and kind of operand, such as `add(float)`, where 1 is an even share. If empty, all rows have
    their own weight."""
    statements: Mapping[str, float]
    """Weight by kind of statement. `for_static` has constant bounds, and `return` is a guard clause."""
    aug_operators: Mapping[str, float]
    """Weight by `Op.name` of the operator in `name OP= value`."""
    term_heights: Mapping[int, float]
    """How high the terms of statements are, as `grammar.heights.term_height` counts."""
    leaves: Mapping[str, float]
    """`constant`, `local` (a loop variable or the thread index too), `scalar` (a parameter), `read` (of an array)."""
    body_lengths: Mapping[int, float]
    """How many statements stand directly in a branch or a loop."""
    kernel_lengths: Mapping[int, float]
    """How many statements stand directly in a kernel."""
    float_literals: tuple[tuple[float, float], ...]
    """(value, weight), the commonest first."""
    int_literals: tuple[tuple[int, float], ...]
    trip_counts: tuple[tuple[int, float], ...]
    """Trips of loops whose bounds are constants."""
    mains: Mapping[str, float]
    """Weight of the types that kernels compute in, by name."""
    arrays: Mapping[int, float] = field(default_factory=dict)
    """How many arrays a kernel has, outputs among them."""
    gridded: float = 0.25
    """How often a kernel that may have a grid of threads has one."""
    calling: float = 0.25
    """How often a kernel calls functions of its own."""
    connected: float = 0.15
    """How often a condition is made of others."""
    assigned: float = 0.0
    """How often a local is updated by `x = x + y` rather than `x += y`."""
    named_reads: float = 0.0
    """How often an element that is read for the first time is given a name of its own."""
    floor: float = 1.0
    """Least weight of an operation, so that a new row of the table is grown at once."""
    off: frozenset[str] = frozenset()
    """Names of operations that are not grown at all."""

    def weight(self, op: Op) -> float:
        """How often the operation is grown, relative to others that give the same type."""
        known = self._weights.get(op)
        return self._weigh(op) if known is None else known

    @cached_property
    def _weights(self) -> Mapping[Op, float]:
        from grammar.ops import TABLE

        return {op: self._weigh(op) for op in TABLE}

    def _weigh(self, op: Op) -> float:
        # `Op.weight` splits the share of a name over its scalar overloads of the same result.
        share = max(self.operations.get(counted_as(op), 0.0), self.floor)
        rows = _weight_together(op) if op.is_composite and self.operations else 1.0
        return 0.0 if op.name in self.off else share * op.weight / (rows or 1.0)


@cache  # each profile weighs all rows, and swarms are a profile for each kernel
def counted_as(op: Op) -> str:
    """The name and kind of operand by which operations are counted in real kernels: `add(float)`, `vec3(vector)`."""
    types = [type for type in (*op.params, op.result) if isinstance(type, Composite)]
    if types:
        name = op.name[:-1] if op.name in ELEMENTS else op.name
        return f"{name}({strongest([type.kind for type in types if type in op.params] or [types[0].kind])})"
    operand = op.params[-1]
    kind = "float" if operand in FLOATS else "int" if operand in INTEGERS else operand.name
    return f"{op.name}({kind})"


@cache
def _weights_together() -> Mapping[tuple[str, Element, Element], float]:
    """By how rows are counted, what they give and what they are about, the sum of their weights."""
    from grammar.ops import TABLE

    sums: dict[tuple[str, Element, Element], float] = {}
    for op in TABLE:
        sums[_alike(op)] = sums.get(_alike(op), 0.0) + op.weight
    return sums


@cache
def _alike(op: Op) -> tuple[str, Element, Element]:
    about = next((type for type in op.params if isinstance(type, Composite)), op.result)
    return counted_as(op), op.result, about


def _weight_together(op: Op) -> float:
    """Of all rows of a composite type that share what is counted for this one."""
    return _weights_together().get(_alike(op), op.weight)


@cache
def profile(name: str) -> Profile:
    """The profile of that name, one of `PROFILES`. Raises KeyError for any other."""
    return {"uniform": _uniform, "natural": _natural}[name]()


def swarm(base: Profile, choose: Choose) -> Profile:
    """`base` with about half of its operations and optional statements switched off, drawn through `choose`.

    What every kernel needs stays on: `assign`, `store`, and one operation at least of arithmetic, of comparison and of
    those that combine bools. A draw of 0 leaves a feature on, so that shrinking goes towards `base`.
    """
    from grammar.ops import TABLE

    off = {name for name in dict.fromkeys(op.name for op in TABLE) if choose(2)}
    for group in ("arithmetic", "comparison", "logic"):
        members = list(dict.fromkeys(op.name for op in TABLE if op.group == group and len(op.params) == 2))
        if off.issuperset(members):
            off.remove(members[choose(len(members))])
    statements = {
        kind: weight if kind in ("assign", "store") else weight * (1 - choose(2))
        for kind, weight in base.statements.items()
    }
    return replace(base, name=f"swarm-{base.name}", off=base.off | off, statements=statements)


def favouring(base: Profile, op: Op) -> Profile:
    """`base` with one operation grown wherever it may."""
    return replace(base, operations={**base.operations, counted_as(op): FAVOUR}, off=base.off - {op.name})


def _natural() -> Profile:
    data = natural_data()
    fewest = LEAST_SHARE * sum(data["statements"].values())
    heights = _sizes(data["term_heights"], 1, 8)
    return Profile(
        name="natural",
        operations={key: DRAWS.get(key, 1.0) * share for key, share in _shares_by_kind(data["operations"]).items()},
        statements={kind: max(float(count), fewest) for kind, count in sorted(data["statements"].items())},
        aug_operators={name: float(data["aug_operators"].get(name, 1)) for name in AUG_OPERATORS},
        # Most terms of height 1 set an accumulator to zero or name an element: the rules that grow loops write those.
        term_heights={height: weight / 4 if height == 1 else weight for height, weight in heights.items()},
        leaves={leaf: float(count) for leaf, count in data["leaves"].items()},
        body_lengths=_sizes(data["body_lengths"], 1, 12),
        kernel_lengths=_sizes(data["kernel_lengths"], 2, 24),
        float_literals=tuple((v, float(w)) for v, w in data["float_literals"] if v == 0 or 1e-6 <= abs(v) <= 100),
        int_literals=tuple((v, float(w)) for v, w in data["int_literals"] if abs(v) <= 100),
        trip_counts=_commonest_first(_sizes(data["trip_counts"], 2, 64)),
        mains=_mains(data["computed_types"]),
        arrays=_sizes(data["arrays_per_kernel"], 3, 6),
        gridded=GRIDS * (1 - data["thread_dimensions"]["1"] / sum(data["thread_dimensions"].values())),
        calling=CALLS * data["callers"]["calls"] / sum(data["callers"].values()),
        connected=_share_of_connectives(data["operations"]),
        assigned=_share_of_assigned(data["updates"]),
        named_reads=data["reads"]["named"] / data["reads"]["all"],
        floor=FLOOR,
    )


def _uniform() -> Profile:
    """Even over what is drawn by name; numbers keep their order of size or frequency, only flatter."""
    natural = _natural()
    return Profile(
        name="uniform",
        operations={},
        statements=dict.fromkeys(natural.statements, 1.0),
        aug_operators=dict.fromkeys(natural.aug_operators, 1.0),
        term_heights=_flatter(natural.term_heights),
        leaves=dict.fromkeys(natural.leaves, 1.0),
        body_lengths=_flatter(natural.body_lengths),
        kernel_lengths=_flatter(natural.kernel_lengths),
        float_literals=tuple((value, weight**0.5) for value, weight in natural.float_literals),
        int_literals=tuple((value, weight**0.5) for value, weight in natural.int_literals),
        trip_counts=tuple((value, weight**0.5) for value, weight in natural.trip_counts),
        mains={scalar.name: 1.0 for scalar in NUMBERS},
        arrays=_flatter(natural.arrays),
        connected=natural.connected,
        assigned=0.5,
        named_reads=0.5,
    )


def _shares_by_kind(counts: Mapping[str, int]) -> dict[str, float]:
    """Even shares; rigid types and matrices, which are rarer, among themselves."""
    groups: dict[str, dict[str, int]] = {}
    for key, count in counts.items():
        kind = key[key.index("(") + 1 : -1]
        groups.setdefault(kind if kind in COMPOSITE_KINDS and kind != "vector" else "", {})[key] = count
    return {key: share for group in groups.values() for key, share in _even_shares(group).items()}


def _even_shares(counts: Mapping[str, int]) -> dict[str, float]:
    mean = sum(counts.values()) / len(counts)
    return {key: count / mean for key, count in counts.items()}


def _mains(computed: Mapping[str, int]) -> dict[str, float]:
    """By what is computed and written, but that scalars of which hardly anything is are less rare."""
    fewest = RAREST * sum(computed.values())
    scalars = {scalar.name: max(float(computed.get(scalar.name, 0)), fewest) for scalar in NUMBERS}
    return scalars | {name: float(computed[name]) for name in GENERAL if name in computed}


def _share_of_connectives(operations: Mapping[str, int]) -> float:
    def total(names: Iterable[str]) -> int:
        return sum(count for key, count in operations.items() if key[: key.index("(")] in names)

    comparisons = total(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"))
    return total(("logical_and", "logical_or", "logical_not")) / comparisons


def _share_of_assigned(updates: Mapping[str, int]) -> float:
    named = {name: sum(updates.get(f"{name} {op}", 0) for op in AUG_OPERATORS) for name in ("assign", "aug_assign")}
    return named["assign"] / sum(named.values())


def _sizes(counts: Mapping[str, int], low: int, high: int) -> dict[int, float]:
    return {int(size): float(count) for size, count in counts.items() if low <= int(size) <= high}


def _commonest_first(weights: Mapping[int, float]) -> tuple[tuple[int, float], ...]:
    return tuple(sorted(weights.items(), key=lambda item: (-item[1], item[0])))


def _flatter(weights: Mapping[_T, float]) -> dict[_T, float]:
    """The square root of each weight: what is rare becomes less rare, and the order stays."""
    return {key: weight**0.5 for key, weight in weights.items()}
