"""The control-flow graph, against a definition of dominance by removing blocks."""

from __future__ import annotations

import random

import pytest

from backend.ir.cfg import UNREACHABLE, ControlFlow
from backend.ir.entities import Block, BlockCall, Function, Inst
from backend.ir.opcodes import opcode_named


def graph(*succs: tuple[int, ...]) -> Function:
    """A function whose block ``i`` branches to ``succs[i]``; no successor: it returns."""
    function = Function()
    for number, targets in enumerate(succs):
        op = opcode_named("br_table" if targets else "return")
        calls = tuple(BlockCall(10 * target) for target in targets)
        function.blocks.append(Block(10 * number, insts=[Inst(op, targets=calls)]))
    return function


def reached(succs: list[list[int]], without: int = -1) -> set[int]:
    seen: set[int] = set()
    work = [0]
    while work:
        number = work.pop()
        if number not in seen and number != without:
            seen.add(number)
            work += succs[number]
    return seen


def test_a_diamond_with_a_loop_and_dead_code() -> None:
    flow = ControlFlow(graph((1, 2), (3,), (3,), (1, 4), (), (4,)))
    assert flow.succs == [[1, 2], [3], [3], [1, 4], [], [4]]
    assert flow.preds[3] == [1, 2]
    assert flow.preds[4] == [3, 5]
    assert flow.order[0] == 0
    assert set(flow.order) == {0, 1, 2, 3, 4}
    assert flow.idom == [0, 0, 0, 0, 3, UNREACHABLE]
    assert flow.position[30] == 3
    assert not flow.reachable(5)
    assert not flow.dominates(5, 5)
    assert flow.loops() == {}  # entered at 1 and at 3: no header


def test_nested_loops() -> None:
    flow = ControlFlow(graph((1,), (2, 5), (3,), (2, 4), (1,), ()))
    assert flow.loops() == {1: {1, 2, 3, 4}, 2: {2, 3}}
    assert flow.loop_depths() == [0, 1, 2, 2, 1, 0]


def test_repeated_targets_are_one_edge() -> None:
    flow = ControlFlow(graph((1, 1, 1), ()))
    assert flow.succs[0] == [1]
    assert flow.preds[1] == [0]


def test_a_missing_block_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        ControlFlow(graph((3,)))


@pytest.mark.parametrize("seed", range(60))
def test_dominance_is_what_removing_a_block_cuts_off(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(1, 14)
    succs = [tuple(rng.randrange(1, count) for _ in range(rng.randint(0, 3))) if count > 1 else ()
             for _ in range(count)]  # fmt: skip
    flow = ControlFlow(graph(*succs))
    alive = reached(flow.succs)
    assert set(flow.order) == alive
    for a in range(count):
        cut = alive - reached(flow.succs, without=a) if a else alive
        for b in range(count):
            expected = a in alive and b in alive and (a == b or b in cut)
            assert flow.dominates(a, b) == expected, (a, b, succs)
    for number, block in enumerate(flow.order):
        assert flow.rank[block] == number


def test_a_long_chain_needs_no_recursion() -> None:
    count = 20_000
    flow = ControlFlow(graph(*[(n + 1,) for n in range(count - 1)], ()))
    assert flow.dominates(0, count - 1)
    assert flow.idom[-1] == count - 2
