"""Exits 0 while a gradient flows through `wp.vec3(wp.vec3i(v))`, which is flat, so that it should be 0."""

import sys

import numpy as np
import warp as wp


@wp.kernel
def rounded(x: wp.array[wp.vec3], out: wp.array[wp.vec3]):
    i = wp.tid()
    out[i] = wp.vec3(wp.vec3i(x[i]))


x = wp.array(np.full((1, 3), 2.5, np.float32), dtype=wp.vec3, device="cpu", requires_grad=True)
out = wp.zeros(1, dtype=wp.vec3, device="cpu", requires_grad=True)
with wp.Tape() as tape:
    wp.launch(rounded, dim=1, inputs=[x], outputs=[out], device="cpu")
out.grad.fill_(1.4)
tape.backward()
print("gradient:", x.grad.numpy().tolist(), "expected: zeros")
sys.exit(0 if x.grad.numpy().any() else 1)
