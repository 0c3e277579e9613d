"""Integers worth trying: where carries, signs, shifts and immediate encodings turn over.

Indexed draws into these tables shrink toward the front, so the order is simplest first.
"""

from __future__ import annotations

from typing import Final

from backend.ir.types import I8, I16, I32, I64, Type

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


INTERESTING: Final[dict[Type, tuple[int, ...]]] = {
    type_: _table(type_) for type_ in (I32, I64, I8, I16)
}
"""Unsigned bits of interesting values by type, simplest first."""
