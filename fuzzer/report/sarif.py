"""SARIF 2.1.0 (OASIS, 27 March 2020, errata 01): findings for code scanning and for viewers in editors.

A rule is a check, a result a finding, its place the function in the corpus entry, its fingerprint the signature:
so a service that keeps results over time sees one result a root cause, however often campaigns meet it. A
result of level ``warning`` is one that the executor may be at fault for. Where an explanation is at hand,
``codeFlows`` leads through the function up to the first value that was wrong.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

import msgspec

from fuzzer.checks import CHECKS
from fuzzer.report.exhibit import Exhibit, Report
from fuzzer.report.summary import Summary
from fuzzer.report.text import one_line, repeat_command, verdict_of, visible

VERSION: Final = "2.1.0"
SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
FINGERPRINT: Final = "clifhangerSignature/v1"

_RULES: Final = {name: index for index, name in enumerate(CHECKS)}

Json = dict[str, Any]


def render(report: Report) -> str:
    """``results.sarif``."""
    summary = report.summary
    run: Json = {
        "tool": {"driver": _driver(summary)},
        "automationDetails": {
            "id": one_line(
                f"clifhanger/{summary.target}/{'+'.join(summary.isas)}/{summary.started}"
            )
        },
        "invocations": [_invocation(summary)],
        "columnKind": "unicodeCodePoints",
        "results": [_result(exhibit) for exhibit in report.exhibits],
        "properties": {
            "seed": f"{summary.seed:#x}",
            "shard": summary.shard,
            "functions": summary.functions,
            "runs": summary.runs,
            "versions": one_line(summary.versions),
        },
    }
    log = {"$schema": SCHEMA, "version": VERSION, "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(log), indent=2).decode() + "\n"


def _driver(summary: Summary) -> Json:
    ours = next((v for v in summary.versions.split(", ") if v.startswith("clifhanger ")), "")
    driver: Json = {
        "name": "clifhanger",
        "shortDescription": {"text": "A property-based differential fuzzer for compiler backends"},
        "rules": [
            {
                "id": check.name,
                "shortDescription": {"text": check.doc},
                "defaultConfiguration": {"level": "error"},
                "properties": {"kind": check.kind, "sampled": check.costly},
            }
            for check in CHECKS.values()
        ],
    }
    if ours:
        driver["version"] = one_line(ours.removeprefix("clifhanger "))
    return driver


def _invocation(summary: Summary) -> Json:
    """``executionSuccessful``: the fuzzer did its work; findings don't count against it."""
    notes = [{"level": "error", "message": {"text": visible(error)}} for error in summary.errors]
    notes += [
        {"level": "warning", "message": {"text": visible(f"{event.kind}: {event.text}")}}
        for event in summary.events
        if event.kind == "death"
    ]
    return {
        "executionSuccessful": not summary.errors,
        "commandLine": repeat_command(summary),
        "toolExecutionNotifications": notes,
        "properties": {"verdict": verdict_of(summary), "started": one_line(summary.started),
                       "seconds": round(summary.seconds, 3)},
    }  # fmt: skip


def _result(exhibit: Exhibit) -> Json:
    row = exhibit.row
    text = visible(row.detail) or row.check
    place = _location(exhibit, exhibit.line)
    place["logicalLocations"] = [
        {"name": exhibit.name or "function", "kind": "function",
         "fullyQualifiedName": one_line(f"{row.target}/{row.isa}/{exhibit.name or 'function'}")}
    ]  # fmt: skip
    result: Json = {
        "ruleId": row.check,
        "level": "warning" if row.suspect else "error",
        "message": {"text": f"{text}\nReplay: {exhibit.replay}"},
        "locations": [place],
        "partialFingerprints": {FINGERPRINT: one_line(row.signature)},
        "baselineState": "unchanged" if row.verdict == "known" else "new",
        "occurrenceCount": max(row.times, 1),
        "properties": {
            "target": row.target,
            "isa": row.isa,
            "kind": row.kind,
            "skeleton": one_line(row.skeleton),
            "instructionsBefore": row.before,
            "instructionsAfter": row.after,
            "explain": exhibit.explain,
        },
    }
    if row.check in _RULES:
        result["ruleIndex"] = _RULES[row.check]
    if row.suspect:
        result["properties"]["suspect"] = one_line(row.suspect)
    flow = _flow(exhibit)
    if flow:
        result["codeFlows"] = [{"threadFlows": [{"locations": flow}]}]
    return result


def _location(exhibit: Exhibit, line: int) -> Json:
    path = exhibit.path
    if path.startswith("/"):
        artifact = {"uri": PurePosixPath(path).as_uri()}
    else:
        artifact = {"uri": quote(path, errors="surrogateescape"), "uriBaseId": "%SRCROOT%"}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": line}}}


def _flow(exhibit: Exhibit) -> list[Json]:
    """The lines of the function in order, up to the one that went wrong, with what each gave."""
    explanation = exhibit.explanation
    if explanation is None or not any(line.diverges for line in explanation.lines):
        return []
    steps: list[Json] = []
    last = 0
    for line in explanation.lines:
        at = exhibit.line_of(line.clif, last)
        if not at:
            continue
        last = at
        text = line.clif.strip()
        if line.diverges and line.expected != line.got:
            text += f": expected {line.expected or 'unknown'}, got {line.got or 'unknown'}"
            text += f" in {line.where}" if line.where else ""
        elif line.diverges:
            text += ": first divergence"
        elif line.expected:
            text += f": {line.expected}"
        place = _location(exhibit, at)
        place["message"] = {"text": one_line(text)}
        steps.append(
            {"location": place, "importance": "essential" if line.diverges else "important"}
        )
        if line.diverges:
            return steps
    return []
