"""Numbers as CLIF writes them: integers, offsets, floats, vector constants; to bits and back.

Everything here is a pure function between text and unsigned bits. Invariant: for any bits,
``parse_x(print_x(bits)) == bits``. What can't be written exactly is refused with a ValueError whose
message says why; callers add the position.

Source: the CLIF reference of cranelift-codegen (``ir/immediates.rs``), as facts; formats IEEE 754-2019.
"""

from __future__ import annotations

import re
from typing import Final

from backend.ir.types import Type

_MAX_DIGITS: Final = 400
"""Longer literals are refused unread: no type needs 40 digits, and reading decimals is quadratic."""

_INT: Final = re.compile(r"([+-]?)(?:0x([0-9a-fA-F_]+)|([0-9][0-9_]*))", re.ASCII)
_HEX_FLOAT: Final = re.compile(
    r"([+-]?)0x([0-9a-fA-F_]*)\.([0-9a-fA-F_]*)(?:p([+-]?[0-9]{1,9}))?", re.ASCII
)
_NAN: Final = re.compile(r"([+-]?)(s?)NaN(?::0x([0-9a-fA-F]+))?", re.ASCII)
_HEX_BYTES: Final = re.compile(r"0x([0-9a-fA-F_]+)", re.ASCII)


def sign_extend(bits: int, width: int) -> int:
    """The signed number that ``width`` unsigned bits stand for."""
    half = 1 << (width - 1)
    return (bits ^ half) - half


# -- integers ----------------------------------------------------------------------------------------


def _magnitude(text: str, *, decimal_underscores: bool) -> tuple[bool, int]:
    """(negative, magnitude) of an integer literal."""
    match = _INT.fullmatch(text)
    if match is None or len(text) > _MAX_DIGITS:
        raise ValueError("expected an integer" if len(text) < 40 else "the integer is too long")
    sign, hexadecimal, decimal = match.groups()
    digits = hexadecimal or decimal
    if "_" in digits:
        if decimal and not decimal_underscores:
            raise ValueError("underscores are for hex digits here")
        digits = digits.replace("_", "")
        if not digits:
            raise ValueError("expected an integer")
    return sign == "-", int(digits, 16 if hexadecimal else 10)


def parse_int(text: str, width: int) -> int:
    """Unsigned bits of an integer literal of ``width`` bits; -2^(width-1) .. 2^width-1 is accepted."""
    negative, magnitude = _magnitude(text, decimal_underscores=width == 64)
    if magnitude >> width or (negative and magnitude > 1 << (width - 1)):
        raise ValueError(f"{_shown(text)} does not fit in {width} bits")
    return (-magnitude if negative else magnitude) & ((1 << width) - 1)


def parse_uint(text: str, width: int) -> int:
    """An unsigned number below 2^width: sizes, lane indices, tags."""
    negative, magnitude = _magnitude(text, decimal_underscores=True)
    if negative or magnitude >> width:
        raise ValueError(f"{_shown(text)} is not an unsigned number of {width} bits")
    return magnitude


def _shown(text: str) -> str:
    return text if len(text) <= 48 else text[:45] + "..."


def _grouped_hex(value: int) -> str:
    digits = f"{value:x}"
    digits = digits.zfill(-(-len(digits) // 4) * 4)
    return "0x" + "_".join(digits[i : i + 4] for i in range(0, len(digits), 4))


def print_int(bits: int, width: int) -> str:
    """Canonical text: signed decimal below 10,000, else the 64-bit pattern in hex groups of four."""
    value = sign_extend(bits, width)
    return str(value) if value < 10_000 else _grouped_hex(value)


def print_uint(value: int) -> str:
    """Canonical text of an unsigned number."""
    return str(value) if value < 10_000 else _grouped_hex(value)


def parse_offset(text: str) -> int:
    """A signed byte offset of 32 bits; the sign must be written."""
    if text[:1] not in ("+", "-"):
        raise ValueError("an offset begins with + or -")
    negative, magnitude = _magnitude(text, decimal_underscores=True)
    value = -magnitude if negative else magnitude
    if not -(1 << 31) <= value < 1 << 31:
        raise ValueError(f"offset {_shown(text)} does not fit in 32 bits")
    return value


def print_offset(value: int) -> str:
    """``+8``, ``-0x0001_0000``; nothing for zero."""
    if value == 0:
        return ""
    return ("-" if value < 0 else "+") + print_uint(abs(value))


# -- floats --------------------------------------------------------------------------------------------

#: bits of the type -> (exponent bits, fraction bits)
_FORMATS: Final[dict[int, tuple[int, int]]] = {
    16: (5, 10),
    32: (8, 23),
    64: (11, 52),
    128: (15, 112),
}


def parse_float(text: str, width: int) -> int:
    """Bits of a float literal of ``width`` bits. Only exactly representable ones are accepted."""
    exponent_bits, fraction_bits = _FORMATS[width]
    if len(text) > _MAX_DIGITS:
        raise ValueError("the float is too long")
    sign = (1 << (width - 1)) if text[:1] == "-" else 0
    bare = text[1:] if text[:1] in ("+", "-") else text
    if bare == "0.0":
        return sign
    infinity = ((1 << exponent_bits) - 1) << fraction_bits
    if bare == "Inf":
        return sign | infinity
    nan = _NAN.fullmatch(text)
    if nan is not None:
        return sign | infinity | _nan_fraction(nan[2] == "s", nan[3], fraction_bits)
    match = _HEX_FLOAT.fullmatch(text)
    if match is None or not (match[2] + match[3]).strip("_"):
        raise ValueError("expected a float: 0.0, hex like 0x1.8p3, Inf or NaN")
    whole, fraction = match[2].replace("_", ""), match[3].replace("_", "")
    mantissa = int(whole + fraction, 16)
    if mantissa == 0:
        return sign
    exponent = int(match[4] or 0) - 4 * len(fraction)
    return sign | _encode(mantissa, exponent, exponent_bits, fraction_bits)


def _nan_fraction(signalling: bool, payload_text: str | None, fraction_bits: int) -> int:
    quiet = 1 << (fraction_bits - 1)
    payload = int(payload_text, 16) if payload_text else 0
    if payload >= quiet:
        raise ValueError("the NaN's payload is too wide")
    if not signalling:
        return quiet | payload
    if payload == 0:
        raise ValueError("a signalling NaN needs a payload: sNaN:0x1")
    return payload


def _encode(mantissa: int, exponent: int, exponent_bits: int, fraction_bits: int) -> int:
    """Exponent and fraction fields of ``mantissa * 2**exponent``, if that is exact."""
    bias = (1 << (exponent_bits - 1)) - 1
    trailing = (mantissa & -mantissa).bit_length() - 1
    mantissa >>= trailing
    exponent += trailing
    top = exponent + mantissa.bit_length() - 1
    if top > bias:
        raise ValueError("the float's magnitude is too large")
    unit = max(top, 1 - bias) - fraction_bits
    if exponent < unit:
        if top < 1 - bias - fraction_bits:
            raise ValueError("the float's magnitude is too small")
        raise ValueError("the float has too many significant bits")
    field = mantissa << (exponent - unit)
    if top < 1 - bias:
        return field
    return ((top + bias) << fraction_bits) | (field & ((1 << fraction_bits) - 1))


def print_float(bits: int, width: int) -> str:
    """Canonical text of a float's bits."""
    exponent_bits, fraction_bits = _FORMATS[width]
    fraction = bits & ((1 << fraction_bits) - 1)
    field = (bits >> fraction_bits) & ((1 << exponent_bits) - 1)
    negative = bits >> (width - 1) & 1
    bias = (1 << (exponent_bits - 1)) - 1
    minus = "-" if negative else ""
    if field == (1 << exponent_bits) - 1:
        signed = "-" if negative else "+"
        if fraction == 0:
            return signed + "Inf"
        quiet = 1 << (fraction_bits - 1)
        if fraction & quiet:
            payload = fraction ^ quiet
            return f"{signed}NaN:{payload:#x}" if payload else f"{signed}NaN"
        return f"{signed}sNaN:{fraction:#x}"
    if field == 0 and fraction == 0:
        return minus + "0.0"
    digits = -(-fraction_bits // 4)
    aligned = fraction << (digits * 4 - fraction_bits)
    if field == 0:
        return f"{minus}0x0.{aligned:0{digits}x}p{1 - bias}"
    return f"{minus}0x1.{aligned:0{digits}x}p{field - bias}"


# -- vectors and the constant pool ------------------------------------------------------------------------


def parse_hex_bytes(text: str, size: int | None = None) -> bytes:
    """Little-endian bytes of a big-endian hex constant, zero-extended to ``size`` if that is given."""
    match = _HEX_BYTES.fullmatch(text)
    digits = match[1].replace("_", "") if match is not None else ""
    if not digits:
        raise ValueError("expected a constant: 0x and an even number of hex digits")
    if len(digits) % 2:
        raise ValueError("a constant needs an even number of hex digits")
    limit = 16 if size is None else size
    if len(digits) // 2 > limit:
        raise ValueError(f"the constant is longer than {limit} bytes")
    data = bytes.fromhex(digits)[::-1]
    return data if size is None else data.ljust(size, b"\0")


def print_hex_bytes(data: bytes) -> str:
    """``0x`` and the bytes, highest first."""
    return "0x" + data[::-1].hex()


def parse_scalar(text: str, type_: Type) -> int:
    """Unsigned bits of an integer or float literal of a scalar type."""
    return parse_int(text, type_.bits) if type_.is_int else parse_float(text, type_.bits)


def parse_lanes(texts: list[str], type_: Type) -> bytes:
    """Little-endian bytes of a vector from one literal a lane, lane 0 first."""
    if len(texts) != type_.lanes:
        raise ValueError(f"{type_} has {type_.lanes} lanes, not {len(texts)}")
    lane = type_.lane
    return b"".join(parse_scalar(text, lane).to_bytes(lane.bytes, "little") for text in texts)
