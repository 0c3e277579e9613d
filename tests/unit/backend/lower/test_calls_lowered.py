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
    "text",
    [
        "function %f(i64, i64 sret) {\nblock0(v0: i64, v1: i64):\nreturn\n}",
        "function %f(i64 sret) -> i64 {\nblock0(v0: i64):\nreturn v0\n}",
        "function %f() -> i64 sret {\nblock0:\nv0 = iconst.i64 0\nreturn v0\n}",
        "function %f() {\nfn0 = %g() windows_fastcall\nblock0:\ncall fn0()\nreturn\n}",
    ],
)
def test_what_x86_64_does_not_pass_is_said(text: str) -> None:
    with pytest.raises(Unsupported):
        compile_function(parse_file(text).functions[0].function, "x86_64")
