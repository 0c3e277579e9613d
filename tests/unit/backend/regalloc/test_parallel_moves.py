"""Sequenced moves have the effect of the parallel ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.regalloc.parallel_moves import sequence_moves

SCRATCH = 99
SPARE = -50
LOCATIONS = [*range(5), *range(-5, 0)]


def run(moves: list[tuple[int, int]]) -> dict[int, int]:
    """What each location holds after sequential moves; at first, its own name."""
    values = {location: location for location in [*LOCATIONS, SCRATCH, SPARE]}
    for to, source in moves:
        assert to >= 0 or source >= 0, "slot to slot"
        values[to] = values[source]
    return values


@given(st.dictionaries(st.sampled_from(LOCATIONS), st.sampled_from(LOCATIONS)))
def test_any_set_of_moves(wanted: dict[int, int]) -> None:
    done = run(sequence_moves(list(wanted.items()), SCRATCH, lambda: SPARE))
    for location in LOCATIONS:
        assert done[location] == wanted.get(location, location)


@pytest.mark.parametrize(
    ("moves", "count"),
    [
        ([], 0),
        ([(1, 1)], 0),
        ([(1, 2), (2, 3)], 2),
        ([(1, 2), (2, 1)], 3),
        ([(1, 2), (2, 3), (3, 1)], 4),
        ([(1, -1), (-1, 1)], 3),
        ([(1, 2), (2, 1), (3, 1)], 4),
        ([(-1, -2)], 2),
        ([(-1, -2), (-2, -1)], 6),
    ],
)
def test_how_many_moves_it_takes(moves: list[tuple[int, int]], count: int) -> None:
    assert len(sequence_moves(moves, SCRATCH, lambda: SPARE)) == count


def test_the_spare_slot_is_made_only_for_cycles_of_slots() -> None:
    def refuse() -> int:
        raise AssertionError("no slot is needed")

    sequence_moves([(1, -1), (-1, 1), (2, 3), (3, 2), (-2, -3)], SCRATCH, refuse)
