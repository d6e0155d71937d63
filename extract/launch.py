"""Launching a compiled kernel, forward and adjoint, on guarded memory.

The key insight: a launch is pure here. Every array is copied between two canaries, the kernel runs on the copies, and
what comes back is the copies and whether anything was written where nothing should be. On the CPU the kernel's entry
point is called directly with Warp's own argument layout, which costs a tenth of `warp.launch`; elsewhere Warp's public
interface does it.

A canary is a signalling NaN for floats (so that a stray read shows in the values), its bits for all else: any float
arithmetic on it changes its bits, so even an atomic addition of zero is seen.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from extract.arguments import layout, passed, record_type, scalars
from extract.machine import Handle
from extract.warp_private import ADJOINT_ENTRY, BOUNDS_LAYOUT, ENTRY
from grammar.floats import FLOATING
from grammar.layout import grid
from grammar.params import Param
from grammar.paths import ELEMENT, owner, root
from grammar.tiles import cut_up, is_tile, laid_out
from grammar.types import Array, Composite, Element, Scalar, Type

GUARD = 16
"""Canary elements on each side of an array."""

TILED_BLOCK_DIM = 64
"""Threads that hold a tile together on a device that has blocks."""

Values = Mapping[str, Any]
"""By parameter: an array of the parameter's scalars, whose last axis numbers those of a composite; or a number.

So those of a tile stand together here, and where they belong in the memory that kernels see."""


@dataclass(frozen=True, slots=True)
class LaunchResult:
    arrays: Mapping[str, NDArray[Any]]
    """Every array parameter as the launch left it."""
    stray: str = ""
    """The first array beside which, or (for an input) in which, something was written; empty if there is none."""

    @property
    def intact(self) -> bool:
        return not self.stray


@dataclass(frozen=True, slots=True)
class AdjointResult:
    gradients: Mapping[str, NDArray[Any]]
    """With respect to each float input array, in its type and shape."""
    forward: LaunchResult
    """What the forward launch alone did."""
    arrays: Mapping[str, NDArray[Any]]
    """Every array parameter as forward and adjoint launch left it."""
    stray: str = ""
    """As in LaunchResult; the memory of gradients is guarded as well, and named by its array."""

    @property
    def intact(self) -> bool:
        return not self.stray


def run(handle: Handle, params: Sequence[Param], values: Values, lanes: int, device: str = "cpu") -> LaunchResult:
    """Launch a kernel with `lanes` threads. `values` are copied, never changed; outputs come as they should start."""
    _check(handle, params)
    if device != "cpu":
        return _run_publicly(handle, params, values, lanes, device)
    memory = _memory(params, values)
    ENTRY(handle.forward)(_bounds(_grid(handle, lanes)), _arguments(params, values, memory, {}))
    return LaunchResult(_arrays(params, memory), _stray(params, memory))


def differentiate(
    handle: Handle,
    params: Sequence[Param],
    values: Values,
    cotangents: Mapping[str, NDArray[Any]],
    lanes: int,
    device: str = "cpu",
) -> AdjointResult:
    """Launch a kernel forward and then backward, as `wp.Tape` does.

    `cotangents` are the gradients with respect to float outputs, zero where left out; they and `values` are copied.
    """
    _check(handle, params)
    if device != "cpu":
        return _differentiate_publicly(handle, params, values, cotangents, lanes, device)
    assert handle.adjoint, f"{handle.name} was compiled without its adjoint"
    memory, gradients = _memory(params, values), _gradient_memory(params, values, cotangents)
    bounds, arguments = _bounds(_grid(handle, lanes)), _arguments(params, values, memory, gradients)
    ENTRY(handle.forward)(bounds, arguments)
    forward = LaunchResult(_copies(params, memory), _stray(params, memory))
    ADJOINT_ENTRY(handle.adjoint)(bounds, arguments, _adjoint_arguments(params, memory, gradients))
    return _adjoint_result(params, memory, gradients, forward)


def _check(handle: Handle, params: Sequence[Param]) -> None:
    assert handle.code.alive, f"{handle.name} was released"
    expected = [argument.label for argument in handle.kernel.adj.args]
    given = list(dict.fromkeys(owner(param.name) for param in params))
    assert given == expected, f"{handle.name} takes {expected}"


def _is_differentiable(param: Param) -> bool:
    return isinstance(param.type, Array) and param.element.dtype.kind in FLOATING


# -- guarded memory ---------------------------------------------------------------------------------------------------


@lru_cache
def _edge(dtype: np.dtype[Any]) -> bytes:
    """The canaries on one side of an array; of structs, as many as they are long."""
    canary = {1: 0xA5, 2: 0x7DA5, 4: 0x7FA5A5A5, 8: 0x7FF5A5A5A5A5A5A5}[dtype.alignment]
    return np.full(GUARD * (dtype.itemsize // dtype.alignment), canary, f"u{dtype.alignment}").tobytes()


class _Guarded:
    """A copy of an array between canaries."""

    __slots__ = ("address", "array", "before", "buffer", "edge")

    def __init__(self, values: NDArray[Any], dtype: np.dtype[Any]) -> None:
        values = np.asarray(values)
        assert values.dtype == dtype, f"expected {dtype}, got {values.dtype}"
        self.edge = _edge(dtype)
        self.before = self.edge + values.tobytes() + self.edge
        self.buffer = bytearray(self.before)
        self.array: NDArray[Any] = np.frombuffer(self.buffer, dtype, values.size, len(self.edge)).reshape(values.shape)
        self.address: int = self.array.__array_interface__["data"][0]

    @property
    def edges_intact(self) -> bool:
        return self.buffer.startswith(self.edge) and self.buffer.endswith(self.edge)

    @property
    def unchanged(self) -> bool:
        return self.buffer == self.before


def _memory(params: Sequence[Param], values: Values) -> dict[str, _Guarded]:
    """By place."""
    memory = {}
    for place, group in _places(params).items():
        first = group[0].type
        assert isinstance(first, Array)
        if not place.endswith(ELEMENT):
            memory[place] = _Guarded(laid_out(np.asarray(values[place]), first), group[0].element.dtype)
        else:
            memory[place] = _Guarded(_records(group, values), record_type(group))
    return memory


def _places(params: Sequence[Param]) -> dict[str, list[Param]]:
    """The arrays there are in memory: those that are parameters or fields, and those of structs with their fields."""
    places: dict[str, list[Param]] = {}
    for param in params:
        if isinstance(param.type, Array):
            places.setdefault(_place(param), []).append(param)
    return places


def _place(param: Param) -> str:
    return root(param.name) if ELEMENT in param.name else param.name


def _records(group: Sequence[Param], values: Values) -> NDArray[Any]:
    """The elements of an array of structs, of the values of its fields."""
    first = group[0]
    assert isinstance(first.type, Array)
    records = np.zeros(np.shape(values[first.name])[: first.type.dimensions], record_type(group))
    for param in group:
        _field(records, param)[...] = values[param.name]
    return records


def _field(records: NDArray[Any], param: Param) -> NDArray[Any]:
    for name in param.name.split(".")[1:]:
        records = records[name]
    return records


def _gradient_memory(
    params: Sequence[Param], values: Values, cotangents: Mapping[str, NDArray[Any]]
) -> dict[str, _Guarded]:
    """Guarded gradients of the float arrays: cotangents where given, zeros elsewhere."""
    floats = [p for group in _places(params).values() if any(map(_is_differentiable, group)) for p in group]
    return _memory(floats, {p.name: _cotangent(p, values, cotangents) for p in floats})


def _cotangent(param: Param, values: Values, cotangents: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    dtype, shape = param.element.dtype, np.shape(values[param.name])
    if not param.is_output or param.name not in cotangents:
        return np.zeros(shape, dtype)
    given = np.asarray(cotangents[param.name], dtype)
    assert given.shape == shape, f"the cotangent of {param.name} should have the shape {shape}, not {given.shape}"
    return given


def _arrays(params: Sequence[Param], memory: Mapping[str, _Guarded]) -> dict[str, NDArray[Any]]:
    """By parameter, as they are in memory now; fields of structs are copied."""
    return {p.name: _array(p, memory) for p in params if isinstance(p.type, Array)}


def _array(param: Param, memory: Mapping[str, _Guarded]) -> NDArray[Any]:
    array = memory[_place(param)].array
    return np.ascontiguousarray(_field(array, param)) if ELEMENT in param.name else _values(array, param.type)


def _values(array: NDArray[Any], type: Type) -> NDArray[Any]:
    assert isinstance(type, Array)
    return cut_up(array, type)


def _copies(params: Sequence[Param], memory: Mapping[str, _Guarded]) -> dict[str, NDArray[Any]]:
    return {name: array.copy() for name, array in _arrays(params, memory).items()}


def _adjoint_result(
    params: Sequence[Param],
    memory: Mapping[str, _Guarded],
    gradients: Mapping[str, _Guarded],
    forward: LaunchResult,
) -> AdjointResult:
    stray = _stray(params, memory) or next((name for name, g in gradients.items() if not g.edges_intact), "")
    wanted = {p.name: _array(p, gradients) for p in params if _is_differentiable(p) and not p.is_output}
    return AdjointResult(wanted, forward, _arrays(params, memory), stray)


def _stray(params: Sequence[Param], memory: Mapping[str, _Guarded]) -> str:
    for place, group in _places(params).items():
        guarded = memory[place]
        if not (guarded.edges_intact if group[0].is_output else guarded.unchanged):
            return group[0].name
    return ""


# -- Warp's argument layout -------------------------------------------------------------------------------------------


def _grid(handle: Handle, lanes: int) -> tuple[int, ...]:
    """The shape in which so many threads of a kernel are launched."""
    return grid(lanes, handle.kernel.adj.kernel_dim)


def _bounds(shape: tuple[int, ...]) -> Any:
    layout = BOUNDS_LAYOUT.format(len(shape))
    return ctypes.create_string_buffer(struct.pack(layout, *shape, math.prod(shape), 1))


def _arguments(
    params: Sequence[Param], values: Values, memory: Mapping[str, _Guarded], gradients: Mapping[str, _Guarded]
) -> Any:
    """What an entry point takes as arguments: each array knows its gradient, as under `wp.Tape`."""
    fields: list[Any] = []
    for param in passed(params):
        if isinstance(param.type, Array):
            fields += _descriptor(param, _itemsize(param, memory), memory[_place(param)], gradients.get(_place(param)))
        else:
            fields += scalars(values[param.name], param.element.scalar)
    return _packed(params, fields)


def _adjoint_arguments(
    params: Sequence[Param], memory: Mapping[str, _Guarded], gradients: Mapping[str, _Guarded]
) -> Any:
    """What an adjoint takes as the adjoints of its arguments: nothing for numbers and for arrays without gradient."""
    fields: list[Any] = []
    for param in passed(params):
        if isinstance(param.type, Array):
            fields += _descriptor(param, _itemsize(param, memory), gradients.get(_place(param)), None)
        else:
            fields += [0] * param.element.width
    return _packed(params, fields)


def _itemsize(param: Param, memory: Mapping[str, _Guarded]) -> int:
    """The bytes from an element to the next, which of an array of structs are those of all its fields."""
    if ELEMENT in param.name:
        return memory[_place(param)].array.itemsize
    assert isinstance(param.type, Array)
    given = param.type.laid_out
    return given.element.dtype.itemsize * given.element.width


def _descriptor(param: Param, itemsize: int, guarded: _Guarded | None, gradient: _Guarded | None) -> tuple[int, ...]:
    """The fields of ARRAY_LAYOUT.

    No array at all is all zeros but for the stride, which says that it is contiguous. (Warp leaves that zero as well,
    and so has the adjoint of every kernel with an int array done by the instantiation for other arrays.)
    """
    assert isinstance(param.type, Array)
    if guarded is None:
        return (0, 0, 0, 0, 0, 0, itemsize, 0, 0, 0, 0, 0)
    given = param.type.laid_out
    address = 0 if gradient is None else gradient.address
    count = given.dimensions
    shape, rest = guarded.array.shape[:count], (0,) * (4 - count)
    strides = (itemsize * math.prod(shape[k + 1 :]) for k in range(count))
    return (guarded.address, address, *shape, *rest, *strides, *rest, count, 0)


def _packed(params: Sequence[Param], fields: Sequence[Any]) -> Any:
    return ctypes.create_string_buffer(layout(tuple((param.name, param.type) for param in params)).pack(*fields))


# -- through Warp's public interface ----------------------------------------------------------------------------------


class _OnDevice:
    """Guarded arrays on any device, as Warp arrays."""

    def __init__(self, memory: Mapping[str, _Guarded], handle: Handle, params: Sequence[Param], device: str) -> None:
        self.memory = memory
        self.whole: dict[str, Any] = {}
        self.inner: dict[str, Any] = {}
        groups, types = _places(params), {argument.label: argument.type for argument in handle.kernel.adj.args}
        for place, guarded in memory.items():
            param = groups[place][0]
            assert isinstance(param.type, Array)
            given = param.type.laid_out
            whole: Any = wp.array(np.frombuffer(guarded.buffer, np.uint8), dtype=wp.uint8, device=device)
            self.whole[place] = whole
            start, shape = whole.ptr + len(guarded.edge), guarded.array.shape[: given.dimensions]
            is_record = place.endswith(ELEMENT)
            dtype = types[place.removesuffix(ELEMENT)].dtype if is_record else of_warp(given.element)
            self.inner[place] = wp.array(ptr=start, dtype=dtype, shape=shape, device=device)

    def fetch(self) -> None:
        """Bring everything back into the guarded memory it came from."""
        for name, whole in self.whole.items():
            self.memory[name].buffer[:] = whole.numpy().tobytes()


def of_warp(type: Element) -> Any:
    """Warp's own type; the one of all that are defined alike, where modules define it."""
    if isinstance(type, Scalar) or not type.is_own:
        return getattr(wp, type.name)
    scalar = getattr(wp, type.scalar.name)
    return wp.types.matrix(type.shape, scalar) if type.kind == "matrix" else wp.types.vector(type.width, scalar)


def _launch_arguments(handle: Handle, params: Sequence[Param], values: Values, arrays: Mapping[str, Any]) -> list[Any]:
    types = {argument.label: argument.type for argument in handle.kernel.adj.args}
    made: dict[str, Any] = {}
    for param in passed(params):
        is_array = isinstance(param.type, Array)
        value = arrays[_place(param)] if is_array else _number(param.element, values[param.name])
        first, *fields = [param.name] if ELEMENT in param.name else param.name.split(".")
        if not fields:
            made[first] = value
            continue
        owner = made.setdefault(first, None) or types[first]()
        made[first] = owner
        for field in fields[:-1]:
            owner = getattr(owner, field)
        setattr(owner, fields[-1], value)
    return list(made.values())


def _number(type: Element, value: Any) -> Any:
    given = np.asarray(value, type.dtype)
    return of_warp(type)(*given.tolist()) if isinstance(type, Composite) else given.item()


def _run_publicly(handle: Handle, params: Sequence[Param], values: Values, lanes: int, device: str) -> LaunchResult:
    memory = _memory(params, values)
    on_device = _OnDevice(memory, handle, params, device)
    inputs = _launch_arguments(handle, params, values, on_device.inner)
    _launch_publicly(handle, params, lanes, inputs, device)
    on_device.fetch()
    return LaunchResult(_arrays(params, memory), _stray(params, memory))


def _launch_publicly(handle: Handle, params: Sequence[Param], lanes: int, inputs: list[Any], device: str) -> None:
    """A kernel of tiles with a block for each lane; one of tiles of what its threads have, with as many to a block."""
    shape = _grid(handle, lanes)
    tiles = [param.element for param in params if is_tile(param.element)]
    if any(tile.of_threads for tile in tiles):
        block_dim = math.gcd(lanes, TILED_BLOCK_DIM)
        wp.launch(handle.kernel, dim=shape, inputs=inputs, block_dim=block_dim, device=device)
    elif tiles:
        tiled: Any = wp.launch_tiled  # which Warp does not annotate
        tiled(handle.kernel, dim=shape, inputs=inputs, block_dim=TILED_BLOCK_DIM, device=device)
    else:
        wp.launch(handle.kernel, dim=shape, inputs=inputs, device=device)


def _differentiate_publicly(
    handle: Handle,
    params: Sequence[Param],
    values: Values,
    cotangents: Mapping[str, NDArray[Any]],
    lanes: int,
    device: str,
) -> AdjointResult:
    memory, gradients = _memory(params, values), _gradient_memory(params, values, cotangents)
    arrays, adjoints = _OnDevice(memory, handle, params, device), _OnDevice(gradients, handle, params, device)
    for name, adjoint in adjoints.inner.items():
        arrays.inner[name].grad = adjoint
    inputs = _launch_arguments(handle, params, values, arrays.inner)
    tape = wp.Tape()  # type: ignore[no-untyped-call]  # Warp does not annotate it
    with tape:
        _launch_publicly(handle, params, lanes, inputs, device)
    arrays.fetch()
    forward = LaunchResult(_copies(params, memory), _stray(params, memory))
    tape.backward()
    arrays.fetch()
    adjoints.fetch()
    return _adjoint_result(params, memory, gradients, forward)
