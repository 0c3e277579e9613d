"""The target ppci: what is said in its language means what CLIF says, and its known faults are built around."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ppci", reason="pip install 'clifhanger[ppci]'")

from backend.errors import Unsupported
from backend.ir.opcodes import opcode_named
from backend.ir.types import I8, I16, I32, I64, I128
from fuzzer.corpus.entry import load_entry
from fuzzer.targets.ppci import Ppci
from fuzzer.targets.ppci_faults import known_failure
from fuzzer.targets.target import CompileError
from fuzzer.trial import run_trial
from tests.unit.fuzzer.targets.holding import case_of, drawn_cases_hold, lines_hold

ROOT = Path(__file__).parents[4]
PASSED = {"add": 60, "logic": 60, "shift": 190, "compare": 170, "width": 60, "int_to_float": 70,
          "float_arithmetic": 130, "memory": 12, "calls": 18, "flow": 17}  # fmt: skip
"""File to lines that hold at least; the others have opcodes that ppci has not, or several results."""


@pytest.fixture(scope="module")
def target() -> Ppci:
    return Ppci()


@pytest.mark.parametrize("level", ["none", "speed"])
@pytest.mark.parametrize("name", PASSED)
def test_lines_hold(name: str, level: str) -> None:
    assert lines_hold(name, "ppci", "x86_64", level).passed >= PASSED[name]


def test_drawn_cases_hold(target: Ppci) -> None:
    assert drawn_cases_hold(target, "x86_64", 40) > 200


def test_what_it_has_no_instructions_for_is_not_drawn(target: Ppci) -> None:
    def supported(name: str, type_: object, second: object = None) -> bool:
        return target.supports("x86_64", opcode_named(name), type_, second)  # type: ignore[arg-type]  # short

    assert supported("imul", I32)
    assert not supported("imul", I8)
    assert supported("bnot", I16)
    assert not supported("bnot", I8)
    assert not supported("iadd", I128)
    assert not supported("sdiv", I32)
    assert supported("uextend", I64, I8)
    assert not supported("sextend", I16, I8)
    assert target.fits_results("x86_64", [I64])
    assert not target.fits_results("x86_64", [I64, I64])


def test_functions_and_those_from_outside_are_called(target: Ppci) -> None:
    text = """function %f(i32, i8 uext) -> i64 sext {
        fn0 = %h(i32, i64) -> i64
        fn1 = %g(i8 sext) -> i16 uext
    block0(v0: i32, v1: i8):
        v2 = call fn1(v1)
        v3 = uextend.i64 v2
        v4 = call fn0(v0, v3)
        return v4
    }
    function %h(i32, i64) -> i64 {
    block0(v0: i32, v1: i64):
        v2 = sextend.i64 v0
        v3 = isub v2, v1
        return v3
    }
    """
    case = case_of(text, "x86_64", (0xFFFF_FFFF, 0x80), (7, 0x7F))
    for level in (0, 2):
        case.options = {"opt_level": level}
        trial, found = run_trial(case, target)
        assert found == []
        assert trial.executed == 2


def test_an_access_outside_faults_even_if_nobody_wants_it(target: Ppci) -> None:
    text = """function %f(i64) {
    block0(v0: i64):
        v1 = load.i32 heap_oob v0+8
        return
    }
    """
    trial, found = run_trial(case_of(text, "x86_64", (0x2000_0000,), (0x2000_0FFC,)), target)
    assert (found, trial.executed) == ([], 2)


SEVENTH = "function %f(i64, i64, i64, i64, i64, i64, i8) -> i8 {\nblock0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i8):\n    return v6\n}\n"  # noqa: E501  # one function


def test_what_it_says_it_does_not_do_is_unsupported(target: Ppci) -> None:
    with pytest.raises(Unsupported, match="not implemented"):
        target.compile(case_of(SEVENTH, "x86_64", (0,) * 7))


#: folded in the middle of its optimiser: there is nothing to build around, and its text makes one finding of it
LEFT_IN = "1af15312e56a"
ENTRIES = [
    path for path in sorted((ROOT / "corpus").glob("*/*-ppci-*.clif")) if LEFT_IN not in path.stem
]


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
def test_known_faults_are_there_and_built_around(path: Path) -> None:
    entry = load_entry(path)
    target = Ppci()
    target.excludes = False
    assert [v.check for v in run_trial(entry.case, target)[1]] == [entry.check]
    trial, found = run_trial(entry.case, Ppci())
    assert found == []
    # The optimiser makes negative constants of its own.
    assert trial.executed == len(entry.case.inputs) or "can't be encoded" in trial.unsupported


def test_only_what_is_known_is_called_known(target: Ppci) -> None:
    assert known_failure(KeyError("v1")) == ""
    assert known_failure(ValueError("ubyte format requires")) == ""
    short = Ppci()
    short.excludes = False
    text = "function %f() -> i8 {\nblock0:\n    v0 = iconst.i8 -1\n    return v0\n}\n"
    with pytest.raises(CompileError, match="ubyte format requires"):
        short.compile(case_of(text, "x86_64", ()))
