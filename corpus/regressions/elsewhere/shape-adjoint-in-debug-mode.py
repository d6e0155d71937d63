"""Exits 0 while the adjoint of `x.shape` empties the shape of the gradient of `x`.

In debug mode, where bounds are checked, the adjoint of an element that was read before it then aborts.
"""

import subprocess
import sys

import warp as wp

wp.set_module_options({"mode": "debug"})


@wp.kernel
def scaled(x: wp.array[float], out: wp.array[float]):
    i = wp.tid()
    element = x[i]
    out[i] = element * float(x.shape[0])


def differentiate() -> None:
    x = wp.array([1.5, 2.0], dtype=float, device="cpu", requires_grad=True)
    out = wp.zeros(2, dtype=float, device="cpu", requires_grad=True)
    with wp.Tape() as tape:
        wp.launch(scaled, dim=2, inputs=[x], outputs=[out], device="cpu")
    out.grad.fill_(1.0)
    tape.backward()
    print("gradient:", x.grad.numpy(), "expected: [2. 2.]")


if "--launch" in sys.argv:
    differentiate()
    sys.exit(0)
done = subprocess.run([sys.executable, __file__, "--launch"], check=False)
print("exit code:", done.returncode)
sys.exit(0 if done.returncode < 0 else 1)
