"""Places: every word belongs to somebody, values are where the machine instructions have them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from backend.compile import compile_function
from backend.ir.parser import parse_function
from backend.machine.places import INST, ISLAND, MOVE, PROLOGUE, TRAP, Place, Places
from backend.options import Options

LOOP = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iconst.i32 3
    jump block1(v2, v0, v1)
block1(v3: i32, v4: i32, v5: i32):
    v6 = iconst.i32 1
    v7 = isub v3, v6
    brif v7, block1(v7, v5, v4), block2
block2:
    v8 = isub v4, v5
    trapz v8, user1
    return v8
}"""


def places_of(text: str, **options: int | str) -> tuple[Places, int]:
    code = compile_function(parse_function(text), options=Options.from_dict(dict(options)))
    assert code.places is not None
    return code.places(), len(code.code) - sum(hi - lo for lo, hi in code.data_ranges)


@pytest.mark.parametrize("options", [{}, {"registers": 3}, {"homes": "float"}, {"homes": "mixed", "registers": 4},
                                     {"branch_reach": 64}, {"pad": 33000}])  # fmt: skip
def test_spans_hold_every_word_once(options: dict[str, int | str]) -> None:
    places, words = places_of(LOOP, **options)
    spans = places.spans
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert sum(span.end - span.start for span in spans) == words
    assert {span.kind for span in spans} <= {PROLOGUE, INST, MOVE, ISLAND, TRAP}
    assert spans[0].kind == PROLOGUE
    assert spans[-1].kind == TRAP
    assert places.insts[spans[-1].inst].origin == 6  # the trapz
    assert not places.misplaced


def test_values_and_their_registers() -> None:
    places, _ = places_of("""function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = isub v0, v1
    v3 = isub v2, v1
    return v3
}""")
    arguments, first, second, leave = places.insts
    assert arguments.defs == (Place(0, "x0"), Place(1, "x1"))
    assert first.uses == arguments.defs
    assert second.uses == (first.defs[0], Place(1, "x1"))
    assert first.defs[0].value == 2
    assert leave.uses == (Place(3, "x0"),)
    assert [inst.origin for inst in places.insts] == [-1, 0, 1, 2]
    assert places.rules == {0: ("isub",), 1: ("isub",), 2: ("return",)}


def test_an_expanded_instruction_keeps_its_position() -> None:
    places, _ = places_of("""function %f(i32) -> i32 {
    ss0 = explicit_slot 8
block0(v0: i32):
    v1 = iadd_imm v0, 5
    stack_store v1, ss0
    v2 = stack_load.i32 ss0
    v3 = band_not v2, v0
    return v3
}""")
    origins = [inst.origin for inst in places.insts]
    assert origins == sorted(origins)
    assert set(origins) == {-1, 0, 1, 2, 3, 4}
    made = {place.value: inst.origin for inst in places.insts for place in inst.defs}
    assert (made[1], made[2], made[3]) == (0, 2, 3)
    assert set(made) <= {0, 1, 2, 3}, "values of the expansion are nobody's"
    assert places.slots == {0: 0}


def test_blocks_of_edges_pass_the_arguments() -> None:
    places, _ = places_of(LOOP)
    clif = [block.clif for block in places.blocks]
    assert sorted(number for number in clif if number >= 0) == [0, 1, 2]
    passed = [block.args for block in places.blocks if block.args]
    assert passed == [(2, 0, 1), (7, 5, 4)]


def test_a_home_in_another_class_holds_the_same_value() -> None:
    places, _ = places_of(LOOP, homes="float")
    registers = {
        place.register[0]
        for inst in places.insts
        for place in (*inst.uses, *inst.defs)
        if place.value == 4
    }
    assert registers == {"x", "v"}
