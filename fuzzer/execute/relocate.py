"""Relocations, applied when code is loaded: by the executor's own table, not the compiler's.

A reference to an own function is to where it stands in the code, any other to a stub (:mod:`fuzzer.execute.outside`).
Kinds, offsets and addends are those of ELF: S is the symbol's address, A the addend, P the address that is patched.
Sources: ELF for the Arm 64-bit Architecture, 5.7 (R_AARCH64_CALL26, R_AARCH64_ADR_PREL_PG_HI21,
R_AARCH64_ADD_ABS_LO12_NC, R_AARCH64_LDST64_ABS_LO12_NC); System V ABI, AMD64 supplement, 4.4
(R_X86_64_PC32, R_X86_64_64); RISC-V ELF psABI, "Relocations" (R_RISCV_CALL_PLT,
R_RISCV_PCREL_HI20, R_RISCV_PCREL_LO12_I; S of the last is where the one before it is, whose distance it completes);
s390x ELF ABI supplement, "Relocation" (R_390_PC32DBL, R_390_PLT32DBL); ELF for the Arm Architecture, "Relocation"
(R_ARM_CALL, R_ARM_JUMP24); System V ABI, MIPS supplement, "Relocation" (R_MIPS_26).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from backend.ir.entities import Function, Signature


class ExecutorLimit(Exception):
    """The executor can't run this (code too large, signature not in registers and stack slots)."""


class Relocation(Protocol):
    """``kind`` at byte ``offset`` of the code against ``symbol`` + ``addend``."""

    offset: int
    kind: str
    symbol: str
    addend: int


class Linkage(NamedTuple):
    """What code refers to. ``symbols``: offsets of its own functions; ``signatures``: how others are declared."""

    relocs: Sequence[Relocation]
    symbols: dict[str, int]
    signatures: dict[str, Signature | None]


def declared(functions: Iterable[Function]) -> dict[str, Signature | None]:
    """The signature of each function that these refer to; None if they do not agree."""
    found: dict[str, Signature | None] = {}
    for function in functions:
        for ref in function.functions.values():
            sig = ref.sig if isinstance(ref.sig, Signature) else function.signatures.get(ref.sig)
            if found.setdefault(ref.name, sig) != sig:
                found[ref.name] = None
    return found


def _call26(old: int, target: int, place: int) -> int:
    distance = target - place
    if distance % 4 or not -1 << 27 <= distance < 1 << 27:
        raise ExecutorLimit(f"a call over {distance} bytes")
    return old & 0xFC00_0000 | distance >> 2 & 0x03FF_FFFF


def _arm_call(old: int, target: int, place: int) -> int:
    """B, BL: the condition stays. The addend is what PC is ahead by, negated."""
    distance = target - place
    if distance % 4 or not -1 << 25 <= distance < 1 << 25:
        raise ExecutorLimit(f"a call over {distance} bytes")
    return old & 0xFF00_0000 | distance >> 2 & 0xFF_FFFF


def _mips_26(old: int, target: int, place: int) -> int:
    """J, JAL: an address in the 256 MiB in which the delay slot is."""
    if target % 4 or target >> 28 != place + 4 >> 28:
        raise ExecutorLimit(f"a call of {target:#x}")
    return old & 0xFC00_0000 | target >> 2 & 0x03FF_FFFF


def _pc_rel32(old: int, target: int, place: int) -> int:
    distance = target - place
    if not -1 << 31 <= distance < 1 << 31:
        raise ExecutorLimit(f"a distance of {distance} bytes")
    return distance & 0xFFFF_FFFF


def _adr_page21(old: int, target: int, place: int) -> int:
    pages = (target >> 12) - (place >> 12)
    if not -1 << 20 <= pages < 1 << 20:
        raise ExecutorLimit(f"a distance of {pages} pages")
    return old & 0x9F00_001F | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5


def _add_lo12(old: int, target: int, place: int) -> int:
    return old & 0xFFC0_03FF | (target & 0xFFF) << 10


def _ld64_lo12(old: int, target: int, place: int) -> int:
    if target % 8:
        raise ExecutorLimit(f"a load of 8 bytes at {target:#x}")
    return old & 0xFFC0_03FF | (target & 0xFFF) >> 3 << 10


def _riscv_call(old: int, target: int, place: int) -> int:
    """AUIPC, then JALR: the distance's upper 20 bits, rounded, and its lower 12, which are signed."""
    distance = target - place
    if distance % 2 or not -1 << 31 <= distance + 0x800 < 1 << 31:
        raise ExecutorLimit(f"a call over {distance} bytes")
    upper, lower = distance + 0x800 & 0xFFFF_F000, distance & 0xFFF
    return old & 0x000F_FFFF_0000_0FFF | lower << 52 | upper


def _pcrel_hi20(old: int, target: int, place: int) -> int:
    distance = target - place
    if not -1 << 31 <= distance + 0x800 < 1 << 31:
        raise ExecutorLimit(f"a distance of {distance} bytes")
    return old & 0xFFF | distance + 0x800 & 0xFFFF_F000


def _pcrel_lo12_i(old: int, target: int, place: int) -> int:
    return old & 0xF_FFFF | (target - place & 0xFFF) << 20


def _pc_rel32_dbl(old: int, target: int, place: int) -> int:
    distance = target - place
    if distance % 2 or not -1 << 32 <= distance < 1 << 32:
        raise ExecutorLimit(f"a distance of {distance} bytes")
    return distance >> 1 & 0xFFFF_FFFF


def _abs64(old: int, target: int, place: int) -> int:
    return target


KINDS: Final[dict[str, tuple[int, Callable[[int, int, int], int]]]] = {
    "call26": (4, _call26),
    "arm_call": (4, _arm_call),
    "mips_26": (4, _mips_26),
    "adr_page21": (4, _adr_page21),
    "add_lo12": (4, _add_lo12),
    "ld64_lo12": (4, _ld64_lo12),
    "pc_rel32": (4, _pc_rel32),
    "riscv_call": (8, _riscv_call),
    "pcrel_hi20": (4, _pcrel_hi20),
    "pcrel_lo12_i": (4, _pcrel_lo12_i),
    "pc_rel32_dbl": (4, _pc_rel32_dbl),
    "abs64": (8, _abs64),
}
"""Kind to the bytes that are patched, and what they become: a function of (what they are, S + A, P)."""


def relocate(
    code: bytes,
    relocs: Sequence[Relocation],
    base: int,
    address: Callable[[str], int],
    order: Literal["little", "big"] = "little",
) -> bytes:
    """``code`` as it is at address ``base``; ``address(symbol)``. ExecutorLimit for what can't be done."""
    made = bytearray(code)
    uppers: dict[int, Relocation] | None = None
    for reloc in relocs:
        if reloc.kind not in KINDS:
            raise ExecutorLimit(f"a relocation of kind {reloc.kind}")
        size, apply = KINDS[reloc.kind]
        at = reloc.offset
        if not 0 <= at <= len(made) - size:
            raise ExecutorLimit(f"a relocation at {at} of {len(made)} bytes")
        old = int.from_bytes(made[at : at + size], order)
        target, place = address(reloc.symbol) + reloc.addend, base + at
        if reloc.kind == "pcrel_lo12_i":
            if uppers is None:
                uppers = {base + r.offset: r for r in relocs if r.kind == "pcrel_hi20"}
            upper = uppers.get(target)
            if upper is None:
                raise ExecutorLimit("the lower half of a distance without the upper one")
            target, place = address(upper.symbol) + upper.addend, target
        new = apply(old, target, place)
        made[at : at + size] = new.to_bytes(size, order)
    return bytes(made)
