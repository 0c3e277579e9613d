"""How a value is written for people: an integer as its bits, a float as its literal and its bits."""

from __future__ import annotations

from backend.ir.literals import print_float
from backend.ir.types import Type


def written(bits: int, type_: Type, mask: int = 0) -> str:
    """``0x2a`` of an integer, ``0x1.800000p0 (0x3fc00000)`` of a float; ``mask``: which of the bits may be any:
    ``+NaN (0x7fc00000, any in 0x803fffff)``.
    """
    text = f"{bits:#x}"
    if mask:
        text += f", any in {mask:#x}"
    return f"{print_float(bits, type_.bits)} ({text})" if type_.is_float else text
