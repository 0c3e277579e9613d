"""What a planted bug is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """``name``: a slug; ``cls``: the class of bugs it stands for; ``doc``: what is wrong, in one line.

    ``check``: the check expected to see it; ``limit``: the largest number of CLIF instructions its
    reproducer may have, constants counted (a reduced function has them in place of its parameters).
    ``witness``: a small CLIF function that shows it, with those that it calls, and the inputs to run it on (see
    :mod:`fuzzer.selftest.witness`). ``plant``: a context manager within which the bug is in.
    ``options``: the target's options that the witness needs. ``isa``: the one whose code is wrong, or whose code the
    witness shows it by if the patch is of what all ISAs share.
    """

    name: str
    cls: str
    doc: str
    check: str
    limit: int
    witness: str
    plant: Callable[[], AbstractContextManager[None]]
    options: tuple[tuple[str, bool | int | str], ...] = ()
    isa: str = "aarch64"
