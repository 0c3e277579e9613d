"""Right code is never blamed: walking along a reference that agrees finds no difference, on any drawn function."""

from __future__ import annotations

from collections import Counter

import pytest

from backend.isa import ISA_NAMES
from fuzzer.campaign.seeds import case_seed
from fuzzer.case import Case
from fuzzer.explain.history import history_of
from fuzzer.explain.machine import Machine
from fuzzer.explain.tracer import Tracer
from fuzzer.explain.verdicts import wrong_end
from fuzzer.explain.walk import Walk
from fuzzer.generate.cases import CaseGenerator
from fuzzer.loading import load
from fuzzer.outcome import OutOfFuel
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

CASES = 80
BATCHES = 4


def _look(case: Case, counts: Counter[str]) -> None:
    trial, found = run_trial(case, target_named("builtin"))
    assert not found
    if trial.code is None or trial.code.places is None:
        counts["unsupported"] += 1
        return
    code, places = trial.code.code, trial.code.places()
    assert not places.misplaced
    for offset, word in places.encoded.items():
        assert code[offset : offset + len(word)] == word
    tracer = Tracer(case.isa)
    load(tracer, case, trial.code)
    for index, outcome in enumerate(trial.outcomes[:2]):
        if isinstance(outcome, OutOfFuel):
            continue
        trace = tracer.trace(case.inputs[index], case.memory, index & 1)
        run = trial.runs[index]
        assert run is not None
        assert (trace.run.stop, trace.run.values, trace.run.memory) == (
            run.stop,
            run.values,
            run.memory,
        )
        machine = Machine(case.isa, code, trial.code.data_ranges, trace)
        history = history_of(case, index, outcome)
        walk = Walk(history, places, machine)
        cause = walk.run()
        assert cause is None, cause
        assert machine.done == len(trace.steps)
        cause = wrong_end(machine, outcome, trial.trap_codes, case.function.signature.returns)
        assert cause is None, cause
        counts["runs"] += 1
        counts["values seen"] += len(walk.seen)


@pytest.mark.parametrize("isa", ISA_NAMES)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_right_code_is_never_blamed(batch: int, isa: str) -> None:
    generator = CaseGenerator(target_named("builtin"), isa, fixed={"opt_level": "none"})
    counts: Counter[str] = Counter()
    for index in range(CASES // BATCHES):
        _look(generator.from_seed(case_seed(0xE19, batch, 0, index)), counts)
    assert counts["runs"] > CASES // BATCHES
    assert counts["values seen"] > 8 * counts["runs"]
