"""Structs: how they are written, what is refused, that Warp does with them what the reference does without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from extract import launch
from extract.compile import BlockBuild, Compiled, compile_block, release, start
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.defects import defect
from grammar.emit import emit
from grammar.families import FAMILIES, family_named
from grammar.fields import without_structs
from grammar.gather import gathered
from grammar.grow import grow
from grammar.inputs import regular
from grammar.limits import limitation
from grammar.ops import ROWS
from grammar.params import Param, Role, Struct
from grammar.plain import run_plain
from grammar.profiles import profile
from grammar.serial import kernel_of, plain_of
from grammar.tree import (
    Apply,
    Assign,
    AugAssign,
    AugStore,
    Const,
    Fieldwise,
    For,
    Function,
    If,
    Invoke,
    Kernel,
    Read,
    Return,
    Size,
    Stmt,
    Store,
    Term,
    Thread,
    Var,
    statements,
)
from grammar.types import BOOL, F16, F32, F64, I32, Array, Element, type_named
from grammar.views import without_views
from tests.proving import verified
from validate.edits import measure, tidied
from validate.findings import Finding, case_of
from validate.gradient import cotangents
from validate.oracle import check, values_of
from validate.passes import PASSES
from validate.verdict import GradientLabel, Outcome

LANES = 64
SEED = Seed(3)
V = type_named("vec3f")
I = Var("i", I32)  # noqa: E741 - what kernels call it, too
BODY = {"x": V, "half": F16, "m": F64, "near": I32}
FIELDS: dict[str, Element] = {"x": V, "m": F64}


def apply(key: str, *args: Term) -> Apply:
    return Apply(ROWS[key], args)


def field(name: str, type: object, role: Role = Role.VALUE) -> Param:
    return Param(name, type, role, 0.5, 2.0)  # type: ignore[arg-type] # of any kind


PARAMS = (
    *(field(f"bodies[].{name}", Array(type)) for name, type in BODY.items() if name != "near"),
    field("bodies[].near", Array(I32), Role.INDEX),
    field("params.on", BOOL),
    field("params.dt", F32),
    field("params.rest.k", F64),
    field("params.rest.w", Array(F32)),
    field("out[].x", Array(V), Role.OUT),
    field("out[].m", Array(F64), Role.OUT),
)
STRUCTS = (
    Struct("bodies[]", "Body"),
    Struct("params", "Params"),
    Struct("params.rest", "Rest"),
    Struct("out[]", "Result"),
)
DT = Var("params.dt", F32)
MOVED = Function(
    "moved",
    (Var("b.x", V), Var("b.m", F64), Var("h", F32)),
    (Return(apply("mul(vec3f,float32)", Var("b.x", V), apply("mul(float32,float32)", Var("h", F32),
        apply("float32(float64)", Var("b.m", F64))))),),
    V,
    structs=(Struct("b", "Body"),),
)  # fmt: skip


def load(local: str, index: Term, *names: str) -> Fieldwise:
    reads = (Assign(f"{local}.{name}", Read(f"bodies[].{name}", index, BODY[name])) for name in names)
    return Fieldwise("Body", local, tuple(reads))


STORED = Fieldwise(
    "Result", "out[]", tuple(Store(f"out[].{name}", I, Var(f"s.{name}", T)) for name, T in FIELDS.items())
)
HEAVY = apply("mul(float64,float64)", Var("b.m", F64), Var("params.rest.k", F64))
OTHER = Read("bodies[].x", Read("bodies[].near", I, I32), V)
HALF = apply("float32(float16)", Var("b.half", F16))
BODY_OF_KERNEL: tuple[Stmt, ...] = (
    load("b", I, "x", "half", "m"),
    Fieldwise("Result", "s"),
    If(
        Var("params.on", BOOL),
        (Assign("s.x", Invoke(MOVED, (Var("b.x", V), Var("b.m", F64), DT))),),
        (Assign("s.x", apply("mul(vec3f,float32)", OTHER, apply("mul(float32,float32)", HALF,
            Read("params.rest.w", I, F32)))),),
    ),
    Assign("s.m", apply("mul(float64,float64)", HEAVY, apply("float64(int32)", Size("bodies[].x", I32)))),
    STORED,
)  # fmt: skip


def kernel(*body: Stmt, params: tuple[Param, ...] = PARAMS, structs: tuple[Struct, ...] = STRUCTS) -> Kernel:
    return Kernel("move_bodies", params, (Thread("i"), *(body or BODY_OF_KERNEL)), "combined", structs)


WRITTEN = """\
import warp as wp


@wp.struct
class Result:
    x: wp.vec3
    m: wp.float64


@wp.struct
class Rest:
    k: wp.float64
    w: wp.array[float]


@wp.struct
class Params:
    on: bool
    dt: float
    rest: Rest


@wp.struct
class Body:
    x: wp.vec3
    half: wp.float16
    m: wp.float64
    near: int


@wp.func
def moved(b: Body, h: float):
    return b.x * (h * float(b.m))


@wp.kernel
def move_bodies(bodies: wp.array[Body], params: Params, out: wp.array[Result]):
    i = wp.tid()
    b = bodies[i]
    s = Result()
    if params.on:
        s.x = moved(b, params.dt)
    else:
        s.x = bodies[bodies[i].near].x * (float(b.half) * params.rest.w[i])
    s.m = b.m * params.rest.k * wp.float64(bodies.shape[0])
    out[i] = s
"""


def test_structs_are_written_as_people_do() -> None:
    assert problems(kernel()) == ()
    assert emit(kernel()) == WRITTEN
    assert kernel_of(plain_of(kernel())) == kernel()


def test_an_array_of_structs_has_its_dimensions() -> None:
    params = tuple(replace(p, type=Array(p.element, 2)) for p in PARAMS if isinstance(p.type, Array))
    assert "bodies: wp.array2d[Body]" in emit(kernel(params=params, structs=(STRUCTS[0], STRUCTS[3])))


# -- what is refused --------------------------------------------------------------------------------------------------


def _swapped(params: tuple[Param, ...], k: int) -> tuple[Param, ...]:
    return (*params[:k], params[k + 1], params[k], *params[k + 2 :])


WRONG = {
    "fields apart": kernel(params=_swapped(PARAMS, 3)),
    "no such struct": kernel(structs=STRUCTS[1:]),
    "no fields": kernel(structs=(*STRUCTS, Struct("more", "More"))),
    "a class of two kinds": kernel(structs=(*STRUCTS[:3], Struct("out[]", "Body"))),
    "a class named as the kernel": kernel(structs=(*STRUCTS[:3], Struct("out[]", "move_bodies"))),
    "arrays of several shapes": kernel(params=(replace(PARAMS[0], type=Array(V, 2)), *PARAMS[1:])),
    "a number among arrays": kernel(params=(replace(PARAMS[0], type=V), *PARAMS[1:])),
    "read and written": kernel(params=(replace(PARAMS[0], role=Role.OUT), *PARAMS[1:])),
    "not made": kernel(BODY_OF_KERNEL[0], *BODY_OF_KERNEL[2:]),
    "made of another class": kernel(BODY_OF_KERNEL[0], Fieldwise("Body", "s"), *BODY_OF_KERNEL[2:]),
    "of no class": kernel(BODY_OF_KERNEL[0], Fieldwise("Nothing", "s"), *BODY_OF_KERNEL[2:]),
    "a name twice": kernel(BODY_OF_KERNEL[0], Fieldwise("Result", "b"), *BODY_OF_KERNEL[1:]),
    "the name of a parameter": kernel(Fieldwise("Result", "params"), *BODY_OF_KERNEL),
    "a field that was not loaded": kernel(load("b", I, "x", "half"), *BODY_OF_KERNEL[1:]),
    "loaded crosswise": kernel(
        Fieldwise("Body", "b", (Assign("b.x", Read("bodies[].m", I, F64)),)), *BODY_OF_KERNEL[1:]
    ),
    "loaded from two places": kernel(
        replace(load("b", I, "x"), body=(*load("b", I, "x", "half").body, *load("b", Const(I32, 0), "m").body)),
        *BODY_OF_KERNEL[1:],
    ),
    "stored in part": kernel(*BODY_OF_KERNEL[:-1], replace(STORED, body=STORED.body[:1])),
    "stored in another order": kernel(*BODY_OF_KERNEL[:-1], replace(STORED, body=STORED.body[::-1])),
    "not assigned before it is stored": kernel(*BODY_OF_KERNEL[:3], STORED),
    "assigned in one arm": kernel(
        *BODY_OF_KERNEL[:2], If(Var("params.on", BOOL), (BODY_OF_KERNEL[3],)), *BODY_OF_KERNEL[2:3], STORED
    ),
    "a parameter's field assigned": kernel(Assign("params.dt", Const(F32, 1.0)), *BODY_OF_KERNEL),
    "passed in parts": kernel(
        *BODY_OF_KERNEL[:2],
        Assign("s.x", Invoke(MOVED, (OTHER, Var("b.m", F64), DT))),
        *BODY_OF_KERNEL[3:],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_struct_is_refused(what: str) -> None:
    assert problems(WRONG[what])


def test_warp_scales_no_element_of_an_array_that_is_a_field() -> None:
    """It can't compile `state.out[i] *= 0.5`."""
    half = AugStore("state.out", I, ROWS["mul(float32,float32)"], Const(F32, 0.5))
    params = (Param("state.x", Array(F32), Role.VALUE), Param("state.out", Array(F32), Role.OUT))
    body = (Thread("i"), Store("state.out", I, Read("state.x", I, F32)), half)
    scaled = Kernel("scale", params, body, "combined", (Struct("state", "State"),))
    assert problems(scaled) == ("state.out is changed by an operator that is no atomic, a field",)
    plain = without_structs(scaled)
    assert problems(plain) == ()
    names = {p.name for k in range(30) for p in gathered(seeded(Seed(k)), plain, always=True).params}
    assert "state_x" in {name.rpartition(".")[2] for name in names}
    assert not any(name.endswith(".state_out") and "[]" not in name for name in names)


def test_a_field_given_a_value_after_its_struct_was_passed_to_a_function_is_a_defect() -> None:
    """Warp's adjoint of the call takes what the field holds at the end, and x * x needs what it held."""
    square = apply("mul(float32,float32)", Var("b.x", F32), Var("b.x", F32))
    passed = Function("square", (Var("b.x", F32),), (Return(square),), F32, structs=(Struct("b", "Body"),))
    params = (Param("bodies[].x", Array(F32), Role.VALUE), Param("out", Array(F32), Role.OUT))
    begin = (Thread("i"), Fieldwise("Body", "b", (Assign("b.x", Read("bodies[].x", I, F32)),)))
    call, given = Assign("v", Invoke(passed, (Var("b.x", F32),))), Assign("b.x", Const(F32, 2.0))
    end = Store("out", I, apply("add(float32,float32)", Var("b.x", F32), Var("v", F32)))

    def of(*body: Stmt) -> Kernel:
        return Kernel("move", params, (*begin, *body, end), "combined", (Struct("bodies[]", "Body"),))

    found = defect(of(call, given))
    assert found is not None
    assert found.name == "overwritten-field-gradient"
    assert defect(of(call)) is defect(of(given, call)) is None


def test_warp_stores_no_tiles_to_arrays_that_are_fields() -> None:
    """It can't compile `wp.tile_store(state.out, t)`, but loads `wp.tile_load(state.x, shape=4)`."""
    type = type_named("tile4f")
    params = (Param("state.x", Array(type), Role.VALUE), Param("state.out", Array(type), Role.OUT))
    body = (Thread("i"), Store("state.out", I, Read("state.x", I, type)))
    stored = Kernel("copy", params, body, "combined", (Struct("state", "State"),))
    assert problems(stored) == ("state.out is written as tiles, a field",)
    taken = (params[0], replace(params[0], name="state.y"), replace(params[1], name="out"))
    total = apply("add(tile4f,tile4f)", *(Read(one.name, I, type) for one in taken[:2]))
    loaded = Kernel("add", taken, (body[0], Store("out", I, total)), "combined", (Struct("state", "State"),))
    assert problems(loaded) == ()
    names = {p.name for k in range(30) for p in gathered(seeded(Seed(k)), without_structs(loaded), always=True).params}
    assert any(name.endswith(".state_x") for name in names)
    assert not any(name.endswith(".out") for name in names)


@pytest.mark.warp
def test_warp_is_told_how_many_axes_a_field_has_that_is_loaded_from_its_beginning() -> None:
    """It can't compile `wp.tile_load(state.x, shape=4)`, unlike that of an array which is no field."""
    type = type_named("tile2x4f")
    first, second = (Param(name, Array(type), Role.VALUE, -1.0, 1.0, 1) for name in ("state.x", "y"))
    total = apply("add(tile2x4f,tile2x4f)", *(Read(one.name, Const(I32, 0), type) for one in (first, second)))
    added = apply("add(tile2x4f,tile2x4f)", total, Read("z", I, type))
    params = (first, second, Param("z", Array(type), Role.VALUE, -1.0, 1.0), Param("out", Array(type), Role.OUT))
    by_hand = Kernel("add", params, (Thread("i"), Store("out", I, added)), "by hand", (Struct("state", "State"),))
    assert problems(by_hand) == ()
    assert "wp.tile_load(state.x, shape=(2, 4), offset=(0, 0)) + wp.tile_load(y, shape=(2, 4))" in emit(by_hand)
    verified([by_hand])


def test_what_is_loaded_as_tiles_is_no_field_of_structs_in_an_array() -> None:
    tiles = replace(PARAMS[0], type=Array(type_named("tile4f")))
    assert f"{STRUCTS[0].path} has a field that is loaded as tiles" in problems(kernel(params=(tiles, *PARAMS[1:])))


# -- what they mean ---------------------------------------------------------------------------------------------------


def test_names_are_chance_and_what_stands_together_is_not() -> None:
    text = {"bodies": "points", "Body": "Point", "params": "sim", "out": "results", "b.": "q."}

    def other(name: str) -> str:
        for old, new in text.items():
            if name.startswith(old):
                return new + name.removeprefix(old)
        return name

    flat = without_structs(kernel(load("b", I, "m"), *BODY_OF_KERNEL[1:2], *BODY_OF_KERNEL[3:4], STORED))
    assert canonical_hash(flat) != canonical_hash(kernel())
    params = tuple(replace(p, name=other(p.name)) for p in PARAMS[:1])
    one, same = (
        Kernel(
            name,
            (first, field(out, Array(V), Role.OUT)),
            (Thread("i"), Store(out, I, Read(first.name, I, V))),
            "",
            (struct,),
        )
        for name, first, out, struct in (
            ("k", params[0], "y", Struct("points[]", "Point")),
            ("l", PARAMS[0], "z", STRUCTS[0]),
        )
    )
    assert canonical_hash(one) == canonical_hash(same)
    assert canonical_hash(without_structs(one)) != canonical_hash(one)


def test_taken_apart_a_kernel_is_smaller_and_computes_the_same() -> None:
    uncalled = (Assign("s.x", apply("mul(vec3f,float32)", Var("b.x", V), DT)),)
    one = kernel(*(replace(s, body=uncalled) if isinstance(s, If) else s for s in BODY_OF_KERNEL))
    flat = without_structs(one)
    assert problems(flat) == ()
    assert not any(isinstance(stmt, Fieldwise) for stmt in statements(flat.body))
    assert measure(flat) < measure(one)
    inputs = regular(one, SEED, LANES)
    names = {p.name: q.name for p, q in zip(one.params, flat.params, strict=True)}
    arrays = {names[name]: array for name, array in inputs.arrays.items()}
    scalars = {names[name]: value for name, value in inputs.scalars.items()}
    found, wanted = run_plain(flat, replace(inputs, arrays=arrays, scalars=scalars)), run_plain(one, inputs)
    for name in ("out[].x", "out[].m"):
        assert found.arrays[names[name]].tobytes() == wanted.arrays[name].tobytes()


def test_passes_keep_structs_whole_or_take_them_apart() -> None:
    found = [small for one in PASSES for each in one(kernel()) if (small := tidied(each)) is not None]
    assert sum(bool(small.structs) for small in found) > 20
    assert any(not small.structs for small in (tidied(without_structs(k)) for k in found) if small is not None)
    assert all({s.path for s in small.structs} <= {s.path for s in STRUCTS} for small in found)


def test_what_a_load_in_a_loop_reads_is_not_carried() -> None:
    square = apply("mul(float64,float64)", Var("b.m", F64), Var("b.m", F64))
    loop = For(
        "k", None, Var("n", I32), (load("b", Var("k", I32), "m"), AugAssign("t", ROWS["add(float64,float64)"], square))
    )
    params = (PARAMS[2], Param("n", I32, Role.VALUE, 3, 6), field("y", Array(F64), Role.OUT))
    body = (Thread("i"), Assign("t", Const(F64, 0.0)), loop, Store("y", I, Var("t", F64)))
    one = Kernel("k", params, body, "", (STRUCTS[0],))
    assert problems(one) == ()
    assert limitation(one) == ""
    assert defect(one) is None
    adding = AugAssign("t", ROWS["add(float64,float64)"], Var("c.m", F64))
    last = (Assign("c.m", Var("t", F64)), Store("y", I, Var("c.m", F64)))
    late = (*body[:2], load("c", I, "m"), For("k", None, Var("n", I32), (adding,)), *last)
    overwriting = replace(one, body=late)
    assert problems(overwriting) == ()
    known = defect(overwriting)
    assert known is not None
    assert known.name == "overwritten-field-gradient"
    assert defect(replace(one, body=(*late[:3], *late[4:]))) is None


# -- with Warp --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def block() -> Iterator[BlockBuild]:
    start()
    wrong = emit(kernel()).replace("s.m = b.m * params", "s.m = params.rest.k * params")
    astray = emit(kernel()).replace("    out[i] = s", "    out[i] = s\n    out[i + 1] = s")
    built = compile_block([("move_bodies", text) for text in (WRITTEN, wrong, astray, WRITTEN)])
    yield built
    release(built)


def _made(block: BlockBuild, k: int) -> Compiled:
    made = block.kernels[k]
    assert isinstance(made, Compiled), made
    return made


@pytest.mark.warp
def test_warp_computes_values_and_gradients_of_fields(block: BlockBuild) -> None:
    for k in (0, 3):
        verdict = check(kernel(), _made(block, k).handle, SEED, LANES)
        assert (verdict.outcome, verdict.gradient) == (Outcome.VERIFIED, GradientLabel.VERIFIED), verdict.detail
        assert verdict.checked > 0.9
    assert _made(block, 0).build.ir == _made(block, 3).build.ir
    assert "struct Body_" in _made(block, 0).build.ir["cpp_args"]


@pytest.mark.warp
def test_faults_in_fields_are_noticed(block: BlockBuild) -> None:
    wrong = check(kernel(), _made(block, 1).handle, SEED, LANES)
    assert wrong.outcome is Outcome.VALUE
    assert wrong.detail.startswith("out[].m[")
    finding = Finding(wrong.outcome, wrong.detail, kernel(), SEED, LANES)
    case = case_of(finding)
    assert case["structs"] == {struct.path: struct.name for struct in STRUCTS}
    assert case["shapes"] == {"bodies[]": (LANES,), "out[]": (LANES,)}
    inputs = regular(kernel(), SEED, LANES)
    result = launch.run(_made(block, 2).handle, PARAMS, values_of(inputs, 0), LANES)
    assert result.stray == "out[].x"


@pytest.mark.warp
def test_both_ways_of_launching_agree(block: BlockBuild) -> None:
    handle, inputs = _made(block, 0).handle, regular(kernel(), SEED, LANES)
    values = values_of(inputs, 0)
    weights = {name: weight[0] for name, weight in cotangents(kernel(), inputs, SEED).items()}
    one = launch.differentiate(handle, PARAMS, values, weights, LANES)
    other = launch._differentiate_publicly(handle, PARAMS, values, weights, LANES, "cpu")
    assert one.stray == other.stray == ""
    assert set(one.gradients) == {"bodies[].x", "bodies[].half", "bodies[].m", "params.rest.w"}
    for name, array in one.arrays.items():
        assert np.array_equal(array, other.arrays[name], equal_nan=True), name
    for name, gradient in one.gradients.items():
        assert gradient.any(), name
        assert np.array_equal(gradient, other.gradients[name]), name


@pytest.mark.warp
def test_gradients_flow_beside_structs_of_whole_numbers_alone() -> None:
    """Whose own adjoint is no array at all, as long as their elements are."""
    near, shift = (field(f"sites[].{name}", Array(I32), Role.INDEX) for name in ("near", "shift"))
    value = apply("mul(float32,float32)", Read("x", Read("sites[].near", I, I32), F32), Const(F32, 2.0))
    shifted = apply("add(float32,float32)", value, apply("float32(int32)", Read("sites[].shift", I, I32)))
    one = Kernel(
        "pick_values",
        (field("x", Array(F32)), near, shift, field("out", Array(F32), Role.OUT)),
        (Thread("i"), Store("out", I, shifted)),
        "struct_particle",
        (Struct("sites[]", "Site"),),
    )
    assert not problems(one)
    built = compile_block([(one.name, emit(one))])
    verdict = check(one, _made(built, 0).handle, SEED, LANES)
    release(built)
    assert (verdict.outcome, verdict.gradient) == (Outcome.VERIFIED, GradientLabel.VERIFIED), verdict.detail


# -- growing ----------------------------------------------------------------------------------------------------------


def _grown(family: str, count: int) -> list[Kernel]:
    one = family_named(family)
    found = (grow(seeded(Seed(s)), one, profile("natural"), 5, Seed(s), LANES) for s in range(count))
    return [kernel for kernel in found if kernel is not None]


def test_particles_are_in_structs_in_all_the_ways_people_have() -> None:
    grown = _grown("struct_particle", 40)
    assert len(grown) > 35
    assert all(kernel.structs and not problems(kernel) for kernel in grown)
    ways: Counter[str] = Counter()
    for kernel in grown:
        for stmt in statements(kernel.body):
            match stmt:
                case Fieldwise(_, _, ()):
                    ways["made"] += 1
                case Fieldwise(_, _, (Store(), *_)):
                    ways["stored"] += 1
                case Fieldwise():
                    ways["loaded"] += 1
                case AugAssign(name, _, _) if "." in name:
                    ways["updated"] += 1
                case Store(array, _, value) if "[]" in array and not isinstance(value, Var):
                    ways["stored by field"] += 1
                case _:
                    pass
        ways["by value"] += any("[]" not in struct.path for struct in kernel.structs)
    assert {"made", "stored", "loaded", "updated", "stored by field", "by value"} <= {w for w, n in ways.items() if n}


def test_gathering_changes_how_kernels_are_written_and_not_what_they_compute() -> None:
    """Nor does it ask whether they are alive: inputs have the values with which they were grown."""
    kept = 0
    for k, family in enumerate(FAMILIES):
        plain = grow(seeded(Seed(k)), replace(family, structs=False), profile("natural"), 5, Seed(k), LANES)
        if plain is None or plain.structs:
            continue
        plain = replace(without_views(plain), generic=False)  # what comes after structs
        made = gathered(seeded(Seed(k)), plain, always=True)
        assert problems(made) == ()
        if not made.structs or len(made.params) != len(plain.params):
            continue
        kept += 1
        before, after = (run_plain(one, regular(one, Seed(k), LANES)) for one in (plain, made))
        outputs = [sorted(run.arrays[p.name].tobytes() for p in one.params if p.is_output)
                   for run, one in ((before, plain), (after, made))]  # fmt: skip
        assert outputs[0] == outputs[1], family.name
    assert kept > 5
