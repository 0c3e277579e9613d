"""What the run-time library does: traps and limits are the code's own, the rest is called by the names of C."""

from __future__ import annotations

import struct

import pytest

from backend.compile import compile_function
from backend.ir.opcodes import opcode_named
from backend.ir.parser import parse_function
from backend.ir.types import F32, F64
from backend.isa import isa_named
from backend.lower.expand import LIBRARY_HAS, expand
from backend.lower.library import SIGNATURES
from fuzzer.case import Case
from fuzzer.execute.library import LIBRARY
from fuzzer.outcome import Returned, Trapped
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

MASK = (1 << 128) - 1
MIN = 1 << 127
EDGES = (0, 1, 2, 3, (1 << 64) - 1, 1 << 64, MIN - 1, MIN, MIN + 1, MIN | 1 << 64, MASK - 1, MASK)


def outcomes(text: str, inputs: list[tuple[int, ...]]) -> set[str]:
    """That machine and reference agree, by the check; what there was to see: "returned" and trap codes."""
    trial, found = run_trial(
        Case(parse_function(text), inputs), target_named("builtin"), thorough=True
    )
    assert not trial.unsupported
    assert [v.detail for v in found] == []
    return {
        outcome.code if isinstance(outcome, Trapped) else type(outcome).__name__.lower()
        for outcome in trial.outcomes
    }


@pytest.mark.parametrize(
    ("op", "symbol", "seen"),
    [("udiv", "__udivti3", {"int_divz"}), ("urem", "__umodti3", {"int_divz"}),
     ("sdiv", "__divti3", {"int_divz", "int_ovf"}), ("srem", "__modti3", {"int_divz"})],
)  # fmt: skip
def test_division_of_pairs(op: str, symbol: str, seen: set[str]) -> None:
    text = f"function %f(i128, i128) -> i128 {{\nblock0(v0: i128, v1: i128):\nv2 = {op} v0, v1\nreturn v2\n}}"
    assert [r.symbol for r in compile_function(parse_function(text)).relocs] == [symbol]
    assert outcomes(text, [(x, y) for x in EDGES for y in EDGES]) == {"returned", *seen}


@pytest.mark.parametrize(
    ("op", "by", "seen"), [("sdiv_imm", -1, {"int_ovf"}), ("sdiv_imm", 0, {"int_divz"}), ("srem_imm", -1, set()),
                           ("udiv_imm", 10, set()), ("urem_imm", 10, set())],
)  # fmt: skip
def test_division_by_an_immediate(op: str, by: int, seen: set[str]) -> None:
    text = f"function %f(i128) -> i128 {{\nblock0(v0: i128):\nv1 = {op} v0, {by}\nreturn v1\n}}"
    assert outcomes(text, [(x,) for x in EDGES]) == (seen if by == 0 else {"returned", *seen})


def _near(value: float, width: int) -> list[int]:
    """The bits of a float and of its neighbours."""
    packed = struct.pack("<f" if width == 32 else "<d", value)
    bits = int.from_bytes(packed, "little")
    return [bits - 1, bits, bits + 1]


@pytest.mark.parametrize("type_", ["f32", "f64"])
@pytest.mark.parametrize("op", ["fcvt_to_sint", "fcvt_to_uint", "fcvt_to_sint_sat", "fcvt_to_uint_sat"])  # fmt: skip
def test_conversions_at_their_limits(op: str, type_: str) -> None:
    width = int(type_[1:])
    infinity = 0x7F80_0000 if width == 32 else 0x7FF0_0000_0000_0000
    sign = 1 << (width - 1)
    limits = [2.0**127, 2.0**126, 2.0**64, 2.0**63, 1.0, 1.5]
    given = [bits | s for limit in limits for bits in _near(limit, width) for s in (0, sign)]
    given += [0, sign, 1, infinity - 1, infinity, infinity | sign, infinity + 1, infinity * 2 - 1]
    if width == 64:
        given += _near(2.0**128, 64)
    text = (
        f"function %f({type_}) -> i128 {{\nblock0(v0: {type_}):\nv1 = {op}.i128 v0\nreturn v1\n}}"
    )
    trapping = {"bad_toint", "int_ovf"} if op[-4:] != "_sat" else set()
    assert outcomes(text, [(bits,) for bits in given]) == {"returned", *trapping}


@pytest.mark.parametrize("type_", ["f32", "f64"])
@pytest.mark.parametrize("op", ["fcvt_from_sint", "fcvt_from_uint"])
def test_conversions_from_pairs(op: str, type_: str) -> None:
    text = (
        f"function %f(i128) -> {type_} {{\nblock0(v0: i128):\nv1 = {op}.{type_} v0\nreturn v1\n}}"
    )
    ties = [(1 << 100) + (1 << 76), (1 << 100) + (1 << 47), MASK >> 1 << 103 & MASK]
    assert outcomes(text, [(x,) for x in (*EDGES, *ties)]) == {"returned"}


def test_an_isa_without_fma_calls_it_once_declared() -> None:
    text = ("function %f(f32, f64) -> f32, f64 {\nblock0(v0: f32, v1: f64):\nv2 = fma v0, v0, v0\n"
            "v3 = fma v1, v1, v1\nv4 = fma v3, v3, v3\nreturn v2, v4\n}")  # fmt: skip
    function = parse_function(text)
    assert expand(function) is function
    simple = expand(function, LIBRARY_HAS)
    assert [ref.name for ref in simple.functions.values()] == ["fmaf", "fma"]
    assert [inst.op.name for inst in simple.instructions()] == ["call", "call", "call", "return"]


def test_which_isa_lacks_it() -> None:
    fma = opcode_named("fma")
    assert not isa_named("aarch64").lacking
    assert isa_named("x86_64").lacking == {(fma, F32), (fma, F64)}


def test_the_executor_has_every_function_as_it_is_declared() -> None:
    assert {name: LIBRARY[name].signature for name in SIGNATURES} == SIGNATURES


def test_a_value_survives_a_call_of_the_library() -> None:
    text = ("function %f(i128, i128, i64, f64) -> i128, i64, f64 {\n"
            "block0(v0: i128, v1: i128, v2: i64, v3: f64):\n"
            "v4 = udiv v0, v1\nv5 = iadd v2, v2\nv6 = fneg v3\nreturn v4, v5, v6\n}")  # fmt: skip
    case = Case(parse_function(text), [(MASK, 7, 21, 1 << 62)])
    trial, found = run_trial(case, target_named("builtin"), thorough=True)
    assert [v.detail for v in found] == []
    assert trial.outcomes == [Returned((MASK // 7, 42, 3 << 62), b"")]
