from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Unsupported
from backend.ir.entities import Function, StackSlot
from backend.isa.aarch64 import abi
from backend.isa.aarch64.regs import CALLEE_SAVED, SP, TEMP, machine_env
from backend.machine.frame import layout_frame
from backend.machine.registers import spill
from backend.machine.vcode import Allocation

ENV = machine_env()


def made(
    spills: list[int], slots: list[tuple[int, int]], saved: list[int]
) -> tuple[Function, Allocation]:
    function = Function()
    function.stack_slots = {n: StackSlot(size, align) for n, (size, align) in enumerate(slots)}
    allocation = Allocation()
    allocation.spill_classes = spills
    allocation.locations = [saved]
    return function, allocation


@given(
    st.lists(st.integers(0, 1), max_size=20),
    st.lists(
        st.tuples(st.integers(0, 5000), st.sampled_from([1, 2, 4, 8, 16, 64, 4096])), max_size=6
    ),
    st.sets(st.sampled_from(sorted(CALLEE_SAVED))),
)
def test_nothing_overlaps_and_all_is_aligned(
    spills: list[int], slots: list[tuple[int, int]], saved: set[int]
) -> None:
    frame = layout_frame(*made(spills, slots, [0, *saved]), ENV, 16)
    assert frame.saved == tuple(sorted(saved))
    assert frame.size % frame.align == 0
    areas = [
        (frame.spills[n], ENV.slot_bytes[cls], ENV.slot_bytes[cls]) for n, cls in enumerate(spills)
    ]
    areas += [(frame.slots[n], size, align) for n, (size, align) in enumerate(slots)]
    areas.append((frame.size - frame.saved_bytes, frame.saved_bytes, 8))
    for offset, _, align in areas:
        assert offset % align == 0
    for (offset, size, _), (following, _, _) in pairwise(sorted(a for a in areas if a[1])):
        assert offset + size <= following


def test_edits_count_as_writes() -> None:
    function, allocation = made([], [], [])
    allocation.edits = {0: [(19, 0)]}
    assert layout_frame(function, allocation, ENV, 16).saved == (19,)


@pytest.mark.parametrize("slot", [(1 << 24, 1), (8, 8192)])
def test_what_does_not_fit_is_unsupported(slot: tuple[int, int]) -> None:
    with pytest.raises(Unsupported):
        layout_frame(*made([], [slot], []), ENV, 16)


def text(steps: list[tuple[object, list[int]]]) -> list[str]:
    return [row.text(ops) for row, ops in steps]  # type: ignore[attr-defined]  # rows


def test_prologue_and_epilogue_mirror_each_other() -> None:
    frame = layout_frame(*made([0], [(5000, 8)], [19, 20, 21, 40, 41]), ENV, 16)
    assert text(abi.prologue(frame)) == [  # type: ignore[arg-type]  # rows
        "stp x29, x30, [sp, #-0x10]!", "mov x29, sp",
        "sub sp, sp, #1, lsl #12", "sub sp, sp, #0x3c0",
        "stp x19, x20, [x29, #-0x10]", "stur x21, [x29, #-0x18]", "stp d8, d9, [x29, #-0x28]",
    ]  # fmt: skip
    assert text(abi.epilogue(frame)) == [  # type: ignore[arg-type]  # rows
        "ldp x19, x20, [x29, #-0x10]", "ldur x21, [x29, #-0x18]", "ldp d8, d9, [x29, #-0x28]",
        "mov sp, x29", "ldp x29, x30, [sp], #0x10",
    ]  # fmt: skip


def test_a_wider_alignment_is_made_in_the_prologue() -> None:
    frame = layout_frame(*made([], [(16, 64)], []), ENV, 16)
    assert text(abi.prologue(frame))[2:] == [  # type: ignore[arg-type]  # rows
        "sub x17, sp, #0x40", "and sp, x17, #0xffffffffffffffc0"]  # fmt: skip


def test_moves_between_locations() -> None:
    frame = layout_frame(*made([0] * 5000 + [1], [], []), ENV, 16)
    assert text(abi.move(3, 4, frame)) == ["mov x3, x4"]  # type: ignore[arg-type]  # rows
    assert text(abi.move(33, 34, frame)) == ["mov v1.16b, v2.16b"]  # type: ignore[arg-type]  # rows
    assert text(abi.move(spill(4095), 4, frame)) == ["str x4, [sp, #0x7ff8]"]  # type: ignore[arg-type]  # rows
    assert text(abi.move(4, spill(4097), frame)) == [
        "add x17, sp, #8, lsl #12",
        "ldr x4, [x17, #8]",
    ]  # type: ignore[arg-type]  # rows
    assert text(abi.move(33, spill(5000), frame)) == ["ldr q1, [sp, #0x9c40]"]  # type: ignore[arg-type]  # rows
    assert text(abi.move(spill(5000), 33, frame)) == ["str q1, [sp, #0x9c40]"]  # type: ignore[arg-type]  # rows


@given(st.integers(-(1 << 24) + 1, (1 << 24) - 1))
def test_slot_addresses(offset: int) -> None:
    total, source = 0, SP
    for row, (to, base, amount) in abi.slot_address(TEMP, offset):
        assert base == source
        assert to == TEMP
        row.encode([to, base, amount])
        total += -amount if row.name.startswith("sub") else amount
        source = TEMP
    assert total == offset
