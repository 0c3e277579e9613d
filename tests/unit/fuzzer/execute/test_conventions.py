"""The executor's conventions beside the platforms' own: what is passed where, what is owed, what a callee destroys.

The places of arguments and results under Apple's convention, and those of arguments under Microsoft's, are what LLVM 22
reads and writes for the same signatures.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from keystone import KS_ARCH_ARM64, KS_ARCH_X86, KS_MODE_64, KS_MODE_LITTLE_ENDIAN, Ks

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from fuzzer.execute import layout
from fuzzer.execute.conventions import CONVENTIONS, arm_floats, gr
from fuzzer.execute.emulator import POISONS, RETURN, Emulator, ExecutorLimit, Run
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import passing
from fuzzer.execute.relocate import Linkage
from fuzzer.outcome import external_result

ASSEMBLERS = {
    "aarch64": Ks(KS_ARCH_ARM64, KS_MODE_LITTLE_ENDIAN),
    "x86_64": Ks(KS_ARCH_X86, KS_MODE_64),
}
ENGINES = {isa: Emulator(isa) for isa in ASSEMBLERS}
WINDOWS, APPLE = "windows_fastcall", "apple_aarch64"


@dataclass
class Call:
    offset: int
    kind: str
    symbol: str
    addend: int


def code_of(isa: str, text: str) -> bytes:
    return bytes(ASSEMBLERS[isa].asm(text, as_bytes=True)[0])


def signature(params: list[Type], returns: list[Type], callconv: str, extension: str = "") -> Signature:  # fmt: skip
    return Signature(
        tuple(AbiParam(t, extension) for t in params),
        tuple(AbiParam(t, extension) for t in returns),
        callconv,
    )


def run(isa: str, text: str, made: Signature, *values: int, poison: int = 0) -> Run:
    ENGINES[isa].load(code_of(isa, text), made)
    return ENGINES[isa].run(values, b"", poison)


def calling(entry: str, callee: Signature, poison: int = 0, *, isa: str, text: str, after: str) -> Run:  # fmt: skip
    """A function without arguments, of the convention ``entry``, that calls one from outside between two texts."""
    head, tail = code_of(isa, text), code_of(isa, after)
    if isa == "x86_64":
        call, reloc = "e800000000", Call(len(head) + 1, "pc_rel32", "%g", -4)
    else:
        call, reloc = "00000094", Call(len(head), "call26", "%g", 0)
    linkage = Linkage([reloc], {}, {"%g": callee})
    ENGINES[isa].load(head + bytes.fromhex(call) + tail, signature([], [I64], entry), 0, 0, linkage)
    return ENGINES[isa].run((), b"", poison)


# ---- Microsoft's


@pytest.mark.parametrize(
    ("params", "text", "values", "expected"),
    [
        # by place: the third argument is in the third register of its class, whatever the others are
        ([F64, I64, F64, I64], "movq rax, xmm2; add rax, r9; add rax, rdx; ret", (1, 2, 3, 4), 9),
        # the fifth is above the return address and the home
        ([I64] * 6, "mov rax, [rsp + 40]; shl rax, 8; or rax, [rsp + 48]; ret", (1, 2, 3, 4, 5, 6), 0x506),
        ([I64] * 4 + [F32, F64], "mov eax, [rsp + 40]; add rax, [rsp + 48]; ret", (0, 0, 0, 0, 7, 8), 15),
    ],
)  # fmt: skip
def test_fastcall_goes_by_the_place(
    params: list[Type], text: str, values: tuple[int, ...], expected: int
) -> None:
    for poison in range(POISONS):
        made = run("x86_64", text, signature(params, [I64], WINDOWS), *values, poison=poison)
        assert (made.stop, made.values, made.frame) == (RETURN, (expected,), ())


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        # the home is the callee's to write, and no more of the caller's frame than that
        ("mov [rsp + 8], rcx; mov [rsp + 32], rcx; ret", []),
        ("mov [rsp + 40], rcx; ret", ["caller's frame at sp+32"]),
        ("mov edi, 1; ret", ["rdi"]),
        ("mov esi, 1; ret", ["rsi"]),
        ("xorps xmm6, xmm6; ret", ["xmm6"]),
        ("xorps xmm15, xmm15; ret", ["xmm15"]),
        # the upper half alone
        ("movlhps xmm9, xmm0; ret", ["xmm9"]),
        # the lower half alone
        ("movsd xmm12, xmm0; ret", ["xmm12"]),
        ("xorps xmm5, xmm5; xor r10d, r10d; xor r9d, r9d; ret", []),
    ],
)
def test_what_a_fastcall_function_owes(text: str, broken: list[str]) -> None:
    for poison in range(POISONS):
        made = run("x86_64", text, signature([I64], [], WINDOWS), 5, poison=poison)
        assert [what for what, _, _ in made.frame] == broken


def test_all_bits_of_a_saved_vector_register_are_told() -> None:
    made = run("x86_64", "xorps xmm6, xmm6; ret", signature([], [], WINDOWS))
    ((_, expected, got),) = made.frame
    assert got == 0
    assert expected >> 64
    assert expected & (1 << 64) - 1


def test_system_v_owes_none_of_that() -> None:
    text = "xor edi, edi; xor esi, esi; xorps xmm6, xmm6; ret"
    assert run("x86_64", text, signature([I64], [], ""), 5).frame == ()


def test_results_of_fastcall() -> None:
    returns = [I64, F64, I32, F64, I64]
    text = "mov qword ptr [rcx], 4; mov qword ptr [rcx + 8], 5; mov eax, 1; mov edx, 3; movq xmm0, rax; ret"
    made = run("x86_64", text, signature([], returns, WINDOWS))
    assert (made.values, made.frame) == ((1, 1, 3, 4, 5), ())
    placed = passing(signature([I64], returns, WINDOWS), MACHINES["x86_64"])
    assert [piece.register for piece in placed.args] == [0, 1]
    assert placed.stack == 32
    assert placed.area == 16


def test_a_pointer_to_results_is_given_back_by_fastcall() -> None:
    made = Signature((AbiParam(I64, "", "sret"),), (), WINDOWS)
    assert run("x86_64", "mov rax, rcx; ret", made, layout.STACK).frame == ()
    ((what, _, _),) = run("x86_64", "xor eax, eax; ret", made, layout.STACK).frame
    assert what == "register of sret"


def test_fastcall_passes_no_i128() -> None:
    for params, returns in (([I128], []), ([], [I128])):
        with pytest.raises(ExecutorLimit, match="i128"):
            run("x86_64", "ret", signature(params, returns, WINDOWS))


ENTER, LEAVE = "push rbx; sub rsp, 32", "add rsp, 32; pop rbx; ret"


def test_the_home_is_destroyed_by_a_callee() -> None:
    text = f"{ENTER}; mov qword ptr [rsp + 24], 77"
    after = f"mov rax, [rsp + 24]; {LEAVE}"
    callee = signature([], [], WINDOWS)
    seen = {calling("", callee, p, isa="x86_64", text=text, after=after).values for p in (0, 1)}
    assert len(seen | {(77,)}) == 3


@pytest.mark.parametrize(
    ("callconv", "register", "lost"),
    [
        (WINDOWS, "xmm6", False), (WINDOWS, "xmm15", False), (WINDOWS, "xmm5", True), (WINDOWS, "rdi", False),
        (WINDOWS, "rsi", False), (WINDOWS, "rcx", True), (WINDOWS, "r11", True),
        ("", "xmm6", True), ("", "rdi", True),
    ],
)  # fmt: skip
def test_a_callee_destroys_what_its_convention_lets_it(
    callconv: str, register: str, lost: bool
) -> None:
    vector = register.startswith("x")
    read = f"movq rax, {register}" if vector else f"mov rax, {register}"
    write = f"movq {register}, rbx" if vector else f"mov {register}, rbx"
    text, after = f"{ENTER}; mov ebx, 77; {write}", f"{read}; {LEAVE}"
    callee = signature([], [], callconv)
    made = [calling("", callee, p, isa="x86_64", text=text, after=after) for p in (0, 1)]
    assert [each.frame for each in made] == [(), ()]
    values = {each.values for each in made}
    assert len(values | {(77,)}) == 3 if lost else values == {(77,)}


def test_a_call_of_another_convention_is_the_callers_to_make_good() -> None:
    """A function of Microsoft's that calls one of System V's has to save what that one destroys."""
    made = calling(WINDOWS, signature([], [], ""), isa="x86_64", text=ENTER, after=LEAVE)
    broken = [what for what, _, _ in made.frame]
    assert broken == ["rdi", "rsi", *(f"xmm{n}" for n in range(6, 16))]


def test_arguments_and_results_of_an_outside_fastcall_function() -> None:
    callee = signature([I64, F64, I64, I64, I8], [F64, I64], WINDOWS)
    text = ("push rbx; sub rsp, 48; mov ecx, 1; mov eax, 2; movq xmm1, rax; mov r8d, 3; mov r9d, 4;"
            "mov qword ptr [rsp + 32], 0x105")  # fmt: skip
    made = calling("", callee, isa="x86_64", text=text, after="add rsp, 48; pop rbx; ret")
    assert made.calls == (("%g", (1, 2, 3, 4, 5)),)
    assert made.values == (external_result(0, 1) & I64.mask,)


# ---- Apple's


@pytest.mark.parametrize(
    ("params", "text", "values", "expected"),
    [
        # any two registers
        ([I64, I128], "mov x0, x1; mov x1, x2; ret", (1, 3 << 64 | 2), (3 << 64 | 2,)),
        # one is left, which nobody has
        ([I64] * 7 + [I128, I64], "ldr x0, [sp, #16]; mov x1, #0; ret", (0,) * 8 + (9,), (9,)),
        # natural sizes: bytes at 0 and 1, a half at 2, a word at 4, a byte at 8, a pair at 16
        ([I64] * 8 + [I8, I8, I16, F32, I32, I8, I128], "ldr w0, [sp]; ldr w1, [sp, #4]; add x0, x0, x1, lsl #32;"
         "ldr x1, [sp, #24]; ret", (0,) * 8 + (0x11, 0x22, 0x3344, 0, 0x55667788, 0, 1 << 64),
         (1 << 64 | 0x5566778833442211,)),
    ],
)  # fmt: skip
def test_apple_packs_its_stack(
    params: list[Type], text: str, values: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    for poison in range(POISONS):
        made = run("aarch64", text, signature(params, [I128], APPLE), *values, poison=poison)
        assert (made.stop, made.values, made.frame) == (RETURN, expected, ())


def test_what_lies_between_packed_arguments_is_poison() -> None:
    made = signature([I64] * 8 + [I8, I32], [I64], APPLE)
    seen = {run("aarch64", "ldr w0, [sp]; ret", made, *range(10), poison=p).values for p in (0, 1)}
    assert len(seen) == 2
    assert {value & 0xFF for (value,) in seen} == {8}


def test_results_in_memory_are_packed_as_well() -> None:
    text = "mov w1, #0x81; strb w1, [x0]; mov w1, #7; strb w1, [x0, #1]; strh w1, [x0, #2]; ret"
    made = run("aarch64", text, signature([], [I64] * 8 + [I8, I8, I16], APPLE, "sext"))
    assert made.values[8:] == (0x81, 7, 7)
    assert made.frame == ()


@pytest.mark.parametrize(
    ("callconv", "text", "broken"),
    [
        (APPLE, "mov x18, #1; ret", ["x18"]),
        (APPLE, "mov x9, #1; mov x17, #1; ret", []),
        ("", "mov x18, #1; ret", []),
        (APPLE, "mov x19, #1; ret", ["x19"]),
    ],
)
def test_the_platforms_register_is_not_touched(callconv: str, text: str, broken: list[str]) -> None:
    for poison in range(POISONS):
        made = run("aarch64", text, signature([], [], callconv), poison=poison)
        assert [what for what, _, _ in made.frame] == broken


@pytest.mark.parametrize(
    ("entry", "callee", "lost"),
    [("", "", True), ("", APPLE, False), (APPLE, APPLE, False), (APPLE, "", False)],
)
def test_nobody_destroys_the_platforms_register_where_there_is_one(
    entry: str, callee: str, lost: bool
) -> None:
    text, after = "stp x29, x30, [sp, #-16]!", "mov x0, x18; ldp x29, x30, [sp], #16; ret"
    given = {
        poison: run("aarch64", "mov x0, x18; ret", signature([], [I64], entry), poison=poison)
        for poison in range(POISONS)
    }
    for poison, before in given.items():
        made = calling(entry, signature([], [], callee), poison, isa="aarch64", text=text, after=after)  # fmt: skip
        assert made.frame == ()
        assert (made.values != before.values) == lost


def test_a_packed_argument_of_an_outside_function_has_no_room_for_an_extension() -> None:
    callee = signature([I64] * 8 + [I8, I16], [], APPLE, "sext")
    text = ("stp x29, x30, [sp, #-16]!; sub sp, sp, #16;"
            "mov w9, #0x80; strb w9, [sp]; mov w9, #0x8000; strh w9, [sp, #2]")  # fmt: skip
    after = "add sp, sp, #16; ldp x29, x30, [sp], #16; ret"
    made = calling("", callee, isa="aarch64", text=text, after=after)
    assert made.calls[0][1][8:] == (0x80, 0x8000)
    assert made.frame == ()


# ---- tables


def test_an_isa_has_its_own_conventions() -> None:
    assert set(CONVENTIONS["aarch64"]) ^ set(CONVENTIONS["x86_64"]) == {APPLE, WINDOWS}
    for isa, other in (("aarch64", WINDOWS), ("x86_64", APPLE)):
        with pytest.raises(ExecutorLimit, match=other):
            run(isa, "ret", signature([], [], other))


@pytest.mark.parametrize("isa", CONVENTIONS)
def test_a_register_is_saved_or_destroyed_and_never_both_whole(isa: str) -> None:
    machine = MACHINES[isa]
    for convention in machine.conventions.values():
        whole = {saved.id for saved in convention.saved if saved.id not in convention.destroyed}
        assert whole == {saved.id for saved in convention.saved}
        passed = {*convention.arguments, *convention.results, *convention.float_arguments}
        kept = set(gr(6)) if isa == "s390x" else set()  # the fifth argument, which is given back
        if isa == "arm":  # the parts of q0 to q3, which are destroyed
            kept = {*arm_floats("s", *range(16)), *arm_floats("d", *range(8))}
        assert passed - kept <= set(convention.destroyed)
        assert {saved.id for saved in convention.saved} | set(convention.destroyed) <= {*machine.poisoned}  # fmt: skip
