"""Campaigns against compilers that mean harm: no case is lost, none blamed wrongly, no process left behind."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from backend.ir.printer import print_functions
from fuzzer.campaign import worker
from fuzzer.campaign.crew import Crew
from fuzzer.campaign.messages import Broken, Died, Done, Found, Message, Order, Tried
from fuzzer.campaign.seeds import case_seed
from fuzzer.campaign.settings import Settings
from fuzzer.corpus.entry import parse_entry
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.draft import Limits
from fuzzer.targets import server, target_named

HOSTILE = Path(__file__).parents[1] / "targets/hostile.py"
ISA = "x86_64"
TRIGGER = "imul"
ITEMS = 12


class Mode(NamedTuple):
    """What a hostile mode is found to do: the check, and words of the detail. ``quick``, ``slow``: cases of the two
    tests, 0 where another mode stands for it; ``late``: it comes after the answer, so that the first cases that do it
    can't be told."""

    check: str
    words: str
    quick: int = 14
    slow: int = 700
    late: bool = False


HANG = "no answer for"
HANGS = ("loop", "deaf", "late")
MODES = {
    "segfault": Mode("crash", "SIGSEGV while compiling"),
    "abort": Mode("crash", "SIGABRT while compiling: hostile: lower.c:117: lower: Assertion"),
    "exits": Mode(
        "crash", "exit 101 while compiling: thread 'main' panicked at src/lower.rs:12:5:"
    ),
    "silent": Mode("crash", "exit 0 while compiling"),
    "half": Mode("crash", "exit 0 while compiling"),
    "orphans": Mode("crash", "SIGSEGV while compiling"),
    "hoard": Mode("crash", "out of memory while compiling", 8, 100),
    "loop": Mode("hang", HANG, 0, 100),
    "deaf": Mode("hang", HANG, 5, 100),
    "late": Mode("hang", HANG, 0, 100),
    "garbage": Mode("protocol", "a reply that begins with '}"),
    "undecodable": Mode("protocol", "an answer that is not UTF-8"),
    "lies": Mode("protocol", "offset 99999999999999999999 in 1 bytes of code"),
    "twice": Mode("protocol", "more output after the answer"),
    "huge": Mode("protocol", "a reply of 4294967295 bytes"),
    "closes": Mode("protocol", "it closed its output, but lives on", 5, 100),
    "twice_later": Mode("protocol", "more output after the answer", 21, late=True),
    "dies_later": Mode("crash", "SIGABRT after its answer", 21, late=True),
}


def marked(mark: str) -> list[int]:
    """The processes that have ``mark`` among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


class Campaign(NamedTuple):
    """What was said of the cases ``drawn``, and by whom nothing may be left."""

    drawn: list[str]
    said: list[Message]

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.said if isinstance(message, kind)]


def run(folder: Path, mode: str, trigger: str, cases: int, *, workers: int = 1) -> Campaign:
    """A crew's work on ``cases`` cases, in orders of 50."""
    mark = f"mark-{folder.name}-{mode}"
    timeout = 1.2 if mode in HANGS else 15.0
    words = [sys.executable, "-S", "-E", str(HOSTILE), mode, trigger, mark]
    memory = "192m" if mode == "hoard" else "1g"
    target = f"process:memory={memory} {shlex.join(words)}"
    settings = Settings(target, (ISA,), 7, None, None, workers, folder / "corpus", folder, timeout=timeout,
                        items=ITEMS)  # fmt: skip
    orders = [Order(i, 0, min(50, cases - 50 * i)) for i in range((cases + 49) // 50)]
    generator = CaseGenerator(target_named(target), ISA, limits=Limits(ITEMS))
    drawn = [
        print_functions(generator.from_seed(case_seed(7, 0, order.slice, index)).functions)
        for order in orders for index in range(order.stop)
    ]  # fmt: skip
    crew = Crew(settings, workers)
    said: list[Message] = []
    end = time.monotonic() + 500
    while orders or crew.busy:
        assert time.monotonic() < end
        while orders and crew.idle:
            crew.give(orders.pop(0))
        said += crew.hear(0.1)
        assert not [message for message in said if isinstance(message, Broken)]
    said += crew.stop()
    assert marked(mark) == []
    return Campaign(drawn, said)


def check(campaign: Campaign, mode: Mode) -> None:
    tried = [message for message in campaign.said if isinstance(message, Tried)]
    found = [message for message in campaign.said if isinstance(message, Found)]
    assert [message for message in campaign.said if isinstance(message, Died)] == []
    assert sum(isinstance(message, Done) for message in campaign.said) == len(tried)
    kinds: Counter[str] = Counter()
    for one in tried:
        kinds.update(one.kinds)
    bad = sum(TRIGGER in text for text in campaign.drawn)
    refused = sum(sum(one.unsupported.values()) for one in tried)
    assert sum(one.functions for one in tried) == len(campaign.drawn)
    assert refused + kinds.total() == len(campaign.drawn)
    assert {kind.partition("\0")[0] for kind in kinds} == {mode.check}
    missed = bad - kinds.total()
    assert 0 <= missed <= (max(2, bad // 8) if mode.late else 0)
    assert found
    for one in found:
        assert one.check == mode.check
        assert mode.words in one.detail
        assert not one.suspect
        assert TRIGGER in print_functions(parse_entry(one.text).case.functions)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the predicate is a process or a wait: enough to see that it shrinks."""
    monkeypatch.setattr(worker, "CALLS", {"crash": (6, 8), "protocol": (6, 8), "hang": (1, 1)})
    monkeypatch.setattr(server, "_PATIENCE", 0.2)


@pytest.mark.parametrize("mode", [name for name, row in MODES.items() if row.quick])
def test_whatever_it_does_is_a_finding_of_the_case_in_flight(tmp_path: Path, mode: str) -> None:
    row = MODES[mode]
    check(run(tmp_path, mode, TRIGGER, row.quick), row)


def bits(folder: Path, cases: int) -> None:
    campaign = run(folder, "bits", "30", cases)
    found = [message for message in campaign.said if isinstance(message, Found)]
    tried = [message for message in campaign.said if isinstance(message, Tried)]
    assert sum(one.functions for one in tried) == cases
    assert found
    assert {one.suspect for one in found if one.verdict != "draft"} == {
        "nondeterministic: seen again in 0 of 3 fresh processes"
    }


def test_what_no_fresh_process_repeats_is_said_to_be_so(tmp_path: Path) -> None:
    bits(tmp_path, 45)


@pytest.mark.slow
def test_ten_thousand_cases(tmp_path: Path) -> None:
    total = 0
    for mode, row in MODES.items():
        folder = tmp_path / mode
        folder.mkdir()
        check(run(folder, mode, TRIGGER, row.slow, workers=2), row)
        total += row.slow
    folder = tmp_path / "bits"
    folder.mkdir()
    bits(folder, 10_000 - total)
