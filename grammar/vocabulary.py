"""Everything that the grammar can grow, as constructs by name and as JSON: `python -m grammar vocabulary`.

The key insight: operations are a fold over the table, and what statements and leaves look like is said once, here. A
test grows kernels, reads them like anybody's, and finds in them all that is here and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import libcst as cst

from grammar import constructs as said
from grammar.atomics import AtomicKind
from grammar.components import SIGNS
from grammar.families import FAMILIES
from grammar.op import Call, Chain, Infix, InPlace, Item, Member, Op, Pasted, Placed, Prefix, Slice, Ternary
from grammar.ops import ROWS
from grammar.outputs import PART_UPDATES
from grammar.profiles import PROFILES
from grammar.signature import FUNCTION
from grammar.tiles import is_tile
from grammar.types import ELEMENTS, LETTERS, WARPS, Array

DIMENSIONS = range(1, 1 + max(n for family in FAMILIES for n, _ in family.dimensions))
"""Of arrays, and of the grid of threads."""
UPDATES = ("add", "sub", "mul", "bit_xor")
"""Operators of `name OP= value`."""
ARRAY_UPDATES = ("add", "sub", "mul", "div", "bit_and", "bit_or", "bit_xor")
"""Operators of `array[i] OP= value`."""
PARTS = (said.component(1), said.component(2), *map(said.member, LETTERS))
"""Parts of locals that are assigned to."""
FIELD_UPDATES = ("add",)
"""Operators of `p.x OP= value`."""


def _signs(names: Sequence[str]) -> tuple[str, ...]:
    """`+=`, …, of the operators with these names in the table."""
    tokens = {op.name: op.spelling.token for op in ROWS.values() if isinstance(op.spelling, Infix)}
    return tuple(said.operator_text(getattr(cst, f"{tokens[name]}Assign")()) for name in names)


STATEMENTS = (
    *map(said.thread, DIMENSIONS),
    said.given("a"),
    said.given("a, b"),
    *(said.given("a", sign) for sign in _signs(UPDATES)),
    *(said.given(said.element(n)) for n in DIMENSIONS),
    *(said.given(said.element(n), sign) for n in DIMENSIONS for sign in _signs(ARRAY_UPDATES)),
    *(said.given(part, sign) for part in PARTS for sign in ("=", *_signs(SIGNS))),
    *(said.given(said.PART_OF_ELEMENT, sign) for sign in ("=", *_signs(PART_UPDATES))),
    *(
        said.alone(said.call(f"wp.{kind.value}", 2 + n + (kind is AtomicKind.CAS)))
        for kind in AtomicKind
        for n in DIMENSIONS
    ),
    *(said.given(said.FIELD, sign) for sign in ("=", *_signs(FIELD_UPDATES))),
    said.alone(said.call("wp.tile_store", 2, ["offset"])),
    *(said.alone(said.call("wp.tile_atomic_add", 2, keywords)) for keywords in ([], ["offset"])),
    *("if", "elif", "else", *map(said.trips, (1, 2, 3)), "while", "break", "continue", "return"),
    *("return _", "return _, _"),
    said.alone(said.CALL_ON_ARRAY),
)
CALLS = (said.CALL_OF_OWN, said.CALL_ON_ARRAY, said.CALL_OF_GRADIENT, said.CALL_OF_PASSED, said.FUNCTION, said.CUSTOM)
FORMS = (said.SIZE, *CALLS, said.DEFAULT, said.FROM_OUTSIDE, said.STRUCT, said.FIELD)
FOUND = (said.call("wp.atomic_add", 3), said.call("wp.atomic_exch", 3), said.call("wp.atomic_cas", 4))
"""What gives a local the old value: `slot = wp.atomic_add(count, 0, 1)`."""
STATIC = said.call("wp.static", 1)
LENGTH = said.call("wp.len", 1)
"""Of an array, which is spelt `len(x)`."""
TERMS = (
    *map(said.element, DIMENSIONS),
    *FORMS,
    *(said.call("wp.tile_load", 1, keywords) for keywords in (["shape"], ["shape", "offset"])),
    *(STATIC, said.VIEW),
    LENGTH,
    *FOUND,
    *WARPS,
)
"""What is not an operation of the table; literals and names are no constructs."""


def written(op: Op) -> str:
    """The construct that a row of the table is written with."""
    match op.spelling:
        case Infix(token):
            return said.infix(said.operator_text(getattr(cst, token)()))
        case Prefix(token):
            return said.prefix(said.operator_text(getattr(cst, token)()))
        case Call(function, keywords, first):
            return said.call(function, len(first) + len(op.params), [name for name, _ in keywords])
        case Pasted(indices):
            sliced = any(isinstance(index, Slice) for index in indices)
            return said.given(said.SLICE if sliced else said.component(len(indices)))
        case InPlace(function, _, keywords):
            return said.alone(said.call(function, len(op.params), [name for name, _ in keywords]))
        case Placed(function):
            return said.alone(said.call(function, len(op.params) + len(op.results)))
        case Ternary():
            return said.TERNARY
        case Chain():
            return said.CHAIN
        case Member(name):
            return said.member(name)
        case Item(indices) if any(isinstance(index, Slice) for index in indices):
            return said.SLICE
        case Item(indices):
            return said.component(len(indices) + len(op.params) - 1)


@cache
def vocabulary() -> frozenset[str]:
    """All constructs, named as `grammar.constructs` names those of real kernels."""
    parameters = [said.parameter(mark, type) for mark, types in parameter_types().items() for type in types]
    parameters += [said.parameter("func", type) for type in ("any", FUNCTION)]
    return frozenset([*STATEMENTS, *TERMS, *map(written, ROWS.values()), *passed(), *parameters])


def passed() -> Iterator[str]:
    """Builtins that are passed to others: the `wp.sin` of `wp.tile_map(wp.sin, t)`."""
    for op in ROWS.values():
        first = op.spelling.first if isinstance(op.spelling, Call) else ()
        yield from (name for name in first if isinstance(name, str))


def parameter_types() -> Mapping[str, list[str]]:
    """Types of parameters, of kernels and of functions; tiles are passed to none by themselves."""
    alone = {name: T for name, T in ELEMENTS.items() if not is_tile(T)}
    arrays = [Array(T, *[n][: n > 1]) for T in alone.values() for n in DIMENSIONS]
    types = [*alone, *map(repr, arrays)]
    records = [said.array_of(said.STRUCT, n) for n in DIMENSIONS]
    free = ["any", *(said.array_of("any", n) for n in DIMENSIONS)]
    return {"kernel": [*types, said.STRUCT, *records, *free], "func": [*types, said.STRUCT]}


def as_data() -> dict[str, Any]:
    """Plain JSON: each construct under its kind; operators and builtins with the types that they take and give."""
    is_operator = {op: isinstance(op.spelling, Infix | Prefix | Ternary | Chain) for op in ROWS.values()}
    is_part = {op: isinstance(op.spelling, Member | Item | Pasted) for op in ROWS.values()}
    return {
        "statements": list(STATEMENTS),
        "terms": list(TERMS),
        "operators": _signatures([op for op in ROWS.values() if is_operator[op]]),
        "builtins": _signatures([op for op in ROWS.values() if not is_operator[op] and not is_part[op]]),
        "components": _signatures([op for op in ROWS.values() if is_part[op]]),
        "annotations": parameter_types(),
        "families": [family.name for family in FAMILIES],
        "profiles": list(PROFILES),
    }


def _signatures(ops: Sequence[Op]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for op in ops:
        taken, given = (", ".join(map(repr, types)) for types in (op.params, op.results))
        found.setdefault(written(op), []).append(f"({taken}) -> {given}")
    return dict(sorted(found.items()))


def as_json(data: Mapping[str, Any]) -> str:
    """Text, the same for the same data."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
