# ruff: noqa: E501  # a table: one row a line
"""What floats are, on exact fractions: an expectation that shares nothing with the code under test.

A float is its bits, ``width`` of them (32 or 64). An operation that gives a NaN gives :data:`NAN`, which stands for any.
Source: IEEE 754-2019, 4.3.1 (roundTiesToEven), 5 (operations), 6.3 (the sign of zero).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

NAN: Final = -1
"""Some NaN."""
PRECISION: Final = {32: 24, 64: 53}
_LEAST: Final = {32: -126, 64: -1022}


def infinity(width: int) -> int:
    p = PRECISION[width]
    return (1 << (width - p)) - 1 << (p - 1)


def is_nan(x: int, width: int) -> bool:
    return magnitude(x, width) > infinity(width)


def is_inf(x: int, width: int) -> bool:
    return magnitude(x, width) == infinity(width)


def magnitude(x: int, width: int) -> int:
    return x & ((1 << (width - 1)) - 1)


def sign(x: int, width: int) -> int:
    return x >> (width - 1)


def signed(x: int, negative: int, width: int) -> int:
    """``x`` with its sign replaced."""
    return magnitude(x, width) | negative << (width - 1)


def value(x: int, width: int) -> Fraction:
    """The number that finite bits stand for."""
    p = PRECISION[width]
    exponent, fraction = divmod(magnitude(x, width), 1 << (p - 1))
    if exponent:
        fraction += 1 << (p - 1)
    number = fraction * Fraction(2) ** (max(exponent, 1) - 1 + _LEAST[width] - (p - 1))
    return -number if sign(x, width) else number


def rounded(number: Fraction, width: int, zero_sign: int = 0) -> int:
    """The float nearest to ``number``, ties to even; a number that *is* zero gets ``zero_sign``."""
    if not number:
        return zero_sign << (width - 1)
    p, size = PRECISION[width], abs(number)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    exponent = max(exponent, _LEAST[width])
    # Carries from the fraction run into the exponent, as they should.
    count = round(size / Fraction(2) ** (exponent - (p - 1)))
    bits = (exponent - _LEAST[width] << (p - 1)) + count
    return signed(min(bits, infinity(width)), int(number < 0), width)


def add(x: int, y: int, width: int) -> int:
    if is_nan(x, width) or is_nan(y, width):
        return NAN
    if is_inf(x, width):
        return NAN if is_inf(y, width) and x != y else x
    if is_inf(y, width):
        return y
    return rounded(
        value(x, width) + value(y, width), width, sign(x, width) & sign(y, width) if x == y else 0
    )


def subtract(x: int, y: int, width: int) -> int:
    return NAN if is_nan(y, width) else add(x, negate(y, width), width)


def negate(x: int, width: int) -> int:
    return x ^ 1 << (width - 1)


def multiply(x: int, y: int, width: int) -> int:
    negative = sign(x, width) ^ sign(y, width)
    if is_nan(x, width) or is_nan(y, width):
        return NAN
    if is_inf(x, width) or is_inf(y, width):
        zero = not magnitude(x, width) or not magnitude(y, width)
        return NAN if zero else signed(infinity(width), negative, width)
    return rounded(value(x, width) * value(y, width), width, negative)


def divide(x: int, y: int, width: int) -> int:
    negative = sign(x, width) ^ sign(y, width)
    if is_nan(x, width) or is_nan(y, width):
        return NAN
    if is_inf(x, width):
        return NAN if is_inf(y, width) else signed(x, negative, width)
    if is_inf(y, width):
        return signed(0, negative, width)
    if not magnitude(y, width):
        return signed(infinity(width), negative, width) if magnitude(x, width) else NAN
    return rounded(value(x, width) / value(y, width), width, negative)


def fused(x: int, y: int, z: int, width: int) -> int:
    """x * y + z."""
    product = multiply(x, y, width)
    if product == NAN or is_nan(z, width):
        return NAN
    if is_inf(x, width) or is_inf(y, width) or is_inf(z, width):
        other = signed(infinity(width), sign(product, width), width)
        if is_inf(x, width) or is_inf(y, width):
            return add(other, z, width)
        return z
    exact = value(x, width) * value(y, width) + value(z, width)
    negative = sign(x, width) ^ sign(y, width)
    both_zero = not value(z, width) and not value(x, width) * value(y, width)
    return rounded(exact, width, negative & sign(z, width) if both_zero else 0)


def square_root(x: int, width: int) -> int:
    if is_nan(x, width) or (sign(x, width) and magnitude(x, width)):
        return NAN
    if is_inf(x, width) or not magnitude(x, width):
        return x
    number = value(x, width)
    product = number.numerator * number.denominator << 400
    root = math.isqrt(product)
    # What is not exact lies strictly between: no tie is half a unit of 2^-200 away.
    exact = Fraction(root) + (Fraction(1, 2) if root * root != product else 0)
    return rounded(exact / (number.denominator << 200), width)


def extreme(x: int, y: int, width: int, least: bool) -> int:
    """The smaller, or the greater; a NaN if one is; -0 below +0."""
    if is_nan(x, width) or is_nan(y, width):
        return NAN
    ordered = sorted(
        (x, y), key=lambda b: -magnitude(b, width) - 1 if sign(b, width) else magnitude(b, width)
    )
    return ordered[0 if least else 1]


def integral(x: int, width: int, how: str) -> int:
    """Rounded to an integer, the sign kept."""
    if is_nan(x, width):
        return NAN
    if is_inf(x, width):
        return x
    number = value(x, width)
    ways = {"ceil": math.ceil, "floor": math.floor, "trunc": math.trunc, "nearest": round}
    return signed(rounded(Fraction(ways[how](number)), width), sign(x, width), width)


def holds(cc: str, x: int, y: int, width: int) -> bool:
    """Does the condition hold? Unordered counts for those with a leading u, and for ``ne``."""
    if is_nan(x, width) or is_nan(y, width):
        return cc in ("uno", "ne", "ueq", "ult", "ule", "ugt", "uge")
    one, other = (
        Fraction(10) ** 400 * (-1 if sign(b, width) else 1) if is_inf(b, width) else value(b, width)
        for b in (x, y)
    )
    less, equal, greater = one < other, one == other, one > other
    return {
        "ord": True, "uno": False, "eq": equal, "ne": not equal, "one": not equal, "ueq": equal, "lt": less, "le": less or equal,
        "gt": greater, "ge": greater or equal, "ult": less, "ule": less or equal, "ugt": greater, "uge": greater or equal,
    }[cc]  # fmt: skip


def converted(x: int, width: int, to: int) -> int:
    """Promoted or demoted."""
    if is_nan(x, width):
        return NAN
    if is_inf(x, width):
        return signed(infinity(to), sign(x, width), to)
    return rounded(value(x, width), to, sign(x, width))


def to_integer(x: int, width: int, bits: int, with_sign: bool, saturate: bool) -> int | str:
    """Truncated, as unsigned bits, or the trap."""
    least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if with_sign else (0, (1 << bits) - 1)
    if is_nan(x, width):
        return 0 if saturate else "bad_toint"
    if is_inf(x, width):
        number = least - 1 if sign(x, width) else most + 1
    else:
        number = math.trunc(value(x, width))
    if not least <= number <= most and not saturate:
        return "int_ovf"
    return max(least, min(most, number)) & ((1 << bits) - 1)


def from_integer(x: int, bits: int, with_sign: bool, width: int) -> int:
    if with_sign and x >> (bits - 1):
        x -= 1 << bits
    return rounded(Fraction(x), width)


def interesting(width: int) -> list[int]:
    """Bits worth trying, the simplest first: zeros, ones, the ends of the subnormals and of the range, NaNs quiet and
    signalling, halfway cases, and the bounds of every integer type with their neighbours."""
    p, inf = PRECISION[width], infinity(width)
    one = rounded(Fraction(1), width)
    positive = [0, one, rounded(Fraction(3, 2), width), 1, 2, (1 << (p - 1)) - 1, 1 << (p - 1), inf, inf - 1,
                one + 1, one - 1, rounded(Fraction(1, 2), width), rounded(Fraction(5, 2), width),
                rounded(Fraction(1 << (p - 1)), width), rounded(Fraction((1 << (p - 1)) + 1, 2), width),
                inf | 1 << (p - 2), inf | 1 << (p - 2) | 0x1234, inf | 1, inf | 0x4321]  # fmt: skip
    for bits in (7, 8, 15, 16, 31, 32, 63, 64):
        bound = rounded(Fraction(1 << bits), width)
        positive += [bound - 1, bound, bound + 1, rounded(Fraction(2 << bits, 2) - Fraction(1, 2), width),
                     rounded(Fraction(1 << bits) + 1, width)]  # fmt: skip
    positive = list(dict.fromkeys(positive))
    return [bits for x in positive for bits in (x, negate(x, width))]
