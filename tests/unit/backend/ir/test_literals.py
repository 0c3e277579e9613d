"""Literals: exact forms, ranges, canonical text, refusals."""

from __future__ import annotations

import struct

import pytest

from backend.ir import literals
from backend.ir.types import type_named


@pytest.mark.parametrize(
    ("text", "width", "bits"),
    [
        ("0", 8, 0),
        ("255", 8, 0xFF),
        ("-128", 8, 0x80),
        ("-0x80", 8, 0x80),
        ("+7", 8, 7),
        ("-1", 32, 0xFFFF_FFFF),
        ("0x_ff", 16, 0xFF),
        ("0xffff_ffff", 32, 0xFFFF_FFFF),
        ("1_000", 64, 1000),
        ("-9223372036854775808", 64, 1 << 63),
        ("18446744073709551615", 64, (1 << 64) - 1),
        ("-0x8000_0000_0000_0000_0000_0000_0000_0000", 128, 1 << 127),
    ],
)
def test_integers_are_read_as_bits_of_their_width(text: str, width: int, bits: int) -> None:
    assert literals.parse_int(text, width) == bits


@pytest.mark.parametrize(
    ("text", "width"),
    [("256", 8), ("-129", 8), ("1_0", 32), ("", 8), ("-", 8), ("0x", 8), ("_1", 64), ("1.0", 32),
     ("0x_", 8), ("9" * 5000, 64), ("18446744073709551616", 64), ("\u0661", 8)],
)  # fmt: skip
def test_integers_out_of_range_or_form_are_refused(text: str, width: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        literals.parse_int(text, width)


@pytest.mark.parametrize(
    ("bits", "width", "text"),
    [
        (0, 8, "0"),
        (0xFF, 8, "-1"),
        (9999, 32, "9999"),
        (10000, 32, "0x2710"),
        (0x1_0000, 32, "0x0001_0000"),
        ((1 << 63) - 1, 64, "0x7fff_ffff_ffff_ffff"),
        (1 << 63, 64, "-9223372036854775808"),
        (0x8000, 16, "-32768"),
    ],
)
def test_integers_print_canonically(bits: int, width: int, text: str) -> None:
    assert literals.print_int(bits, width) == text


def test_offsets_need_a_sign_and_fit_32_bits() -> None:
    assert literals.parse_offset("+0x10") == 16
    assert literals.parse_offset("-2147483648") == -(1 << 31)
    assert literals.print_offset(0) == ""
    assert literals.print_offset(-0x1_0000) == "-0x0001_0000"
    for text in ("8", "+2147483648", "-2147483649", "+"):
        with pytest.raises(ValueError, match=r"."):
            literals.parse_offset(text)


def f32(value: float) -> int:
    return int.from_bytes(struct.pack("<f", value), "little")


def f64(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("0.0", 0),
        ("-0.0", 1 << 31),
        ("0x1.0", f32(1.0)),
        ("-0x1.8p3", f32(-12.0)),
        ("0x3.4", f32(3.25)),
        ("0x0.000002p-126", 1),
        ("0x1.fffffep127", 0x7F7F_FFFF),
        ("+Inf", 0x7F80_0000),
        ("-Inf", 0xFF80_0000),
        ("+NaN", 0x7FC0_0000),
        ("-NaN:0x1", 0xFFC0_0001),
        ("+sNaN:0x1", 0x7F80_0001),
    ],
)
def test_floats_of_32_bits(text: str, bits: int) -> None:
    assert literals.parse_float(text, 32) == bits


@pytest.mark.parametrize("value", [1.0, -0.1, 1e300, 5e-324, 2.2250738585072014e-308, 1 / 3])
def test_doubles_agree_with_python(value: float) -> None:
    bits = f64(value)
    text = literals.print_float(bits, 64)
    assert float.fromhex(text) == value
    assert literals.parse_float(text, 64) == bits


@pytest.mark.parametrize(
    "text",
    ["1.0", "0", "1", "0x1p3", "0x1.0000001", "0x1.0p128", "0x0.000001p-127", "0x1.0p-200", "0x.",
     "NaN:", "+sNaN", "+NaN:0x400000", "0x1.0p", "infinity", "0x1.0p99999999999", ""],
)  # fmt: skip
def test_floats_that_are_inexact_or_decimal_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        literals.parse_float(text, 32)


@pytest.mark.parametrize(
    ("bits", "width", "text"),
    [
        (0x3C00, 16, "0x1.000p0"),
        (1, 16, "0x0.004p-14"),
        (0x3F80_0001, 32, "0x1.000002p0"),
        (1 << 62, 64, "0x1.0000000000000p1"),
        (0x7FF0_0000_0000_0001, 64, "+sNaN:0x1"),
        (0x3FFF << 112, 128, "0x1." + "0" * 28 + "p0"),
    ],
)
def test_floats_print_canonically(bits: int, width: int, text: str) -> None:
    assert literals.print_float(bits, width) == text


def test_hex_constants_are_big_endian_text_of_little_endian_bytes() -> None:
    assert literals.parse_hex_bytes("0x0102", 4) == b"\x02\x01\0\0"
    assert literals.parse_hex_bytes("0x0102") == b"\x02\x01"
    assert literals.print_hex_bytes(b"\x02\x01\0\0") == "0x00000102"
    for text in ("0x1", "0x", "12", "0x" + "00" * 17):
        with pytest.raises(ValueError, match=r"."):
            literals.parse_hex_bytes(text)


def test_lanes_start_at_the_lowest_address() -> None:
    assert literals.parse_lanes(["1", "-1"], type_named("i16x2")) == b"\x01\0\xff\xff"
    with pytest.raises(ValueError, match="4 lanes, not 1"):
        literals.parse_lanes(["1"], type_named("i32x4"))
