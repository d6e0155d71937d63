"""Families of kernels: what each asks of the grammar.

The key insight: a family is a bias, not a template. It names the features a kernel must have, the groups of operations
it favours and how its result leaves the kernel; all the rest is drawn as in any other kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grammar.applying import call_with_function
from grammar.calls import call_function
from grammar.choose import Choose, pick
from grammar.distances import distance
from grammar.draft import relatives
from grammar.extremes import loop_extreme
from grammar.features import (
    Feature,
    branch_both,
    branch_chain,
    branch_update,
    loop_count,
    loop_nested,
    loop_sum,
    loop_while,
)
from grammar.folds import loop_parts
from grammar.graphs import leave_relaxed, relax_over_edge, relax_over_neighbours
from grammar.motion import moving, state_of_motion
from grammar.neighbours import difference, gather, prefix_scan, sparse_product, stencil, stencil_grid
from grammar.outputs import Leaving, count_in_bins, reduce, reduce_by_condition, store, store_or_add, store_or_reduce
from grammar.pairs import pair_force
from grammar.perlin import noise
from grammar.ranges import PATTERNS
from grammar.sampling import monte_carlo, sample
from grammar.several import call_several
from grammar.tiles import is_tile
from grammar.tiling import (
    SYSTEM,
    row_reduced,
    tile_changed,
    tile_folded,
    tile_product,
    tile_reduced,
    tile_seldom,
    tile_solved,
)
from grammar.types import (
    F16,
    F32,
    F64,
    I32,
    INT_VECTORS,
    LONG_VECTORS,
    MATRICES,
    QUATERNIONS,
    RECTANGULAR,
    SIGNAL_TILES,
    SPATIAL_MATRICES,
    TRANSFORMS,
    TWISTS,
    U32,
    VECTOR_TILES,
    VECTORS,
    Composite,
    Element,
    Scalar,
    type_named,
)


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    least_depth: int
    """The lowest height at which the family has a kernel at all."""
    features: tuple[tuple[tuple[Feature, float], ...], ...] = ()
    """One feature is drawn from each of these tables."""
    favoured: frozenset[str] = frozenset()
    """Groups of operations that are drawn more often; `scalar` stands for scalar parameters."""
    leave: Leaving = store
    """How the result leaves the kernel."""
    atomic: bool = False
    """It does so by atomic operations, and nothing else is written."""
    types: tuple[tuple[Element, float], ...] = ()
    """What its kernels compute in; none means any scalar type."""
    dimensions: tuple[tuple[int, float], ...] = ((1, 1.0),)
    """Of the grid of threads."""
    is_gridded: bool = False
    """Its kernels may as well have a grid of threads."""
    company: tuple[frozenset[Element], ...] = ()
    """Types that belong together: a kernel that computes in one of a set may compute in the others as well.

    Of a set with types of the module's own, it computes in one of these, or it has no use for them.
    """

    structs: bool = False
    """What its kernels take and give is gathered in structs; in others now and then."""
    tolerance: float = 0.11
    """Share of its kernels that may be such that Warp documents their adjoint as wrong; few of them are."""

    def kin(self, choose: Choose, main: Element) -> frozenset[Element]:
        """The types in which a kernel computes that is about the main one; tiles have one kind of company at a time."""
        around = [
            types for types in self.company if main in types and (main.is_own or not any(T.is_own for T in types))
        ]
        if is_tile(main):
            around = [pick(choose, around)]
        return relatives(main, frozenset().union(*around))

    def has(self, feature: Feature) -> bool:
        """Whether its kernels may have the feature."""
        return any(feature is one for table in self.features for one, _ in table)


BRANCHES: tuple[tuple[Feature, float], ...] = ((branch_update, 3.0), (branch_both, 2.0))
LOOPS: tuple[tuple[Feature, float], ...] = (
    *((loop_sum, 6.0), (loop_while, 1.6), (loop_count, 1.5)),
    *((loop_extreme, 1.0), (loop_parts, 1.0)),
)
ANY: tuple[tuple[Feature, float], ...] = (
    *BRANCHES,
    (branch_chain, 1.5),
    (loop_sum, 3.0),
    (loop_while, 0.9),
    (loop_count, 1.0),
    (loop_extreme, 0.7),
    *((loop_nested, 1.0), (loop_parts, 0.3)),
    (stencil, 2.0),
    (gather, 2.0),
    *((call_function, 1.5), (call_several, 0.4), (call_with_function, 0.5)),
)
CALLS: tuple[tuple[Feature, float], ...] = ((call_function, 3.0), (call_several, 1.0), (call_with_function, 1.2))

WIDTHS = {F32: 1.0, F64: 0.12, F16: 0.03}
SCALAR: tuple[tuple[Element, float], ...] = ((F32, 3.0), (F64, 0.3))
"""Of kernels that use composites, but whose result is a number."""
SPACE: tuple[tuple[Element, float], ...] = (
    *((V, {2: 2.0, 3: 8.0, 4: 1.0}[V.width] * WIDTHS[V.scalar]) for V in VECTORS),
    *((V, 0.4) for V in INT_VECTORS),
    *SCALAR,
)
MOVING = tuple((T, weight) for T, weight in SPACE if T.scalar in (F32, F64))
WITH_SCALARS: tuple[frozenset[Element], ...] = tuple(frozenset({V, V.scalar}) for V in VECTORS if V.width == 3)

LINEAR: tuple[tuple[Element, float], ...] = (
    *(
        (T, share * {2: 1.2, 3: 5.0, 4: 0.7}[T.shape[-1]] * WIDTHS[T.scalar])
        for types, share in ((VECTORS, 2.0), (MATRICES, 1.0))
        for T in types
    ),
    *((T, 0.5 * WIDTHS[T.scalar]) for T in (*LONG_VECTORS, *RECTANGULAR)),
    *SCALAR,
)


def _beside(M: Composite) -> frozenset[Element]:  # noqa: N803 - a type, as in the table of operations
    """A matrix that is no square, with its transpose, and the vectors that are its rows and columns."""
    shapes = (*((size,) for size in M.shape), M.shape, M.shape[::-1])
    return frozenset({M.scalar, *(T for T in (*VECTORS, *RECTANGULAR) if T.scalar is M.scalar and T.shape in shapes)})


WITH_MATRICES: tuple[frozenset[Element], ...] = (
    *(
        frozenset[Element]({V, M, V.scalar} if V.width == 3 else {V, M})
        for V in VECTORS
        for M in MATRICES
        if V.scalar is M.scalar and V.shape == M.shape[1:]
    ),
    *map(_beside, RECTANGULAR),
)

RIGID: tuple[tuple[Element, float], ...] = (
    *(
        (
            T,
            {"vector": 6.0, "quaternion": 4.0, "transform": 4.0, "twist": 2.5}[T.kind]
            * (1.0 if T.scalar is F32 else 0.1),
        )
        for T in (*VECTORS, *QUATERNIONS, *TRANSFORMS, *TWISTS)
        if T.scalar is not F16 and (T.kind != "vector" or T.width == 3)
    ),
    *SCALAR,
)


def _rigid(S: Scalar) -> Iterator[frozenset[Element]]:  # noqa: N803 - a type, as in the table of operations
    V, M, M4, Q, T, W, W6 = (  # noqa: N806 - likewise
        next(one for one in types if one.scalar is S and one.shape[-1] == size)
        for types, size in (
            *((VECTORS, 3), (MATRICES, 3), (MATRICES, 4)),
            *((QUATERNIONS, 4), (TRANSFORMS, 7), (TWISTS, 6), (SPATIAL_MATRICES, 6)),
        )
    )
    sets: tuple[set[Element], ...] = ({V, Q, M, S}, {V, Q, T}, {V, T, M4}, {V, T, W, S}, {W, W6, M})
    yield from map(frozenset, sets)


TURNING = tuple(types for S in (F32, F64) for types in _rigid(S))

ONE, LINE, LONG, ROW, WIDE, SQUARE = (type_named(f"tile{shape}f") for shape in ("1", "4", "8", "1x4", "2x4", "4x4"))
TILED: tuple[tuple[Element, float], ...] = (
    *((ONE, 5.0), (LONG, 2.0), (LINE, 2.5), (SQUARE, 1.0), (WIDE, 0.5)),
    *(
        (type_named(name), share)
        for name, share in (("tile1d", 0.5), ("tile4d", 0.4), ("tile1i", 1.4), ("tile4i", 0.7))
    ),
    *((T, 0.6) for T in (*VECTOR_TILES, *SIGNAL_TILES)),
)
WITH_TILES: tuple[frozenset[Element], ...] = (
    *(frozenset({ONE, T}) for T in (LONG, LINE, ROW)),
    *(SYSTEM, frozenset({ONE, LONG, WIDE})),
    frozenset({type_named("tile1d"), type_named("tile4d")}),
    *(frozenset({type_named("tile1i"), T}) for T in (LINE, LONG, type_named("tile4i"))),
    frozenset({ONE, LINE, *VECTOR_TILES}),
    *(frozenset({T}) for T in SIGNAL_TILES),
)
MULTIPLIED: tuple[tuple[Element, float], ...] = ((SQUARE, 5.0), (WIDE, 2.0))
WITH_FACTORS: tuple[frozenset[Element], ...] = (frozenset({SQUARE}), frozenset({SQUARE, WIDE}))

SAMPLED: tuple[tuple[Element, float], ...] = ((F32, 8.0), (type_named("vec3f"), 4.0), (type_named("vec2f"), 4.5))
"""Of what there are samplers."""

FAMILIES: tuple[Family, ...] = (
    Family("arithmetic", 1, favoured=frozenset({"arithmetic"}), is_gridded=True),
    Family("math", 2, favoured=frozenset({"math"}), is_gridded=True),
    Family("conditional", 3, features=(BRANCHES,), is_gridded=True),
    Family("multi_branch", 3, features=(((branch_chain, 1.0),),), is_gridded=True),
    Family("loop", 3, features=(LOOPS,), is_gridded=True),
    Family("nested_loop", 4, features=(((loop_nested, 1.0),),), is_gridded=True),
    Family("scalar_parameter", 2, favoured=frozenset({"scalar", "arithmetic"}), is_gridded=True),
    Family("atomic_reduction", 1, leave=reduce, atomic=True, is_gridded=True),
    Family("stencil", 4, features=(((stencil, 1.0),),)),
    Family("combined", 4, features=(ANY, ANY), favoured=frozenset({"math"})),
    Family("function_library", 4, features=(CALLS, ((call_function, 2.0), (branch_update, 1.0))), is_gridded=True),
    Family("grid_stencil", 4, features=(((stencil_grid, 1.0),),), dimensions=((2, 5.0), (3, 2.0))),
    Family(
        "nested_parallel",
        3,
        features=(((branch_update, 2.0), (branch_both, 1.0), (loop_sum, 3.0)),),
        leave=store_or_reduce,
        dimensions=((2, 5.0), (3, 2.0), (4, 1.0)),
    ),
    Family("conditional_reduction", 3, leave=reduce_by_condition, atomic=True, is_gridded=True),
    Family("histogram", 3, leave=count_in_bins, atomic=True, types=((F32, 5.0), (F64, 1.0), (I32, 1.0))),
    Family("sparse_product", 4, features=(((sparse_product, 1.0),),), types=((F32, 5.0), (F64, 1.0))),
    Family("prefix_scan", 3, features=(((prefix_scan, 1.0),),), types=((F32, 5.0), (F64, 1.0), (I32, 2.0), (U32, 0.5))),
    Family(
        "graph_relaxation",
        4,
        features=(((relax_over_edge, 1.0), (relax_over_neighbours, 1.0)),),
        leave=leave_relaxed,
        types=((F32, 5.0), (F64, 1.0), (I32, 2.0)),
    ),
    Family(
        "fluid_update",
        4,
        features=(((difference, 1.0),), ((difference, 1.0), (branch_update, 0.3))),
        favoured=frozenset({"arithmetic"}),
        types=((F32, 8.0), (F64, 1.0)),
        dimensions=((2, 6.0), (3, 1.5), (1, 1.0)),
    ),
    Family("signed_distance", 4, features=(((distance, 1.0),),), types=((F32, 1.0),), company=WITH_SCALARS),
    Family("bit_mixing", 3, favoured=frozenset({"integer"}), types=tuple((T, 1.0) for T in PATTERNS), is_gridded=True),
    Family("random_sampling", 3, features=(((sample, 3.0), (monte_carlo, 2.0), (noise, 2.0)),), types=SAMPLED),
    Family(
        "vector_physics",
        2,
        favoured=frozenset({"vector"}),
        types=SPACE,
        is_gridded=True,
        company=WITH_SCALARS,
    ),
    Family(
        "struct_particle",
        4,
        features=(((state_of_motion, 1.0),),),
        favoured=frozenset({"vector"}),
        leave=moving,
        types=MOVING,
        company=WITH_SCALARS,
        structs=True,
    ),
    Family(
        "pair_force",
        5,
        features=(((pair_force, 1.0),),),
        favoured=frozenset({"vector"}),
        types=MOVING,
        company=WITH_SCALARS,
    ),
    Family(
        "matrix_vector",
        2,
        favoured=frozenset({"matrix"}),
        types=LINEAR,
        is_gridded=True,
        company=WITH_MATRICES,
        tolerance=0.3,
    ),
    Family(
        "rigid_transform", 2, favoured=frozenset({"quaternion", "transform", "spatial"}), types=RIGID, company=TURNING
    ),
    Family(
        "tile_reduction",
        3,
        features=(
            (
                (tile_reduced, 2.0),
                (row_reduced, 1.0),
                (tile_solved, 4.0),
                (tile_changed, 2.0),
                (tile_seldom, 9.0),
                (tile_folded, 0.4),
            ),
            ((tile_reduced, 1.0), (tile_seldom, 3.4), (tile_solved, 1.9), (tile_changed, 0.6)),
        ),
        favoured=frozenset({"tile"}),
        leave=store_or_add,
        types=TILED,
        company=WITH_TILES,
        tolerance=0.65,
    ),
    Family(
        "tile_gemm",
        3,
        features=(((tile_product, 1.0),),),
        favoured=frozenset({"tile"}),
        types=MULTIPLIED,
        dimensions=((2, 1.0),),
        company=WITH_FACTORS,
    ),
)


def family_named(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def families_at(depth: int) -> tuple[Family, ...]:
    """The families that have kernels of the given height or less."""
    return tuple(family for family in FAMILIES if family.least_depth <= depth)
