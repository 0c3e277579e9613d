"""No access outside what the function owns, no jump outside its code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.emulator import FAULT, STRAY
from fuzzer.execute.layout import CODE
from fuzzer.finding import Violation
from fuzzer.outcome import Trapped

if TYPE_CHECKING:
    from fuzzer.trial import Trial

#: Unicorn's error numbers of bad accesses
_ERRORS = {6: "read of unmapped memory", 7: "write to unmapped memory", 8: "jump to unmapped memory",
           12: "write to protected memory", 13: "read of protected memory",
           14: "execution of data"}  # fmt: skip


def _look(trial: Trial) -> Iterator[Violation]:
    for index in trial.anomalies:
        run, outcome = trial.runs[index], trial.outcomes[index]
        if run is None:
            continue
        if run.stop == STRAY:
            yield Violation("bounds", f"left the code for {CODE + run.offset:#x} instead of returning "
                            f"(error {run.error})", "stray", index)  # fmt: skip
        elif run.stop == FAULT:
            if isinstance(outcome, Trapped) and trial.outcome_of(run) is not None:
                continue
            what = _ERRORS.get(run.error, f"error {run.error}")
            yield Violation("bounds", f"{what} at {run.address:#x} by the instruction at "
                            f"{run.offset:#x}; expected: {outcome!r}", what, index)  # fmt: skip


CHECK = Check("bounds", "no access outside data and stack, no jump outside the code", _look,
              anomalous=True, by_shape=True)  # fmt: skip
