"""The interpreter's loop: outcomes, fuel, traps, memory, traces, what it refuses."""

from __future__ import annotations

import pytest

from backend.errors import Unsupported
from backend.ir.parser import parse_function
from backend.ir.verifier import verify
from fuzzer.case import DATA_BASE, Case
from fuzzer.outcome import OutOfFuel, Returned, Trapped
from fuzzer.reference.evaluate import evaluate, outcomes_of, prepare
from fuzzer.reference.memory import UndefinedBehaviour
from fuzzer.reference.program import Program


def program(text: str, byte_order: str = "little") -> Program:
    function = parse_function(text)
    verify(function)
    return prepare(function, byte_order)


LOOP = """function %f(i32) -> i32 {
block0(v0: i32):
    jump block1(v0)
block1(v1: i32):
    v2 = iconst.i32 1
    v3 = isub v1, v2
    brif v3, block1(v3), block2
block2:
    return v3
}"""


def test_fuel_is_one_an_instruction() -> None:
    run = program(LOOP).run
    needed = 1 + 3 * 5 + 1
    assert run((5,), fuel=needed) == Returned((0,), b"")
    assert isinstance(run((5,), fuel=needed - 1), OutOfFuel)
    assert isinstance(run((0,), fuel=10_000), OutOfFuel)


def test_a_trap_within_the_last_fuel_is_a_trap() -> None:
    run = program("function %f(i32) {\nblock0(v0: i32):\n v1 = iconst.i32 0\n trapz v0, user3\n"
                  " v2 = iadd v0, v1\n return\n}").run  # fmt: skip
    assert isinstance(run((0,), fuel=1), OutOfFuel)
    assert run((0,), fuel=2) == Trapped("user3", b"")
    assert isinstance(run((1,), fuel=3), OutOfFuel)
    assert run((1,), fuel=4) == Returned((), b"")


def test_a_trap_says_where_and_keeps_what_was_written() -> None:
    run = program("function %f(i64, i32) {\nblock0(v0: i64, v1: i32):\n jump block7\n"
                  "block7:\n store little v1, v0+4\n v2 = udiv v1, v1\n store v1, v0\n return\n}").run  # fmt: skip
    outcome = run((DATA_BASE, 0), b"\xff" * 12)
    assert isinstance(outcome, Trapped)
    assert (outcome.code, outcome.at) == ("int_divz", (7, 1))
    assert outcome.memory == b"\xff" * 4 + bytes(4) + b"\xff" * 4


def test_a_trap_terminator() -> None:
    outcome = program("function %f() {\nblock0:\n v0 = iconst.i8 1\n trap user9\n}").run(())
    assert isinstance(outcome, Trapped)
    assert (outcome.code, outcome.at) == ("user9", (0, 1))


def test_a_straddling_store_writes_nothing() -> None:
    run = program("function %f(i64, i64) {\nblock0(v0: i64, v1: i64):\n store user2 v1, v0\n"
                  " return\n}").run  # fmt: skip
    assert run((DATA_BASE + 8, 1), bytes(16)) == Returned((), bytes(8) + b"\1" + bytes(7))
    outcome = run((DATA_BASE + 9, 1), bytes(16))
    assert isinstance(outcome, Trapped)
    assert (outcome.code, outcome.memory) == ("user2", bytes(16))


def test_addresses_wrap_around() -> None:
    run = program("function %f(i64) -> i8 {\nblock0(v0: i64):\n v1 = load.i8 v0+0x7fff_ffff\n"
                  " return v1\n}").run  # fmt: skip
    base = (DATA_BASE - 0x7FFF_FFFF) % (1 << 64)
    assert run((base,), b"\7") == Returned((7,), b"\7")


def test_the_input_memory_is_not_changed_and_runs_are_apart() -> None:
    run = program("function %f(i64) -> i8 {\n ss0 = explicit_slot 1\nblock0(v0: i64):\n"
                  " v1 = load.i8 v0\n v2 = iconst.i8 1\n v3 = iadd v1, v2\n store v3, v0\n"
                  " return v3\n}").run  # fmt: skip
    memory = b"\5"
    assert run((DATA_BASE,), memory) == run((DATA_BASE,), memory) == Returned((6,), b"\6")
    assert memory == b"\5"


@pytest.mark.parametrize(("order", "value"), [("little", 0x0201), ("big", 0x0102)])
def test_byte_order_is_the_targets_unless_flags_say(order: str, value: int) -> None:
    run = program("function %f(i64) -> i16, i16, i16 {\nblock0(v0: i64):\n v1 = load.i16 v0\n"
                  " v2 = load.i16 little v0\n v3 = load.i16 big v0\n return v1, v2, v3\n}", order).run  # fmt: skip
    assert run((DATA_BASE,), b"\1\2") == Returned((value, 0x0201, 0x0102), b"\1\2")


SLOT = """function %f(i64, i32) -> i32 {{
    ss0 = explicit_slot 8
block0(v0: i64, v1: i32):
    v2 = stack_addr.i64 ss0
    {0}
    return v1
}}"""


@pytest.mark.parametrize(
    "line",
    [
        "v3 = load.i32 v2",
        "store v1, v2+6",
        "store v1, v2-1",
        "v3 = iadd v2, v0 store v1, v3",
        "store v1, v2 v3 = load.i64 v2",
        "store aligned v1, v2+2",
        "store notrap v1, v0",
        "v3 = atomic_load.i32 v2+0 ",
        "v4 = iconst.i64 2 v3 = iadd v2, v4 atomic_store v1, v3",
        "v3 = stack_load.i32 ss0",
    ],
)
def test_an_invalid_case_is_told_from_a_trap(line: str) -> None:
    text = SLOT.format(line.replace("+0 ", ""))
    with pytest.raises(UndefinedBehaviour):
        program(text).run((8, 1))


def test_parallel_block_arguments() -> None:
    run = program("function %f(i8, i8, i8) -> i8, i8, i8 {\nblock0(v0: i8, v1: i8, v2: i8):\n"
                  " jump block1(v1, v2, v0)\nblock1(v3: i8, v4: i8, v5: i8):\n v6 = icmp ugt v3, v4\n"
                  " brif v6, block1(v5, v3, v4), block2\nblock2:\n return v3, v4, v5\n}").run  # fmt: skip
    # (1,2,3) -> (2,3,1); (3,2,1) -> (2,1,3) -> (3,2,1) -> (1,3,2)
    assert run((1, 2, 3)) == Returned((2, 3, 1), b"")
    assert run((3, 2, 1)) == Returned((1, 3, 2), b"")


def test_a_trace_lists_what_was_executed() -> None:
    traced = program(LOOP).trace((2,))
    assert traced == [
        (0, 0, ()),
        (1, 0, (1,)), (1, 1, (1,)), (1, 2, ()),
        (1, 0, (1,)), (1, 1, (0,)), (1, 2, ()),
        (2, 0, ()),
    ]  # fmt: skip


def test_a_trace_ends_at_the_trap_or_the_fuel() -> None:
    trapping = program("function %f(i8) -> i8 {\nblock0(v0: i8):\n v1 = iconst.i8 3\n"
                       " v2 = udiv v1, v0\n return v2\n}")  # fmt: skip
    assert trapping.trace((0,)) == [(0, 0, (3,)), (0, 1, ())]
    assert trapping.trace((1,)) == [(0, 0, (3,)), (0, 1, (3,)), (0, 2, ())]
    assert len(program(LOOP).trace((0,), fuel=101)) == 101


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("v1 = splat.i32x4 v0", "splat"),
        ("v1 = load.i8x16 v9", "load.i8x16"),
        ("v1 = func_addr.i32 fn0", "func_addr.i32"),
        ("v1 = global_value.i64 gv0", "vmctx"),
        ("v1 = stack_addr.i32 ss0", "stack_addr.i32"),
        ("v1 = get_stack_pointer.i64", "get_stack_pointer"),
        ("debugtrap", "debugtrap"),
    ],
)
def test_what_has_no_meaning_is_refused_before_any_run(lines: str, reason: str) -> None:
    text = ("function %f(i32) {\n ss0 = explicit_slot 4\n gv0 = vmctx\n fn0 = %g(i32) -> i32\nblock0(v0: i32):\n"
            f" v9 = iconst.i64 0\n {lines}\n return\n}}")  # fmt: skip
    with pytest.raises(Unsupported, match=reason):
        program(text)


def test_vectors_as_values_are_refused() -> None:
    with pytest.raises(Unsupported, match="i32x4"):
        program(
            "function %f(i32x4) -> i32x4 {\nblock0(v0: i32x4):\n v1 = band v0, v0\n return v1\n}"
        )


def test_the_number_of_inputs_is_checked() -> None:
    with pytest.raises(ValueError, match="2 values for 1 parameters"):
        program(LOOP).run((1, 2))


def test_cases() -> None:
    function = parse_function(LOOP)
    case = Case(function, [(1,), (3,)], memory=b"\1\2")
    assert evaluate(case, 1) == Returned((0,), b"\1\2")
    assert outcomes_of(case) == [Returned((0,), b"\1\2")] * 2


def test_a_lean_program_leaves_out_what_no_outcome_depends_on() -> None:
    function = parse_function("""function %f(i32) -> i32 {
block0(v0: i32):
    v1 = iadd v0, v0
    v2 = imul v1, v1
    v3 = udiv v0, v0
    v4 = bnot v0
    return v4
}""")
    full, lean = prepare(function), prepare(function, lean=True)
    assert [len(code.rows) for code in full.blocks] == [4]
    assert [len(code.rows) for code in lean.blocks] == [2]
    for value in (0, 5):
        assert lean.run((value,)) == full.run((value,))
    assert isinstance(lean.run((5,), fuel=4), OutOfFuel)


def test_a_use_above_its_definition_in_the_text_keeps_it() -> None:
    function = parse_function("""function %f(i32) -> i32 {
block0(v0: i32):
    jump block2
block1:
    return v1
block2:
    v1 = iadd v0, v0
    jump block1
}""")
    verify(function)
    assert prepare(function, lean=True).run((4,)) == prepare(function).run((4,))
    assert prepare(function, lean=True).run((4,)) == Returned((8,), b"")


@pytest.mark.parametrize("idle", ["v1 = splat.i32x4 v0", "v1 = stack_addr.i32 ss0"])
def test_what_is_left_out_is_refused_all_the_same(idle: str) -> None:
    function = parse_function(f"""function %f(i32) {{
    ss0 = explicit_slot 8
block0(v0: i32):
    {idle}
    return
}}""")
    with pytest.raises(Unsupported):
        prepare(function, lean=True)
