"""The notation of Intel's manual: what an encoder makes of it, and what is no encoding."""

from __future__ import annotations

import pytest

from backend.errors import InternalError
from backend.machine.encoding import Field, Kind, RegisterTable
from backend.machine.intel_notation import FORCE_REX, compile_intel

REGISTER = Kind("r", to_bits=RegisterTable("r", {n: n for n in range(16)}), text=str,
                legal=lambda: range(16), cls=0)  # fmt: skip
BYTE = Kind("b", to_bits=RegisterTable("b", {n: n | FORCE_REX * (4 <= n < 8) for n in range(16)}), text=str,
            legal=lambda: range(16), cls=0)  # fmt: skip
NUMBER = Kind("n", to_bits=lambda value: value, text=str, legal=lambda: range(8))
LABEL = Kind("l", to_bits=lambda _: 0, text=str, legal=lambda: (0,), label="use")
HIDDEN = Kind("h", to_bits=None, text=str, legal=lambda: (0,))


def made(pattern: str, *ops: int, **kinds: Kind) -> str:
    code = compile_intel(pattern, [Field(*item) for item in kinds.items()], len(kinds)).encode(ops)
    assert isinstance(code, bytes)
    return code.hex()


# Expected bytes: GNU as and llvm-mc agree on each.
@pytest.mark.parametrize(
    ("pattern", "ops", "code"),
    [
        ("01 /r MR(d, m)", (0, 1), "01c8"),
        ("01 /r MR(d, m)", (8, 1), "4101c8"),
        ("01 /r MR(d, m)", (0, 9), "4401c8"),
        ("REX.W 01 /r MR(d, m)", (0, 1), "4801c8"),
        ("66 01 /r MR(d, m)", (8, 9), "664501c8"),
        ("F3 0F B8 /r RM(d, m)", (1, 8), "f3410fb8c8"),
    ],
)
def test_prefixes_and_registers(pattern: str, ops: tuple[int, ...], code: str) -> None:
    assert made(pattern, *ops, d=REGISTER, m=REGISTER) == code


@pytest.mark.parametrize(
    ("base", "disp", "code"),
    [
        (0, 0, "8b08"),
        (5, 0, "8b4d00"),
        (4, 0, "8b0c24"),
        (12, 0, "418b0c24"),
        (13, 0, "418b4d00"),
        (0, 127, "8b487f"),
        (0, -128, "8b4880"),
        (0, 128, "8b8880000000"),
        (4, -129, "8b8c247fffffff"),
    ],
)
def test_base_and_displacement(base: int, disp: int, code: str) -> None:
    fields = {"d": REGISTER, "n": REGISTER, "imm": NUMBER}
    assert made("8B /r RM(d, [n imm])", 1, base, disp, **fields) == code


@pytest.mark.parametrize(
    ("base", "index", "scale", "disp", "code"),
    [
        (0, 1, 0, 0, "8b0c08"),
        (5, 1, 3, 0, "8b4ccd00"),
        (13, 12, 2, 1, "438b4ca501"),
        (0, 1, 1, 0x1234, "8b8c4834120000"),
    ],
)
def test_base_and_index(base: int, index: int, scale: int, disp: int, code: str) -> None:
    fields = {"d": REGISTER, "n": REGISTER, "m": REGISTER, "s": NUMBER, "imm": NUMBER}
    assert made("8B /r RM(d, [n m s imm])", 1, base, index, scale, disp, **fields) == code


def test_a_byte_register_may_need_a_prefix() -> None:
    pattern = "88 /r MR(d, m)"
    assert made(pattern, 0, 1, d=BYTE, m=BYTE) == "88c8"
    assert made(pattern, 0, 6, d=BYTE, m=BYTE) == "4088f0"
    assert made(pattern, 7, 0, d=BYTE, m=BYTE) == "4088c7"
    assert made(pattern, 6, 0, d=REGISTER, m=BYTE) == "88c6"


def test_the_first_alternative_whose_immediate_fits_is_taken() -> None:
    pattern = "83 /0 ib MI(d, imm) | 81 /0 id MI(d, imm)"
    fields = {"d": REGISTER, "imm": NUMBER}
    assert made(pattern, 1, -1, **fields) == "83c1ff"
    assert made(pattern, 1, 128, **fields) == "81c180000000"
    assert made(pattern, 1, -129, **fields) == "81c17fffffff"


def test_opcodes_that_hold_an_operand() -> None:
    assert made("50+r O(d)", 3, d=REGISTER) == "53"
    assert made("50+r O(d)", 11, d=REGISTER) == "4153"
    assert made("REX.W B8+r io OI(d, imm)", 9, -1, d=REGISTER, imm=NUMBER) == "49b9" + "ff" * 8
    assert made("0F 90+cc /0 CM(c, d)", 5, 6, c=NUMBER, d=BYTE) == "400f95c6"


def test_a_label_is_the_last_four_bytes() -> None:
    assert made("0F 80+cc cd CD(c, at)", 4, 99, c=NUMBER, at=LABEL) == "0f8400000000"
    assert made("REX.W 8D /r RM(d, [rip at])", 11, 99, d=REGISTER, at=LABEL) == "4c8d1d00000000"
    assert made("C3 ZO()") == "c3"


@pytest.mark.parametrize(
    "pattern",
    [
        "01 /r",
        "01 /r MR(d)",
        "01 /r MQ(d, m)",
        "01 /0 MR(d, m)",
        "01 MR(d, m)",
        "01 /r MR(d, q)",
        "01 /8 M(d)",
        "XX /r MR(d, m)",
        "01 /r M(d)",
        "50+r M(d)",
        "01 /r ib MR(d, m)",
        "01 /r MR(d, m) | 03 /r RM(d, m)",
        "01 /r MR(d, h)",
        "66 /r MR(d, m)",
    ],
)
def test_what_is_no_encoding_is_refused(pattern: str) -> None:
    fields = [Field("d", REGISTER), Field("m", REGISTER), Field("h", HIDDEN)]
    with pytest.raises(ValueError, match=r"."):
        compile_intel(pattern, fields, 2)


def test_a_field_must_go_somewhere() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        compile_intel("F7 /2 M(d)", [Field("d", REGISTER), Field("m", REGISTER)], 2)


def test_what_a_field_cannot_hold_is_refused() -> None:
    encode = compile_intel("F7 /2 M(d)", [Field("d", REGISTER)], 1).encode
    with pytest.raises(InternalError):
        encode([16])
