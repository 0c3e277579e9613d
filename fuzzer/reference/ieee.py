"""IEEE 754 arithmetic on bit patterns, in integers: exact results, rounded once, to nearest with ties to even.

A float is the unsigned int of its bits; a :class:`Format` says what they mean. No operation here uses the
host's floats, so none can be rounded twice or depend on a processor's mode; every intermediate result is an
exact integer times a power of two (or has one more bit set that says "and a little more", :func:`divide` and
:func:`square_root`), whatever the format.

Which NaN a result is, is not decided here: a function gives None where the result is a NaN.

Source: IEEE 754-2019, sections 3.4 (formats), 4.3.1 (rounding), 5.3 to 5.11 (operations), 6.3 (signs of zeros).
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Final

from backend.ir.types import F16, F32, F64, F128, Type


class Format:
    """A binary interchange format. ``precision``: significant bits; ``least``: the exponent of the last bit of the
    smallest number, so that a subnormal is its fraction times 2^least. The rest are bit patterns.
    """

    __slots__ = ("fraction_bits", "fraction_mask", "hidden", "infinity", "least", "magnitude", "precision", "quiet",
                 "quiet_nan", "sign", "top")  # fmt: skip

    def __init__(self, bits: int, exponent_bits: int) -> None:
        self.fraction_bits = bits - 1 - exponent_bits
        self.precision = self.fraction_bits + 1
        self.hidden = 1 << self.fraction_bits
        self.fraction_mask = self.hidden - 1
        self.top = (1 << exponent_bits) - 1
        self.least = 1 - self.top // 2 - self.fraction_bits
        self.sign = 1 << (bits - 1)
        self.magnitude = self.sign - 1
        self.infinity = self.top << self.fraction_bits
        self.quiet = self.hidden >> 1
        self.quiet_nan = self.infinity | self.quiet


FORMATS: Final[dict[Type, Format]] = {
    F16: Format(16, 5), F32: Format(32, 8), F64: Format(64, 11), F128: Format(128, 15),
}  # fmt: skip


def is_nan(f: Format, x: int) -> bool:
    return x & f.magnitude > f.infinity


def is_infinite(f: Format, x: int) -> bool:
    return x & f.magnitude == f.infinity


def _finite(f: Format, x: int) -> tuple[int, int]:
    """(m, e): the magnitude of a finite number is m * 2^e."""
    field = x >> f.fraction_bits & f.top
    fraction = x & f.fraction_mask
    return (fraction | f.hidden, f.least + field - 1) if field else (fraction, f.least)


def rounded(f: Format, negative: bool | int, m: int, e: int) -> int:
    """The number nearest to m * 2^e, ties to even; an infinity if that is out of range, a signed zero for 0.

    The formula for the bits rests on the hidden bit being one unit of the exponent field: adding the integer
    significand counts it, and so does a significand that was rounded up to the next power of two.
    """
    sign = f.sign if negative else 0
    if m == 0:
        return sign
    least = f.least
    unit = e + m.bit_length() - f.precision
    if unit < least:
        unit = least
    shift = unit - e
    if shift <= 0:
        m <<= -shift
    else:
        half = 1 << (shift - 1)
        dropped = m & ((half << 1) - 1)
        m >>= shift
        if dropped > half or (dropped == half and m & 1):
            m += 1
    bits = ((unit - least) << f.fraction_bits) + m
    return sign | (bits if bits < f.infinity else f.infinity)


# -- arithmetic ---------------------------------------------------------------------------------------------------
#
# Each begins with what nearly every operand is, finite; what is not is told apart below.


def add(f: Format, x: int, y: int) -> int | None:
    if x & f.magnitude < f.infinity > y & f.magnitude:
        m, e = _finite(f, x)
        n, g = _finite(f, y)
        return _sum(f, x & f.sign, m, e, y & f.sign, n, g)
    if is_nan(f, x) or is_nan(f, y):
        return None
    if is_infinite(f, x):
        return None if y == x ^ f.sign else x
    return y


def _sum(f: Format, minus: int, m: int, e: int, other_minus: int, n: int, g: int) -> int:
    """+-m * 2^e +- n * 2^g, rounded once. An exact zero is negative only if both terms are."""
    if e > g:
        m <<= e - g
        e = g
    else:
        n <<= g - e
    total = (-m if minus else m) + (-n if other_minus else n)
    if total == 0:
        return f.sign if minus and other_minus else 0
    return rounded(f, total < 0, abs(total), e)


def subtract(f: Format, x: int, y: int) -> int | None:
    return add(f, x, y ^ f.sign)


def multiply(f: Format, x: int, y: int) -> int | None:
    sign = (x ^ y) & f.sign
    if x & f.magnitude < f.infinity > y & f.magnitude:
        m, e = _finite(f, x)
        n, g = _finite(f, y)
        return rounded(f, sign, m * n, e + g)
    if is_nan(f, x) or is_nan(f, y) or x & f.magnitude == 0 or y & f.magnitude == 0:
        return None
    return sign | f.infinity


def divide(f: Format, x: int, y: int) -> int | None:
    sign = (x ^ y) & f.sign
    if x & f.magnitude < f.infinity > y & f.magnitude:
        m, e = _finite(f, x)
        n, g = _finite(f, y)
        if n == 0:
            return None if m == 0 else sign | f.infinity
        # Enough bits that the last one, "there is a remainder", stands below the one that decides the rounding.
        wider = max(0, f.precision + 2 + n.bit_length() - m.bit_length())
        quotient, remainder = divmod(m << wider, n)
        return rounded(f, sign, quotient << 1 | (remainder != 0), e - g - wider - 1)
    if is_nan(f, x) or is_nan(f, y):
        return None
    if is_infinite(f, x):
        return None if is_infinite(f, y) else sign | f.infinity
    return sign


def square_root(f: Format, x: int) -> int | None:
    if x & f.magnitude == 0:
        return x
    if is_nan(f, x) or x & f.sign:
        return None
    if x == f.infinity:
        return x
    m, e = _finite(f, x)
    wider = max(0, 2 * f.precision + 4 - m.bit_length())
    wider += (e - wider) & 1  # the exponent has to be even
    root = isqrt(m << wider)
    return rounded(f, 0, root << 1 | (root * root != m << wider), ((e - wider) >> 1) - 1)


def fused_multiply_add(f: Format, x: int, y: int, z: int) -> int | None:
    """x * y + z, rounded once."""
    if is_nan(f, x) or is_nan(f, y) or is_nan(f, z):
        return None
    if is_infinite(f, x) or is_infinite(f, y):
        product = multiply(f, x, y)
        return None if product is None else add(f, product, z)
    if is_infinite(f, z):
        return z
    (m, e), (n, g) = _finite(f, x), _finite(f, y)
    return _sum(f, (x ^ y) & f.sign, m * n, e + g, z & f.sign, *_finite(f, z))


# -- order --------------------------------------------------------------------------------------------------------


def compare(f: Format, x: int, y: int) -> int | None:
    """-1, 0 or 1 as x is less than, equal to or greater than y; None if they are unordered. Zeros are equal."""
    if is_nan(f, x) or is_nan(f, y):
        return None
    a, b = _ordinal(f, x), _ordinal(f, y)
    return (a > b) - (a < b)


def _ordinal(f: Format, x: int) -> int:
    """A number's place in the order: of one sign, greater bits are a greater magnitude."""
    return -(x & f.magnitude) if x & f.sign else x


def least_of(f: Format, x: int, y: int) -> int | None:
    """The minimum; -0 is less than +0."""
    order = compare(f, x, y)
    if order == 0:
        return x | y  # the same number, or zeros: negative if one is
    return None if order is None else x if order < 0 else y


def greatest_of(f: Format, x: int, y: int) -> int | None:
    """The maximum; +0 is greater than -0."""
    order = compare(f, x, y)
    if order == 0:
        return x & y
    return None if order is None else x if order > 0 else y


# -- integral values ----------------------------------------------------------------------------------------------

Direction = Callable[[int, int, int], bool]
"""(negative, the integer toward zero, how what is beyond it compares with a half: -1, 0, 1) to: away from zero?"""


def up(negative: int, whole: int, beyond: int) -> bool:
    return not negative


def down(negative: int, whole: int, beyond: int) -> bool:
    return bool(negative)


def toward_zero(negative: int, whole: int, beyond: int) -> bool:
    return False


def ties_to_even(negative: int, whole: int, beyond: int) -> bool:
    return beyond > 0 or (beyond == 0 and bool(whole & 1))


def to_integral(f: Format, x: int, away: Direction) -> int | None:
    """The integer in a direction, as a float; the sign is kept, of a zero too."""
    if is_nan(f, x):
        return None
    m, e = _finite(f, x)
    if is_infinite(f, x) or e >= 0:
        return x
    whole, rest = m >> -e, m & ((1 << -e) - 1)
    if rest:
        half = 1 << (-e - 1)
        whole += away(x & f.sign, whole, (rest > half) - (rest < half))
    return rounded(f, x & f.sign, whole, 0)


# -- conversions --------------------------------------------------------------------------------------------------


def convert(source: Format, f: Format, x: int) -> int | None:
    """A float of one format as one of another."""
    if is_nan(source, x):
        return None
    if is_infinite(source, x):
        return f.infinity | (f.sign if x & source.sign else 0)
    return rounded(f, x & source.sign, *_finite(source, x))


def truncated(f: Format, x: int) -> int:
    """The integer toward zero of a finite number."""
    m, e = _finite(f, x)
    whole = m << e if e >= 0 else m >> -e
    return -whole if x & f.sign else whole


def from_integer(f: Format, number: int) -> int:
    """The float nearest to an integer; +0 for 0."""
    return rounded(f, number < 0, abs(number), 0)
