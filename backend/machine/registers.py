"""Registers as ints, for every ISA.

A register is an int. 0..127 name the *physical* registers of an ISA, in the order of its table;
from :data:`FIRST_VREG` up an int is a *virtual* register. A *location* is where the allocator put a
value: a physical register, or spill slot ``n`` written as ``-1 - n``. The ranges are disjoint, so one
int says which it is and can't be taken for another.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FIRST_VREG: Final = 128

INT: Final = 0
"""Register class of integers and addresses."""
FLOAT: Final = 1
"""Register class of floats and vectors."""
CLASS_NAMES: Final = ("int", "float")


def spill(slot: int) -> int:
    """The location of spill slot ``slot``."""
    return -1 - slot


def spill_slot(location: int) -> int:
    """The spill slot a negative location names."""
    return -1 - location


class MachineEnv(NamedTuple):
    """What the allocator may use, by class (index 0: INT, 1: FLOAT).

    ``allocatable``: physical registers in order of preference. ``scratch``: one register a class
    that is never allocated; it breaks cycles of moves and carries spill-to-spill moves.
    ``callee_saved``: those that cost a save in the prologue. ``saved_whole``: those of
    which 16 bytes are saved, not 8. ``slot_bytes``: size of a spill slot.
    """

    allocatable: tuple[tuple[int, ...], tuple[int, ...]]
    scratch: tuple[int, int]
    callee_saved: frozenset[int]
    slot_bytes: tuple[int, int]
    names: tuple[str, ...]
    saved_whole: frozenset[int] = frozenset()

    def name(self, location: int) -> str:
        """``x3``, ``v200`` (virtual, numbered from 0 as ``%0``), ``spill2``."""
        if location < 0:
            return f"spill{spill_slot(location)}"
        if location >= FIRST_VREG:
            return f"%{location - FIRST_VREG}"
        return self.names[location]
