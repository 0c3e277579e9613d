"""The executor sees everything a function can break, and runs what was loaded last."""

from __future__ import annotations

import pytest

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, F64, F128, I8, I32, I64, I128, Type, type_named
from fuzzer.case import DATA_BASE
from fuzzer.checks.reassembly import assemble
from fuzzer.execute import layout
from fuzzer.execute.emulator import (
    FAULT,
    RETURN,
    STRAY,
    TIMEOUT,
    TRAP,
    Emulator,
    ExecutorLimit,
    Run,
)

F32X4 = type_named("f32x4")


@pytest.fixture(scope="module")
def engine() -> Emulator:
    return Emulator("aarch64")


def words(text: str) -> bytes:
    return b"".join(assemble("aarch64", line.strip()) for line in text.split(";"))


def signature(params: list[Type], returns: list[Type], extension: str = "") -> Signature:
    return Signature(
        tuple(AbiParam(t, extension) for t in params), tuple(AbiParam(t) for t in returns)
    )


def run(engine: Emulator, text: str, *values: int, memory: bytes = b"", poison: int = 0) -> Run:
    engine.load(words(text), signature([I64] * len(values), [I64]), len(memory))
    return engine.run(values, memory, poison)


def test_returns_a_value(engine: Emulator) -> None:
    result = run(engine, "add x0, x0, x1; ret", 40, 2)
    assert (result.stop, result.values, result.frame) == (RETURN, (42,), ())


def test_new_code_runs_not_a_stale_translation(engine: Emulator) -> None:
    for value in range(30):
        result = run(engine, f"movz x0, #{value + 1}; ret", 0)
        assert result.values == (value + 1,)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("mov x19, #1; ret", "x19"),
        ("mov x29, #1; ret", "x29"),
        ("fmov d8, #1.0; ret", "d8"),
        ("sub sp, sp, #16; ret", "sp"),
        ("add sp, sp, #16; ret", "sp"),
        ("str x0, [sp, #64]; ret", "caller's frame at sp+64"),
        ("strb w0, [sp]; ret", "caller's frame at sp+0"),
    ],
)
def test_broken_frames_are_seen_though_the_value_is_right(
    engine: Emulator, text: str, what: str
) -> None:
    result = run(engine, text, 7)
    assert result.stop == RETURN
    assert [name for name, _, _ in result.frame] == [what]


@pytest.mark.parametrize(
    "text",
    [
        "fmov d16, #1.0; ret",
        "str x0, [sp, #-64]; ret",
        "mov v8.d[1], x0; ret",
        "stp x29, x30, [sp, #-16]!; mov x29, sp; ldp x29, x30, [sp], #16; ret",
    ],
)
def test_what_a_function_may_do(engine: Emulator, text: str) -> None:
    result = run(engine, text, 7)
    assert (result.stop, result.frame) == (RETURN, ())


def test_the_founding_bug_breaks_the_frame_and_not_the_value(engine: Emulator) -> None:
    code = bytes.fromhex("fd7b3fa9 fd031faa 40058052 fd7b81a9 c0035fd6")
    engine.load(code, signature([], [I32]))
    result = engine.run((), b"")
    assert result.values == (42,)
    assert {"sp", "x29"} <= {name for name, _, _ in result.frame}
    assert any(name.startswith("caller's frame") for name, _, _ in result.frame)


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("brk #1; ret", TRAP),
        ("b #0", TIMEOUT),
        ("add x30, x30, #4; ret", STRAY),
        ("movz x1, #0; br x1", STRAY),
        ("movz x1, #0x2000, lsl #16; ldr x0, [x1]; ret", FAULT),
        ("adr x1, #0; str x0, [x1]; ret", FAULT),
        ("mov x0, #1", TRAP),
    ],
)
def test_what_is_not_a_return(engine: Emulator, text: str, stop: str) -> None:
    assert run(engine, text, 1).stop == stop


def test_one_byte_past_the_data_region_is_a_fault(engine: Emulator) -> None:
    memory = bytes(range(256)) * 4
    last = run(engine, "ldrb w0, [x0]; ret", DATA_BASE + 1023, memory=memory)
    past = run(engine, "ldrb w0, [x0]; ret", DATA_BASE + 1024, memory=memory)
    before = run(engine, "ldrb w0, [x0]; ret", DATA_BASE - 1, memory=memory)
    assert last.values == (255,)
    assert past.stop == before.stop == FAULT
    assert past.address == DATA_BASE + 1024
    assert past.offset == 0


def test_memory_is_fresh_in_each_run_and_given_back(engine: Emulator) -> None:
    memory = bytes(1024)
    first = run(engine, "strb w1, [x0]; ret", DATA_BASE, 9, memory=memory)
    second = run(engine, "ldrb w0, [x0]; ret", DATA_BASE, memory=memory)
    assert first.memory == b"\x09" + bytes(1023)
    assert second.values == (0,)


def test_arguments_beyond_eight_are_on_the_stack(engine: Emulator) -> None:
    values = tuple(range(1, 13))
    engine.load(words("ldr x0, [sp, #24]; ret"), signature([I64] * 12, [I64]))
    assert engine.run(values, b"").values == (12,)


def test_a_callee_may_write_its_stack_arguments_and_not_beyond(engine: Emulator) -> None:
    engine.load(words("str x0, [sp]; ret"), signature([I64] * 9, [I64]))
    assert engine.run(tuple(range(9)), b"").frame == ()
    engine.load(words("str x0, [sp, #8]; ret"), signature([I64] * 9, [I64]))
    assert engine.run(tuple(range(9)), b"").frame != ()


def test_bits_above_a_narrow_argument_are_poison(engine: Emulator) -> None:
    engine.load(words("lsr x0, x0, #8; ret"), signature([I8], [I64]))
    seen = {engine.run((1,), b"", poison).values for poison in (0, 1)}
    assert len(seen) == 2


@pytest.mark.parametrize(("extension", "value"), [("uext", 0xFF), ("sext", (1 << 64) - 1)])
def test_an_extended_argument_is_extended(engine: Emulator, extension: str, value: int) -> None:
    engine.load(words("ret"), Signature((AbiParam(I8, extension),), (AbiParam(I64),)))
    assert engine.run((0xFF,), b"").values == (value,)


@pytest.mark.parametrize(
    ("extension", "text", "broken"),
    [
        ("uext", "and x0, x0, #0xff; ret", 0),
        ("uext", "sxtb x0, w0; ret", 0x80),
        ("uext", "ret", 1),
        ("sext", "sxtb x0, w0; ret", 0),
        ("sext", "sxtb w0, w0; ret", 0x80),
        ("sext", "and x0, x0, #0xff; ret", 0x80),
        ("", "ret", 0),
    ],
)
def test_an_extended_result_fills_its_register(
    engine: Emulator, extension: str, text: str, broken: int
) -> None:
    engine.load(words(text), Signature((AbiParam(I8),), (AbiParam(I8, extension),)))
    for value in (0, 1, 0x7F, 0x80, 0xFF):
        result = engine.run((value,), b"")
        assert result.values == (value,)
        assert bool(result.frame) == (broken > 0 and value >= (broken if broken == 0x80 else 0))
        for what, expected, got in result.frame:
            assert what == f"register of result 0, i8 {extension}"
            assert expected & 0xFF == got & 0xFF == value
            assert expected != got


def test_dead_registers_and_dead_stack_differ_by_poison(engine: Emulator) -> None:
    for text in ("mov x0, x9; ret", "ldr x0, [sp, #-32]; ret", "fmov x0, d20; ret"):
        assert len({run(engine, text, 0, poison=p).values for p in (0, 1)}) == 2


def test_limits_are_said(engine: Emulator) -> None:
    with pytest.raises(ExecutorLimit, match="bytes of code"):
        engine.load(bytes(layout.CODE_SIZE), signature([], []))
    with pytest.raises(ExecutorLimit, match="results"):
        engine.load(b"", signature([], [I64] * 200))
    with pytest.raises(ExecutorLimit, match="windows_fastcall"):
        engine.load(b"", Signature((), (), "windows_fastcall"))
    with pytest.raises(ExecutorLimit, match="sarg"):
        engine.load(b"", Signature((AbiParam(I64, "", "sarg(8)"),)))


# ---- floats and i128


@pytest.mark.parametrize(
    ("params", "returns", "text", "values", "expected"),
    [
        # an i128 skips an odd register; nothing is in the one skipped
        ([I64, I128], [I64, I64, I64], "mov x1, x2; mov x2, x3; ret", (1, 3 << 64 | 2), (1, 2, 3)),
        ([I128, I128], [I64, I64], "add x0, x0, x2; add x1, x1, x3; ret", (3 << 64 | 1, 4 << 64 | 5), (6, 7)),
        # one that does not fit is on the stack, aligned, and takes the last register with it
        ([I64] * 7 + [I128, I64], [I64, I64, I64], "ldp x0, x1, [sp]; ldr x2, [sp, #16]; ret",
         (0, 0, 0, 0, 0, 0, 0, 9 << 64 | 8, 5), (8, 9, 5)),
        ([I64] * 9 + [I128], [I64, I64], "ldp x0, x1, [sp, #16]; ret", (0,) * 9 + (7 << 64 | 6,), (6, 7)),
        # the two classes are counted apart
        ([F64, I64, F32, I128], [I64, I64, I64, I64, I64],
         "mov x1, x2; mov x2, x3; fmov x3, d0; fmov w4, s1; ret",
         (0x3FF0 << 48, 1, 0x7FC00001, 3 << 64 | 2), (1, 2, 3, 0x3FF0 << 48, None)),
        ([F32] * 9, [F32], "ldr s0, [sp]; ret", tuple(range(9)), (8,)),
        ([F64] * 8 + [F32, F64], [F64, F64], "ldr d0, [sp, #8]; fmov d1, d7; ret", tuple(range(10)), (9, 7)),
        # results
        ([I64, I64], [I128], "ret", (1, 2), (2 << 64 | 1,)),
        ([I64, I64, I64, I64], [I64, I128], "ret", (1, 2, 3, 4), (1, 4 << 64 | 3)),
        ([F64, F64], [F64, I8, F64], "mov w0, #300; ret", (5, 6), (5, 44, 6)),
        ([I64, I64, F32], [F32, I128], "ret", (1, 2, 7), (7, 2 << 64 | 1)),
    ],
)  # fmt: skip
def test_floats_and_pairs_are_passed_as_the_standard_says(
    engine: Emulator,
    params: list[Type],
    returns: list[Type],
    text: str,
    values: tuple[int, ...],
    expected: tuple[int | None, ...],
) -> None:
    engine.load(words(text), signature(params, returns))
    for poison in (0, 1):
        run = engine.run(values, b"", poison)
        assert run.stop == RETURN
        assert run.frame == ()
        assert len(run.values) == len(expected)
        assert all(e is None or e == v for e, v in zip(expected, run.values, strict=True))


@pytest.mark.parametrize("text", ["fmov x0, d0; ret", "mov x0, v0.d[1]; ret", "mov x0, x1; ret"])
def test_what_lies_beside_a_float_or_a_pair_is_poison(engine: Emulator, text: str) -> None:
    engine.load(words(text), signature([F32, I64, I128], [I64]))
    seen = {engine.run((0, 0, 0), b"", poison).values for poison in (0, 1)}
    assert len(seen) == 2


def test_stack_floats_lie_within_the_frame(engine: Emulator) -> None:
    engine.load(words("str x0, [sp, #8]; ret"), signature([I64] + [F32] * 10, [I64]))
    assert engine.run((0,) * 11, b"").frame == ()
    engine.load(words("str x0, [sp, #16]; ret"), signature([I64] + [F32] * 10, [I64]))
    assert engine.run((0,) * 11, b"").frame != ()


def test_floats_are_ieee_whatever_ran_before(engine: Emulator) -> None:
    """A subnormal is not flushed, a NaN keeps its payload, even if a run before asked for both."""
    engine.load(words("mov x0, #0x3000000; msr fpcr, x0; ret"), signature([F64], [F64]))
    engine.run((1,), b"")
    engine.load(words("fadd d0, d0, d1; ret"), signature([F64, F64], [F64]))
    assert engine.run((1, 1), b"").values == (2,)
    assert engine.run((0xFFF8_0000_0000_1234, 0), b"").values == (0xFFF8_0000_0000_1234,)


@pytest.mark.parametrize(
    ("params", "returns", "text", "values", "expected"),
    [
        ([], [I64] * 9, "mov x8, #9; str x8, [x0]; mov x7, #8; ret", (), (None,) * 7 + (8, 9)),
        # behind the arguments, which may be on the stack
        ([I64] * 8, [F32] * 9, "ldr x8, [sp]; str w7, [x8]; ret", tuple(range(8)), (None,) * 8 + (7,)),
        # an i128 leaves the last register alone and is aligned
        ([], [I64] * 7 + [I128, F64, I8], "str xzr, [x0]; str x0, [x0, #8]; str x30, [x0, #16]; ret", (),
         (None,) * 7 + (layout.STACK_TOP << 64, None, layout.RETURN & 0xFF)),
    ],
)  # fmt: skip
def test_results_that_fit_in_no_register(
    engine: Emulator, params: list[Type], returns: list[Type], text: str, values: tuple[int, ...],
    expected: tuple[int | None, ...],
) -> None:  # fmt: skip
    engine.load(words(text), signature(params, returns))
    made = engine.run(values, b"")
    assert made.frame == ()
    for got, wanted in zip(made.values, expected, strict=True):
        assert wanted is None or got == wanted


def test_the_area_of_results_is_all_that_is_lent(engine: Emulator) -> None:
    engine.load(words("str xzr, [x0, #16]; ret"), signature([], [I64] * 9))
    assert [what for what, _, _ in engine.run((), b"").frame] == ["caller's frame at sp+16"]


def test_an_extended_result_in_the_area_is_looked_at(engine: Emulator) -> None:
    returns = (*[AbiParam(I64)] * 8, AbiParam(I8, "sext"))
    engine.load(words("mov w1, #0x80; str x1, [x0]; ret"), Signature((), returns))
    assert engine.run((), b"").frame == (("register of result 8, i8 sext", (1 << 64) - 0x80, 0x80),)


@pytest.mark.parametrize(
    ("count", "text", "broken"),
    [
        (8, "ret", []),
        (9, "ret", ["sp"]),
        (9, "add sp, sp, #16; ret", []),
        (10, "add sp, sp, #16; ret", []),
        (11, "add sp, sp, #16; ret", ["sp"]),
        # all of it is the callee's, the padding too
        (9, "str xzr, [sp, #8]; add sp, sp, #16; ret", []),
        (9, "str xzr, [sp, #16]; add sp, sp, #16; ret", ["caller's frame at sp+16"]),
    ],
)
def test_a_function_that_pops_its_arguments(
    engine: Emulator, count: int, text: str, broken: list[str]
) -> None:
    engine.load(words(text), Signature((AbiParam(I64),) * count, (), "tail"))
    assert [what for what, _, _ in engine.run((0,) * count, b"").frame] == broken


def test_what_can_not_be_passed_is_said(engine: Emulator) -> None:
    for returns in ([F128], [F32X4]):
        with pytest.raises(ExecutorLimit):
            engine.load(b"", signature([], returns))
    with pytest.raises(ExecutorLimit):
        engine.load(b"", signature([type_named("f16")], []))


def test_the_pointer_to_results_has_its_own_register(engine: Emulator) -> None:
    params = (AbiParam(I64), AbiParam(I64, "", "sret"), AbiParam(I64))
    engine.load(words("sub x0, x8, x1; ret"), Signature(params, (AbiParam(I64),)))
    assert engine.run((1, 20, 3), b"").values == (17,)
