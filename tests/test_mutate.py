"""Planted faults: each kind is made where it can be, is caught, and is told from what changes nothing.

The key insight: what proves the oracle must be proved too, so a line put in place of itself has to survive, and what a
worker dies of has to be blamed on the fault it was at.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from extract.compile import BlockBuild, Compiled, compile_block, compile_instead, release, start
from grammar.emit import emit
from grammar.errors import UserError
from grammar.ops import ROWS
from grammar.tree import Apply, AugAssign, AugStore, Kernel, all_statements, all_terms
from grammar.types import type_named
from tests.builders import LANES, OUT, I, X, Y, accumulator, array, at, bump, do, kernel, let, out, part, put, var
from tests.test_rebuild import EVERYTHING
from validate.mutate import RATE, command, exit_code, rate, show
from validate.mutation import work as working
from validate.mutation.cells import with_row, wrong_cells
from validate.mutation.code import ADJOINT, FORWARD, Fault, Kind, faults, planted
from validate.mutation.judge import Fate, judged, judged_cell
from validate.mutation.work import Plan, Result, results

PIECES: Mapping[str, str] = {
    FORWARD: """\
    wp::array_t<wp::float32> var_x = _wp_args->x;
    wp::array_t<wp::float32> var_y = _wp_args->y;
    wp::float32 var_a = _wp_args->a;
    wp::int32 var_0;
    const wp::int32 var_1 = 1;
    wp::int32 var_2;
    wp::float32* var_3;
    wp::float32 var_4;
    const wp::float32 var_5 = 2.0;
    bool var_6;
    wp::float32 var_7;
    var_0 = builtin_tid1d();
    var_2 = wp::add(var_0, var_1);
    var_3 = wp::address(var_x, var_2);
    var_4 = wp::load(var_3);
    var_6 = (var_4 < var_5);
    var_7 = wp::mul(var_4, var_a);
    wp::array_store(var_y, var_0, var_7);
""",
    ADJOINT: """\
    wp::array_t<wp::float32> var_x = _wp_args->x;
    wp::array_t<wp::float32> adj_x = _wp_adj_args->x;
    wp::array_t<wp::float32> adj_y = _wp_adj_args->y;
    wp::float32 var_a = _wp_args->a;
    wp::float32 adj_a = _wp_adj_args->a;
    wp::float32 var_4;
    wp::float32 var_6;
    wp::float32 var_7;
    wp::float32 adj_3 = {};
    wp::float32 adj_6 = {};
    wp::float32 adj_7 = {};
    var_4 = wp::load(var_3);
    var_6 = wp::sin(var_4);
    var_7 = wp::mul(var_4, var_6);
    //---------
    // reverse
    wp::adj_array_store(var_y, var_0, var_7, adj_y, adj_0, adj_7);
    wp::adj_mul(var_4, var_6, adj_3, adj_6, adj_7);
    wp::adj_sin(var_4, adj_3, adj_6);
    wp::adj_cos(var_a, adj_a, adj_7);
    wp::adj_address(var_x, var_0, adj_x, adj_0, adj_3);
""",
}
"""What Warp prints, in short: y[i] = x[i + 1] * a, and the adjoint of y[i] = x[i] * sin(x[i])."""


def made(kind: Kind) -> list[tuple[str, str]]:
    """The faults of one kind: lines before and after."""
    return [(fault.before.strip(), fault.after.strip()) for fault in faults(PIECES) if fault.kind is kind]


# -- which faults are made --------------------------------------------------------------------------------------------


def test_one_line_is_put_in_place_of_another() -> None:
    for fault in faults(PIECES):
        before = PIECES[fault.piece].splitlines()
        after = planted(PIECES, fault)[fault.piece].splitlines()
        differing = [k for k, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
        assert differing == [fault.line]
        assert planted(PIECES, fault)[ADJOINT if fault.piece == FORWARD else FORWARD] in PIECES.values()


def test_forward_faults() -> None:
    product = "var_7 = wp::mul(var_4, var_a);"
    assert made(Kind.OPERATOR) == [
        (product, "var_7 = wp::add(var_4, var_a);"),
        (product, "var_7 = wp::div(var_4, var_a);"),
    ]
    assert made(Kind.COMPARISON) == [("var_6 = (var_4 < var_5);", "var_6 = (var_4 >= var_5);")]
    assert made(Kind.CONSTANT) == [("const wp::float32 var_5 = 2.0;", "const wp::float32 var_5 = 2.5;")]
    assert [after for _, after in made(Kind.INDEX)] == [
        "var_3 = wp::address(var_x, var_2 + 1);",
        "var_3 = wp::address(var_x, var_2 - 1);",
        "wp::array_store(var_y, var_0 + 1, var_7);",
        "wp::array_store(var_y, var_0 - 1, var_7);",
    ]
    assert [after for _, after in made(Kind.STATEMENT)] == ["var_4 = {};", "var_7 = {};", ";"]


def test_composites_are_floats_to_whoever_plants() -> None:
    """But not pointers to them, nor arrays; and the place of a component is left alone like any index."""
    text = """\
    wp::array_t<wp::vec_t<3, wp::float32>> var_x = _wp_args->x;
    wp::vec_t<3, wp::float32>* var_1;
    wp::vec_t<3, wp::float32> var_2;
    wp::vec_t<3, wp::float32> var_3;
    const wp::int32 var_4 = 2;
    wp::float32 var_5;
    var_1 = wp::address(var_x, var_0);
    var_2 = wp::load(var_1);
    var_3 = wp::cross(var_2, var_2);
    var_5 = wp::extract(var_3, var_4);
    wp::array_store(var_y, var_0, var_5);
"""
    made = [(fault.kind, fault.after.strip()) for fault in faults({FORWARD: text}) if fault.kind is not Kind.INDEX]
    assert made == [
        (Kind.STATEMENT, "var_2 = {};"),
        (Kind.OPERATOR, "var_3 = wp::add(var_2, var_2);"),
        (Kind.OPERATOR, "var_3 = wp::cw_mul(var_2, var_2);"),
        (Kind.STATEMENT, "var_3 = {};"),
        (Kind.STATEMENT, "var_5 = {};"),
        (Kind.STATEMENT, ";"),
    ]


def test_what_an_index_comes_from_is_left_alone() -> None:
    touched = {fault.before.strip() for fault in faults(PIECES) if fault.piece == FORWARD}
    assert touched.isdisjoint({"var_2 = wp::add(var_0, var_1);", "const wp::int32 var_1 = 1;"})


@pytest.mark.warp
def test_wrong_cells_of_composites_are_caught() -> None:
    """Other rows of the same types, and what somebody might get wrong in one."""
    start()
    vector = type_named("vec3f")
    kept = (array("p", vector), array("q", vector), out("out", vector))
    right = kernel(kept, put("out", do("cross", at("p", I, vector), at("q", I, vector))), name="crossed")
    block = compile_block([(right.name, emit(right))])
    (compiled,) = block.kernels
    assert isinstance(compiled, Compiled)
    fates = {f.after: judged_cell(right, wrong, compiled.handle, 5, LANES)[0] for f, wrong in wrong_cells(right)}
    release(block)
    assert {"add", "negated", "its components shifted", "its last two arguments swapped"} <= fates.keys()
    assert {name for name, fate in fates.items() if fate is not Fate.KILLED} <= {"mod"}  # which jumps everywhere


def test_adjoint_faults() -> None:
    assert [before for before, _ in made(Kind.ADJOINT_DROPPED)] == [
        "wp::adj_array_store(var_y, var_0, var_7, adj_y, adj_0, adj_7);",
        "wp::adj_mul(var_4, var_6, adj_3, adj_6, adj_7);",
        "wp::adj_sin(var_4, adj_3, adj_6);",
        "wp::adj_address(var_x, var_0, adj_x, adj_0, adj_3);",
    ]
    assert [after for _, after in made(Kind.SIGN)][:2] == [
        "wp::adj_array_store(var_y, var_0, var_7, adj_y, adj_0, adj_7); adj_7 = -adj_7;",
        "adj_7 = -adj_7; wp::adj_mul(var_4, var_6, adj_3, adj_6, adj_7);",
    ]
    assert [after for _, after in made(Kind.ARGUMENTS)] == [
        "wp::adj_mul(var_6, var_4, adj_3, adj_6, adj_7);",
        "wp::adj_mul(var_4, var_6, adj_6, adj_3, adj_7);",
    ]
    assert [after for _, after in made(Kind.ASSIGNED)] == ["adj_3 = {}; wp::adj_sin(var_4, adj_3, adj_6);"]
    assert ("wp::adj_sin(var_4, adj_3, adj_6);", "wp::adj_sin(var_a, adj_3, adj_6);") in made(Kind.PRIMAL)
    assert made(Kind.REPLAY)[0] == ("var_6 = wp::sin(var_4);", "var_6 = wp::cos(var_4);")


def test_arrays_that_a_function_is_given_are_declared_nowhere() -> None:
    declaration = "    wp::array_t<wp::float32> adj_x = _wp_adj_args->x;\n"
    assert declaration in PIECES[ADJOINT]
    given = {ADJOINT: PIECES[ADJOINT].replace(declaration, "")}
    dropped = [fault.before.strip() for fault in faults(given) if fault.kind is Kind.ADJOINT_DROPPED]
    assert dropped == [before for before, _ in made(Kind.ADJOINT_DROPPED)]


def test_a_wrong_primal_has_a_value_wherever_the_right_one_has() -> None:
    """`var_6` comes after `var_4`, and `var_7` after both."""
    assert {after for before, after in made(Kind.PRIMAL) if before.startswith("wp::adj_mul")} == {
        "wp::adj_mul(var_a, var_6, adj_3, adj_6, adj_7);",
        "wp::adj_mul(var_4, var_a, adj_3, adj_6, adj_7);",
        "wp::adj_mul(var_4, var_4, adj_3, adj_6, adj_7);",
    }


def test_the_adjoint_of_a_number_is_no_place_for_a_fault() -> None:
    assert not any("adj_cos" in fault.before for fault in faults(PIECES))


def test_wrong_cells_differ_in_one_row() -> None:
    root = do("sqrt", do("abs", at("x")))
    right = kernel((X, OUT), let("v", root), put("out", do("sub", var("v"), at("x"))))
    cells = list(wrong_cells(right))
    assert {fault.before for fault, _ in cells} == {"sqrt(float32)", "abs(float32)", "sub(float32,float32)"}
    assert ("sub(float32,float32)", "add") in [(fault.before, fault.after) for fault, _ in cells]
    for fault, wrong in cells:
        changed = {term.op for term in all_terms(wrong) if hasattr(term, "op")} - set(ROWS.values())
        assert [op.key for op in changed] == [fault.before]


def test_wrong_cells_are_planted_wherever_a_row_stands() -> None:
    """In the index of a part, what a sampler is given, the indices of a grid, functions, structs as a whole, …"""
    right, row = Kernel("do_all", (), EVERYTHING, "combined"), ROWS["add(int32,int32)"]
    wrong = with_row(right, row, replace(row, meaning=lambda a, b: a - b))
    before, after = ([term.op for term in all_terms(one) if isinstance(term, Apply)] for one in (right, wrong))
    assert len(before) == len(after)
    assert row in before
    assert row not in after
    updates = [stmt.op for stmt in all_statements(wrong) if isinstance(stmt, AugAssign | AugStore)]
    assert len(updates) == 2
    assert row not in updates


def test_wrong_cells_of_rows_that_statements_apply() -> None:
    """What is atomic, the reference adds up without a row."""
    vector = type_named("vec3f")
    right = kernel(
        (array("p", vector), X, out("out", vector), accumulator("total")),
        let("v", at("p", I, vector)),
        part("v", 0, at("x"), "mul"),
        put("out", var("v", vector)),
        bump("out", "cw_mul", var("v", vector)),
        bump("total", "add", at("x")),
    )
    assert {fault.before for fault, _ in wrong_cells(right)} == {"mul(float32,float32)", "cw_mul(vec3f,vec3f)"}
    for fault, wrong in wrong_cells(right):
        assert wrong != right, fault


def test_putting_a_row_in_its_own_place_changes_nothing() -> None:
    right = kernel((X, Y, OUT), put("out", do("add", at("x"), do("add", at("y"), 1.0))))
    row = ROWS["add(float32,float32)"]
    assert with_row(right, row, row) == right


# -- what becomes of them ---------------------------------------------------------------------------------------------


@pytest.mark.warp
class TestFates:
    """Faults in real kernels, in this process: none of those chosen can take it along."""

    @pytest.fixture(scope="class")
    @staticmethod
    def fates() -> Mapping[Kind, list[Fate]]:
        """Of two faults of each kind, in `out = sin(x) * y + x * min(x, 2y)`, or with a comparison."""
        start()
        x, y = at("x"), at("y")
        smooth = do("add", do("mul", do("sin", x), y), do("mul", x, do("min", x, do("mul", y, 2.0))))
        choice = do("where", do("less", x, y), do("mul", x, 3.0), y)
        found: dict[Kind, list[Fate]] = defaultdict(list)
        for value in (smooth, choice):
            right = replace(kernel((X, Y, OUT), put("out", value)), name="planted_in")
            for fault, fate in _fates(right):
                found[fault.kind].append(fate)
        return found

    @pytest.mark.parametrize("kind", Kind)
    def test_faults_of_every_kind_are_killed(self, fates: Mapping[Kind, list[Fate]], kind: Kind) -> None:
        assert Fate.KILLED in fates[kind]
        if kind is not Kind.CELL:  # such as ≤ for <, which takes a tie to be seen
            assert set(fates[kind]) <= {Fate.KILLED, Fate.EQUIVALENT}

    def test_a_line_in_place_of_itself_is_equivalent(self) -> None:
        start()
        right = replace(kernel((X, OUT), put("out", do("sin", at("x")))), name="planted_in")
        build = compile_block([(right.name, emit(right))])
        (made,) = build.kernels
        assert isinstance(made, Compiled)
        build = compile_instead(build, [(made, made.build.ir)])
        (again,) = build.kernels
        assert isinstance(again, Compiled)
        assert judged(right, made.handle, again.handle, 1, LANES) == (Fate.EQUIVALENT, "on 4 sets of inputs")
        assert judged_cell(right, right, made.handle, 1, LANES) == (Fate.EQUIVALENT, "on 4 sets of inputs")
        release(build)

    def test_what_clang_refuses_is_no_fault(self) -> None:
        start()
        right = replace(kernel((X, OUT), put("out", do("sin", at("x")))), name="planted_in")
        build = compile_block([(right.name, emit(right))])
        (made,) = build.kernels
        assert isinstance(made, Compiled)
        pieces = made.build.ir
        broken = {**pieces, FORWARD: pieces[FORWARD].replace("wp::sin(", "wp::sinful(")}
        build = compile_instead(build, [(made, broken), (made, pieces)])
        assert [isinstance(kernel, Compiled) for kernel in build.kernels] == [False, True]
        release(build)


def _fates(right: Kernel) -> list[tuple[Fault, Fate]]:
    build: BlockBuild = compile_block([(right.name, emit(right))])
    (made,) = build.kernels
    assert isinstance(made, Compiled)
    chosen = list({(f.kind, k % 2): f for k, f in enumerate(faults(made.build.ir))}.values())
    build = compile_instead(build, [(made, planted(made.build.ir, fault)) for fault in chosen])
    found = []
    for fault, mutant in zip(chosen, build.kernels, strict=True):
        assert isinstance(mutant, Compiled), fault.label
        found.append((fault, judged(right, made.handle, mutant.handle, 1, LANES)[0]))
    found += [(fault, judged_cell(right, wrong, made.handle, 1, LANES)[0]) for fault, wrong in wrong_cells(right)]
    release(build)
    return found


# -- the command ------------------------------------------------------------------------------------------------------

PLAN = Plan(n=6, seed=3, depth=3)


def dying(_: Plan, indices: Sequence[int], journal: Path) -> None:
    """As `work`, but that fault 2 crashes and fault 4 never ends."""
    with journal.open("ab", buffering=0) as notes:
        for k in indices:
            pickle.dump(k, notes)
            if k == 2:
                os.kill(os.getpid(), signal.SIGSEGV)
            if k == 4:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.05)
                while True:
                    ctypes.CDLL(None).abs(1)
            pickle.dump(result(Fate.KILLED, index=k), notes)


def result(fate: Fate, kind: Kind = Kind.OPERATOR, index: int = 0) -> Result:
    fault = Fault(kind, FORWARD, 3, "    var_1 = wp::sin(var_0);\n", "    var_1 = wp::cos(var_0);\n")
    return Result(index, fault, fate, "value", "import warp as wp\n", "math")


@pytest.mark.warp
def test_a_fault_that_takes_its_worker_along_is_caught() -> None:
    heard: list[int] = []
    found = results(PLAN, 1, heard.append, dying)
    assert [each.index for each in found] == list(range(PLAN.n))
    assert [each.detail for each in found] == ["value", "value", "crash", "value", "timeout", "value"]
    assert {each.fate for each in found} == {Fate.KILLED}
    assert heard[-1] == PLAN.n


@pytest.mark.warp
def test_the_command_plants_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    code = command(PLAN.n, PLAN.seed, PLAN.depth, 1)
    text = capsys.readouterr().out
    assert "all of the forward" in text
    assert "all of the adjoint" in text
    assert code in (0, 1)
    assert code == ("missed: " in text or "masked: " in text)


@pytest.mark.warp
def test_a_plan_determines_its_faults() -> None:
    start()
    pair = []
    for indices in ((1, 4), (4,)):
        found, builds = working.subjects(PLAN, indices)
        pair.append((found[-1].fault, found[-1].made.build.source))
        for build in builds:
            release(build)
    assert pair[0] == pair[1]


def test_the_rate_leaves_out_what_is_no_fault() -> None:
    found = [result(fate) for fate in (Fate.KILLED, Fate.EQUIVALENT, Fate.REFUSED, Fate.MASKED, Fate.MISSED)]
    assert rate(found) == pytest.approx(1 / 3)
    assert rate([result(Fate.EQUIVALENT)]) is None


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("fate", [Fate.MASKED, Fate.MISSED])
def test_the_exit_code_reflects_the_rate_of_each_side(kind: Kind, fate: Fate) -> None:
    killed = [result(Fate.KILLED, each) for each in Kind for _ in range(50)]
    assert exit_code(killed) == 0
    side = sum(each.fault.kind.side == kind.side for each in killed)
    tolerable = int(side * (1 - RATE) / RATE)
    assert exit_code([*killed, *[result(fate, kind)] * tolerable]) == 0
    assert exit_code([*killed, *[result(fate, kind)] * (tolerable + 1)]) == 1


def test_every_survivor_is_shown() -> None:
    heard = StringIO()
    fates = (Fate.KILLED, Fate.EQUIVALENT, Fate.MASKED, Fate.MISSED)
    show([result(fate, index=k) for k, fate in enumerate(fates)], Console(file=heard, width=120))
    text = heard.getvalue()
    assert "masked: fault 2" in text
    assert "missed: fault 3" in text
    assert "  1 operator swapped: var_1 = wp::sin(var_0);  →  var_1 = wp::cos(var_0);" in text
    assert text.count("import warp as wp") == 2


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 0, 5, 1), "n"), ((1, -1, 5, 1), "seed"), ((1, 0, 65, 1), "depth"), ((1, 0, 5, 0), "jobs")],
)
def test_senseless_numbers_are_refused(arguments: tuple[int, int, int, int], name: str) -> None:
    with pytest.raises(UserError, match=f"--{name} must be"):
        command(*arguments)
