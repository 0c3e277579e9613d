"""The kinds of report that there are, a row each, and writing those that were asked for.

A kind renders a :class:`~fuzzer.report.exhibit.Report` to the text of one file, and is imported when it
is asked for, so that a campaign without reports pays for none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from fuzzer.corpus.store import write_durably
from fuzzer.explain.model import Explanation
from fuzzer.report.exhibit import Report, gather
from fuzzer.report.summary import Summary


@dataclass(frozen=True, slots=True)
class Kind:
    """``file``: its name in the campaign's folder, "" if it goes elsewhere; ``module``: has ``render(report) ->
    str`` for a file, else ``publish(report) -> list[Path]``. ``explained``: it shows explanations.
    """

    name: str
    file: str
    module: str
    doc: str
    explained: bool = False

    def write(self, report: Report) -> list[Path]:
        """Write it durably: the files that now hold it."""
        module = import_module(self.module)
        if not self.file:
            publish: Callable[[Report], list[Path]] = module.publish
            return publish(report)
        render: Callable[[Report], str] = module.render
        path = report.out / self.file
        write_durably(path, render(report))
        return [path]


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("html", "report.html", "fuzzer.report.html", "one page for people", explained=True),
        Kind("junit", "junit.xml", "fuzzer.report.junit", "test results for CI servers"),
        Kind(
            "sarif",
            "results.sarif",
            "fuzzer.report.sarif",
            "SARIF 2.1.0 for code scanning",
            explained=True,
        ),
        Kind("json", "report.json", "fuzzer.report.document", "everything, for programs"),
        Kind("github", "", "fuzzer.report.github", "annotations and a job summary on GitHub"),
    )
}
"""Every kind by name."""


class UnknownKind(Exception):
    """A word of ``--report`` that names no kind: says which there are, in one line."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no report {name!r}; there are {', '.join(KINDS)}")


def parse_kinds(text: str) -> tuple[str, ...]:
    """``html,junit`` -> the names, each once, in the order given; UnknownKind if one is none."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in KINDS:
            raise UnknownKind(name)
    return names


def write_reports(
    kinds: Sequence[str], summary: Summary, explanations: Mapping[str, Explanation], out: Path
) -> list[Path]:
    """Write each kind into the folder ``out``, made if it is missing: the files written, in order.

    ``explanations``: by signature, for as many findings as there are. UnknownKind before anything is written;
    OSError if a file can't be.
    """
    for name in kinds:
        if name not in KINDS:
            raise UnknownKind(name)
    out.mkdir(parents=True, exist_ok=True)
    report = gather(summary, explanations, out)
    return [path for name in kinds for path in KINDS[name].write(report)]
