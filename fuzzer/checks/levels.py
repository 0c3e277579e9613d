"""Optimised or not, the code does what the reference says.

A case is compiled at the one level that was drawn for it. Here it is compiled at the other one, too, and run again:
what an optimiser breaks is seen on every function, and that it *is* the optimiser is known at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.quarantine import suspicion
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    from fuzzer.trial import Trial, compile_case, execute

    case, target = trial.case, trial.target
    if trial.code is None or not trial.runs:
        return
    here = {**{option.name: option.default for option in target.options}, **case.options}
    for name, options in target.opt_levels.items():
        if {**here, **options} == here:
            continue
        there = case.copy()
        there.options = {**case.options, **options}
        other = Trial(there, target, False)
        other.outcomes, other.poison = trial.outcomes, trial.poison
        compile_case(other)
        if other.error is not None:
            kind = type(other.error).__name__
            yield Violation(
                "levels", f"at level {name} the compiler fails: {kind}: {other.error}", kind
            )
            return
        execute(other)
        if other.code is not None and other.unsupported:
            trial.unsupported = (
                other.unsupported
            )  # whoever repeats a finding must not take this for "all is well"
            return
        doubt = ""
        if other.anomalies and other.code:
            doubt = suspicion(case.isa, other.code.code, other.code.data_ranges)
        for index in other.anomalies:
            run = other.runs[index]
            if run is not None and index not in trial.anomalies:
                did = f"{run.stop} {run.values}" if run.stop == "return" else run.stop
                yield Violation("levels", f"only at level {name}: {trial.outcomes[index]!r} was expected, "
                                f"got {did}", "", index, suspect=doubt)  # fmt: skip


CHECK = Check(
    "levels", "optimised and unoptimised code does the same", _look, costly=True, by_shape=True
)
