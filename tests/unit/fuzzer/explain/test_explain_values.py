"""Explanations where values are floats and pairs of registers."""

from __future__ import annotations

import pytest

from backend.ir.parser import parse_function
from backend.ir.types import F32, F64, I128
from fuzzer.case import DATA_BASE, Case
from fuzzer.corpus.entry import Entry
from fuzzer.explain.explain import explain
from fuzzer.explain.model import Explanation
from fuzzer.explain.written import written
from fuzzer.selftest.bugs import BUGS
from fuzzer.selftest.witness import case_of
from fuzzer.targets import target_named


def explained(plant: str) -> Explanation:
    bug = BUGS[plant]
    entry = Entry(case_of(bug), bug.check, "builtin", "0" * 12, plant=plant)
    return explain(entry, target_named("builtin"), planted=True)


def test_each_half_of_a_pair_is_compared_by_itself() -> None:
    found = explained("wide-carry-dropped")
    divergence = found.divergence
    assert divergence is not None
    assert divergence.text.startswith("the upper half of v9 (iadd) is wrong where it is made")
    assert (divergence.expected, divergence.got, divergence.where) == ("0x1", "0x0", "x1")
    (line,) = [line for line in found.lines if line.diverges]
    assert (line.expected, line.got, line.where) == (f"{1 << 64:#x}", "0x0", "x0, x1")
    assert "lowering rule iadd_pair" in found.culprit


def test_half_of_a_pair_may_be_looked_for_elsewhere() -> None:
    found = explained("wide-argument-in-odd-register")
    assert found.divergence is not None
    assert found.divergence.text.startswith("the lower half of v1 is looked for in x1")
    assert found.culprit == "the calling convention: where arguments are looked for"


def test_a_pair_is_stored_by_two_instructions() -> None:
    divergence = explained("wide-store-overlaps").divergence
    assert divergence is not None
    assert divergence.got == f"01 00 00 00 00 00 00 00 at {DATA_BASE + 4:#x}"


def test_a_float_is_shown_as_a_literal_with_its_bits() -> None:
    found = explained("float-ceiling-truncates")
    assert found.inputs == ["0x1.4000000000000p1 (0x4004000000000000)"]
    assert found.divergence is not None
    assert found.divergence.expected == "0x1.8000000000000p1 (0x4008000000000000)"
    assert found.divergence.got == "0x1.0000000000000p1 (0x4000000000000000)"
    assert found.divergence.where == "v0"


def test_a_spilled_float_is_followed_to_its_slot() -> None:
    divergence = explained("float-spill-narrow").divergence
    assert divergence is not None
    assert "last written by `str s0, [sp, #0x10]`" in divergence.text


def test_how_values_are_written() -> None:
    assert written(42, I128) == "0x2a"
    assert written(0x3FC00000, F32) == "0x1.800000p0 (0x3fc00000)"
    assert written(0x7FC00000, F32, 0x803FFFFF) == "+NaN (0x7fc00000, any in 0x803fffff)"
    assert written(1 << 63, F64) == "-0.0 (0x8000000000000000)"


_OPEN = """function %f(i64, f64, f64) -> f64, f32 {
block0(v0: i64, v1: f64, v2: f64):
    v3 = fadd v1, v2
    v4 = fneg v3
    store v4, v0+8
    v5 = load.f64 v0+8
    v6 = fdemote.f32 v5
    v7 = fcmp uno v5, v5
    brif v7, block1(v5, v6), block1(v2, v6)
block1(v8: f64, v9: f32):
    return v8, v9
}
"""
"""With a NaN whose sign and payload the machine may choose, in registers, memory, an edge and results."""


@pytest.mark.parametrize("options", [{}, {"registers": 3}, {"homes": "float"}])
def test_open_bits_of_a_nan_are_no_divergence(options: dict[str, bool | int | str]) -> None:
    """The payload and the sign below are none that the reference chooses."""
    case = Case(parse_function(_OPEN), [(DATA_BASE, 0xFFF8_0000_0000_0123, 0x3FF0 << 48)],
                memory=bytes(4096), options=options)  # fmt: skip
    found = explain(Entry(case, "result", "builtin", "0" * 12), target_named("builtin"))
    assert found.verdict == "fixed"
    assert found.divergence is None
    (line,) = [line for line in found.lines if "fadd" in line.clif]
    assert line.expected == "+NaN (0x7ff8000000000000, any in 0x8007ffffffffffff)"
    assert line.got == "-NaN:0x123 (0xfff8000000000123)"
