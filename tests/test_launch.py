"""Launching: the same values and gradients as through Warp's public interface, and no stray write unseen."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import warp as wp

from extract import launch
from extract.compile import Compiled, CompileOptions, Handle, compile_block, release, start
from extract.launch import differentiate, run
from extract.warp_private import ENTRY
from grammar.emit import emit
from grammar.floats import FLOATING
from grammar.params import Param, Role
from grammar.types import BOOL, F32, F64, I32, Array, Scalar
from tests.builders import samples

pytestmark = pytest.mark.warp

LANES = 64


@dataclass(frozen=True)
class Case:
    """A hand-written kernel, what it takes, and what it is launched with."""

    name: str
    signature: str
    body: str
    params: tuple[Param, ...]

    @property
    def source(self) -> str:
        return f"import warp as wp\n\n\n@wp.kernel\ndef {self.name}({self.signature}):\n    i = wp.tid()\n{self.body}"


FLOAT_ARRAY = Array(F32)


def values_in(name: str, type: Scalar | Array = FLOAT_ARRAY) -> Param:
    return Param(name, type, Role.VALUE)


OUT = Param("out", Array(F32), Role.OUT)
FLOATS = "x: wp.array[float], out: wp.array[float]"

SMOOTH = Case(
    "smooth",
    "x: wp.array[float], y: wp.array[float], scale: float, out: wp.array[float]",
    "    a = x[i] * scale\n    b = wp.sin(y[i]) + 2.0\n    if a > b:\n        a = a - b\n    out[i] = a / b\n",
    (values_in("x"), values_in("y"), values_in("scale", F32), OUT),
)
TYPES = Case(
    "types",
    "flag: bool, x: wp.array[wp.float64], n: int, mask: wp.array[bool], pick: wp.array[int], shift: wp.float64, "
    "out: wp.array[wp.float64], seen: wp.array[int]",
    "    v = x[pick[i]] * shift\n    if flag and mask[i]:\n        v = v * v\n    out[i] = v\n"
    "    seen[i] = n + pick[i]\n",
    (
        values_in("flag", BOOL),
        values_in("x", Array(F64)),
        values_in("n", I32),
        values_in("mask", Array(BOOL)),
        Param("pick", Array(I32), Role.INDEX),
        values_in("shift", F64),
        Param("out", Array(F64), Role.OUT),
        Param("seen", Array(I32), Role.OUT),
    ),
)
REDUCE = Case(
    "reduce",
    "x: wp.array[float], total: wp.array[float], largest: wp.array[float], out: wp.array[float]",
    "    wp.atomic_add(total, 0, x[i] * x[i])\n    wp.atomic_max(largest, 1, x[i])\n    out[i] = wp.exp(x[i])\n",
    (
        values_in("x"),
        Param("total", Array(F32), Role.ACCUMULATOR, size=1),
        Param("largest", Array(F32), Role.ACCUMULATOR, size=2),
        OUT,
    ),
)
LOOP = Case(
    "loop",
    "x: wp.array[float], w: wp.array[float], n: int, out: wp.array[float]",
    "    if i >= n:\n        return\n    s = float(0.0)\n    for j in range(w.shape[0]):\n        s += w[j] * x[i]\n"
    "    out[i] = s\n",
    (values_in("x"), Param("w", Array(F32), Role.VALUE, size=5), Param("n", I32, Role.COUNT), OUT),
)
CASES = (SMOOTH, TYPES, REDUCE, LOOP)

PLAIN = (values_in("x"), OUT)
AFTER = Case("after", FLOATS, "    out[i + 1] = x[i]\n", PLAIN)
BEFORE = Case("before", FLOATS, "    out[i - 1 - x.shape[0]] = x[i]\n", PLAIN)
ZERO = Case("zero", FLOATS, "    out[i] = x[i]\n    wp.atomic_add(out, i + 1, 0.0)\n", PLAIN)
INPUT = Case("input", FLOATS, "    out[i] = x[i]\n    if i == 7:\n        x[i] = x[i] + 1.0\n", PLAIN)
READ = Case("read", FLOATS, "    out[i] = x[i + 1]\n", PLAIN)
COPY = Case("copy", FLOATS, "    out[i] = x[i]\n", PLAIN)
STRAYS = (AFTER, BEFORE, ZERO, INPUT, READ)


@pytest.fixture(scope="module")
def handles() -> Iterator[Mapping[str, Handle]]:
    start()
    cases = (*CASES, *STRAYS, COPY)
    block = compile_block([(case.name, case.source) for case in cases])
    compiled = [kernel for kernel in block.kernels if isinstance(kernel, Compiled)]
    assert len(compiled) == len(cases), block.kernels
    yield {kernel.handle.name: kernel.handle for kernel in compiled}
    release(block)


def values_of(case: Case, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)

    def value(param: Param) -> Any:
        size = () if not isinstance(param.type, Array) else LANES if param.size is None else param.size
        match param.role:
            case Role.OUT:
                return np.full(size, 77, param.element.dtype)
            case Role.INDEX:
                return rng.integers(0, LANES, size).astype(np.int32)
            case Role.COUNT:
                return LANES - 3
            case _ if param.element is BOOL:
                return rng.random(size) < 0.5 if size else True
            case _:
                return np.asarray(rng.uniform(1.0, 5.0, size)).astype(param.element.dtype)

    return {param.name: value(param) for param in case.params}


def cotangents_of(case: Case, values: Mapping[str, Any]) -> dict[str, Any]:
    rng = np.random.default_rng(9)
    outputs = [p for p in case.params if p.is_output and p.element.dtype.kind in FLOATING]
    return {p.name: rng.uniform(-1.0, 1.0, values[p.name].shape).astype(p.element.dtype) for p in outputs}


@dataclass(frozen=True)
class Taped:
    arrays: Mapping[str, Any]
    gradients: Mapping[str, Any]


def taped(case: Case, handle: Handle, values: Mapping[str, Any], cotangents: Mapping[str, Any]) -> Taped:
    """What Warp's documentation tells people to do, with Warp's own compilation of the kernel."""
    inputs: list[Any] = []
    arrays: dict[str, Any] = {}
    for param in case.params:
        value = values[param.name]
        if isinstance(param.type, Array):
            real = param.element.dtype.kind in FLOATING
            value = wp.array(value, dtype=getattr(wp, param.element.name), device="cpu", requires_grad=real)
            arrays[param.name] = value
        inputs.append(value if isinstance(param.type, Array) else param.element.dtype.type(value).item())
    tape = wp.Tape()  # type: ignore[no-untyped-call]  # Warp does not annotate it
    with tape:
        wp.launch(handle.kernel, dim=LANES, inputs=inputs, device="cpu")
    after = {name: np.copy(array.numpy()) for name, array in arrays.items()}
    tape.backward(grads={arrays[name]: wp.array(c, device="cpu") for name, c in cotangents.items()})
    wanted = [p.name for p in case.params if p.name in arrays and not p.is_output and p.element.dtype.kind in FLOATING]
    return Taped(after, {name: gradient_of(arrays[name]) for name in wanted})


def gradient_of(array: Any) -> Any:
    return array.grad.numpy().copy()


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return list(one) == list(other) and all(one[name].tobytes() == other[name].tobytes() for name in one)


# -- values and gradients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_launch_does_what_warp_does(case: Case, handles: Mapping[str, Handle]) -> None:
    values = values_of(case)
    cotangents = cotangents_of(case, values)
    handle = handles[case.name]
    reference = taped(case, handle, values, cotangents)
    launched = run(handle, case.params, values, LANES)
    assert launched.intact
    assert same(launched.arrays, reference.arrays)
    result = differentiate(handle, case.params, values, cotangents, LANES)
    assert result.intact
    assert same(result.arrays, reference.arrays)
    assert result.gradients
    assert same(result.gradients, reference.gradients)
    assert any(np.any(gradient != 0) for gradient in result.gradients.values())
    assert same(result.forward.arrays, launched.arrays)


def test_both_instantiations_agree(handles: Mapping[str, Handle]) -> None:
    """What clang gets by default does what Warp's whole text does."""
    block = compile_block([(c.name, c.source) for c in CASES], options=CompileOptions(both_instantiations=True))
    for case, kernel in zip(CASES, block.kernels, strict=True):
        assert isinstance(kernel, Compiled)
        values = values_of(case)
        cotangents = cotangents_of(case, values)
        one, other = (
            differentiate(h, case.params, values, cotangents, LANES) for h in (kernel.handle, handles[case.name])
        )
        assert same(one.arrays, other.arrays)
        assert same(one.gradients, other.gradients)
    release(block)


def test_smooth_is_differentiated_rightly(handles: Mapping[str, Handle]) -> None:
    """Against the formula, lest Warp and we agree on nonsense."""
    values = values_of(SMOOTH)
    x, y, scale = (np.asarray(values[name], np.float64) for name in ("x", "y", "scale"))
    b = np.sin(y) + 2.0
    subtracted = x * scale > b
    weight = cotangents_of(SMOOTH, values)
    gradients = differentiate(handles["smooth"], SMOOTH.params, values, weight, LANES).gradients
    assert np.allclose(gradients["x"], weight["out"] * scale / b, rtol=1e-5)
    assert np.allclose(gradients["y"], weight["out"] * -(x * scale) / b**2 * np.cos(y), rtol=1e-4, atol=1e-6)
    assert 0 < subtracted.sum() < LANES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_callers_arrays_are_left_alone(case: Case, handles: Mapping[str, Handle]) -> None:
    values = values_of(case)
    cotangents = cotangents_of(case, values)
    run(handles[case.name], case.params, values, LANES)
    differentiate(handles[case.name], case.params, values, cotangents, LANES)
    for name, value in values_of(case).items():
        assert np.array_equal(value, values[name])
    for name, value in cotangents_of(case, values).items():
        assert np.array_equal(value, cotangents[name])


def test_what_is_not_written_stays_as_it_was(handles: Mapping[str, Handle]) -> None:
    out = run(handles["loop"], LOOP.params, values_of(LOOP), LANES).arrays["out"]
    assert np.all(out[-3:] == 77)
    assert not np.any(out[:-3] == 77)


def test_missing_cotangents_are_zero(handles: Mapping[str, Handle]) -> None:
    values = values_of(REDUCE)
    weight = {"total": np.ones(1, np.float32)}
    gradients = differentiate(handles["reduce"], REDUCE.params, values, weight, LANES).gradients
    assert np.array_equal(gradients["x"], 2 * values["x"])


def test_results_can_be_sent_elsewhere(handles: Mapping[str, Handle]) -> None:
    launched = run(handles["copy"], COPY.params, values_of(COPY), LANES)
    assert same(pickle.loads(pickle.dumps(launched)).arrays, launched.arrays)


def test_values_of_the_wrong_kind_are_refused(handles: Mapping[str, Handle]) -> None:
    values = values_of(COPY)
    with pytest.raises(AssertionError, match="expected float32, got float64"):
        run(handles["copy"], COPY.params, values | {"x": np.zeros(LANES)}, LANES)
    with pytest.raises(AssertionError, match="takes"):
        run(handles["copy"], COPY.params[::-1], values, LANES)
    with pytest.raises(AssertionError, match="should have the shape"):
        differentiate(handles["copy"], COPY.params, values, {"out": np.zeros(3)}, LANES)


# -- stray writes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "stray"),
    [(AFTER, "out"), (BEFORE, "out"), (ZERO, "out"), (INPUT, "x")],
    ids=lambda c: getattr(c, "name", c),
)
def test_stray_writes_are_seen(case: Case, stray: str, handles: Mapping[str, Handle]) -> None:
    for launched in (
        run(handles[case.name], case.params, values_of(case), LANES),
        launch._run_publicly(handles[case.name], case.params, values_of(case), LANES, "cpu"),
    ):
        assert not launched.intact
        assert launched.stray == stray


def test_a_stray_read_shows_in_values_and_in_its_gradient(handles: Mapping[str, Handle]) -> None:
    launched = run(handles["read"], READ.params, values_of(READ), LANES)
    assert launched.intact
    assert np.isnan(launched.arrays["out"][-1])
    result = differentiate(handles["read"], READ.params, values_of(READ), {"out": np.ones(LANES, np.float32)}, LANES)
    assert result.stray == "x"


def test_arrays_with_strides_get_no_launch(handles: Mapping[str, Handle]) -> None:
    """The instantiation for them is left out: they must not be taken for contiguous ones."""
    values = values_of(COPY)
    memory = launch._memory(COPY.params, values)
    fields: list[int] = []
    for param in COPY.params:
        itemsize = launch._itemsize(param, memory)
        data, gradient, length, *rest = launch._descriptor(param, itemsize, memory[param.name], None)
        fields += [data, gradient, length // 2, *rest]
        fields[-6] *= 2  # the stride
    ENTRY(handles["copy"].forward)(launch._bounds((LANES // 2,)), launch._packed(COPY.params, fields))
    assert np.all(memory["out"].array == 77)


# -- elsewhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_way_for_other_devices_agrees_with_the_direct_one(case: Case, handles: Mapping[str, Handle]) -> None:
    values = values_of(case)
    cotangents = cotangents_of(case, values)
    handle = handles[case.name]
    assert same(
        launch._run_publicly(handle, case.params, values, LANES, "cpu").arrays,
        run(handle, case.params, values, LANES).arrays,
    )
    assert same(
        launch._differentiate_publicly(handle, case.params, values, cotangents, LANES, "cpu").gradients,
        differentiate(handle, case.params, values, cotangents, LANES).gradients,
    )


def test_the_way_for_other_devices_knows_composites_and_grids() -> None:
    start()
    wanted = {"vector_physics", "matrix_vector", "rigid_transform", "grid_stencil", "random_sampling"}
    grown = {s.kernel.family: s for s in samples() if s.kernel.family in wanted}
    assert set(grown) == wanted
    block = compile_block([(s.kernel.name, emit(s.kernel)) for s in grown.values()])
    for sample, compiled in zip(grown.values(), block.kernels, strict=True):
        assert isinstance(compiled, Compiled)
        handle, params = compiled.handle, sample.kernel.params
        values = {name: given[0] for name, given in {**sample.inputs.arrays, **sample.inputs.scalars}.items()}
        ones = {
            p.name: np.ones_like(values[p.name]) for p in params if p.is_output and p.element.dtype.kind in FLOATING
        }
        there = launch._differentiate_publicly(handle, params, values, ones, sample.inputs.lanes, "cpu")
        here = differentiate(handle, params, values, ones, sample.inputs.lanes)
        assert same(there.forward.arrays, here.forward.arrays)
        assert same(there.gradients, here.gradients)
    release(block)


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cuda_agrees_with_the_cpu(case: Case, handles: Mapping[str, Handle]) -> None:
    if not wp.is_cuda_available():
        pytest.skip("no CUDA device here")
    values = values_of(case)
    cotangents = cotangents_of(case, values)
    here, there = (
        differentiate(handles[case.name], case.params, values, cotangents, LANES, d) for d in ("cpu", "cuda")
    )
    assert there.intact
    for name, array in here.arrays.items():
        assert np.allclose(there.arrays[name], array, rtol=1e-5)
    for name, gradient in here.gradients.items():
        assert np.allclose(there.gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_released_kernels_are_not_launched() -> None:
    start()
    block = compile_block([(COPY.name, COPY.source)], options=CompileOptions(enable_backward=False))
    (copy,) = block.kernels
    assert isinstance(copy, Compiled)
    with pytest.raises(AssertionError, match="without its adjoint"):
        differentiate(copy.handle, COPY.params, values_of(COPY), {}, LANES)
    release(block)
    with pytest.raises(AssertionError, match="released"):
        run(copy.handle, COPY.params, values_of(COPY), LANES)
