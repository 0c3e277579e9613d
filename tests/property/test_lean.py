"""Leaving out what no outcome depends on changes no outcome."""

from __future__ import annotations

from hypothesis import given, settings

from fuzzer.case import Case
from fuzzer.generate.cases import cases
from fuzzer.outcome import OutOfFuel
from fuzzer.reference.evaluate import prepare
from fuzzer.targets import target_named


@settings(deadline=None, max_examples=60)
@given(case=cases(target_named("builtin")))
def test_a_lean_program_has_the_same_outcomes(case: Case) -> None:
    full, lean = prepare(case.function), prepare(case.function, lean=True)
    for values in case.inputs:
        for fuel in (7, 10_000):
            one, other = full.run(values, case.memory, fuel), lean.run(values, case.memory, fuel)
            assert type(one) is type(other)
            if not isinstance(one, OutOfFuel):
                assert one == other
