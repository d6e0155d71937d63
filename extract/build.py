"""What compiling a kernel gives: its source, and the text of just that kernel for each target.

The key insight: compiling is a value, not an event. A `Build` holds plain text and can be stored anywhere; what can be
launched is a separate handle (`extract.launch`) that lives and dies with the process that compiled it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Target(Enum):
    """What `--targets` can name."""

    CPP = "cpp"
    CUDA = "cuda"
    LLVM = "llvm"
    PTX = "ptx"


PIECES: Mapping[Target, tuple[str, ...]] = {
    Target.CPP: ("cpp_args", "cpp_forward", "cpp_adjoint", "cpp_entry"),
    Target.CUDA: ("cuda_forward", "cuda_adjoint"),
    Target.LLVM: ("llvm",),
    Target.PTX: ("ptx",),
}
"""The texts each target gives, in the order in which they make up a translation unit (after Warp's header)."""


@dataclass(frozen=True, slots=True)
class Build:
    """A compiled kernel.

    `source` is a whole runnable Python module. `ir` maps the names in `PIECES` to text in which the kernel's symbols
    bear its own name without Warp's hash, so that equal kernels have equal text.
    """

    source: str
    ir: Mapping[str, str]


class Fault(Enum):
    """Why a kernel has no Build. Each is a finding."""

    COMPILE = "compile"
    CRASH = "crash"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class BuildFailure:
    source: str
    fault: Fault
    message: str
