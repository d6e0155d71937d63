"""Defects of Warp that are known here: the idiom that triggers each, so that bulk runs leave it out.

The key insight: a defect is recognised in a tree, not in a failed check. A kernel that holds a known idiom is set aside
before it is compiled; whatever fails without one is news. Each entry has a stand-alone reproducer,
`corpus/regressions/defects/NAME.py`, that exits 0 while the defect stands and that the tests replay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TypeGuard

from grammar.flow import undone
from grammar.limits import DIVISIONS, adds_by_letter, changes_what_was_used, divides_by_stale, gradients_of
from grammar.op import Op
from grammar.ops import NOISE, ROWS
from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    AugAssign,
    Break,
    Const,
    Continue,
    Fieldwise,
    For,
    If,
    Invoke,
    Kernel,
    Sample,
    Stmt,
    Term,
    Var,
    While,
    all_functions,
    all_statements,
    all_terms,
    blocks,
    bodies,
    bound,
    own_subterms,
    own_terms,
    statements,
    subterms,
    terms_in,
)
from grammar.types import FLOATS, Composite
from grammar.unrolling import is_unrolled, rebound_in_loops


@dataclass(frozen=True, slots=True)
class Defect:
    name: str
    found: date
    warp: str
    """The version in which it was seen."""
    summary: str
    upstream: str
    """A reference where one exists; empty where none is known."""
    signs: frozenset[str | type[Stmt]]
    """Names of operations and kinds of statements: without any of them in a kernel there is no such idiom."""
    idiom: Callable[[Kernel], bool]
    outcomes: frozenset[str] = frozenset({"gradient"})
    """What checking a kernel with the idiom may come to: values of `validate.verdict.Outcome`."""


def defect(kernel: Kernel) -> Defect | None:
    """The first known defect whose idiom the kernel contains."""
    return next(defects_in(kernel), None)


def defects_in(kernel: Kernel) -> Iterator[Defect]:
    """The known defects whose idioms the kernel contains."""
    there: set[str | type[Stmt]] = {*map(type, all_statements(kernel))}
    there.update(term.op.name for term in all_terms(kernel) if isinstance(term, Apply))
    return (known for known in DEFECTS if not known.signs.isdisjoint(there) and known.idiom(kernel))


# -- idioms -----------------------------------------------------------------------------------------------------------


def _divides_by_active(kernel: Kernel) -> bool:
    if not any(map(_is_remainder, all_terms(kernel))):
        return False
    if any(term.op.name in REMAINDERS and flows[1] for term, flows in gradients_of(kernel)):
        return True
    # in a function, where every parameter may be active
    called = (term for function in all_functions(kernel) for term in terms_in(function.body))
    return any(_is_remainder(term) and not isinstance(term.args[1], Const) for term in called)


REMAINDERS = ("mod", "modulo")
"""`a % b`, and `wp.mod(a, b)`."""


def _is_remainder(term: Term) -> TypeGuard[Apply]:
    return isinstance(term, Apply) and term.op.name in REMAINDERS and term.type.scalar in FLOATS


def _breaks_with_gradient(kernel: Kernel) -> bool:
    return any(kind is Break for kind, _ in undone(kernel))


def _continues_with_gradient(kernel: Kernel) -> bool:
    return any(kind is Continue for kind, _ in undone(kernel))


def _transposes_what_was_used(kernel: Kernel) -> bool:
    """Whether a tile is transposed that an operation before has had."""
    used: set[Term] = set()
    for body in bodies(kernel):
        for stmt in statements(body):
            for term in own_terms(stmt):
                for done in _operations(term):
                    if done.op.name == "tile_transpose" and done.args[0] in used:
                        return True
                    used.update(done.args)
    return False


def _operations(term: Term) -> Iterator[Apply]:
    """Those of a term in the order in which they are done."""
    if isinstance(term, Apply):
        for arg in term.args:
            yield from _operations(arg)
        yield term


LAID_OUT_LIKE = {
    "tile_diag_add": 0,
    "tile_cholesky": 0,
    **dict.fromkeys(("tile_lower_solve", "tile_upper_solve", "tile_cholesky_solve"), 1),
}
"""Operations on tiles that lay out what they give like an argument, and which one."""


def _lays_out_like_a_broadcast(kernel: Kernel) -> bool:
    """Whether such an argument repeats numbers, under whatever name."""
    repeated: set[str] = set()
    for stmt in statements(kernel.body):
        if isinstance(stmt, Assign) and _is_repeated(stmt.value, repeated):
            repeated.add(stmt.name)
    calls = (term for term in all_terms(kernel) if isinstance(term, Apply) and term.op.name in LAID_OUT_LIKE)
    return any(_is_repeated(call.args[LAID_OUT_LIKE[call.op.name]], repeated) for call in calls)


def _is_repeated(term: Term, names: Container[str]) -> bool:
    match term:
        case Var(name, _):
            return name in names
        case Apply(op, (tile, *_)):
            return op.name == "tile_broadcast" or (op.name == "tile_transpose" and _is_repeated(tile, names))
        case _:
            return False


SHARING = frozenset({"tile_broadcast", "extract"})
"""Operations that have the numbers of a tile in memory that the threads of a block share."""


def _untiles_what_is_shared(kernel: Kernel) -> bool:
    """Whether one of them and `wp.untile` have the same tile, under whatever name."""
    names = {
        s.name: s.value.name for s in statements(kernel.body) if isinstance(s, Assign) and isinstance(s.value, Var)
    }
    shared, untiled = set[str](), set[str]()
    for term in terms_in(kernel.body):
        if isinstance(term, Apply) and term.op.name in SHARING | {"untile"} and isinstance(tile := term.args[0], Var):
            (untiled if term.op.name == "untile" else shared).add(names.get(tile.name, tile.name))
    return not shared.isdisjoint(untiled)


WIDENING = ("float64", "int64", "uint64")
"""Casts that Warp does on a constant itself, lest the constant lose digits."""


def _widens_a_constant(kernel: Kernel) -> bool:
    """Whether a name of a constant is widened, unless that is all that ever happens to it."""
    variables = frozenset(rebound_in_loops(kernel.body))
    bound = Counter(stmt.name for stmt in statements(kernel.body) if isinstance(stmt, Assign | AugAssign))
    return any(
        _is_spoilt(kernel.body, stmt.name, once=bound[stmt.name] == 1)
        if isinstance(stmt, Assign) and isinstance(stmt.value, Const) and stmt.name not in variables
        else isinstance(stmt, For) and is_unrolled(stmt) and _is_spoilt(stmt.body, stmt.variable, once=True)
        for stmt in statements(kernel.body)
    )


def _is_spoilt(body: tuple[Stmt, ...], name: str, once: bool) -> bool:
    """Whether the constant is widened there, and is bound more than once, read more than once or unrolled."""
    parts = terms_in(body)
    widened = any(
        isinstance(t, Apply) and t.op.name in WIDENING and t.args == (Var(name, t.op.params[0]),) for t in parts
    )
    return widened and not (once and list(_reads(body, name)) == [False])


def _reads(body: tuple[Stmt, ...], name: str, unrolled: bool = False) -> Iterator[bool]:
    """For each place that reads the name: whether Warp repeats it in the source."""
    for stmt in body:
        if isinstance(stmt, AugAssign) and stmt.name == name:
            yield unrolled
        for term in own_terms(stmt):
            yield from (unrolled for part in subterms(term) if isinstance(part, Var) and part.name == name)
        for block in blocks(stmt):
            yield from _reads(block, name, unrolled or (isinstance(stmt, For) and is_unrolled(stmt)))


def _overwrites_a_field(kernel: Kernel) -> bool:
    """Whether a field is given a value in or after a loop at run time that reads it, or after a call that takes it."""
    stmts = list(statements(kernel.body))
    loaded = {id(field) for stmt in stmts if isinstance(stmt, Fieldwise) for field in stmt.body}
    read: set[str] = set()
    for stmt in stmts:
        if isinstance(stmt, While) or (isinstance(stmt, For) and not is_unrolled(stmt)):
            read |= {term.name for term in terms_in((stmt,)) if isinstance(term, Var) and "." in term.name}
        within = terms_in((stmt,)) if isinstance(stmt, For) else own_subterms(stmt)
        read |= {name for term in within if isinstance(term, Invoke) for name in _passed_whole(term)}
        if isinstance(stmt, Assign | AugAssign) and stmt.name in read and id(stmt) not in loaded:
            return True
    return False


def _changes_its_condition(kernel: Kernel) -> bool:
    """Whether a branch changes the very field that the branch is taken by."""
    branches = (stmt for stmt in all_statements(kernel) if isinstance(stmt, If))
    return any(
        isinstance(branch.condition, Var)
        and "." in branch.condition.name
        and any(branch.condition.name in bound(stmt) for stmt in statements((*branch.body, *branch.orelse)))
        for branch in branches
    )


def _turns_whole_and_back(kernel: Kernel) -> bool:
    """Whether a composite of floats becomes one of whole numbers, and one of whole numbers one of floats."""
    casts = (term.op for term in all_terms(kernel) if isinstance(term, Apply) and _turns(term.op))
    return {op.result.scalar in FLOATS for op in casts} == {True, False}


def _turns(op: Op) -> bool:
    """Whether it makes a composite of whole numbers of one of floats, or the other way round."""
    match op:
        case Op(params=(Composite() as given,), result=Composite() as made):
            return (given.scalar in FLOATS) != (made.scalar in FLOATS)
        case _:
            return False


def _moves_what_selects_noise(body: tuple[Stmt, ...], used: set[str]) -> bool:
    """Whether a sampler moves the state of noise that comes before it; in a loop, all of it does."""
    for stmt in body:
        used |= _states_of_noise(terms_in((stmt,)) if isinstance(stmt, For | While) else own_subterms(stmt))
        if isinstance(stmt, Sample) and stmt.state in used:
            return True
        if any(_moves_what_selects_noise(block, used) for block in blocks(stmt)):
            return True
    return False


def _states_of_noise(terms: Iterable[Term]) -> set[str]:
    calls = (term for term in terms if isinstance(term, Apply) and term.op in NOISE)
    return {call.args[0].name for call in calls if isinstance(call.args[0], Var)}


def _passed_whole(call: Invoke) -> Iterator[str]:
    """Fields of locals that a function is given by way of their struct."""
    for param, arg in zip(call.function.params, call.args, strict=True):
        if "." in param.name and isinstance(arg, Var):
            yield arg.name


DEFECTS: tuple[Defect, ...] = (
    Defect(
        "field-condition",
        date(2026, 11, 22),
        "1.19.0",
        "if s.flag: looks at the field again for else and on the way back: where the first branch sets s.flag to False,"
        " what else does is done as well, and where either branch changes it, gradients go through the wrong one",
        "",
        frozenset({If}),
        _changes_its_condition,
        frozenset({"value", "gradient"}),
    ),
    Defect(
        "stale-divisor-crash",
        date(2026, 11, 22),
        "1.19.0",
        "going back, what a loop at run time carries is what it was before the loop: a whole number divided by it ends"
        " the process where that was 0",
        "",
        frozenset(DIVISIONS),
        divides_by_stale,
        frozenset({"crash"}),
    ),
    Defect(
        "moved-state-gradient",
        date(2026, 11, 22),
        "1.19.0",
        "a sampler such as wp.randf(state) moves the state in place, and the adjoint of a wp.noise(state, x) before it,"
        " like that of wp.pnoise and wp.curlnoise, takes the moved state for its own: x gets the gradient of another"
        " field",
        "",
        frozenset({Sample}),
        lambda kernel: any(_moves_what_selects_noise(body, set()) for body in bodies(kernel)),
    ),
    Defect(
        "tile-transpose-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "going back, wp.tile_transpose(t) overwrites t with the sum of t and its transpose, so operations before it"
        " whose adjoint needs t pass wrong gradients",
        "",
        frozenset({"tile_transpose"}),
        _transposes_what_was_used,
    ),
    Defect(
        "untile-shared-gradient",
        date(2026, 11, 22),
        "1.19.0",
        "wp.untile(t) passes no gradient to t where t is in shared memory, as wp.tile_broadcast(t) and t[0] make it",
        "",
        frozenset({"untile"}),
        _untiles_what_is_shared,
    ),
    Defect(
        "tile-broadcast-layout",
        date(2026, 11, 22),
        "1.19.0",
        "what wp.tile_diag_add gives is laid out like its matrix, what wp.tile_lower_solve, wp.tile_upper_solve and"
        " wp.tile_cholesky_solve give like the right side: of one from wp.tile_broadcast, whose numbers lie in one"
        " place, all results do, and are the last one written",
        "",
        frozenset(LAID_OUT_LIKE),
        _lays_out_like_a_broadcast,
        frozenset({"value", "gradient"}),
    ),
    Defect(
        "remainder-divisor-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "a % b on floats passes no gradient to b, though the builtin counts as differentiable",
        "",
        frozenset(REMAINDERS),
        _divides_by_active,
    ),
    Defect(
        "break-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "going back, a for loop starts at the end of its range and ends at the first break it meets: trips that never"
        " ran pass gradients, those that ran do not; a while loop skips what its last trip did before the break",
        "",
        frozenset({Break}),
        _breaks_with_gradient,
    ),
    Defect(
        "continue-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "what a trip of a loop does before it comes to continue passes no gradient, unless the loop is unrolled",
        "https://github.com/NVIDIA/warp/issues/1552",
        frozenset({Continue}),
        _continues_with_gradient,
    ),
    Defect(
        "float64-of-constant",
        date(2026, 11, 21),
        "1.19.0",
        "wp.float64(k), like wp.int64 and wp.uint64, makes k itself a float64 where k is bound to a constant, as in an"
        " unrolled loop, and gives it its value only there: a read of k before it sees whatever is in memory, one after"
        " it another type",
        "",
        frozenset(WIDENING),
        _widens_a_constant,
        frozenset({"value", "gradient", "compile", "crash", "timeout", "stray-write"}),
    ),
    Defect(
        "part-update-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "v[0] += a changes v itself, also for the adjoints of what was done with v before and needs its value, such as"
        " wp.dot(v, v)",
        "",
        frozenset({AssignPart}),
        changes_what_was_used,
    ),
    Defect(
        "letter-update-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "v.x += a passes the gradient of v.x twice to what v was made of; v[0] += a does not",
        "",
        frozenset({AssignPart}),
        adds_by_letter,
    ),
    Defect(
        "whole-numbers-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "vectors of whole numbers hand on gradients, without what follows the point: through wp.vec3(wp.vec3i(v)),"
        " which is flat, flows a gradient of 1 where 1.4 came in",
        "",
        frozenset({op.name for op in ROWS.values() if _turns(op)}),
        _turns_whole_and_back,
    ),
    Defect(
        "overwritten-field-gradient",
        date(2026, 11, 21),
        "1.19.0",
        "s.x = v overwrites the field in place, and going back, a loop at run time and a function that s was passed to"
        " are gone through with the value that the field has at the end rather than that which they read",
        "",
        frozenset({Fieldwise}),
        _overwrites_a_field,
    ),
)
