"""What the ABI promises the caller beside values: SP, callee-saved registers and the memory above the arguments are
as they were, and a result that the signature extends fills its register."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.emulator import EXTENDED_RESULT
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    for index in trial.anomalies:
        run = trial.runs[index]
        if run is None:
            continue
        for what, expected, got in run.frame:
            key = next(
                (kind for kind in ("caller", EXTENDED_RESULT) if what.startswith(kind)), what
            )
            detail = f"{what}: expected {expected:#x}, got {got:#x}"
            yield Violation("frame", detail, key, index)


CHECK = Check("frame", "SP, callee-saved registers, the caller's frame and extended results are as promised", _look,
              anomalous=True)  # fmt: skip
