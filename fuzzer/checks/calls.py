"""Functions from outside are called in the order, and with the arguments, that the reference says.

What such a function gives depends on the order of calls alone, so that a wrong argument often shows nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from fuzzer.checks.check import Check
from fuzzer.execute.emulator import FAULT, RETURN, TRAP
from fuzzer.finding import Violation
from fuzzer.outcome import ExternalCall, Returned, Trapped

if TYPE_CHECKING:
    from fuzzer.trial import Trial

_ENDS = {Returned: (RETURN,), Trapped: (TRAP, FAULT)}
"""How a run stops that came to an outcome of the kind. Of others it is known already that they went astray."""


def _look(trial: Trial) -> Iterator[Violation]:
    for index in trial.anomalies:
        run, outcome = trial.runs[index], trial.outcomes[index]
        if run is None or not isinstance(outcome, (Returned, Trapped)):
            continue
        if run.stop not in _ENDS[type(outcome)]:
            continue
        for number, (expected, made) in enumerate(zip_longest(outcome.calls, run.calls)):
            if expected is not None and made is not None and expected.accepts(*made):
                continue
            key = _difference(expected, made)
            detail = f"call {number}: expected {_shown(expected)}, got {_shown(made)}"
            yield Violation("calls", detail, key, index)
            break


def _difference(expected: ExternalCall | None, made: tuple[str, tuple[int, ...]] | None) -> str:
    if made is None:
        return "missing"
    if expected is None:
        return "extra"
    return "argument" if expected.name == made[0] else "callee"


def _shown(call: ExternalCall | tuple[str, tuple[int, ...]] | None) -> str:
    if call is None:
        return "none"
    return f"{call[0]}({', '.join(f'{arg:#x}' for arg in call[1])})"


CHECK = Check("calls", "functions from outside are called in order, with the right arguments", _look,
              anomalous=True, by_shape=True)  # fmt: skip
