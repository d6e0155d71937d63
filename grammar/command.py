"""The boundary of every command: what becomes an exit code, and how mistakes are told.

The key insight: a wrong flag, a wrong folder and a full disk are the same thing to who reads the terminal: one line and
exit code 2. So commands return their exit code or raise, and this is the only place that catches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import typer

from grammar.errors import UserError

# The base of all mistakes on the command line. Where it lives differs between versions of typer; its subclass doesn't.
UsageError = cast("type[Exception]", typer.BadParameter.__base__)


def call(app: typer.Typer, name: str, argv: Sequence[str] | None = None, given: object = None) -> int:
    """Runs `python -m {name}` with `argv` (by default the process's own) and returns its exit code.

    Commands find `given` as the `obj` of their context.
    """
    try:
        code: Any = app(argv, prog_name=f"python -m {name}", standalone_mode=False, obj=given)
        return code if isinstance(code, int) else 0
    except (UserError, UsageError) as error:
        return _complain(name, error)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _complain(name: str, error: Exception) -> int:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    if text:  # a command line without a command has been answered with the help
        print(f"{name}: {' '.join(str(text).split())}", file=sys.stderr)
    return 2
