"""One trial: interpret, compile, execute, check. The pipeline of the whole project on one page.

The hot path is the case in which all is well: a run is compared with its outcome in one place
(:func:`agrees`), and only an anomaly is looked at by the checks that explain it.
"""

from __future__ import annotations

from traceback import clear_frames

from backend.errors import Unsupported
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case, Input, byte_order_of
from fuzzer.execute import emulator as executor
from fuzzer.execute.emulator import Emulator, ExecutorLimit, Run, emulator_for
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.nesting import depth_of
from fuzzer.execute.quarantine import suspicion
from fuzzer.finding import Violation, encodable
from fuzzer.loading import load
from fuzzer.outcome import Outcome, OutOfFuel, Returned, Trapped, same_calls, same_memory
from fuzzer.reference.evaluate import prepare
from fuzzer.reference.program import DEFAULT_DEPTH, DEFAULT_FUEL, Program
from fuzzer.targets.target import Target, TargetUnavailable


class Trial:
    """What is known of a case once it was tried. The checks read it.

    ``code``: None if the compiler gave none, then ``error`` says why. ``runs[i]`` and
    ``outcomes[i]`` belong to input i; an input the reference gave up on has no run. ``anomalies``: inputs whose
    run is not what had to happen. ``thorough``: also do what costs more (see fuzzer.checks).
    """

    __slots__ = ("anomalies", "case", "code", "error", "first_only", "outcomes", "poison", "runs", "target",
                 "thorough", "trap_codes", "unsupported")  # fmt: skip

    def __init__(self, case: Case, target: Target, thorough: bool) -> None:
        self.case = case
        self.target = target
        self.thorough = thorough
        self.outcomes: list[Outcome] = []
        self.code: CompiledCode | None = None
        self.error: BaseException | None = None
        self.unsupported = ""
        self.runs: list[Run | None] = []
        self.anomalies: list[int] = []
        self.trap_codes: dict[int, tuple[str, ...]] = {}
        self.poison = 0
        self.first_only = False

    @property
    def executed(self) -> int:
        """How many runs of machine code this took."""
        return sum(run is not None for run in self.runs)

    def outcome_of(self, run: Run) -> str | None:
        """The trap code that a stopped run means, by the compiler's own records; None if none."""
        codes = self.trap_codes.get(run.offset, ())
        return codes[0] if codes else None


def interpret(trial: Trial, program: Program | None = None) -> None:
    """What had to happen on each input."""
    trial.outcomes = expected_of(trial.case, program)


def expected_of(case: Case, program: Program | None = None) -> list[Outcome]:
    """What a case comes to on each of its inputs, calls nested no deeper than the executor's stack is sure to hold."""
    if program is None:
        order = byte_order_of(case.isa)
        program = prepare(case.function, order, lean=True, others=case.others)
    run, memory = program.run, case.memory
    if case.function.functions or case.function.signatures:
        depth = min(DEFAULT_DEPTH, depth_of((case.function, *case.others)))
        return [run(values, memory, depth=depth) for values in case.inputs]
    return [run(values, memory) for values in case.inputs]


def compile_case(trial: Trial) -> None:
    """Let the target compile; whatever it raises is kept for the checks to judge. TargetUnavailable if there is no
    compiler any more."""
    try:
        code = trial.target.compile(trial.case)
    except Unsupported as reason:
        trial.unsupported = encodable(str(reason)) or "unsupported"
        return
    except TargetUnavailable:
        raise
    except Exception as error:
        # Its frames may hold all the memory there was, and this trial in a cycle with them.
        clear_frames(error.__traceback__)
        trial.error = error
        return
    trial.code = code
    codes: dict[int, tuple[str, ...]] = {}
    for offset, trap in code.traps:
        codes[offset] = (*codes.get(offset, ()), trap)
    trial.trap_codes = codes


def execute(trial: Trial, emulator: Emulator | None = None) -> None:
    """Run the code on every input, alternating poison, and note what is not as it had to be.

    If the executor can't go on with one of them nothing is judged of any. Code of an ISA without a machine is not run.
    """
    code, case = trial.code, trial.case
    if code is None or case.isa not in MACHINES:
        return
    engine = emulator_for(case.isa) if emulator is None else emulator
    memory = case.memory
    try:
        load(engine, case, code)
    except ExecutorLimit as limit:
        trial.unsupported = f"executor limit: {limit}"
        return
    run, runs, poison = engine.run, trial.runs, trial.poison
    for index, (values, outcome) in enumerate(zip(case.inputs, trial.outcomes, strict=True)):
        if outcome.__class__ is OutOfFuel:
            runs.append(None)
            continue
        try:
            result = run(values, memory, (index + poison) & 1)
            if result.stop == executor.TIMEOUT:
                result = patiently(engine, case, values, (index + poison) & 1)
        except ExecutorLimit as limit:
            trial.unsupported = f"executor limit: {limit}"
            runs.clear()
            trial.anomalies.clear()
            return
        runs.append(result)
        if not agrees(outcome, result, trial.trap_codes):
            trial.anomalies.append(index)
            if trial.first_only:
                runs += [None] * (len(trial.outcomes) - len(runs))
                return


def patiently(engine: Emulator, case: Case, values: Input, poison: int) -> Run:
    """A run with as many machine instructions as the reference's may take."""
    program = prepare(case.function, byte_order_of(case.isa), lean=True, others=case.others)
    steps = 64
    while steps < DEFAULT_FUEL and isinstance(program.run(values, case.memory, steps), OutOfFuel):
        steps *= 2
    return engine.run(values, case.memory, poison, steps * MACHINES[case.isa].longest)


def is_seen_anew(trial: Trial) -> bool:
    """Does code that ran wrongly run so in a new engine, too? If not, the old one was in a bad state, and the new one
    takes its place: Unicorn 2.1.4 had s390x in one, after some thousands of cases, in which a function that returns and
    does nothing else left the code."""
    case = trial.case
    again, fresh = Trial(case, trial.target, False), Emulator(case.isa)
    again.code, again.trap_codes = trial.code, trial.trap_codes
    again.outcomes, again.poison = trial.outcomes, trial.poison
    execute(again, fresh)
    if again.anomalies:
        return True
    executor.replace(case.isa, fresh)
    return False


def agrees(outcome: Outcome, run: Run, trap_codes: dict[int, tuple[str, ...]]) -> bool:
    """Did the machine do what the reference says, and nothing else?

    Memory after a fault is not compared: the first page of a straddling store is written already. Nor are bits that
    the language leaves open.
    """
    if isinstance(outcome, Returned):
        return (
            run.stop == executor.RETURN
            and not run.frame
            and (not (run.calls or outcome.calls) or same_calls(outcome.calls, run.calls))
            and (
                (run.values == outcome.values and run.memory == outcome.memory)
                or outcome.accepts(run.values, run.memory)
            )
        )
    if isinstance(outcome, Trapped):
        return (
            outcome.code in trap_codes.get(run.offset, ())
            and not run.frame
            and (not (run.calls or outcome.calls) or same_calls(outcome.calls, run.calls))
            and (
                run.stop == executor.FAULT
                or (run.stop == executor.TRAP and same_memory(outcome, run.memory))
            )
        )
    return True


def run_trial(
    case: Case, target: Target, *, thorough: bool = False, only: str | None = None
) -> tuple[Trial, list[Violation]]:
    """Try a case: the trial, and every rule that was broken, the first time each.

    ``only``: run no check but the one of this name (shrinking needs no others); for ``hang``,
    which is slow to see, the first anomaly ends the trial.
    """
    from fuzzer.checks import violations

    trial = Trial(case, target, thorough)
    trial.first_only = only == "hang"
    interpret(trial)
    compile_case(trial)
    execute(trial)
    found = violations(trial, only)
    if found and trial.code is not None:
        doubt = suspicion(case.isa, trial.code.code, trial.code.data_ranges)
        for violation in found if doubt else ():
            if violation.check in EXECUTED:
                violation.suspect = doubt
    return trial, found


EXECUTED = frozenset(
    {"result", "memory", "trap", "frame", "bounds", "hang", "poison", "calls", "levels"}
)
"""Checks of what code did when it ran: they are only as good as the executor."""
