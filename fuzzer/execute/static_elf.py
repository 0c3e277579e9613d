"""A program of given bytes at given addresses: what a kernel, or qemu-user, starts without a linker or a library.

Source: System V Application Binary Interface, chapters 4 (ELF header, 64 bits) and 5 (program header). A segment is
mapped in whole pages of the machine that runs it, so what lies behind its last byte, up to a page, is mapped as well.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

READ: Final = 4
WRITE: Final = 2
EXECUTE: Final = 1

_PAGE: Final = 0x1000
_HEADER: Final = "16sHHIQQQIHHHHHH"
_SEGMENT: Final = "IIQQQQQQ"
_HEADER_SIZE: Final = 64
_SEGMENT_SIZE: Final = 56
_EXECUTABLE: Final = 2
_LOAD: Final = 1
_STACK: Final = 0x6474_E551  # PT_GNU_STACK: the process's own stack need not be executable


class Segment(NamedTuple):
    """Bytes at an address, a multiple of 4096, that may be accessed as ``flags`` say."""

    address: int
    flags: int
    data: bytes


def static_elf(
    machine: int,
    entry: int,
    segments: Sequence[Segment],
    *,
    big_endian: bool = False,
    flags: int = 0,
) -> bytes:
    """An executable file of 64 bits. ``machine``: ELF's number of it; ``entry``: where it starts; ``flags``:
    ``e_flags``."""
    order = ">" if big_endian else "<"
    ident = bytes((0x7F, *b"ELF", 2, 2 if big_endian else 1, 1)).ljust(16, b"\0")
    count = len(segments) + 1
    header = struct.pack(order + _HEADER, ident, _EXECUTABLE, machine, 1, entry, _HEADER_SIZE, 0, flags,
                         _HEADER_SIZE, _SEGMENT_SIZE, count, 0, 0, 0)  # fmt: skip
    at = _up(_HEADER_SIZE + count * _SEGMENT_SIZE)
    table = [struct.pack(order + _SEGMENT, _STACK, READ | WRITE, 0, 0, 0, 0, 0, 16)]
    body = bytearray()
    for address, access, data in segments:
        size = len(data)
        where = at + len(body)
        table.append(
            struct.pack(order + _SEGMENT, _LOAD, access, where, address, address, size, size, _PAGE)
        )
        body += data.ljust(_up(size), b"\0")
    return (header + b"".join(table)).ljust(at, b"\0") + bytes(body)


def _up(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
