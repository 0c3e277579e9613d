"""The target cranelift-py: what is built through the bindings means what the text says, and traps are recognised."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("cranelift", reason="pip install 'clifhanger[cranelift-py]'")
pytest.importorskip("elftools", reason="pip install 'clifhanger[cranelift-py]'")

from backend.errors import Unsupported
from backend.ir.opcodes import opcode_named
from backend.ir.types import I64, I128
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case
from fuzzer.targets.cranelift_py import CraneliftPy
from fuzzer.targets.cranelift_py_ir import BORROWED
from fuzzer.targets.target import CompileError
from fuzzer.trial import run_trial
from tests.unit.fuzzer.targets.holding import case_of, drawn_cases_hold, lines_hold

FILES = ("add", "calls", "divide", "i128", "immediate", "library", "logic", "overflow", "recursion")


@pytest.fixture(scope="module")
def target() -> CraneliftPy:
    return CraneliftPy()


@pytest.mark.parametrize("level", ["none", "speed"])
@pytest.mark.parametrize("name", FILES)
def test_every_line_holds(name: str, level: str) -> None:
    assert lines_hold(name, "cranelift-py", "x86_64", level).passed > 3


def test_drawn_cases_hold(target: CraneliftPy) -> None:
    assert drawn_cases_hold(target, "x86_64", 60) > 300


TRAPS = """function %f(i64, i32) -> i32 system_v {
block0(v0: i64, v1: i32):
    br_table v1, block4, [block1, block2, block3]
block1:
    trapz v0, user7
    v2 = iconst.i32 1
    return v2
block2:
    v3 = load.i32 v0
    return v3
block3:
    v4 = sdiv v1, v1
    v5 = iconst.i32 0
    v6 = udiv v4, v5
    return v6
block4:
    trap user9
}
"""


def test_traps_and_faults_are_recognised(target: CraneliftPy) -> None:
    case = case_of(TRAPS, "x86_64", (0, 0), (1, 0), (0, 1), (0x2000_0000, 1), (0, 2), (0, 3))
    trial, found = run_trial(case, target)
    assert [type(outcome).__name__ for outcome in trial.outcomes] == [
        "Trapped", "Returned", "Trapped", "Returned", "Trapped", "Trapped"
    ]  # fmt: skip
    assert found == []
    assert trial.executed == 6


def test_a_trap_that_is_not_meant_is_found(target: CraneliftPy) -> None:
    """The code is compiled from another function than the one that says what has to happen."""
    compiled = target.compile(case_of(TRAPS, "x86_64", (0, 3)))
    other = case_of(
        TRAPS.replace("trap user9", "v9 = iconst.i32 0\n    return v9"), "x86_64", (0, 3)
    )

    class Wrong(CraneliftPy):
        def compile(self, case: Case) -> CompiledCode:
            return compiled

    _, found = run_trial(other, Wrong())
    assert "trap" in {violation.check for violation in found}


def test_an_access_that_is_promised_not_to_trap_is_no_fault(target: CraneliftPy) -> None:
    text = (
        "function %f(i64) -> i64 {{\nblock0(v0: i64):\n    v1 = load.i64{} v0\n    return v1\n}}\n"
    )
    codes = [
        target.compile(case_of(text.format(flags), "x86_64", (0x2000_0000,))).traps
        for flags in ("", " notrap")
    ]
    assert [sorted({code for _, code in each}) for each in codes] == [["heap_oob"], []]


def test_padding_is_passed_over_soon(target: CraneliftPy) -> None:
    """With 64 KiB of padding and a branch table, reading every byte took longer than a worker may."""
    began = time.perf_counter()
    code = target.compile(case_of(TRAPS, "x86_64", (0, 3), bb_padding_log2_minus_one=15))
    assert len(code.code) > 60_000
    assert time.perf_counter() - began < 2


def test_functions_are_called_by_borrowed_names(target: CraneliftPy) -> None:
    def text(count: int) -> str:
        calls = "".join(f"    fn{n} = %g{n}(i64) -> i64\n" for n in range(count))
        body = "".join(f"    v{n + 1} = call fn{n}(v{n})\n" for n in range(count))
        return (
            f"function %f(i64) -> i64 {{\n{calls}block0(v0: i64):\n{body}    return v{count}\n}}\n"
        )

    fits = len(BORROWED) - 1
    code = target.compile(case_of(text(fits), "x86_64", (1,)))
    assert {reloc.symbol for reloc in code.relocs} == {f"%g{n}" for n in range(fits)}
    with pytest.raises(Unsupported, match="more than 8 functions"):
        target.compile(case_of(text(fits + 1), "x86_64", (1,)))


def test_a_panic_is_an_error_of_the_compiler(
    target: CraneliftPy, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "function %f(i128, i128) -> i128 {\nblock0(v0: i128, v1: i128):\n    v2 = srem v0, v1\n    return v2\n}\n"
    with pytest.raises(CompileError, match="panicked at cranelift-codegen"):
        target.compile(case_of(text, "x86_64", (7, 3)))
    assert not target.supports("x86_64", opcode_named("srem"), I128, None)
    assert capfd.readouterr() == ("", "")


def test_what_it_has_no_lowering_of_is_unsupported_and_not_printed(
    target: CraneliftPy, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "function %f(i64) -> i64 {\nblock0(v0: i64):\n    v1 = cls v0\n    return v1\n}\n"
    with pytest.raises(Unsupported, match=r"no lowering of cls\.i64"):
        target.compile(case_of(text, "x86_64", (7,)))
    assert not target.supports("x86_64", opcode_named("cls"), I64, None)
    assert capfd.readouterr() == ("", "")


def test_a_byte_order_that_the_backend_passes_over_is_unsupported(target: CraneliftPy) -> None:
    text = (
        "function %f(i64) -> i64 {\nblock0(v0: i64):\n    v1 = load.i64 big v0\n    return v1\n}\n"
    )
    with pytest.raises(Unsupported, match="byte order"):
        target.compile(case_of(text, "x86_64", (0x2000_0000,)))
