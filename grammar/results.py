"""Outputs in arrays of structs: stored field by field, or as a whole that was made or changed before.

The key insight: a store to a field and an assignment to that of a local differ in their names, so one becomes the other
wherever all fields have certainly been given a value when the struct is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from grammar.choose import Choose, chance, pick
from grammar.fields import free_names, is_record, taken_names, under
from grammar.names import COMPOSITE_ROLES, RESULTS, NameRole, name_for
from grammar.params import Param, Role, Struct
from grammar.paths import ELEMENT, leaf, root
from grammar.rebuild import with_statements
from grammar.tree import (
    Apply,
    Assign,
    AugAssign,
    Fieldwise,
    For,
    If,
    Kernel,
    Read,
    Stmt,
    Store,
    Term,
    Thread,
    Var,
    While,
    statements,
    terms_in,
)
from grammar.types import BOOL, INTEGERS, Composite, Element


def with_results(choose: Choose, kernel: Kernel) -> Kernel:
    """Outputs as the fields of an array of structs, of the class that is read or one of their own."""
    outputs = [p for p in kernel.params if p.role is Role.OUT and is_record(kernel, p)]
    known = next((struct for struct in kernel.structs if struct.path.endswith(ELEMENT)), None)
    if known is not None and (fields := _matched(kernel, known, outputs)) and chance(choose, 0.8):
        return _of_known_class(choose, kernel, known, fields)
    found = free_names(choose, kernel, RESULTS)
    if len(outputs) < 2 or found is None:
        return kernel
    path, taken = f"{found.path}{ELEMENT}", taken_names(kernel)
    fields = {}
    for output in outputs:
        fields[output.name] = name_for(_field_role(output.element), choose, taken | set(fields.values()))
    made = under(kernel, path, fields, Struct(path, found.name))
    return _stored_whole(made, made.structs[-1], found.one) if chance(choose, 0.7) else made


def _field_role(type: Element) -> NameRole:
    if isinstance(type, Composite):
        return COMPOSITE_ROLES[type.kind][2]
    return "flag" if type is BOOL else "local_int" if type in INTEGERS else "local"


def _matched(kernel: Kernel, struct: Struct, outputs: Sequence[Param]) -> dict[str, str]:
    """A field of the struct for each output, by name; none if there is not one for all."""
    free = [param for param in kernel.params if root(param.name) == struct.path]
    fields = {}
    for output in outputs:
        field = next((param for param in free if param.element is output.element), None)
        if field is None:
            return {}
        free.remove(field)
        fields[output.name] = leaf(field.name)
    return fields


def _of_known_class(choose: Choose, kernel: Kernel, known: Struct, fields: Mapping[str, str]) -> Kernel:
    """Outputs in structs of the class that is read; fields that nothing is stored to are copied."""
    plural = known.path.removesuffix(ELEMENT)
    taken = taken_names(kernel)
    names = [name for name in ("out", f"new_{plural}", f"{plural}_out", f"next_{plural}") if name not in taken]
    path = f"{pick(choose, names)}{ELEMENT}"
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    made = under(kernel, path, fields, Struct(path, known.name))
    inputs = [param for param in kernel.params if root(param.name) == known.path]
    outputs = [Param(f"{path}.{leaf(p.name)}", p.type, Role.OUT, -1.0, 1.0) for p in inputs]
    others = tuple(param for param in made.params if root(param.name) != path)
    copied = [p for p in inputs if leaf(p.name) not in fields.values()]
    load = next((s for s in made.body if isinstance(s, Fieldwise) and s.struct == known.name), None)
    sources = {p.name: Var(f"{load.target}.{leaf(p.name)}", p.element) for p in copied} if load else {}
    copies = tuple(
        Store(f"{path}.{leaf(p.name)}", thread.own, sources.get(p.name) or Read(p.name, thread.own, p.element))
        for p in copied
    )
    made = replace(made, params=(*others, *outputs), body=(*made.body, *copies))
    if load is not None:
        made = replace(made, body=_with_fields(made.body, load, copied, thread.own, path))
    struct = made.structs[-1]
    if load is not None and chance(choose, 0.6) and (updated := _updated(made, struct, load.target)) is not None:
        return updated
    return _stored_whole(made, struct, "s") if chance(choose, 0.8) else made


def _with_fields(
    body: tuple[Stmt, ...], load: Fieldwise, more: Sequence[Param], index: Term, path: str
) -> tuple[Stmt, ...]:
    """The body with more fields read by the load, which comes before what is stored."""
    known = {stmt.name for stmt in load.body if isinstance(stmt, Assign)}
    added = [Assign(f"{load.target}.{leaf(p.name)}", Read(p.name, index, p.element)) for p in more]
    fuller = replace(load, body=(*load.body, *(stmt for stmt in added if stmt.name not in known)))
    first = next(k for k, stmt in enumerate(body) if stmt is load or any(_stores_to((stmt,), path)))
    rest = (stmt for stmt in body[first:] if stmt is not load)
    return (*body[:first], fuller, *rest)


def _stored_whole(kernel: Kernel, struct: Struct, stem: str) -> Kernel:
    """`s = Body()`, `s.x = …`, `out[i] = s` in place of `out[i].x = …`, where all fields are certainly stored to."""
    taken = taken_names(kernel)
    local = next((name for name in (stem, stem[0], f"new_{stem}") if name not in taken), None)
    places = [k for k, stmt in enumerate(kernel.body) if any(_stores_to((stmt,), struct.path))]
    if local is None or not all(_is_certain(kernel.body[k], struct.path) for k in places):
        return kernel
    body = _with_fields_given(kernel.body, struct.path, local)
    first, last = places[0], places[-1] + 1
    made = Fieldwise(struct.name, local)
    stored = _stored(kernel, struct, local)
    return replace(kernel, body=(*body[:first], made, *body[first:last], stored, *body[last:]))


def _updated(kernel: Kernel, struct: Struct, local: str) -> Kernel | None:
    """`p.x = …`, `out[i] = p` of a struct that was loaded; None where a field is read after it was given a value."""
    if not all(_is_certain(stmt, struct.path) for stmt in kernel.body if any(_stores_to((stmt,), struct.path))):
        return None
    assigned: set[str] = set()
    given = {f"{local}.{leaf(store.array)}" for store in _stores_to(kernel.body, struct.path)}
    if given & _read_in_loops(kernel.body):
        return None  # as Warp's adjoint of loops at run time would take what was given for what was read
    for stmt in kernel.body:
        if assigned & {term.name for term in terms_in((stmt,)) if isinstance(term, Var)}:
            return None
        assigned |= {f"{local}.{leaf(store.array)}" for store in _stores_to((stmt,), struct.path)}
    kept = tuple(stmt for stmt in kernel.body if not _is_copy(stmt, struct.path, local))
    body = _with_fields_given(kept, struct.path, local)
    return replace(kernel, body=(*body, _stored(kernel, struct, local)))


def _read_in_loops(body: tuple[Stmt, ...]) -> set[str]:
    loops = tuple(stmt for stmt in statements(body) if isinstance(stmt, For | While))
    return {term.name for term in terms_in(loops) if isinstance(term, Var)}


def _is_copy(stmt: Stmt, path: str, local: str) -> bool:
    """Whether a field of a local is stored as it is."""
    match stmt:
        case Store(array, _, Var(name, _)):
            return root(array) == path and name == f"{local}.{leaf(array)}"
        case _:
            return False


def _stores_to(body: tuple[Stmt, ...], path: str) -> Iterator[Store]:
    return (stmt for stmt in statements(body) if isinstance(stmt, Store) and root(stmt.array) == path)


def _is_certain(stmt: Stmt, path: str) -> bool:
    """Whether the statement stores, or stores one field whichever way it goes."""
    match stmt:
        case Store():
            return True
        case If(_, (Store(one, _, _),), (Store(other, _, _),)):
            return one == other
        case _:
            return not any(_stores_to((stmt,), path))


def _with_fields_given(body: tuple[Stmt, ...], path: str, local: str) -> tuple[Stmt, ...]:
    """The body with fields of a local that are given values in place of stores."""

    def given(stmt: Stmt) -> tuple[Stmt, ...]:
        if isinstance(stmt, Store) and root(stmt.array) == path:
            return (_given(f"{local}.{leaf(stmt.array)}", stmt.value),)
        return (stmt,)

    return with_statements(body, given)


def _given(name: str, value: Term) -> Stmt:
    """`p.v += a` rather than `p.v = p.v + a`."""
    match value:
        case Apply(op, (Var(own, _), other)) if own == name and op.name == "add" and op.params[1] is op.result:
            return AugAssign(name, op, other)
        case _:
            return Assign(name, value)


def _stored(kernel: Kernel, struct: Struct, local: str) -> Fieldwise:
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    fields = [param for param in kernel.params if root(param.name) == struct.path]
    stores = (Store(p.name, thread.own, Var(f"{local}.{leaf(p.name)}", p.element)) for p in fields)
    return Fieldwise(struct.name, struct.path, tuple(stores))
