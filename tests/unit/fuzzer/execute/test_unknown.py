"""What a machine has and the emulator does not know is a limit, for the run that comes to it and for no other."""

from __future__ import annotations

import pytest

from backend.errors import Unsupported
from backend.ir.entities import AbiParam, Signature
from backend.ir.filetest import parse_file
from backend.ir.opcodes import Opcode
from backend.ir.types import I64, Type
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case
from fuzzer.execute.emulator import RETURN, TRAP, Emulator, ExecutorLimit
from fuzzer.execute.unknown import UNKNOWN, unknown
from fuzzer.filetests import _run_compiled
from fuzzer.targets.target import Target
from fuzzer.trial import run_trial

MSGRKC = "b9ed3022"  # msgrkc %r2, %r2, %r3
RET = "07fe"
UNLESS_ZERO = "b9020022a7840004"  # ltgr %r2, %r2; jz over 4 bytes


@pytest.mark.parametrize(("code", "name"), [
    ("e700200820e3", "wfasb"), ("e700200830e3", ""), ("e730200830ee", "wfmindb"), (MSGRKC, "msgrkc"),
    ("e33020000038", "agh"), ("b9080023", ""), ("0000", ""), ("e700300800cb", ""), ("e7", ""),
])  # fmt: skip
def test_by_its_mnemonic(code: str, name: str) -> None:
    assert unknown("s390x", bytes.fromhex(code)) == name
    assert unknown("aarch64", bytes.fromhex(code)) == ""


@pytest.mark.parametrize("code", ["e700200820e3", "e730200830ee", MSGRKC, "e33020000038"])
def test_the_emulator_stops_at_one(code: str) -> None:
    """So that a row goes when the emulator knows it."""
    engine = Emulator("s390x")
    made = Signature((AbiParam(I64), AbiParam(I64)), (AbiParam(I64),))
    engine.load(bytes.fromhex(code + RET), made)
    with pytest.raises(ExecutorLimit, match=r"Unicorn [\d.]+ does not know \w+$"):
        engine.run((6, 7), b"")
    engine.load(bytes.fromhex("b9080023" + RET + code), made)
    assert engine.run((6, 7), b"").values == (13,)
    engine.load(bytes.fromhex("0000" + code), made)
    assert engine.run((6, 7), b"").stop == TRAP


class Emits(Target):
    """A compiler whose code is what it was given."""

    name = "emits"
    isas = ("s390x",)
    version = "1"

    def __init__(self, code: str) -> None:
        self.code = bytes.fromhex(code)

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        return True

    def compile(self, case: Case) -> CompiledCode:
        return CompiledCode(code=self.code, isa=case.isa)


def product(*inputs: tuple[int, int]) -> Case:
    text = "function %f(i64, i64) -> i64 {\nblock0(v0: i64, v1: i64):\n    v2 = imul v0, v1\n    return v2\n}\n"
    return Case(parse_file(text).functions[0].function, list(inputs), isa="s390x")


def test_a_case_that_comes_to_one_is_counted_and_not_judged() -> None:
    trial, found = run_trial(
        product((0, 5), (2, 3)), Emits(UNLESS_ZERO + MSGRKC + RET), thorough=True
    )
    assert trial.unsupported.endswith("does not know msgrkc")
    assert not found
    assert not trial.executed
    trial, found = run_trial(
        product((0, 5), (0, 0)), Emits(UNLESS_ZERO + MSGRKC + RET), thorough=True
    )
    assert not trial.unsupported
    assert [run.stop for run in trial.runs if run] == [RETURN, RETURN]


def test_a_line_of_a_filetest_that_comes_to_one_is_unsupported_and_no_other() -> None:
    made = _run_compiled(product((0, 5), (2, 3)), Emits(UNLESS_ZERO + MSGRKC + RET))
    assert not isinstance(made[0], Unsupported)
    assert isinstance(made[1], Unsupported)


def test_only_machines_with_rows_are_looked_at() -> None:
    assert set(UNKNOWN) == {"s390x"}
