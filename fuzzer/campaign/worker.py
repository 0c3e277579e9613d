"""A worker: takes an order, tries its cases, tells what they came to, then investigates what broke.

It counts before it investigates, so that nobody waits for a slow shrink. It ignores SIGINT: the parent owns the
signals. It reports with messages, and through its in-flight record even when it is killed.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import gc
import math
import resource
import signal
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

from fuzzer.campaign import record as phases
from fuzzer.campaign.coverage import Coverage
from fuzzer.campaign.investigate import Investigator, has_endless, same_violation, versions_of
from fuzzer.campaign.isolated import die_with_parent, limit_memory
from fuzzer.campaign.messages import Broken, Done, Message, Order, Progress, Tried, decode, encode
from fuzzer.campaign.record import InFlight
from fuzzer.campaign.seeds import case_seed
from fuzzer.campaign.settings import Settings
from fuzzer.case import Case
from fuzzer.checks import CHECKS
from fuzzer.corpus.store import Store
from fuzzer.execute import runtime
from fuzzer.finding import Finding, Violation
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.draft import Limits
from fuzzer.outcome import OutOfFuel
from fuzzer.reduce.draws import MAX_DRAWS
from fuzzer.reduce.reducer import MAX_EDITS
from fuzzer.report.text import one_line
from fuzzer.selftest.plant import planted
from fuzzer.targets import target_named
from fuzzer.targets.target import Target, TargetUnavailable
from fuzzer.trial import EXECUTED, Trial, is_seen_anew, run_trial

THOROUGH_EVERY: Final = 8
"""One case in so many is also compiled twice, run under other poison and re-assembled."""


STUCK: Final = signal.SIGUSR1
"""Asks a worker that gives no answer to write where it is into ``stuck.txt``."""
_SHRINK_AFTER: Final = 8.0
"""Seconds past the deadline after which shrinking takes what it has."""
OF_PROCESSES: Final = ("crash", "hang", "protocol")
"""Checks whose findings are of a compiler's process: each time that it is tried again it gets a new one."""
CALLS: Final = {"hang": (40, 200), "crash": (120, 300), "protocol": (120, 300)}
"""Calls of the predicate in the two stages of shrinking, of what the compiler does, where each costs what a hang is
given time for, or the start of a process and its death."""
_NONE: Final[set[int]] = set()
BAD_STATE: Final = "executor limit: the emulator was in a bad state, and another has its place"
"""Why nothing is said of a case that a new engine runs as it has to be."""
DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing fails with when there is no room left, or no disk."""


class Suspects:
    """Which violations are worth shrinking: each kind at first, then ever more rarely.

    A violation whose key tells its cause is shrunk once. One that could be anything (a wrong value) is shrunk
    each time until a kind has come up often, then at the 16th, 32nd, 64th ... time, so that a bug that
    shows everywhere does not eat the campaign and does not hide another for ever. ``seen``: what an order says of
    the slices before; so it is the same whoever does the slice.
    """

    def __init__(self, seen: dict[str, int]) -> None:
        self._seen = dict(seen)

    def worth(self, violation: Violation, by_shape: bool) -> bool:
        kind = kind_of(violation)
        count = self._seen[kind] = self._seen.get(kind, 0) + 1
        if count <= (8 if by_shape else 1):
            return True
        return by_shape and count & (count - 1) == 0


def kind_of(violation: Violation) -> str:
    """What violations are counted by."""
    return f"{violation.check}\0{violation.key}"


class _Suspect(NamedTuple):
    """A finding to investigate: the ``nth`` of its kind in the order, from that case of the slice."""

    nth: int
    case: int
    generator: CaseGenerator
    finding: Finding


class Worker:
    """The loop of one process."""

    def __init__(self, settings: Settings, pipe: Connection, in_flight: InFlight) -> None:
        self.settings = settings
        self.pipe = pipe
        self.in_flight = in_flight
        self.target: Target = target_named(settings.target)
        self.target.limit(seconds=settings.timeout, memory=settings.memory)
        self.generators = {
            isa: CaseGenerator(
                self.target, isa, limits=Limits(settings.items), fixed=settings.options
            )
            for isa in settings.isas
        }
        self.investigator = Investigator(
            self.target, Store(settings.corpus), ",".join(settings.plants),
            versions_of(self.target), settings.second,
        )  # fmt: skip

    def serve(self) -> None:
        """Carry out orders from the pipe until it closes."""
        with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
            while True:
                order = decode(self.pipe.recv_bytes())
                assert isinstance(order, Order)
                try:
                    self._carry_out(order)
                except BrokenPipeError:
                    raise
                except TargetUnavailable as error:
                    self._say(Broken("target", one_line(str(error))))
                    return
                except Exception as error:
                    where = f"slice {order.slice}, case {self.in_flight.read()[2]}"
                    unkept = isinstance(error, OSError) and self._unkept(error)
                    self._say(Broken(where, unkept or traceback.format_exc(), bool(unkept)))
                    return

    def _unkept(self, error: OSError) -> str:
        """How the disk refused an entry, in one line; "" if the error is about something else."""
        corpus = str(self.settings.corpus)
        if error.errno in DISK_FULL or str(error.filename or "").startswith(corpus):
            return f"{corpus}: {error.strerror}"
        return ""

    def _say(self, message: Message) -> None:
        self.pipe.send_bytes(encode(message))

    def _carry_out(self, order: Order) -> None:
        generators = {
            isa: generator.focused(order.focus.get(isa, ()))
            for isa, generator in self.generators.items()
        }
        tried, suspects = self._try(order, generators)
        self._say(tried)
        # Cases that were counted before are tried for their findings: of all of them, or it is to be done again.
        complete = tried.stop == order.stop or not order.counted
        told: set[str] = set()
        for suspect in suspects:
            kind = kind_of(suspect.finding.violation)
            if kind in told and self._late():
                complete = False
                continue
            told.add(kind)
            self._investigate(suspect, order.slice)
            complete = complete and time.monotonic() < self._give_up
        self.in_flight.write(phases.IDLE, order.slice, order.stop)
        self._say(Done(order.slice, complete))

    @property
    def _give_up(self) -> float:
        return (self.settings.deadline or math.inf) + _SHRINK_AFTER

    def _late(self) -> bool:
        deadline = self.settings.deadline
        return self.in_flight.stopped or (deadline is not None and time.monotonic() > deadline)

    def _try(
        self, order: Order, generators: dict[str, CaseGenerator]
    ) -> tuple[Tried, list[_Suspect]]:
        """Try the cases of an order, or those until the deadline; what is worth investigating, first of all one of
        each kind."""
        settings, in_flight = self.settings, self.in_flight
        tried = Tried(order.slice, order.start, order.start)
        worthy = Suspects(order.seen)
        suspects: list[_Suspect] = []
        nth: Counter[str] = Counter()
        said = time.monotonic()
        for index in range(order.start, order.stop):
            now = time.monotonic()
            if self._late():
                break
            tried.stop = index + 1
            if index in order.skip:
                continue
            if now > said + 1:
                said = now
                self._say(Progress(order.slice, tried.functions, tried.runs))
            seed = case_seed(settings.seed, settings.shard, order.slice, index)
            isa = settings.isas[seed % len(settings.isas)]
            generator = generators[isa]
            in_flight.write(phases.TRYING, order.slice, index)
            case = generator.from_seed(seed)
            trial, found = run_trial(case, self.target, thorough=seed % THOROUGH_EVERY == 0)
            _count(tried, trial)
            for violation in found:
                kind = kind_of(violation)
                tried.kinds[kind] = tried.kinds.get(kind, 0) + 1
                if worthy.worth(violation, CHECKS[violation.check].by_shape):
                    if trial.anomalies and violation.check in EXECUTED and not is_seen_anew(trial):
                        tried.unsupported[BAD_STATE] = tried.unsupported.get(BAD_STATE, 0) + 1
                        break
                    finding = Finding(case, self.target.name, violation)
                    suspects.append(_Suspect(nth[kind], index, generator, finding))
                    nth[kind] += 1
        suspects.sort(key=lambda suspect: suspect.nth)
        return tried, suspects

    def _investigate(self, suspect: _Suspect, slice_: int) -> None:
        index, finding, settings = suspect.case, suspect.finding, self.settings
        check, target = finding.violation.check, self.target
        seed = f"{self.settings.seed:#x}/{self.settings.shard}/{slice_}/{index}"
        endless = has_endless(finding.case)

        def ask(case: Case) -> bool:
            self.in_flight.write(phases.SHRINKING, slice_, index)
            if check in OF_PROCESSES:
                target.renew()
            return same_violation(case, target, finding.violation, endless=endless) is not None

        self.in_flight.write(phases.SHRINKING, slice_, index)
        compiling = finding.violation.input_index < 0
        costly = compiling and (check == "hang" or target.renewable)
        draws, edits = (costly and CALLS.get(check)) or (MAX_DRAWS, MAX_EDITS)
        target.limit(seconds=settings.timeout, memory=settings.memory,
                     soon=compiling and check == "hang")  # fmt: skip
        for found in self.investigator.investigate(
            finding, suspect.generator, seed, ask, draws=draws, edits=edits, until=self._give_up
        ):
            self._say(found)
        target.limit(seconds=settings.timeout, memory=settings.memory)
        # Shrinking leaves much in cycles, and the collector of a worker looks for those rarely.
        gc.collect()


def _count(tried: Tried, trial: Trial) -> None:
    case, code = trial.case, trial.code
    tried.functions += 1
    tried.runs += trial.executed
    tried.instructions += case.instruction_count()
    tried.out_of_fuel += sum(o.__class__ is OutOfFuel for o in trial.outcomes)
    if trial.unsupported:
        tried.unsupported[trial.unsupported] = tried.unsupported.get(trial.unsupported, 0) + 1
    coverage = tried.coverage.get(case.isa)
    if coverage is None:
        coverage = tried.coverage[case.isa] = Coverage()
    rules, rows = (code.rule_hits, code.row_hits) if code is not None else (_NONE, _NONE)
    coverage.count(case.functions, rules, rows, trial.target.level_of(case.options))


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
    limit_memory(settings.memory)
    tune_collector()
    runtime.choose(settings.runtime)
    with planted(settings.plants):
        try:
            worker = Worker(settings, pipe, in_flight)
        except TargetUnavailable as error:
            pipe.send_bytes(encode(Broken("target", one_line(str(error)))))
        else:
            worker.serve()
