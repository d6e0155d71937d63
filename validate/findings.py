"""Findings on disk: what is wrong with which kernel, and a program that shows it to others.

The key insight: a finding is a kernel and how it was launched; all else follows from these, the expected numbers too,
so a finding can be told, replayed and reduced anywhere. Its name is its outcome and the hash of the kernel's canonical
form, so that the same failure has one file however often it is found.
"""

from __future__ import annotations

import json
import os
import pprint
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import libcst as cst
import numpy as np

from extract.options import DEFAULT, CompileOptions
from grammar.canon import canonical_hash
from grammar.emit import emit
from grammar.errors import UserError, refused
from grammar.inputs import REGULAR_SETS, regular
from grammar.layout import Inputs
from grammar.limits import has_gradient
from grammar.op import Lanes
from grammar.params import Param
from grammar.paths import ELEMENT, within
from grammar.serial import kernel_of, plain_of
from grammar.tiles import is_tile, laid_out
from grammar.tree import Kernel
from grammar.types import Array, Composite
from validate.gradient import CLOSER, cotangents, expected_gradients
from validate.oracle import PATTERNS, values_of
from validate.shadow import expected, float_inputs, run_shadowed
from validate.specials import joined, special
from validate.verdict import Outcome

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement

VERSION = 1
DIGITS = 16
"""Of the hash that a finding's file is named by."""
SECONDS = 60.0
"""What a reproducer of a hang or a crash gives the kernel to compile and run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one kernel did wrong, and how it was launched."""

    outcome: Outcome
    detail: str
    """The first number that is wrong, or the message."""
    kernel: Kernel
    seed: int
    """Of the inputs."""
    lanes: int
    options: CompileOptions = DEFAULT
    settings: Mapping[str, object] = field(default_factory=dict)
    """Where it comes from: plain JSON of whoever found it."""

    @property
    def name(self) -> str:
        return f"{self.outcome.value}-{canonical_hash(self.kernel)[:DIGITS]}"


# -- files ------------------------------------------------------------------------------------------------------------


def plain_finding(finding: Finding) -> dict[str, Any]:
    """All of the finding as what `json.dumps` takes."""
    return {
        "version": VERSION,
        "outcome": finding.outcome.value,
        "detail": finding.detail,
        "seed": finding.seed,
        "lanes": finding.lanes,
        "options": asdict(finding.options),
        "settings": dict(finding.settings),
        "kernel": plain_of(finding.kernel),
    }


def save(folder: Path, finding: Finding) -> Path:
    """Writes `NAME.json` and `NAME.py` into the folder; returns the path of the former. Raises UserError."""
    return save_as(folder / f"{finding.name}.json", finding)


def save_as(path: Path, finding: Finding) -> Path:
    """Writes the finding to `path`, a .json, and its reproducer beside it, a .py. Raises UserError."""
    write(path.with_suffix(".py"), reproducer(finding))
    write(path, json.dumps(plain_finding(finding), indent=1) + "\n")
    return path


def load(path: Path) -> Finding:
    """The finding in a file. Raises UserError where there is none."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise refused(path, "read", error) from error
    except ValueError as error:
        raise UserError(f"{path} holds no finding: {error}") from error
    try:
        return finding_of(plain)
    except UserError as error:
        raise UserError(f"{path} holds no finding that can be used: {error}") from error


def finding_of(plain: object) -> Finding:
    """The finding that `plain_finding` wrote. Raises UserError."""
    if not isinstance(plain, dict) or "outcome" not in plain:
        raise UserError("it has no outcome")
    if plain.get("kernel") is None:
        raise UserError("it has no kernel: growing it failed already")
    if plain.get("version") != VERSION:
        raise UserError(f"its version is {plain.get('version')!r}, not {VERSION}")
    try:
        options = {f.name: plain["options"][f.name] for f in fields(CompileOptions)}
        numbers = {name: int(plain[name]) for name in ("seed", "lanes")}
        outcome, detail, settings = Outcome(plain["outcome"]), str(plain["detail"]), dict(plain["settings"])
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{type(error).__name__}: {error}") from error
    return Finding(
        outcome, detail, kernel_of(plain["kernel"]), **numbers, options=CompileOptions(**options), settings=settings
    )


def write(path: Path, text: str) -> None:
    """Writes the whole file or nothing. Raises UserError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise refused(path, "write", error) from error


# -- reproducers ------------------------------------------------------------------------------------------------------


def reproducer(finding: Finding) -> str:
    """A program that needs only Warp and NumPy, and exits 0 while the bug stands.

    It is the kernel, the data of the launch at fault and the text of `validate/reproducer_driver.py`, one after the
    other. Raises nothing: where the reference can't tell what to expect, the program has nothing to compare with.
    """
    told = f"{finding.outcome.value}: {' '.join(finding.detail.split())}\n\nExits 0 while this stands, else 1."
    case = pprint.pformat(case_of(finding), width=116, compact=True, sort_dicts=False)
    driver = files("validate").joinpath("reproducer_driver.py").read_text(encoding="utf-8")
    docstring, *rest = cst.parse_module(driver).body
    body = [
        docstring.with_changes(body=[cst.Expr(cst.SimpleString(_quoted(told)))]),
        *(part for stmt in rest for part in _filled(stmt, finding.kernel, case)),
    ]
    return cst.Module(body).code


def _filled(stmt: Statement, kernel: Kernel, case: str) -> Sequence[Statement]:
    """A statement of the driver; in place of its empty `CASE`, the kernel and the data."""
    match stmt:
        case cst.SimpleStatementLine(body=[cst.AnnAssign(target=cst.Name("CASE")) as given]):
            _, *parts = cst.parse_module(emit(kernel)).body  # all but the import of Warp
            return [*parts, stmt.with_changes(body=[given.with_changes(value=cst.parse_expression(case))])]
        case _:
            return [stmt]


def _quoted(text: str) -> str:
    """A docstring of several lines."""
    return '"""' + text.replace("\\", "/").replace('"', "'") + '"""'


def case_of(finding: Finding) -> dict[str, Any]:
    """What `validate.reproducer_driver` needs to know, as literals."""
    kernel, launch = finding.kernel, _launch_at_fault(finding)
    inputs = _only(inputs_of(finding), launch)
    values = values_of(inputs, 0)
    case: dict[str, Any] = {
        "outcome": finding.outcome.value,
        "kernel": kernel.name,
        "lanes": finding.lanes,
        "options": finding.options.module_options(),
        "seconds": SECONDS,
        "arguments": {p.name: _typed(p, values[p.name]) for p in kernel.params},
        "arrays": [p.name for p in kernel.params if isinstance(p.type, Array)],
        "written": [p.name for p in kernel.params if p.is_output],
        "structs": {struct.path: struct.name for struct in kernel.structs},
        "shapes": {path: _shape(kernel, path, values) for path in records(kernel)},
        "cotangents": {},
        "outputs": {},
        "gradients": {},
    }
    match finding.outcome:
        case Outcome.VALUE | Outcome.STRAY_WRITE:
            return case | {"outputs": _outputs(kernel, inputs)}
        case Outcome.GRADIENT | Outcome.CRASH | Outcome.TIMEOUT if has_gradient(kernel) and launch < REGULAR_SETS:
            weights = cotangents(kernel, regular(kernel, finding.seed, finding.lanes), finding.seed)
            own = {name: weight[launch : launch + 1] for name, weight in weights.items()}
            given = {name: _typed(kernel.param(name), weight[0]) for name, weight in own.items()}
            wanted = _gradients(kernel, inputs, own) if finding.outcome is Outcome.GRADIENT else {}
            return case | {"cotangents": given, "gradients": wanted}
        case _:
            return case


def records(kernel: Kernel) -> list[str]:
    """The paths of its arrays of structs."""
    return [struct.path for struct in kernel.structs if struct.path.endswith(ELEMENT)]


def _shape(kernel: Kernel, path: str, values: Mapping[str, Lanes]) -> tuple[int, ...]:
    """Of an array of structs."""
    first = next(param for param in kernel.params if within(param.name, path))
    assert isinstance(first.type, Array)
    return np.shape(values[first.name])[: first.type.dimensions]


def inputs_of(finding: Finding) -> Inputs:
    """All launches that the checks make."""
    usual = regular(finding.kernel, finding.seed, finding.lanes)
    return joined(usual, special(finding.kernel, finding.seed, finding.lanes))


def _launch_at_fault(finding: Finding) -> int:
    """The number of the launch that the detail speaks of, which counts elements over all launches; else the first."""
    told, closing, _ = finding.detail.replace(ELEMENT, "").partition("]")
    name, bracket, number = told.removeprefix("d/d").partition("[")
    names = {p.name.replace(ELEMENT, ""): p for p in finding.kernel.params if isinstance(p.type, Array)}
    param = names.get(name)
    if not (bracket and closing and number.isdecimal() and param):
        return 0
    inputs = inputs_of(finding)
    launch = int(number) // inputs.arrays[param.name][0].size
    return launch if launch < inputs.launches else 0


def _only(inputs: Inputs, launch: int) -> Inputs:
    here = slice(launch, launch + 1)
    arrays = {name: array[here] for name, array in inputs.arrays.items()}
    return Inputs(inputs.lanes, arrays, {name: value[here] for name, value in inputs.scalars.items()})


def _outputs(kernel: Kernel, inputs: Inputs) -> dict[str, tuple[list[Any], list[Any]]]:
    """By name: what must stand there, and how far off it may be."""
    shadowed = run_shadowed(kernel, inputs, PATTERNS[-1])
    wanted = {p.name: expected(shadowed, p.name) for p in kernel.params if p.is_output}
    return {name: _compared(kernel, inputs, name, e.lanes, e.tolerance, e.decided) for name, e in wanted.items()}


def _gradients(kernel: Kernel, inputs: Inputs, weights: Mapping[str, Lanes]) -> dict[str, tuple[list[Any], list[Any]]]:
    wanted = expected_gradients(kernel, inputs, run_shadowed(kernel, inputs, CLOSER), weights)
    results = {p.name: wanted[p.name] for p in float_inputs(kernel)}
    return {name: _compared(kernel, inputs, name, e.value, e.tolerance, e.decided) for name, e in results.items()}


def _compared(kernel: Kernel, inputs: Inputs, name: str, *found: Lanes) -> tuple[list[Any], list[Any]]:
    """Values, tolerances and where they are decided, of the one launch there is."""
    type, shape = kernel.param(name).type, inputs.arrays[name].shape[1:]
    assert isinstance(type, Array)
    wanted, tolerance, decided = (laid_out(one.reshape(shape), type).reshape(-1) for one in found)
    known = decided & np.isfinite(tolerance)
    return _literal(wanted), [float(f"{t:.3g}") for t in np.where(known, tolerance, np.inf).tolist()]


def _typed(param: Param, values: Lanes) -> tuple[str, str, Any]:
    """The names of the type of an element and of its scalars, and the values; those of a matrix row by row."""
    element, values = param.element, np.asarray(values)
    if isinstance(param.type, Array) and is_tile(element):
        element, values = element.element, laid_out(values, param.type)
    if isinstance(element, Composite):
        values = values.reshape(*values.shape[:-1], *element.shape)
    return element.spelling if element.is_own else element.name, element.dtype.name, _literal(values)


def _literal(values: Lanes) -> Any:
    """The values as Python's, in as few digits as tell them apart in their own precision."""
    if values.dtype != np.float32:
        return values.tolist()
    return [_literal(value) for value in values] if values.ndim else float(str(values))
