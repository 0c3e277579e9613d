"""A campaign ready to be told: each finding beside its entry on disk and its explanation.

The formats only lay out what stands here. Findings come in one order everywhere: new before known, then as they
were first seen. An entry that can't be read is no error of the report: the exhibit says why and goes without.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fuzzer.corpus.entry import EntryError, read_text
from fuzzer.explain.model import Explanation
from fuzzer.report.summary import FindingRow, Summary
from fuzzer.report.text import entry_command

_HEAD: Final = re.compile(r"^function\b", re.MULTILINE)
_END: Final = re.compile(r"^\}", re.MULTILINE)
_NAME: Final = re.compile(r"function\s+(%\w+|u\d+:\d+)")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One finding. ``path``: of its entry, from ``Report.root`` if it lies under it, else absolute; ``line``: of
    the word ``function`` in it, from 1; ``function``: the function's text, "" if there is none to be had, and then
    ``missing`` says why; ``name``: the function's, ``%f``.
    """

    row: FindingRow
    path: str
    line: int
    function: str
    missing: str
    name: str
    replay: str
    explain: str
    explanation: Explanation | None

    @property
    def new(self) -> bool:
        """Was this campaign the first to see it?"""
        return self.row.verdict == "new"

    def line_of(self, clif: str, after: int = 0) -> int:
        """The line of the entry that holds the instruction ``clif``, from 1 and past line ``after``; 0 if none does."""
        wanted = " ".join(clif.split())
        for number, text in enumerate(self.function.split("\n"), self.line):
            if number > after and wanted and " ".join(text.split()) == wanted:
                return number
        return 0


@dataclass(frozen=True, slots=True)
class Report:
    """``out``: the folder that the files go to; ``root``: absolute; what the paths of exhibits start from."""

    summary: Summary
    exhibits: tuple[Exhibit, ...]
    out: Path
    root: Path

    def of(self, check: str, isa: str) -> list[Exhibit]:
        """The exhibits of one check on one ISA."""
        return [e for e in self.exhibits if e.row.check == check and e.row.isa == isa]


def gather(summary: Summary, explanations: Mapping[str, Explanation], out: Path) -> Report:
    """Read the entries that the findings name. ``explanations``: by signature, for as many as there are.

    Paths start from GitHub's workspace in an action there, from the working directory anywhere else.
    """
    root = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    rows = sorted(summary.findings, key=lambda r: (r.verdict != "new", r.seconds, r.signature))
    exhibits = tuple(_exhibit(row, summary, explanations.get(row.signature), root) for row in rows)
    return Report(summary, exhibits, out, root)


def _exhibit(
    row: FindingRow, summary: Summary, explanation: Explanation | None, root: Path
) -> Exhibit:
    line, function, missing = 1, "", ""
    try:
        text = read_text(Path(row.path))
    except EntryError as error:
        missing = str(error)
    except (OSError, ValueError) as error:
        missing = f"{row.path}: {error}"
    else:
        head = _HEAD.search(text)
        if head is None:
            missing = f"{row.path}: no function in it"
        else:
            end = _END.search(text, head.start())
            line = text.count("\n", 0, head.start()) + 1
            function = text[head.start() : end.end() if end else len(text)]
    name = _NAME.match(function)
    return Exhibit(
        row=row,
        path=_from(root, row.path),
        line=line,
        function=function,
        missing=missing,
        name=name[1] if name else "",
        replay=entry_command("replay", row, summary),
        explain=entry_command("explain", row, summary),
        explanation=explanation,
    )


def _from(root: Path, path: str) -> str:
    absolute = Path(os.path.abspath(path))
    return str(absolute.relative_to(root) if absolute.is_relative_to(root) else absolute)
