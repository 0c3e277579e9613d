"""Which constants an AArch64 instruction can hold, and how it encodes them.

Sources: Arm Architecture Reference Manual (DDI 0487), C3.4 (immediates), C6.2 (ADD, MOVZ), and the pseudocode
of ``DecodeBitMasks`` (J1.1) for the logical immediates.
"""

from __future__ import annotations

from functools import cache
from typing import Final

MASK32: Final = (1 << 32) - 1
MASK64: Final = (1 << 64) - 1


def is_add_imm(value: int) -> bool:
    """12 bits, or 12 bits shifted left by 12."""
    return 0 <= value < 4096 or (value & 0xFFF == 0 and 0 < value < 1 << 24)


def add_imm_bits(value: int) -> int:
    """``sh:imm12``. The value must be one of :func:`is_add_imm`."""
    return value if value < 4096 else 1 << 12 | value >> 12


def wide_chunk(value: int, bits: int) -> int:
    """``hw:imm16`` of a value with at most one nonzero 16-bit chunk, else -1."""
    for hw in range(bits // 16):
        if value & ~(0xFFFF << 16 * hw) == 0:
            return hw << 16 | value >> 16 * hw
    return -1


@cache
def fp_table(bits: int) -> dict[int, int]:
    """Every float that FMOV can hold, as bits of its type (32 or 64 of them) -> ``imm8``.

    ``imm8`` is a sign, an exponent of -3 .. 4 and four bits of fraction (``VFPExpandImm``): 256 values.
    """
    exponent = 8 if bits == 32 else 11
    table: dict[int, int] = {}
    for imm8 in range(256):
        sign, top, rest = imm8 >> 7, imm8 >> 6 & 1, imm8 & 0x3F
        copies = ((1 << (exponent - 3)) - 1) * top
        high = (sign << 1 | (top ^ 1)) << (exponent - 3) | copies
        table[(high << 6 | rest) << (bits - exponent - 5)] = imm8
    return table


def is_fp_imm(value: int, bits: int) -> bool:
    return value in fp_table(bits)


def fp_imm(value: int, bits: int) -> int:
    """``imm8`` of a value of :func:`is_fp_imm`."""
    return fp_table(bits)[value]


@cache
def bitmask_table(bits: int) -> dict[int, int]:
    """Every logical immediate of ``bits`` (32 or 64) -> ``N:immr:imms``.

    A logical immediate is an element of 2, 4, .. ``bits`` bits with a run of ones (neither empty nor full), rotated
    right by ``immr`` and repeated. 5,334 values of 64 bits, 1,302 of 32.
    """
    table: dict[int, int] = {}
    size = 2
    while size <= bits:
        element = (1 << size) - 1
        repeat = sum(1 << at for at in range(0, bits, size))
        for ones in range(1, size):
            run = (1 << ones) - 1
            # imms: ones - 1, below a prefix of ones that tells the element's size
            imms = (0b111111 & ~(size * 2 - 1)) | (ones - 1)
            for rotation in range(size):
                rotated = (run >> rotation | run << (size - rotation)) & element
                n = 1 if size == 64 else 0
                table[rotated * repeat] = n << 12 | rotation << 6 | imms
        size *= 2
    return table


def is_bitmask(value: int, bits: int) -> bool:
    return value in bitmask_table(bits)


def bitmask_for(value: int, bits: int) -> int:
    """A logical immediate whose low ``bits`` are ``value``, or 0 (which is none).

    For i8 and i16 the upper bits of the register don't matter, so the value may be continued with
    zeros, with ones or with copies of itself, whichever can be encoded.
    """
    if bits >= 32:
        return value if value in bitmask_table(bits) else 0
    table = bitmask_table(32)
    copies = value * (MASK32 // ((1 << bits) - 1))
    for candidate in (value, copies, value | (MASK32 & ~((1 << bits) - 1))):
        if candidate in table:
            return candidate
    return 0
