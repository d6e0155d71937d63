"""Processes that work for another and may die.

The key insight: a worker follows its parent into death by waiting for it in a thread, so nothing that goes on natively
keeps it alive.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import connection, parent_process


def follow_parent() -> None:
    """Ends this process when its parent does, even in the midst of a native loop."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def said_exit(code: int | None) -> str:
    """`died of SIGSEGV`, `exited with code 3`."""
    if code is not None and code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"exited with code {code}"
