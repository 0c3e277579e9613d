"""What every opcode of scalar floats means: functions like those of :mod:`fuzzer.reference.semantics`.

A float is the unsigned int of its bits. A NaN that arithmetic makes is a quiet one of open sign and payload
(:mod:`fuzzer.reference.open_bits`); what only moves or changes the sign bit keeps a NaN as it is,
signaling or not.

Source: sections 6 and 7 of the language's facts; the arithmetic is :mod:`fuzzer.reference.ieee`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backend.ir.opcodes import FLOAT_CC
from backend.ir.types import Type
from fuzzer.reference import ieee
from fuzzer.reference.ieee import FORMATS
from fuzzer.reference.memory import Trap
from fuzzer.reference.open_bits import made
from fuzzer.reference.semantics import Meaning, signed

_OPEN_NANS: Final[dict[Type, int]] = {
    t: made(f.quiet_nan, f.sign | (f.fraction_mask ^ f.quiet)) for t, f in FORMATS.items()
}
"""By type: a quiet NaN whose sign and payload are open."""


def _arithmetic(operation: Callable[..., int | None]) -> Meaning:
    """The meaning of an operation of ieee.py on one format."""

    def meaning(t: Type, *operands: int) -> int:
        result = operation(FORMATS[t], *operands)
        return _OPEN_NANS[t] if result is None else result

    return meaning


def _integral(away: ieee.Direction) -> Meaning:
    return _arithmetic(lambda f, x: ieee.to_integral(f, x, away))


FLOAT_MEANINGS: Final[dict[str, Meaning]] = {
    "fadd": _arithmetic(ieee.add),
    "fsub": _arithmetic(ieee.subtract),
    "fmul": _arithmetic(ieee.multiply),
    "fdiv": _arithmetic(ieee.divide),
    "sqrt": _arithmetic(ieee.square_root),
    "fma": _arithmetic(ieee.fused_multiply_add),
    "fmin": _arithmetic(ieee.least_of),
    "fmax": _arithmetic(ieee.greatest_of),
    "ceil": _integral(ieee.up),
    "floor": _integral(ieee.down),
    "trunc": _integral(ieee.toward_zero),
    "nearest": _integral(ieee.ties_to_even),
    "fneg": lambda t, x: x ^ t.sign,
    "fabs": lambda t, x: x & (t.sign - 1),
    "fcopysign": lambda t, x, y: x & (t.sign - 1) | y & t.sign,
}
"""Opcode name to its function of (T, operands...)."""


# -- compares -----------------------------------------------------------------------------------------------------

_LT: Final = -1
_EQ: Final = 0
_GT: Final = 1
_UN: Final = None

_RELATIONS: Final[dict[str, tuple[int | None, ...]]] = {
    "ord": (_LT, _EQ, _GT), "uno": (_UN,),
    "eq": (_EQ,), "ne": (_LT, _GT, _UN), "one": (_LT, _GT), "ueq": (_EQ, _UN),
    "lt": (_LT,), "le": (_LT, _EQ), "gt": (_GT,), "ge": (_GT, _EQ),
    "ult": (_LT, _UN), "ule": (_LT, _EQ, _UN), "ugt": (_GT, _UN), "uge": (_GT, _EQ, _UN),
}  # fmt: skip
"""By condition: the relations between x and y under which it holds."""


def _condition(holds: tuple[int | None, ...]) -> Meaning:
    return lambda t, x, y: int(ieee.compare(FORMATS[t], x, y) in holds)


FLOAT_CONDITIONS: Final[dict[str, Meaning]] = {
    name: _condition(holds) for name, holds in _RELATIONS.items()
}
"""``fcmp``, by condition."""

if FLOAT_CONDITIONS.keys() != set(FLOAT_CC):
    raise ValueError("a condition of fcmp has no meaning")


# -- conversions --------------------------------------------------------------------------------------------------


def _converted(types: tuple[Type, Type], x: int) -> int:
    t, s = types
    result = ieee.convert(FORMATS[s], FORMATS[t], x)
    return _OPEN_NANS[t] if result is None else result


def _range(t: Type, with_sign: bool) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    return (-t.sign, t.sign - 1) if with_sign else (0, t.mask)


def _to_integer(with_sign: bool) -> Meaning:
    """Toward zero; what is no number of the type traps."""

    def meaning(types: tuple[Type, Type], x: int) -> int:
        t, s = types
        f = FORMATS[s]
        if ieee.is_nan(f, x):
            raise Trap("bad_toint")
        if ieee.is_infinite(f, x):
            raise Trap("int_ovf")
        number = ieee.truncated(f, x)
        low, high = _range(t, with_sign)
        if not low <= number <= high:
            raise Trap("int_ovf")
        return number & t.mask

    return meaning


def _to_integer_saturated(with_sign: bool) -> Meaning:
    """Toward zero; clamped to the type's numbers, and 0 for a NaN."""

    def meaning(types: tuple[Type, Type], x: int) -> int:
        t, s = types
        f = FORMATS[s]
        if ieee.is_nan(f, x):
            return 0
        low, high = _range(t, with_sign)
        if ieee.is_infinite(f, x):
            return (low if x & f.sign else high) & t.mask
        return min(max(ieee.truncated(f, x), low), high) & t.mask

    return meaning


def _from_unsigned(types: tuple[Type, Type], x: int) -> int:
    return ieee.from_integer(FORMATS[types[0]], x)


def _from_signed(types: tuple[Type, Type], x: int) -> int:
    return ieee.from_integer(FORMATS[types[0]], signed(types[1], x))


FLOAT_CONVERSIONS: Final[dict[str, Meaning]] = {
    "fpromote": _converted,
    "fdemote": _converted,
    "fcvt_to_uint": _to_integer(False),
    "fcvt_to_sint": _to_integer(True),
    "fcvt_to_uint_sat": _to_integer_saturated(False),
    "fcvt_to_sint_sat": _to_integer_saturated(True),
    "fcvt_from_uint": _from_unsigned,
    "fcvt_from_sint": _from_signed,
    "bitcast": lambda types, x: x,
}
"""Opcode name to its function of ((T, S), operand), S the operand's type. Of scalars a bitcast is the same bits in
either byte order."""

FLOAT_CONSTANTS: Final = ("f16const", "f32const", "f64const", "f128const")
