"""How the house is built: which room may know which, and what a file may look like.

The key insight: imports are read from the syntax tree, so those inside functions count too, and nothing has to run.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("grammar", "extract", "validate", "corpus", "synth")
LONGEST = 600
SCRIPTS = ROOT / "corpus" / "regressions"
"""Holds programs for others to run, which import none of the rooms."""


def modules(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py") if not path.is_relative_to(SCRIPTS))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(module: ast.Module) -> Iterator[str]:
    """Full names of the modules that are imported anywhere in a module, by statements or by name."""
    for node in ast.walk(module):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(name, _, level):
                assert level == 0, "relative imports hide which room is meant"
                yield name or ""
            case ast.Call(ast.Name("import_module" | "__import__"), [ast.Constant(str(name)), *_]):
                yield name
            case ast.Call(ast.Attribute(_, "import_module"), [ast.Constant(str(name)), *_]):
                yield name
            case _:
                pass


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(tree(path))}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_only_leftwards(room: str) -> None:
    forbidden = {*ROOMS[ROOMS.index(room) + 1 :], "tests"}
    assert len(modules(room)) > 1
    assert {relative(path): found for path in modules(room) if (found := roots(path) & forbidden)} == {}


def test_the_grammar_never_imports_warp() -> None:
    assert [relative(path) for path in modules("grammar") if "warp" in roots(path)] == []


def test_using_the_grammar_does_not_load_warp() -> None:
    names = [relative(path).removesuffix(".py").replace("/", ".") for path in modules("grammar")]
    code = f"import importlib, sys; [importlib.import_module(n) for n in {names}]; sys.exit('warp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_reading_imports_misses_none() -> None:
    source = """
import a.b, c
def f():
    from d.e import g
    h = import_module("i.j")
    importlib.import_module("k")
"""
    assert set(imported(ast.parse(source))) == {"a.b", "c", "d.e", "i.j", "k"}


def test_no_room_reads_code_by_regular_expressions() -> None:
    assert [relative(path) for path in modules(*ROOMS) if {"re", "regex"} & roots(path)] == []


def test_what_is_declared_is_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = set(map(distribution, project["dependencies"]))
    fuzz = set(map(distribution, project["optional-dependencies"]["fuzz"]))
    assert distributions(*ROOMS) == declared | fuzz
    # Tools and plugins are needed without being imported, so here nothing is said about what is declared besides.
    assert distributions("tests") <= declared | set(map(distribution, project["optional-dependencies"]["dev"]))


def distributions(*rooms: str) -> set[str]:
    """What has to be installed for the imports of some folders."""
    ours, known = {*ROOMS, "tests", *sys.stdlib_module_names}, packages_distributions()
    return {distribution(known[root][0]) for path in modules(*rooms) for root in roots(path) - ours}


def distribution(requirement: str) -> str:
    """`numpy>=2.1` is a requirement of `numpy`; `_` is no other name than `-`."""
    name = "".join(c if c.isalnum() or c in "-_." else " " for c in requirement).split()[0]
    return name.lower().replace("_", "-")


def test_top_level_folders_are_the_rooms_and_the_tests() -> None:
    ignored = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split() if line.endswith("/")}
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert {name for name in found - ignored if not name.endswith(".egg-info")} == {*ROOMS, "tests"}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_typed_packages(room: str) -> None:
    assert (ROOT / room / "py.typed").exists()
    assert (ROOT / room / "__init__.py").read_text() == "", "importing a room must not import what is in it"


@pytest.mark.no_cover
def test_the_mark_no_cover_holds_off_the_tracing_of_coverage() -> None:
    """Which conftest.py sees to, as the plugin that defines the mark leaves a worker's first collector running."""
    assert sys.gettrace() is None


def test_no_file_is_long() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*ROOMS, "tests")}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_each_module_says_what_it_defines_and_its_key_insight() -> None:
    texts = {path: ast.get_docstring(tree(path)) or "" for path in modules(*ROOMS, "tests") if path.stat().st_size}
    assert [relative(path) for path, text in texts.items() if not text] == []
    silent = [path for path, text in texts.items() if "The key insight: " not in text]
    assert [relative(path) for path in silent if path not in modules("tests")] == []
