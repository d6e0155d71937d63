"""Faults for planting: in the C++ that Warp printed for a kernel, forward and adjoint.

The key insight: every fault is one line put in place of another. Faults that could only crash or write wild are not
made: the integers that an index comes from are left alone, except to be off by one, which canaries see. Nor are those
that plainly change nothing, such as an adjoint of a number, which no array ever sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

from validate.mutation.syntax import FLOATS, INTS, READS, Body, Statement, is_float, is_write, origins, read

FORWARD, ADJOINT = "cpp_forward", "cpp_adjoint"


class Kind(Enum):
    OPERATOR = "operator swapped"
    CONSTANT = "constant changed"
    INDEX = "index off by one"
    STATEMENT = "statement dropped"
    COMPARISON = "comparison flipped"
    ADJOINT_DROPPED = "adj_ line dropped"
    SIGN = "sign flipped"
    ARGUMENTS = "arguments swapped"
    ASSIGNED = "assigned, not accumulated"
    PRIMAL = "wrong primal variable"
    REPLAY = "wrong operator in replay"
    CELL = "wrong cell of the table"

    @property
    def side(self) -> str:
        return "forward" if self in (*FORWARD_KINDS, Kind.CELL) else "adjoint"


FORWARD_KINDS = (Kind.OPERATOR, Kind.CONSTANT, Kind.INDEX, Kind.STATEMENT, Kind.COMPARISON)


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of a piece of C++ in place of another; for `Kind.CELL`, words for the cell and its wrong meaning."""

    kind: Kind
    piece: str
    line: int
    """Counted from 0 within the piece."""
    before: str
    after: str

    @property
    def label(self) -> str:
        return f"{self.before.strip()}  →  {self.after.strip() or '(nothing)'}"


def planted(pieces: Mapping[str, str], fault: Fault) -> dict[str, str]:
    """The pieces with the fault in them."""
    lines = pieces[fault.piece].splitlines(keepends=True)
    assert lines[fault.line] == fault.before, f"{fault.piece} has another line {fault.line}"
    lines[fault.line] = fault.after
    return {**pieces, fault.piece: "".join(lines)}


def faults(pieces: Mapping[str, str]) -> Iterator[Fault]:
    """Every fault that is made in a kernel's C++, in the order of the lines."""
    for piece, find in ((FORWARD, _forward_faults), (ADJOINT, _adjoint_faults)):
        if pieces.get(piece):
            body = read(pieces[piece])
            yield from (Fault(kind, piece, n, body.lines[n], after) for n, kind, after in find(body))


# -- forward ----------------------------------------------------------------------------------------------------------

Change = tuple[int, Kind, str]

OTHER: Mapping[str, tuple[str, ...]] = {
    "add": ("sub", "mul"),
    "sub": ("add", "mul"),
    "mul": ("add", "div"),
    "div": ("mul", "sub"),
    "mod": ("div",),
    "floordiv": ("div",),
    "min": ("max",),
    "max": ("min",),
    "pow": ("mul",),
    "atan2": ("add",),
    "copysign": ("mul",),
    "sin": ("cos",),
    "cos": ("sin",),
    "tan": ("tanh",),
    "tanh": ("sin",),
    "exp": ("cosh",),
    "sinh": ("cosh",),
    "cosh": ("sinh",),
    "log": ("log2",),
    "log2": ("log10",),
    "log10": ("log",),
    "sqrt": ("cbrt",),
    "cbrt": ("sqrt",),
    "abs": ("neg",),
    "neg": ("abs",),
    "asin": ("acos",),
    "acos": ("asin",),
    "atan": ("tanh",),
    "erf": ("erfc",),
    "erfc": ("erf",),
    "floor": ("ceil",),
    "ceil": ("floor",),
    "round": ("trunc",),
    "rint": ("floor",),
    "trunc": ("round",),
    "degrees": ("radians",),
    "radians": ("degrees",),
    "sign": ("neg",),
    "lerp": ("clamp",),
    "clamp": ("lerp",),
    "smoothstep": ("clamp",),
}
"""Functions of the same arity, by the function they take the place of, on floats."""

OTHER_ON_INTS: Mapping[str, tuple[str, ...]] = {
    "add": ("sub",),
    "sub": ("add",),
    "mul": ("add",),
    "div": ("sub",),
    "mod": ("sub",),
    "min": ("max",),
    "max": ("min",),
    "bit_and": ("bit_or",),
    "bit_or": ("bit_xor",),
    "bit_xor": ("bit_and",),
    "lshift": ("rshift",),
    "rshift": ("lshift",),
    "abs": ("neg",),
    "neg": ("abs",),
}
"""Likewise on integers; none that divides."""

OTHER_ON_COMPOSITES: Mapping[str, tuple[str, ...]] = {
    "add": ("sub",),
    "sub": ("add",),
    "mul": ("add",),
    "cw_mul": ("add", "cw_div"),
    "cw_div": ("sub", "cw_mul"),
    "cross": ("add", "cw_mul"),
    "min": ("max",),
    "max": ("min",),
    "abs": ("neg",),
    "neg": ("abs",),
    "normalize": ("neg",),
}
"""Likewise on composites."""

NEGATED = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}


def _forward_faults(body: Body) -> Iterator[Change]:
    used = {arg for s in body.statements.values() for arg in s.args}
    for n, line in enumerate(body.lines):
        if changed := _other_constant(line, used, body):
            yield n, Kind.CONSTANT, changed
        s = body.statements.get(n)
        if s is None:
            continue
        yield from ((n, Kind.OPERATOR, text) for text in _other_operators(s, body))
        if s.function in READS or is_write(s):
            for step in (" + 1", " - 1"):
                yield n, Kind.INDEX, s.text((s.args[0], s.args[1] + step, *s.args[2:]))
        if s.function in NEGATED:
            left, right = s.args
            yield n, Kind.COMPARISON, f"{s.indent}{s.target} = ({left} {NEGATED[s.function]} {right});\n"
        elif _can_be_dropped(s, body):
            yield n, Kind.STATEMENT, f"{s.indent}{s.target} = {{}};\n" if s.target else f"{s.indent};\n"


def _other_operators(s: Statement, body: Body) -> list[str]:
    kind = body.types.get(s.target, "")
    if s.target in body.indexing or any(body.types.get(arg) != kind for arg in s.args):
        return []
    table = (
        OTHER if kind in FLOATS else OTHER_ON_INTS if kind in INTS else OTHER_ON_COMPOSITES if is_float(kind) else {}
    )
    return [s.text(function=other) for other in table.get(s.function, ())]


def _can_be_dropped(s: Statement, body: Body) -> bool:
    """Writes, and values that may be zero instead: not pointers, ranges and what an index comes from."""
    if s.target:
        kind = body.types.get(s.target, "")
        return (is_float(kind) or kind in (*INTS, "bool")) and s.target not in body.indexing
    return is_write(s) or (s.function == "assign" and s.args[0] not in body.indexing)


def _other_constant(line: str, used: set[str], body: Body) -> str:
    """A line that gives a variable the value of a literal, with another one; empty for other lines.

    Empty too if the variable plays no part, or one in an index.
    """
    begin, _, value = line.rstrip().removesuffix(";").partition(" = ")
    name = begin.split(" ")[-1]
    kind = body.types.get(name, "")
    if name not in used or name in body.indexing:
        return ""
    if kind in INTS:
        return f"{begin} = {_next(int(value))};\n" if value.removeprefix("-").isdecimal() else ""
    if kind not in FLOATS or not value.removeprefix("-")[:1].isdecimal():  # Warp has names for infinities and NaN
        return ""
    number = float(value)
    return f"{begin} = {number * 1.25 if number else 0.25!r};\n"


def _next(number: int) -> int:
    """The next number; after −1 comes not 0, by which somebody may divide."""
    return -2 if number == -1 else number + 1


# -- adjoint ----------------------------------------------------------------------------------------------------------

LINEAR = (
    *("adj_add", "adj_sub", "adj_neg", "adj_copy", "adj_assign", "adj_float"),
    *("adj_bfloat16", "adj_float16", "adj_float32", "adj_float64"),
    *("adj_vec_t", "adj_mat_t", "adj_quat_t", "adj_transform_t", "adj_extract"),
    *("adj_degrees", "adj_radians", "adj_mod", "adj_where", "adj_array_store", "adj_address"),
    *("adj_atomic_add", "adj_atomic_sub"),
)
"""Adjoints that don't need the values of their arguments, so that wrong ones are no fault."""


def _adjoint_faults(body: Body) -> Iterator[Change]:
    earlier: list[str] = []
    flows = {n: _flow(s, body) for n, s in body.statements.items() if n > body.reverse}
    needed = _needed(body)
    alive = _alive(list(flows.values()), body)
    for n, s in body.statements.items():
        if not s.function.startswith("adj_"):
            if s.target in needed:
                yield from ((n, Kind.REPLAY, text) for text in _other_operators(s, body))
            continue
        targets, source = flows.get(n, ([], ""))
        targets = [target for target in targets if target in alive]
        if not targets or not (source in alive or source == ""):
            continue
        yield n, Kind.ADJOINT_DROPPED, f"{s.indent};\n"
        yield n, Kind.SIGN, _sign_flipped(s, targets, source)
        yield from ((n, Kind.ARGUMENTS, s.text(args)) for args in _swapped(s, targets, body))
        yield from ((n, Kind.ASSIGNED, _assigned(s, target)) for target in targets if target in earlier)
        yield from ((n, Kind.PRIMAL, s.text(args)) for args in _wrong_primals(n, s, body))
        earlier += targets


def _flow(s: Statement, body: Body) -> tuple[list[str], str]:
    """The float adjoints that a line adds to, and the one it takes this from; for stores, "" in place of an array."""
    adjoints = [arg for arg in s.args if arg.startswith("adj_")]
    if len(adjoints) < 2:
        return [], ""
    if s.function == "adj_address":
        return (adjoints[:1] if is_float(body.types.get(adjoints[-1], "")) else []), adjoints[-1]
    if s.function == "adj_array_store":
        targets, source = adjoints[-1:], ""
    elif s.function.startswith("adj_atomic_"):
        targets, source = adjoints[-2:-1], ""
    elif s.function == "adj_assign":
        targets, source = adjoints[1:], adjoints[0]
    else:
        targets, source = adjoints[:-1], adjoints[-1]
    return [target for target in targets if is_float(body.types.get(target, ""))], source


def _alive(flows: Sequence[tuple[list[str], str]], body: Body) -> frozenset[str]:
    """The adjoints that are fed by some output's gradient, and that some input's gradient is fed by."""
    fed, feeding = {""}, {name for targets, _ in flows for name in targets if not is_float(body.types.get(name, ""))}
    size = -1
    while len(fed) + len(feeding) > size:
        size = len(fed) + len(feeding)
        for targets, source in flows:
            fed |= set(targets) if source in fed else set()
            feeding |= {source} if not feeding.isdisjoint(targets) else set()
    return frozenset(fed & feeding)


def _needed(body: Body) -> frozenset[str]:
    """The values that some adjoint is computed from."""
    adjoints = [s for s in body.statements.values() if s.function.startswith("adj_") and s.function not in LINEAR]
    return origins({arg for s in adjoints for arg in s.args if arg.startswith("var_")}, [*body.statements.values()])


def _sign_flipped(s: Statement, targets: Sequence[str], source: str) -> str:
    if source:
        return f"{s.indent}{source} = -{source}; {s.text().lstrip()}"
    return f"{s.text().rstrip()} {targets[0]} = -{targets[0]};\n"


def _assigned(s: Statement, target: str) -> str:
    """The line, with what it adds to set to zero before."""
    place = f"*wp::address({target}, {s.args[1]})" if s.function == "adj_address" else target
    return f"{s.indent}{place} = {{}}; {s.text().lstrip()}"


def _swapped(s: Statement, targets: Sequence[str], body: Body) -> Iterator[tuple[str, ...]]:
    values = (
        [] if s.function in LINEAR else [a for a in s.args if a.startswith("var_") and is_float(body.types.get(a, ""))]
    )
    for names in (values, targets):
        for one, other in combinations(dict.fromkeys(names), 2):
            if body.types[one] == body.types[other]:
                yield tuple({one: other, other: one}.get(arg, arg) for arg in s.args)


def _wrong_primals(n: int, s: Statement, body: Body) -> Iterator[tuple[str, ...]]:
    """Another variable of the type in place of one argument, one that has a value wherever that one has."""
    if s.function in LINEAR:
        return
    for k, arg in enumerate(s.args):
        if arg.startswith("var_") and is_float(body.types.get(arg, "")):
            for other in _known_before(arg, n, body):
                yield (*s.args[:k], other, *s.args[k + 1 :])


def _known_before(name: str, n: int, body: Body) -> Iterator[str]:
    """Constants and parameters; and what is assigned outside of branches before `name` is, and before line `n`."""
    assigned = {s.target: m for m, s in [*body.statements.items()][::-1] if s.target}
    end = min(assigned.get(name, 0), n, body.reverse)
    for other, type in body.types.items():
        if type != body.types[name] or other == name or not other.startswith("var_"):
            continue
        at = assigned.get(other, end)
        if other in body.given or (at < end and len(body.statements[at].indent) == 4):
            yield other
