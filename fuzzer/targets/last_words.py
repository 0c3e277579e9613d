"""What a compiler's process says when it dies, and which of it tells the bug from others.

The first line that looks like a panic, a failed assertion or a sanitizer's report, without what changes from run to
run. The forms are those of Rust, C and C++ with glibc or the sanitizers, Go, Zig and Python.
"""

from __future__ import annotations

import re
import signal
from typing import Final, NamedTuple

OUT_OF_MEMORY: Final = ("std::bad_alloc", "MemoryError", "memory allocation of", "out of memory", "OutOfMemory",
                        "Cannot allocate memory", "memory exhausted")  # fmt: skip
"""Words of a process that got no memory: C++'s exception, Python's, Rust's abort, and what people write."""

_TELLING: Final = re.compile(
    r"panic|[Aa]ssert|ERROR: \w+Sanitizer|runtime error:|stack smashing|terminate called|"
    r"^==\d+== +(Invalid|Conditional jump|Use of uninit|Process terminating)|"
    r"free\(\): |malloc\w*\(\): |double free|corrupted|[Ff]atal|FATAL|LLVM ERROR|unreachable|[Ee]xception\b|overflowed"
)
_PYTHON: Final = re.compile(r"^\w*(\.\w+)*(Error|Exception|Exit|Interrupt)\b(: .*)?$")
_RUST: Final = re.compile(r"panicked at [^'\"]*:\d+:\d+:$")
_CHANGING: Final = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{8,}\b|\d+")
_LINES: Final = 8
"""Lines of standard error that go into a finding."""
_WIDTH: Final = 800


class LastWords(NamedTuple):
    """``text``: for people, lines parted by `` | ``; ``key``: for signatures, "" if no line tells anything."""

    text: str
    key: str


def last_words(said: str) -> LastWords:
    """Of the end of a process's standard error."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = _telling(lines)
    shown = lines[-_LINES:]
    if telling and telling not in " ".join(shown):
        shown = [telling, "...", *shown]
    text = " | ".join(shown)
    key = unchanging(telling)
    return LastWords(text if len(text) <= _WIDTH else f"{text[:_WIDTH]}...", key)


def unchanging(text: str) -> str:
    """A line without numbers and addresses, the same each time the same bug is hit."""
    return _CHANGING.sub("#", text)[:200]


def _telling(lines: list[str]) -> str:
    for at, line in enumerate(lines):
        if _TELLING.search(line):
            # Rust says what happened on the line behind the place.
            behind = lines[at + 1 : at + 2] if _RUST.search(line) else []
            return " ".join([line, *behind])
    return next((line for line in reversed(lines) if _PYTHON.match(line)), "")


def exit_text(status: int) -> str:
    """``SIGSEGV``, ``signal 35`` for one without a name, or ``exit 3``."""
    if status >= 0:
        return f"exit {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
