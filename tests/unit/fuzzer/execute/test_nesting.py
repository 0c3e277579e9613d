"""Deep recursion: what fits on the executor's stack is run, what may not fit is no finding."""

from __future__ import annotations

import pytest

from backend.ir.filetest import parse_file
from backend.isa import ISA_NAMES
from fuzzer.case import Case
from fuzzer.execute.nesting import depth_of
from fuzzer.outcome import OutOfFuel, Returned
from fuzzer.reference.program import DEFAULT_DEPTH
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

SUM = """function %f(i64) -> i64 {{
    {slot}
    fn0 = %f(i64) -> i64
block0(v0: i64):
    brif v0, block1, block2
block1:
    v1 = iconst.i64 1
    v2 = isub v0, v1
    v3 = call fn0(v2)
    v4 = iadd v0, v3
    return v4
block2:
    return v0
}}
"""


def case_of(slot: str, isa: str, depth: int) -> Case:
    return Case(parse_file(SUM.format(slot=slot)).functions[0].function, [(depth,)], isa=isa)


@pytest.mark.parametrize("isa", ISA_NAMES)
@pytest.mark.parametrize("slot", ["", "ss0 = explicit_slot 4000, align = 16"])
def test_runs_up_to_the_limit_and_gives_up_beyond_it(slot: str, isa: str) -> None:
    limit = min(DEFAULT_DEPTH, depth_of([case_of(slot, isa, 0).function]))
    assert limit >= 10
    for depth, kind in ((limit, Returned), (limit + 1, OutOfFuel), (5000, OutOfFuel)):
        trial, found = run_trial(case_of(slot, isa, depth), target_named("builtin"), thorough=True)
        assert [v.detail for v in found] == []
        assert type(trial.outcomes[0]) is kind
        assert trial.executed == (kind is Returned)


def test_a_frame_as_large_as_the_stack_leaves_no_room_for_calls() -> None:
    assert depth_of([case_of("ss0 = explicit_slot 60000", "aarch64", 0).function]) == 0
