"""What a worker died of: the culprit is run again by itself, told apart, shrunk and put on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from backend.ir.parser import parse_function
from fuzzer.campaign.investigate import Investigator, versions_of
from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.campaign.messages import Found, Order
from fuzzer.campaign.seeds import case_seed
from fuzzer.campaign.settings import Settings
from fuzzer.case import Case
from fuzzer.corpus.store import Store
from fuzzer.finding import Finding, Violation
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.draft import Limits
from fuzzer.selftest.plant import planted
from fuzzer.targets import target_named
from fuzzer.targets.target import Target
from fuzzer.trial import Trial, compile_case, execute, interpret, run_trial

_CALLS: Final = {"crash": (200, 600), "hang": (40, 200)}
"""Calls of the predicate in the two stages of shrinking: a hang costs what it is given time for each."""
_PATIENCE: Final = 1.0
"""Seconds after which a case that has hung before is taken to hang again, at least."""
_BUSY: Final = 0.2
"""The same in processor time, which a busy machine does not stretch."""
_SLOWER: Final = 8.0
"""And so many times as long as a function that does nothing takes, compiler started and all."""


def death_of(
    case: Case, target: Target, settings: Settings, seconds: float, busy: float = 0.0
) -> Death | None:
    """How a trial of the case kills its process or overstays ``seconds``, or ``busy`` seconds of processor time; None
    if it does neither."""

    def work(stage: object) -> bytes:
        assert callable(stage)
        trial = Trial(case, target, False)
        stage("interpreting")
        interpret(trial)
        stage("compiling")
        compile_case(trial)
        stage("executing")
        execute(trial)
        return b""

    ended = run_isolated(work, seconds=seconds, memory=settings.memory, busy=busy)
    return ended if isinstance(ended, Death) else None


def _warm_up(target: Target, isa: str, settings: Settings) -> float:
    """Seconds that a function that does nothing takes, compiler started and all.

    If it lives, it is also tried in this process, so that the many to come find the compiler started.
    """
    case = Case(parse_function("function %f() {\nblock0:\n  return\n}"), [()], isa=isa)
    started = time.monotonic()
    death = death_of(case, target, settings, settings.timeout)
    spent = time.monotonic() - started
    if death is None:
        run_trial(case, target)
    return spent


def _deadly(case: Case, target: Target, settings: Settings) -> tuple[Case, Death | None]:
    """How the case kills its process, as it was drawn or, if it lives, at another level of optimisation: the worker may
    have died where it compared the two."""
    death = death_of(case, target, settings, settings.timeout)
    for options in target.opt_levels.values():
        if death is not None:
            break
        other = case.copy()
        other.options = {**case.options, **options}
        death = death_of(other, target, settings, settings.timeout)
        if death is not None:
            return other, death
    return case, death


def violation_of(death: Death) -> Violation:
    """A death as a violation: the compiler's while compiling, suspect while executing."""
    check = "hang" if death.how == "timeout" else "crash"
    suspect = "the emulator died, not the compiler" if death.stage == "executing" else ""
    return Violation(check, f"{death.how} while {death.stage}", f"{death.how} {death.stage}",
                     suspect=suspect, vague=True)  # fmt: skip


def examine(settings: Settings, order: Order, index: int) -> Iterator[Found]:
    """Find out what a case of an order does to its process; nothing if it lives when alone."""
    with planted(settings.plants):
        target = target_named(settings.target)
        number = case_seed(settings.seed, settings.shard, order.slice, index)
        isa = settings.isas[number % len(settings.isas)]
        generator = CaseGenerator(target, isa, limits=Limits(settings.items),
                                  fixed=settings.options)  # fmt: skip
        generator = generator.focused(order.focus.get(isa, ()))
        case = generator.from_seed(number)
        case, death = _deadly(case, target, settings)
        if death is None:
            return
        violation = violation_of(death)
        hangs = violation.check == "hang"
        cold = _warm_up(target, isa, settings)
        patience, busy = settings.timeout, 0.0
        if hangs:  # a slow start or a busy machine must not look like one
            patience = min(patience, max(_PATIENCE, _SLOWER * cold))
            busy = max(_BUSY, _SLOWER * cold)
        draws, edits = _CALLS[violation.check]
        investigator = Investigator(
            target, Store(settings.corpus), ",".join(settings.plants), versions_of(target)
        )
        yield from investigator.investigate(
            Finding(case, target.name, violation),
            generator,
            f"{settings.seed:#x}/{settings.shard}/{order.slice}/{index}",
            lambda candidate: death_of(candidate, target, settings, patience, busy) == death,
            draws=draws,
            edits=edits,
            restate=False,
        )
