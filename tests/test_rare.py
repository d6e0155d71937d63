"""Kernels grown around a row that people seldom use.

The key insight: the row is drawn apart from everything else, so a test draws it itself and asks whether it is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import grammar.grow
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.components import has_parts
from grammar.families import FAMILIES, Family
from grammar.gaps import TESTS
from grammar.grow import grow
from grammar.inputs import regular
from grammar.op import Item, Op
from grammar.ops import ROWS, TABLE
from grammar.plain import run_plain
from grammar.profiles import counted_as, profile
from grammar.rare import COMMON, DONE_ELSEWHERE, main_for, rare
from grammar.tree import Apply, Kernel, all_terms
from grammar.types import BOOL, COMPOSITES
from tests.builders import LANES

NATURAL = profile("natural")


def drawn(family: Family, count: int) -> list[Op]:
    rows = (rare(seeded(Seed(seed)), family, NATURAL) for seed in range(count))
    return [row for row in rows if row is not None]


def test_a_share_of_kernels_is_grown_around_a_row() -> None:
    """But of those on tiles."""
    by_family = [rows for rows in (drawn(family, 200) for family in FAMILIES) if rows]
    assert len(by_family) == len(FAMILIES) - sum(family.name.startswith("tile_") for family in FAMILIES)
    assert 0.4 < sum(map(len, by_family)) / (200 * len(by_family)) < 0.5


def test_operations_that_are_seldom_used_are_as_likely_as_each_other() -> None:
    """Over all families, and but for those that have none: of nearly all names there are some in thousands of draws."""
    rows = [row for family in FAMILIES for row in drawn(family, 400)]
    names = Counter(row.name for row in rows)
    often = {row.name for row in TABLE if NATURAL.operations.get(counted_as(row), 0.0) >= COMMON}
    families = [family for family in FAMILIES if drawn(family, 20)]
    wanted = {row.name for row in TABLE if row.params and any(main_for(family, row) for family in families)}
    assert len(wanted - often - DONE_ELSEWHERE) > 110
    assert len(wanted - often - DONE_ELSEWHERE - names.keys()) <= 20
    assert not any(NATURAL.operations.get(counted_as(row), 0.0) >= COMMON for row in rows)


def test_what_is_switched_off_is_not_drawn() -> None:
    family = FAMILIES[0]
    off = frozenset(row.name for row in drawn(family, 100))
    quiet = replace(NATURAL, off=off)
    assert all(rare(seeded(Seed(seed)), family, quiet) is None for seed in range(100))


def test_a_kernel_is_about_what_the_row_takes_or_gives() -> None:
    for family in FAMILIES:
        for row in drawn(family, 100):
            main = main_for(family, row)
            assert main in (row.result, *row.params)
            assert main is not BOOL
            assert not family.types or main in dict(family.types)


@pytest.mark.parametrize(
    ("family", "keys"),
    [
        ("loop", ("cw_mul(vec3f,vec3f)", "quat_rotate(quatf,vec3f)", "argmax(vec3f)", "degrees(float32)")),
        ("stencil", ("int8(float32)", "bit_and(uint32,uint32)", "copysign(float64,float64)")),
        ("atomic_reduction", ("cbrt(float32)", "dot(vec3f,vec3f)")),
        ("conditional", ("where(bool,vec2f,vec2f)", "less(float32,float32)", "isnan(float32)", "isfinite(vec3f)")),
        ("rigid_transform", ("isfinite(quatf)",)),
        ("combined", ("isnan(float64)", "isinf(float32)")),
    ],
)
def test_the_row_is_there(family: str, keys: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for key in keys:
        row = ROWS[key]
        monkeypatch.setattr(grammar.grow, "rare", lambda *_, row=row: row)
        kernels = [_grown(family, seed) for seed in range(3)]
        assert any(_holds(kernel, row) for kernel in kernels), key


@pytest.mark.parametrize("name", sorted(TESTS))
def test_what_tells_missing_data_is_launched_with_some(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else sees what is missing: the outputs are numbers."""
    row = ROWS[f"{name}(float32)"]
    monkeypatch.setattr(grammar.grow, "rare", lambda *_: row)
    for seed in range(8):
        kernel = _grown("combined", seed)
        if _holds(kernel, row):
            gaps = [param for param in kernel.params if param.role in TESTS[name]]
            inputs = regular(kernel, seed, LANES)
            assert not any(np.isfinite(inputs.arrays[gap.name]).all() for gap in gaps)
            assert len(gaps) == 1
            plain = run_plain(kernel, inputs)
            for p in kernel.params:
                assert not p.is_output or np.isfinite(plain.arrays[p.name][plain.written[p.name]]).all()


def _grown(family: str, seed: int) -> Kernel:
    wanted = next(one for one in FAMILIES if one.name == family)
    kernel = grow(seeded(Seed(seed)), wanted, NATURAL, 5, seed, LANES)
    assert kernel is not None
    assert problems(kernel) == ()
    return kernel


def _holds(kernel: Kernel, row: Op) -> bool:
    return any(isinstance(term, Apply) and term.op is row for term in all_terms(kernel))


def test_what_is_put_together_by_scalars_can_be_taken_apart() -> None:
    """Of each type that is assigned to one scalar at a time, a scalar can be read."""
    taken_apart = {op.params[0] for op in TABLE if op.name == "extract" and isinstance(op.spelling, Item)}
    assert {type for type in COMPOSITES if has_parts(type)} <= taken_apart
