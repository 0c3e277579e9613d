"""Where the time goes: figures and ratios of one run, not a timed test.

Usage: ``python tests/benchmarks/bench.py [split|split:ISA|isas|growth|memory|shrink|crash]...`` (all but
``memory`` and ``crash`` by default).

``split``   a trial's stages on functions of about 30 instructions with 16 inputs, one core, in a process that
            has compiled its rules and tried :data:`WARM` others before, as a campaign's has after seconds: of
            functions of integers up to 64 bits alone, of such as have floats or i128, of all with calls; the ratios
``isas``    how long a compile takes and how long code is for each ISA, of the same functions, against the first ISA
``growth``  each stage from 10 to 10,000 instructions
``memory``  a worker's resident size over 200,000 functions (minutes)
``shrink``  calls of the predicate and seconds to shrink a planted bug
``crash``   what a try costs whose compiler has to be a new one, and may die: LLVM on its crashes in the corpus, in wall
            time, against the same function in a compiler that lives on (needs llvmlite, and a core besides its own)
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from backend.compile import compile_function
from backend.ir.entities import Signature
from backend.ir.printer import print_function
from backend.ir.verifier import verify
from backend.isa import isa_named
from fuzzer.campaign.worker import tune_collector
from fuzzer.case import Case
from fuzzer.checks import violations
from fuzzer.corpus.entry import load_entry
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.draft import Limits
from fuzzer.generate.operations import INTEGERS, TYPES, WIDE
from fuzzer.targets import target_named
from fuzzer.targets.target import Target
from fuzzer.trial import Trial, compile_case, execute, interpret, run_trial

clock = time.process_time
WARM: Final = 2000
TURNS: Final = 4
CORPUS: Final = Path(__file__).resolve().parents[2] / "corpus"


def sized(
    generator: CaseGenerator, count: int, low: int, high: int, *, wide: bool
) -> list[tuple[int, Case]]:
    """``count`` cases of ``low`` to ``high`` instructions and 16 inputs, with their seeds. ``wide``: those alone that
    have floats or i128."""
    cases: list[tuple[int, Case]] = []
    seed = 0
    while len(cases) < count:
        case = generator.from_seed(seed)
        seed += 1
        if wide and not {*WIDE} & {*case.function.value_types.values()}:
            continue
        if low <= case.function.instruction_count() <= high and case.inputs[0]:
            case.inputs = (case.inputs * 16)[:16]
            cases.append((seed - 1, case))
    return cases


class Scope:
    """One kind of functions while it is measured: what its stages take, on the same number of functions."""

    def __init__(self, title: str, generator: CaseGenerator, *, wide: bool) -> None:
        self.title = title
        self.generator = generator
        self.cases = sized(generator, 400, 22, 38, wide=wide)
        self.spent = dict.fromkeys(("generate", "interpret", "compile", "execute", "check"), 0.0)
        self.runs = 0

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.spent.values())

    def measure(self, index: int, target: Target) -> None:
        """The stages of one of its functions."""
        seed, case = self.cases[index]
        before = clock()
        self.generator.from_seed(seed)
        self.spent["generate"] += clock() - before
        trial = Trial(case, target, False)
        for name, stage in (("interpret", interpret), ("compile", compile_case),
                            ("execute", execute), ("check", violations)):  # fmt: skip
            before = clock()
            stage(trial)
            self.spent[name] += clock() - before
        self.runs += trial.executed

    def report(self, target: Target) -> None:
        """What was measured, and what a campaign makes of such functions."""
        count, total = len(self.cases), self.total
        size = statistics.mean(case.function.instruction_count() for _, case in self.cases)
        print(
            f"{self.title}: {count} functions of {size:.1f} instructions on average, 16 inputs each"
        )
        for name, seconds in self.spent.items():
            print(f"  {name:<10} {seconds / count * 1e6:7.0f} us  {seconds / total:5.1%}")
        print(f"  total      {total / count * 1e6:7.0f} us: {count / total:.0f} functions/s, "
              f"{self.runs / total:.0f} runs/s on one core")  # fmt: skip
        before = clock()
        whole = [self.generator.from_seed(1_000_000 + n) for n in range(500)]
        results = [run_trial(case, target, thorough=n % 8 == 0)[0] for n, case in enumerate(whole)]
        seconds = clock() - before
        executed = sum(trial.executed for trial in results)
        mean = statistics.mean(case.function.instruction_count() for case in whole)
        print(f"  as a campaign draws them ({mean:.0f} instructions, every 8th thorough): "
              f"{len(whole) / seconds:.0f} functions/s, {executed / seconds:.0f} runs/s")  # fmt: skip


def split(isa: str = "aarch64") -> None:
    """The stages of the hot path, of each scope. The scopes take turns, function by function, so that what the machine
    does besides falls on all of them alike."""
    target = target_named("builtin")
    target.prepare(isa)
    integers = CaseGenerator(target, isa, types=INTEGERS, calls=False)
    scopes = [Scope(f"split, {isa}", integers, wide=False)]
    if (floats := CaseGenerator(target, isa, calls=False)).catalogue.groups:
        scopes.append(Scope("split, floats and i128", floats, wide=True))
    scopes.append(Scope("split, with calls", CaseGenerator(target, isa), wide=False))
    for scope in scopes:
        for number in range(WARM):
            case = scope.generator.from_seed(2_000_000 + number)
            run_trial(case, target, thorough=number % 8 == 0)
    for index in range(len(scopes[0].cases)):
        for scope in scopes:
            scope.measure(index, target)
    for scope in scopes:
        scope.report(target)
    for scope in scopes[1:]:
        print(f"{scope.title} takes {scope.total / scopes[0].total:.2f} times what integers take")


def isas() -> None:
    """Compiles of the same functions for each ISA: the best of :data:`TURNS` for each function, in turns."""
    target = target_named("builtin")
    for what, types in (("integers", INTEGERS), ("everything", TYPES)):
        generator = CaseGenerator(target, "x86_64", types=types, calls=False)
        cases = [case for _, case in sized(generator, 400, 22, 38, wide=types is TYPES)]
        for case in cases:
            own = case.function.signature
            case.function.signature = Signature(own.params, own.returns, "system_v")
        seconds = dict.fromkeys(target.isas, 0.0)
        sizes = dict.fromkeys(target.isas, 0)
        for isa in target.isas:
            target.prepare(isa)
        for case in cases:
            case.options = {}
            best = dict.fromkeys(target.isas, 1.0)
            for _ in range(TURNS):
                for isa in target.isas:
                    case.isa = isa
                    before = clock()
                    code = target.compile(case)
                    best[isa] = min(best[isa], clock() - before)
                    sizes[isa] += len(code.code)
            for isa in target.isas:
                seconds[isa] += best[isa]
        print(f"isas: compile of {what}, {len(cases)} functions of 22 to 38 instructions")
        first = seconds[target.isas[0]]
        for isa, total in seconds.items():
            print(f"  {isa:<10} {total / len(cases) * 1e6:7.0f} us  {total / first:5.2f} times  "
                  f"{sizes[isa] / len(cases) / TURNS:6.0f} bytes")  # fmt: skip


def compiled(case: Case, target: Target) -> Trial:
    """A trial that is ready to execute."""
    trial = Trial(case, target, False)
    interpret(trial)
    compile_case(trial)
    return trial


def growth() -> None:
    """Each stage against the size of the function; the last column is time over n, relative to the first row."""
    target = target_named("builtin")
    print("growth: microseconds an instruction")
    print(f"  {'instructions':>12} {'generate':>9} {'print':>7} {'verify':>7} {'interpret':>9} {'compile':>8} "
          f"{'execute':>8} {'compile/n':>9}")  # fmt: skip
    first = 0.0
    for items in (5, 15, 50, 150, 500, 1500, 5000):
        limits = Limits(items, more=1.0, inputs=1)
        generator = CaseGenerator(target, "aarch64", limits=limits)
        cases = [generator.from_seed(seed) for seed in range(max(2, 200 // items))]
        count = sum(case.function.instruction_count() for case in cases)

        def each(
            stage: Callable[[Case], object], cases: list[Case] = cases, n: int = count
        ) -> float:
            before = clock()
            for case in cases:
                stage(case)
            return (clock() - before) / n * 1e6

        generate = each(lambda case, g=generator: g.from_choices(case.choices))
        printing = each(lambda case: print_function(case.function))
        verifying = each(lambda case: verify(case.function))
        interpreting = each(lambda case: interpret(Trial(case, target, False)))
        compiling = each(lambda case: compile_function(case.function))
        trials = iter([compiled(case, target) for case in cases])
        executing = each(lambda case, t=trials: execute(next(t)))
        first = first or compiling
        print(f"  {count / len(cases):12.0f} {generate:9.1f} {printing:7.1f} {verifying:7.1f} "
              f"{interpreting:9.1f} {compiling:8.1f} {executing:8.1f} {compiling / first:9.2f}")  # fmt: skip


def memory() -> None:
    """Resident size of one process over 200,000 functions."""
    target = target_named("builtin")
    generator = CaseGenerator(target, "aarch64")
    print("memory: peak resident MiB")
    for number in range(200_000):
        run_trial(generator.from_seed(number), target, thorough=number % 8 == 0)
        if number + 1 in (1000, 10_000, 50_000, 100_000, 150_000, 200_000):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"  {number + 1:7} functions {peak:6.0f}", flush=True)


def shrink() -> None:
    """What shrinking costs, on a bug that needs some structure."""
    from fuzzer.selftest.bugs import BUGS
    from fuzzer.selftest.runner import look_for

    print("shrink: planted bugs found and shrunk")
    for name in ("caller-frame", "fixup-after-word"):
        verdict = look_for(BUGS[name], "aarch64", seconds=60, seed=1, corpus=None)
        print(f"  {name:<20} {verdict.seconds:5.1f}s after {verdict.functions} functions, "
              f"{verdict.instructions} instructions left")  # fmt: skip


def crash() -> None:
    """Tries as they are made when a crash is shrunk: each asks for a compiler that knows of no other case."""
    target = target_named("llvm")
    target.excludes = False  # a crash that is known is left out otherwise
    print("crash: milliseconds a try, the median of 100 and the least")
    for path in sorted(CORPUS.glob("crash/crash-llvm-*.clif")):
        dying = load_entry(path).case
        sound = CaseGenerator(target, dying.isa, calls=False).from_seed(1)
        sound.options = dict(dying.options)
        print(f"  {path.stem}")
        for name, case, fresh in (
            ("lives on", sound, False),
            ("new", sound, True),
            ("new, dies", dying, True),
        ):
            trial, seconds = Trial(case, target, False), []
            for _ in range(105):
                before = time.perf_counter()
                if fresh:
                    target.renew()
                compile_case(trial)
                seconds.append(time.perf_counter() - before)
            took = sorted(each * 1e3 for each in seconds[5:])
            print(f"    {name:<10} {statistics.median(took):6.1f} {took[0]:6.1f}")


if __name__ == "__main__":
    tune_collector()
    isa_named("aarch64").rule_set.compile_all()  # matchers are compiled at first use
    chosen = sys.argv[1:] or ["split", "isas", "growth", "shrink"]
    for word in chosen:
        name, _, isa = word.partition(":")
        if isa:
            split(isa)
            continue
        {"split": split, "isas": isas, "growth": growth, "memory": memory, "shrink": shrink,
         "crash": crash}[name]()  # fmt: skip
