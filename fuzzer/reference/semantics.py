"""What every opcode means: one plain function each, over unsigned Python ints.

A function takes T, the controlling type, then the operands as unsigned bits of their types, and gives
the result as unsigned bits (a tuple if there are several). Two kinds take more: conversions between
scalar widths take (T, S) for T, and conditions are a function each (:data:`INT_CONDITIONS`). A trap is
the exception :class:`~fuzzer.reference.memory.Trap`.

These functions are the judge of compilers: they are written to be obviously right, from the language's
definition, and borrow nothing of the backend but types and the opcode table.

Floats are :mod:`fuzzer.reference.float_semantics`. Memory, control flow and calls have no function: they are
:mod:`fuzzer.reference.translate` and :mod:`fuzzer.reference.memory`. :mod:`fuzzer.reference.meanings` lists all
that has a meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backend.ir.opcodes import INT_CC, RMW_OPS
from backend.ir.types import Type
from fuzzer.reference.memory import Trap

Meaning = Callable[..., Any]

MEANINGS: Final[dict[str, Meaning]] = {}
"""Opcode name to its function of (T, operands...)."""

CONVERSIONS: Final[dict[str, Meaning]] = {}
"""Opcode name to its function of ((T, S), operand), where the meaning depends on both."""


def _meaning(function: Meaning) -> Meaning:
    """Register a function under its name (without a trailing underscore)."""
    name = function.__name__.rstrip("_")
    if name in MEANINGS or name in CONVERSIONS:
        raise ValueError(f"two meanings for {name}")
    MEANINGS[name] = function
    return function


def _conversion(function: Meaning) -> Meaning:
    name = function.__name__
    if name in MEANINGS or name in CONVERSIONS:
        raise ValueError(f"two meanings for {name}")
    CONVERSIONS[name] = function
    return function


def signed(t: Type, x: int) -> int:
    """The two's complement number that ``x`` stands for."""
    return x - (1 << t.bits) if x & t.sign else x


# -- arithmetic -------------------------------------------------------------------------------------------


@_meaning
def iadd(t: Type, x: int, y: int) -> int:
    return (x + y) & t.mask


@_meaning
def isub(t: Type, x: int, y: int) -> int:
    return (x - y) & t.mask


@_meaning
def imul(t: Type, x: int, y: int) -> int:
    return (x * y) & t.mask


@_meaning
def ineg(t: Type, x: int) -> int:
    return -x & t.mask


@_meaning
def iabs(t: Type, x: int) -> int:
    return abs(signed(t, x)) & t.mask


@_meaning
def umulhi(t: Type, x: int, y: int) -> int:
    return (x * y) >> t.bits


@_meaning
def smulhi(t: Type, x: int, y: int) -> int:
    return ((signed(t, x) * signed(t, y)) >> t.bits) & t.mask


@_meaning
def udiv(t: Type, x: int, y: int) -> int:
    if y == 0:
        raise Trap("int_divz")
    return x // y


@_meaning
def sdiv(t: Type, x: int, y: int) -> int:
    """Toward zero. MIN / -1 does not fit."""
    if y == 0:
        raise Trap("int_divz")
    a, b = signed(t, x), signed(t, y)
    quotient = abs(a) // abs(b)
    if (a < 0) != (b < 0):
        quotient = -quotient
    if quotient == t.sign:
        raise Trap("int_ovf")
    return quotient & t.mask


@_meaning
def urem(t: Type, x: int, y: int) -> int:
    if y == 0:
        raise Trap("int_divz")
    return x % y


@_meaning
def srem(t: Type, x: int, y: int) -> int:
    """The dividend's sign. MIN rem -1 is 0."""
    if y == 0:
        raise Trap("int_divz")
    a, b = signed(t, x), signed(t, y)
    remainder = abs(a) % abs(b)
    return (-remainder if a < 0 else remainder) & t.mask


@_meaning
def smin(t: Type, x: int, y: int) -> int:
    return x if signed(t, x) <= signed(t, y) else y


@_meaning
def umin(t: Type, x: int, y: int) -> int:
    return min(x, y)


@_meaning
def smax(t: Type, x: int, y: int) -> int:
    return x if signed(t, x) >= signed(t, y) else y


@_meaning
def umax(t: Type, x: int, y: int) -> int:
    return max(x, y)


# -- overflow and carry -----------------------------------------------------------------------------------


def _unsigned_pair(t: Type, exact: int) -> tuple[int, int]:
    """The wrapped value, and 1 if the exact one is no unsigned number of the type."""
    return exact & t.mask, int(not 0 <= exact <= t.mask)


def _signed_pair(t: Type, exact: int) -> tuple[int, int]:
    """The wrapped value, and 1 if the exact one is no signed number of the type."""
    return exact & t.mask, int(not -t.sign <= exact < t.sign)


@_meaning
def uadd_overflow(t: Type, x: int, y: int) -> tuple[int, int]:
    return _unsigned_pair(t, x + y)


@_meaning
def sadd_overflow(t: Type, x: int, y: int) -> tuple[int, int]:
    return _signed_pair(t, signed(t, x) + signed(t, y))


@_meaning
def usub_overflow(t: Type, x: int, y: int) -> tuple[int, int]:
    return _unsigned_pair(t, x - y)


@_meaning
def ssub_overflow(t: Type, x: int, y: int) -> tuple[int, int]:
    return _signed_pair(t, signed(t, x) - signed(t, y))


@_meaning
def umul_overflow(t: Type, x: int, y: int) -> tuple[int, int]:
    return _unsigned_pair(t, x * y)


@_meaning
def smul_overflow(t: Type, x: int, y: int) -> tuple[int, int]:
    return _signed_pair(t, signed(t, x) * signed(t, y))


@_meaning
def uadd_overflow_cin(t: Type, x: int, y: int, carry: int) -> tuple[int, int]:
    return _unsigned_pair(t, x + y + (carry != 0))


@_meaning
def sadd_overflow_cin(t: Type, x: int, y: int, carry: int) -> tuple[int, int]:
    return _signed_pair(t, signed(t, x) + signed(t, y) + (carry != 0))


@_meaning
def usub_overflow_bin(t: Type, x: int, y: int, borrow: int) -> tuple[int, int]:
    return _unsigned_pair(t, x - y - (borrow != 0))


@_meaning
def ssub_overflow_bin(t: Type, x: int, y: int, borrow: int) -> tuple[int, int]:
    return _signed_pair(t, signed(t, x) - signed(t, y) - (borrow != 0))


# -- bits -----------------------------------------------------------------------------------------------------


@_meaning
def band(t: Type, x: int, y: int) -> int:
    return x & y


@_meaning
def bor(t: Type, x: int, y: int) -> int:
    return x | y


@_meaning
def bxor(t: Type, x: int, y: int) -> int:
    return x ^ y


@_meaning
def bnot(t: Type, x: int) -> int:
    return x ^ t.mask


@_meaning
def band_not(t: Type, x: int, y: int) -> int:
    return x & (y ^ t.mask)


@_meaning
def bor_not(t: Type, x: int, y: int) -> int:
    return x | (y ^ t.mask)


@_meaning
def bxor_not(t: Type, x: int, y: int) -> int:
    return x ^ (y ^ t.mask)


@_meaning
def ishl(t: Type, x: int, amount: int) -> int:
    return (x << amount % t.bits) & t.mask


@_meaning
def ushr(t: Type, x: int, amount: int) -> int:
    return x >> amount % t.bits


@_meaning
def sshr(t: Type, x: int, amount: int) -> int:
    return (signed(t, x) >> amount % t.bits) & t.mask


@_meaning
def rotl(t: Type, x: int, amount: int) -> int:
    n = amount % t.bits
    return ((x << n) | (x >> (t.bits - n))) & t.mask


@_meaning
def rotr(t: Type, x: int, amount: int) -> int:
    n = amount % t.bits
    return ((x >> n) | (x << (t.bits - n))) & t.mask


@_meaning
def clz(t: Type, x: int) -> int:
    return t.bits - x.bit_length()


@_meaning
def ctz(t: Type, x: int) -> int:
    return (x & -x).bit_length() - 1 if x else t.bits


@_meaning
def cls(t: Type, x: int) -> int:
    """Leading bits equal to the sign bit, the sign bit itself not counted."""
    different = x ^ t.mask if x & t.sign else x
    return t.bits - different.bit_length() - 1


@_meaning
def bitrev(t: Type, x: int) -> int:
    return int(f"{x:0{t.bits}b}"[::-1], 2)


@_meaning
def bswap(t: Type, x: int) -> int:
    return int.from_bytes(x.to_bytes(t.bytes, "little"), "big")


@_meaning
def popcnt(t: Type, x: int) -> int:
    return x.bit_count()


@_meaning
def bitselect(t: Type, c: int, x: int, y: int) -> int:
    return (c & x) | (~c & y)


@_meaning
def bmask(t: Type, x: int) -> int:
    return t.mask if x else 0


# -- compares and selects --------------------------------------------------------------------------------

INT_CONDITIONS: Final[dict[str, Meaning]] = {
    "eq": lambda t, x, y: int(x == y),
    "ne": lambda t, x, y: int(x != y),
    "ult": lambda t, x, y: int(x < y),
    "ule": lambda t, x, y: int(x <= y),
    "ugt": lambda t, x, y: int(x > y),
    "uge": lambda t, x, y: int(x >= y),
    "slt": lambda t, x, y: int(signed(t, x) < signed(t, y)),
    "sle": lambda t, x, y: int(signed(t, x) <= signed(t, y)),
    "sgt": lambda t, x, y: int(signed(t, x) > signed(t, y)),
    "sge": lambda t, x, y: int(signed(t, x) >= signed(t, y)),
}
"""``icmp``, by condition."""


@_meaning
def select(t: Type, c: int, x: int, y: int) -> int:
    return x if c else y


@_meaning
def select_spectre_guard(t: Type, c: int, x: int, y: int) -> int:
    return x if c else y


# -- widths -------------------------------------------------------------------------------------------------


@_meaning
def uextend(t: Type, x: int) -> int:
    return x


@_conversion
def sextend(types: tuple[Type, Type], x: int) -> int:
    t, s = types
    return signed(s, x) & t.mask


@_meaning
def ireduce(t: Type, x: int) -> int:
    return x & t.mask


@_meaning
def iconcat(t: Type, low: int, high: int) -> int:
    return low | high << t.bits


@_meaning
def isplit(t: Type, x: int) -> tuple[int, int]:
    half = t.bits // 2
    return x & ((1 << half) - 1), x >> half


# -- forms of the above -------------------------------------------------------------------------------------

IMMEDIATE_FORMS: Final[dict[str, tuple[str, bool, bool]]] = {
    **{f"{name}_imm": (name, True, False) for name in ("iadd", "imul", "sdiv", "srem")},
    "irsub_imm": ("isub", True, True),
    **{f"{name}_imm": (name, False, False) for name in (
        "udiv", "urem", "band", "bor", "bxor", "ishl", "ushr", "sshr", "rotl", "rotr")},
}  # fmt: skip
"""0.120's forms with a 64-bit immediate: (operation, the immediate is sign-extended to a wider type,
the immediate is the first operand). A narrower type takes its low bits; a shift takes it as i64."""

ATOMIC_UPDATES: Final[dict[str, Meaning]] = {
    "add": iadd, "sub": isub, "and": band, "or": bor, "xor": bxor,
    "nand": lambda t, old, x: (old & x) ^ t.mask,
    "xchg": lambda t, old, x: x,
    "umin": umin, "umax": umax, "smin": smin, "smax": smax,
}  # fmt: skip
"""The new value in memory, by ``atomic_rmw``'s operation."""

LOADS: Final[dict[str, tuple[int, bool]]] = {
    "load": (0, False),
    **{f"{sign}load{bits}": (bits // 8, sign == "s") for sign in "us" for bits in (8, 16, 32)},
    "stack_load": (0, False),
    "atomic_load": (0, False),
}
"""Opcode to (bytes, or 0 for T's; sign-extended)."""

STORES: Final[dict[str, int]] = {
    "store": 0, "istore8": 1, "istore16": 2, "istore32": 4, "stack_store": 0, "atomic_store": 0,
}  # fmt: skip
"""Opcode to bytes, or 0 for T's."""

if INT_CONDITIONS.keys() != set(INT_CC) or ATOMIC_UPDATES.keys() != set(RMW_OPS):
    raise ValueError("a condition or an atomic operation has no meaning")
