"""A pytest plugin: `pytest -m fuzz` grows kernels and holds Warp to the properties of `tests/fuzz`.

The key insight: how much is fuzzed is a matter of the command line, and what is fuzzed of the tests; so the plugin
gives tests their settings and nothing else, and loads Hypothesis and Warp only where a test asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

KERNELS = 64
DEPTH = 5
PROFILES = ("natural", "uniform", "swarm")
ALL = "all"


@dataclass(frozen=True, slots=True)
class FuzzSettings:
    """What the command line asks for."""

    kernels: int
    """How many kernels each property is tried on."""
    depth: int
    profile: str
    axes: tuple[str, ...] | None
    """Names in `validate.axes.AXES`; None means all."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("warpsmith", "fuzzing NVIDIA Warp with grown kernels (-m fuzz)")
    group.addoption("--fuzz-n", type=int, default=KERNELS, metavar="N", help="kernels per property")
    group.addoption("--fuzz-depth", type=int, default=DEPTH, metavar="D", help="height of kernels, at most")
    group.addoption("--fuzz-profile", choices=PROFILES, default="natural", help="what kernels are made of")
    group.addoption(
        "--fuzz-axes", default=ALL, metavar="AXIS,…", help="what kernels are compared with themselves across"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fuzz: tries properties on kernels grown at random; --fuzz-n says on how many")
    settings_of(config)


def settings_of(config: pytest.Config) -> FuzzSettings:
    """The settings of this run. Raises pytest.UsageError for what makes no sense."""
    number, depth, axes = (config.getoption(f"fuzz_{name}") for name in ("n", "depth", "axes"))
    if number < 1:
        raise pytest.UsageError(f"--fuzz-n is a number of kernels, at least 1, not {number}")
    if depth < 1:
        raise pytest.UsageError(f"--fuzz-depth is at least 1, not {depth}")
    return FuzzSettings(number, depth, config.getoption("fuzz_profile"), None if axes == ALL else _axes(axes))


def _axes(text: str) -> tuple[str, ...]:
    from validate.axes import AXES

    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in AXES]
    if unknown:
        raise pytest.UsageError(f"--fuzz-axes knows no {', '.join(unknown)}; there are: {', '.join(AXES)}")
    return names


def pytest_report_header(config: pytest.Config) -> str | None:
    chosen = settings_of(config)
    if config.getoption("markexpr") != "fuzz":
        return None
    across = "all axes" if chosen.axes is None else ", ".join(chosen.axes)
    return f"warpsmith: {chosen.kernels} kernels per property, depth {chosen.depth}, {chosen.profile}, {across}"


@pytest.fixture(scope="session")
def fuzz(request: pytest.FixtureRequest) -> FuzzSettings:
    """What the command line asks for."""
    return settings_of(request.config)
