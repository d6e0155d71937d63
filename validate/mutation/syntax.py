"""The C++ of one function as Warp prints it, taken apart line by line.

The key insight: Warp prints one statement per line in a handful of fixed forms, so cutting at fixed characters is all
the parsing it takes; a line in any other form is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FLOATS = ("wp::float32", "wp::float64", "wp::float16", "wp::bfloat16")
INTS = tuple(f"wp::{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))

COMPOSITES = tuple(f"wp::{name}<" for name in ("vec_t", "mat_t", "quat_t", "transform_t"))

READS = ("address",)
"""Functions whose second argument is an index that is read at."""


def is_float(type: str) -> bool:
    """Whether it is the type of a float, or of a composite of floats."""
    return type in FLOATS or (type.startswith(COMPOSITES) and type.endswith(tuple(f"{name}>" for name in FLOATS)))


@dataclass(frozen=True, slots=True)
class Statement:
    """`target = wp::function(arguments);`, or without a target; a comparison's function is its operator."""

    indent: str
    target: str
    function: str
    args: tuple[str, ...]

    def text(self, args: Sequence[str] | None = None, function: str = "") -> str:
        """The line, with other arguments or another function."""
        begin = f"{self.indent}{self.target} = " if self.target else self.indent
        return f"{begin}wp::{function or self.function}({', '.join(self.args if args is None else args)});\n"


@dataclass(frozen=True, slots=True)
class Body:
    """One function: its lines, the statements among them by line, the type of each variable."""

    lines: Sequence[str]
    statements: Mapping[int, Statement]
    types: Mapping[str, str]
    given: frozenset[str]
    """Variables that have a value from their declaration on: constants and parameters."""
    reverse: int
    """The line after which the reverse pass stands; the number of lines where there is none."""
    indexing: frozenset[str]
    """Variables that an index is computed from."""


def read(text: str) -> Body:
    """One of a kernel's pieces, forward or adjoint, taken apart."""
    lines = text.splitlines(keepends=True)
    statements = {n: s for n, line in enumerate(lines) if (s := _statement(line)) is not None}
    types = dict(declared for line in lines if (declared := _declaration(line)) is not None)
    given = frozenset(d[0] for line in lines if " = " in line and (d := _declaration(line)) is not None)
    marks = [n for n, line in enumerate(lines) if line == "    // reverse\n"]
    indexing = _indexing(list(statements.values()))
    return Body(lines, statements, types, given, marks[0] if marks else len(lines), indexing)


def _statement(line: str) -> Statement | None:
    code = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    target, equals, right = code.partition(" = ")
    if not equals:
        target, right = "", code
    if not right.endswith(");") or not (target == "" or target.isidentifier()):
        return None
    if right.startswith("wp::"):
        function, _, inner = right[len("wp::") : -len(");")].partition("(")
        args = tuple(inner.split(", "))
    elif target and right.startswith("("):
        left, function, second = [*right[1 : -len(");")].split(" "), "", "", ""][:3]
        args = (left, second)
    else:
        return None
    return Statement(indent, target, function, args) if all(map(str.isidentifier, args)) else None


def _declaration(line: str) -> tuple[str, str] | None:
    """The variable that a line declares, and its type."""
    words = line.strip().removesuffix(";").removeprefix("const ").replace(", ", ",").split(" ")
    is_declaration = len(words) > 1 and words[1].startswith(("var_", "adj_")) and words[0].startswith(("wp::", "bool"))
    return (words[1], words[0]) if is_declaration else None


def _indexing(statements: Sequence[Statement]) -> frozenset[str]:
    """The variables that an index is computed from."""
    names = {s.args[1] for s in statements if s.function in READS or is_write(s)}
    return origins(names.union(*(s.args[1:] for s in statements if s.function == "extract")), statements)


def origins(names: set[str], statements: Sequence[Statement]) -> frozenset[str]:
    """The variables and, until nothing is added, those they are computed from without memory between."""
    found, size = set(names), -1
    while len(found) > size:
        size = len(found)
        for s in statements:
            if s.target in found and s.function not in READS:
                found |= set(s.args)
            if s.function == "assign" and s.args[0] in found:
                found.add(s.args[1])
    return frozenset(found)


def is_write(statement: Statement) -> bool:
    """Whether it writes to an array, at the index that is its second argument."""
    return statement.function == "array_store" or statement.function.startswith("atomic_")
