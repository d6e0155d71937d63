"""Tests of every row of the table.

The key insight: there are thousands of rows and some hundred names, and running a test costs more than what it asserts.
So a test of one row is run once for each name, on all rows of that name one after the other.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from grammar.op import Op

Test = Callable[..., None]


def each(rows: Iterable[Op]) -> Callable[[Test], Test]:
    """Runs a test that takes one row, as `op`, for all of these, a name at a time; what else it takes are fixtures."""
    by_name: dict[str, list[Op]] = defaultdict(list)
    for op in rows:
        by_name[op.name].append(op)

    def decorate(test: Test) -> Test:
        def all_of_that_name(name: str, **fixtures: Any) -> None:
            for op in by_name[name]:
                test(op=op, **fixtures)

        taken = inspect.signature(test).parameters
        name = inspect.Parameter("name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        fixtures = [given for key, given in taken.items() if key != "op"]
        all_of_that_name.__signature__ = inspect.Signature([name, *fixtures])  # type: ignore[attr-defined] # pytest asks
        all_of_that_name.__name__, all_of_that_name.__doc__ = test.__name__, test.__doc__
        all_of_that_name.__module__ = test.__module__
        decorated: Test = pytest.mark.parametrize("name", list(by_name))(all_of_that_name)
        return decorated

    return decorate
