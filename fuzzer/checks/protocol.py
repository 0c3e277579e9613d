"""A compiler that is a program says what docs/process-protocol.md has it say, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.finding import Violation
from fuzzer.targets.target import ProtocolError

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _look(trial: Trial) -> Iterator[Violation]:
    if isinstance(trial.error, ProtocolError):
        yield Violation("protocol", str(trial.error), trial.error.key)


CHECK = Check("protocol", "a compiler that is a program answers as it should", _look, "crash")
