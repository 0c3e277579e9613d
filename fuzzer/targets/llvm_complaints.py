"""What LLVM says when it gives up, and what that is: something it has no way to do, or a failure.

Most of LLVM's failures end its process, and the reason is on standard error. What it has no lowering for is
unsupported, counted by a reason without names of values; every other is a finding whose key is what LLVM's authors
wrote, an assertion's text with its file and a rule of the machine verifier, without what a version or a function
changes: paths, lines, registers, numbers.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from backend.errors import Unsupported
from fuzzer.targets.last_words import unchanging
from fuzzer.targets.target import CompileError, TargetDied

_FATAL: Final = re.compile(r"^(?:LLVM ERROR|error): (?:<unknown>:0:0: )?(.*)", re.MULTILINE)
_UNSUPPORTED: Final = re.compile(
    r"cannot select|unable to (legalize|translate|map|lower)|do not know how to|not supported|unsupported|"
    r"not (yet )?implemented",
    re.IGNORECASE,
)
_MACHINE: Final = re.compile(r"^\*\*\* Bad machine code: (.*?) \*\*\*", re.MULTILINE)
_INSTRUCTION: Final = re.compile(r"^- instruction: +(.*)", re.MULTILINE)
_ASSERTION: Final = re.compile(r"([\w.+-]+):\d+: .*?Assertion [`'](.*)' failed")
_UNREACHABLE: Final = re.compile(
    r"(?:^(.*)\n)?^UNREACHABLE executed at (?:.*/)?([\w.+-]+):\d+", re.MULTILINE
)

#: values of a machine function or a selection graph, by name or number, and what parts them
_NAMES: Final = re.compile(r"\b(t\d+|0x[\da-f]+)(:\d+)?:?|%\w+(:\w+)?|\$\w+|[ ,=]+")
_WHERE: Final = re.compile(r"\(?\bin function:? .*")


class Complaint(NamedTuple):
    """``supported``: is it a failure? ``text``: for people; ``key``: the same each time the same bug is hit."""

    supported: bool
    text: str
    key: str


def judged(complaint: Complaint, how: str = "") -> Exception:
    """``how`` LLVM died of what it says, as the outcome of a case."""
    if not complaint.supported:
        return Unsupported(complaint.text)
    text = f"{how} while compiling: {complaint.text}" if how else complaint.text
    return CompileError(text, key=complaint.key)


def explained(died: TargetDied) -> Exception:
    """The same of the end of LLVM's process; ``died`` if it said nothing that tells one bug from others."""
    starved = died.how == "out of memory"
    said = None if starved else complaint(died.said)
    return died if said is None else judged(said, died.how)


def complaint(said: str) -> Complaint | None:
    """What is in the end of the standard error of a process that died; None if that says nothing."""
    if assertion := _ASSERTION.search(said):
        file, text = assertion.groups()
        return Complaint(True, f"assertion failed in {file}: {text}", f"assertion {file} {text}")
    if unreachable := _UNREACHABLE.search(said):
        text, file = (unreachable[1] or "").strip(), unreachable[2]
        return Complaint(
            True, f"unreachable reached in {file}: {text}", f"unreachable {file} {unchanging(text)}"
        )
    if rule := _MACHINE.search(said):
        instruction = _INSTRUCTION.search(said, rule.end())
        shown = f": {instruction[1]}" if instruction else ""
        return Complaint(
            True, f"machine verifier: {rule[1]}{shown}", f"verifier {unchanging(rule[1])}"
        )
    if fatal := _FATAL.search(said):
        return refusal(fatal[1])
    return None


def refusal(message: str) -> Complaint:
    """What a message of LLVM's is."""
    line = message.strip().partition("\n")[0]
    bare = " ".join(_NAMES.sub(" ", _WHERE.sub("", line)).split())
    if _UNSUPPORTED.search(line):
        return Complaint(False, bare, bare)
    return Complaint(True, line, f"error {unchanging(bare)}")
