"""Findings as files: what is wrong, and the kernel it is wrong with.

The key insight: a finding is never dropped and never counted twice in files: its name is its outcome and a hash of the
kernel's text, and the first in the order of candidates is the one that stays.
"""

from __future__ import annotations

import hashlib
import json

from corpus.store import write_atomically
from synth.manifest import WORK
from synth.result import Finding
from synth.settings import Settings

FOLDER = "findings"


def name_of(finding: Finding) -> str:
    """`crash-0123456789abcdef`: the outcome, and a hash of the source (of the index, where there is no source)."""
    text = finding.source or f"{finding.seed} {finding.index}"
    return f"{finding.outcome}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def save_finding(settings: Settings, finding: Finding) -> None:
    """Writes `findings/NAME.py` and `findings/NAME.json` into the data set, unless they are there. Raises UserError."""
    folder, name = settings.out / FOLDER, name_of(finding)
    facts = {
        "outcome": finding.outcome,
        "detail": finding.detail,
        "seed": finding.seed,
        "index": finding.index,
        "family": finding.family,
        "settings": settings.identity(),
    }
    for path, text in (
        (folder / f"{name}.py", finding.source),
        (folder / f"{name}.json", json.dumps(facts, indent=1) + "\n"),
    ):
        if not path.exists():
            write_atomically(path, text.encode(), settings.out / WORK / path.name)
