"""Types that modules define, as Warp has no name for them: how they are spelt, computed with, told and launched."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grammar.check import problems
from grammar.choose import Seed
from grammar.emit import emit
from grammar.families import family_named
from grammar.inputs import regular
from grammar.names import RESERVED
from grammar.params import Struct
from grammar.plain import run_plain
from grammar.serial import kernel_of, plain_of
from grammar.tree import Assign, Kernel, Outlined, Read, Var, all_terms
from grammar.types import COMPOSITES, F32, LONG_VECTORS, RECTANGULAR, Composite, Element, type_named
from tests.builders import LANES, OUT, I, array, do, kernel, out, put, samples, scalar
from tests.proving import verified
from tests.reading import Reader

M23, M32, V2, V3, V5 = map(type_named, ("mat23f", "mat32f", "vec2f", "vec3f", "vec5f"))


def read(name: str, type: Element) -> Read:
    return Read(name, I, type)


MAPPED = kernel(
    (array("jacobians", M23), array("points", V3), scalar("frame", M23), out("mapped", V2)),
    put("mapped", do("mul", do("add", read("jacobians", M23), Var("frame", M23)), read("points", V3))),
    name="apply",
)
TURNED = kernel(
    (array("jacobians", M23), out("squares", type_named("mat22f"))),
    put("squares", do("mul", read("jacobians", M23), do("transpose", read("jacobians", M23)))),
    name="square",
)
LONG = kernel(
    (array("states", V5), OUT),
    put("out", do("dot", do("normalize", read("states", V5)), read("states", V5))),
    name="measure",
)
HELD = replace(
    kernel(
        (replace(scalar("params.frame", M23), low=-1.0), array("points", V3), out("mapped", V2)),
        put("mapped", do("mul", Var("params.frame", M23), read("points", V3))),
        name="map_held",
    ),
    structs=(Struct("params", "Params"),),
)
HANDED = kernel(
    (array("jacobians", M23), array("points", V2), out("mapped", V3)),
    Assign("turned", do("transpose", read("jacobians", M23))),
    Outlined("write_mapped", (put("mapped", do("mul", Var("turned", M32), read("points", V2))),)),
    name="hand_over",
)
BY_HAND = (MAPPED, TURNED, LONG, HELD, HANDED)


def test_the_module_defines_what_is_written_in_it() -> None:
    assert emit(MAPPED) == (
        "import warp as wp\n\nmat23 = wp.types.matrix(shape=(2, 3), dtype=float)\n\n\n@wp.kernel\n"
        "def apply(\n    jacobians: wp.array[mat23],\n    points: wp.array[wp.vec3],\n    frame: mat23,\n"
        "    mapped: wp.array[wp.vec2],\n):\n"
        "    i = wp.tid()\n    mapped[i] = (jacobians[i] + frame) * points[i]\n"
    )
    assert "vec5 = wp.types.vector(length=5, dtype=float)\n" in emit(LONG)
    assert "mat32" not in emit(TURNED), "which nobody names"


@pytest.mark.parametrize("by_hand", BY_HAND, ids=lambda one: one.name)
def test_it_is_read_back_and_stored(by_hand: Kernel) -> None:
    assert problems(by_hand) == ()
    assert kernel_of(plain_of(by_hand)) == by_hand
    if not by_hand.structs:
        assert Reader(emit(by_hand)).body == by_hand.body


def test_matrices_are_multiplied_as_they_are_elsewhere() -> None:
    inputs = regular(TURNED, Seed(1), LANES)
    given = inputs.arrays["jacobians"].reshape(-1, 2, 3).astype(np.float64)
    got = run_plain(TURNED, inputs).arrays["squares"].reshape(-1, 2, 2)
    assert np.allclose(got, given @ given.transpose(0, 2, 1), rtol=1e-5)


@pytest.mark.warp
def test_warp_does_the_same_and_its_adjoint_is_right() -> None:
    verified(BY_HAND)


@pytest.mark.warp
def test_a_reproducer_of_a_finding_knows_the_type(tmp_path: Path) -> None:
    from validate.findings import Finding, save
    from validate.verdict import Outcome

    path = save(tmp_path, Finding(Outcome.VALUE, "mapped[0]: expected 1 within 0, got 2", MAPPED, 5, LANES))
    done = subprocess.run([sys.executable, str(path.with_suffix(".py"))], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1, "nothing is wrong with it"


def test_no_local_has_its_name() -> None:
    assert {type.spelling for type in COMPOSITES if type.is_own} == {T.spelling for T in (*LONG_VECTORS, *RECTANGULAR)}
    assert {type.spelling for type in COMPOSITES if type.is_own} <= RESERVED


def test_kernels_about_them_are_grown_and_others_keep_to_their_own() -> None:
    about = [T for T, _ in family_named("matrix_vector").types if isinstance(T, Composite) and T.is_own]
    assert set(about) == {*LONG_VECTORS, *RECTANGULAR}
    used = [{term.type for term in all_terms(sample.kernel)} for sample in samples(2)]
    assert sum(any(T.is_own for T in types) for types in used) > 10
    (kin,) = {family_named("matrix_vector").kin(lambda _: 0, type_named("mat33f"))}
    assert not any(T.is_own for T in kin)
    assert {M32, V2, V3, F32} <= family_named("matrix_vector").kin(lambda _: 0, M23)
