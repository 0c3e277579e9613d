"""Running something that may kill its process, and saying how it died.

A fork, a pipe, a clock. Used for what a worker died of, and for every call of the predicate when such a
finding is shrunk: a crash is a crash only if it happens again, here.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fuzzer.campaign.orphans import Orphans, exit_handle


@dataclass(frozen=True, slots=True)
class Death:
    """How the child ended without an answer. ``how``: ``SIGSEGV``, ``exit 3`` or ``timeout``; ``stage``: what
    it had said last that it was about to do.
    """

    how: str
    stage: str


def run_isolated(
    work: Callable[[Callable[[str], None]], bytes],
    *,
    seconds: float,
    memory: int,
    busy: float = 0.0,
) -> bytes | Death:
    """What ``work`` returns when called in a child process, or how the child died.

    ``work`` gets a function to announce stages with. ``seconds``: wall time; ``busy``: processor time, in seconds as
    well, after which it is taken to hang before that, 0 for none; ``memory``: bytes of address space. No process is
    left behind.
    """
    adopted = Orphans()
    read_end, write_end = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _child(work, parent, read_end, write_end, memory, busy)
    os.close(write_end)
    ended = exit_handle(child)
    try:
        data, in_time = _collect(read_end, ended, time.monotonic() + seconds)
    finally:
        os.close(read_end)
        if ended >= 0:
            os.close(ended)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        adopted.end(())
        adopted.release()
    stage = "starting"
    for line in data.split(b"\n"):
        kind, _, rest = line.partition(b" ")
        if kind == b"stage":
            stage = rest.decode()
        elif kind == b"answer":
            return bytes.fromhex(rest.decode())
    if not in_time or (busy and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF):
        return Death("timeout", stage)
    if os.WIFSIGNALED(status):
        return Death(signal_name(os.WTERMSIG(status)), stage)
    return Death(f"exit {os.waitstatus_to_exitcode(status)}", stage)


def signal_name(number: int) -> str:
    """``SIGSEGV``; ``signal 35`` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends (prctl(2), Linux).

    ``parent``: its process number, taken before the fork: it may have ended before this was called.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(70)


def limit_memory(size: int) -> None:
    """Let this process have ``size`` bytes of address space. The hard limit stays: a compiler that is a process of its
    own may be one that needs more (:mod:`fuzzer.targets.server`)."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    least = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (least, hard))


def _child(
    work: Callable[[Callable[[str], None]], bytes], parent: int, read_end: int, write_end: int,
    memory: int, busy: float,
) -> None:  # fmt: skip
    code = 70
    try:
        os.close(read_end)
        os.setpgid(0, 0)
        die_with_parent(parent)
        faulthandler.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, busy)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit_memory(memory)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)
        os.dup2(quiet, 1)
        answer = work(lambda stage: _write(write_end, b"stage " + stage.encode() + b"\n"))
        _write(write_end, b"answer " + answer.hex().encode() + b"\n")
        code = 0
    finally:
        os._exit(code)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _collect(handle: int, ended: int, deadline: float) -> tuple[bytes, bool]:
    """All that comes until the end of file or of the process, and whether that was before the deadline.

    ``ended``: see :func:`exit_handle`; what the process left behind may hold the pipe open.
    """
    data = b""
    watched = [handle] if ended < 0 else [handle, ended]
    while True:
        left = deadline - time.monotonic()
        ready = select.select(watched, [], [], left)[0] if left > 0 else []
        if not ready:
            return data, False
        if handle not in ready:
            if not select.select([handle], [], [], 0)[0]:
                return data, True
            continue
        piece = os.read(handle, 1 << 16)
        if not piece:
            return data, True
        data += piece
        if data.endswith(b"\n") and data.rpartition(b"\n")[0].rpartition(b"\n")[2].startswith(
            b"answer "
        ):
            return data, True
