"""Calls: who is called, what waits for it, slots of activations, fuel and depth, traps, functions from outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Unsupported
from backend.ir.filetest import parse_file
from backend.ir.verifier import verify
from fuzzer.case import DATA_BASE
from fuzzer.outcome import ExternalCall, OutOfFuel, Returned, Trapped, external_result
from fuzzer.reference.evaluate import prepare
from fuzzer.reference.memory import UndefinedBehaviour
from fuzzer.reference.program import DEFAULT_DEPTH, Program


def program(text: str, *, externals: bool = True) -> Program:
    """The first function of a file, with the others beside it."""
    functions = [entry.function for entry in parse_file(text).functions]
    for function in functions:
        verify(function)
    return prepare(functions[0], others=functions[1:], externals=externals)


COUNT = """function %count(i64, i64) -> i64 {
    fn0 = %count(i64, i64) -> i64
block0(v0: i64, v1: i64):
    brif v0, block1, block2
block1:
    v2 = iconst.i64 1
    v3 = isub v0, v2
    v4 = iadd v1, v0
    v5 = call fn0(v3, v4)
    v6 = iadd v5, v2
    return v6
block2:
    return v1
}"""


def test_recursion_spends_fuel_and_keeps_values_apart() -> None:
    run = program(COUNT).run
    assert run((5, 100)) == Returned((100 + 15 + 5,), b"")
    needed = 5 * 7 + 2
    assert run((5, 0), fuel=needed) == Returned((20,), b"")
    assert isinstance(run((5, 0), fuel=needed - 1), OutOfFuel)


def test_depth_is_bounded_and_no_matter_of_pythons_stack() -> None:
    run = program(COUNT).run
    assert isinstance(run((DEFAULT_DEPTH, 0)), Returned)
    assert isinstance(run((DEFAULT_DEPTH + 1, 0)), OutOfFuel)
    assert isinstance(run((50_000, 0), fuel=10**6, depth=10**5), Returned)
    assert isinstance(run((1 << 40, 0), fuel=10**9, depth=2000), OutOfFuel)


def test_a_function_that_only_calls_itself_ends() -> None:
    text = "function %f() {\n fn0 = %f()\nblock0:\n call fn0()\n return\n}"
    assert isinstance(program(text).run(()), OutOfFuel)


def test_tail_calls_take_no_depth_but_fuel() -> None:
    text = COUNT.replace("-> i64", "-> i64 tail").replace("v5 = call", "return_call")
    run = program(text.replace("v6 = iadd v5, v2\n    return v6", "")).run
    assert run((1000, 0), depth=0) == Returned((500_500,), b"")
    assert isinstance(run((1000, 0), fuel=2999), OutOfFuel)
    endless = "function %f() tail {\n fn0 = %f() tail\nblock0:\n return_call fn0()\n}"
    assert isinstance(program(endless).run((), fuel=100_000), OutOfFuel)


SLOTS = """function %f(i32) -> i32 {
    ss0 = explicit_slot 4
    fn0 = %g(i64, i32) -> i64
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    store v0, v1
    v2 = call fn0(v1, v0)
    {0}
}
function %g(i64, i32) -> i64 {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 4
block0(v0: i64, v1: i32):
    v2 = stack_addr.i64 ss1
    v3 = load.i32 v0
    v4 = iadd v3, v1
    stack_store v4, ss1
    store v4, v0
    return v2
}"""


def test_activations_have_slots_of_their_own_and_may_share_addresses() -> None:
    text = SLOTS.replace(
        "{0}",
        "v3 = load.i32 v1\n v4 = call fn0(v1, v0)\n v5 = load.i32 v1\n v6 = iadd v3, v5\n return v6",
    )
    assert program(text).run((5,)) == Returned((10 + 15,), b"")


def test_a_slot_that_was_left_is_not_accessed() -> None:
    with pytest.raises(UndefinedBehaviour, match="left"):
        program(SLOTS.replace("{0}", "v3 = load.i32 v2\n return v3")).run((5,))


def test_slots_are_not_inherited_from_the_activation_before() -> None:
    text = """function %f() -> i32 {
    fn0 = %g(i32) -> i32
block0:
    v0 = iconst.i32 1
    v1 = call fn0(v0)
    v2 = iconst.i32 0
    v3 = call fn0(v2)
    return v3
}
function %g(i32) -> i32 {
    ss0 = explicit_slot 4
block0(v0: i32):
    brif v0, block1, block2
block1:
    stack_store v0, ss0
    jump block2
block2:
    v1 = stack_load.i32 ss0
    return v1
}"""
    with pytest.raises(UndefinedBehaviour, match="before they are written"):
        program(text).run(())


TRAPS = """function %f(i32, i64) -> i32 {
    fn0 = %g(i32, i64) -> i32
block0(v0: i32, v1: i64):
    jump block3
block3:
    v2 = iadd v0, v0
    v3 = call fn0(v2, v1)
    return v3
}
function %g(i32, i64) -> i32 {
block0(v0: i32, v1: i64):
    jump block9
block9:
    store v0, v1
    v2 = udiv v0, v0
    return v2
}"""


def test_a_trap_of_a_callee_is_at_the_call() -> None:
    made = program(TRAPS)
    outcome = made.run((0, DATA_BASE), b"\xff" * 4)
    assert isinstance(outcome, Trapped)
    assert (outcome.code, outcome.at, outcome.memory) == ("int_divz", (3, 1), bytes(4))
    assert made.run((4, DATA_BASE), bytes(4)) == Returned((1,), b"\x08\0\0\0")


def test_a_trace_is_of_the_first_function_alone() -> None:
    made = program(TRAPS)
    start = [(0, 0, ()), (3, 0, (8,))]
    assert made.trace((4, DATA_BASE), bytes(4)) == [*start, (3, 1, (1,)), (3, 2, ())]
    assert made.trace((4, 0), bytes(4)) == [*start, (3, 1, ())]


def test_calls_by_address() -> None:
    text = """function %f(i64) -> i64 {
    sig0 = (i64) -> i64
    sig1 = (i64)
    fn0 = %f sig0
block0(v0: i64):
    v1 = func_addr.i64 fn0
    v2 = iadd v1, v0
    brif v0, block1, block2
block1:
    v3 = call_indirect sig0, v2(v0)
    return v3
block2:
    call_indirect sig1, v2(v0)
    return v0
}"""
    run = program(text).run
    with pytest.raises(UndefinedBehaviour, match="no function"):
        run((8,))
    with pytest.raises(UndefinedBehaviour, match="another signature"):
        run((0,))


def test_code_is_no_memory() -> None:
    text = ("function %f() -> i8 {\n fn0 = %f() -> i8\nblock0:\n v0 = func_addr.i64 fn0\n v1 = load.i8 v0\n"
            " return v1\n}")  # fmt: skip
    with pytest.raises(UndefinedBehaviour, match="code of a function"):
        program(text).run(())


OUTSIDE = """function %f(i32, i8) -> i32, i128 {
    sig0 = (i32)
    fn0 = %one(i32, i8) -> i32
    fn1 = u3:4(i8) -> i8, i128
    fn2 = %two sig0
block0(v0: i32, v1: i8):
    v2 = call fn0(v0, v1)
    v3, v4 = call fn1(v1)
    v5 = func_addr.i64 fn2
    call_indirect sig0, v5(v2)
    trapz v0, user5
    return v2, v4
}"""


def test_calls_of_functions_from_outside_are_recorded_in_order() -> None:
    first = external_result(0, 0) & 0xFFFF_FFFF
    calls = (
        ExternalCall("%one", (7, 255)), ExternalCall("u3:4", (255,)), ExternalCall("%two", (first,)),
    )  # fmt: skip
    made = program(OUTSIDE)
    assert made.run((7, 255)) == Returned((first, external_result(1, 1)), b"", calls=calls)
    assert made.run((7, 255)) != made.run((7, 254))
    trapped = made.run((0, 0))
    assert isinstance(trapped, Trapped)
    assert [call.name for call in trapped.calls] == ["%one", "u3:4", "%two"]
    assert trapped != Trapped("user5", b"")
    assert made.run((7, 255)) == made.run((7, 255)), "runs are apart"


def test_results_from_outside_depend_on_the_order_of_calls() -> None:
    results = {external_result(position, result) for position in range(50) for result in range(8)}
    assert len(results) == 400
    assert all(0 <= result < 1 << 128 for result in results)


def test_tail_calls_of_functions_from_outside() -> None:
    text = "function %f(i64) -> i64 tail {\n sig0 = (i64) -> i64 tail\n fn0 = %g sig0\nblock0(v0: i64):\n {0}\n}"
    wanted = Returned((external_result(0, 0) % (1 << 64),), b"", calls=(ExternalCall("%g", (3,)),))
    for line in (
        "return_call fn0(v0)",
        "v1 = func_addr.i64 fn0\n return_call_indirect sig0, v1(v0)",
    ):
        assert program(text.replace("{0}", line)).run((3,)) == wanted


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("fn0 = %missing(i32)", "%missing"),
        ("fn0 = %g(i64)", "another signature"),
        ("fn0 = %CeilF32(i32)", "%CeilF32"),
        ("fn0 = %h(i32)", "splat"),
        ("fn0 = %g(i32 sarg(8))", "sarg"),
    ],
)
def test_who_cannot_be_called(declared: str, reason: str) -> None:
    value = "v1 = uextend.i64 v0\n call fn0(v1)" if "i64" in declared else "call fn0(v0)"
    text = f"""function %f(i32) {{
    {declared}
block0(v0: i32):
    {value}
    return
}}
function %g(i32) {{
block0(v0: i32):
    return
}}
function %h(i32) {{
block0(v0: i32):
    v1 = splat.i32x4 v0
    return
}}"""
    with pytest.raises(Unsupported, match=reason):
        program(text, externals=False)


def test_what_is_declared_and_not_called_does_no_harm() -> None:
    text = "function %f() -> i8 {\n fn0 = %missing(i32x4)\n gv0 = vmctx\nblock0:\n v0 = iconst.i8 1\n return v0\n}"
    assert program(text, externals=False).run(()) == Returned((1,), b"")


@pytest.mark.parametrize(
    ("declarations", "reason"),
    [
        ("gv0 = symbol %nowhere", "%nowhere"),
        ("gv0 = symbol tls %f", "thread-local"),
        ("gv0 = iadd_imm.i64 gv1, 4\n gv1 = iadd_imm.i64 gv0, 4", "rests on itself"),
        ("gv0 = dyn_scale_target_const.i32x4", "dyn_scale_target_const"),
        ("gv0 = load.i64 big gv1\n gv1 = vmctx", "byte order"),
    ],
)
def test_global_values_that_mean_nothing_here(declarations: str, reason: str) -> None:
    text = (f"function %f(i64 vmctx) -> i64 {{\n {declarations}\nblock0(v0: i64):\n"
            " v1 = global_value.i64 gv0\n return v1\n}")  # fmt: skip
    with pytest.raises(Unsupported, match=reason):
        program(text)


def test_global_values_are_read_in_order() -> None:
    text = """function %f(i64 vmctx) -> i64 {
    gv0 = vmctx
    gv1 = load.i32 notrap gv0+4
    gv2 = iadd_imm.i64 gv1, -1
    gv3 = load.i64 gv2
block0(v0: i64):
    v1 = global_value.i64 gv3
    return v1
}"""
    run = program(text).run
    memory = bytes(4) + (DATA_BASE + 9).to_bytes(4, "little") + (99).to_bytes(8, "little")
    assert run((DATA_BASE,), memory) == Returned((99,), memory)
    assert run((DATA_BASE,), memory[:-1]) == Trapped("heap_oob", memory)


@given(st.lists(st.integers(0, 3), max_size=6))
def test_any_number_of_arguments_and_results_arrive_in_order(kinds: list[int]) -> None:
    """A chain of calls that rotates its values by one each."""
    types = [("i8", "i64", "f32", "i128")[kind] for kind in kinds] * 2
    names = [f"v{n}" for n in range(len(types))]
    params = ", ".join(f"{name}: {t}" for name, t in zip(names, types, strict=True))
    signature = f"({', '.join(types)})" + (f" -> {', '.join(types)}" if types else "")
    results = [f"v{n + 100}" for n in range(len(types))]
    call = f"{', '.join(results)} = call fn0({', '.join(names)})" if types else "call fn0()"
    text = f"""function %f{signature} {{
    fn0 = %g{signature}
block0({params}):
    {call}
    return {", ".join(results)}
}}
function %g{signature} {{
block0({params}):
    return {", ".join(names)}
}}""".replace("block0()", "block0")
    values = tuple(range(1, len(types) + 1))
    assert program(text).run(values) == Returned(values, b"")
