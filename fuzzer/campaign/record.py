"""What a worker is doing right now, where its parent can read it after its death.

A few words in shared memory, written before any native code runs: cheap enough for every case
(0.3 us), and enough to make the case again, since a case is a function of its seed.
"""

from __future__ import annotations

import mmap
import struct
import time
from typing import Final

IDLE: Final = 0
TRYING: Final = 1
SHRINKING: Final = 2

_FORMAT: Final = struct.Struct("<QQQd")


class InFlight:
    """One worker's record. Made by the parent before the fork, shared afterwards.

    The other way round there is one byte: whether the worker is to take no further case.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _FORMAT.size + 1)

    def stop(self) -> None:
        """Tell the worker to finish what it has begun, and no more."""
        self._memory[_FORMAT.size] = 1

    @property
    def stopped(self) -> bool:
        return self._memory[_FORMAT.size] != 0

    def write(self, phase: int, slice_: int = 0, index: int = 0) -> None:
        # One copy: pack_into would zero the record first, and a reader could see no time at all.
        self._memory[: _FORMAT.size] = _FORMAT.pack(phase, slice_, index, time.monotonic())

    def read(self) -> tuple[int, int, int, float]:
        """(phase, slice, index, time.monotonic() of the writing)."""
        phase, slice_, index, since = _FORMAT.unpack_from(self._memory, 0)
        return phase, slice_, index, since
