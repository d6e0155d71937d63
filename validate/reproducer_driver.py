"""How a reproducer runs: the constant part of every one, which is copied behind the kernel and the data.

The key insight: what differs between reproducers is a kernel and one literal, `CASE`, so this part is a module like any
other, checked as such, and needs only Warp and NumPy, and of bfloat16 ml_dtypes.
"""

import subprocess
import sys
from importlib import import_module
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
    if any(dtype == "bfloat16" for _, dtype, _ in CASE["arguments"].values()):
        import_module("ml_dtypes")  # by which NumPy has it
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
    whole = {place: array_of(place, names, 0 if backward else GUARD) for place, names in places().items()}
    arrays = whole if backward else {place: array[GUARD:-GUARD] for place, array in whole.items()}
    tape = wp.Tape()  # type: ignore[no-untyped-call] # Warp does not annotate it
    with tape:
        wp.launch(globals()[CASE["kernel"]], dim=CASE["lanes"], inputs=inputs(arrays), device="cpu")
    gradients = {}
    if backward:
        for place, names in places().items():
            given = [name for name in names if name in CASE["cotangents"]]
            if given:
                arrays[place].grad.assign(filled(arrays[place].grad.numpy(), given, CASE["cotangents"]))
        tape.backward()
        with_gradient = {place: array.grad for place, array in arrays.items() if array.grad is not None}
        gradients = by_name(with_gradient)
    outputs = by_name(arrays)
    return outputs, gradients, "" if backward else stray(whole, outputs)


# A name with dots is that of a field: `params.dt` of the struct `params`, `bodies[].x` of all in the array `bodies`.


def places() -> dict[str, list[str]]:
    """The arrays there are in memory, each with what it holds: itself, or fields of structs."""
    found: dict[str, list[str]] = {}
    for name in CASE["arrays"]:
        found.setdefault(name.partition(".")[0] if "[]" in name else name, []).append(name)
    return found


def by_name(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: field(arrays[at].numpy(), name) for at, names in places().items() if at in arrays for name in names}


def field(values: Any, name: str) -> Any:
    for part in name.split(".")[1:] if "[]" in name else []:
        values = values[part]
    return values.view(CASE["arguments"][name][1])  # of a struct, Warp gives the bits of bfloat16


def filled(values: Any, names: list[str], given: dict[str, Any]) -> Any:
    for name in names:
        _, dtype, numbers = given[name]
        field(values, name)[...] = np.array(numbers, dtype)
    return values


def inputs(arrays: dict[str, Any]) -> list[Any]:
    """What the kernel is launched with."""
    made: dict[str, Any] = {}
    for name, given in CASE["arguments"].items():
        first, *fields = name.split(".")
        if "[]" in name or not fields:
            made[first] = arrays[first] if first in arrays else value_of(*given)
            continue
        owner = made.setdefault(first, made.get(first) or globals()[CASE["structs"][first]]())
        for part in fields[:-1]:
            owner = getattr(owner, part)
        setattr(owner, fields[-1], arrays[name] if name in arrays else value_of(*given))
    return list(made.values())


def value_of(element: str, dtype: str, values: Any) -> Any:
    """A scalar parameter; of a composite type, made of all its scalars."""
    return type_named(element)(*np.array(values, dtype).ravel().tolist()) if isinstance(values, list) else values


def type_named(name: str) -> Any:
    """Warp's, or one that is defined beside the kernel."""
    return globals().get(name) or getattr(wp, name)


def array_of(place: str, names: list[str], guard: int) -> Any:
    """An array with so many elements on each side that nobody may touch; without any, one that has a gradient."""
    element, dtype, values = CASE["arguments"][names[0]]
    inner: Any = np.array(values, dtype)
    kind = type_named(element)
    if "[]" in place:
        kind = globals()[CASE["structs"][place]]
        inner = filled(np.zeros(CASE["shapes"][place], kind.numpy_dtype()), names, CASE["arguments"])
    whole = np.ones((len(inner) + 2 * guard, *inner.shape[1:]), inner.dtype)
    whole[guard : guard + len(inner)] = inner
    is_float = any(CASE["arguments"][name][1].startswith(("float", "bfloat")) for name in names)
    return wp.array(whole, dtype=kind, device="cpu", requires_grad=is_float and not guard)


def stray(whole: dict[str, Any], after: dict[str, Any]) -> str:
    for place, array in whole.items():
        values = array.numpy()
        edge = np.ones_like(values[:GUARD])
        if not ((values[:GUARD] == edge).all() and (values[-GUARD:] == edge).all()):
            print("something was written beside", place)
            return place
    for name in CASE["arrays"]:
        _, dtype, before = CASE["arguments"][name]
        if name not in CASE["written"] and not np.array_equal(after[name], np.array(before, dtype), equal_nan=True):
            print("input", name, "was changed")
            return str(name)
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
