"""What is one bug and what are two."""

from __future__ import annotations

import pytest

from backend.ir.parser import parse_function
from fuzzer.case import Case
from fuzzer.corpus.signature import signature
from fuzzer.finding import Finding, Violation

SUM = "function %f(i32) -> i32 {\nblock0(v0: i32):\n  v1 = iadd v0, v0\n  return v1\n}"
PRODUCT = SUM.replace("iadd", "imul")


def signature_of(text: str, check: str = "result", **fields: str | bool) -> str:
    violation = Violation(check, "result 0: expected 0x1, got 0x0", **fields)  # type: ignore[arg-type]  # the fields are those of a violation
    return signature(Finding(Case(parse_function(text), [(1,)]), "builtin", violation))


def test_wrong_values_of_other_opcodes_are_other_bugs() -> None:
    assert signature_of(SUM) == signature_of(SUM.replace("v1", "v9"))
    assert signature_of(SUM) != signature_of(PRODUCT)


@pytest.mark.parametrize("check", ["result", "frame"])
def test_what_comes_of_a_fault_of_the_emulator_is_one(check: str) -> None:
    fault = "Unicorn: FMIN of a signalling NaN"
    one = signature_of(SUM, check, key="x19", fault=fault)
    assert one == signature_of(PRODUCT, check, key="x20", fault=fault)
    assert one != signature_of(SUM, check, key="x19", fault="Unicorn: FMAX")
    assert one != signature_of(SUM, check, key="x19")
