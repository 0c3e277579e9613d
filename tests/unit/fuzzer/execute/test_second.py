"""A second executor does what the emulator does, and what it was asked for: to say when the emulator is wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from backend.ir.entities import AbiParam, Signature
from backend.ir.parser import parse_function
from backend.ir.types import F64, I64, Type
from fuzzer.case import DATA_BASE, Case
from fuzzer.checks.reassembly import assemble
from fuzzer.cli import cli
from fuzzer.cli.common import SECOND_KINDS
from fuzzer.execute import second as seconds
from fuzzer.execute.emulator import FAULT, RETURN, STRAY, TIMEOUT, TRAP, Emulator, Run, emulator_for
from fuzzer.execute.harness import HARNESSES
from fuzzer.execute.layout import STACK_TOP, STUB
from fuzzer.execute.library import LIBRARY
from fuzzer.execute.relocate import ExecutorLimit, Linkage
from fuzzer.execute.second import (
    KINDS,
    Elsewhere,
    Second,
    executing_on,
    second_executor,
    unavailable,
)
from fuzzer.generate.cases import CaseGenerator
from fuzzer.loading import load
from fuzzer.targets import target_named
from fuzzer.trial import run_trial
from tests.unit.fuzzer.execute.test_runtime import JUMPS


def _those_here() -> list[tuple[str, Second]]:
    found = [(isa, second_executor(kind, isa)) for isa in HARNESSES for kind in ("qemu", "native")]
    return [(isa, second) for isa, second in found if second]


HERE = _those_here()
each = pytest.mark.parametrize(
    ("isa", "second"), HERE, ids=[f"{isa} on {second.name}" for isa, second in HERE]
)


def code(isa: str, *lines: str) -> bytes:
    """Of RISC-V, which Keystone can't assemble, the words in hex, of s390x and those with a context the bytes."""
    if isa == "riscv64":
        return b"".join(int(line, 16).to_bytes(4, "little") for line in lines)
    if isa in ("s390x", "mips64", "arm"):
        return bytes.fromhex("".join(lines))
    return b"".join(assemble(isa, line) for line in lines)


def ends(run: Run) -> tuple[object, ...]:
    return run.stop, run.offset, run.values, run.memory, run.frame


CODES = {
    "aarch64": {
        "sum": ["add x0, x0, x1", "ret"],
        "store": [f"movz x9, #{DATA_BASE >> 16}, lsl #16", "str x0, [x9, #8]", "ret"],
        "trap": ["nop", "brk #1"],
        "fault": ["mov x9, #0", "ldr x0, [x9]", "ret"],
        "frame": ["mov x19, #1", "str x19, [sp, #16]", "ret"],
        "stack": ["sub sp, sp, #16", "ret"],
    },
    "x86_64": {
        "sum": ["lea rax, [rdi + rsi]", "ret"],
        "store": [f"mov ecx, {DATA_BASE:#x}", "mov qword ptr [rcx + 8], rdi", "ret"],
        "trap": ["nop", "ud2"],
        "fault": ["xor ecx, ecx", "mov rax, qword ptr [rcx]", "ret"],
        "frame": ["mov rbx, 1", "mov qword ptr [rsp + 24], rbx", "ret"],
        "stack": ["pop rcx", "push rcx", "push rcx", "ret"],
    },
}
CODES["riscv64"] = {
    "sum": ["00b50533", "00008067"],  # add a0, a0, a1; ret
    "store": [f"{DATA_BASE | 0x2B7:x}", "00a2b423", "00008067"],  # lui t0; sd a0, 8(t0)
    "trap": ["00000013", "c0001073"],  # nop; unimp
    "fault": ["00000293", "0002b503", "00008067"],  # li t0, 0; ld a0, 0(t0)
    "frame": ["00100493", "00913823", "00008067"],  # li s1, 1; sd s1, 16(sp)
    "stack": ["ff010113", "00008067"],  # addi sp, sp, -16
}
CODES["s390x"] = {
    "sum": ["b9080023", "07fe"],  # agr %r2, %r3; br %r14
    "store": [f"c01f{DATA_BASE:08x}", "e32010080024", "07fe"],  # llilf %r1; stg %r2, 8(%r1)
    "trap": ["0707", "0000"],
    "fault": ["a7190000", "e32010000004", "07fe"],  # lghi %r1, 0; lg %r2, 0(%r1)
    "frame": ["a7790001", "e370f0b00024", "07fe"],  # lghi %r7, 1; stg %r7, 176(%r15)
    "stack": ["a7fbfff0", "07fe"],  # aghi %r15, -16
}
# By a context: the arguments are at the address in the first register, the results go to that in the second.
CODES["arm"] = {
    # ldm r0, {r2, r3}; ldr ip, [r0, #8]; ldr r0, [r0, #12]; adds r2, r2, ip; adc r3, r3, r0; stm r1, {r2, r3}; bx lr
    "sum": ["0c0090e8", "08c090e5", "0c0090e5", "0c2092e0", "0030a3e0", "0c0081e8", "1eff2fe1"],
    # ldm r0, {r2, r3}; movw, movt ip; str r2, [ip, #8]; str r3, [ip, #12]; bx lr
    "store": ["0c0090e8", "00c000e3", "00c042e3", "08208ce5", "0c308ce5", "1eff2fe1"],
    "trap": ["00f020e3", "f000f0e7"],  # nop; udf #0
    "fault": ["0000a0e3", "000090e5", "1eff2fe1"],  # mov r0, #0; ldr r0, [r0]
    "frame": ["0140a0e3", "40408de5", "1eff2fe1"],  # mov r4, #1; str r4, [sp, #64]
    "stack": ["10d04de2", "1eff2fe1"],  # sub sp, sp, #16
}
CODES["mips64"] = {
    # ld $2, 0($4); ld $3, 8($4); daddu $2, $2, $3; sd $2, 0($5); jrc $31
    "sum": ["dc820000", "dc830008", "0043102d", "fca20000", "d81f0000"],
    "store": ["dc820000", f"3c03{DATA_BASE >> 16:04x}", "fc620008", "d81f0000"],
    "trap": ["00000000", "8c000ffc"],
    "fault": ["dc020000", "d81f0000"],  # ld $2, 0($0)
    "frame": ["24100001", "ffb00040", "d81f0000"],  # addiu $16, $0, 1; sd $16, 64($sp)
    "stack": ["67bdfff0", "d81f0000"],  # daddiu $sp, $sp, -16
}
STOPS = {"trap": TRAP, "fault": FAULT}


@each
@pytest.mark.parametrize("what", CODES["aarch64"])
def test_all_that_is_seen_of_a_run_is_as_in_the_emulator(
    isa: str, second: Second, what: str
) -> None:
    signature = Signature((AbiParam(I64), AbiParam(I64)), (AbiParam(I64),))
    text = code(isa, *CODES[isa][what])
    memory = bytes(range(256)) * 16
    runs = []
    for engine in (Emulator(isa), Elsewhere(isa, second)):
        engine.load(text, signature, len(memory))
        runs.append([ends(engine.run((1 << 63, 5), memory, poison)) for poison in (0, 1)])
    assert runs[0] == runs[1]
    assert runs[1][0][0] == STOPS.get(what, RETURN)
    if what == "sum":
        assert runs[1][0][2] == ((1 << 63) + 5,)


LOST = {
    "aarch64": ["mov x0, x17", "ret"],
    "x86_64": ["mov rax, r11", "ret"],
    "riscv64": ["000f8513", "00008067"],  # mv a0, t6
    "s390x": ["b9040021", "07fe"],  # lgr %r2, %r1
    "arm": ["00c081e5", "04c081e5", "1eff2fe1"],  # str ip, [r1]; str ip, [r1, #4]; bx lr
    "mips64": ["fca10000", "d81f0000"],  # sd $1, 0($5)
}


@each
def test_what_holds_nothing_holds_the_same(isa: str, second: Second) -> None:
    """In the register that leads a harness to the registers, too."""
    seen = []
    for engine in (Emulator(isa), Elsewhere(isa, second)):
        engine.load(code(isa, *LOST[isa]), Signature((), (AbiParam(I64),)))
        seen.append([engine.run((), b"", poison).values for poison in (0, 1)])
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[0][1]


@each
def test_floats_and_stack_arguments_arrive(isa: str, second: Second) -> None:
    types: list[Type] = [I64] * 9 + [F64]
    signature = Signature(tuple(AbiParam(t) for t in types), (AbiParam(F64), AbiParam(I64)))
    lines = {
        "aarch64": ["fadd d0, d0, d0", "ldr x0, [sp]", "ret"],
        "x86_64": ["addsd xmm0, xmm0", "mov rax, qword ptr [rsp + 24]", "ret"],
        "riscv64": ["02a57553", "00013503", "00008067"],  # fadd.d fa0, fa0, fa0; ld a0, 0(sp)
        "s390x": ["b31a0000", "e320f0b80004", "07fe"],  # adbr %f0, %f0; lg %r2, 184(%r15)
        # vldr d0, [r0, #72]; vadd.f64 d0, d0, d0; vstr d0, [r1]; ldrd r2, r3, [r0, #64]; strd r2, r3, [r1, #8]
        "arm": ["120b90ed", "000b30ee", "000b81ed", "d024c0e1", "f820c1e1", "1eff2fe1"],
        # ldc1 $f0, 72($4); add.d $f0, $f0, $f0; sdc1 $f0, 0($5); ld $2, 64($4); sd $2, 8($5)
        "mips64": ["d4800048", "46200000", "f4a00000", "dc820040", "fca20008", "d81f0000"],
    }
    engine = Elsewhere(isa, second)
    engine.load(code(isa, *lines[isa]), signature)
    run = engine.run((1, 2, 3, 4, 5, 6, 7, 8, 99, 0x3FF0_0000_0000_0000), b"")
    assert run.values == (0x4000_0000_0000_0000, 99)
    assert not run.frame


@each
def test_generated_cases_are_clean_there_as_well(isa: str, second: Second) -> None:
    target = target_named("builtin")
    if isa not in target.isas:
        pytest.skip("the builtin backend does not compile for it")
    generator = CaseGenerator(target, isa)
    executed = 0
    with executing_on(second, isa):
        for seed in range(4):
            case = generator.from_seed(seed)
            case.inputs = case.inputs[:2]
            trial, found = run_trial(case, target, thorough=True)
            executed += trial.executed
            assert not found
    assert executed or seed
    assert not isinstance(emulator_for(isa), Elsewhere)


def test_what_the_emulator_gets_wrong_is_noticed() -> None:
    """CMPXCHG of 32 bits is in the quarantine: where it stores it leaves the accumulator alone, all of it."""
    second = second_executor("qemu", "x86_64") or second_executor("native", "x86_64")
    if second is None:
        pytest.skip("neither qemu-user nor an x86-64 processor")
    signature = Signature((AbiParam(I64), AbiParam(I64)), (AbiParam(I64),))
    text = code("x86_64", "mov rax, rdi", "cmpxchg edi, esi", "ret")
    results = []
    for engine in (Emulator("x86_64"), Elsewhere("x86_64", second)):
        engine.load(text, signature)
        results.append(engine.run((0xFFFF_FFFF_0000_0005, 7), b"").values)
    assert results == [(5,), (0xFFFF_FFFF_0000_0005,)]


def test_the_overflow_of_a_sum_with_the_least_integer_is_noticed() -> None:
    """It is in the quarantine: the emulator sees none where one number is the least and the other negative."""
    second = second_executor("qemu", "s390x")
    if second is None:
        pytest.skip("no qemu-user for s390x")
    signature = Signature((AbiParam(I64), AbiParam(I64)), (AbiParam(I64),))
    # agr %r2, %r3; lghi %r2, 0; jno over: lghi %r2, 1; br %r14
    text = code("s390x", "b9080023", "a7290000", "a7e40004", "a7290001", "07fe")
    results = []
    for engine in (Emulator("s390x"), Elsewhere("s390x", second)):
        engine.load(text, signature)
        results.append([engine.run(pair, b"").values for pair in OVERFLOWING])
    assert results == [[(0,), (1,), (0,)], [(1,), (1,), (0,)]]


LEAST = 1 << 63
OVERFLOWING = [(LEAST, LEAST), (LEAST + 1, LEAST + 1), (LEAST, 5)]


@each
def test_code_that_does_not_end(isa: str, second: Second) -> None:
    engine = Elsewhere(isa, second)
    engine.load(bytes.fromhex(ENDLESS[isa]), Signature())  # fmt: skip
    assert engine.run((), b"").stop == TIMEOUT


@each
def test_a_fault_behind_a_region_that_ends_within_a_page_stands(isa: str, second: Second) -> None:
    if isa != "aarch64":
        pytest.skip("its regions end where pages do")
    lines = [f"movz x9, #{DATA_BASE >> 16}, lsl #16", "ldr x0, [x9, #1024]", "ret"]
    engine = Elsewhere(isa, second)
    engine.load(code(isa, *lines), Signature((), (AbiParam(I64),)), 1024)
    assert engine.run((), bytes(1024)).stop == FAULT


CALLING = """
function %f(i64, f64) -> i64, f64 {
    fn0 = %near(i64, f64) -> f64, i64
    fn1 = %memo() -> i64
block0(v0: i64, v1: f64):
    v2, v3 = call fn0(v0, v1)
    v4 = call fn1()
    v5, v6 = call fn0(v4, v2)
    v7 = iadd v3, v6
    v8 = iadd v7, v4
    v9 = fma v1, v2, v5
    v10 = floor v9
    return v8, v10
}
"""


@each
@pytest.mark.parametrize("opt_level", [0, 2])
def test_functions_from_outside_answer_as_in_the_emulator(
    isa: str, second: Second, opt_level: int
) -> None:
    llvm = target_named("llvm")
    case = Case(parse_function(CALLING), [(1 << 63, 0x4004_0000_0000_0000)], isa=isa,
                options={"opt_level": opt_level})  # fmt: skip
    compiled = llvm.compile(case)
    runs = []
    for engine in (Emulator(isa), Elsewhere(isa, second)):
        load(engine, case, compiled)
        runs.append([engine.run(case.inputs[0], b"", poison) for poison in (0, 1)])
    assert [ends(run) for run in runs[0]] == [ends(run) for run in runs[1]]
    for run in (*runs[0], *runs[1]):
        assert run.stop == RETURN
        assert [name for name, _ in run.calls] == ["%near", "%memo", "%near"]
        assert run.calls == runs[0][0].calls


def jump(engine: Emulator, name: str, size: int = 0) -> Emulator:
    """``engine``, made to jump to a function of the library, which then returns for the code."""
    at = JUMPS[engine.machine.name]
    reloc = SimpleNamespace(offset=at.offset, kind=at.kind, symbol=name, addend=at.addend)
    engine.load(at.code, LIBRARY[name].signature, size, linkage=Linkage([reloc], {}, {}))
    return engine


here = pytest.mark.parametrize(
    ("isa", "second"), [pair for pair in HERE if pair[0] in JUMPS],
    ids=[f"{isa} on {second.name}" for isa, second in HERE if isa in JUMPS],
)  # fmt: skip


@here
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fma", (0x4000 << 48, 0x4008 << 48, 0x3FF0 << 48)),
        ("memset", (DATA_BASE + 5, 0xA5, 100)),
        ("memset", (DATA_BASE + 4000, 0xA5, 100)),
        ("memset", (STACK_TOP - 3, 0, 1)),
    ],
    ids=["fma", "within", "undefined", "frame"],
)
def test_the_library_answers_as_in_the_emulator(
    isa: str, second: Second, name: str, args: tuple[int, ...]
) -> None:
    page = bytes(range(256)) * 16
    engines = [jump(engine, name, 4096) for engine in (Emulator(isa), Elsewhere(isa, second))]
    for poison in (0, 1):
        assert len({ends(engine.run(args, page, poison)) for engine in engines}) == 1


@here
def test_what_an_answer_fails_with_is_raised(isa: str, second: Second) -> None:
    engine = jump(Elsewhere(isa, second), "fma")
    assert engine._outside is not None

    def answer(_: int) -> bool:
        assert engine._outside is not None
        answered.append(True)
        engine._outside.error = ZeroDivisionError() if len(answered) == 2 else None
        return len(answered) == 1

    answered: list[bool] = []
    engine._outside.answer = answer  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        engine.run((0, 0, 0), b"")


@here
def test_a_stray_jump_among_the_functions_is_stray(isa: str, second: Second) -> None:
    runs = []
    for engine in (Emulator(isa), Elsewhere(isa, second)):
        at = JUMPS[isa]
        reloc = SimpleNamespace(
            offset=at.offset, kind=at.kind, symbol="fma", addend=at.addend + 2 * STUB
        )
        engine.load(at.code, LIBRARY["fma"].signature, linkage=Linkage([reloc], {}, {}))
        runs.append(engine.run((0, 0, 0), b""))
    assert [(run.stop, run.calls, run.frame) for run in runs] == [(STRAY, (), ())] * 2


@each
def test_more_calls_than_there_is_time_for_are_not_judged(
    isa: str, second: Second, monkeypatch: pytest.MonkeyPatch
) -> None:
    llvm = target_named("llvm")
    case = Case(parse_function(CALLING), [(0, 0)], isa=isa)
    engine = Elsewhere(isa, second)
    load(engine, case, llvm.compile(case))
    monkeypatch.setattr(seconds, "SECONDS", 0.0001)
    with pytest.raises(ExecutorLimit, match="takes longer than"):
        engine.run(case.inputs[0], b"")


def test_a_program_that_can_not_be_started_is_a_limit() -> None:
    engine = Elsewhere("aarch64", Second("nobody", ("/nonexistent/qemu",)))
    engine.load(code("aarch64", "ret"), Signature())
    with pytest.raises(ExecutorLimit, match="nobody can't be started: No such file"):
        engine.run((), b"")


ENDLESS = {"aarch64": "00000014", "x86_64": "ebfe", "riscv64": "6f000000",
           "s390x": "a7f40000", "arm": "feffffea", "mips64": "1000ffff00000000"}  # fmt: skip
RETURN_CODES = {"aarch64": "c0035fd6", "x86_64": "c3", "riscv64": "67800000",
                "s390x": "07fe", "arm": "1eff2fe1", "mips64": "d81f0000"}  # fmt: skip


@each
def test_what_ends_here_but_not_there_is_not_judged(
    isa: str, second: Second, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seconds, "SECONDS", 0.0001)
    engine = Elsewhere(isa, second)
    engine.load(bytes.fromhex(RETURN_CODES[isa]), Signature())
    with pytest.raises(ExecutorLimit, match="takes longer than"):
        engine.run((), b"")


def test_why_there_is_none() -> None:
    assert "Debian's package qemu-user" in unavailable("qemu", "aarch64")
    assert "not for vax" in unavailable("qemu", "vax")
    assert "this is no" in unavailable("native", "aarch64")
    assert second_executor("qemu", "vax") is None
    assert second_executor("none", "aarch64") is None


def test_code_runs_natively_only_when_asked_twice() -> None:
    """And the names that the command line knows are those that there are."""
    assert KINDS == SECOND_KINDS
    for command in ("fuzz", "replay"):
        arguments = [command, *(["corpus"] if command == "replay" else ["-n", "1"])]
        for extra, said in (
            (["--second", "native"], "add --run-natively"),
            (["--run-natively"], "it goes with --second native"),
        ):
            ended = CliRunner().invoke(cli, [*arguments, *extra])
            assert ended.exit_code == 2
            assert said in ended.output
