"""Trap codes as the byte that ``llvm.ubsantrap`` takes, and back: it is in the trapping instruction.

Source: LLVM Language Reference, ``llvm.ubsantrap``; AArch64 makes it ``brk #0x5500 + number``, x86-64
``ud1 number(%eax), %eax``.
"""

from __future__ import annotations

from typing import Final

from backend.errors import Unsupported

TRAP_CODES: Final = ("heap_oob", "int_divz", "int_ovf", "bad_toint", "stk_ovf")
"""Trap codes by the number that ``llvm.ubsantrap`` gets; user traps follow."""

#: user traps that fit in a byte behind the others
_USERS: Final = 250


def trap_number(code: str) -> int:
    """The byte that stands for a trap code; Unsupported if it has none."""
    if code in TRAP_CODES:
        return TRAP_CODES.index(code)
    user = int(code.removeprefix("user")) if code.startswith("user") else _USERS
    number = len(TRAP_CODES) + user - 1
    if number > 255:
        raise Unsupported(f"trap code {code}")
    return number


def trap_code(number: int) -> str:
    """The inverse of :func:`trap_number`."""
    return TRAP_CODES[number] if number < len(TRAP_CODES) else f"user{number - len(TRAP_CODES) + 1}"
