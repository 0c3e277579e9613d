"""What a planted bug is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """``name``: a slug; ``cls``: the class of bugs it stands for; ``doc``: what is wrong, in one line.

    ``check``: the check expected to see it; ``limit``: the largest number of CLIF instructions its
    reproducer may have. ``witness``: the smallest CLIF function that shows it, as an entry's body with a
    ``; run:`` line or, where it needs memory or a trap, ``; input:`` lines (see runner). ``plant``: a context
    manager within which the bug is in.
    """

    name: str
    cls: str
    doc: str
    check: str
    limit: int
    witness: str
    plant: Callable[[], AbstractContextManager[None]]
    options: tuple[tuple[str, bool | int | str], ...] = ()
