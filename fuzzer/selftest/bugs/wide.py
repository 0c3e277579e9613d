# ruff: noqa: E501  # a table: one row a line
"""Bugs of i128, a pair of registers: carries, halves forgotten or exchanged, amounts of 64 and more, the ABI's pairs."""

from __future__ import annotations

from typing import Final

from backend.isa.aarch64 import abi
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import edited, pair, rule
from fuzzer.selftest.witness import clif


def _unary(op: str, *values: str, type_: str = "i128", result: str = "i128") -> str:
    return clif(type_, result, f"v9 = {op} v0; return v9", *values)


def _binary(op: str, *values: str, second: str = "i128", result: str = "i128") -> str:
    return clif(f"i128 {second}", result, f"v9 = {op} v0, v1; return v9", *values)


_UPPER: Final = "0x10000000000000000"
"""The least number of the upper half."""

BUGS: Final = (
    Bug("wide-carry-dropped", "wide", "an addition's upper half does without the carry",
        "result", 6, _binary("iadd", "0xffffffffffffffff, 1"),
        lambda: rule("iadd_pair", emit=("adc_rr", "add_rr"))),
    Bug("wide-borrow-dropped", "wide", "a subtraction's upper half does without the borrow",
        "result", 6, _binary("isub", f"{_UPPER}, 1"),
        lambda: rule("isub_pair", emit=("sbc_rr", "sub_rr"))),
    Bug("wide-negation-of-halves", "wide", "a negation negates each half by itself",
        "result", 5, _unary("ineg", "1"),
        lambda: rule("ineg_pair", emit=("ngc_rr", "neg_rr"))),
    Bug("wide-lower-half-not-compared", "wide", "an order of i128 is that of the upper halves",
        "result", 6, _binary("icmp ult", "1, 2", result="i8"),
        lambda: rule("cmp_pair_less", emit="cmp_rr.x x', y'; -> CC[cc]")),
    Bug("wide-equal-by-upper-half", "wide", "where the lower halves differ, two i128 are called equal",
        "result", 6, _binary("icmp eq", "1, 2", result="i8"),
        lambda: rule("cmp_pair_equal", emit=("{0}, EQ", "{4}, EQ"))),
    Bug("wide-condition-of-lower-half", "wide", "an i128 is tested for zero by its lower half",
        "result", 6, clif("i128", "i8", "v1 = bmask.i8 v0; return v1", _UPPER),
        lambda: rule("nz_pair", emit="cmp_ri.x x, {0}; -> NE")),
    Bug("wide-select-of-one-half", "wide", "a select takes the upper half of its first value, whatever the condition",
        "result", 7, clif("i8 i128 i128", "i128", "v3 = select v0, v1, v2; return v3", f"0, {_UPPER}, 1"),
        lambda: rule("select_pair", emit=("csel.x d', x', y', c", "mov_rr.x d', x'"))),
    Bug("wide-shift-below-64", "wide", "a left shift by 64 and more leaves what it moves into the upper half out",
        "result", 6, _binary("ishl", "1, 64", second="i8"),
        lambda: pair("ishl", "h = select.half b, s, u", "h = bor.half u, u")),
    Bug("wide-shift-sign-lost", "wide", "a signed right shift moves zeros into the upper half",
        "result", 6, _binary("sshr", f"-{_UPPER}, 1", second="i8"),
        lambda: pair("sshr", "s = sshr.half xh, n", "s = ushr.half xh, n")),
    Bug("wide-rotate-below-64", "wide", "a rotation by 64 and more does not exchange the halves",
        "result", 6, _binary("rotr", "1, 64", second="i8"),
        lambda: pair("rotr", "p = select.half b, xh, xl; q = select.half b, xl, xh", "p = bor.half xl, xl; q = bor.half xh, xh")),
    Bug("wide-sign-extended-by-zeros", "wide", "a sign-extension's upper half is zero",
        "result", 4, _unary("sextend.i128", "-1", type_="i64"),
        lambda: pair("sextend", "h = sshr.half l, 63", "h = iconst.half 0")),
    Bug("wide-cross-product-dropped", "wide", "a product leaves the upper half of its first operand out",
        "result", 6, _binary("imul", f"{_UPPER}, 3"),
        lambda: pair("imul", "e = imul.half xh, yl; h = iadd.half c, e", "h = bor.half c, c")),
    Bug("wide-zeros-of-one-half", "wide", "clz counts no zeros in an upper half of zero",
        "result", 5, _unary("clz", "1"),
        lambda: pair("clz", "c = iadd.half b, 64", "c = bor.half b, b")),
    Bug("wide-halves-not-exchanged", "wide", "bswap reverses the bytes of each half where it is",
        "result", 5, _unary("bswap", "1"),
        lambda: pair("bswap", "l = bswap.half xh; h = bswap.half xl", "l = bswap.half xl; h = bswap.half xh")),
    Bug("wide-store-overlaps", "wide", "a store puts the upper half 4 bytes behind the lower one",
        "memory", 5, clif("i64 i128", "", "store v1, v0; return", f"0x20000000, {_UPPER}", memory=4096),
        lambda: pair("store", "store.half xh, y+8", "store.half xh, y+4")),
    Bug("wide-argument-in-odd-register", "wide", "an i128 argument may begin with a register of odd number",
        "result", 3, clif("i64 i128", "i128", "return v1", "1, 2"),
        lambda: edited(abi._locate, "ints += ints & 1", "ints += ints == 7")),
)  # fmt: skip
