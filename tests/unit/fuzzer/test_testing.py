"""``fuzzer.testing``: strategies, a check that tells failures apart, profiles."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, TracebackType

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis.errors import HypothesisException

from backend.errors import Unsupported
from backend.ir.parser import parse_function
from fuzzer.case import Case
from fuzzer.generate.cases import CaseGenerator
from fuzzer.outcome import Returned
from fuzzer.targets import target_named
from fuzzer.targets.target import Target
from fuzzer.testing import Broken, cases, check, check_case, functions

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def rogue() -> ModuleType:
    """The module of targets that misbehave; ``rogue.TwoFaults`` and others."""
    return importlib.import_module("rogues")


def case_of(op: str) -> Case:
    text = f"function %f(i64) -> i64 {{\nblock0(v0: i64):\n    v1 = {op} v0, v0\n    return v1\n}}"
    return Case(parse_function(text), [(3,)])


@settings(max_examples=30, deadline=None, database=None)
@given(cases("builtin"))
def test_the_builtin_backend(case: Case) -> None:
    assert len(check_case(case)) == len(case.inputs)


@settings(max_examples=5, deadline=None, database=None)
@given(functions())
def test_functions_are_drawn_too(function: object) -> None:
    assert type(function).__name__ == "Function"


def test_each_cause_has_a_type_of_its_own(rogue: ModuleType) -> None:
    target: Target = rogue.TwoFaults()
    raised = []
    for op in ("imul", "isub", "imul"):
        with pytest.raises(Broken) as info:
            check_case(case_of(op), target)
        raised.append(info.value)
    kinds = [type(error) for error in raised]
    assert kinds[0] is kinds[2]
    assert kinds[0] is not kinds[1]
    assert {kind.__mro__[1] for kind in kinds} == {Broken}
    places = {(info.tb_lineno, info.tb_frame.f_code.co_name) for info in map(_innermost, raised)}
    assert len(places) == 1
    assert [check for check, _ in raised[1].violations] == ["frame", "result"]
    assert str(raised[0]).startswith("crash: IndexError: row 9")
    assert "imul v0, v0" in str(raised[0])
    assert "input 0: %f(0x3)" in str(raised[1])


def _innermost(error: BaseException) -> TracebackType:
    traceback = error.__traceback__
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def test_hypothesis_shrinks_each(rogue: ModuleType) -> None:
    target: Target = rogue.TwoFaults()
    found: dict[type, int] = {}

    @seed(4)  # not the source of this test, which Hypothesis would take
    @settings(max_examples=400, deadline=None, database=None, phases=[Phase.generate, Phase.shrink])
    @given(cases(target))
    def test(case: Case) -> None:
        try:
            check_case(case, target)
        except Broken as error:
            size = case.function.instruction_count()
            found[type(error)] = min(size, found.get(type(error), size))
            raise

    with pytest.raises(BaseExceptionGroup) as info:
        test()
    kinds = {type(error) for error in info.value.exceptions}
    assert len(kinds) >= 2
    assert all(issubclass(kind, Broken) for kind in kinds)
    assert any("crash" in kind.__name__ for kind in kinds)
    assert any("frame" in kind.__name__ for kind in kinds)
    assert all(found[kind] <= 20 for kind in kinds), found  # of 50 and more as drawn


def test_a_target_that_refuses(rogue: ModuleType) -> None:
    target: Target = rogue.Refuses()
    with pytest.raises(Unsupported, match="never"):
        check_case(case_of("imul"), target)

    @settings(max_examples=5, database=None)
    @given(cases(target))
    def test(case: Case) -> None:
        check_case(case, target)

    with pytest.raises(HypothesisException):  # it never got a case that counts
        test()


def test_a_target_that_no_other_process_could_import() -> None:
    class Local(type(target_named("builtin"))):  # type: ignore[misc]  # a base that is computed
        name = "local"

    with pytest.raises(ValueError, match="importable"):
        check_case(case_of("iadd"), Local())


def test_a_case_is_checked_as_it_is() -> None:
    assert check(case_of("imul"))[0].values == (9,)  # type: ignore[union-attr]  # it returns
    with pytest.raises(TypeError, match="its own inputs"):
        check(case_of("imul"), 3)


def test_the_functions_behind_the_first_may_be_called() -> None:
    text = """function %f(i32) -> i32 {
    fn0 = %g(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    return v1
}
; run: %f(4) == 8
function %g(i32) -> i32 {
block0(v0: i32):
    v1 = iadd v0, v0
    return v1
}
"""
    (outcome,) = check(text)
    assert isinstance(outcome, Returned)
    assert (outcome.values, outcome.calls) == ((8,), ())
    (alone,) = check(text[: text.index("function %g")], 4)
    assert isinstance(alone, Returned)
    assert [call.name for call in alone.calls] == ["%g"]
    with pytest.raises(ValueError, match="no function"):
        check("; nothing\n", 4)


def test_it_keeps_up() -> None:
    generator = CaseGenerator(target_named("builtin"), "aarch64")
    drawn = [generator.from_seed(seed) for seed in range(80)]
    check_case(drawn[0])
    started = time.process_time(), time.monotonic()
    for case in drawn:
        check_case(case)
    assert time.process_time() - started[0] < 1.0  # what this process spends on it
    assert time.monotonic() - started[1] < 80 / 8  # 170 a second on an idle machine


@pytest.mark.parametrize("environment", [{}, {"CI": "true"}])
def test_the_profiles_are_ours_under_ci_too(environment: dict[str, str]) -> None:
    code = (
        "import fuzzer.testing\nfrom hypothesis import settings\n"
        "for name in ('clifhanger-dev', 'clifhanger-ci'):\n"
        "    p = settings.get_profile(name)\n"
        "    print(p.derandomize, p.database is None, p.deadline, p.print_blob, p.max_examples)\n"
    )
    clean = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**clean, **environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "False False None True 100", "False False None True 1000",
    ]  # fmt: skip
