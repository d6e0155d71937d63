"""The one place where Warp's private interface is touched: its code generation per kernel, its clang, its loader.

The key insight: Warp compiles a module by building each kernel's adjoint, printing each kernel's text, joining these
and handing them to clang. Done step by step, the text of just one kernel is simply there (nothing is cut out of C++),
a kernel Warp refuses is known before clang runs, and nothing is hashed or printed twice.

All names below `warp._src` are private and move between releases, so `require_version` is asked before any of them.
"""

from __future__ import annotations

import ast
import ctypes
import os
import struct
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

import warp as wp

# As Any: Warp ships types, but its private functions are only annotated in part.
build: Any = import_module("warp._src.build")
codegen: Any = import_module("warp._src.codegen")
context: Any = import_module("warp._src.context")
types: Any = import_module("warp._src.types")

VERSION = "1.19.0"

Options = Mapping[str, Any]
"""Module options as Warp resolves them: every value filled in."""

ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
"""A forward CPU entry point: launch bounds, arguments."""
ADJOINT_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
"""An adjoint CPU entry point: launch bounds, arguments, adjoints of the arguments."""

ARRAY_LAYOUT = "QQ4i4iHH4x"
"""`struct` format of Warp's `array_t`: data, grad, shape, strides in bytes, number of dimensions, flags."""
BOUNDS_LAYOUT = "@{}IQQ"
"""`struct` format of `launch_bounds_t<N>`, with a place for N: shape, size, threads per coordinate."""


class WrongWarpError(RuntimeError):
    """The installed Warp is not the one whose private interface is known here."""


def require_version() -> None:
    """Raise WrongWarpError unless Warp is exactly the version this file was written against."""
    if wp.__version__ != VERSION:
        raise WrongWarpError(
            f"warp-lang {VERSION} is needed, {wp.__version__} is installed: pip install warp-lang=={VERSION}"
        )


def is_initialised() -> bool:
    return bool(context.runtime is not None)


def initialise() -> None:
    """Initialise Warp without the native library's remarks about missing drivers."""
    _hearing(lambda: _attempt(wp.init))


def check_layouts() -> None:
    """Hold `ARRAY_LAYOUT` and `BOUNDS_LAYOUT` against the ctypes structures with which Warp itself launches."""
    assert struct.calcsize("@" + ARRAY_LAYOUT) == ctypes.sizeof(types.array_t)
    assert struct.calcsize(BOUNDS_LAYOUT.format(1)) == ctypes.sizeof(types.launch_bounds_t(1))


# -- modules ----------------------------------------------------------------------------------------------------------


def resolve(module: Any, overrides: Mapping[str, Any], *, block_dim: int) -> dict[str, Any]:
    """The module's options with every default filled in, `overrides` last; without `#line` directives."""
    resolved: dict[str, Any] = module.resolve_options(wp.config, block_dim=block_dim)
    return resolved | dict(overrides) | {"line_directives": False, "output_arch": None}


def forget_kernel(module: Any, kernel: Any) -> None:
    """Take a kernel out of its module, so that a later build of the module does not meet it."""
    module._live_kernels.discard(kernel)
    if module.kernels.get(kernel.key) is kernel:
        del module.kernels[kernel.key]


def forget_module(module: Any) -> None:
    """Drop everything a module holds, and Warp's own references to it, such as those of modules that it calls."""
    context.user_modules.pop(module.name, None)
    module._detach_references()
    module.unload()
    module.kernels.clear()
    module.structs.clear()
    module._live_kernels.clear()


# -- text -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Only:
    """What ModuleBuilder asks of a ModuleHasher, for the given kernels and without hashing anything."""

    unique_kernels: Mapping[bytes, Any]

    def get_unique_kernels(self) -> list[Any]:
        return list(self.unique_kernels.values())


def name_functions(namespace: Mapping[str, Any], symbol: str) -> dict[str, str]:
    """Give the functions of a module names that end in `symbol`; returns Warp's own plain names by those.

    Warp numbers functions of a name as they come up in the process: the first `lerp` is `lerp_0`. What an adjoint calls
    in place of one is named after it.
    """
    names = {}
    for value in namespace.values():
        if isinstance(value, context.Function) and value.func is not None:
            for k, overload in enumerate(dict.fromkeys((value, *value.user_overloads.values()))):
                plain = f"{value.func.__name__}_{k}"
                overload.native_func = f"{plain}_{symbol}"
                names[overload.native_func] = plain
                if overload.custom_replay_func is not None:
                    overload.custom_replay_func.native_func = f"replay_{overload.native_func}"
                if overload.custom_grad_func is not None:
                    overload.custom_grad_func.native_func = overload.native_func
    return names


def name_specialised(builder: Any, names: Mapping[str, str]) -> dict[str, str]:
    """What is made of functions for the functions that they are handed, by Warp's names, which are numbered by hashes.

    Returns plain names by those, the first that comes up in a kernel being the first.
    """
    found: dict[str, str] = {}
    counts: dict[str, int] = defaultdict(int)
    for function in builder.functions:
        own, made, _ = function.native_func.partition("_callable_")
        if made:
            found[function.native_func] = f"{names[own]}_callable_{counts[own]}"
            counts[own] += 1
    return found


def name_structs(namespace: Mapping[str, Any], symbol: str) -> dict[str, str]:
    """Give the structs of a module names that end in `symbol`; returns Warp's own names by those.

    Warp's own end in a hash of the fields, so two kernels of a translation unit may well have a struct of one name.
    """
    names = {}
    for value in namespace.values():
        if isinstance(value, codegen.Struct):
            own, value.native_name = value.native_name, f"{value.key}_{symbol}"
            for constructor in (value.default_constructor, value.value_constructor):
                constructor.key = constructor.native_func = value.native_name
            value.instance_type.native_name = value.native_name
            value.hash += symbol.encode()  # by which Warp takes two for one when it prints a whole module
            names[value.native_name] = own
    return names


def _declared(builder: Any) -> str:
    """The text of the structs that a builder's kernel knows, inner ones first."""
    return "".join(map(codegen.codegen_struct, builder.structs))


def build_adjoint(module: Any, kernel: Any, symbol: bytes, options: Options) -> Any:
    """Let Warp translate a kernel; afterwards `kernel.adj` holds all its texts are printed from.

    Returns Warp's builder, which knows the functions that the kernel calls.

    `symbol` takes the place of the content hash that Warp appends to names: 4 bytes, unique in its translation unit.
    Raises whatever Warp raises about a kernel it refuses.
    """
    kernel.adj.get_references()  # Warp's hasher calls it; it also finds the dimension of the thread grid
    kernel.grid_stride = codegen.resolve_grid_stride(kernel.options, options["default_grid_stride"])
    return context.ModuleBuilder(module, dict(options), hasher=_Only({symbol: kernel}), target="cpu")


def knows_its_block(kernel: Any) -> bool:
    """Whether its texts hold the number of threads of a block, which Warp writes down for `wp.tile(x)` alone."""
    return any(isinstance(node, ast.Attribute) and node.attr == "tile" for node in ast.walk(kernel.adj.tree))


def mangled_name(kernel: Any) -> str:
    name: str = kernel.get_mangled_name()
    return name


def _head(template: str, cut: str, **names: str) -> str:
    """The fixed text with which one of Warp's templates begins, up to its field `cut`."""
    return template.partition(cut)[0].format_map(defaultdict(str, names))


def _split(text: str, head: str) -> tuple[str, str]:
    """Split before the only occurrence of `head`."""
    assert text.count(head) == 1, f"Warp's text holds {text.count(head)} times {head!r}"
    at = text.index(head)
    return text[:at], text[at:]


def _called(kernel: Any, builder: Any, device: str, backward: bool) -> tuple[str, str]:
    """The text of the functions that a kernel calls: forward, adjoint; as one where it calls for gradients."""
    functions = list(builder.functions)
    forward = _anywhere(builder._codegen_functions(functions, device, forward_only=True))
    if not (backward or kernel.adj.uses_grad_call):
        return forward, ""
    by_hand = {function.custom_grad_func for function in functions}
    functions.sort(key=lambda function: function not in by_hand)  # as Warp does: others call them
    adjoint = _anywhere(builder._codegen_functions(functions, device, reverse_only=True))
    return (forward + adjoint, "") if kernel.adj.uses_grad_call else (forward, adjoint)


def _anywhere(text: str) -> str:
    """Without the folder that Warp is installed in, which comments name where a builtin is a function in Python."""
    return text.replace(f"// {Path(wp.__file__).parent.parent}{os.sep}", "// ")


def cpu_texts(kernel: Any, builder: Any, options: Options) -> tuple[str, str, str, str]:
    """The C++ of just this kernel, mangled: arguments, forward, adjoint (empty if switched off), entry points.

    The functions that it calls stand before it, forward and adjoint apart like the kernel itself, and structs before
    the arguments.
    """
    name = mangled_name(kernel)
    text: str = codegen.codegen_kernel(kernel, "cpu", dict(options))
    entry: str = codegen.codegen_module(kernel, "cpu", dict(options))
    adjoint = ""
    if options["enable_backward"]:
        text, adjoint = _split(text, _head(codegen.cpu_kernel_template_backward, "{reverse_args}", name=name))
    args, forward = _split(text, _head(codegen.cpu_kernel_template_forward, "{forward_args}", name=name))
    called = _called(kernel, builder, "cpu", options["enable_backward"])
    return _declared(builder) + args, called[0] + forward, called[1] + adjoint, entry


def cuda_texts(kernel: Any, builder: Any, options: Options) -> tuple[str, str]:
    """The CUDA C++ of just this kernel and what it calls, mangled: forward, adjoint (empty if switched off)."""
    text: str = codegen.codegen_kernel(kernel, "cuda", dict(options))
    called = _called(kernel, builder, "cuda", options["enable_backward"])
    called = _declared(builder) + called[0], called[1]
    if not options["enable_backward"]:
        return called[0] + text, ""
    strided = kernel.grid_stride
    template = codegen.cuda_kernel_template_backward_grid_stride if strided else codegen.cuda_kernel_template_backward
    head = _head(template, "{reverse_args}", backward_name=codegen.cuda_kernel_backward_name(kernel))
    forward, adjoint = _split(text, head)
    return called[0] + forward, called[1] + adjoint


NO_BFLOAT16 = "#define WP_NO_BFLOAT16\n"
"""What Warp puts before modules without such floats, which are then not parsed: in a precompiled header they are."""


def header(module: Any, options: Options, device: str) -> str:
    """What Warp puts before the first kernel of a translation unit for "cpu" or "cuda", where any may use bfloat16."""
    text: str = context.ModuleBuilder(module, dict(options), hasher=_Only({}), target=device).codegen(device)
    assert text.startswith(NO_BFLOAT16), f"Warp's text no longer begins with {NO_BFLOAT16!r}"
    return text.removeprefix(NO_BFLOAT16)


FIXED_PARAMETER = "static constexpr bool wp_linear_contiguous = true;\n"
"""What has to stand once before texts that went through `contiguous_only`."""


def contiguous_only(bodies: str, entry: str) -> str:
    """A kernel's C++ with one instantiation instead of two: the one that contiguous arrays run.

    Warp prints a kernel's body once, as a template over "are the arrays contiguous?", and a dispatch between its two
    instantiations. Here the template's parameter becomes a constant and the dispatch loses its `else`, so that other
    arrays get no launch at all rather than a wrong one. Not a character of the body changes. A kernel for which Warp
    prints no such dispatch is returned as it is.
    """
    if "_tasks<true>(" not in entry:
        return bodies + entry
    text = bodies + _without_else(entry)
    for token, plain in (
        ("template <bool wp_linear_contiguous>\n", ""),
        ("_kernel_forward<wp_linear_contiguous>(", "_kernel_forward("),
        ("_kernel_backward<wp_linear_contiguous>(", "_kernel_backward("),
        ("_tasks<true>(", "_tasks("),
    ):
        assert token in text or "backward" in token, f"Warp's text no longer holds {token!r}"
        text = text.replace(token, plain)
    return text


def _without_else(entry: str) -> str:
    """Entry points without the branches that call the other instantiation."""
    lines = iter(entry.splitlines(keepends=True))
    kept = []
    for line in lines:
        if line == "    else\n":
            dropped = next(lines)
            assert "_tasks<false>(" in dropped, f"expected a call of the other instantiation, found {dropped!r}"
        else:
            kept.append(line)
    return "".join(kept)


# -- machine code -----------------------------------------------------------------------------------------------------


class ClangError(RuntimeError):
    """Clang, NVRTC or the loader refused; the message is what they wrote to standard error."""


def _hearing(action: Callable[[], bool]) -> None:
    """Run `action`, which says whether it succeeded and complains on file descriptor 2; raise what it said."""
    with tempfile.TemporaryFile() as heard:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            succeeded = action()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        if not succeeded:
            heard.seek(0)
            raise ClangError(heard.read().decode("utf-8", "replace").strip() or "failed without a message")


def _attempt(compiler: Callable[..., None], *args: Any, **options: Any) -> bool:
    try:
        compiler(*args, **options)
    except Exception:  # noqa: BLE001  # Warp raises a plain Exception with nothing but an error code in it
        return False
    return True


def compile_cpp(name: str, text: str, target: Path, options: Options, headers: Path, extra: Sequence[str] = ()) -> None:
    """Compile C++ to an object file with the clang inside Warp; raise ClangError with its messages.

    `name` is the file's name in messages and debug information; no such file is made. `headers` is a folder for Warp's
    precompiled headers, of which there is one for each set of flags but `extra`. It takes two seconds to make one, and
    processes that share the folder share it. (Left to itself, Warp would make one per process, and on any error would
    delete it and compile all over again without.)
    """
    flags = options["cpu_compiler_flags"].split()
    header = os.fspath(_precompiled_header(options, flags, headers))
    _clang(name, text, target, options, [*flags, *extra, "-Wno-macro-redefined", "-include-pch", header])


def _precompiled_header(options: Options, flags: Sequence[str], headers: Path) -> Path:
    names = ("mode", "optimization_level", "verify_fp", "block_dim", "enable_tiles_in_stack_memory")
    folder = headers / blake2b(repr([flags, [options[name] for name in names]]).encode(), digest_size=8).hexdigest()
    if not any(folder.glob("*.pch")):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _clang("empty.cpp", "", Path(scratch) / "empty.o", options, flags, folder)
    header = next(folder.glob("*.pch"), None)
    if header is None:
        raise OSError(f"no precompiled header could be written to {folder}")
    return header


def _clang(
    name: str, text: str, target: Path, options: Options, flags: Sequence[str], make_header_in: Path | None = None
) -> None:
    """Call the clang inside Warp as `warp._src.build.build_cpu` does."""
    array = (ctypes.c_char_p * (len(flags) + 1))(*map(str.encode, flags), None)
    _hearing(
        lambda: bool(
            context.runtime.llvm.wp_compile_cpp(
                text.encode(),
                name.encode(),
                os.fsencode(Path(wp.__file__).parent / "native"),
                os.fsencode(target),
                options["mode"] == "debug",
                options["verify_fp"],
                options["fuse_fp"],
                options["enable_tiles_in_stack_memory"],
                array,
                options["optimization_level"],
                False,
                make_header_in is not None,
                os.fsencode(make_header_in) if make_header_in is not None else None,
                options["block_dim"],
            )
            == 0
        )
    )


def load_object(path: Path, handle: str) -> None:
    """Make an object file runnable under the name `handle`."""
    legacy = wp.config.legacy_cpu_linker
    load = context.runtime.llvm.wp_load_obj
    _hearing(lambda: bool(load(os.fsencode(path), handle.encode(), legacy) == 0))


def compile_ptx(source: Path, target: Path, options: Options, arch: int) -> None:
    """Compile a CUDA file to PTX with the NVRTC inside Warp, which needs no GPU; raise ClangError with its messages."""
    flags = {
        "config": options["mode"],
        "optimization_level": 3,
        "verify_fp": options["verify_fp"],
        "fast_math": options["fast_math"],
        "fuse_fp": options["fuse_fp"],
        "use_precompiled_headers": options["use_precompiled_headers"],
        "pch_dir": context.runtime.get_nvrtc_pch_dir(),
    }
    assert target.suffix == ".ptx"  # this is how Warp knows PTX from machine code
    _hearing(lambda: _attempt(build.build_cuda, os.fspath(source), arch, os.fspath(target), **flags))


def lookup(handle: str, symbols: Sequence[str]) -> list[int]:
    """The addresses of functions in a loaded object, which the first look links; raise ClangError if it can't."""
    addresses: list[int] = []

    def find() -> bool:
        name = handle.encode()
        addresses.extend(context.runtime.llvm.wp_lookup(name, symbol.encode()) for symbol in symbols)
        return 0 not in addresses

    _hearing(find)
    return addresses


def unload_object(handle: str) -> None:
    context.runtime.llvm.wp_unload_obj(handle.encode())


def compiler_versions() -> tuple[str, str]:
    """Of LLVM and NVRTC, which the wheel brings along."""
    return str(context.runtime.get_llvm_version()), ".".join(map(str, context.runtime.get_nvrtc_version()))
