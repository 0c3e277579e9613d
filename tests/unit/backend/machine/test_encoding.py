from __future__ import annotations

import pytest

from backend.errors import InternalError
from backend.machine.encoding import Field, Kind, RegisterTable, compile_pattern

REGISTER = Kind("r", to_bits=RegisterTable("r", {n: n for n in range(31)}), text="x{}".format,
                legal=lambda: range(31), cls=0)  # fmt: skip
OFFSET = Kind("o", to_bits=lambda v: v, text=str, legal=lambda: range(0, 64, 8))
HIDDEN = Kind("h", to_bits=None, text=str, legal=lambda: (0,))
FIELDS = (Field("d", REGISTER), Field("imm", OFFSET), Field("trap", HIDDEN))


def test_slices_go_where_the_pattern_says() -> None:
    encoding = compile_pattern("1010 imm[5:3] 0000000000000000 imm[2:0] 0 d", FIELDS, 2)
    word = encoding.encode([7, 0b101011, 99])
    assert word == 0b1010_101_0000000000000000_011_0_00111
    assert encoding.mask == 0xF1FF_FE20 | 0
    assert word & encoding.mask == encoding.match


@pytest.mark.parametrize(("pattern", "reason"), [
    ("1010 imm[5:0] d", "15 bits, not 32"),
    ("1010 imm[5:0] d " + "0" * 18, "33 bits, not 32"),
    ("0" * 26 + " imm[5:0]", "field 'd' is nowhere"),
    ("0" * 22 + " q d imm[4:0]", "no field 'q'"),
    ("0" * 22 + " 2 d imm[4:0]", "neither bits nor a field"),
    ("0" * 22 + " trap d imm[4:0]", "can't be encoded"),
])  # fmt: skip
def test_a_wrong_pattern_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compile_pattern(pattern, FIELDS, 2)


def test_a_register_the_field_can_not_name_is_refused() -> None:
    encoding = compile_pattern("0" * 21 + " imm[5:0] d", FIELDS, 2)
    with pytest.raises(InternalError, match="31 does not fit a field of kind r"):
        encoding.encode([31, 0, 0])
