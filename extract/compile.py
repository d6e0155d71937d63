"""Compiling a block of kernels with Warp, and the text of just each kernel.

The key insight: most of a compile is per translation unit, so a block of kernels is one; but text and blame are per
kernel. Each kernel is translated and printed alone, by Warp's own code generation, and clang then gets the texts
joined. A kernel that Warp refuses never reaches clang, and one that clang refuses is found from the lines it complains
about, or by halving.

Names are unique in a translation unit by a number that takes the place of Warp's content hash, and are put back to the
kernel's own name in what is stored: equal kernels have equal text, whatever else their block holds.
"""

from __future__ import annotations

import atexit
import gc
import linecache
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, assert_never

import warp as wp

from extract import warp_private
from extract.build import PIECES, Build, BuildFailure, Fault, Target
from extract.targets import headers_beside, llvm_text, ptx_text
from extract.warp_private import FIXED_PARAMETER, ClangError

BLOCK_DIM = 1
"""Threads per block on the CPU; Warp knows no other there unless asked for an experimental one."""
FILE = "kernels.cpp"
"""What clang calls a translation unit in its messages."""
CUDA_BLOCK_DIM = 256
"""Threads per block in PTX, which is Warp's default."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What Warp is asked for. All of it may change the machine code, only the last three change C++ and CUDA text."""

    optimization_level: Literal[0, 1, 2, 3] = 0
    mode: Literal["release", "debug"] = "release"
    fuse_fp: bool = False
    """Contract products and sums to fused multiply-adds. False keeps + − × ÷ bit-exact against NumPy."""
    fast_math: bool = False
    """PTX only: Warp ignores it on the CPU."""
    both_instantiations: bool = False
    """Compile each kernel as Warp does: a second time for arrays with strides, which contiguous ones never run.

    Warp prints a kernel's body once, as a template, and a dispatch between two instantiations. Without this, clang
    gets the same body for contiguous arrays only (`warp_private.contiguous_only`), and needs two thirds of the time.
    What is proved is the body, as far as contiguous arrays show it; what is stored is Warp's text either way.
    """
    cuda_arch: int = 90
    """For PTX: compute capability times ten."""
    max_unroll: int = 16
    """Static loops of at most this many iterations are unrolled."""
    verify_fp: bool = False
    """Print messages about numbers that are not finite."""
    enable_backward: bool = True
    """Emit the adjoint."""

    def module_options(self) -> dict[str, Any]:
        """Those that are options of a Warp module."""
        names = ("optimization_level", "mode", "fuse_fp", "fast_math", "max_unroll", "enable_backward")
        return {name: getattr(self, name) for name in names}

    def extra_flags(self) -> str:
        """For clang, beside Warp's own.

        The first saves 55 ms per translation unit, as templates of Warp's header are instantiated in the precompiled
        header and not in each unit. The second is a simpler order of instructions where nothing is optimised: 6 %.
        """
        simple = " -mllvm=-pre-RA-sched=linearize" if self.optimization_level == 0 else ""
        return " -fpch-instantiate-templates" + simple


class Loaded:
    """Machine code in this process; `alive` until its block is released."""

    __slots__ = ("alive", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True


@dataclass(frozen=True, slots=True, eq=False)
class Handle:
    """What `extract.launch` launches. It lives as long as its block and can't leave the process."""

    name: str
    kernel: Any
    """Warp's own object, for launches through Warp's public interface."""
    forward: int
    """The address of the CPU entry point."""
    adjoint: int
    """Likewise; 0 if there is no adjoint."""
    code: Loaded


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    build: Build
    handle: Handle


@dataclass(frozen=True, slots=True, eq=False)
class BlockBuild:
    """A compiled block: `release` it when done."""

    kernels: tuple[Compiled | BuildFailure, ...]
    """In the order of the sources."""
    seconds: Mapping[str, float]
    """CPU seconds by phase, all spent inside Warp but for a few percent.

    `codegen`: Warp translates and prints C++; `clang`: with the loader; `text`: CUDA; `llvm`, `ptx`: if asked for.
    """
    module: Any
    code: tuple[Loaded, ...]


# -- the life of a process --------------------------------------------------------------------------------------------


def start(cache_dir: Path | None = None) -> None:
    """Make Warp ready in this process, quietly; doing so again changes nothing.

    Files go to a folder of this process inside `cache_dir` (which processes may share, and then share Warp's
    precompiled header too), or to a temporary one. The folder is removed at exit; who gives `cache_dir` removes that.
    """
    warp_private.require_version()
    if _folder().name.startswith("warpsmith-"):
        return
    base = Path(tempfile.mkdtemp(prefix="warpsmith-")) if cache_dir is None else cache_dir
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="warpsmith-", dir=base))
    headers_beside(folder).mkdir(exist_ok=True)
    atexit.register(shutil.rmtree, folder if cache_dir is not None else base, ignore_errors=True)
    wp.config.log_level = wp.LOG_ERROR
    wp.config.cache_kernels = False
    wp.config.enable_tiles_in_stack_memory = None  # where static memory serves, launches are less to compile
    warp_private.initialise()
    wp.config.kernel_cache_dir = str(folder)
    warp_private.check_layouts()


def _folder() -> Path:
    """The folder of this process: Warp's own setting remembers it."""
    return Path(wp.config.kernel_cache_dir or "")


@contextmanager
def _spent(seconds: dict[str, float], phase: str) -> Iterator[None]:
    begin = time.process_time()
    try:
        yield
    finally:
        seconds[phase] = seconds.get(phase, 0.0) + time.process_time() - begin


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold Python's cycle collector: a block makes many objects, and nearly all of them live until its end."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# -- from source to text ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
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
        return text.replace(self.mangled, self.name)


def _define(name: str, source: str, module: Any) -> Any:
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


def _translate(index: int, name: str, source: str, module: Any, options: Mapping[str, Any]) -> _Unit | BuildFailure:
    try:
        kernel = _define(name, source, module)
        try:
            warp_private.build_adjoint(module, kernel, index.to_bytes(4, "big"), options)
            mangled = warp_private.mangled_name(kernel)
            assert mangled not in source
            return _Unit(name, source, kernel, mangled, warp_private.cpu_texts(kernel, options))
        except Exception:
            warp_private.forget_kernel(module, kernel)
            raise
    except Exception as error:  # noqa: BLE001  # Warp refuses a kernel with whatever exception comes up
        return BuildFailure(source, Fault.COMPILE, f"{type(error).__name__}: {error}")


# -- from text to machine code ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Clang:
    """Where and how a block's machine code is made."""

    head: str
    options: CompileOptions
    resolved: Mapping[str, Any]
    """Warp's module options."""
    code: list[Loaded] = field(default_factory=list)


def _machine_code(units: Sequence[_Unit], clang: _Clang) -> dict[_Unit, Handle | BuildFailure]:
    """Compile units together; if that fails, apart, until each that is to blame stands alone."""
    if not units:
        return {}
    texts = [unit.text(clang.options) for unit in units]
    try:
        return _compile_and_load(units, clang.head + "".join(texts), clang)
    except ClangError as error:
        complaint = str(error)
    if len(units) == 1:
        return {units[0]: BuildFailure(units[0].source, Fault.COMPILE, _readable(complaint))}
    results: dict[_Unit, Handle | BuildFailure] = {}
    for group in _apart(units, texts, clang.head, complaint):
        results |= _machine_code(group, clang)
    return results


def _compile_and_load(units: Sequence[_Unit], text: str, clang: _Clang) -> dict[_Unit, Handle | BuildFailure]:
    code = Loaded(f"warpsmith_{uuid.uuid4().hex}")
    target = _folder() / f"{code.name}.o"
    try:
        warp_private.compile_cpp(FILE, text, target, clang.resolved, headers_beside(_folder()))
        warp_private.load_object(target, code.name)
        handles = _handles(units, code, clang.options)
    except ClangError:
        warp_private.unload_object(code.name)
        raise
    finally:
        target.unlink(missing_ok=True)
    clang.code.append(code)
    return handles


def _handles(units: Sequence[_Unit], code: Loaded, options: CompileOptions) -> dict[_Unit, Handle | BuildFailure]:
    forward = warp_private.lookup(code.name, [f"{unit.mangled}_cpu_forward" for unit in units])
    adjoint = [0] * len(units)
    if options.enable_backward:
        adjoint = warp_private.lookup(code.name, [f"{unit.mangled}_cpu_backward" for unit in units])
    return {u: Handle(u.name, u.kernel, f, a, code) for u, f, a in zip(units, forward, adjoint, strict=True)}


def _apart(units: Sequence[_Unit], texts: Sequence[str], head: str, complaint: str) -> list[list[_Unit]]:
    """Groups to try next: those clang complained about each alone and the rest together; or, failing that, halves."""
    blamed, line = [], head.count("\n")
    lines = set(_lines(complaint))
    for unit, text in zip(units, texts, strict=True):
        end = line + text.count("\n")
        if not lines.isdisjoint(range(line + 1, end + 1)):
            blamed.append(unit)
        line = end
    if not blamed:
        half = len(units) // 2
        return [list(units[:half]), list(units[half:])]
    rest = [unit for unit in units if unit not in blamed]
    return [rest, *([unit] for unit in blamed)]


def _lines(complaint: str) -> Iterator[int]:
    """The lines of the translation unit that clang names."""
    for message in complaint.splitlines():
        where, _, rest = message.partition(":")
        number = rest.partition(":")[0]
        if where == FILE and number.isdecimal():
            yield int(number)


def _readable(complaint: str) -> str:
    """Clang's first error and what follows it, in a few lines."""
    lines = complaint.splitlines()
    first = next((k for k, line in enumerate(lines) if "error:" in line), 0)
    return "\n".join(lines[first : first + 12])


# -- blocks -----------------------------------------------------------------------------------------------------------


def compile_block(
    sources: Sequence[tuple[str, str]],
    targets: frozenset[Target] = frozenset({Target.CPP}),
    options: CompileOptions = CompileOptions(),
) -> BlockBuild:
    """Compile kernels together: `sources` are pairs of a kernel's name and the text of the module that defines it.

    Results come in the order of the sources. A kernel that Warp or clang refuses is a BuildFailure with their message
    and leaves the others as they would be without it. Names may repeat. `start` must have been called.
    """
    assert warp_private.is_initialised(), "call extract.compile.start() first"
    seconds: dict[str, float] = {}
    module = wp.get_module(f"warpsmith_{uuid.uuid4().hex}")
    module.options.update(options.module_options())
    resolved = warp_private.resolve(module, {"verify_fp": options.verify_fp}, block_dim=BLOCK_DIM)
    resolved["cpu_compiler_flags"] += options.extra_flags()
    with _uncollected():
        with _spent(seconds, "codegen"):
            units = [_translate(i, name, source, module, resolved) for i, (name, source) in enumerate(sources)]
            clang = _Clang(_head(module, options, resolved), options, resolved)
        with _spent(seconds, "clang"):
            code = _machine_code([unit for unit in units if isinstance(unit, _Unit)], clang)
        kernels = tuple(_result(unit, code, targets, clang, seconds) for unit in units)
    return BlockBuild(kernels, seconds, module, tuple(clang.code))


def _head(module: Any, options: CompileOptions, resolved: Mapping[str, Any]) -> str:
    """What stands before the kernels of a translation unit for the CPU."""
    return warp_private.header(module, resolved, "cpu") + ("" if options.both_instantiations else FIXED_PARAMETER)


def _result(
    unit: _Unit | BuildFailure,
    code: Mapping[_Unit, Handle | BuildFailure],
    targets: frozenset[Target],
    clang: _Clang,
    seconds: dict[str, float],
) -> Compiled | BuildFailure:
    if isinstance(unit, BuildFailure):
        return unit
    handle = code[unit]
    if isinstance(handle, BuildFailure):
        return handle
    texts: dict[str, str] = {}
    try:
        for target in Target:
            if target in targets:
                with _spent(seconds, _PHASES[target]):
                    texts |= zip(PIECES[target], _pieces(unit, target, clang), strict=True)
    except ClangError as error:
        return BuildFailure(unit.source, Fault.COMPILE, _readable(str(error).replace(f"{_folder()}/", "")))
    return Compiled(Build(unit.source, texts), handle)


_PHASES = {Target.CPP: "codegen", Target.CUDA: "text", Target.LLVM: "llvm", Target.PTX: "ptx"}


def _pieces(unit: _Unit, target: Target, clang: _Clang) -> Sequence[str]:
    """The texts of one target, in the kernel's own name."""
    match target:
        case Target.CPP:
            return [unit.own(text) for text in unit.cpp]
        case Target.CUDA:
            return [unit.own(text) for text in warp_private.cuda_texts(unit.kernel, clang.resolved)]
        case Target.LLVM:
            text = clang.head + unit.own(unit.text(clang.options))
            return [llvm_text(unit.name, text, clang.resolved, _folder())]
        case Target.PTX:
            bodies = warp_private.cuda_texts(unit.kernel, clang.resolved)
            head = warp_private.header(unit.kernel.module, {**clang.resolved, "block_dim": CUDA_BLOCK_DIM}, "cuda")
            text = head + unit.own("".join(bodies))
            return [ptx_text(unit.name, text, clang.resolved, clang.options.cuda_arch, _folder())]
        case _:
            assert_never(target)


def release(block: BlockBuild) -> None:
    """Unload a block's machine code and drop what Warp keeps of it; its handles can't be launched afterwards.

    What is left are Python objects that refer to each other, for the cycle collector.
    """
    for code in block.code:
        code.alive = False
        warp_private.unload_object(code.name)
    warp_private.forget_module(block.module)
