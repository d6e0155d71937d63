"""Wrong meanings that somebody might well have written, for every row of the table.

The key insight: a test of the table is worth what it rejects. So each row gets mistakes that any row can have (off by
the least there is, negated, operands swapped) and the function that first comes to mind where that is the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from grammar.op import Lanes, Op
from grammar.ops import numerics
from grammar.types import BOOL, FLOATS

Meaning = Callable[..., Lanes]

COMMUTATIVE = ("add", "mul", "bit_and", "bit_or", "bit_xor", "equal", "not_equal", "logical_and", "logical_or")
COMMUTATIVE_ON_INTEGERS = ("min", "max")
"""Floats have signed zeros, of which the first one comes out."""


def mistakes(op: Op, ulps: float) -> Iterator[tuple[str, Meaning]]:
    """Named wrong meanings; results that may be off by some `ulps` are off by four times as many."""
    yield "slightly-off", _slightly_off(op, ulps)
    if op.result is not BOOL:
        yield "negated", lambda *args: np.negative(op(*args))
    symmetric = COMMUTATIVE if op.result in FLOATS else (*COMMUTATIVE, *COMMUTATIVE_ON_INTEGERS)
    if len(op.params) > 1 and op.params[-1] is op.params[-2] and op.name not in symmetric:
        yield "swapped", lambda *args: op(*args[:-2], args[-1], args[-2])
    kind = "float" if op.params[-1] in FLOATS else op.params[-1].name
    for number, wrong in enumerate((*OBVIOUS.get(op.name, ()), *OBVIOUS.get(f"{op.name} {kind}", ()))):
        yield f"obvious-{number}", wrong


def _slightly_off(op: Op, ulps: float) -> Meaning:
    def wrong(*args: Lanes) -> Lanes:
        right = op(*args)
        if op.result not in FLOATS:
            return np.logical_not(right) if op.result is BOOL else np.bitwise_xor(right, 1)
        if op.exact:
            return np.asarray(np.nextafter(right, np.inf))
        return np.asarray(right * (1 + 4 * ulps * float(np.finfo(op.result.name).eps)))

    return wrong


def _logical_right_shift(a: Lanes, b: Lanes) -> Lanes:
    return np.right_shift(a.astype(np.uint32), b.astype(np.uint32)).astype(np.int32)


def _unclamped_smoothstep(edge0: Lanes, edge1: Lanes, x: Lanes) -> Lanes:
    t = (x - edge0) / (edge1 - edge0)
    return np.asarray(t * t * (3 - 2 * t))


def _linear_step(edge0: Lanes, edge1: Lanes, x: Lanes) -> Lanes:
    return numerics.clamp((x - edge0) / (edge1 - edge0), 0.0, 1.0)


OBVIOUS: Mapping[str, tuple[Meaning, ...]] = {
    "abs": (np.positive,),
    "acos": (np.arccos, numerics.arc_sine),
    "asin": (np.arcsin, np.arctan),
    "atan": (np.tan,),
    "atan2": (lambda y, x: np.arctan(y / x),),
    "bit_count": (np.bitwise_count,),
    "bool float": (lambda x: x > 0, np.isfinite),
    "bool int32": (lambda x: x > 0,),
    "cbrt": (lambda x: np.power(x, 1 / 3), np.sqrt),
    "ceil": (np.trunc, lambda x: np.floor(x) + 1),
    "clamp float": (np.clip, lambda x, low, high: numerics.fmax(numerics.fmin(x, high), low)),
    "clamp int32": (lambda x, low, high: np.maximum(np.minimum(x, high), low),),
    "copysign": (lambda x, y: x * np.sign(y), lambda x, y: np.abs(x) * numerics.sign(y)),
    "cos": (np.sin,),
    "cosh": (np.exp, np.sinh),
    "degrees": (numerics.radians,),
    "div float": (np.floor_divide,),
    "div int32": (np.floor_divide,),
    "equal float": (lambda a, b: ~((a < b) | (a > b)), np.isclose),
    "erf": (np.tanh,),
    "erfc": (lambda x: 1 - np.tanh(x),),
    "exp": (np.exp2, lambda x: np.expm1(x)),
    "float32 int32": (lambda x: x & 0xFFFFFF,),
    "floor": (np.trunc, lambda x: np.ceil(x) - 1),
    "floordiv float": (np.floor_divide, lambda a, b: np.trunc(a / b)),
    "floordiv int32": (numerics.truncated_quotient,),
    "frac": (lambda x: x - np.floor(x),),
    "greater": (np.greater_equal,),
    "greater_equal": (np.greater,),
    "greater_equal float": (lambda a, b: ~(a < b),),
    "int32 float": (np.floor, np.rint),
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
    "logical_not int32": (np.invert,),
    "logical_or": (np.logical_xor,),
    "lshift": (lambda a, b: np.left_shift(a, b & 15),),
    "max float": (np.maximum, np.fmax),
    "min float": (np.minimum, np.fmin),
    "mod float": (np.mod, np.remainder),
    "mod int32": (np.mod,),
    "neg float": (np.negative,),
    "nonzero": (lambda x: x > 0, np.sign),
    "not_equal float": (lambda a, b: (a < b) | (a > b),),
    "pow": (lambda a, b: np.power(np.abs(a), b), lambda a, b: np.exp(b * np.log(a))),
    "radians": (numerics.degrees,),
    "rint": (numerics.round_half_away, lambda x: np.floor(x + 0.5)),
    "round": (np.rint, lambda x: np.trunc(x + np.copysign(0.5, x))),
    "rshift": (_logical_right_shift,),
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
