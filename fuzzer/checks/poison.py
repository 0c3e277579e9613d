"""The same input under other poison gives the same: nothing undefined was read.

Dead registers, dead stack and the bits above a narrow argument hold random bits that a right program
can't see. This catches what agrees with the reference by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.emulator import TIMEOUT, ExecutorLimit, Run, emulator_for
from fuzzer.finding import Violation
from fuzzer.loading import load

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    from fuzzer.trial import patiently

    code, case = trial.code, trial.case
    if code is None or not trial.runs:
        return
    engine = emulator_for(case.isa)
    load(engine, case, code)
    wrong = set(trial.anomalies)  # those have their own violations
    for index, first in enumerate(trial.runs):
        if first is None or index in wrong:
            continue
        try:
            seed = (index + trial.poison + 1) & 1
            second = engine.run(case.inputs[index], case.memory, seed)
            if second.stop == TIMEOUT:
                second = patiently(engine, case, case.inputs[index], seed)
        except ExecutorLimit as limit:
            trial.unsupported = f"executor limit: {limit}"
            return
        same_end = first.stop == second.stop and first.offset == second.offset
        same_effects = first.memory == second.memory and first.calls == second.calls
        if not same_end or first.values != second.values or not same_effects or second.frame:
            yield Violation("poison", f"depends on what was in dead registers or dead stack: "
                            f"{first.stop} {first.values}, then {second.stop} {second.values}{_owed(second)}",
                            "", index)  # fmt: skip


def _owed(run: Run) -> str:
    """What the second run alone did not keep to."""
    return f" and {run.frame[0][0]} broken" if run.frame else ""


CHECK = Check(
    "poison", "no result depends on what is undefined at entry", _look, costly=True, by_shape=True
)
