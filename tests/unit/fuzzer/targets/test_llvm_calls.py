"""Calls through LLVM, against the reference and the executor's own tables: on every ISA, unoptimised and optimised."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite")

from backend.errors import Unsupported
from backend.ir.filetest import parse_file
from backend.ir.verifier import verify
from fuzzer.case import DATA_BASE, Case, Input
from fuzzer.execute.emulator import FAULT
from fuzzer.targets import target_named
from fuzzer.targets.llvm_calls import NO_TAILS
from fuzzer.targets.llvm_ir import Module
from fuzzer.trial import Trial, run_trial

LLVM = target_named("llvm")
ISAS = ("aarch64", "x86_64", "riscv64")
LEVELS = ("none", "speed")
ALL = (1 << 64) - 1


LONG = "i64, i128, i32, i64, i128, f32, i8, f64, i16 sext, i128, i64"
MANY = "i64, i128, i8 sext, f64, f64, f32, i128, i16, i64"


def case_of(text: str, inputs: list[Input], isa: str, level: str, memory: bytes = b"") -> Case:
    functions = [each.function for each in parse_file(text).functions]
    for function in functions:
        verify(function)
    options = dict(LLVM.opt_levels[level])
    return Case(functions[0], inputs, isa=isa, memory=memory, options=options, others=functions[1:])


def check(text: str, inputs: list[Input], isa: str, level: str, memory: bytes = b"") -> Trial:
    """The code agrees with the reference on all inputs, with all checks."""
    trial, found = run_trial(case_of(text, inputs, isa, level, memory), LLVM, thorough=True)
    assert trial.unsupported == ""
    assert trial.error is None
    assert found == [], found[0].detail
    assert trial.executed == len(inputs)
    return trial


CASES: dict[str, tuple[str, list[Input]]] = {
    "a function of the case": ("""function %f(i32, i64) -> i64 {
    fn0 = %g(i64, i32) -> i64
block0(v0: i32, v1: i64):
    v2 = call fn0(v1, v0)
    return v2
}
function %g(i64, i32) -> i64 {
block0(v0: i64, v1: i32):
    v2 = uextend.i64 v1
    v3 = isub v0, v2
    return v3
}""", [(1, 2), (0xFFFFFFFF, 0)]),
    "functions from outside, in order": ("""function %f(i32, f64, i8) -> i64, f32, i8 {
    fn0 = %h(i8 sext, f64, i32, i128) -> i64
    fn1 = %k(i64, i16 uext) -> f32, i8
block0(v0: i32, v1: f64, v2: i8):
    v3 = uextend.i128 v0
    v4 = call fn0(v2, v1, v0, v3)
    v5 = ireduce.i16 v0
    v6, v7 = call fn1(v4, v5)
    v8 = call fn0(v7, v1, v0, v3)
    return v8, v6, v7
}""", [(1, 2, 3), (0xFFFFFFFF, 0x7FF8 << 48, 0x80)]),
    "by address": ("""function %f(i64, i8) -> i64, i64 {
    sig0 = (i64) -> i64
    fn0 = %g(i64) -> i64
    fn1 = %h(i64) -> i64
block0(v0: i64, v1: i8):
    v2 = func_addr.i64 fn0
    v3 = func_addr.i64 fn1
    v4 = select v1, v2, v3
    v5 = call_indirect sig0, v4(v0)
    v6 = call_indirect sig0, v2(v5)
    return v5, v6
}
function %g(i64) -> i64 {
block0(v0: i64):
    v1 = bnot v0
    return v1
}""", [(7, 0), (7, 1)]),
    "arguments and results beyond the registers": (f"""function %f(i64, i32, f32, i128, f64) -> {MANY} {{
    fn0 = %g({LONG}) -> {MANY}
block0(v0: i64, v1: i32, v2: f32, v3: i128, v4: f64):
    v5 = ireduce.i8 v0
    v6 = ireduce.i16 v1
    v7, v8, v9, v10, v11, v12, v13, v14, v15 = call fn0(v0, v3, v1, v0, v3, v2, v5, v4, v6, v3, v0)
    return v15, v13, v9, v11, v10, v12, v8, v14, v7
}}
function %g({LONG}) -> {MANY} {{
    fn0 = %h({LONG}) -> {MANY}
block0(v0: i64, v1: i128, v2: i32, v3: i64, v4: i128, v5: f32, v6: i8, v7: f64, v8: i16, v9: i128, v10: i64):
    v11, v12, v13, v14, v15, v16, v17, v18, v19 = call fn0(v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10)
    v20 = iadd v11, v0
    v21 = bxor v12, v9
    return v20, v21, v13, v7, v14, v16, v9, v8, v19
}}""", [(1, 0x80000001, 0x3F800000, 5 << 64 | 6, 1 << 62), (ALL, 0xFFFF, 0x7F800000, ALL << 64, 3)]),
    "a pointer to results": ("""function %f(i64) -> i64, i32 {
    ss0 = explicit_slot 16
    fn0 = %g(i64 sret, i64)
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    call fn0(v1, v0)
    v2 = load.i64 v1
    v3 = load.i32 v1+8
    return v2, v3
}
function %g(i64 sret, i64) {
block0(v0: i64, v1: i64):
    store v1, v0
    v2 = iconst.i32 -9
    store v2, v0+8
    return
}""", [(5,), (ALL,)]),
    "a slot that its callee's callee reads, by way of memory": ("""function %f(i64) -> i64 {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
    fn0 = %g(i64) -> i64
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    store v0, v1
    store v1, v2
    v3 = call fn0(v2)
    v4 = load.i64 v1
    v5 = iadd v3, v4
    return v5
}
function %g(i64) -> i64 {
block0(v0: i64):
    v1 = load.i64 v0
    v2 = load.i64 v1
    v3 = iconst.i64 100
    store v3, v1
    return v2
}""", [(5,), (ALL,)]),
    "tail calls": ("""function %f(i64, i64) -> i64 {
    fn0 = %a(i64, i64) -> i64 tail
block0(v0: i64, v1: i64):
    v2 = call fn0(v0, v1)
    v3 = call fn0(v2, v0)
    return v3
}
function %a(i64, i64) -> i64 tail {
    fn0 = %b(i64, f64, i64, i8, i64) -> i64 tail
block0(v0: i64, v1: i64):
    v2 = bitcast.f64 v0
    v3 = ireduce.i8 v0
    return_call fn0(v1, v2, v0, v3, v0)
}
function %b(i64, f64, i64, i8, i64) -> i64 tail {
    sig0 = (i64, i8 sext) -> i64 tail
    fn0 = %c(i64, i8 sext) -> i64 tail
block0(v0: i64, v1: f64, v2: i64, v3: i8, v4: i64):
    v5 = isub v0, v4
    v6 = func_addr.i64 fn0
    return_call_indirect sig0, v6(v5, v3)
}
function %c(i64, i8 sext) -> i64 tail {
    fn0 = %h(i64, i8) -> i64
block0(v0: i64, v1: i8):
    v2 = call fn0(v0, v1)
    v3 = bxor v2, v0
    return v3
}""", [(1, 2), (ALL, 7)]),
    "a function of the tail convention is entered": ("""function %f(i64, i8 sext) -> i64, i8, i64, f64 tail {
    fn0 = %g(i64) -> i64, i8, i64, f64 tail
block0(v0: i64, v1: i8):
    brif v1, block1, block2
block1:
    return_call fn0(v0)
block2:
    v2 = f64const 0x1.0p3
    return v0, v1, v0, v2
}
function %g(i64) -> i64, i8, i64, f64 tail {
    fn0 = %h(i64) -> i64, i8, i64, f64 tail
block0(v0: i64):
    return_call fn0(v0)
}""", [(3, 0), (4, 0x80)]),
    "a trap in a callee": ("""function %f(i64, i64) -> i64 {
    fn0 = %g(i64, i64) -> i64
block0(v0: i64, v1: i64):
    v2 = iconst.i64 0x2000_0000
    store v0, v2
    v3 = call fn0(v0, v1)
    store v3, v2
    return v3
}
function %g(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = udiv v0, v1
    trapz v2, user9
    return v2
}""", [(8, 2), (8, 0), (1, 2)]),
    "a function that calls itself": ("""function %f(i32) -> i64 {
    fn0 = %f(i32) -> i64
block0(v0: i32):
    v1 = iconst.i32 1
    v2 = icmp ule v0, v1
    brif v2, block1, block2
block1:
    v3 = uextend.i64 v0
    return v3
block2:
    v4 = isub v0, v1
    v5 = call fn0(v4)
    v6 = isub v4, v1
    v7 = call fn0(v6)
    v8 = iadd v5, v7
    return v8
}""", [(0,), (1,), (10,)]),
}  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_calls(name: str, isa: str, level: str) -> None:
    text, inputs = CASES[name]
    if isa in NO_TAILS and " tail" in text:
        assert isa in run_trial(case_of(text, inputs, isa, level), LLVM)[0].unsupported
        return
    check(text, inputs, isa, level, bytes(4096))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("isa", ISAS)
def test_calls_from_outside_are_recorded(isa: str, level: str) -> None:
    """Not only does nothing differ: there is something to differ."""
    text, inputs = CASES["functions from outside, in order"]
    trial = check(text, inputs, isa, level)
    run = trial.runs[0]
    assert run is not None
    assert [name for name, _ in run.calls] == ["%h", "%k", "%h"]
    assert run.calls[0][1] == (3, 2, 1, 1)


@pytest.mark.parametrize("isa", ISAS)
def test_an_access_by_a_pointer_from_a_caller_traps_out_of_bounds(isa: str) -> None:
    """It may be of a slot, or of the data region, or of neither."""
    text = """function %f(i64, i8) -> i64 {
    ss0 = explicit_slot 8
    fn0 = %g(i64) -> i64
block0(v0: i64, v1: i8):
    v2 = stack_addr.i64 ss0
    store v0, v2
    v3 = select v1, v2, v0
    v4 = call fn0(v3)
    return v4
}
function %g(i64) -> i64 {
block0(v0: i64):
    v1 = load.i64 v0
    return v1
}"""
    inputs = [(DATA_BASE, 0), (DATA_BASE, 1), (0, 0), (ALL, 0), (DATA_BASE + 4089, 0)]
    trial = check(text, inputs, isa, "speed", bytes(range(256)) * 16)
    assert not any(run is not None and run.stop == FAULT for run in trial.runs)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["udiv", "sdiv", "urem", "srem"])
def test_divisions_of_pairs_come_from_the_library(isa: str, level: str, name: str) -> None:
    text = f"function %f(i128, i128) -> i128 {{\nblock0(v0: i128, v1: i128):\n    v2 = {name} v0, v1\n    return v2\n}}"
    low, high = 1 << 127, (1 << 128) - 1
    inputs = [(low, high), (high, 3), (7 << 70, 5 << 65), (1, 0), (low, 1)]
    trial = check(text, inputs, isa, level)
    assert trial.code is not None
    assert [r.symbol[:2] for r in trial.code.relocs] == ["__"]


@pytest.mark.parametrize("isa", ISAS)
def test_a_conversion_may_come_before_its_check(isa: str) -> None:
    """What the library gives for a float out of range is nobody's result, and no broken promise."""
    text = """function %f(f64) -> i128 {
block0(v0: f64):
    v1 = fcvt_to_sint_sat.i128 v0
    return v1
}"""
    huge, nan = 0x7FE0_0000_0000_0000, 0x7FF8_0000_0000_0000
    check(text, [(huge,), (huge | 1 << 63,), (nan,), (0x40C5_0000_0000_0000,)], isa, "speed")


@pytest.mark.parametrize(
    ("isa", "text", "why"),
    [
        ("aarch64", "function %f() windows_fastcall {\nblock0:\n    return\n}", "calling convention windows_fastcall"),
        ("aarch64", "function %f(i64 sret) -> i8 {\nblock0(v0: i64):\n    v1 = iconst.i8 0\n    return v1\n}",
         "results beside a pointer to results"),
        ("x86_64", "function %f(i64, i64, i64, i64, i64, i64, i64) tail {\n"
                   "block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64):\n    return\n}",
         "stack arguments of a function that pops them"),
        ("x86_64", "function %f() -> i64 {\n    fn0 = %h() tail\nblock0:\n    v0 = func_addr.i64 fn0\n    return v0\n}",
         "from outside that is of the convention tail"),
        ("x86_64", "function %f(i128) {\n    fn0 = %h(i128, i128, i128, i128) tail\n"
                   "block0(v0: i128):\n    call fn0(v0, v0, v0, v0)\n    return\n}",
         "from outside that would pop them"),
        ("x86_64", "function %f() {\n    fn0 = %h(i8 sext)\n    fn1 = %h(i8)\nblock0:\n    v0 = iconst.i8 0\n"
                   "    call fn0(v0)\n    call fn1(v0)\n    return\n}", "declared in more than one way"),
    ],
)  # fmt: skip
def test_what_it_does_not_take_is_said(isa: str, text: str, why: str) -> None:
    case = case_of(text, [], isa, "none")
    case.inputs = [tuple(0 for _ in case.function.signature.params)]
    with pytest.raises(Unsupported, match=why):
        LLVM.compile(case)


def test_no_pointer_is_foreign_where_there_are_no_slots() -> None:
    text, inputs = CASES["by address"]
    module = Module(case_of(text, inputs, "aarch64", "none").functions, "aarch64", 0)
    assert not any(module.pointers.foreign.values())


MORE_AND_FEWER = """function %f(i64, i64) -> i64 {
    fn0 = %a(i64, i64) -> i64 tail
block0(v0: i64, v1: i64):
    v2 = call fn0(v0, v1)
    v3 = call fn0(v2, v0)
    return v3
}
function %a(i64, i64) -> i64 tail {
    fn0 = %b(i64, i64, i64, i64, i64, i64, i64, i64, i64, i128, i8) -> i64 tail
block0(v0: i64, v1: i64):
    v2 = iconcat v0, v1
    v3 = ireduce.i8 v0
    return_call fn0(v0, v1, v0, v1, v0, v1, v0, v1, v1, v2, v3)
}
function %b(i64, i64, i64, i64, i64, i64, i64, i64, i64, i128, i8) -> i64 tail {
    sig0 = (i64, i128, i8) -> i64 tail
    fn0 = %c(i64, i128, i8) -> i64 tail
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64, v8: i64, v9: i128, v10: i8):
    v11 = isub v0, v8
    v12 = func_addr.i64 fn0
    return_call_indirect sig0, v12(v11, v9, v10)
}
function %c(i64, i128, i8) -> i64 tail {
    fn0 = %h(i64, i8) -> i64
block0(v0: i64, v1: i128, v2: i8):
    v3, v4 = isplit v1
    v5 = iadd v3, v0
    v6 = call fn0(v5, v2)
    v7 = bxor v6, v4
    return v7
}"""


_POPPED = """function %f(i64) -> i64 {
    fn0 = %h(i64, i64, i64, i64, i64, i64, i64, i64, i64) tail
block0(v0: i64):
    call fn0(v0, v0, v0, v0, v0, v0, v0, v0, v0)
    v1 = bnot v0
    return v1
}"""
_PAIR = """function %f(i64, i128) tail {
    fn0 = %h(i64, i128) tail
block0(v0: i64, v1: i128):
    v2, v3 = isplit v1
    v4 = iconcat v3, v2
    return_call fn0(v0, v4)
}"""


_FEWER = """function %f(i64) -> i64 {
    fn0 = %g(i64, i64, i64, i64, i64, i64, i64, i64) -> i64 tail
block0(v0: i64):
    v1 = call fn0(v0, v0, v0, v0, v0, v0, v0, v0)
    return v1
}
function %g(i64, i64, i64, i64, i64, i64, i64, i64) -> i64 tail {
    fn0 = %k() -> i64 tail
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64):
    return_call fn0()
}
function %k() -> i64 tail {
block0:
    v0 = iconst.i64 7
    return v0
}"""
_WRAPPED = """function %f(i64, i64, i64, i64, i64, i64, i64, i64, i64) -> i64 tail {
    fn0 = %h()
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64, v8: i64):
    brif v0, block1, block2
block1:
    call fn0()
    jump block2
block2:
    v9 = iconst.i64 3
    return v9
}"""
_PADDED = """function %f(i32, i128) {
    fn0 = %g(i32, i128, i32, i32, i32, i128, i32, i32) -> i64, i64, i64, i64, f64, f32, i64 tail
block0(v0: i32, v1: i128):
    v3, v4, v5, v6, v7, v8, v9 = call fn0(v0, v1, v0, v0, v0, v1, v0, v0)
    return
}
function %g(i32, i128, i32, i32, i32, i128, i32, i32) -> i64, i64, i64, i64, f64, f32, i64 tail {
    fn0 = %h() -> i64, i64, i64, i64, f64, f32, i64 tail
block0(v0: i32, v1: i128, v2: i32, v3: i32, v4: i32, v5: i128, v6: i32, v7: i32):
    return_call fn0()
}"""


@pytest.mark.parametrize(
    ("isa", "level", "isel", "text", "inputs", "what"),
    [
        ("x86_64", 2, "default", MORE_AND_FEWER, [(1, 2)], "no stack arguments are stored"),
        ("x86_64", 0, "default", _FEWER, [(1,)], "the caller's own are left"),
        ("aarch64", 0, "default", _PAIR, [(1, 5 << 64 | 7)], "the halves of an i128"),
        ("aarch64", 2, "global", _PAIR, [(1, 5 << 64 | 7)], "the halves of an i128"),
        ("aarch64", 0, "default", _POPPED, [(1,)], "is not yet put back"),
        ("aarch64", 0, "fast", _POPPED, [(1,)], "is not yet put back"),
        ("aarch64", 2, "fast", _POPPED, [(1,)], "that the callee has popped"),
        ("x86_64", 0, "default", _PADDED, [(1, 2)], "do not agree in what is popped"),
        ("x86_64", 2, "default", _PADDED, [(1, 2)], "do not agree in what is popped"),
        ("aarch64", 2, "default", _WRAPPED, [(0,) * 9], "does not pop the stack arguments"),
    ],
)
def test_the_faults_that_are_left_out_are_there(
    isa: str, level: int, isel: str, text: str, inputs: list[Input], what: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """When this fails because nothing is found, LLVM has been mended: the row goes."""
    case = case_of(text, inputs, isa, "none")
    case.options = {"opt_level": level, "midend": False, "isel": isel}
    assert what in run_trial(case, LLVM)[0].unsupported
    monkeypatch.setattr(LLVM, "excludes", False)
    assert run_trial(case, LLVM)[1]


def test_tail_calls_with_more_and_fewer_stack_arguments() -> None:
    check(MORE_AND_FEWER, [(1, 2), (ALL, 7)], "aarch64", "speed", bytes(4096))


WIDE = """function %f(i64, i64, i64) -> i64, i64 {{
block0(v0: i64, v1: i64, v2: i64):
    v3 = iconcat v0, v1
    v4 = iconcat v2, v1
    v5 = {} v3, {}
    v6, v7 = isplit v5
    return v6, v7
}}"""
FROM_WIDE = """function %f(i64, i64) -> {0} {{
block0(v0: i64, v1: i64):
    v2 = iconcat v0, v1
    v3 = {1}.{0} v2
    return v3
}}"""
TO_WIDE = """function %f({0}) -> i64, i64 {{
block0(v0: {0}):
    v1 = {1}.i128 v0
    v2, v3 = isplit v1
    return v2, v3
}}"""
PAIRS: list[Input] = [(5, 7, 3), (ALL, 1 << 63, 9), (0, 0, 1), (1, 2, 0), (0, 0, 0), (ALL, ALL, ALL)]  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        *((WIDE.format(op, "v4"), PAIRS) for op in ("udiv", "sdiv", "urem", "srem", "imul")),
        *((WIDE.format(op, "v2"), PAIRS) for op in ("ishl", "ushr", "sshr")),
        *((FROM_WIDE.format(type_, f"fcvt_from_{sign}int"), [pair[:2] for pair in PAIRS])
          for type_ in ("f32", "f64") for sign in "us"),
        *((TO_WIDE.format("f64", f"fcvt_to_{how}"), [(0x4059 << 48,), (0xC059 << 48,), (0x7FF0 << 48,)])
          for how in ("uint", "sint", "uint_sat", "sint_sat")),
    ],
)  # fmt: skip
def test_a_library_that_gets_an_i128_by_its_address(
    text: str, inputs: list[Input], level: str
) -> None:
    check(text, inputs, "s390x", level)
