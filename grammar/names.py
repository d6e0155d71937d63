"""Names for kernels, parameters and locals, by what the thing named is for.

The key insight: a name is a draw like any other. Each role has one tuple, the commonest name of real kernels first, and
a draw is skewed towards its head, so kernels read as people write them and shrinking ends at the plainest name.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from itertools import count
from typing import Literal, NamedTuple, get_args

from grammar.choose import Choose
from grammar.natural import natural_data
from grammar.types import COMPOSITES, Kind

NameRole = Literal[
    "kernel",
    "bits_kernel",
    "array_in",
    "array_positive",
    "array_int",
    "array_bits",
    "array_index",
    "array_out",
    "scalar",
    "scalar_positive",
    "count",
    "int_scalar",
    "bits_scalar",
    "flag",
    "function",
    "energy",
    "passed",
    "parameter",
    "index",
    "constant",
    "whole_constant",
    "random_state",
    "position",
    "velocity",
    "time_step",
    "array_offsets",
    "array_shares",
    "range_start",
    "range_end",
    "array_count",
    "array_kept",
    "slot",
    "claim",
    "vector_in",
    "vector_param",
    "matrix_in",
    "matrix_param",
    "quaternion_in",
    "quaternion_param",
    "transform_in",
    "transform_param",
    "twist_in",
    "twist_param",
    "tile_in",
    "tile_param",
    "local",
    "local_vector",
    "local_matrix",
    "local_quaternion",
    "local_transform",
    "local_twist",
    "local_tile",
    "view",
    "local_int",
    "local_bits",
    "local_bool",
    "loop",
    "thread",
    "accumulator",
    "least",
    "greatest",
]

ROLES: tuple[NameRole, ...] = get_args(NameRole)

GRIDS: tuple[tuple[str, ...], ...] = (
    *(("i", "j", "k", "l"), ("x", "y", "z", "w"), ("row", "col", "layer", "channel"), ("tx", "ty", "tz", "tw")),
)
"""What the indices of a grid of threads are called together."""


class StructNames(NamedTuple):
    """What a struct is called: where it is passed, its class, and one of several."""

    path: str
    name: str
    one: str = ""


def _structs(text: str) -> tuple[StructNames, ...]:
    return tuple(StructNames(*words.split()) for words in text.split(","))


SETTINGS = _structs(
    "params Params, sim SimParams, args Args, config Config, settings Settings, model Model, props Properties,"
    " solver SolverParams, material Material, env Environment, opts Options, limits Limits"
)
"""Structs of numbers."""
STATES = _structs(
    "state State, model Model, data Data, system System, mesh Mesh, body_state BodyState, fields Fields, sim SimState,"
    " buffers Buffers, inputs Inputs, cloth Cloth, fluid Fluid"
)
"""Structs of arrays."""
WITHIN = _structs("material Material, bounds Bounds, rest RestState, integrator Integrator, grid Grid, drag Drag")
"""Structs within these."""
RECORDS = _structs(
    "particles Particle particle, bodies Body body, points Point point, cells Cell cell, nodes Node node,"
    " agents Agent agent, samples Sample sample, rays Ray ray, items Item item, springs Spring spring,"
    " vertices Vertex vertex, contacts Contact contact, elements Element element, records Record record"
)
"""Arrays of structs."""
RESULTS = _structs(
    "results Result r, out Output o, output Output o, states State s, responses Response r, estimates Estimate e,"
    " outputs Result r, updates Update u"
)
"""Arrays of structs that are written."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


RESERVED = frozenset(keyword.kwlist) | {
    *_words("wp warp np float int bool range min max abs round sum len pow print type map filter match case"),
    *(type.spelling for type in COMPOSITES if type.is_own),
}
"""What no name may be: it would not parse, shadow what kernels call, or read oddly."""

VERBS = _words(
    "compute update apply integrate scale accumulate evaluate sum add reduce init advance blend clamp sample"
    " gather project smooth normalize correct damp diffuse estimate combine fill decay transform solve measure"
    " propagate limit step weigh relax mix shift predict collect resolve"
)

NOUNS = _words(
    "forces velocity density energy values positions pressure loss gradient weights distance mass residual field"
    " error temperature flux height cost potential divergence rates samples state momentum stress strain charge signal"
    " noise profile response contacts springs particles points heat concentration velocities speed phase amplitude"
    " thickness depth angles torque drag lift stiffness damping volume area curvature vorticity kernel_weights"
    " boundary neighbors moments errors costs distances penalties activations targets offsets intensity brightness"
    " opacity transmittance humidity altitude viscosity friction work power score rewards probabilities"
)

MIXING_VERBS = _words("hash mix scramble encode shuffle combine advance update pack fold seed")
MIXED_NOUNS = _words("keys seeds states cells bits codes words ids hashes indices values masks samples streams buckets")
"""What kernels are called that take integers for patterns of bits."""

CURATED: Mapping[NameRole, tuple[str, ...]] = {
    "array_in": _words(
        "x y a b u v values data input z src w field vel pos q p f velocity position force inputs samples signal"
        " grad targets source velocities positions forces heights pressure phi s r h target angles e state points"
        " divergence potential slope"
    ),
    "array_positive": _words(
        "mass density radius weights inv_mass rho distance volume stiffness area depth temperature lengths thickness"
        " rest_length viscosity masses densities radii speeds energy widths concentration ages damping"
    ),
    "array_int": _words(
        "values counts ids labels levels a b data keys codes weights x y pixels src image samples cells tags ranks bins"
        " offsets lengths depth colors classes masks"
    ),
    "array_bits": _words("keys seeds states hashes words bits codes x a b data ids src streams masks values tokens"),
    "array_index": _words(
        "indices index neighbors parent ids cells parents offsets edges order permutation nodes"
        " columns bins slots face_indices particle_index neighbor_index"
    ),
    "array_out": _words(
        "out result output y dst results outputs loss total energy out_values values_out x_new force next_values"
        " new_values residual dest u_new flux cost updated sums score rates"
    ),
    "scalar": _words(
        "alpha scale beta s offset k c bias threshold gain shift value factor t theta coeff x0 a b target center"
        " origin phase slope lower upper level gravity amplitude"
    ),
    "scalar_positive": _words(
        "dt radius eps mass damping h margin sigma stiffness gamma width max_value cell_size length tolerance inv_dt dx"
        " viscosity density temperature rate decay frequency spacing limit"
    ),
    "count": _words("n count num_points size num_particles length dim num_elements total_count limit num num_cells"),
    "int_scalar": _words(
        "offset value step axis seed steps stride num_iters k m start order width degree window iterations num_steps"
        " substeps level bins rank period"
    ),
    "bits_scalar": _words("seed salt key mask state stride prime k offset base"),
    "flag": _words("mask enabled active flags valid fixed use_bias is_active visible clamped"),
    "function": _words(
        "falloff kernel_weight smooth_step activation potential spring_force blend soft_clip energy_density window"
        " compute_force sample_field weight response stress limiter damping eval_profile drag_force remap attenuation"
        " shape_function stiffness_term penalty density_at flux_term basis transfer squash pressure_of growth_rate"
        " contact_force residual_of normal_stress ease reflect_value mobility"
    ),
    "energy": _words(
        "energy potential strain_energy elastic_energy loss objective cost barrier penalty_energy bending_energy"
        " distance phi psi lagrangian hamiltonian log_likelihood potential_energy signed_distance residual_norm"
    ),
    "passed": _words("f fn func g op phi callback inner"),
    "array_offsets": _words("offsets row_offsets starts indptr row_ptr cell_start bsr_offsets neighbor_offsets"),
    "array_shares": _words("cdf cumulative cum_weights weight_cdf light_cdf area_cdf cdf_values"),
    "position": _words("x pos q position p"),
    "velocity": _words("v vel qd velocity u"),
    "time_step": _words("dt h time_step step_size delta_t"),
    "range_start": _words("start begin row_start first lo k0"),
    "range_end": _words("end stop row_end last hi k1"),
    "array_count": _words("count counter num_found num_active counts total_count num_hits out_count num_pairs"),
    "array_kept": _words(
        "out_indices found active selected indices_out hits kept ids_out survivors candidates compacted"
    ),
    "claim": _words("old prev was previous seen_before before first visited_before"),
    "slot": _words("slot idx index offset pos out_idx k write_index dest n"),
    "constant": _words(
        "SCALE STIFFNESS DT EPSILON GRAVITY DAMPING RADIUS THRESHOLD OFFSET BIAS GAMMA ALPHA BETA RATE WIDTH DENSITY"
        " VISCOSITY MARGIN SPACING DECAY GAIN LIMIT MASS LENGTH FRICTION COEFF WEIGHT RELAXATION"
    ),
    "whole_constant": _words(
        "N NUM_STEPS COUNT DIM WINDOW MAX_ITERS STRIDE BLOCK LEVELS DEGREE ORDER NUM_SAMPLES OFFSET"
    ),
    "random_state": _words("state rng rand_state seed_state random_state"),
    "index": _words("i index j idx k at"),
    "parameter": _words("x y a b t r s d u v h c k alpha scale radius value e w rate mass length theta z"),
    "vector_in": _words(
        "x p pos v vel positions velocities points vertices normals forces particle_q particle_qd f q a b targets"
        " directions offsets gradients displacements momenta centers anchors origins tangents"
    ),
    "vector_param": _words("gravity offset center origin axis direction wind scale target g up normal lower upper dx"),
    "matrix_in": _words(
        "R F A B M m mats matrices rotations inertia jacobians grads deformation_gradients stresses strains C basis"
        " inv_inertia rest_shapes frames tensors covariances hessians"
    ),
    "matrix_param": _words("R A M basis inertia view projection rotation transform frame stiffness B"),
    "local_matrix": _words("R F A m M J S C E K inertia strain stress rot W grad_u sigma basis cov metric H"),
    "quaternion_in": _words("q rot rotations orientations quats body_rot r q0 q1 frames joint_rot attitudes"),
    "quaternion_param": _words("q rot rotation orientation offset_rot q0 q_ref turn delta"),
    "local_quaternion": _words("q r dq q_rel q_new rot qa qb twist turn q_inv r0 q_err swing"),
    "transform_in": _words("body_q poses transforms xforms X_wb frames joint_X shape_transform X_pj xf a b"),
    "transform_param": _words("xform X X_ws pose offset frame world_transform tf camera base"),
    "local_transform": _words("X t xform X_wb X_rel tf pose X_ij X_inv local world"),
    "twist_in": _words("body_qd body_f twists wrenches qd f_ext v_s joint_S spatial_forces motions S"),
    "twist_param": _words("twist wrench qd f_ext motion S screw"),
    "local_twist": _words("v_s f_s t qd wrench v_j a_s f h total_f dv twist"),
    "tile_in": _words("x a b A B input data src y values weights rows inputs lhs rhs left right u v signal samples"),
    "tile_param": _words("alpha beta scale gain w t"),
    "local_tile": _words("t a b x y s tile z u v acc c r w p q row block part out"),
    "view": _words("row line cells entries samples row_values neighbors coeffs values_row"),
    "local_vector": _words(
        "p v d x n dir delta r pos vel diff q f a b axis normal force offset e c u t w xi xj rel tangent center grad"
    ),
    "local": _words(
        "x y a d s r w t value v result u dx z f xi diff h c e p g b q scale weight temp norm val dist delta err ratio"
        " force rate term vel factor residual phi left right center base slope decay blend length energy mid"
    ),
    "local_int": _words("idx j k index m n count offset left right start step row col cell lo hi level"),
    "local_bits": _words("h x key hash state k bits v seed mixed z code word n acc t lo hi mask"),
    "local_bool": _words("inside active found valid is_valid done hit outside positive keep near flag above"),
    "loop": _words("i j k it step n m s level"),
    "thread": ("tid", "i", "idx", "index", "thread_id"),
    "least": _words("best nearest lowest min_value smallest closest min_dist"),
    "greatest": _words("best peak highest max_value largest farthest"),
    "accumulator": _words("total acc s result sum_x accum value energy sum_w out_value running mean weighted"),
}


COMPOSITE_ROLES: Mapping[Kind, tuple[NameRole, NameRole, NameRole]] = {
    "vector": ("vector_in", "vector_param", "local_vector"),
    "matrix": ("matrix_in", "matrix_param", "local_matrix"),
    "quaternion": ("quaternion_in", "quaternion_param", "local_quaternion"),
    "transform": ("transform_in", "transform_param", "local_transform"),
    "twist": ("twist_in", "twist_param", "local_twist"),
    "tile": ("tile_in", "tile_param", "local_tile"),
}
"""Of arrays, of other parameters and of locals."""

REFINES: Mapping[NameRole, NameRole] = {"array_positive": "array_in", "scalar_positive": "scalar"}
"""Roles that how a kernel is written doesn't tell from a wider one; what the wider one counts ranks their words."""

WIDENED: tuple[NameRole, ...] = ("array_in", "array_out", "scalar", "local", "local_int", "loop")
"""Roles that take words from real kernels. For the others the fit only ranks the words picked by hand."""
ENOUGH_FILES = 5


def name_for(role: NameRole, choose: Choose, taken: Set[str]) -> str:
    """A name for `role` that is neither in `taken` nor reserved, drawn through `choose` and skewed to common names.

    When the role's words are used up, its commonest words are numbered (`x1`, `y1`, …, `x2`, …), without a draw.
    """
    if role == "kernel":
        return _kernel_name(verbs(), NOUNS, choose, taken)
    if role == "bits_kernel":
        return _kernel_name(MIXING_VERBS, MIXED_NOUNS, choose, taken)
    free = [word for word in vocabulary(role) if word not in taken]
    return free[_skewed(choose, len(free))] if free else _numbered(vocabulary(role), taken)


@cache
def vocabulary(role: NameRole) -> tuple[str, ...]:
    """The words of a role other than `kernel`, the commonest in real kernels first, without what is reserved."""
    files = _files_with(REFINES.get(role, role))
    fitted = [word for word, seen in files.items() if seen >= ENOUGH_FILES and role in WIDENED]
    words = [word for word in dict.fromkeys([*CURATED[role], *fitted]) if word not in RESERVED]
    unfit = _unfit(role) - set(CURATED[role])
    return tuple(sorted((word for word in words if word not in unfit), key=lambda word: -files.get(word, 0)))


def _unfit(role: NameRole) -> set[str]:
    """Fitted words that say something else: that the value is positive, an output, or of a type we don't grow."""
    narrower = {word for narrow, wide in REFINES.items() if wide == role for word in CURATED[narrow]}
    return narrower | set(CURATED["array_out"] if role == "array_in" else ()) | {"face", "face_index", "eps"}


SINGULARS = (
    *(("ices", "ex"), ("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x")),
    *(("ss", None), ("us", None), ("is", None), ("bias", None), ("pos", None), ("s", "")),
)
"""How words of more than one end, and what that becomes."""
ODD_SINGULARS = {"vertices": "vertex", "matrices": "matrix", "indices": "idx"}


def singular(word: str) -> str | None:
    """`force` for `forces`; None where the word is none of more than one, or what it becomes is reserved."""
    ending, other = next(((e, o) for e, o in SINGULARS if word.endswith(e)), ("", None))
    name = ODD_SINGULARS.get(word) or (None if other is None or not ending else word[: -len(ending)] + other)
    return name if name is not None and len(name) > 2 and name not in RESERVED else None


@cache
def verbs() -> tuple[str, ...]:
    """What kernel names begin with, those that are commonest in real kernels first."""
    files = _files_with("verb")
    return tuple(sorted(VERBS, key=lambda verb: -files.get(verb, 0)))


def _files_with(role: str) -> Mapping[str, int]:
    names: Mapping[str, int] = natural_data()["names"].get(role, {})
    return names


def _kernel_name(first: Sequence[str], second: Sequence[str], choose: Choose, taken: Set[str]) -> str:
    name = f"{first[_skewed(choose, len(first))]}_{second[_skewed(choose, len(second))]}"
    return name if name not in taken else _numbered((name,), taken)


def _skewed(choose: Choose, n: int) -> int:
    """An index in `range(n)`; index i comes with probability (1/n) · Σ 1/k for k from i + 1 to n."""
    return choose(choose(n) + 1)


def _numbered(words: tuple[str, ...], taken: Set[str]) -> str:
    numbered: Iterator[str] = (f"{word}{k}" for k in count(1) for word in words)
    return next(name for name in numbered if name not in taken)
