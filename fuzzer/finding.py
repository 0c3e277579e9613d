"""A finding: a rule that a compiler broke on a case, and what tells its cause from others."""

from __future__ import annotations

from dataclasses import dataclass

from fuzzer.case import Case


@dataclass(slots=True)
class Violation:
    """One broken rule.

    ``check``: name of the check that saw it (``result``, ``frame``, ``crash`` ...). ``detail``: one line
    for people, "x29: expected 0x1, got 0x0". ``key``: the part of the detail that is the same each
    time the same bug is hit (a register's role, a panic's kind and frames, a row's name), never
    an address or a drawn value: it goes into the signature. ``input_index``: the input that showed it,
    or -1 if none did. ``suspect``: why the executor, not the compiler, may be at fault, else "".
    ``vague``: the key does not tell causes apart (a bare SIGSEGV), whatever the check. ``refuted``: another executor
    does not repeat it, so that it is no finding about the compiler; ``fault``: that of the emulator which is known and
    then taken for the cause, or "".
    """

    check: str
    detail: str
    key: str = ""
    input_index: int = -1
    suspect: str = ""
    vague: bool = False
    refuted: bool = False
    fault: str = ""

    def __post_init__(self) -> None:
        self.detail, self.key = encodable(self.detail), encodable(self.key)


def encodable(text: str) -> str:
    """A compiler's words without what no file and no message can hold: lone surrogates are spelt out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


@dataclass(slots=True)
class Finding:
    """A violation on a case by a target."""

    case: Case
    target: str
    violation: Violation
