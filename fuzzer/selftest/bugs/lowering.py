"""Bugs of lowering: wrong immediates, widths, extensions, signs, conditions, orders, sizes; traps not taken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from backend.isa.aarch64.lower import RULES
from backend.lower.driver import Lowering
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import edited, item, recompiled, rule, together
from fuzzer.selftest.witness import clif


def _unary(op: str, type_: str, *values: str, result: str = "") -> str:
    return clif(type_, result or type_, f"v9 = {op} v0; return v9", *values)


def _binary(op: str, type_: str, *values: str, result: str = "") -> str:
    return clif(f"{type_} {type_}", result or type_, f"v9 = {op} v0, v1; return v9", *values)


def _constant(
    op: str, type_: str, constant: str, *values: str, operands: str = "v0, v1", result: str = ""
) -> str:
    body = f"v1 = iconst.{type_} {constant}; v9 = {op} {operands}; return v9"
    return clif(type_, result or type_, body, *values)


def _memory(body: str, params: str = "", result: str = "", arguments: str = "") -> str:
    """v0 is the address of the data region."""
    return clif(f"i64 {params}", result, body, f"0x20000000{arguments}", memory=4096)


@contextlib.contextmanager
def _substituted(op: str, type_: str, prefix: str) -> Iterator[None]:
    """Another memory instruction of the same scale for an opcode at a type."""
    before = RULES.substitutes[op, type_]
    with item(RULES.substitutes, (op, type_), {**before, "M": prefix}), recompiled():
        yield


BUGS: Final = (
    Bug("immediate-truncated", "lowering", "an immediate operand is cut to 12 bits",
        "result", 4, _constant("iadd", "i32", "0x1000", "1"),
        lambda: rule("iadd_imm", emit=("{k}", "{k & 0xfff}"))),
    Bug("immediate-too-wide", "lowering", "an immediate of 24 bits is thought to fit",
        "crash", 4, _constant("iadd", "i32", "0x1001", "1"),
        lambda: rule("iadd_imm", when="k < 1 << 24")),
    Bug("immediate-odd-lost", "lowering", "a subtracted immediate loses its low bit, and a loop its end",
        "hang", 8,
        clif("", "", "v0 = iconst.i32 2; jump block1(v0); block1(v1: i32):; v2 = iconst.i32 1; v3 = isub v1, v2;"
                     " brif v3, block1(v3), block2; block2:; return"),
        lambda: rule("isub_imm", emit=("{k}", "{k & ~1}"))),
    Bug("constant-truncated", "lowering", "a constant's chunk is moved without its shift",
        "result", 2, clif("", "i32", "v0 = iconst.i32 0x10000; return v0"),
        lambda: rule("const_movz", emit=("{k}", "{k >> 16 if k >> 16 and k >> 32 == 0 else k}"))),
    Bug("compare-narrow-unextended", "lowering", "i8 and i16 are compared with the bits above them",
        "result", 4, _binary("icmp ult", "i8", "1, 2", "2, 1", result="i8"),
        lambda: rule("cmp_narrow", pattern="cmp x, y")),
    Bug("shift-narrow-unextended", "lowering", "i8 and i16 are shifted right with the bits above them",
        "result", 4, _binary("ushr", "i8", "128, 3"),
        lambda: rule("ushr_narrow", pattern="ushr x, y")),
    Bug("shift-narrow-unmasked", "lowering", "the amount of a narrow shift is not taken modulo its width",
        "result", 4, _binary("ishl", "i8", "1, 9"),
        lambda: rule("ishl_narrow", emit="lsl_rr.w d, x, y")),
    Bug("divide-narrow-unextended", "lowering", "i8 and i16 are divided with the bits above them",
        "result", 4, _binary("udiv", "i8", "200, 3"),
        lambda: rule("udiv", pattern="udiv x, y:u")),
    Bug("extension-of-u32-trusted", "lowering", "the upper half of an i32's register is thought to be zero",
        "result", 3, _unary("uextend.i64", "i32", "1", result="i64"),
        lambda: rule("uextend_i32", emit="mov_rr.x d, x")),
    Bug("extension-bit-too-many", "lowering", "an i8 is zero-extended with one bit too many",
        "poison", 2,
        clif("i8 i8 i8 i8", "i32", "v4 = uextend.i32 v1; return v4", "1, 2, 3, 4", "5, 6, 7, 8"),
        lambda: rule("uextend_i8", emit="and_ri.w d, x, {0x1FF}")),
    Bug("condition-bit-too-many", "lowering", "a condition of i8 or i16 tests one bit too many",
        "result", 3,
        clif("i8 i8 i8 i8", "i8 i8 i8 i8",
             "v4 = bmask.i8 v0; v5 = bmask.i8 v1; v6 = bmask.i8 v2; v7 = bmask.i8 v3; return v4, v5, v6, v7",
             "0, 1, 1, 1", "1, 0, 1, 1", "1, 1, 0, 1", "1, 1, 1, 0"),
        lambda: rule("nz_narrow", emit=("{MASK}", "{MASK << 1 | 1}"))),
    Bug("extension-sign-swapped", "lowering", "an i8 is zero-extended where its sign counts",
        "result", 3, _unary("sextend.i32", "i8", "-1", result="i32"),
        lambda: rule("sextend_i8", emit="uxtb d, x")),
    Bug("rotate-narrow-unfilled", "lowering", "an i16 is rotated as if it had 32 bits",
        "result", 4, _binary("rotr", "i16", "1, 3"),
        lambda: rule("rotr_i16", emit="ror_rr.w d, x, y")),
    Bug("rotate-direction", "lowering", "a rotate left goes right",
        "result", 4, _binary("rotl", "i32", "1, 3"),
        lambda: rule("rotl_wide", emit="ror_rr.R d, x, y")),
    Bug("division-overflow-unchecked", "lowering", "MIN / -1 does not trap",
        "trap", 4, _binary("sdiv", "i32", "0x80000000, -1"),
        lambda: rule("sdiv_wide", emit="cbz.R y, !int_divz, {-1}; sdiv_rr.R d, x, y")),
    Bug("division-by-zero-unchecked", "lowering", "x / 0 does not trap",
        "trap", 4, _binary("udiv", "i64", "5, 0"),
        lambda: rule("udiv", emit="udiv_rr.R d, x, y")),
    Bug("division-trap-code", "lowering", "a remainder by zero traps as an overflow",
        "trap", 4, _binary("urem", "i64", "5, 0"),
        lambda: rule("urem", emit=("!int_divz", "!int_ovf"))),
    Bug("dead-trap-dropped", "lowering", "an unused division is dropped with its trap",
        "trap", 4, clif("i32 i32", "", "v2 = udiv v0, v1; return", "1, 0"),
        lambda: edited(Lowering._lower_block, "if not op.side_effects:", "if True:")),
    Bug("signed-remainder-mask", "lowering", "a signed remainder by a power of two is a mask",
        "result", 4, _constant("srem", "i32", "4", "-1"),
        lambda: rule("urem_power", pattern="urem|srem x, #k")),
    Bug("select-swapped", "lowering", "select of a value or zero takes the other one",
        "result", 5,
        clif("i8 i32", "i32", "v2 = iconst.i32 0; v3 = select v0, v1, v2; return v3", "1, 5"),
        lambda: rule("select_or_zero", emit="csel.R d, zr, x, c")),
    Bug("absolute-of-positive", "lowering", "iabs negates what is positive",
        "result", 3, _unary("iabs", "i32", "5"),
        lambda: rule("iabs", emit=("LT", "GT"))),
    Bug("flags-clobbered", "lowering", "the flags of a subtraction are overwritten before its overflow is read",
        "result", 4,
        clif("i32 i32", "i8", "v2, v3 = usub_overflow v0, v1; return v3", "1, 2"),
        lambda: rule("usub_overflow", emit=("cset.w", "cmp_ri.R d, {0}; cset.w"))),
    Bug("minimum-unsigned", "lowering", "smin compares unsigned",
        "result", 4, _binary("smin", "i32", "-1, 1"),
        lambda: rule("smin", emit=("LT", "LO"))),
    Bug("multiply-high-sign", "lowering", "umulhi of i8 and i16 multiplies signed values",
        "result", 4, _binary("umulhi", "i8", "200, 200"),
        lambda: rule("umulhi_narrow", pattern="umulhi x:s, y:s")),
    Bug("leading-zeros-bias", "lowering", "clz of i8 and i16 counts the bits above them",
        "result", 3, _unary("clz", "i8", "1"),
        lambda: rule("clz_narrow", emit="clz.w d, x")),
    Bug("bit-reverse-dropped", "lowering", "an operation is turned into a move",
        "result", 3, _unary("bitrev", "i32", "1"),
        lambda: rule("bitrev", emit="mov_rr.x d, x")),
    Bug("mask-of-one", "lowering", "bmask gives 1 for all ones",
        "result", 3, _unary("bmask.i32", "i32", "5"),
        lambda: rule("bmask", emit=("csetm.R", "cset.R"))),
    Bug("bitselect-swapped", "lowering", "bitselect takes its operands the wrong way round",
        "result", 5,
        clif("i32 i32 i32", "i32", "v3 = bitselect v0, v1, v2; return v3", "1, 3, 4"),
        lambda: rule("bitselect", emit="and_rr.R t, y, c; bic_rr.R t0, x, c; orr_rr.R d, t, t0")),
    Bug("swapped-comparison", "lowering", "a comparison keeps its condition as its operands are exchanged",
        "result", 4, _constant("icmp slt", "i32", "5", "5", "6", "4", operands="v1, v0", result="i8"),
        lambda: together(*(item(RULES.swap, keyword, keyword) for keyword in RULES.swap))),
    Bug("multiply-add-subtracts", "lowering", "an addition of a product is fused into a subtraction",
        "result", 6,
        clif("i32 i32 i32", "i32", "v3 = imul v0, v1; v4 = iadd v2, v3; return v4", "2, 3, 4"),
        lambda: rule("iadd_imul", emit=("madd.R", "msub.R"))),
    Bug("folded-offset-dropped", "lowering", "a load with an index register loses its offset",
        "result", 8,
        _memory("v2 = iadd v0, v1; store v1, v2+8; v3 = iadd v0, v1; v4 = load.i64 v3+8; return v4", "i64", "i64",
                ", 16"),
        lambda: rule("load_indexed", when="")),
    Bug("store-too-wide", "lowering", "istore8 stores two bytes",
        "memory", 4, _memory("istore8 v1, v0; return", "i32", "", ", -1"),
        lambda: _substituted("istore8", "i32", "strh")),
    Bug("store-of-low-zero", "lowering", "a constant whose low byte is zero is stored as zero",
        "memory", 4, _memory("v1 = iconst.i32 0x100; store v1, v0; return"),
        lambda: rule("store_zero", when=("z == 0", "z & 0xff == 0"))),
    Bug("load-sign-lost", "lowering", "sload8 to i64 zero-extends",
        "result", 5, _memory("v1 = iconst.i8 -1; store v1, v0; v2 = sload8.i64 v0; return v2", "", "i64"),
        lambda: _substituted("sload8", "i64", "ldrb")),
    Bug("load-sign-short", "lowering", "sload16 to i64 extends to 32 bits only",
        "result", 5, _memory("v1 = iconst.i16 -1; store v1, v0; v2 = sload16.i64 v0; return v2", "", "i64"),
        lambda: _substituted("sload16", "i64", "ldrsh.w")),
    Bug("trap-record-missing", "lowering", "a load has no trap record",
        "trap", 3, clif("i64", "i32", "v1 = load.i32 v0; return v1", "0x1000"),
        lambda: rule("load", emit=("trap", "{-1}"))),
)  # fmt: skip
