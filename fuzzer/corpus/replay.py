"""Trying an entry again, and saying what became of it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from backend.errors import VerifyError
from backend.ir.entities import Signature
from backend.ir.opcodes import OPCODES
from backend.options import OptionError
from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.case import Case
from fuzzer.checks.reassembly import ASSEMBLED, assemble
from fuzzer.corpus.entry import Entry, outcome_text
from fuzzer.execute.decode import decode
from fuzzer.execute.emulator import emulator_for
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.relocate import ExecutorLimit
from fuzzer.execute.runtime import EXECUTOR, instead
from fuzzer.execute.second import Second, executing_on
from fuzzer.reference.memory import UndefinedBehaviour
from fuzzer.selftest.plant import planted as planting
from fuzzer.targets import family
from fuzzer.targets.target import Target
from fuzzer.trial import EXECUTED, run_trial

_SECONDS: Final = 30.0
_MEMORY: Final = 4 << 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """``verdict``: ``fixed`` or ``clean`` (nothing broken), ``failing`` (as recorded), ``changed`` (another
    rule is broken, or the reference judges otherwise than recorded), ``regressed`` (an entry marked
    fixed fails), ``unsupported``, ``invalid`` (the entry's program means nothing).
    """

    verdict: str
    detail: str = ""


_prepared: set[tuple[type[Target], str]] = set()


def prepare(target: Target, isa: str) -> None:
    """Bring up here, once, what each forked trial would otherwise bring up for itself: the ISA's tables,
    the executor, the decoder and the assembler. The compiler is not called.

    Measured over the corpus: 113 ms an entry without, 17 ms with.
    """
    if (type(target), isa) in _prepared or isa not in target.isas or isa not in MACHINES:
        return
    _prepared.add((type(target), isa))
    target.supports(isa, OPCODES[0], None, None)
    code = MACHINES[isa].trap_fill
    for _, text in decode(isa, code):
        if isa in ASSEMBLED:
            assemble(isa, text)
    engine = emulator_for(isa)
    engine.load(code, Signature())
    engine.run((), b"")


def replay(
    entry: Entry, target: Target, isa: str, *, planted: bool = False, second: Second | None = None,
    runtime: str = EXECUTOR,
) -> Verdict:  # fmt: skip
    """Try the entry's case on ``target`` for ``isa``, in a process of its own: whatever the compiler
    did when the entry was found, it may crash or hang now. ``second``: who executes the code instead;
    ``runtime``: who answers calls of the run-time library.
    """
    case = entry.case.copy()
    case.isa = isa
    if family(target.name) != family(entry.target):
        case.options = {}
    prepare(target, isa)
    plants = [name for name in entry.plant.split(",") if name] if planted else []
    expected_to_fail = bool(plants) or entry.status in ("open", "wontfix")
    failing = "failing" if expected_to_fail else "regressed"

    def work(stage: object) -> bytes:
        target.limit(seconds=_SECONDS, memory=_MEMORY)
        target.renew()
        target.excludes = False
        elsewhere = executing_on(second, isa) if second else nullcontext()
        with planting(plants), elsewhere, instead(runtime):
            verdict = _judge(entry, case, target, failing)
        return f"{verdict.verdict}\0{verdict.detail}".encode()

    ended = run_isolated(work, seconds=_SECONDS, memory=_MEMORY)
    if isinstance(ended, Death):
        dies = entry.kind != "mismatch"
        return Verdict(failing if dies else "changed", ended.how)
    verdict, _, detail = ended.decode().partition("\0")
    return Verdict(verdict, detail)


def _judge(entry: Entry, case: Case, target: Target, failing: str) -> Verdict:
    """``failing``: the verdict if the entry's own rule is broken again."""
    try:
        trial, found = run_trial(case, target, thorough=True)
    except ExecutorLimit as limit:
        return Verdict("unsupported", f"executor limit: {limit}")
    except (VerifyError, UndefinedBehaviour) as error:
        return Verdict("invalid", str(error))
    if trial.unsupported:
        return Verdict("unsupported", trial.unsupported)
    of_runs = entry.status == "seed" or entry.check in EXECUTED
    if case.isa not in MACHINES and of_runs and trial.code is not None and not found:
        return Verdict("unsupported", f"nothing runs code for {case.isa}")
    if isinstance(trial.error, OptionError):
        return Verdict("invalid", str(trial.error))
    judged = [outcome_text(outcome) for outcome in trial.outcomes]
    if entry.expected and judged != entry.expected:
        return Verdict("changed", f"the reference now says {judged}, the entry {entry.expected}")
    if not found:
        return Verdict("clean" if entry.status == "seed" else "fixed")
    same = [v for v in found if v.check == entry.check]
    violation = (same or found)[0]
    detail = f"{violation.check}: {violation.detail}"
    return Verdict(failing if same else "changed", detail)
