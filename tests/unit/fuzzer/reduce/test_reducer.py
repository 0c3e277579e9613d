"""The reducer: what is left is small, still interesting, still valid; it keeps the signature."""

from __future__ import annotations

import pytest

from backend.ir.entities import Function
from backend.ir.filetest import parse_file
from backend.ir.parser import parse_function
from backend.ir.printer import print_function, print_functions
from backend.ir.verifier import verify
from fuzzer.case import DATA_BASE, Case
from fuzzer.outcome import Trapped
from fuzzer.reduce import edit
from fuzzer.reduce.reducer import cost, reduce_case
from fuzzer.reference.evaluate import outcomes_of

LOOP = """
function %f(i32, i64) -> i32, i64 {
    ss0 = explicit_slot 16
block0(v0: i32, v1: i64):
    v2 = iconst.i32 3
    v3 = stack_addr.i64 ss0
    store v1, v3
    jump block1(v2, v1)
block1(v4: i32, v5: i64):
    v6 = iconst.i32 1
    v7 = isub v4, v6
    v8 = imul v5, v5
    v9 = iadd v8, v1
    brif v7, block1(v7, v9), block2(v9)
block2(v10: i64):
    v11 = sextend.i64 v0
    v12 = bxor v10, v11
    v13 = popcnt v12
    v14 = ireduce.i32 v13
    return v14, v12
}
"""


def case_of(text: str, *inputs: tuple[int, ...], memory: bytes = b"") -> Case:
    return Case(parse_function(text), list(inputs), memory=memory, options={"pad": 8, "level": 2})


def has(*names: str):  # type: ignore[no-untyped-def]  # a predicate maker
    return lambda case: set(names) <= {i.op.name for i in case.function.instructions()}


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (("imul",), 3),
        (("popcnt",), 3),
        (("brif",), 4),
        (("store", "stack_addr"), 4),
        (("sextend", "bxor"), 4),
    ],
)
def test_what_is_left_is_small(names: tuple[str, ...], left: int) -> None:
    case = case_of(LOOP, (7, 9), (1, 2), (3, 4))
    small, calls = reduce_case(case, has(*names))
    verify(small.function)
    assert has(*names)(small)
    assert small.function.instruction_count() <= left, print_function(small.function)
    assert len(small.inputs) == 1
    assert not small.options
    assert 0 < calls < 1000


def test_the_case_given_is_not_touched() -> None:
    case = case_of(LOOP, (7, 9))
    before = print_function(case.function)
    reduce_case(case, has("imul"))
    assert print_function(case.function) == before
    assert case.options == {"pad": 8, "level": 2}


def test_register_pressure_survives() -> None:
    """A bug that needs twelve values alive at once must not lose them to dead-code removal."""
    lines = [f"v{i + 1} = iadd v{i}, v0" for i in range(20)]
    uses = [f"v{30 + i} = bxor v{29 + i if i else 0}, v{i + 1}" for i in range(20)]
    text = (
        "function %f(i32) -> i32 {\nblock0(v0: i32):\n"
        + "\n".join([*lines, *uses])
        + "\nreturn v49\n}"
    )

    def pressed(case: Case) -> bool:
        live, most = set(), 0
        for inst in reversed(list(case.function.instructions())):
            live.difference_update(inst.results)
            live.update(inst.uses())
            most = max(most, len(live))
        return most >= 12

    small, _ = reduce_case(case_of(text, (1,)), pressed)
    assert pressed(small)
    assert small.function.instruction_count() <= 30


def test_memory_goes_if_it_is_not_needed() -> None:
    text = """function %f(i64) -> i32 {
    block0(v0: i64):
        v1 = load.i32 v0+8
        v2 = iadd v1, v1
        return v2
    }"""
    memory = bytes(range(256)) * 4
    kept, _ = reduce_case(
        case_of(text, (DATA_BASE,), memory=memory), lambda c: has("load")(c) and bool(c.memory)
    )
    assert set(kept.memory) == {0}
    gone, _ = reduce_case(case_of(text, (DATA_BASE,), memory=memory), has("iadd"))
    assert gone.memory == b""


def test_it_ends_on_a_predicate_that_always_holds() -> None:
    small, _ = reduce_case(case_of(LOOP, (7, 9)), lambda case: True)
    assert small.function.instruction_count() == 1
    assert len(small.function.blocks) == 1


def test_an_uninteresting_case_comes_back() -> None:
    case = case_of(LOOP, (7, 9))
    small, _ = reduce_case(case, lambda candidate: False)
    assert print_function(small.function) == print_function(case.function)


def test_the_limit_of_calls_holds() -> None:
    asked = 0

    def count(case: Case) -> bool:
        nonlocal asked
        asked += 1
        return has("imul")(case)

    reduce_case(case_of(LOOP, (7, 9)), count, limit=5)
    assert asked <= 6  # one more for the renumbered function


def test_cost_falls_with_each_simplification() -> None:
    case = case_of(LOOP, (7, 9))
    simpler = case.copy()
    simpler.options = {}
    assert cost(simpler) < cost(case)


class TestEdits:
    def function(self) -> Function:
        return parse_function(LOOP)

    def test_values_are_replaced_through_chains_and_not_in_circles(self) -> None:
        function = self.function()
        assert edit.replace_values(function, {12: 10, 10: 1})
        assert function.blocks[2].insts[-1].args == (14, 1)
        assert not edit.replace_values(function, {1: 5, 5: 1})

    def test_a_constant_is_shared(self) -> None:
        function = self.function()
        type_ = function.value_types[2]
        assert edit.constant(function, type_, 3) == 2
        fresh = edit.constant(function, type_, 4)
        assert edit.constant(function, type_, 4) == fresh
        verify(function)

    def test_cleaning_merges_and_drops(self) -> None:
        case = Case(self.function(), [(1, 2)])
        branch = case.function.blocks[1].insts[-1]
        case.function.blocks[1].insts[-1] = edit.jump_to(branch.targets[1])
        edit.clean(case, dead_code=True)
        verify(case.function)
        assert len(case.function.blocks) == 1

    def test_renumbering_follows_the_text(self) -> None:
        function = self.function()
        function.blocks[1:] = function.blocks[:0:-1]
        edit.renumber(function)
        verify(function)
        assert [block.id for block in function.blocks] == [0, 1, 2]
        assert print_function(parse_function(print_function(function))) == print_function(function)


def test_a_convention_that_does_not_matter_goes() -> None:
    """From the case's function, from a callee and those who call it, by name and by address, and from the outside."""
    text = """
function %f(i64) -> i64 windows_fastcall {
    sig0 = (i64 uext) -> i64 fast
    fn0 = %g sig0
    fn1 = %h(i64) -> i64 windows_fastcall
block0(v0: i64):
    v1 = func_addr.i64 fn0
    v2 = call_indirect sig0, v1(v0)
    v3 = call fn0(v2)
    v4 = call fn1(v3)
    return v4
}
function %g(i64 uext) -> i64 fast {
block0(v0: i64):
    return v0
}
"""
    functions = [entry.function for entry in parse_file(text).functions]

    def calls_all(case: Case) -> bool:
        insts = list(case.function.instructions())
        of = {inst.op.name: inst for inst in insts}
        address, by_address = of.get("func_addr"), of.get("call_indirect")
        return (
            [inst.op.name for inst in insts].count("call") == 2
            and address is not None
            and by_address is not None
            and by_address.args[:1] == address.results
            and len(case.others) == 1
        )

    small, _ = reduce_case(Case(functions[0], [(1,)], isa="x86_64", others=functions[1:]), calls_all)  # fmt: skip
    assert calls_all(small)
    assert not {"windows_fastcall", "fast", "uext"} & set(print_functions(small.functions).split())


def test_a_convention_that_matters_stays() -> None:
    text = "function %f(i64) -> i64 windows_fastcall {\nblock0(v0: i64):\n    return v0\n}\n"

    def by_the_place(case: Case) -> bool:
        return case.function.signature.callconv == "windows_fastcall"

    small, _ = reduce_case(case_of(text, (5,)), by_the_place)
    assert by_the_place(small)


def test_what_is_computed_of_nothing_becomes_a_parameter() -> None:
    """A division overflows of two numbers alone, which no constant may stand for here."""
    text = """function %f(i32) {
block0(v0: i32):
    v1 = iconst.i32 31
    v2 = ishl v0, v1
    v3 = iconst.i32 -2
    v4 = iadd v0, v3
    v5 = sdiv v2, v4
    return
}
"""

    def overflows_without_constants(case: Case) -> bool:
        divisions = [inst for inst in case.function.instructions() if inst.op.name == "sdiv"]
        constants = {
            value
            for inst in case.function.instructions()
            if inst.op.name == "iconst"
            for value in inst.results
        }
        return (
            len(divisions) == 1
            and constants.isdisjoint(divisions[0].args)
            and any(isinstance(outcome, Trapped) and outcome.code == "int_ovf" for outcome in outcomes_of(case))
        )  # fmt: skip

    small, _ = reduce_case(case_of(text, (1,)), overflows_without_constants)
    assert overflows_without_constants(small)
    assert [inst.op.name for inst in small.function.instructions()] == ["sdiv", "return"]


def test_parameters_that_nothing_uses_go_although_dead_code_must_stay() -> None:
    text = """function %f(i32, i64, f64, i32) -> i32 {
block0(v0: i32, v1: i64, v2: f64, v3: i32):
    v4 = isub v0, v3
    v5 = isub v3, v0
    return v5
}
"""

    def both(case: Case) -> bool:
        return sum(inst.op.name == "isub" for inst in case.function.instructions()) == 2

    reduced, _ = reduce_case(Case(parse_function(text), [(1, 2, 3, 4)]), both)
    assert len(reduced.function.signature.params) <= 2
