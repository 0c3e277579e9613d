"""Where a case's seed comes from: (campaign, shard, slice, index), and nothing else.

Not from a worker's name, the clock or CI's environment: a campaign's cases are the same however many
workers share them, and no two shards draw the same.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

SLICE: Final = 32
"""Cases a worker takes at a time."""


def case_seed(campaign: int, shard: int, slice_: int, index: int) -> int:
    """64 bits; collisions between different arguments are as likely as of a hash."""
    packed = struct.pack("<QQQQ", campaign & (1 << 64) - 1, shard, slice_, index)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")
