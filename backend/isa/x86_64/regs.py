"""x86-64's registers as numbers, and which of them the allocator may use.

rax..r15 are 0..15, as the hardware numbers them; xmm0..xmm15 are 32..47.

Source: System V Application Binary Interface, AMD64 Architecture Processor Supplement, 3.2.1 (registers; rbx, rbp, rsp
and r12-r15 belong to the caller) and 3.2.3 (parameter passing); Microsoft, "x64 calling convention" (rsi, rdi and
xmm6-xmm15 belong to the caller, too).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from backend.machine.registers import MachineEnv

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)
SCRATCH: Final = R11
"""The allocator's, for cycles of moves, and the emitter's at the end of a block."""

ARGUMENTS: Final = (RDI, RSI, RDX, RCX, R8, R9)
RESULTS: Final = (RAX, RDX)


def xmm(number: int) -> int:
    """The vector register xmm0..xmm15."""
    return 32 + number


FLOAT_ARGUMENTS: Final = tuple(xmm(n) for n in range(8))
FLOAT_RESULTS: Final = tuple(xmm(n) for n in range(2))
CALLEE_SAVED: Final = frozenset((RBX, R12, R13, R14, R15))
CALLER_SAVED: Final = frozenset(
    (RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11, *(xmm(n) for n in range(16)))
)
"""What a call destroys."""

FASTCALL: Final = "windows_fastcall"
FASTCALL_ARGUMENTS: Final = (RCX, RDX, R8, R9)
FASTCALL_FLOATS: Final = tuple(xmm(n) for n in range(4))
FASTCALL_WHOLE: Final = frozenset(xmm(n) for n in range(6, 16))
"""The vector registers that a function gives back as it got them, all 128 bits of them."""
FASTCALL_SAVED: Final = CALLEE_SAVED | {RSI, RDI} | FASTCALL_WHOLE
FASTCALL_CLOBBERS: Final = CALLER_SAVED - FASTCALL_SAVED
INT_NAMES: Final = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                    *(f"r{n}" for n in range(8, 16)))  # fmt: skip
NAMES: Final = (*INT_NAMES, *("" for _ in range(16)), *(f"xmm{n}" for n in range(16)))

_INTS: Final = (RAX, RCX, RDX, RSI, RDI, R8, R9, R10, RBX, R12, R13, R14, R15)
_FLOATS: Final = tuple(xmm(n) for n in range(15))
#: preferred under pressure on purpose: callee-saved and caller-saved in turns, those that instructions fix among them
_FEW_INTS: Final = (RBX, RSI, R12, RAX, R13, RDI, R9, R14, RCX, RDX, R15, R8, R10)
_FEW_FASTCALL_FLOATS: Final = tuple(
    xmm(n) for n in (6, 0, 14, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11, 12, 13)
)


@cache
def machine_env(registers: int = 0, callconv: str = "") -> MachineEnv:
    """The allocator's environment for a function of this calling convention; ``registers``: how many of each class it
    may use, 0 for all."""
    windows = callconv == FASTCALL
    saved = FASTCALL_SAVED if windows else CALLEE_SAVED
    # What has to be saved comes last.
    ints, floats = (tuple(sorted(each, key=saved.__contains__)) for each in (_INTS, _FLOATS))
    if registers:
        ints, floats = (
            _FEW_INTS[:registers],
            (_FEW_FASTCALL_FLOATS if windows else _FLOATS)[:registers],
        )
    return MachineEnv(
        allocatable=(ints, floats),
        scratch=(SCRATCH, xmm(15)),
        callee_saved=saved,
        saved_whole=saved & FASTCALL_WHOLE,
        slot_bytes=(8, 16),
        names=NAMES,
    )
