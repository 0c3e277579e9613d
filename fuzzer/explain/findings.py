"""Explaining what a campaign found, for its reports."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fuzzer.corpus.entry import EntryError, load_entry
from fuzzer.explain.explain import explain
from fuzzer.explain.model import Explanation
from fuzzer.report.summary import Summary
from fuzzer.targets.target import Target

MOST: Final = 30
"""Findings that a report explains: each takes about a second."""


def explain_all(summary: Summary, target: Target) -> dict[str, Explanation]:
    """Explanations of the new findings by signature, the first :data:`MOST` of them; none for an entry that is gone."""
    explained: dict[str, Explanation] = {}
    for row in summary.new[:MOST]:
        try:
            entry = load_entry(Path(row.path))
        except EntryError:
            continue
        explained[row.signature] = explain(entry, target, isa=row.isa, planted=bool(summary.plants))
    return explained
