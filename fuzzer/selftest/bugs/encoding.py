"""Bugs of instruction rows. Where the text of the row still says what was meant the disassembly shows them; where
bits and text were both copied from the wrong row, only what the code computes does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from backend.isa.aarch64.immediates import bitmask_table
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import bits, row
from fuzzer.selftest.witness import clif


def _binary(op: str, type_: str, values: str) -> str:
    return clif(f"{type_} {type_}", type_, f"v9 = {op} v0, v1; return v9", values)


def _with_constant(op: str, type_: str, constant: str, value: str) -> str:
    return clif(type_, type_, f"v1 = iconst.{type_} {constant}; v9 = {op} v0, v1; return v9", value)


@contextlib.contextmanager
def _wrapped_runs_rotated_wrongly() -> Iterator[None]:
    """Bitmask immediates whose run of ones goes on from the top bit of its element at bit 0."""
    tables = bitmask_table(32), bitmask_table(64)
    before = [dict(table) for table in tables]
    for table in tables:
        for value, code in table.items():
            n, rotation, size_and_ones = code >> 12, code >> 6 & 63, code & 63
            size = 64 if n else 1 << (size_and_ones ^ 63).bit_length() - 1
            if value & 1 and value >> size - 1 & 1:
                table[value] = code ^ rotation << 6 | (-rotation % size) << 6
    try:
        yield
    finally:
        for table, old in zip(tables, before, strict=True):
            table.update(old)


BUGS: Final = (
    Bug("bitmask-n-lost", "encoding", "the N bit of a 64-bit bitmask immediate is not encoded",
        "encoding", 4, _with_constant("band", "i64", "0xff", "0x1234"),
        lambda: bits("and_ri.x", "imm[12:0]", "0 imm[11:0]")),
    Bug("bitmask-rotation", "encoding", "the bitmask immediate of a wrapped run is rotated the wrong way",
        "encoding", 4, _with_constant("band", "i32", "0xfffffff1", "0x1234"),
        _wrapped_runs_rotated_wrongly),
    Bug("shifted-immediate-lost", "encoding", "the shift bit of a 12-bit immediate is not encoded",
        "encoding", 4, _with_constant("iadd", "i32", "0x1000", "1"),
        lambda: bits("add_ri.w", "imm[12:0]", "0 imm[11:0]")),
    Bug("wide-move-shift", "encoding", "the high bit of MOVK's shift is not encoded",
        "encoding", 4, _with_constant("iadd", "i64", "0x200000001", "1"),
        lambda: bits("movk.x", "hw[5:4]", "0 hw[4]")),
    Bug("unscaled-sign-lost", "encoding", "the sign of an unscaled load's offset is not encoded",
        "encoding", 5,
        _binary("isub", "i64", "3, 5"),
        lambda: bits("ldr.x_ur", "imm[8:0]", "0 imm[7:0]"), (("registers", 3),)),
    Bug("byte-extend-short", "encoding", "UXTB keeps seven bits",
        "encoding", 3,
        clif("i8", "i32", "v1 = uextend.i32 v0; return v1", "0x80"),
        lambda: bits("uxtb", "000111", "000110")),
    Bug("popcount-size", "encoding", "a bit of CNT's size field is set",
        "encoding", 3, clif("i32", "i32", "v1 = popcnt v0; return v1", "7"),
        lambda: bits("cnt", "0 0 001110 00", "0 0 001110 01")),
    Bug("pair-offset-scale", "encoding", "the offset of a load pair is scaled by 4 instead of 8",
        "encoding", 12,
        """function %f(i64, i64, i64) -> i64 {
block0(v0: i64, v1: i64, v2: i64):
    v3 = imul v0, v1
    v4 = imul v1, v2
    v5 = imul v0, v2
    v6 = imul v3, v4
    v7 = bxor v6, v5
    return v7
}
; input: 3, 5, 7
""",
        lambda: bits("ldp.x", "imm[9:3]", "imm[8:2]"), (("registers", 3),)),
    Bug("size-bit-lost", "encoding", "a 64-bit store is encoded with the size of a 32-bit one",
        "encoding", 4,
        clif("i64 i64", "", "store v1, v0; return", "0x20000000, -1", memory=4096),
        lambda: bits("str.x_ui", "11 111", "10 111")),
    Bug("multiply-high-field", "encoding", "a field of SMULH that should be ones is zeros",
        "reassembly", 4, _binary("smulhi", "i64", "-1, 5"), lambda: bits("smulh", "11111", "00000")),
    Bug("unsigned-multiply-high", "encoding", "the row of SMULH was copied from UMULH",
        "result", 4, _binary("smulhi", "i64", "-1, 5"),
        lambda: row("smulh", pattern="1 00 11011 110 m 0 11111 n d", template="umulh {d:x}, {n:x}, {m:x}")),
    Bug("arithmetic-shift-logical", "encoding", "the row of ASR was copied from LSR",
        "result", 4, _binary("sshr", "i32", "-1, 5"),
        lambda: row("asr_rr.w", pattern="0 0 0 11010110 m 001001 n d", template="lsr {d:w}, {n:w}, {m:w}")),
    Bug("multiply-subtract-adds", "encoding", "the row of MSUB was copied from MADD",
        "result", 4, _binary("urem", "i32", "7, 3"),
        lambda: row("msub.w", pattern="0 00 11011 000 m 0 a n d", template="madd {d:w}, {n:w}, {m:w}, {a:w}")),
    Bug("subtract-reversed", "encoding", "the registers of SUB are in the wrong fields",
        "result", 4, _binary("isub", "i32", "7, 3"),
        lambda: row("sub_rr.w", pattern="0 1 0 01011 00 0 n 000000 m d", template="sub {d:w}, {m:w}, {n:w}")),
    Bug("halfword-load-byte", "encoding", "the row of LDRH was copied from LDRB",
        "result", 5,
        clif("i64", "i16", "v1 = iconst.i16 0x1234; store v1, v0; v2 = load.i16 v0; return v2", "0x20000000",
             memory=4096),
        lambda: row("ldrh_ui", pattern="00 111 0 01 01 imm[12:1] n d", template="ldrb {d:w}, [{n:xs}{imm:u1}]")),
)  # fmt: skip
