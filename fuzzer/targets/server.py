"""A compiler in a process of its own that lives on between cases: the process protocol, seen from the asking side.

A frame is its length in four bytes, little-endian, and so many bytes of UTF-8 text. One frame asks, one answers
(docs/process-protocol.md). The end of the output before an answer is the compiler's death: it is reaped, what it said
on its standard error is kept, and the next question goes to a new process. So does the first question of a forked
child, which must not share its parent's pipes. Once a process has died, a spare one is kept waiting.

**Invariants.** It doesn't outlive who asks, however that ends. An answer is that of the question it is given for: a
process that talks when nobody has asked, or dies without having read the question, may have done so over what came
before; it is replaced, the question asked again, and that and the next are *watched*: each gets a process of its own,
which is followed to its end. Of a process that is stopped nothing is left that is in its group; what has fled from
there is the campaign's to find (:mod:`fuzzer.campaign.orphans`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Final

from fuzzer.campaign.isolated import die_with_parent
from fuzzer.campaign.orphans import exit_handle
from fuzzer.targets.target import ProtocolError, TargetDied, TargetHung, TargetUnavailable

_TAIL: Final = 1 << 16
"""Bytes of standard error that are kept of a process that died."""
_MAX_REPLY: Final = 64 << 20
"""Bytes. A longer reply is nonsense."""
_MAX_FILE: Final = 256 << 20
"""Bytes of any file that a compiler writes, its standard error too."""
_LOG: Final = 1 << 20
"""Bytes of standard error after which what was said over earlier questions is forgotten."""
_WATCH: Final = 64
"""Questions that are watched after a process did something when nobody had asked."""
_STARTS: Final = 3
"""Processes that may end before they read a question until there is no compiler."""
_PATIENCE: Final = 1.0
"""Seconds in which a process that closed its output should have ended."""
_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM)
"""What processes die of through no fault of their own; so the question is asked once more."""


class _Unasked(Exception):
    """The process did something that is not about the question."""


class _Process:
    """One process: its pipes, not blocking, and its standard error, a file without a name."""

    def __init__(self, command: Sequence[str], memory: int | None) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # lives as long as this
        flags = fcntl.fcntl(self.errors, fcntl.F_GETFL)
        fcntl.fcntl(self.errors, fcntl.F_SETFL, flags | os.O_APPEND)
        with _unlimited():
            self.popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                start_new_session=True, bufsize=0, preexec_fn=partial(die_with_parent, os.getpid()),
            )  # fmt: skip
        self.pid = self.popen.pid
        # Until exec(2) it was this process, whose peak stays in its own (getrusage(2), ru_maxrss).
        self._inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.stdin, self.stdout = self.popen.stdin.fileno(), self.popen.stdout.fileno()
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)
        self.ended = exit_handle(self.pid)
        self.asked = self.sent = 0
        self.said_before = 0
        self.status: int | None = None
        self.resident = 0
        for limit, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, _MAX_FILE),
                             (resource.RLIMIT_AS, memory)):  # fmt: skip
            if value is not None:
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    resource.prlimit(self.pid, limit, (value, value))

    def said(self) -> str:
        """The end of what it said on its standard error over the last question."""
        size = os.fstat(self.errors.fileno()).st_size
        begin = max(self.said_before, size - _TAIL)
        return os.pread(self.errors.fileno(), _TAIL, begin).decode(errors="replace").strip()

    def hush(self) -> None:
        """From here on, what it says is about a new question."""
        self.asked += 1
        if self.asked == 1:
            return  # what it said when it started may tell why it ended
        self.said_before = os.fstat(self.errors.fileno()).st_size
        if self.said_before > _LOG:
            os.ftruncate(self.errors.fileno(), 0)
            self.said_before = 0

    def unread(self) -> int:
        """Bytes that it was sent and has not read."""
        packed = fcntl.ioctl(self.stdin, termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("=i", packed)[0])

    def readable(self) -> bool:
        """Is there output, or its end?"""
        poll = select.poll()
        poll.register(self.stdout, select.POLLIN)
        return bool(poll.poll(0))

    def wait(self, seconds: float) -> bool:
        """Did it end within ``seconds``? Then ``status`` is how, as of subprocess, and ``resident`` the most memory
        it had, in bytes, 0 if that was less than this process has."""
        deadline = time.monotonic() + seconds
        pause = 0.0001
        while self.status is None:
            try:
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.status = self.popen.returncode = 0
                break
            if pid:
                self.status = self.popen.returncode = os.waitstatus_to_exitcode(status)
                if usage.ru_maxrss > self._inherited:
                    self.resident = usage.ru_maxrss << 10
            elif time.monotonic() > deadline:
                return False
            else:
                time.sleep(pause)
                pause = min(2 * pause, 0.01)
        return True

    def end(self) -> None:
        """Kill it, and its session's other processes as far as they are in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait(10.0)
        self.close()

    def close(self) -> None:
        """Let go of it: of one that has ended, or of a parent's."""
        self.popen.returncode = self.popen.returncode or 0
        if self.ended >= 0:
            os.close(self.ended)
            self.ended = -1
        for pipe in (self.popen.stdin, self.popen.stdout, self.errors):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@contextlib.contextmanager
def _unlimited() -> Iterator[None]:
    """Children begin with as much address space as the hard limit has; a worker's own limit is soft."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == hard:
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class Server:
    """One process at a time, started when first asked. ``command``: program and arguments; ``seconds``: what an answer
    may take, in wall time, the start of the process included; ``memory``: bytes of address space, None for no
    limit; ``once``: each question gets a process of its own that is followed to its end."""

    def __init__(
        self, command: Sequence[str], *, seconds: float, memory: int | None = None, once: bool = False
    ) -> None:  # fmt: skip
        self.command = list(command)
        self.seconds = seconds
        self.memory = memory
        self.once = once
        self.slowest = 0.0
        """Seconds of the longest that an answer has taken."""
        self.watched = 0
        """How many of the next questions are watched."""
        self._live: list[_Process] = []
        """The process in use, then the spare one."""
        self._spares = 0
        self._owner = os.getpid()
        self._said = self._why = ""
        weakref.finalize(self, _end_all, self._live, self._owner)

    def ask(self, question: str) -> str:
        """The answer. TargetDied, TargetHung or ProtocolError if there is none, TargetUnavailable if there is no
        compiler."""
        data = question.encode()
        frame = struct.pack("<I", len(data)) + data
        again = True
        for _ in range(_STARTS):
            try:
                return self._ask(frame)
            except _Unasked:
                self._discard()
                self.watched = _WATCH
            except TargetDied as died:
                self._discard()
                self._spares = 1
                if died.status not in _FROM_OUTSIDE or not again:
                    raise
                again = False
            except (ProtocolError, TargetHung):
                self._discard()
                self._spares = 1
                raise
        why = f": {self._why}" if self._why else ""
        raise TargetUnavailable(f"{self.command[0]}: ends before it has read a question{why}")

    def warm_up(self, question: str, *, seconds: float) -> None:
        """Have a process that has answered: if there is none, start one and give it ``seconds`` for ``question``."""
        self._mine()
        if self._live and self._live[0].asked:
            return
        usual, self.seconds = self.seconds, seconds
        try:
            self.ask(question)
        finally:
            self.seconds = usual

    @property
    def said(self) -> str:
        """What the compiler said on its standard error over the last question it answered, the end of it."""
        return self._said

    def process_ids(self) -> list[int]:
        """Of the process in use and the spare one, as far as there are any."""
        return [process.pid for process in self._live]

    def renew(self) -> None:
        """The next question is the first of its process, and watched."""
        self._mine()
        if self._live and self._live[0].asked:
            self._discard()
        self.watched = max(self.watched, 1)

    def stop(self) -> None:
        """End the process, and whatever it has started."""
        self._mine()
        while self._live:
            self._live.pop(0).end()

    def _mine(self) -> None:
        """A forked child has no part in its parent's processes."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            for process in self._live:
                process.close()
            self._live = []
            weakref.finalize(self, _end_all, self._live, self._owner)

    def _discard(self) -> None:
        if self._live:
            self._live.pop(0).end()

    def _process(self) -> _Process:
        self._mine()
        while len(self._live) < 1 + self._spares:
            try:
                self._live.append(_Process(self.command, self.memory))
            except OSError as error:
                raise TargetUnavailable(f"{self.command[0]}: {error.strerror or error}") from None
        return self._live[0]

    def _ask(self, frame: bytes) -> str:
        alone = self.once or self.watched > 0
        if alone:
            self._spares = 1
            if self._live and self._live[0].asked:
                self._mine()
                self._discard()
        process = self._process()
        if process.asked and process.readable():
            raise _Unasked
        process.hush()
        began = time.monotonic()
        deadline = began + self.seconds
        try:
            _write(process, frame, deadline)
            (length,) = struct.unpack("<I", _read(process, 4, deadline))
            if length > _MAX_REPLY:
                raise ProtocolError(f"a reply of {length} bytes")
            early = process.unread() == process.sent
            answer = _read(process, length, deadline)
        except (BrokenPipeError, EOFError):
            if not process.wait(_PATIENCE):
                raise ProtocolError("it closed its output, but lives on") from None
            if process.unread() == process.sent:
                self._why = process.said()
                raise _Unasked from None
            raise _death(process, self.memory) from None
        except TimeoutError:
            raise TargetHung(f"no answer for {self.seconds:g} s") from None
        self.slowest = max(self.slowest, time.monotonic() - began)
        self._said = process.said()
        if alone:
            self.watched = max(self.watched - 1, 0)
            self._follow(process)
        elif early or process.readable():
            raise _Unasked
        try:
            return answer.decode()
        except UnicodeDecodeError:
            raise ProtocolError("an answer that is not UTF-8") from None

    def _follow(self, process: _Process) -> None:
        """See how a process ends that is asked no more."""
        assert process.popen.stdin is not None
        process.popen.stdin.close()
        if not process.wait(self.seconds):
            raise TargetHung(
                f"it lives on {self.seconds:g} s after its answer and the end of its input"
            )
        if process.readable() and _piece(process, 1):
            raise ProtocolError("more output after the answer")
        self._said = process.said()
        if process.status:
            raise _death(process, self.memory, "after its answer")


def _end_all(live: list[_Process], owner: int) -> None:
    """Nobody asks any more."""
    while live and owner == os.getpid():
        live.pop().end()


def _death(process: _Process, memory: int | None, when: str = "") -> TargetDied:
    assert process.status is not None
    crowded = memory is not None and process.resident > memory // 2
    return TargetDied(process.status, process.said(), crowded=crowded, when=when)


def _write(process: _Process, data: bytes, deadline: float) -> None:
    rest = memoryview(data)
    process.sent = 0
    while rest:
        try:
            count = os.write(process.stdin, rest)
            process.sent += count
            rest = rest[count:]
        except BlockingIOError:
            _wait_for(process, process.stdin, select.POLLOUT, deadline)


def _read(process: _Process, count: int, deadline: float) -> bytes:
    pieces = []
    while count:
        piece = _piece(process, count)
        if piece is None:
            _wait_for(process, process.stdout, select.POLLIN, deadline)
            continue
        if not piece:
            raise EOFError
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _piece(process: _Process, count: int) -> bytes | None:
    """What there is to read; None if there is nothing yet, nothing at the end."""
    try:
        return os.read(process.stdout, min(count, 1 << 20))
    except BlockingIOError:
        return None


def _wait_for(process: _Process, handle: int, event: int, deadline: float) -> None:
    """Until ``handle`` is ready; TimeoutError, or EOFError if the process ended, though its children hold the pipe."""
    poll = select.poll()
    poll.register(handle, event)
    if process.ended >= 0:
        poll.register(process.ended, select.POLLIN)
    left = deadline - time.monotonic()
    ready = dict(poll.poll(max(1, 1000 * left))) if left > 0 else {}
    if not ready:
        raise TimeoutError
    if handle not in ready:
        raise EOFError
