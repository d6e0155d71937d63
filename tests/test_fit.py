"""The fit to real kernels: exact counts on small sources, and the stored data against the installed Warp.

The key insight: a source of a dozen lines has counts that can be written down by hand.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import libcst as cst
import pytest
from typer.testing import CliRunner

from grammar.__main__ import app
from grammar.fit import as_json, fit
from grammar.natural import DATA, natural_data
from grammar.survey import Tally, survey

KERNEL = '''
import warp as wp

@wp.kernel(enable_backward=False)
def scale_forces(x: wp.array(dtype=float), ids: wp.array[wp.int32], dt: float, n: int, out: wp.array(dtype=wp.float32)):
    """Says what it does."""
    i = wp.tid()
    if i >= n:
        return
    total = float(0.0)
    for j in range(3):
        total += x[i + j] * dt
    if total > 1.5 and x[i] < -2.0:
        total = wp.sin(total)
    elif n == 4: total = 0.5
    else:
        total = x[ids[i]]
    wp.atomic_add(out, 0, total)
    out[i] = total


def plain(x):
    return x + 1.0
'''


def counts(source: str) -> Tally:
    return survey(cst.parse_module(source))


def test_operations_are_counted_by_name_and_kind_of_operand() -> None:
    assert counts(KERNEL)["operations"] == {
        "greater_equal(int)": 1,
        "mul(float)": 1,
        "add(int)": 1,
        "greater(float)": 1,
        "less(float)": 1,
        "logical_and(bool)": 1,
        "sin(float)": 1,
        "equal(int)": 1,
    }


def test_statements_are_counted_by_kind() -> None:
    tally = counts(KERNEL)
    assert tally["statements"] == {
        "if": 2,
        "return": 1,
        "assign": 4,
        "for_static": 1,
        "aug_assign": 1,
        "elif": 1,
        "else": 1,
        "atomic_add": 1,
        "store": 1,
    }
    assert not tally["outside"]
    assert tally["aug_operators"] == {"add": 1}
    assert tally["trip_counts"] == {3: 1}
    assert tally["body_lengths"] == {1: 5}


def test_terms_are_measured() -> None:
    tally = counts(KERNEL)
    # i >= n: 2; 0.0: 1; x[i + j] * dt: 4; the condition: 3; sin: 2; n == 4: 2; 0.5: 1; x[ids[i]]: 1; total twice: 1
    assert tally["term_heights"] == {1: 5, 2: 3, 3: 1, 4: 1}
    assert tally["float_literals"] == {0.0: 1, 1.5: 1, -2.0: 1, 0.5: 1}
    assert tally["int_literals"] == {4: 1}
    assert tally["leaves"] == {"constant": 5, "local": 7, "scalar": 3, "read": 3}


def test_names_are_told_apart_by_what_they_are_for() -> None:
    names = {table.removeprefix("names."): set(names) for table, names in counts(KERNEL).items() if "names." in table}
    assert names == {
        "kernel": {"scale_forces"},
        "array_in": {"x"},
        "array_index": {"ids"},
        "array_out": {"out"},
        "scalar": {"dt"},
        "count": {"n"},
        "thread": {"i"},
        "accumulator": {"total"},
        "loop": {"j"},
    }


def test_shape_of_a_kernel_is_measured() -> None:
    tally = counts(KERNEL)
    assert tally["functions"] == {"kernel": 1}
    assert tally["callers"] == {"calls none": 1}
    assert (tally["arrays_per_kernel"], tally["scalars_per_kernel"]) == ({3: 1}, {2: 1})
    assert (tally["locals_per_kernel"], tally["kernel_lengths"]) == ({1: 1}, {8: 1})


FOREIGN = """
@wp.func
def drag(v: wp.vec3, body: Body, k: float):
    speed = wp.length(v)
    w = v * 2.0
    body.force = w
    return speed * k + v[0]
"""


def test_what_lies_outside_the_language_is_looked_through() -> None:
    tally = counts(FOREIGN)
    scalar, composite = {"mul(float)": 1, "add(float)": 1}, {"length(vector)": 1, "mul(vector)": 1}
    assert tally["operations"] == scalar | composite | {"extract(vector)": 1}
    assert tally["statements"] == {"assign": 2}
    assert tally["outside"] == {"Assign": 1}
    assert tally["term_heights"] == {2: 2, 3: 1}
    assert (set(tally["names.local"]), set(tally["names.local_vector"])) == ({"speed"}, {"w"})


RIGID = """
@wp.kernel
def turn(
    t: wp.array(dtype=wp.transform), x: wp.array[wp.vec3d], m: wp.mat33, out: wp.array2d[wp.vec3d], n: wp.array[int],
):
    i, j = wp.tid()
    v = x[i]
    p = wp.transform_point(t[i], v)
    p = p + m * v
    p.x = wp.dot(v, wp.normalize(v))
    out[i, j] = wp.vec3d(p.x, 2.0 * v[1], m[0, 1])
    n[i] = 1
"""


def test_composites_are_counted_by_the_most_structured_kind() -> None:
    tally = counts(RIGID)
    assert tally["operations"] == {
        "transform_point(transform)": 1,
        "mul(matrix)": 1,
        "add(vector)": 1,
        "vec3(vector)": 1,
        "get_x(vector)": 1,
        "extract(vector)": 1,
        "extract(matrix)": 1,
        "mul(float)": 1,
    }
    assert tally["statements"] == {"assign": 3, "store": 2}
    assert tally["updates"] == {"assign add": 1}
    assert tally["thread_dimensions"] == {2: 1}
    assert tally["reads"] == {"all": 2, "named": 1}
    assert tally["computed_types"] == {"vec3d": 1}  # the other is given a flag
    assert tally["names.array_out"] == {"out": 1, "n": 1}


@pytest.mark.parametrize(
    ("loop", "kind", "trips"),
    [
        ("range(2, 7)", "for_static", {5: 1}),
        ("range(8, 0, -2)", "for_static", {4: 1}),
        ("range(0, 4, 0)", "for_static", {0: 1}),
        ("range(n)", "for_dynamic", {}),
        ("range(x.shape[0])", "for_dynamic", {}),
    ],
)
def test_loops_are_static_where_their_bounds_are_literals(loop: str, kind: str, trips: dict[int, int]) -> None:
    source = f"@wp.kernel\ndef k(x: wp.array(dtype=float), n: int):\n    for j in {loop}:\n        x[j] = 1.0\n"
    tally = counts(source)
    assert tally["statements"] == {kind: 1, "store": 1}
    assert tally["trip_counts"] == trips


def test_examples_weigh_more_than_tests(tmp_path: Path) -> None:
    for folder in ("examples", "tests", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text(KERNEL)
    (tmp_path / "broken.py").write_text("@wp.kernel\ndef (:")
    (tmp_path / "empty.py").write_text("x = 1.0 + 2.0\n")
    data = fit([tmp_path])
    assert data["provenance"] == {
        "source": "given paths",
        "files": 3,
        "kernels": 3,
        "functions": 0,
        "unparsed_files": 1,
    }
    assert data["operations"]["sin(float)"] == 12 + 1 + 4
    assert data["names"]["accumulator"] == {"total": 3}
    assert data["names"]["verb"] == {"scale": 3}


def test_names_of_tests_and_numbered_names_are_left_out(tmp_path: Path) -> None:
    names = (
        "x1",
        "x2",
        "expected_force",
        "_hidden",
        "Big",
        "test_value",
        "speed",
        "lambda_",
        "a_very_long_name_indeed",
    )
    body = "".join(f"    {name} = 1.0\n" for name in names)
    for file in ("a.py", "b.py"):
        (tmp_path / file).write_text(f"@wp.kernel\ndef k():\n{body}")
    assert set(fit([tmp_path])["names"]["local"]) == {"x1", "speed", "lambda_"}


def test_command_prints_or_writes_the_same_json(tmp_path: Path) -> None:
    source, out = tmp_path / "a.py", tmp_path / "fit.json"
    source.write_text(KERNEL)
    printed = CliRunner().invoke(app, ["fit", str(source)])
    written = CliRunner().invoke(app, ["fit", str(source), "--out", str(out)])
    assert (printed.exit_code, written.exit_code) == (0, 0)
    assert printed.stdout == out.read_text() == as_json(fit([source]))
    assert json.loads(printed.stdout)["provenance"]["kernels"] == 1


@pytest.mark.parametrize("bad", ["missing input", "unwritable output"])
def test_mistakes_of_the_user_give_one_line_and_exit_code_2(tmp_path: Path, bad: str) -> None:
    source = tmp_path / "a.py"
    source.write_text(KERNEL)
    arguments = (
        ["fit", str(tmp_path / "no.py")] if bad == "missing input" else ["fit", str(source), "--out", str(tmp_path)]
    )
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("grammar fit: ")


def test_help_loads_nothing_heavy_and_fitting_never_imports_warp() -> None:
    code = (
        "import sys, grammar.__main__; print(sorted({'libcst', 'numpy', 'warp'} & set(sys.modules)));"
        "import grammar.fit; grammar.fit.installed_warp(); print('warp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_stored_fit_says_where_it_comes_from_and_is_small() -> None:
    assert natural_data()["provenance"]["source"] == "warp-lang 1.19.0"
    assert natural_data()["provenance"]["kernels"] > 2000
    assert DATA.stat().st_size < 40_000
    assert DATA.read_text(encoding="utf-8") == as_json(natural_data())


@pytest.mark.slow  # parses every module of the wheel: half a minute
def test_stored_fit_is_what_fitting_the_installed_warp_gives() -> None:
    if importlib.metadata.version("warp-lang") != "1.19.0":
        pytest.skip("the stored fit is of warp-lang 1.19.0")
    assert as_json(fit([])) == DATA.read_text(encoding="utf-8")
