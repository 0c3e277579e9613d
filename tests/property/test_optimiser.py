"""The optimiser changes no outcome, and what it gives is valid."""

from __future__ import annotations

from hypothesis import given, settings

from backend.ir.printer import print_function
from backend.ir.verifier import verify
from backend.opt.optimise import optimise
from fuzzer.case import Case
from fuzzer.generate.cases import cases
from fuzzer.reference.evaluate import prepare
from fuzzer.targets import target_named


@settings(max_examples=150)
@given(cases(target_named("builtin")))
def test_every_outcome_stays(case: Case) -> None:
    before = print_function(case.function)
    after, _ = optimise(case.function)
    verify(after)
    assert print_function(case.function) == before
    old, new = prepare(case.function), prepare(after)
    for values in case.inputs:
        was = old.run(values, case.memory)
        if was.__class__.__name__ != "OutOfFuel":
            now = new.run(values, case.memory)
            assert repr(now) == repr(was)
            assert getattr(now, "memory", b"") == getattr(was, "memory", b"")
