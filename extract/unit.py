"""From a kernel's source to its C++, by Warp's own code generation.

The key insight: Warp tells kernels apart by a hash of their content in every name. Here a number takes the hash's place
in what is compiled, unique in its translation unit, and the kernel's own name in what is stored: so equal kernels have
equal text, whatever else their block holds, and names may repeat.
"""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import warp as wp

from extract import warp_private
from extract.build import BuildFailure, Fault
from extract.options import CompileOptions


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A kernel that Warp accepted, and the C++ of it under its mangled name."""

    name: str
    source: str
    kernel: Any
    mangled: str
    cpp: tuple[str, str, str, str]

    def text(self, options: CompileOptions) -> str:
        """What clang gets."""
        *bodies, entry = self.cpp
        if options.both_instantiations:
            return "".join(self.cpp)
        return warp_private.contiguous_only("".join(bodies), entry)

    def own(self, text: str) -> str:
        """Text under the kernel's own name."""
        return text.replace(self.mangled, self.name)


def define(name: str, source: str, module: Any) -> Any:
    """Run a kernel's module; return the kernel. Warp reads the text back through `linecache`, as debuggers do."""
    filename = f"<{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": module.name}
    try:
        exec(compile(source, filename, "exec"), namespace)
    finally:
        del linecache.cache[filename]
    kernel = namespace[name]
    assert isinstance(kernel, wp.Kernel), f"{name} is not a kernel"
    return kernel


def translate(index: int, name: str, source: str, module: Any, options: Mapping[str, Any]) -> Unit | BuildFailure:
    """Have Warp translate kernel number `index` of its module; a kernel it refuses is gone from the module."""
    try:
        kernel = define(name, source, module)
        try:
            warp_private.build_adjoint(module, kernel, index.to_bytes(4, "big"), options)
            mangled = warp_private.mangled_name(kernel)
            assert mangled not in source
            return Unit(name, source, kernel, mangled, warp_private.cpu_texts(kernel, options))
        except Exception:  # whatever it is, it is raised again
            warp_private.forget_kernel(module, kernel)
            raise
    except Exception as error:  # noqa: BLE001  # Warp refuses a kernel with whatever exception comes up
        message = error.args[0] if isinstance(error, KeyError) else error  # as text, a KeyError quotes its message
        return BuildFailure(source, Fault.COMPILE, f"{type(error).__name__}: {message}")
