"""What a finding shrinks to depends on the finding, not on the process that shrinks it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis.errors import FlakyReplay
from hypothesis.internal.conjecture import providers

from fuzzer.case import Case
from fuzzer.generate.cases import CaseGenerator
from fuzzer.reduce.draws import shrink_draws
from fuzzer.targets import target_named

HIDDEN: Any = providers


def multiplies(case: Case) -> bool:
    return "imul" in {inst.op.name for inst in case.function.instructions()}


def test_constants_of_imported_modules_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = CaseGenerator(target_named("builtin"), "aarch64")
    case = next(
        case for case in map(generator.from_seed, range(1000)) if multiplies(case) and case.choices
    )
    assert case.choices is not None
    small = shrink_draws(generator, case.choices, multiplies)
    assert small.function.instruction_count() < case.function.instruction_count()
    read: list[int] = []

    def constants() -> Any:
        read.append(1)
        return HIDDEN.Constants(integers=range(3, 200))

    monkeypatch.setattr(providers, "_get_local_constants", constants)
    again = shrink_draws(generator, case.choices, multiplies)
    assert again.choices == small.choices
    assert read == []
    assert HIDDEN._get_local_constants is constants


def test_an_answer_that_changes_ends_it() -> None:
    """What is known by the time Hypothesis notices stands. It notices seldom, so this says it in its stead."""
    generator = CaseGenerator(target_named("builtin"), "aarch64")
    case = next(case for case in map(generator.from_seed, range(1000)) if multiplies(case))
    assert case.choices is not None
    asked: list[Case] = []

    def changes_its_mind(case: Case) -> bool:
        asked.append(case)
        if len(asked) == 40:
            raise FlakyReplay("Inconsistent results")
        return multiplies(case)

    small = shrink_draws(generator, case.choices, changes_its_mind)
    assert len(asked) == 40
    assert multiplies(small)
    assert small.function.instruction_count() < case.function.instruction_count()
