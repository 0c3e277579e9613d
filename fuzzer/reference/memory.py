"""The memory a case sees: its data region and its stack slots, byte by byte, with bounds.

Invariants: an access lies wholly inside one region or changes nothing; bytes of a slot are read only
after they were written; the distance between slots is more than any offset can bridge, so that an
access out of a slot's bounds is always noticed.

Out of the data region is a *trap*: compilers must give it, and outcomes are compared. Out of a slot's
bounds, a slot's bytes before they are written, or a slot of a function that is left, is *undefined
behaviour*: the case is invalid.

Slots are a stack of activations: positions go up with every function entered and down when it is left.
"""

from __future__ import annotations

from typing import Final

from fuzzer.case import DATA_BASE
from fuzzer.outcome import ExternalCall

ADDRESS_MASK: Final = (1 << 64) - 1

SLOT_BASE: Final = 0x5AC7_0000_0000_0000
"""Address of the first slot. A distinctive pattern, which no drawn constant equals."""
_STRIDE_BITS: Final = 33
SLOT_STRIDE: Final = 1 << _STRIDE_BITS
"""From one slot's address to the next one's. Offsets are 32-bit, so they stay within half of it."""

_HALF: Final = SLOT_STRIDE // 2

FUNCTION_BASE: Final = 0x5AC6_0000_0000_0000
"""Addresses of functions begin here, 16 bytes apart, below all slots. There is nothing to load or store."""


class Trap(Exception):
    """The function stops with trap ``code``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UndefinedBehaviour(Exception):
    """The *case* is invalid: what it does has no meaning in the language. Never a compiler's fault."""


def slot_address(position: int) -> int:
    """Address of the slot declared at ``position`` among a function's slots."""
    return SLOT_BASE + position * SLOT_STRIDE


class Memory:
    """One run's memory, and what else it does that others can see. ``data``: the data region; ``slot_sizes``: bytes
    of each slot of the first function, by position; ``calls``: of external functions.

    ``open``: masks of the open bits of bytes that have some, by address (see fuzzer.reference.open_bits).
    """

    __slots__ = ("_dead", "_slots", "_written", "calls", "data", "image", "open", "readonly")

    def __init__(self, data: bytes, slot_sizes: tuple[int, ...] = ()) -> None:
        self.data = bytearray(data)
        self._slots = list(map(bytearray, slot_sizes))
        #: 1 for every byte of a slot that was written
        self._written = list(map(bytearray, slot_sizes))
        #: positions from here on were never a slot
        self._dead = len(self._slots)
        #: the data region as it was
        self.image = data
        #: (offset, bytes) of what was read as ``readonly``
        self.readonly: list[tuple[int, int]] = []
        self.open: dict[int, int] = {}
        self.calls: list[ExternalCall] = []

    def enter(self, sizes: tuple[int, ...]) -> int:
        """Make the slots of a function that is entered; the position of the first."""
        base = len(self._slots)
        self._slots += [bytearray(size) for size in sizes]
        self._written += [bytearray(size) for size in sizes]
        self._dead = max(self._dead, len(self._slots))
        return base

    def leave(self, base: int) -> None:
        """The function whose slots begin at position ``base`` is left."""
        del self._slots[base:], self._written[base:]

    def mark(self, address: int, masks: bytes) -> None:
        """Say which bits of the bytes just stored at ``address`` are open."""
        known = self.open
        if not known and not any(masks):
            return
        for at, mask in enumerate(masks, address):
            if mask:
                known[at] = mask
            else:
                known.pop(at, None)

    def marks(self, address: int, size: int) -> bytes:
        """The masks of the open bits of ``size`` bytes; b"" if none is open."""
        known = self.open
        if not known:
            return b""
        masks = bytes([known.get(at, 0) for at in range(address, address + size)])
        return masks if any(masks) else b""

    def load(self, address: int, size: int, trap: str | None) -> bytearray:
        """The ``size`` bytes at ``address``. ``trap``: the code if that is out of bounds; None: undefined."""
        offset = address - DATA_BASE
        if 0 <= offset <= len(self.data) - size:
            return self.data[offset : offset + size]
        slot, offset = self._slot(address, size, trap)
        if self._written[slot].find(0, offset, offset + size) >= 0:
            raise UndefinedBehaviour(
                f"{size} bytes at {offset} of a slot are read before they are written"
            )
        return self._slots[slot][offset : offset + size]

    def promise(self, address: int, size: int) -> None:
        """What was just read there is ``readonly``: undefined if it is not what the run began with, or is stored to."""
        offset = address - DATA_BASE
        if not 0 <= offset <= len(self.data) - size:
            return
        if self.data[offset : offset + size] != self.image[offset : offset + size]:
            raise UndefinedBehaviour(
                f"{size} bytes at {address:#x} are readonly and were stored to"
            )
        self.readonly.append((offset, size))

    def store(self, address: int, data: bytes, trap: str | None) -> None:
        """Put ``data`` at ``address``."""
        size = len(data)
        offset = address - DATA_BASE
        if 0 <= offset <= len(self.data) - size:
            for start, count in self.readonly:
                if start < offset + size and offset < start + count:
                    raise UndefinedBehaviour(f"a store of what is readonly, at {address:#x}")
            self.data[offset : offset + size] = data
            return
        slot, offset = self._slot(address, size, trap)
        self._slots[slot][offset : offset + size] = data
        self._written[slot][offset : offset + size] = b"\1" * size

    def _slot(self, address: int, size: int, trap: str | None) -> tuple[int, int]:
        """(position, offset) of the slot that holds the bytes; else a trap or undefined behaviour."""
        near = address - (SLOT_BASE - _HALF)
        slot = near >> _STRIDE_BITS
        offset = (near & SLOT_STRIDE - 1) - _HALF
        slots = self._slots
        if 0 <= slot < len(slots):
            room = len(slots[slot])
            if 0 <= offset <= room - size:
                return slot, offset
            raise UndefinedBehaviour(f"{size} bytes at {offset} of a slot of {room} bytes")
        if 0 <= slot < self._dead:
            raise UndefinedBehaviour("an access to a slot of a function that was left")
        if 0 <= address - FUNCTION_BASE < SLOT_STRIDE:
            raise UndefinedBehaviour("an access to the code of a function")
        if trap is None:
            raise UndefinedBehaviour(f"a notrap access at {address:#x}, out of bounds")
        raise Trap(trap)
