"""The same kernel agrees with itself: across compiler options, neighbours, launch sizes, devices and spellings.

The key insight: nothing has to be known about what a kernel means to see that two ways to run it differ. How far
they may differ follows from the shadows: where only exact operations led to an element its bits must agree, elsewhere
both ways may be off by what the reference allows. With fused multiply-adds no operation is exact any more, and shadows
say so (`_Contracted`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import warp as wp

from extract.build import BuildFailure, Target
from extract.compile import BlockBuild, Compiled, CompileOptions, Handle, compile_block, release
from extract.launch import run
from grammar.defects import WIDENING
from grammar.emit import emit
from grammar.floats import FLOATING
from grammar.inputs import column, regular, shape_of
from grammar.layout import Inputs, Mask
from grammar.limits import has_gradient, limitation
from grammar.op import Lanes, Op
from grammar.params import Role
from grammar.plain import run_plain
from grammar.rewrites import REWRITES, Rewrite
from grammar.slots import kept
from grammar.tree import (
    Apply,
    Atomic,
    Const,
    For,
    Kernel,
    Thread,
    Var,
    Writing,
    all_terms,
    statements,
)
from grammar.types import FLOATS, Array
from validate.gradient import cotangents, expected_gradients
from validate.oracle import differentiated, flat, values_of
from validate.shadow import Expected, Shadowed, expected, float_inputs, run_shadowed
from validate.specials import joined, special
from validate.tape import Value
from validate.verdict import Outcome, Verdict

SAME = Verdict(Outcome.VERIFIED)
UNROLL = 64
PATTERNS = 12
SIZES = (1, 64, 100)
"""Launches of fewer threads than `WHOLE`, on the same arrays."""
WHOLE = 257

OPTIONS: Mapping[str, CompileOptions] = {
    "O1": CompileOptions(optimization_level=1),
    "O2": CompileOptions(optimization_level=2),
    "O3": CompileOptions(optimization_level=3),
    "fuse_fp": CompileOptions(optimization_level=2, fuse_fp=True),
    "max_unroll": CompileOptions(max_unroll=UNROLL),
    "strided": CompileOptions(both_instantiations=True),
}
"""Axes that are options of the compiler; the other side is `CompileOptions()`."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A kernel and what it is launched with: the ordinary sets of inputs, then one with special values if it may."""

    kernel: Kernel
    lanes: int
    inputs: Inputs
    ordinary: Inputs
    weights: Mapping[str, Lanes]

    @property
    def has_gradient(self) -> bool:
        return has_gradient(self.kernel) and not limitation(self.kernel)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a kernel did: every output over all launches end to end, and the gradients over the ordinary ones."""

    outputs: Mapping[str, Lanes]
    gradients: Mapping[str, Lanes]
    after: Mapping[str, Lanes]
    """The outputs as forward and adjoint launch left them, over the ordinary launches."""


Made = Compiled | BuildFailure
Judge = Callable[[Subject, Compiled], Verdict]


def subject_of(kernel: Kernel, seed: int, lanes: int) -> Subject:
    ordinary = regular(kernel, seed, lanes)
    weights = cotangents(kernel, ordinary, seed)
    return Subject(kernel, lanes, joined(ordinary, special(kernel, seed, lanes)), ordinary, weights)


def check_axes(
    kernels: Sequence[Kernel], seed: int, lanes: int, axes: Sequence[str] | None = None
) -> list[dict[str, Verdict]]:
    """For each kernel and axis: VERIFIED, UNCHECKED (why in `detail`), or which way it disagrees with itself.

    `axes` are names in `AXES`, by default all of them. Kernels that Warp refuses anyway have COMPILE everywhere.
    """
    return compared([subject_of(kernel, seed, lanes) for kernel in kernels], AXES if axes is None else axes)


def compared(subjects: Sequence[Subject], names: Sequence[str]) -> list[dict[str, Verdict]]:
    """As `check_axes`, of subjects, which may differ in seed and lanes."""
    base = _compiled([one.kernel for one in subjects], CompileOptions(), TEXTS)
    try:
        results = [_axis(name, subjects, base) for name in names]
    finally:
        release(base)
    return [dict(zip(names, verdicts, strict=True)) for verdicts in zip(*results, strict=True)]


def check_spellings(
    kernels: Sequence[Kernel], seed: int, lanes: int, rewrites: Mapping[str, Rewrite] = REWRITES
) -> list[dict[str, Verdict]]:
    """For each kernel and rewrite that applies to it: whether both spellings do the same."""
    return spelled([(kernel, seed) for kernel in kernels], lanes, rewrites)


def spelled(
    seeded: Sequence[tuple[Kernel, int]], lanes: int, rewrites: Mapping[str, Rewrite] = REWRITES
) -> list[dict[str, Verdict]]:
    """As `check_spellings`, of kernels with a seed each."""
    kernels = [kernel for kernel, _ in seeded]
    pairs = [(k, name, new) for k, old in enumerate(kernels) for name, how in rewrites.items() if (new := how(old))]
    base = _compiled([*kernels, *(new for _, _, new in pairs)], CompileOptions())
    results: list[dict[str, Verdict]] = [{} for _ in kernels]
    try:
        for (k, name, new), made in zip(pairs, base.kernels[len(kernels) :], strict=True):
            one, other = (subject_of(kernel, seeded[k][1], lanes) for kernel in (kernels[k], new))
            verdict = _both(one, base.kernels[k], made, other=other, exact_gradient=False)
            results[k][name] = _named(verdict, name)
    finally:
        release(base)
    return results


TEXTS = frozenset({Target.CPP, Target.CUDA})


def _compiled(kernels: Sequence[Kernel], options: CompileOptions, texts: frozenset[Target] = frozenset()) -> BlockBuild:
    sources = [(kernel.name, emit(kernel)) for kernel in kernels]
    return compile_block(sources, texts, options)


def _axis(name: str, subjects: Sequence[Subject], base: BlockBuild) -> list[Verdict]:
    if name in OPTIONS:
        return _across_options(name, subjects, base)
    if name in BLOCKS:
        return BLOCKS[name](subjects, base)
    judge = JUDGES[name]
    return [
        _named(judge(one, made), name) if isinstance(made, Compiled) else _refused(made)
        for one, made in zip(subjects, base.kernels, strict=True)
    ]


def _named(verdict: Verdict, axis: str) -> Verdict:
    return replace(verdict, detail=f"{axis}: {verdict.detail}") if verdict.detail else verdict


def _refused(made: BuildFailure) -> Verdict:
    return Verdict(Outcome(made.fault.value), made.message)


# -- running ----------------------------------------------------------------------------------------------------------


def ran(one: Subject, handle: Handle, device: str = "cpu") -> Ran:
    params, lanes = one.kernel.params, one.lanes
    names = [p.name for p in params if p.is_output]
    launches = [run(handle, params, values_of(one.inputs, k), lanes, device) for k in range(one.inputs.launches)]
    outputs = {name: flat([launch.arrays[name] for launch in launches]) for name in names}
    if not has_gradient(one.kernel):
        return Ran(outputs, {}, {})
    each = range(one.ordinary.launches)
    backward = [differentiated(one.kernel, handle, one.ordinary, k, one.weights, device) for k in each]
    floats = [p.name for p in float_inputs(one.kernel)]
    gradients = {name: flat([launch.gradients[name] for launch in backward]) for name in floats}
    return Ran(outputs, gradients, {n: flat([launch.arrays[n] for launch in backward]) for n in names})


def _both(
    one: Subject,
    first: Made,
    second: Made,
    other: Subject | None = None,
    contracted: bool = False,
    exact_gradient: bool = True,
) -> Verdict:
    """Whether two compilations do the same; of the second spelling of a kernel where `other` is given."""
    if isinstance(first, BuildFailure):
        return _refused(first)
    if isinstance(second, BuildFailure):
        return Verdict(Outcome.COMPILE, f"refused where the other is not: {second.message}")
    there = one if other is None else other
    before, after = ran(one, first.handle), ran(there, second.handle)
    verdict = _same_values(one, before, after, contracted)
    if verdict.outcome.is_finding or not (one.has_gradient and there.has_gradient):
        return verdict
    return _same_gradients(one, before, after, contracted or not exact_gradient)


# -- comparing --------------------------------------------------------------------------------------------------------


class _Contracted(Shadowed):
    """Values of which each arithmetic operation may be off by a rounding, exact as the table may call it."""

    def apply(self, op: Op, args: Sequence[Value], active: Mask, within: Op | None = None) -> Value:
        made = super().apply(op, args, active, within)
        if op.result in FLOATS and made.shadow is None:
            made.shadow = self.noisy(op, made.variants, op.exact)
        return made


def shadowed(kernel: Kernel, inputs: Inputs, contracted: bool) -> Shadowed:
    return run_shadowed(kernel, inputs, PATTERNS, _Contracted if contracted else Shadowed)


def _same_values(one: Subject, before: Ran, after: Ran, contracted: bool) -> Verdict:
    if all(_same_bits(before.outputs[name], after.outputs[name]).all() for name in before.outputs):
        return SAME
    reference = shadowed(one.kernel, one.inputs, contracted)
    for name, computed in before.outputs.items():
        allowed = expected(reference, name)
        wrong = allowed.decided & ~_within(allowed, computed, after.outputs[name])
        if wrong.any():
            return Verdict(Outcome.VALUE, _told(name, wrong, computed, after.outputs[name], allowed.tolerance))
    return SAME


def _within(allowed: Expected, one: Lanes, other: Lanes) -> Mask:
    with np.errstate(all="ignore"):
        near = np.abs(one.astype(np.float64) - other.astype(np.float64)) <= 2 * allowed.tolerance
    return np.asarray(_same_bits(one, other) | (near & (allowed.tolerance > 0)) | ~np.isfinite(allowed.tolerance))


def _same_gradients(one: Subject, before: Ran, after: Ran, loose: bool) -> Verdict:
    """To the bit where all is exact and in the same order; otherwise as far as differences of the reference tell."""
    if all(_same_bits(g, after.gradients[name]).all() for name, g in before.gradients.items()):
        return SAME
    reference = shadowed(one.kernel, one.inputs, loose)
    wanted = expected_gradients(one.kernel, one.ordinary, reference, one.weights)
    for name, computed in before.gradients.items():
        allowed = wanted[name]
        away = np.abs(computed.astype(np.float64) - after.gradients[name].astype(np.float64))
        wrong = allowed.decided & ~(away <= 2 * allowed.tolerance)
        if wrong.any():
            told = _told(f"d/d{name}", wrong, computed, after.gradients[name], allowed.tolerance)
            return Verdict(Outcome.GRADIENT, told)
    return SAME


def _same_bits(one: Lanes, other: Lanes) -> Mask:
    """Equal to the bit; a NaN is like any other, but for the poison of what was not written."""
    same = one.view(f"u{one.dtype.itemsize}") == other.view(f"u{one.dtype.itemsize}")
    return np.asarray(same | (np.isnan(one) & np.isnan(other)) if one.dtype.kind in FLOATING else same)


def _told(name: str, wrong: Mask, one: Lanes, other: Lanes, tolerance: Lanes) -> str:
    k = int(np.flatnonzero(wrong)[0])
    count = f"{int(wrong.sum())} of {wrong.size} elements"
    return f"{name}[{k}]: {one[k]:.9g} one way, {other[k]:.9g} the other, {tolerance[k]:.3g} allowed; {count}"


# -- axes that compile the block again -------------------------------------------------------------------------------


def _across_options(name: str, subjects: Sequence[Subject], base: BlockBuild) -> list[Verdict]:
    other = _compiled([one.kernel for one in subjects], OPTIONS[name])
    try:
        return [
            Verdict(Outcome.UNCHECKED, f"{name}: a known defect of Warp comes in")
            if name == "max_unroll" and _casts_counter(one.kernel)
            else _named(_both(one, first, second, contracted=name == "fuse_fp"), name)
            for one, first, second in zip(subjects, base.kernels, other.kernels, strict=True)
        ]
    finally:
        release(other)


def _casts_counter(kernel: Kernel) -> bool:
    """Whether `float64-of-constant` may come in once the loop is unrolled, which it wasn't before."""
    counters = {s.variable for s in statements(kernel.body) if isinstance(s, For) and isinstance(s.stop, Const)}
    casts = [t.args[0] for t in all_terms(kernel) if isinstance(t, Apply) and t.op.name in WIDENING]
    return any(isinstance(term, Var) and term.name in counters for term in casts)


def _beside_others(subjects: Sequence[Subject], base: BlockBuild) -> list[Verdict]:
    """In the reverse order, each kernel has the same text and does the same, to the bit."""
    other = _compiled([one.kernel for one in reversed(subjects)], CompileOptions(), TEXTS)
    try:
        return [
            _named(_codegen(first, second) or _both(one, first, second), "neighbours")
            for one, first, second in zip(subjects, base.kernels, reversed(other.kernels), strict=True)
        ]
    finally:
        release(other)


def _alone(subjects: Sequence[Subject], base: BlockBuild) -> list[Verdict]:
    """Compiled alone, a kernel has the text it has among others."""
    verdicts = []
    for one, first in zip(subjects, base.kernels, strict=True):
        own = _compiled([one.kernel], CompileOptions(), TEXTS)
        verdicts.append(_named(_codegen(first, own.kernels[0]) or SAME, "codegen"))
        release(own)
    return verdicts


def _codegen(first: Made, second: Made) -> Verdict | None:
    """What is wrong if code generation is not deterministic; None if the text is the same."""
    if isinstance(first, BuildFailure) or isinstance(second, BuildFailure):
        return _refused(first) if isinstance(first, BuildFailure) else None
    differing = [piece for piece, text in first.build.ir.items() if text != second.build.ir[piece]]
    return Verdict(Outcome.COMPILE, f"the text of {', '.join(differing)} depends on its block") if differing else None


def _forward_with(axis: str, options: CompileOptions) -> Callable[[Sequence[Subject], BlockBuild], list[Verdict]]:
    """Compiled without its adjoint, a kernel computes the same."""

    def across(subjects: Sequence[Subject], base: BlockBuild) -> list[Verdict]:
        other = _compiled([one.kernel for one in subjects], options)
        try:
            return [
                _refused(made) if isinstance(made, BuildFailure) else _named(_forward(one, made, second), axis)
                for one, made, second in zip(subjects, base.kernels, other.kernels, strict=True)
            ]
        finally:
            release(other)

    return across


def _forward(one: Subject, first: Compiled, second: Made) -> Verdict:
    if isinstance(second, BuildFailure):
        return Verdict(Outcome.COMPILE, f"refused without its adjoint: {second.message}")
    names = [p.name for p in one.kernel.params if p.is_output]
    for k in range(one.inputs.launches):
        here, there = (run(m.handle, one.kernel.params, values_of(one.inputs, k), one.lanes) for m in (first, second))
        for name in names:
            wrong = ~_same_bits(here.arrays[name], there.arrays[name])
            if wrong.any():
                return Verdict(
                    Outcome.VALUE, _told(name, wrong, here.arrays[name], there.arrays[name], np.zeros(wrong.size))
                )
    return SAME


# -- axes of one compilation -----------------------------------------------------------------------------------------


def _adjoint_launch(one: Subject, made: Compiled) -> Verdict:
    """What forward launch and adjoint leave in the outputs is what the forward launch alone does."""
    done = ran(one, made.handle)
    for name, left in done.after.items():
        alone = done.outputs[name][: left.size]
        wrong = ~_same_bits(alone, left)
        if wrong.any():
            return Verdict(Outcome.VALUE, _told(name, wrong, alone, left, np.zeros(wrong.size)))
    return SAME


def _launch_sizes(one: Subject, made: Compiled) -> Verdict:
    """Fewer threads on the same arrays do what the first of many do, and leave the rest alone."""
    own = _own_elements(one.kernel)
    if not own:
        return Verdict(Outcome.UNCHECKED, "no output has an element per thread")
    params = one.kernel.params
    columns: dict[str, Any] = {name: value[0] for name, value in one.ordinary.scalars.items()}
    for param in params:
        if param.role is Role.OFFSETS:
            columns[param.name] = column(param, 0, WHOLE)[0]
        elif isinstance(param.type, Array):
            given = one.ordinary.arrays[param.name][0]
            columns[param.name] = np.resize(given, (*shape_of(param, WHOLE), *given.shape[param.type.dimensions :]))
    if run_plain(one.kernel, _as_inputs(one.kernel, columns)).undefined.any():
        return Verdict(Outcome.UNCHECKED, "undefined with that many threads")
    whole = run(made.handle, params, columns, WHOLE).arrays
    for lanes in SIZES:
        part = run(made.handle, params, columns, lanes).arrays
        for name in own:
            wanted = np.concatenate([whole[name][:lanes], columns[name][lanes:]])
            wrong = ~_same_bits(wanted, part[name]).reshape(-1)
            if wrong.any():
                told = _told(name, wrong, wanted.reshape(-1), part[name].reshape(-1), np.zeros(wrong.size))
                return Verdict(Outcome.VALUE, f"{lanes} threads: {told}")
    return SAME


def _own_elements(kernel: Kernel) -> list[str]:
    """The outputs that each thread writes at its own index only; none of a grid, whose shape hangs on its size."""
    thread = kernel.body[0]
    assert isinstance(thread, Thread)
    if thread.others:
        return []
    shared = {
        stmt.array
        for stmt in statements(kernel.body)
        if isinstance(stmt, Writing) and (isinstance(stmt, Atomic) or not _is_var(stmt.index, thread.name))
    }
    return [p.name for p in kernel.params if p.role in (Role.OUT, Role.ACCUMULATOR) and p.name not in shared]


def _is_var(term: object, name: str) -> bool:
    return isinstance(term, Var) and term.name == name


def _as_inputs(kernel: Kernel, columns: Mapping[str, Any]) -> Inputs:
    arrays = {p.name: columns[p.name][np.newaxis] for p in kernel.params if isinstance(p.type, Array)}
    scalars = {p.name: np.asarray([columns[p.name]]) for p in kernel.params if not isinstance(p.type, Array)}
    return Inputs(WHOLE, arrays, scalars)


def _cuda(one: Subject, made: Compiled) -> Verdict:
    """On a GPU the kernel computes what it does on the CPU."""
    if not wp.is_cuda_available():
        return Verdict(Outcome.UNCHECKED, "there is no CUDA device")
    here, there = (_in_any_order(one, ran(one, made.handle, device)) for device in ("cpu", "cuda:0"))
    verdict = _same_values(one, here, there, contracted=False)
    if verdict.outcome.is_finding or not one.has_gradient:
        return verdict
    return _same_gradients(one, here, there, loose=True)


def _in_any_order(one: Subject, done: Ran) -> Ran:
    """With what threads keep in the order in which they come sorted, launch by launch."""
    ordered = {name: np.sort(done.outputs[name].reshape(one.inputs.launches, -1)) for name in kept(one.kernel)}
    return replace(done, outputs={**done.outputs, **{name: each.reshape(-1) for name, each in ordered.items()}})


# Warp's adjoint of `x.shape` empties the shape of the gradient of x, so that in debug mode, which checks bounds, the
# adjoint of an element read before it ends the process (corpus/regressions/elsewhere): there only values are compared.
BLOCKS: Mapping[str, Callable[[Sequence[Subject], BlockBuild], list[Verdict]]] = {
    "neighbours": _beside_others,
    "codegen": _alone,
    "forward only": _forward_with("forward only", CompileOptions(enable_backward=False)),
    "debug": _forward_with("debug", CompileOptions(mode="debug", enable_backward=False)),
}
JUDGES: Mapping[str, Judge] = {"adjoint launch": _adjoint_launch, "launch sizes": _launch_sizes, "cuda": _cuda}
AXES: tuple[str, ...] = (*OPTIONS, *BLOCKS, *JUDGES)
"""All that a kernel can be compared with itself across."""
