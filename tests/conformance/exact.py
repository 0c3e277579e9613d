"""What float operations give, worked out another way than the interpreter does: fractions, and a search.

A float's bits become a :class:`~fractions.Fraction`; the result of an operation is computed exactly and the nearest
float is *found*, by bisection over the bit patterns, whose order is that of the numbers. Nothing here knows
about significands, guard bits or carries. The host's own arithmetic is held against this in ``test_ieee.py``.

A result is the bits, ``NAN`` for any quiet NaN, or the name of a trap.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor, isqrt, trunc
from typing import Final

from backend.ir.types import F16, F32, F64, F128, Type

NAN: Final = "any NaN"

_EXPONENT_BITS: Final = {F16: 5, F32: 8, F64: 11, F128: 15}

Result = int | str


def infinity(t: Type) -> int:
    return ((1 << _EXPONENT_BITS[t]) - 1) << (t.bits - 1 - _EXPONENT_BITS[t])


def is_nan(t: Type, bits: int) -> bool:
    return bits & (t.sign - 1) > infinity(t)


def is_infinite(t: Type, bits: int) -> bool:
    return bits & (t.sign - 1) == infinity(t)


def number(t: Type, bits: int) -> Fraction:
    """The number; an infinity counts as the power of two that would come after the largest."""
    width = t.bits - 1 - _EXPONENT_BITS[t]
    field, fraction = divmod(bits & (t.sign - 1), 1 << width)
    bias = (1 << (_EXPONENT_BITS[t] - 1)) - 1
    magnitude = (
        Fraction(fraction, 1 << width) * Fraction(2) ** (1 - bias)
        if field == 0
        else (1 + Fraction(fraction, 1 << width)) * Fraction(2) ** (field - bias)
    )
    return -magnitude if bits & t.sign else magnitude


def nearest(t: Type, exact: Fraction, zero: int = 0) -> int:
    """The float nearest to a number, ties to the even pattern; ``zero``: bits for 0."""
    if exact == 0:
        return zero
    low, high = 0, infinity(t)
    while high - low > 1:
        middle = (low + high) // 2
        if number(t, middle) <= abs(exact):
            low = middle
        else:
            high = middle
    below, above = abs(exact) - number(t, low), number(t, high) - abs(exact)
    chosen = low if below < above or (below == above and low % 2 == 0) else high
    return chosen | (t.sign if exact < 0 else 0)


def _sign(t: Type, bits: int) -> bool:
    return bits & t.sign != 0


def add(t: Type, x: int, y: int) -> Result:
    if is_nan(t, x) or is_nan(t, y):
        return NAN
    if is_infinite(t, x) or is_infinite(t, y):
        if is_infinite(t, x) and is_infinite(t, y) and x != y:
            return NAN
        return x if is_infinite(t, x) else y
    both = _sign(t, x) and _sign(t, y)
    return nearest(t, number(t, x) + number(t, y), t.sign if both else 0)


def subtract(t: Type, x: int, y: int) -> Result:
    return add(t, x, y ^ t.sign)


def multiply(t: Type, x: int, y: int) -> Result:
    if is_nan(t, x) or is_nan(t, y):
        return NAN
    sign = (x ^ y) & t.sign
    if is_infinite(t, x) or is_infinite(t, y):
        return NAN if number(t, x) * number(t, y) == 0 else infinity(t) | sign
    return nearest(t, number(t, x) * number(t, y), sign) | sign


def divide(t: Type, x: int, y: int) -> Result:
    if is_nan(t, x) or is_nan(t, y):
        return NAN
    sign = (x ^ y) & t.sign
    if is_infinite(t, x):
        return NAN if is_infinite(t, y) else infinity(t) | sign
    if is_infinite(t, y):
        return sign
    if number(t, y) == 0:
        return NAN if number(t, x) == 0 else infinity(t) | sign
    return nearest(t, number(t, x) / number(t, y), sign) | sign


def fused(t: Type, x: int, y: int, z: int) -> Result:
    if is_nan(t, x) or is_nan(t, y) or is_nan(t, z):
        return NAN
    sign = (x ^ y) & t.sign
    if is_infinite(t, x) or is_infinite(t, y):
        product = multiply(t, x, y)
        return NAN if isinstance(product, str) else add(t, product, z)
    if is_infinite(t, z):
        return z
    zero = t.sign if sign and _sign(t, z) else 0
    return nearest(t, number(t, x) * number(t, y) + number(t, z), zero)


def root(t: Type, x: int) -> Result:
    if is_nan(t, x):
        return NAN
    if number(t, x) == 0:
        return x
    if _sign(t, x):
        return NAN
    if is_infinite(t, x):
        return x
    # Scaled to an integer with far more digits than any float has; squares are exact and no others are ties.
    scale = 2 ** (2 * t.bits + (1 << _EXPONENT_BITS[t]))
    scaled = number(t, x) * scale * scale
    assert scaled.denominator == 1
    digits = isqrt(scaled.numerator)
    exact = digits * digits == scaled.numerator
    return nearest(t, Fraction(digits, scale) if exact else Fraction(2 * digits + 1, 2 * scale))


def _integral(away: Callable[[Fraction], int]) -> Callable[[Type, int], Result]:
    def rounded(t: Type, x: int) -> Result:
        if is_nan(t, x):
            return NAN
        sign = x & t.sign
        return x if is_infinite(t, x) else nearest(t, Fraction(away(number(t, x))), sign) | sign

    return rounded


def minimum(t: Type, x: int, y: int) -> Result:
    if is_nan(t, x) or is_nan(t, y):
        return NAN
    return min(x, y, key=lambda bits: (number(t, bits), not _sign(t, bits)))


def maximum(t: Type, x: int, y: int) -> Result:
    if is_nan(t, x) or is_nan(t, y):
        return NAN
    return max(x, y, key=lambda bits: (number(t, bits), not _sign(t, bits)))


def convert(t: Type, s: Type, x: int) -> Result:
    if is_nan(s, x):
        return NAN
    sign = t.sign if _sign(s, x) else 0
    return infinity(t) | sign if is_infinite(s, x) else nearest(t, number(s, x), sign) | sign


def to_integer(t: Type, s: Type, x: int, *, signed: bool, saturated: bool) -> Result:
    low, high = (-(1 << (t.bits - 1)), (1 << (t.bits - 1)) - 1) if signed else (0, t.mask)
    if is_nan(s, x):
        return 0 if saturated else "bad_toint"
    if is_infinite(s, x):
        whole = low - 1 if _sign(s, x) else high + 1
    else:
        whole = trunc(number(s, x))
    if not low <= whole <= high and not saturated:
        return "int_ovf"
    return max(low, min(high, whole)) % (1 << t.bits)


def from_integer(t: Type, s: Type, x: int, *, signed: bool) -> Result:
    return nearest(t, Fraction(x - (1 << s.bits) if signed and x >> (s.bits - 1) else x))


def order(t: Type, x: int, y: int) -> str:
    """``lt``, ``eq``, ``gt`` or ``un``."""
    if is_nan(t, x) or is_nan(t, y):
        return "un"
    a, b = number(t, x), number(t, y)
    return "lt" if a < b else "gt" if a > b else "eq"


CONDITIONS: Final = {
    "ord": "lt eq gt", "uno": "un", "eq": "eq", "ne": "lt gt un", "one": "lt gt", "ueq": "eq un",
    "lt": "lt", "le": "lt eq", "gt": "gt", "ge": "gt eq",
    "ult": "lt un", "ule": "lt eq un", "ugt": "gt un", "uge": "gt eq un",
}  # fmt: skip

ARITHMETIC: Final[dict[str, Callable[..., Result]]] = {
    "fadd": add, "fsub": subtract, "fmul": multiply, "fdiv": divide, "fma": fused, "sqrt": root,
    "fmin": minimum, "fmax": maximum,
    "ceil": _integral(ceil), "floor": _integral(floor), "trunc": _integral(trunc), "nearest": _integral(round),
    "fneg": lambda t, x: (x + t.sign) % (1 << t.bits),
    "fabs": lambda t, x: x % t.sign,
    "fcopysign": lambda t, x, y: x % t.sign + (t.sign if _sign(t, y) else 0),
}  # fmt: skip
"""Opcode to its function of (T, operands)."""

CONVERSIONS: Final[dict[str, Callable[..., Result]]] = {
    "fpromote": convert,
    "fdemote": convert,
    **{
        f"fcvt_to_{kind}{end}": lambda t, s, x, signed=kind == "sint", saturated=bool(end): (
            to_integer(t, s, x, signed=signed, saturated=saturated)
        )
        for kind in ("uint", "sint")
        for end in ("", "_sat")
    },
    **{
        f"fcvt_from_{kind}": lambda t, s, x, signed=kind == "sint": from_integer(
            t, s, x, signed=signed
        )
        for kind in ("uint", "sint")
    },
}
"""Opcode to its function of (T, S, operand)."""
