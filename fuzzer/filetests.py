"""Running the ``; run:`` lines of Cranelift filetests, anyone's, on whoever can execute a function.

Counted are run lines. A line is *unsupported*, not failed, if its function uses what the executor
does not know, or if the case has no meaning (undefined behaviour, no end in sight, a result that nothing is known of
but that it depends on a NaN's open bits), or if it is not the reference's and the emulator
is known to get an instruction of the code wrong. A file that can't be
read, parsed or verified is an error: its lines count for nothing, the other files still run.

A ``target`` line of the ISA says which features the processor has (``target x86_64 has_popcnt has_sse41=false``):
those that are options of the compiler are set, other words pass. A run line must hold under each such line of its file;
without one it runs on the baseline.
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
from fuzzer.case import Case, Input, OptionValue, byte_order_of
from fuzzer.corpus.entry import EntryError, read_text
from fuzzer.execute import layout
from fuzzer.execute.emulator import FAULT, RETURN, TIMEOUT, ExecutorLimit, Run, emulator_for
from fuzzer.execute.quarantine import suspicion
from fuzzer.loading import load
from fuzzer.outcome import Outcome, OutOfFuel, Returned, Trapped, same
from fuzzer.reference.evaluate import prepare
from fuzzer.reference.memory import UndefinedBehaviour
from fuzzer.reference.translate_calls import types_of
from fuzzer.targets import TARGETS, target_named
from fuzzer.targets.target import Target


@dataclass(slots=True)
class Surroundings:
    """What a file says beside the function that is run. ``functions``: all of the file's, the valid ones that it may
    call among them; ``canonical_nans``: the header sets ``enable_nan_canonicalization``; ``flags``: what the target
    line says of flags.
    """

    functions: list[Function] = field(default_factory=list)
    canonical_nans: bool = False
    flags: dict[str, bool] = field(default_factory=dict)


Executor = Callable[[Function, list[Input], str, str, Surroundings], "list[Outcome | Unsupported]"]
"""(function, inputs, ISA, opt level "none" or "speed", the file's rest) to one outcome an input, in order.

It may also raise Unsupported, for all inputs at once. Anything else it raises fails the lines."""

FUEL: Final = 20_000_000
"""Instructions a run line may take: filetests have loops."""
DEPTH: Final = 10_000
"""Calls in calls that a run line may make: filetests recurse."""


def interpreter(
    function: Function, inputs: list[Input], isa: str, opt_level: str, file: Surroundings
) -> list[Outcome | Unsupported]:
    """The reference, which has of the ISA but its byte order, and no optimiser."""
    program = prepare(
        function, byte_order_of(isa), others=file.functions, externals=False,
        canonical_nans=file.canonical_nans,
    )  # fmt: skip
    outcomes: list[Outcome | Unsupported] = []
    for values in inputs:
        try:
            outcomes.append(program.run(values, fuel=FUEL, depth=DEPTH))
        except UndefinedBehaviour as reason:
            outcomes.append(Unsupported(f"undefined behaviour: {reason}"))
    return outcomes


def on_target(name: str) -> Executor:
    """A target's code under the emulator, in a process of its own if the target may take its process down."""

    def execute(
        function: Function, inputs: list[Input], isa: str, opt_level: str, file: Surroundings
    ) -> list[Outcome | Unsupported]:
        target = target_named(name)
        if isa not in target.isas:
            raise Unsupported(f"{name} has no ISA {isa}")
        if opt_level not in target.opt_levels:
            raise Unsupported(f"{name} has no opt level {opt_level}")
        features = {option.name for option in target.options_of(isa) if option.feature}
        options: dict[str, OptionValue] = dict(target.opt_levels[opt_level])
        options |= {name: value for name, value in file.flags.items() if name in features}
        named = {each.name: each for each in reversed(file.functions)} | {function.name: function}
        others = [each for each in _reachable(function, named) if each is not function]
        case = Case(function, inputs, isa=isa, options=options, others=others)
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
        load(engine, case, code)
    except ExecutorLimit as limit:
        return [Unsupported(f"executor limit: {limit}")] * len(case.inputs)
    traps = dict(code.traps)
    outcomes: list[Outcome | Unsupported] = []
    for values in case.inputs:
        try:
            run = engine.run(values, b"")
        except ExecutorLimit as limit:
            outcomes.append(Unsupported(f"executor limit: {limit}"))
            continue
        if run.frame:
            what, expected, got = run.frame[0]
            raise BrokenPromise(f"{what}: expected {expected:#x}, got {got:#x}")
        if run.stop == RETURN:
            outcomes.append(Returned(run.values, b""))
        elif run.stop == TIMEOUT or _overflows(run):
            outcomes.append(OutOfFuel())
        elif run.offset in traps:
            outcomes.append(Trapped(traps[run.offset], b""))
        else:
            raise BrokenPromise(f"{run.stop} at {run.offset:#x}, no trap recorded there")
    doubt = suspicion(case.isa, code.code, code.data_ranges)
    return _without_doubtful(case, outcomes, doubt) if doubt else outcomes


def _without_doubtful(
    case: Case, outcomes: list[Outcome | Unsupported], doubt: str
) -> list[Outcome | Unsupported]:
    """What code came to that the emulator may have got wrong, where it is not what the reference comes to."""
    file = Surroundings(case.others)
    wanted = interpreter(case.function, case.inputs, case.isa, "none", file)
    return [
        Unsupported(f"executor: {doubt}")
        if isinstance(got, Returned) and isinstance(want, Returned) and not want.accepts(got.values, b"")
        else got
        for got, want in zip(outcomes, wanted, strict=True)
    ]  # fmt: skip


def _overflows(run: Run) -> bool:
    """Did it run out of stack? Filetests recurse."""
    return run.stop == FAULT and 0 < layout.STACK - run.address <= layout.STACK_SIZE


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
    **{name: on_target(name) for name, row in TARGETS.items() if not row.argument},
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
    named = {entry.function.name: entry.function for entry in reversed(file.functions)}
    functions = [entry.function for entry in file.functions]
    surroundings = [
        Surroundings(functions, _canonical_nans(file), flags) for flags in _flags(file, isa)
    ]
    verdicts: dict[int, ClifError | None] = {}
    for entry in file.functions:
        for function, lines in _by_function(entry, named):
            faults = [
                fault
                for each in _reachable(function, named)
                if (fault := _verified(each, verdicts)) is not None
            ]
            for fault in faults:
                fault.path = str(path)
                if str(fault) not in result.errors:
                    result.errors.append(str(fault))
            if not faults:
                _run_function(function, lines, execute, isa, opt_level, surroundings, result)
    return result


def _canonical_nans(file: FileTest) -> bool:
    """Does the header set ``enable_nan_canonicalization``?"""
    settings = [word for command in file.commands("set") for word in command.words[1:]]
    on = ("", "=true", "=1", "=on", "=yes")
    return any(f"enable_nan_canonicalization{value}" in settings for value in on)


_SAID: Final = {"": True, "true": True, "1": True, "on": True, "yes": True,
                "false": False, "0": False, "off": False, "no": False}  # fmt: skip
"""What a flag's value means; none at all sets it."""


def _flags(file: FileTest, isa: str) -> list[dict[str, bool]]:
    """The flags of each target line of ``isa``; those of none if there is no such line."""
    found: list[dict[str, bool]] = []
    for command in file.commands("target"):
        if command.words[1].partition("-")[0] != isa:
            continue
        words = [word.partition("=") for word in command.words[2:]]
        flags = {name: _SAID[value] for name, _, value in words if value in _SAID}
        if flags not in found:
            found.append(flags)
    return found or [{}]


def _by_function(
    entry: FileFunction, named: dict[str, Function]
) -> list[tuple[Function, list[RunLine]]]:
    """The run lines below a function by the function they name: this one, another of the same types, or, if the file
    has none like that, this one all the same."""
    own = entry.function
    groups: dict[str, tuple[Function, list[RunLine]]] = {}
    for line in entry.run_lines:
        function = own if line.name == own.name else named.get(line.name, own)
        if types_of(function.signature) != types_of(own.signature):
            function = own
        groups.setdefault(function.name, (function, []))[1].append(line)
    return list(groups.values())


def _reachable(function: Function, named: dict[str, Function]) -> list[Function]:
    """The function, and those of the file that it or they may call."""
    found = {function.name: function}
    waiting = [function]
    while waiting:
        for ref in waiting.pop().functions.values():
            callee = named.get(ref.name)
            if callee is not None and ref.name not in found:
                found[ref.name] = callee
                waiting.append(callee)
    return list(found.values())


def _verified(function: Function, verdicts: dict[int, ClifError | None]) -> ClifError | None:
    """What is wrong with a function, asked once of each; ``verdicts``: by id, since names may come twice."""
    key = id(function)
    if key not in verdicts:
        verdicts[key] = None
        try:
            verify(function)
        except ClifError as error:
            verdicts[key] = error
    return verdicts[key]


def _run_function(
    function: Function,
    lines: list[RunLine],
    execute: Executor,
    isa: str,
    opt_level: str,
    surroundings: list[Surroundings],
    result: FileResult,
) -> None:
    inputs = [line.args for line in lines]
    types = [param.type for param in function.signature.returns]
    runs: list[list[Outcome | Unsupported | Exception]] = []
    for file in surroundings:
        try:
            runs.append(list(execute(function, inputs, isa, opt_level, file)))
        except Exception as error:  # a compiler's failure is a failed line, not the end of the run
            runs.append([error] * len(inputs))
    for line, *outcomes in zip(lines, *runs, strict=True):
        # One that fails under any of the targets fails.
        _judge(line, min(outcomes, key=lambda o: _verdict(line, o, types)), types, result)


def _verdict(line: RunLine, outcome: Outcome | Unsupported | Exception, types: list[Type]) -> int:
    """0: it fails, 1: it holds, 2: unsupported."""
    if isinstance(outcome, OutOfFuel | Unsupported):
        return 2
    holds = _holds(line, outcome, types) if isinstance(outcome, Returned) else False
    return 2 if holds is None else int(holds)


def _holds(line: RunLine, outcome: Returned, types: list[Type]) -> bool | None:
    """Is the line true? None if that depends on bits which the language leaves open.

    An expected value is accepted if it is one of those that may come. Of a value that is open in all bits this would
    prove nothing.
    """
    masks = outcome.open_values
    if not masks or line.compare == "":
        return line.holds(outcome.values)
    if any(mask == t.mask for mask, t in zip(masks, types, strict=True)):
        return None
    if line.compare == "nonzero":
        return any(outcome.values) or None
    possible = same(outcome.values, line.expected, masks)
    if line.compare == "!=":
        return None if possible else True
    return possible


def _judge(
    line: RunLine, outcome: Outcome | Unsupported | Exception, types: list[Type], result: FileResult
) -> None:
    counted = line.kind == "run"
    if isinstance(outcome, OutOfFuel):
        outcome = Unsupported("out of fuel")
    holds = _holds(line, outcome, types) if isinstance(outcome, Returned) else False
    if holds is None:
        outcome = Unsupported("a value that depends on open bits of a NaN")
    if isinstance(outcome, Unsupported):
        result.unsupported += counted
        result.reasons[str(outcome)] += counted
        return
    if line.kind == "print":
        result.printed.append(f"{line.text.lstrip('; ')} -> {_shown(outcome, types)}")
    elif holds:
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
