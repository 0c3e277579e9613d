"""The data region is the reference's, byte for byte, after a return and after an explicit trap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.emulator import RETURN, TRAP
from fuzzer.finding import Violation
from fuzzer.outcome import OutOfFuel, Returned, same_memory

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    for index in trial.anomalies:
        run, outcome = trial.runs[index], trial.outcomes[index]
        if run is None or isinstance(outcome, OutOfFuel):
            continue
        if run.stop != (RETURN if isinstance(outcome, Returned) else TRAP):
            continue
        if not same_memory(outcome, run.memory):
            masks = outcome.open_memory or bytes(len(outcome.memory))
            at = next(
                i for i, byte in enumerate(run.memory) if (byte ^ outcome.memory[i]) & ~masks[i]
            )
            detail = f"byte {at:#x}: expected {outcome.memory[at]:#04x}, got {run.memory[at]:#04x}"
            yield Violation("memory", detail, "", index)


CHECK = Check(
    "memory",
    "the data region is the reference's, byte for byte",
    _look,
    anomalous=True,
    by_shape=True,
)
