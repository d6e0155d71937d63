"""Findings on disk: they come back whole, and their programs exit 0 exactly while the bug stands."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from extract.options import CompileOptions
from grammar.errors import UserError
from grammar.inputs import REGULAR_SETS
from grammar.ops import ROWS
from grammar.params import Struct
from grammar.serial import plain_of
from grammar.tree import Apply, Break, Kernel
from grammar.types import BF16, COMPOSITES, F32, I32, type_named
from synth.findings import FOLDER, save_finding
from synth.result import Finding as Found
from synth.settings import Settings
from tests.builders import LANES, OUT, I, X, array, at, change, do, ints, kernel, let, loop, out, put, scalar, var, when
from tests.test_imports import ROOMS, roots
from validate import reproducer_driver as driver
from validate.findings import Finding, case_of, finding_of, load, plain_finding, reproducer, save
from validate.verdict import Outcome

V2, V3 = type_named("vec2d"), type_named("vec3f")
RIGHT = kernel((X, OUT), put("out", do("mul", at("x"), 3.0)), name="right")
EARLY = kernel(
    (X, scalar("n", I32, 3, 6), OUT),
    let("total", 0.0),
    loop("j", ints("n"), when(do("equal", ints("j"), 2), Break()), change("total", "add", at("x"))),
    put("out", var("total")),
    name="leaves_early",
)
"""Warp 1.19.0 gives it a wrong gradient: see `corpus/regressions/defects/break-gradient.py`."""


def finding(outcome: Outcome, kernel: Kernel = RIGHT, detail: str = "") -> Finding:
    return Finding(outcome, detail, kernel, 5, LANES)


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_finding_comes_back_whole(tmp_path: Path) -> None:
    one = Finding(Outcome.VALUE, "out[3]: 1", EARLY, 7, 128, CompileOptions(optimization_level=2), {"depth": 4})
    path = save(tmp_path / "new", one)
    assert path.name == f"{one.name}.json"
    assert path.name.startswith("value-")
    assert path.with_suffix(".py").exists()
    assert load(path) == one


def test_kernels_that_differ_in_names_share_a_name() -> None:
    other = kernel((array("y"), OUT), put("out", do("mul", at("y"), 3.0)), name="other")
    assert finding(Outcome.VALUE, other).name == finding(Outcome.VALUE).name
    assert finding(Outcome.VALUE, EARLY).name != finding(Outcome.VALUE).name
    assert finding(Outcome.CRASH).name != finding(Outcome.VALUE).name


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda p: p.pop("outcome"), "it has no outcome"),
        (lambda p: p.update(kernel=None), "it has no kernel"),
        (lambda p: p.update(version=2), "its version is 2"),
        (lambda p: p.update(outcome="odd"), "'odd' is not a valid Outcome"),
        (lambda p: p.pop("seed"), "KeyError: 'seed'"),
        (lambda p: p["options"].pop("mode"), "KeyError: 'mode'"),
        (lambda p: p["kernel"].update(body=3), "kernel.body: expected a list"),
    ],
)
def test_what_is_no_finding_is_told_in_one_line(damage: Callable[[dict[str, Any]], object], complaint: str) -> None:
    plain = json.loads(json.dumps(plain_finding(finding(Outcome.VALUE))))
    damage(plain)
    with pytest.raises(UserError) as caught:
        finding_of(plain)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"outcome": "value"}'])
def test_a_file_that_holds_no_finding_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "finding.json"
    path.write_text(text)
    with pytest.raises(UserError, match="holds no finding"):
        load(path)
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path / "missing.json")


# -- what reproducers hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.is_finding])
def test_reproducers_need_only_warp_and_numpy(outcome: Outcome, tmp_path: Path) -> None:
    """And what NumPy has bfloat16 of, which is imported where there is some."""
    path = tmp_path / "script.py"
    path.write_text(reproducer(finding(outcome, EARLY, 'out[1]: wrong \\ and a "quote"')))
    needed = roots(path) - set(sys.stdlib_module_names)
    assert needed == {"warp", "numpy", "ml_dtypes"}
    assert not needed & set(ROOMS)
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert text.startswith(f"{outcome.value}: out[1]: wrong")


def test_the_launch_at_fault_is_the_one_that_is_stored() -> None:
    cases = [case_of(finding(Outcome.VALUE, detail=f"out[{k * LANES + 3}]: x")) for k in range(REGULAR_SETS + 1)]
    values = [case["arguments"]["x"][2] for case in cases]
    assert values[0] != values[1] != values[2]
    assert any(value in values[2] for value in (float("inf"), 2.5))
    assert case_of(finding(Outcome.VALUE, detail="no place"))["arguments"]["x"][2] == values[0]
    assert case_of(finding(Outcome.VALUE, detail=f"out[{99 * LANES}]: x"))["arguments"]["x"][2] == values[0]


def test_the_reference_s_numbers_are_stored() -> None:
    case = case_of(finding(Outcome.GRADIENT))
    gradients, tolerances = case["gradients"]["x"]
    assert gradients == pytest.approx([3 * weight for weight in case["cotangents"]["out"][2]])
    assert 0 < max(tolerances) < 1e-4
    outputs, exact = case_of(finding(Outcome.VALUE))["outputs"]["out"]
    assert outputs == pytest.approx([3 * x for x in case["arguments"]["x"][2]])
    assert set(exact) == {0.0}


def test_elements_agree_within_their_tolerance_only() -> None:
    import numpy as np

    inf, nan = float("inf"), float("nan")
    rows = [
        (1.0, 1.0, 0.0, True),
        (1.0, 1.1, 0.2, True),
        (1.0, 1.5, 0.2, False),
        (nan, nan, 0.0, True),
        (nan, 1.0, 0.0, False),
        (1.0, nan, 0.5, False),
        (5.0, 1.0, inf, True),
        (nan, 1.0, inf, True),
        (0.0, -0.0, 0.0, False),
        (0.0, -0.0, 1e-9, True),
        (inf, inf, 0.0, True),
    ]
    computed, expected, tolerance, agree = (list(column) for column in zip(*rows, strict=True))
    agreed = driver.agrees(np.array(computed, np.float32), expected, np.array(tolerance))
    assert agreed.tolist() == agree


# -- what reproducers do ----------------------------------------------------------------------------------------------


def replayed(script: str, folder: Path) -> tuple[int, str]:
    path = folder / "script.py"
    path.write_text(script)
    environment = {**os.environ, "WARP_CACHE_PATH": str(folder)}
    done = subprocess.run(
        [sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.warp
def test_the_reproducer_of_a_known_defect_exits_0(tmp_path: Path) -> None:
    code, text = replayed(reproducer(finding(Outcome.GRADIENT, EARLY, "d/dx[0]: wrong")), tmp_path)
    assert code == 0, text
    assert "x element 0 expected" in text


@pytest.mark.warp
def test_reproducers_take_composites(tmp_path: Path) -> None:
    """Arrays and numbers of them. A meaning with a mistake makes a finding of what is right."""
    row = ROWS["cross(vec3f,vec3f)"]
    wrong = replace(row, meaning=lambda a, b: tuple(part * -1.0 for part in row.meaning(a, b)))
    turned = Apply(wrong, (at("p", I, V3), var("axis", V3)))
    kept = (array("p", V3), scalar("axis", V3), out("result", V3), array("m", V2), out("copy", V2))
    bad = kernel(kept, put("result", turned), put("copy", at("m", I, V2)), name="crossed")
    right = replace(bad, body=(*bad.body[:1], put("result", replace(turned, op=row)), *bad.body[2:]))
    for outcome, detail, place in (
        (Outcome.VALUE, f"result[{3 * LANES + 4}]: wrong", "result element 0 expected"),
        (Outcome.GRADIENT, "d/dp[5]: wrong", "p element 0 expected"),
    ):
        code, text = replayed(reproducer(finding(outcome, bad, detail)), tmp_path)
        assert (code, place in text) == (0, True), text
    code, text = replayed(reproducer(finding(Outcome.GRADIENT, right)), tmp_path)
    assert code == 1, text


@pytest.mark.warp
def test_reproducers_pass_values_of_every_composite_type(tmp_path: Path) -> None:
    """Those of an array, and one for all lanes, come out where they are stored."""
    names = [(type, type.name) for type in COMPOSITES]
    params = [p for type, name in names for p in (array(f"x_{name}", type), scalar(f"s_{name}", type))]
    params += [out(f"{which}_{name}", type) for type, name in names for which in ("each", "all")]
    stores = [put(f"each_{name}", at(f"x_{name}", I, type)) for type, name in names]
    stores += [put(f"all_{name}", var(f"s_{name}", type)) for type, name in names]
    one = finding(Outcome.VALUE, kernel(tuple(params), *stores))
    code, text = replayed(reproducer(replace(one, options=CompileOptions(enable_backward=False))), tmp_path)
    assert code == 1, text
    assert "all elements are as expected" in text


@pytest.mark.warp
def test_reproducers_take_bfloat16(tmp_path: Path) -> None:
    """In arrays, as numbers and as fields of structs, of which Warp gives the bits."""
    params = (array("bodies[].m", BF16), array("bodies[].x", F32), array("y", BF16), scalar("k", BF16), out(type=BF16))
    factor = do("mul", at("bodies[].m", I, BF16), do("mul", at("y", I, BF16), var("k", BF16)))
    value = Apply(
        ROWS["bfloat16(float32)"], (do("mul", at("bodies[].x"), Apply(ROWS["float32(bfloat16)"], (factor,))),)
    )
    right = replace(kernel(params, put("out", value)), structs=(Struct("bodies[]", "Body"),))
    for outcome in (Outcome.VALUE, Outcome.GRADIENT):
        script = reproducer(finding(outcome, right))
        code, text = replayed(script, tmp_path)
        assert (code, "all elements are as expected" in text) == (1, True), text
        code, text = replayed(script.replace("(y[i] * k)", "(y[i] + k)"), tmp_path)
        assert code == 0, text


@pytest.mark.warp
def test_reproducers_of_what_is_no_bug_exit_1(tmp_path: Path) -> None:
    """One program after the other, so that Warp compiles the kernel once."""
    for outcome in (Outcome.VALUE, Outcome.GRADIENT, Outcome.COMPILE, Outcome.STRAY_WRITE, Outcome.CRASH):
        code, text = replayed(reproducer(finding(outcome)), tmp_path)
        assert code == 1, (outcome, text)


@pytest.mark.warp
def test_reproducers_see_wrong_values_crashes_and_refusals(tmp_path: Path) -> None:
    """Faults are planted in the program's text, which is all that it has."""
    wrong = reproducer(finding(Outcome.VALUE)).replace("x[i] * 3.0", "x[i] * 3.5")
    refused = reproducer(finding(Outcome.COMPILE)).replace("x[i] * 3.0", "x[i] * undefined")
    fatal = "import ctypes; ctypes.string_at(0)"
    crash = reproducer(finding(Outcome.CRASH)).replace("launch(is_differentiated())", fatal)
    for script in (wrong, refused, crash):
        code, text = replayed(script, tmp_path)
        assert code == 0, text


def test_a_hang_is_seen(tmp_path: Path) -> None:
    endless = reproducer(finding(Outcome.TIMEOUT)).replace("launch(is_differentiated())", "import time; time.sleep(99)")
    code, text = replayed(endless.replace("'seconds': 60.0", "'seconds': 4.0"), tmp_path)
    assert code == 0, text
    assert "does not end" in text


def test_the_options_are_those_that_were_compiled_with() -> None:
    one = replace(finding(Outcome.VALUE), options=CompileOptions(optimization_level=3, fuse_fp=True))
    assert case_of(one)["options"]["optimization_level"] == 3
    assert case_of(one)["options"]["fuse_fp"] is True
    assert case_of(one)["arguments"]["out"][0] == F32.name


def test_a_run_s_findings_are_read_here(tmp_path: Path) -> None:
    settings = Settings(4, 10, tmp_path / "data", lanes=128)
    save_finding(settings, Found("gradient", "d/dx[0]: wrong", "", 9, 3, EARLY.family, plain_of(EARLY)))
    save_finding(settings, Found("crash", "died", "text", 9, 4, ""))
    whole, bare = sorted((tmp_path / "data" / FOLDER).glob("*.json"), key=lambda path: "crash" in path.name)
    stored = load(whole)
    assert stored == Finding(Outcome.GRADIENT, "d/dx[0]: wrong", EARLY, 9, 128, settings=settings.identity())
    assert whole.stem == stored.name
    assert whole.with_suffix(".py").read_text() == reproducer(stored)
    assert json.loads(whole.read_text())["index"] == 3
    assert bare.with_suffix(".py").read_text() == "text"
    with pytest.raises(UserError, match="it has no kernel"):
        load(bare)
