"""Grown kernels are alive and free of noise, seen by runs of their own.

The key insight: whether something in a kernel matters is answered by taking it away, or by watching it, and running
again. None of that needs to know how the kernel was grown, nor what the grower itself looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, permutations

import numpy as np
import pytest

from grammar.alive import is_alive
from grammar.atomics import BITWISE, MARKING, AtomicKind
from grammar.check import problems
from grammar.choose import Seed, seeded
from grammar.evaluate import EndlessLoopError, Interpreter
from grammar.families import family_named
from grammar.floats import FLOATING
from grammar.grow import grow
from grammar.inputs import column
from grammar.layout import Inputs, Mask
from grammar.op import Lanes, Op
from grammar.params import Role
from grammar.plain import Plain, run_plain
from grammar.profiles import profile
from grammar.tree import (
    Apply,
    Assign,
    At,
    Atomic,
    AugStore,
    Const,
    For,
    If,
    Kernel,
    Read,
    Size,
    Stmt,
    Store,
    Term,
    Thread,
    Var,
    While,
    Whole,
    all_terms,
    blocks,
    statements,
    subterms,
)
from grammar.types import BOOL, F32, F64, FLOATS, I32, WARPS, Composite, Scalar
from grammar.views import without_views
from tests.builders import (
    LANES,
    OUT,
    I,
    Sample,
    X,
    Y,
    accumulator,
    array,
    at,
    atomic,
    do,
    edits,
    kernel,
    number,
    outputs,
    put,
    samples,
    when,
)

# -- alive: parameters, outputs, branches -----------------------------------------------------------------------------


OTHERS = range(10**9, 10**9 + 20)
"""Seeds of the values that take the place of a parameter's own; what only decides a sign may need several."""


def moved(sample: Sample, name: str) -> Iterator[Inputs]:
    """The inputs, with other values of the same range for one parameter.

    With those closer to its low end, too: what an extreme hangs on over many lanes is there whatever they are.
    """
    inputs, param = sample.inputs, sample.kernel.param(name)
    own = inputs.arrays[name] if name in inputs.arrays else inputs.scalars[name]
    closer = param.low + (own - param.low) * 0.4 if param.element.scalar in FLOATS else own
    for new in (closer.astype(own.dtype), *(column(param, seed, inputs.lanes) for seed in OTHERS)):
        if name in inputs.arrays:
            yield replace(inputs, arrays={**inputs.arrays, name: new})
        else:
            yield replace(inputs, scalars={**inputs.scalars, name: new})


@pytest.mark.no_cover
def test_every_parameter_changes_some_output() -> None:
    for sample in samples():
        before = outputs(sample.kernel, sample.inputs)
        for param in sample.kernel.params:
            if not param.is_output and param.role is not Role.COUNT:
                others = (outputs(sample.kernel, inputs) for inputs in moved(sample, param.name))
                assert any(after != before for after in others), f"{sample}: {param.name}"


def marked(kernel: Kernel) -> set[str]:
    """Arrays of which all that is known is whether a thread has come there."""
    return {stmt.array for stmt in statements(kernel.body) if isinstance(stmt, Atomic) and stmt.kind in MARKING}


def test_every_output_is_written_and_varies_over_lanes() -> None:
    for sample in samples():
        plain = run_plain(sample.kernel, sample.inputs)
        for param in sample.kernel.params:
            if param.is_output:
                shape = sample.inputs.arrays[param.name].shape
                values, written = (a[param.name].reshape(shape) for a in (plain.arrays, plain.written))
                assert written.any(), f"{sample}: {param.name}"
                if param.size is None:
                    distinct = [len(set(row[on].tolist())) for row, on in zip(values, written, strict=True)]
                    here_and_there = written.any() and not written.all() and param.name in marked(sample.kernel)
                    assert min(distinct) > 1 or here_and_there, f"{sample}: {param.name}"


def test_results_are_sane_numbers() -> None:
    """On the inputs that kernels are grown on nothing overflows, nor leaves the domain of an operation."""
    for sample in samples():
        plain = run_plain(sample.kernel, sample.inputs)
        assert not plain.undefined.any(), sample
        assert not plain.outside.any(), sample
        for param in sample.kernel.params:
            if param.is_output and param.element in FLOATS:
                values = plain.arrays[param.name][plain.written[param.name]]
                assert np.isfinite(values).all(), sample
                assert np.abs(values.astype(np.float64)).max() <= 1e6, sample


@pytest.mark.parametrize("type", [F32, F64, I32], ids=repr)
@pytest.mark.parametrize("kind", [kind for kind in AtomicKind if kind not in (*BITWISE, *MARKING)])
def test_plain_reductions_are_alive(kind: AtomicKind, type: Scalar) -> None:
    """What doesn't depend on the order of the elements still depends on the elements."""
    reduction = kernel((array("x", type, -500, 500), accumulator(type=type)), atomic(kind, "total", at("x", I, type)))
    assert sum(is_alive(reduction, seed, LANES) for seed in range(8)) >= 6


LADDER = when(do("less", at("x"), 0.0), put("out", at("x")), orelse=(put("out", do("neg", at("x"))),))
"""As the rest of a chain whose first arm stores the same, its first condition parts nothing."""


@pytest.mark.parametrize(
    "body",
    [
        (put("out", number(1.0)),),
        (put("out", do("mul", at("x"), 0.0)),),
        (put("out", do("max", at("x"), 9.0)),),
        (when(do("less", at("x"), 9.0), put("out", at("x"))),),
        (when(do("less", at("x"), 0.0), put("out", at("x")), orelse=(put("out", at("x")),)),),
        (when(do("less", at("x"), -1.0), put("out", at("x")), orelse=(LADDER,)),),
        (put("out", do("sqrt", at("x"))),),
        (put("out", do("mul", at("x"), 1e30)),),
        (put("out", at("x", do("add", I, 1))),),
    ],
)
def test_dull_kernels_are_not_alive(body: tuple[Stmt, ...]) -> None:
    assert not is_alive(kernel((X, OUT), *body), 5, LANES)


class Watching(Interpreter[Lanes]):
    """Runs a kernel, and remembers which way conditions went and which terms were no different from a part of them."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(Plain.on(inputs), inputs)
        self.ways: dict[int, set[bool]] = {}
        self.latest: dict[int, Lanes] = {}
        self.pairs: dict[tuple[int, int], Pair] = {}
        self.parts: dict[int, set[tuple[bool, ...]]] = {}

    def branch(self, condition: Term, body: object, orelse: object, active: Mask) -> Mask:
        value = self.term(condition, active)
        self.ways.setdefault(id(condition), set()).update(value[active].tolist())
        return super().branch(condition, body, orelse, active)  # type: ignore[arg-type] # passed on as they came

    def term(self, term: Term, active: Mask) -> Lanes:
        value = super().term(term, active)
        self.latest[id(term)] = value
        if isinstance(term, Apply) and {p.type for p in term.args} == {BOOL} and active.any():
            columns = [self.latest[id(arg)][active].tolist() for arg in term.args]
            self.parts.setdefault(id(term), set()).update(zip(*columns, strict=True))
        if isinstance(term, Apply) and active.any():
            for part in islice(subterms(term), 1, None):
                if part.type is term.type and not isinstance(part, Const | At | Whole):
                    one, other = value[..., active], self.latest[id(part)][..., active]
                    pair = self.pairs.setdefault((id(term), id(part)), Pair(term, part))
                    pair.same = pair.same and bool((one == other).all())
                    pair.near = pair.near and is_near(one, other)
        return value


def is_near(one: Lanes, other: Lanes) -> bool:
    """Whether they are the same but for signs and rounding."""
    if one.dtype == np.bool_:
        return bool((one == other).all())
    if one.dtype.kind not in FLOATING:
        return bool(((one == other) | (one == 0 - other)).all())
    return bool((np.abs(np.abs(one) - np.abs(other)) <= 1e-4 * np.abs(other)).all())


@dataclass(slots=True)
class Pair:
    """An operation and a term within it."""

    whole: Apply
    part: Term
    same: bool = True
    """Both had one value on all active lanes so far."""
    near: bool = True
    """That, but for signs and rounding."""


@cache
def watched(sample: Sample) -> Watching:
    watching = Watching(sample.inputs)
    with np.errstate(all="ignore"):
        watching.run(sample.kernel)
    return watching


def test_every_branch_is_taken_and_passed() -> None:
    for sample in samples():
        watching = watched(sample)
        for stmt in statements(sample.kernel.body):
            if isinstance(stmt, If):
                assert watching.ways[id(stmt.condition)] == {True, False}, f"{sample}: {stmt.condition}"


SPARSE = ("sparse_product", "graph_relaxation", "prefix_scan", "pair_force")


def test_every_loop_goes_round_more_than_once() -> None:
    """A loop of constant bounds by its bounds, another by its parameter's least value."""
    for sample in samples():
        for stmt in statements(sample.kernel.body):
            if isinstance(stmt, For):
                numbers = [k for bound in stmt.bounds if (k := lowest(bound, sample.kernel)) is not None]
                match stmt.stop:
                    case _ if len(numbers) == len(stmt.bounds):
                        assert len(range(*numbers)) >= 2, sample
                    case Var() | Read():  # how many entries a row of a sparse matrix has differs
                        assert sample.kernel.family in SPARSE
                    case Apply() if sample.kernel.family == "prefix_scan":
                        pass  # as many as there are elements before the thread's own
                    case _:
                        raise AssertionError(stmt.stop)


def lowest(bound: Term, kernel: Kernel) -> int | None:
    """The number, with the least value of a parameter; None where that doesn't say it."""
    match bound:
        case Const(_, value):
            return int(value)
        case Var(name, _) if name in {param.name for param in kernel.params}:
            return int(kernel.param(name).low)
        case Apply(Op(name="len"), (Var(_, Composite() as type),)):
            return type.shape[0]
        case Apply(op, args):
            parts = [np.array(part) for arg in args if (part := lowest(arg, kernel)) is not None]
            return int(op(*parts)) if len(parts) == len(args) else None
        case _:
            return None


def ways_of_parts(sample: Sample) -> Iterator[tuple[While, set[tuple[bool, ...]]]]:
    """Each `while` of two conditions, with the values that the two have had together."""
    seen = watched(sample).parts
    for stmt in statements(sample.kernel.body):
        if isinstance(stmt, While) and isinstance(stmt.condition, Apply) and len(stmt.condition.args) == 2:
            yield stmt, seen[id(stmt.condition)]


def test_limit_and_bound_of_a_while_both_stop_lanes() -> None:
    whiles = [(s, stmt, ways) for s in loops_of_conditions() for stmt, ways in ways_of_parts(s)]
    assert len(whiles) >= 5
    for sample, stmt, ways in whiles:
        assert {(True, True), (True, False), (False, True)} <= ways, f"{sample}: {stmt.condition}"


@cache
def loops_of_conditions() -> list[Sample]:
    grown = (
        Sample(kernel, Seed(seed), 5, "natural")
        for seed in range(400)
        if (kernel := grow(seeded(Seed(seed)), family_named("loop"), profile("natural"), 5, seed, LANES)) is not None
    )
    return [s for s in grown if any(isinstance(stmt, While) for stmt in statements(s.kernel.body))]


# -- alive: statements ------------------------------------------------------------------------------------------------


def dead_statements(sample: Sample) -> Iterator[Stmt]:
    """The statements without which the kernel is still one, and gives the same outputs; names for arrays aside."""
    before = outputs(sample.kernel, sample.inputs)
    for stmt, rest in edits(without_views(sample.kernel).body):
        dropped = replace(sample.kernel, body=rest)
        if not any("unassigned" in problem for problem in problems(dropped)):
            try:
                if outputs(dropped, sample.inputs) == before:
                    yield stmt
            except (KeyError, EndlessLoopError):
                pass


@pytest.mark.no_cover
def test_statements_matter() -> None:
    """Hardly a kernel has a statement that could be dropped on the inputs at hand."""
    dead = [(sample, stmt) for sample in samples() for stmt in dead_statements(sample)]
    assert len({sample.seed for sample, _ in dead}) <= 0.03 * len(samples()), [str(stmt) for _, stmt in dead]


def test_a_dead_statement_is_seen() -> None:
    idle = put("out", at("x"))
    by_hand = kernel((X, OUT), when(do("less", at("x"), -9.0), idle), put("out", at("x")))
    assert idle in list(dead_statements(Sample(by_hand, Seed(1), 3, "")))


# -- no noise ---------------------------------------------------------------------------------------------------------


def idle_operations(sample: Sample) -> list[Pair]:
    """Operations that have the value of one of their arguments throughout."""
    return [p for p in watched(sample).pairs.values() if p.same and any(p.part is arg for arg in p.whole.args)]


def undoing_operations(sample: Sample) -> list[Pair]:
    """Operations that have the value of a term within one of their arguments, but for signs and rounding."""
    return [p for p in watched(sample).pairs.values() if p.near and not any(p.part is arg for arg in p.whole.args)]


def test_operations_do_something() -> None:
    """Hardly a kernel has an operation that gives back its argument, as a guard that never bites does."""
    idle = [(s, pair) for s in samples() for pair in idle_operations(s)]
    assert len({s.seed for s, _ in idle}) <= 0.05 * len(samples()), [(p.whole, p.part) for _, p in idle]


def test_operations_don_t_undo_each_other() -> None:
    """Such as exp(log(x)); x + y - x; abs(-x)."""
    undoing = [(s, pair) for s in samples() for pair in undoing_operations(s)]
    assert len({s.seed for s, _ in undoing}) <= 0.01 * len(samples()), [(p.whole, p.part) for _, p in undoing]


@pytest.mark.parametrize("term", [do("max", at("x"), -5.0), do("abs", do("mul", at("x"), at("x")))])
def test_noise_is_seen(term: Apply) -> None:
    assert idle_operations(Sample(kernel((X, OUT), put("out", term)), Seed(1), 3, ""))


@pytest.mark.parametrize(
    "term",
    [
        do("sqrt", do("mul", at("x"), at("x"))),
        do("abs", do("neg", at("x"))),
        do("log", do("exp", at("x"))),
        do("sub", do("add", at("x"), at("y")), at("x")),
    ],
)
def test_undoing_is_seen(term: Apply) -> None:
    assert undoing_operations(Sample(kernel((X, Y, OUT), put("out", term)), Seed(1), 3, ""))


def test_what_is_compared_is_said_plainly() -> None:
    """No `not x < y`, no `x + y > x`."""
    for sample in samples():
        for term in all_terms(sample.kernel):
            if isinstance(term, Apply) and term.op.group == "comparison" and len(term.args) == 2:
                for one, other in permutations(term.args):
                    assert not (isinstance(one, Apply) and one.op.name in ("add", "sub") and other in one.args), sample
            if isinstance(term, Apply) and term.op.name == "logical_not":
                inner = term.args[0]
                is_plain = isinstance(inner, Apply) and inner.op.group == "comparison" and len(inner.args) == 2
                assert not is_plain, sample  # but `not 0.0 < x < 1.0`


def test_no_literal_is_an_operand_that_does_nothing() -> None:
    """No x + 0, x * 1, x / 1, x - 0; no operation on literals only."""
    neutral = {"add": 0, "sub": 0, "mul": 1, "div": 1}
    for sample in samples():
        for term in all_terms(sample.kernel):
            if isinstance(term, Apply):
                assert is_literal(term) or not term.args or not all(map(is_literal, term.args)), f"{sample}: {term}"
                match term.args:
                    case (_, Const(_, value)) if term.op.name in neutral:
                        assert value != neutral[term.op.name], f"{sample}: {term}"


def is_literal(term: Term) -> bool:
    """A number, or a composite of numbers; of Warp's constants people write multiples."""
    if isinstance(term, Apply):
        return term.op.name == term.type.name and term.op.is_composite and all(map(is_literal, term.args))
    return isinstance(term, Const) and term.name not in WARPS


def test_names_of_a_kernel_are_told_apart() -> None:
    for sample in samples():
        bound = [p.name for p in sample.kernel.params] + [sample.kernel.name]
        for stmt in statements(sample.kernel.body):
            match stmt:
                case For(name, _, _, _) | Thread(name):
                    bound.append(name)
                case _:
                    pass
        assert len(set(bound)) == len(bound), sample
        locals_ = {stmt.name for stmt in statements(sample.kernel.body) if isinstance(stmt, Assign)}
        assert locals_.isdisjoint(bound), sample


def test_nothing_is_stored_twice() -> None:
    """Each output has its one place, or one in each branch, but for what is then scaled in place."""
    for sample in samples():
        assert not _stored_twice(sample.kernel.body), sample


def _stored_twice(body: tuple[Stmt, ...]) -> bool:
    written: Counter[str] = Counter()
    for stmt in body:
        if isinstance(stmt, Store | Atomic) or (isinstance(stmt, AugStore) and stmt.kind is not None):
            written[stmt.array] += 1
        inner = [{s.array for s in statements(b) if isinstance(s, Store | Atomic)} for b in blocks(stmt)]
        written.update(set().union(*inner))
    return any(count > 1 for count in written.values()) or any(_stored_twice(b) for stmt in body for b in blocks(stmt))


def test_sizes_are_of_arrays_that_are_read() -> None:
    for sample in samples():
        read = {term.array for term in all_terms(sample.kernel) if isinstance(term, Read)}
        assert {term.array for term in all_terms(sample.kernel) if isinstance(term, Size)} <= read, sample
