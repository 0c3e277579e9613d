"""LLVM's code says what the conformance filetests say, whose values come from neither it nor the reference."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite")

from fuzzer.targets.llvm_calls import NO_TAILS
from tests.unit.fuzzer.targets.holding import CONFORMANCE, lines_hold
from tests.unit.fuzzer.targets.test_llvm import FORMS

FILES = ("calls", "library", "globals", "recursion", "immediate", "logic", "overflow", "memory")
#: of these files alone; why, and how many lines
UNSUPPORTED = {"globals": {"opcode symbol_value": 1}}
#: conventions that LLVM does not have on an ISA: files, and how many lines
NO_TAIL = {"calls": 2, "recursion": 3}


@pytest.mark.parametrize("isa", ["aarch64", "x86_64", "riscv64", "arm", "mips64"])
@pytest.mark.parametrize("name", FILES)
def test_every_line_holds(name: str, isa: str) -> None:
    level = "none" if name == "memory" else "speed"
    result = lines_hold(name, "llvm", isa, level)
    reasons = dict(UNSUPPORTED.get(name, {}))
    if isa in NO_TAILS and name in NO_TAIL:
        reasons[f"calling convention tail on {isa}"] = NO_TAIL[name]
    # LLVM's faults of comparisons and branches on release 6 are too common for a file to be without.
    faults = sum(n for reason, n in result.reasons.items() if reason.startswith("known fault"))
    assert faults == 0 or isa == "mips64"
    told = {r: n for r, n in result.reasons.items() if not r.startswith("known fault")}
    assert told == reasons
    assert result.passed > 3


@pytest.mark.parametrize(
    "name", ["calls", "library", "globals", "immediate", "logic", "memory", "float_values"]
)
def test_no_line_fails_in_the_other_byte_order(name: str) -> None:
    """An i128 is not passed there, nor are more results than registers hold."""
    result = lines_hold(name, "llvm", "s390x", "speed")
    assert result.passed > 3


def test_the_files_have_every_form() -> None:
    text = "".join((CONFORMANCE / f"{name}.clif").read_text() for name in FILES)
    assert [
        name for name in sorted(FORMS) if f" {name} " not in text and f" {name}." not in text
    ] == []
