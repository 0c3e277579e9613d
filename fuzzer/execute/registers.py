"""Many registers of Unicorn's in one call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any


class Batch:
    """A fixed list of registers, read or written in one call: ids, pointers, values of 128 bits as two words."""

    __slots__ = ("bytes", "count", "ids", "pointers", "values")

    def __init__(self, ids: Sequence[int]) -> None:
        n = len(ids)
        self.count = n
        self.ids = (ctypes.c_int * n)(*ids)
        self.values = (ctypes.c_uint64 * (2 * n))()
        base = ctypes.addressof(self.values)
        self.pointers = (ctypes.c_void_p * n)(*[base + 16 * i for i in range(n)])
        self.bytes = memoryview(self.values).cast("B")

    def read(self, lib: Any, handle: Any) -> None:
        """Fill ``values``."""
        lib.uc_reg_read_batch(handle, self.ids, self.pointers, self.count)

    def write(self, lib: Any, handle: Any) -> None:
        """Set the registers to ``values``."""
        lib.uc_reg_write_batch(handle, self.ids, self.pointers, self.count)
