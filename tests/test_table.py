"""The table by itself: types, shapes, weights, pieces between jumps and kinks, and the digest.

The key insight: what a row says about itself can be checked against its meaning: a value that changes much between
two points close together must cross from one numbered piece to another, or leave the domain.
"""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grammar.floats import FLOATING
from grammar.op import Chain, Infix, Lanes, Op, Prefix, Ternary
from grammar.ops import CHANGERS, OUT_OF_SCOPE, ROWS, SAMPLERS, SCALAR_ROWS, SEVERAL, TABLE, row, table_digest
from grammar.types import BOOL, F32, FLOATS
from tests.each import each
from tests.special_values import combinations, regular_arguments, special_arguments

FLOAT_ROWS = [op for op in SCALAR_ROWS if op.result in FLOATS and any(T in FLOATS for T in op.params)]
CONTINUED = [op for op in SCALAR_ROWS if any(T in FLOATS for T in op.params)]


def generator(op: Op) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(len(op.key)))


def widened(args: tuple[Lanes, ...]) -> tuple[Lanes, ...]:
    """The arguments as variants of themselves at float64: floats in one more axis."""
    return tuple(arg.astype(np.float64)[np.newaxis] if arg.dtype.kind in FLOATING else arg for arg in args)


def quietly(pieces: Callable[..., Lanes] | None, *args: Lanes) -> Lanes:
    """The numbers of the pieces; 0 where there is but one."""
    with np.errstate(all="ignore"):
        return np.zeros(np.shape(args[0]), np.int8) if pieces is None else pieces(*args)


# -- what a row is ----------------------------------------------------------------------------------------------------


def test_rows_are_found_by_their_keys() -> None:
    beside = (*SAMPLERS, *CHANGERS, *SEVERAL)
    assert len(ROWS) == len(TABLE) + len(beside)
    assert all(row(op.key) is op for op in (*TABLE, *beside))
    with pytest.raises(KeyError):
        row("add(float32,int32)")


@each(SCALAR_ROWS)
def test_a_row_pickles_to_itself(op: Op) -> None:
    assert pickle.loads(pickle.dumps(op)) is op


@each(SCALAR_ROWS)
def test_number_of_arguments_fits_the_spelling(op: Op) -> None:
    match op.spelling:
        case Infix():
            assert len(op.params) == 2
        case Prefix():
            assert len(op.params) == 1
        case Chain():
            assert len(op.params) == 3
        case Ternary():
            assert op.params[0] is BOOL
            assert op.params[1] is op.params[2] is op.result
        case _:
            assert 1 <= len(op.params) <= 3


@each(SCALAR_ROWS)
def test_result_has_its_type(op: Op) -> None:
    result = op(*special_arguments(op))
    assert result.dtype == op.result.dtype


@each(FLOAT_ROWS)
def test_variants_keep_their_precision(op: Op) -> None:
    args = regular_arguments(op, generator(op), 50)
    assert op(*widened(args)).dtype == np.float64


@each(SCALAR_ROWS)
def test_broadcasts(op: Op) -> None:
    """As in arguments with and without variants: (2, 1, lanes) with (lanes,)."""
    args = regular_arguments(op, generator(op), 40)
    flat = op(*args)
    for position, arg in enumerate(args):
        stacked = [*args[:position], np.stack([arg, arg])[:, np.newaxis], *args[position + 1 :]]
        assert op(*stacked).shape == (2, 1, *flat.shape)
        for pieces in (op.domain, op.jump, op.kink):
            assert pieces is None or quietly(pieces, *stacked).shape == (2, 1, *flat.shape)


@each(SCALAR_ROWS)
def test_domain_is_boolean_and_holds_regular_values(op: Op) -> None:
    if op.domain is not None:
        args = special_arguments(op)
        assert quietly(op.domain, *args).dtype == np.bool_
    assert len(regular_arguments(op, generator(op), 200)[0]) > 40


@each(SCALAR_ROWS)
def test_only_floats_have_jumps_and_kinks(op: Op) -> None:
    floats = any(T in FLOATS for T in op.params)
    assert floats or (op.jump is None and op.kink is None)
    assert op.kink is None or op.differentiable
    assert op.jump is not None or op.result in FLOATS or not floats or op.name in ("where", "ternary")


def test_integers_that_overflow_are_outside_the_domain() -> None:
    most, least, one = np.array([2**31 - 1], np.int32), np.array([-(2**31)], np.int32), np.array([1], np.int32)
    for key, args in {
        "add(int32,int32)": (most, one),
        "sub(int32,int32)": (least, one),
        "mul(int32,int32)": (most, most),
        "neg(int32)": (least,),
        "abs(int32)": (least,),
        "div(int32,int32)": (least, -one),
        "mod(int32,int32)": (least, -one),
        "floordiv(int32,int32)": (one, one - 1),
        "lshift(int32,int32)": (one, 32 * one),
        "rshift(int32,int32)": (one, -one),
    }.items():
        domain = row(key).domain
        assert domain is not None
        assert not domain(*args).any(), key


# -- precision --------------------------------------------------------------------------------------------------------


def slopes(op: Op, args: tuple[Lanes, ...]) -> list[Lanes]:
    """∂f/∂x for each float argument x, by central differences in float64."""
    found = []
    for position, arg in enumerate(args):
        if arg.dtype.kind in FLOATING:
            step = 1e-6 * np.maximum(1.0, np.abs(arg))
            up, down = list(args), list(args)
            up[position], down[position] = arg + step, arg - step
            with np.errstate(invalid="ignore"):
                found.append((op(*up) - op(*down)) / (2 * step))
    return found


@each([op for op in FLOAT_ROWS if op.params[-1] is op.result is F32])
def test_float32_and_float64_are_the_same_function(op: Op) -> None:
    """They differ by a few units in the last place of the arguments or the result."""
    args = regular_arguments(op, generator(op), 2000)
    wide = widened(args)
    smooth = np.isfinite(op(*args))
    for pieces in (op.jump, op.kink):
        smooth &= (quietly(pieces, *wide) == quietly(pieces, *(w * (1 + 1e-5) for w in wide)))[0] | (op.jump is None)
    exact = op(*wide)[0]
    floats = [w for w in wide if w.dtype.kind in FLOATING]
    reach = np.abs(exact) + sum(np.abs(w * s)[0] for w, s in zip(floats, slopes(op, wide), strict=True))
    error = np.abs(op(*args) - exact)[smooth]
    assert smooth.sum() > 100
    assert np.all(error <= 4 * float(np.finfo(np.float32).eps) * reach[smooth])


@pytest.mark.parametrize("name", ["erf", "erfc"])
def test_error_function_agrees_with_the_c_library(name: str) -> None:
    x = np.linspace(-6.0, 27.0, 20_001)
    expected = np.array([getattr(math, name)(value) for value in x.tolist()])
    off = np.abs(row(f"{name}(float64)")(x) - expected)
    assert np.all(off <= np.maximum(6 * np.spacing(np.abs(expected)), 1e-320))


def test_inverse_error_functions_invert() -> None:
    x = np.linspace(-0.999, 0.999, 2001)
    erf, erfc, erfinv, erfcinv = (row(f"{name}(float64)") for name in ("erf", "erfc", "erfinv", "erfcinv"))
    assert np.allclose(erf(erfinv(x)), x, rtol=0, atol=1e-15)
    assert np.allclose(erfc(erfcinv(1 - x)), 1 - x, rtol=0, atol=1e-15)


# -- pieces -----------------------------------------------------------------------------------------------------------

SEAMS = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, np.pi / 2, -0.5, -1.0, -1.5, -2.0, -2.5, -3.0, -np.pi / 2])

Points = tuple[Lanes, ...]


def across_seams(op: Op, distance: float, places: Sequence[float]) -> Iterator[Points]:
    """Points in a row, at `places` times the distance from interesting ones, along each float parameter in turn.

    Each argument has shape (places, lanes) or (lanes,); floats are float64.
    """
    columns = [SEAMS if scalar in FLOATS else np.arange(2, dtype=scalar.dtype) for scalar in op.params]
    still = combinations(columns)
    along = distance * np.array(places)[:, np.newaxis]
    for moved, scalar in enumerate(op.params):
        if scalar in FLOATS:
            yield tuple(column + along if k == moved else column for k, column in enumerate(still))


def largest_cliff(op: Op, points: Points, values: Lanes, numberings: Sequence[Callable[..., Lanes] | None]) -> float:
    """The largest change of a value between neighbours that have the same numbers, where it is not mere steepness.

    Steepness is where the next changes on both sides are comparable. `values` has shape (places, lanes).
    """
    usable = np.abs(values) < 1e8
    if op.domain is not None:
        usable &= op.domain(*points)
    together = usable[1:] & usable[:-1]
    for numbering in numberings:
        numbers = np.broadcast_to(quietly(numbering, *points), values.shape)
        together &= np.equal(numbers[1:], numbers[:-1])
    with np.errstate(invalid="ignore"):
        change = np.abs(np.diff(values, axis=0))
    before, here, after = change[:-2], change[1:-1], change[2:]
    cliffs = together[1:-1] & (here > 1000 * np.fmin(before, after))
    return float(np.max(here, where=cliffs, initial=0))


def largest_jump(op: Op) -> float:
    """By how much the value jumps within a piece."""
    rows = across_seams(op, 1e-7, (-2, -1, 0, 1, 2))
    return max(largest_cliff(op, points, op(*points).astype(np.float64), [op.jump]) for points in rows)


def largest_bend(op: Op) -> float:
    """By how much the slope jumps within a piece."""
    rows = across_seams(op, 1e-4, (-1.5, -0.5, 0.5, 1.5))
    found = [
        largest_cliff(
            op, points, np.broadcast_to(slope, np.broadcast_shapes(*map(np.shape, points))), [op.jump, op.kink]
        )
        for points in rows
        for slope in slopes(op, points)
    ]
    return max(found)


@each(CONTINUED)
def test_every_jump_is_numbered(op: Op) -> None:
    assert largest_jump(op) < 0.1


STEEP = ("div", "tan")
"""Near a pole the changes on both sides are as large as the jump across it."""


@each([op for op in CONTINUED if op.jump is not None and op.name not in (*STEEP, "isfinite", "isinf", "isnan")])
def test_a_jump_left_out_would_be_noticed(op: Op) -> None:
    assert largest_jump(replace(op, domain=None, jump=None)) > 0.1


@each([op for op in CONTINUED if op.name in STEEP])
def test_pieces_part_at_poles(op: Op) -> None:
    poles = [0.0] if op.name == "div" else [-np.pi / 2, np.pi / 2, 3 * np.pi / 2]
    for pole in poles:
        beside = np.array([-1e-2, -1e-4, 1e-4, 1e-2]) + pole
        below, low, high, above = quietly(op.jump, *[np.ones(4)] * (len(op.params) - 1), beside).tolist()
        assert below == low != high == above


@each([op for op in FLOAT_ROWS if op.differentiable])
def test_every_kink_is_numbered(op: Op) -> None:
    assert largest_bend(op) < 0.1


@each([op for op in FLOAT_ROWS if op.kink is not None and op.name not in ("cbrt", "smoothstep")])
def test_a_kink_left_out_would_be_noticed(op: Op) -> None:
    """The slopes of `cbrt` and `smoothstep` are the same on both sides of what they number."""
    assert largest_bend(replace(op, domain=None, kink=None)) > 0.1


# -- facts that the obvious function gets wrong -----------------------------------------------------------------------

FACTS = [
    ("sign(float32)", (0.0,), 1.0),
    ("sign(int32)", (0,), 1),
    ("step(float32)", (-2.0,), 1.0),
    ("nonzero(float64)", (np.nan,), 1.0),
    ("round(float32)", (2.5,), 3.0),
    ("round(float64)", (0.49999999999999994,), 0.0),
    ("rint(float32)", (2.5,), 2.0),
    ("frac(float32)", (-1.25,), -0.25),
    ("min(float32,float32)", (np.nan, 1.0), 1.0),
    ("max(float64,float64)", (1.0, np.nan), 1.0),
    ("clamp(float32,float32,float32)", (5.0, 3.0, 1.0), 1.0),
    ("mod(float32,float32)", (-5.5, 2.0), -1.5),
    ("mod(int32,int32)", (-7, 3), -1),
    ("div(int32,int32)", (-7, 2), -3),
    ("floordiv(int32,int32)", (-7, 2), -4),
    ("floordiv(float32,float32)", (-7.0, 2.0), -4.0),
    ("bit_count(int32)", (-1,), 32),
    ("rshift(int32,int32)", (-8, 1), -4),
    ("lshift(int32,int32)", (2**30, 1), -(2**31)),
    ("asin(float64)", (2.0,), math.pi / 2),
    ("int32(float64)", (-2.75,), -2),
    ("bool(float32)", (np.nan,), True),
]


@pytest.mark.parametrize(("key", "args", "expected"), FACTS, ids=lambda value: value if isinstance(value, str) else "")
def test_fact(key: str, args: tuple[float, ...], expected: float) -> None:
    op = row(key)
    lanes = [np.array([arg], T.dtype) for arg, T in zip(args, op.params, strict=True)]
    assert op(*lanes).tolist() == [expected]


def test_negation_of_zero_is_positive_zero() -> None:
    assert not np.signbit(row("neg(float32)")(np.array([0.0], np.float32))).any()


# -- the table as a whole ---------------------------------------------------------------------------------------------


def test_overloads_share_the_weight_of_their_name() -> None:
    total: Counter[tuple[str, str]] = Counter()
    for op in SCALAR_ROWS:
        total[op.name, op.result.name] += op.weight  # type: ignore[assignment] # a Counter adds floats as well
    assert {round(weight, 9) for weight in total.values()} == {0.0, 0.5, 1.0}


def test_what_is_out_of_scope_is_not_in_the_table() -> None:
    assert not OUT_OF_SCOPE.keys() & (ROWS.keys() | {op.name for op in SCALAR_ROWS})


def test_digest_changes_with_any_file_of_the_grammar(tmp_path: Path) -> None:
    package = tmp_path / "grammar"
    (package / "data").mkdir(parents=True)
    sources = {package / "op.py": "a = 1\n", package / "tree.py": "b = 2\n", package / "data" / "fit.json": "{}"}
    for path, text in sources.items():
        path.write_text(text)
    digest = table_digest.__wrapped__
    before = digest(package)
    for path, text in sources.items():
        path.write_text(text + " ")
        assert digest(package) != before
        path.write_text(text)
    (package / "notes.txt").write_text("not part of the grammar")
    assert digest(package) == before
    (package / "op.py").rename(package / "pp.py")
    assert digest(package) != before


def test_digest_is_of_sixteen_bytes() -> None:
    assert len(bytes.fromhex(table_digest())) == 16
    assert table_digest() == table_digest()
