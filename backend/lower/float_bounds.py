"""Bounds that a float is held to before it is converted to an integer, for any ISA.

They are floats, never rounded: what is compared is exact.
"""

from __future__ import annotations

import struct
from typing import Final

_PRECISION: Final = {32: 24, 64: 53}


def float_bits(value: float, width: int) -> int:
    """The bits of a float of ``width`` bits that is exactly ``value``."""
    return int.from_bytes(struct.pack("<f" if width == 32 else "<d", value), "little")


def below_is_float(signed: bool, bits: int, width: int) -> bool:
    """Is the integer below the smallest one of ``bits`` bits a float of ``width`` bits?"""
    return not signed or bits <= _PRECISION[width]


def low_bound(signed: bool, bits: int, width: int) -> int:
    """The float to compare with, as bits: the integer below the smallest one of ``bits`` bits if it
    is a float, since what lies between the two is truncated into range; else the smallest one."""
    smallest = -(1 << (bits - 1)) if signed else 0
    return float_bits(smallest - below_is_float(signed, bits, width), width)


def high_bound(signed: bool, bits: int, width: int) -> int:
    """The float above the greatest integer of ``bits`` bits, a power of two, as bits."""
    return float_bits(float(1 << (bits - signed)), width)
