"""What the documents say is so: tables, commands, options, links, versions, the kernel that README.md opens with.

The key insight: a document is input like any other. It is parsed as Markdown, and whatever it says that a program can
check, a program checks.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token

from corpus.cli import app as corpus_app
from corpus.schema import COLUMNS
from grammar.__main__ import app as grammar_app
from grammar.families import FAMILIES
from grammar.profiles import PROFILES
from synth.cli import app as synth_app
from synth.settings import RANGES, Settings, default_out
from tests.readme import README, ROOT, SECTIONS, renewed
from validate.cli import app as validate_app

DOCUMENTS = sorted(ROOT.glob("*.md"))
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
FOLDERS = tuple(f"{room}/" for room in ("grammar", "extract", "validate", "corpus", "synth", "tests"))
APPS = {"synth": synth_app, "corpus": corpus_app, "grammar": grammar_app, "validate": validate_app}


@cache
def tokens(path: Path) -> tuple[Token, ...]:
    parsed = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    return tuple(part for token in parsed for part in (token, *(token.children or ())))


def codes(path: Path, language: str) -> list[str]:
    """The contents of the code blocks in a language."""
    return [token.content for token in tokens(path) if token.type == "fence" and token.info == language]


def command_lines(path: Path) -> Iterator[list[str]]:
    """`python -m …` and `make …` as words, from text and from consoles, without comments."""
    spans = [token.content for token in tokens(path) if token.type == "code_inline"]
    lines = [line.removeprefix("$ ") for text in codes(path, "console") for line in text.splitlines()]
    for line in (*spans, *lines):
        words = line.partition("#")[0].split()
        if words[:2] == ["python", "-m"] or words[:1] == ["make"]:
            yield words


# -- README.md --------------------------------------------------------------------------------------------------------


def test_generated_tables_are_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    assert renewed(text) == text, "`make readme` brings them up to date"


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_a_stale_table_is_noticed(name: str) -> None:
    text = renewed(README.read_text(encoding="utf-8"))
    mark = f"<!-- {name} -->\n"
    assert renewed(text.replace(mark, f"{mark}| stale |\n")) == text
    with pytest.raises(ValueError, match=name):
        renewed(text.replace(mark, ""))


def test_families_are_those_of_the_grammar() -> None:
    rows = [line.split("|") for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = [(row[1].strip(" `"), int(row[2])) for row in rows if len(row) == 5 and row[2].strip().isdecimal()]
    assert listed == [(family.name, family.least_depth) for family in FAMILIES]


def test_options_are_those_of_the_main_job() -> None:
    listed = [
        token.content for token in tokens(README) if token.type == "code_inline" and token.content.startswith("--")
    ]
    assert sorted(set(listed)) == sorted(options("synth", []))
    text = renewed(README.read_text(encoding="utf-8"))
    for name, (low, high) in (("depth", RANGES["depth"]), ("lanes", (RANGES["lanes"][0], None))):
        line = next(line for line in text.splitlines() if line.startswith(f"| `--{name}`"))
        assert (f"{low} to {high}" if high else f"{low} or more") in line
    assert all(f"`{profile}`" in text for profile in PROFILES)


def test_columns_it_uses_exist() -> None:
    (query,) = codes(README, "sql")
    names = {column.name for column in COLUMNS}
    assert {"family", "checked", "gradient"} <= names
    assert all(word in query for word in ("family", "avg(checked)", "gradient ="))
    assert {"python", "cpp_forward", "cpp_adjoint", "shape_hash"} <= names


@pytest.mark.warp
def test_the_kernel_it_opens_with_compiles_to_what_it_shows() -> None:
    from extract.compile import Compiled, compile_block, release, start

    source = next(text for text in codes(README, "python") if "@wp.kernel" in text)
    forward, adjoint = codes(README, "cpp")
    name = source.partition("\ndef ")[2].partition("(")[0]
    start()
    block = compile_block([(name, source)])
    (made,) = block.kernels
    assert isinstance(made, Compiled)
    assert forward in made.build.ir["cpp_forward"]
    assert adjoint in made.build.ir["cpp_adjoint"]
    release(block)


# -- CONTRIBUTING.md --------------------------------------------------------------------------------------------------


def test_the_row_it_quotes_stands_in_the_table() -> None:
    lines = [line for text in codes(CONTRIBUTING, "python") for line in text.splitlines()]
    (quoted,) = (line for line in lines if line.startswith("    *("))
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "grammar" / "ops").glob("*.py")]
    assert sum(text.splitlines().count(quoted) for text in texts) == 1


@pytest.mark.warp
def test_its_way_to_look_into_a_finding_works() -> None:
    program = next(text for text in codes(CONTRIBUTING, "python") if text.startswith("from pathlib"))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "import warp as wp\n" in done.stdout
    assert done.stdout.splitlines()[-1].strip() in ("Outcome.VERIFIED", "Outcome.UNCHECKED")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: cast(Path, path).name)
def test_files_it_names_exist(document: Path) -> None:
    spans = {token.content for token in tokens(document) if token.type == "code_inline"}
    named = {span for span in spans if span.startswith(FOLDERS) and not set(span) & set(" …*")}
    assert [name for name in named if not (ROOT / name).exists()] == []


# -- all documents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: cast(Path, path).name)
def test_commands_exist(document: Path) -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    for words in command_lines(document):
        if words[0] == "make":
            wanted = [word for word in words[1:] if "=" not in word and word != "…"]
            assert set(wanted) <= targets, words
        else:
            room, *rest = words[2:]
            assert room in APPS or (ROOT / room.replace(".", "/")).with_suffix(".py").exists(), words
            flags = [word.partition("=")[0] for word in rest if word.startswith("--")]
            command = [word for word in rest[:1] if word.isalpha() and word.islower()]
            assert set(flags) <= set(options(room, command) if room in APPS else []), words


def options(room: str, command: list[str]) -> list[str]:
    """The options of a command. Fails where there is no such command."""
    found: Any = typer.main.get_command(APPS[room])
    for name in command:
        assert name in found.commands, f"python -m {room} has no command {name}"
        found = found.commands[name]
    return [option for param in found.params for option in param.opts if option.startswith("--")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: cast(Path, path).name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = [str(token.attrs["href"]) for token in tokens(document) if token.type == "link_open"]
    for target in targets:
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (document.parent / file) if file else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    parts = tokens(path)
    headings = [parts[place + 1].content for place, token in enumerate(parts) if token.type == "heading_open"]
    return {"".join(c for c in text.lower().replace(" ", "-") if c.isalnum() or c in "-_") for text in headings}


def test_a_wrong_link_and_a_wrong_command_are_noticed(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("# A b\n[here](#a-b) [gone](#c) `python -m corpus dance DIR` `python -m synth --sideways`\n")
    assert anchors(document) == {"a-b"}
    with pytest.raises(AssertionError, match="#c"):
        test_links_lead_somewhere(document)
    with pytest.raises(AssertionError, match="no command dance"):
        test_commands_exist(document)


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text().splitlines()
    released = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## 0"))
    assert f"version: {version}" in citation
    date = next(line.partition(": ")[2] for line in citation if line.startswith("date-released"))
    assert released == f"## {version} - {date}"


def test_make_corpus_puts_the_data_where_the_main_job_would() -> None:
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("DATA"))
    assert line.split()[-1] == str(default_out(Settings(depth=5, n=200, out=Path())))


def test_the_table_is_printed_as_it_stands_in_the_readme() -> None:
    command = [sys.executable, "-m", "grammar", "table"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == SECTIONS["operations"]()
    assert done.stdout in README.read_text(encoding="utf-8")
