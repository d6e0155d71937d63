"""Whether structs are what they should be: how parameters stand in them, and what is done to them as a whole.

The key insight: a struct is a way of writing. Every field is a parameter or a local of its own, told by its name, so
what a kernel computes is known without structs; here it is checked that it can be written with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from grammar.params import Param, Role
from grammar.paths import ELEMENT, class_fields, root, within
from grammar.tiles import is_tile
from grammar.tree import Assign, Fieldwise, Function, Kernel, Read, Store, Term, Var
from grammar.types import Array, Type

Locals = Mapping[str, str]
"""The structs that are certainly assigned, with their classes."""


def struct_problems(kernel: Kernel) -> Iterator[str]:
    """What is wrong with the structs that the parameters stand in."""
    paths = [struct.path for struct in kernel.structs]
    owners = {owner for param in kernel.params for owner in _owners(param.name)}
    yield from (f"{path} is no struct" for path in sorted(owners.difference(paths)))
    yield from (f"the struct {path} has no fields" for path in sorted(set(paths) - owners))
    if len(set(paths)) < len(paths):
        yield "a struct is declared twice"
    for path in ["", *paths]:
        yield from _scattered(kernel.params, path)
    for struct in kernel.structs:
        if ELEMENT in struct.path:
            yield from _uneven([param for param in kernel.params if within(param.name, struct.path)], struct.path)
    declared: dict[str, list[tuple[str, Type | str]]] = {}
    for struct in kernel.structs:
        fields = list(class_fields(kernel.params, struct, kernel.structs).items())
        if declared.setdefault(struct.name, fields) != fields:
            yield f"{struct.name} is two classes"


def _owners(name: str) -> Iterator[str]:
    """The paths of the structs that a parameter stands in."""
    parts = name.split(".")
    return (".".join(parts[:k]) for k in range(1, len(parts)))


def _scattered(params: Sequence[Param], path: str) -> Iterator[str]:
    """What is passed together stands together."""
    start = len(path) + bool(path)
    inside = [param.name[start:].partition(".")[0] for param in params if not path or within(param.name, path)]
    firsts = [name for name, _ in groupby(inside)]
    yield from (f"{name} stands in several places" for name in sorted(set(firsts)) if firsts.count(name) > 1)


def _uneven(params: Sequence[Param], path: str) -> Iterator[str]:
    """The fields of an array of structs are arrays of one shape, all of them read or all of them written."""
    if not path.endswith(ELEMENT) and path.count(ELEMENT) != 1:
        yield f"{path} is an array within an array"
    shapes = {param.type.dimensions if isinstance(param.type, Array) else 0 for param in params}
    if len(shapes) != 1 or 0 in shapes or any(param.size is not None for param in params):
        yield f"{path} has fields of several shapes"
    if any(param.role not in (Role.VALUE, Role.INDEX, Role.OUT) for param in params):
        yield f"{path} has a field that is neither read nor written"
    if len({param.is_output for param in params}) > 1:
        yield f"{path} is read and written"
    if any(is_tile(param.element) for param in params):
        yield f"{path} has a field that is loaded as tiles"


@dataclass(frozen=True, slots=True)
class Classes:
    """What the structs of a kernel or a function are made of."""

    by_path: Mapping[str, str]
    fields: Mapping[str, Sequence[str]]
    """By class, the names of all that it holds, behind the path of a struct; fields of fields as well."""

    @classmethod
    def of(cls, kernel: Kernel) -> Classes:
        fields = {
            struct.name: [p.name[len(struct.path) + 1 :] for p in kernel.params if within(p.name, struct.path)]
            for struct in kernel.structs
        }
        return cls({struct.path: struct.name for struct in kernel.structs}, fields)

    def problems(self, stmt: Fieldwise, known: Locals) -> Iterator[str]:
        """What is wrong with what is done to a struct as a whole."""
        fields = self.fields.get(stmt.struct)
        if fields is None:
            yield f"there is no struct {stmt.struct}"
            return
        if known.get(stmt.target, stmt.struct) != stmt.struct or "." in stmt.target:
            yield f"{stmt.target} is no {stmt.struct}"
        match stmt.body:
            case ():
                pass
            case (Assign(_, Read(array, index, _)), *_):
                path = array.partition(ELEMENT)[0] + ELEMENT
                wanted = [(f"{stmt.target}.{f}", f"{path}.{f}", index) for f in fields]
                if self.by_path.get(path) != stmt.struct or not {*map(_loaded, stmt.body)} <= {*wanted}:
                    yield f"{stmt.target} is not loaded field by field"
            case (Store(_, index, Var(name, _)), *_):
                stored = [(f"{stmt.target}.{f}", f"{root(name)}.{f}", index) for f in fields]
                if self.by_path.get(stmt.target) != stmt.struct or [*map(_stored, stmt.body)] != stored:
                    yield f"{stmt.target} is not stored field by field"
                if known.get(root(name)) != stmt.struct:
                    yield f"{root(name)} is no {stmt.struct} here"
            case _:
                yield f"{stmt.target} is neither loaded nor stored"

    def passing(self, function: Function, args: Sequence[Term], known: Locals) -> Iterator[str]:
        """What is wrong with the structs that a function is called with."""
        classes = {struct.path: struct.name for struct in function.structs}
        owners: dict[str, tuple[str, Term | None]] = {}
        for param, arg in zip(function.params, args, strict=True):
            path, dot, field = param.name.partition(".")
            if not dot:
                continue
            owner, index, given = _owner(arg)
            own = known.get(owner) or self.by_path.get(owner)
            if own != classes.get(path) or given != field or owners.setdefault(path, (owner, index)) != (owner, index):
                yield f"{function.name} is not called with a {classes.get(path)}"


def _loaded(stmt: Assign | Store) -> tuple[str, str, Term] | None:
    match stmt:
        case Assign(name, Read(array, index, _)):
            return name, array, index
        case _:
            return None


def _stored(stmt: Assign | Store) -> tuple[str, str, Term] | None:
    match stmt:
        case Store(array, index, Var(name, _)):
            return array, name, index
        case _:
            return None


def _owner(term: Term) -> tuple[str, Term | None, str]:
    """The struct that a term is a field of, the index if it is an element, and the field."""
    match term:
        case Var(name, _):
            owner, _, field = name.partition(".")
            return owner, None, field
        case Read(array, index, _) if ELEMENT in array:
            owner, _, field = array.partition(".")
            return owner, index, field
        case _:
            return "", None, ""
