"""Memory: bounds, traps, initialised bytes, nothing written by an access that fails."""

from __future__ import annotations

import pytest

from fuzzer.case import DATA_BASE
from fuzzer.reference.memory import SLOT_STRIDE, Memory, Trap, UndefinedBehaviour, slot_address


def test_the_data_region_is_read_and_written_in_place() -> None:
    memory = Memory(bytes(range(16)))
    assert memory.load(DATA_BASE + 14, 2, "heap_oob") == b"\x0e\x0f"
    memory.store(DATA_BASE, b"\xaa\xbb", "heap_oob")
    assert bytes(memory.data[:3]) == b"\xaa\xbb\x02"


@pytest.mark.parametrize(
    "address", [DATA_BASE - 1, DATA_BASE + 9, DATA_BASE + 16, 0, (1 << 64) - 1]
)
def test_out_of_bounds_traps_with_the_given_code_and_writes_nothing(address: int) -> None:
    memory = Memory(bytes(16))
    with pytest.raises(Trap) as caught:
        memory.store(address, b"\xff" * 8, "user7")
    assert caught.value.code == "user7"
    with pytest.raises(Trap, match="heap_oob"):
        memory.load(address, 8, "heap_oob")
    with pytest.raises(UndefinedBehaviour, match="notrap"):
        memory.load(address, 8, None)
    assert not any(memory.data)


def test_without_a_region_everything_is_out_of_bounds() -> None:
    with pytest.raises(Trap):
        Memory(b"").load(DATA_BASE, 1, "heap_oob")


def test_slots_know_which_bytes_were_written() -> None:
    memory = Memory(b"", (8, 4))
    base = slot_address(0)
    memory.store(base + 2, b"\1\2", "heap_oob")
    assert memory.load(base + 2, 2, "heap_oob") == b"\1\2"
    for offset, size in ((0, 8), (1, 2), (3, 2), (4, 1)):
        with pytest.raises(UndefinedBehaviour, match="before they are written"):
            memory.load(base + offset, size, "heap_oob")
    memory.store(base, bytes(8), "heap_oob")
    assert memory.load(base, 8, "heap_oob") == bytes(8)


@pytest.mark.parametrize("offset", [-1, 5, 8, 4096, -(1 << 31), (1 << 31) - 1])
def test_out_of_a_slots_bounds_is_undefined(offset: int) -> None:
    memory = Memory(b"", (8, 8, 8))
    with pytest.raises(UndefinedBehaviour, match="of a slot of 8 bytes"):
        memory.store(slot_address(1) + offset, bytes(4), "heap_oob")


def test_no_offset_leads_from_one_slot_to_another() -> None:
    assert slot_address(1) - slot_address(0) == SLOT_STRIDE > 2 << 31
