"""What a row covers: the features that a minimised data set must keep.

The key insight: features are read from what a row holds, its Python and the compiler's texts, and not from the tree it
was grown from. So they say what the compiler was really given and really did, for rows of any version of the grammar.
How Python and C++ are read is said in `validate.features`; LLVM and PTX are lines by nature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from validate.features import bigrams, native_functions, nestings


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of features and where they are read: `of` is given a row's values of `columns`."""

    name: str
    columns: tuple[str, ...]
    of: Callable[..., Iterable[str]]


def features_of(row: Mapping[str, Any]) -> set[tuple[str, str]]:
    """All features of a row, as pairs of a kind's name and a text. The row needs the columns of `COLUMNS`."""
    return {(kind.name, text) for kind in KINDS for text in kind.of(*(row[column] for column in kind.columns))}


# -- types ------------------------------------------------------------------------------------------------------------


def parameter_types(parameters: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """`array(float32) out`, …: types with what the parameter is for."""
    return (f"{parameter['type']} {parameter['role']}" for parameter in parameters)


# -- the compiler's texts ---------------------------------------------------------------------------------------------


def llvm_opcodes(text: str | None) -> Iterator[str]:
    """`fmul`, `call llvm.fabs.f32`, …; what the kernel calls of its own has its own name, which is left out."""
    for line in (text or "").splitlines():
        if line.startswith("  ") and line[2:3].strip():  # deeper lines go on with the one before
            words = (line.partition(" = ")[2] if line[2] == "%" else line).split()
            opcode = next((word for word in words if word not in ("tail", "musttail", "notail")), "")
            callee = line.partition("@")[2].partition("(")[0] if opcode == "call" else ""
            if opcode[:1].isalpha():
                yield opcode if "wp_args_" in callee else f"{opcode} {callee}".rstrip()


def ptx_opcodes(text: str | None) -> Iterator[str]:
    """`fma.rn.f32`, `ld.global.f32`, …"""
    for line in (text or "").splitlines():
        if line.startswith("\t"):
            words = [word for word in line.split() if not word.startswith("@")]  # predicates
            opcode = words[0].rstrip(";") if words else ""
            if opcode[:1].isalpha() and ("." in opcode or words[-1].endswith(";")):
                yield opcode


KINDS = (
    Kind("operation bigrams", ("python",), bigrams),
    Kind("statement nestings", ("python",), nestings),
    Kind("parameter types", ("parameters",), parameter_types),
    Kind("native functions", ("cpp_forward", "cpp_adjoint", "cuda_forward", "cuda_adjoint"), native_functions),
    Kind("LLVM opcodes", ("llvm",), llvm_opcodes),
    Kind("PTX opcodes", ("ptx",), ptx_opcodes),
)

COLUMNS = tuple(dict.fromkeys(column for kind in KINDS for column in kind.columns))
"""The columns that features are read from."""
