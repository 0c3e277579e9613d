"""The HTML page: one file that needs nothing else, no network, no fonts, and no script to be read.

Safety, since the text in it comes from compilers and corpus entries: every value passes :func:`visible`, then
Jinja's escaping; the page's own content security policy allows no request at all and no script but the one
whose hash it names. What grows without bound (findings, trace, journal) is cut, and says so.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from fuzzer.explain.model import Explanation, Step
from fuzzer.report.exhibit import Exhibit, Report
from fuzzer.report.matrix import SHADES, matrices
from fuzzer.report.summary import Fired, Summary
from fuzzer.report.text import (
    duration,
    grouped,
    options_of,
    plural,
    repeat_command,
    short,
    tested,
    verdict_of,
    visible,
)
from fuzzer.report.timeline import HEIGHT, WIDTH, timeline

if TYPE_CHECKING:
    from jinja2 import Environment

CARDS: Final = 100
"""Findings shown as cards; the others are lines of a table."""
JOURNAL: Final = 500
"""Last events shown."""
LISTED: Final = 40
"""Forms never tried that are listed above their matrix, which marks them all."""
_BEFORE: Final = 20
_AFTER: Final = 40
"""Steps of a trace shown before and after the first divergence, which its box then shows without scrolling."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A step of the trace: ``number`` from 1 in the whole of it."""

    number: int
    step: Step
    diverges: bool


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The part of a trace that is shown; ``earlier``, ``later``: steps left out."""

    steps: tuple[Numbered, ...]
    earlier: int
    later: int


@dataclass(frozen=True, slots=True)
class Hits:
    """Rules or rows: those that never fired, then the others, rarest first."""

    never: tuple[Fired, ...]
    fired: tuple[Fired, ...]

    @property
    def total(self) -> int:
        return len(self.never) + len(self.fired)


def render(report: Report) -> str:
    """``report.html``."""
    summary = report.summary
    script = _template_text("filter.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            summary=summary,
            verdict=verdict_of(summary),
            state=_state(summary),
            repeat=repeat_command(summary),
            options=options_of(summary),
            tested=tested(summary),
            rate=summary.functions / max(summary.seconds, 0.001),
            runs_rate=summary.runs / max(summary.seconds, 0.001),
            cards=[(e, _anchor(e), _link(e, report)) for e in report.exhibits[:CARDS]],
            others=report.exhibits[CARDS:],
            excerpt=excerpt,
            anchor=_anchor,
            checks=sorted({e.row.check for e in report.exhibits}),
            matrices=matrices(summary),
            listed=LISTED,
            shades=range(1, SHADES + 1),
            timeline=timeline(report),
            plot=(WIDTH, HEIGHT),
            rules=_hits(summary.rules),
            rows=_hits(summary.rows),
            unsupported=sorted(summary.unsupported.items(), key=lambda item: (-item[1], item[0])),
            events=summary.events[-JOURNAL:],
            earlier_events=max(len(summary.events) - JOURNAL, 0),
            style=_template_text("style.css"),
            script=script,
            digest=digest,
        )
        + "\n"
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fuzzer.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, grouped=grouped, short=short, percent=_percent)
    environment.globals.update(plural=plural)
    return environment


def _finalize(value: Any) -> Any:
    """Plain text made visible; markup is our own and stays."""
    return visible(value) if type(value) is str else value


@cache
def _template_text(name: str) -> str:
    return files("fuzzer.report").joinpath("templates", name).read_text(encoding="utf-8")


def _percent(part: float, whole: float) -> str:
    """``97 %``; 0 and 100 only if it is exactly that."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    rounded = round(percent)
    if rounded in (0, 100) and percent != rounded:
        rounded = 1 if rounded == 0 else 99
    return f"{rounded} %"


def _state(summary: Summary) -> str:
    """``bad``, ``warn`` or ``good``: colours the headline, whose words say the same."""
    if any(row.verdict != "suspect" for row in summary.findings):
        return "bad"
    return (
        "warn"
        if summary.findings or summary.errors or summary.interrupted or not tested(summary)
        else "good"
    )


def _hits(fired: Sequence[Fired]) -> Hits:
    ordered = sorted(fired, key=lambda f: (f.count, f.isa, f.name))
    return Hits(tuple(f for f in ordered if not f.count), tuple(f for f in ordered if f.count))


def _anchor(exhibit: Exhibit) -> str:
    """The id of a finding's card: the same in the next report."""
    return "f-" + "".join(c if c.isalnum() and c.isascii() else "_" for c in exhibit.row.signature)


def _link(exhibit: Exhibit, report: Report) -> str:
    """From the page to the entry, or "" if there is nothing to link to."""
    if exhibit.missing:
        return ""
    path = os.path.relpath(report.root / exhibit.path, report.out.resolve())
    return quote(path, errors="surrogateescape")


def excerpt(explanation: Explanation) -> Excerpt:
    """The steps around the first divergence, or the last ones if no step is to blame."""
    trace = explanation.trace
    at = explanation.divergence.step if explanation.divergence is not None else -1
    first, last = 0, len(trace)
    if last > _BEFORE + _AFTER + 1:
        centre = at if at >= 0 else last - 1
        first, last = max(centre - _BEFORE, 0), min(centre + _AFTER + 1, last)
    steps = tuple(
        Numbered(number + 1, step, number == at)
        for number, step in enumerate(trace[first:last], first)
    )
    return Excerpt(steps, first, len(trace) - last)
