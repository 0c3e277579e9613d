"""The parent of a campaign: hands out slices, hears of findings, buries and replaces workers.

It generates and compiles nothing itself, so that nothing a compiler does can hurt it. It owns the
signals and the budget: the first Ctrl-C stops generating and lets the workers finish what they have begun,
for a bounded time; the second stops now. What was found is on disk before it is printed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Protocol

from fuzzer.campaign import record as phases
from fuzzer.campaign.messages import Broken, Found, Progress, decode, encode
from fuzzer.campaign.record import InFlight
from fuzzer.campaign.seeds import SLICE
from fuzzer.campaign.settings import Settings

_TICK: Final = 0.25
_FINISH: Final = 20.0
"""Seconds that workers get to finish after the first interrupt."""


class Watcher(Protocol):
    """Who is told how it goes: the terminal."""

    def found(self, found: Found) -> None: ...
    def died(self, what: str) -> None: ...
    def tick(self, totals: Totals) -> None: ...


@dataclass(slots=True)
class Totals:
    """All that is known of a campaign so far."""

    started: float = field(default_factory=time.monotonic)
    functions: int = 0
    runs: int = 0
    instructions: int = 0
    out_of_fuel: int = 0
    unsupported: dict[str, int] = field(default_factory=dict)
    rules: set[int] = field(default_factory=set)
    rows: set[int] = field(default_factory=set)
    findings: dict[str, Found] = field(default_factory=dict)
    known: int = 0
    deaths: int = 0
    broken: list[Broken] = field(default_factory=list)
    interrupted: int = 0
    signal: int = 0
    workers: int = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def tested(self) -> int:
        """Functions that the target took on."""
        return self.functions - sum(self.unsupported.values())


class _Hand:
    """One worker as the parent sees it."""

    def __init__(self, context: Any, settings: Settings) -> None:
        from fuzzer.campaign.worker import main

        self.in_flight = InFlight()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=main, args=(settings, theirs, self.in_flight, os.getpid())
        )
        self.process.start()
        theirs.close()
        self.order: tuple[int, int, int] | None = None
        self.reported = 0
        self.draft: Found | None = None

    def give(self, order: tuple[int, int, int] | None) -> None:
        self.order = order
        self.reported = 0
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(b"%d %d %d" % order if order else b"")

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Autopsy:
    """A culprit being examined in a process of its own, while the campaign goes on."""

    def __init__(self, context: Any, settings: Settings, slice_: int, index: int) -> None:
        self.slice = slice_
        self.index = index
        self.draft: Found | None = None
        self.heard = False
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_autopsy, args=(settings, slice_, index, theirs, os.getpid())
        )
        self.process.start()
        theirs.close()

    def hear(self) -> Found | None:
        """What it says next; None once it has no more to say."""
        with contextlib.suppress(EOFError, OSError):
            message = decode(self.pipe.recv_bytes())
            if isinstance(message, Found):
                return message
        return None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Campaign:
    """Run once: ``Campaign(settings, watcher).run()``."""

    def __init__(self, settings: Settings, watcher: Watcher) -> None:
        self.settings = settings
        self.watcher = watcher
        self.totals = Totals()
        self._context = multiprocessing.get_context("fork")
        self._hands: list[_Hand] = []
        self._next_slice = 0
        self._again: list[tuple[int, int, int]] = []
        self._stopping = False
        self._autopsies: list[_Autopsy] = []
        self._suspected: list[tuple[int, int]] = []
        self._causes: dict[str, int] = {}

    def run(self) -> Totals:
        """Fuzz until the budget is spent, enough was found, or somebody interrupts."""
        previous = {
            number: signal.signal(number, self._interrupt)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        if self.settings.seconds is not None:
            self.settings.deadline = time.monotonic() + self.settings.seconds
        try:
            self._hands = [self._hire() for _ in range(self.settings.workers)]
            self._loop()
        finally:
            speakers: list[_Hand | _Autopsy] = [*self._hands, *self._autopsies]
            for speaker in speakers:
                speaker.stop()
                self._note_draft(speaker)
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self.totals

    # -- orders ------------------------------------------------------------------------------------------

    def _hire(self) -> _Hand:
        hand = _Hand(self._context, self.settings)
        hand.give(self._next_order())
        return hand

    def _next_order(self) -> tuple[int, int, int] | None:
        if self._stopping:
            return None
        if self._again:
            return self._again.pop()
        limit = self.settings.functions
        start = self._next_slice * SLICE
        if limit is not None and start >= limit:
            return None
        stop = SLICE if limit is None else min(SLICE, limit - start)
        self._next_slice += 1
        return self._next_slice - 1, 0, stop

    def _loop(self) -> None:
        finish_by: float | None = None
        while any(hand.order for hand in self._hands) or self._autopsies or self._suspected:
            self._examine_next()
            speakers: dict[Any, _Hand | _Autopsy] = {h.pipe: h for h in self._hands if h.order}
            speakers |= {autopsy.pipe: autopsy for autopsy in self._autopsies}
            for ready in wait(list(speakers), _TICK):
                speaker = speakers[ready]
                if isinstance(speaker, _Hand):
                    self._hear(speaker)
                else:
                    self._follow(speaker)
            self._watch_clocks()
            self.totals.workers = sum(hand.order is not None for hand in self._hands)
            self.watcher.tick(self.totals)
            if self._enough() and not self._stopping:
                self._stopping = True
                for hand in self._hands:
                    hand.in_flight.stop()
                finish_by = time.monotonic() + _FINISH
            if self.totals.interrupted > 1 or (finish_by and time.monotonic() > finish_by):
                return

    def _enough(self) -> bool:
        settings, totals = self.settings, self.totals
        if settings.seconds is not None and totals.seconds >= settings.seconds:
            return True
        if settings.max_findings is not None and len(totals.findings) >= settings.max_findings:
            return True
        return bool(totals.interrupted or totals.broken)

    def _interrupt(self, number: int, _: object) -> None:
        self.totals.interrupted += 1
        self.totals.signal = number

    # -- what workers say ------------------------------------------------------------------------------------

    def _hear(self, hand: _Hand) -> None:
        try:
            message = decode(hand.pipe.recv_bytes())
        except (EOFError, OSError):
            self._bury(hand, "")
            return
        if isinstance(message, Found):
            hand.draft = self._note(message)
        elif isinstance(message, Broken):
            self.totals.broken.append(message)
        else:
            self._count(message)
            hand.reported += message.functions
            if message.done:
                hand.give(self._next_order())

    def _note_draft(self, speaker: _Hand | _Autopsy) -> None:
        """Its sender will not shrink it any more: the finding stays as it is."""
        if speaker.draft is not None:
            speaker.draft.verdict = "new"
            self._note(speaker.draft)
            speaker.draft = None

    def _note(self, found: Found) -> Found | None:
        """Take a finding up; a draft comes back, to be noted if nothing follows it."""
        if found.verdict == "draft":
            return found
        if found.verdict == "known" or found.signature in self.totals.findings:
            self.totals.known += 1
            return None
        self.totals.findings[found.signature] = found
        self.watcher.found(found)
        return None

    def _count(self, progress: Progress) -> None:
        totals = self.totals
        totals.functions += progress.functions
        totals.runs += progress.runs
        totals.instructions += progress.instructions
        totals.out_of_fuel += progress.out_of_fuel
        totals.rules.update(progress.rules)
        totals.rows.update(progress.rows)
        for reason, count in progress.unsupported.items():
            totals.unsupported[reason] = totals.unsupported.get(reason, 0) + count

    # -- deaths ----------------------------------------------------------------------------------------------

    def _watch_clocks(self) -> None:
        now = time.monotonic()
        for hand in list(self._hands):
            if hand.order is None:
                continue
            phase, _, _, since = hand.in_flight.read()
            if phase != phases.IDLE and now - since > self.settings.timeout:
                with contextlib.suppress(OSError, TypeError):
                    os.kill(hand.process.pid, signal.SIGUSR1)
                    time.sleep(0.05)
                if hand.in_flight.read()[3] != since:
                    continue  # it moves after all: the record was read while it was written
                self._bury(hand, f"no answer for {self.settings.timeout:g}s")

    def _bury(self, hand: _Hand, why: str) -> None:
        """The worker is dead or hopeless: blame the case in flight, take a new worker on."""
        totals, order = self.totals, hand.order
        hand.process.join(0.5 if not why else 0)
        how = why or _exit_text(hand.process.exitcode)
        hand.stop()
        self._note_draft(hand)
        totals.deaths += 1
        assert order is not None
        phase, slice_, index, _ = hand.in_flight.read()
        self._hands.remove(hand)
        if phase == phases.IDLE:
            slice_, index = order[0], order[1] - 1 + hand.reported
            self.watcher.died(f"a worker died ({how}) before its first case")
        else:
            # What it did since its last message, the culprit included; how many runs, nobody knows.
            totals.functions += index + 1 - order[1] - hand.reported
            count = self._causes[how] = self._causes.get(how, 0) + 1
            # The first of a kind waits for its turn; the 2nd, 4th ... are looked at if nobody waits.
            busy = bool(self._autopsies or self._suspected)
            if count == 1 or (count & (count - 1) == 0 and not busy):
                so_far = f", {count} so far" if count > 1 else ""
                self.watcher.died(f"a worker died ({how}) at case {slice_}/{index}{so_far}")
                self._suspected.append((slice_, index))
        if index + 1 < order[2]:
            self._again.append((slice_, index + 1, order[2]))
        if totals.deaths > 50 + totals.functions:
            totals.broken.append(Broken("workers", f"{totals.deaths} workers died, last of {how}"))
        elif not self._stopping:
            self._hands.append(self._hire())

    def _examine_next(self) -> None:
        """One autopsy at a time: the workers have the machine."""
        if self._suspected and not self._autopsies:
            self._autopsies.append(_Autopsy(self._context, self.settings, *self._suspected.pop(0)))

    def _follow(self, autopsy: _Autopsy) -> None:
        found = autopsy.hear()
        if found is not None:
            autopsy.draft = self._note(found)
            autopsy.heard = True
            return
        if not autopsy.heard:
            self.watcher.died(f"case {autopsy.slice}/{autopsy.index} by itself lives")
        self._note_draft(autopsy)
        autopsy.stop()
        self._autopsies.remove(autopsy)


def _autopsy(settings: Settings, slice_: int, index: int, pipe: Connection, parent: int) -> None:
    from fuzzer.campaign.autopsy import examine
    from fuzzer.campaign.isolated import die_with_parent

    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for found in examine(settings, slice_, index):
        pipe.send_bytes(encode(found))
    pipe.close()
    os._exit(0)


def _exit_text(code: int | None) -> str:
    if code is None:
        return "it closed its pipe"
    if code < 0:
        return signal.Signals(-code).name
    return f"exit status {code}"
