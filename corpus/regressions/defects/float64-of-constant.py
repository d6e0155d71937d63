"""Exits 0 while `wp.float64(k)` changes the type of `k` itself, so that it can't be an index afterwards."""

import sys

import warp as wp


@wp.kernel
def weighted_sum(x: wp.array[wp.float64], out: wp.array[wp.float64]):
    i = wp.tid()
    total = wp.float64(0.0)
    for k in range(3):
        total += wp.float64(k) * x[k]
    out[i] = total


x = wp.array([1.0, 2.0, 3.0], dtype=wp.float64, device="cpu")
out = wp.zeros(1, dtype=wp.float64, device="cpu")
try:
    wp.launch(weighted_sum, dim=1, inputs=[x], outputs=[out], device="cpu")
except RuntimeError as error:
    print("not compiled:", str(error).splitlines()[-1])
    sys.exit(0)
print("value:", out.numpy()[0], "expected: 8.0")
sys.exit(0 if out.numpy()[0] != 8.0 else 1)
