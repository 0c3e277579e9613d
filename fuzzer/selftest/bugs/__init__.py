"""All planted bugs by name. A module a class of bugs, a row a bug; the classes are those of real backends' bugs."""

from __future__ import annotations

from typing import Final

from fuzzer.selftest.bug import Bug
from fuzzer.selftest.bugs import (
    branches,
    buffer,
    calls,
    conventions,
    encoding,
    floats,
    frame,
    lowering,
    optimiser,
    reach,
    registers,
    wide,
    x86_64,
)


def _by_name(*classes: tuple[Bug, ...]) -> dict[str, Bug]:
    bugs: dict[str, Bug] = {}
    for bug in (bug for rows in classes for bug in rows):
        if bug.name in bugs:
            raise ValueError(f"two planted bugs are called {bug.name}")
        bugs[bug.name] = bug
    return bugs


BUGS: Final = _by_name(
    encoding.BUGS,
    branches.BUGS,
    buffer.BUGS,
    registers.BUGS,
    frame.BUGS,
    calls.BUGS,
    conventions.BUGS,
    lowering.BUGS,
    optimiser.BUGS,
    floats.BUGS,
    wide.BUGS,
    reach.BUGS,
    x86_64.BUGS,
)
