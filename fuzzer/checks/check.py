"""What a check is: a named rule, and a function that looks at a trial for breaches of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial


@dataclass(frozen=True, slots=True)
class Check:
    """One rule. ``kind``: the corpus folder of its findings (``mismatch``, ``crash``, ``hang``).

    ``look`` yields violations; the first of each key is reported. ``anomalous``: look only if a
    run was not as it had to be; ``costly``: look only in thorough trials. ``by_shape``: the key alone does
    not tell causes apart, so the signature takes in the opcodes and types of the minimal function.
    """

    name: str
    doc: str
    look: Callable[[Trial], Iterator[Violation]]
    kind: str = "mismatch"
    anomalous: bool = False
    costly: bool = False
    by_shape: bool = False
