"""Open bits: no operation states a bit that could be otherwise, and what must be known is asked for loudly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ir.opcodes import INT_CC, Opcode, opcode_named, resolve
from backend.ir.parser import parse_function
from backend.ir.types import F16, F32, F64, I8, I16, I32, Type
from backend.ir.verifier import verify
from fuzzer.case import DATA_BASE
from fuzzer.outcome import ExternalCall, Returned, Trapped
from fuzzer.reference.evaluate import prepare
from fuzzer.reference.ieee import FORMATS
from fuzzer.reference.meanings import CONDITIONS, MEANINGS
from fuzzer.reference.memory import Trap
from fuzzer.reference.open_bits import BY_CORNERS, Open, Undetermined, lifted, made, parts
from fuzzer.reference.program import Program

NAN_F32 = (1 << 31) | ((1 << 22) - 1)
"""The open bits of a NaN: its sign, and the payload below the quiet bit."""


def instances(value: object) -> Iterator[int]:
    """Everything that a value may be."""
    bits, mask = parts(value)
    places = [1 << i for i in range(mask.bit_length()) if mask >> i & 1]
    for chosen in product((0, 1), repeat=len(places)):
        yield bits | sum(place for place, one in zip(places, chosen, strict=True) if one)


def open_values(t: Type) -> st.SearchStrategy[object]:
    masks = st.sets(st.integers(0, t.bits - 1), max_size=3).map(lambda s: sum(1 << i for i in s))
    bits = st.integers(0, t.mask)
    if t is F16:
        bits |= st.sampled_from([FORMATS[F16].quiet_nan, FORMATS[F16].infinity, 0x3C00])
    return st.builds(lambda x, mask: made(x & ~mask, mask), bits, masks)


SOUND = sorted(MEANINGS, key=lambda op: op.name)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_whatever_the_open_bits_are_the_result_is_one_of_those(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(SOUND))
    t = next(t for t in (I8, I16, F16) if t in op.over)
    types = [resolve(term, t, data.draw(st.sampled_from([I8, I16]))) for term in op.operands]
    operands = [data.draw(open_values(s)) for s in types if s is not None]
    masks = tuple(s.mask for term in op.results if (s := resolve(term, t)) is not None)
    check(op, t, operands, masks, lifted(op, MEANINGS[op], masks))


def attempt(run: Callable[[], Any]) -> tuple[Any, ...] | str:
    """The results, the code of a trap, or that it can't be told."""
    try:
        result = run()
    except Trap as trap:
        return trap.code
    except Undetermined:
        return "undetermined"
    return result if isinstance(result, tuple) else (result,)


def check(
    op: Opcode, t: Type, operands: list[object], masks: tuple[int, ...], lift: Callable[..., Any]
) -> None:
    seen = [
        attempt(lambda chosen=chosen: MEANINGS[op](t, *chosen))
        for chosen in product(*map(instances, operands))
    ]
    said = attempt(lambda: lift(t, *operands))
    if isinstance(said, str):
        may_trap = any(isinstance(result, str) for result in seen)
        assert set(seen) == {said} or (said == "undetermined" and (may_trap or op.traps))
        return
    for number, part in enumerate(said):
        bits, mask = parts(part)
        assert bits & mask == 0
        assert mask & ~masks[number] == 0
        differ = 0
        for values in seen:
            assert not isinstance(values, str), "it may trap"
            value, own_mask = parts(values[number])
            assert (value ^ bits) & ~mask == 0
            assert own_mask & ~mask == 0
            differ |= value ^ bits
        if op.name in BY_CORNERS and "sh" not in op.name:
            assert mask == differ, "bit by bit it is exact"


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(INT_CC), open_values(I8), open_values(I8))
def test_compares_are_sound(condition: str, x: object, y: object) -> None:
    meaning = CONDITIONS["icmp"][condition]
    lift = lifted(opcode_named("icmp"), meaning, (I8.mask,))
    outcomes = {meaning(I8, a, b) for a, b in product(instances(x), instances(y))}
    bits, mask = parts(lift(I8, x, y))
    assert mask == I8.mask or outcomes == {bits}


@pytest.mark.parametrize("condition", ["ugt", "sgt", "ne", "uge"])
def test_a_compare_that_comes_out_alike_is_known(condition: str) -> None:
    lift = lifted(opcode_named("icmp"), CONDITIONS["icmp"][condition], (I8.mask,))
    assert lift(I32, made(0x7FC0_0000, 0x3F_FFFF), 0x7F80_0000) == 1


def test_an_open_value_has_no_arithmetic() -> None:
    value = Open(0, 1)
    for use in (
        lambda: value + 1, lambda: 1 << value, lambda: value == 0, lambda: value < 1, lambda: -value,
        lambda: int(value), lambda: value.bit_length(), lambda: [0][value], lambda: {value: 1},
        lambda: bool(value), lambda: f"{value:08b}", lambda: 3 & value, lambda: abs(value),
    ):  # fmt: skip
        with pytest.raises(Undetermined):
            use()  # type: ignore[no-untyped-call]  # each is refused
    assert bool(Open(2, 1))
    assert repr(value) == "Open(0x0, 0x1)"
    assert isinstance(made(5, 0), int)


def program(text: str, **options: bool) -> Program:
    function = parse_function(text)
    verify(function)
    return prepare(function, **options)


def test_a_nan_of_arithmetic_is_open_in_sign_and_payload() -> None:
    run = program(
        "function %f(f32, f32) -> f32 {\nblock0(v0: f32, v1: f32):\n v2 = fdiv v0, v1\n return v2\n}"
    ).run
    outcome = run((0, 0))
    assert isinstance(outcome, Returned)
    assert (outcome.values, outcome.open_values) == ((0x7FC0_0000,), (NAN_F32,))
    for bits in (0x7FC0_0000, 0xFFC0_0000, 0x7FC1_2345):
        assert outcome.accepts((bits,), b"")
    for bits in (0x7F80_0000, 0x7F80_0001, 0x3F80_0000):
        assert not outcome.accepts((bits,), b"")
    assert run((0x3F80_0000, 0x3F80_0000)) == Returned((0x3F80_0000,), b"")


def test_an_input_nan_is_not_open() -> None:
    run = program(
        "function %f(f32) -> f32, f32 {\nblock0(v0: f32):\n v1 = fneg v0\n return v0, v1\n}"
    ).run
    assert run((0x7F80_0001,)) == Returned((0x7F80_0001, 0xFF80_0001), b"")


MADE = "v9 = f32const 0.0\n v2 = fdiv v9, v9\n"


@pytest.mark.parametrize(
    "line",
    [
        "v3 = bitcast.i32 v2\n v4 = iconst.i32 1\n v5 = band v3, v4\n brif v5, block1, block1",
        "v3 = bitcast.i32 v2\n v4 = iconst.i32 1\n v5 = band v3, v4\n br_table v5, block1, [block1]",
        "v3 = bitcast.i32 v2\n v4 = uextend.i64 v3\n v5 = load.i8 v4\n jump block1",
        "v3 = bitcast.i32 v2\n v4 = udiv v3, v3\n jump block1",
        "v3 = bitcast.i32 v2\n v4 = iconst.i32 1\n v5 = band v3, v4\n trapz v5, user1\n jump block1",
        "v3 = bitcast.i32 v2\n v4 = iconst.i32 1\n v5 = uadd_overflow_trap v3, v4, user1\n jump block1",
        "v3 = f32const 0x1.0\n v4 = fcopysign v3, v2\n v5 = fcvt_to_sint.i32 v4\n jump block1",
    ],
)  # fmt: skip
def test_what_has_to_know_them_ends_the_run(line: str) -> None:
    run = program(f"function %f() {{\nblock0:\n {MADE} {line}\nblock1:\n return\n}}").run
    with pytest.raises(Undetermined):
        run(())


@pytest.mark.parametrize(
    ("lines", "bits", "mask"),
    [
        ("v3 = bitcast.i32 v2", 0x7FC0_0000, NAN_F32),
        ("v4 = fabs v2\n v3 = bitcast.i32 v4", 0x7FC0_0000, NAN_F32 ^ 1 << 31),
        ("v5 = f32const -0x1.0\n v4 = fcopysign v2, v5\n v3 = bitcast.i32 v4", 0xFFC0_0000, NAN_F32 ^ 1 << 31),
        ("v4 = bitcast.i32 v2\n v5 = iconst.i8 16\n v3 = ushr v4, v5", 0x7FC0, 0x803F),
        ("v4 = bitcast.i32 v2\n v3 = iadd v4, v4", 0, I32.mask),
        ("v4 = f32const 0x1.0\n v5 = fadd v2, v4\n v3 = bitcast.i32 v5", 0x7FC0_0000, NAN_F32),
        ("v4 = f32const 0x1.0\n v5 = fcopysign v4, v2\n v3 = bitcast.i32 v5", 0x3F80_0000, 1 << 31),
        ("v4 = f32const 0x1.0\n v5 = fcopysign v4, v2\n v6 = fadd v5, v4\n v3 = bitcast.i32 v6", 0, I32.mask),
        ("v3 = fcvt_to_sint_sat.i32 v2", 0, 0),
    ],
)  # fmt: skip
def test_what_is_known_of_a_result(lines: str, bits: int, mask: int) -> None:
    outcome = program(f"function %f() -> i32 {{\nblock0:\n {MADE} {lines}\n return v3\n}}").run(())
    assert isinstance(outcome, Returned)
    assert outcome.values == (bits,)
    assert outcome.open_values == ((mask,) if mask else ())


def test_open_bits_go_through_memory_byte_by_byte() -> None:
    text = f"""function %f(i64) -> i8, i8, i16 {{
block0(v0: i64):
    {MADE}
    store little v2, v0
    v3 = iconst.i8 7
    store v3, v0+1
    v4 = load.i8 v0
    v5 = load.i8 v0+1
    v6 = load.i16 little v0+2
    return v4, v5, v6
}}"""
    outcome = program(text).run((DATA_BASE,), bytes(6))
    assert isinstance(outcome, Returned)
    assert outcome.values == (0, 7, 0x7FC0)
    assert outcome.open_values == (0xFF, 0, 0x803F)
    assert outcome.memory == bytes([0, 7, 0xC0, 0x7F, 0, 0])
    assert outcome.open_memory == bytes([0xFF, 0, 0x3F, 0x80, 0, 0])
    assert outcome.accepts((1, 7, 0xFFC1), bytes([9, 7, 0xC1, 0xFF, 0, 0]))
    assert not outcome.accepts((1, 7, 0xFFC1), bytes([9, 8, 0xC1, 0xFF, 0, 0]))


def test_a_trap_says_what_memory_is_open() -> None:
    text = f"function %f(i64) {{\nblock0(v0: i64):\n {MADE} store little v2, v0\n trap user1\n}}"
    outcome = program(text).run((DATA_BASE,), bytes(4))
    assert isinstance(outcome, Trapped)
    assert outcome.open_memory == NAN_F32.to_bytes(4, "little")


def test_an_external_function_sees_them() -> None:
    text = f"function %f() {{\n fn0 = %g(f32, i8)\nblock0:\n {MADE} v3 = iconst.i8 4\n call fn0(v2, v3)\n return\n}}"
    outcome = program(text).run(())
    assert isinstance(outcome, Returned)
    assert outcome.calls == (ExternalCall("%g", (0x7FC0_0000, 4), (NAN_F32, 0)),)
    assert outcome.calls[0].accepts("%g", (0xFFC0_0001, 4))
    assert not outcome.calls[0].accepts("%g", (0xFFC0_0001, 5))


def test_canonical_nans_are_known() -> None:
    text = f"function %f() -> f32, i32 {{\nblock0:\n {MADE} v3 = bitcast.i32 v2\n return v2, v3\n}}"
    assert program(text, canonical_nans=True).run(()) == Returned((0x7FC0_0000, 0x7FC0_0000), b"")


@pytest.mark.parametrize("t", [F16, F32, F64], ids=str)
def test_an_atomic_update_of_open_bytes_is_refused(t: Type) -> None:
    i = {F16: "i16", F32: "i32", F64: "i64"}[t]
    text = (f"function %f(i64, {t}) -> {i} {{\nblock0(v0: i64, v1: {t}):\n v2 = fsub v1, v1\n store v2, v0\n"
            f" v3 = bitcast.{i} v1\n v4 = atomic_rmw.{i} add v0, v3\n return v4\n}}")  # fmt: skip
    with pytest.raises(Undetermined):
        program(text).run((DATA_BASE, FORMATS[t].infinity), bytes(8))


def test_a_global_value_of_open_bytes_is_refused() -> None:
    text = """function %f(i64 vmctx, f64) -> i64 {
    gv0 = vmctx
    gv1 = load.i64 notrap gv0
block0(v0: i64, v1: f64):
    v2 = fsub v1, v1
    store v2, v0
    v3 = global_value.i64 gv1
    return v3
}"""
    run = program(text).run
    assert run((DATA_BASE, 0), bytes(8)) == Returned((0,), bytes(8))
    with pytest.raises(Undetermined):
        run((DATA_BASE, FORMATS[F64].infinity), bytes(8))
