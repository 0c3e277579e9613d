"""Machine code as text: where it ends, and what Capstone leaves out."""

from __future__ import annotations

import pytest

from fuzzer.execute.decode import decode, instructions, listing


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


def test_what_follows_data_is_read_from_its_start() -> None:
    """Bytes that are no instructions would swallow the beginning of the next one."""
    code = bytes.fromhex("c3 0000000000000080 0f1f4000 55 c3")
    read = list(instructions("x86_64", code, [(1, 9)]))
    assert read == [(0, 1, "ret"), (9, 13, "nop dword ptr [rax]"), (13, 14, "push rbp"), (14, 15, "ret")]  # fmt: skip
    assert 9 not in dict(decode("x86_64", code))


def test_a_listing_has_data_where_it_is() -> None:
    code = bytes.fromhex("c3 0000000000000080 55")
    assert listing("x86_64", code, [(1, 9)]).splitlines() == [
        "     0: ret", "     1: 0000000000000080 (data)", "     9: push rbp",
    ]  # fmt: skip
