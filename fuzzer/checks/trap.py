"""A trap is an outcome: it happens when the reference says so, with its code, at a recorded place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.emulator import FAULT, RETURN, TRAP
from fuzzer.finding import Violation
from fuzzer.outcome import Trapped

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    for index in trial.anomalies:
        run, outcome = trial.runs[index], trial.outcomes[index]
        if run is None:
            continue
        code = trial.outcome_of(run)
        if isinstance(outcome, Trapped):
            if run.stop == RETURN:
                detail, key = f"expected trap {outcome.code}, returned {run.values}", "no trap"
            elif run.stop in (TRAP, FAULT) and code is None:
                detail = (
                    f"expected trap {outcome.code}, stopped at {run.offset:#x} without a record"
                )
                key = "unrecorded"
            elif run.stop in (TRAP, FAULT) and outcome.code not in trial.trap_codes[run.offset]:
                detail, key = f"expected trap {outcome.code}, got {code}", "wrong code"
            else:
                continue
        elif run.stop == TRAP:
            what = code or "an undefined or unrecorded trapping instruction"
            detail, key = f"expected {outcome!r}, trapped at {run.offset:#x}: {what}", "trapped"
        else:
            continue
        yield Violation("trap", detail, key, index)


CHECK = Check("trap", "traps happen where the reference traps, with its code", _look,
              anomalous=True, by_shape=True)  # fmt: skip
