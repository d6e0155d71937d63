"""Exits 0 while going back takes the field that a struct has at the end for that which a loop read: d(x²)/dx is 3."""

import sys

import warp as wp


@wp.struct
class Body:
    x: float


@wp.kernel
def sum_up(bodies: wp.array[Body], n: int, out: wp.array[Body]):
    i = wp.tid()
    b = bodies[i]
    total = float(0.0)
    for _ in range(n):
        total += b.x * b.x
    b.x = total
    out[i] = b


start = Body()
start.x = 1.5
bodies = wp.array([start], dtype=Body, device="cpu", requires_grad=True)
out = wp.zeros(1, dtype=Body, device="cpu", requires_grad=True)
with wp.Tape() as tape:
    wp.launch(sum_up, dim=1, inputs=[bodies, 1], outputs=[out], device="cpu")
one = Body()
one.x = 1.0
tape.backward(grads={out: wp.array([one], dtype=Body, device="cpu")})
found = bodies.grad.numpy()["x"][0]
print("gradient:", found, "expected: 3.0; value:", out.numpy()["x"][0])
sys.exit(0 if found != 3.0 else 1)
