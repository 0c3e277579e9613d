"""The caller's frame is as it was: SP, callee-saved registers, and the memory above the arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    for index in trial.anomalies:
        run = trial.runs[index]
        if run is None:
            continue
        for what, expected, got in run.frame:
            key = "caller" if what.startswith("caller") else what
            detail = f"{what}: expected {expected:#x}, got {got:#x}"
            yield Violation("frame", detail, key, index)


CHECK = Check("frame", "SP, callee-saved registers and the caller's frame survive", _look,
              anomalous=True)  # fmt: skip
