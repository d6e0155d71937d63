"""What checking a kernel says: a value, never an exception.

The key insight: "could not check" is a verdict of its own and never counts as a pass, and a gradient has three honest
labels, so that nobody has to guess what a row's adjoint is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Outcome(Enum):
    VERIFIED = "verified"
    VALUE = "value"
    """An output differs from the reference."""
    GRADIENT = "gradient"
    """The adjoint differs from the central differences."""
    STRAY_WRITE = "stray-write"
    """A canary beside an array, or an input, was overwritten."""
    COMPILE = "compile"
    CRASH = "crash"
    TIMEOUT = "timeout"
    UNCHECKED = "unchecked"
    """Too little could be decided (see `Verdict.checked`); neither a pass nor a finding."""

    @property
    def is_finding(self) -> bool:
        return self not in (Outcome.VERIFIED, Outcome.UNCHECKED)


class GradientLabel(Enum):
    VERIFIED = "verified"
    LIMITED = "limited"
    """Warp documents that this adjoint is wrong; `Verdict.limitation` says which rule."""
    NONE = "none"
    """No float input reaches a float output, so there is no gradient."""


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    detail: str = ""
    """One line: which output or input, which lane, expected and got. Empty where verified."""
    gradient: GradientLabel = GradientLabel.NONE
    limitation: str = ""
    checked: float = 0.0
    """Share of output elements, over all input sets, that could be decided and were compared."""
    gradient_checked: float = 0.0
    """Share of the elements of the float input arrays whose gradient could be decided and was compared."""
    residual: float = 0.0
    """Largest difference from the reference among the checked elements, as a multiple of what rounding allows."""
    gradient_residual: float = 0.0
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The first input set: every parameter by name, outputs as they were before the launch."""
    outputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What Warp computed from `inputs`."""
    cotangents: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    """Gradients with respect to the outputs, which the adjoint was seeded with."""
    gradients: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    """Gradients with respect to the float input arrays, as Warp computed them."""
