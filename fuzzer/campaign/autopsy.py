"""What a worker died of: the culprit is run again by itself, told apart, shrunk and put on disk."""

from __future__ import annotations

from fuzzer.campaign.investigate import entry_of, shrink, versions_of
from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.campaign.messages import Found
from fuzzer.campaign.seeds import case_seed
from fuzzer.campaign.settings import Settings
from fuzzer.case import Case
from fuzzer.corpus.signature import signature, skeleton
from fuzzer.corpus.store import Store
from fuzzer.finding import Finding, Violation
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.function import Limits
from fuzzer.reference.evaluate import outcomes_of
from fuzzer.selftest.plant import planted
from fuzzer.targets import target_named
from fuzzer.targets.target import Target
from fuzzer.trial import Trial, compile_case, execute, interpret


def death_of(case: Case, target: Target, settings: Settings) -> Death | None:
    """How a trial of the case kills its process, or None if it does not."""

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

    ended = run_isolated(work, seconds=settings.timeout, memory=settings.memory)
    return ended if isinstance(ended, Death) else None


def violation_of(death: Death) -> Violation:
    """A death as a violation: the compiler's while compiling, suspect while executing."""
    check = "hang" if death.how == "timeout" else "crash"
    suspect = "the emulator died, not the compiler" if death.stage == "executing" else ""
    return Violation(check, f"{death.how} while {death.stage}", f"{death.how} {death.stage}",
                     suspect=suspect)  # fmt: skip


def examine(settings: Settings, slice_: int, index: int) -> Found | None:
    """Find out what the case of (slice, index) does to its process; None if it lives when alone."""
    with planted(settings.plants):
        target = target_named(settings.target)
        seed = case_seed(settings.seed, settings.shard, slice_, index)
        isa = settings.isas[seed % len(settings.isas)]
        generator = CaseGenerator(target, isa, limits=Limits(settings.items),
                                  fixed=settings.options)  # fmt: skip
        case = generator.from_seed(seed)
        death = death_of(case, target, settings)
        if death is None:
            return None
        violation = violation_of(death)
        finding = Finding(case, target.name, violation)
        store, name = (
            Store(settings.corpus),
            f"{settings.seed:#x}/{settings.shard}/{slice_}/{index}",
        )
        plants, versions = ",".join(settings.plants), versions_of(target)
        known = store.knows(entry_of(finding))

        def save(finding: Finding) -> str:
            entry = entry_of(finding, seed=name, plant=plants, versions=versions)
            return str(store.save(entry, outcomes_of(finding.case))[0])

        save(finding)
        small = shrink(finding, target, generator,
                       predicate=lambda c: death_of(c, target, settings) == death)  # fmt: skip
        return Found(
            save(small), violation.check, isa, signature(small), skeleton(small.case.function),
            violation.detail, case.function.instruction_count(),
            small.case.function.instruction_count(), "known" if known else "new", violation.suspect,
        )  # fmt: skip
