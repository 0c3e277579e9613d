"""Throughput over the campaign's time, as the geometry of a chart: numbers only, the template draws.

The plot is 1000 by 200 units and is stretched to whatever room the page has, so labels are not part of it: they
are placed in percent beside it and keep their size. The line is a step function, the mean rate between two samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from fuzzer.report.exhibit import Exhibit, Report
from fuzzer.report.summary import Sample
from fuzzer.report.text import duration, grouped

WIDTH: Final = 1000
HEIGHT: Final = 200
_STEPS: Final = 240
"""Samples are merged to at most so many: more than that no screen can show."""
_SHORTEST: Final = 0.001
_MARKS: Final = 200
_NICE: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tick:
    """``at``: percent of the axis from its origin."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A finding at the time when it was first seen, ``at`` percent of the axis."""

    at: float
    exhibit: Exhibit


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time between two samples: ``rate`` in functions a second."""

    start: float
    end: float
    functions: int
    runs: int
    findings: int
    workers: int
    rate: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """``line``, ``area``: paths of the plot; ``mean``: functions a second over the whole."""

    line: str
    area: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    unmarked: int
    stretches: tuple[Stretch, ...]
    mean: float
    peak: float


def timeline(report: Report) -> Timeline | None:
    """The chart, or None if fewer than two moments are known (a campaign begins at zero)."""
    stretches = _stretches(report.summary.samples)
    if not stretches:
        return None
    end = stretches[-1].end
    last = max([end, *(e.row.seconds for e in report.exhibits)])
    peak = max(s.rate for s in stretches)
    top, up = _scale(peak)
    points = []
    for stretch in stretches:
        y = HEIGHT - stretch.rate / top * HEIGHT
        points.append(f"{stretch.start / last * WIDTH:.1f},{y:.1f}")
        points.append(f"{stretch.end / last * WIDTH:.1f},{y:.1f}")
    line = "M" + " L".join(points)
    right = end / last * WIDTH
    shown = report.exhibits[:_MARKS]
    return Timeline(
        line=line,
        area=f"{line} L{right:.1f},{HEIGHT} L0,{HEIGHT} Z",
        across=_times(last),
        up=up,
        marks=tuple(Mark(round(min(e.row.seconds / last, 1.0) * 100, 2), e) for e in shown),
        unmarked=len(report.exhibits) - len(shown),
        stretches=stretches,
        mean=sum(s.functions for s in stretches) / end,
        peak=peak,
    )


def _stretches(samples: list[Sample]) -> tuple[Stretch, ...]:
    """Between samples in order of time. A sample within a millisecond of the one before it is passed over: a rate
    over so short a time means nothing.
    """
    ordered = [Sample(0.0, 0, 0, 0, 0)]
    for sample in sorted(samples, key=lambda s: (s.seconds, s.functions)):
        if sample.seconds - ordered[-1].seconds >= _SHORTEST:
            ordered.append(sample)
    every = -(-(len(ordered) - 1) // _STEPS) or 1
    chosen = [*ordered[:-1:every], ordered[-1]]
    return tuple(
        Stretch(a.seconds, b.seconds, max(b.functions - a.functions, 0), max(b.runs - a.runs, 0),
                b.findings, b.workers,
                max(b.functions - a.functions, 0) / (b.seconds - a.seconds))
        for a, b in pairwise(chosen)
    )  # fmt: skip


def _scale(peak: float) -> tuple[float, tuple[Tick, ...]]:
    """The top of the axis and its ticks: four at most, at round numbers."""
    step = 1.0
    while peak > 4 * step:
        step *= 2.5 if str(step).startswith("2") else 2
    number = max(int(-(-peak // step)), 1)
    top = number * step
    return top, tuple(Tick(100 * i / number, grouped(i * step)) for i in range(number + 1))


def _times(last: float) -> tuple[Tick, ...]:
    """Six ticks at most."""
    step = next((n for n in _NICE if last <= 5 * n), 86400 * (int(last / 86400 / 5) + 1))
    return tuple(
        Tick(round(100 * at / last, 2), duration(at)) for at in range(0, int(last) + 1, step)
    )
