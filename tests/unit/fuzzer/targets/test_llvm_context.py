"""Calls by way of memory: what LLVM compiles by its own conventions, between an entry and outside functions by ours."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite")

from backend.ir.filetest import parse_file
from fuzzer.case import Case
from fuzzer.generate.cases import CaseGenerator
from fuzzer.targets import llvm_context, target_named
from fuzzer.targets.llvm_traps import CALLED
from fuzzer.trial import run_trial

LLVM = target_named("llvm")
ISAS = sorted(CALLED)
#: where it is drawn
WRAPPED = ("aarch64", "riscv64", "s390x", "x86_64")

EVERYTHING = """function %f(i8 sext, i128, f32, i64, f64, i128, i16 uext) -> i16 uext, i128, f64, i8, f32, i64 {
    sig0 = (i8 sext, i128, f32, i64, f64, i128, i16 uext) -> i16 uext, i128, f64, i8, f32, i64
    fn0 = %g sig0
    fn1 = %h sig0
block0(v0: i8, v1: i128, v2: f32, v3: i64, v4: f64, v5: i128, v6: i16):
    v10, v11, v12, v13, v14, v15 = call fn0(v0, v1, v2, v3, v4, v5, v6)
    v16 = func_addr.i64 fn1
    v20, v21, v22, v23, v24, v25 = call_indirect sig0, v16(v13, v11, v14, v15, v12, v5, v10)
    return v20, v21, v22, v23, v24, v25
}
function %g(i8 sext, i128, f32, i64, f64, i128, i16 uext) -> i16 uext, i128, f64, i8, f32, i64 {
block0(v0: i8, v1: i128, v2: f32, v3: i64, v4: f64, v5: i128, v6: i16):
    v7 = iadd v1, v5
    v8 = ineg v0
    v9 = bnot v6
    v10 = fneg v2
    v11 = fneg v4
    return v9, v7, v11, v8, v10, v3
}"""
INPUTS = [
    (
        0x80,
        1 << 127 | 9,
        0x3F80_0001,
        0x8123_4567_89AB_CDEF,
        0xC000_0000_0000_0003,
        (1 << 128) - 7,
        0x8001,
    )
]


def case_of(text: str, inputs: list[tuple[int, ...]], isa: str, level: str) -> Case:
    first, *others = [each.function for each in parse_file(text).functions]
    options = {**LLVM.opt_levels[level], **({"wrapped": True} if isa in WRAPPED else {})}
    return Case(first, inputs, isa=isa, others=others, options=options)


@pytest.mark.parametrize("level", ["none", "speed"])
@pytest.mark.parametrize("isa", [*ISAS, *WRAPPED])
def test_every_type_is_passed_every_way(isa: str, level: str) -> None:
    trial, found = run_trial(case_of(EVERYTHING, INPUTS, isa, level), LLVM, thorough=True)
    assert (trial.unsupported, found, trial.executed) == ("", [], 1)


@pytest.mark.parametrize("isa", [*ISAS, *WRAPPED])
def test_a_wrong_argument_would_be_seen(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry hands on what it got: if it mixed up two arguments, the results would tell."""
    entry = llvm_context.entry
    home = 160 if isa == "s390x" else 0
    right, wrong = (f"%args, i64 {home + offset}" for offset in (16, 64))
    monkeypatch.setattr(llvm_context, "entry", lambda *args: entry(*args).replace(right, wrong))
    _, found = run_trial(case_of(EVERYTHING, INPUTS, isa, "none"), LLVM)
    assert found


@pytest.mark.parametrize("isa", [*ISAS, *WRAPPED])
def test_generated_cases_are_clean(isa: str) -> None:
    generator = CaseGenerator(LLVM, isa)
    executed = 0
    for seed in range(12):
        case = generator.from_seed(seed)
        case.options = {"opt_level": seed % 4} | ({"wrapped": True} if isa in WRAPPED else {})
        trial, found = run_trial(case, LLVM, thorough=True)
        assert found == [], seed
        executed += trial.executed
    assert executed > 60


TRAPS = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    trapz v0, user1
    trapnz v1, user2
    return v0
}"""


@pytest.mark.parametrize("isa", ISAS)
def test_each_trap_code_is_one_instruction_behind_the_code(isa: str) -> None:
    made = LLVM.compile(case_of(TRAPS, [(0, 0)], isa, "speed"))
    trap = CALLED[isa]
    assert sorted(code for _, code in made.traps) == ["user1", "user2"]
    assert all(made.code[at : at + len(trap)] == trap for at, _ in made.traps)
    assert len({at for at, _ in made.traps}) == 2


CONSTANT = """function %f(f64) -> f64 {
block0(v0: f64):
    v1 = f64const 0x1.23456789abcdep3
    v2 = fadd v0, v1
    return v2
}"""


def test_constants_between_the_code_of_arm_are_data() -> None:
    made = LLVM.compile(case_of(CONSTANT, [(0,)], "arm", "speed"))
    (start, end), *others = made.data_ranges
    assert not others
    assert end - start == 8
    assert start % 8 == 0


def test_an_object_of_arm_has_only_its_own_functions() -> None:
    case = case_of(EVERYTHING, INPUTS, "arm", "speed")
    made = LLVM.compile(case)
    assert made.symbols.keys() == {
        "%f",
        "%g",
        "entry",
        llvm_context.ENTRY,
        llvm_context.inside("%h"),
    }
    assert not [name for name in made.symbols if name.startswith((".", "$"))]


BYTES = """function %f() {
block0:
    v0 = f32const +Inf
    v1 = fcvt_to_sint.i32 v0
    return
}
function %g(i32, i64) -> i16, i8, i8, i32 {
block0(v0: i32, v1: i64):
    v2 = iconst.i16 0
    v3 = iconst.i8 0
    br_table v0, block1, [block2, block3(v2), block2]
block1:
    jump block1
block2:
    v4 = iconst.i16 1
    jump block3(v4)
block3(v5: i16):
    return v5, v3, v3, v0
}"""


@pytest.mark.parametrize("isa", ISAS)
def test_a_trap_behind_a_table_of_bytes_is_an_instruction(isa: str) -> None:
    """Arm's branch tables have entries of one byte or two, and are the end of the code."""
    trial, found = run_trial(case_of(BYTES, [()], isa, "speed"), LLVM, thorough=True)
    assert (trial.unsupported, found, trial.executed) == ("", [], 1)


DIVISIONS = """function %f(i128, i128) -> i128 {
block0(v0: i128, v1: i128):
    v2 = iconst.i32 40
    jump block1(v2, v0)
block1(v3: i32, v4: i128):
    v5 = udiv v4, v1
    v6 = bnot v5
    v7 = iadd_imm v3, -1
    brif v7, block1(v7, v6), block2(v6)
block2(v8: i128):
    return v8
}"""


@pytest.mark.parametrize("isa", ISAS)
def test_a_division_by_a_long_loop_is_no_endless_one(isa: str) -> None:
    """Of i128 on Arm: some ten thousand instructions each."""
    trial, found = run_trial(case_of(DIVISIONS, [((1 << 128) - 5, 3)], isa, "none"), LLVM)
    assert (trial.unsupported, found, trial.executed) == ("", [], 1)


TAIL = """function %f() -> i16, i32, i32, i32 tail {
    fn0 = %g() -> i16, i32, i32, i32 tail
block0:
    return_call fn0()
}"""


@pytest.mark.parametrize(("isa", "refused"), [("x86_64", True), ("aarch64", False)])
def test_a_tail_call_whose_results_are_in_memory_is_unsupported(isa: str, refused: bool) -> None:
    """LLVM passes on an address for them, and has no tail call then. AArch64 has eight registers."""
    trial, found = run_trial(case_of(TAIL, [()], isa, "speed"), LLVM)
    assert found == []
    assert ("in memory" in trial.unsupported) == refused


@pytest.mark.parametrize(("floats", "refused"), [(2, False), (3, True)])
def test_results_of_x86_64_are_not_returned_in_x87(floats: int, refused: bool) -> None:
    """A signalling NaN would come back quiet."""
    types, values = ", ".join(["f32"] * floats), ", ".join(["v0"] * floats)
    text = f"function %f(f32) -> {types} {{\nblock0(v0: f32):\n    return {values}\n}}"
    trial, found = run_trial(case_of(text, [(0x7F80_0001,)], "x86_64", "speed"), LLVM)
    assert found == []
    assert ("x87" in trial.unsupported) == refused
