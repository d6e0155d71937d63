"""Structs about what a kernel takes and gives: parameters gathered under one name, results in an array of structs.

The key insight: a struct changes how a kernel is written and nothing that it computes. So a kernel is grown without,
and only then some of its parameters become fields; inputs keep their values, which hang on the names of the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from grammar.choose import Choose, chance, weighted
from grammar.derive import differentiated
from grammar.fields import body_renamed, by_table, free_names, is_record, taken_names, under
from grammar.names import RECORDS, SETTINGS, STATES, WITHIN, StructNames
from grammar.outline import bound_in, outlined_parts
from grammar.params import Role, Struct
from grammar.paths import ELEMENT, leaf, root, within
from grammar.rebuild import with_all_terms
from grammar.results import with_results
from grammar.tiles import is_tile
from grammar.tree import (
    Assign,
    AugAssign,
    AugStore,
    Fieldwise,
    Function,
    Invoke,
    Kernel,
    Read,
    Stmt,
    Term,
    Thread,
    Var,
    all_functions,
    bodies,
    statements,
    terms_in,
)
from grammar.types import Array, Element

COUNTERS = "ijkmn"
"""What nobody calls a struct."""
SHARE = 0.06
"""Of the kernels, those in which something is gathered where the family doesn't ask for it."""


def gathered(choose: Choose, kernel: Kernel, always: bool) -> Kernel:
    """The kernel with structs, if it is to have any and has something for them."""
    if outlined_parts(kernel) or not (always or chance(choose, SHARE)):
        return kernel
    ways: list[tuple[Way, float]] = [(_records, 5.0), (_settings, 3.0), (_state, 2.0)]
    first = weighted(choose, [(way, 20.0 * weight if always and way is _records else weight) for way, weight in ways])
    others = [way for way, _ in ways if way is not first]
    made = first(choose, kernel)
    for way in others:
        if made is kernel or chance(choose, 0.25):
            made = way(choose, made)
    return _passed_on(choose, made)


Way = Callable[[Choose, Kernel], Kernel]
"""Gathers something, or gives the very kernel back."""


# -- structs by value -------------------------------------------------------------------------------------------------


def _settings(choose: Choose, kernel: Kernel) -> Kernel:
    """`params.dt`: numbers in a struct, perhaps some of them in another one within."""
    numbers = [p.name for p in kernel.params if not isinstance(p.type, Array) and "." not in p.name]
    found = free_names(choose, kernel, SETTINGS)
    if len(numbers) < 2 or found is None:
        return kernel
    return _passed_together(choose, kernel, numbers, found)


def _state(choose: Choose, kernel: Kernel) -> Kernel:
    """`state.x[i]`: arrays in a struct, outputs among them now and then, and what is with them."""
    written = chance(choose, 0.4)
    arrays = [p.name for p in kernel.params if isinstance(p.type, Array) and (written or not p.is_output)]
    arrays = [name for name in arrays if "." not in name and name not in _written_oddly(kernel)]
    found = free_names(choose, kernel, STATES)
    if len(arrays) < 2 or found is None:
        return kernel
    numbers = [p.name for p in kernel.params if not isinstance(p.type, Array) and "." not in p.name]
    return _passed_together(choose, kernel, [*arrays, *(numbers if chance(choose, 0.3) else ())], found)


def _written_oddly(kernel: Kernel) -> set[str]:
    """Arrays that Warp doesn't write to as fields: no `state.x[i] *= 2.0`, no `wp.tile_store(state.x, t)`."""
    scaled = {stmt.array for stmt in statements(kernel.body) if isinstance(stmt, AugStore) and stmt.kind is None}
    return scaled | {param.name for param in kernel.params if param.is_output and is_tile(param.element)}


def _passed_together(choose: Choose, kernel: Kernel, names: Sequence[str], found: StructNames) -> Kernel:
    path, name, _ = found
    structs, fields = [Struct(path, name)], {each: each for each in names}
    inner = free_names(choose, kernel, WITHIN)
    if len(names) > 2 and inner is not None and inner.name != name and chance(choose, 0.25):
        count = 2 if len(names) == 3 else 2 + choose(len(names) - 3)
        fields |= {each: f"{inner.path}.{each}" for each in names[-count:]}
        structs.append(Struct(f"{path}.{inner.path}", inner.name))
    return under(kernel, path, fields, *structs)


# -- arrays of structs ------------------------------------------------------------------------------------------------


def _records(choose: Choose, kernel: Kernel) -> Kernel:
    """`particles[i].x`: what there is one of for each thread, read, written, or both."""
    made = kernel
    inputs = [p for p in kernel.params if p.role in (Role.VALUE, Role.INDEX) and is_record(kernel, p)]
    found = free_names(choose, kernel, RECORDS)
    if len(inputs) > 1 and found is not None:
        path = f"{found.path}{ELEMENT}"
        made = under(made, path, {p.name: p.name for p in inputs}, Struct(path, found.name))
        made = _loaded(choose, made, made.structs[-1], found.one)
    return with_results(choose, made)


def _loaded(choose: Choose, kernel: Kernel, struct: Struct, stem: str) -> Kernel:
    """`p = particles[i]` before the first statement that reads a field of the thread's own element."""
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    if not chance(choose, 0.7):
        return kernel
    fields = _read_at(kernel.body, struct.path, thread.own)
    taken = taken_names(kernel)
    name = next((one for one in (stem[0], stem) if one not in taken and one not in COUNTERS), None)
    if not fields or name is None:
        return kernel
    place = next(k for k, stmt in enumerate(kernel.body) if _read_at((stmt,), struct.path, thread.own))
    load = Fieldwise(
        struct.name,
        name,
        tuple(Assign(f"{name}.{leaf(array)}", Read(array, thread.own, type)) for array, type in fields.items()),
    )
    after = _with_local(kernel.body[place:], fields, thread.own, name)
    return replace(kernel, body=(*kernel.body[:place], load, *after))


def _read_at(body: tuple[Stmt, ...], path: str, index: Term) -> dict[str, Element]:
    """The fields that are read of the element at an index, with their types."""
    reads = (term for term in terms_in(body) if isinstance(term, Read))
    return {read.array: read.type for read in reads if root(read.array) == path and read.index == index}


def _with_local(body: tuple[Stmt, ...], arrays: Mapping[str, Element], index: Term, name: str) -> tuple[Stmt, ...]:
    def of_term(term: Term) -> Term:
        if isinstance(term, Read) and term.array in arrays and term.index == index:
            return Var(f"{name}.{leaf(term.array)}", term.type)
        return term

    return with_all_terms(body, of_term)


# -- functions --------------------------------------------------------------------------------------------------------


def _passed_on(choose: Choose, kernel: Kernel) -> Kernel:
    """`f(p, dt)` in place of `f(p.x, p.v, dt)`, of structs that were loaded."""
    for load in kernel.body:
        if isinstance(load, Fieldwise) and load.body and not load.target.endswith(ELEMENT):
            for function in all_functions(kernel):
                if chance(choose, 0.7):
                    kernel = _passed_to(kernel, load, function)
    return kernel


def _passed_to(kernel: Kernel, load: Fieldwise, function: Function) -> Kernel:
    calls = [t for body in bodies(kernel) for t in terms_in(body) if isinstance(t, Invoke) and t.function == function]
    if not calls or function in differentiated(kernel):
        return kernel
    places = [
        k for k in range(len(function.params)) if len({_field_of(call.args[k], load.target) for call in calls}) == 1
    ]
    fields = {k: field for k in places if (field := _field_of(calls[0].args[k], load.target))}
    own = {f"{load.target}.{field}" for field in fields.values()}
    given = (stmt for stmt in statements(kernel.body) if isinstance(stmt, Assign | AugAssign) and stmt not in load.body)
    if any(stmt.name in own for stmt in given):
        return kernel  # as Warp's adjoint of the call would take what was given for what was passed
    inside = {param.name for param in function.params} | bound_in(function.body)
    if (
        function.others
        or function.generic
        or function.custom
        or any(other.name == function.name for other in all_functions(kernel) if other is not function)
        or len(fields) < 2
        or len(set(fields.values())) < len(fields)
        or load.target in inside
    ):
        return kernel
    order = sorted(range(len(function.params)), key=lambda k: (min(fields) if k in fields else k, k))
    names = {function.params[k].name: f"{load.target}.{field}" for k, field in fields.items()}
    new = by_table(names)
    taking = Function(
        function.name,
        tuple(replace(param, name=new(param.name)) for param in (function.params[k] for k in order)),
        body_renamed(function.body, new),
        function.result,
        structs=(Struct(load.target, load.struct),),
        defaults=function.defaults,
    )

    def called(term: Term) -> Term:
        if isinstance(term, Invoke) and term.function == function:
            return Invoke(taking, tuple(term.args[k] for k in order))
        return term

    return replace(kernel, body=with_all_terms(kernel.body, called))


def _field_of(term: Term, local: str) -> str:
    """The field of the local that a term is; empty for any other."""
    is_field = isinstance(term, Var) and within(term.name, local)
    return leaf(term.name) if isinstance(term, Var) and is_field else ""
