"""Loops over the scalars of a composite: `for k in range(len(v))`."""

from __future__ import annotations

import numpy as np
import pytest

from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.families import Family
from grammar.folds import loop_parts
from grammar.grow import grow
from grammar.inputs import regular
from grammar.plain import run_plain
from grammar.profiles import profile
from grammar.tree import Apply, For, Kernel, Read, Var, all_statements
from grammar.types import F32, I32, Composite, Element, type_named
from tests.builders import LANES, OUT, I, array, change, do, kernel, let, loop, number, put, var
from tests.lane_by_lane import lane_by_lane
from tests.proving import verified
from tests.reading import Reader


def folded(type: Element) -> Kernel:
    """The sum of the squares of its scalars, of a matrix of those on its diagonal."""
    assert isinstance(type, Composite)
    whole, k = Var("v", type), Var("k", I32)
    each = do("extract", whole, *[k] * len(type.shape))
    return kernel(
        (array("values", type), OUT),
        let("v", Read("values", I, type)),
        let("s", number(0.0)),
        loop("k", do("len", whole), change("s", "add", do("mul", each, each))),
        put("out", var("s")),
        name=f"fold_{type.name}",
    )


KINDS = tuple(map(type_named, ("vec3f", "quatf", "mat33f", "transformf", "spatial_vectorf", "tile4f")))


@pytest.mark.parametrize("type", KINDS, ids=repr)
def test_every_scalar_takes_part(type: Composite) -> None:
    by_hand = folded(type)
    assert problems(by_hand) == ()
    assert "for k in range(len(v)):" in emit(by_hand)
    assert Reader(emit(by_hand)).body == by_hand.body
    inputs = regular(by_hand, Seed(1), LANES)
    got = run_plain(by_hand, inputs).arrays["out"]
    given = inputs.arrays["values"].reshape(-1, *type.shape).astype(np.float64)
    scalars = given if given.ndim == 2 else np.diagonal(given, axis1=1, axis2=2)
    assert np.allclose(got.reshape(-1), (scalars**2).sum(axis=-1), rtol=1e-5)
    assert np.array_equal(got, lane_by_lane(by_hand, inputs)[0]["out"])


@pytest.mark.warp
def test_warp_does_the_same_and_its_adjoint_is_right() -> None:
    verified([folded(type) for type in KINDS])


def over_parts(one: Kernel) -> list[Composite]:
    """Over what the loops of a kernel run that end where a composite does."""
    stops = [stmt.stop for stmt in all_statements(one) if isinstance(stmt, For)]
    return [
        stop.args[0].type
        for stop in stops
        if isinstance(stop, Apply) and stop.op.name == "len" and isinstance(stop.args[0].type, Composite)
    ]


def test_loops_over_parts_are_grown() -> None:
    family = Family("loop", 3, features=(((loop_parts, 1.0),),), types=((F32, 1.0),))
    found = [grow(seeded(seed), family, profile("natural"), 4, seed, LANES) for seed in map(Seed, range(60))]
    over = [type for one in found if one is not None for type in over_parts(one)]
    assert len(over) >= 30
    assert {"vector", "quaternion"} <= {type.kind for type in over}
    assert all(problems(one) == () for one in found if one is not None)
