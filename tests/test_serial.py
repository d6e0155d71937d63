"""Kernels survive being stored, and what is no kernel is refused in one clear line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import pytest

from grammar.atomics import AtomicKind
from grammar.canon import canonical_hash
from grammar.params import Param, Role
from grammar.serial import KIND, READERS, NotAKernelError, kernel_of, plain_of
from grammar.tree import Atomic, Break, Const, Function, Kernel, Stmt, Term
from grammar.types import F64
from tests.builders import (
    OUT,
    X,
    accumulator,
    at,
    atomic,
    bump,
    change,
    do,
    double,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    put,
    samples,
    size,
    var,
    when,
    while_,
)

EVERYTHING = kernel(
    (X, out("wide", F64), OUT, accumulator(), Param("n", ints("n").type, Role.COUNT)),
    let("total", 0.0),
    loop("j", ints("n"), change("total", "add", at("x", ints("j"))), start=number(1)),
    loop("k", 3, when(do("less", var("total"), 0.5), Break()), change("total", "mul", 1.5)),
    while_(do("less", var("total"), 0.25), change("total", "add", 1.0)),
    when(do("less", at("x"), 0.0), let("total", do("neg", var("total"))), orelse=(let("total", -0.0),)),
    put("wide", double(0.1)),
    put("out", do("mul", var("total"), do("float32", size("x")))),
    bump("total_sum", "add", at("x"), number(0)),
    atomic(AtomicKind.MAX, "total_sum", at("x")),
)
EVERYTHING = Kernel(
    "everything",
    tuple(p if p.name != "total" else accumulator("total_sum") for p in EVERYTHING.params),
    EVERYTHING.body,
    "by hand",
)


def again(one: Kernel) -> Kernel:
    return kernel_of(json.loads(json.dumps(plain_of(one))))


@pytest.mark.no_cover
def test_hundreds_of_grown_kernels_come_back_the_same() -> None:
    grown = [sample.kernel for sample in samples(4, (1, 3, 5, 7))]
    assert len(grown) > 200
    for one in grown:
        back = again(one)
        assert back == one
        assert canonical_hash(back) == canonical_hash(one)


def test_every_kind_of_statement_comes_back_the_same() -> None:
    assert again(EVERYTHING) == EVERYTHING
    assert any(isinstance(stmt, Atomic) for stmt in again(EVERYTHING).body)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, 0.1, math.inf, -math.inf])
def test_each_float_comes_back_with_its_bits(value: float) -> None:
    stored = again(kernel((OUT,), put("out", number(value)))).body[1]
    constant = stored.value  # type: ignore[union-attr] # the store that was put there
    assert isinstance(constant, Const)
    assert repr(constant.value) == repr(value)
    assert type(constant.value) is float


def test_a_float_that_others_wrote_as_an_int_is_a_float_again() -> None:
    plain = plain_of(kernel((OUT,), put("out", number(2.0))))
    plain["body"][1]["value"]["value"] = 2
    assert kernel_of(plain) == kernel((OUT,), put("out", number(2.0)))


def test_every_annotation_of_a_node_can_be_read() -> None:
    annotations = {
        str(f.type) for node in (*get_args(Term), *get_args(Stmt), Param, Function, Kernel) for f in fields(node)
    }
    assert annotations == set(READERS) | ({"float"} & annotations)


Damage = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda p: p.update(version=99), "version is 99"),
        (lambda p: p.pop("body"), "see body"),
        (lambda p: p.update(more=1), "see more"),
        (lambda p: p.update(body={}), "kernel.body: expected a list"),
        (lambda p: p.update(name=7), "kernel.name: expected text"),
        (lambda p: p["body"].append({KIND: "Goto"}), "kernel.body[2]: expected one of"),
        (lambda p: p["body"].append(3), "kernel.body[2]: expected an object"),
        (lambda p: p["body"][1]["value"].update(op="sine(float32)"), "kernel.body[1].value.op: there is no operation"),
        (lambda p: p["body"][1]["value"]["args"].pop(), "is applied to other types"),
        (lambda p: p["body"][1].update(index={KIND: "Const", "type": "int32", "value": "one"}), "expected a number"),
        (lambda p: p["params"][0].update(size="big"), "expected a whole number"),
        (lambda p: p["params"][0].update(role="guest"), "there is no role 'guest'"),
        (lambda p: p["body"].pop(0), "the first statement is not the thread index"),
    ],
)
def test_what_is_no_kernel_is_told_in_one_line(damage: Damage, complaint: str) -> None:
    plain = plain_of(kernel((X, OUT), put("out", do("add", at("x"), 1.0))))
    damage(plain)
    with pytest.raises(NotAKernelError) as caught:
        kernel_of(plain)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("plain", [None, [], "kernel", 3.5])
def test_what_is_no_object_is_no_kernel(plain: object) -> None:
    with pytest.raises(NotAKernelError, match="expected an object"):
        kernel_of(plain)
