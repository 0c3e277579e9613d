"""What a campaign is told to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fuzzer.case import OptionValue
from fuzzer.execute.runtime import EXECUTOR


@dataclass(slots=True)
class Settings:
    """``seconds``/``functions``: the budget, whichever ends first (None: no limit). ``shard`` of ``shards``,
    from 0. ``timeout``: seconds one case may take before its worker is killed; ``memory``: bytes of
    address space a worker may use; ``plants``: bugs planted into the builtin backend; ``deadline``:
    ``time.monotonic()`` at which workers take no further case; ``baseline``: signatures that count as known;
    ``second``: the kind of second executor that is asked about findings (:mod:`fuzzer.execute.second`).
    ``runtime``: who answers calls of the run-time library (:mod:`fuzzer.execute.runtime`).
    """

    target: str
    isas: tuple[str, ...]
    seed: int
    seconds: float | None
    functions: int | None
    workers: int
    corpus: Path
    out: Path
    shard: int = 0
    shards: int = 1
    max_findings: int | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    plants: tuple[str, ...] = ()
    timeout: float = 10.0
    memory: int = 2 << 30
    items: int = 40
    deadline: float | None = None
    baseline: frozenset[str] = frozenset()
    second: str = "qemu"
    runtime: str = EXECUTOR
