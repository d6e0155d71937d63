"""The fit to real kernels that ships with the package (`python -m grammar fit` makes it).

The key insight: fitting takes half a minute and needs Warp's sources, growing must need neither, so the fit is data.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "natural.json"


@cache
def natural_data() -> dict[str, Any]:
    """The tables of `grammar.fit.fit`, read once; callers must not change them."""
    data: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return data
