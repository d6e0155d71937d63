"""Compiling a block of kernels with Warp, and the text of just each kernel.

The key insight: most of a compile is per translation unit, so a block of kernels is one; but text and blame are per
kernel. Each kernel is translated and printed alone (`unit`), clang gets the texts joined (`machine`), and what a kernel
comes to does not depend on its block.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import warp as wp

from extract import warp_private
from extract.build import PIECES, Build, BuildFailure, Fault, Target
from extract.machine import Clang, Handle, Loaded, machine_code, readable
from extract.options import DEFAULT, CompileOptions
from extract.process import folder, spent, start, uncollected
from extract.targets import llvm_text, ptx_text
from extract.unit import Unit, translate
from extract.warp_private import FIXED_PARAMETER, ClangError

__all__ = ["BlockBuild", "CompileOptions", "Compiled", "Handle", "compile_block", "compile_instead", "release", "start"]

BLOCK_DIM = 1
"""Threads per block on the CPU; Warp knows no other there unless asked for an experimental one."""
CUDA_BLOCK_DIM = 256
"""Threads per block in PTX, which is Warp's default."""


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    build: Build
    handle: Handle
    unit: Unit


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


def compile_block(
    sources: Sequence[tuple[str, str]],
    targets: frozenset[Target] = frozenset({Target.CPP}),
    options: CompileOptions = DEFAULT,
) -> BlockBuild:
    """Compile kernels together: `sources` are pairs of a kernel's name and the text of the module that defines it.

    Results come in the order of the sources. A kernel that Warp or clang refuses is a BuildFailure with their message
    and leaves the others as they would be without it. Names may repeat. `start` must have been called.
    """
    assert warp_private.is_initialised(), "call extract.compile.start() first"
    seconds: dict[str, float] = {}
    module = wp.get_module(f"warpsmith_{uuid.uuid4().hex}")
    module.options.update(options.module_options())
    resolved = _resolved(module, options)
    with uncollected():
        with spent(seconds, "codegen"):
            units = [translate(i, name, source, module, resolved) for i, (name, source) in enumerate(sources)]
            clang = Clang(_head(module, options, resolved), options, resolved)
        with spent(seconds, "clang"):
            code = machine_code([unit for unit in units if isinstance(unit, Unit)], clang)
        kernels = [unit if isinstance(unit, BuildFailure) else code[unit] for unit in units]
        texts: list[dict[str, str]] = [{} for _ in units]
        for target in [target for target in Target if target in targets]:
            with spent(seconds, _PHASES[target]):
                kernels = [_texted(*each, target, clang) for each in zip(units, kernels, texts, strict=True)]
    compiled = tuple(map(_compiled, units, kernels, texts))
    return BlockBuild(compiled, seconds, module, tuple(clang.code))


def compile_instead(
    block: BlockBuild, texts: Sequence[tuple[Compiled, Mapping[str, str]]], options: CompileOptions = DEFAULT
) -> BlockBuild:
    """Compile other C++ in place of what Warp printed, so that faults can be planted in it.

    `texts` are pairs of a kernel of `block` and its pieces for `Target.CPP`, changed at will; a kernel may come several
    times. Its name must be a word that its source holds once. The block that comes back holds the machine code of both:
    release it in place of `block`, which was compiled with the same options.
    """
    seconds = dict(block.seconds)
    units = [_unit(i, made, pieces) for i, (made, pieces) in enumerate(texts)]
    resolved = _resolved(block.module, options)
    clang = Clang(_head(block.module, options, resolved), options, resolved)
    with uncollected(), spent(seconds, "clang"):
        code = machine_code(units, clang)
    kernels = [_compiled(unit, code[unit], dict(texts[i][1])) for i, unit in enumerate(units)]
    return BlockBuild(tuple(kernels), seconds, block.module, (*block.code, *clang.code))


def _unit(index: int, made: Compiled, pieces: Mapping[str, str]) -> Unit:
    """A unit of the given texts under a name of its own."""
    name, source = made.handle.name, made.build.source
    places = source.count(name) - source.count(f"wp.overload({name},")
    assert places == 1, f"{name} stands {places} times in its source"
    names = {f"{own.removesuffix('_0')}_{index:08x}": own for own in made.unit.names.values()}

    def mangled(text: str) -> str:
        for new, own in names.items():
            text = text.replace(own, new)
        return text

    args, forward, adjoint, entry = (mangled(pieces[piece]) for piece in PIECES[Target.CPP])
    return Unit(name, source, made.handle.kernel, made.unit.builder, names, (args, forward, adjoint, entry))


def _resolved(module: Any, options: CompileOptions) -> dict[str, Any]:
    """Warp's module options, and clang's flags among them."""
    resolved = warp_private.resolve(module, {"verify_fp": options.verify_fp}, block_dim=BLOCK_DIM)
    resolved["cpu_compiler_flags"] += options.extra_flags()
    return resolved


def _head(module: Any, options: CompileOptions, resolved: Mapping[str, Any]) -> str:
    """What stands before the kernels of a translation unit for the CPU."""
    return warp_private.header(module, resolved, "cpu") + ("" if options.both_instantiations else FIXED_PARAMETER)


def _texted(
    unit: Unit | BuildFailure, made: Handle | BuildFailure, texts: dict[str, str], target: Target, clang: Clang
) -> Handle | BuildFailure:
    """Adds a target's texts; what came of the kernel so far, or the failure to get them."""
    if isinstance(unit, BuildFailure) or isinstance(made, BuildFailure):
        return made
    try:
        texts |= zip(PIECES[target], _pieces(unit, target, clang), strict=True)
    except ClangError as error:
        return BuildFailure(unit.source, Fault.COMPILE, readable(str(error).replace(f"{folder()}/", "")))
    return made


def _compiled(unit: Unit | BuildFailure, made: Handle | BuildFailure, texts: dict[str, str]) -> Compiled | BuildFailure:
    if isinstance(made, BuildFailure):
        return made
    assert isinstance(unit, Unit), "what Warp refused is never compiled"
    return Compiled(Build(unit.source, texts), made, unit)


_PHASES = {Target.CPP: "codegen", Target.CUDA: "text", Target.LLVM: "llvm", Target.PTX: "ptx"}


def _pieces(unit: Unit, target: Target, clang: Clang) -> Sequence[str]:
    """The texts of one target, in the kernel's own name."""
    match target:
        case Target.CPP:
            return [unit.own(text) for text in unit.cpp]
        case Target.CUDA:
            return [unit.own(text) for text in _cuda_texts(unit, clang)]
        case Target.LLVM:
            text = clang.head + unit.own(unit.text(clang.options))
            return [llvm_text(unit.name, text, clang.resolved)]
        case Target.PTX:
            bodies = _cuda_texts(unit, clang)
            head = warp_private.header(unit.kernel.module, {**clang.resolved, "block_dim": CUDA_BLOCK_DIM}, "cuda")
            text = head + unit.own("".join(bodies))
            return [ptx_text(unit.name, text, clang.resolved, clang.options.cuda_arch)]
        case _:
            assert_never(target)


def _cuda_texts(unit: Unit, clang: Clang) -> tuple[str, str]:
    """Under the mangled name. Of a kernel that makes tiles of what threads have, as blocks of so many have them."""
    return warp_private.cuda_texts(unit.kernel, unit.builder_for(clang.resolved, CUDA_BLOCK_DIM), clang.resolved)


def release(block: BlockBuild) -> None:
    """Unload a block's machine code and drop what Warp keeps of it; its handles can't be launched afterwards.

    What is left are Python objects that refer to each other, for the cycle collector.
    """
    for code in block.code:
        code.alive = False
        warp_private.unload_object(code.name)
    warp_private.forget_module(block.module)
    for cached in folder().glob(f"wp_{block.module.name}*"):  # by launches through Warp's public interface
        shutil.rmtree(cached)
