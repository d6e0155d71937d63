"""Pipelines that the runner is tested on: real rows of made-up kernels, with planted crashes, hangs and repetitions.

The key insight: what a pipeline does depends on the index alone, as in the real one, so what a run must come to can be
said without running it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from corpus.row import Identity, Recipe, row_of
from extract.build import PIECES, Build, Target
from grammar.params import Param, Role
from grammar.tree import Const, Kernel, Read, Store, Thread, Var
from grammar.types import F32, I32, Array
from synth.result import BlockResult, Fate, Finding, Pipeline
from synth.settings import Settings
from validate.verdict import GradientLabel, Outcome, Verdict

FACTS = {
    "project": "warpsmith",
    "version": "0",
    "table_digest": "00",
    "warp": "1",
    "llvm": "2",
    "nvrtc": "3",
    "numpy": "4",
    "ml_dtypes": "5",
}
GUILTY = 37
SPACE = 4
"""Number of distinct kernels of the pipelines that run out of them."""
SOON = 4
"""Number of blocks that come before one that never does."""


def kernel(number: int) -> Kernel:
    """`y[i] = x[i]`, or `y[i] = NUMBER` for odd numbers."""
    i = Var("i", I32)
    value = Const(F32, float(number)) if number % 2 else Read("x", i, F32)
    params = (Param("x", Array(F32), Role.VALUE, -1.0, 1.0), Param("y", Array(F32), Role.OUT))
    return Kernel(f"kernel_{number}", params, (Thread("i"), Store("y", i, value)), "math" if number % 3 else "loop")


def row(settings: Settings, index: int, number: int) -> dict[str, Any]:
    """A row as the real pipeline would make it, of about the size of a real one."""
    rng = np.random.default_rng(number)
    lanes = rng.standard_normal(settings.lanes).astype(np.float32)
    pieces = [piece for target in settings.targets for piece in PIECES[target]]
    text = "".join(f"    var_{k} = wp::mul(var_{k}, {number % 997});\n" for k in range(30))
    label = GradientLabel.VERIFIED if number % 5 else GradientLabel.NONE
    grads = {"x": np.ones_like(lanes)} if number % 5 else {}
    verdict = Verdict(
        outcome=Outcome.VERIFIED,
        gradient=label,
        checked=1.0,
        gradient_checked=0.5,
        residual=0.25,
        inputs={"x": lanes, "y": np.full_like(lanes, np.nan)},
        outputs={"y": lanes},
        cotangents={"y": np.ones_like(lanes)},
        gradients=grads,
    )
    build = Build(f"import warp as wp  # {number}\n", {piece: f"// {piece} {number}\n{text}" for piece in pieces})
    shape = blake2b(str(number % 100).encode(), digest_size=16).hexdigest()
    identity = Identity(settings.seed, index, blake2b(str(number).encode(), digest_size=16).hexdigest(), shape)
    recipe = Recipe(settings.profile, settings.depth, settings.lanes, 3, "00", FACTS, {"fuse_fp": False})
    return row_of(identity, recipe, kernel(number), build, verdict)


def number_of(settings: Settings, index: int) -> int | None:
    """Which kernel a candidate is: every seventh is none, every eleventh repeats an earlier one."""
    if index % 7 == 3:
        return None
    return index // 2 if index % 11 == 0 else index + settings.seed


def block_of(
    settings: Settings, block: int, indices: tuple[int, ...], number_of: Callable[[Settings, int], int | None]
) -> BlockResult:
    numbers = [(index, number_of(settings, index)) for index in indices]
    fates = (Fate("dead") if number is None else fate(row(settings, index, number)) for index, number in numbers)
    return BlockResult(block, tuple(fates), {"grow": 0.001})


def fate(made: dict[str, Any]) -> Fate:
    return Fate("verified", made["canonical_hash"], made)


def plain_block(settings: Settings, block: int, indices: tuple[int, ...], _: object = ()) -> BlockResult:
    return block_of(settings, block, indices, number_of)


def knowing_block(settings: Settings, block: int, indices: tuple[int, ...], known: frozenset[str]) -> BlockResult:
    """Passes over what is known, and what it has met itself, as the real one does."""
    met, fates = set(known), list[Fate]()
    for one in plain_block(settings, block, indices).fates:
        fates.append(Fate("duplicate", one.canonical) if one.canonical in met else one)
        met |= {one.canonical} - {""}
    return BlockResult(block, tuple(fates))


def slow_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    time.sleep(0.05)
    return plain_block(settings, block, indices)


def stuck_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    """The first blocks come soon, the others never."""
    if block >= SOON:
        time.sleep(3600)
    return plain_block(settings, block, indices)


def finding_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    """Every 13th candidate is a finding."""
    fates = zip(indices, plain_block(settings, block, indices).fates, strict=True)
    return BlockResult(block, tuple(_wrong(settings, i) if i % 13 == 5 else fate for i, fate in fates))


def _wrong(settings: Settings, index: int) -> Fate:
    finding = Finding("value", "y[3]: 1 ≠ 2", f"# kernel {index}\n", settings.seed, index, "math")
    return Fate("value", f"{index:032x}", None, finding)


def crash_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    if GUILTY in indices:
        os.kill(os.getpid(), signal.SIGSEGV)
    return plain_block(settings, block, indices)


def hang_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    if GUILTY in indices:
        time.sleep(600)
    return plain_block(settings, block, indices)


def innocent_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    """Dies with one block unless it is taken in small pieces, as a worker that runs out of memory."""
    if block == 2 and len(indices) > 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain_block(settings, block, indices)


def doomed_block(*_: object) -> BlockResult:
    os._exit(7)


def few_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    return block_of(settings, block, indices, lambda _, index: index % SPACE)


def false_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    """Says it verified more than it did."""
    first, *others = plain_block(settings, block, indices).fates
    return BlockResult(block, (replace(first, row=None), *others))


def none_block(settings: Settings, block: int, indices: tuple[int, ...], _: object) -> BlockResult:
    return block_of(settings, block, indices, lambda *_: None)


def describe(settings: Settings, index: int) -> Finding:
    return Finding("", "", f"# kernel {index} of {settings.seed}\n", settings.seed, index, "math")


def crash_describe(settings: Settings, index: int) -> Finding:
    os.kill(os.getpid(), signal.SIGSEGV)
    return describe(settings, index)


def start_worker() -> None:
    # What a real worker leaves behind when it is killed.
    Path(os.environ["TMPDIR"], f"cache-{os.getpid()}").mkdir()


def start_badly() -> None:
    raise SystemExit(3)


def facts() -> Mapping[str, str]:
    return FACTS


def other_facts() -> Mapping[str, str]:
    return {**FACTS, "warp": "9"}


def pipeline(
    run_block: Callable[[Settings, int, tuple[int, ...], frozenset[str]], BlockResult] = plain_block, **rest: Any
) -> Pipeline:
    given: dict[str, Any] = {"start_worker": start_worker, "facts": facts, "families": ("loop", "math"), **rest}
    return Pipeline(run_block, describe, profiles=("natural", "uniform"), **given)


def settings(out: Path, **given: Any) -> Settings:
    return Settings(**{"depth": 3, "n": 300, "out": out, "block": 16, "targets": (Target.CPP,), **given})


def main(run_block: str, shard_rows: str, *argv: str) -> int:
    """`python -m synth` on a pipeline of this module, with shards of another size."""
    from corpus import store
    from grammar.command import call
    from synth.cli import app

    store.SHARD_ROWS = int(shard_rows)
    return call(app, "synth", argv, lambda: pipeline(globals()[run_block]))


if __name__ == "__main__":
    # Under its own name, so that worker processes find its functions.
    from tests import fakes

    sys.exit(fakes.main(*sys.argv[1:]))
