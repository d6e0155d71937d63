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
    builder: Any
    """Warp's, which knows the functions that the kernel calls."""
    names: Mapping[str, str]
    """By each mangled name, the kernel's first, what it is in text that is stored; of functions and structs as well."""
    cpp: tuple[str, str, str, str]

    @property
    def mangled(self) -> str:
        return next(iter(self.names))

    def text(self, options: CompileOptions) -> str:
        """What clang gets."""
        *bodies, entry = self.cpp
        if options.both_instantiations:
            return "".join(self.cpp)
        return warp_private.contiguous_only("".join(bodies), entry)

    def builder_for(self, options: Mapping[str, Any], block_dim: int) -> Any:
        """Warp's for blocks of so many threads, where that makes a difference to the text."""
        if not warp_private.knows_its_block(self.kernel):
            return self.builder
        options = {**options, "block_dim": block_dim}
        return warp_private.build_adjoint(self.kernel.module, self.kernel, self.kernel.hash, options)

    def own(self, text: str) -> str:
        """Text under the kernel's own name, and those of its functions and structs."""
        for mangled, name in self.names.items():
            text = text.replace(mangled, name)
        return text


def define(name: str, source: str, module: Any) -> Mapping[str, Any]:
    """Run a kernel's module; return what it holds, the kernel among it.

    Warp reads the text back through `linecache`, as debuggers do.
    """
    filename = f"<{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": module.name}
    try:
        exec(compile(source, filename, "exec", dont_inherit=True), namespace)  # not with our annotations as text
    finally:
        del linecache.cache[filename]
    kernel = namespace[name]
    assert isinstance(kernel, wp.Kernel), f"{name} is not a kernel"
    if kernel.is_generic:  # what it is made for says the text as well
        (namespace[name],) = kernel.overloads.values()
    return namespace


def translate(index: int, name: str, source: str, module: Any, options: Mapping[str, Any]) -> Unit | BuildFailure:
    """Have Warp translate kernel number `index` of its module; a kernel it refuses is gone from the module."""
    try:
        namespace = define(name, source, module)
        kernel = namespace[name]
        symbol = f"{index:08x}"
        parts = warp_private.name_functions(namespace, symbol) | warp_private.name_structs(namespace, symbol)
        try:
            builder = warp_private.build_adjoint(module, kernel, index.to_bytes(4, "big"), options)
            parts = warp_private.name_specialised(builder, parts) | parts  # whose names begin alike
            names = {warp_private.mangled_name(kernel): name, **parts}
            assert not any(mangled in source for mangled in names)
            return Unit(name, source, kernel, builder, names, warp_private.cpu_texts(kernel, builder, options))
        except Exception:  # whatever it is, it is raised again
            warp_private.forget_kernel(module, kernel)
            raise
    except Exception as error:  # noqa: BLE001  # Warp refuses a kernel with whatever exception comes up
        message = error.args[0] if isinstance(error, KeyError) else error  # as text, a KeyError quotes its message
        return BuildFailure(source, Fault.COMPILE, f"{type(error).__name__}: {message}")
