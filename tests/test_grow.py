"""Growing: heights and sizes, families, repeatability, and what of the table is reached."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from statistics import median

import pytest

from grammar import tree
from grammar.atomics import MARKING
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.choose import Seed, recording, replaying, seeded
from grammar.families import FAMILIES, Family, families_at, family_named
from grammar.grow import grow
from grammar.heights import height, size
from grammar.inputs import column
from grammar.op import Op
from grammar.ops import COMPOSITE_ROWS, SCALAR_ROWS, TABLE
from grammar.pairs import space_of
from grammar.params import Role
from grammar.profiles import PROFILES, profile, swarm
from grammar.tree import (
    Apply,
    At,
    Atomic,
    AugAssign,
    AugStore,
    For,
    If,
    Kernel,
    Read,
    Stmt,
    Term,
    Thread,
    Var,
    While,
    all_terms,
    functions,
    statements,
)
from grammar.types import F32, SCALARS, VECTORS, Array
from tests.builders import (
    COPIES,
    DEPTHS,
    LANES,
    Sample,
    outputs,
    samples,
)

ALL_DEPTHS = tuple(range(1, 13))

# -- heights and sizes ------------------------------------------------------------------------------------------------


@pytest.mark.no_cover
@pytest.mark.parametrize("depth", ALL_DEPTHS)
def test_every_family_grows_within_every_depth_it_has(depth: int) -> None:
    for family in families_at(depth):
        for name in PROFILES:
            tries = [
                grow(seeded(Seed(seed)), family, profile(name), depth, seed, LANES)
                for seed in range(1000 * depth, 1000 * depth + 3)
            ]
            kernels = [grown for grown in tries if grown is not None]
            assert kernels, f"{family.name} at depth {depth}, {name}"
            assert max(map(height, kernels)) <= depth
            assert {grown.family for grown in kernels} == {family.name}


def test_growing_seldom_comes_to_nothing() -> None:
    asked = sum(len(families_at(depth)) for depth in DEPTHS) * COPIES * len(PROFILES)
    assert len(samples()) >= 0.99 * asked


def test_heights_are_reached() -> None:
    """Depth is not only a bound: kernels get as high, up to the height of what people write."""
    for depth in range(1, 7):
        assert max(height(s.kernel) for s in samples() if s.depth == depth) == depth


@pytest.mark.parametrize("depth", [8, 12])
def test_much_room_is_used_by_some(depth: int) -> None:
    """The top quarter of the heights is reached by a good part of the kernels, and by far not by all."""
    high = sum(height(kernel) > 0.75 * depth for kernel in mixed(depth, 100))
    assert 10 <= high <= 50


def mixed(depth: int, count: int) -> list[Kernel]:
    """Kernels of all families in turn."""
    turns = ((seed, FAMILIES[seed % len(FAMILIES)]) for seed in range(count))
    grown = (grow(seeded(Seed(seed)), family, profile("natural"), depth, seed, LANES) for seed, family in turns)
    return [kernel for kernel in grown if kernel is not None]


@pytest.mark.no_cover
def test_size_grows_gracefully() -> None:
    grown = samples(1, (1, 3, 6, 12))
    sizes = {depth: median(size(s.kernel) for s in grown if s.depth == depth) for depth in (1, 3, 6, 12)}
    assert sizes[1] < sizes[3] < sizes[6]
    assert sizes[12] < 6 * sizes[3]
    assert max(size(s.kernel) for s in grown) < 400


# -- the same choices, the same kernel --------------------------------------------------------------------------------


def regrown(sample: Sample, choose: Callable[[int], int]) -> Kernel | None:
    family = family_named(sample.kernel.family)
    return grow(choose, family, profile(sample.profile), sample.depth, sample.seed, LANES)


@pytest.mark.no_cover
def test_growing_is_a_function_of_its_choices() -> None:
    for sample in samples(1):
        record: list[int] = []
        assert regrown(sample, recording(seeded(sample.seed), record)) == sample.kernel
        assert regrown(sample, replaying(record)) == sample.kernel


@pytest.mark.no_cover
def test_growing_does_not_depend_on_what_was_grown_before() -> None:
    """Nor on what is cached by then."""
    column.cache_clear()
    for sample in reversed(samples(1)):
        assert regrown(sample, seeded(sample.seed)) == sample.kernel


def test_other_choices_give_other_kernels() -> None:
    kernels = [sample.kernel for sample in samples() if sample.depth >= 3]
    assert len(set(kernels)) > 0.98 * len(kernels)


@pytest.mark.no_cover
def test_hardly_a_kernel_comes_twice() -> None:
    """So that what is dropped as a duplicate leaves the shares of the families as they are."""
    flat = [family for family in FAMILIES if not family.features]
    for family in flat:
        grown = (grow(seeded(Seed(s)), family, profile("natural"), 5, s, LANES) for s in range(100))
        hashes = Counter(canonical_hash(kernel) for kernel in grown if kernel is not None)
        assert hashes.total() - len(hashes) <= 2, family.name


@pytest.mark.parametrize("name", ["tile_reduction", "tile_gemm", "combined"])
def test_growing_ends_wherever_only_the_simplest_is_chosen(name: str) -> None:
    family = family_named(name)
    for k in range(40):
        record: list[int] = []
        grow(recording(seeded(Seed(k)), record), family, profile("uniform"), 5, k, LANES, attempts=1)
        grow(replaying(record[: 3 * k]), family, profile("uniform"), 5, k, LANES, attempts=1)


def test_any_choices_at_all_give_a_kernel_or_none() -> None:
    """What a reducer proposes need not come from anywhere; all zeros are the simplest kernel of a family."""
    for family in FAMILIES:
        depth = max(3, family.least_depth)
        for record in ([], [0, 1] * 50, [5] * 40, [10**9] * 200, list(range(300))):
            grown = grow(replaying(record), family, profile("natural"), depth, 1, LANES)
            assert grown is None or (problems(grown) == () and height(grown) <= depth)


def test_kernels_pickle_and_compare() -> None:
    for sample in samples(1):
        copy = pickle.loads(pickle.dumps(sample.kernel))
        assert copy == sample.kernel
        assert hash(copy) == hash(sample.kernel)
        assert outputs(copy, sample.inputs) == outputs(sample.kernel, sample.inputs)


# -- families are what they say ---------------------------------------------------------------------------------------


def nested_loops(grown: Kernel) -> bool:
    loops = [stmt for stmt in statements(grown.body) if isinstance(stmt, For | While)]
    return any(isinstance(inner, For | While) for outer in loops for inner in statements(outer.body))


def arms(stmt: Stmt) -> int:
    """Of an `if … elif … else`; 0 for another statement."""
    if not isinstance(stmt, If):
        return 0
    rest = arms(stmt.orelse[0]) if len(stmt.orelse) == 1 else 0
    return 1 + (rest or bool(stmt.orelse))


def neighbours(grown: Kernel) -> bool:
    """Some array is read at three places or two, depending on the thread index."""
    places: dict[str, set[Term]] = {}
    for term in all_terms(grown):
        if isinstance(term, Read):
            places.setdefault(term.array, set()).add(term.index)
    return any(len(indices) >= 2 for indices in places.values())


def scalars_used(grown: Kernel) -> bool:
    scalars = {p.name for p in grown.params if not isinstance(p.type, Array) and p.role is Role.VALUE}
    return any(isinstance(term, Var) and term.name in scalars for term in all_terms(grown))


def of_group(*groups: str) -> Callable[[Kernel], bool]:
    return lambda grown: any(op.group in groups for op in operations(grown))


def operations(grown: Kernel) -> set[Op]:
    terms = {term.op for term in all_terms(grown) if isinstance(term, Apply)}
    return terms | {stmt.op for stmt in statements(grown.body) if isinstance(stmt, AugAssign | AugStore)}


def has(*kinds: type[Stmt]) -> Callable[[Kernel], bool]:
    return lambda grown: any(isinstance(stmt, kinds) for stmt in statements(grown.body))


def grid_reads(grown: Kernel) -> int:
    """Elements of grids that are read, but for the thread's own."""
    assert isinstance(grown.body[0], Thread)
    reads = {term.index for term in all_terms(grown) if isinstance(term, Read) and isinstance(term.index, At)}
    return len(reads - {grown.body[0].own})


def most_reads(grown: Kernel) -> int:
    """Of how many elements of one array a kernel reads, as far as the text tells them apart."""
    reads = {term for term in all_terms(grown) if isinstance(term, Read)}
    return max(Counter(term.array for term in reads).values(), default=0)


def is_computed(index: Term) -> bool:
    return all(isinstance(part, Apply) and part.op.name == "clamp" for part in tree.indices_of(index))


def is_marked(grown: Kernel) -> bool:
    """Whether a condition says which threads leave a mark, or number themselves."""
    return any(isinstance(s, Atomic) and (s.name or s.kind in MARKING) for s in statements(grown.body))


PROPERTIES: Mapping[str, tuple[Callable[[Kernel], bool], float]] = {
    "arithmetic": (of_group("arithmetic"), 0.75),
    "math": (of_group("math"), 0.75),
    "conditional": (has(If), 1.0),
    "multi_branch": (lambda grown: max(map(arms, statements(grown.body))) >= 3, 0.9),
    "loop": (has(For, While), 1.0),
    "nested_loop": (nested_loops, 1.0),
    "scalar_parameter": (scalars_used, 1.0),
    "atomic_reduction": (has(Atomic), 1.0),
    "stencil": (neighbours, 0.9),
    "combined": (has(If, For, While), 0.75),
    "vector_physics": (of_group("vector"), 0.95),
    "matrix_vector": (of_group("matrix"), 0.9),
    "rigid_transform": (of_group("quaternion", "transform", "spatial"), 0.9),
    "function_library": (lambda grown: bool(functions(grown.body)), 0.9),
    "grid_stencil": (lambda grown: grid_reads(grown) >= 3, 0.9),
    "nested_parallel": (lambda grown: isinstance(grown.body[0], Thread) and len(grown.body[0].names) > 1, 1.0),
    "conditional_reduction": (
        lambda grown: is_marked(grown) or sum(isinstance(s, Atomic) for s in statements(grown.body)) >= 2,
        1.0,
    ),
    "histogram": (
        lambda grown: any(isinstance(s, Atomic) and is_computed(s.index) for s in statements(grown.body)),
        1.0,
    ),
    "sparse_product": (lambda grown: any(param.role is Role.OFFSETS for param in grown.params), 1.0),
    "prefix_scan": (
        lambda grown: any(isinstance(s, For) and not isinstance(s.stop, tree.Const) for s in statements(grown.body)),
        0.9,
    ),
    "graph_relaxation": (lambda grown: any(param.role is Role.INDEX for param in grown.params), 1.0),
    "fluid_update": (lambda grown: most_reads(grown) >= 2, 0.9),
    "signed_distance": (
        lambda grown: any(
            repr(f.params[0].type) == "vec3f" and f.result.name == "float32" for f in functions(grown.body)
        ),
        0.9,
    ),
    "pair_force": (
        lambda grown: has(For)(grown) and any(op.name.startswith("length") for op in operations(grown)),
        1.0,
    ),
    "struct_particle": (lambda grown: bool(grown.structs), 1.0),
    "bit_mixing": (of_group("integer"), 0.75),
    "random_sampling": (lambda grown: has(tree.Sample)(grown) or of_group("random")(grown), 0.9),
    "tile_reduction": (of_group("tile"), 0.95),
    "tile_gemm": (lambda grown: any(op.name == "tile_matmul" for op in operations(grown)) and has(For)(grown), 0.95),
}
"""What kernels of a family have, and what share of them must have it."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_families_are_what_they_say(family: Family) -> None:
    holds, share = PROPERTIES[family.name]
    kernels = [s.kernel for s in samples() if s.kernel.family == family.name and s.depth >= 2]
    assert sum(map(holds, kernels)) >= share * len(kernels)


def test_some_sums_are_taken_block_by_block() -> None:
    kernels = [s.kernel for s in samples() if s.kernel.family == "atomic_reduction" and s.depth >= 2]
    by_block = [grown for grown in kernels if any(op.name == "tile" for op in operations(grown))]
    assert 0.02 * len(kernels) < len(by_block) < 0.3 * len(kernels)


def test_families_differ() -> None:
    """The property of a family is no matter of course."""
    for name, (holds, _) in PROPERTIES.items():
        others = [s.kernel for s in samples() if s.kernel.family != name]
        if name not in ("arithmetic", "combined"):
            assert sum(map(holds, others)) < 0.7 * len(others), name


def test_where_pairs_are_does_not_hang_on_the_order_of_a_set() -> None:
    """Which is that of addresses, and so another one in each process."""
    of_float = [V for V in VECTORS if V.scalar is F32]
    for kin in (of_float, of_float[::-1], [*of_float[1:], of_float[0]]):
        assert space_of(frozenset([F32, *kin]), F32) is of_float[0]


def test_families_are_named_once_and_found_by_name() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) >= 10
    assert all(family_named(family.name) is family for family in FAMILIES)


@pytest.mark.parametrize(
    ("family", "index"),
    [
        ("histogram", lambda index, _: isinstance(index, At) and is_computed(index)),
        ("nested_parallel", lambda index, own: isinstance(own, At) and index == own),
        ("nested_parallel", lambda index, own: isinstance(own, At) and index in own.indices),
    ],
    ids=["bins of two values", "an element for each thread of a grid", "along an axis of a grid"],
)
def test_atomics_reach_into_several_dimensions(family: str, index: Callable[[Term, Term], bool]) -> None:
    def is_met(seed: int) -> bool:
        grown = grow(seeded(Seed(seed)), family_named(family), profile("natural"), 4, seed, LANES)
        if grown is None:
            return False
        first = grown.body[0]
        assert isinstance(first, Thread)
        return any(isinstance(s, Atomic) and index(s.index, first.own) for s in statements(grown.body))

    assert any(map(is_met, range(300)))


# -- reach ------------------------------------------------------------------------------------------------------------

SELDOM = {"bool"}
"""Operations that a person seldom spells."""
MANY = ("cast", "select")
"""Groups whose rows pair each type with each."""


@pytest.mark.no_cover
def test_the_table_is_reached() -> None:
    """By name, in some hundreds of kernels; and most of the overloads, but for casts and conditions of all types."""
    reached = {op for sample in samples(3) for op in operations(sample.kernel)}
    names = {op.name for op in SCALAR_ROWS if op in reached}
    wanted = {op.name for op in SCALAR_ROWS} - SELDOM
    assert len(names) >= len(wanted) - 6, wanted - names
    rows = {op for op in SCALAR_ROWS if op.weight and op.group not in MANY}
    assert len(reached & rows) >= 0.75 * len(rows)


@pytest.mark.no_cover
def test_every_kind_of_composite_row_is_reached() -> None:
    """By name, in the families that compute in composites; save the constructors of the rarer types."""
    favoured = {group for family in FAMILIES if family.types for group in family.favoured}
    rows = [op for op in COMPOSITE_ROWS if op.group in favoured and op.name not in SELDOM | {op.result.name}]
    wanted = {(op.group, op.name) for op in rows if op.weight >= 1}
    missing = set(wanted)
    for grown in in_composites():
        missing -= {(op.group, op.name) for op in operations(grown) if op.is_composite}
        if len(missing) <= 8:
            return
    pytest.fail(f"never grown: {missing}")


def in_composites() -> Iterator[Kernel]:
    for seed in range(60):
        for name in PROFILES:
            for family in FAMILIES:
                grown = grow(seeded(Seed(seed)), family, profile(name), 5, seed, LANES) if family.types else None
                if grown is not None:
                    yield grown


def test_every_group_of_operations_is_reached_under_each_profile() -> None:
    for name in PROFILES:
        groups = {op.group for s in samples() if s.profile == name for op in operations(s.kernel)}
        assert groups == {op.group for op in TABLE}


def test_operations_switched_off_are_not_grown() -> None:
    """Swarms switch off about half; the arithmetic that holds kernels together is grown all the same."""
    for nth in range(100):
        choose = seeded(Seed(nth))
        swarming = swarm(profile("uniform"), choose)
        family = families_at(5)[nth % len(families_at(5))]
        grown = grow(choose, family, swarming, 5, nth, LANES)
        if grown is not None:
            off = {op.name for op in operations(grown) if op.group == "math"} & swarming.off
            assert not off, f"{family.name}, {nth}"


def test_all_types_are_grown() -> None:
    written = Counter(p.element for s in samples() for p in s.kernel.params if p.is_output)
    computed_in = {type for family in FAMILIES for type, weight in family.types if weight >= 1}
    assert set(written) >= set(SCALARS) | computed_in
