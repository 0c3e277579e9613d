"""A worker for hire: ``python -m fuzzer.campaign.lease [FOLDER]`` carries out orders that come on its standard input.

It stands between a process that has threads (a worker of a cluster) and a crew, which forks. Lines of JSON go both ways
and nothing else (see :mod:`fuzzer.campaign.messages`): first the :class:`Terms`, answered with ``Over``, or with
``Unfit`` where they can't be met; then ``Order`` or ``Examine``, each answered with what comes of it and ``Over``.
A silence is never longer than about a second while it works: it says ``Alive``.

**Invariant.** An answer is a function of the terms and of what was asked, not of what was asked before: each order
begins with an empty corpus, and whose death is looked into is decided elsewhere. So whoever gets no answer may ask
somebody else.

It ends when its input does, after a ``Finish``, or when nobody asked for :data:`IDLE` seconds, and never outlives
its input. Whatever compilers print goes to nobody.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

import backend
import fuzzer
from fuzzer.campaign.crew import Crew
from fuzzer.campaign.investigate import versions_of
from fuzzer.campaign.messages import (
    Alive,
    Broken,
    Examine,
    Finish,
    Found,
    Message,
    Order,
    Over,
    Unfit,
    decode,
    encode,
)
from fuzzer.campaign.settings import Settings
from fuzzer.targets import TargetUnavailable, target_named

IDLE: Final = 30.0
"""Seconds after which a lease that is asked for nothing ends."""
_TICK: Final = 0.2
_ALIVE_EVERY: Final = 1.0
_GRACE: Final = 10.0
"""Seconds to come to an end after a ``Finish``: then findings stay as they are."""
_LIBRARIES: Final = ("hypothesis", "unicorn", "capstone", "keystone-engine")


class Terms(msgspec.Struct, frozen=True):
    """What orders are to be carried out under: those :class:`Settings` that a result depends on. ``code``: the
    :func:`fingerprint` of the campaign's own code; ``campaign``: a name that no other campaign has.
    """

    target: str
    isas: tuple[str, ...]
    seed: int
    shard: int
    options: dict[str, bool | int | str]
    plants: tuple[str, ...]
    timeout: float
    memory: int
    items: int
    second: str
    code: str
    campaign: str


def terms_of(settings: Settings, campaign: str) -> Terms:
    """The terms of a campaign."""
    return Terms(
        settings.target, settings.isas, settings.seed, settings.shard, settings.options,
        settings.plants, settings.timeout, settings.memory, settings.items, settings.second,
        fingerprint(settings.target), campaign,
    )  # fmt: skip


def fingerprint(target: str) -> str:
    """Eight bytes in hex of all that a result depends on besides its order: the sources of this program, its target's
    version, the libraries that draw and check. TargetUnavailable if there is no such target.
    """
    digest = blake2b(versions_of(target_named(target)).encode(), digest_size=8)
    for package in (backend, fuzzer):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"\0{path.relative_to(root)}\0".encode() + path.read_bytes())
    for name in _LIBRARIES:
        digest.update(f"\0{name} {version(name)}".encode())
    return digest.hexdigest()


class _Gone(Exception):
    """Nobody is at the other end any more."""


class _Line:
    """Messages to and from whoever hired us."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._buffer = b""
        self._said = time.monotonic()

    def say(self, message: Message) -> None:
        data = encode(message) + b"\n"
        try:
            while data:
                data = data[os.write(self._answers, data) :]
        except BrokenPipeError:
            raise _Gone from None
        self._said = time.monotonic()

    def say_alive(self) -> None:
        if time.monotonic() > self._said + _ALIVE_EVERY:
            self.say(Alive())

    def read(self, seconds: float) -> bytes | None:
        """The next line; None if none comes in time."""
        end = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = max(0.0, end - time.monotonic())
            if not select.select([self._commands], [], [], left)[0]:
                return None
            piece = os.read(self._commands, 1 << 16)
            if not piece:
                raise _Gone
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


class _Lease:
    """A crew of one, and the folder it works in."""

    def __init__(self, terms: Terms, folder: Path, line: _Line) -> None:
        self.line = line
        self.corpus = folder / "corpus"
        self.settings = Settings(
            terms.target, terms.isas, terms.seed, None, None, 1, self.corpus, folder,
            shard=terms.shard, options=terms.options, plants=terms.plants, timeout=terms.timeout,
            memory=terms.memory, items=terms.items, second=terms.second,
        )  # fmt: skip
        self.crew = Crew(self.settings, 1, examines=False)

    def serve(self) -> None:
        """Carry out what is asked for, until nobody asks or the crew can't be asked again."""
        fresh = True
        while fresh:
            asked = self.line.read(IDLE)
            if asked is None:
                return
            message = decode(asked)
            if isinstance(message, Finish):
                return
            shutil.rmtree(self.corpus, ignore_errors=True)
            if isinstance(message, Order):
                self.crew.give(message)
            else:
                assert isinstance(message, Examine)
                self.crew.examine(message.order, message.index)
            fresh = self._follow()
            self.line.say(Over())

    def _follow(self) -> bool:
        """Tell what comes of what was asked; False if the crew is used up."""
        give_up: float | None = None
        while self.crew.busy:
            for message in self.crew.hear(_TICK):
                self._say(message)
                if isinstance(message, Broken):
                    return False
            self.line.say_alive()
            if give_up is None and self.line.read(0) is not None:  # it can only be a Finish
                self.crew.finish()
                give_up = time.monotonic() + _GRACE
            if give_up is not None and time.monotonic() > give_up:
                for message in self.crew.stop():
                    self._say(message)
                return False
        return give_up is None

    def _say(self, message: Message) -> None:
        if isinstance(message, Found):
            message.path = ""  # nobody else can read it, and it would differ from lease to lease
        self.line.say(message)

    def end(self) -> None:
        """Leave no process behind."""
        for _ in self.crew.stop():
            pass


@contextlib.contextmanager
def _line() -> Iterator[_Line]:
    """The standard streams, taken away from whatever else might use them."""
    commands, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    yield _Line(commands, answers)


def misfit(terms: Terms) -> str:
    """Why this machine can't work under the terms, or ""."""
    try:
        ours = fingerprint(terms.target)
    except TargetUnavailable as error:
        return str(error)
    if ours != terms.code:
        return f"its code is {ours}, the campaign's is {terms.code}: install the same version of clifhanger there"
    return ""


def main() -> None:
    """The program. Its one argument: the folder to make its own temporary one in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    home = sys.argv[1] if len(sys.argv) > 1 else None
    with _line() as line, contextlib.suppress(_Gone):
        first = line.read(IDLE)
        if first is None:
            return
        terms = msgspec.json.decode(first, type=Terms)
        why = misfit(terms)
        if why:
            line.say(Unfit(why))
            line.say(Over())
            return
        with tempfile.TemporaryDirectory(prefix="clifhanger-lease-", dir=home) as folder:
            lease = _Lease(terms, Path(folder), line)
            try:
                line.say(Over())
                lease.serve()
            finally:
                lease.end()


if __name__ == "__main__":
    main()
