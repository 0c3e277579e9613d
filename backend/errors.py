"""What can go wrong in the backend, and whose fault it is.

::

    BackendError                    every error that this package raises on purpose
    |-- ClifError                   the input's fault: carries file, line and column
    |   |-- ParseError              the text is not CLIF
    |   `-- VerifyError             the text is CLIF, the function breaks a rule of the language
    |-- Unsupported                 nobody's fault: a feature that is not lowered (yet)
    `-- InternalError               the backend's fault: always a finding
        |-- AllocationError         the register allocation is wrong
        `-- BufferError             the code buffer was misused (an open label, an overrun, taken twice)

``is_bug`` says the same in one attribute: a fuzzer reports what has it set, and nothing else.
An exception from outside this tree is a bug as well.
"""

from __future__ import annotations


class BackendError(Exception):
    """Base of everything the backend raises on purpose."""

    is_bug = False


class ClifError(BackendError):
    """Bad input, with the place it was found at.

    ``line`` and ``column`` count from 1; 0 means unknown (a function that was built, not parsed).
    """

    def __init__(self, message: str, *, path: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = [self.path] if self.path else []
        if self.line:
            place += [str(self.line), str(self.column)]
        return ":".join(place) + ": " + self.message if place else self.message


class ParseError(ClifError):
    """The text is not CLIF."""


class VerifyError(ClifError):
    """The function breaks a rule of the language (types, dominance, terminators)."""


class Unsupported(BackendError):
    """An opcode, type or feature that this backend does not lower; counted, never a finding."""


class InternalError(BackendError):
    """The backend broke one of its own invariants."""

    is_bug = True


class AllocationError(InternalError):
    """The symbolic checker refused a register allocation."""


class BufferError(InternalError):
    """The code buffer's rules were broken."""
