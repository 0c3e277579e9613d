"""Running the ``; run:`` lines of Cranelift filetests, anyone's, on whoever can execute a function.

Counted are run lines. A line is *unsupported*, not failed, if its function uses what the executor
does not know, or if the case has no meaning (undefined behaviour, no end in sight). A file that can't be
read, parsed or verified is an error: its lines count for nothing, the other files still run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from backend.errors import BackendError, ClifError, Unsupported
from backend.ir.entities import Function
from backend.ir.filetest import FileFunction, FileTest, RunLine, parse_file
from backend.ir.literals import print_float, print_hex_bytes, sign_extend
from backend.ir.types import Type
from backend.ir.verifier import verify
from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.case import Case, Input
from fuzzer.corpus.entry import EntryError, read_text
from fuzzer.execute.emulator import RETURN, TIMEOUT, ExecutorLimit, emulator_for
from fuzzer.outcome import Outcome, OutOfFuel, Returned, Trapped
from fuzzer.reference.evaluate import prepare
from fuzzer.reference.memory import UndefinedBehaviour
from fuzzer.targets import TARGETS, target_named
from fuzzer.targets.target import Target

Executor = Callable[[Function, list[Input], str, str], "list[Outcome | Unsupported]"]
"""(function, inputs, ISA, opt level "none" or "speed") to one outcome an input, in order.

It may also raise Unsupported, for all inputs at once. Anything else it raises fails the lines."""

FUEL: Final = 2_000_000
"""Instructions a run line may take: filetests have loops."""


def interpreter(
    function: Function, inputs: list[Input], isa: str, opt_level: str
) -> list[Outcome | Unsupported]:
    """The reference, which has neither ISA nor optimiser."""
    program = prepare(function)
    outcomes: list[Outcome | Unsupported] = []
    for values in inputs:
        try:
            outcomes.append(program.run(values, fuel=FUEL))
        except UndefinedBehaviour as reason:
            outcomes.append(Unsupported(f"undefined behaviour: {reason}"))
    return outcomes


def on_target(name: str) -> Executor:
    """A target's code under the emulator, in a process of its own if the target may take its process down."""

    def execute(
        function: Function, inputs: list[Input], isa: str, opt_level: str
    ) -> list[Outcome | Unsupported]:
        target = target_named(name)
        if isa not in target.isas:
            raise Unsupported(f"{name} has no ISA {isa}")
        if opt_level not in target.opt_levels:
            raise Unsupported(f"{name} has no opt level {opt_level}")
        case = Case(function, inputs, isa=isa, options=dict(target.opt_levels[opt_level]))
        if not target.isolated:
            return _run_compiled(case, target)
        answer = run_isolated(
            lambda stage: msgspec.json.encode([_packed(o) for o in _run_compiled(case, target)]),
            seconds=_SECONDS, memory=_MEMORY,
        )  # fmt: skip
        if isinstance(answer, Death):
            raise RuntimeError(f"{name} died: {answer.how}")
        return [
            _unpacked(*item)
            for item in msgspec.json.decode(answer, type=list[tuple[str, str, list[str]]])
        ]

    return execute


_SECONDS: Final = 60.0
_MEMORY: Final = 4 << 30


class BrokenPromise(Exception):
    """Right value or not, the code broke something of its caller's."""


def _run_compiled(case: Case, target: Target) -> list[Outcome | Unsupported]:
    try:
        code = target.compile(case)
    except Unsupported as reason:
        return [reason] * len(case.inputs)
    engine = emulator_for(case.isa)
    try:
        engine.load(code.code, case.function.signature, 0, code.symbols.get("entry", 0))
    except ExecutorLimit as limit:
        return [Unsupported(f"executor limit: {limit}")] * len(case.inputs)
    traps = dict(code.traps)
    outcomes: list[Outcome | Unsupported] = []
    for values in case.inputs:
        run = engine.run(values, b"")
        if run.frame:
            what, expected, got = run.frame[0]
            raise BrokenPromise(f"{what}: expected {expected:#x}, got {got:#x}")
        if run.stop == RETURN:
            outcomes.append(Returned(run.values, b""))
        elif run.stop == TIMEOUT:
            outcomes.append(OutOfFuel())
        elif run.offset in traps:
            outcomes.append(Trapped(traps[run.offset], b""))
        else:
            raise BrokenPromise(f"{run.stop} at {run.offset:#x}, no trap recorded there")
    return outcomes


def _packed(outcome: Outcome | Unsupported) -> tuple[str, str, list[str]]:
    if isinstance(outcome, Returned):
        return "returned", "", [hex(value) for value in outcome.values]
    if isinstance(outcome, Trapped):
        return "trapped", outcome.code, []
    return (
        ("unsupported", str(outcome), []) if isinstance(outcome, Unsupported) else ("fuel", "", [])
    )


def _unpacked(kind: str, text: str, values: list[str]) -> Outcome | Unsupported:
    if kind == "returned":
        return Returned(tuple(int(value, 16) for value in values), b"")
    if kind == "trapped":
        return Trapped(text, b"")
    return Unsupported(text) if kind == "unsupported" else OutOfFuel()


EXECUTORS: Final[dict[str, Executor]] = {
    "interpreter": interpreter,
    **{name: on_target(name) for name in TARGETS},
}
"""Who can execute, by the name that ``clifhanger test --on`` takes."""


@dataclass(slots=True)
class Failure:
    """A run line that did not hold. ``expected`` and ``got`` are as a run line writes values."""

    line: int
    text: str
    expected: str
    got: str


@dataclass(slots=True)
class FileResult:
    """What came of one file. ``errors``: why it, or a function of it, was not run, with the place."""

    path: str
    passed: int = 0
    failed: int = 0
    unsupported: int = 0
    failures: list[Failure] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    printed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "path": self.path,
            "passed": self.passed,
            "failed": self.failed,
            "unsupported": self.unsupported,
            "failures": [
                {"line": f.line, "text": f.text, "expected": f.expected, "got": f.got}
                for f in self.failures
            ],
            "unsupported_reasons": dict(self.reasons.most_common()),
        }
        if self.errors:
            found["errors"] = self.errors
        return found


def clif_files(paths: tuple[Path, ...]) -> Iterator[Path]:
    """The files named, and the ``.clif`` files in the folders named, recursively and sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*.clif") if p.is_file())
        else:
            yield path


def read_file(path: Path) -> FileTest:
    """A parsed file; ClifError with path and place for whatever is wrong with it."""
    try:
        return parse_file(read_text(path), str(path))
    except EntryError as error:
        raise _Unreadable(str(error)) from None


class _Unreadable(ClifError):
    """The message names the path already."""


def run_file(path: Path, execute: Executor, isa: str, opt_level: str) -> FileResult:
    """Run the run lines of a file."""
    result = FileResult(str(path))
    try:
        file = read_file(path)
    except ClifError as error:
        result.errors.append(str(error))
        return result
    for entry in file.functions:
        if not entry.run_lines:
            continue
        try:
            verify(entry.function)
        except ClifError as error:
            error.path = str(path)
            result.errors.append(str(error))
            continue
        _run_function(entry, execute, isa, opt_level, result)
    return result


def _run_function(
    entry: FileFunction, execute: Executor, isa: str, opt_level: str, result: FileResult
) -> None:
    inputs = [line.args for line in entry.run_lines]
    outcomes: list[Outcome | Unsupported | Exception]
    try:
        outcomes = list(execute(entry.function, inputs, isa, opt_level))
    except Exception as error:  # a compiler's failure is a failed line, not the end of the run
        outcomes = [error] * len(inputs)
    types = [param.type for param in entry.function.signature.returns]
    for line, outcome in zip(entry.run_lines, outcomes, strict=True):
        _judge(line, outcome, types, result)


def _judge(
    line: RunLine, outcome: Outcome | Unsupported | Exception, types: list[Type], result: FileResult
) -> None:
    counted = line.kind == "run"
    if isinstance(outcome, OutOfFuel):
        outcome = Unsupported("out of fuel")
    if isinstance(outcome, Unsupported):
        result.unsupported += counted
        result.reasons[str(outcome)] += counted
        return
    values = outcome.values if isinstance(outcome, Returned) else None
    if line.kind == "print":
        result.printed.append(f"{line.text.lstrip('; ')} -> {_shown(outcome, types)}")
    elif values is not None and line.holds(values):
        result.passed += 1
    else:
        result.failed += 1
        result.failures.append(
            Failure(line.line, line.text, _wanted(line, types), _shown(outcome, types))
        )


def _wanted(line: RunLine, types: list[Type]) -> str:
    if line.compare == "nonzero":
        return "nonzero"
    return ("" if line.compare == "==" else "not ") + values_text(line.expected, types)


def _shown(outcome: Outcome | Exception, types: list[Type]) -> str:
    if isinstance(outcome, Returned):
        return values_text(outcome.values, types)
    if isinstance(outcome, Trapped):
        return f"trap {outcome.code}"
    message = " ".join(str(outcome).split())
    name = "" if isinstance(outcome, BackendError) and message else f"{type(outcome).__name__}: "
    return f"error: {name}{message}"


def values_text(values: tuple[int, ...], types: list[Type]) -> str:
    """Returned bits as a run line writes them."""
    texts = [value_text(value, type_) for value, type_ in zip(values, types, strict=True)]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def value_text(bits: int, type_: Type) -> str:
    """One value's bits as a run line writes it."""
    if type_.is_vector:
        return print_hex_bytes(bits.to_bytes(type_.bytes, "little"))
    if type_.is_int:
        return str(sign_extend(bits, type_.bits))
    return print_float(bits, type_.bits)
