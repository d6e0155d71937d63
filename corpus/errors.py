"""Mistakes of users, as the corpus and the main job know them.

The key insight: there is one `UserError` for all rooms; it lives in the leftmost one.
"""

from grammar.errors import FULL_DISK, UserError, refused

__all__ = ["FULL_DISK", "UserError", "refused"]
