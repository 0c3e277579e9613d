"""Looking for one planted bug as a campaign would, with the defaults and no hint.

Each bug has a process of its own: a planted bug may hang it or kill it, and must not outlive it.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import msgspec

from fuzzer.campaign.investigate import entry_of, restated, shrink, versions_of
from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.campaign.seeds import SLICE, case_seed
from fuzzer.corpus.entry import Entry, print_entry
from fuzzer.corpus.store import Store
from fuzzer.finding import Finding
from fuzzer.generate.cases import CaseGenerator
from fuzzer.selftest.bug import Bug
from fuzzer.targets import target_named
from fuzzer.trial import expected_of, run_trial

_GRACE: Final = 30.0
"""Seconds that shrinking may take past the budget before the process is given up."""
_ENOUGH: Final = 6
"""Findings of the expected check to shrink before the smallest is taken for the answer."""
_MEMORY: Final = 4 << 30


@dataclass(slots=True)
class Verdict:
    """What came of one bug. ``seconds`` and ``functions``: until it was found and shrunk, or given up."""

    name: str
    cls: str
    found: bool
    check: str
    seconds: float
    functions: int
    instructions: int
    limit: int
    others: list[str]
    why: str = ""

    @property
    def passed(self) -> bool:
        return self.found and self.instructions <= self.limit

    def row(self) -> dict[str, object]:
        """As the JSON report shows it."""
        fields = asdict(self)
        return {"class" if name == "cls" else name: value for name, value in fields.items()}


def look_for(bug: Bug, isa: str, *, seconds: float, seed: int, corpus: Path | None) -> Verdict:
    """Fuzz the planted backend until the bug's check fires and its finding is shrunk."""
    started = time.monotonic()

    def work(stage: object) -> bytes:
        with bug.plant():
            return msgspec.json.encode(_search(bug, isa, started + seconds, seed, corpus))

    ended = run_isolated(work, seconds=seconds + _GRACE, memory=_MEMORY)
    spent = time.monotonic() - started
    if isinstance(ended, Death):
        return Verdict(bug.name, bug.cls, False, bug.check, spent, 0, 0, bug.limit, [],
                       f"{ended.how} while {ended.stage}")  # fmt: skip
    found, functions, instructions, others = msgspec.json.decode(
        ended, type=tuple[bool, int, int, list[str]]
    )
    return Verdict(bug.name, bug.cls, found, bug.check, spent, functions, instructions, bug.limit,
                   others, "" if found else "not found in time")  # fmt: skip


def _search(
    bug: Bug, isa: str, deadline: float, seed: int, corpus: Path | None
) -> tuple[bool, int, int, list[str]]:
    target = target_named("builtin")
    generator = CaseGenerator(target, isa)
    others: set[str] = set()
    functions = 0
    smallest: Finding | None = None
    tries = 0
    while time.monotonic() < deadline:
        number = case_seed(seed, 0, functions // SLICE, functions % SLICE)
        case = generator.from_seed(number)
        functions += 1
        _, found = run_trial(case, target, thorough=number % 8 == 0)
        for violation in found:
            if violation.check != bug.check:
                others.add(violation.check)
                continue
            small = restated(
                shrink(Finding(case, target.name, violation), target, generator), target
            )
            tries += 1
            if smallest is None or _size(small) < _size(smallest):
                smallest = small
            if _size(smallest) <= bug.limit or tries >= _ENOUGH:
                if corpus is not None:
                    entry = entry_of(smallest, seed=f"{seed:#x}/{number:#x}", plant=bug.name,
                                     versions=versions_of(target))  # fmt: skip
                    entry.status = "fixed"
                    entry.signature = _signature_of(entry, bug)
                    Store(corpus).save(entry, print_entry(entry, expected_of(smallest.case)))
                return True, functions, _size(smallest), sorted(others)
            break
    if smallest is not None:
        return True, functions, _size(smallest), sorted(others)
    return False, functions, 0, sorted(others)


def _signature_of(entry: Entry, bug: Bug) -> str:
    """Of the planted bug: two that look alike have an entry each, and neither stands for a real one."""
    return hashlib.sha256(f"{entry.signature}\0{bug.name}".encode()).hexdigest()[:12]


def _size(finding: Finding) -> int:
    return finding.case.instruction_count()
