"""The real pipeline with planted kernels: one that segfaults, one that never ends, one that Warp refuses.

The key insight: a worker process starts by calling `start_worker`, so a fault is planted there, in that process only,
and everything else is as in a real run.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import corpus.candidate
import synth.block
from grammar.emit import emit
from grammar.tree import Kernel
from synth.block import PIPELINE
from validate.oracle import check
from validate.verdict import Verdict

SEGFAULT, ENDLESS, REFUSED = 3, 7, 11
"""The indices of the planted kernels."""


def start_worker() -> None:
    synth.block.start_worker()
    candidate = synth.block.candidate

    def noting(settings: Any, index: int) -> Kernel | None:
        kernel = candidate(settings, index)
        return None if kernel is None else replace(kernel, name=f"kernel_{index}")

    for module, name, planted in (
        (corpus.candidate, "emit", _emit),
        (corpus.candidate, "check", _check),
        (synth.block, "candidate", noting),
    ):
        setattr(module, name, planted)


def _emit(kernel: Kernel) -> str:
    source = emit(kernel)
    return source.replace("wp.tid()", "wp.tidy()") if kernel.name == f"kernel_{REFUSED}" else source


def _check(kernel: Kernel, handle: Any, seed: int, lanes: int) -> Verdict:
    if kernel.name == f"kernel_{SEGFAULT}":
        ctypes.string_at(0)
    if kernel.name == f"kernel_{ENDLESS}":
        ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock, as a native loop does
    return check(kernel, handle, seed, lanes)


PLANTED = replace(PIPELINE, start_worker=start_worker, seconds_to_start=6.0, seconds_per_kernel=0.3)
