"""Findings of a run as files: what is wrong, and the kernel it is wrong with.

The key insight: a finding is never dropped and never counted twice in files: its name is its outcome and a hash of the
kernel, and the first in the order of candidates is the one that stays. What is stored is what `validate.findings`
reads, so `python -m validate reduce` takes it from there.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from corpus.store import write_atomically
from synth.manifest import WORK
from synth.result import Finding
from synth.settings import Settings

FOLDER = "findings"


def save_finding(settings: Settings, finding: Finding) -> None:
    """Writes `findings/NAME.py` and `findings/NAME.json` into the data set, unless they are there. Raises UserError.

    NAME is such as `crash-0123456789abcdef`; the former is a reproducer, or the bare text where there is no kernel.
    """
    name, script, facts = _bare(finding) if finding.kernel is None else _whole(settings, finding)
    facts |= {"index": finding.index, "family": finding.family, "settings": settings.identity()}
    folder = settings.out / FOLDER
    for path, text in ((folder / f"{name}.py", script), (folder / f"{name}.json", json.dumps(facts, indent=1) + "\n")):
        if not path.exists():
            write_atomically(path, text.encode(), settings.out / WORK / path.name)


def _bare(finding: Finding) -> tuple[str, str, dict[str, Any]]:
    text = finding.source or f"{finding.seed} {finding.index}"
    name = f"{finding.outcome}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
    facts = {"outcome": finding.outcome, "detail": finding.detail, "seed": finding.seed, "kernel": None}
    return name, finding.source, facts


def _whole(settings: Settings, finding: Finding) -> tuple[str, str, dict[str, Any]]:
    from grammar.serial import kernel_of
    from validate.findings import Finding as Stored
    from validate.findings import plain_finding, reproducer
    from validate.verdict import Outcome

    kernel = kernel_of(finding.kernel)
    stored = Stored(Outcome(finding.outcome), finding.detail, kernel, finding.seed, settings.lanes)
    return stored.name, reproducer(stored), plain_finding(stored)
