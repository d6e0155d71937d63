"""The table of operations as Markdown, for people.

The key insight: rows that share a name are one operation to a reader, and the two widths of floats are one kind, as are
vectors of all lengths, so a page says all that the table does, and is a fold over its rows like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from grammar.emit import emit_term
from grammar.op import Item, Member, Op, Ternary
from grammar.ops import SEVERAL, TABLE
from grammar.tiles import is_tile
from grammar.tree import Apply, Term, Var
from grammar.types import BOOL, FLOATS, Composite, Element

BAR = "\\|"
LETTERS = "abcd"
HEADER = ("operation", "written", "types", "result", "gradient", "watched")
LEGEND = (
    "`float` stands for the floats, `int` for the integers of all widths, `vec` for vectors of any length, `tile` for "
    "tiles of any shape. An *exact* "
    "result has the same bits as the reference's, a *rounded* one lies within a tolerance. *Watched* is where care is "
    "taken: the edge of the operation's *domain*, a *jump* of its value, a *kink* of its slope."
)


def operation_table(table: Sequence[Op] = (*TABLE, *SEVERAL)) -> str:
    """Markdown: the operations by group, each with its spelling, its types and what checking it takes care of."""
    lines = [LEGEND]
    for group in dict.fromkeys(op.group for op in table):
        lines += ["", f"**{group}**", "", _line(HEADER), _line(["---"] * len(HEADER))]
        lines += [_line(_cells(rows)) for rows in _by_name(op for op in table if op.group == group)]
    return "\n".join(lines) + "\n"


def _by_name(ops: Iterable[Op]) -> Iterable[list[Op]]:
    """Constructors of one kind of composite are one operation too, and so is the reading of its components."""
    names: dict[str, list[Op]] = {}
    for op in ops:
        is_part = isinstance(op.spelling, Member | Item)
        names.setdefault(_kind(op.result) if _is_constructor(op) else "" if is_part else op.name, []).append(op)
    return names.values()


def _is_constructor(op: Op) -> bool:
    return isinstance(op.result, Composite) and op.name == op.result.name


def _cells(rows: Sequence[Op]) -> Iterator[str]:
    names = [_kind(op.result) if _is_constructor(op) else op.name for op in rows]
    yield names[0] if len(set(names)) == 1 else f"{names[0]} … {names[-1]}"
    shown = max((op for op in rows if len(op.params) <= len(LETTERS)), key=lambda op: len(op.params))
    yield f"`{spelt(shown if _is_constructor(shown) else rows[0])}`"
    yield "; ".join(_signatures(rows))
    yield "exact" if all(op.exact for op in rows) else "rounded"
    yield _gradient(rows)
    yield ", ".join(filter(None, (_watched(rows, what) for what in ("domain", "jump", "kink"))))


def spelt(op: Op) -> str:
    """The operation on operands `a`, `b`, …, as kernels spell it; the condition of a conditional expression is `c`."""
    letters = "cab" if isinstance(op.spelling, Ternary) else LETTERS
    operands: list[Term] = [Var(letter, type) for letter, type in zip(letters, op.params, strict=False)]
    return emit_term(Apply(op, tuple(operands)))


# -- cells ------------------------------------------------------------------------------------------------------------


def _signatures(rows: Sequence[Op]) -> Iterator[str]:
    """`float, float → float` and so on, once each; those that differ in the first operand alone are put together.

    More than two operands of one kind are `float, …`.
    """
    name: Callable[[Element], str] = repr if any(_changes_width(op) for op in rows) else _kind
    firsts: dict[tuple[str, ...], dict[str, None]] = {}
    for op in rows:
        first, *rest = map(name, op.params) if op.params else ("nothing",)
        if len(rest) > 1 and {first, *rest} == {first} and _is_constructor(op):
            rest = ["…"]
        firsts.setdefault((*rest, ", ".join(map(name, op.results))), {})[first] = None
    for (*rest, result), first_kinds in firsts.items():
        yield f"{', '.join([' or '.join(first_kinds), *rest])} → {result}"


def _changes_width(op: Op) -> bool:
    return op.result in FLOATS and any(type in FLOATS and type is not op.result for type in op.params)


def _kind(type: Element) -> str:
    if is_tile(type) and not type.of_threads:
        return "tile of vec" if type.vectors else "tile"
    if isinstance(type, Composite):
        return type.name.rstrip("fdhiu").rstrip("0123456789")
    return "float" if type in FLOATS else "bool" if type is BOOL else "int"


def _watched(rows: Sequence[Op], what: str) -> str:
    """`jump`, or `jump (float)` where only the rows on floats have one, or nothing."""
    having = {_kind(op.params[-1]) for op in rows if getattr(op, what) is not None}
    everywhere = having == {_kind(op.params[-1]) for op in rows if op.params}
    return what if having and everywhere else f"{what} ({', '.join(sorted(having))})" if having else ""


def _gradient(rows: Sequence[Op]) -> str:
    """Whether one flows from the result to a float operand; nothing where there is no such operand or result.

    `limited`, where Warp documents that it is not to be trusted.
    """
    smooth = [op for op in rows if op.result.scalar in FLOATS and any(type.scalar in FLOATS for type in op.params)]
    if any(op.approximate for op in smooth):
        return "limited"
    return "" if not smooth else "yes" if all(op.differentiable for op in smooth) else "zero"


def _line(cells: Iterable[str]) -> str:
    """A row of a Markdown table, in which a vertical bar would end the cell."""
    return f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"
