"""Functions that call themselves and each other are drawn, and come to an end."""

from __future__ import annotations

from collections import Counter

import pytest

from backend.ir.entities import Signature
from backend.ir.types import I32
from backend.ir.verifier import verify
from fuzzer.case import Case
from fuzzer.generate.cases import CaseGenerator
from fuzzer.outcome import OutOfFuel, Returned, Trapped
from fuzzer.reduce.callees import _drop_param
from fuzzer.reference.evaluate import outcomes_of, prepare
from fuzzer.targets import target_named


@pytest.fixture(scope="module")
def recursive() -> list[Case]:
    """Cases in which some function may call itself, straight or by way of another."""
    generator = CaseGenerator(target_named("builtin"), "x86_64")
    drawn = (generator.from_seed(seed) for seed in range(1200))
    return [case for case in drawn if calls_itself(case) or calls_main(case)]


def calls_itself(case: Case) -> bool:
    return any(ref.name == f.name for f in case.functions for ref in f.functions.values())


def calls_main(case: Case) -> bool:
    return any(ref.name == "%f" for f in case.others for ref in f.functions.values())


def test_all_kinds_are_drawn(recursive: list[Case]) -> None:
    kinds: Counter[str] = Counter()
    for case in recursive:
        for function in case.functions:
            verify(function)
            for inst in function.instructions():
                if inst.op.shape == "call" and function.functions[inst.ref].name == function.name:
                    kinds[inst.op.name] += 1
        kinds["mutual"] += calls_main(case)
    assert kinds["call"] > 40
    assert kinds["return_call"] > 3
    assert kinds["mutual"] > 5


def test_they_come_to_an_end(recursive: list[Case]) -> None:
    ends: Counter[str] = Counter()
    for case in recursive[:80]:
        for outcome in outcomes_of(case):
            ends[type(outcome).__name__] += 1
    assert ends["OutOfFuel"] < 0.05 * sum(ends.values())
    assert ends["Returned"] > 500


def test_however_much_fuel_is_passed(recursive: list[Case]) -> None:
    """What a function is given for it is cut off: the same 3 bits are the same run."""
    tried = 0
    for case in recursive:
        if not case.function.functions or not any(
            ref.name == "%f" for ref in case.function.functions.values()
        ):
            continue
        params = case.function.signature.params
        place = 1 if params[0].type is not I32 else 0
        program = prepare(case.function, others=case.others)
        outcomes = []
        for fuel in (5, 5 | 0xFFFF_FFF8):
            values = list(case.inputs[0])
            values[place] = fuel
            outcomes.append(program.run(tuple(values), case.memory, depth=64))
        assert outcomes[0] == outcomes[1] or {type(o) for o in outcomes} == {OutOfFuel}
        tried += 1
    assert tried > 20


def test_they_are_deep(recursive: list[Case]) -> None:
    """Some end within the bound on depth only if that is more than 6."""
    deep = 0
    for case in recursive:
        program = prepare(case.function, others=case.others)
        for values in case.inputs[:4]:
            ample = program.run(values, case.memory, depth=64)
            if isinstance(ample, Returned | Trapped):
                deep += isinstance(program.run(values, case.memory, depth=6), OutOfFuel)
    assert deep > 20


def test_a_parameter_goes_from_the_function_its_calls_and_the_inputs(recursive: list[Case]) -> None:
    case = next(
        c for c in recursive
        if any(r.name == "%f" for r in c.function.functions.values()) and len(c.inputs[0]) > 2
    ).copy()  # fmt: skip
    index = len(case.inputs[0]) - 1
    assert _drop_param(case, "%f", index)
    assert {len(values) for values in case.inputs} == {index}
    assert len(case.function.signature.params) == index
    for function in case.functions:
        verify(function)
        for ref in function.functions.values():
            assert ref.name != "%f" or (
                isinstance(ref.sig, Signature) and len(ref.sig.params) == index
            )
    outcomes_of(case)
