"""Exits 0 while going back through `wp.tile_transpose(t)` overwrites t: of a * t, the gradient of a should be t."""

import sys

import numpy as np
import warp as wp


@wp.kernel
def product(x: wp.array2d[float], y: wp.array2d[float], out: wp.array2d[float], turned: wp.array2d[float]):
    i = wp.tid()
    a = wp.tile_load(x, shape=(2, 2), offset=(i * 2, 0))
    t = wp.tile_load(y, shape=(2, 2), offset=(i * 2, 0))
    wp.tile_store(out, a * t, offset=(i * 2, 0))
    wp.tile_store(turned, wp.tile_transpose(t), offset=(i * 2, 0))


given = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
x, y = (wp.array(given, dtype=float, device="cpu", requires_grad=True) for _ in range(2))
out, turned = (wp.zeros((2, 2), dtype=float, device="cpu", requires_grad=True) for _ in range(2))
with wp.Tape() as tape:
    wp.launch_tiled(product, dim=[1], inputs=[x, y], outputs=[out, turned], block_dim=32, device="cpu")
out.grad.fill_(1.0)
tape.backward()
print("gradient of the factor:", x.grad.numpy().tolist(), "expected:", given.tolist())
sys.exit(0 if not np.array_equal(x.grad.numpy(), given) else 1)
