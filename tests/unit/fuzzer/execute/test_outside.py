"""Functions from outside: what they see, what they leave, what is owed to them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from keystone import KS_ARCH_ARM64, KS_ARCH_X86, KS_MODE_64, KS_MODE_LITTLE_ENDIAN, Ks

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import I8, I64
from fuzzer.execute import layout
from fuzzer.execute.emulator import STRAY, Emulator, ExecutorLimit, Run
from fuzzer.execute.relocate import Linkage, relocate
from fuzzer.outcome import external_result

UNARY = Signature((AbiParam(I64),), (AbiParam(I64),))
ASSEMBLERS = {
    "aarch64": Ks(KS_ARCH_ARM64, KS_MODE_LITTLE_ENDIAN),
    "x86_64": Ks(KS_ARCH_X86, KS_MODE_64),
}
#: what saves the return address and aligns the stack, what undoes it, a call to be patched, its kind and addend
FORMS = {
    "aarch64": ("stp x29, x30, [sp, #-16]!", "ldp x29, x30, [sp], #16; ret", "00000094", "call26", 0, 0),
    "x86_64": ("push rbp", "pop rbp; ret", "e800000000", "pc_rel32", -4, 1),
}  # fmt: skip


@dataclass
class Made:
    offset: int
    kind: str
    symbol: str
    addend: int


def code_of(isa: str, text: str) -> bytes:
    return bytes(ASSEMBLERS[isa].asm(text, as_bytes=True)[0]) if text else b""


def run(isa: str, before: str, after: str, declared: Signature, symbol: str = "%g", poison: int = 0,
        enter: str | None = None) -> Run:  # fmt: skip
    """Code that calls ``symbol`` between two texts."""
    save, leave, call, kind, addend, at = FORMS[isa]
    head = code_of(
        isa, f"{save if enter is None else enter}; {before}" if before else enter or save
    )
    code = head + bytes.fromhex(call) + code_of(isa, f"{after}; {leave}" if after else leave)
    engine = Emulator(isa)
    reloc = Made(len(head) + at, kind, symbol, addend)
    engine.load(code, UNARY, 0, 0, Linkage([reloc], {}, {"%g": declared}))
    return engine.run((5,), b"", poison)


@pytest.mark.parametrize("isa", FORMS)
def test_a_call_is_recorded_and_answered(isa: str) -> None:
    made = run(isa, "", "", UNARY)
    assert made.calls == (("%g", (5,)),)
    assert made.values == (external_result(0, 0) & I64.mask,)
    assert made.frame == ()


@pytest.mark.parametrize(
    ("isa", "dead"),
    [("aarch64", "mov x0, x9"), ("aarch64", "fmov x0, d16"), ("aarch64", "mrs x0, nzcv"),
     ("aarch64", "ldr x0, [sp, #-8]"), ("aarch64", "mov x0, v8.d[1]"),
     ("x86_64", "mov rax, r10"), ("x86_64", "movq rax, xmm3"), ("x86_64", "mov rax, [rsp - 16]")],
)  # fmt: skip
def test_what_a_callee_may_destroy_is_destroyed(isa: str, dead: str) -> None:
    seen = {run(isa, "", dead, UNARY, poison=poison).values for poison in (0, 1)}
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("isa", "kept"),
    [("aarch64", "mov x0, x19"), ("aarch64", "fmov x0, d8"), ("x86_64", "mov rax, rbx")],
)
def test_what_a_callee_keeps_is_kept(isa: str, kept: str) -> None:
    made = run(isa, "", kept, UNARY)
    assert made.frame == ()
    assert (
        made.values
        == run(isa, kept.replace("x0,", "x9,").replace("rax,", "r10,"), kept, UNARY).values
    )


@pytest.mark.parametrize(("isa", "enter", "leave"), [("x86_64", "push rbp; push rax", "pop rax")])
def test_a_misaligned_stack_is_told(isa: str, enter: str, leave: str) -> None:
    made = run(isa, "", leave, UNARY, enter=enter)
    assert [what for what, _, _ in made.frame] == ["call of %g, sp"]


@pytest.mark.parametrize(("isa", "wide"), [("aarch64", "mov w0, #0x80"), ("x86_64", "mov edi, 0x80")])  # fmt: skip
def test_an_argument_that_is_not_extended_is_told(isa: str, wide: str) -> None:
    declared = Signature((AbiParam(I8, "sext"),), (AbiParam(I64),))
    made = run(isa, wide, "", declared)
    assert made.calls == (("%g", (0x80,)),)
    assert [what for what, _, _ in made.frame] == ["call of %g, argument 0, i8 sext"]


def test_a_jump_to_where_nobody_is_strays_and_is_forgotten() -> None:
    """To the place of a function from outside that the code has not got, to the middle of one, to the last code's."""
    call = bytes.fromhex("00000094")
    linked = Linkage([Made(0, "call26", "%g", 0)], {}, {"%g": UNARY})
    right = code_of("aarch64", "mov x0, #7; ret")
    engine = Emulator("aarch64")
    for target, linkage in (
        (layout.STUBS + 3 * layout.STUB, linked), (layout.STUBS + 4, linked), (layout.STUBS, None),
    ):  # fmt: skip
        jump = f"movz x9, #{target & 0xFFFF}; movk x9, #{target >> 16}, lsl #16; br x9"
        engine.load(
            call * bool(linkage) + code_of("aarch64", jump), UNARY, 0, 4 * bool(linkage), linkage
        )
        assert engine.run((5,), b"").stop == STRAY
        assert engine.run((5,), b"").calls == ()
        engine.load(call + right, UNARY, 0, 4, linked)
        assert engine.run((5,), b"").values == (7,)


def test_the_library_is_served_and_not_recorded() -> None:
    made = run("aarch64", "fmov d0, #2.5", "fmov x0, d0", UNARY, "floor")
    assert made.calls == ()
    assert made.values == (0x4000_0000_0000_0000,)


def test_what_the_library_leaves_undefined_stops_the_run() -> None:
    made = run("aarch64", "mov x0, #1; mov x1, #0; mov x2, #0; mov x3, #0", "", UNARY, "__udivti3")
    assert made.stop == STRAY
    assert made.frame[0][0].startswith("call of __udivti3")


def test_what_is_nowhere_is_refused() -> None:
    with pytest.raises(ExecutorLimit, match="%h is not declared"):
        run("aarch64", "", "", UNARY, "%h")


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [("call26", 0x1008, 0x9400_0002), ("call26", 0xFF8, 0x97FF_FFFE), ("pc_rel32", 0xFF0, 0xFFFF_FFF0)],
)  # fmt: skip
def test_distances_are_patched_in(kind: str, target: int, expected: int) -> None:
    old = 0x9400_0000 if kind == "call26" else 0
    code = relocate(old.to_bytes(4, "little"), [Made(0, kind, "%g", 0)], 0x1000, lambda _: target)
    assert int.from_bytes(code, "little") == expected


def test_a_call_out_of_reach_is_refused() -> None:
    with pytest.raises(ExecutorLimit, match="bytes"):
        relocate(bytes(4), [Made(0, "call26", "%g", 0)], 0, lambda _: 1 << 27)
