"""Values worth trying: where carries, signs, shifts and immediate encodings of integers turn over, and where
rounding, comparing and converting floats do.

Indexed draws into these tables shrink toward the front, so the order is simplest first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from fuzzer.generate.source import Source

_PATTERNS: Final = (0x5555555555555555, 0xF0F0F0F0F0F0F0F0, 0x0123456789ABCDEF, 0xFF00FF00FF00FF00,
                    0x00FF0000000000FF, 0x8000000080000000)  # fmt: skip
#: immediate limits of AArch64 (12-bit add, shifted 12-bit, 16-bit moves of one or two parts) and x86 (8- and 32-bit)
_LIMITS: Final = (0xFFF, 0x1000, 0x1001, 0xFFF000, 0xFFFFFF, 0x1000000, 0xFFFF, 0x10000,
                  0xFFFF0000, 0x7FFF8000, 0x123400005678, 0xFFFF_1234_FFFF_5678)  # fmt: skip


def _table(type_: Type) -> tuple[int, ...]:
    bits, mask = type_.bits, type_.mask
    powers = [p for n in range(bits) for p in ((1 << n) - 1, 1 << n, (1 << n) + 1)]
    shifts = [8, 15, 16, 17, 31, 32, 33, 63, 64, 65]
    first = [0, 1, mask, 2, type_.sign, type_.sign - 1, type_.sign + 1, 3, mask - 1]
    small = [n for n in shifts if n <= mask]
    negative = [(-p) & mask for p in (2, 3, 4, 8, 16, 128, 129, 256, 257, 4095, 4096)]
    patterns = [p & mask for p in _PATTERNS]
    limits = [p for p in _LIMITS if p <= mask] + [(~p) & mask for p in _LIMITS if p <= mask]
    return tuple(dict.fromkeys(first + small + negative + patterns + limits
                               + [p & mask for p in powers]))  # fmt: skip


def _pair_table() -> tuple[int, ...]:
    """i128: first what tells the halves apart, since a value whose upper half is empty tests one half only."""
    low, mask = I64.mask, I128.mask
    first = [0, 1, mask, 2, low, low + 1, low + 2, I128.sign, I128.sign - 1, I64.sign, I64.sign - 1, mask ^ low,
             (1 << 127) + 1, I64.sign << 1 | 1, mask - 1, low << 32]  # fmt: skip
    halves = [high << 64 | bits for high in (1, low, I64.sign, I64.sign - 1, 0x0123456789ABCDEF)
              for bits in (0, 1, low, I64.sign, 0xFEDCBA9876543210)]  # fmt: skip
    shifts = [63, 64, 65, 127, 128, 129, 192]
    return tuple(dict.fromkeys(first + shifts + halves + list(_table(I128))))


# -- floats --------------------------------------------------------------------------------------------------

_LETTERS: Final = {F32: "<f", F64: "<d"}
FRACTIONS: Final = {F32: 23, F64: 52}
"""Bits of a float's fraction."""


def float_bits(type_: Type, value: float) -> int:
    """The bits of ``value``, rounded to ``type_`` (f32 or f64)."""
    return int.from_bytes(struct.pack(_LETTERS[type_], value), "little")


def quiet_nan(type_: Type) -> int:
    """The canonical NaN of a float type: positive, quiet, no payload."""
    return ((1 << (type_.bits - FRACTIONS[type_])) - 1) >> 1 << FRACTIONS[type_] | (
        1 << (FRACTIONS[type_] - 1)
    )


def small_number(type_: Type, number: int) -> int:
    """Bits of a small ``number`` >= 0 as a value of any scalar type but f16 and f128."""
    return float_bits(type_, float(number)) if type_.is_float else number


def _float_table(type_: Type) -> tuple[int, ...]:
    """Both signs of all but the first: zeros, numbers on the edges of rounding and converting, infinities, NaNs."""
    fraction = FRACTIONS[type_]
    nan = quiet_nan(type_)
    infinity = nan ^ (1 << (fraction - 1))
    numbers = [0.0, 1.0, -1.0, -0.0, 0.5, 2.0, 1.5, -2.5, -0.5, 3.0]
    first = [float_bits(type_, number) for number in numbers]
    first += [nan, infinity, infinity | type_.sign, 1, infinity + 1, nan | type_.sign | 1]
    edges = [
        1,  # the smallest subnormal
        (1 << fraction) - 1,  # the largest one
        1 << fraction,  # the smallest normal
        (1 << fraction) + 1,
        infinity - 1,  # the largest number
        infinity,
        infinity + 1,  # signalling NaNs
        infinity | 1 << (fraction - 2),
        nan,
        nan | 1,
        nan | (1 << (fraction - 1)) - 1,
        nan | 0x155,
        *_roundings(type_, fraction),
        *_conversions(type_),
    ]
    both = [bits | sign for bits in edges for sign in (0, type_.sign)]
    return tuple(dict.fromkeys(first + both))


def _roundings(type_: Type, fraction: int) -> Iterator[int]:
    """Halves, odd halves and what lies beside them, up to where no fraction is left; products that are inexact."""
    for number in (0.5, 1.0, 1.5, 2.5, 3.5, 4.5):
        yield from _around(float_bits(type_, number))
    for power in (fraction - 1, fraction, fraction + 1):
        for number in (2.0**power - 1.5, 2.0**power - 0.5, 2.0**power, 2.0**power + 1.0):
            yield float_bits(type_, number)
    for number in (1 / 3, 0.1, 10.0, 100.0, 3.140625, 1e10, 1e-10, 2.0**60, 2.0**-60):
        yield float_bits(type_, number)
    # Halfway between two f32, and beside f32's limits: what fdemote rounds.
    if type_ is F64:
        for number in (
            1 + 2.0**-24,
            1 + 3 * 2.0**-24,
            2.0**128,
            2.0**128 - 2.0**103,
            2.0**-149,
            2.0**-150,
            2.0**-126,
        ):
            yield from _around(float_bits(F64, number))
    for power in (-1, 1):
        yield float_bits(type_, 2.0 ** (power * (63 if type_ is F32 else 511)))


def _conversions(type_: Type) -> Iterator[int]:
    """The powers of two that bound the integers, and what lies beside them."""
    for power in (31, 32, 63, 64, 7, 8, 15, 16, 127, 53, 24):
        bits = float_bits(type_, 2.0**power)
        yield from _around(bits)
        yield float_bits(type_, 2.0**power - 0.5)
        yield float_bits(type_, 2.0**power - 1.0)
        yield float_bits(type_, 2.0**power + 1.0)


def _around(bits: int) -> tuple[int, ...]:
    return (bits, bits - 1, bits + 1)


INTERESTING: Final[dict[Type, tuple[int, ...]]] = {
    **{type_: _table(type_) for type_ in (I32, I64, I8, I16)},
    I128: _pair_table(),
    F32: _float_table(F32),
    F64: _float_table(F64),
}
"""Unsigned bits of interesting values by type, simplest first."""


def draw_bits(source: Source, type_: Type) -> int:
    """Unsigned bits of type ``type_``: mostly an interesting constant, else anything."""
    table = INTERESTING[type_]
    way = source.int(0, 7)
    if way < 3:
        return table[source.int(0, 15)]
    if way < 6:
        return table[source.int(0, len(table) - 1)]
    if way == 6:
        return small_number(type_, source.int(0, 255))
    return source.int(0, type_.mask)
