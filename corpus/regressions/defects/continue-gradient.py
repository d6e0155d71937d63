"""Exits 0 while a trip that ends with `continue` passes no gradient: four terms are added, so it should be 4."""

import sys

import warp as wp


@wp.kernel
def sum_up(x: wp.array[float], n: int, out: wp.array[float]):
    i = wp.tid()
    total = float(0.0)
    for j in range(n):
        total += x[i]
        if j < 3:
            continue
    out[i] = total


x = wp.array([1.5], dtype=float, device="cpu", requires_grad=True)
out = wp.zeros(1, dtype=float, device="cpu", requires_grad=True)
with wp.Tape() as tape:
    wp.launch(sum_up, dim=1, inputs=[x, 4], outputs=[out], device="cpu")
out.grad.fill_(1.0)
tape.backward()
print("gradient:", x.grad.numpy()[0], "expected: 4.0; value:", out.numpy()[0])
sys.exit(0 if x.grad.numpy()[0] != 4.0 else 1)
