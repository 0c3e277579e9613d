"""Floats on x86-64: every float rule fires, and the code gives what IEEE 754 says, to the bit where it says one."""

from __future__ import annotations

import pytest

from backend.compile import compile_function
from backend.ir.parser import parse_function
from backend.isa import isa_named
from backend.options import Options
from fuzzer.case import DATA_BASE
from tests.float_rows import ROWS, Meaning, clif, inputs_for
from tests.float_runs import judge, run

ISA = isa_named("x86_64")
#: SSE has no fused multiplication and addition
MINE = [row for row in ROWS if " fma_" not in row[0]]


@pytest.mark.parametrize(("name", "text", "meaning"), MINE, ids=[name for name, *_ in MINE])
def test_floats_are_ieee(name: str, text: str, meaning: Meaning) -> None:
    inputs = inputs_for(text, name)
    judge(text, "x86_64", meaning, inputs)
    hits = compile_function(parse_function(text), "x86_64").rule_hits
    for group in sorted({ISA.rules[number].group for number in hits} - {""}):
        judge(text, "x86_64", meaning, inputs[:40], disabled_rules=group)
    judge(text, "x86_64", meaning, inputs[:10], registers=3, homes="mixed")
    if any(f" {op} " in text for op in ("ceil", "floor", "trunc", "nearest")):
        judge(text, "x86_64", meaning, inputs, has_sse41=True)


@pytest.mark.parametrize("w", [32, 64])
@pytest.mark.parametrize("flags", ["", "big "])
@pytest.mark.parametrize(
    ("address", "moved"),
    [
        ("v3 = bor v0, v0", 0),
        ("v4 = iconst.i64 16; v3 = iadd v0, v4", 16),
        ("v3 = iadd v0, v1", 4),
        ("v4 = iconst.i64 3; v5 = ishl v1, v4; v3 = iadd v0, v5", 32),
        ("v4 = iconst.i64 -8; v5 = iadd v0, v1; v3 = iadd v5, v4", -4),
    ],
)
def test_memory(w: int, flags: str, address: str, moved: int) -> None:
    memory = bytes((n * 37 + 11) & 0xFF for n in range(4096))
    at, size = 256 + 8 + moved, w // 8
    access = f"v8 = load.f{w} {flags}v3+8; store {flags}v2, v3+8; return v8"
    text = clif(f"i64, i64, f{w}", f"{address}; {access}", f"f{w}")
    value = 0x7F80_1234 if w == 32 else 0x7FF0_0000_0000_1234
    stored, loaded = value.to_bytes(size, "little"), memory[at : at + size]
    if flags:
        stored, loaded = stored[::-1], loaded[::-1]
    after = memory[:at] + stored + memory[at + size :]
    found = run(parse_function(text), "x86_64", [(DATA_BASE + 256, 4, value)], memory)
    assert found == [((int.from_bytes(loaded, "little"),), after)]


@pytest.mark.parametrize("options", [{}, {"registers": 3}, {"homes": "float"}])
def test_arguments_of_both_classes(options: dict[str, int | str]) -> None:
    types = "i64, f32, i128, f64, f32, f64, f32, f64, f32, f64, f32, f64, f32, i128, i8, i128, i64"
    given = tuple(
        (n * 0x0123456789ABCDEF_1133557799BBDDFF + n) & ((1 << int(t[1:])) - 1)
        for n, t in enumerate(types.split(", "))
    )

    for number, type_ in enumerate(types.split(", ")):
        text = clif(types, f"return v{number}", type_)
        assert run(parse_function(text), "x86_64", [given], **options) == [((given[number],), b"")]
    text = clif(types, "return v12, v0, v11, v16", "f32, i64, f64, i64")
    wanted = tuple(given[n] for n in (12, 0, 11, 16))
    assert run(parse_function(text), "x86_64", [given], **options) == [(wanted, b"")]


def test_every_float_rule_fires_in_a_row_above() -> None:
    hits: set[int] = set()
    for _, text, _ in MINE:
        for given in ({}, {"has_sse41": True}):
            options = Options.from_dict({**given})
            hits |= compile_function(parse_function(text), "x86_64", options).rule_hits
    mine = [rule for rule in ISA.rules if any(t[0] == "f" for t in (*rule.types, rule.second or "i"))
            or rule.pattern.roots[0] == "bitcast" or rule.pattern.roots[0] in ("f32const", "f64const")]  # fmt: skip
    # Operands in memory have a file of their own.
    memory = [
        rule for rule in mine if {"load", "store"} & {*rule.pattern.roots} or rule.group == "fold"
    ]
    assert len(mine) > 60
    assert [rule.name for rule in mine if rule.index not in hits and rule not in memory] == []
