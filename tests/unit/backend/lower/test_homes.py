"""Values that live in float registers: the code computes the same, under the checker and under pressure."""

from __future__ import annotations

import pytest

from backend.compile import compile_function
from backend.ir.parser import parse_function
from backend.options import Options
from fuzzer.case import Case
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

LOOP = """
function %f(i32, i64, i8) -> i64, i8 {
block0(v0: i32, v1: i64, v2: i8):
    v3 = iconst.i32 5
    jump block1(v3, v1, v2)
block1(v4: i32, v5: i64, v6: i8):
    v7 = imul v5, v1
    v8 = iadd v7, v5
    v9 = popcnt v8
    v10 = bxor v9, v1
    v11 = ireduce.i8 v10
    v12 = iadd v11, v6
    v13 = iconst.i32 1
    v14 = isub v4, v13
    brif v14, block1(v14, v10, v12), block2(v8, v12)
block2(v15: i64, v16: i8):
    v17 = sextend.i64 v0
    v18 = udiv v15, v17
    return v18, v16
}
"""


@pytest.mark.parametrize("homes", ["float", "mixed"])
@pytest.mark.parametrize("registers", [0, 3])
def test_the_same_is_computed(homes: str, registers: int) -> None:
    inputs = [(3, 0x123456789, 200), (0, 1, 1), (1 << 31, (1 << 64) - 1, 0)]
    case = Case(parse_function(LOOP), inputs, options={"homes": homes, "registers": registers})
    trial, violations = run_trial(case, target_named("builtin"), thorough=True)
    assert violations == []
    assert trial.executed == 3


def test_values_do_live_there() -> None:
    function = parse_function(LOOP)
    count = {
        homes: compile_function(function, options=Options.from_dict({"homes": homes}))
        .stages["asm"]()
        .count("fmov")
        for homes in ("int", "mixed", "float")
    }
    assert count["int"] < count["mixed"] < count["float"]
