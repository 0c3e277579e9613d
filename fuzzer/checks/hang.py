"""What ends in the reference ends in the machine, and compiling it ends as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.emulator import MAX_INSTRUCTIONS, TIMEOUT
from fuzzer.finding import Violation
from fuzzer.targets.target import TargetHung

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    if isinstance(trial.error, TargetHung):
        yield Violation("hang", f"{trial.error} while compiling", "timeout compiling")
    for index in trial.anomalies:
        run = trial.runs[index]
        if run is not None and run.stop == TIMEOUT:
            yield Violation("hang", f"still at {run.offset:#x} after {MAX_INSTRUCTIONS} instructions; "
                            f"expected: {trial.outcomes[index]!r}", "", index)  # fmt: skip


CHECK = Check(
    "hang",
    "compiling ends, and compiled code ends when the reference does",
    _look,
    "hang",
    by_shape=True,
)
