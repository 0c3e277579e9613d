"""Ways to put a bug in and take it out again, whatever happens in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name`` is ``value`` for a while."""
    missing = object()
    before = vars(owner).get(name, missing) if hasattr(owner, "__dict__") else getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


@contextlib.contextmanager
def wrapped(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    """``owner.name`` is what ``wrap`` makes of it for a while."""
    with attribute(owner, name, wrap(getattr(owner, name))):
        yield


@contextlib.contextmanager
def item(table: Any, key: Any, value: Any) -> Iterator[None]:
    """``table[key]`` is ``value`` for a while."""
    before = table[key]
    table[key] = value
    try:
        yield
    finally:
        table[key] = before


@contextlib.contextmanager
def together(*plants: contextlib.AbstractContextManager[None]) -> Iterator[None]:
    """Several patches as one bug."""
    with contextlib.ExitStack() as stack:
        for plant in plants:
            stack.enter_context(plant)
        yield
