"""The versions of everything that the text of a kernel depends on.

The key insight: a data set is only reproducible with the compilers it was made with, so they are part of every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

from extract import warp_private


@cache
def versions() -> Mapping[str, str]:
    """Of `warp`, `llvm`, `nvrtc`, `numpy` and `ml_dtypes`. Warp must have been initialised."""
    llvm, nvrtc = warp_private.compiler_versions()
    arithmetic = {"numpy": version("numpy"), "ml_dtypes": version("ml-dtypes")}
    return {"warp": version("warp-lang"), "llvm": llvm, "nvrtc": nvrtc, **arithmetic}
