"""Kernels that assign to parts of vectors, or change elements in place: which have a documented limit or a defect.

The key insight: such a change is right wherever nobody needs what was there before; so for each kernel that is wrong
there is one beside it that does the same to something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from grammar.limits import HANDED_ON, REASSIGNED, UPDATED
from grammar.ops import ROWS
from grammar.params import Param, Struct
from grammar.tree import Apply, Assign, AugStore, Fieldwise, Kernel, Stmt, Term, Var
from grammar.types import BOOL, I32, type_named
from tests.builders import (
    OUT,
    I,
    X,
    accumulator,
    array,
    at,
    bump,
    change,
    do,
    ints,
    kernel,
    let,
    loop,
    number,
    out,
    part,
    put,
    put_part,
    scalar,
    var,
    when,
)

j, n = ints("j"), ints("n")
N = scalar("n", I32, 3, 6)

V3 = type_named("vec3f")
VS, VOUT = array("vs", V3), out("moved", V3)
VECTOR = let("v", at("vs", I, V3))
WHOLE = var("v", V3)
DOT = put("out", do("dot", WHOLE, WHOLE))


def moved(*body: Stmt, begin: Stmt = VECTOR, params: tuple[Param, ...] = (VS, X, VOUT)) -> Kernel:
    """`v = vs[i]`, what is done with v, and `moved[i] = v`."""
    return kernel(params, begin, *body, put("moved", WHOLE))


SQUARE, LINE = type_named("tile4x4f"), type_named("tile4f")
Y_TILE = var("y", LINE)
FRAME, Q = type_named("transformf"), type_named("quatf")
QS, TS, TOUT = array("qs", Q), array("ts", FRAME), out("frames", FRAME)
T = var("t", FRAME)
MOVE = let("t", Apply(ROWS["transform_set_translation(transformf,vec3f)"], (T, at("vs", I, V3))))
EMPTY = let("v", Apply(ROWS["vec3f()"], ()))
ALL = (VS, X, OUT, VOUT)


def pasted(name: str, whole: Var, place: str, part: Term | None = None) -> Assign:
    """`m[0] = vs[i]`, or what else is put there."""
    part = at("vs", I, V3) if part is None else part
    return let(name, Apply(ROWS[f"paste{place}({whole.type.name},{part.type.name})"], (whole, part)))


PAIR = type_named("vec2f")
US = array("us", PAIR)
TAIL = pasted("v", WHOLE, "[1:]", at("us", I, PAIR))
M, MOUT = var("m", type_named("mat33f")), out("frames", type_named("mat33f"))
COLUMNS = tuple(pasted("m", M, f"[:,{k}]") for k in range(3))
FLAG, SET_FLAG = var("node.flag", BOOL), let("node.flag", number(False))


def of_nodes(*body: Stmt) -> Kernel:
    """`node = nodes[i]`, `v = x[i]`, what is done with them, and both stored."""
    params = (array("nodes[].flag", BOOL), X, OUT, out("flags", BOOL))
    load = Fieldwise("Node", "node", (Assign("node.flag", at("nodes[].flag", I, BOOL)),))
    one = kernel(params, load, let("v", at("x")), *body, put("out", var("v")), put("flags", FLAG))
    return replace(one, structs=(Struct("nodes[]", "Node"),))


PARTS_FINE: Mapping[str, Kernel] = {
    "part that a loop by twos leaves out": moved(
        loop("k", 3, part("v", ints("k"), at("x")), start=number(0), step=number(2)),
        part("v", 1, do("mul", at("x"), at("x"))),
        begin=EMPTY,
        params=(X, VOUT),
    ),
    "transform put together": kernel(
        (VS, QS, TOUT),
        let("t", Apply(ROWS["transform_identity()"], ())),
        MOVE,
        let("t", Apply(ROWS["transform_set_rotation(transformf,quatf)"], (T, at("qs", I, Q)))),
        put("frames", T),
    ),
    "tile of numbers solved in place": kernel(
        (array("a", SQUARE), array("b", LINE), out("solved", LINE)),
        let("y", Apply(ROWS["tile_ones[4,float]()"], ())),
        let("y", do("tile_lower_solve_inplace", Y_TILE, at("a", I, SQUARE))),
        put("solved", do("mul", Y_TILE, at("b", I, LINE))),
    ),
    "parts of an empty vector": moved(
        *(part("v", k, at("x")) for k in range(2)),
        part("v", 2, do("mul", at("x"), at("x")), lettered=True),
        begin=EMPTY,
        params=(X, VOUT),
    ),
    "slice of an empty vector": moved(TAIL, part("v", 0, at("x")), begin=EMPTY, params=(US, X, VOUT)),
    "matrix by its columns": kernel((VS, MOUT), let("m", Apply(ROWS["mat33f()"], ())), *COLUMNS, put("frames", M)),
    "part added to": moved(part("v", 1, at("x"), "add")),
    "part of an empty vector added to by its letter": moved(
        part("v", 1, at("x"), "sub", lettered=True), begin=EMPTY, params=(X, VOUT)
    ),
    "part given by a loop": moved(loop("j", 3, part("v", j, at("x", j))), begin=EMPTY, params=(X, VOUT)),
    "part given on either way": moved(
        when(do("less", at("x"), 0.0), part("v", 0, at("x")), orelse=(part("v", 0, 1.0),)),
        begin=EMPTY,
        params=(X, VOUT),
    ),
    "part of a copy added to": kernel(
        ALL, VECTOR, let("w", WHOLE), part("w", 0, at("x"), "add"), DOT, put("moved", var("w", V3))
    ),
    "whole used after its part was added to": moved(part("v", 1, at("x"), "add"), DOT, params=ALL),
    "parts of an element given": kernel(
        (X, VOUT),
        put_part("moved", 0, do("mul", at("x"), at("x")), lettered=True),
        put_part("moved", 2, at("x")),
    ),
    "part of an element added to": kernel(
        (X, accumulator("out", V3, None)),
        put_part("out", 1, do("mul", at("x"), at("x")), "sub"),
        when(do("less", at("x"), 0.0), put_part("out", 0, at("x"), "add", lettered=True)),
    ),
    "part of an element given, then scaled": kernel(
        (X, accumulator("out", V3, None)),
        put_part("out", 1, do("mul", at("x"), at("x"))),
        AugStore("out", I, ROWS["mul(vec3f,float32)"], number(3.0)),
    ),
    "part of a matrix in a loop at run time": kernel(
        (X, N, accumulator("out", type_named("mat22f"), None)),
        loop("j", n, put_part("out", 1, do("mul", at("x", j), at("x", j)), "add", type="mat22f")),
    ),
    "element scaled by a number": kernel((X, OUT), put("out", at("x")), bump("out", "mul", number(0.5))),
    "element divided where a condition holds": kernel(
        (X, OUT),
        put("out", do("mul", at("x"), at("x"))),
        when(do("less", at("x"), 0.0), bump("out", "div", number(4.0))),
    ),
    "element added to, then scaled": kernel(
        (X, accumulator("out", size=None)), bump("out", "add", at("x")), bump("out", "mul", number(3.0))
    ),
}
REASONS: Mapping[str, str] = {
    **dict.fromkeys(["part with a gradient assigned to", "part scaled"], REASSIGNED),
    **dict.fromkeys(["part given in a loop at run time", "part assigned to twice"], REASSIGNED),
    **dict.fromkeys(["translation replaced", "translation set twice"], REASSIGNED),
    **dict.fromkeys(["slice with a gradient replaced", "row across a column"], REASSIGNED),
    "tile solved in place": HANDED_ON,
    **dict.fromkeys(["element multiplied in place", "element divided in place"], UPDATED),
}
PARTS_LIMITED: Mapping[str, Kernel] = {
    "part with a gradient assigned to": moved(part("v", 1, at("x"))),
    "part scaled": moved(part("v", 1, at("x"), "mul")),
    "part assigned to twice": moved(part("v", 0, at("x")), part("v", 0, 2.0), begin=EMPTY, params=(X, VOUT)),
    "part given in a loop at run time": moved(loop("j", n, part("v", 0, at("x", j))), begin=EMPTY, params=(X, N, VOUT)),
    "translation replaced": kernel((VS, TS, TOUT), let("t", at("ts", I, FRAME)), MOVE, put("frames", T)),
    "slice with a gradient replaced": moved(TAIL, params=(VS, US, VOUT)),
    "row across a column": kernel(
        (VS, MOUT), let("m", Apply(ROWS["mat33f()"], ())), COLUMNS[0], pasted("m", M, "[0]"), put("frames", M)
    ),
    "translation set twice": kernel(
        (VS, TOUT), let("t", Apply(ROWS["transform_identity()"], ())), MOVE, MOVE, put("frames", T)
    ),
    "tile solved in place": kernel(
        (array("a", SQUARE), array("b", LINE), out("solved", LINE)),
        let("y", at("b", I, LINE)),
        let("y", do("tile_lower_solve_inplace", Y_TILE, at("a", I, SQUARE))),
        put("solved", Y_TILE),
    ),
    "element multiplied in place": kernel((X, accumulator("out", size=None)), bump("out", "mul", at("x"))),
    "element divided in place": kernel((X, OUT), put("out", at("x")), bump("out", "div", do("exp", at("x")))),
}
PARTS_DEFECTIVE: Mapping[str, tuple[str, Kernel]] = {
    "field that was the condition, changed": (
        "field-condition",
        of_nodes(when(FLAG, SET_FLAG, orelse=(let("v", 3.0),))),
    ),
    "field that was the condition, changed beside a gradient": (
        "field-condition",
        of_nodes(when(FLAG, SET_FLAG, let("v", do("mul", at("x"), at("x"))))),
    ),
    "part added to of what a loop read": (
        "part-update-gradient",
        moved(
            let("s", 0.0),
            loop("j", n, change("s", "add", do("dot", WHOLE, WHOLE))),
            part("v", 0, number(0.5), "add"),
            put("out", var("s")),
            params=(VS, N, OUT, VOUT),
        ),
    ),
    "part added to after a use": ("part-update-gradient", moved(DOT, part("v", 0, at("x"), "add"), params=ALL)),
    "part added to of what an adjoint needs": (
        "part-update-gradient",
        moved(part("v", 0, at("x"), "add"), begin=let("v", do("normalize", at("vs", I, V3)))),
    ),
    "part added to by its letter": ("letter-update-gradient", moved(part("v", 0, at("x"), "add", lettered=True))),
}
