"""What a kernel exercises, read from its Python and from the C++ that Warp made of it.

The key insight: features are read from texts and not from the tree a kernel was grown from. So they say what the
compiler was really given and what it really did. Python is read with `ast`; Warp prints C++ one short statement to a
line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

WINDOW = 3
"""A nesting is a statement with up to this many, less one, of those around it: whole paths would be as many as rows."""


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


# -- C++ ---------------------------------------------------------------------------------------------------------------


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
    """A call, or its address, or an operation, with types in the place of names; nothing for what is neither."""
    function, _, inside = expression.removeprefix("&").removeprefix("(").partition("(")
    arguments = (inside.partition if expression.startswith("&") else inside.rpartition)(")")[0]
    if function.startswith(("wp::", "builtin_")):
        yield f"{function}({', '.join(types.get(argument, '') for argument in arguments.split(', '))})"
    elif len(words := expression.strip("()").split(" ")) == 3:
        yield " ".join(types.get(word, word) for word in words)
