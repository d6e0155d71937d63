"""Exits 0 while `wp.randf(state)` changes the gradient of the `wp.noise(state, x)` before it."""

import sys

import numpy as np
import warp as wp


@wp.kernel
def field(x: wp.array[float], out: wp.array[float], drawn: wp.array[float]):
    i = wp.tid()
    state = wp.rand_init(42)
    drawn[i] = 0.0
    out[i] = wp.noise(state, x[i])


@wp.kernel
def field_then_draw(x: wp.array[float], out: wp.array[float], drawn: wp.array[float]):
    i = wp.tid()
    state = wp.rand_init(42)
    out[i] = wp.noise(state, x[i])
    drawn[i] = wp.randf(state)


gradients = []
for kernel in (field, field_then_draw):
    x = wp.array(np.full(1, 0.3, np.float32), device="cpu", requires_grad=True)
    out, drawn = (wp.zeros(1, device="cpu", requires_grad=True) for _ in range(2))
    with wp.Tape() as tape:
        wp.launch(kernel, dim=1, inputs=[x], outputs=[out, drawn], device="cpu")
    out.grad.fill_(1.0)
    tape.backward()
    gradients.append(x.grad.numpy()[0])
print("gradient:", gradients[1], "expected:", gradients[0])
sys.exit(0 if abs(gradients[1] - gradients[0]) > 0.01 else 1)
