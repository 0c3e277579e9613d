"""Orders: what they tell, and that no two shards draw the same."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from backend.ir.printer import print_function
from fuzzer.campaign.coverage import Coverage
from fuzzer.campaign.messages import Tried
from fuzzer.campaign.schedule import Rulebook, Schedule
from fuzzer.campaign.seeds import SLICE, case_seed
from fuzzer.generate.cases import CaseGenerator
from fuzzer.targets import target_named

ISA = "aarch64"


def schedule() -> Schedule:
    return Schedule(7, 0, {ISA: Rulebook([(f"op{n}", "i8") for n in range(40)], [[("op3", "i8")]])})


def tried(slice_: int, start: int = 0, stop: int = SLICE, **kinds: int) -> Tried:
    return Tried(slice_, start, stop, stop - start, kinds=dict(kinds), coverage={ISA: Coverage()})


def test_an_epoch_waits_for_the_one_before_the_last() -> None:
    plan = schedule()
    assert [order.slice for order in (plan.next(None), plan.next(None)) if order] == [0, 1]
    assert plan.next(None) is None
    plan.add(tried(1))
    assert plan.next(None) is None
    plan.add(tried(0))
    assert [order.slice for order in iter(lambda: plan.next(None), None)] == [2, 3, 4, 5, 6, 7]
    assert not plan.exhausted(None)


def test_odd_slices_focus_on_what_is_cold_and_even_ones_on_nothing() -> None:
    plan = schedule()
    for slice_ in range(4):
        plan.next(None)
        plan.add(tried(slice_))
    orders = {order.slice: order for order in iter(lambda: plan.next(None), None)}
    assert all(bool(order.focus) == bool(slice_ % 2) for slice_, order in orders.items())
    assert len({str(order.focus) for order in orders.values()}) > 2


def test_the_rest_of_a_slice_knows_what_its_beginning_saw() -> None:
    plan = schedule()
    plan.resume(0, plan.folded, plan.plans, [tried(0, stop=10, a=3), tried(1, a=1)])
    order = plan.next(None)
    assert order is not None
    assert (order.slice, order.start, order.stop) == (0, 10, SLICE)
    assert order.seen == {"a": 3}
    plan.add(tried(0, 10, a=2))
    second = plan.next(None)
    assert second is not None
    assert (second.slice, second.seen) == (2, {"a": 5})


@pytest.mark.parametrize("limit", [1, SLICE - 1, SLICE, SLICE + 1, 5 * SLICE + 3])
def test_a_limit_is_exact(limit: int) -> None:
    plan = schedule()
    total = 0
    while not plan.exhausted(limit):
        order = plan.next(limit)
        assert order is not None
        total += order.stop - order.start
        plan.add(tried(order.slice, order.start, order.stop))
    assert total == limit == plan.counts().sums.functions
    assert plan.next(limit) is None


def test_seeds_of_shards_have_nothing_in_common() -> None:
    seeds = {
        case_seed(7, shard, slice_, index)
        for shard in range(64) for slice_ in range(60) for index in range(SLICE)
    }  # fmt: skip
    assert len(seeds) == 64 * 60 * SLICE


@pytest.mark.parametrize("cases", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_no_two_of_64_shards_draw_the_same_case(cases: int) -> None:
    generator = CaseGenerator(target_named("builtin"), ISA)
    drawn: Counter[bytes] = Counter()
    for shard in range(64):
        for number in range(cases):
            case = generator.from_seed(case_seed(7, shard, number // SLICE, number % SLICE))
            if case.function.instruction_count() > 5:  # the smallest are drawn again and again
                text = f"{print_function(case.function)}{case.inputs}{case.memory!r}{case.options}"
                drawn[hashlib.blake2b(text.encode(), digest_size=16).digest()] += 1
    assert len(drawn) == drawn.total() > 50 * cases
