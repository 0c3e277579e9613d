"""Whoever does the slices, in whatever order, stopped and killed however often: the same orders and the same counts."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzer.campaign.schedule import Counts, epoch_of, slices_of
from fuzzer.campaign.seeds import SLICE
from tests.unit.fuzzer.campaign.pretend import Known, begun, few_forms, run_once

__all__ = ["few_forms"]

FUNCTIONS = 11 * SLICE + 13
"""Into the fifth epoch, and not to the end of a slice."""
Attempts = dict[tuple[int, int], set[Known]]


@cache
def serial(functions: int) -> tuple[Attempts, Counts]:
    """What one worker comes to that nobody disturbs."""
    attempts: Attempts = {}
    with tempfile.TemporaryDirectory() as folder:
        counts = run_once(Path(folder), functions, 1, lambda n: 0, lambda: "go", attempts)
    assert counts is not None
    return attempts, counts


def test_one_worker_does_each_case_once() -> None:
    attempts, counts = serial(FUNCTIONS)
    assert len(attempts) == counts.sums.functions == FUNCTIONS
    assert all(len(known) == 1 for known in attempts.values())
    foci = {focus for known in attempts.values() for focus, _ in known}
    assert len(foci) > 3, "nothing was ever focused on: the test shows nothing"


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(0, 6))
def test_disturbed_in_any_way_it_is_the_same(
    data: st.DataObject, jobs: int, disturbances: int
) -> None:
    attempts: Attempts = {}
    counts = None
    begun.clear()
    with tempfile.TemporaryDirectory() as folder:
        for left in range(disturbances, -1, -1):
            fates = iter(
                ["go"] * data.draw(st.integers(0, 40))
                + [data.draw(st.sampled_from(["interrupt", "kill"]))]
                if left
                else []
            )
            counts = run_once(
                Path(folder), FUNCTIONS, jobs,
                lambda n: data.draw(st.integers(0, n - 1)), lambda fates=fates: next(fates, "go"),
                attempts,
            )  # fmt: skip
    expected, total = serial(FUNCTIONS)
    assert attempts == expected
    assert counts == total
    assert begun.total() - len(begun) <= disturbances * jobs, (
        "more than a slice a worker done again"
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5 * SLICE), min_size=1, max_size=4), st.integers(1, 4))
def test_a_limit_is_exact_however_it_is_raised(steps: list[int], jobs: int) -> None:
    attempts: Attempts = {}
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        for step in steps:
            total += step
            counts = run_once(Path(folder), total, jobs, lambda n: n - 1, lambda: "go", attempts)
            assert counts is not None
            assert counts.sums.functions == total
    assert attempts == serial(total)[0]


@given(st.integers(0, 10**6))
def test_a_slice_is_in_its_epoch_alone(slice_: int) -> None:
    epoch = epoch_of(slice_)
    assert slice_ in slices_of(epoch)
    assert slices_of(epoch).stop == slices_of(epoch + 1).start
    assert epoch_of(slices_of(epoch).start) == epoch_of(slices_of(epoch).stop - 1) == epoch
