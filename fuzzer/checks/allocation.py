"""Register allocation is right by the backend's symbolic checker, which runs inside the compile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backend.errors import AllocationError
from fuzzer.checks.check import Check
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    error = trial.error
    if isinstance(error, AllocationError):
        detail = str(error)
        yield Violation("allocation", detail, re.sub(r"%?\b[a-z]*\d+\b|\{.*?\}", "_", detail))


CHECK = Check("allocation", "each use reads the value it names (symbolic checker)", _look)
