"""Machine code as text: where it ends, and what Capstone leaves out."""

from __future__ import annotations

import pytest

from fuzzer.execute.decode import decode


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("670fb900", "ud1 0x0"),
        ("670fb94007", "ud1 0x7"),
        ("670fb980c8000000", "ud1 0xc8"),
        ("0fb9c0", "ud1 0x0"),
        ("670fb9442401", "ud1 0x1"),
    ],
)
def test_ud1_is_read_whole(code: str, text: str) -> None:
    whole = bytes.fromhex("90" + code + "c3")
    assert decode("x86_64", whole) == [(0, "nop"), (1, text), (len(whole) - 1, "ret")]


def test_what_is_no_instruction_is_bad_and_the_next_is_read() -> None:
    assert decode("x86_64", bytes.fromhex("06c3")) == [(0, "(bad)"), (1, "ret")]
    assert decode("aarch64", bytes.fromhex("ffffffffc0035fd6")) == [(0, "(bad)"), (4, "ret")]


def test_addresses_count_from_where_the_code_is_said_to_be() -> None:
    assert decode("x86_64", bytes.fromhex("e900000000"), 0x1000) == [(0, "jmp 0x1005")]
