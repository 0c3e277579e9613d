"""The shards of a set of entries are a partition of it, and stay put when other entries come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuzzer.pytest_plugin.entries import shard_of

PATHS = st.text(st.characters(), min_size=1)


@given(st.lists(PATHS, unique=True), st.integers(1, 50))
def test_every_path_is_in_one_shard(paths: list[str], shards: int) -> None:
    parts = [{p for p in paths if shard_of(p, shards) == k} for k in range(shards)]
    assert set().union(*parts) == set(paths)
    assert sum(map(len, parts)) == len(paths)


@given(st.integers(2, 8))
def test_no_shard_is_left_empty_by_many(shards: int) -> None:
    counts = [0] * shards
    for number in range(800):
        counts[shard_of(f"corpus/mismatch/result-builtin-aarch64-{number:012x}.clif", shards)] += 1
    assert min(counts) > 800 // shards // 2


def test_where_a_path_goes_is_the_same_everywhere() -> None:
    assert [shard_of(f"corpus/{n}.clif", 7) for n in range(10)] == [3, 6, 4, 2, 2, 4, 1, 4, 6, 2]
