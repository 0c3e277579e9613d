"""Trap codes where the trapping instruction has no room for one: in LLVM's stack maps.

AArch64 and x86-64 put the byte of ``llvm.ubsantrap`` into the instruction. Elsewhere a trap is one and the same
instruction, so each gets an ``llvm.experimental.stackmap`` before it, which becomes no instruction but a record: a
number, and where in the code it stands. Traps of different numbers are then different code, which LLVM does not merge.
On s390x a stack map counts as a call, so that a function with a trap has a frame.

Sources: LLVM's "Stack maps and patch points in LLVM" (format of version 3); what a trap becomes is read off LLVM 22's
code.
"""

from __future__ import annotations

import struct
from typing import Final

from fuzzer.targets.llvm_traps import trap_code

SECTION: Final = ".llvm_stackmaps"

_TRAPS: Final = {
    "riscv64": {bytes.fromhex("731000c0"): 0, bytes.fromhex("0000"): 0},
    "s390x": {bytes.fromhex("a7f40001"): 2},  # a jump into itself, where nothing is an instruction
}
"""ISA -> bytes of a trap -> how far from their start the exception is raised."""
MARKED: Final = frozenset(_TRAPS)
"""ISAs on which traps are marked."""
DECLARATION: Final = "void @llvm.experimental.stackmap(i64, i32, ...)"

_VERSION: Final = 3
_HEADER: Final = 16
_FUNCTION: Final = 24
_CONSTANT: Final = 8
_LOCATION: Final = 12


def mark(number: int) -> str:
    """The instruction that marks what follows it."""
    return f"call void (i64, i32, ...) @llvm.experimental.stackmap(i64 {number}, i32 0)"


def function_fields(section: bytes, order: str) -> list[int]:
    """Where in the section the addresses of functions are. ``order``: "<" or ">"."""
    (count,) = struct.unpack_from(f"{order}I", section, 4)
    return [_HEADER + _FUNCTION * n for n in range(count)]


def marks(section: bytes, functions: list[int], order: str) -> list[tuple[int, int]]:
    """(offset in the code, number) of each record; ``functions``: the offsets of those that have some, in order."""
    version, _, _, count, constants, _ = struct.unpack_from(f"{order}BBHIII", section)
    if version != _VERSION or count != len(functions):
        raise ValueError(f"stack maps of version {version}")
    at = _HEADER + _FUNCTION * count + _CONSTANT * constants
    found: list[tuple[int, int]] = []
    for n, start in enumerate(functions):
        (records,) = struct.unpack_from(f"{order}Q", section, _HEADER + _FUNCTION * n + 16)
        for _ in range(records):
            number, offset, _, locations = struct.unpack_from(f"{order}QIHH", section, at)
            at = _aligned(at + 16 + _LOCATION * locations)
            (live,) = struct.unpack_from(f"{order}H", section, at + 2)
            at = _aligned(at + 4 + 4 * live)
            found.append((start + offset, number))
    return found


def marked_traps(isa: str, code: bytes, found: list[tuple[int, int]]) -> list[tuple[int, str]]:
    """Where traps are, and their codes: those of the marks that a trap follows."""
    traps: list[tuple[int, str]] = []
    for at, number in found:
        for trap, ahead in _TRAPS[isa].items():
            if code.startswith(trap, at):
                traps.append((at + ahead, trap_code(number)))
                break
    return traps


def _aligned(at: int) -> int:
    return -(-at // 8) * 8
