"""What runs in a worker process of a cluster: it passes orders on to leases and brings back what they say.

A cluster's worker has threads, so nothing is compiled, forked or unpickled here: bytes go to a process of
:mod:`fuzzer.campaign.lease` and bytes come back. A lease that dies or falls silent is replaced and asked again, which
is safe, since its answer depends on nothing but the question.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from fuzzer.campaign.lease import Terms
from fuzzer.campaign.messages import Alive, Finish, Over, Progress, Unfit, decode, encode

PROGRAM: Final = [sys.executable, "-m", "fuzzer.campaign.lease"]
FINISH: Final = "finish"
STOP: Final = "stop"
"""What a campaign calls to all who work for it: an event of the cluster, named campaign + call."""
ATTEMPTS: Final = 3
"""Leases that may be lost over one order before it is given back."""
_SILENCE: Final = 60.0
"""Seconds without a word after which a lease is taken to hang."""
_LISTEN_EVERY: Final = 1.0

Called = Callable[[str], bool]
"""Has the campaign called this?"""


class LeaseLost(Exception):
    """A lease died or fell silent over an order."""


class Lease:
    """The process of one lease. ``unfit``: the message of one that can't work under its terms, or b""."""

    def __init__(self, terms: bytes, folder: str | None = None) -> None:
        self.terms = terms
        self._buffer = b""
        self.process = subprocess.Popen(
            [*PROGRAM, *([folder] if folder else [])], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, bufsize=0, start_new_session=True,
        )  # fmt: skip
        try:
            self.unfit = self.ask(terms)
        except BaseException:
            self.end()
            raise

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def ask(self, question: bytes, called: Called | None = None) -> bytes:
        """All that comes of a question, a message a line; b"" if the campaign called to stop. LeaseLost."""
        self._write(question)
        lines: list[bytes] = []
        now = time.monotonic()
        listen, heard = now + _LISTEN_EVERY, now
        told = False
        while True:
            line = self._read(0.25)
            now = time.monotonic()
            if line is not None:
                heard = now
                message = decode(line)
                if isinstance(message, Over):
                    return b"\n".join(lines)
                if not isinstance(message, Alive | Progress):
                    lines.append(line)
            elif now > heard + _SILENCE:
                raise LeaseLost(f"no word of it for {_SILENCE:g}s")
            if called is not None and now > listen:
                listen = now + _LISTEN_EVERY
                if called(STOP):
                    self.end()
                    return b""
                if not told and called(FINISH):
                    told = True
                    self._write(encode(Finish()))

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        data = line + b"\n"
        try:
            while data:
                data = data[self.process.stdin.write(data) :]
        except OSError as error:
            raise LeaseLost(f"it takes nothing: {error.strerror}") from None

    def _read(self, seconds: float) -> bytes | None:
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            if not select.select([self.process.stdout], [], [], seconds)[0]:
                return None
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                raise LeaseLost(f"it ended with status {self.process.wait()}")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def end(self) -> None:
        """Kill it and all that belongs to it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait()


_idle: Final[list[Lease]] = []
_lock: Final = threading.Lock()


def _take(terms: bytes, folder: str | None) -> Lease:
    """A lease under these terms that nobody uses, an old one or a new."""
    with _lock:
        for lease in [lease for lease in _idle if lease.ended]:
            _idle.remove(lease)
            lease.end()
        for lease in _idle:
            if lease.terms == terms:
                _idle.remove(lease)
                return lease
    return Lease(terms, folder)


def answer(
    terms: bytes, question: bytes, called: Called | None = None, folder: str | None = None
) -> bytes:
    """What comes of a question, asked of a lease of this process's; b"" for an empty question, which only sees to it
    that there is a lease. LeaseLost if several were lost over it.
    """
    lost: LeaseLost | None = None
    for _ in range(ATTEMPTS):
        try:
            lease = _take(terms, folder)
        except LeaseLost as error:
            lost = error
            continue
        if lease.unfit:
            lease.end()
            return lease.unfit
        try:
            said = lease.ask(question, called) if question else b""
        except BaseException as error:
            lease.end()
            if not isinstance(error, LeaseLost | msgspec.DecodeError):
                raise
            lost = LeaseLost(str(error))
            continue
        if lease.ended:
            lease.end()
        else:
            with _lock:
                _idle.append(lease)
        return said
    raise LeaseLost(f"{ATTEMPTS} processes were lost over one order, the last: {lost}")


def serve(settings_json: bytes, order_json: bytes) -> bytes:
    """The task that a cluster runs: carry out an order (JSON of ``Order`` or ``Examine``) under the terms
    (JSON of ``Terms``); what comes of it is a message a line. An empty order asks only whether this worker is fit.

    It may be repeated anywhere and at any time. b"" also if the campaign called it off meanwhile.
    """
    from distributed import get_worker

    worker: Any = get_worker()
    name = msgspec.json.decode(settings_json, type=Terms).campaign

    def called(what: str) -> bool:
        asked = asyncio.run_coroutine_threadsafe(
            worker.scheduler.event_is_set(name=f"{name}-{what}"), worker.loop.asyncio_loop
        )
        try:
            return bool(asked.result(5.0))
        except (TimeoutError, OSError):
            return False

    said = answer(settings_json, order_json, called, worker.local_directory)
    if said and b"\n" not in said:
        message = decode(said)
        if isinstance(message, Unfit):
            return encode(Unfit(message.text, worker.address))
    return said
