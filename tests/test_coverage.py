"""What the table has of Warp's builtins: matching by hand, figures that add up, and the stored registry against Warp.

The key insight: a figure that nobody can recount is worth nothing, so what is covered is counted again here from the
rows of the table, and all that is listed must add up to all that Warp has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from grammar import coverage
from grammar.__main__ import main
from grammar.coverage import as_data, covered_by
from grammar.op import Op
from grammar.ops import ROWS
from grammar.registry import DATA, Signature, is_out_of_scope, signatures
from grammar.vocabulary import vocabulary


def signature(name: str, *types: str, optional: str = "", group: str = "Operators", hidden: bool = False) -> Signature:
    params = tuple(zip("abcdefgh", types, strict=False))
    return Signature(name, group, params, frozenset(optional), 1, hidden)


@pytest.mark.parametrize(
    ("wanted", "covering", "not_covering"),
    [
        (signature("add", "Scalar", "Scalar"), "add(float32,float32)", "add(vec3f,vec3f)"),
        (signature("add", "vec[Any, Scalar]", "vec[Any, Scalar]"), "add(vec3f,vec3f)", "add(float32,float32)"),
        (signature("cross", "vec[3, Scalar]", "vec[3, Scalar]"), "cross(vec3f,vec3f)", "add(vec3f,vec3f)"),
        (signature("bit_and", "Int", "Int"), "bit_and(int32,int32)", "add(int32,int32)"),
        (signature("unot", "bool"), "logical_not(bool)", "logical_and(bool,bool)"),
        (signature("where", "bool", "Any", "Any"), "where(bool,vec3f,vec3f)", "clamp(float32,float32,float32)"),
        (signature("norm_huber", "Any", "float32", optional="b"), "norm_huber(vec3f,float32)", "norm_l1(vec3f)"),
        (signature("vector"), "vec3f()", "vec3f(float32)"),
        (signature("float64", "int32"), "float64(int32)", "float64(float32)"),
    ],
)
def test_a_row_covers_the_signatures_it_is_an_instance_of(wanted: Signature, covering: str, not_covering: str) -> None:
    assert ROWS[covering] in covered_by(wanted)
    assert ROWS[not_covering] not in covered_by(wanted)


def test_instances_are_counted_over_named_types() -> None:
    floats = len(coverage.FLOATS)
    for types, count in (
        (["Float"], floats),
        (["Scalar", "Scalar"], floats + 8),
        (["vec[Any, Float]"], 3 * floats),
        (["mat[Any, Any, Int]", "vec[Any, Int]"], 3 * 8),
        (["vec[3, Float]", "int32"], floats),
        (["bool"], 1),
        (["Any"], 0),
        (["array", "Int"], 0),
    ):
        assert len(set(coverage.instances(signature("f", *types)))) == count


def test_figures_add_up() -> None:
    data = as_data()
    parts = data["groups"].values()
    for what in ("signatures", "signatures_covered", "instances", "instances_covered"):
        assert sum(group[what] for group in parts) == data["all"][what]
    absent = sum(map(len, data["absent"].values()))
    assert data["all"]["signatures"] == data["all"]["signatures_covered"] + absent
    assert data["all"]["signatures"] + sum(bool(s.out_of_scope) for s in signatures()) == len(signatures())
    assert data["all"]["builtins"] == len({s.name for s in signatures() if not s.out_of_scope})


def test_rows_of_builtins_are_all_found() -> None:
    """A row whose signature Warp lists in scope counts, and those that stand for no builtin are few and known."""
    counted = {op for s in signatures() for op in covered_by(s)}
    assert {op.name for op in stray(counted)} <= {
        *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "between"),
        *("logical_and", "logical_or"),
    }


def stray(counted: set[Op]) -> Iterator[Op]:
    """Rows that cover nothing, those of components aside."""
    return (op for op in ROWS.values() if op not in counted and not op.name.startswith(("get_", "extract", "paste")))


def test_a_row_that_is_taken_away_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = as_data()
    rest = {key: op for key, op in ROWS.items() if op.name != "sin"}
    monkeypatch.setattr(coverage, "ROWS", rest)
    monkeypatch.setattr(coverage, "vocabulary", lambda: vocabulary() - {"wp.sin(_)"})
    for function in (coverage.rows_by_builtin, coverage.calls_said):
        monkeypatch.setattr(coverage, function.__name__, function.__wrapped__)
    after = as_data()
    assert before["all"]["signatures_covered"] - after["all"]["signatures_covered"] == 1
    assert set(after["absent"]["Scalar Math"]) - set(before["absent"]["Scalar Math"]) == {"sin(x: Float)"}


def test_much_is_covered() -> None:
    data = as_data()
    assert data["groups"]["Scalar Math"]["signatures_covered"] >= 0.9 * data["groups"]["Scalar Math"]["signatures"]
    assert data["all"]["builtins_covered"] > 100
    assert data["all"]["instances_covered"] > 500
    assert "atomic_add(arr: array, i: Int, value: Any)" not in data["absent"]["Utility"]


def test_of_lengths_only_those_are_covered_that_are_grown() -> None:
    """They all take one argument, by which alone statements and what is no operation are told apart."""
    absent = as_data()["absent"]["Utility"]
    assert [signature for signature in absent if signature.startswith("len(")] == ["len(a: tuple)"]


def test_each_that_is_absent_has_a_reason() -> None:
    reasons = {signature: why for group in as_data()["absent"].values() for signature, why in group.items()}
    assert [signature for signature, why in reasons.items() if not why] == []
    assert set(reasons.values()) == set(coverage.ABSENT.values())


def test_reasons_are_given_to_what_is_left_out() -> None:
    by_reason = as_data()["out_of_scope"]
    names = {name for names in by_reason.values() for name in names}
    assert {"mesh_query_ray", "volume_lookup", "texture_sample", "printf", "breakpoint", "div_approx"} <= names
    assert {"sin", "quat_rotate", "tile_load", "randf", "noise"}.isdisjoint(names)
    assert all(by_reason)
    assert is_out_of_scope("wp.mesh_query_ray(_, _)")
    assert is_out_of_scope("wp.printf(_) as a statement")
    assert is_out_of_scope("kernel parameter: wp.MeshQueryRay")
    assert not is_out_of_scope("wp.tile_load(_, shape=_)")
    assert not is_out_of_scope("func parameter: array(float32)")


def test_the_command_prints_tables_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coverage"]) == 0
    text = capsys.readouterr().out
    for word in ("Tile", "Primitives", "absent", "tiles have two axes at most", "out of scope", "no value to check"):
        assert word in text
    assert main(["coverage", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == as_data()


@pytest.mark.warp
def test_the_stored_registry_is_that_of_the_installed_warp() -> None:
    from extract.registry import as_json, registry

    assert as_json(registry()) == DATA.read_text(encoding="utf-8"), "`python -m extract.registry` brings it up to date"
