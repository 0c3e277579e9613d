"""When a run is what had to happen, and when the executor's word is not taken for it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from backend.ir.opcodes import Opcode
from backend.ir.parser import parse_function
from backend.ir.types import Type
from backend.machine.compiled import CompiledCode
from fuzzer import trial as trials
from fuzzer.case import Case, Input
from fuzzer.checks.reassembly import assemble
from fuzzer.execute.emulator import (
    FAULT,
    RETURN,
    STRAY,
    TIMEOUT,
    TRAP,
    Emulator,
    Run,
    emulator_for,
    instead,
)
from fuzzer.outcome import Outcome, OutOfFuel, Returned, Trapped
from fuzzer.reference.evaluate import outcomes_of
from fuzzer.targets import target_named
from fuzzer.targets.target import Target
from fuzzer.trial import (
    Trial,
    agrees,
    execute,
    expected_of,
    interpret,
    is_seen_anew,
    run_trial,
)

A, B = b"a" * 8, b"b" * 8
CODES = {8: ("heap_oob",), 12: ("int_divz", "int_ovf")}
FRAME = (("sp", 1, 2),)


def ended(
    stop: str, *values: int, memory: bytes = A, offset: int = 0,
    frame: tuple[tuple[str, int, int], ...] = (),
) -> Run:  # fmt: skip
    return Run(stop, offset, 0, -1, values, memory, frame)


@pytest.mark.parametrize(
    ("outcome", "run", "same"),
    [
        (Returned((1, 2), A), ended(RETURN, 1, 2), True),
        (Returned((), b""), ended(RETURN, memory=b""), True),
        (Returned((1, 2), A), ended(RETURN, 1, 3), False),
        (Returned((1,), A), ended(RETURN, 1, memory=B), False),
        (Returned((1,), A), ended(RETURN, 1, frame=FRAME), False),
        (Returned((1,), A), ended(TRAP, offset=8), False),
        (Returned((1,), A), ended(FAULT, offset=8), False),
        (Returned((1,), A), ended(TIMEOUT), False),
        (Returned((), A), ended(STRAY), False),
        (Trapped("heap_oob", A), ended(TRAP, offset=8), True),
        (Trapped("heap_oob", A), ended(TRAP, offset=8, memory=B), False),
        (Trapped("heap_oob", A), ended(FAULT, offset=8), True),
        (Trapped("heap_oob", A), ended(FAULT, offset=8, memory=B), True),
        (Trapped("heap_oob", A), ended(TRAP, offset=4), False),
        (Trapped("heap_oob", A), ended(FAULT, offset=4), False),
        (Trapped("heap_oob", A), ended(TRAP, offset=12), False),
        (Trapped("int_divz", A), ended(TRAP, offset=12), True),
        (Trapped("int_ovf", A), ended(TRAP, offset=12), True),
        (Trapped("heap_oob", A), ended(RETURN), False),
        (Trapped("heap_oob", A), ended(RETURN, offset=8), False),
        (Trapped("heap_oob", A), ended(TIMEOUT, offset=8), False),
        (Trapped("heap_oob", A), ended(STRAY, offset=8), False),
        (OutOfFuel(), ended(TIMEOUT), True),
    ],
)
def test_what_agrees(outcome: Outcome, run: Run, same: bool) -> None:
    assert agrees(outcome, run, CODES) is same


class Words(Target):
    """Hands out what it was given."""

    name = "words"
    isas: ClassVar[tuple[str, ...]] = ("aarch64",)

    def __init__(self, *texts: str, code: bytes = b"") -> None:
        self.code = code + b"".join(assemble("aarch64", text) for text in texts)
        self.texts: list[tuple[int, str]] | None = None

    @property
    def version(self) -> str:
        return "words 1"

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        return True

    def compile(self, case: Case) -> CompiledCode:
        made = CompiledCode("aarch64", self.code)
        if self.texts is not None:
            texts = self.texts
            made.texts = lambda: texts
        return made


def identity(*inputs: int) -> Case:
    text = "function %f(i64) -> i64 {\nblock0(v0: i64):\n  return v0\n}"
    return Case(parse_function(text), [(value,) for value in inputs])


def test_suspicion_marks_what_was_executed_and_nothing_else() -> None:
    """LDRAA, which Unicorn gets wrong, behind the return: the value is suspect, the encoding is not."""
    target = Words("mov x0, #7", "ret", code=b"")
    target.code += bytes.fromhex("000420f8")  # ldraa x0, [x0]
    target.texts = [(0, "mov x0, #8"), (4, "ret"), (8, "nop")]
    _, found = run_trial(identity(1), target)
    suspects = {violation.check: violation.suspect for violation in found}
    assert suspects == {"result": "Unicorn 2.1.4: LDRAA/LDRAB", "encoding": ""}


def test_nothing_is_suspect_without_a_known_fault() -> None:
    _, found = run_trial(identity(1), Words("mov x0, #7", "ret"))
    assert [(violation.check, violation.suspect) for violation in found] == [("result", "")]


def test_inputs_that_the_reference_gives_up_on_are_not_run() -> None:
    text = """function %f(i64) -> i64 {
block0(v0: i64):
  brif v0, block1, block2
block1:
  jump block1
block2:
  return v0
}"""
    case = Case(parse_function(text), [(1,), (0,), (2,)])
    trial, found = run_trial(case, Words("ret"))
    assert found == []
    assert [run is None for run in trial.runs] == [True, False, True]
    assert trial.executed == 1


def test_a_hang_is_seen_once() -> None:
    """Each run of a hang costs much: when nothing else is asked, the first is enough."""
    case = identity(1, 2, 3)
    trial, found = run_trial(case, Words("b #0"), only="hang")
    assert trial.anomalies == [0]
    assert [run is None for run in trial.runs] == [False, True, True]
    assert [violation.check for violation in found] == ["hang"]


def test_code_that_the_executor_cannot_hold_is_unsupported() -> None:
    trial, found = run_trial(identity(1), Words("ret", code=bytes(8 << 20)))
    assert found == []
    assert trial.unsupported.startswith("executor limit: ")
    assert trial.executed == 0


def test_poison_alternates_over_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    poisons = []

    class Engine:
        def load(self, *args: object) -> None:
            pass

        def run(self, values: tuple[int, ...], memory: bytes, poison: int) -> Run:
            poisons.append(poison)
            return ended(RETURN, *values, memory=b"")

    monkeypatch.setattr(trials, "emulator_for", lambda isa: Engine())
    trial = Trial(identity(1, 2, 3), Words("ret"), False)
    interpret(trial)
    trials.compile_case(trial)
    execute(trial)
    assert poisons == [0, 1, 0]
    assert trial.anomalies == []


def test_what_is_expected_is_what_a_trial_expects_of_calls_that_nest_deep() -> None:
    text = """function %f(i64) -> i64 {
    ss0 = explicit_slot 4096
    fn0 = colocated %f(i64) -> i64
block0(v0: i64):
    brif v0, block1, block2
block1:
    v1 = iconst.i64 1
    v2 = isub v0, v1
    v3 = call fn0(v2)
    return v3
block2:
    return v0
}
"""
    case = Case(parse_function(text), [(3,), (30,)])
    trial, found = run_trial(case, target_named("builtin"))
    assert found == []
    for outcomes in (trial.outcomes, expected_of(case)):
        assert [type(outcome) for outcome in outcomes] == [Returned, OutOfFuel]
    assert [type(outcome) for outcome in outcomes_of(case)] == [Returned, Returned]


LOOP = """function %f(i64) -> i64 {
block0(v0: i64):
  jump block1(v0)
block1(v1: i64):
  v2 = iadd_imm v1, -1
  brif v2, block1(v2), block2
block2:
  return v0
}"""


@pytest.mark.parametrize(("trips", "checks"), [(300, []), (2, ["hang"])])
def test_a_run_may_be_as_long_as_the_reference_has_much_to_do(
    trips: int, checks: list[str]
) -> None:
    """Half a million machine instructions: for hundreds of CLIF's, which may each be a loop, or for a few."""
    slow = Words("movz x9, #4, lsl #16", "subs x9, x9, #1", "b.ne #-4", "ret")
    trial, found = run_trial(Case(parse_function(LOOP), [(trips,)]), slow, thorough=True)
    assert ([violation.check for violation in found], trial.executed) == (checks, 1)


class Weary(Emulator):
    """An engine that has run too much."""

    def run(self, inputs: Input, memory: bytes, poison: int = 0, bound: int = 0) -> Run:
        run = super().run(inputs, memory, poison, bound)
        run.stop = STRAY
        return run


def test_an_engine_in_a_bad_state_is_not_believed_and_gives_way() -> None:
    case, target = identity(1, 2), target_named("builtin")
    weary = Weary("aarch64")
    with instead("aarch64", weary):
        trial, found = run_trial(case, target)
        assert {violation.check for violation in found} == {"bounds"}
        assert not is_seen_anew(trial)
        assert emulator_for("aarch64") is not weary
        assert run_trial(case, target)[1] == []


def test_what_a_new_engine_does_as_well_is_believed() -> None:
    engine = emulator_for("aarch64")
    trial, _ = run_trial(identity(1), Words("mov x0, #7", "ret"))
    assert is_seen_anew(trial)
    assert emulator_for("aarch64") is engine
