"""Canonical forms: names are chance, everything else is not.

The key insight: a hash is right if it is blind to exactly one thing. So kernels are changed in one respect at a time,
by renaming throughout or by rewriting one term, and the hashes must stay or move.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from grammar.atomics import AtomicKind
from grammar.canon import canonical_hash, shape_hash
from grammar.emit import emit
from grammar.literal import number as literal
from grammar.op import Op
from grammar.ops import ROWS, TABLE
from grammar.params import Param, Role
from grammar.paths import ELEMENT
from grammar.tree import Apply, At, AugStore, Const, Kernel, Read, Size, Term, Var, View
from grammar.types import F32, F64, I32, WARPS, Array, Composite, Scalar, type_named
from tests.builders import (
    OUT,
    I,
    X,
    Y,
    accumulator,
    array,
    at,
    atomic,
    bump,
    change,
    do,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    put,
    put_part,
    samples,
    scalar,
    size,
    var,
    when,
    while_,
)
from validate.edits import in_terms

NAMES = ("name", "names", "others", "state", "array", "variable", "path", "struct", "target")
"""The fields of nodes that hold a name."""


def by_part(new: Callable[[str], str]) -> Callable[[str], str]:
    """Of fields of structs, each part of the name; what it is called tells fields of several structs apart."""

    def changed(name: str) -> str:
        parts = name.split(".")
        owners = ("_of_".join(part.removesuffix(ELEMENT) for part in parts[k::-1]) for k in range(len(parts)))
        return ".".join(new(own) + ELEMENT * part.endswith(ELEMENT) for own, part in zip(owners, parts, strict=True))

    return changed


def renamed(node: Any, new: Callable[[str], str]) -> Any:
    """The tree with other names throughout, whatever its nodes are."""
    return _renamed(node, by_part(new))


def _renamed(node: Any, new: Callable[[str], str]) -> Any:
    if isinstance(node, tuple):
        return tuple(_renamed(part, new) for part in node)
    if isinstance(node, Op | Scalar | Composite | Array) or not is_dataclass(node):
        return node
    if isinstance(node, Const) and node.name in WARPS:
        return node  # which nobody may call otherwise
    changes = {}
    for field in fields(node):
        value = getattr(node, field.name)
        named = field.name in NAMES and isinstance(value, str) and bool(value)
        several = field.name in NAMES and isinstance(value, tuple) and all(isinstance(part, str) for part in value)
        changes[field.name] = new(value) if named else tuple(map(new, value)) if several else _renamed(value, new)
    return replace(node, **changes)  # type: ignore[type-var] # mypy doesn't tell instances of dataclasses from classes


def hashes(by_hand: Kernel) -> tuple[str, str]:
    return canonical_hash(by_hand), shape_hash(by_hand)


# -- blind to names ---------------------------------------------------------------------------------------------------


@pytest.mark.no_cover
def test_renamed_kernels_share_both_hashes() -> None:
    for sample in samples():
        other = renamed(sample.kernel, lambda name: f"renamed_{name[::-1]}")
        assert emit(other) != emit(sample.kernel)
        assert hashes(other) == hashes(sample.kernel), sample


def test_names_in_another_order_of_the_alphabet_change_nothing() -> None:
    for sample in samples(1):
        assert hashes(renamed(sample.kernel, backwards())) == hashes(sample.kernel), sample


def backwards() -> Callable[[str], str]:
    """New names of which later ones come earlier in the alphabet."""
    order: dict[str, str] = {}
    return lambda name: order.setdefault(name, f"n{1000 - len(order)}")


def test_family_and_ranges_of_inputs_change_nothing() -> None:
    by_hand = kernel((X, OUT), put("out", at("x")))
    assert hashes(replace(by_hand, family="other")) == hashes(by_hand)
    assert hashes(kernel((array("x", low=0.5), OUT), put("out", at("x")))) == hashes(by_hand)


def test_hashes_are_32_hex_digits_and_always_the_same() -> None:
    """Written down once: a stored corpus is deduplicated against what later versions compute."""
    by_hand = kernel((X, OUT), put("out", do("mul", at("x"), 2.0)))
    for digest in hashes(by_hand):
        assert len(digest) == 32
        assert int(digest, 16) >= 0
    assert hashes(by_hand) == ("88c1f5c8faf4db6a85c096a16584dc24", "564127427e36aed65807171d1fff30bc")


# -- but not to which name it is --------------------------------------------------------------------------------------

a, b = var("a"), var("b")
A, B = scalar("a"), scalar("b")
TWO = (X, Y, OUT)
N = scalar("n", I32, 3, 6)

DIFFERENT: dict[str, tuple[Kernel, Kernel]] = {
    "which array": (
        kernel(TWO, put("out", do("sub", at("x"), at("y")))),
        kernel(TWO, put("out", do("sub", at("y"), at("x")))),
    ),
    "which local": (
        kernel((X, OUT), let("a", at("x")), let("b", do("sin", a)), put("out", a)),
        kernel((X, OUT), let("a", at("x")), let("b", do("sin", a)), put("out", b)),
    ),
    "operation": (
        kernel(TWO, put("out", do("add", at("x"), at("y")))),
        kernel(TWO, put("out", do("sub", at("x"), at("y")))),
    ),
    "order of statements": (
        kernel((X, OUT, out("other")), put("out", at("x")), put("other", at("x"))),
        kernel((X, OUT, out("other")), put("other", at("x")), put("out", at("x"))),
    ),
    "order of parameters": (
        kernel((X, A, OUT), put("out", do("add", at("x"), a))),
        kernel((A, X, OUT), put("out", do("add", at("x"), a))),
    ),
    "type": (
        kernel((X, OUT), put("out", at("x"))),
        kernel((array("x", F64), out("out", F64)), put("out", at("x", I, F64))),
    ),
    "array or scalar": (
        kernel((X, OUT), put("out", at("x"))),
        kernel((A, OUT), put("out", a)),
    ),
    "type of an operation": (
        kernel((X, OUT), put("out", at("x", do("abs", I)))),
        kernel((X, OUT), put("out", do("abs", at("x")))),
    ),
    "augmented or not": (
        kernel((X, OUT), let("a", at("x")), change("a", "add", 1.0), put("out", a)),
        kernel((X, OUT), let("a", at("x")), let("a", do("add", a, 1.0)), put("out", a)),
    ),
    "augmenting operator": (
        kernel((X, OUT), let("a", at("x")), change("a", "add", 1.0), put("out", a)),
        kernel((X, OUT), let("a", at("x")), change("a", "sub", 1.0), put("out", a)),
    ),
    "store or augmented store": (
        kernel((X, accumulator(size=None)), bump("total", "add", at("x"))),
        kernel((X, accumulator(size=None)), bump("total", "sub", at("x"))),
    ),
    "element or element of a view": (
        kernel((replace(X, type=Array(F32, 2)), OUT), put("out", Read("x", At((I, I)), F32))),
        kernel(
            (replace(X, type=Array(F32, 2)), OUT), View("row", "x", I), put("out", Read("x", At((I, I)), F32, "row"))
        ),
    ),
    "which part of an element": (
        kernel((X, accumulator(type=type_named("vec3f"), size=None)), put_part("total", 0, at("x"))),
        kernel((X, accumulator(type=type_named("vec3f"), size=None)), put_part("total", 1, at("x"))),
    ),
    "what is done to a part of an element": (
        kernel((X, accumulator(type=type_named("vec3f"), size=None)), put_part("total", 0, at("x"))),
        kernel((X, accumulator(type=type_named("vec3f"), size=None)), put_part("total", 0, at("x"), "add")),
    ),
    "kind of atomic": (
        kernel((X, accumulator()), atomic(AtomicKind.ADD, "total", at("x"))),
        kernel((X, accumulator()), atomic(AtomicKind.MAX, "total", at("x"))),
    ),
    "which branch": (
        kernel((X, OUT), when(do("less", at("x"), 0.0), put("out", at("x")), orelse=(put("out", number(1.0)),))),
        kernel((X, OUT), when(do("less", at("x"), 0.0), put("out", number(1.0)), orelse=(put("out", at("x")),))),
    ),
    "within a branch or after it": (
        kernel((X, OUT), let("a", 0.0), when(do("less", at("x"), 0.0), let("a", at("x")), put("out", a))),
        kernel((X, OUT), let("a", 0.0), when(do("less", at("x"), 0.0), let("a", at("x"))), put("out", a)),
    ),
    "if or while": (
        kernel((X, OUT), let("a", at("x")), when(do("less", a, 0.0), change("a", "add", 1.0)), put("out", a)),
        kernel((X, OUT), let("a", at("x")), while_(do("less", a, 0.0), change("a", "add", 1.0)), put("out", a)),
    ),
    "start of a loop": (
        kernel((X, N, OUT), let("a", 0.0), loop("j", ints("n"), change("a", "add", 1.0)), put("out", a)),
        kernel(
            (X, N, OUT), let("a", 0.0), loop("j", ints("n"), change("a", "add", 1.0), start=number(0)), put("out", a)
        ),
    ),
    "which loop variable": (
        kernel((X, OUT), loop("j", 3, loop("k", 3, put("out", at("x", ints("j")))))),
        kernel((X, OUT), loop("j", 3, loop("k", 3, put("out", at("x", ints("k")))))),
    ),
    "length or element": (
        kernel((array("m", I32), out("c", I32)), put("c", size("m"))),
        kernel((array("m", I32), out("c", I32)), put("c", at("m", I, I32))),
    ),
    "grouping": (
        kernel(TWO, put("out", do("sub", do("sub", at("x"), at("y")), at("x")))),
        kernel(TWO, put("out", do("sub", at("x"), do("sub", at("y"), at("x"))))),
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_computes_otherwise_has_other_hashes(case: str) -> None:
    one, other = DIFFERENT[case]
    assert canonical_hash(one) != canonical_hash(other)
    assert shape_hash(one) != shape_hash(other)


# -- literals ---------------------------------------------------------------------------------------------------------


def _other_literal(term: Term) -> Iterator[Term]:
    match term:
        case Const(_, _, name) if name in WARPS:
            pass  # infinity and one more is infinity
        case Const(type, bool() as value, name):
            yield Const(type, not value, name)
        case Const(type, value, name):
            yield Const(type, value + 1, name)


def _other_leaf(term: Term) -> Iterator[Term]:
    """A literal in place of a variable, or the other way round."""
    match term:
        case Var(_, type):
            yield literal(type, 1)
        case Read(_, _, type) | Size(_, type):
            yield literal(type, 1)


def _other_operation(term: Term) -> Iterator[Term]:
    if isinstance(term, Apply):
        kin = [o for o in TABLE if o.params == term.op.params and o.result is term.op.result and o is not term.op]
        yield from (Apply(op, term.args) for op in kin)


def test_another_literal_changes_the_canonical_hash_only() -> None:
    changed = 0
    for sample in samples(1):
        for body in in_terms(sample.kernel.body, _other_literal):
            changed += 1
            other = replace(sample.kernel, body=body)
            assert canonical_hash(other) != canonical_hash(sample.kernel), sample
            assert shape_hash(other) == shape_hash(sample.kernel), sample
    assert changed > 100


@pytest.mark.no_cover
@pytest.mark.parametrize("change", [_other_leaf, _other_operation])
def test_another_leaf_or_operation_changes_both(change: Callable[[Term], Iterator[Term]]) -> None:
    changed = 0
    for sample in samples(1, (2, 5)):
        for body in in_terms(sample.kernel.body, change):
            changed += 1
            other = replace(sample.kernel, body=body)
            assert canonical_hash(other) != canonical_hash(sample.kernel), sample
            assert shape_hash(other) != shape_hash(sample.kernel), sample
    assert changed > 100


@pytest.mark.parametrize(
    ("one", "other"),
    [(0.0, -0.0), (1.0, 1.0000000001), (0.1, 0.1 + 2**-56)],
)
def test_literals_that_hardly_differ(one: float, other: float) -> None:
    def put_number(value: float) -> Kernel:
        return kernel((out("out", F64),), put("out", Const(F64, value)))

    assert canonical_hash(put_number(one)) != canonical_hash(put_number(other))


# -- collisions -------------------------------------------------------------------------------------------------------


def test_kernels_of_one_hash_are_one_kernel() -> None:
    """Among grown ones, as told by their text under numbered names."""
    texts = defaultdict(set)
    for sample in samples():
        texts[canonical_hash(sample.kernel)].add(emit(_numbered(sample.kernel)))
    assert all(len(one) == 1 for one in texts.values())
    assert len({text for one in texts.values() for text in one}) == len(texts)


def _numbered(grown: Kernel) -> Kernel:
    """Parameters, then locals, named by number in the order in which they appear."""
    order: dict[str, str] = {grown.name: "kernel"}

    def numbered(name: str) -> str:
        return order.setdefault(name, f"v{len(order)}")

    params = tuple(replace(param, name=by_part(numbered)(param.name)) for param in grown.params)
    structs = renamed(grown.structs, numbered)
    return Kernel("kernel", params, renamed(grown.body, numbered), grown.family, structs)


def test_neighbours_don_t_run_into_each_other() -> None:
    """A token more here and one less there is another kernel."""
    one = AugStore("total", I, ROWS["add(float32,float32)"], at("x"))
    other = AugStore("total", at("m", I, I32), ROWS["add(float32,float32)"], at("x"))
    params = (X, array("m", I32), Param("total", Array(F32), Role.ACCUMULATOR))
    assert len({canonical_hash(kernel(params, *body)) for body in ((one,), (other,), (one, one), ())}) == 4
