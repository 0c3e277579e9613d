"""Compiling the same function again gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.finding import Violation
from fuzzer.targets.target import TargetUnavailable

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    code = trial.code
    if code is None or not trial.target.repeats:
        return
    try:
        again = trial.target.compile(trial.case)
    except TargetUnavailable:
        raise
    except Exception as error:
        yield Violation("repeat", f"the second compile failed: {error}", type(error).__name__)
        return
    if again.code != code.code:
        at = next((i for i, (a, b) in enumerate(zip(code.code, again.code, strict=False)) if a != b),
                  min(len(code.code), len(again.code)))  # fmt: skip
        yield Violation("repeat", f"two compiles differ from byte {at:#x} on", "")


CHECK = Check("repeat", "compiling twice gives the same bytes", _look, costly=True, by_shape=True)
