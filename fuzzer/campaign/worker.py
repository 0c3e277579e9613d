"""A worker: takes slices of cases, tries them, investigates what breaks, tells the parent.

It ignores SIGINT: the parent owns the signals. It reports with messages, and through its in-flight
record even when it is killed.
"""

from __future__ import annotations

import faulthandler
import gc
import math
import resource
import signal
import time
import traceback
from multiprocessing.connection import Connection
from typing import Final

from fuzzer.campaign import record as phases
from fuzzer.campaign.investigate import Investigator, same_violation, versions_of
from fuzzer.campaign.isolated import die_with_parent
from fuzzer.campaign.messages import Broken, Progress, encode
from fuzzer.campaign.record import InFlight
from fuzzer.campaign.seeds import case_seed
from fuzzer.campaign.settings import Settings
from fuzzer.case import Case
from fuzzer.checks import CHECKS
from fuzzer.corpus.store import Store
from fuzzer.finding import Finding, Violation
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.draft import Limits
from fuzzer.outcome import OutOfFuel
from fuzzer.selftest.plant import planted
from fuzzer.targets import target_named
from fuzzer.targets.target import Target
from fuzzer.trial import run_trial

THOROUGH_EVERY: Final = 8
"""One case in so many is also compiled twice, run under other poison and re-assembled."""


STUCK: Final = signal.SIGUSR1
"""Asks a worker that gives no answer to write where it is into ``stuck.txt``."""
_SHRINK_AFTER: Final = 8.0
"""Seconds past the deadline after which shrinking takes what it has."""


def _nothing(slice_: int) -> Progress:
    return Progress(0, 0, 0, 0, {}, [], [], slice_, False)


class Suspects:
    """Which violations are worth shrinking: each kind at first, then ever more rarely.

    A violation whose key tells its cause is shrunk once. One that could be anything (a wrong value) is shrunk
    each time until a kind has come up often, then at the 16th, 32nd, 64th ... time, so that a bug that
    shows everywhere does not eat the campaign and does not hide another for ever.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}

    def worth(self, violation: Violation, by_shape: bool) -> bool:
        kind = (violation.check, violation.key)
        count = self._seen[kind] = self._seen.get(kind, 0) + 1
        if count <= (8 if by_shape else 1):
            return True
        return by_shape and count & (count - 1) == 0


class Worker:
    """The loop of one process."""

    def __init__(self, settings: Settings, pipe: Connection, in_flight: InFlight) -> None:
        self.settings = settings
        self.pipe = pipe
        self.in_flight = in_flight
        self.target: Target = target_named(settings.target)
        limits = Limits(settings.items)
        self.generators = [
            CaseGenerator(self.target, isa, limits=limits, fixed=settings.options)
            for isa in settings.isas
        ]
        self.suspects = Suspects()
        self.investigator = Investigator(
            self.target, Store(settings.corpus), ",".join(settings.plants), versions_of(self.target)
        )
        self._rules: set[int] = set()
        self._rows: set[int] = set()

    def serve(self) -> None:
        """Take orders (slice, first case, end) from the pipe until an empty message says stop."""
        while order := self.pipe.recv_bytes():
            slice_, start, stop = map(int, order.split())
            try:
                self.run_slice(slice_, start, stop)
            except (BrokenPipeError, KeyboardInterrupt):
                return
            except Exception:
                where = f"slice {slice_}, case {self.in_flight.read()[2]}"
                self.pipe.send_bytes(encode(Broken(where, traceback.format_exc())))
                return

    def run_slice(self, slice_: int, start: int, stop: int) -> None:
        """Try the cases ``start`` up to ``stop`` of a slice, or until the deadline."""
        settings, in_flight = self.settings, self.in_flight
        self._progress = progress = _nothing(slice_)
        said = time.monotonic()
        for index in range(start, stop):
            now = time.monotonic()
            if in_flight.stopped or (settings.deadline is not None and now > settings.deadline):
                break
            if now > said + 1:
                said = now
                progress = self._report(slice_)
            seed = case_seed(settings.seed, settings.shard, slice_, index)
            generator = self.generators[seed % len(self.generators)]
            in_flight.write(phases.TRYING, slice_, index)
            case = generator.from_seed(seed)
            trial, found = run_trial(case, self.target, thorough=seed % THOROUGH_EVERY == 0)
            progress.functions += 1
            progress.runs += trial.executed
            progress.instructions += case.function.instruction_count()
            progress.out_of_fuel += sum(o.__class__ is OutOfFuel for o in trial.outcomes)
            if trial.unsupported:
                count = progress.unsupported.get(trial.unsupported, 0)
                progress.unsupported[trial.unsupported] = count + 1
            if trial.code is not None:
                self._note_coverage(trial.code.rule_hits, trial.code.row_hits, progress)
            for violation in found:
                finding = Finding(case, self.target.name, violation)
                if self.suspects.worth(violation, CHECKS[violation.check].by_shape):
                    progress = self._report(slice_)
                    self._investigate(finding, generator, slice_, index)
        in_flight.write(phases.IDLE, slice_, stop)
        progress.done = True
        self._report(slice_)

    def _report(self, slice_: int) -> Progress:
        """Tell the parent what was counted since the last time; the new, empty count."""
        self.pipe.send_bytes(encode(self._progress))
        self._progress = _nothing(slice_)
        return self._progress

    def _note_coverage(self, rules: set[int], rows: set[int], progress: Progress) -> None:
        if not rules <= self._rules:
            progress.rules += sorted(rules - self._rules)
            self._rules |= rules
        if not rows <= self._rows:
            progress.rows += sorted(rows - self._rows)
            self._rows |= rows

    def _investigate(
        self, finding: Finding, generator: CaseGenerator, slice_: int, index: int
    ) -> None:
        seed = f"{self.settings.seed:#x}/{self.settings.shard}/{slice_}/{index}"
        give_up = (self.settings.deadline or math.inf) + _SHRINK_AFTER

        def ask(case: Case) -> bool:
            self.in_flight.write(phases.SHRINKING, slice_, index)
            if time.monotonic() > give_up:
                return False
            return same_violation(case, self.target, finding.violation) is not None

        for found in self.investigator.investigate(finding, generator, seed, ask):
            self.pipe.send_bytes(encode(found))
        self.in_flight.write(phases.TRYING, slice_, index)


def tune_collector() -> None:
    """Look for cyclic garbage rarely: a trial makes thousands of short-lived objects and next to no cycles.

    Measured: 233 functions a second before, 289 after.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def main(settings: Settings, pipe: Connection, in_flight: InFlight, parent: int) -> None:
    """The body of a worker process; ``parent`` is the process it must not outlive."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(parent)
    trace = open(settings.out / "stuck.txt", "a")  # noqa: SIM115  # stays open for the signal handler
    faulthandler.register(STUCK, trace)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (settings.memory, settings.memory))
    tune_collector()
    with planted(settings.plants):
        Worker(settings, pipe, in_flight).serve()
