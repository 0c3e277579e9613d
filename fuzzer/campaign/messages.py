"""What a campaign and those who work for it tell each other, one JSON document each: plain data, no pickle.

An order goes one way. The other way come, for each order, any number of ``Progress``, one ``Tried``, any
number of ``Found``, and ``Done``; ``Died``, and what an autopsy ``Found``, belong to no order. From ``Examine``
on they are said between machines only.
"""

from __future__ import annotations

import msgspec

from fuzzer.campaign.coverage import Coverage


class Order(msgspec.Struct, tag="order"):
    """Cases ``start`` up to ``stop`` of a slice, but not those of ``skip``, which killed somebody before.

    ``counted``: its ``Tried`` was heard before its doer died: only its findings are still wanted. ``focus``: forms
    (opcode, type) to draw more often, by ISA; ``seen``: how often each kind of violation (check, NUL, key) had been
    seen when the slice's epoch was planned, and in the slice's cases before ``start``.
    """

    slice: int
    start: int
    stop: int
    focus: dict[str, list[tuple[str, str]]] = {}
    seen: dict[str, int] = {}
    skip: list[int] = []
    counted: bool = False


class Progress(msgspec.Struct, tag="progress"):
    """What the current order has come to so far."""

    slice: int
    functions: int
    runs: int


class Tried(msgspec.Struct, tag="tried"):
    """All cases of an order were tried, up to ``stop`` if time was up. ``coverage``: by ISA; ``kinds``: violations
    by kind (check, NUL, key)."""

    slice: int
    start: int
    stop: int
    functions: int = 0
    runs: int = 0
    instructions: int = 0
    out_of_fuel: int = 0
    unsupported: dict[str, int] = {}
    coverage: dict[str, Coverage] = {}
    kinds: dict[str, int] = {}


class Found(msgspec.Struct, tag="found"):
    """A finding. ``verdict``: ``draft`` (not shrunk yet and on no disk: another message follows unless the sender
    dies), or, of one that is on its finder's disk, ``new`` or ``known``. ``text``: the entry. ``refuted``: as of
    :class:`fuzzer.finding.Violation`.
    """

    path: str
    check: str
    kind: str
    isa: str
    signature: str
    skeleton: str
    detail: str
    before: int
    after: int
    verdict: str
    suspect: str
    text: str
    refuted: bool = False


class Done(msgspec.Struct, tag="done"):
    """The order is carried out. ``complete``: all that was worth it was investigated; else time was up, and the slice
    is to be done again if the campaign goes on.
    """

    slice: int
    complete: bool = True


class Died(msgspec.Struct, tag="died"):
    """A worker died, or a culprit turned out to be none. ``text``: for people; "" if it has been said often.
    ``how`` and the ``index`` of the case it was at (-1: at none): if whoever hears it is to look into it.
    """

    text: str = ""
    worker: bool = True
    how: str = ""
    index: int = -1


class Broken(msgspec.Struct, tag="broken"):
    """The fuzzer itself failed: a traceback for its makers, or with ``full`` a disk that took no more."""

    where: str
    traceback: str
    full: bool = False


class Examine(msgspec.Struct, tag="examine"):
    """Asks what a case of an order does to its process: an autopsy. Answered with ``Found`` or ``Died``."""

    order: Order
    index: int


class Finish(msgspec.Struct, tag="finish"):
    """Asks to try no further case and to come to an end with what was begun."""


class Alive(msgspec.Struct, tag="alive"):
    """There is nothing to tell, but somebody is at work."""


class Over(msgspec.Struct, tag="over"):
    """Nothing more comes of what was asked."""


class Unfit(msgspec.Struct, tag="unfit"):
    """A machine that can't work for this campaign, and why, in one line. ``worker``: its address."""

    text: str
    worker: str = ""


class Lost(msgspec.Struct, tag="lost"):
    """All workers are out of reach, for good. ``text``: why; ``remedy``: what to do before going on."""

    text: str
    remedy: str


Message = (
    Order | Progress | Tried | Found | Done | Died | Broken
    | Examine | Finish | Alive | Over | Unfit | Lost
)  # fmt: skip
_decoder = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    return msgspec.json.encode(message)


def decode(data: bytes) -> Message:
    """The message; msgspec.DecodeError for anything else."""
    message: Message = _decoder.decode(data)
    return message
