"""Kinds of values, by which operations are counted in real kernels and weighed when kernels are grown.

The key insight: what people write says `v * 2.0`, not which of the rows of the table it is. So operations are counted
by a name and the most structured kind among what they take, and rows of all widths share what is counted for their
kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SCALAR_KINDS = ("float", "int", "bool")
COMPOSITE_KINDS = ("transform", "twist", "matrix", "quaternion", "vector")
"""The most structured first."""
KINDS = (*COMPOSITE_KINDS, *SCALAR_KINDS)


def scalar_kind(name: str) -> str:
    """Of a scalar type of any width, such as `uint8`; empty if it is none."""
    return next((kind for kind in SCALAR_KINDS if kind in name), "")


def strongest(kinds: Iterable[str]) -> str:
    """The most structured of the kinds; empty where none is known, or where only scalars are known and not all."""
    found = set(kinds)
    known = next((kind for kind in COMPOSITE_KINDS if kind in found), "")
    return known or ("" if "" in found else next((kind for kind in SCALAR_KINDS if kind in found), ""))


def _types() -> Mapping[str, tuple[str, str]]:
    shapes = {
        **{f"vec{n}": "vector" for n in (2, 3, 4)},
        **{f"mat{n}{n}": "matrix" for n in (2, 3, 4)},
        "quat": "quaternion",
        "transform": "transform",
        "spatial_vector": "twist",
        "spatial_matrix": "matrix",
    }
    return {f"{name}{suffix}": (name, kind) for name, kind in shapes.items() for suffix in ("", "f", "d", "h")}


COMPOSITES: Mapping[str, tuple[str, str]] = _types()
"""Composites of floats as they are spelt in kernels, behind `wp.`: the name without the width, and the kind."""


def type_spelt(spelling: str) -> str:
    """The name of the composite that is spelt so, such as `vec3f` for `vec3`."""
    return f"{spelling}f" if COMPOSITES[spelling][0] == spelling else spelling


_RESULTS = {
    "float": "length length_sq dot determinant trace ddot norm_l1 norm_l2 norm_huber norm_pseudo_huber spatial_dot"
    " quat_twist_angle quat_twist_angle_signed",
    "vector": "normalize smooth_normalize cross get_diag quat_rotate quat_rotate_inv quat_to_rpy transform_point"
    " transform_vector transform_get_translation spatial_top spatial_bottom velocity_at_point",
    "matrix": "transpose inverse outer diag skew identity matrix_from_rows matrix_from_cols quat_to_matrix"
    " transform_to_matrix spatial_adjoint",
    "quaternion": "quat_identity quat_from_axis_angle quat_from_euler quat_from_matrix quat_inverse quat_rpy quat_slerp"
    " quat_twist transform_get_rotation",
    "transform": "transform_identity transform_inverse transform_multiply transform_compose transform_from_matrix",
    "twist": "spatial_cross spatial_cross_dual transform_twist transform_wrench",
}
RESULTS: Mapping[str, str] = {name: kind for kind, names in _RESULTS.items() for name in names.split()}
"""Kinds of what builtins of composites give."""

_ABOUT = (("quat_", "quaternion"), ("transform_", "transform"), ("spatial_", "twist"))
_MATRIX_CALLS = ("determinant", "trace", "ddot", "transpose", "inverse", "diag", "get_diag", "identity")


def subject(name: str) -> str:
    """The kind that a builtin of composites is about, where its arguments don't tell."""
    about = next((kind for prefix, kind in _ABOUT if name.startswith(prefix)), "vector")
    return "matrix" if name in _MATRIX_CALLS else about


def product(first: str, second: str) -> str:
    """The kind of `first * second`, which other operators have in common: `m * v` is a vector, `t * t` a transform."""
    if {first, second} == {"matrix", "vector"}:
        return "vector"
    return strongest([first, second])
