"""What goes back through a function of the module's own: its adjoint, as a function in turn.

The key insight: the rule of an operation says in terms what its arguments get back, so applying the rules from the end
of a body to its beginning gives another body. It is what `@wp.func_grad` holds where people write gradients themselves,
and with 1 for what comes back, what `wp.grad` gives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, reduce

from grammar.literal import number, zero
from grammar.ops import ROWS
from grammar.tree import (
    Apply,
    Assign,
    Const,
    Function,
    Kernel,
    Return,
    Stmt,
    Term,
    Var,
    bodies,
    called_in,
    own_subterms,
    own_terms,
    subterms,
)
from grammar.types import F32, F64, Composite, Element

MOST_NODES = 60
"""Of an adjoint: nobody writes one that is longer."""
NAMED_FROM = 4
"""Nodes from which on what a local gets back has a name."""


class NoRuleError(Exception):
    """Something in a function has no rule."""


@lru_cache(maxsize=1024)
def adjoint_of(function: Function) -> Function | None:
    """Takes the parameters and the adjoint of the result, and returns what is added to the adjoint of each parameter.

    None where the function is more than a few smooth steps, one after the other, from floats to a float.
    """
    primal = function.primal
    return _reversed(primal, Var("adj_ret", primal.result))


@lru_cache(maxsize=1024)
def gradient_of(function: Function) -> Function | None:
    """Takes the parameters, and returns the slope of the result, which is one number, along each of them."""
    primal = function.primal
    smooth = primal.result in (F32, F64) and all(is_smooth(param.type) for param in primal.params)
    return _reversed(primal, number(primal.result, 1)) if smooth else None


def without_adjoint(name: str, body: tuple[Stmt, ...]) -> Iterator[str]:
    """Of a function, what keeps Warp from making its adjoint."""
    if any(called.gradient for called in called_in(body)):
        yield f"{name} calls for a gradient, and so would have no adjoint"


def adjoint_problems(function: Function) -> Iterator[str]:
    """What keeps the function from having an adjoint."""
    yield from without_adjoint(function.name, function.body)
    if function.custom and adjoint_of(function) is None:
        yield f"{function.name} has no adjoint that could be written down"


def gradient_problems(function: Function) -> Iterator[str]:
    """What is wrong with a call of the function, should it be one of its gradient."""
    gradient = gradient_of(function) if function.gradient else None
    if function.gradient and (gradient is None or gradient.results != function.results):
        yield f"{function.name} has no such gradient"


def differentiated(kernel: Kernel) -> set[Function]:
    """Those of its functions for whose gradients it calls."""
    return {function.primal for body in bodies(kernel) for function in called_in(body) if function.gradient}


def _reversed(function: Function, back: Term) -> Function | None:
    *steps, last = function.body
    params = [param for param in function.params if isinstance(param, Var) and "." not in param.name]
    names = [*(param.name for param in params), *(step.name for step in steps if isinstance(step, Assign))]
    if len(params) < len(function.params) or function.generic or function.others or back in function.params:
        return None
    if len(set(names)) < len(params) + len(steps) or not isinstance(last, Return) or last.value is None:
        return None
    try:
        body = _body([step for step in steps if isinstance(step, Assign)], last.value, back, params)
    except NoRuleError:
        return None
    results = [value.type for value in own_terms(body[-1])]
    if sum(1 for stmt in body for _ in own_subterms(stmt)) > MOST_NODES:
        return None
    params += [back] if isinstance(back, Var) else []
    return Function(f"adj_{function.name}", tuple(params), body, results[0], tuple(results[1:]))


def _body(steps: Sequence[Assign], value: Term, back: Term, params: Sequence[Var]) -> tuple[Stmt, ...]:
    """What has to be computed again, what the locals get back, and what the parameters do. Raises NoRuleError."""
    came: dict[str, list[Term]] = defaultdict(list)
    _pass_back(value, back, came)
    named: list[Assign] = []
    for step in reversed(steps):
        if found := came[step.name]:
            whole = reduce(_plus, found)
            if sum(1 for _ in subterms(whole)) >= NAMED_FROM:
                named.append(Assign(f"adj_{step.name}", whole))
                whole = Var(f"adj_{step.name}", whole.type)
            _pass_back(step.value, whole, came, Var(step.name, step.value.type))
    results = [reduce(_plus, came[param.name]) if came[param.name] else zero(param.type) for param in params]
    after: tuple[Stmt, ...] = (*named, Return(results[0], tuple(results[1:])))
    wanted = {term.name for stmt in after for term in own_subterms(stmt) if isinstance(term, Var)}
    again: list[Assign] = []
    for step in reversed(steps):
        if step.name in wanted:
            again.insert(0, step)
            wanted |= {term.name for term in subterms(step.value) if isinstance(term, Var)}
    return (*again, *after)


def _pass_back(term: Term, back: Term, came: Mapping[str, list[Term]], known: Term | None = None) -> None:
    """Adds what the variables in the term, which is also `known`, get back to what came to them. Raises NoRuleError."""
    if not is_smooth(term.type):
        raise NoRuleError
    match term:
        case Const():
            pass
        case Var(name, _):
            came[name].append(back)
        case Apply(op, args) if not any(isinstance(part, Var) for part in subterms(term)):
            del op, args  # numbers alone, which get nothing
        case Apply(op, args) if op.name in RULES:
            for arg, share in zip(args, RULES[op.name](back, known or term, *args), strict=True):
                if share is not None:
                    _pass_back(arg, share, came)
        case _:
            raise NoRuleError


def is_smooth(type: Element) -> bool:
    """Whether it is a float of 32 or 64 bits, or a vector of such."""
    return type.scalar in (F32, F64) and (not isinstance(type, Composite) or type.kind == "vector")


# -- rules ------------------------------------------------------------------------------------------------------------

Shares = tuple[Term | None, ...]
"""What each argument gets back; None for one that gets nothing."""
Rule = Callable[..., Shares]
"""Of what comes back, the operation itself, and its arguments. They are those of Warp's adjoints."""


def _made(name: str, *args: Term) -> Term:
    """The operation on these arguments. Raises NoRuleError if there is none."""
    op = ROWS.get(f"{name}({','.join(arg.type.name for arg in args)})")
    if op is None:
        raise NoRuleError
    return Apply(op, args)


def _is_number(term: Term, value: float) -> bool:
    return isinstance(term, Const) and term.value == value


def _times(a: Term, b: Term) -> Term:
    """Of numbers, or of a vector and a number."""
    if _is_number(a, 1):
        return b
    if isinstance(a, Apply) and a.op.name == "neg":
        return _negative(_times(a.args[0], b))
    if isinstance(b, Apply) and b.op.name == "neg":
        return _negative(_times(a, b.args[0]))
    return a if _is_number(b, 1) else _made("mul", a, b)


def _over(a: Term, b: Term) -> Term:
    if isinstance(a, Apply) and a.op.name == "neg":
        return _negative(_over(a.args[0], b))
    return _made("div", a, b)


def _negative(term: Term) -> Term:
    if isinstance(term, Const):
        return replace(term, value=-term.value)
    return term.args[0] if isinstance(term, Apply) and term.op.name == "neg" else _made("neg", term)


def _plus(a: Term, b: Term) -> Term:
    if a == b:
        return _times(number(a.type.scalar, 2), a)
    if isinstance(b, Apply) and b.op.name == "neg":
        return _made("sub", a, b.args[0])
    if isinstance(a, Apply) and a.op.name == "neg":
        return _made("sub", b, a.args[0])
    return _made("add", a, b)


def _mul(g: Term, _: Term, a: Term, b: Term) -> Shares:
    of_numbers = not isinstance(a.type, Composite), not isinstance(b.type, Composite)
    match of_numbers:
        case (True, True):
            return _times(g, b), _times(g, a)
        case (False, True):
            return _times(g, b), _made("dot", g, a)
        case (True, False):
            return _made("dot", g, b), _times(g, a)
        case _:
            raise NoRuleError


def _div(g: Term, whole: Term, a: Term, b: Term) -> Shares:
    if isinstance(b.type, Composite):
        raise NoRuleError
    share = _made("div", whole, b)
    return _over(g, b), _negative(_made("dot", g, share) if isinstance(a.type, Composite) else _times(g, share))


def _one(like: Term) -> Term:
    return number(like.type, 1)


def _chosen(g: Term, condition: Term, *, first: bool) -> Term:
    return _made("where", condition, *((g, zero(g.type)) if first else (zero(g.type), g)))


def _extreme(relation: str) -> Rule:
    def rule(g: Term, _: Term, *args: Term) -> Shares:
        condition = _made(relation, *args)
        return _chosen(g, condition, first=True), _chosen(g, condition, first=False)

    return rule


def _choice(g: Term, _: Term, condition: Term, a: Term, b: Term) -> Shares:
    del a, b
    return None, _chosen(g, condition, first=True), _chosen(g, condition, first=False)


RULES: Mapping[str, Rule] = {
    "add": lambda g, *_: (g, g),
    "sub": lambda g, *_: (g, _negative(g)),
    "neg": lambda g, *_: (_negative(g),),
    "mul": _mul,
    "div": _div,
    "sin": lambda g, _, a: (_times(g, _made("cos", a)),),
    "cos": lambda g, _, a: (_negative(_times(g, _made("sin", a))),),
    "exp": lambda g, whole, *_: (_times(g, whole),),
    "log": lambda g, _, a: (_over(g, a),),
    "sqrt": lambda g, whole, a: (_over(_times(number(a.type, 0.5), g), whole),),
    "tanh": lambda g, whole, a: (_times(g, _made("sub", _one(a), _times(whole, whole))),),
    "atan": lambda g, _, a: (_over(g, _plus(_times(a, a), _one(a))),),
    "sinh": lambda g, _, a: (_times(g, _made("cosh", a)),),
    "cosh": lambda g, _, a: (_times(g, _made("sinh", a)),),
    "abs": lambda g, _, a: (_times(g, _made("sign", a)),),
    "min": _extreme("less"),
    "max": _extreme("greater"),
    "where": _choice,
    "ternary": _choice,
    "dot": lambda g, _, a, b: (_times(b, g), _times(a, g)),
    "length": lambda g, _, a: (_times(_made("normalize", a), g),),
    "length_sq": lambda g, _, a: (_times(a, _times(number(g.type, 2), g)),),
    "cross": lambda g, _, a, b: (_made("cross", b, g), _made("cross", g, a)),
    "cw_mul": lambda g, _, a, b: (_made("cw_mul", g, b), _made("cw_mul", g, a)),
}
"""By operation."""
