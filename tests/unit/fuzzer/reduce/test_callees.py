"""Functions that are called, reduced: none of them is left that a finding does not need."""

from __future__ import annotations

from backend.ir.parser import parse_function
from fuzzer.case import Case
from fuzzer.reduce.reducer import reduce_case

ITSELF = """function %f(i32) -> i32 {
    fn0 = colocated %f(i32) -> i32
block0(v0: i32):
    v1 = iconst.i32 7
    v2 = band v0, v1
    brif v2, block1, block2
block1:
    v3 = iconst.i32 1
    v4 = isub v2, v3
    v5 = call fn0(v4)
    return v5
block2:
    return v2
}"""


def test_a_call_of_itself_becomes_a_call_of_somebody_and_needs_no_way_to_end() -> None:
    case = Case(parse_function(ITSELF), [(3,)])
    small, _ = reduce_case(
        case, lambda each: any(inst.op.name == "call" for inst in each.function.instructions())
    )
    assert [inst.op.name for inst in small.function.instructions()] == ["call", "return"]
    assert [(ref.name, ref.colocated) for ref in small.function.functions.values()] == [
        ("%h0", False)
    ]


def test_a_call_of_itself_stays_where_it_is_needed() -> None:
    case = Case(parse_function(ITSELF), [(3,)])
    small, _ = reduce_case(
        case, lambda each: any(ref.name == "%f" for ref in each.function.functions.values())
    )
    assert [ref.name for ref in small.function.functions.values()] == ["%f"]


def test_a_call_of_itself_becomes_a_call_of_an_empty_function_where_it_has_to_have_code() -> None:
    case = Case(parse_function(ITSELF), [(3,)])
    small, _ = reduce_case(
        case,
        lambda each: any(
            ref.name in {function.name for function in each.functions}
            for ref in each.function.functions.values()
        ),
    )
    assert [function.name for function in small.functions] == ["%f", "%h0"]
    assert [[i.op.name for i in f.instructions()] for f in small.functions] == [
        ["call", "return"],
        ["return"],
    ]
