"""What calls come to besides values: pointers for results, and what can't be passed."""

from __future__ import annotations

import pytest

from backend.compile import compile_function, compile_module
from backend.errors import Unsupported
from backend.ir.filetest import parse_file
from backend.isa import ISA_NAMES
from fuzzer.case import DATA_BASE, Case
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

SRET = """function %f(i64 sret, i64) {
    fn0 = %outside(i64 sret, i64)
block0(v0: i64, v1: i64):
    call fn0(v0, v1)
    store v1, v0
    return
}
"""
TAIL = """function %f(i64) -> i64 tail {
    fn0 = %f(i64) -> i64 tail
block0(v0: i64):
    return_call fn0(v0)
}
"""


@pytest.mark.parametrize("isa", ISA_NAMES)
def test_a_pointer_to_results_is_passed_and_given_back(isa: str) -> None:
    case = Case(
        parse_file(SRET).functions[0].function, [(DATA_BASE + 8, 5)], isa=isa, memory=bytes(4096)
    )
    trial, found = run_trial(case, target_named("builtin"), thorough=True)
    assert not trial.unsupported
    assert [v.detail for v in found] == []
    assert trial.runs[0] is not None
    assert trial.runs[0].calls == (("%outside", (DATA_BASE + 8, 5)),)


@pytest.mark.parametrize("isa", ISA_NAMES)
def test_a_tail_call_without_stack_arguments_moves_nothing(isa: str) -> None:
    code = compile_module([parse_file(TAIL).functions[0].function], isa)
    assert not code.relocs
    last = code.stages["asm"]().splitlines()[-1]
    assert last.split()[1:] == [
        {"aarch64": "b", "x86_64": "jmp"}[isa],
        {"aarch64": "#0", "x86_64": "0"}[isa],
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("function %f(i64, i64 sret) {\nblock0(v0: i64, v1: i64):\nreturn\n}", "sret"),
        ("function %f(i64 sret) -> i64 {\nblock0(v0: i64):\nreturn v0\n}", "sret"),
        ("function %f() -> i64 sret {\nblock0:\nv0 = iconst.i64 0\nreturn v0\n}", "sret"),
        ("function %f() {\nfn0 = %g() apple_aarch64\nblock0:\ncall fn0()\nreturn\n}", "apple_aarch64"),
        ("function %f(i64, i64 sret) windows_fastcall {\nblock0(v0: i64, v1: i64):\nreturn\n}", "sret"),
        ("function %f(i128) windows_fastcall {\nblock0(v0: i128):\nreturn\n}",
         "an i128 passed by windows_fastcall"),
        ("function %f(i128) {\nfn0 = %g() -> i128 windows_fastcall\nblock0(v0: i128):\nv1 = call fn0()\nreturn\n}",
         "an i128 passed by windows_fastcall"),
    ],
)  # fmt: skip
def test_what_x86_64_does_not_pass_is_said(text: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        compile_function(parse_file(text).functions[0].function, "x86_64")


@pytest.mark.parametrize("isa", ["aarch64", "x86_64"])
def test_a_tail_call_leaves_no_extension_to_nobody(isa: str) -> None:
    """The callee returns to this function's caller: what it does not extend, nobody does."""
    text = "function %f(i64) -> i8 {} tail {{\nfn0 = %g(i64) -> i8 {} tail\nblock0(v0: i64):\nreturn_call fn0(v0)\n}}"
    for own, callee in (("", ""), ("uext", "uext"), ("", "sext")):
        assert compile_function(parse_file(text.format(own, callee)).functions[0].function, isa)
    for own, callee in (("uext", ""), ("uext", "sext")):
        with pytest.raises(Unsupported, match="does not extend its results"):
            compile_function(parse_file(text.format(own, callee)).functions[0].function, isa)


def test_a_convention_of_another_isa_is_unsupported() -> None:
    for isa, convention in (("aarch64", "windows_fastcall"), ("x86_64", "apple_aarch64")):
        text = f"function %f() {convention} {{\nblock0:\nreturn\n}}"
        with pytest.raises(Unsupported, match=f"calling convention {convention}"):
            compile_function(parse_file(text).functions[0].function, isa)


def _asm(text: str, isa: str) -> list[str]:
    functions = [entry.function for entry in parse_file(text).functions]
    code = compile_function(functions[0], isa)
    return [line.split(maxsplit=1)[1] for line in code.stages["asm"]().splitlines()]


def test_fastcall_counts_places_and_leaves_a_home() -> None:
    given = "i64, f64, i64, f32, i64, f64"
    text = (f"function %f(i64, f64, f32) {{\nfn0 = %g({given}) windows_fastcall\n"
            "block0(v0: i64, v1: f64, v2: f32):\ncall fn0(v0, v1, v0, v2, v0, v1)\nreturn\n}")  # fmt: skip
    asm = _asm(text, "x86_64")
    assert asm[2] == "sub rsp, 0x30"
    stored = [line.partition(",")[0] for line in asm if "ptr [rsp" in line.partition(",")[0]]
    assert stored == ["mov qword ptr [rsp + 0x20]", "movsd qword ptr [rsp + 0x28]"]
    before = asm[: next(n for n, line in enumerate(asm) if line.startswith("call"))]
    written = {line.split()[1].rstrip(",") for line in before if line.startswith("mov")}
    assert {"rcx", "r8", "xmm1", "xmm3"} <= written


def test_a_frame_has_a_home_for_a_callee_without_arguments() -> None:
    text = "function %f() {\nfn0 = %g() windows_fastcall\nblock0:\ncall fn0()\nreturn\n}"
    assert "sub rsp, 0x20" in _asm(text, "x86_64")


@pytest.mark.parametrize(
    ("own", "callee", "saved"),
    [
        # what a function of the other convention may destroy is saved for whoever called this one
        ("windows_fastcall", "", ["rsi", "rdi", *(f"xmm{n}" for n in range(6, 16))]),
        ("windows_fastcall", "windows_fastcall", []),
        ("", "windows_fastcall", []),
    ],
)
def test_what_a_callee_destroys_and_the_caller_owes_is_saved(
    own: str, callee: str, saved: list[str]
) -> None:
    text = f"function %f() {own} {{\nfn0 = %g() {callee}\nblock0:\ncall fn0()\nreturn\n}}"
    asm = _asm(text, "x86_64")
    pushed = [line.split()[1] for line in asm if line.startswith("push")]
    stored = [line.split()[-1] for line in asm if line.startswith("movaps xmmword")]
    assert pushed[1:] + stored == saved
    popped = [line.split()[1] for line in asm if line.startswith("pop")]
    assert popped == pushed[::-1]
    assert len(
        [line for line in asm if line.startswith("movaps xmm") and "ptr" in line]
    ) == 2 * len(stored)


def test_apple_packs_the_stack_and_starts_pairs_anywhere() -> None:
    types = ["i64", "i128", "i64", "i64", "i64", "i64", "i64", "i8", "i16", "i8", "i128"]
    params = ", ".join(f"v{n}: {type_}" for n, type_ in enumerate(types))
    text = (f"function %f({', '.join(types)}) -> i128, i8 apple_aarch64 {{\nblock0({params}):\nv11 = ireduce.i8 v8\n"
            "v12 = iadd v7, v9\nv13 = iadd v11, v12\nv14 = iadd v1, v10\nreturn v14, v13\n}")  # fmt: skip
    places = {line.partition("[")[2] for line in _asm(text, "aarch64") if line.startswith("ldr")}
    assert places == {"x29, #0x10]", "x29, #0x12]", "x29, #0x14]", "x29, #0x20]", "x29, #0x28]"}
