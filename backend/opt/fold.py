"""What instructions over constants come to: one line an opcode.

Written for the compiler and for nothing else: the fuzzer's reference has meanings of its own, and the two must be able
to disagree. Operands and results are unsigned bits; ``b`` is the width of the type they belong to.

An entry gives a tuple of results, or None where the instruction has to stay because it traps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Results = tuple[int, ...] | None
Fold = Callable[..., Results]
"""(width, *operands) -> results; a result that is a condition is 0 or 1, any other is cut to its type afterwards."""


def signed(bits: int, width: int) -> int:
    """``bits`` of ``width`` as a two's complement number."""
    return bits - (bits >> (width - 1) << width)


def _divide(b: int, x: int, y: int) -> Results:
    if y == 0 or (x == 1 << (b - 1) and y == (1 << b) - 1):
        return None
    p, q = signed(x, b), signed(y, b)
    quotient = abs(p) // abs(q)
    return (quotient if (p < 0) == (q < 0) else -quotient,)


def _remainder(b: int, x: int, y: int) -> Results:
    if y == 0:
        return None
    p, q = signed(x, b), signed(y, b)
    rest = abs(p) % abs(q)
    return (-rest if p < 0 else rest,)


def _overflowing(value: int, b: int, is_signed: bool) -> Results:
    low = value & ((1 << b) - 1)
    return low, int((signed(low, b) if is_signed else low) != value)


def _rotate_left(b: int, x: int, n: int) -> int:
    n %= b
    return x << n | x >> (b - n)


def _leading_zeros(b: int, x: int) -> int:
    return b - x.bit_length()


def _reversed_bits(b: int, x: int) -> int:
    return int(f"{x:0{b}b}"[::-1], 2)


FOLDS: Final[dict[str, Fold]] = {
    "iadd": lambda b, x, y: (x + y,),
    "isub": lambda b, x, y: (x - y,),
    "imul": lambda b, x, y: (x * y,),
    "ineg": lambda b, x: (-x,),
    "iabs": lambda b, x: (abs(signed(x, b)),),
    "umulhi": lambda b, x, y: (x * y >> b,),
    "smulhi": lambda b, x, y: (signed(x, b) * signed(y, b) >> b,),
    "udiv": lambda b, x, y: (x // y,) if y else None,
    "urem": lambda b, x, y: (x % y,) if y else None,
    "sdiv": _divide,
    "srem": _remainder,
    "umin": lambda b, x, y: (x if x < y else y,),
    "umax": lambda b, x, y: (x if x > y else y,),
    "smin": lambda b, x, y: (x if signed(x, b) < signed(y, b) else y,),
    "smax": lambda b, x, y: (x if signed(x, b) > signed(y, b) else y,),
    "uadd_overflow": lambda b, x, y: _overflowing(x + y, b, False),
    "sadd_overflow": lambda b, x, y: _overflowing(signed(x, b) + signed(y, b), b, True),
    "usub_overflow": lambda b, x, y: _overflowing(x - y, b, False),
    "ssub_overflow": lambda b, x, y: _overflowing(signed(x, b) - signed(y, b), b, True),
    "umul_overflow": lambda b, x, y: _overflowing(x * y, b, False),
    "smul_overflow": lambda b, x, y: _overflowing(signed(x, b) * signed(y, b), b, True),
    "band": lambda b, x, y: (x & y,),
    "bor": lambda b, x, y: (x | y,),
    "bxor": lambda b, x, y: (x ^ y,),
    "bnot": lambda b, x: (~x,),
    "ishl": lambda b, x, n: (x << n % b,),
    "ushr": lambda b, x, n: (x >> n % b,),
    "sshr": lambda b, x, n: (signed(x, b) >> n % b,),
    "rotl": lambda b, x, n: (_rotate_left(b, x, n),),
    "rotr": lambda b, x, n: (_rotate_left(b, x, -n),),
    "clz": lambda b, x: (_leading_zeros(b, x),),
    "ctz": lambda b, x: ((x & -x).bit_length() - 1 if x else b,),
    "cls": lambda b, x: (_leading_zeros(b, x if x >> (b - 1) == 0 else x ^ ((1 << b) - 1)) - 1,),
    "bitrev": lambda b, x: (_reversed_bits(b, x),),
    "bswap": lambda b, x: (int.from_bytes(x.to_bytes(b // 8, "little"), "big"),),
    "popcnt": lambda b, x: (x.bit_count(),),
    "bitselect": lambda b, c, x, y: (c & x | ~c & y,),
    "select": lambda b, c, x, y: (x if c else y,),
}
"""By opcode whose operands have its type, or whose types don't matter (an amount, a condition)."""

CONDITIONS: Final[dict[str, Callable[[int, int, int], bool]]] = {
    "eq": lambda b, x, y: x == y,
    "ne": lambda b, x, y: x != y,
    "ult": lambda b, x, y: x < y,
    "ule": lambda b, x, y: x <= y,
    "ugt": lambda b, x, y: x > y,
    "uge": lambda b, x, y: x >= y,
    "slt": lambda b, x, y: signed(x, b) < signed(y, b),
    "sle": lambda b, x, y: signed(x, b) <= signed(y, b),
    "sgt": lambda b, x, y: signed(x, b) > signed(y, b),
    "sge": lambda b, x, y: signed(x, b) >= signed(y, b),
}
"""By condition of an integer comparison; ``b`` is the width of what is compared."""

WIDTHS: Final[dict[str, Callable[[int, int], int]]] = {
    "uextend": lambda s, x: x,
    "sextend": lambda s, x: signed(x, s),
    "ireduce": lambda s, x: x,
    "bmask": lambda s, x: -1 if x else 0,
}
"""By opcode from one width to another; ``s`` is the operand's."""
