"""Kernels by hand that Warp compiles, launches and differentiates as they are meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grammar.emit import emit
from grammar.tree import Kernel
from tests.builders import LANES
from validate.verdict import GradientLabel, Outcome

if TYPE_CHECKING:
    from extract.build import Build


def verified(some: Sequence[Kernel], seed: int = 5) -> list[Build]:
    """What the kernels are compiled to, in one block; every value and gradient of them is right."""
    from extract.compile import Compiled, compile_block, release, start
    from validate.oracle import check

    start()
    block, builds = compile_block([(one.name, emit(one)) for one in some]), []
    for one, made in zip(some, block.kernels, strict=True):
        assert isinstance(made, Compiled), made
        verdict = check(one, made.handle, seed, LANES)
        assert (verdict.outcome, verdict.gradient) == (Outcome.VERIFIED, GradientLabel.VERIFIED), verdict.detail
        builds.append(made.build)
    release(block)
    return builds
