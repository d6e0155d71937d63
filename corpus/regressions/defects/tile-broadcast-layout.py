"""Exits 0 while `wp.tile_lower_solve(a, y)` with a y from `wp.tile_broadcast` gives one number for all unknowns."""

import sys

import numpy as np
import warp as wp


@wp.kernel
def solve(a: wp.array2d[float], y: wp.array[float], out: wp.array[float]):
    i = wp.tid()
    side = wp.tile_broadcast(wp.tile_load(y, shape=1, offset=i), shape=(2,))
    wp.tile_store(out, wp.tile_lower_solve(wp.tile_load(a, shape=(2, 2), offset=(i * 2, 0)), side), offset=i * 2)


a = wp.array(np.array([[1.0, 0.0], [1.0, 2.0]], np.float32), dtype=float, device="cpu")
y = wp.array(np.array([6.0], np.float32), dtype=float, device="cpu")
out = wp.zeros(2, dtype=float, device="cpu")
wp.launch_tiled(solve, dim=[1], inputs=[a, y], outputs=[out], block_dim=32, device="cpu")
print("unknowns:", out.numpy().tolist(), "expected:", [6.0, 0.0])
sys.exit(0 if out.numpy().tolist() != [6.0, 0.0] else 1)
