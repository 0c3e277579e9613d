"""What ppci 0.5.8 is known to get wrong: how it fails is recognised here, what it miscompiles is built around.

While known faults are left out, :mod:`fuzzer.targets.ppci_ir` says some things in a longer way: a block between two
others is never empty, since a pass that removes empty blocks loses what a phi is told by them; an operation has two
different operands, since the list of users is a set; a constant of 8 bits is an unsigned one; what a volatile load
gives is stored, since it is removed otherwise. A block that is reached by one way only has no phis, since they are
kept when it is joined to the one before. An entry of such a fault is said the short way when it is tried again.
"""

from __future__ import annotations

from typing import Final

_FAILURES: Final = (
    ("KeyError", "<ppci.ir.", "a value that an instruction uses twice has one user in its books"),
    ("error", "ubyte format requires", "a negative constant of 8 bits can't be encoded"),
)
"""The name of the class, what is in the message, and why."""


def known_failure(error: Exception) -> str:
    """Why ppci is known to fail with ``error``, or "" if it is not."""
    for kind, words, why in _FAILURES:
        if type(error).__name__ == kind and words in str(error):
            return f"known fault of ppci 0.5.8: {why}"
    return ""
