"""How a reproducer runs: the constant part of every one, which is copied behind the kernel and the data.

The key insight: what differs between reproducers is a kernel and one literal, `CASE`, so this part is a module like any
other, checked as such, and needs only Warp and NumPy.
"""

import subprocess
import sys
from math import inf, nan  # noqa: F401 # the data holds them
from typing import Any

import numpy as np
import warp as wp

CASE: dict[str, Any] = {}
"""What went wrong, with which arguments, and what should come out: see `validate.findings.case_of`."""

GUARD = 16
"""Elements on each side of an array that nobody may touch."""

DEAD = -1
"""Exit codes up to this one mean that a signal ended the process."""


def main() -> int:
    """0 while the bug stands, 1 once it is mended."""
    wp.set_module_options(CASE["options"])
    if "--launch" in sys.argv:
        launch(is_differentiated())
        return 0
    match CASE["outcome"]:
        case "crash" | "timeout":
            return 0 if falls(CASE["outcome"]) else 1
        case "compile":
            return 0 if is_refused() else 1
        case "gradient":
            return 0 if differs(launch(True)[1], CASE["gradients"]) else 1
        case _:
            outputs, _, stray = launch(False)
            return 0 if differs(outputs, CASE["outputs"]) or stray else 1


def falls(how: str) -> bool:
    """Whether a process that launches the kernel crashes, or doesn't end."""
    try:
        done = subprocess.run([sys.executable, __file__, "--launch"], timeout=CASE["seconds"], check=False)
    except subprocess.TimeoutExpired:
        print("does not end within", CASE["seconds"], "seconds")
        return how == "timeout"
    print("exit code:", done.returncode)
    return how == "crash" and done.returncode <= DEAD


def is_refused() -> bool:
    try:
        launch(False)
    except Exception as error:  # noqa: BLE001 # Warp refuses a kernel with whatever exception comes up
        print("not compiled:", type(error).__name__, error)
        return True
    print("compiled")
    return False


def is_differentiated() -> bool:
    return bool(CASE["cotangents"])


def launch(backward: bool) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Outputs and gradients by name, and the first array beside which something was written."""
    whole = {name: guarded(*given) for name, given in CASE["arguments"].items() if name in CASE["arrays"]}
    arrays = {name: array[GUARD:-GUARD] for name, array in whole.items()}
    if backward:
        arrays = {name: fresh(*CASE["arguments"][name]) for name in whole}
    inputs = [arrays[name] if name in arrays else value_of(*given) for name, given in CASE["arguments"].items()]
    tape = wp.Tape()  # type: ignore[no-untyped-call] # Warp does not annotate it
    with tape:
        wp.launch(globals()[CASE["kernel"]], dim=CASE["lanes"], inputs=inputs, device="cpu")
    gradients = {}
    if backward:
        for name, (_, dtype, values) in CASE["cotangents"].items():
            arrays[name].grad.assign(np.array(values, dtype))
        tape.backward()
        gradients = {name: array.grad.numpy() for name, array in arrays.items() if array.grad is not None}
    outputs = {name: array.numpy() for name, array in arrays.items()}
    return outputs, gradients, stray(whole, outputs)


def value_of(element: str, dtype: str, values: Any) -> Any:
    """A scalar parameter; of a composite type, made of all its scalars."""
    return getattr(wp, element)(*np.array(values, dtype).ravel().tolist()) if isinstance(values, list) else values


def guarded(element: str, dtype: str, values: list[Any]) -> Any:
    inner = np.array(values, dtype)
    edge = np.ones((GUARD, *inner.shape[1:]), dtype)
    return wp.array(np.concatenate([edge, inner, edge]), dtype=getattr(wp, element), device="cpu")


def fresh(element: str, dtype: str, values: list[Any]) -> Any:
    is_float = dtype.startswith("float")
    return wp.array(np.array(values, dtype), dtype=getattr(wp, element), device="cpu", requires_grad=is_float)


def stray(whole: dict[str, Any], after: dict[str, Any]) -> str:
    for name, array in whole.items():
        values = array.numpy()
        if not (values[:GUARD] == 1).all() or not (values[-GUARD:] == 1).all():
            print("something was written beside", name)
            return name
        _, dtype, before = CASE["arguments"][name]
        if name not in CASE["written"] and not np.array_equal(after[name], np.array(before, dtype), equal_nan=True):
            print("input", name, "was changed")
            return name
    return ""


def differs(computed: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether some element is farther from what it must be than rounding explains; an infinite tolerance says that
    nobody can say. Of composites, the scalars are counted."""
    found = False
    for name, (expected, tolerance) in wanted.items():
        got = computed[name].reshape(-1)
        wrong = np.flatnonzero(~agrees(got, expected, np.array(tolerance)))
        for k in wrong[:4]:
            print(name, "element", k, "expected", expected[k], "within", tolerance[k], "got", got[k])
        found = found or len(wrong) > 0
    print("elements differ" if found else "all elements are as expected")
    return found


def agrees(computed: Any, expected: list[Any], tolerance: Any) -> Any:
    values, wanted = computed.astype(float), np.array(expected, float)
    with np.errstate(all="ignore"):
        near = (np.abs(values - wanted) <= tolerance) | (computed == wanted.astype(computed.dtype))
    near &= (tolerance > 0) | (np.signbit(values) == np.signbit(wanted))
    return near | (np.isnan(values) & np.isnan(wanted)) | np.isinf(tolerance)


if __name__ == "__main__":
    sys.exit(main())
