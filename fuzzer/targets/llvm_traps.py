"""Trap codes as the byte that ``llvm.ubsantrap`` takes, and back: it is in the trapping instruction.

Source: LLVM Language Reference, ``llvm.ubsantrap``; AArch64 makes it ``brk #0x5500 + number``, x86-64
``ud1 number(%eax), %eax``.

Where the instruction has no room for a byte, and LLVM no record of where it is, a trap is a call of a function that
does not return: one a code, named by :func:`trap_symbol`, made of one trapping instruction when the object is linked.
It makes a frame, as any call does.
"""

from __future__ import annotations

from typing import Final

from backend.errors import Unsupported
from fuzzer.execute.machines import MACHINES

TRAP_CODES: Final = ("heap_oob", "int_divz", "int_ovf", "bad_toint", "stk_ovf")
"""Trap codes by the number that ``llvm.ubsantrap`` gets; user traps follow."""

#: user traps that fit in a byte behind the others
_USERS: Final = 250

CALLED: Final = {isa: MACHINES[isa].trap_fill for isa in ("arm", "mips64")}
"""ISA -> the instruction that such a function is."""
_SYMBOL: Final = "trap "
"""How their names begin, as no function's of a case does."""


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


def trap_symbol(number: int) -> str:
    """The function that traps with a code's number, as LLVM IR has it."""
    return f'@"{_SYMBOL}{number}"'


def number_of(symbol: str) -> int:
    """The number of such a function by its name in an object; -1 if it is none."""
    return int(symbol.removeprefix(_SYMBOL)) if symbol.startswith(_SYMBOL) else -1
