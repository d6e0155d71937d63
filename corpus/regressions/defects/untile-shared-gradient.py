"""Exits 0 while `wp.untile(t)` passes no gradient to a tile in shared memory: x should have 3 + 1 of it."""

import sys

import numpy as np
import warp as wp


@wp.kernel
def both(x: wp.array[float], out: wp.array[float], spread: wp.array[float]):
    i = wp.tid()
    t = wp.tile_sum(wp.tile_load(x, shape=4, offset=i * 4))
    wp.tile_store(spread, wp.tile_broadcast(t, shape=(4,)), offset=i * 4)
    out[i] = 3.0 * wp.untile(t)


x = wp.array(np.ones(4, np.float32), dtype=float, device="cpu", requires_grad=True)
out = wp.zeros(1, dtype=float, device="cpu", requires_grad=True)
spread = wp.zeros(4, dtype=float, device="cpu", requires_grad=True)
with wp.Tape() as tape:
    wp.launch_tiled(both, dim=[1], inputs=[x], outputs=[out, spread], block_dim=1, device="cpu")
out.grad.fill_(1.0)
spread.grad.fill_(0.25)
tape.backward()
print("gradient:", x.grad.numpy().tolist(), "expected:", [4.0] * 4)
sys.exit(0 if not np.array_equal(x.grad.numpy(), np.full(4, 4.0, np.float32)) else 1)
