"""x86-64's frames, arguments, jump tables and labels, as bytes and as runs."""

from __future__ import annotations

import pytest

from backend.compile import compile_function
from backend.ir.parser import parse_function
from backend.isa.x86_64 import abi
from backend.isa.x86_64.labels import label_uses
from backend.isa.x86_64.regs import R12, RBX
from backend.machine.frame import Frame
from backend.options import Options
from fuzzer.case import Case
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

BUILTIN = target_named("builtin")


def asm(text: str, **options: bool | int | str) -> list[str]:
    code = compile_function(parse_function(text), "x86_64", Options.from_dict(options))
    return [line.split(":", 1)[1].strip() for line in code.stages["asm"]().splitlines()]


def values(text: str, *inputs: tuple[int, ...], **options: bool | int | str) -> list[object]:
    case = Case(parse_function(text), list(inputs), isa="x86_64", options=options)
    trial, found = run_trial(case, BUILTIN, thorough=True)
    assert not found
    return [run.values if run is not None and run.stop == "return" else None for run in trial.runs]


def test_a_constant_is_returned() -> None:
    text = "function %f() -> i32 {\nblock0:\n    v0 = iconst.i32 42\n    return v0\n}"
    assert asm(text) == ["push rbp", "mov rbp, rsp", "mov eax, 0x2a", "pop rbp", "ret"]
    assert values(text, ()) == [(42,)]


@pytest.mark.parametrize(
    ("saved", "below", "align", "wanted"),
    [
        ((), 0, 16, ["push", "mov_rr.q", "|", "pop"]),
        ((RBX, R12), 0, 16, ["push", "mov_rr.q", "push", "push", "|", "pop", "pop", "pop"]),
        ((RBX,), 8, 16, ["push", "mov_rr.q", "push", "sub_ri.q", "|", "lea_o.q", "pop", "pop"]),
        ((), 64, 64, ["push", "mov_rr.q", "sub_ri.q", "and_ri.q", "|", "lea_o.q", "pop"]),
    ],
)
def test_the_epilogue_undoes_the_prologue(
    saved: tuple[int, ...], below: int, align: int, wanted: list[str]
) -> None:
    frame = Frame(align)
    frame.saved = saved
    frame.saved_bytes = 8 * len(saved)
    frame.size = below + frame.saved_bytes
    before, after = abi.prologue(frame), abi.epilogue(frame)
    assert [row.name for row, _ in before] + ["|"] + [row.name for row, _ in after] == wanted
    pushed = [ops[0] for row, ops in before if row.name == "push"]
    assert [ops[0] for row, ops in after if row.name == "pop"] == pushed[::-1]


@pytest.mark.parametrize("align", [1, 16, 64, 256])
@pytest.mark.parametrize("registers", [0, 3])
def test_slots_are_aligned_and_the_caller_gets_everything_back(align: int, registers: int) -> None:
    text = f"""function %f(i64) -> i64 {{
    ss0 = explicit_slot 24, align = {align}
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store v0, v1+8
    v2 = iconst.i64 {align - 1}
    v3 = band v1, v2
    v4 = load.i64 v1+8
    v5 = iadd v3, v4
    return v5
}}"""
    assert values(text, (7,), registers=registers) == [(7,)]


def test_arguments_beyond_the_sixth_are_on_the_stack_and_narrow_ones_extended_when_promised() -> (
    None
):
    text = """function %f(i64, i64, i64, i64, i64, i64, i8 sext, i16) -> i64, i8 uext {
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i8, v7: i16):
    v8 = sextend.i64 v6
    v9 = uextend.i64 v7
    v10 = iadd v8, v9
    return v10, v6
}"""
    assert values(text, (1, 2, 3, 4, 5, 6, 0xFF, 0x8000)) == [(0x7FFF, 0xFF)]
    assert "mov rax, qword ptr [rbp + 0x18]" not in asm(text)
    assert [line for line in asm(text) if "rbp + " in line] == [
        "mov rax, qword ptr [rbp + 0x10]",
        "mov rcx, qword ptr [rbp + 0x18]",
    ]


def test_a_third_result_goes_where_the_argument_behind_the_last_points() -> None:
    text = "function %f(i8) -> i8, i8, i8 {\nblock0(v0: i8):\n    return v0, v0, v0\n}"
    code = compile_function(parse_function(text), "x86_64")
    assert "mov qword ptr [rsi], rdx" in code.stages["asm"]()


@pytest.mark.parametrize("options", [{}, {"registers": 3}, {"branch_reach": 64}, {"pad": 33000}])
def test_a_jump_table_looks_at_32_bits_of_its_index(options: dict[str, int]) -> None:
    text = """function %f(i64) -> i32 {
block0(v0: i64):
    v1 = ireduce.i32 v0
    br_table v1, block4, [block1, block2, block3, block2]
block1:
    v2 = iconst.i32 10
    return v2
block2:
    v3 = iconst.i32 20
    return v3
block3:
    v4 = iconst.i32 30
    return v4
block4:
    v5 = iconst.i32 40
    return v5
}"""
    wanted = [(10,), (20,), (30,), (20,), (40,), (40,), (20,)]
    inputs = [(n,) for n in (0, 1, 2, 3, 4, 0xFFFF_FFFF, 0x7_0000_0001)]
    assert values(text, *inputs, **options) == wanted


def test_flags_survive_what_the_allocator_puts_between() -> None:
    text = """function %f(i64, i64, i64, i64, i64) -> i64, i8 {
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64):
    v5 = icmp slt v0, v1
    v6 = select v5, v2, v3
    v7, v8 = uadd_overflow v6, v4
    return v7, v8
}"""
    inputs = [(1, 2, 3, 4, 5), (2, 1, 3, 4, (1 << 64) - 4), (2, 1, 3, 4, (1 << 64) - 5)]
    for options in ({}, {"registers": 3}, {"registers": 3, "homes": "float"}):
        assert values(text, *inputs, **options) == [(8, 0), (0, 1), ((1 << 64) - 1, 0)]


def test_a_distance_counts_from_the_end_of_its_instruction() -> None:
    uses = label_uses()
    for name in ("jump32", "cond32", "default32", "pool32", "address32"):
        assert uses[name].patch(0, 4) == 0
        assert uses[name].patch(0, 0) == 0xFFFF_FFFC
        for delta in (-uses[name].max_neg, -1, 5, uses[name].max_pos):
            assert uses[name].read(uses[name].patch(0, delta)) == delta
    assert uses["table32"].patch(0, 0) == 0
    assert label_uses(64)["cond32"].max_pos == 64
    assert label_uses(64)["default32"].max_pos > 1 << 30
