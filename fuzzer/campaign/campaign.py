"""The parent of a campaign: hands out orders, keeps the journal, hears of findings, watches the budget.

It generates and compiles nothing itself, so that nothing a compiler does can hurt it. It owns the
signals: the first Ctrl-C stops generating and lets the workers finish what they have begun,
for a bounded time; the second stops now. What was found is on disk before it is printed.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from fuzzer.campaign.coverage import supported_forms
from fuzzer.campaign.messages import (
    Broken,
    Died,
    Done,
    Found,
    Lost,
    Message,
    Order,
    Progress,
    Tried,
)
from fuzzer.campaign.schedule import Counts, Rulebook, Schedule, slices_of
from fuzzer.campaign.settings import Settings
from fuzzer.campaign.state import State, Tallies, row_of
from fuzzer.campaign.sync import Sync
from fuzzer.corpus.entry import EntryError, load_entry
from fuzzer.report.summary import Event, FindingRow, Sample
from fuzzer.targets.target import Target

_TICK: Final = 0.25
_FINISH: Final = 20.0
"""Seconds that workers get to finish after the first interrupt."""
_SAMPLE_EVERY: Final = 5.0
SYNC_EVERY: Final = 30.0


class Watcher(Protocol):
    """Who is told how it goes: the terminal."""

    def found(self, row: FindingRow) -> None: ...
    def died(self, what: str) -> None: ...
    def tick(self, totals: Totals) -> None: ...


class Workers(Protocol):
    """Who carries orders out: a crew on this machine, or a cluster."""

    @property
    def idle(self) -> int: ...
    @property
    def working(self) -> int: ...
    @property
    def busy(self) -> bool: ...
    def give(self, order: Order) -> None: ...
    def hear(self, seconds: float) -> Iterator[Message]: ...
    def finish(self) -> None: ...
    def stop(self) -> Iterator[Message]: ...


@dataclass(slots=True)
class Totals:
    """All that is known of a campaign so far, earlier runs of it included. ``before``: seconds of those;
    ``degraded``: why something could not be kept or nobody was left to work, or ""; ``remedy``: what to do then."""

    started: float = field(default_factory=time.monotonic)
    before: float = 0.0
    counts: Counts = field(default_factory=Counts)
    deaths: int = 0
    met_again: int = 0
    running: dict[int, Progress] = field(default_factory=dict)
    findings: dict[str, FindingRow] = field(default_factory=dict)
    known: dict[str, FindingRow] = field(default_factory=dict)
    suspects: dict[str, FindingRow] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    degraded: str = ""
    remedy: str = "make room"
    interrupted: int = 0
    signal: int = 0
    workers: int = 0

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    @property
    def functions(self) -> int:
        return self.counts.sums.functions + sum(p.functions for p in self.running.values())

    @property
    def runs(self) -> int:
        return self.counts.sums.runs + sum(p.runs for p in self.running.values())

    @property
    def tested(self) -> int:
        """Functions that the target took on."""
        return self.counts.sums.functions - sum(self.counts.sums.unsupported.values())

    def hits(self, what: str) -> int:
        """How many different ``rules`` or ``rows`` fired."""
        return sum(len(getattr(coverage, what)) for coverage in self.counts.coverage.values())


def rulebooks(target: Target, isas: tuple[str, ...]) -> dict[str, Rulebook]:
    """What a campaign may focus on, by ISA."""
    return {isa: Rulebook(supported_forms(target, isa), target.rule_forms(isa)) for isa in isas}


class Campaign:
    """Run once: ``Campaign(settings, target, state, watcher).run(hire)``. A state that was resumed goes on where it
    stopped. ``sync``: the folder to exchange entries with others through, at the beginning, every ``sync_every``
    seconds and at the end.
    """

    workers: Workers

    def __init__(
        self, settings: Settings, target: Target, state: State, watcher: Watcher, *,
        sync: Sync | None = None, sync_every: float = SYNC_EVERY,
    ) -> None:  # fmt: skip
        self.settings = settings
        self._sync = sync
        self._sync_every = sync_every
        self._sync_at = 0.0
        self._unshared = ""
        self.state = state
        self.watcher = watcher
        self.schedule = Schedule(settings.seed, settings.shard, rulebooks(target, settings.isas))
        self._stopping = False
        self._finish_by: float | None = None
        self._pending: dict[int, list[Tried]] = {}
        self._sampled = 0.0
        state.restore(self.schedule)
        self._folded = self.schedule.epoch
        tallies, rows = state.tallies(), state.findings()
        self.totals = Totals(
            before=tallies.seconds, counts=self.schedule.counts(), deaths=tallies.deaths,
            met_again=tallies.known,
            known={signature: msgspec.structs.replace(row, verdict="known")
                   for signature, row in rows.items() if row.verdict != "suspect"},
            suspects={signature: row for signature, row in rows.items() if row.verdict == "suspect"},
        )  # fmt: skip
        self._known_before = state.known_before()

    def run(self, hire: Callable[[], Workers]) -> Totals:
        """Fuzz until the budget is spent, enough was found, or somebody interrupts.

        ``hire``: gets the workers, called once the signals are this campaign's.
        """
        previous = {
            number: signal.signal(number, self._interrupt)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        self.workers = hire()
        try:
            self._guarded(self._loop)
        finally:
            for message in self.workers.stop():
                self._guarded(lambda message=message: self._take(message))
            self._guarded(self._share_last)
            self._guarded(self._close)
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self.totals

    def _guarded(self, work: object) -> None:
        """A journal or a corpus that can't be written ends the campaign, and is told, but breaks nothing."""
        assert callable(work)
        try:
            work()
        except (OSError, sqlite3.Error) as error:
            self.totals.degraded = self.totals.degraded or f"{self.state.path.parent}: {error}"

    def _loop(self) -> None:
        # What an earlier run has told is not told again.
        for row in self.totals.known.values():
            self.state.note_finding(row)
        self._event(
            "start" if not self.totals.before else "resume", f"seed {self.settings.seed:#x}"
        )
        while True:
            self._share()
            self._hand_out()
            workers = self.workers
            if not workers.busy and (
                self._stopping or self.schedule.exhausted(self.settings.functions)
            ):
                return
            for message in workers.hear(_TICK):
                self._take(message)
            totals = self.totals
            totals.workers = workers.working
            self.watcher.tick(totals)
            self._sample()
            if self._enough() and not self._stopping:
                self._stopping = True
                workers.finish()
                self._finish_by = time.monotonic() + _FINISH
            late = self._finish_by is not None and time.monotonic() > self._finish_by
            if totals.interrupted > 1 or late:
                return

    def _hand_out(self) -> None:
        while not self._stopping and self.workers.idle:
            order = self.schedule.next(self.settings.functions)
            if order is None:
                return
            self.workers.give(order)

    def _enough(self) -> bool:
        settings, totals = self.settings, self.totals
        if settings.deadline is not None and time.monotonic() >= settings.deadline:
            return True
        if settings.max_findings is not None and len(totals.findings) >= settings.max_findings:
            return True
        return bool(totals.interrupted or totals.broken or totals.degraded)

    def _interrupt(self, number: int, _: object) -> None:
        self.totals.interrupted += 1
        self.totals.signal = number

    # -- what workers say

    def _take(self, message: Message) -> None:
        totals = self.totals
        if isinstance(message, Tried):
            self._count(message)
        elif isinstance(message, Found):
            self._note(message)
        elif isinstance(message, Done):
            totals.running.pop(message.slice, None)
            if not message.complete:
                return
            self.state.finish_slice(self._pending.pop(message.slice, []), self._tallies())
            if self.schedule.epoch != self._folded:
                self._fold()
        elif isinstance(message, Progress):
            totals.running[message.slice] = message
        elif isinstance(message, Died):
            totals.deaths += message.worker
            if message.text:
                self._event("death", message.text)
                self.watcher.died(message.text)
        elif isinstance(message, Lost):
            totals.degraded, totals.remedy = totals.degraded or message.text, message.remedy
            self._event("lost", message.text)
        elif isinstance(message, Broken):
            if message.full:
                totals.degraded = totals.degraded or message.traceback.strip().rpartition("\n")[2]
            else:
                totals.broken.append(message)
                self._event("error", f"{message.where}: {message.traceback}")

    def _count(self, tried: Tried) -> None:
        self.totals.counts.add(tried)
        self.totals.running.pop(tried.slice, None)
        self._pending.setdefault(tried.slice, []).append(tried)
        self.schedule.add(tried)

    def _note(self, found: Found) -> None:
        totals = self.totals
        signature = found.signature
        verdict = found.verdict
        if signature in self.settings.baseline:
            verdict = "known"
        elif verdict == "known" and self._is_ours(found):
            verdict = "new"
        if verdict == "new" and found.refuted:
            verdict = "suspect"
        if verdict == "new" and not found.suspect:
            totals.suspects.pop(signature, None)  # it looked like this one, and this one is none
        kept = {"new": totals.findings, "known": totals.known, "suspect": totals.suspects}
        old = next((rows[signature] for rows in kept.values() if signature in rows), None)
        if old is None:
            row = row_of(found, self.settings.target, verdict, totals.seconds)
        else:
            smaller = found.after < old.after
            row = row_of(found, old.target, old.verdict, old.seconds) if smaller else old
            row = msgspec.structs.replace(row, times=old.times + 1)
        if old is not None or verdict == "known":
            totals.met_again += 1
        self.state.note_finding(row)
        if self._sync is not None:
            self._sync.add(Path(found.path))
        kept[row.verdict][signature] = row
        if old is None and verdict != "known":
            kind = "suspect" if verdict == "suspect" else "finding"
            self._event(kind, f"{row.check} {row.isa} {signature} {row.detail}")
            self.watcher.found(row)

    def _is_ours(self, found: Found) -> bool:
        """Was the entry saved by this campaign, which has not told it yet?

        By another worker, which is about to, or before somebody was killed.
        """
        signature, totals = found.signature, self.totals
        if signature in self._known_before | totals.findings.keys() | totals.known.keys():
            return False
        try:
            seed = load_entry(Path(found.path)).seed
        except EntryError:
            return False
        settings = self.settings
        return seed.startswith(f"{settings.seed:#x}/{settings.shard}/")

    # -- others' entries

    def _share(self) -> None:
        """Exchange entries with others if it is time. A folder that can't be used is said once, and tried again."""
        now = time.monotonic()
        if self._sync is None or now < self._sync_at or self._stopping:
            return
        self._exchange(self._sync)
        self._sync_at = time.monotonic() + self._sync_every

    def _share_last(self) -> None:
        if self._sync is not None:
            self._exchange(self._sync)
            if self._unshared and not self.totals.degraded:
                self.totals.degraded, self.totals.remedy = self._unshared, "see to the folder"

    def _exchange(self, sync: Sync) -> None:
        try:
            done = sync.exchange()
        except OSError as error:
            text = f"sync: {sync.folder}: {error.strerror or error}"
            if text != self._unshared:
                self._tell("sync", text)
            self._unshared = text
            return
        self._unshared = ""
        if done.learned:
            self._known_before |= done.learned
            self.state.set("known", sorted(self._known_before))
        for why in done.refused:
            self._tell("sync", f"sync: {why}; left where it is")
        if done.given or done.taken:
            self._event("sync", f"{done.given} entries given, {done.taken} taken")

    def _tell(self, kind: str, text: str) -> None:
        self._event(kind, text)
        self.watcher.died(text)

    # -- the journal

    def _fold(self) -> None:
        if all(slice_ not in self._pending for slice_ in self._unfolded()):
            self.state.fold(self.schedule)
            self._folded = self.schedule.epoch

    def _unfolded(self) -> range:
        return range(slices_of(self._folded).start, slices_of(self.schedule.epoch).start)

    def _tallies(self) -> Tallies:
        totals = self.totals
        return Tallies(totals.seconds, totals.deaths, totals.met_again)

    def _sample(self) -> None:
        now = time.monotonic()
        if now - self._sampled >= _SAMPLE_EVERY:
            self._sampled = now
            self._note_sample()

    def _note_sample(self) -> None:
        totals = self.totals
        sample = Sample(round(totals.seconds, 3), totals.functions, totals.runs,
                        len(totals.findings), totals.workers)  # fmt: skip
        self.state.note_sample(sample, self._tallies())

    def _event(self, kind: str, text: str) -> None:
        self.state.note_event(Event(round(self.totals.seconds, 3), kind, text))

    def _close(self) -> None:
        self.totals.workers = 0
        self._note_sample()
        how = "interrupted" if self.totals.interrupted else "ended"
        self._event("stop", f"{how} after {self.totals.functions} functions")
        self.state.set("interrupted", bool(self.totals.interrupted))
        self.state.set("errors", [f"{b.where}: {b.traceback}" for b in self.totals.broken])
