"""Every expansion means what the opcode means, by the interpreter and by the machine."""

from __future__ import annotations

import pytest

from backend.errors import Unsupported
from backend.ir.opcodes import opcode_named
from backend.ir.parser import parse_function
from backend.ir.types import F16, F32, F64, I8, I32, I64, I128
from backend.ir.verifier import verify
from backend.isa import ISA_NAMES, isa_named
from backend.lower.expand import ALWAYS, expand
from fuzzer.case import DATA_BASE, Case
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

INTS = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x8000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    1 << 63,
    (1 << 64) - 1,
]
IMMEDIATES = {"udiv": 7, "sdiv": -3, "urem": 10, "srem": -7, "icmp": 5}


def source(name: str, type_: str) -> str:
    bits = int(type_[1:])
    one, two = f"block0(v0: {type_}):", f"block0(v0: {type_}, v1: {type_}):"
    half, double = f"i{bits // 2}", f"i{bits * 2}"
    if name == "icmp_imm":
        return f"function %f({type_}) -> i8 {{\n{one}\nv1 = icmp_imm sge v0, -2\nreturn v1\n}}"
    if name.endswith("_imm"):
        k = IMMEDIATES.get(name[:-4], -5 if name[0] in "iab" else 3)
        if name[0] in "bu":
            k = abs(k)
        return f"function %f({type_}) -> {type_} {{\n{one}\nv1 = {name} v0, {k}\nreturn v1\n}}"
    if name.endswith("_not"):
        returns, body = type_, f"v2 = {name} v0, v1\nreturn v2"
    elif name == "iconcat":
        returns, body = double, "v2 = iconcat v0, v1\nreturn v2"
    elif name == "isplit":
        body = "v1, v2 = isplit v0\nreturn v1, v2"
        return f"function %f({type_}) -> {half}, {half} {{\n{one}\n{body}\n}}"
    elif name.startswith("stack_"):
        return (f"function %f({type_}) -> {type_} {{\nss0 = explicit_slot 24\n{one}\n"
                f"stack_store v0, ss0+8\nv1 = stack_load.{type_} ss0+8\nreturn v1\n}}")  # fmt: skip
    else:
        return (f"function %f({type_}, {type_}, i8) -> {type_}, i8 {{\n{two[:-2]}, v2: i8):\n"
                f"v3, v4 = {name} v0, v1, v2\nreturn v3, v4\n}}")  # fmt: skip
    return f"function %f({type_}, {type_}) -> {returns} {{\n{two}\n{body}\n}}"


def check(text: str, memory: bytes = b"", inputs: list[tuple[int, ...]] | None = None) -> None:
    function = parse_function(text)
    verify(expand(function))
    masks = [param.type.mask for param in function.signature.params]
    given = inputs or [tuple(INTS[(i + 5 * n) % len(INTS)] & mask for n, mask in enumerate(masks))
                       for i in range(len(INTS))]  # fmt: skip
    trial, violations = run_trial(Case(function, given, memory=memory), target_named("builtin"))
    assert not trial.unsupported
    assert not violations, [v.detail for v in violations]


TYPES = {"iconcat": ("i8", "i16", "i32"), "isplit": ("i16", "i32", "i64")}


@pytest.mark.parametrize(
    ("name", "type_"),
    [(op.name, t) for op in ALWAYS for t in TYPES.get(op.name, ("i8", "i16", "i32", "i64"))],
)
def test_an_expansion_means_the_same(name: str, type_: str) -> None:
    check(source(name, type_))


@pytest.mark.parametrize("name", ["load.i8", "load.i16", "load.i32", "load.i64",
                                  "uload8.i32", "uload16.i32", "uload32.i64",
                                  "sload8.i64", "sload16.i64", "sload16.i32", "sload32.i64"])  # fmt: skip
def test_big_endian_loads(name: str) -> None:
    type_ = name.partition(".")[2]
    check(f"function %f(i64) -> {type_} {{\nblock0(v0: i64):\nv1 = {name} big v0+3\nreturn v1\n}}",
          bytes((200 + 7 * n) & 0xFF for n in range(1024)),
          [(DATA_BASE,), (DATA_BASE + 1,), (DATA_BASE + 1020,)])  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "store.i8",
        "store.i16",
        "store.i32",
        "store.i64",
        "istore8.i32",
        "istore16.i64",
        "istore32.i64",
    ],
)
def test_big_endian_stores(name: str) -> None:
    op, _, type_ = name.partition(".")
    check(f"function %f(i64, {type_}) {{\nblock0(v0: i64, v1: {type_}):\n{op} big v1, v0+3\nreturn\n}}",
          bytes(1024), [(DATA_BASE, 0x0123_4567_89AB_CDEF & ((1 << int(type_[1:])) - 1))])  # fmt: skip


@pytest.mark.parametrize("isa", ISA_NAMES)
def test_the_upper_half_of_an_i128_may_lie_beyond_the_largest_offset(isa: str) -> None:
    function = parse_function(
        """function %f(i64, i128) -> i128 {
block0(v0: i64, v1: i128):
    v2 = iconst.i64 0x7fff_fff8
    v3 = isub v0, v2
    store v1, v3+0x7fff_fff8
    v4 = load.i128 v3+0x7fff_fff8
    return v4
}"""
    )
    case = Case(function, [(DATA_BASE, (7 << 64) + 5)], isa=isa, memory=bytes(4096))
    _, found = run_trial(case, target_named("builtin"), thorough=True)
    assert found == []


def test_a_function_without_such_opcodes_is_not_copied() -> None:
    function = parse_function("function %f() {\nblock0:\nreturn\n}")
    assert expand(function) is function


def test_the_function_given_is_left_alone() -> None:
    function = parse_function(source("iadd_imm", "i32"))
    before = [inst.op.name for inst in function.instructions()]
    assert expand(function) is not function
    assert [inst.op.name for inst in function.instructions()] == before


def test_support_follows_from_rules_and_expansions() -> None:
    isa = isa_named("aarch64")
    assert isa.supports(opcode_named("iadd_imm"), I32)
    assert isa.supports(opcode_named("jump"))
    assert isa.supports(opcode_named("brif"), None, I32)
    assert isa.supports(opcode_named("ishl"), I32, I64)
    assert isa.supports(opcode_named("iconcat"), I32)
    assert isa.supports(opcode_named("iconcat"), I64)
    assert isa.supports(opcode_named("isplit"), I128)
    assert isa.supports(opcode_named("iadd"), I128)
    assert isa.supports(opcode_named("ishl"), I32, I128)
    assert isa.supports(opcode_named("ishl"), I128, I8)
    assert isa.supports(opcode_named("uextend"), I128, I64)
    assert isa.supports(opcode_named("fcvt_to_uint"), I8, F64)
    assert isa.supports(opcode_named("stack_store"), F32)
    assert isa.supports(opcode_named("udiv"), I128)
    assert not isa.supports(opcode_named("umulhi"), I128)
    assert isa.supports(opcode_named("fcvt_from_uint"), F32, I128)
    assert isa.supports(opcode_named("fcvt_to_sint_sat"), I128, F64)
    assert not isa.supports(opcode_named("fcvt_to_sint"), I128, F16)
    assert not isa.supports(opcode_named("fadd"), F16)
    assert not isa.supports(opcode_named("ishl"), F32, I8)
    assert isa.supports(opcode_named("call"))
    assert isa.supports(opcode_named("return_call"))


@pytest.mark.parametrize("text", [
    "function %f(f128) -> f128 {\nblock0(v0: f128):\nreturn v0\n}",
    "function %f(i128, i128) -> i128 {\nblock0(v0: i128, v1: i128):\nv2 = umulhi v0, v1\nreturn v2\n}",
    "function %f(f16) -> i128 {\nblock0(v0: f16):\nv1 = fcvt_to_sint.i128 v0\nreturn v1\n}",
    "function %f(f32x4) {\nblock0(v0: f32x4):\nreturn\n}",
    "function %f() -> i64 {\ngv0 = symbol %g\nblock0:\nv0 = global_value.i64 gv0\nreturn v0\n}",
    "function %f(i64 vmctx) -> i32 {\ngv0 = vmctx\nblock0(v0: i64):\nv1 = global_value.i32 gv0\nreturn v1\n}",
    "function %f() windows_fastcall {\nblock0:\nreturn\n}",
    "function %f() -> i8 {\nfn0 = %g() -> i8 winch\nblock0:\nv0 = call fn0()\nreturn v0\n}",
])  # fmt: skip
def test_what_is_not_lowered_says_so(text: str) -> None:
    from backend.compile import compile_function

    with pytest.raises(Unsupported):
        compile_function(parse_function(text))
