"""Ways out of loops are put where they may stand, and reach what the grower leaves out."""

from __future__ import annotations

from grammar.choose import Seed, seeded
from grammar.exits import with_exit
from grammar.limits import limitation
from grammar.tree import Break, Continue, For, If, Kernel, statements
from grammar.types import I32
from tests.builders import OUT, X, at, change, do, ints, kernel, let, loop, put, scalar, var
from validate.judge import defects_of

SUM = kernel(
    (X, scalar("n", I32, 3, 6), OUT),
    let("total", 0.0),
    loop("j", ints("n"), change("total", "add", at("x"))),
    put("out", var("total")),
)
FLAT = kernel((X, OUT), put("out", do("mul", at("x"), 3.0)))


def changed() -> list[Kernel]:
    made = [with_exit(seeded(Seed(seed)), SUM) for seed in range(60)]
    return [one for one in made if one is not None]


def test_a_loop_gets_one_way_out() -> None:
    assert len(changed()) == 60
    for one in changed():
        (found,) = [stmt for stmt in statements(one.body) if isinstance(stmt, For)]
        exits = [stmt for stmt in found.body if isinstance(stmt, If) and isinstance(stmt.body[0], Break | Continue)]
        assert len(exits) == 1
        assert len(found.body) == 2
        assert [stmt for stmt in one.body if not isinstance(stmt, For)] == [
            stmt for stmt in SUM.body if not isinstance(stmt, For)
        ]


def test_without_a_loop_there_is_none() -> None:
    assert with_exit(seeded(Seed(0)), FLAT) is None


def test_the_known_defects_of_exits_come_up() -> None:
    assert defects_of(SUM) == frozenset()
    found = {name for one in changed() if not limitation(one) for name in defects_of(one)}
    assert found == {"break-gradient", "continue-gradient"}
