"""What a compilation is asked for.

The key insight: these are the axes along which a compiler can be tested against itself, so each is one field with a
default that suits proving a kernel right: nothing is optimised, and rounding is NumPy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What Warp is asked for. All of it may change the machine code, only the last two change C++ and CUDA text."""

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
    verify_fp: bool = False
    """Print messages about numbers that are not finite."""
    max_unroll: int = 16
    """Static loops of at most this many iterations are unrolled."""
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


DEFAULT = CompileOptions()
