"""The generator: valid by construction, deterministic, the same from every source."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ir.entities import Inst, Signature
from backend.ir.literals import parse_float, print_float
from backend.ir.opcodes import Opcode
from backend.ir.printer import print_function
from backend.ir.types import F32, F64, I32, I128, Type
from backend.ir.verifier import verify
from backend.machine.compiled import CompiledCode
from fuzzer.campaign.seeds import case_seed
from fuzzer.case import Case
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.constants import INTERESTING, quiet_nan
from fuzzer.generate.draft import Limits
from fuzzer.generate.operations import FAMILIES, INTEGERS, STRUCTURES
from fuzzer.outcome import OutOfFuel, Returned
from fuzzer.reduce.leaks import leaks_stack_address
from fuzzer.reference.evaluate import outcomes_of, prepare
from fuzzer.targets import target_named
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
FLOATS = GENERATOR.focused([("fdiv", "f32"), ("sqrt", "f64"), ("bitcast", "f32")])
"""Draws mostly functions with floats, and those that make NaNs of numbers."""


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
        # one, and perhaps the data region's address, and what bounds recursion
        assert len(case.function.signature.params) <= 3


def test_features_are_drawn_for_the_isa_that_has_them() -> None:
    builtin = target_named("builtin")
    mine = {option.name for option in builtin.options_of("x86_64") if option.feature}
    assert len(mine) >= 4
    generator = CaseGenerator(builtin, "x86_64", fixed={"has_sse41": False})
    drawn = [generator.from_seed(seed).options for seed in range(300)]
    assert all(options.get("has_sse41") is False for options in drawn)
    for name in mine - {"has_sse41"}:
        assert 20 < sum(options.get(name, False) for options in drawn) < 150
    other = CaseGenerator(builtin, "aarch64", fixed={"has_sse41": True})
    assert not any(mine & {*other.from_seed(seed).options} for seed in range(300))


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
    if type_.is_int:
        assert {0, 1, type_.mask, type_.sign, type_.sign - 1} <= set(table)


@pytest.mark.parametrize(
    ("type_", "largest"), [(F32, "0x1.fffffep127"), (F64, "0x1.fffffffffffffp1023")], ids=str
)
def test_interesting_floats_are_those_where_something_turns_over(type_: Type, largest: str) -> None:
    table = {print_float(bits, type_.bits) for bits in INTERESTING[type_]}
    for text in (
        "0.0",
        "Inf",
        "NaN",
        "NaN:0x1",
        "sNaN:0x1",
        largest,
        *(f"0x1.0p{n}" for n in (-1, 0, 31, 32, 63, 64)),
    ):
        same = print_float(
            parse_float(text if text[0] == "0" else f"+{text}", type_.bits), type_.bits
        )
        assert same in table
        assert f"-{same.lstrip('+')}" in table
    assert 1 in INTERESTING[type_]  # the smallest subnormal
    assert len(INTERESTING[type_]) > 150


def groups(case: Case) -> tuple[bool, bool]:
    """(has floats, has i128)"""
    types = {*case.function.value_types.values()}
    return bool(types & {F32, F64}), I128 in types


def test_about_half_of_the_functions_are_of_integers_up_to_64_bits_alone() -> None:
    counts = Counter(groups(GENERATOR.from_seed(seed)) for seed in range(1000))
    assert 450 < counts[False, False] < 650
    assert min(counts[True, False], counts[False, True], counts[True, True]) > 50


def test_types_can_be_left_out() -> None:
    plain = CaseGenerator(Everything(), "aarch64", types=INTEGERS)
    floats = CaseGenerator(Everything(), "aarch64", types=(*INTEGERS, F64))
    for seed in range(100):
        assert {*plain.from_seed(seed).function.value_types.values()} <= {*INTEGERS}
        assert {*floats.from_seed(seed).function.value_types.values()} <= {*INTEGERS, F64}


def test_a_target_without_floats_and_pairs_gets_none() -> None:
    class Narrow(Everything):
        def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
            return not {type_, second} & {F32, I128} and op.name != "f64const"

    generator = CaseGenerator(Narrow(), "aarch64")
    for seed in range(200):
        assert {*generator.from_seed(seed).function.value_types.values()} <= {*INTEGERS}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**63))
def test_no_open_bit_of_a_nan_is_ever_needed(seed: int) -> None:
    """``Undetermined`` is undefined behaviour: raised, it fails the test. All inputs, and NaNs."""
    case = FLOATS.from_seed(seed)
    program = prepare(case.function)
    types = [param.type for param in case.function.signature.params]
    nans = tuple(
        [
            quiet_nan(t) if t.is_float else value
            for t, value in zip(types, case.inputs[0], strict=True)
        ]
    )
    for values in (*case.inputs, nans):
        outcome = program.run(values, case.memory)
        if isinstance(outcome, Returned) and outcome.open_values:
            for mask, param in zip(
                outcome.open_values, case.function.signature.returns, strict=True
            ):
                assert not mask or param.type.is_float


def test_open_bits_are_returned_and_stored_and_closed() -> None:
    returned = stored = closed = 0
    storing = FLOATS.focused([("store", "f32"), ("store", "f64"), ("fdiv", "f32"), ("fdiv", "f64")])
    for seed in range(600):
        case = (storing if seed & 1 else FLOATS).from_seed(seed)
        closed += any(inst.keyword == "uno" and inst.args[0] == inst.args[1]
                      for inst in case.function.instructions())  # fmt: skip
        for outcome in outcomes_of(case):
            if isinstance(outcome, Returned):
                returned += bool(outcome.open_values)
                stored += bool(outcome.open_memory)
    assert returned > 50
    assert stored > 5
    assert closed > 60


def test_results_fit_the_registers() -> None:
    target = Everything()
    assert target.fits_results("aarch64", [I128, F32, I32, I128, F64, I128])
    assert not target.fits_results("aarch64", [I32, I128, I32, I128, I32])
    assert not target.fits_results("aarch64", [F32] * 9)
    for seed in range(300):
        returns = [param.type for param in GENERATOR.from_seed(seed).function.signature.returns]
        assert target.fits_results("aarch64", returns)


def test_a_focus_on_floats_brings_them() -> None:
    focused = GENERATOR.focused([("fma", "f64")])
    drawn = [any(inst.op.name == "fma" for inst in focused.from_seed(seed).function.instructions())
             for seed in range(400)]  # fmt: skip
    assert sum(drawn) > 100


def test_instructions_come_again_with_something_changed() -> None:
    """What a numbering of values has to keep apart, and what it has to bring together."""
    same = swapped = changed = 0
    for seed in range(300):
        for block in GENERATOR.from_seed(seed).function.blocks:
            before: list[Inst] = []
            for inst in block.insts:
                if inst.op.side_effects or inst.op.reads or len(inst.args) != 2:
                    continue
                for known in before:
                    if (known.op, known.type) != (inst.op, inst.type):
                        continue
                    if known.args != inst.args:
                        swapped += known.args == inst.args[::-1]
                        changed += len({*known.args} & {*inst.args}) == 1
                    elif known.keyword == inst.keyword:
                        same += 1
                before.append(inst)
    assert min(same, swapped, changed) > 20


def test_where_slots_and_functions_are_is_never_seen() -> None:
    """Two executions need not agree on it, so that every compiler would be wrong."""
    for seed in range(300):
        assert not any(map(leaks_stack_address, GENERATOR.from_seed(seed).functions))


def test_seeds_of_shards_and_slices_do_not_meet() -> None:
    seeds = [
        case_seed(7, shard, slice_, index)
        for shard in range(64) for slice_ in range(20) for index in range(32)
    ]  # fmt: skip
    assert len(set(seeds)) == len(seeds)


def _signatures(case: Case) -> list[Signature]:
    return [
        *(function.signature for function in case.functions),
        *(ref.sig for function in case.functions for ref in function.functions.values()
          if isinstance(ref.sig, Signature)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("isa", "own"), [("aarch64", "apple_aarch64"), ("x86_64", "windows_fastcall")]
)
def test_conventions_are_those_of_the_isa_and_pass_what_they_can(isa: str, own: str) -> None:
    target = target_named("builtin")
    conventions = target.conventions(isa)
    assert list(conventions)[:2] == ["", own]
    assert "tail" not in conventions
    generator = CaseGenerator(target, isa)
    drawn: Counter[str] = Counter()
    wide = 0
    for seed in range(1500):
        case = generator.from_seed(seed)
        drawn[f"entry {case.function.signature.callconv}"] += 1
        for signature in _signatures(case):
            drawn[signature.callconv] += 1
            types = {param.type for param in (*signature.params, *signature.returns)}
            wide += I128 in types
            assert not types & conventions.get(signature.callconv, frozenset())
    assert set(drawn) >= {"tail", own, f"entry {own}", "entry tail", "fast", "system_v"}
    assert "cold" not in drawn
    assert drawn[f"entry {own}"] < 300
    assert wide > 100
    assert (I128 in conventions[own]) == (isa == "x86_64")


def test_a_target_that_names_no_conventions_gets_none() -> None:
    for seed in range(400):
        names = {signature.callconv for signature in _signatures(GENERATOR.from_seed(seed))}
        assert names <= {"", "tail"}
