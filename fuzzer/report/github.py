"""GitHub Actions: annotations by workflow commands on standard output, and a job summary in Markdown.

GitHub shows ten annotations of a level a step and drops the rest in silence, so nine findings are annotated and
the tenth annotation counts those left out. Escaping is by GitHub's runner: in a message ``%``, CR and LF, in a
property ``:`` and ``,`` too. In the summary every hostile character becomes a numeric reference, since
Markdown leaves no other way of saying a character and nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fuzzer.report.exhibit import Exhibit, Report
from fuzzer.report.text import (
    duration,
    grouped,
    one_line,
    plural,
    repeat_command,
    verdict_of,
    visible,
)

SHOWN: Final = 9
"""Findings annotated; one annotation more says how many are left."""
LISTED: Final = 100
"""Findings in the job summary, which GitHub refuses when it is larger than 1 MiB."""
_LONGEST: Final = 4000
"""Characters of a message, a detail or an error: GitHub cuts at 64 KiB, and the summary has room for 100."""
_LEVELS: Final = ("notice", "warning", "error")
_MESSAGE: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = _MESSAGE | {":": "%3A", ",": "%2C"}


def commands(report: Report) -> str:
    """The workflow commands, one a line; "" if there are no findings and no errors."""
    lines = [_annotation(exhibit) for exhibit in report.exhibits[:SHOWN]]
    if left := report.exhibits[SHOWN:]:
        worst = max(map(_level, left), key=_LEVELS.index)
        lines.append(_command(worst, f"{plural(len(left), 'more finding')}: see the job summary "
                              "and the report", title="clifhanger"))  # fmt: skip
    elif report.summary.errors:
        first = report.summary.errors[0].strip().rpartition("\n")[2]
        lines.append(_command("error", f"{plural(len(report.summary.errors), 'internal error')} of "
                              f"the fuzzer: {first}", title="clifhanger"))  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def _level(exhibit: Exhibit) -> str:
    if exhibit.row.verdict == "known":
        return "notice"
    return "warning" if exhibit.row.suspect else "error"


def _annotation(exhibit: Exhibit) -> str:
    row = exhibit.row
    message = f"{row.detail}\n{row.before} -> {row.after} instructions: {row.skeleton}"
    if row.suspect:
        message += f"\nsuspect: {row.suspect}"
    message += f"\n{exhibit.replay}"
    title = f"{row.check} on {row.target}/{row.isa} ({row.verdict}, {row.signature})"
    return _command(_level(exhibit), message,
                    file=exhibit.path, line=str(exhibit.line), title=title)  # fmt: skip


def _command(level: str, message: str, **properties: str) -> str:
    given = ",".join(f"{k}={_escaped(one_line(v), _PROPERTY)}" for k, v in properties.items())
    return f"::{level} {given}::{_escaped(visible(message)[:_LONGEST], _MESSAGE)}"


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(c, c) for c in text)


def job_summary(report: Report) -> str:
    """The job summary, in GitHub's Markdown."""
    summary = report.summary
    seconds = max(summary.seconds, 0.001)
    lines = [
        f"## clifhanger: {verdict_of(summary)}",
        "",
        f"{duration(seconds)}, {grouped(summary.functions)} functions "
        f"({summary.functions / seconds:.0f}/s), {grouped(summary.runs)} runs, "
        f"{plural(summary.worker_deaths, 'worker death')}. Target {_literal(summary.target)} for "
        f"{_literal(', '.join(summary.isas))}, seed {_code(f'{summary.seed:#x}')}.",
        "",
        f"Repeat: {_code(repeat_command(summary))}",
        "",
    ]
    if report.exhibits:
        lines += ["| check | ISA | signature | detail | instructions | seen | replay |",
                  "|---|---|---|---|---:|---:|---|"]  # fmt: skip
        lines += [_row(exhibit) for exhibit in report.exhibits[:LISTED]]
        left = len(report.exhibits) - LISTED
        lines += ["", f"… and {plural(left, 'more finding')}.", ""] if left > 0 else [""]
    for error in summary.errors[:SHOWN]:
        lines += [f"Internal error: {_code(error.strip()[-_LONGEST:])}", ""]
    return "\n".join(lines)


def _row(exhibit: Exhibit) -> str:
    row = exhibit.row
    note = f"<br>suspect: {_literal(row.suspect[:_LONGEST])}" if row.suspect else ""
    cells = (
        f"**{_literal(row.check)}**" if exhibit.new else f"{_literal(row.check)} ({row.verdict})",
        _literal(row.isa),
        _code(row.signature),
        _literal(row.detail[:500]) + note,
        f"{row.before} → {row.after}",
        grouped(row.times),
        _code(exhibit.replay),
    )
    return f"| {' | '.join(cells)} |"


def _literal(text: str) -> str:
    """A text that Markdown and HTML take for nothing else."""
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in one_line(text))


def _code(text: str) -> str:
    return f"<code>{_literal(text)}</code>"


def publish(report: Report) -> list[Path]:
    """Print the annotations; append to the job's summary if there is one, and give its path."""
    print(commands(report), end="", flush=True)
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return []
    path = Path(name)
    with path.open("a", encoding="utf-8") as file:
        file.write(job_summary(report) + "\n")
    return [path]
