"""Leases for a misbehaving compiler, with a short patience of their own.

::

    python leasing.py CLASS [FOLDER]
    MISBEHAVES=CLASS dask worker --preload leasing.py ...
"""

from __future__ import annotations

import os
import sys

from fuzzer.campaign import autopsy, lease, lessee
from fuzzer.targets import TARGETS, Row


def dask_setup(worker: object) -> None:
    """Called by a worker of Dask that preloads this file: its leases are ours."""
    lessee.PROGRAM[:] = [sys.executable, __file__, os.environ["MISBEHAVES"]]


if __name__ == "__main__":
    autopsy._CALLS.update(crash=(60, 120), hang=(12, 12))
    TARGETS["bad"] = Row("tests.unit.fuzzer.campaign.misbehaving", sys.argv.pop(1), "misbehaves")
    lease.IDLE = 2.0  # type: ignore[misc]  # a constant but for this test
    lease.main()
