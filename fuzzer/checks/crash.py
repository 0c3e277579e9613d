"""The compiler may refuse what it does not support. It may not fall over."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backend.errors import AllocationError, BufferError
from fuzzer.checks.check import Check
from fuzzer.finding import Violation
from fuzzer.targets.target import CompileError, ProtocolError, TargetDied, TargetHung

if TYPE_CHECKING:
    from fuzzer.trial import Trial

_OWN_CHECKS = (AllocationError, BufferError, TargetHung, ProtocolError)


def _look(trial: Trial) -> Iterator[Violation]:
    error = trial.error
    if error is None or isinstance(error, _OWN_CHECKS):
        return
    if isinstance(error, CompileError):
        yield Violation("crash", str(error), error.key)
        return
    if isinstance(error, TargetDied):
        yield Violation("crash", str(error), error.key, vague=error.vague)
        return
    frames = traceback.extract_tb(error.__traceback__)
    place = " < ".join(frame.name for frame in reversed(frames[-3:]))
    kind = type(error).__name__
    yield Violation("crash", f"{kind}: {error} (in {place})", f"{kind} {place}")


CHECK = Check("crash", "the compiler gives code or refuses, and does not fail", _look, "crash")
