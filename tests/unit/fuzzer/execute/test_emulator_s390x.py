"""s390x: the other byte order, floats at the top of their registers, a save area below the stack arguments."""

from __future__ import annotations

import pytest

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, F64, I8, I64, I128, Type
from backend.machine.compiled import Reloc
from fuzzer.case import byte_order_of
from fuzzer.execute.decode import decode
from fuzzer.execute.emulator import FAULT, RETURN, TRAP, Emulator, ExecutorLimit, Run
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import passing
from fuzzer.execute.quarantine import suspicion
from fuzzer.execute.relocate import Linkage, relocate

RET = "07fe"
SAVE = "ebeff0700024"  # stmg %r14, %r15, 112(%r15)
ENTER = "a7fbff60"  # aghi %r15, -160
LEAVE = "ebeff1100004"  # lmg %r14, %r15, 272(%r15)


@pytest.fixture(scope="module")
def engine() -> Emulator:
    return Emulator("s390x")


def signature(params: list[Type], returns: list[Type], extension: str = "") -> Signature:
    made = tuple(AbiParam(type_, extension if type_.is_int else "") for type_ in params)
    return Signature(made, tuple(map(AbiParam, returns)))


def run(engine: Emulator, made: Signature, code: str, *values: int, poison: int = 0) -> Run:
    engine.load(bytes.fromhex(code + RET), made)
    return engine.run(values, b"", poison)


def test_returns_what_was_loaded_last(engine: Emulator) -> None:
    for n in range(10):
        made = run(engine, signature([I64], [I64]), f"a72b{n:04x}", 40)  # aghi %r2, n
        assert (made.stop, made.values, made.frame) == (RETURN, (40 + n,), ())


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("a7790001", "r7"), ("a7d90001", "r13"), ("b3750080", "f8"), ("b37500f0", "f15"),
        ("a7fbfff8", "sp"), ("e320f0f80024", "caller's frame at sp+248"),
    ],
)  # fmt: skip
def test_broken_promises_are_seen(engine: Emulator, code: str, what: str) -> None:
    made = run(engine, signature([I64], [I64]), code, 7)
    assert made.stop == RETURN
    assert [name for name, _, _ in made.frame] == [what]


@pytest.mark.parametrize(
    "code", ["e320f0000024", "e320f0980024", "a7190001", "a7590001", "b3750070"]
)
def test_the_save_area_and_scratch_registers_are_the_callees(engine: Emulator, code: str) -> None:
    assert run(engine, signature([I64], [I64]), code, 7).frame == ()


def test_the_stack_begins_above_the_save_area_in_the_other_byte_order(engine: Emulator) -> None:
    made = signature([I64] * 6, [I64])
    assert run(engine, made, "e320f0a00004", 0, 0, 0, 0, 0, 0x0102_0304).values == (0x0102_0304,)
    narrow = signature([I64] * 5 + [I8], [I8])
    assert run(engine, narrow, "e320f0a70090", 0, 0, 0, 0, 0, 0x5A).values == (
        0x5A,
    )  # llgc, byte 7


def test_a_narrow_float_is_the_upper_half_of_its_register(engine: Emulator) -> None:
    made = run(engine, signature([F32, F32], [F32]), "b30a0002", 0x3F800000, 0x40000000)  # aebr
    assert (made.values, made.frame) == ((0x40400000,), ())
    made = run(engine, signature([F64, F64], [F64]), "b31a0002", 0x3FF0 << 48, 0x4000 << 48)
    assert made.values == (0x4008 << 48,)
    bits = [run(engine, signature([F32], [I64]), "b3cd0020", 5, poison=p).values[0] for p in (0, 1)]
    assert [word >> 32 for word in bits] == [5, 5]  # lgdr
    assert bits[0] != bits[1]


@pytest.mark.parametrize("before", ["", "0707", "a7190000"])
@pytest.mark.parametrize(("code", "stop", "ahead"), [
    ("0000", TRAP, 0), ("a7f40001", TRAP, 2), ("a7390000e32030000004", FAULT, 4),
])  # fmt: skip
def test_traps_and_faults_are_told_apart(
    engine: Emulator, before: str, code: str, stop: str, ahead: int
) -> None:
    made = run(engine, signature([], []), before + code)
    assert (made.stop, made.offset) == (stop, len(before) // 2 + ahead)


@pytest.mark.parametrize(("params", "returns"), [([I128], []), ([], [I128]), ([], [I64] * 5)])
def test_what_is_not_passed(params: list[Type], returns: list[Type]) -> None:
    with pytest.raises(ValueError, match=r"type i128|more results than registers"):
        passing(signature(params, returns), MACHINES["s390x"])


def test_a_function_from_outside(engine: Emulator) -> None:
    made = signature([I64, F32], [F32])
    code = bytes.fromhex(SAVE + ENTER + "c0e500000000" + LEAVE + RET)
    reloc = Reloc(len(SAVE + ENTER) // 2 + 2, "pc_rel32_dbl", "h", 2)
    engine.load(code, made, linkage=Linkage([reloc], {}, {"h": made}))
    result = engine.run((9, 0x3F800000), b"")
    assert (result.stop, result.calls, result.frame) == (RETURN, (("h", (9, 0x3F800000)),), ())
    assert 0 < result.values[0] < 1 << 32


def test_a_distance_in_halfwords() -> None:
    relocs = [Reloc(2, "pc_rel32_dbl", "f", 2)]
    made = relocate(bytes.fromhex("c0e500000000"), relocs, 0x1000, lambda _: 0x800, "big")
    assert int.from_bytes(made[2:], "big", signed=True) == (0x800 - 0x1000) // 2
    with pytest.raises(ExecutorLimit, match="a distance"):
        relocate(bytes(6), relocs, 0, lambda _: 0x801, "big")


def test_byte_order_and_sizes() -> None:
    big = {isa for isa in MACHINES if byte_order_of(isa) == "big"}
    assert big == {"s390x", "mips64"}
    text = [text.split()[0] for _, text in decode("s390x", bytes.fromhex(SAVE + ENTER + RET))]
    assert text == ["stmg", "aghi", "br"]


def tail(params: int, returns: int) -> Signature:
    return Signature((AbiParam(I64),) * params, (AbiParam(I64),) * returns, "cranelift:tail")


def test_cranelifts_tail_takes_its_arguments_and_their_save_area_off_the_stack(
    engine: Emulator,
) -> None:
    made = tail(7, 6)
    # lg %r2, 160(%r15); aghi %r15, 168; stg %r2, 40(%r15), which is in the save area above; lghi %r7, 9
    code = "e320f0a00004" + "{}" + "e320f0280024" + "a7790009"
    values = (1, 2, 3, 4, 5, 6, 77)
    popped = run(engine, made, code.format("a7fb00a8"), *values)
    assert (popped.stop, popped.values, popped.frame) == (RETURN, (77, 2, 3, 4, 5, 9), ())
    left = run(engine, made, code.format("a7fb0000"), *values)
    assert [name for name, _, _ in left.frame] == ["sp"]
    few = tail(6, 1)
    assert passing(few, MACHINES["s390x"]).popped == 0
    assert run(engine, few, "", *values[:6]).frame == ()


def test_a_product_of_floats_as_a_double_proves_nothing(engine: Emulator) -> None:
    code = "b30c0002"  # mdebr %f0, %f2
    assert "MDEBR" in suspicion("s390x", bytes.fromhex(code + RET))
    assert not suspicion("s390x", bytes.fromhex("b3170002" + RET))  # meebr %f0, %f2
    made = run(engine, signature([F32, F32], [F64]), code, 0xC020_0000, 0x4020_0000)
    assert made.values != (0xC019 << 48,), (
        "the emulator is right about MDEBR: the row is not needed any more"
    )
