"""What a campaign came to: the one thing that every report is made from.

The campaign's state (:mod:`fuzzer.campaign.state`) gives it; HTML, JUnit, SARIF, GitHub's annotations and
JSON only read it. Times are seconds of campaign time, summed over resumptions, unless they say otherwise.
"""

from __future__ import annotations

import msgspec


class FindingRow(msgspec.Struct, frozen=True):
    """One root cause. ``path``: its corpus entry; ``before``/``after``: instructions as drawn and as shrunk;
    ``verdict``: ``new`` (found by this campaign), ``known`` (its entry was in the corpus before) or ``suspect`` (new,
    but another executor does not repeat it: nothing is said against the compiler);
    ``seconds``: when it was first seen; ``times``: how often; ``suspect``: why the executor may be at fault.
    """

    signature: str
    check: str
    kind: str
    target: str
    isa: str
    path: str
    skeleton: str
    detail: str
    before: int
    after: int
    verdict: str
    seconds: float
    times: int = 1
    suspect: str = ""


class Sample(msgspec.Struct, frozen=True):
    """The sums at one moment."""

    seconds: float
    functions: int
    runs: int
    findings: int
    workers: int


class Cell(msgspec.Struct, frozen=True):
    """An opcode at a type (controlling type, ``-`` if it has none) on an ISA that the target supports.
    ``count``: cases drawn that hold it, compiled at ``level`` of optimisation ("": the target has one only); 0: never
    tried.
    """

    opcode: str
    type: str
    isa: str
    count: int
    level: str = ""


class Fired(msgspec.Struct, frozen=True):
    """A lowering rule or an instruction row, and in how many functions it fired."""

    name: str
    isa: str
    count: int
    level: str = ""


class Event(msgspec.Struct, frozen=True):
    """A line of the journal. ``kind``: ``start``, ``resume``, ``stop``, ``death``, ``finding``, ``error``."""

    seconds: float
    kind: str
    text: str


class Summary(msgspec.Struct):
    """``started``: UTC, ISO 8601, of the first start; ``shard``: ``K/N`` from 1; ``versions``: of the fuzzer, the
    target, the emulator; ``options``: those fixed for the campaign; ``unsupported``: functions the
    target refused, by reason.
    """

    target: str
    isas: list[str]
    seed: int
    shard: str
    started: str
    seconds: float
    versions: str
    options: dict[str, bool | int | str]
    plants: list[str]
    corpus: str
    out: str
    functions: int
    runs: int
    instructions: int
    out_of_fuel: int
    worker_deaths: int
    known: int
    interrupted: bool
    findings: list[FindingRow]
    unsupported: dict[str, int]
    rules: list[Fired]
    rows: list[Fired]
    cells: list[Cell]
    samples: list[Sample]
    events: list[Event]
    errors: list[str]

    @property
    def new(self) -> list[FindingRow]:
        """The findings that this campaign was the first to see."""
        return [row for row in self.findings if row.verdict == "new"]
