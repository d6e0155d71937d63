"""Warp's builtins as Warp itself lists them, and which of them are out of scope, with the reason.

The key insight: the list is data (`python -m extract.registry` makes it from the installed Warp), so that what isn't in
the table can't be forgotten: it is either given a reason here or counted as absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grammar.ops import OUT_OF_SCOPE as BY_TABLE

DATA = Path(__file__).parent / "data" / "registry.json"

INTERNAL = "not documented: what Python's syntax becomes (range, indexing, slices), or code generation writes"
STRUCTURES = "inputs are whole data structures, and results have no short reference"
NO_VALUE = "no value to check"
FABRIC = "arrays of Omniverse Fabric, which are not there without Omniverse"

GROUPS: Mapping[str, str] = dict.fromkeys(("Geometry", "Volumes", "Textures"), STRUCTURES)
PREFIXES: Mapping[str, str] = dict.fromkeys(("tile_bvh_", "tile_mesh_", "tile_query_"), STRUCTURES)
NAMES: Mapping[str, str] = {
    **dict.fromkeys(("print", "printf", "breakpoint", "expect_eq", "expect_neq", "expect_near"), NO_VALUE),
    "lower_bound": "set aside: its argument has to be a sorted array",
    "select": "removed from Warp: where has taken its place",
    "array": "makes an array of a raw pointer",
    "tile_empty": "what is in it is undefined until it is given a value",
    **dict.fromkeys(
        ("tile_stack", "tile_stack_push", "tile_stack_pop", "tile_stack_clear", "tile_stack_count"),
        "what is on top depends on the order in which the threads of a block push",
    ),
    **dict.fromkeys(
        ("block_dim", "tile_randf", "tile_randi", "tile_scatter_add", "tile_scatter_masked"),
        "what it comes to depends on how many threads a block has",
    ),
    "inverse_approx": BY_TABLE["div_approx"],
    "matrix(vec[3, Float],quat[Float],vec[3, Float],Float)": "removed from Warp: transform_compose has taken its place",
}
"""Builtins and signatures out of scope, beside those of whole groups and those that `grammar.ops` leaves out."""
TYPES: Mapping[str, str] = dict.fromkeys(("fabricarray", "indexedfabricarray"), FABRIC)
"""Parameters that make a signature out of scope, beside the types that `grammar.ops` leaves out."""
STRUCTURE_TYPES = ("wp.Mesh", "wp.Bvh", "wp.HashGrid", "wp.Volume", "wp.Texture")
"""Beginnings of names, such as `wp.MeshQueryRay`, of what belongs to the groups that are out of scope."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a builtin."""

    name: str
    group: str
    params: tuple[tuple[str, str], ...]
    """Names and types, as `extract.registry` writes them."""
    optional: frozenset[str]
    results: int
    hidden: bool
    """Warp doesn't document the builtin."""

    @property
    def out_of_scope(self) -> str:
        """Why it is, or nothing."""
        if self.hidden and self.group != "Scalar Math":  # where the casts are, under the names of types
            return NAMES.get(self.name, INTERNAL)
        types = [type for _, type in self.params]
        key = f"{self.name}({','.join(types)})"
        reasons = [GROUPS.get(self.group), *(table.get(k) for table in (NAMES, BY_TABLE) for k in (self.name, key))]
        reasons += [reason for beginning, reason in PREFIXES.items() if self.name.startswith(beginning)]
        reasons += [TYPES.get(type) or BY_TABLE.get(type) for type in types]
        return next(filter(None, reasons), "")

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}: {type}' for name, type in self.params)})"


@cache
def signatures() -> tuple[Signature, ...]:
    """All that the registry lists."""
    builtins = json.loads(DATA.read_text(encoding="utf-8"))["builtins"]
    return tuple(
        Signature(
            name,
            entry["group"],
            tuple(entry["params"].items()),
            frozenset(entry.get("optional", ())),
            entry.get("results", 1),
            builtin["hidden"],
        )
        for name, builtin in builtins.items()
        for entry in builtin["signatures"]
    )


@cache
def warp_version() -> str:
    """The version of Warp whose registry it is."""
    version: str = json.loads(DATA.read_text(encoding="utf-8"))["warp"]
    return version


def is_out_of_scope(construct: str) -> bool:
    """Whether a construct (`grammar.constructs`) calls or takes what is out of scope for good."""
    name = construct.rpartition(": ")[2].partition("(")[0]
    is_builtin = construct.startswith("wp.") and name.removeprefix("wp.") in _names_out_of_scope()
    return is_builtin or any(type in construct for type in STRUCTURE_TYPES)


@cache
def _names_out_of_scope() -> frozenset[str]:
    """Builtins of which no signature is in scope."""
    within = {signature.name for signature in signatures() if not signature.out_of_scope}
    return frozenset(signature.name for signature in signatures()) - within
