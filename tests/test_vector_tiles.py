"""Tiles of vectors: where they lie, their Fourier transforms, and what is grown of them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.emit import emit
from grammar.families import family_named
from grammar.grow import grow
from grammar.inputs import regular
from grammar.ops import ROWS
from grammar.plain import run_plain
from grammar.profiles import profile
from grammar.tiles import cut_up, laid_out
from grammar.tree import Apply, Assign, Kernel, Read, Var, all_statements
from grammar.types import SIGNAL_TILES, VECTOR_TILES, Array, Composite, type_named
from tests.builders import LANES, I, array, do, kernel, let, out, put
from tests.proving import verified
from tests.reading import Reader

ONE, POINTS = VECTOR_TILES


def transformed(name: str, signal: Composite) -> Kernel:
    """`x = wp.tile_load(…)`, `wp.tile_fft(x)`, scaled and stored."""
    x = Var("x", signal)
    changed = let("x", Apply(ROWS[f"{name}({signal.name})"], (x,)))
    return kernel(
        (array("signals", signal), out("spectra", signal)),
        *(let("x", Read("signals", I, signal)), changed, put("spectra", do("mul", x, 0.5))),
        name=name,
    )


TRANSFORMS = [transformed(name, signal) for name in ("tile_fft", "tile_ifft") for signal in SIGNAL_TILES]
SUMMED = kernel(
    (array("points", POINTS), out("lengths", type_named("tile1f"))),
    let("center", do("tile_sum", Read("points", I, POINTS))),
    put("lengths", Apply(ROWS[f"tile_map[wp.length]({ONE.name})"], (Var("center", ONE),))),
    name="measure_centers",
)


@pytest.mark.parametrize("by_hand", TRANSFORMS, ids=lambda one: f"{one.name}-{one.params[0].element}")
def test_a_transform_is_that_of_each_row(by_hand: Kernel) -> None:
    """NumPy divides the inverse by its length, which Warp doesn't."""
    assert problems(by_hand) == ()
    signal = by_hand.params[0].element
    assert isinstance(signal, Composite)
    inputs = regular(by_hand, Seed(1), LANES)
    pairs = inputs.arrays["signals"].reshape(-1, *signal.shape).astype(np.float64)
    given = pairs[..., 0] + 1j * pairs[..., 1]
    want = np.fft.fft(given) if by_hand.name == "tile_fft" else np.fft.ifft(given, norm="forward")
    got = run_plain(by_hand, inputs).arrays["spectra"].reshape(pairs.shape)
    assert np.allclose(got[..., 0] + 1j * got[..., 1], 0.5 * want, atol=1e-5)


def test_tiles_of_vectors_are_spelt_as_others_are() -> None:
    text = emit(TRANSFORMS[0])
    assert "signals: wp.array2d[wp.vec2]" in text
    assert "    x = wp.tile_load(signals, shape=(1, 8), offset=(i, 0))\n    wp.tile_fft(x)\n" in text
    assert "x = wp.tile_load(signals, shape=(2, 4), offset=(i * 2, 0))" in emit(TRANSFORMS[1])
    assert "wp.tile_store(lengths, wp.tile_map(wp.length, center), offset=i)" in emit(SUMMED)
    for one in (*TRANSFORMS, SUMMED):
        assert Reader(emit(one)).body == one.body


@pytest.mark.parametrize("tile", [*VECTOR_TILES, *SIGNAL_TILES], ids=repr)
def test_arrays_of_vectors_are_cut_up_and_put_together(tile: Composite) -> None:
    of_tiles = Array(tile)
    tiles = np.arange(5 * tile.width, dtype=np.float32).reshape(5, tile.width)
    whole = laid_out(tiles, of_tiles)
    assert whole.ndim == of_tiles.laid_out.dimensions + 1
    assert of_tiles.laid_out.element is tile.vectors
    assert np.array_equal(cut_up(whole, of_tiles), tiles)
    first = whole[tuple(slice(0, size) for size in tile.extent)]
    assert np.array_equal(first.reshape(-1), tiles[0])


@pytest.mark.warp
def test_warp_does_the_same_and_its_adjoint_is_right() -> None:
    verified([*TRANSFORMS, SUMMED])


@cache
def grown() -> tuple[Kernel, ...]:
    seeds = map(Seed, range(250))
    found = (grow(seeded(seed), family_named("tile_reduction"), profile("natural"), 4, seed, LANES) for seed in seeds)
    return tuple(one for one in found if one is not None)


def test_some_are_grown() -> None:
    texts = [emit(one) for one in grown()]
    for word in ("wp.vec3", "wp.tile_fft(", "wp.tile_ifft(", "wp.tile_map(wp.length, "):
        assert any(word in text for text in texts), word
    assert all(problems(one) == () for one in grown())


def test_what_is_transformed_is_no_other_name_of_something() -> None:
    """Of `y = x`, both would be changed."""
    for one in grown():
        stmts = [stmt for stmt in all_statements(one) if isinstance(stmt, Assign)]
        changed = {s.name for s in stmts if isinstance(s.value, Apply) and s.value.op.name in ("tile_fft", "tile_ifft")}
        assert not any(isinstance(stmt.value, Var) for stmt in stmts if stmt.name in changed)
