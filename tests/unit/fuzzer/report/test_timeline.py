"""The throughput chart: rates that add up, ticks at round numbers, nothing outside the plot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from fuzzer.report.exhibit import Report, gather
from fuzzer.report.summary import Sample
from fuzzer.report.timeline import HEIGHT, WIDTH, timeline
from tests.unit.fuzzer.report import sample

EMPTY = sample.quiet(Path("nowhere"))


def report(folder: Path, samples: list[Sample], seconds: tuple[float, ...] = ()) -> Report:
    rows = [
        sample.finding(folder, f"{n:012x}", seconds=at, path="x.clif")
        for n, at in enumerate(seconds)
    ]
    return gather(structs.replace(EMPTY, samples=samples, findings=rows), {}, folder)


def test_the_rate_is_that_between_two_samples(tmp_path: Path) -> None:
    samples = [Sample(2.0, 1000, 0, 0, 2), Sample(4.0, 1200, 0, 0, 2)]
    made = timeline(report(tmp_path, samples, (1.0,)))
    assert made is not None
    assert [(s.start, s.end, s.rate) for s in made.stretches] == [
        (0.0, 2.0, 500.0),
        (2.0, 4.0, 100.0),
    ]
    assert (made.mean, made.peak) == (300.0, 500.0)
    assert [tick.label for tick in made.up] == ["0", "200", "400", "600"]
    assert [tick.label for tick in made.across] == ["0s", "1s", "2s", "3s", "4s"]
    assert made.line == "M0.0,33.3 L500.0,33.3 L500.0,166.7 L1000.0,166.7"
    assert [mark.at for mark in made.marks] == [25.0]


def test_without_a_moment_there_is_no_chart(tmp_path: Path) -> None:
    assert timeline(report(tmp_path, [])) is None
    assert timeline(report(tmp_path, [Sample(0.0, 5, 5, 0, 1)])) is None


def test_a_finding_after_the_last_sample_stretches_the_axis(tmp_path: Path) -> None:
    made = timeline(report(tmp_path, [Sample(10.0, 10, 10, 0, 1)], (20.0,)))
    assert made is not None
    assert [mark.at for mark in made.marks] == [100.0]
    assert made.line.endswith("L500.0,0.0")


@given(
    st.lists(
        st.tuples(st.floats(0, 10**6), st.integers(0, 10**9)).map(
            lambda p: Sample(p[0], p[1], 0, 0, 1)
        ),
        max_size=300,
    )
)
def test_whatever_was_sampled_stays_inside_the_plot(samples: list[Sample]) -> None:
    made = timeline(report(Path("nowhere"), samples))
    if made is None:
        assert not any(s.seconds >= 0.001 for s in samples)
        return
    assert len(made.stretches) <= 241
    points = [(float(x), float(y)) for x, y in re.findall(r"([\d.e+]+),(-?[\d.]+)", made.line)]
    assert all(0 <= x <= WIDTH and -0.05 <= y <= HEIGHT for x, y in points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    for ticks in (made.up, made.across):
        assert 1 <= len(ticks) <= 6
        assert all(0 <= tick.at <= 100 for tick in ticks)
        assert len({tick.label for tick in ticks}) == len(ticks)


@pytest.mark.parametrize("days", [1, 3, 40])
def test_long_campaigns(tmp_path: Path, days: int) -> None:
    samples = [Sample(60.0 * n, 30_000 * n, 0, 0, 2) for n in range(1, days * 1440)]
    made = timeline(report(tmp_path, samples))
    assert made is not None
    assert len(made.stretches) <= 241
    assert {round(s.rate) for s in made.stretches} == {500}
    assert 3 <= len(made.across) <= 6
