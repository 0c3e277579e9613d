# ruff: noqa: E501  # a table: one row a line
"""Floats on AArch64: every float rule fires, and the code gives what IEEE 754 says, to the bit where it says one.

A row is CLIF and what it means, in :mod:`tests.float_rows`. All rows run on the interesting values of their
types, with the rules as they are and with each group of them switched off that one of the row's rules is in.
"""

from __future__ import annotations

import pytest

from backend.compile import compile_function
from backend.ir.parser import parse_function
from backend.isa import isa_named
from fuzzer.case import DATA_BASE, Input
from fuzzer.targets import target_named
from tests import ieee
from tests.float_rows import ROWS, Meaning, clif, inputs_for
from tests.float_runs import judge, run

ISA = isa_named("aarch64")


def run_text(
    text: str, inputs: list[Input], memory: bytes = b"", **options: int | str
) -> list[tuple[object, bytes]]:
    return run(parse_function(text), "aarch64", inputs, memory, **options)


def memory_rows() -> list[tuple[str, str, int]]:
    """Loads and stores in every addressing mode: name, address (v2), what is added to the offset in all."""
    return [
        ("plain", "v2 = bor v0, v0; ", 0),
        ("scaled", "v3 = iadd v0, v0; v2 = isub v3, v0; ", 8),
        ("unscaled", "v2 = bor v0, v0; ", -3),
        ("far", "v2 = bor v0, v0; ", 0x3008),
        ("any", "v2 = bor v0, v0; ", -70000),
        ("folded", "v3 = iconst.i64 16; v2 = iadd v0, v3; ", 8),
        ("folded_unscaled", "v3 = iconst.i64 -9; v2 = iadd v0, v3; ", 2),
    ]


@pytest.mark.parametrize(("name", "text", "meaning"), ROWS, ids=[name for name, *_ in ROWS])
def test_floats_are_ieee(name: str, text: str, meaning: Meaning) -> None:
    inputs = inputs_for(text, name)
    judge(text, "aarch64", meaning, inputs)
    hits = compile_function(parse_function(text)).rule_hits
    for group in sorted({ISA.rules[number].group for number in hits} - {""}):
        judge(text, "aarch64", meaning, inputs[:40], disabled_rules=group)


@pytest.mark.parametrize("w", [32, 64])
@pytest.mark.parametrize(
    ("name", "address", "offset"), memory_rows(), ids=[name for name, *_ in memory_rows()]
)
def test_memory(w: int, name: str, address: str, offset: int) -> None:
    size, at = w // 8, DATA_BASE + 256
    memory = bytes((n * 37 + 11) & 0xFF for n in range(1024))
    shift = {"folded": 16, "folded_unscaled": -9}.get(name, 0)
    place = f"v2{offset:+}"
    base = at - offset - shift
    for flags, order in (("", "little"), ("big ", "big")):
        load = clif(
            "i64", f"v1 = iconst.i64 0; {address}v4 = load.f{w} {flags}{place}; return v4", f"f{w}"
        )
        expected = int.from_bytes(memory[256 : 256 + size], order)  # type: ignore[arg-type]  # one of the two it takes
        edge = DATA_BASE + 1024 - size + 1 - offset - shift
        assert run_text(load, [(base,), (edge,)], memory) == [
            ((expected,), memory),
            ("heap_oob", memory),
        ]
        store = clif(f"i64, f{w}", f"{address}store {flags}v1, {place}; return v1", f"f{w}")
        value = ieee.infinity(w) | 0x1234
        after = memory[:256] + value.to_bytes(size, order) + memory[256 + size :]  # type: ignore[arg-type]  # as above
        assert run_text(store, [(base, value)], memory) == [((value,), after)]


@pytest.mark.parametrize("w", [32, 64])
def test_indexed_memory_and_slots(w: int) -> None:
    memory = bytes((n * 37 + 11) & 0xFF for n in range(1024))
    size, log = w // 8, w // 32 + 1
    for body, index in (
        ("v3 = iadd v0, v1; ", 4),
        (f"v4 = iconst.i64 {log}; v5 = ishl v1, v4; v3 = iadd v0, v5; ", 4 * size),
        ("v4 = ireduce.i32 v1; v5 = uextend.i64 v4; v3 = iadd v0, v5; ", 4),
        (
            f"v6 = iconst.i8 {log}; v4 = ireduce.i32 v1; v5 = sextend.i64 v4; v7 = ishl v5, v6; v3 = iadd v0, v7; ",
            4 * size,
        ),
    ):
        expected = int.from_bytes(memory[64 + index : 64 + index + size], "little")
        text = clif("i64, i64", f"{body}v8 = load.f{w} v3; store v8, v3; return v8", f"f{w}")
        assert run_text(text, [(DATA_BASE + 64, 4)], memory) == [((expected,), memory)]
    text = clif(f"f{w}, f{w}", "stack_store v0, ss0+8; stack_store v1, ss0; "
                f"v2 = stack_load.f{w} ss0+8; v3 = stack_load.f{w} ss0; return v2, v3", f"f{w}, f{w}")  # fmt: skip
    text = text.replace("{\n", "{\n    ss0 = explicit_slot 16\n", 1)
    assert run_text(text, [(1, 2)]) == [((1, 2), b"")]


PASSED = "i64, f32, i128, f64, f32, f64, f32, f64, f32, f64, f32, f64, f32, i128, i8, i128, i64"


@pytest.mark.parametrize("options", [{}, {"registers": 3}, {"registers": 6}, {"homes": "float"}])
def test_arguments_and_results_of_both_classes(options: dict[str, int | str]) -> None:
    types = PASSED.split(", ")
    values = tuple(
        (n * 0x0123456789ABCDEF_1133557799BBDDFF + n) & ((1 << int(t[1:])) - 1)
        for n, t in enumerate(types)
    )
    for chosen in (
        [1, 2, 3, 0],
        [9, 10, 11, 12],
        [13, 12, 15, 8],
        [16, 14, 2, 11],
        [7, 6, 5, 4, 3, 1, 10, 12],
    ):
        returns = ", ".join(types[n] for n in chosen)
        text = clif(PASSED, "return " + ", ".join(f"v{n}" for n in chosen), returns)
        assert run_text(text, [values], **options) == [(tuple(values[n] for n in chosen), b"")]


@pytest.mark.parametrize("options", [{}, {"registers": 3}, {"registers": 6}, {"homes": "mixed"}])
def test_floats_under_pressure_and_through_blocks(options: dict[str, int | str]) -> None:
    """Twenty-four floats alive at once, around a loop that turns them round; each is a small integer, so sums are exact."""
    count = 24
    lines = [f"v{10 + n} = fcvt_from_sint.f64 v{n % 2}" for n in range(count)]
    lines += [f"v{100 + n} = fadd v{10 + n}, v{10 + (n * 7 + 3) % count}" for n in range(count)]
    params = ", ".join(f"v{200 + n}: f64" for n in range(count))
    lines += [f"jump block1(v1, {', '.join(f'v{100 + n}' for n in range(count))})", f"block1(v2: i32, {params}):",
              "v3 = iconst.i32 1", "v4 = isub v2, v3",
              *(f"v{300 + n} = fmul v{200 + n}, v{200 + (n + 5) % count}" for n in range(0, count, 6)),
              "brif v4, block1(v4, " + ", ".join(f"v{200 + (n + 1) % count}" for n in range(count)) + "), block2",
              "block2:"]  # fmt: skip
    total = "v200"
    for n in range(1, count):
        lines.append(f"v{400 + n} = fadd {total}, v{200 + n}")
        total = f"v{400 + n}"
    lines.append(f"v500 = fsub v200, v{200 + count - 1}")
    lines.append(f"return {total}, v500")
    text = clif("i32, i32", "; ".join(lines), "f64, f64")

    def meaning(x: int, y: int) -> tuple[int, ...]:
        start = [(x, y)[n % 2] for n in range(count)]
        now = [start[n] + start[(n * 7 + 3) % count] for n in range(count)]
        for _ in range(y - 1):
            now = now[1:] + now[:1]
        return tuple(ieee.rounded(ieee.Fraction(n), 64) for n in (sum(now), now[0] - now[-1]))

    judge(text, "aarch64", meaning, [(3, 1), (1000, 2), (5, 7)], **options)


def test_every_float_rule_fires_in_a_row_above() -> None:
    hits: set[int] = set()
    for _, text, _ in ROWS:
        hits |= compile_function(parse_function(text)).rule_hits
    mine = [rule for rule in ISA.rules if any(t[0] == "f" for t in (*rule.types, rule.second or "i"))
            or rule.pattern.roots[0] == "bitcast" or ("const" in rule.pattern.roots[0][1:]
            and rule.pattern.roots[0][0] == "f")]  # fmt: skip
    memory = [rule for rule in mine if {"load", "store"} & {*rule.pattern.roots}]
    assert len(mine) > 60
    assert [rule.name for rule in mine if rule.index not in hits and rule not in memory] == []


def test_the_generator_does_not_draw_what_it_does_not_know() -> None:
    """The target supports floats and i128; what is drawn is bounded by the generator's own types."""
    from fuzzer.generate.cases import CaseGenerator
    from fuzzer.generate.operations import TYPES

    generator = CaseGenerator(target_named("builtin"), "aarch64")
    for seed in range(20):
        assert {*generator.from_seed(seed).function.value_types.values()} <= {*TYPES}
