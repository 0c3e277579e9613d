"""Planting bugs by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def planted(names: Iterable[str]) -> Iterator[None]:
    """The named bugs are in the builtin backend for a while; KeyError if there is no such bug."""
    with contextlib.ExitStack() as stack:
        chosen = list(names)
        if chosen:
            from fuzzer.selftest.bugs import BUGS

            for name in chosen:
                stack.enter_context(BUGS[name].plant())
        yield
