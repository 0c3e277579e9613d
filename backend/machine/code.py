"""The code container: bytes with a capacity, an owner, and red zones that tell on a stray write.

A compiler backend that gets its capacity check wrong by one word usually gets away with it: the
next thing in memory is slack. Here nothing is slack. The storage is laid out as ::

    | red zone | claimed: length | unclaimed: capacity - length | red zone |

and everything but the claimed part holds a known pattern, so :meth:`CodeBuffer.damage` can say
which bytes were written that nobody had claimed. Invariants:

- ``length <= capacity``, and a write that would break this grows the storage first (doubling);
- bytes that are given up again hold the pattern again;
- growing looks for damage before it lets the old storage go, so that evidence outlives it;
- the code is handed out once; afterwards nothing can be put, patched or taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from backend.errors import BufferError

ZONE: Final = 16
"""Bytes of a red zone."""

_WORD: Final = Struct("<I")
_pack_word: Final = _WORD.pack_into
_unpack_word: Final = _WORD.unpack_from
_PATTERN: Final = bytes((0xA5 + 29 * i) & 0xFF for i in range(256))
_LONG: Final = _PATTERN * 64
_RED: Final = _LONG[:ZONE]


def _pattern(size: int) -> bytes:
    """What ``size`` bytes of storage hold before anything is put."""
    return _LONG[:size] if size <= len(_LONG) else (_PATTERN * (size // 256 + 1))[:size]


class CodeBuffer:
    """Growable code bytes. ``capacity`` and ``length`` are in bytes; words are little-endian."""

    __slots__ = ("_room", "_store", "_witnessed", "capacity", "length", "taken")

    def __init__(self, capacity: int = 16) -> None:
        self.capacity = capacity
        self.length = 0
        self.taken = 0
        self._witnessed: list[str] = []
        self._store = bytearray(_pattern(ZONE + capacity + ZONE))
        #: what ``length`` may grow to without a look: the capacity, nothing once taken
        self._room = capacity

    def put4(self, word: int) -> None:
        """Append a 32-bit word. BufferError once the code was taken."""
        at = self.length
        if at + 4 > self._room:
            self._grow(at + 4)
        _pack_word(self._store, ZONE + at, word)
        self.length = at + 4

    def put(self, data: bytes) -> None:
        """Append bytes. BufferError once the code was taken."""
        at = self.length
        end = at + len(data)
        if end > self._room:
            self._grow(end)
        self._store[ZONE + at : ZONE + end] = data
        self.length = end

    def read(self, start: int, end: int) -> bytes:
        """The claimed bytes from ``start`` to ``end``."""
        return bytes(self._store[ZONE + start : ZONE + min(end, self.length)])

    def read4(self, offset: int) -> int:
        """The word at ``offset``. BufferError if it is not wholly inside the claimed bytes."""
        self._check_claimed(offset)
        word: int = _unpack_word(self._store, ZONE + offset)[0]
        return word

    def patch4(self, offset: int, word: int) -> None:
        """Overwrite the word at ``offset``. BufferError if it is not wholly inside the claimed
        bytes.
        """
        self._check_claimed(offset)
        _pack_word(self._store, ZONE + offset, word)

    def shorten(self, pieces: Sequence[tuple[int, int, bytes]]) -> None:
        """Put each piece's bytes in the place of those from its start to its end, which are no fewer. Pieces come in
        order. BufferError if one is not inside the claimed bytes."""
        claimed = bytes(self._store[ZONE : ZONE + self.length])
        parts: list[bytes] = []
        at = 0
        for start, end, data in pieces:
            if self.taken or not at <= start <= end <= self.length or len(data) > end - start:
                raise BufferError(f"bytes {start}..{end} can't be replaced by {len(data)}")
            parts += [claimed[at:start], data]
            at = end
        parts.append(claimed[at:])
        kept = b"".join(parts)
        self._store[ZONE : ZONE + self.length] = (
            kept + _pattern(ZONE + self.length)[ZONE + len(kept) :]
        )
        self.length = len(kept)

    def take(self) -> bytes:
        """Hand the code out. BufferError the second time: it has an owner by then."""
        self.taken += 1
        if self.taken > 1:
            raise BufferError("the code was taken twice")
        self._room = -1
        return bytes(self._store[ZONE : ZONE + self.length])

    def damage(self) -> list[str]:
        """What was written outside the claimed bytes, one line a run; empty if all is well."""
        return self._witnessed + self._inspect()

    def _check_claimed(self, offset: int) -> None:
        if self.taken:
            raise BufferError(f"byte {offset} touched after the code was taken")
        if offset < 0 or offset + 4 > self.length:
            raise BufferError(
                f"the word at byte {offset} is not inside the {self.length} claimed bytes"
            )

    def _grow(self, needed: int) -> None:
        if self.taken:
            raise BufferError("written after the code was taken")
        self._witnessed += self._inspect()
        while self.capacity < needed:
            self.capacity = max(4, self.capacity * 2)
        store = bytearray(_pattern(ZONE + self.capacity + ZONE))
        store[ZONE : ZONE + self.length] = self._store[ZONE : ZONE + self.length]
        self._store = store
        self._room = self.capacity

    def _inspect(self) -> list[str]:
        store = self._store
        end, size = ZONE + self.length, ZONE + self.capacity + ZONE
        if (
            len(store) == size <= len(_LONG)
            and self.length <= self.capacity
            and store.startswith(_RED)
            and store.endswith(_LONG[end:size])
        ):
            return []
        clean = _pattern(size)
        found = []
        if len(store) != len(clean):
            found.append(f"the storage has {len(store)} bytes instead of {len(clean)}")
        if store[:ZONE] == clean[:ZONE] and store[end:] == clean[end:]:
            # A length beyond the capacity claims part of the red zone itself.
            return found if self.length <= self.capacity else [*found, self._overrun()]
        if self.length > self.capacity:
            found.append(self._overrun())
        start = -1
        for i in [*range(ZONE), *range(end, len(clean) + 1)]:
            broken = i < min(len(store), len(clean)) and store[i] != clean[i]
            if broken and start < 0:
                start = i
            elif not broken and start >= 0:
                if start < ZONE:
                    where = "before the code"
                elif i > ZONE + self.capacity:
                    where = "past the capacity"
                else:
                    where = "past the length"
                found.append(f"bytes {start - ZONE}..{i - ZONE} written {where}")
                start = -1
        return found

    def _overrun(self) -> str:
        return f"{self.length} bytes claimed of a capacity of {self.capacity}"
