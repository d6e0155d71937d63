"""Emission: the text of a kernel, read back with `ast`, is the kernel.

The key insight: a reader that knows Python's own grammar and the types of the parameters needs nothing else to rebuild
the tree, so each misplaced parenthesis, wrong operator or lost statement shows as an unequal tree.
"""

from __future__ import annotations

import ast
import io
import math
import pickle
import textwrap
import tokenize
from collections.abc import Iterator
from itertools import pairwise

import pytest

from grammar.atomics import AtomicKind
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.emit import emit, emit_term
from grammar.op import Op
from grammar.ops import ROWS, TABLE
from grammar.params import Param, Role
from grammar.tiles import is_tile
from grammar.tree import Apply, Break, Const, Continue, Read, Return, Size, Stmt, Term, Var, all_functions, constants
from grammar.types import BOOL, COMPOSITES, F32, F64, I32, SCALARS, THREAD_TILES, Array, Element, type_named
from grammar.unrolling import rebound_in_loops
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
    double,
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
from tests.each import each
from tests.reading import Reader
from tests.test_evaluate import BY_HAND

# -- reading text -----------------------------------------------------------------------------------------------------


def test_no_two_operations_on_the_same_types_are_spelt_alike() -> None:
    assert len({(op.spelling, op.params) for op in TABLE}) == len(TABLE)


@pytest.mark.no_cover
def test_text_reads_back_as_the_kernel() -> None:
    for sample in samples():
        if sample.kernel.structs:
            continue  # whose fields stand in several places: see tests/test_structs.py
        reader = Reader(emit(sample.kernel))
        assert reader.name == sample.kernel.name, sample
        assert list(reader.params.items()) == [(p.name, p.type) for p in sample.kernel.params], sample
        assert reader.body == sample.kernel.body, sample


def test_the_sample_is_worth_reading() -> None:
    texts = " ".join(emit(kernel) for kernel in [*(sample.kernel for sample in samples()), *BY_HAND.values()])
    for word in ("elif", "else", "while", "break", "continue", "return", "+=", "wp.atomic_", "not ", " and ", "~"):
        assert word in texts


# -- one kernel by hand -----------------------------------------------------------------------------------------------


def test_text_of_every_statement() -> None:
    body = (
        when(do("greater_equal", I, ints("n")), Return()),
        let("a", 0.0),
        let("b", do("mul", at("x"), var("s"))),
        loop("j", 4, change("a", "add", at("x", ints("j")))),
        loop(
            "k",
            size("x"),
            when(do("less", at("x", ints("k")), 0.0), Continue()),
            change("b", "sub", 0.5),
            when(do("less", var("b"), -1.0), Break()),
            start=number(1),
        ),
        while_(do("greater", var("a"), 1.0), change("a", "mul", 0.5)),
        when(
            do("less", var("a"), var("b")),
            put("out", var("a")),
            orelse=(when(do("equal", I, 3), put("out", var("b")), orelse=(put("out", var("s")),)),),
        ),
        bump("out", "sub", at("x")),
        atomic(AtomicKind.MAX, "total", do("neg", at("x"))),
    )
    params = (X, scalar("s"), scalar("n", I32), OUT, accumulator())
    assert emit(kernel(params, *body)) == textwrap.dedent(
        """\
        import warp as wp


        @wp.kernel
        def by_hand(x: wp.array[float], s: float, n: int, out: wp.array[float], total: wp.array[float]):
            i = wp.tid()
            if i >= n:
                return
            a = float(0.0)
            b = x[i] * s
            for j in range(4):
                a += x[j]
            for k in range(1, x.shape[0]):
                if x[k] < 0.0:
                    continue
                b -= 0.5
                if b < -1.0:
                    break
            while a > 1.0:
                a *= 0.5
            if a < b:
                out[i] = a
            elif i == 3:
                out[i] = b
            else:
                out[i] = s
            out[i] -= x[i]
            wp.atomic_max(total, 0, -x[i])
        """
    )


def test_else_with_more_than_an_if_is_no_elif() -> None:
    inner = when(do("less", at("y"), 0.0), put("out", at("x")))
    body = when(do("less", at("x"), 0.0), put("out", at("y")), orelse=(inner, put("out", number(1.0))))
    by_hand = kernel((X, Y, OUT), body)
    assert "elif" not in emit(by_hand)
    assert Reader(emit(by_hand)).body == by_hand.body


# -- literals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (number(0.5), "0.5"),
        (number(-0.5), "-0.5"),
        (number(1e-6), "1e-6"),
        (number(1.5e-12), "1.5e-12"),
        (number(1e30), "1e+30"),
        (number(3), "3"),
        (number(-3), "-3"),
        (number(True), "True"),
        (number(False), "False"),
        (double(2.0), "wp.float64(2.0)"),
        (double(-2.0), "wp.float64(-2.0)"),
    ],
)
def test_literals(term: Const, text: str) -> None:
    assert emit_term(term) == text
    (stmt,) = kernel((), let("v", term)).body[1:]
    assert Reader(emit(kernel((), stmt))).body[1:] == (stmt,)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ((let("v", 0.0), loop("j", ints("n"), change("v", "add", 1.0))), "float(0.0)"),
        ((let("v", 0), loop("j", ints("n"), change("v", "add", 1))), "int(0)"),
        ((let("v", double(0.0)), loop("j", ints("n"), change("v", "add", double(1.0)))), "wp.float64(0.0)"),
        ((let("v", 0.0), while_(do("less", var("v"), 3.0), change("v", "add", 1.0))), "float(0.0)"),
        ((let("v", 0.0), loop("j", 17, change("v", "add", 1.0))), "float(0.0)"),
        ((let("v", 0.0), loop("j", 20, change("v", "add", 1.0), start=number(4))), "0.0"),
        ((let("v", 0.0), loop("j", 16, change("v", "add", 1.0))), "0.0"),
        ((let("v", 0.0), loop("j", 32, change("v", "add", 1.0), start=number(0), step=number(2))), "0.0"),
        ((let("v", 0.0), loop("j", 33, change("v", "add", 1.0), start=number(0), step=number(2))), "float(0.0)"),
        ((let("v", 0.0), loop("j", -1, change("v", "add", 1.0), start=number(16), step=number(-1))), "float(0.0)"),
        (
            (let("v", 0.0), loop("j", 4, when(do("equal", ints("j"), 2), Break()), change("v", "add", 1.0))),
            "float(0.0)",
        ),
        ((let("v", 0.0), loop("j", ints("n"), loop("k", 2, let("v", 1.0)))), "float(0.0)"),
        ((let("v", 0.0), loop("j", ints("n"), let("w", var("v")))), "0.0"),
        ((let("v", do("abs", at("x"))), loop("j", ints("n"), change("v", "add", 1.0))), "wp.abs(x[i])"),
        ((loop("k", 3, loop("j", ints("n"), let("v", do("neg", ints("k"))))),), "int(-k)"),
        ((loop("k", 3, loop("j", ints("n"), let("v", ints("k")))),), "int(k)"),
        ((loop("k", 3, let("w", do("neg", ints("k"))), loop("j", ints("n"), let("v", ints("w")))),), "int(w)"),
        ((loop("k", 30, loop("j", ints("n"), let("v", do("neg", ints("k"))))),), "-k"),
        ((loop("k", 3, loop("j", ints("n"), let("v", do("add", ints("k"), 1)))),), "k + 1"),
    ],
)
def test_literals_that_a_run_time_loop_changes_are_variables(body: tuple[Stmt, ...], text: str) -> None:
    lines = emit(kernel((X, scalar("n", I32)), *body)).splitlines()
    assert f"v = {text}" in map(str.strip, lines)


def test_names_rebound_in_run_time_loops() -> None:
    body = (
        let("a", 0.0),
        loop("j", ints("n"), let("b", 1.0), when(do("less", var("b"), 2.0), change("c", "add", 1.0))),
        loop("j", 4, let("d", 1.0), while_(do("less", var("d"), 2.0), change("d", "add", 1.0))),
    )
    assert sorted(set(rebound_in_loops(body))) == ["b", "c", "d"]


# -- parentheses ------------------------------------------------------------------------------------------------------

a, b, c = var("a"), var("b"), var("c")
p, q, r = var("p", BOOL), var("q", BOOL), var("r", BOOL)
k, m, n = ints("k"), ints("m"), ints("n")
BETWEEN = ROWS["between[LessThanEqual,LessThan](float32,float32,float32)"]


def test_constants_of_the_module_are_declared_before_it() -> None:
    limit, scale = Const(I32, 7, "LIMIT"), Const(F32, -0.25, "SCALE", static=True)
    steps = loop("j", ints("n"), change("s", "add", at("x", ints("j"))))
    body = (let("s", scale), steps, when(do("less", I, limit), put("out", do("mul", var("s"), scale))))
    assert emit(kernel((X, scalar("n", I32), OUT), *body)) == textwrap.dedent(
        """\
        import warp as wp

        SCALE = -0.25
        LIMIT = wp.constant(7)


        @wp.kernel
        def by_hand(x: wp.array[float], n: int, out: wp.array[float]):
            i = wp.tid()
            s = float(wp.static(SCALE))
            for j in range(n):
                s += x[j]
            if i < LIMIT:
                out[i] = s * wp.static(SCALE)
        """
    )


def test_components_of_elements_are_written_to() -> None:
    by_row = {
        "moved[i].z = x[i]": put_part("moved", 2, at("x"), lettered=True),
        "moved[i][1] += x[i]": put_part("moved", 1, at("x"), "add"),
        "moved[i].x -= x[i]": put_part("moved", 0, at("x"), "sub", lettered=True),
        "turned[i][1, 0] = x[i]": put_part("turned", 2, at("x"), type="mat22f"),
    }
    params = (X, accumulator("moved", type_named("vec3f"), None), out("turned", type_named("mat22f")))
    for line, stmt in by_row.items():
        assert emit(kernel(params, stmt)).splitlines()[-1].strip() == line


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (do("add", do("add", a, b), c), "a + b + c"),
        (do("add", a, do("add", b, c)), "a + (b + c)"),
        (do("sub", a, do("sub", b, c)), "a - (b - c)"),
        (do("mul", do("add", a, b), c), "(a + b) * c"),
        (do("add", do("mul", a, b), c), "a * b + c"),
        (do("div", a, do("mul", b, c)), "a / (b * c)"),
        (do("mul", do("div", a, b), c), "a / b * c"),
        (do("mod", do("floordiv", k, m), n), "k // m % n"),
        (do("neg", do("add", a, b)), "-(a + b)"),
        (do("mul", do("neg", a), b), "-a * b"),
        (do("neg", do("mul", a, b)), "-(a * b)"),
        (do("sub", a, do("neg", b)), "a - -b"),
        (do("neg", do("power", a, b)), "-a ** b"),
        (do("power", do("neg", a), do("neg", b)), "(-a) ** -b"),
        (do("power", do("power", a, b), do("power", b, c)), "(a ** b) ** b ** c"),
        (do("power", do("mul", a, b), do("mul", b, c)), "(a * b) ** (b * c)"),
        (do("power", number(-2.0), number(-3.0)), "(-2.0) ** -3.0"),
        (do("mul", do("power", a, 2.0), b), "a ** 2.0 * b"),
        (Apply(BETWEEN, (number(-1.0), do("add", a, b), c)), "-1.0 <= a + b < c"),
        (Apply(ROWS["logical_not(bool)"], (Apply(BETWEEN, (a, b, c)),)), "not a <= b < c"),
        (Apply(ROWS["equal(bool,bool)"], (Apply(BETWEEN, (a, b, c)), p)), "(a <= b < c) == p"),
        (do("mul", do("mul", 2.0, Const(F32, math.pi, "wp.pi")), a), "2.0 * wp.pi * a"),
        (do("div", var("d", F64), Const(F64, math.pi, "wp.pi")), "d / wp.float64(wp.pi)"),
        (Apply(ROWS["extract[1:](vec4f)"], (var("v", type_named("vec4f")),)), "v[1:]"),
        (Apply(ROWS["extract[1:3](vec4f)"], (var("v", type_named("vec4f")),)), "v[1:3]"),
        (Apply(ROWS["extract[:,0](mat33f)"], (var("m", type_named("mat33f")),)), "m[:, 0]"),
        (Apply(ROWS["extract[:3,:3](mat44f)"], (var("m", type_named("mat44f")),)), "m[:3, :3]"),
        (Apply(ROWS["extract[:3,3](mat44f)"], (var("m", type_named("mat44f")),)), "m[:3, 3]"),
        (do("sub", a, number(-1.0)), "a - -1.0"),
        (do("neg", number(-1.0)), "--1.0"),
        (do("invert", do("bit_or", k, m)), "~(k | m)"),
        (do("bit_or", k, do("bit_and", m, n)), "k | (m & n)"),
        (do("bit_and", do("bit_or", k, m), n), "(k | m) & n"),
        (do("bit_xor", do("bit_or", k, m), n), "(k | m) ^ n"),
        (do("lshift", do("add", k, m), n), "(k + m) << n"),
        (do("add", do("lshift", k, m), n), "(k << m) + n"),
        (do("rshift", k, do("rshift", m, n)), "k >> (m >> n)"),
        (do("less", do("add", a, b), c), "a + b < c"),
        (do("less", do("bit_and", k, m), n), "(k & m) < n"),
        (do("equal", do("less", a, b), p), "(a < b) == p"),
        (do("equal", p, do("less", a, b)), "p == (a < b)"),
        (do("equal", do("equal", k, m), do("logical_not", p)), "(k == m) == (not p)"),
        (do("logical_not", do("less", a, b)), "not a < b"),
        (do("logical_not", do("logical_and", p, q)), "not (p and q)"),
        (do("logical_and", do("logical_not", p), q), "not p and q"),
        (do("logical_or", do("logical_and", p, q), r), "p and q or r"),
        (do("logical_and", p, do("logical_or", q, r)), "p and (q or r)"),
        (do("logical_and", do("logical_and", p, q), r), "p and q and r"),
        (do("logical_and", p, do("logical_and", q, r)), "p and (q and r)"),
        (do("logical_and", do("less", a, b), do("less", b, c)), "a < b and b < c"),
        (do("ternary", do("logical_or", p, q), a, b), "a if p or q else b"),
        (do("add", do("ternary", p, a, b), c), "(a if p else b) + c"),
        (do("ternary", p, do("ternary", q, a, b), c), "(a if q else b) if p else c"),
        (do("ternary", p, a, do("ternary", q, b, c)), "a if p else (b if q else c)"),
        (do("sin", do("ternary", p, a, b)), "wp.sin(a if p else b)"),
        (do("max", do("add", a, b), do("neg", c)), "wp.max(a + b, -c)"),
        (at("x", do("mod", do("add", k, m), size("x"))), "x[(k + m) % x.shape[0]]"),
        (do("neg", at("x", do("neg", k))), "-x[-k]"),
    ],
)
def test_parentheses(term: Term, text: str) -> None:
    assert emit_term(term) == text


def without_pairs(source: str) -> Iterator[str]:
    """The text without each pair of parentheses that groups, one pair at a time; those of calls stay.

    So do those of a conditional expression in the last place of another, which are for the reader.
    """
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    lines = source.splitlines(keepends=True)
    open_: list[tuple[int, int] | None] = []
    for before, this in pairwise(tokens):
        if this.string == "(":
            follows_name = before.type == tokenize.NAME and before.string not in KEYWORDS
            open_.append(None if follows_name or before.string in (")", "]", "else") else this.start)
        elif this.string == ")" and (start := open_.pop()) is not None:
            yield _without(lines, start, this.start)


KEYWORDS = ("if", "else", "elif", "and", "or", "not", "in", "while", "return")


def _without(lines: list[str], start: tuple[int, int], stop: tuple[int, int]) -> str:
    assert start[0] == stop[0]
    row, line = start[0] - 1, lines[start[0] - 1]
    changed = f"{line[: start[1]]} {line[start[1] + 1 : stop[1]]} {line[stop[1] + 1 :]}"
    return "".join([*lines[:row], changed, *lines[row + 1 :]])


def test_pairs_are_found() -> None:
    assert len(list(without_pairs("y = (a + b) * c - f(a, (b))[(c)] if not (p) else q\n"))) == 4
    assert list(without_pairs("y = wp.sin(f(x)[g(k)](z))\n")) == []


@pytest.mark.no_cover
def test_no_pair_of_parentheses_can_be_spared() -> None:
    pairs = 0
    for sample in samples():
        source = emit(sample.kernel)
        for changed in without_pairs(source):
            pairs += 1
            assert _dumped(changed) != _dumped(source) or _is_about_bits(changed, source), f"{sample}: {changed}"
    assert pairs > 100


def _is_about_bits(changed: str, source: str) -> bool:
    """Whether the line from which a pair has gone combines bits: there some are for the reader."""
    lines = zip(changed.splitlines(), source.splitlines(), strict=True)
    line = next(own for other, own in lines if other != own)
    return any(sign in line for sign in ("<<", ">>", "&", "|", "^"))


def _dumped(source: str) -> str:
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return ""


# -- signatures -------------------------------------------------------------------------------------------------------


def test_long_signatures_have_a_line_for_each_parameter() -> None:
    params = tuple(array(f"parameter_number_{k}") for k in range(4))
    text = emit(kernel((*params, out()), put("out", at("parameter_number_0"))))
    assert text.splitlines()[4:11] == [
        "def by_hand(",
        *(f"    parameter_number_{k}: wp.array[float]," for k in range(4)),
        "    out: wp.array[float],",
        "):",
    ]


def test_annotations() -> None:
    params = tuple(array(f"a_{t.name}", t) for t in SCALARS) + tuple(scalar(f"s_{t.name}", t) for t in SCALARS)
    reader = Reader(emit(kernel(params, let("v", 0.0))))
    assert reader.params == {p.name: p.type for p in params}


def test_lines_are_short() -> None:
    """Of signatures; long terms are as long as they are."""
    for sample in samples():
        signature = emit(sample.kernel).split("@wp.kernel")[1].split("wp.tid()")[0]
        assert max(map(len, signature.splitlines())) <= 120, sample


# -- the module -------------------------------------------------------------------------------------------------------


def test_only_warp_is_imported() -> None:
    """And what functions of any type are annotated with; each other name is a builtin, a parameter or a local."""
    for sample in samples():
        tree = ast.parse(emit(sample.kernel))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        is_generic = sample.kernel.generic or any(function.generic for function in all_functions(sample.kernel))
        typing = ["from typing import Any"] * is_generic
        assert [ast.unparse(node) for node in imports] == [*typing, "import warp as wp"]
        *others, function = (node for node in tree.body if isinstance(node, ast.FunctionDef))
        named = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        bound = {arg.arg for arg in function.args.args} | {n.id for n in named if isinstance(n.ctx, ast.Store)}
        known = {
            "wp",
            "range",
            "len",
            "float",
            "int",
            "bool",
            *(other.name for other in others),
            *constants(sample.kernel),
        }
        known |= {struct.name for struct in sample.kernel.structs} | {"Any" for _ in typing}
        known |= {type.spelling for type in COMPOSITES if type.is_own}
        assert {n.id for n in named} <= bound | known, sample


def test_equal_kernels_have_equal_text() -> None:
    for sample in samples(1):
        copy = pickle.loads(pickle.dumps(sample.kernel))
        assert copy == sample.kernel
        assert emit(copy) == emit(sample.kernel)


def test_text_ends_with_one_newline_and_has_no_trailing_space() -> None:
    for sample in samples():
        text = emit(sample.kernel)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.no_cover
@each(TABLE)
def test_every_row_reads_back(op: Op) -> None:
    """Over variables, and over terms of every precedence in each place."""
    leaves = tuple(_leaf(f"v{number}", type) for number, type in enumerate(op.params))
    params = tuple(
        Param(leaf.array, Array(leaf.type), Role.VALUE) if isinstance(leaf, Read) else scalar(leaf.name, leaf.type)
        for leaf in (leaf.args[0] if isinstance(leaf, Apply) else leaf for leaf in leaves)
        if isinstance(leaf, Read | Var)
    )
    plain = Apply(op, leaves)
    nested = [
        Apply(op, (*leaves[:place], _wrapped(leaves[place], inner), *leaves[place + 1 :]))
        for place in range(len(leaves))
        for inner in INNER
    ]
    by_hand = kernel(params, *(let(f"result{k}", term) for k, term in enumerate((plain, *nested))))
    assert Reader(emit(by_hand)).body == by_hand.body


INNER = ("ternary", "binary", "prefix")


def _leaf(name: str, type: Element) -> Var | Read | Apply:
    """A parameter; a tile, which can't be one, is loaded, or made of one."""
    if type in THREAD_TILES:
        return Apply(ROWS[f"tile({type.scalar.name})"], (Var(name, type.scalar),))
    return Read(name, Var("i", I32), type) if is_tile(type) else Var(name, type)


def _wrapped(leaf: Var | Read | Apply, inner: str) -> Term:
    """A term of the leaf's type whose outermost operation is of that kind; of tiles, there are not all kinds."""
    type = leaf.type
    if is_tile(type):
        return do("add", leaf, leaf) if f"add({type.name},{type.name})" in ROWS else leaf
    match inner:
        case "ternary":
            return do("ternary", number(True), leaf, leaf)
        case "prefix":
            names = ("logical_not" if type is BOOL else "neg", "transform_inverse")  # of which there is no opposite
            return do(next(name for name in names if f"{name}({type.name})" in ROWS), leaf)
        case _:
            return do("logical_or" if type is BOOL else "add", leaf, leaf)


def test_a_length_is_spelt_in_either_way_and_means_the_same() -> None:
    length, called = Size("x", I32), Size("x", I32, by_len=True)
    plain, other = (kernel((X, OUT), put("out", do("mul", at("x"), do("float32", n)))) for n in (length, called))
    assert "x.shape[0]" in emit(plain)
    assert "len(x)" in emit(other)
    assert canonical_hash(plain) == canonical_hash(other)
    assert not list(problems(other))
    beyond = kernel((X, OUT), put("out", do("float32", Size("x", I32, 1, by_len=True))))
    assert any("first axis" in problem for problem in problems(beyond))
