"""Functions that are handed to functions: `apply(falloff, x)`, of `def apply(f: wp.Function, x: float)`.

The key insight: Warp makes the function anew for what it is handed, so that is how it stands in a kernel: with calls of
that very function in its body. Only who writes it down has to see through this that two of them are one text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grammar.outline import bound_in
from grammar.rebuild import with_all_terms
from grammar.tree import Function, Invoke, Passed, Term, Unpack, Var, called_in, statements


def abstracted(function: Function) -> Function:
    """The function as it is written down: whatever it is handed, it calls by the names that it has for that."""
    return with_passed(function, [_as_named(passed) for passed in function.takes])


def _as_named(passed: Passed) -> Function:
    params = tuple(Var(str(k), param.type) for k, param in enumerate(passed.function.params))
    return Function(passed.name, params, (), passed.function.result)


def with_passed(function: Function, others: list[Function]) -> Function:
    """The function, handed others."""
    if not others:
        return function
    new = {passed.function: other for passed, other in zip(function.takes, others, strict=True)}

    def called(term: Term) -> Term:
        return Invoke(new.get(term.function, term.function), term.args) if isinstance(term, Invoke) else term

    takes = tuple(Passed(passed.name, new[passed.function]) for passed in function.takes)
    return replace(function, body=with_all_terms(function.body, called), takes=takes)


def passing_problems(function: Function) -> Iterator[str]:
    """What is wrong with what it is handed."""
    if not function.takes:
        return
    called = set(called_in(function.body))
    handed = [passed.function for passed in function.takes]
    own = {*(param.name for param in function.params), *bound_in(function.body)}
    own |= {other.name for other in called if other not in handed}
    names = [passed.name for passed in function.takes]
    if len(set(names)) < len(names) or len(set(handed)) < len(handed) or not own.isdisjoint(names):
        yield f"{function.name} has one name for two things, or is handed a function twice"
    yield from (f"{function.name} does not call {one.name}, which it is handed" for one in handed if one not in called)
    if function.custom or function.gradient or function.generic or function.defaults or function.structs:
        yield f"{function.name} takes functions, and is more than others that do"
    for one in handed:
        if one.generic or one.others or one.takes or one.structs or one.gradient or one.defaults:
            yield f"{function.name} is handed {one.name}, which is none that it may be"
        if not all(isinstance(param, Var) for param in one.params):
            yield f"{function.name} is handed {one.name}, which takes arrays"
    if any(isinstance(stmt, Unpack) and stmt.function in handed for stmt in statements(function.body)):
        yield f"{function.name} unpacks what it is handed"
