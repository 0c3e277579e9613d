"""Trap codes by stack maps and by calls, and the linking of ISAs that have those, on code that LLVM made."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("llvmlite")

from backend.errors import Unsupported
from backend.ir.filetest import parse_file
from fuzzer.case import DATA_BASE, Case
from fuzzer.targets import elf, target_named
from fuzzer.targets.llvm_marks import MARKED, function_fields, marked_traps, marks
from fuzzer.targets.llvm_traps import CALLED, number_of, trap_symbol
from fuzzer.trial import run_trial

LLVM = target_named("llvm")
ISAS = sorted(MARKED | CALLED.keys())

TRAPS = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    trapz v0, user1
    trapnz v1, user2
    v2 = udiv v0, v1
    return v2
}"""
TABLE = """function %f(i32) -> i32 {
block0(v0: i32):
    br_table v0, block9, [block1, block2, block3, block4, block5]
block1:
    trap user3
block2:
    v2 = iconst.i32 12
    return v2
block3:
    v3 = iconst.i32 -3
    return v3
block4:
    trap user4
block5:
    v5 = imul v0, v0
    return v5
block9:
    return v0
}"""
MEMORY = """function %f(i64) -> i64, f32 {
block0(v0: i64):
    v1 = load.i64 v0
    v2 = load.i64 big v0+8
    v3 = load.i64 little v0+8
    v4 = iadd v1, v2
    istore16 v4, v0+16
    store big v4, v0+24
    v5 = load.f32 v0+22
    v6 = bxor v4, v3
    return v6, v5
}"""


def agree(
    text: str, inputs: list[tuple[int, ...]], isa: str, level: str, memory: bytes = b""
) -> None:
    functions = [each.function for each in parse_file(text).functions]
    case = Case(functions[0], inputs, isa=isa, memory=memory, options=dict(LLVM.opt_levels[level]))
    trial, found = run_trial(case, LLVM, thorough=True)
    assert (trial.unsupported, found, trial.executed) == ("", [], len(inputs))


@pytest.mark.parametrize("level", ["none", "speed"])
@pytest.mark.parametrize("isa", ISAS)
def test_each_trap_has_its_code(isa: str, level: str) -> None:
    agree(TRAPS, [(0, 0), (1, 1), (7, 0), (0, 5)], isa, level)
    agree(TABLE, [(n,) for n in range(7)], isa, level)


@pytest.mark.parametrize("level", ["none", "speed"])
@pytest.mark.parametrize("isa", ISAS)
def test_memory_is_in_the_order_of_the_isa(isa: str, level: str) -> None:
    agree(
        MEMORY,
        [(DATA_BASE + at,) for at in (0, 1, 4096)] + [(0,)],
        isa,
        level,
        bytes(range(256)) * 16,
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_section_of_two_functions(order: str) -> None:
    head = struct.pack(f"{order}BBHIII", 3, 0, 0, 2, 1, 3)
    functions = b"".join(struct.pack(f"{order}QQQ", 0, 16, count) for count in (2, 1))
    plain = [struct.pack(f"{order}QIHHHHI", n, at, 0, 0, 0, 0, 0) for n, at in ((5, 8), (7, 4))]
    located = struct.pack(f"{order}QIHH12xIHHI", 6, 20, 0, 1, 0, 0, 1, 0)
    section = head + functions + bytes(8) + plain[0] + located + plain[1]
    assert function_fields(section, order) == [16, 40]
    assert marks(section, [0x100, 0x200], order) == [(0x108, 5), (0x114, 6), (0x204, 7)]
    with pytest.raises(ValueError, match="stack maps of version 4"):
        marks(b"\4" + section[1:], [0x100, 0x200], order)


def test_a_mark_without_a_trap_is_none() -> None:
    assert marked_traps("riscv64", bytes.fromhex("01000000"), [(0, 0), (2, 1)]) == [(2, "int_divz")]
    assert marked_traps("s390x", bytes.fromhex("0707a7f40001"), [(0, 0), (2, 5)]) == [(4, "user1")]


@pytest.mark.parametrize(
    ("kind", "words", "distance", "wanted"),
    [
        (16, "00000063", 0x7FE, "7e000f63"),  # beq zero, zero
        (17, "0000006f", -0x800, "801ff06f"),  # jal zero
        (23, "00000017", 0x12345FFF, "12346017"),  # auipc zero
        (24, "00000003", 0x12345FFF, "fff00003"),  # lb zero
        (25, "00000023", 0x7FF, "7e000fa3"),  # sb zero
    ],
)
def test_relocations_of_riscv(kind: int, words: str, distance: int, wanted: str) -> None:
    image = bytearray(int(words, 16).to_bytes(4, "little"))
    elf._apply_riscv(image, kind, 0, distance)
    assert image[::-1].hex() == wanted


@pytest.mark.parametrize(
    ("kind", "word", "target", "wanted"),
    [
        (28, 0xEBFFFFFE, 0x40 - 8, 0xEB00000E),  # bl
        (29, 0x1AFFFFFE, -8, 0x1AFFFFFE),  # bne
        (3, 0x7FFF_FFF8, -0x10, 0xFFFF_FFF0),  # a word
    ],
)
def test_relocations_of_arm(kind: int, word: int, target: int, wanted: int) -> None:
    image = bytearray(word.to_bytes(4, "little"))
    elf._apply_arm(image, kind, 0, target)
    assert int.from_bytes(image, "little") == wanted


@pytest.mark.parametrize(
    ("kind", "word", "target", "wanted"),
    [
        (4, "0c000000", 0x100, "0c000040"),  # jal, to 0x1000_0100
        (5, "3c010000", 0x8000, "3c011001"),  # lui $1, %hi
        (6, "24210000", 0x8000, "24218000"),  # addiu $1, $1, %lo
        (28, "64210000", 0x7FFF_8000 - 0x1000_0000, "64210001"),  # daddiu $1, $1, %higher
        (29, "3c010000", 0x7FFF_7FFF_8000_0000, "3c018000"),  # lui $1, %highest
        (10, "1000ffff", 0x40, "10000010"),  # b
        (60, "d8400000", -4, "d85fffff"),  # beqzc $2
        (61, "c8000000", 0x20, "c8000008"),  # bc
        (18, "0000000000000000", 0x28, "0000000010000028"),
    ],
)
def test_relocations_of_mips(kind: int, word: str, target: int, wanted: str) -> None:
    image = bytearray.fromhex(word)
    elf._apply_mips(image, kind, 0, target)
    assert image.hex() == wanted


def test_functions_that_trap_have_names_of_their_own() -> None:
    assert trap_symbol(7) == '@"trap 7"'
    assert [number_of(name) for name in ("trap 7", "trap", "h", "trap5")] == [7, -1, -1, -1]


def test_a_difference_of_addresses_takes_two() -> None:
    image = bytearray(4)
    elf._apply_riscv(image, 35, 0, 0x40)
    elf._apply_riscv(image, 39, 0, 0x60)
    assert int.from_bytes(image, "little", signed=True) == -0x20


@pytest.mark.parametrize(
    "apply", [elf._apply_riscv, elf._apply_s390, elf._apply_arm, elf._apply_mips]
)
def test_other_relocations_are_not_supported(apply: object) -> None:
    assert callable(apply)
    with pytest.raises(Unsupported, match="relocation type 99"):
        apply(bytearray(8), 99, 0, 0)
