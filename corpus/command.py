"""The boundary of every command, as the corpus and the main job know it.

The key insight: there is one boundary for all rooms; it lives in the leftmost one.
"""

from grammar.command import UsageError, call

__all__ = ["UsageError", "call"]
