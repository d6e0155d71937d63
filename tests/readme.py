"""`python -m tests.readme`: brings the generated tables of README.md up to date.

The key insight: what the code already says is not said again by hand. A table stands between two comments that name it,
and a test fails while it isn't what its function gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from corpus.schema import COLUMNS
from grammar.defects import DEFECTS
from grammar.tables import operation_table

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def columns() -> str:
    """The columns of a row."""
    rows = [(f"`{c.name}`", _type(c.type) + (", or null" if c.nullable else ""), c.description) for c in COLUMNS]
    return markdown(("column", "type", "what it holds"), rows)


def _type(type_: object) -> str:
    text = str(type_)
    if "struct" in text:
        return "list of structs"
    return "list of strings" if text.startswith("list") else text


def defects() -> str:
    """The known defects of Warp, with the reproducer of each."""
    folder = "corpus/regressions/defects"
    rows = [
        (f"[{d.name}]({folder}/{d.name}.py)", d.summary, d.warp, d.found.isoformat(), d.upstream or "–")
        for d in DEFECTS
    ]
    return markdown(("defect", "what is wrong", "seen in Warp", "found", "upstream"), rows)


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
    return "\n".join(lines) + "\n"


SECTIONS: Mapping[str, Callable[[], str]] = {
    "columns": columns,
    "operations": operation_table,
    "defects": defects,
}


def renewed(text: str) -> str:
    """The text with each section as its function gives it. Raises ValueError where a section has no place in it."""
    for name, section in SECTIONS.items():
        before, opening, rest = text.partition(f"<!-- {name} -->\n")
        _, closing, after = rest.partition(f"<!-- /{name} -->\n")
        if not (opening and closing):
            raise ValueError(f"README.md has no section {name}")
        text = before + opening + section() + closing + after
    return text


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
