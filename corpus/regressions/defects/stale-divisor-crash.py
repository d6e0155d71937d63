"""Exits 0 while going back ends the process, as a count that a loop made is what it was before the loop: 0."""

import subprocess
import sys

import warp as wp


@wp.kernel
def share(x: wp.array[float], n: int, out: wp.array[float]):
    i = wp.tid()
    count = wp.min(i, 0)  # were it a literal, Clang would know what going back divides by, and leave it out
    for _ in range(n):
        count += 1
    out[i] = x[i] * float(12 // count)


def differentiate() -> None:
    x = wp.array([1.5], dtype=float, device="cpu", requires_grad=True)
    out = wp.zeros(1, dtype=float, device="cpu", requires_grad=True)
    with wp.Tape() as tape:
        wp.launch(share, dim=1, inputs=[x, 3], outputs=[out], device="cpu")
    tape.backward(grads={out: wp.array([1.0], dtype=float, device="cpu")})
    print("gradient:", x.grad.numpy()[0], "expected: 4.0")


if sys.argv[1:] == ["--alone"]:
    differentiate()
else:
    ended = subprocess.run([sys.executable, __file__, "--alone"], check=False).returncode
    print("the process ended with", ended)
    sys.exit(0 if ended < 0 else 1)
