"""The asking side: start a host, ask it, start another if it dies.

Messages are JSON objects behind four bytes of length, little-endian, over the host's standard input and
output. Only the standard library is imported here, so that asking is cheap to prepare.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any, Final

_START: Final = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
_CAREFUL: Final = 100
"""Questions for which cases are forked after a host has died: what kills it is likely to come again, shrunk."""
_GRACE: Final = 60.0
"""Seconds a host gets, beyond what it allows the case, to start and to answer."""
CASE_SECONDS: Final = 30.0
"""Wall seconds after which a case counts as hanging, unless the request says otherwise."""

Answer = dict[str, Any]


class HostError(Exception):
    """There is no answer, and it is not the compiler's fault as far as one can tell; says why in one line."""


def python(function: str, *args: str) -> list[str]:
    """The command that calls ``module:function`` in a fresh Python that imports from where this one does."""
    module, _, name = function.partition(":")
    code = f"{_START}from {module} import {name}; {name}()"
    return [sys.executable, "-c", code, json.dumps(sys.path), *args]


def known_targets() -> dict[str, list[str]]:
    """The rows of ``TARGETS`` as they are now, for another process; none if nobody has looked at them."""
    module = sys.modules.get("fuzzer.targets")
    return {} if module is None else {name: list(row) for name, row in module.TARGETS.items()}


def pack(message: Answer) -> bytes:
    data = json.dumps(message).encode()
    return struct.pack("<I", len(data)) + data


class Host:
    """One host process, started when first asked. Safe for threads: they take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._owner = os.getpid()
        self._careful = 0

    def ask(self, request: Answer, seconds: float = CASE_SECONDS) -> Answer:
        """The host's answer. ``seconds``: what the request allows a case.

        A host that dies is replaced and asked again, once and with the case in a child: HostError if that one
        dies too.
        """
        request = {**request, "targets": known_targets(), "seconds": seconds}
        with self._lock:
            if os.getpid() != self._owner:  # a fork: the pipes are the parent's
                self._process, self._owner = None, os.getpid()
            for attempt in (1, 2):
                self._careful -= self._careful > 0
                message = pack({**request, "forked": self._careful > 0})
                try:
                    answer = self._exchange(message, time.monotonic() + seconds + _GRACE)
                except (OSError, EOFError):
                    how = self._stop()
                    self._careful = _CAREFUL
                    if attempt == 2:
                        raise HostError(how) from None
                    continue
                except BaseException:  # an interrupt between question and answer
                    self._stop()
                    raise
                if "broken" in answer:
                    raise HostError(f"internal error of clifhanger's\n{answer['broken']}")
                return answer
        raise AssertionError("unreachable")

    def begin(self) -> None:
        """Start the host, which takes a third of a second, and don't wait for it."""
        with self._lock:
            if self._process is None and os.getpid() == self._owner:
                self._process = self._start()

    def close(self) -> None:
        """End the host, if there is one; the next question starts another."""
        with self._lock:
            if self._process is not None and os.getpid() == self._owner:
                self._stop(patience=0)

    def _exchange(self, message: bytes, deadline: float) -> Answer:
        if self._process is None:
            self._process = self._start()
        source, sink = self._process.stdout, self._process.stdin
        assert source is not None
        assert sink is not None
        sink.write(message)
        sink.flush()
        (length,) = struct.unpack("<I", _read(source.fileno(), 4, deadline))
        answer: Answer = json.loads(_read(source.fileno(), length, deadline))
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        command = python("fuzzer.host.server:main", str(os.getpid()))
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=-1,
            process_group=0,
        )  # fmt: skip

    def _stop(self, patience: float = 0.2) -> str:
        """Kill the host; how it had ended by itself within ``patience`` seconds, with the last line it wrote."""
        process, errors = self._process, self._errors
        self._process = self._errors = None
        if process is None or errors is None:
            return "the process that tries cases could not be started"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        status = process.poll()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        errors.seek(0)
        lines = errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        errors.close()
        how = "gave no answer" if status is None else f"ended ({_status_text(status)})"
        return f"the process that tries cases {how}" + (f": {lines[-1]}" if lines else "")


def _status_text(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit {status}"


def _read(handle: int, count: int, deadline: float) -> bytes:
    data = b""
    while len(data) < count:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            raise EOFError
        piece = os.read(handle, min(count - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return data


HOST: Final = Host()
"""This process's host."""
atexit.register(HOST.close)
