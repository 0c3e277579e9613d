"""Workers that pretend: no process, no compiler, but the messages of real ones, in any order that a test draws.

What a case comes to follows from its number and what its slice is told to focus on, as it does with real ones. Every
attempt at a case is noted with what a real worker would know at that moment, so that a test can say that it did not
depend on who was first, who stopped and who was killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuzzer.campaign import campaign as parent
from fuzzer.campaign.campaign import Campaign, Totals
from fuzzer.campaign.coverage import Coverage, Form
from fuzzer.campaign.messages import Done, Found, Message, Order, Tried
from fuzzer.campaign.schedule import Counts, Rulebook
from fuzzer.campaign.settings import Settings
from fuzzer.campaign.state import Header, State, create, exists, resume
from fuzzer.report.summary import FindingRow
from fuzzer.targets.builtin import Builtin

ISA = "aarch64"
FORMS: list[Form] = [(f"op{number}", "i32") for number in range(20)]
Known = tuple[tuple[Form, ...], tuple[tuple[str, int], ...]]
"""What is known when a case is tried: the forms to focus on, how often each kind was seen."""


begun: Counter[int] = Counter()
"""How often each slice was begun or gone on with."""


class Killed(Exception):
    """The campaign is gone, with all that it had not written."""


class Silent:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[FindingRow] = []

    def found(self, row: FindingRow) -> None:
        self.told.append(row)

    def died(self, what: str) -> None:
        pass

    def tick(self, totals: Totals) -> None:
        pass


class Pretenders:
    """``jobs`` workers. ``choose(n)``: a number from 0 below n. ``fate()``: ``go``, ``interrupt`` or ``kill``, asked
    before each word.
    """

    def __init__(
        self, jobs: int, state: State, choose: Callable[[int], int], fate: Callable[[], str],
        attempts: dict[tuple[int, int], set[Known]],
    ) -> None:  # fmt: skip
        self.jobs = jobs
        self.state = state
        self.choose = choose
        self.fate = fate
        self.attempts = attempts
        self.campaign: Campaign | None = None
        self.at_work: list[tuple[Order, Tried | None]] = []
        self.stopping = False

    @property
    def idle(self) -> int:
        return 0 if self.stopping else self.jobs - len(self.at_work)

    @property
    def working(self) -> int:
        return len(self.at_work)

    @property
    def busy(self) -> bool:
        return bool(self.at_work)

    def give(self, order: Order) -> None:
        assert all(order.slice != other.slice for other, _ in self.at_work)
        self.at_work.append((order, None))

    def finish(self) -> None:
        self.stopping = True

    def stop(self) -> Iterator[Message]:
        yield from ()

    def hear(self, seconds: float) -> Iterator[Message]:
        fate = self.fate()
        if fate == "kill":
            self.state.close()
            raise Killed
        if fate == "interrupt":
            assert self.campaign is not None
            self.campaign.totals.interrupted = 1
            return
        number = self.choose(len(self.at_work))
        order, tried = self.at_work[number]
        if tried is None:
            stop = order.stop
            if self.stopping:
                stop = order.start + self.choose(order.stop - order.start + 1)
            tried = try_cases(order, stop, self.attempts)
            self.at_work[number] = (order, tried)
            yield tried
            return
        del self.at_work[number]
        yield Done(order.slice, complete=not self.stopping or bool(self.choose(2)))


def try_cases(order: Order, stop: int, attempts: dict[tuple[int, int], set[Known]]) -> Tried:
    """What cases ``order.start`` to ``stop`` come to."""
    begun[order.slice] += 1
    tried = Tried(order.slice, order.start, stop, coverage={ISA: Coverage()})
    focus = tuple(tuple(form) for form in order.focus.get(ISA, ()))
    seen = dict(order.seen)
    for index in range(order.start, stop):
        known = (focus, tuple(sorted(seen.items())))
        attempts.setdefault((order.slice, index), set()).add(known)  # type: ignore[arg-type]  # pairs
        tried.functions += 1
        tried.runs += index
        salt = order.slice * 31 + index * 7 + 3 * len(seen) + sum(len(form[0]) for form in focus)
        op, type_ = FORMS[salt % 17]
        tried.coverage[ISA].forms[f"{op}.{type_}"] = (
            tried.coverage[ISA].forms.get(f"{op}.{type_}", 0) + 1
        )
        tried.coverage[ISA].rules[salt % 11] = tried.coverage[ISA].rules.get(salt % 11, 0) + 1
        if salt % 5 == 0:
            kind = f"check\0{salt % 3}"
            for counts in (tried.kinds, seen):
                counts[kind] = counts.get(kind, 0) + 1
    return tried


def settings_of(out: Path, functions: int | None, *, seed: int = 7) -> Settings:
    return Settings("builtin", (ISA,), seed, None, functions, 1, out / "corpus", out)


def header_of(settings: Settings) -> Header:
    return Header(settings.target, [ISA], settings.seed, 0, 1, {}, [], 40, "", "corpus", "")


def run_once(
    out: Path, functions: int, jobs: int, choose: Callable[[int], int], fate: Callable[[], str],
    attempts: dict[tuple[int, int], set[Known]],
) -> Counts | None:  # fmt: skip
    """One run of the campaign in ``out``, begun or gone on with: what it counted; None if it was killed."""
    settings = settings_of(out, functions)
    state = resume(out) if exists(out) else create(out, header_of(settings))
    workers = Pretenders(jobs, state, choose, fate, attempts)
    campaign = Campaign(settings, Builtin(), state, Silent())
    workers.campaign = campaign
    try:
        return campaign.run(lambda: workers).counts
    except Killed:
        return None
    finally:
        state.close()


@pytest.fixture(scope="module", autouse=True)
def few_forms() -> Iterator[None]:
    """Campaigns over a backend of twenty forms and eleven rules, so that making one costs nothing."""
    book = Rulebook(FORMS, [[FORMS[number % 20]] for number in range(11)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parent, "rulebooks", lambda target, isas: {ISA: book})
        yield


def found_of(signature: str, path: str = "corpus/x.clif", verdict: str = "new") -> Found:
    """A finding as a worker tells it."""
    return Found(
        path, "result", "mismatch", ISA, signature, "isub.i32", "detail", 9, 3, verdict, "", ""
    )
