"""What a row covers: the features that a minimised data set must keep.

The key insight: features are read from what a row holds, its Python and the compiler's texts, and not from the tree it
was grown from. So they say what the compiler was really given and really did, for rows of any version of the grammar.
Python is read with `ast`; Warp prints C++ one short statement to a line, and LLVM and PTX are lines by nature.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

WINDOW = 3
"""A nesting is a statement with up to this many, less one, of those around it: whole paths would be as many as rows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of features and where they are read: `of` is given a row's values of `columns`."""

    name: str
    columns: tuple[str, ...]
    of: Callable[..., Iterable[str]]


def features_of(row: Mapping[str, Any]) -> set[tuple[str, str]]:
    """All features of a row, as pairs of a kind's name and a text. The row needs the columns of `COLUMNS`."""
    return {(kind.name, text) for kind in KINDS for text in kind.of(*(row[column] for column in kind.columns))}


# -- Python -----------------------------------------------------------------------------------------------------------


def bigrams(source: str) -> Iterator[str]:
    """`store > add`, `add > sin`, …: what each operation and each statement is applied to."""
    for stmt in (node for function in _functions(source) for top in function.body for node in ast.walk(top)):
        if isinstance(stmt, ast.stmt):
            for term in _terms(stmt):
                yield from _bigrams(statement_kind(stmt), term)


def nestings(source: str) -> Iterator[str]:
    """`for > if > store`, …: which statements stand in which."""
    for function in _functions(source):
        yield from _nestings(function.body, ())


@lru_cache(maxsize=1)
def _functions(source: str) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]


def _nestings(body: Sequence[ast.stmt], around: tuple[str, ...]) -> Iterator[str]:
    for stmt in body:
        path = (*around, statement_kind(stmt))
        yield " > ".join(path[-WINDOW:])
        yield from _nestings(getattr(stmt, "body", ()), path)
        yield from _nestings(getattr(stmt, "orelse", ()), (*path, "else"))


def statement_kind(stmt: ast.stmt) -> str:
    """What a statement of Python is called here."""
    match stmt:
        case ast.Assign([ast.Subscript()]):
            return "store"
        case ast.AugAssign(ast.Subscript(), sign):
            return f"store {_word(sign)}="
        case ast.AugAssign(_, sign):
            return f"{_word(sign)}="
        case ast.Expr(ast.Call() as call):
            return _called(call)
        case _:
            return _word(stmt)


def _terms(stmt: ast.stmt) -> Iterator[ast.expr]:
    """The expressions that a statement itself holds, the element it writes aside but for its index."""
    for child in ast.iter_child_nodes(stmt):
        match child:
            case ast.Name(ctx=ast.Store()):
                pass
            case ast.Subscript(_, index, ast.Store()):
                yield index
            case ast.expr():
                yield from child.args if isinstance(stmt, ast.Expr) and isinstance(child, ast.Call) else (child,)
            case _:
                pass


def _bigrams(parent: str, term: ast.expr) -> Iterator[str]:
    name, parts = _operation(term)
    yield f"{parent} > {name}"
    for part in parts:
        yield from _bigrams(name, part)


def _operation(term: ast.expr) -> tuple[str, Sequence[ast.expr]]:
    """What a term is called, and what it is applied to."""
    match term:
        case ast.BinOp(left, sign, right):
            return _word(sign), (left, right)
        case ast.UnaryOp(sign, operand):
            return _word(sign), (operand,)
        case ast.Compare(left, [sign, *_], others):
            return _word(sign), (left, *others)
        case ast.BoolOp(sign, parts):
            return _word(sign), parts
        case ast.IfExp(test, body, orelse):
            return "ternary", (test, body, orelse)
        case ast.Call(_, arguments):
            return _called(term), arguments
        case ast.Subscript(ast.Attribute(_, name)):  # x.shape[0]
            return name, ()
        case ast.Subscript(_, index):
            return "read", (index,)
        case _:
            return _word(term), ()


def _word(node: ast.AST) -> str:
    return type(node).__name__.lower()


def _called(call: ast.Call) -> str:
    """`wp.sin(x)` is called `sin`."""
    return ast.unparse(call.func).removeprefix("wp.")


# -- types ------------------------------------------------------------------------------------------------------------


def parameter_types(parameters: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """`array(float32) out`, …: types with what the parameter is for."""
    return (f"{parameter['type']} {parameter['role']}" for parameter in parameters)


# -- the compiler's texts ---------------------------------------------------------------------------------------------


def native_functions(
    cpp_forward: str | None, cpp_adjoint: str | None, cuda_forward: str | None, cuda_adjoint: str | None
) -> Iterator[str]:
    """`wp::adj_mul(wp::float32, …)`, `wp::int32 < wp::int32`, …: what Warp makes forward and adjoint do.

    C++ and CUDA do the same, so CUDA is read only where there is no C++.
    """
    for text in (cpp_forward or cuda_forward, cpp_adjoint or cuda_adjoint):
        yield from _calls(text or "")


def _calls(text: str) -> Iterator[str]:
    """Warp's statements are `TYPE NAME;`, `NAME = FUNCTION(NAMES);`, `FUNCTION(NAMES);` and `NAME = (NAME < NAME);`."""
    types: dict[str, str] = {}
    for line in text.splitlines():
        statement = line.strip()
        if statement.startswith(("//", "goto ", "return")) or not statement.endswith((";", ",", ")")):
            continue
        target, assigned, value = statement[:-1].partition(" = ")
        *type_, name = target.split(" ")
        if type_ and "(" not in target:
            types[name] = " ".join(type_).removeprefix("const ")
        elif statement.endswith(";"):
            yield from _typed(value if assigned else target, types)


def _typed(expression: str, types: Mapping[str, str]) -> Iterator[str]:
    """A call or an operation, with types in the place of names; nothing for what is neither."""
    function, _, inside = expression.removeprefix("(").partition("(")
    arguments = inside.rpartition(")")[0]
    if function.startswith(("wp::", "builtin_")):
        yield f"{function}({', '.join(types.get(argument, '') for argument in arguments.split(', '))})"
    elif len(words := expression.strip("()").split(" ")) == 3:
        yield " ".join(types.get(word, word) for word in words)


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
