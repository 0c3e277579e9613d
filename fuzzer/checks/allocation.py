"""Register allocation is right by the backend's symbolic checker, which runs inside the compile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from backend.errors import AllocationError
from fuzzer.checks.check import Check
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial


_VARYING: Final = re.compile(r"\(\S+\)|<[^>]*>|%?\b[a-z]*\d+\b|\{.*?\}")
"""What differs from case to case though the bug is one: rows, operands, registers, numbers."""


def _look(trial: Trial) -> Iterator[Violation]:
    error = trial.error
    if isinstance(error, AllocationError):
        detail = str(error)
        yield Violation("allocation", detail, _VARYING.sub("_", detail))


CHECK = Check("allocation", "each use reads the value it names (symbolic checker)", _look)
