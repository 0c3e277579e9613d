"""Plainer numbers, opcodes and types: of floats and i128 as of integers."""

from __future__ import annotations

import struct

import pytest

from backend.ir.parser import parse_function
from backend.ir.printer import print_function
from backend.ir.types import F32, F64
from fuzzer.case import Case
from fuzzer.reduce.reducer import _size, reduce_case


def _bits(value: float, form: str = "d") -> int:
    return int.from_bytes(struct.pack(f"<{form}", value), "little")


def _reduced(text: str, keep: str, *inputs: tuple[int, ...]) -> Case:
    """Reduced while an instruction whose name begins with ``keep`` stays, and its result is returned."""

    def interesting(case: Case) -> bool:
        insts = list(case.function.instructions())
        kept = [inst for inst in insts if inst.op.name.startswith(keep)]
        return bool(kept) and insts[-1].args[:1] == kept[-1].results[:1]

    small, _ = reduce_case(Case(parse_function(text), list(inputs)), interesting)
    return small


def test_floats_grow_simpler_towards_zero_and_one() -> None:
    numbers = [0.0, 1.0, -0.0, -1.0, 2.0, 3.0, 1 / 3, 1e300]
    sizes = [_size(_bits(number), F64) for number in numbers]
    assert sizes == sorted(sizes)
    assert sizes[0] == 0
    assert _size(_bits(1.0, "f"), F32) == _size(_bits(1.0), F64)
    assert _size(1, F64) > _size(_bits(0.5), F64)


def test_a_float_constant_and_an_input_become_plain_numbers() -> None:
    text = """function %f(f32) -> f32 {
block0(v0: f32):
    v1 = f32const 0x1.234568p77
    v2 = fdiv v0, v1
    return v2
}
"""

    def nonzero(case: Case) -> bool:
        insts = list(case.function.instructions())
        constants = [inst.imm for inst in insts if inst.op.name == "f32const"]
        return any(i.op.name == "fdiv" for i in insts) and all(
            [*constants, *case.inputs[0]]
        )  # fmt: skip

    small, _ = reduce_case(Case(parse_function(text), [(0x40490FDB,)]), nonzero)
    numbers = [i.imm for i in small.function.instructions() if i.op.name == "f32const"]
    assert {*numbers, *small.inputs[0]} == {_bits(1.0, "f")}, print_function(small.function)


def test_a_float_operation_becomes_an_addition() -> None:
    text = """function %f(f64, f64) -> f64 {
block0(v0: f64, v1: f64):
    v2 = fcopysign v0, v1
    return v2
}
"""

    def one_operation(case: Case) -> bool:
        return any(len(inst.args) == 2 for inst in case.function.instructions())

    small, _ = reduce_case(Case(parse_function(text), [(0, 0)]), one_operation)
    assert "fadd" in print_function(small.function)


@pytest.mark.parametrize(
    ("text", "keep", "wide"),
    [
        ("function %f(f64, f32) -> f64 {\nblock0(v0: f64, v1: f32):\n    v2 = fpromote.f64 v1\n"
         "    v3 = fmin v0, v2\n    return v3\n}\n", "fmin", "f64"),
        ("function %f(i128, i32) -> i128 {\nblock0(v0: i128, v1: i32):\n    v2 = uextend.i128 v1\n"
         "    v3 = imul v0, v2\n    return v3\n}\n", "imul", "i128"),
        ("function %f(i64, i64) -> i128 {\nblock0(v0: i64, v1: i64):\n    v2 = iconcat v0, v1\n"
         "    v3 = popcnt v2\n    return v3\n}\n", "popcnt", "i128"),
    ],
)  # fmt: skip
def test_types_grow_narrow(text: str, keep: str, wide: str) -> None:
    inputs = (_bits(1.5), _bits(2.5, "f")) if wide == "f64" else (1 << 40, 7)
    small = _reduced(text, keep, inputs)
    assert wide not in print_function(small.function)
    assert any(inst.op.name == keep for inst in small.function.instructions())


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (_bits(1.5), _bits(1.5, "f")),
        (_bits(1 + 2.0**-30), _bits(1.0, "f")),
        (_bits(1e300), _bits(float("inf"), "f")),
        (_bits(-1e300), _bits(float("-inf"), "f")),
        (0x7FF8_0000_0000_0000, 0x7FC0_0000),
        (0xFFF0_0000_0000_0001, 0xFF80_0001),
    ],
)
def test_an_input_is_rounded_when_its_type_is_narrowed(wide: int, narrow: int) -> None:
    text = "function %f(f64) -> f64 {\nblock0(v0: f64):\n    v1 = sqrt v0\n    return v1\n}\n"

    def as_given(case: Case) -> bool:
        return case.inputs in ([(wide,)], [(narrow,)]) and len(case.function.blocks[0].insts) == 2

    small, _ = reduce_case(Case(parse_function(text), [(wide,)]), as_given)
    assert small.inputs == [(narrow,)]
