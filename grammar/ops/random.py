"""Random numbers: how a state begins, and the samplers, each of which moves it on.

The key insight: Warp's generator is integer arithmetic on 32 bits, so what it gives is known bit by bit and a kernel
that samples can be checked like any other. A sampler's meaning gives the sample and then the new state.

The generator is PCG as in Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9 (2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from grammar.number import Number, Numbers, call
from grammar.op import Call, Lanes, Op
from grammar.types import F32, I32, U32, Composite, type_named

_begin = partial(Op, exact=True, differentiable=False, group="random", weight=0.0)
_exact = partial(Op, exact=True, differentiable=False, group="random")
_row = partial(Op, differentiable=False, group="random")

TWO_PI = float(np.float32(2.0) * np.float32(math.pi))
LEAST = float(np.float32(5.96e-8))
"""What keeps a logarithm finite."""

Sampled = tuple[Number, ...]
"""The scalars of the sample, and the new state."""


def stepped(state: Lanes) -> Lanes:
    """One step of the generator."""
    b = state * np.uint32(747796405) + np.uint32(2891336453)
    c = ((b >> ((b >> np.uint32(28)) + np.uint32(4))) ^ b) * np.uint32(277803737)
    return np.asarray((c >> np.uint32(22)) ^ c)


def uniform(state: Lanes) -> Lanes:
    """The number in [0, 1) that a state stands for, a multiple of 2⁻²⁴."""
    return np.asarray((state >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24))


STEP = Op("rand_pcg", (U32,), U32, Call("wp.rand_pcg"), stepped, exact=True, differentiable=False)
"""One step of the generator: no row of the table, as kernels can't call it."""


def _pcg(state: Number) -> Number:
    return Number(state.calculus.apply(STEP, [state.value]), U32, state.calculus)


def _unsigned(number: Number) -> Number:
    return call("uint32", number)


def _from_two(seed: Number, offset: Number) -> Number:
    return _pcg(_unsigned(seed) + _pcg(_unsigned(offset)))


def _uniform(state: Number) -> Sampled:
    """In [0, 1), a multiple of 2⁻²⁴."""
    state = _pcg(state)
    return call("float32", call("rshift", state, 8)) * 2.0**-24, state


def _between(state: Number, low: Number | float, high: Number | float) -> Sampled:
    share, state = _uniform(state)
    width = high - low
    return (width * share if isinstance(width, Number) else share * width) + low, state


def _integer(state: Number) -> Sampled:
    state = _pcg(state)
    return call("int32", state), state


def _integer_between(state: Number, low: Number, high: Number) -> Sampled:
    share, state = _unsigned_between(state, _unsigned(low), _unsigned(high))
    return call("int32", share), state


def _unsigned_integer(state: Number) -> Sampled:
    state = _pcg(state)
    return state, state


def _unsigned_between(state: Number, low: Number, high: Number) -> Sampled:
    state = _pcg(state)
    return call("mod", state, high - low) + low, state


def _normal(state: Number) -> Sampled:
    """Box and Muller."""
    one, state = _uniform(state)
    other, state = _uniform(state)
    return call("sqrt", call("log", one + LEAST) * -2.0) * call("cos", other * TWO_PI), state


def _on_ring(state: Number) -> Sampled:
    theta, state = _between(state, 0.0, TWO_PI)
    return call("cos", theta), call("sin", theta), state


def _in_disk(state: Number) -> Sampled:
    share, state = _uniform(state)
    theta, state = _between(state, 0.0, TWO_PI)
    r = call("sqrt", share)
    return r * call("cos", theta), r * call("sin", theta), state


def _in_triangle(state: Number) -> Sampled:
    share, state = _uniform(state)
    r = call("sqrt", share)
    other, state = _uniform(state)
    return 1.0 - r, other * r, state


def _in_cube(dimensions: int) -> Callable[[Number], Sampled]:
    """Around 0, with edges of length 1."""

    def in_cube(state: Number) -> Sampled:
        parts = []
        for _ in range(dimensions):
            share, state = _uniform(state)
            parts.append(share - 0.5)
        return (*parts, state)

    return in_cube


def _angles(state: Number, height: float) -> tuple[Number, Number, Number]:
    """Of a direction whose z lies between 1 and 1 - height."""
    share, state = _uniform(state)
    theta, state = _between(state, 0.0, TWO_PI)
    return call("acos", 1.0 - share * height), theta, state


def _direction(phi: Number, theta: Number) -> Numbers:
    sin = call("sin", phi)
    return call("cos", theta) * sin, call("sin", theta) * sin, call("cos", phi)


def _on_sphere(height: float) -> Callable[[Number], Sampled]:
    """On the surface: of all of it, or of the upper half."""

    def on_sphere(state: Number) -> Sampled:
        phi, theta, state = _angles(state, height)
        return (*_direction(phi, theta), state)

    return on_sphere


def _in_sphere(height: float) -> Callable[[Number], Sampled]:
    def in_sphere(state: Number) -> Sampled:
        phi, theta, state = _angles(state, height)
        share, state = _uniform(state)
        r = call("pow", share, float(np.float32(1.0) / np.float32(3.0)))
        sin = call("sin", phi)
        return r * call("cos", theta) * sin, r * call("sin", theta) * sin, r * call("cos", phi), state

    return in_sphere


WHOLE, UPPER = 2.0, 1.0
"""How far down a sphere reaches from its top."""

MOST_EVENTS = 10.0
"""From this mean on, Warp draws Poisson's numbers in a way that is not modelled."""


def _poisson(state: Number, mean: Number) -> Sampled:
    """Knuth: how many uniform numbers can be multiplied until the product is at most exp(-mean)."""
    least = call("exp", -mean)
    count, moved = (
        Number(state.calculus.apply(op, [state.value, least.value, mean.value]), U32, state.calculus)
        for op in (_COUNT, _MOVED)
    )
    idle = call("equal", mean, 0.0)
    return call("where", idle, 0, count), call("where", idle, state, moved)


def _multiplied(state: Lanes, least: Lanes) -> tuple[Lanes, Lanes]:
    """How many there are, and the state behind the one that is too much."""
    states, bounds = np.broadcast_arrays(state, least)
    states, count = states.copy(), np.zeros(states.shape, np.uint32)
    product, going = np.ones(states.shape, np.float32), np.ones(states.shape, np.bool_)
    while going.any():
        states = np.where(going, stepped(states), states)
        product = product * uniform(states)
        going &= product > bounds
        count += going
    return count, states


def _is_few(state: Lanes, least: Lanes, mean: Lanes) -> Lanes:
    return np.asarray(~(mean >= MOST_EVENTS) & (state == state) & (least == least))


def _counting(name: str, which: int) -> Op:
    """No row of the table, as kernels can't call it; it jumps where its value does."""

    def multiplied(state: Lanes, least: Lanes, mean: Lanes) -> Lanes:
        return _multiplied(state, np.where(mean >= MOST_EVENTS, 1.0, least))[which]

    return Op(name, (U32, F32, F32), U32, Call(name), multiplied, _is_few, multiplied, exact=True)


_COUNT, _MOVED = (_counting(name, which) for which, name in enumerate(("poisson_count", "poisson_state")))


def _drawn(name: str, result: str, meaning: Callable[[Number], Sampled]) -> Op:
    V = type_named(result)  # noqa: N806 - a type, as in the comprehensions of this package
    assert isinstance(V, Composite)
    return _row(name, (U32,), V, Call(f"wp.{name}"), meaning)


ROWS: tuple[Op, ...] = (
    _begin("rand_init", (I32,), U32, Call("wp.rand_init"), lambda seed: _pcg(_unsigned(seed)), is_composite=True),
    _begin("rand_init", (I32, I32), U32, Call("wp.rand_init"), _from_two, is_composite=True),
)

SAMPLERS: tuple[Op, ...] = (
    _exact("randf", (U32,), F32, Call("wp.randf"), _uniform, is_composite=True, weight=4.0),
    _exact("randf", (U32, F32, F32), F32, Call("wp.randf"), _between, is_composite=True, weight=3.0),
    _exact("randi", (U32,), I32, Call("wp.randi"), _integer, is_composite=True, weight=0.2),
    _exact("randi", (U32, I32, I32), I32, Call("wp.randi"), _integer_between, is_composite=True),
    _exact("randu", (U32,), U32, Call("wp.randu"), _unsigned_integer, is_composite=True, weight=0.5),
    _exact("randu", (U32, U32, U32), U32, Call("wp.randu"), _unsigned_between, is_composite=True, weight=0.5),
    _row("poisson", (U32, F32), U32, Call("wp.poisson"), _poisson, is_composite=True, weight=1.2),
    _row("randn", (U32,), F32, Call("wp.randn"), _normal, is_composite=True, weight=2.0),
    _exact("sample_cdf", (U32,), I32, Call("wp.sample_cdf"), _uniform, is_composite=True, weight=0.4, searched=F32),
    _drawn("sample_unit_ring", "vec2f", _on_ring),
    _drawn("sample_unit_disk", "vec2f", _in_disk),
    _drawn("sample_triangle", "vec2f", _in_triangle),
    _drawn("sample_unit_square", "vec2f", _in_cube(2)),
    _drawn("sample_unit_sphere_surface", "vec3f", _on_sphere(WHOLE)),
    _drawn("sample_unit_sphere", "vec3f", _in_sphere(WHOLE)),
    _drawn("sample_unit_hemisphere_surface", "vec3f", _on_sphere(UPPER)),
    _drawn("sample_unit_hemisphere", "vec3f", _in_sphere(UPPER)),
    _drawn("sample_unit_cube", "vec3f", _in_cube(3)),
)
"""The state is their first argument."""
