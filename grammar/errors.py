"""What a user did wrong, or what the machine refuses: one clear line and exit code 2.

The key insight: a mistake is told apart from a broken invariant by its type alone. `UserError` is caught at one place
(`grammar.command`) and printed as a line; everything else is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
from pathlib import Path

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class UserError(Exception):
    """Its text is one line that says what is wrong and what to do about it."""


def refused(path: Path, doing: str, error: OSError) -> UserError:
    """The operating system's refusal to `doing` (such as "write") at `path`, as a line for the user."""
    reason = error.strerror or str(error)
    if error.errno in FULL_DISK:
        return UserError(f"cannot {doing} {path}: {reason}; free some space and run the same command again to go on")
    return UserError(f"cannot {doing} {path}: {reason}")
