"""RISC-V: what the executor promises on the others, by its own registers, traps and convention."""

from __future__ import annotations

import struct

import pytest

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, F64, I32, I64, I128, Type
from backend.machine.compiled import Reloc
from fuzzer.execute import layout
from fuzzer.execute.decode import decode
from fuzzer.execute.emulator import FAULT, RETURN, TRAP, Emulator, Run
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import passing
from fuzzer.execute.relocate import ExecutorLimit, Linkage, relocate

RET = 0x00008067
NOP = 0x00000013


@pytest.fixture(scope="module")
def engine() -> Emulator:
    return Emulator("riscv64")


def addi(rd: int, rs: int, imm: int) -> int:
    return (imm & 0xFFF) << 20 | rs << 15 | rd << 7 | 0x13


def add(rd: int, a: int, b: int) -> int:
    return b << 20 | a << 15 | rd << 7 | 0x33


def fmv_x_d(rd: int, f: int) -> int:
    return 0xE2000053 | f << 15 | rd << 7


def ld(rd: int, base: int, offset: int) -> int:
    return (offset & 0xFFF) << 20 | base << 15 | 3 << 12 | rd << 7 | 0x03


def sd(value: int, base: int, offset: int) -> int:
    low, high = offset & 31, offset >> 5 & 0x7F
    return high << 25 | value << 20 | base << 15 | 3 << 12 | low << 7 | 0x23


def signature(params: list[Type], returns: list[Type]) -> Signature:
    return Signature(tuple(map(AbiParam, params)), tuple(map(AbiParam, returns)))


def run(engine: Emulator, made: Signature, words: list[int], *values: int, poison: int = 0) -> Run:
    engine.load(struct.pack(f"<{len(words)}I", *words), made)
    return engine.run(values, b"", poison)


def test_returns_what_was_loaded_last(engine: Emulator) -> None:
    for n in range(10):
        made = run(engine, signature([I64], [I64]), [addi(10, 10, n), RET], 40)
        assert (made.stop, made.values, made.frame) == (RETURN, (40 + n,), ())


@pytest.mark.parametrize(
    ("word", "what"),
    [
        (addi(8, 0, 1), "s0"), (addi(9, 0, 1), "s1"), (addi(18, 0, 1), "s2"), (addi(27, 0, 1), "s11"),
        (addi(3, 0, 1), "gp"), (addi(4, 0, 1), "tp"), (addi(2, 2, -16), "sp"),
        (0xF2000453, "fs0"), (0xF2000DD3, "fs11"), (sd(10, 2, 64), "caller's frame at sp+64"),
    ],
)  # fmt: skip
def test_broken_promises_are_seen(engine: Emulator, word: int, what: str) -> None:
    made = run(engine, signature([I64], [I64]), [word, RET], 7)
    assert made.stop == RETURN
    assert [name for name, _, _ in made.frame] == [what]


@pytest.mark.parametrize(
    "word", [addi(5, 0, 1), addi(31, 0, 1), addi(17, 0, 1), 0xF2000053, 0xF2000FD3]
)
def test_what_a_function_may_destroy(engine: Emulator, word: int) -> None:
    assert run(engine, signature([I64], [I64]), [word, RET], 7).frame == ()


@pytest.mark.parametrize("before", ["", "0100", "13000000", "010013000000"])
@pytest.mark.parametrize("trap", ["731000c0", "0000", "73001000", "0290", "ffffffff"])
def test_a_trap_is_where_its_instruction_is(engine: Emulator, before: str, trap: str) -> None:
    engine.load(bytes.fromhex(before + trap), signature([], []))
    made = engine.run((), b"")
    assert (made.stop, made.offset) == (TRAP, len(before) // 2)


def test_a_fault_tells_where_and_to_what(engine: Emulator) -> None:
    made = run(engine, signature([], []), [NOP, ld(10, 0, -8), RET])
    assert (made.stop, made.offset, made.address) == (FAULT, 4, (1 << 64) - 8)


def test_floats_are_on_and_a_narrow_one_is_boxed(engine: Emulator) -> None:
    fadd_s = 0x00B57553  # fadd.s fa0, fa0, fa1
    made = run(engine, signature([F32, F32], [F32]), [fadd_s, RET], 0x3F800000, 0x40000000)
    assert (made.values, made.frame) == ((0x40400000,), ())
    for poison in (0, 1):
        raw = run(
            engine, signature([F32], [I64]), [fmv_x_d(10, 10), RET], 0x12345678, poison=poison
        )
        assert raw.values == (0xFFFF_FFFF_1234_5678,)


def test_above_a_narrow_integer_is_anything(engine: Emulator) -> None:
    made = [run(engine, signature([I32], [I64]), [RET], 5, poison=p).values[0] for p in (0, 1)]
    assert made[0] != made[1]
    assert {value & 0xFFFF_FFFF for value in made} == {5}


def test_a_float_without_a_register_goes_where_an_integer_would(engine: Emulator) -> None:
    made = signature([F64] * 8 + [F64, I64], [I64])
    words = [add(10, 10, 11), RET]
    assert run(engine, made, words, *range(100, 108), 3, 4).values == (7,)


@pytest.mark.parametrize(
    ("integers", "places"),
    [
        (6, [(6, 0), (7, 0)]),
        (7, [(7, 0), (-1, 0)]),
        (8, [(-1, 0), (-1, 8)]),
        (9, [(-1, 16), (-1, 24)]),
    ],
)
def test_where_an_i128_goes(integers: int, places: list[tuple[int, int]]) -> None:
    made = passing(signature([I64] * integers + [I128], []), MACHINES["riscv64"])
    assert [(p.register, p.offset) for p in made.args[-2:]] == places


@pytest.mark.parametrize(
    ("returns", "registers", "area"),
    [
        ([I64, F32], [0, 0], 0),
        ([F64, F64, I64], [0, 1, -1], 16),
        ([I64, I128], [0, 1, -1], 16),
        ([I64, I64, F64], [0, 1, -1], 16),
    ],
)
def test_two_registers_hold_results(returns: list[Type], registers: list[int], area: int) -> None:
    made = passing(signature([], returns), MACHINES["riscv64"])
    assert ([p.register for p in made.results], made.area) == (registers, area)


@pytest.mark.parametrize("distance", [0x1000, -0x1000, 0x7FE, 0x800, -0x802, 0x12345678])
def test_a_call_over_any_distance(distance: int) -> None:
    code = struct.pack("<II", 0x00000097, 0x000080E7)  # auipc ra, 0; jalr ra
    made = relocate(
        code, [Reloc(0, "riscv_call", "f", 0)], 0x4000_0000, lambda _: 0x4000_0000 + distance
    )
    upper, lower = struct.unpack("<II", made)
    signed = (upper & 0xFFFFF000 ^ 1 << 31) - (1 << 31)
    assert signed + ((lower >> 20 ^ 0x800) - 0x800) == distance
    assert (upper & 0xFFF, lower & 0xFFFFF) == (0x097, 0x080E7)


def test_a_call_that_is_too_far() -> None:
    with pytest.raises(ExecutorLimit, match="a call over"):
        relocate(bytes(8), [Reloc(0, "riscv_call", "f", 0)], 0, lambda _: 1 << 31)


def test_a_function_from_outside_destroys_what_it_may(engine: Emulator) -> None:
    call = [0x00000097, 0x000080E7]
    words = [addi(2, 2, -16), sd(1, 2, 0), *call, ld(1, 2, 0), addi(2, 2, 16), addi(10, 5, 0), RET]
    made = signature([I64], [I64])
    linkage = Linkage([Reloc(8, "riscv_call", "h", 0)], {}, {"h": made})
    engine.load(struct.pack(f"<{len(words)}I", *words), made, linkage=linkage)
    runs = [engine.run((9,), b"", poison) for poison in (0, 1)]
    assert [(r.stop, r.calls, r.frame) for r in runs] == [(RETURN, (("h", (9,)),), ())] * 2
    assert runs[0].values != runs[1].values  # t0 is poison after the call


def test_code_of_both_sizes_is_decoded() -> None:
    code = bytes.fromhex("01001300000082800000")
    assert [text.split()[0] for _, text in decode("riscv64", code)] == [
        "c.nop",
        "nop",
        "c.jr",
        "c.unimp",
    ]
    assert layout.CODE % 4 == 0
