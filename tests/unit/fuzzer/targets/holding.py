"""What every target is asked: do the conformance files hold, do drawn cases hold."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from backend.ir.filetest import parse_file
from fuzzer.case import Case, OptionValue
from fuzzer.filetests import EXECUTORS, FileResult, run_file
from fuzzer.generate.cases import CaseGenerator
from fuzzer.targets.target import Target
from fuzzer.trial import run_trial

CONFORMANCE: Final = Path(__file__).parents[3] / "conformance"


def case_of(text: str, isa: str, *inputs: tuple[int, ...], **options: OptionValue) -> Case:
    """The first function of ``text``, with the others beside it, and a page of memory; without inputs one of zeros."""
    first, *others = [item.function for item in parse_file(text).functions]
    zeros = tuple(0 for _ in first.signature.params)
    return Case(
        first,
        list(inputs) or [zeros],
        isa=isa,
        memory=bytes(0x1000),
        options=dict(options),
        others=others,
    )


def lines_hold(name: str, executor: str, isa: str, level: str) -> FileResult:
    """The conformance file ``name``, of whose lines none failed."""
    result = run_file(CONFORMANCE / f"{name}.clif", EXECUTORS[executor], isa, level)
    assert result.errors == [], result.errors
    assert result.failures == [], result.failures
    return result


def drawn_cases_hold(target: Target, isa: str, count: int) -> int:
    """How many runs of the first ``count`` cases that are drawn for it were as they had to be: all of them."""
    generator = CaseGenerator(target, isa)
    executed = 0
    for seed in range(count):
        trial, found = run_trial(generator.from_seed(seed), target)
        assert not found, (isa, seed, found)
        executed += trial.executed
    return executed
