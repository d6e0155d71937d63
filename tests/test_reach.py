"""Constructs of real kernels, the vocabulary of the grammar, and the reach of the one into the other.

The key insight: what the vocabulary promises, growing must keep, so kernels are grown and read back like anybody's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import libcst as cst
import pytest

from grammar.__main__ import main
from grammar.choose import Seed, seeded
from grammar.components import assign_parts
from grammar.constructs import constructs_by_function
from grammar.emit import emit
from grammar.families import FAMILIES, family_named
from grammar.fit import installed_warp
from grammar.grow import grow
from grammar.op import Op
from grammar.ops import ROWS
from grammar.outputs import store_and_scale
from grammar.profiles import PROFILES, profile
from grammar.reach import as_data, reach
from grammar.smallest import constructs as smallest_of
from grammar.smallest import smallest
from grammar.tree import Kernel
from grammar.vocabulary import STATEMENTS, TERMS, vocabulary

INSIDE = """
@wp.func
def falloff(x: float, r: wp.float32) -> float:
    '''Says what it does.'''
    return wp.exp(-x / r) if x < r else 0.0

@wp.kernel
def scale_forces(x: wp.array(dtype=wp.vec3f), y: wp.array[float], n: int, out: wp.array[wp.vec3]):
    i = wp.tid()
    if i >= n: return
    v = wp.vec3f(x[i][0], x[i].y, float(1))
    for j in range(n):
        v += x[j] * falloff(y[j], -2.0)
    out[i] = v
"""


def constructs(body: str, params: str = "x: wp.array(dtype=float)", before: str = "") -> set[str]:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    found = constructs_by_function(cst.parse_module(f"{before}\n@wp.kernel\ndef k({params}):\n{lines}"))
    return set(list(found)[-1][1])


def test_constructs_are_named_as_they_are_written() -> None:
    function, kernel = (found for _, found in constructs_by_function(cst.parse_module(INSIDE)))
    assert function == {
        *("func parameter: float32", "return _", "wp.exp(_)", "-_", "_ / _", "_ if _ else _", "_ < _"),
    }
    assert kernel == {
        *("kernel parameter: array(vec3f)", "kernel parameter: array(float32)", "kernel parameter: int32"),
        *("_ = wp.tid()", "if", "_ >= _", "return", "a = _", "wp.vec3(_, _, _)", "_[_]", "array[_]", "_.y", "float(_)"),
        *("for _ in range(_)", "a += _", "_ * _", "a call of a function of the module", "array[_] = _"),
    }
    assert not (function | kernel) - vocabulary()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("i, j = wp.tid()", {"_, _ = wp.tid()"}),
        ("a = wp.tid() + 1", {"a = _", "_ + _", "wp.tid()"}),
        ("a, b = f(1)", {"a, b = _", "a call of a function from elsewhere"}),
        ("a = 1.0\na.x = a[0:2][1]", {"a = _", "_.x = _", "_[_]", "a[_:_]"}),
        ("m = x\nm[0, 1] *= 2.0", {"a = _", "_[_, _] *= _"}),
        ("x[0] -= x[1]", {"array[_] -= _", "array[_]"}),
        ("if 0 < 1 < 2:\n    pass\nelif not True:\n    pass\nelse:\n    pass", {"if", "elif", "else", "_ < _"}),
        ("while 1 == 2:\n    break", {"while", "_ == _", "break"}),
        ("for q in x:\n    continue", {"for over something else than a range", "continue"}),
        ("wp.atomic_add(x, 0, 1.0)", {"wp.atomic_add(_, _, _) as a statement"}),
        ("a = wp.atomic_add(x, 0, 1.0)", {"a = _", "wp.atomic_add(_, _, _)"}),
        ("a = K + wp.pi", {"a = _", "_ + _", "a constant of the module", "wp.pi"}),
        ("a = abs(x.shape[0])", {"a = _", "wp.abs(_)", "array.shape[_]"}),
        ("a = wp.identity(n=3, dtype=float)", {"a = _", "wp.identity(dtype=_, n=_)"}),
        ("return 1, 2", {"return _, _"}),
        ("print('a')", {"wp.print(_) as a statement", "a string"}),
        ("assert True", {"statement Assert"}),
        ("a = [1 for b in x]", {"a = _", "expression ListComp"}),
    ],
)
def test_each_kind_of_construct_is_told(body: str, found: set[str]) -> None:
    chain = {"_ < _ < _"} if "0 < 1 < 2" in body else set()
    negation = {"not _"} if "not True" in body else set()
    assert constructs(body) == found | chain | negation | {"kernel parameter: array(float32)"}


@pytest.mark.parametrize(
    ("annotation", "type"),
    [
        ("wp.array2d[wp.vec3]", "array2d(vec3f)"),
        ("wp.array(dtype=float, ndim=3)", "array3d(float32)"),
        ("wp.array(dtype=State)", "array(a struct)"),
        ("State", "a struct"),
        ("wp.array(dtype=Any)", "array(any)"),
        ("Any", "any"),
        ("wp.uint8", "uint8"),
        ("wp.bfloat16", "bfloat16"),
        ("w.vec2", "vec2f"),
        ("triple", "vec3f"),
        ("wp.types.vector(length=5, dtype=float)", "wp.types.vector(length=5,dtype=float)"),
    ],
)
def test_parameters_are_told_by_their_types(annotation: str, type: str) -> None:
    before = "import warp as w\nfrom warp import vec3 as triple\n\n@wp.struct\nclass State:\n    x: float\n"
    assert constructs("pass", f"p: {annotation}", before) == {f"kernel parameter: {type}"}


def test_calls_of_functions_are_told_by_where_they_are_and_what_they_take() -> None:
    before = "@wp.func\ndef f(x: wp.array(dtype=float), i: int):\n    return x[i]\n"
    assert "a call of a function of the module with an array" in constructs("a = f(x, 0)", before=before)
    assert "a call of a function of the module" in constructs("a = f(x[0], 0)", before=before)
    assert "a function as a value" in constructs("a = wp.tile_map(f, x)", before=before)
    assert "a call of a function from elsewhere" in constructs("a = g(x)", before=before)
    assert "a call of what a term gives" in constructs("a = f(0, 1)(2)", before=before)
    assert "_.f(_)" in constructs("a = x.f(2)", before=before)


def test_elements_parts_and_fields_are_told_apart() -> None:
    before, params = "@wp.struct\nclass S:\n    v: float\n", "x: wp.array2d[float], s: S"
    assert constructs("x[0, 1] = x[0][1] + s.v + S().v", params, before) >= {
        *("array[_, _] = _", "a part of an array", "_[_]", "a field of a struct", "a struct", "_.v"),
    }


# -- the vocabulary ---------------------------------------------------------------------------------------------------


@cache
def grown() -> Counter[str]:
    """Constructs of grown kernels, by how many have them."""
    found: Counter[str] = Counter()
    for kernel in kernels():
        for _, constructs in constructs_by_function(cst.parse_module(emit(kernel))):
            found.update(constructs)
    return found


def kernels() -> Iterator[Kernel]:
    """Of all families and profiles, and the smallest of each construct other than a row of the table."""
    for name in PROFILES:
        for family in FAMILIES:
            for seed in map(Seed, range(12)):
                kernel = grow(seeded(seed), family, profile(name), 6, seed, 64)
                if kernel is not None:
                    yield kernel
    parts = replace(family_named("matrix_vector"), features=(((assign_parts, 1.0),),))
    scaled = replace(family_named("arithmetic"), leave=store_and_scale)
    for family in (parts, scaled, family_named("conditional_reduction")):
        grown = (grow(seeded(seed), family, profile("uniform"), 4, seed, 64) for seed in map(Seed, range(40)))
        yield from (kernel for kernel in grown if kernel is not None)
    yield from (smallest(one, Seed(1), 64) for one in smallest_of() if not isinstance(one, Op))


@pytest.mark.no_cover
def test_whatever_is_grown_is_in_the_vocabulary() -> None:
    assert sum(grown().values()) > 3000
    assert grown().keys() - vocabulary() == set(), "say it in grammar/vocabulary.py"


def test_whatever_statements_and_leaves_promise_is_grown() -> None:
    promised = {*STATEMENTS, *TERMS}
    signs = ("[_, ", "_, _, _, _", "^=", "&=", "|=", "_[", "_.", "_exch(")
    rare = {form for form in promised if any(sign in form for sign in signs)}
    rare |= {form for form in promised if form.startswith("wp.") and "(" not in form}
    assert {form for form in promised - rare if not grown()[form]} == set()
    assert len({form for form in rare if not grown()[form]}) <= len(rare) * 2 / 3


def test_the_vocabulary_is_printed_with_types(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vocabulary"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert "(float32) -> float32" in data["builtins"]["wp.sin(_)"]
    assert "(vec3f, float32) -> vec3f" in data["operators"]["_ * _"]
    assert "(vec3f) -> float32" in data["components"]["_.x"]
    assert "array(float32)" in data["annotations"]["kernel"]
    assert "array(float32)" in data["annotations"]["func"]
    assert data["families"] == [family.name for family in FAMILIES]
    assert data["profiles"] == list(PROFILES)
    signatures = sum(len(one) for kind in ("builtins", "operators", "components") for one in data[kind].values())
    assert signatures == len(ROWS)
    names = {*data["statements"], *data["terms"], *data["operators"], *data["builtins"], *data["components"]}
    assert names <= vocabulary()


# -- reach ------------------------------------------------------------------------------------------------------------

OUTSIDE = """
@wp.kernel
def queries(mesh: wp.uint64, out: wp.array(dtype=wp.MeshQueryPoint)):
    out[0] = wp.mesh_query_point(mesh, wp.vec3(0.0), 1.0)

@wp.kernel
def listed(out: wp.array(dtype=float)):
    out[0] = [out[0]][0]

@wp.kernel
def listed_and_looked_up(out: wp.array(dtype=float)):
    out[0] = [out[0]][0] * {1: 2.0}[1]

def plain():
    return [x for x in y]
"""


def test_shares_and_what_is_missing_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(INSIDE)
    (tmp_path / "b.py").write_text(OUTSIDE)
    (tmp_path / "broken.py").write_text("@wp.kernel\ndef (:")
    (tmp_path / "empty.py").write_text("x = [1]\n")
    data = as_data(reach([tmp_path]))
    assert (data["files"], data["unparsed_files"]) == (2, 1)
    assert data["kernel"] == {"total": 4, "inside": 1, "in_scope": 3, "share": 0.25, "share_of_scope": 1 / 3}
    assert data["func"] == {"total": 1, "inside": 1, "in_scope": 1, "share": 1.0, "share_of_scope": 1.0}
    rows = {row["construct"]: (row["alone"], row["all"], row["out_of_scope"]) for row in data["outside"]}
    assert rows == {
        "expression List": (1, 2, False),
        "expression Dict": (0, 1, False),
        "wp.mesh_query_point(_, _, _)": (0, 1, True),
        "kernel parameter: array(wp.MeshQueryPoint)": (0, 1, True),
    }
    assert data["outside"][0]["construct"] == "expression List"


def test_the_command_prints_tables_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.py").write_text(OUTSIDE)
    assert main(["reach", str(tmp_path / "b.py"), "--most", "1"]) == 0
    text = capsys.readouterr().out
    assert "expression List" in text
    assert "and 3 more" in text
    assert main(["reach", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == as_data(reach([tmp_path]))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda _: None, "no such file or folder"),
        (lambda path: path.write_text("x = 1\n"), "no kernels or functions of Warp in"),
        (lambda path: path.mkdir(), "no kernels or functions of Warp in"),
    ],
)
def test_mistakes_are_one_line(
    prepare: Callable[[Path], object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "a.py")
    assert main(["reach", str(tmp_path / "a.py")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("grammar: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_no_command_is_answered_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "vocabulary" in captured.out
    assert captured.err == ""


def test_reach_without_a_path_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reach"]) == 2
    assert capsys.readouterr().err == "grammar: Missing argument 'PATH...'.\n"


def test_many_examples_of_warp_lie_inside() -> None:
    data = as_data(reach([installed_warp() / "examples" / "core"]))
    assert data["all"]["total"] > 50
    assert data["all"]["share_of_scope"] > 0.3
    assert all(row["all"] >= row["alone"] for row in data["outside"])
