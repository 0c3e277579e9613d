"""i128 on the machines is what the interpreter says it is: every operation, amounts and conditions of any type, pairs
passed through blocks, slots and memory, under pressure, with and without fusion."""

from __future__ import annotations

import random

import pytest

from backend.compile import compile_function
from backend.ir.opcodes import INT_CC
from backend.ir.parser import parse_function
from backend.ir.verifier import verify
from backend.isa import ISA_NAMES, isa_named
from backend.lower.pairs import PAIRS
from fuzzer.case import DATA_BASE, Case
from fuzzer.targets import target_named
from fuzzer.trial import run_trial
from tests.few_results import returnable

MASK = (1 << 128) - 1
VALUES = [0, 1, 2, MASK, MASK - 1, 1 << 127, (1 << 127) - 1, 1 << 64, (1 << 64) - 1, 1 << 63, (1 << 64) + 1,
          (1 << 127) + (1 << 64), 0x0123456789ABCDEF_FEDCBA9876543210,
          0xFFFFFFFF_00000000_FFFFFFFF_80000000]  # fmt: skip
AMOUNTS = [0, 1, 63, 64, 65, 127, 128, 191, 192, 255]
EDGE = {8: 0x80, 16: 0x8000, 32: 0x8000_0000, 64: 1 << 63, 128: 1 << 127}

BINARY = ("iadd", "isub", "imul", "band", "bor", "bxor", "smin", "umin", "smax", "umax")
UNARY = ("ineg", "iabs", "bnot", "clz", "ctz", "cls", "popcnt", "bitrev", "bswap")
SHIFTS = ("ishl", "ushr", "sshr", "rotl", "rotr")
FLAGGED = tuple(f"{s}{op}_overflow" for s in "us" for op in ("add", "sub"))


def check(
    text: str, inputs: list[tuple[int, ...]], memory: bytes = b"", **options: int | str
) -> None:
    function = parse_function(text)
    verify(function)
    for isa in ISA_NAMES:
        for one in returnable(function, isa_named(isa)):
            case = Case(one, inputs, memory=memory, options=dict(options), isa=isa)
            trial, violations = run_trial(case, target_named("builtin"), thorough=True)
            assert not violations, (isa, [v.detail for v in violations])
            assert not trial.unsupported


def pairs() -> list[tuple[int, ...]]:
    pick = random.Random(1)
    every = [(x, y) for x in VALUES for y in VALUES]
    return [*pick.sample(every, 60), *((x, x) for x in VALUES)]


def returning(params: str, body: str, returns: str) -> str:
    named = ", ".join(f"v{n}: {type_}" for n, type_ in enumerate(params.split(", ")))
    return (
        f"function %f({params}) -> {returns} {{\nblock0({named}):\n"
        + body.replace("; ", "\n")
        + "\n}"
    )


@pytest.mark.parametrize("op", BINARY)
def test_binary(op: str) -> None:
    check(returning("i128, i128", f"v2 = {op} v0, v1; return v2", "i128"), pairs())


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str) -> None:
    check(returning("i128", f"v1 = {op} v0; return v1", "i128"), [(x,) for x in VALUES])


@pytest.mark.parametrize("op", FLAGGED)
def test_overflow(op: str) -> None:
    check(returning("i128, i128", f"v2, v3 = {op} v0, v1; return v2, v3", "i128, i8"), pairs())
    carried = op + ("_cin" if "add" in op else "_bin")
    check(returning("i128, i128, i8", f"v3, v4 = {carried} v0, v1, v2; return v3, v4", "i128, i8"),
          [(*pair, carry) for pair in pairs() for carry in (0, 1, 2)])  # fmt: skip


@pytest.mark.parametrize("amount", ["i8", "i16", "i64", "i128"])
@pytest.mark.parametrize("op", SHIFTS)
def test_shifts_by_any_amount(op: str, amount: str) -> None:
    wide = EDGE[int(amount[1:])]
    amounts = [*AMOUNTS, wide, wide | 65]
    check(returning(f"i128, {amount}", f"v2 = {op} v0, v1; return v2", "i128"),
          [(x, n) for x in VALUES for n in amounts])  # fmt: skip


@pytest.mark.parametrize("type_", ["i8", "i16", "i32", "i64"])
def test_an_i128_as_amount_of_a_narrower_shift(type_: str) -> None:
    for op in SHIFTS:
        check(returning(f"{type_}, i128", f"v2 = {op} v0, v1; return v2", type_),
              [(EDGE[int(type_[1:])] | 5, n) for n in (*AMOUNTS, MASK - 2, 1 << 127)])  # fmt: skip


@pytest.mark.parametrize("fusion", ["", "fusion"])
@pytest.mark.parametrize("cc", INT_CC)
def test_comparisons_as_values_selects_and_branches(cc: str, fusion: str) -> None:
    text = f"""function %f(i128, i128) -> i8, i32, i128 {{
    block0(v0: i128, v1: i128):
        v2 = icmp {cc} v0, v1
        v3 = iconst.i32 7
        v4 = iconst.i32 9
        v5 = icmp {cc} v0, v1
        v6 = select v5, v3, v4
        v7 = icmp {cc} v0, v1
        brif v7, block1(v0), block1(v1)
    block1(v8: i128):
        return v2, v6, v8
    }}"""
    check(text, pairs(), disabled_rules=fusion)


def test_an_i128_as_condition() -> None:
    inputs = [(c, 3, 5 << 64 | 4) for c in VALUES]
    check(returning("i128, i128, i128", "v3 = select v0, v1, v2; v4 = bmask.i128 v0; v5 = bmask.i16 v0;"
                    " v6 = select_spectre_guard v0, v1, v2; return v3, v4, v5", "i128, i128, i16"), inputs)  # fmt: skip
    check(returning("i32, i128", "v2 = bmask.i128 v0; v3 = select v0, v1, v2; return v2, v3", "i128, i128"),
          [(c, 1 << 127 | 1) for c in (0, 1, 1 << 31)])  # fmt: skip
    check("function %f(i128) -> i8 {\nblock0(v0: i128):\nbrif v0, block1, block2\n"
          "block1:\ntrapnz v0, user1\nv1 = iconst.i8 1\nreturn v1\n"
          "block2:\ntrapz v0, user2\nv2 = iconst.i8 1\nreturn v2\n}",
          [(c,) for c in VALUES])  # fmt: skip
    for trap in ("trapz", "trapnz"):
        check(returning("i128", f"{trap} v0, user3; return v0", "i128"), [(c,) for c in VALUES])


def test_bitselect() -> None:
    check(returning("i128, i128, i128", "v3 = bitselect v0, v1, v2; return v3", "i128"),
          [(*pair, c) for pair in pairs()[:20] for c in VALUES[:4]])  # fmt: skip


@pytest.mark.parametrize("type_", ["i8", "i16", "i32", "i64"])
def test_widths(type_: str) -> None:
    edge = EDGE[int(type_[1:])]
    check(returning(type_, "v1 = uextend.i128 v0; v2 = sextend.i128 v0; return v1, v2", "i128, i128"),
          [(n,) for n in (0, 1, edge, edge - 1, 2 * edge - 1)])  # fmt: skip
    check(returning("i128", f"v1 = ireduce.{type_} v0; return v1", type_), [(x,) for x in VALUES])
    check(returning("i64, i64", "v2 = iconcat v0, v1; v3 = bnot v2; v4, v5 = isplit v3; return v4, v5", "i64, i64"),
          [(1, 2), (1 << 63, (1 << 64) - 1)])  # fmt: skip


@pytest.mark.parametrize("flags", ["", "big "])
@pytest.mark.parametrize("offset", ["", "+24", "-8", "+4096"])
def test_memory(flags: str, offset: str) -> None:
    memory = bytes((37 * n + 1) & 0xFF for n in range(5120))[:4096]
    text = returning(
        "i64, i128",
        f"v2 = load.i128 {flags}v0{offset}; store {flags}v1, v0{offset}; return v2",
        "i128",
    )
    check(
        text,
        [(DATA_BASE + at, VALUES[12]) for at in (0, 3, 64, 4096 - 16, 4096 - 15, 4096)],
        memory,
    )


def test_slots() -> None:
    check("""function %f(i128, i128) -> i128, i128 {
        ss0 = explicit_slot 32
        ss1 = explicit_slot 16, align = 16
    block0(v0: i128, v1: i128):
        stack_store v0, ss0+16
        stack_store v1, ss1
        v2 = stack_load.i128 ss1
        v3 = stack_load.i128 ss0+16
        return v2, v3
    }""", pairs()[:10])  # fmt: skip


@pytest.mark.parametrize("op", ["iadd_imm", "imul_imm", "irsub_imm", "band_imm", "bor_imm", "bxor_imm",
                                *(f"{op}_imm" for op in SHIFTS)])  # fmt: skip
def test_immediates(op: str) -> None:
    for imm in (0, 1, -1, 65, 1 << 62):
        check(returning("i128", f"v1 = {op} v0, {imm}; return v1", "i128"), [(x,) for x in VALUES])
    check(returning("i128", "v1 = icmp_imm slt v0, -1; return v1", "i8"), [(x,) for x in VALUES])


def test_pairs_are_arguments_as_the_standard_says() -> None:
    params = "i8, i128, i64, i128, i64, i128, i64, i32, i128"
    check(returning(params, "v9 = isub v1, v3; v10 = isub v5, v8; return v2, v9, v4, v10", "i64, i128, i64, i128"),
          [(1, VALUES[12], 3, VALUES[13], 5, VALUES[11], 7, 8, VALUES[10])])  # fmt: skip
    check(returning("i64, i64, i64, i64, i64, i64, i64, i128, i64", "return v7, v8, v6", "i128, i64, i64"),
          [(0, 1, 2, 3, 4, 5, 6, VALUES[12], 8)])  # fmt: skip
    # System V: the pair does not fit, what it leaves goes to the next integer; one more on the stack makes a gap.
    check(returning("i64, i64, i64, i64, i64, i128, i64, i8, i128, i64", "return v5, v6, v7, v8, v9",
                    "i128, i64, i8, i128, i64"),
          [(0, 1, 2, 3, 4, VALUES[12], 6, 7, VALUES[13], 9)])  # fmt: skip


@pytest.mark.parametrize(
    "options", [{}, {"registers": 6}, {"homes": "float"}, {"homes": "mixed", "registers": 10}]
)
def test_pairs_under_pressure_and_around_a_loop(options: dict[str, int | str]) -> None:
    text = """function %f(i128, i128, i128, i8) -> i128, i128, i128, i128 {
    block0(v0: i128, v1: i128, v2: i128, v3: i8):
        v4 = iadd v0, v1
        v5 = isub v1, v2
        v6 = bxor v2, v0
        jump block1(v4, v5, v6, v3)
    block1(v10: i128, v11: i128, v12: i128, v13: i8):
        v14 = iadd v10, v11
        v15 = imul v11, v12
        v16 = rotl v12, v13
        v17 = iconst.i8 1
        v18 = isub v13, v17
        brif v18, block1(v15, v16, v14, v18), block2(v16, v10, v15)
    block2(v20: i128, v21: i128, v22: i128):
        v23 = bor v20, v0
        return v20, v21, v22, v23
    }"""
    check(
        text, [(*pair, VALUES[12], trips) for pair in pairs()[:8] for trips in (1, 2, 5)], **options
    )


def test_every_expansion_of_pairs_is_tried_here() -> None:
    tried = {*BINARY, *UNARY, *SHIFTS, "bitselect", "uextend", "sextend", "load", "store", "icmp_imm",
             *(f"{op}_imm" for op in ("iadd", "imul", "irsub", "band", "bor", "bxor", *SHIFTS))}  # fmt: skip
    assert set(PAIRS) <= tried


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("v2 = band v0, v1; return v2", 2),
        ("v2 = iadd v0, v1; return v2", 2),
        ("v2 = bnot v0; v3 = bxor v2, v1; return v3", 4),
    ],
)
def test_halves_are_joined_and_split_for_nothing(body: str, words: int) -> None:
    """The moves that ``isplit`` and ``iconcat`` are leave no trace in straight code."""
    function = parse_function(returning("i128, i128", body, "i128"))
    assert len(compile_function(function).code) // 4 - 4 == words  # besides prologue and epilogue
    asm = compile_function(function, "x86_64").stages["asm"]().splitlines()
    # Two operands an instruction, results where no argument is: a move for each half besides.
    assert len(asm) - 4 == words + 2
