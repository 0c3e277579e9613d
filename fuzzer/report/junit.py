"""JUnit XML, as CI servers read it: one suite a campaign, a case for each check on each ISA and for each finding.

Elements and attributes are those of Jenkins' xUnit plugin (``junit-10.xsd``), properties first as the older
schema of Ant's has them. A check's case fails if the check found something new; it is
skipped where nothing was tested. A new finding is a failure, but one that the executor may be at fault for is an
*error*: the compiler is not to be blamed for it. So are the fuzzer's own errors. A known finding is skipped, as it
does not count for the exit status either.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from fuzzer.checks import CHECKS
from fuzzer.report.exhibit import Exhibit, Report
from fuzzer.report.summary import Summary
from fuzzer.report.text import (
    one_line,
    options_of,
    plural,
    repeat_command,
    tested,
    verdict_of,
    visible,
)

_FRACTION: Final = re.compile(r"(?<=\d)(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?$")


def render(report: Report) -> str:
    """``junit.xml``."""
    summary = report.summary
    root = Element("testsuites", name="clifhanger")
    suite = SubElement(
        root, "testsuite", name=f"clifhanger {summary.target} {','.join(summary.isas)}"
    )
    properties = SubElement(suite, "properties")
    for name, value in _properties(summary):
        SubElement(properties, "property", name=name, value=one_line(value))
    for isa in summary.isas:
        for check in CHECKS:
            _check(suite, check, isa, report)
    for exhibit in report.exhibits:
        _finding(suite, exhibit)
    if summary.errors:
        _internal(suite, summary)
    SubElement(suite, "system-out").text = f"{verdict_of(summary)}\n{repeat_command(summary)}\n"
    SubElement(suite, "system-err").text = visible("\n".join(summary.errors))
    counts = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
    }
    for attribute, count in counts.items():
        root.set(attribute, str(count))
        suite.set(attribute, str(count))
    root.set("time", f"{summary.seconds:.3f}")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("time", f"{summary.seconds:.3f}")
    suite.set("timestamp", _FRACTION.sub("", one_line(summary.started), count=1))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _properties(summary: Summary) -> list[tuple[str, str]]:
    rows = [
        ("seed", f"{summary.seed:#x}"),
        ("target", summary.target),
        ("isas", ",".join(summary.isas)),
        ("shard", summary.shard),
        ("versions", summary.versions),
        ("functions", str(summary.functions)),
        ("runs", str(summary.runs)),
        ("interrupted", "yes" if summary.interrupted else "no"),
        ("command", repeat_command(summary)),
    ]
    rows += [("options", " ".join(options_of(summary)))] if summary.options else []
    return rows + ([("plants", ",".join(summary.plants))] if summary.plants else [])


def _case(suite: Element, cls: str, name: str, seconds: float) -> Element:
    return SubElement(suite, "testcase", classname=one_line(cls), name=one_line(name),
                      time=f"{seconds:.3f}")  # fmt: skip


def _check(suite: Element, check: str, isa: str, report: Report) -> None:
    summary = report.summary
    case = _case(suite, f"clifhanger.{summary.target}.{isa}.checks", check, 0.0)
    found = [e for e in report.of(check, isa) if e.new and not e.row.suspect]
    if found:
        said = SubElement(case, "failure", type=check, message=plural(len(found), "finding"))
        said.text = "\n".join(f"{e.row.signature} {one_line(e.row.detail)}" for e in found)
    elif not tested(summary):
        SubElement(case, "skipped", message="nothing was tested")


def _finding(suite: Element, exhibit: Exhibit) -> None:
    row = exhibit.row
    cls = f"clifhanger.{row.target}.{row.isa}.findings"
    case = _case(suite, cls, f"{row.check} {row.signature} {row.skeleton}", row.seconds)
    if not exhibit.new:
        SubElement(case, "skipped", message=one_line(f"{row.verdict}: {row.detail}"))
        return
    said = SubElement(case, "error" if row.suspect else "failure",
                      type=row.check, message=one_line(row.detail))  # fmt: skip
    lines = [row.detail, ""]
    if row.suspect:
        lines += [f"suspect: {row.suspect}", ""]
    if exhibit.explanation is not None and exhibit.explanation.divergence is not None:
        lines += [exhibit.explanation.divergence.text, ""]
    lines += [exhibit.function or exhibit.missing, ""]
    lines.append(f"{row.before} -> {row.after} instructions, {row.verdict}, seen {row.times} times")
    lines += [f"replay:  {exhibit.replay}", f"explain: {exhibit.explain}"]
    said.text = visible("\n".join(lines))


def _internal(suite: Element, summary: Summary) -> None:
    case = _case(suite, f"clifhanger.{summary.target}", "internal errors", 0.0)
    said = SubElement(
        case, "error", type="internal", message=plural(len(summary.errors), "internal error")
    )
    said.text = visible("\n\n".join(summary.errors))
