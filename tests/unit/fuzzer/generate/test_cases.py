"""The generator: valid by construction, deterministic, the same from every source."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ir.opcodes import Opcode
from backend.ir.printer import print_function
from backend.ir.types import Type
from backend.ir.verifier import verify
from backend.machine.compiled import CompiledCode
from fuzzer.campaign.seeds import case_seed
from fuzzer.case import Case
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.constants import INTERESTING
from fuzzer.generate.draft import Limits
from fuzzer.generate.operations import FAMILIES, STRUCTURES
from fuzzer.outcome import OutOfFuel
from fuzzer.reference.evaluate import prepare
from fuzzer.targets.target import Option, Target


class Everything(Target):
    """A target that supports all there is and compiles nothing."""

    name = "everything"
    isas = ("aarch64",)
    options = (Option("level", (0, 1, 2), "a level"), Option("stress", (False, True), "stress"))
    version = "1"

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        return True

    def compile(self, case: Case) -> CompiledCode:
        raise AssertionError("not to be compiled")


GENERATOR = CaseGenerator(Everything(), "aarch64")


def text(case: Case) -> str:
    return print_function(case.function)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**63))
def test_a_case_is_valid_and_means_something(seed: int) -> None:
    case = GENERATOR.from_seed(seed)
    verify(case.function)
    program = prepare(case.function)
    for values in case.inputs:
        program.run(values, case.memory)  # UndefinedBehaviour would be an error of the generator


@settings(max_examples=60, deadline=None)
@given(GENERATOR.strategy())
def test_hypothesis_draws_valid_cases_too(case: Case) -> None:
    verify(case.function)
    assert case.inputs


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**63))
def test_recorded_choices_give_the_same_case(seed: int) -> None:
    case = GENERATOR.from_seed(seed)
    again = GENERATOR.from_choices(case.choices)
    assert text(case) == text(again)
    assert (case.inputs, case.memory, case.options) == (again.inputs, again.memory, again.options)


def test_recorded_choices_replay_bit_for_bit_in_hypothesis() -> None:
    from hypothesis.internal.conjecture.data import ConjectureData

    from fuzzer.generate.source import HypothesisSource

    for seed in range(60):
        case = GENERATOR.from_seed(seed)
        data = ConjectureData.for_choices(case.choices)
        again = GENERATOR.draw(HypothesisSource(data))
        assert text(case) == text(again)
        assert case.inputs == again.inputs
        assert data.choices == case.choices


def test_all_choices_zero_is_the_smallest_function() -> None:
    case = GENERATOR.from_choices(())
    assert case.function.instruction_count() <= 2
    assert not case.options
    assert not case.memory


def test_every_operation_is_drawn() -> None:
    drawn = Counter(
        inst.op.name
        for seed in range(1500)
        for inst in GENERATOR.from_seed(seed).function.instructions()
    )
    wanted = {name for weights in FAMILIES.values() for name in weights} - STRUCTURES
    assert not wanted - set(drawn)
    assert {"jump", "return", "trap", "stack_addr", "iconst"} <= set(drawn)


def test_loops_end() -> None:
    spent = [
        program.run(values, case.memory)
        for case in map(GENERATOR.from_seed, range(200))
        for program in [prepare(case.function)]
        for values in case.inputs[:2]
    ]
    assert sum(isinstance(outcome, OutOfFuel) for outcome in spent) < len(spent) // 50


def test_limits_hold() -> None:
    small = CaseGenerator(Everything(), "aarch64", limits=Limits(3, inputs=2, parameters=1))
    for seed in range(50):
        case = small.from_seed(seed)
        assert len(case.inputs) <= 2
        assert (
            len(case.function.signature.params) <= 2
        )  # one, and perhaps the data region's address


def test_options_are_drawn_and_default_to_none() -> None:
    drawn = [GENERATOR.from_seed(seed).options for seed in range(300)]
    assert sum(not options for options in drawn) > 150
    assert any(options.get("level") == 2 for options in drawn)
    assert all(options.get("level") != 0 for options in drawn)


@pytest.mark.parametrize("type_", INTERESTING, ids=str)
def test_interesting_constants_fit_and_are_distinct(type_: Type) -> None:
    table = INTERESTING[type_]
    assert len(set(table)) == len(table)
    assert all(0 <= bits <= type_.mask for bits in table)
    assert {0, 1, type_.mask, type_.sign, type_.sign - 1} <= set(table)


def test_seeds_of_shards_and_slices_do_not_meet() -> None:
    seeds = [
        case_seed(7, shard, slice_, index)
        for shard in range(64) for slice_ in range(20) for index in range(32)
    ]  # fmt: skip
    assert len(set(seeds)) == len(seeds)
