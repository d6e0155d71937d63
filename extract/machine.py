"""From C++ to machine code in this process, and whom to blame where there is none.

The key insight: a translation unit fails as a whole, but clang names lines, and each line is one kernel's. Those it
names are tried alone and the rest together; where it names none (the loader failed, say), halves are.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from extract import warp_private
from extract.build import BuildFailure, Fault
from extract.options import CompileOptions
from extract.process import folder, headers
from extract.unit import Unit
from extract.warp_private import ClangError

FILE = "kernels.cpp"
"""What clang calls a translation unit in its messages."""


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


@dataclass(frozen=True, slots=True)
class Clang:
    """Where and how a block's machine code is made."""

    head: str
    """What stands before the kernels of a translation unit."""
    options: CompileOptions
    resolved: Mapping[str, Any]
    """Warp's module options."""
    code: list[Loaded] = field(default_factory=list)


def machine_code(units: Sequence[Unit], clang: Clang) -> dict[Unit, Handle | BuildFailure]:
    """Compile units together; if that fails, apart, until each that is to blame stands alone."""
    if not units:
        return {}
    texts = [unit.text(clang.options) for unit in units]
    try:
        return _compile_and_load(units, clang.head + "".join(texts), clang)
    except ClangError as error:
        complaint = str(error)
    if len(units) == 1:
        return {units[0]: BuildFailure(units[0].source, Fault.COMPILE, readable(complaint))}
    results: dict[Unit, Handle | BuildFailure] = {}
    for group in _apart(units, texts, clang.head, complaint):
        results |= machine_code(group, clang)
    return results


def _compile_and_load(units: Sequence[Unit], text: str, clang: Clang) -> dict[Unit, Handle | BuildFailure]:
    code = Loaded(f"warpsmith_{uuid.uuid4().hex}")
    target = folder() / f"{code.name}.o"
    try:
        warp_private.compile_cpp(FILE, text, target, clang.resolved, headers())
        warp_private.load_object(target, code.name)
        handles = _handles(units, code, clang.options)
    except ClangError:
        warp_private.unload_object(code.name)
        raise
    finally:
        target.unlink(missing_ok=True)
    clang.code.append(code)
    return handles


def _handles(units: Sequence[Unit], code: Loaded, options: CompileOptions) -> dict[Unit, Handle | BuildFailure]:
    forward = warp_private.lookup(code.name, [f"{unit.mangled}_cpu_forward" for unit in units])
    adjoint = [0] * len(units)
    if options.enable_backward:
        adjoint = warp_private.lookup(code.name, [f"{unit.mangled}_cpu_backward" for unit in units])
    return {u: Handle(u.name, u.kernel, f, a, code) for u, f, a in zip(units, forward, adjoint, strict=True)}


def _apart(units: Sequence[Unit], texts: Sequence[str], head: str, complaint: str) -> list[list[Unit]]:
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


def readable(complaint: str) -> str:
    """Clang's first error and what follows it, in a few lines."""
    lines = complaint.splitlines()
    first = next((k for k, line in enumerate(lines) if "error:" in line), 0)
    return "\n".join(lines[first : first + 12])
