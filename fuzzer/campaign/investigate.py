"""From a violation to an entry: shrink it, name it, put it on disk.

A finding is told before it is shrunk, as a *draft*, in case shrinking kills the process; on disk there is only what
was shrunk, so that what a corpus holds in the end does not depend on who was killed when. The predicate of shrinking is
the same check broken with the same key.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from backend.errors import BackendError
from fuzzer.campaign.messages import Found
from fuzzer.case import Case
from fuzzer.checks import CHECKS
from fuzzer.corpus.entry import Entry, print_entry
from fuzzer.corpus.signature import signature, skeleton
from fuzzer.corpus.store import Store
from fuzzer.execute import runtime
from fuzzer.execute.relocate import ExecutorLimit
from fuzzer.execute.second import Second, executing_on, second_executor
from fuzzer.finding import Finding, Violation
from fuzzer.generate.cases import CaseGenerator
from fuzzer.outcome import OutOfFuel
from fuzzer.reduce.draws import MAX_DRAWS, shrink_draws
from fuzzer.reduce.reducer import MAX_EDITS, reduce_case
from fuzzer.reference.memory import UndefinedBehaviour
from fuzzer.targets.target import Target
from fuzzer.trial import EXECUTED, expected_of, run_trial

Predicate = Callable[[Case], bool]
REPEATS: Final = 3
"""Times a finding has to show again before it is believed to repeat. One that does not is kept as it is."""


def has_endless(case: Case) -> bool:
    """Does the reference give up on an input?"""
    return any(isinstance(outcome, OutOfFuel) for outcome in expected_of(case))


def same_violation(
    case: Case, target: Target, violation: Violation, *, endless: bool = False
) -> Violation | None:
    """The case's own violation of the same check and key, or None; a case that means nothing has none.

    ``endless``: take cases with inputs that the reference gives up on, since the first one has such inputs. Otherwise
    shrinking would soon be among loops without end, each of which costs all the fuel there is.
    """
    try:
        # Encoding looks at all there is only if a trial is thorough.
        trial, found = run_trial(case, target, thorough=True, only=violation.check)
    except (UndefinedBehaviour, BackendError):
        return None
    if not endless and any(isinstance(outcome, OutOfFuel) for outcome in trial.outcomes):
        return None
    for other in found:
        if other.check == violation.check and other.key == violation.key:
            return other
    return None


def shrink(
    finding: Finding,
    target: Target,
    generator: CaseGenerator | None,
    *,
    predicate: Predicate | None = None,
    draws: int = MAX_DRAWS,
    edits: int = MAX_EDITS,
) -> Finding:
    """The smallest finding of the same kind: Hypothesis on the draws, then the IR reducer.

    ``generator``: what the case's choices were drawn with; without it (or without choices) the
    reducer works alone. ``draws`` and ``edits`` bound the calls of the two stages. ``predicate``:
    asked instead of the target in this process. The violation's detail is still the original
    case's: see :func:`restated`.
    """
    violation = finding.violation
    case = finding.case
    endless = predicate is None and has_endless(case)
    ask: Predicate = predicate or (
        lambda case: same_violation(case, target, violation, endless=endless) is not None
    )
    if generator is not None and case.choices:
        smaller = shrink_draws(generator, case.choices, ask, calls=draws)
        if ask(smaller):
            case = smaller
    reduced, _ = reduce_case(case, ask, limit=edits)
    return Finding(reduced, finding.target, violation)


def restated(finding: Finding, target: Target) -> Finding:
    """The finding with the detail that its own, smaller case shows."""
    violation = same_violation(finding.case, target, finding.violation)
    return Finding(finding.case, finding.target, violation or finding.violation)


def repeated_on(second: Second, finding: Finding, target: Target) -> bool | None:
    """Is the rule broken as well when the code is executed elsewhere? None if that can't execute it."""
    case, violation = finding.case, finding.violation
    try:
        with executing_on(second, case.isa):
            trial, found = run_trial(case, target, thorough=CHECKS[violation.check].costly,
                                     only=violation.check)  # fmt: skip
    except ExecutorLimit:
        return None
    return None if trial.unsupported else any(v.check == violation.check for v in found)


def repeated_without_blob(finding: Finding, target: Target) -> bool:
    """Is the rule broken as well when the executor answers for the run-time library? If not, the two differ."""
    case, violation = finding.case, finding.violation
    with runtime.instead(runtime.EXECUTOR):
        try:
            _, found = run_trial(case, target, thorough=CHECKS[violation.check].costly,
                                 only=violation.check)  # fmt: skip
        except ExecutorLimit:
            return True  # of a routine that only the blob has it says nothing
    return any(v.check == violation.check for v in found)


def entry_of(finding: Finding, *, seed: str = "", plant: str = "", versions: str = "") -> Entry:
    """The corpus entry of a finding as it is."""
    violation = finding.violation
    return Entry(
        finding.case,
        violation.check,
        finding.target,
        signature(finding),
        kind=CHECKS[violation.check].kind,
        observed=violation.detail,
        key=violation.key,
        seed=seed,
        plant=plant,
        versions=versions,
        note=f"suspect: {violation.suspect}" if violation.suspect else "",
    )


def versions_of(target: Target) -> str:
    """``clifhanger 0.1.0, builtin 0.1.0, unicorn 2.1.4``."""
    return f"clifhanger {version('clifhanger')}, {target.version}, unicorn {version('unicorn')}"


@dataclass(frozen=True, slots=True)
class Investigator:
    """What turns findings of one campaign into entries. ``plants`` and ``versions`` go into them as they are;
    ``second``: the kind of executor that is asked to repeat them.
    """

    target: Target
    store: Store
    plants: str
    versions: str
    second: str = "none"

    def investigate(
        self, finding: Finding, generator: CaseGenerator, seed: str, predicate: Predicate, *,
        draws: int = MAX_DRAWS, edits: int = MAX_EDITS, restate: bool = True, until: float = math.inf,
    ) -> Iterator[Found]:  # fmt: skip
        """Tell the finding as a draft, shrink it, put the small one on disk and tell it.

        ``restate``: run the small case once more, in this process, for its own detail. ``until``:
        ``time.monotonic()`` after which shrinking takes what it has. OSError if the disk takes no entry.
        """
        before = finding.case.instruction_count()
        yield self._draft(finding, before, seed)
        repeated = 0
        for _ in range(REPEATS):
            self.target.renew()
            repeated += predicate(finding.case)
        if repeated < REPEATS:
            runs = "fresh processes" if self.target.renewable else "runs"
            finding.violation.suspect = (
                f"nondeterministic: seen again in {repeated} of {REPEATS} {runs}"
            )
            yield self._saved(finding, before, seed)
            return
        small = shrink(
            finding, self.target, generator, draws=draws, edits=edits,
            predicate=lambda case: time.monotonic() < until and predicate(case),
        )  # fmt: skip
        if restate:
            small = restated(small, self.target)
        self._ask_another(small)
        yield self._saved(small, before, seed)

    def _ask_another(self, finding: Finding) -> None:
        """Let a second executor, if there is one here, say whether the first may be at fault; and before that the
        executor's own library, if a compiled one was called."""
        violation = finding.violation
        if violation.check not in EXECUTED or violation.input_index < 0:
            return  # it was not what the code did
        if runtime.chosen(finding.case.isa) is not None and not repeated_without_blob(
            finding, self.target
        ):
            violation.suspect = "the executor's own run-time library does not repeat it"
            violation.refuted = True
            return
        second = second_executor(self.second, finding.case.isa)
        if second is None:
            return
        repeats = repeated_on(second, finding, self.target)
        if repeats:
            violation.suspect = ""
        elif repeats is not None:
            violation.fault, violation.refuted = violation.suspect, True
            violation.suspect = f"{second.name} does not repeat it"

    def _saved(self, finding: Finding, before: int, seed: str) -> Found:
        entry, text = self._entry(finding, seed)
        path, verdict = self.store.save(entry, text)
        return self._found(finding, path, before, "new" if verdict == "new" else "known", text)

    def _draft(self, finding: Finding, before: int, seed: str) -> Found:
        entry, text = self._entry(finding, seed)
        return self._found(finding, self.store.path_of(entry), before, "draft", text)

    def _entry(self, finding: Finding, seed: str) -> tuple[Entry, str]:
        entry = entry_of(finding, seed=seed, plant=self.plants, versions=self.versions)
        return entry, print_entry(entry, expected_of(finding.case))

    @staticmethod
    def _found(finding: Finding, path: Path, before: int, verdict: str, text: str) -> Found:
        case, violation = finding.case, finding.violation
        return Found(
            str(path), violation.check, CHECKS[violation.check].kind, case.isa,
            signature(finding), skeleton(case), violation.detail, before,
            case.instruction_count(), verdict, violation.suspect, text, violation.refuted,
        )  # fmt: skip
