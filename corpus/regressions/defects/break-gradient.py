"""Exits 0 while a loop that is left by `break` has a wrong gradient: two terms are added, so it should be 2."""

import sys

import warp as wp


@wp.kernel
def partial_sum(x: wp.array[float], n: int, out: wp.array[float]):
    i = wp.tid()
    total = float(0.0)
    for j in range(n):
        if j == 2:
            break
        total += x[i]
    out[i] = total


x = wp.array([1.5], dtype=float, device="cpu", requires_grad=True)
out = wp.zeros(1, dtype=float, device="cpu", requires_grad=True)
with wp.Tape() as tape:
    wp.launch(partial_sum, dim=1, inputs=[x, 4], outputs=[out], device="cpu")
out.grad.fill_(1.0)
tape.backward()
print("gradient:", x.grad.numpy()[0], "expected: 2.0; value:", out.numpy()[0])
sys.exit(0 if x.grad.numpy()[0] != 2.0 else 1)
