"""The ways in which a kernel can be made smaller: plain functions from a kernel to smaller candidates.

The key insight: a pass proposes and never judges. Whatever it proposes is swept of what became dead, must be a kernel
of the grammar again, and must be smaller by one measure that can't shrink for ever; so passes may be careless, in any
order, and reducing ends. What a candidate computes is of no concern here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from grammar.fields import without_structs
from grammar.literal import number, zero
from grammar.op import Op
from grammar.ops import ROWS
from grammar.params import Param, Role
from grammar.rebuild import Body, with_all_terms, with_statements, with_terms
from grammar.rewrites import inlined
from grammar.tree import (
    Apply,
    Assign,
    AssignPart,
    At,
    Atomic,
    AugAssign,
    AugStore,
    Const,
    For,
    If,
    Invoke,
    Kernel,
    Outlined,
    Read,
    Size,
    Stmt,
    Store,
    StorePart,
    Term,
    Thread,
    Var,
    View,
    While,
    Writing,
    all_terms,
    statements,
    subterms,
)
from grammar.types import BOOL, F32, F64, I32, INTEGERS, Array, Composite, Element, Type, type_named
from grammar.views import without_views
from validate.edits import (
    SIMPLE,
    changed,
    in_blocks,
    in_terms,
    weight,
)

Pass = Callable[[Kernel], Iterator[Kernel]]


def _bodies(kernel: Kernel, bodies: Iterable[Body]) -> Iterator[Kernel]:
    return (replace(kernel, body=body) for body in bodies)


# -- grids ------------------------------------------------------------------------------------------------------------


def flatten(kernel: Kernel) -> Iterator[Kernel]:
    """On a grid of one dimension less: without the last index of the threads and the last axis of what it indexes."""
    thread = kernel.body[0]
    if not isinstance(thread, Thread) or not thread.others:
        return
    names, params = thread.names, [_flat(param, len(thread.names)) for param in kernel.params]
    flat = {param.name for param, old in zip(params, kernel.params, strict=True) if param is not old}

    def cut(array: str, index: Term) -> Term:
        if array not in flat or not isinstance(index, At):
            return index
        return At(index.indices[:-1]) if len(index.indices) > 2 else index.indices[0]

    def of_term(term: Term) -> Term:
        match term:
            case Var(name, _) if name == names[-1]:
                return Var(names[0], I32)
            case Read(array, index, type):
                return Read(array, cut(array, index), type)
            case Size(array, _, axis) if array in flat:
                return replace(term, axis=min(axis, len(names) - 2))
            case _:
                return term

    def of_stmt(stmt: Stmt) -> Body:
        if isinstance(stmt, Writing):
            return (changed(stmt, "index", cut(stmt.array, stmt.index)),)
        return (stmt,)

    body = with_statements(with_all_terms(kernel.body[1:], of_term), of_stmt)
    yield replace(kernel, params=tuple(params), body=(Thread(names[0], names[1:-1]), *body))


def _flat(param: Param, dimensions: int) -> Param:
    """With an axis less if it has so many."""
    if not isinstance(param.type, Array) or param.type.dimensions != dimensions:
        return param
    return replace(param, type=replace(param.type, dimensions=dimensions - 1))


# -- statements -------------------------------------------------------------------------------------------------------


def drop_outputs(kernel: Kernel) -> Iterator[Kernel]:
    """Without all that writes one output."""
    for param in kernel.params:
        if param.is_output:
            yield replace(kernel, body=_without_writes(kernel.body, param.name))


def _without_writes(body: Body, array: str) -> Body:
    def kept(stmt: Stmt) -> Body:
        return () if isinstance(stmt, Writing) and stmt.array == array else (stmt,)

    return with_statements(body, kept)


def drop_views(kernel: Kernel) -> Iterator[Kernel]:
    """With elements of arrays in place of those of views."""
    if any(isinstance(stmt, View) for stmt in kernel.body):
        yield without_views(kernel)


def drop_structs(kernel: Kernel) -> Iterator[Kernel]:
    """With parameters and locals in place of the fields of structs."""
    if kernel.structs:
        yield without_structs(kernel)


def drop_generality(kernel: Kernel) -> Iterator[Kernel]:
    """With the types for which it is made."""
    if kernel.generic:
        yield replace(kernel, generic=False)


def drop_adjoints(kernel: Kernel) -> Iterator[Kernel]:
    """With Warp's own adjoints of functions in place of those that are written down."""

    def plain(term: Term) -> Term:
        return replace(term, function=replace(term.function, custom=False)) if isinstance(term, Invoke) else term

    body = with_all_terms(kernel.body, plain)
    if body != kernel.body:
        yield replace(kernel, body=body)


def drop_statements(kernel: Kernel) -> Iterator[Kernel]:
    """Without a run of statements of one block: all of it, halves, quarters, …, single ones."""
    return _bodies(kernel, in_blocks(kernel.body, _shorter))


def _shorter(block: Body) -> Iterator[Body]:
    run = len(block)
    while run:
        yield from (block[:start] + block[start + run :] for start in range(0, len(block), run))
        run //= 2


def unwrap(kernel: Kernel) -> Iterator[Kernel]:
    """With what a branch, a loop or a function that writes holds in its place, once."""
    return _bodies(kernel, in_blocks(kernel.body, _unwrapped))


def _unwrapped(block: Body) -> Iterator[Body]:
    for k, stmt in enumerate(block):
        for inner in _inside(stmt):
            yield (*block[:k], *inner, *block[k + 1 :])


def _inside(stmt: Stmt) -> Iterator[Body]:
    match stmt:
        case If(condition, yes, no):
            yield yes
            if no:
                yield no
                yield (If(condition, yes),)
                yield (If(condition, no),)
        case For(variable, start, _, inner, step):
            yield _substituted(inner, variable, Const(I32, 0) if start is None else start)
            if start is not None:
                yield (replace(stmt, start=None, step=None),)
            if step is not None:
                yield (replace(stmt, step=None),)
        case While(_, inner) | Outlined(_, inner):
            yield inner
        case _:
            pass


def isolate(kernel: Kernel) -> Iterator[Kernel]:
    """With one of its terms alone, stored as it is; parameters stand in for its locals."""
    param = next(p for p in kernel.params if p.is_output)
    terms = {term for term in all_terms(kernel) if isinstance(term, Apply)}
    inputs = {p.name for p in kernel.params}
    leaves = {leaf.type: leaf for leaf in reversed(list(_leaves(kernel)))}

    def without_locals(term: Term) -> Term:
        if not isinstance(term, Var) or term.name in inputs:
            return term
        return leaves.get(term.type) or next(itertools.islice(_constants(term.type), 1, None))

    for term in sorted(terms, key=lambda term: (sum(map(weight, subterms(term))), repr(term))):
        yield _with_output(kernel, param, term.type, _stored_alone(kernel, param, with_terms(term, without_locals)))


def _stored_alone(kernel: Kernel, param: Param, term: Term) -> Body:
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    return thread, Store(param.name, Var(thread.name, I32), term)


def _with_output(kernel: Kernel, param: Param, element: Element, body: Body) -> Kernel:
    """With another body, in which `param` is an output of its own for each thread."""
    own = Param(param.name, Array(element), Role.OUT)
    return replace(kernel, params=tuple(own if p is param else p for p in kernel.params), body=body)


def store_early(kernel: Kernel) -> Iterator[Kernel]:
    """With a store where a local is given a value, and no other writes to that output."""
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    for param in kernel.params:
        if param.is_output:
            rest = _without_writes(kernel.body, param.name)
            for stmt in dict.fromkeys(s for s in statements(rest) if isinstance(s, Assign | AugAssign)):
                store = Store(param.name, Var(thread.name, I32), stmt.value)
                yield _with_output(kernel, param, stmt.value.type, _exchanged(rest, stmt, store))


def _exchanged(body: Body, old: Stmt, new: Stmt) -> Body:
    """The body with another statement in place of one, in the first block that holds it."""
    blocks = in_blocks(body, lambda block: [tuple(new if s == old else s for s in block)] if old in block else [])
    return next(blocks)


def plain_writes(kernel: Kernel) -> Iterator[Kernel]:
    """With a plain assignment or store, to the thread's own element, where a value was updated."""
    index = Var(next((s.name for s in kernel.body if isinstance(s, Thread)), ""), I32)
    yield from _bodies(kernel, in_blocks(kernel.body, lambda block: _plainer(block, index)))
    for k, param in enumerate(kernel.params):
        if param.role is Role.ACCUMULATOR:
            own = Param(param.name, param.type, Role.OUT)
            params = (*kernel.params[:k], own, *kernel.params[k + 1 :])
            yield replace(kernel, params=params, body=_stored(kernel.body, param.name, index))


def _plainer(block: Body, index: Var) -> Iterator[Body]:
    for k, stmt in enumerate(block):
        match stmt:
            case AugAssign(name, _, value):
                yield (*block[:k], Assign(name, value), *block[k + 1 :])
            case AugStore(array, _, _, value) | Atomic(_, array, _, value):
                yield (*block[:k], Store(array, index, value), *block[k + 1 :])
            case _:
                pass


def whole_writes(kernel: Kernel) -> Iterator[Kernel]:
    """With a value stored in an output of its own, in place of into a part of an element."""
    for stmt in statements(kernel.body):
        if isinstance(stmt, StorePart):
            param, value = kernel.param(stmt.array), stmt.value
            yield _with_output(kernel, param, value.type, _stored_once(kernel.body, stmt))


def _stored_once(body: Body, part: StorePart) -> Body:
    """The body in which nothing is written to the array but what is written to that part."""
    store = Store(part.array, part.index, part.value)

    def whole(stmt: Stmt) -> Body:
        if stmt == part:
            return (store,)
        return () if isinstance(stmt, Writing) and stmt.array == part.array else (stmt,)

    return with_statements(body, whole)


def _stored(body: Body, array: str, index: Var) -> Body:
    def plain(stmt: Stmt) -> Body:
        if isinstance(stmt, AugStore | Atomic) and stmt.array == array:
            return (Store(array, index, stmt.value),)
        return (stmt,)

    return with_statements(body, plain)


def inline_locals(kernel: Kernel) -> Iterator[Kernel]:
    """Without a local that is assigned once, its value in its place."""
    assigned = [stmt for stmt in statements(kernel.body) if isinstance(stmt, Assign | AugAssign | AssignPart)]
    names = [stmt.name for stmt in assigned]
    for stmt in assigned:
        if isinstance(stmt, Assign) and names.count(stmt.name) == 1:
            yield replace(kernel, body=_inlined(kernel.body, stmt))


def _inlined(body: Body, local: Assign) -> Body:
    bodies = in_blocks(body, lambda block: [tuple(s for s in block if s != local)] if local in block else [])
    return _substituted(next(bodies), local.name, local.value)


def _substituted(body: Body, name: str, value: Term) -> Body:
    return with_all_terms(body, lambda term: value if isinstance(term, Var) and term.name == name else term)


def inline_calls(kernel: Kernel) -> Iterator[Kernel]:
    """With what a function returns in place of a call of it."""
    return _bodies(kernel, in_terms(kernel.body, lambda term: [inlined(term)] if isinstance(term, Invoke) else []))


# -- terms ------------------------------------------------------------------------------------------------------------


def drop_params(kernel: Kernel) -> Iterator[Kernel]:
    """Without one parameter: everywhere another one, or a simple constant, in its place."""
    leaves = list(_leaves(kernel))
    for param in kernel.params:
        if not param.is_output:
            others = [leaf for leaf in leaves if leaf.type is param.element and not _reads(leaf, param.name)]
            for new in (*others, *_constants(param.element)):
                yield replace(kernel, body=_replaced(kernel.body, param.name, new))


def _replaced(body: Body, name: str, new: Term) -> Body:
    return with_all_terms(body, lambda term: new if _reads(term, name) and term.type is new.type else term)


def _reads(term: Term, name: str) -> bool:
    return (isinstance(term, Var) and term.name == name) or (isinstance(term, Read | Size) and term.array == name)


def replace_terms(kernel: Kernel) -> Iterator[Kernel]:
    """With a simpler term of the same type in place of one: a constant, a parameter, or a part of itself.

    The thread index stays where it is: nothing is simpler to a reader than a thread that minds its own elements.
    """
    leaves = list(_leaves(kernel))
    thread = leaves[0]

    def simpler(term: Term) -> Iterator[Term]:
        if term == thread:
            return
        if not isinstance(term, Const):
            yield from _constants(term.type)
        if isinstance(term, Apply):
            yield from (leaf for leaf in leaves if leaf.type is term.type)
            parts = [part for part in subterms(term) if part.type is term.type and part is not term]
            yield from sorted(parts, key=lambda part: sum(map(weight, subterms(part))))
        elif isinstance(term, Read):
            yield from (leaf for leaf in leaves if leaf.type is term.type)

    return _bodies(kernel, in_terms(kernel.body, simpler))


def simplify_constants(kernel: Kernel) -> Iterator[Kernel]:
    """With a simpler constant in place of one."""
    return _bodies(kernel, in_terms(kernel.body, _simpler_constants))


def _simpler_constants(term: Term) -> Iterator[Term]:
    if not isinstance(term, Const) or term.type is BOOL:
        return
    value = term.value
    yield from (Const(term.type, simple) for simple in SIMPLE[term.type])
    if value < 0:
        yield Const(term.type, -value)
    if term.type in INTEGERS:
        yield from (Const(term.type, other) for other in (int(value) // 2, int(value) - 1) if other >= 0 or value < 0)
    elif np.isfinite(value):
        yield from (Const(term.type, float(round(value))), Const(term.type, float(f"{value:.1g}")))


def _constants(type: Element) -> Iterator[Term]:
    return (zero(type) if value == 0 else number(type, value) for value in SIMPLE[type.scalar])


def _leaves(kernel: Kernel) -> Iterator[Var | Read]:
    """A read of each parameter, at the thread's own index."""
    thread = next((stmt.name for stmt in kernel.body if isinstance(stmt, Thread)), "")
    yield Var(thread, I32)
    for param in kernel.params:
        if not isinstance(param.type, Array):
            yield Var(param.name, param.type)
        elif not param.is_output and param.size is None:
            yield Read(param.name, Var(thread, I32), param.element)


def narrow(kernel: Kernel) -> Iterator[Kernel]:
    """With float32 in place of float64, everywhere."""
    types = [*(term.type for term in all_terms(kernel)), *(param.element for param in kernel.params)]
    if any(type.scalar is F64 for type in types):
        params = tuple(replace(p, type=_narrow_type(p)) for p in kernel.params)
        try:
            body = with_statements(with_all_terms(kernel.body, _narrow_term), _narrow_stmt)
            yield replace(kernel, params=params, body=body)
        except KeyError:
            return


def _narrow_type(param: Param) -> Type:
    narrowed = _narrowed(param.element)
    return replace(param.type, element=narrowed) if isinstance(param.type, Array) else narrowed


def _narrowed(type: Element) -> Element:
    if type.scalar is not F64:
        return type
    return type_named(f"{type.name.removesuffix('d')}f") if isinstance(type, Composite) else F32


def _narrow_term(term: Term) -> Term:
    match term:
        case Const(type, value) if type is F64:
            return Const(F32, float(str(np.float32(value))))
        case Var(name, type):
            return Var(name, _narrowed(type))
        case Read(_, _, type):
            return replace(term, type=_narrowed(type))
        case Apply(op, (arg,)) if op.name in ("float32", "float64") and arg.type is F32:
            return arg
        case Apply(op, args):
            return Apply(_narrow_op(op), args)
        case _:
            return term


def _narrow_op(op: Op) -> Op:
    """Raises KeyError where there is no such operation on float32."""
    if not any(type.scalar is F64 for type in (*op.params, op.result)):
        return op
    name = _narrowed(op.result).name if op.name == op.result.name else op.key.partition("(")[0]
    return ROWS[f"{name}({','.join(_narrowed(type).name for type in op.params)})"]


def _narrow_stmt(stmt: Stmt) -> Body:
    match stmt:
        case AugAssign(op=op) | AugStore(op=op):
            return (changed(stmt, "op", _narrow_op(op)),)
        case AssignPart(type=type, op=op) | StorePart(type=type, op=op):
            narrowed = _narrowed(type)
            assert isinstance(narrowed, Composite)
            return (replace(stmt, type=narrowed, op=None if op is None else _narrow_op(op)),)
        case _:
            return (stmt,)


PASSES: tuple[Pass, ...] = (
    drop_outputs,
    drop_structs,
    drop_views,
    drop_generality,
    drop_adjoints,
    flatten,
    isolate,
    drop_statements,
    unwrap,
    drop_params,
    inline_locals,
    inline_calls,
    replace_terms,
    store_early,
    plain_writes,
    whole_writes,
    simplify_constants,
    narrow,
)
"""In the order in which they are tried: what takes most away comes first."""
