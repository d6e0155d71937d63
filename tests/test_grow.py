"""Growing: heights, families, repeatability; and that kernels are alive, seen by runs of their own.

The key insight: whether something in a kernel matters is answered by taking it away and running again. None of that
needs to know how the kernel was grown, nor what the grower itself looked at.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, permutations
from statistics import median

import numpy as np
import pytest

from grammar.alive import is_alive
from grammar.canon import canonical_hash
from grammar.check import problems
from grammar.choose import Seed, recording, replaying, seeded
from grammar.evaluate import EndlessLoopError, Inputs, Interpreter, Mask, Plain, run_plain
from grammar.families import FAMILIES, Family, families_at, family_named
from grammar.grow import grow
from grammar.inputs import column
from grammar.op import Lanes, Op
from grammar.ops import ROWS, TABLE
from grammar.profiles import PROFILES, profile, swarm
from grammar.tree import (
    Apply,
    Assign,
    Atomic,
    AtomicKind,
    AugAssign,
    AugStore,
    Const,
    For,
    If,
    Kernel,
    Read,
    Role,
    Size,
    Stmt,
    Store,
    Term,
    Thread,
    Var,
    While,
    all_terms,
    blocks,
    height,
    size,
    statements,
    subterms,
)
from grammar.types import BOOL, F32, F64, FLOATS, I32, Array, Scalar
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

ALL_DEPTHS = tuple(range(1, 13))

# -- heights and sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ALL_DEPTHS)
def test_every_family_grows_within_every_depth_it_has(depth: int) -> None:
    for family in families_at(depth):
        for name in PROFILES:
            tries = [
                grow(seeded(Seed(seed)), family, profile(name), depth, seed, LANES)
                for seed in range(1000 * depth, 1000 * depth + 3)
            ]
            kernels = [grown for grown in tries if grown is not None]
            assert kernels, f"{family.name} at depth {depth}, {name}"
            assert max(map(height, kernels)) <= depth
            assert {grown.family for grown in kernels} == {family.name}


def test_growing_seldom_comes_to_nothing() -> None:
    asked = sum(len(families_at(depth)) for depth in range(1, 10)) * 3 * len(PROFILES)
    assert len(samples()) >= 0.99 * asked


def test_heights_are_reached() -> None:
    """Depth is not only a bound: kernels get as high, up to the height of what people write."""
    for depth in range(1, 7):
        assert max(height(s.kernel) for s in samples() if s.depth == depth) == depth


@pytest.mark.parametrize("depth", [8, 12])
def test_much_room_is_used_by_some(depth: int) -> None:
    """The top quarter of the heights is reached by a good part of the kernels, and by far not by all."""
    high = sum(height(kernel) > 0.75 * depth for kernel in mixed(depth, 100))
    assert 10 <= high <= 50


def mixed(depth: int, count: int) -> list[Kernel]:
    """Kernels of all families in turn."""
    turns = ((seed, FAMILIES[seed % len(FAMILIES)]) for seed in range(count))
    grown = (grow(seeded(Seed(seed)), family, profile("natural"), depth, seed, LANES) for seed, family in turns)
    return [kernel for kernel in grown if kernel is not None]


def test_size_grows_gracefully() -> None:
    sizes = {depth: median(size(s.kernel) for s in samples(2, ALL_DEPTHS) if s.depth == depth) for depth in ALL_DEPTHS}
    assert sizes[1] < sizes[3] < sizes[6]
    assert sizes[12] < 4 * sizes[3]
    assert max(size(s.kernel) for s in samples(2, ALL_DEPTHS)) < 400


# -- the same choices, the same kernel --------------------------------------------------------------------------------


def regrown(sample: Sample, choose: Callable[[int], int]) -> Kernel | None:
    family = family_named(sample.kernel.family)
    return grow(choose, family, profile(sample.profile), sample.depth, sample.seed, LANES)


def test_growing_is_a_function_of_its_choices() -> None:
    for sample in samples(1):
        record: list[int] = []
        assert regrown(sample, recording(seeded(sample.seed), record)) == sample.kernel
        assert regrown(sample, replaying(record)) == sample.kernel


def test_growing_does_not_depend_on_what_was_grown_before() -> None:
    """Nor on what is cached by then."""
    column.cache_clear()
    for sample in reversed(samples(1)):
        assert regrown(sample, seeded(sample.seed)) == sample.kernel


def test_other_choices_give_other_kernels() -> None:
    kernels = [sample.kernel for sample in samples() if sample.depth >= 3]
    assert len(set(kernels)) > 0.98 * len(kernels)


def test_hardly_a_kernel_comes_twice() -> None:
    """So that what is dropped as a duplicate leaves the shares of the families as they are."""
    flat = [family for family in FAMILIES if not family.features]
    for family in flat:
        grown = (grow(seeded(Seed(s)), family, profile("natural"), 5, s, LANES) for s in range(200))
        hashes = Counter(canonical_hash(kernel) for kernel in grown if kernel is not None)
        assert hashes.total() - len(hashes) <= 4, family.name


def test_any_choices_at_all_give_a_kernel_or_none() -> None:
    """What a reducer proposes need not come from anywhere; all zeros are the simplest kernel of a family."""
    for family in FAMILIES:
        depth = max(3, family.least_depth)
        for record in ([], [0, 1] * 50, [5] * 40, [10**9] * 200, list(range(300))):
            grown = grow(replaying(record), family, profile("natural"), depth, 1, LANES)
            assert grown is None or (problems(grown) == () and height(grown) <= depth)


def test_kernels_pickle_and_compare() -> None:
    for sample in samples(1):
        copy = pickle.loads(pickle.dumps(sample.kernel))
        assert copy == sample.kernel
        assert hash(copy) == hash(sample.kernel)
        assert outputs(copy, sample.inputs) == outputs(sample.kernel, sample.inputs)


# -- families are what they say ---------------------------------------------------------------------------------------


def nested_loops(grown: Kernel) -> bool:
    loops = [stmt for stmt in statements(grown.body) if isinstance(stmt, For | While)]
    return any(isinstance(inner, For | While) for outer in loops for inner in statements(outer.body))


def arms(stmt: Stmt) -> int:
    """Of an `if … elif … else`; 0 for another statement."""
    if not isinstance(stmt, If):
        return 0
    rest = arms(stmt.orelse[0]) if len(stmt.orelse) == 1 else 0
    return 1 + (rest or bool(stmt.orelse))


def neighbours(grown: Kernel) -> bool:
    """Some array is read at three places or two, depending on the thread index."""
    places: dict[str, set[Term]] = {}
    for term in all_terms(grown):
        if isinstance(term, Read):
            places.setdefault(term.array, set()).add(term.index)
    return any(len(indices) >= 2 for indices in places.values())


def scalars_used(grown: Kernel) -> bool:
    scalars = {p.name for p in grown.params if not isinstance(p.type, Array) and p.role is Role.VALUE}
    return any(isinstance(term, Var) and term.name in scalars for term in all_terms(grown))


def of_group(group: str) -> Callable[[Kernel], bool]:
    return lambda grown: any(op.group == group for op in operations(grown))


def operations(grown: Kernel) -> set[Op]:
    terms = {term.op for term in all_terms(grown) if isinstance(term, Apply)}
    return terms | {stmt.op for stmt in statements(grown.body) if isinstance(stmt, AugAssign | AugStore)}


def has(*kinds: type[Stmt]) -> Callable[[Kernel], bool]:
    return lambda grown: any(isinstance(stmt, kinds) for stmt in statements(grown.body))


PROPERTIES: Mapping[str, tuple[Callable[[Kernel], bool], float]] = {
    "arithmetic": (of_group("arithmetic"), 0.75),
    "math": (of_group("math"), 0.75),
    "conditional": (has(If), 1.0),
    "multi_branch": (lambda grown: max(map(arms, statements(grown.body))) >= 3, 0.9),
    "loop": (has(For, While), 1.0),
    "nested_loop": (nested_loops, 1.0),
    "scalar_parameter": (scalars_used, 1.0),
    "atomic_reduction": (has(Atomic), 1.0),
    "stencil": (neighbours, 0.9),
    "combined": (has(If, For, While), 0.75),
}
"""What kernels of a family have, and what share of them must have it."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_families_are_what_they_say(family: Family) -> None:
    holds, share = PROPERTIES[family.name]
    kernels = [s.kernel for s in samples() if s.kernel.family == family.name and s.depth >= 2]
    assert sum(map(holds, kernels)) >= share * len(kernels)


def test_families_differ() -> None:
    """The property of a family is no matter of course."""
    for name, (holds, _) in PROPERTIES.items():
        others = [s.kernel for s in samples() if s.kernel.family != name]
        if name not in ("arithmetic", "combined"):
            assert sum(map(holds, others)) < 0.7 * len(others), name


def test_families_are_named_once_and_found_by_name() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) >= 10
    assert all(family_named(family.name) is family for family in FAMILIES)


# -- alive: parameters, outputs, branches -----------------------------------------------------------------------------


OTHERS = range(10**9, 10**9 + 20)
"""Seeds of the values that take the place of a parameter's own; what only decides a sign may need several."""


def moved(sample: Sample, name: str, seed: int) -> Inputs:
    """The inputs, with other values of the same range for one parameter."""
    inputs, param = sample.inputs, sample.kernel.param(name)
    new = {name: column(param, seed, inputs.lanes)}
    if name in inputs.arrays:
        return replace(inputs, arrays={**inputs.arrays, **new})
    return replace(inputs, scalars={**inputs.scalars, **new})


def test_every_parameter_changes_some_output() -> None:
    for sample in samples():
        before = outputs(sample.kernel, sample.inputs)
        for param in sample.kernel.params:
            if not param.is_output and param.role is not Role.COUNT:
                others = (outputs(sample.kernel, moved(sample, param.name, seed)) for seed in OTHERS)
                assert any(after != before for after in others), f"{sample}: {param.name}"


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
                    assert min(distinct) > 1, f"{sample}: {param.name}"


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
                assert np.abs(values).max() <= 1e6, sample


@pytest.mark.parametrize("type", [F32, F64, I32], ids=repr)
@pytest.mark.parametrize("kind", AtomicKind)
def test_plain_reductions_are_alive(kind: AtomicKind, type: Scalar) -> None:
    """What doesn't depend on the order of the elements still depends on the elements."""
    reduction = kernel((array("x", type, -500, 500), accumulator(type=type)), atomic(kind, "total", at("x", I, type)))
    assert sum(is_alive(reduction, seed, LANES) for seed in range(8)) >= 6


@pytest.mark.parametrize(
    "body",
    [
        (put("out", number(1.0)),),
        (put("out", do("mul", at("x"), 0.0)),),
        (put("out", do("max", at("x"), 9.0)),),
        (when(do("less", at("x"), 9.0), put("out", at("x"))),),
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
                if part.type is term.type and not isinstance(part, Const):
                    one, other = value[active], self.latest[id(part)][active]
                    pair = self.pairs.setdefault((id(term), id(part)), Pair(term, part))
                    pair.same = pair.same and bool((one == other).all())
                    pair.near = pair.near and is_near(one, other)
        return value


def is_near(one: Lanes, other: Lanes) -> bool:
    """Whether they are the same but for signs and rounding."""
    if one.dtype == np.bool_:
        return bool((one == other).all())
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


def test_every_loop_goes_round_more_than_once() -> None:
    """A loop of constant bounds by its bounds, another by its parameter's least value."""
    for sample in samples():
        for stmt in statements(sample.kernel.body):
            if isinstance(stmt, For):
                first = stmt.start.value if isinstance(stmt.start, Const) else 0
                match stmt.stop:
                    case Const(_, value):
                        assert value - first >= 2, sample
                    case Var(name, _):
                        assert sample.kernel.param(name).low - first >= 2, sample
                    case _:
                        raise AssertionError(stmt.stop)


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
        for seed in range(150)
        if (kernel := grow(seeded(Seed(seed)), family_named("loop"), profile("natural"), 5, seed, LANES)) is not None
    )
    return [s for s in grown if any(isinstance(stmt, While) for stmt in statements(s.kernel.body))]


# -- alive: statements ------------------------------------------------------------------------------------------------


def dead_statements(sample: Sample) -> Iterator[Stmt]:
    """The statements without which the kernel is still one, and gives the same outputs."""
    before = outputs(sample.kernel, sample.inputs)
    for stmt, rest in edits(sample.kernel.body):
        dropped = replace(sample.kernel, body=rest)
        if not any("unassigned" in problem for problem in problems(dropped)):
            try:
                if outputs(dropped, sample.inputs) == before:
                    yield stmt
            except (KeyError, EndlessLoopError):
                pass


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
                assert not (isinstance(inner, Apply) and inner.op.group == "comparison"), sample


def test_no_literal_is_an_operand_that_does_nothing() -> None:
    """No x + 0, x * 1, x / 1, x - 0; no operation on literals only."""
    neutral = {"add": 0, "sub": 0, "mul": 1, "div": 1}
    for sample in samples():
        for term in all_terms(sample.kernel):
            if isinstance(term, Apply):
                assert not all(isinstance(arg, Const) for arg in term.args), f"{sample}: {term}"
                last = term.args[-1]
                if term.op.name in neutral and isinstance(last, Const):
                    assert last.value != neutral[term.op.name], f"{sample}: {term}"


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
    """Each output has its one place, or one in each branch."""
    for sample in samples():
        assert not _stored_twice(sample.kernel.body), sample


def _stored_twice(body: tuple[Stmt, ...]) -> bool:
    written: Counter[str] = Counter()
    for stmt in body:
        if isinstance(stmt, Store | AugStore | Atomic):
            written[stmt.array] += 1
        inner = [{s.array for s in statements(b) if isinstance(s, Store | AugStore | Atomic)} for b in blocks(stmt)]
        written.update(set().union(*inner))
    return any(count > 1 for count in written.values()) or any(_stored_twice(b) for stmt in body for b in blocks(stmt))


def test_sizes_are_of_arrays_that_are_read() -> None:
    for sample in samples():
        read = {term.array for term in all_terms(sample.kernel) if isinstance(term, Read)}
        assert {term.array for term in all_terms(sample.kernel) if isinstance(term, Size)} <= read, sample


# -- reach ------------------------------------------------------------------------------------------------------------

SELDOM = {"pos", "isnan", "isfinite", "isinf", "bool"}
"""Operations that hardly have a use where all values are finite, or that a person seldom spells."""


def test_the_table_is_reached() -> None:
    """By name, in some hundreds of kernels; and most of the overloads."""
    reached = {op for sample in samples(4) for op in operations(sample.kernel)}
    names = {op.name for op in TABLE if op in reached}
    assert len(names) >= len({op.name for op in TABLE} - SELDOM) - 6, {op.name for op in TABLE} - SELDOM - names
    assert len(reached) >= 0.75 * len(TABLE)


def test_every_group_of_operations_is_reached_under_each_profile() -> None:
    for name in PROFILES:
        groups = {op.group for s in samples() if s.profile == name for op in operations(s.kernel)}
        assert groups == {op.group for op in TABLE}


def test_operations_switched_off_are_not_grown() -> None:
    """Swarms switch off about half; the arithmetic that holds kernels together is grown all the same."""
    for nth in range(100):
        choose = seeded(Seed(nth))
        swarming = swarm(profile("uniform"), choose)
        family = families_at(5)[nth % len(families_at(5))]
        grown = grow(choose, family, swarming, 5, nth, LANES)
        if grown is not None:
            off = {op.name for op in operations(grown) if op.group == "math"} & swarming.off
            assert not off, f"{family.name}, {nth}"


def test_all_types_are_grown() -> None:
    written = Counter(p.element for s in samples() for p in s.kernel.params if p.is_output)
    assert set(written) == {ROWS["add(float32,float32)"].result, ROWS["add(float64,float64)"].result, I32, BOOL}
