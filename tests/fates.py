"""Kernels whose names say what becomes of the process that observes them.

The key insight: a process that takes its place has to import what it starts with, so this imports next to nothing.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

import validate.observe
from grammar.tree import Kernel
from validate.verdict import Outcome


def prepare(*_: object) -> None:
    """In the process that may die: there is no compiler to start."""
    setattr(validate.observe, "observe", fateful)  # noqa: B010 # mypy allows no other way to replace a function


def fateful(kernels: Sequence[Kernel], *_: object) -> list[tuple[Outcome, str]]:
    return [_fate(kernel) for kernel in kernels]


def _fate(kernel: Kernel) -> tuple[Outcome, str]:
    match kernel.name:
        case "crashes":
            ctypes.string_at(0)
        case "sleeps":
            ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock, as a native loop does
        case "spins":
            while True:
                pass
        case "exits":
            os._exit(3)
    return Outcome.VERIFIED, kernel.name
