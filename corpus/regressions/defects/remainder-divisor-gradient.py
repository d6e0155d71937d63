"""Exits 0 while `a % b` on floats passes no gradient to `b`: d(7.5 % 2)/db is -trunc(7.5 / 2) = -3."""

import sys

import warp as wp


@wp.kernel
def remainder(a: wp.array[float], b: wp.array[float], out: wp.array[float]):
    i = wp.tid()
    out[i] = a[i] % b[i]


a = wp.array([7.5], dtype=float, device="cpu", requires_grad=True)
b = wp.array([2.0], dtype=float, device="cpu", requires_grad=True)
out = wp.zeros(1, dtype=float, device="cpu", requires_grad=True)
with wp.Tape() as tape:
    wp.launch(remainder, dim=1, inputs=[a, b], outputs=[out], device="cpu")
out.grad.fill_(1.0)
tape.backward()
print("gradient of the divisor:", b.grad.numpy()[0], "expected: -3.0")
sys.exit(0 if b.grad.numpy()[0] != -3.0 else 1)
