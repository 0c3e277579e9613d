"""Live-in sets, on loops that are reducible and ones that are not."""

from __future__ import annotations

from backend.machine.vcode import VBlock
from backend.regalloc.liveness import walk_live_ins


def graph(*succs: list[int]) -> list[VBlock]:
    blocks = [VBlock() for _ in succs]
    for b, targets in enumerate(succs):
        blocks[b].succs = targets
        for target in targets:
            blocks[target].preds.append(b)
    return blocks


def test_a_loop_keeps_what_it_uses_alive_all_around() -> None:
    blocks = graph([1], [2, 3], [1], [])
    live, extents = walk_live_ins(blocks, {200: [2]}, [-1] * 200 + [0])
    assert live == [[], [200], [200], []]
    assert extents == {200: (1, 2)}


def test_an_irreducible_loop() -> None:
    blocks = graph([1, 2], [2], [1, 3], [])
    live, _ = walk_live_ins(blocks, {200: [1]}, [-1] * 200 + [0])
    assert live == [[], [200], [200], []]


def test_a_definition_laid_out_behind_its_use() -> None:
    blocks = graph([2], [], [1])
    live, extents = walk_live_ins(blocks, {200: [1]}, [-1] * 200 + [2])
    assert live == [[], [200], []]
    assert extents == {200: (1, 2)}


def test_both_arms_of_a_diamond_and_nothing_above_the_definition() -> None:
    blocks = graph([1], [2, 3], [4], [4], [])
    live, _ = walk_live_ins(blocks, {200: [4], 201: [2]}, [-1] * 200 + [1, 0])
    assert [sorted(vregs) for vregs in live] == [[], [201], [200, 201], [200], [200]]
