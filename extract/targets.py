"""The text of one kernel as LLVM IR and as PTX.

The key insight: a module that holds one kernel under its own name is that kernel's text, with nothing to cut out and
nothing to rename, whatever numbering of labels and metadata a compiler comes up with.

LLVM IR is what clang has at the end of its optimisations at -O2: one function forward, one for the adjoint, with all of
Warp's library inlined that they use. It is made for the common instruction set of the architecture, so that it does not
depend on the machine. Both take some 100 ms per kernel.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from extract import warp_private
from extract.process import folder, headers

LAST_PASS = "rel-lookup-table-converter"
"""The last pass over the whole module in clang's pipelines from -O1 up."""


def llvm_text(name: str, source: str, options: Mapping[str, Any]) -> str:
    """The optimised LLVM IR of C++ that holds one kernel.

    Raises ClangError if clang refuses the source.
    """
    dump, target = folder() / f"{name}.ir", folder() / f"{name}.o"
    changed = {"cpu_compiler_flags": "-fpch-instantiate-templates", "optimization_level": 2, "mode": "release"}
    printing = (f"-print-after={LAST_PASS}", "-print-module-scope", f"-ir-dump-directory={dump}")
    flags = [part for option in printing for part in ("-mllvm", option)]
    dump.mkdir()
    try:
        warp_private.compile_cpp(f"{name}.cpp", source, target, {**options, **changed}, headers(), flags)
        (printed,) = dump.iterdir()
        _, _, text = printed.read_text(encoding="utf-8").partition("\n")  # without the line that names the pass
        return text
    finally:
        shutil.rmtree(dump)
        target.unlink(missing_ok=True)


def ptx_text(name: str, source: str, options: Mapping[str, Any], arch: int) -> str:
    """The PTX of CUDA C++ that holds one kernel, without the NUL byte that NVRTC ends it with.

    Raises ClangError if NVRTC refuses the source.
    """
    path = folder() / f"{name}.cu"
    target = path.with_suffix(".ptx")
    path.write_text(source, encoding="utf-8")
    try:
        warp_private.compile_ptx(path, target, options, arch)
        return target.read_bytes().rstrip(b"\0").decode()
    finally:
        path.unlink()
        target.unlink(missing_ok=True)
