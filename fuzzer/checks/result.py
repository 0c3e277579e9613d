"""The values returned are the reference's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.emulator import RETURN
from fuzzer.finding import Violation
from fuzzer.outcome import Returned

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    for index in trial.anomalies:
        run, outcome = trial.runs[index], trial.outcomes[index]
        if run is None or run.stop != RETURN or not isinstance(outcome, Returned):
            continue
        masks = outcome.open_values or (0,) * len(outcome.values)
        pairs = zip(outcome.values, run.values, masks, strict=True)
        for place, (expected, got, open_) in enumerate(pairs):
            if (expected ^ got) & ~open_:
                detail = f"result {place}: expected {expected:#x}, got {got:#x}"
                yield Violation("result", detail, "", index)


CHECK = Check("result", "returned values are the reference's", _look, anomalous=True, by_shape=True)
