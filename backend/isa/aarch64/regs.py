"""AArch64's registers as numbers, and which of them the allocator may use.

x0..x30 are 0..30 and v0..v31 are 32..63. Register number 31 of an instruction means either the zero
register or the stack pointer, by field; here they are two numbers, XZR and SP, and a field refuses the
one that it can't mean.

Source: AAPCS64 (Procedure Call Standard for the Arm 64-bit Architecture), 6.1: x16 and x17 may be
destroyed by veneers, x18 is the platform's, x19-x28 and the low halves of v8-v15 belong to the caller,
x29 is the frame pointer, x30 the link register.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from backend.machine.registers import MachineEnv

XZR: Final = 31
SP: Final = 64
FP: Final = 29
LR: Final = 30
PLATFORM: Final = 18
"""Not for programs where the platform has a use for it. Never allocated."""
SCRATCH: Final = 16
"""The allocator's, for cycles of moves."""
TEMP: Final = 17
"""The emitter's, for addresses out of reach. Never live from one instruction to the next."""

ARGUMENTS: Final = tuple(range(8))
RESULTS: Final = tuple(range(8))
SRET: Final = 8
"""The indirect result location register."""


def v(number: int) -> int:
    """The vector register v0..v31."""
    return 32 + number


FLOAT_ARGUMENTS: Final = tuple(v(n) for n in range(8))
"""The results' as well."""
CALLEE_SAVED: Final = frozenset([*range(19, 29), *(v(n) for n in range(8, 16))])
CALLER_SAVED: Final = frozenset([*range(19), LR, *(v(n) for n in (*range(8), *range(16, 32)))])
"""What a call destroys; besides it the high halves of v8-v15, which hold no value of 64 bits or less."""
NAMES: Final = (*(f"x{n}" for n in range(31)), "xzr", *(f"v{n}" for n in range(32)), "sp")

_INTS: Final = (*range(16), *range(19, 29))
_FLOATS: Final = tuple(v(n) for n in (*range(8), *range(16, 31), *range(8, 16)))
#: preferred under pressure on purpose: callee-saved and caller-saved in turns
_FEW_INTS: Final = (19, 0, 20, 9, 21, 1, 22, 10, 23, 2, 24, 11, 25, 3, 26, 12, 27, 4, 28)
_FEW_FLOATS: Final = tuple(v(n) for n in (8, 9, 10, 0, 11, 12, 1, 13, 14, 2, 15, 16, 17, 18, 19))


@cache
def machine_env(registers: int = 0, callconv: str = "") -> MachineEnv:
    """The allocator's environment, the same in all calling conventions; ``registers``: how many of each class it may
    use, 0 for all."""
    ints, floats = _INTS, _FLOATS
    if registers:
        ints, floats = _FEW_INTS[:registers], _FEW_FLOATS[:registers]
    return MachineEnv(
        allocatable=(ints, floats),
        scratch=(SCRATCH, v(31)),
        callee_saved=CALLEE_SAVED,
        slot_bytes=(8, 16),
        names=NAMES,
    )
