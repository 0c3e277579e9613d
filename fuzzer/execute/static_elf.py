"""A program of given bytes at given addresses: what a kernel, or qemu-user, starts without a linker or a library.

Source: System V Application Binary Interface, chapters 4 (ELF header) and 5 (program header). A segment is
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
_HEADER: Final = "16sHHI{0}{0}{0}IHHHHHH"
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
    bits: int = 64,
) -> bytes:
    """An executable file of ``bits`` bits, 64 or 32. ``machine``: ELF's number of it; ``entry``: where it
    starts; ``flags``: ``e_flags``."""
    order = ">" if big_endian else "<"
    wide = bits == 64
    layout = order + _HEADER.format("Q" if wide else "I")
    head_size, entry_size = struct.calcsize(layout), 56 if wide else 32
    ident = bytes((0x7F, *b"ELF", 2 if wide else 1, 2 if big_endian else 1, 1)).ljust(16, b"\0")
    count = len(segments) + 1
    header = struct.pack(layout, ident, _EXECUTABLE, machine, 1, entry, head_size, 0, flags,
                         head_size, entry_size, count, 0, 0, 0)  # fmt: skip

    def described(kind: int, access: int, where: int, address: int, size: int, align: int) -> bytes:
        if wide:
            return struct.pack(
                order + "IIQQQQQQ", kind, access, where, address, address, size, size, align
            )
        return struct.pack(
            order + "IIIIIIII", kind, where, address, address, size, size, access, align
        )

    at = _up(head_size + count * entry_size)
    table = [described(_STACK, READ | WRITE, 0, 0, 0, 16)]
    body = bytearray()
    for address, access, data in segments:
        size = len(data)
        where = at + len(body)
        table.append(described(_LOAD, access, where, address, size, _PAGE))
        body += data.ljust(_up(size), b"\0")
    return (header + b"".join(table)).ljust(at, b"\0") + bytes(body)


def _up(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
