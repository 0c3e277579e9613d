"""Another executor is asked about what code did, and its word goes into the finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.ir.parser import parse_function
from backend.ir.printer import print_functions
from backend.machine.compiled import CompiledCode
from fuzzer.campaign import investigate
from fuzzer.campaign.investigate import (
    Investigator,
    has_endless,
    repeated_on,
    repeated_without_blob,
    same_violation,
    shrink,
)
from fuzzer.case import Case
from fuzzer.corpus.store import Store
from fuzzer.execute import runtime
from fuzzer.execute.second import Second, second_executor
from fuzzer.finding import Finding, Violation
from fuzzer.targets import target_named
from fuzzer.targets.builtin import Builtin
from fuzzer.trial import run_trial

SUM = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = isub v0, v1
    return v2
}
"""
CALL = """function %f(i64) -> i64 {
    fn0 = %g(i64) -> i64
block0(v0: i64):
    v1 = call fn0(v0)
    return v1
}
"""


def finding(text: str = SUM, check: str = "result") -> Finding:
    function = parse_function(text)
    inputs = [tuple([7, 3][: len(function.signature.params)])]
    return Finding(Case(function, inputs), "builtin", Violation(check, "said", input_index=0))


def investigator(tmp_path: Path, second: str = "qemu") -> Investigator:
    return Investigator(target_named("builtin"), Store(tmp_path), "", "", second)


@pytest.fixture
def qemu() -> Second:
    found = second_executor("qemu", "aarch64")
    if found is None:
        pytest.skip("no qemu-user")
    return found


def test_a_wrong_result_is_wrong_there_as_well(qemu: Second) -> None:
    class Adding(Builtin):
        def compile(self, case: Case) -> CompiledCode:
            function = parse_function(SUM.replace("isub", "iadd"))
            return super().compile(Case(function, case.inputs))

    assert repeated_on(qemu, finding(), Builtin()) is False
    assert repeated_on(qemu, finding(), Adding()) is True


def test_a_wrong_argument_of_a_call_is_wrong_there_as_well(qemu: Second) -> None:
    class Increasing(Builtin):
        def compile(self, case: Case) -> CompiledCode:
            text = CALL.replace("v1 = call fn0(v0)", "v2 = iadd_imm v0, 1\n    v1 = call fn0(v2)")
            return super().compile(Case(parse_function(text), case.inputs))

    assert repeated_on(qemu, finding(CALL, "calls"), Builtin()) is False
    assert repeated_on(qemu, finding(CALL, "calls"), Increasing()) is True


def test_what_can_not_be_executed_there_is_not_judged() -> None:
    nobody = Second("nobody", ("/nonexistent/qemu",))
    assert repeated_on(nobody, finding(CALL), target_named("builtin")) is None


@pytest.mark.parametrize(
    ("repeats", "suspect"),
    [(True, ""), (False, "somebody does not repeat it"), (None, "an instruction")],
)
def test_its_word_replaces_the_suspicion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeats: bool | None, suspect: str
) -> None:
    monkeypatch.setattr(investigate, "second_executor", lambda kind, isa: Second("somebody", ()))
    monkeypatch.setattr(investigate, "repeated_on", lambda second, finding, target: repeats)
    for check, expected in (("result", suspect), ("encoding", "an instruction")):
        case = finding(check=check)
        case.violation.suspect = "an instruction"
        told = list(
            investigator(tmp_path / check).investigate(
                case, None, "", lambda case: case.instruction_count() > 0, restate=False  # type: ignore[arg-type]  # nothing was drawn
            )
        )  # fmt: skip
        assert [found.verdict for found in told] == ["draft", "new"]
        assert told[-1].suspect == expected
        assert told[-1].refuted == (check == "result" and repeats is False)
        noted = f'note = "suspect: {expected}"' in Path(told[-1].path).read_text()
        assert noted == bool(expected)


@pytest.mark.parametrize(("second", "input_index"), [("none", 0), ("qemu", -1)])
def test_nobody_is_asked_where_there_is_nobody_or_nothing_was_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, input_index: int
) -> None:
    monkeypatch.setattr(investigate, "repeated_on", lambda *_: pytest.fail("asked"))
    case = finding(check="hang")
    case.violation.input_index = input_index
    told = list(
        investigator(tmp_path, second).investigate(
            case, None, "", lambda case: True, restate=False  # type: ignore[arg-type]  # nothing was drawn
        )
    )  # fmt: skip
    assert told[-1].suspect == ""


ROUND = """function %f(f64) -> f64 {
    fn0 = %CeilF64(f64) -> f64
block0(v0: f64):
    v1 = call fn0(v0)
    return v1
}
"""


def test_what_only_a_compiled_library_shows_is_that_library_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = runtime.blob_of("aarch64")
    if blob is None:
        pytest.skip(f"no compiled run-time library: {runtime.unavailable('aarch64')}")
    case = Case(parse_function(ROUND), [(0x3FF4 << 48,)])  # 1.25
    wrong = blob._replace(symbols={"ceil": blob.symbols["round"]})
    monkeypatch.setattr(runtime, "blob_of", lambda isa: wrong)
    target = target_named("builtin")
    with runtime.instead(runtime.BLOB):
        _, found = run_trial(case, target)
        assert [violation.check for violation in found] == ["result"]
        made = Finding(case, "builtin", found[0])
        made.violation.suspect = ""
        assert not repeated_without_blob(made, target)
        investigator(tmp_path, "none")._ask_another(made)
        assert made.violation.suspect == "the executor's own run-time library does not repeat it"
    monkeypatch.setattr(runtime, "blob_of", lambda isa: blob)
    with runtime.instead(runtime.BLOB):
        assert run_trial(case, target)[1] == []


def test_a_case_with_an_endless_input_shrinks_to_one_without(tmp_path: Path) -> None:
    class Adding(Builtin):
        def compile(self, case: Case) -> CompiledCode:
            text = print_functions(case.functions).replace("isub", "iadd")
            return super().compile(Case(parse_function(text), case.inputs))

    loop = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = isub v0, v1
    brif v1, block1, block2
block1:
    return v2
block2:
    jump block2
}
"""
    target = Adding()
    case = Case(parse_function(loop), [(7, 0), (7, 3)])
    _, (violation,) = run_trial(case, target, only="result")
    assert has_endless(case)
    assert same_violation(case, target, violation) is None
    assert same_violation(case, target, violation, endless=True) is not None
    small = shrink(Finding(case, target.name, violation), target, None)
    assert not has_endless(small.case)
    assert small.case.instruction_count() == 2
    assert same_violation(small.case, target, violation) is not None
