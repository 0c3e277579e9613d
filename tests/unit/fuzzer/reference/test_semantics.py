"""Meanings against arithmetic on Python's unbounded integers, exhaustively where that is cheap.

Nothing here calls one meaning to check another but through an identity of the language's definition.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import trunc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ir.types import I8, I16, I32, I64, I128, Type
from fuzzer.reference.memory import Trap
from fuzzer.reference.semantics import CONVERSIONS, INT_CONDITIONS, MEANINGS

WIDTHS = (I8, I16, I32, I64, I128)
EDGES = (0, 1, 2, 0x7F, 0x80, 0x81, 0xFE, 0xFF, 0x55, 0xAA)


def number(t: Type, bits: int) -> int:
    """Two's complement, by definition: bit B-1 weighs -2^(B-1)."""
    return sum((bits >> i & 1) << i for i in range(t.bits - 1)) - (
        (bits >> (t.bits - 1)) << (t.bits - 1)
    )


BYTES = [(x, y) for x in range(0, 256, 3) for y in (*EDGES, *range(0, 256, 7))]


@pytest.mark.parametrize(
    ("name", "exact"),
    [("iadd", int.__add__), ("isub", int.__sub__), ("imul", int.__mul__)],
)
def test_arithmetic_is_modular_and_blind_to_signs(name: str, exact: object) -> None:
    assert callable(exact)
    for x, y in BYTES:
        result = MEANINGS[name](I8, x, y)
        assert result == exact(x, y) % 256
        assert result == exact(number(I8, x), number(I8, y)) % 256


def test_the_high_half_completes_the_product() -> None:
    for x, y in BYTES:
        low = MEANINGS["imul"](I8, x, y)
        assert MEANINGS["umulhi"](I8, x, y) * 256 + low == x * y
        high = number(I8, MEANINGS["smulhi"](I8, x, y))
        assert high * 256 + low == number(I8, x) * number(I8, y)


def test_division_truncates_and_the_remainder_completes_it() -> None:
    for x, y in BYTES:
        if y == 0:
            for name in ("udiv", "urem", "sdiv", "srem"):
                with pytest.raises(Trap, match="int_divz"):
                    MEANINGS[name](I8, x, y)
            continue
        assert MEANINGS["udiv"](I8, x, y) * y + MEANINGS["urem"](I8, x, y) == x
        assert 0 <= MEANINGS["urem"](I8, x, y) < y
        a, b = number(I8, x), number(I8, y)
        exact = trunc(Fraction(a, b))
        assert number(I8, MEANINGS["srem"](I8, x, y)) == a - b * exact
        if exact == 128:
            with pytest.raises(Trap, match="int_ovf"):
                MEANINGS["sdiv"](I8, x, y)
        else:
            assert number(I8, MEANINGS["sdiv"](I8, x, y)) == exact


@pytest.mark.parametrize("t", WIDTHS, ids=str)
def test_the_minimum_by_minus_one(t: Type) -> None:
    with pytest.raises(Trap, match="int_ovf"):
        MEANINGS["sdiv"](t, t.sign, t.mask)
    assert MEANINGS["srem"](t, t.sign, t.mask) == 0
    assert MEANINGS["iabs"](t, t.sign) == t.sign
    assert MEANINGS["ineg"](t, t.sign) == t.sign


def test_minimum_maximum_and_conditions_order_numbers() -> None:
    for x, y in BYTES:
        a, b = number(I8, x), number(I8, y)
        assert number(I8, MEANINGS["smin"](I8, x, y)) == min(a, b)
        assert number(I8, MEANINGS["smax"](I8, x, y)) == max(a, b)
        assert MEANINGS["umin"](I8, x, y) == min(x, y)
        assert MEANINGS["umax"](I8, x, y) == max(x, y)
        found = {cc: condition(I8, x, y) for cc, condition in INT_CONDITIONS.items()}
        assert found == {
            "eq": x == y, "ne": x != y, "ult": x < y, "ule": x <= y, "ugt": x > y, "uge": x >= y,
            "slt": a < b, "sle": a <= b, "sgt": a > b, "sge": a >= b,
        }  # fmt: skip


def test_overflow_is_when_the_exact_result_is_no_number_of_the_type() -> None:
    for x, y in BYTES:
        a, b = number(I8, x), number(I8, y)
        for name, unsigned, signed in (
            ("add", x + y, a + b), ("sub", x - y, a - b), ("mul", x * y, a * b),
        ):  # fmt: skip
            assert MEANINGS[f"u{name}_overflow"](I8, x, y) == (
                unsigned % 256,
                unsigned not in range(256),
            )
            assert MEANINGS[f"s{name}_overflow"](I8, x, y) == (
                signed % 256,
                signed not in range(-128, 128),
            )
        for carry in (0, 1, 255):
            c = int(carry != 0)
            for name, unsigned, signed in (
                ("add_overflow_cin", x + y + c, a + b + c), ("sub_overflow_bin", x - y - c, a - b - c),
            ):  # fmt: skip
                assert MEANINGS["u" + name](I8, x, y, carry) == (
                    unsigned % 256,
                    unsigned not in range(256),
                )
                assert MEANINGS["s" + name](I8, x, y, carry) == (
                    signed % 256,
                    signed not in range(-128, 128),
                )


def bits_of(t: Type, x: int) -> list[int]:
    """Bits, least significant first."""
    return [x >> i & 1 for i in range(t.bits)]


def from_bits(bits: list[int]) -> int:
    return sum(bit << i for i, bit in enumerate(bits))


@pytest.mark.parametrize("amount", [0, 1, 3, 7, 8, 9, 15, 16, 255, (1 << 64) - 1, 1 << 100])
def test_shifts_and_rotates_move_bits(amount: int) -> None:
    n = amount % 8
    for x in range(256):
        bits = bits_of(I8, x)
        assert bits_of(I8, MEANINGS["ishl"](I8, x, amount)) == ([0] * n + bits)[:8]
        assert bits_of(I8, MEANINGS["ushr"](I8, x, amount)) == (bits + [0] * n)[n : n + 8]
        assert bits_of(I8, MEANINGS["sshr"](I8, x, amount)) == (bits + [bits[7]] * n)[n : n + 8]
        assert bits_of(I8, MEANINGS["rotr"](I8, x, amount)) == bits[n:] + bits[:n]
        assert bits_of(I8, MEANINGS["rotl"](I8, x, amount)) == bits[8 - n :] + bits[: 8 - n]


def test_counting_and_reversing_look_at_bits() -> None:
    for x in range(256):
        text = f"{x:08b}"
        assert MEANINGS["clz"](I8, x) == len(text) - len(text.lstrip("0"))
        assert MEANINGS["ctz"](I8, x) == len(text) - len(text.rstrip("0"))
        assert MEANINGS["cls"](I8, x) == len(text) - len(text.lstrip(text[0])) - 1
        assert MEANINGS["popcnt"](I8, x) == text.count("1")
        assert MEANINGS["bitrev"](I8, x) == from_bits(bits_of(I8, x)[::-1])


def test_logic_is_bit_by_bit() -> None:
    table: dict[str, Callable[[int, int], object]] = {
        "band": lambda a, b: a and b, "bor": lambda a, b: a or b, "bxor": lambda a, b: a != b,
        "band_not": lambda a, b: a and not b, "bor_not": lambda a, b: a or not b,
        "bxor_not": lambda a, b: a == b,
    }  # fmt: skip
    for x, y in BYTES[::5]:
        pairs = list(zip(bits_of(I8, x), bits_of(I8, y), strict=True))
        for name, rule in table.items():
            assert MEANINGS[name](I8, x, y) == from_bits([int(bool(rule(a, b))) for a, b in pairs])
        assert MEANINGS["bnot"](I8, x) == from_bits([1 - a for a, _ in pairs])
        for c in EDGES:
            chosen = [a if s else b for s, (a, b) in zip(bits_of(I8, c), pairs, strict=True)]
            assert MEANINGS["bitselect"](I8, c, x, y) == from_bits(chosen)


def test_byte_order() -> None:
    assert MEANINGS["bswap"](I16, 0x1234) == 0x3412
    assert MEANINGS["bswap"](I32, 0x12345678) == 0x78563412
    assert MEANINGS["bswap"](I64, 0x0102030405060708) == 0x0807060504030201
    assert MEANINGS["bswap"](I128, 1) == 1 << 120


@given(st.data())
def test_widths_keep_the_number(data: st.DataObject) -> None:
    narrow, wide = data.draw(
        st.sampled_from([(s, t) for s in WIDTHS for t in WIDTHS if s.bits < t.bits])
    )
    x = data.draw(st.integers(0, narrow.mask))
    y = data.draw(st.integers(0, wide.mask))
    assert MEANINGS["uextend"](wide, x) == x
    assert number(wide, CONVERSIONS["sextend"]((wide, narrow), x)) == number(narrow, x)
    assert MEANINGS["ireduce"](narrow, y) == y % (1 << narrow.bits)
    assert MEANINGS["bmask"](wide, x) == (wide.mask if x else 0)


@given(st.sampled_from([I16, I32, I64, I128]), st.data())
def test_halves_make_the_whole(t: Type, data: st.DataObject) -> None:
    x = data.draw(st.integers(0, t.mask))
    low, high = MEANINGS["isplit"](t, x)
    assert (high << t.bits // 2) + low == x
    half = {16: I8, 32: I16, 64: I32, 128: I64}[t.bits]
    assert MEANINGS["iconcat"](half, low, high) == x


@given(st.sampled_from(WIDTHS), st.data())
def test_every_width_agrees_with_exact_arithmetic(t: Type, data: st.DataObject) -> None:
    drawn = st.integers(0, t.mask) | st.sampled_from([0, 1, t.sign, t.sign - 1, t.mask])
    x, y = data.draw(drawn), data.draw(drawn)
    n = data.draw(st.integers(0, 300))
    a, b = number(t, x), number(t, y)
    modulus = 1 << t.bits
    assert MEANINGS["iadd"](t, x, y) == (a + b) % modulus
    assert MEANINGS["smulhi"](t, x, y) == (a * b // modulus) % modulus
    assert MEANINGS["sshr"](t, x, n) == (a // 2 ** (n % t.bits)) % modulus
    assert MEANINGS["rotl"](t, x, n) == MEANINGS["rotr"](t, x, t.bits - n % t.bits)
    assert MEANINGS["clz"](t, x) == next(
        (i for i in range(t.bits) if x >> (t.bits - 1 - i) & 1), t.bits
    )
    if y:
        assert number(t, MEANINGS["srem"](t, x, y)) == a - b * trunc(Fraction(a, b))
