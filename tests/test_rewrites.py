"""Spelling pairs: what each rewrite makes of a kernel is a kernel that computes the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from grammar.check import problems
from grammar.emit import emit
from grammar.inputs import regular
from grammar.ops import ROWS
from grammar.plain import run_plain
from grammar.rewrites import BUILTINS, REWRITES
from grammar.tree import Apply, At, Const, Function, Invoke, Kernel, Outlined, Read, Return, Var, View
from grammar.types import F32, Array, type_named
from tests.builders import (
    LANES,
    OUT,
    I,
    X,
    Y,
    array,
    at,
    change,
    do,
    kernel,
    let,
    loop,
    out,
    put,
    put_part,
    samples,
    var,
)

V = var("v")
V3 = type_named("vec3f")
TABLE = replace(X, type=Array(F32, 2))
A = Var("a", F32)
SQUARE = Function("square", (A,), (Return(do("mul", A, A)),), F32)

EXAMPLES: dict[str, tuple[Kernel, str]] = {
    "operators as functions": (
        kernel((X, Y, OUT), put("out", do("mul", at("x"), at("y")))),
        "out[i] = wp.mul(x[i], y[i])",
    ),
    "arguments exchanged": (kernel((X, Y, OUT), put("out", do("add", at("x"), at("y")))), "out[i] = y[i] + x[i]"),
    "ternary as where": (
        kernel((X, Y, OUT), put("out", do("ternary", do("less", at("x"), 0.5), at("x"), at("y")))),
        "out[i] = wp.where(x[i] < 0.5, x[i], y[i])",
    ),
    "where as ternary": (
        kernel((X, Y, OUT), put("out", do("where", do("less", at("x"), 0.5), at("x"), at("y")))),
        "out[i] = x[i] if x[i] < 0.5 else y[i]",
    ),
    "choice as branch": (
        kernel((X, Y, OUT), put("out", do("where", do("less", at("x"), 0.5), at("x"), at("y")))),
        "if x[i] < 0.5:\n        out[i] = x[i]\n    else:\n        out[i] = y[i]",
    ),
    "letters as numbers": (
        kernel((array("v", V3), OUT), put("out", Apply(ROWS["get_y(vec3f)"], (at("v", I, V3),)))),
        "out[i] = v[i][1]",
    ),
    "written letters as numbers": (
        kernel((X, out("outs", V3)), put_part("outs", 2, at("x"), lettered=True)),
        "outs[i][2] = x[i]",
    ),
    "views as elements": (
        kernel(
            (replace(X, type=Array(F32, 2)), OUT), View("row", "x", I), put("out", Read("x", At((I, I)), F32, "row"))
        ),
        "i = wp.tid()\n    out[i] = x[i, i]",
    ),
    "constants as static": (
        kernel((X, OUT), put("out", do("mul", at("x"), Const(F32, 9.8, "GRAVITY")))),
        "out[i] = x[i] * wp.static(GRAVITY)",
    ),
    "function inlined": (
        kernel((X, OUT), put("out", Invoke(SQUARE, (at("x"),)))),
        "out[i] = x[i] * x[i]",
    ),
    "function that writes inlined": (
        kernel((X, OUT), Outlined("write_sine", (put("out", do("sin", at("x"))),))),
        "i = wp.tid()\n    out[i] = wp.sin(x[i])",
    ),
    "augmented as plain": (kernel((X, OUT), let("v", at("x")), change("v", "sub", 1.0), put("out", V)), "v = v - 1.0"),
    "plain as augmented": (kernel((X, OUT), let("v", at("x")), let("v", do("mul", V, 2.0)), put("out", V)), "v *= 2.0"),
    "static loop as run-time loop": (
        kernel((X, OUT), let("v", at("x")), loop("k", 3, change("v", "add", at("x"))), put("out", V)),
        "for k in range(stop_0):",
    ),
    "hoisted": (
        kernel((X, OUT), put("out", do("sin", do("cos", at("x"))))),
        "part_0 = wp.cos(x[i])\n    out[i] = wp.sin(part_0)",
    ),
    "dead branch": (kernel((X, OUT), put("out", at("x"))), "if False:\n        out[i] = x[i]"),
    "dead guard": (kernel((X, OUT), put("out", at("x"))), "if i < 0:\n        return"),
}


@pytest.mark.parametrize("name", REWRITES)
def test_a_rewrite_spells_otherwise(name: str) -> None:
    before, line = EXAMPLES[name]
    after = REWRITES[name](before)
    assert after is not None
    assert line in emit(after)
    assert line not in emit(before)


def test_where_there_is_nothing_to_rewrite_nothing_is_made() -> None:
    plain = kernel((X, OUT), put("out", at("x", I)))
    assert [name for name, rewrite in REWRITES.items() if rewrite(plain)] == ["dead branch", "dead guard"]


def test_grown_kernels_compute_the_same_when_rewritten() -> None:
    applied: Counter[str] = Counter()
    for sample in samples(1)[::2]:
        old = sample.kernel
        wanted = run_plain(old, sample.inputs)
        for name, rewrite in REWRITES.items():
            new = rewrite(old)
            if new is None:
                continue
            applied[name] += 1
            assert problems(new) == (), f"{name} of {sample}"
            got = run_plain(new, regular(new, sample.seed, LANES))
            for param in (p for p in old.params if p.is_output):
                assert wanted.arrays[param.name].tobytes() == got.arrays[param.name].tobytes(), f"{name} of {sample}"
    assert {"operators as functions", "arguments exchanged", "hoisted", "augmented as plain"} <= set(applied)


@pytest.mark.warp
def test_warp_has_the_functions_of_operators() -> None:
    from extract.warp_private import context

    assert sorted(name for name in BUILTINS if name not in context.builtin_functions) == []
