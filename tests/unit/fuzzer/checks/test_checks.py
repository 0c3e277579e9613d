"""Every check sees a breach of its own rule, and nothing in code that is right.

The compiler is a fake that hands out words made by hand, so that one rule at a time can be broken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from backend.errors import AllocationError, BufferError, InternalError, Unsupported
from backend.ir.opcodes import Opcode
from backend.ir.parser import parse_function
from backend.ir.types import Type
from backend.machine.compiled import BufferAudit, CompiledCode, Reloc
from fuzzer.case import DATA_BASE, Case, Input, OptionValue
from fuzzer.checks import CHECKS, reassembly
from fuzzer.checks.reassembly import assemble
from fuzzer.execute.decode import decode
from fuzzer.execute.emulator import emulator_for
from fuzzer.finding import Violation
from fuzzer.targets.target import CompileError, ProtocolError, Target, TargetDied, TargetHung
from fuzzer.trial import Trial, run_trial

Compiles = Callable[[], CompiledCode]


class Fake(Target):
    """Compiles by calling what it was given, one function a compile, the last one from then on."""

    name = "fake"
    isas: ClassVar[tuple[str, ...]] = ("aarch64",)

    def __init__(self, *compiles: Compiles) -> None:
        self._compiles = list(compiles)

    @property
    def version(self) -> str:
        return "fake 1"

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        return True

    def compile(self, case: Case) -> CompiledCode:
        return (self._compiles.pop(0) if len(self._compiles) > 1 else self._compiles[0])()


class Levelled(Fake):
    """Has an optimiser, which what it was given last is the work of."""

    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {
        "none": {},
        "high": {"level": "high"},
    }

    def compile(self, case: Case) -> CompiledCode:
        return self._compiles["level" in case.options]()


def words(text: str) -> bytes:
    """``a; b``: instructions, or whole words as ``0x...`` in memory order."""
    lines = [line.strip() for line in text.split(";")]
    return b"".join(
        bytes.fromhex(line[2:]) if line.startswith("0x") else assemble("aarch64", line)
        for line in lines
    )


@dataclass
class Made:
    """What the fake compiler hands out. ``texts``/``audit``: True is what fits the code."""

    asm: str
    traps: list[tuple[int, str]] = field(default_factory=list)
    texts: bool | list[tuple[int, str]] = False
    data: list[tuple[int, int]] = field(default_factory=list)
    relocs: list[Reloc] = field(default_factory=list)
    audit: bool | dict[str, object] = False

    def __call__(self) -> CompiledCode:
        code = words(self.asm)
        made = CompiledCode("aarch64", code, relocs=self.relocs, traps=self.traps,
                            data_ranges=self.data)  # fmt: skip
        if self.texts:
            texts = decode("aarch64", code) if self.texts is True else self.texts
            made.texts = lambda: texts
        if self.audit:
            spans = [(at, 4, "word") for at in range(0, len(code), 4)]
            made.audit = BufferAudit(64, len(code), 1, spans, [], [])
            for name, value in ({} if self.audit is True else self.audit).items():
                setattr(made.audit, name, value)
        return made


def raising(error: BaseException) -> Compiles:
    def compiles() -> CompiledCode:
        raise error

    return compiles


ADD = "function %f(i32) -> i32 {\nblock0(v0: i32):\n  v1 = iadd v0, v0\n  return v1\n}"
ID64 = "function %f(i64) -> i64 {\nblock0(v0: i64):\n  return v0\n}"
FORTY_TWO = "function %f() -> i32 {\nblock0:\n  v0 = iconst.i32 42\n  return v0\n}"
DIV = "function %f(i32) -> i32 {\nblock0(v0: i32):\n  v1 = udiv v0, v0\n  return v1\n}"
LOAD = "function %f(i64) -> i32 {\nblock0(v0: i64):\n  v1 = load.i32 v0\n  return v1\n}"
STORE = "function %f(i64, i32) {\nblock0(v0: i64, v1: i32):\n  store v1, v0\n  return\n}"
STORE_TRAP = "function %f(i64, i32) {\nblock0(v0: i64, v1: i32):\n  store v1, v0\n  trap user1\n}"
TRAP = "function %f(i64) -> i64 {\nblock0(v0: i64):\n  trap user7\n}"
SQUARE_HIGH = "function %f(i64) -> i64 {\nblock0(v0: i64):\n  v1 = smulhi v0, v0\n  return v1\n}"

DIVIDE = "cbz w0, #12; udiv w0, w0, w0; ret; brk #1"
ON_ZERO = [(12, "int_divz")]
BACK: list[Input] = [(DATA_BASE,)]
OUTSIDE = DATA_BASE + 0x10000


@dataclass
class Row:
    """``broken``: (check, key) of all that must be seen, and nothing else."""

    name: str
    clif: str
    inputs: list[Input]
    compiles: Compiles | tuple[Compiles, ...]
    broken: set[tuple[str, str]]
    memory: bytes = b""
    says: str = ""
    target: type[Fake] = Fake

    def run(self) -> tuple[Trial, list[Violation]]:
        compiles = self.compiles if isinstance(self.compiles, tuple) else (self.compiles,)
        case = Case(parse_function(self.clif), self.inputs, memory=self.memory)
        return run_trial(case, self.target(*compiles), thorough=True)


def _refuses() -> CompiledCode:
    raise KeyError("v9")


CLEAN = [
    Row("value", ADD, [(1,), (7,)], Made("add w0, w0, w0; ret", texts=True, audit=True), set()),
    Row("bits above a narrow result are free", "function %f(i8) -> i8 {\nblock0(v0: i8):\n"
        "  v1 = iadd v0, v0\n  return v1\n}", [(200,)], Made("add x0, x0, x0; ret"), set()),
    Row("trap", DIV, [(0,), (3,)], Made(DIVIDE, ON_ZERO, texts=True, audit=True), set()),
    Row("two records of one place", DIV, [(0,)],
        Made(DIVIDE, [(12, "int_ovf"), *ON_ZERO], audit=True), set()),
    Row("should-be bits as they should be", SQUARE_HIGH, [(1 << 63,)], Made("smulh x0, x0, x0; ret"),
        set()),
    Row("load", LOAD, BACK, Made("ldr w0, [x0]; ret", [(0, "heap_oob")]), set(), bytes(1024)),
    Row("faulting load", LOAD, [(OUTSIDE,)], Made("ldr w0, [x0]; ret", [(0, "heap_oob")]), set(),
        bytes(1024)),
    Row("store", STORE, [(DATA_BASE, 5)], Made("str w1, [x0]; ret"), set(), bytes(1024)),
    Row("frame", FORTY_TWO, [()],
        Made("stp x29, x30, [sp, #-16]!; mov x29, sp; mov w0, #42; ldp x29, x30, [sp], #16; ret",
             texts=True, audit=True), set()),
    Row("data that is no code", ID64, [(1,)],
        Made("ret; 0xffffffff", data=[(4, 8)], texts=[(0, "ret")], audit=True), set()),
    Row("data without texts", ID64, [(1,)], Made("ret; 0xffffffff", data=[(4, 8)]), set()),
    Row("refused", ADD, [(1,)], raising(Unsupported("iadd")), set()),
    Row("right at both levels", ADD, [(1,)],
        (Made("add w0, w0, w0; ret"), Made("lsl w0, w0, #1; ret")), set(), target=Levelled),
    Row("out of fuel", "function %f() {\nblock0:\n  jump block1\nblock1:\n  jump block1\n}", [()],
        Made("b #0"), set()),
]  # fmt: skip

CALLS = "function %f(i64) -> i64 {\nfn0 = %g(i64)\nblock0(v0: i64):\ncall fn0(v0)\nreturn v0\n}"

BROKEN = [
    Row("a call that is not made", CALLS, [(5,)], Made("ret"), {("calls", "missing")}),
    Row("exception", ADD, [(1,)], _refuses, {("crash", "KeyError _refuses < compile < compile_case")},
        says="KeyError: 'v9'"),
    Row("invariant", ADD, [(1,)], raising(InternalError("x")),
        {("crash", "InternalError compiles < compile < compile_case")}),
    Row("compile error", ADD, [(1,)], raising(CompileError("line 7", key="refused")),
        {("crash", "refused")}, says="line 7"),
    Row("its process died", ADD, [(1,)], raising(TargetDied(-11, "x.c:9: Assertion `y > 0' failed.")),
        {("crash", "SIGSEGV x.c:#: Assertion `y > #' failed.")}, says="SIGSEGV while compiling: x.c:9"),
    Row("its process died badly", ADD, [(1,)], raising(TargetDied(3, "bye", when="after its answer")),
        {("crash", "exit 3 after its answer")}, says="exit 3 after its answer: bye"),
    Row("its process had no memory", ADD, [(1,)], raising(TargetDied(-6, "", crowded=True)),
        {("crash", "out of memory")}, says="out of memory while compiling"),
    Row("its process hung", ADD, [(1,)], raising(TargetHung("no answer for 3 s")),
        {("hang", "timeout compiling")}, says="no answer for 3 s while compiling"),
    Row("its process talks nonsense", ADD, [(1,)], raising(ProtocolError("the line 'code 7' is no line 9")),
        {("protocol", "the line # is no line #")}, says="'code 7'"),
    Row("allocator", ADD, [(1,)], raising(AllocationError("inst 12: v7 expected in x3")),
        {("allocation", "inst _: _ expected in _")}, says="v7 expected in x3"),
    Row("buffer refuses", ADD, [(1,)], raising(BufferError("label 7 is open")),
        {("buffer", "label  is open")}, says="label 7 is open"),
    Row("red zone", ADD, [(1,)],
        Made("add w0, w0, w0; ret", audit={"red_zone_damage": ["byte -1 written"]}),
        {("buffer", "red zone")}, says="byte -1 written"),
    Row("taken twice", ADD, [(1,)], Made("add w0, w0, w0; ret", audit={"taken": 2}),
        {("buffer", "taken")}),
    Row("length", ADD, [(1,)], Made("add w0, w0, w0; ret", audit={"length": 12}),
        {("buffer", "length")}),
    Row("capacity", ADD, [(1,)], Made("add w0, w0, w0; ret", audit={"capacity": 4}),
        {("buffer", "capacity")}),
    Row("byte of nobody", ADD, [(1,)],
        Made("add w0, w0, w0; nop; ret", audit={"spans": [(0, 4, "add"), (8, 4, "ret")]}),
        {("buffer", "spans")}),
    Row("byte of two", ADD, [(1,)],
        Made("add w0, w0, w0; ret", audit={"spans": [(0, 8, "add"), (4, 4, "ret")]}),
        {("buffer", "spans")}),
    Row("end of nobody", ADD, [(1,)],
        Made("add w0, w0, w0; ret", audit={"spans": [(0, 4, "add")]}), {("buffer", "spans end")}),
    Row("fixup of the next word", DIV, [(3,)],
        Made(DIVIDE, ON_ZERO, audit={"fixups": [(4, 0, 12, "branch19")]}), {("buffer", "fixup")},
        says="the branch19 of the instruction at 0 patched 4"),
    Row("fixup past the end", DIV, [(3,)],
        Made(DIVIDE, ON_ZERO, audit={"fixups": [(16, 12, 12, "branch19")]}), {("buffer", "fixup")}),
    Row("fixup of nobody", DIV, [(3,)],
        Made(DIVIDE, ON_ZERO, audit={"fixups": [(5, 5, 12, "branch19")]}), {("buffer", "fixup")}),
    Row("trap record past the end", ADD, [(1,)],
        Made("add w0, w0, w0; ret", [(8, "user1")], audit=True), {("buffer", "trap record")}),
    Row("relocation past the end", ADD, [(1,)],
        Made("add w0, w0, w0; ret", relocs=[Reloc(8, "call", "f", 0)], audit=True),
        {("buffer", "relocation")}),
    Row("not what was meant", ADD, [(1,)],
        Made("add w0, w0, w0; ret", texts=[(0, "sub w0, w0, w0"), (4, "ret")]),
        {("encoding", "sub as add")}, says="meant 'sub w0, w0, w0', emitted 0000000b"),
    Row("writeback", FORTY_TWO, [()],
        Made("stp x29, x30, [sp, #-16]; mov w0, #42; ret",
             texts=[(0, "stp x29, x30, [sp, #-0x10]!"), (4, "mov w0, #0x2a"), (8, "ret")]),
        {("encoding", "stp as stp")}),
    Row("no instruction", ID64, [(1,)], Made("ret; 0xffffffff"), {("encoding", "bad")},
        says="at 0x4: ffffffff"),
    Row("should-be bits", SQUARE_HIGH, [(1,)], Made("0x0000409b; ret"), {("reassembly", "smulh")},
        says="0000409b reads 'smulh x0, x0, x0', which assembles to 007c409b"),
    Row("stack pointer", ID64, [(1,)], Made("add sp, sp, #16; ret"), {("frame", "sp")}),
    Row("callee-saved", ID64, [(1,)], Made("mov x20, x0; ret"), {("frame", "x20")}),
    Row("callee-saved float", ID64, [(1,)], Made("fmov d9, x0; ret"), {("frame", "d9")}),
    Row("caller's frame", ID64, [(1,)], Made("str x0, [sp, #32]; ret"), {("frame", "caller")}),
    Row("three at once are told apart", ID64, [(1,)],
        Made("mov x20, #1; mov x21, #1; str x20, [sp]; ret"),
        {("frame", "x20"), ("frame", "x21"), ("frame", "caller")}),
    Row("read of what is not ours", ID64, [(1,)], Made("ldr x1, [x0]; ret"),
        {("bounds", "read of unmapped memory")}),
    Row("write of what is not ours", ID64, [(1,)], Made("str x1, [x0]; ret"),
        {("bounds", "write to unmapped memory")}),
    Row("write to the code", ID64, [(1,)], Made("adr x1, #0; str x1, [x1]; ret"),
        {("bounds", "write to protected memory")}),
    Row("a return to nowhere", ID64, [(1,)], Made("mov x30, #64; ret"), {("bounds", "stray")}),
    Row("execution of the stack", ID64, [(1,)], Made("mov x1, sp; br x1"), {("bounds", "stray")}),
    Row("runs off its end", ID64, [(1,)], Made("nop"), {("trap", "trapped")}),
    Row("endless loop", ID64, [(1,)], Made("b #0"), {("hang", "")}),
    Row("value", ADD, [(0,), (5,)], Made("add w0, w0, #5; ret"), {("result", "")},
        says="result 0: expected 0x0, got 0x5"),
    Row("second value", "function %f(i8) -> i8, i8 {\nblock0(v0: i8):\n  return v0, v0\n}", [(5,)],
        Made("mov w1, #6; ret"), {("result", "")}, says="result 1: expected 0x5, got 0x6"),
    Row("memory", STORE, [(DATA_BASE, 5)], Made("str w1, [x0, #8]; ret"), {("memory", "")},
        bytes(1024), says="byte 0x0: expected 0x05, got 0x00"),
    Row("memory before a trap", STORE_TRAP, [(DATA_BASE, 5)], Made("brk #1", [(0, "user1")]),
        {("memory", "")}, bytes(1024)),
    Row("no trap", DIV, [(0,)], Made("udiv w0, w0, w0; ret"), {("trap", "no trap")},
        says="expected trap int_divz, returned (0,)"),
    Row("unrecorded trap", DIV, [(0,)], Made(DIVIDE), {("trap", "unrecorded")}),
    Row("wrong trap", DIV, [(0,)], Made(DIVIDE, [(12, "int_ovf")]), {("trap", "wrong code")},
        says="expected trap int_divz, got int_ovf"),
    Row("a fault without a record", LOAD, [(OUTSIDE,)], Made("ldr w0, [x0]; ret"),
        {("trap", "unrecorded"), ("bounds", "read of unmapped memory")}, bytes(1024)),
    Row("a trap too many", ADD, [(1,)], Made("brk #1; ret", [(0, "user1")]), {("trap", "trapped")}),
    Row("two compiles", ADD, [(1,)], (Made("add w0, w0, w0; ret"), Made("lsl w0, w0, #1; ret")),
        {("repeat", "")}, says="two compiles differ from byte 0x1 on"),
    Row("longer the second time", ADD, [(1,)],
        (Made("add w0, w0, w0; ret"), Made("add w0, w0, w0; ret; nop")), {("repeat", "")},
        says="from byte 0x8 on"),
    Row("wrong when optimised", ADD, [(0,), (5,)],
        (Made("add w0, w0, w0; ret"), Made("add w0, w0, #5; ret")), {("levels", "")},
        says="only at level high: Returned(0x0) was expected, got return (5,)", target=Levelled),
    Row("fails when it optimises", ADD, [(1,)], (Made("add w0, w0, w0; ret"), _refuses),
        {("levels", "KeyError")}, says="at level high the compiler fails: KeyError: 'v9'", target=Levelled),
    Row("only once", ADD, [(1,)], (Made("add w0, w0, w0; ret"), _refuses), {("repeat", "KeyError")},
        says="'v9'"),
]  # fmt: skip


def seen(found: list[Violation]) -> set[tuple[str, str]]:
    return {(violation.check, violation.key) for violation in found}


@pytest.mark.parametrize("row", CLEAN, ids=lambda row: row.name)
def test_what_is_right_breaks_nothing(row: Row) -> None:
    _, found = row.run()
    assert found == []


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: row.name)
def test_each_breach_is_seen_and_nothing_else(row: Row) -> None:
    _, found = row.run()
    assert seen(found) == row.broken
    assert any(row.says in violation.detail for violation in found)


@pytest.mark.parametrize("read", ["mov x9, x9", "ldr x9, [sp, #-16]", "mov x9, x1", "fmov x9, d20"])
def test_what_agrees_by_chance_differs_under_other_poison(read: str) -> None:
    """A bit of something undefined that is 0 under the first poison and 1 under the second."""
    engine = emulator_for("aarch64")
    case = Case(parse_function(ID64), [(6,)])
    engine.load(words(f"{read}; mov x0, x9; ret"), case.function.signature)
    (first,), (second,) = (engine.run((6,), b"", poison).values for poison in range(2))
    bit = (~first & second).bit_length() - 1
    code = Made(f"{read}; lsr x9, x9, #{bit}; and x9, x9, #1; add x0, x0, x9; ret")
    _, found = run_trial(case, Fake(code), thorough=True)
    assert seen(found) == {("poison", "")}
    _, found = run_trial(case, Fake(code), thorough=False)
    assert found == []


def test_bits_above_a_narrow_argument_are_undefined() -> None:
    clif = "function %f(i32) -> i64 {\nblock0(v0: i32):\n  v1 = uextend.i64 v0\n  return v1\n}"
    row = Row("", clif, [(5,)], Made("ret"), set())
    _, found = row.run()
    assert seen(found) == {("result", "")}
    row = Row("", clif.replace("f(i32)", "f(i32 uext)"), [(5,)], Made("ret"), set())
    assert row.run()[1] == []


def test_the_founding_bug() -> None:
    """The right value, the caller's frame overwritten, SP 16 too high, x29 zero."""
    row = Row("", FORTY_TWO, [()], Made("0xfd7b3fa9fd031faa40058052fd7b81a9c0035fd6"), set())
    trial, found = row.run()
    assert [run.values for run in trial.runs if run] == [(42,)]
    assert seen(found) == {("frame", "sp"), ("frame", "x29"), ("frame", "caller")}


def test_a_check_can_be_asked_alone() -> None:
    row = next(row for row in BROKEN if row.name == "a fault without a record")
    for name in CHECKS:
        compiles = row.compiles
        assert not isinstance(compiles, tuple)
        case = Case(parse_function(row.clif), row.inputs, memory=row.memory)
        _, found = run_trial(case, Fake(compiles), thorough=True, only=name)
        assert {violation.check for violation in found} == {name} & {"trap", "bounds"}


def test_costly_checks_look_at_a_sample_only() -> None:
    for row in BROKEN:
        if not all(CHECKS[check].costly for check, _ in row.broken):
            continue
        compiles = row.compiles if isinstance(row.compiles, tuple) else (row.compiles,)
        case = Case(parse_function(row.clif), row.inputs)
        assert run_trial(case, Fake(*compiles), thorough=False)[1] == []


def test_every_check_is_broken_somewhere_here() -> None:
    assert {check for row in BROKEN for check, _ in row.broken} | {"poison"} == set(CHECKS)


def test_every_violation_names_its_input() -> None:
    row = Row("", ADD, [(0,), (5,), (9,)], Made("mov w0, #10; ret"), set())
    trial, found = row.run()
    assert trial.anomalies == [0, 2]
    assert [violation.input_index for violation in found] == [0]


def test_a_compiler_may_emit_nothing_at_all() -> None:
    """No byte and no text: what runs into the ground is a finding, not an error of the fuzzer."""
    empty = CompiledCode("aarch64", b"", texts=list)
    case = Case(parse_function(ID64), [(1,)])
    _, found = run_trial(case, Fake(lambda: empty), thorough=True)
    assert seen(found) == {("trap", "trapped")}


def test_a_compiler_may_not_know_what_it_meant() -> None:
    def text() -> list[tuple[int, str]]:
        raise KeyError("row 7")

    made = Made("add w0, w0, w0; ret")()
    made.texts = text
    case = Case(parse_function(ADD), [(1,)])
    _, found = run_trial(case, Fake(lambda: made), thorough=True)
    assert seen(found) == {("encoding", "no text")}


def test_keystone_is_given_no_decimal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was seen to take one for a hexadecimal number."""
    asked: list[str] = []

    class Engine:
        def asm(self, text: str, as_bytes: bool) -> tuple[bytes, int]:
            asked.append(text)
            return b"word", 1

    monkeypatch.setattr(reassembly, "_assembler", lambda isa: Engine())
    for text in (
        "sub w0, w0, w1, lsl #10",
        "ldr x0, [sp], #-16",
        "mov x0, #0x10",
        "fmov d0, #10.0",
    ):
        assert reassembly.assemble("aarch64", text) == b"word"
    assert asked == [
        "sub w0, w0, w1, lsl #0xa", "ldr x0, [sp], #-0x10", "mov x0, #0x10", "fmov d0, #10.0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("add ecx, 0xffffffff", "add ecx, -1", True),
        ("and r9d, 0xffffff80", "and r9d, -0x80", True),
        ("cmp word ptr [rax], 0xffff", "cmp word ptr [rax], -1", True),
        ("sub cx, 0xfff0", "sub cx, -0x10", True),
        ("add ecx, 0xfffffffe", "add ecx, -1", False),
        ("add rcx, 0xffffffff", "add rcx, -1", False),
        ("add ecx, 0xffff", "add ecx, -1", False),
        ("add ecx, edx", "add ecx, ebx", False),
    ],
)
def test_an_immediate_is_its_bits(one: str, other: str, same: bool) -> None:
    """Capstone prints it with a sign or without, by which encoding it is."""
    assert (reassembly._signless(one) == reassembly._signless(other)) == same
