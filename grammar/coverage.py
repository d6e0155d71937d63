"""How much of Warp's builtins the grammar has: `python -m grammar coverage`.

The key insight: Warp lists its builtins by signatures with type variables, such as `vec[Any, Float]`. One that a row of
the table is an instance of is covered; how many of its instances are says how wide the types are. Whatever is neither
covered nor given a reason is absent, and is listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, product
from typing import Any

from rich.console import Console
from rich.table import Table

from grammar import constructs as said
from grammar.op import Call, InPlace, Item, Member, Op, Pasted, Placed
from grammar.ops import ROWS
from grammar.registry import Signature, signatures, warp_version
from grammar.types import Composite, Element, Kind
from grammar.vocabulary import vocabulary

FLOATS = ("bfloat16", "float16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
VARIABLES: Mapping[str, tuple[str, ...]] = {"Scalar": (*FLOATS, *INTEGERS), "Float": FLOATS, "Int": INTEGERS}
"""The types of Warp's in scope that each type variable stands for."""
SIZES = ("2", "3", "4")
"""Of vectors, and of matrices, which are square, where a signature takes any: Warp has names for these."""

CONSTRUCTORS: Mapping[Kind, str] = {
    "vector": "vector",
    "matrix": "matrix",
    "quaternion": "quaternion",
    "transform": "transformation",
    "twist": "spatial_vector",
    "tile": "tile",
}
SYNONYMS: Mapping[str, str] = {
    "logical_not": "unot",
    "matmul": "mul",
    "modulo": "mod",
    "power": "pow",
    "ternary": "where",
    "float": "float32",
    "int": "int32",
}
"""Names of rows and casts that stand for a builtin of another name."""

ABSENT: Mapping[str, str] = {
    "mat[Any, Any, Int]": "there are no matrices of integers yet",
    "_indexed(": "all tiles that are loaded are blocks of an array, none is made of elements that another tile names",
    "k: int32": "tiles have two axes at most",
    "float16": "there are no transforms of float16 yet",
    "(a: array)": "asks whether a launch hands over an array at all: here all do",
    "(arr: array, value_if": "asks whether a launch hands over an array at all: here all do",
    "tuple)": "the only tuples are what functions return",
    "zeros(": "makes an array inside of a kernel",
}
"""Why signatures that are in scope are not covered: by what they hold, the first that fits."""

Shape = tuple[str, tuple[str, ...], str]
"""A type: `("vec", ("3",), "float32")`, `("", (), "bool")`; in signatures, parts may be variables."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What is covered of a signature that is in scope."""

    signature: Signature
    is_covered: bool
    instances: int
    """Types that its variables may stand for; 0 where it takes what no variable says, such as arrays."""
    instances_covered: int


def coverage() -> tuple[Covered, ...]:
    """All signatures that are in scope."""
    return tuple(_covered(signature) for signature in signatures() if not signature.out_of_scope)


def _covered(signature: Signature) -> Covered:
    matching = covered_by(signature)
    wanted = set(instances(signature))
    have = {tuple(map(_shape, op.params)) for op in matching}
    return Covered(signature, bool(matching) or _is_said(signature), len(wanted), len(wanted & have))


def covered_by(signature: Signature) -> list[Op]:
    """The rows of the table that are instances of it."""
    return [op for op in rows_by_builtin().get(signature.name, ()) if _is_instance(op, signature)]


# -- rows of the table ------------------------------------------------------------------------------------------------


@cache
def rows_by_builtin() -> Mapping[str, Sequence[Op]]:
    """Rows by the builtin that they stand for; components and operators that code generation knows stand for none."""
    found: dict[str, list[Op]] = {}
    for op in ROWS.values():
        found.setdefault(_builtin(op), []).append(op)
    return found


def _builtin(op: Op) -> str:
    match op.spelling:
        case Call(function, _) if isinstance(op.result, Composite) and function == op.result.spelling:
            return CONSTRUCTORS[op.result.kind]
        case Call(function, _) | InPlace(function, _) | Placed(function):
            name = function.removeprefix("wp.")
            return SYNONYMS.get(name, name)
        case Member() | Item() | Pasted():
            return ""
        case _:
            return SYNONYMS.get(op.name, op.name)


def _is_instance(op: Op, signature: Signature) -> bool:
    """Whether a call that the row is written as is one by that signature."""
    spelt = op.spelling if isinstance(op.spelling, Call) else Call("")
    operands = list(map(_shape, _operands(op)))
    if op.searched:
        operands.append(("", (), "array"))
    keywords = [name for name, _ in spelt.keywords]
    params = [(name, type) for name, type in signature.params[len(spelt.first) :] if name not in keywords]
    if any(name.startswith("*") for name, _ in params):
        return all(name in dict(signature.params) for name in keywords)
    needed = [name for name, _ in params if name not in signature.optional]
    fits = all(_fits(shape, _pattern(text)) for shape, (_, text) in zip(operands, params, strict=False))
    return fits and len(needed) <= len(operands) <= len(params)


def _operands(op: Op) -> Sequence[Element]:
    match op.spelling:
        case InPlace():
            return op.spelling.ordered(op.params)
        case Placed():
            return (*op.params, *op.results)
        case _:
            return op.params


def _shape(type: Element) -> Shape:
    if isinstance(type, Composite) and type.is_tile:
        return "", (), "tile"
    if not isinstance(type, Composite):
        return "", (), type.name
    sizes = tuple(map(str, type.shape)) if type.kind in ("vector", "matrix", "twist") else ()
    return _KINDS[type.kind], sizes, type.scalar.name


_KINDS: Mapping[Kind, str] = {
    "vector": "vec",
    "twist": "vec",
    "matrix": "mat",
    "quaternion": "quat",
    "transform": "transform",
    "tile": "tile",
}


def _pattern(text: str) -> Shape:
    kind, bracket, inside = text.removesuffix("]").partition("[")
    if not bracket:
        return "", (), text
    *sizes, scalar = inside.split(", ")
    return kind, tuple(sizes), scalar


def _fits(shape: Shape, pattern: Shape) -> bool:
    if pattern == ("", (), "Any"):
        return True
    (kind, sizes, scalar), (kind_, sizes_, scalar_) = shape, pattern
    same = all(want in ("Any", size) for size, want in zip(sizes, sizes_, strict=False))
    return kind == kind_ and same and scalar in VARIABLES.get(scalar_, (scalar_,))


def instances(signature: Signature) -> Iterator[tuple[Shape, ...]]:
    """Its parameters for each choice of types; none where it takes any type, arrays or as many arguments as one likes.

    A variable is one type throughout, as is a size that may be any.
    """
    patterns = [_pattern(text) for name, text in signature.params if name not in signature.optional]
    known = {*VARIABLES, *VARIABLES["Scalar"], "bool"}
    if any(scalar not in known for _, _, scalar in patterns) or any(name[0] == "*" for name, _ in signature.params):
        return
    variables = sorted({scalar for _, _, scalar in patterns} & VARIABLES.keys())
    sizes = SIZES if any("Any" in sizes for _, sizes, _ in patterns) else SIZES[:1]
    for size, *chosen in product(sizes, *(VARIABLES[name] for name in variables)):
        types = dict(zip(variables, chosen, strict=True))
        yield tuple((k, tuple(size if s == "Any" else s for s in z), types.get(t, t)) for k, z, t in patterns)


# -- statements -------------------------------------------------------------------------------------------------------


def _is_said(signature: Signature) -> bool:
    """Whether the vocabulary calls the builtin, other than by rows of the table, with as many arguments."""
    if signature.name == "tid":
        return said.thread(signature.results) in vocabulary()
    if signature.name in rows_by_builtin() and [type for _, type in signature.params] != ["array"]:
        return False  # of all but arrays, rows say what is covered
    needed = len(signature.params) - len(signature.optional)
    return any(needed <= count <= len(signature.params) for count in calls_said().get(signature.name, ()))


@cache
def calls_said() -> Mapping[str, frozenset[int]]:
    """Numbers of arguments of all calls in the vocabulary, by builtin."""
    found: dict[str, set[int]] = {}
    for construct in vocabulary():
        name, bracket, rest = construct.partition("(")
        if bracket and name.startswith("wp."):
            found.setdefault(name.removeprefix("wp."), set()).add(rest.partition(")")[0].count("_,") + ("_" in rest))
    return {name: frozenset(counts) for name, counts in found.items()}


# -- telling ----------------------------------------------------------------------------------------------------------


def as_data() -> dict[str, Any]:
    """Plain JSON."""
    found = coverage()
    groups = sorted({one.signature.group for one in found})
    return {
        "warp": warp_version(),
        "all": _counts(found),
        "groups": {group: _counts([one for one in found if one.signature.group == group]) for group in groups},
        "absent": {
            group: {
                str(c.signature): _why_absent(c.signature)
                for c in found
                if c.signature.group == group and not c.is_covered
            }
            for group in groups
        },
        "out_of_scope": _reasons(),
    }


def _counts(found: Sequence[Covered]) -> dict[str, int]:
    return {
        "builtins": len({one.signature.name for one in found}),
        "builtins_covered": len({one.signature.name for one in found if one.is_covered}),
        "signatures": len(found),
        "signatures_covered": sum(one.is_covered for one in found),
        "instances": sum(one.instances for one in found),
        "instances_covered": sum(one.instances_covered for one in found),
    }


def _why_absent(signature: Signature) -> str:
    return next((why for words, why in ABSENT.items() if words in str(signature)), "")


def _reasons() -> dict[str, list[str]]:
    """Builtins by why some of their signatures are out of scope."""
    reasons: dict[str, dict[str, None]] = {}
    for signature in signatures():
        if signature.out_of_scope:
            reasons.setdefault(signature.out_of_scope, {})[signature.name] = None
    return {reason: list(names) for reason, names in reasons.items()}


def show(data: Mapping[str, Any], console: Console) -> None:
    """Tables: the shares by group, what is absent, what is out of scope and why."""
    table = Table(title=f"builtins of Warp {data['warp']} that are in scope", caption=CAPTION)
    for column in ("group", "builtins", "", "overloads", "", "on named types", ""):
        table.add_column(column, justify="left" if column == "group" else "right")
    for group, counts in data["groups"].items():
        table.add_row(group, *_cells(counts))
    table.add_section()
    table.add_row("together", *_cells(data["all"]))
    console.print(table)
    absent: dict[str, list[str]] = {}
    for signature, why in chain.from_iterable(texts.items() for texts in data["absent"].values()):
        absent.setdefault(why, []).append(signature)
    for title, rows in (
        ("absent", {why: _names(texts) for why, texts in absent.items()}),
        ("out of scope", data["out_of_scope"]),
    ):
        listing = Table(title=title)
        listing.add_column("why", max_width=40)
        listing.add_column("builtins")
        for head, names in rows.items():
            listing.add_row(head, ", ".join(names))
        console.print(listing)


CAPTION = (
    "in the grammar / in scope. An overload is one that Warp documents, with variables for types; it is covered where "
    "a row of the table is an instance of it, or a statement says it. On named types: its instances on all scalars, "
    "vectors and square matrices of 2 to 4, quaternions, transforms"
)


def _cells(counts: Mapping[str, int]) -> Iterator[str]:
    for what in ("builtins", "signatures", "instances"):
        covered, total = counts[f"{what}_covered"], counts[what]
        yield f"{covered}/{total}"
        yield f"{100 * covered / total:.1f}%" if total else "–"


def _names(texts: Sequence[str]) -> list[str]:
    """Builtins, each once, with the number of overloads where it is more than one."""
    names = [text.partition("(")[0] for text in texts]
    return [name if names.count(name) == 1 else f"{name} ×{names.count(name)}" for name in dict.fromkeys(names)]


def command(as_json: bool, console: Console) -> None:
    """Prints the coverage."""
    if as_json:
        console.out(json.dumps(as_data(), indent=1, ensure_ascii=False), highlight=False)
    else:
        show(as_data(), console)
