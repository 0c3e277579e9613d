"""The executor's x86-64: its own calling convention, and what a function can break of it."""

from __future__ import annotations

import pytest
from unicorn import x86_const as x86

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import I8, I64, I128, Type
from fuzzer.case import DATA_BASE
from fuzzer.checks.reassembly import assemble
from fuzzer.execute import layout
from fuzzer.execute.emulator import (
    FAULT,
    POISONS,
    RETURN,
    STRAY,
    TIMEOUT,
    TRAP,
    Emulator,
    Run,
)
from fuzzer.execute.quarantine import suspicion


@pytest.fixture(scope="module")
def engine() -> Emulator:
    return Emulator("x86_64")


def code_of(text: str) -> bytes:
    return b"".join(assemble("x86_64", line.strip()) for line in text.split(";"))


def run(engine: Emulator, text: str, *values: int, memory: bytes = b"", poison: int = 0) -> Run:
    signature = Signature(tuple(AbiParam(I64) for _ in values), (AbiParam(I64),))
    engine.load(code_of(text), signature, len(memory))
    return engine.run(values, memory, poison)


def test_returns_a_value(engine: Emulator) -> None:
    result = run(engine, "lea rax, [rdi + rsi]; ret", 40, 2)
    assert (result.stop, result.values, result.frame) == (RETURN, (42,), ())


def test_new_code_runs_not_a_stale_translation(engine: Emulator) -> None:
    for value in range(30):
        assert run(engine, f"mov eax, {value + 1}; ret", 0).values == (value + 1,)


def test_six_arguments_are_in_registers_and_the_others_above_the_return_address(
    engine: Emulator,
) -> None:
    text = "mov rax, rdi; " + "".join(
        f"shl rax, 8; or rax, {place}; "
        for place in (
            "rsi",
            "rdx",
            "rcx",
            "r8",
            "r9",
            "qword ptr [rsp + 8]",
            "qword ptr [rsp + 16]",
        )
    )
    result = run(engine, text + "ret", 1, 2, 3, 4, 5, 6, 7, 8)
    assert (result.values, result.frame) == ((0x0102030405060708,), ())


def test_two_results_and_where_a_third_one_goes(engine: Emulator) -> None:
    signature = Signature((), (AbiParam(I64), AbiParam(I8)))
    engine.load(code_of("mov eax, 7; mov edx, 0x1ff; ret"), signature)
    assert engine.run((), b"").values == (7, 0xFF)
    engine.load(
        code_of("mov eax, 7; mov edx, 8; mov qword ptr [rdi], 9; ret"),
        Signature((), (AbiParam(I64),) * 3),
    )
    assert engine.run((), b"").values == (7, 8, 9)


def test_a_function_that_pops_its_arguments(engine: Emulator) -> None:
    engine.load(
        code_of("mov rax, [rsp + 8]; ret 16"),
        Signature((AbiParam(I64),) * 7, (AbiParam(I64),), "tail"),
    )
    made = engine.run(tuple(range(7)), b"")
    assert (made.values, made.frame) == ((6,), ())
    engine.load(code_of("ret"), Signature((AbiParam(I64),) * 7, (), "tail"))
    assert [what for what, _, _ in engine.run((0,) * 7, b"").frame] == ["sp"]


@pytest.mark.parametrize(
    ("params", "returns", "text", "values", "expected"),
    [
        # an i128 takes any two registers, and results are where its halves would be
        ([I64, I128], [I128], "mov rax, rsi; ret", (1, 3 << 64 | 2), (3 << 64 | 2,)),
        ([I128, I128], [I64, I64], "lea rax, [rdi + rdx]; lea rdx, [rsi + rcx]; ret",
         (3 << 64 | 1, 4 << 64 | 5), (6, 7)),
        # one that does not fit is on the stack, aligned, and the register left goes to the next
        ([I64] * 5 + [I128, I64], [I64, I128],
         "mov rax, r9; mov rdx, qword ptr [rsp + 16]; mov r10, qword ptr [rsp + 24]; "
         "mov qword ptr [r10], rax; mov qword ptr [r10 + 8], rdx; ret",
         (0,) * 5 + (9 << 64 | 8, 5), (5, 9 << 64 | 5)),
        ([I64] * 5 + [I128, I64], [I64, I64],
         "mov rax, r9; mov rdx, qword ptr [rsp + 16]; ret", (0,) * 5 + (9 << 64 | 8, 5), (5, 9)),
        ([I64] * 7 + [I128, I8], [I64, I8],
         "mov rax, qword ptr [rsp + 24]; mov rdx, qword ptr [rsp + 40]; ret",
         (0,) * 7 + (7 << 64 | 6, 5), (6, 5)),
    ],
)  # fmt: skip
def test_pairs_are_passed_as_the_standard_says(
    engine: Emulator,
    params: list[Type],
    returns: list[Type],
    text: str,
    values: tuple[int, ...],
    expected: tuple[int, ...],
) -> None:
    signature = Signature(tuple(map(AbiParam, params)), tuple(map(AbiParam, returns)))
    engine.load(code_of(text), signature)
    for poison in range(POISONS):
        result = engine.run(values, b"", poison)
        assert (result.stop, result.values, result.frame) == (RETURN, expected, ())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("mov rbx, 1; ret", "rbx"),
        ("mov rbp, 1; ret", "rbp"),
        ("mov r12, 1; ret", "r12"),
        ("mov r15, 1; ret", "r15"),
        ("ret 8", "sp"),
        ("pop rcx; jmp rcx", None),
        ("pop rcx; pop rdx; jmp rcx", "sp"),
        ("std; ret", "flags"),
        ("mov qword ptr [rsp + 64], rdi; ret", "caller's frame at sp+56"),
        ("mov byte ptr [rsp + 8], dil; ret", "caller's frame at sp+0"),
        ("mov qword ptr [rsp - 64], rdi; mov r11, 1; stc; ret", None),
    ],
)
def test_the_frame_is_held_to_its_promises(engine: Emulator, text: str, what: str | None) -> None:
    result = run(engine, text, 7)
    assert result.stop == RETURN
    assert [name for name, _, _ in result.frame] == ([] if what is None else [what])


@pytest.mark.parametrize(
    ("text", "stop", "offset"),
    [
        ("nop; ud2", TRAP, 1),
        ("xor edx, edx; xor ecx, ecx; div ecx", TRAP, 4),
        ("mov eax, 1", TRAP, 5),
        ("jmp 0", TIMEOUT, 0),
        ("hlt", TIMEOUT, None),
        ("xor ecx, ecx; jmp rcx", STRAY, None),
        ("push rdi; ret", STRAY, None),
        ("nop; mov rax, qword ptr [rdi]; ret", FAULT, 1),
        ("lea rcx, [rip]; mov qword ptr [rcx], rax; ret", FAULT, 7),
    ],
)
def test_what_is_not_a_return(engine: Emulator, text: str, stop: str, offset: int | None) -> None:
    result = run(engine, text, 1)
    assert result.stop == stop
    assert offset is None or result.offset == offset


def test_one_byte_past_the_data_region_is_a_fault(engine: Emulator) -> None:
    memory = bytes(range(256)) * 16
    text = "movzx eax, byte ptr [rdi]; ret"
    assert run(engine, text, DATA_BASE + 4095, memory=memory).values == (255,)
    for address in (DATA_BASE + 4096, DATA_BASE - 1):
        result = run(engine, text, address, memory=memory)
        assert (result.stop, result.address) == (FAULT, address)


def test_what_holds_nothing_at_entry_differs_between_poisons(engine: Emulator) -> None:
    for text in ("mov rax, r10; ret", "mov rax, qword ptr [rsp - 8]; ret", "movq rax, xmm9; ret",
                 "lahf; ret", "pushfq; pop rax; ret"):  # fmt: skip
        values = {run(engine, text, poison=poison).values for poison in range(POISONS)}
        assert len(values) == POISONS, text


def test_the_state_that_code_may_rely_on(engine: Emulator) -> None:
    for poison in range(POISONS):
        result = run(engine, "mov rax, rsp; and eax, 15; ret", poison=poison)
        assert result.values == (8,)
        result = run(engine, "pushfq; pop rax; and eax, 0x400; ret", poison=poison)
        assert result.values == (0,)
        result = run(engine, "stmxcsr dword ptr [rsp - 8]; mov eax, dword ptr [rsp - 8]; ret",
                     poison=poison)  # fmt: skip
        assert result.values == (0x1F80,)


def test_the_machine_is_back_in_order_after_a_broken_run(engine: Emulator) -> None:
    run(engine, "std; mov rbx, 1; ud2", 1)
    assert run(engine, "mov eax, 5; ret").frame == ()
    assert engine._uc.reg_read(x86.UC_X86_REG_RSP) == layout.STACK_TOP


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bzhi rax, rdi, rsi; ret", "BZHI"),
        ("pdep eax, edi, esi; ret", "PDEP"),
        ("pdep rax, rdi, rsi; ret", ""),
        ("cmpxchg ecx, edx; ret", "CMPXCHG"),
        ("cmpxchg rcx, rdx; ret", ""),
        ("phaddw xmm1, xmm1; ret", "PHADD"),
        ("phaddw xmm1, xmm2; ret", ""),
        ("addps xmm1, xmm2; ret", ""),
        ("vaddps xmm1, xmm2, xmm3; ret", "VEX"),
    ],
)
def test_instructions_that_prove_nothing(text: str, why: str) -> None:
    found = suspicion("x86_64", code_of(text))
    assert why in found if why else not found


@pytest.mark.parametrize(
    ("text", "broken"), [("mov rax, rdi; ret", []), ("xor eax, eax; ret", ["register of sret"])]
)
def test_the_pointer_to_results_is_given_back(
    engine: Emulator, text: str, broken: list[str]
) -> None:
    engine.load(code_of(text), Signature((AbiParam(I64, "", "sret"),)))
    assert [what for what, _, _ in engine.run((0x2000_0000,), b"").frame] == broken
