"""For your own tests: the fuzzer's cases as Hypothesis strategies, and a check that tells failures apart.

::

    from hypothesis import given
    from fuzzer.testing import cases, check_case

    @given(cases("builtin"))
    def test_backend(case):
        check_case(case, "builtin")

The compiler runs in a process of its own (:mod:`fuzzer.host`): it may crash or hang, and that is a failure like any
other, which shrinks. Importing this registers two profiles of Hypothesis, ``clifhanger-dev`` and
``clifhanger-ci``: load one in conftest.py. Hypothesis's own profile for CI freezes the seeds and forgets its
database, so that a nightly run would try the same cases every night; ours does neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, event, reject, settings
from hypothesis.control import currently_in_test_context

from backend.errors import Unsupported
from backend.ir.entities import Function
from backend.ir.filetest import RunLine, parse_file
from backend.ir.printer import print_functions
from backend.ir.verifier import verify
from fuzzer.case import DATA_LIMIT, Case, Input, OptionValue
from fuzzer.corpus.entry import outcome_text
from fuzzer.generate import cases as generated
from fuzzer.generate.draft import DEFAULT_LIMITS, Limits
from fuzzer.host.client import CASE_SECONDS, HOST
from fuzzer.outcome import ExternalCall, Outcome, OutOfFuel, Returned, Trapped, same
from fuzzer.targets import TARGETS, Row, target_named
from fuzzer.targets.target import Target

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Broken", "cases", "check", "check_case", "functions"]


class Broken(AssertionError):
    """A rule was broken. Each (target, ISA, check, key) has a subclass of its own, so that Hypothesis, which
    tells failures apart by type and place, shrinks and reports each.

    ``violations``: (check, detail) of every rule that the case broke; the first is the type's.
    """

    violations: tuple[tuple[str, str], ...] = ()


_kinds: dict[tuple[str, str, str, str], type[Broken]] = {}


def _kind(target: str, isa: str, check: str, key: str) -> type[Broken]:
    found = _kinds.get((target, isa, check, key))
    if found is None:
        digest = hashlib.sha256("\0".join((check, target, isa, key)).encode()).hexdigest()[:12]
        found = type(f"Broken_{check}_{digest}", (Broken,), {"__module__": __name__})
        _kinds[target, isa, check, key] = found
    return found


def cases(
    target: str | Target = "builtin",
    isa: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    options: dict[str, OptionValue] | None = None,
    calls: bool = True,
) -> SearchStrategy[Case]:
    """Cases that ``target`` supports, for its first ISA unless ``isa`` is given. ``options``: fixed, not drawn;
    ``calls``: may there be several functions in a case?"""
    made = target_named(target) if isinstance(target, str) else target
    chosen = isa or made.isas[0]
    name = _name_of(target)

    def ready(case: Case) -> Case:
        # Starting a compiler counts as drawing here, not against the deadline of the test.
        if (name, chosen) not in _ready:
            HOST.ask({"ask": "about", "target": name, "isa": chosen})
            _ready.add((name, chosen))
        return case

    return generated.cases(made, chosen, limits=limits, fixed=options, calls=calls).map(ready)


_ready: set[tuple[str, str]] = set()


def functions(
    target: str | Target = "builtin", isa: str | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> SearchStrategy[Function]:
    """Functions that call nobody, as :func:`cases` have. They may expect the data region at DATA_BASE."""
    return cases(target, isa, limits=limits, calls=False).map(lambda case: case.function)


def check_case(
    case: Case,
    target: str | Target = "builtin",
    *,
    only: str | None = None,
    thorough: bool = False,
    seconds: float = CASE_SECONDS,
) -> list[Outcome]:
    """Compile and run the case in a process of its own: the reference's outcomes, one an input.

    :class:`Broken` if a rule is broken. ``only``: look with the check of this name alone; ``thorough``: also do what
    costs more, as a replay does; ``seconds``: after which the case hangs. A target that does not do the
    function makes Hypothesis draw another, and raises Unsupported outside of ``@given``. ValueError if the
    case means nothing (undefined behaviour, an option or ISA that the target has not).
    """
    __tracebackhide__ = True
    name = _name_of(target)
    answer = HOST.ask(
        {
            "ask": "trial", "target": name, "isa": case.isa, "functions": print_functions(case.functions),
            "inputs": [[hex(value) for value in values] for values in case.inputs],
            "memory": case.memory.hex(), "options": case.options, "only": only, "thorough": thorough,
        },
        seconds,
    )  # fmt: skip
    if "error" in answer:
        raise ValueError(answer["error"])
    if answer.get("unsupported"):
        if currently_in_test_context():
            event(f"unsupported: {answer['unsupported']}")
            reject()
        raise Unsupported(answer["unsupported"])
    if answer["violations"]:
        check, _, key, _, _ = answer["violations"][0]
        failure = _kind(name, case.isa, check, key)(_report(case, name, answer["violations"]))
        failure.violations = tuple((v[0], v[1]) for v in answer["violations"])
        raise failure
    return [_outcome(*packed) for packed in answer["outcomes"]]


def check(
    what: str | Case,
    *inputs: int | tuple[int, ...],
    target: str | Target = "builtin",
    isa: str | None = None,
    memory: bytes = b"",
    options: dict[str, OptionValue] | None = None,
    thorough: bool = True,
) -> list[Outcome]:
    """:func:`check_case` for a function as text, those behind it being what it may call, or for a case.

    ``inputs``: a tuple of arguments each, or a number for a function of one parameter; negative numbers are taken
    in two's complement. Without inputs, those of the text's ``; run:`` lines, whose right sides are
    held against the reference. ``memory``: the data region at ``DATA_BASE``, a multiple of 1024 bytes. Gives
    the reference's outcomes; AssertionError if anything differs.
    """
    __tracebackhide__ = True
    if isinstance(what, Case):
        if inputs or isa or memory or options:
            raise TypeError("a Case has its own inputs, isa, memory and options")
        return check_case(what, target, thorough=thorough)
    if len(memory) % 1024 or len(memory) > DATA_LIMIT:
        raise ValueError(
            f"memory: {len(memory)} bytes; a multiple of 1024 up to {DATA_LIMIT} it must be"
        )
    function, others, lines = _parsed(what)
    rows = [_arguments(function, given) for given in inputs] or [line.args for line in lines]
    if not rows and not function.signature.params:
        rows = [()]
    if not rows:
        raise ValueError("no inputs: give some behind the text, or `; run:` lines in it")
    chosen = isa or (target_named(target) if isinstance(target, str) else target).isas[0]
    case = Case(function, rows, isa=chosen, memory=memory, options=options, others=others)
    outcomes = check_case(case, target, thorough=thorough)
    if not inputs:
        for line, outcome in zip(lines, outcomes, strict=False):
            if not (isinstance(outcome, Returned) and _holds(line, outcome)):
                raise AssertionError(
                    f"{line.text.lstrip('; ')}: the reference says {outcome_text(outcome)}"
                )
    return outcomes


def _parsed(text: str) -> tuple[Function, list[Function], list[RunLine]]:
    """The first function of the text, the others, and the run lines of the first."""
    parsed = parse_file(text).functions
    if not parsed:
        raise ValueError("no function in the text")
    for item in parsed:
        verify(item.function)
    lines = [line for line in parsed[0].run_lines if line.kind == "run"]
    return parsed[0].function, [item.function for item in parsed[1:]], lines


def _arguments(function: Function, given: int | tuple[int, ...]) -> Input:
    values = given if isinstance(given, tuple) else (given,)
    types = [param.type for param in function.signature.params]
    if len(values) != len(types):
        raise ValueError(f"input {given!r}: {function.name} takes {len(types)} arguments")
    for value, type_ in zip(values, types, strict=True):
        if not -((type_.mask + 1) >> 1) <= value <= type_.mask:
            raise ValueError(f"input {given!r}: {value} does not fit {type_.name}")
    return tuple(value & type_.mask for value, type_ in zip(values, types, strict=True))


def _holds(line: RunLine, outcome: Returned) -> bool:
    """Is the line true of what the reference says, or true of something that it allows?"""
    if line.compare == "==" and outcome.open_values:
        return same(outcome.values, line.expected, outcome.open_values)
    return line.holds(outcome.values)


def _name_of(target: str | Target) -> str:
    """The name under which the host finds the target; a target of one's own gets a row for it."""
    if isinstance(target, str):
        return target
    kind = type(target)
    if "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
        raise ValueError(f"{kind.__qualname__}: a target must be importable from a module")
    row = TARGETS.get(target.name)
    if row is None or (row.module, row.name) != (kind.__module__, kind.__qualname__):
        TARGETS[target.name] = Row(kind.__module__, kind.__qualname__, "given as an object")
    return target.name


def _outcome(
    kind: str, what: Any = None, memory: str = "", calls: Sequence[Any] = (), open_memory: str = "",
    masks: Sequence[str] = (),
) -> Outcome:  # fmt: skip
    made = tuple(
        [ExternalCall(name, _numbers(args), _numbers(open_)) for name, args, open_ in calls]
    )
    image, marks = bytes.fromhex(memory), bytes.fromhex(open_memory)
    if kind == "returned":
        return Returned(_numbers(what), image, _numbers(masks), marks, made)
    return Trapped(what, image, None, marks, made) if kind == "trapped" else OutOfFuel()


def _numbers(texts: Sequence[str]) -> tuple[int, ...]:
    return tuple([int(text, 16) for text in texts])


def _report(case: Case, target: str, violations: list[Any]) -> str:
    """The broken rules, the input that showed the first, the function."""
    lines = [f"{violations[0][0]}: {violations[0][1]}"]
    lines += [f"also {check}: {detail}" for check, detail, *_ in violations[1:]]
    options = "".join(f", {name}={value}" for name, value in sorted(case.options.items()))
    lines.append(f"{target}/{case.isa}{options}")
    index, suspect = violations[0][3:]
    if suspect:
        lines.append(f"suspect: {suspect}")
    if index >= 0:
        arguments = ", ".join(hex(value) for value in case.inputs[index])
        lines.append(f"input {index}: {case.function.name}({arguments})")
    if case.memory:
        lines.append(f"memory: {len(case.memory)} bytes, {case.memory[:16].hex()}...")
    return "\n".join([*lines, "", print_functions(case.functions).rstrip("\n")])


def _register_profiles() -> None:
    for name, examples in (("clifhanger-dev", 100), ("clifhanger-ci", 1000)):
        # From Hypothesis's default, not from what is active: under CI that has neither seeds nor a database.
        settings.register_profile(
            name, settings.get_profile("default"), max_examples=examples, derandomize=False,
            deadline=None, print_blob=True, phases=tuple(Phase),
            suppress_health_check=(HealthCheck.too_slow,),
        )  # fmt: skip


_register_profiles()
del _register_profiles
