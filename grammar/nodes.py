"""Nodes of libcst that kernels are made of, made once where that does.

The key insight: a node that is never changed may stand in many places, and what it prints may be remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import libcst as cst
from libcst._nodes.internal import CodegenState

from grammar.op import Known


class _Remembered(cst.CSTNode):
    """Prints what it printed before: libcst goes from node to node, and some expressions stand in nearly every line."""

    def _codegen_impl(self, state: CodegenState) -> None:
        state.add_token(_text(self))


class RememberedAttribute(_Remembered, cst.Attribute):
    pass


class RememberedSubscript(_Remembered, cst.Subscript):
    pass


@lru_cache(maxsize=4096)
def _text(node: _Remembered) -> str:
    state = CodegenState(default_indent="", default_newline="")
    super(_Remembered, node)._codegen_impl(state)  # type: ignore[safe-super]  # next in line is the class that prints
    return "".join(state.tokens)


@cache
def identifier(text: str) -> cst.Name:
    """Nodes without children of their own may stand in many places."""
    return cst.Name(text)


@cache
def operator(kind: str) -> Any:
    """An operator of libcst, by the name of its class."""
    return getattr(cst, kind)()


@lru_cache(maxsize=4096)
def dotted(name: str) -> cst.Name | cst.Attribute:
    first, *rest = name.split(".")
    node: cst.Name | cst.Attribute = identifier(first)
    for part in rest:
        node = RememberedAttribute(node, identifier(part))
    return node


NOTHING = cst.SimpleWhitespace("")
SPACE = cst.SimpleWhitespace(" ")
OPEN, CLOSE = cst.LeftSquareBracket(), cst.RightSquareBracket()
END = cst.TrailingWhitespace()
EMPTY = cst.EmptyLine(indent=False)
"""Nodes without children of their own may stand in many places, too; libcst would make new ones at each."""


def call(function: str, args: Sequence[cst.BaseExpression], keywords: Sequence[tuple[str, Known]] = ()) -> cst.Call:
    return called_with(function, args, [(name, known_node(value)) for name, value in keywords])


def called_with(
    function: str, args: Sequence[cst.BaseExpression], keywords: Sequence[tuple[str, cst.BaseExpression]]
) -> cst.Call:
    nodes = [cst.Arg(arg, whitespace_after_star=NOTHING, whitespace_after_arg=NOTHING) for arg in args]
    nodes += [cst.Arg(node, identifier(name), equal=cst.AssignEqual(NOTHING, NOTHING)) for name, node in keywords]
    return cst.Call(dotted(function), nodes, whitespace_after_func=NOTHING, whitespace_before_args=NOTHING)


def known_node(value: Known) -> cst.BaseExpression:
    match value:
        case int():
            return cst.Integer(str(value))
        case str():
            return dotted(value)
        case _:
            return in_parentheses([cst.Integer(str(part)) for part in value])


def in_parentheses(parts: Sequence[cst.BaseExpression]) -> cst.Tuple:
    """In parentheses; of one part, with its comma."""
    elements = [cst.Element(part) for part in parts]
    return cst.Tuple(elements if len(elements) > 1 else [cst.Element(parts[0], cst.Comma())])


def subscript(
    value: cst.BaseExpression, *indices: cst.BaseExpression, kind: type[cst.Subscript] = cst.Subscript
) -> cst.Subscript:
    parts = [cst.SubscriptElement(cst.Index(index)) for index in indices]
    return kind(value, parts, lbracket=OPEN, rbracket=CLOSE, whitespace_after_value=NOTHING)
