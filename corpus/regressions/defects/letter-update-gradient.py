"""Exits 0 while `v.x += …` passes the gradient of v.x twice: v is x but for a number, so it should be 1 throughout."""

import sys

import numpy as np
import warp as wp


@wp.kernel
def move(x: wp.array[wp.vec3], out: wp.array[wp.vec3]):
    i = wp.tid()
    v = x[i]
    v.x += 10.0
    out[i] = v


x = wp.array([[1.0, 2.0, 3.0]], dtype=wp.vec3, device="cpu", requires_grad=True)
out = wp.zeros(1, dtype=wp.vec3, device="cpu", requires_grad=True)
with wp.Tape() as tape:
    wp.launch(move, dim=1, inputs=[x], outputs=[out], device="cpu")
out.grad.fill_(1.0)
tape.backward()
gradient = x.grad.numpy()[0]
print("gradient:", gradient, "expected: [1. 1. 1.]")
sys.exit(0 if not np.allclose(gradient, 1.0) else 1)
