"""What workers tell the parent, one JSON line each over a pipe: plain data, no pickle."""

from __future__ import annotations

import msgspec


class Progress(msgspec.Struct, tag="progress"):
    """Counts since the last message. ``rules``/``rows``: what fired for the first time in this worker."""

    functions: int
    runs: int
    instructions: int
    out_of_fuel: int
    unsupported: dict[str, int]
    rules: list[int]
    rows: list[int]
    slice: int
    done: bool


class Found(msgspec.Struct, tag="found"):
    """A finding that is on disk. ``verdict``: ``draft`` (not shrunk yet: another message follows unless the
    sender dies), ``new`` or ``known``.
    """

    path: str
    check: str
    isa: str
    signature: str
    skeleton: str
    detail: str
    before: int
    after: int
    verdict: str
    suspect: str


class Broken(msgspec.Struct, tag="broken"):
    """The fuzzer itself failed: a traceback for its makers."""

    where: str
    traceback: str


Message = Progress | Found | Broken
_decoder = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    return msgspec.json.encode(message)


def decode(data: bytes) -> Message:
    """The message; msgspec.DecodeError for anything else."""
    message: Message = _decoder.decode(data)
    return message
