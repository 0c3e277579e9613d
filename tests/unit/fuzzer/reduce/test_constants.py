"""The reducer's constants, of every type that values are drawn of."""

from __future__ import annotations

import pytest

from backend.ir.parser import parse_function
from backend.ir.types import Type
from backend.ir.verifier import verify
from fuzzer.case import Case
from fuzzer.corpus.entry import Entry, parse_entry, print_entry
from fuzzer.generate.operations import TYPES
from fuzzer.outcome import Returned
from fuzzer.reduce import edit
from fuzzer.reference.evaluate import outcomes_of


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_a_constant_of_any_type_takes_a_parameters_place(type_: Type) -> None:
    for bits in (0, 1, type_.sign, type_.mask):
        text = f"function %f({type_}) -> {type_} {{\nblock0(v0: {type_}):\n    return v0\n}}\n"
        case = Case(parse_function(text), [(bits,)])
        param = edit.drop_function_param(case, 0)
        assert edit.replace_values(
            case.function, {param: edit.constant(case.function, type_, bits)}
        )
        verify(case.function)
        (outcome,) = outcomes_of(case)
        assert isinstance(outcome, Returned)
        assert outcome.values == (bits,)


def test_an_entry_of_floats_has_run_lines_unless_bits_are_open() -> None:
    text = """function %f(f32, i128) -> f32, i128 {
block0(v0: f32, v1: i128):
    v2 = fsub v0, v0
    return v2, v1
}
"""
    case = Case(parse_function(text), [(0x3F800000, 1 << 127), (0x7F800000, 5)])
    written = print_entry(Entry(case, "result", "builtin", "0" * 12), outcomes_of(case))
    assert written.count("; run:") == 1
    assert f"; run: %f(0x1.000000p0, {1 << 127:#x}) == [0.0, {1 << 127:#x}]" in written
    assert parse_entry(written).case.inputs == case.inputs
