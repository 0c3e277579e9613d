"""Processes that a compiler leaves behind: found and ended, however they have hidden.

A child of a child whose parent dies goes to the nearest ancestor that adopts (prctl(2), PR_SET_CHILD_SUBREAPER, Linux),
whatever session or group it has made for itself. So a crew adopts, and any child of its process that is none of its own
and was not there before is an orphan. Elsewhere than on Linux nothing is adopted and nothing is found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

_SET_CHILD_SUBREAPER: Final = 36
_PATIENCE: Final = 2.0
"""Seconds in which what was killed should be gone, descendants and all."""


def children() -> frozenset[int]:
    """The process numbers of this process's children, dead ones that nobody waited for included."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(map(int, path.read_text().split()))
    return frozenset(found)


_adopters: Final[list[Orphans]] = []


class Orphans:
    """Adopts from the time it is made until :meth:`release`."""

    def __init__(self) -> None:
        # Read twice: the kernel may leave some out while others end.
        self._before = children() | children()
        _adopters.append(self)
        _prctl(_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))

    def reap(self, own: Collection[int]) -> None:
        """Bury the dead among the orphans and kill the living; those in ``own`` are none. Waits for nobody."""
        for pid in self._found(own):
            _kill(pid)
            _wait(pid)

    def end(self, own: Collection[int]) -> None:
        """Kill the orphans, and what they leave behind in turn."""
        give_up = time.monotonic() + _PATIENCE
        while (found := self._found(own)) and time.monotonic() < give_up:
            for pid in found:
                _kill(pid)
            time.sleep(0.001)
            for pid in found:
                _wait(pid)

    def release(self) -> None:
        """Adopt no more, unless somebody else in this process does."""
        with contextlib.suppress(ValueError):
            _adopters.remove(self)
        _prctl(_SET_CHILD_SUBREAPER, ctypes.c_ulong(bool(_adopters)))

    def _found(self, own: Collection[int]) -> frozenset[int]:
        return children() - self._before - frozenset(own)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _wait(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _prctl(*args: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(*args)


def exit_handle(pid: int) -> int:
    """A file descriptor that becomes readable when a child ends (pidfd_open(2), Linux), whoever holds its pipes; -1
    where there is no such thing.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1
