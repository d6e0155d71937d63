"""Warp in one process: started quietly, with files in a folder that goes away.

The key insight: what is global is Warp's, and Warp's own settings remember it; nothing is kept here.
"""

from __future__ import annotations

import atexit
import gc
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import warp as wp

from extract import warp_private


def start(cache_dir: Path | None = None) -> None:
    """Make Warp ready in this process, quietly; doing so again changes nothing.

    Files go to a folder of this process inside `cache_dir` (which processes may share, and then share Warp's
    precompiled header too), or to a temporary one. The folder is removed at exit; who gives `cache_dir` removes that.
    """
    warp_private.require_version()
    if folder().name.startswith("warpsmith-"):
        return
    base = Path(tempfile.mkdtemp(prefix="warpsmith-")) if cache_dir is None else cache_dir
    base.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix="warpsmith-", dir=base))
    atexit.register(shutil.rmtree, own if cache_dir is not None else base, ignore_errors=True)
    wp.config.log_level = wp.LOG_ERROR
    wp.config.cache_kernels = False
    wp.config.enable_tiles_in_stack_memory = None  # where static memory serves, launches are less to compile
    warp_private.initialise()
    wp.config.kernel_cache_dir = str(own)
    warp_private.check_layouts()


def folder() -> Path:
    """The folder of this process."""
    return Path(wp.config.kernel_cache_dir or "")


def headers() -> Path:
    """Where precompiled headers are: beside that folder, for all processes that share the cache."""
    return folder().parent / "headers"


@contextmanager
def spent(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the CPU seconds of the body to a phase."""
    begin = time.process_time()
    try:
        yield
    finally:
        seconds[phase] = seconds.get(phase, 0.0) + time.process_time() - begin


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold Python's cycle collector: a block makes many objects, and nearly all of them live until its end."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
