"""The assembly of a harness is what Capstone reads in its code."""

from __future__ import annotations

import pytest

from fuzzer.execute.decode import decode
from fuzzer.execute.riscv_assembly import assemble

TEXTS = {
    "ld x1, 0(x31)": ["ld ra, 0(t6)"],
    "ld x30, 2040(x2)": ["ld t5, 0x7f8(sp)"],
    "sd x9, 488(x31)": ["sd s1, 0x1e8(t6)"],
    "fld f31, 8(x31)": ["fld ft11, 8(t6)"],
    "fsd f10, 33(x5)": ["fsd fa0, 0x21(t0)"],
    "mv x10, x9": ["mv a0, s1"],
    "jr x31": ["jr t6"],
    "j 0x10040": ["j 0x10040"],
    "j -0x100000": ["j -0x100000"],
    "j 0xff7fe": ["j 0xff7fe"],
    "ecall": ["ecall"],
    "li x10, 1": ["lui a0, 0", "addiw a0, a0, 1"],
    "li x10, 0x12000800": ["lui a0, 0x12001", "addiw a0, a0, -0x800"],
}


@pytest.mark.parametrize("line", TEXTS)
def test_what_is_written_is_read(line: str) -> None:
    assert [text for _, text in decode("riscv64", assemble([line]))] == TEXTS[line]


@pytest.mark.parametrize(
    "line",
    [
        "add x1, x2",
        "ld x1, 2048(x2)",
        "ld x1, x2",
        "li x1, 0x80000000",
        "li x1, -1",
        "j 3",
        "j 0x100000",
    ],
)
def test_what_it_does_not_know_it_refuses(line: str) -> None:
    with pytest.raises(ValueError, match=r"no (opcode|place|number|distance)"):
        assemble([line])
