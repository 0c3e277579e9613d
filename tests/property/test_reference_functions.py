"""Whole functions on the interpreter: of doubles against the host, of i128 against Python, and integer functions made
ready for open bits against themselves."""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ir.builder import FunctionBuilder
from backend.ir.entities import Inst
from backend.ir.opcodes import opcode_named
from backend.ir.types import F32, F64, I128, Type
from backend.ir.verifier import verify
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.operations import INTEGERS
from fuzzer.outcome import OutOfFuel, Returned
from fuzzer.reference.evaluate import prepare
from fuzzer.targets import target_named


def host(bits: int) -> float:
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


def bits_of(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


def quotient(x: float, y: float) -> float:
    if y:
        return x / y
    return (
        math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1.0, y)
    )


DOUBLES: dict[str, Callable[..., float]] = {
    "fadd": operator.add, "fsub": operator.sub, "fmul": operator.mul, "fdiv": quotient,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "trunc": lambda x: math.copysign(float(math.trunc(x)), x) if math.isfinite(x) else x,
    "nearest": lambda x: math.copysign(float(round(x)), x) if math.isfinite(x) else x,
}  # fmt: skip
WIDE: dict[str, Callable[..., int]] = {
    "iadd": operator.add, "isub": operator.sub, "imul": operator.mul, "bxor": operator.xor, "band": operator.and_,
    "bor": operator.or_, "bnot": operator.invert, "ineg": operator.neg, "umax": max, "umin": min,
}  # fmt: skip


def drawn(
    data: st.DataObject, t: Type, table: dict[str, Any], inputs: list[Any]
) -> tuple[FunctionBuilder, list[Any]]:
    """A function of a few operations on its parameters that returns every value, and what the table says those are."""
    count = data.draw(st.integers(1, 12))
    b = FunctionBuilder("%f", [t] * len(inputs), [t] * (len(inputs) + count))
    values, expected = list(b.function.entry.params), list(inputs)
    for _ in range(count):
        name = data.draw(st.sampled_from(sorted(table)))
        chosen = [data.draw(st.integers(0, len(values) - 1)) for _ in opcode_named(name).operands]
        values.append(b.ins(name, *[values[i] for i in chosen], type=t))
        result = table[name](*[expected[i] for i in chosen])
        expected.append(result if t is F64 else result % (1 << 128))
    b.emit("return", *values)
    verify(b.function)
    return b, expected


@settings(deadline=None)
@given(
    st.data(),
    st.lists(st.floats() | st.integers(0, (1 << 64) - 1).map(host), min_size=1, max_size=3),
)
def test_functions_of_doubles_are_the_hosts(data: st.DataObject, inputs: list[float]) -> None:
    inputs = [0.5 if math.isnan(x) else x for x in inputs]
    b, expected = drawn(data, F64, DOUBLES, inputs)
    outcome = prepare(b.function).run(tuple(map(bits_of, inputs)))
    assert isinstance(outcome, Returned)
    masks = outcome.open_values or (0,) * len(outcome.values)
    for bits, mask, value in zip(outcome.values, masks, expected, strict=True):
        assert bool(mask) == math.isnan(value)
        assert math.isnan(host(bits)) if mask else bits == bits_of(value)


@settings(deadline=None)
@given(st.data(), st.lists(st.integers(0, I128.mask), min_size=1, max_size=3))
def test_functions_of_i128_are_pythons(data: st.DataObject, inputs: list[int]) -> None:
    b, expected = drawn(data, I128, WIDE, inputs)
    assert prepare(b.function).run(tuple(inputs)) == Returned(tuple(expected), b"")


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**64 - 1))
def test_being_ready_for_open_bits_changes_nothing(seed: int) -> None:
    case = CaseGenerator(target_named("builtin"), "aarch64", types=INTEGERS).from_seed(seed)
    function = case.function.copy()
    made = function.new_value(F32)
    function.entry.insts.insert(0, Inst(opcode_named("f32const"), F32, (), (made,)))
    plain, ready = prepare(case.function), prepare(function)
    assert ready.lifted
    assert not plain.lifted
    for values in case.inputs:
        one, other = plain.run(values, case.memory), ready.run(values, case.memory, 10_001)
        assert type(one) is type(other)
        assert isinstance(one, OutOfFuel) or one == other
