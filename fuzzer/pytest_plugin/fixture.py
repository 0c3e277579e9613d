"""What the ``clif`` fixture calls."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import Unsupported
from fuzzer.outcome import Outcome
from fuzzer.testing import check


def check_or_skip(*args: Any, **options: Any) -> list[Outcome]:
    """:func:`fuzzer.testing.check`; the test is skipped if the target does not do the function."""
    __tracebackhide__ = True
    try:
        return check(*args, **options)
    except Unsupported as reason:
        pytest.skip(f"unsupported: {reason}")
