"""What must hold of a compiler and its code. One file a rule, one row here.

Each check stands by itself: a bug that shows everywhere breaks one rule everywhere, and does not
hide what the other rules see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuzzer.checks import (
    allocation,
    bounds,
    buffer,
    calls,
    crash,
    encoding,
    frame,
    hang,
    levels,
    memory,
    poison,
    protocol,
    reassembly,
    repeat,
    result,
    trap,
)
from fuzzer.checks.check import Check
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial

CHECKS: Final[dict[str, Check]] = {
    check.name: check
    for module in (crash, protocol, allocation, buffer, encoding, frame, calls, bounds, hang, trap, result, memory,
                   poison, repeat, reassembly, levels)
    for check in (module.CHECK,)
}  # fmt: skip
"""Every check by name, in the order in which they look."""

_ALWAYS: Final = tuple(c for c in CHECKS.values() if not c.anomalous and not c.costly)
_ANOMALOUS: Final = tuple(c for c in CHECKS.values() if c.anomalous)
_COSTLY: Final = tuple(c for c in CHECKS.values() if c.costly)


def violations(trial: Trial, only: str | None = None) -> list[Violation]:
    """The first violation of each (check, key). ``only``: look with this check alone."""
    if only is not None:
        checks: tuple[Check, ...] = (CHECKS[only],)
    else:
        checks = _ALWAYS
        if trial.anomalies:
            checks += _ANOMALOUS
        if trial.thorough:
            checks += _COSTLY
    found: dict[tuple[str, str], Violation] = {}
    for check in checks:
        for violation in check.look(trial):
            found.setdefault((violation.check, violation.key), violation)
    return list(found.values())
