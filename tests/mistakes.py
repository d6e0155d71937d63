"""Wrong meanings that somebody might well have written, for every row of the table.

The key insight: a test of the table is worth what it rejects. So each row gets mistakes that any row can have (off by
the least there is, negated, operands swapped) and the function that first comes to mind where that is the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from grammar.floats import precision
from grammar.op import Lanes, Op
from grammar.ops import numerics
from grammar.types import BOOL, F16, FLOATS, INTEGERS, SIGNED, UNSIGNED, Element

Meaning = Callable[..., Lanes]

COMMUTATIVE = ("add", "mul", "bit_and", "bit_or", "bit_xor", "equal", "not_equal", "logical_and", "logical_or")
RIGHT_IN_HALF = (np.fmin, np.fmax, np.isclose)
"""NumPy's own halves are compared one by one, and nothing is closer to a half than the next one."""
COMMUTATIVE_ON_INTEGERS = ("min", "max")
"""Floats have signed zeros, of which the first one comes out."""


def mistakes(op: Op, ulps: float) -> Iterator[tuple[str, Meaning]]:
    """Named wrong meanings; results that may be off by some `ulps` are off by four times as many."""
    yield "slightly-off", _slightly_off(op, ulps)
    if op.result is not BOOL and not (op.name == "step" and op.result in UNSIGNED):  # which is always 0
        yield "negated", lambda *args: np.negative(op(*args))
    symmetric = COMMUTATIVE if op.result in FLOATS else (*COMMUTATIVE, *COMMUTATIVE_ON_INTEGERS)
    if len(op.params) > 1 and op.params[-1] is op.params[-2] and op.name not in symmetric:
        yield "swapped", lambda *args: op(*args[:-2], args[-1], args[-2])
    kind = kind_of(op.params[-1])
    for number, wrong in enumerate((*OBVIOUS.get(op.name, ()), *OBVIOUS.get(f"{op.name} {kind}", ()))):
        if wrong not in RIGHT_IN_HALF or F16 not in op.params:
            yield f"obvious-{number}", wrong
    if op.result in INTEGERS and all(param in INTEGERS for param in op.params):
        yield from _integer_mistakes(op)


def _integer_mistakes(op: Op) -> Iterator[tuple[str, Meaning]]:
    """What one would think of who takes integers for numbers, or mixes up which have a sign."""
    ends = np.iinfo(op.result.name)
    source = np.iinfo(op.params[0].name)
    if op.name in ("add", "sub", "mul") and op.domain is None:
        yield "saturated", lambda a, b: np.clip(op(a.astype(object), b.astype(object)), int(ends.min), int(ends.max))
    if op.group == "cast" and not (ends.min <= source.min and source.max <= ends.max):
        yield "saturated", lambda x: np.clip(x.astype(object), int(ends.min), int(ends.max))
    if (op.group == "cast" and op.result.scalar.bits > op.params[0].scalar.bits) or op.name == "rshift":
        yield "other-sign", lambda *args: op(*map(_with_other_sign, args))


def _with_other_sign(x: Lanes) -> Lanes:
    return x.astype(f"{'u' if x.dtype.kind == 'i' else 'i'}{x.dtype.itemsize}")


def kind_of(scalar: Element) -> str:
    return "float" if scalar in FLOATS else "bool" if scalar is BOOL else "signed" if scalar in SIGNED else "unsigned"


def _slightly_off(op: Op, ulps: float) -> Meaning:
    def wrong(*args: Lanes) -> Lanes:
        right = op(*args)
        if op.result not in FLOATS:
            return np.logical_not(right) if op.result is BOOL else np.bitwise_xor(right, 1)
        if op.exact:
            return np.asarray(np.nextafter(right, right.dtype.type(np.inf)))
        return np.asarray(right * (1 + 4 * ulps * precision(op.result.dtype).eps))

    return wrong


def _unclamped_smoothstep(edge0: Lanes, edge1: Lanes, x: Lanes) -> Lanes:
    t = (x - edge0) / (edge1 - edge0)
    return np.asarray(t * t * (3 - 2 * t))


def _linear_step(edge0: Lanes, edge1: Lanes, x: Lanes) -> Lanes:
    return numerics.clamp((x - edge0) / (edge1 - edge0), 0.0, 1.0)


OBVIOUS: Mapping[str, tuple[Meaning, ...]] = {
    "abs float": (np.positive,),
    "abs signed": (np.positive,),
    "acos": (np.arccos, numerics.arc_sine),
    "asin": (np.arcsin, np.arctan),
    "atan": (np.tan,),
    "atan2": (lambda y, x: np.arctan(y / x),),
    "bit_count signed": (np.bitwise_count,),
    "bool float": (lambda x: x > 0, np.isfinite),
    "bool signed": (lambda x: x > 0,),
    "bool unsigned": (lambda x: x & 1,),
    "cbrt": (lambda x: np.power(x, 1 / 3), np.sqrt),
    "ceil": (np.trunc, lambda x: np.floor(x) + 1),
    "clamp float": (np.clip, lambda x, low, high: numerics.fmax(numerics.fmin(x, high), low)),
    **dict.fromkeys(("clamp signed", "clamp unsigned"), (lambda x, low, high: np.maximum(np.minimum(x, high), low),)),
    "copysign": (lambda x, y: x * np.sign(y), lambda x, y: np.abs(x) * numerics.sign(y)),
    "cos": (np.sin,),
    "cosh": (np.exp, np.sinh),
    "degrees": (numerics.radians,),
    "div float": (np.floor_divide,),
    "div signed": (np.floor_divide,),
    "equal float": (lambda a, b: ~((a < b) | (a > b)), np.isclose),
    "erf": (np.tanh,),
    "erfc": (lambda x: 1 - np.tanh(x),),
    "exp": (np.exp2, lambda x: np.expm1(x)),
    **{f"{T} {sign}": (_with_other_sign,) for T in FLOATS for sign in ("signed", "unsigned")},
    "floor": (np.trunc, lambda x: np.ceil(x) - 1),
    "floordiv float": (np.floor_divide, lambda a, b: np.trunc(a / b)),
    "floordiv signed": (numerics.truncated_quotient,),
    "frac": (lambda x: x - np.floor(x),),
    "greater": (np.greater_equal,),
    "greater_equal": (np.greater,),
    "greater_equal float": (lambda a, b: ~(a < b),),
    **{f"{T} float": (np.floor, np.rint) for T in INTEGERS},
    "invert": (np.negative,),
    "isfinite": (lambda x: ~np.isinf(x), lambda x: ~np.isnan(x)),
    "isinf": (lambda x: ~np.isfinite(x), np.isposinf),
    "isnan": (lambda x: ~np.isfinite(x),),
    "lerp": (lambda a, b, t: a + t * (b - a),),
    "less": (np.less_equal,),
    "less_equal": (np.less,),
    "less_equal float": (lambda a, b: ~(a > b),),
    "log": (np.log1p, np.log2),
    "log10": (np.log, lambda x: np.log10(np.abs(x))),
    "log2": (np.log, lambda x: np.log2(np.abs(x))),
    "logical_and": (np.logical_or,),
    "logical_not signed": (np.invert,),
    "logical_not unsigned": (np.invert,),
    "logical_or": (np.logical_xor,),
    "lshift": (lambda a, b: np.left_shift(a, b & 15),),
    "max float": (np.maximum, np.fmax),
    "min float": (np.minimum, np.fmin),
    "mod float": (np.mod, np.remainder),
    "mod signed": (np.mod,),
    "neg float": (np.negative,),
    "nonzero float": (lambda x: x > 0, np.sign),
    "nonzero signed": (lambda x: x > 0, np.sign),
    "not_equal float": (lambda a, b: (a < b) | (a > b),),
    "pow": (lambda a, b: np.power(np.abs(a), b), lambda a, b: np.exp(b * np.log(a))),
    "radians": (numerics.degrees,),
    "rint": (numerics.round_half_away, lambda x: np.floor(x + 0.5)),
    "round": (np.rint, lambda x: np.trunc(x + np.copysign(x.dtype.type(0.5), x))),
    "sign": (np.sign,),
    "sign float": (lambda x: np.copysign(1.0, x),),
    "sin": (np.cos,),
    "sinh": (np.cosh, np.exp),
    "smoothstep": (_unclamped_smoothstep, _linear_step),
    "sqrt": (lambda x: np.sqrt(np.abs(x)), np.cbrt),
    "step": (lambda x: x >= 0, lambda x: x <= 0),
    "tan": (np.arctan,),
    "tanh": (np.arctan, lambda x: np.clip(x, -1, 1)),
    "trunc": (np.floor, np.rint),
}
"""By the row's name, or its name and the kind of its last parameter."""
