"""Exits 0 while `v[0] += …` changes what the adjoint of an earlier use of v sees: x · x has the gradient 2 x."""

import sys

import numpy as np
import warp as wp


@wp.kernel
def square_and_move(x: wp.array[wp.vec3], squares: wp.array[float], out: wp.array[wp.vec3]):
    i = wp.tid()
    v = x[i]
    squares[i] = wp.dot(v, v)
    v[0] += 10.0
    out[i] = v


x = wp.array([[1.0, 2.0, 3.0]], dtype=wp.vec3, device="cpu", requires_grad=True)
squares = wp.zeros(1, dtype=float, device="cpu", requires_grad=True)
out = wp.zeros(1, dtype=wp.vec3, device="cpu", requires_grad=True)
with wp.Tape() as tape:
    wp.launch(square_and_move, dim=1, inputs=[x], outputs=[squares, out], device="cpu")
squares.grad.fill_(1.0)
tape.backward()
gradient = x.grad.numpy()[0]
print("gradient:", gradient, "expected: [2. 4. 6.]")
sys.exit(0 if not np.allclose(gradient, [2.0, 4.0, 6.0]) else 1)
