"""Nodes of libcst that kernels are made of, made once where that does.

The key insight: a node that is never changed may stand in many places, and what it prints may be remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache, lru_cache
from typing import Any, TypeVar

import libcst as cst
from libcst._nodes.internal import CodegenState

from grammar.op import Known

Node = TypeVar("Node", bound=cst.CSTNode)
NOWHERE = nullcontext()


class _Printing(CodegenState):
    """Libcst notes where each node begins and ends, for which nobody asks here."""

    def record_syntactic_position(self, *_: object, **__: object) -> Any:
        return NOWHERE


def printed(node: cst.CSTNode) -> str:
    state = _Printing(default_indent="    ", default_newline="\n")
    node._codegen(state)
    return "".join(state.tokens)


class _Remembered(cst.CSTNode):
    """Prints what it printed before: libcst goes from node to node, and some expressions stand in nearly every line."""

    def _codegen(self, state: CodegenState, **asked: Any) -> None:
        state.add_token(_text(self, **asked))


@lru_cache(maxsize=8192)
def _text(node: _Remembered, **asked: Any) -> str:
    state = _Printing(default_indent="    ", default_newline="\n")
    node._codegen_impl(state, **asked)
    return "".join(state.tokens)


def remembered(kind: type[Node]) -> type[Node]:
    """Nodes of this kind that print what they printed before: for those that stand in many places, within one line."""
    made: type[Node] = _remembered(kind)
    return made


@cache
def _remembered(kind: type[cst.CSTNode]) -> Any:
    return type(f"Remembered{kind.__name__}", (_Remembered, kind), {})


@cache
def identifier(text: str) -> cst.Name:
    """Nodes without children of their own may stand in many places."""
    return remembered(cst.Name)(text)


@lru_cache(maxsize=4096)
def literal(kind: type[cst.Integer | cst.Float], text: str) -> cst.Integer | cst.Float:
    return remembered(kind)(text)


@cache
def operator(kind: str) -> Any:
    """An operator of libcst, by the name of its class."""
    return remembered(getattr(cst, kind))()


@lru_cache(maxsize=4096)
def dotted(name: str) -> cst.Name | cst.Attribute:
    first, *rest = name.split(".")
    node: cst.Name | cst.Attribute = identifier(first)
    for part in rest:
        node = remembered(cst.Attribute)(node, identifier(part))
    return node


NOTHING = remembered(cst.SimpleWhitespace)("")
SPACE = remembered(cst.SimpleWhitespace)(" ")
OPEN, CLOSE = remembered(cst.LeftSquareBracket)(), remembered(cst.RightSquareBracket)()
LEFT, RIGHT = remembered(cst.LeftParen)(), remembered(cst.RightParen)()
END = remembered(cst.TrailingWhitespace)()
EMPTY = remembered(cst.EmptyLine)(indent=False)
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
        case float():
            size = literal(cst.Float, repr(abs(value)))
            return cst.UnaryOperation(operator("Minus"), size) if value < 0 else size
        case str():
            return dotted(value)
        case _:
            return in_parentheses([cst.Integer(str(part)) for part in value])


def in_parentheses(parts: Sequence[cst.BaseExpression]) -> cst.Tuple:
    """In parentheses; of one part, with its comma."""
    elements = [cst.Element(part) for part in parts]
    return cst.Tuple(elements if len(elements) > 1 else [cst.Element(parts[0], cst.Comma())])


def subscript(
    value: cst.BaseExpression, *indices: cst.BaseExpression | cst.Slice, kind: type[cst.Subscript] = cst.Subscript
) -> cst.Subscript:
    slices = [index if isinstance(index, cst.Slice) else cst.Index(index) for index in indices]
    parts = [cst.SubscriptElement(index) for index in slices]
    return kind(value, parts, lbracket=OPEN, rbracket=CLOSE, whitespace_after_value=NOTHING)
