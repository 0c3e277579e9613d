# ruff: noqa: E501  # a table: one row a line
"""What CLIF's float operations mean, as rows: a function in CLIF, and what it gives on the exact fractions of :mod:`tests.ieee`.

Whoever compiles or interprets floats is held to them; a NaN that an operation makes may be any.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from itertools import product

from backend.ir.opcodes import FLOAT_CC
from backend.ir.parser import parse_function
from fuzzer.case import Input
from tests import ieee
from tests.ieee import NAN

Result = int | str
Meaning = Callable[..., "Result | tuple[Result, ...]"]
Row = tuple[str, str, Meaning]
MOST = 150
"""Inputs a row is run on."""


def clif(params: str, body: str, returns: str) -> str:
    """A function of one block. ``body``: instructions separated by ``;``."""
    types = params.split(", ") if params else []
    named = ", ".join(f"v{n}: {type_}" for n, type_ in enumerate(types))
    block = f"block0({named})" if named else "block0"
    return f"function %f({params}) -> {returns} {{\n{block}:\n" + body.replace("; ", "\n") + "\n}"


def arithmetic(w: int) -> Iterator[Row]:
    t = f"f{w}"
    for op, meaning in (
        ("fadd", ieee.add),
        ("fsub", ieee.subtract),
        ("fmul", ieee.multiply),
        ("fdiv", ieee.divide),
    ):
        yield (
            op,
            clif(f"{t}, {t}", f"v2 = {op} v0, v1; return v2", t),
            lambda x, y, m=meaning: m(x, y, w),
        )
    for op, least in (("fmin", True), ("fmax", False)):
        yield (
            op,
            clif(f"{t}, {t}", f"v2 = {op} v0, v1; return v2", t),
            lambda x, y, k=least: ieee.extreme(x, y, w, k),
        )
    for op in ("ceil", "floor", "trunc", "nearest"):
        yield op, clif(t, f"v1 = {op} v0; return v1", t), lambda x, how=op: ieee.integral(x, w, how)
    yield "sqrt", clif(t, "v1 = sqrt v0; return v1", t), lambda x: ieee.square_root(x, w)
    yield "fneg", clif(t, "v1 = fneg v0; return v1", t), lambda x: ieee.negate(x, w)
    yield "fabs", clif(t, "v1 = fabs v0; return v1", t), lambda x: ieee.magnitude(x, w)
    yield ("fcopysign", clif(f"{t}, {t}", "v2 = fcopysign v0, v1; return v2, v0", f"{t}, {t}"),
           lambda x, y: (ieee.signed(x, ieee.sign(y, w), w), x))  # fmt: skip
    yield ("fneg_fmul", clif(f"{t}, {t}", "v2 = fmul v0, v1; v3 = fneg v2; return v3", t),
           lambda x, y: p if (p := ieee.multiply(x, y, w)) == NAN else ieee.negate(p, w))  # fmt: skip
    negated = {
        "": "v0, v1, v2",
        "x": "v3, v1, v2",
        "y": "v0, v4, v2",
        "z": "v0, v1, v5",
        "xz": "v3, v1, v5",
    }
    for which, operands in negated.items():

        def fused(x: int, y: int, z: int, which: str = which) -> int:
            given = [
                ieee.negate(v, w) if name in which else v
                for name, v in zip("xyz", (x, y, z), strict=True)
            ]
            return ieee.fused(*given, w)

        yield (f"fma_{which}", clif(f"{t}, {t}, {t}", "v3 = fneg v0; v4 = fneg v1; v5 = fneg v2; "
               f"v6 = fma {operands}; return v6", t), fused)  # fmt: skip


def bits(w: int) -> Iterator[Row]:
    t, mask = f"f{w}", (1 << w) - 1
    for op, meaning in (
        ("band", lambda x, y: x & y), ("bor", lambda x, y: x | y), ("bxor", lambda x, y: x ^ y),
        ("band_not", lambda x, y: x & ~y & mask), ("bor_not", lambda x, y: x | ~y & mask), ("bxor_not", lambda x, y: x ^ ~y & mask),
    ):  # fmt: skip
        yield op, clif(f"{t}, {t}", f"v2 = {op} v0, v1; return v2", t), meaning
    yield "bnot", clif(t, "v1 = bnot v0; return v1", t), lambda x: ~x & mask
    yield ("bitselect", clif(f"{t}, {t}, {t}", "v3 = bitselect v0, v1, v2; return v3, v0", f"{t}, {t}"),
           lambda c, x, y: (c & x | ~c & y, c))  # fmt: skip
    yield (
        "bitcast",
        clif(t, f"v1 = bitcast.i{w} v0; v2 = bitcast.{t} v0; return v1, v2", f"i{w}, {t}"),
        lambda x: (x, x),
    )
    yield "bitcast_back", clif(f"i{w}", f"v1 = bitcast.{t} v0; return v1", t), lambda x: x
    for special in ieee.interesting(w):
        literal = f"0x{special:x}"
        yield (f"const_{literal}", clif("", f"v0 = iconst.i{w} {literal}; v1 = bitcast.{t} v0; return v1", t),
               lambda k=special: k)  # fmt: skip


def comparisons(w: int) -> Iterator[Row]:
    t = f"f{w}"
    for cc in FLOAT_CC:
        yield (f"fcmp_{cc}", clif(f"{t}, {t}", f"v2 = fcmp {cc} v0, v1; return v2", "i8"),
               lambda x, y, c=cc: int(ieee.holds(c, x, y, w)))  # fmt: skip
        yield (f"select_{cc}", clif(f"{t}, {t}, i64", f"v3 = fcmp {cc} v0, v1; v4 = select v3, v0, v1; v5 = iconst.i64 5; "
               f"v6 = fcmp {cc} v0, v1; v7 = select v6, v2, v5; return v4, v7", f"{t}, i64"),
               lambda x, y, n, c=cc: (x, n) if ieee.holds(c, x, y, w) else (y, 5))  # fmt: skip
        yield (f"brif_{cc}", clif(f"{t}, {t}", f"v2 = fcmp {cc} v0, v1; brif v2, block1(v0), block2; block1(v3: {t}):; "
               f"return v3; block2:; v4 = fcmp {cc} v1, v0; trapz v4, user2; v5 = fcmp {cc} v0, v1; trapnz v5, user1; "
               "return v1", t),
               lambda x, y, c=cc: x if ieee.holds(c, x, y, w) else y if ieee.holds(c, y, x, w) else "user2")  # fmt: skip
        for zero in ("0.0", "-0.0"):
            yield (f"zero_{cc}_{zero}", clif(t, f"v1 = {t}const {zero}; v2 = fcmp {cc} v0, v1; v3 = {t}const {zero}; "
                   f"v4 = fcmp {cc} v3, v0; return v2, v4", "i8, i8"),
                   lambda x, c=cc: (int(ieee.holds(c, x, 0, w)), int(ieee.holds(c, 0, x, w))))  # fmt: skip
    yield ("select_of_int", clif(f"i8, {t}, {t}", "v3 = select v0, v1, v2; v4 = select_spectre_guard v0, v2, v1; return v3, v4",
           f"{t}, {t}"), lambda c, x, y: (x, y) if c else (y, x))  # fmt: skip


def conversions(w: int) -> Iterator[Row]:
    t, other = f"f{w}", 96 - w
    change = "fpromote" if w == 32 else "fdemote"
    yield (
        change,
        clif(t, f"v1 = {change}.f{other} v0; return v1", f"f{other}"),
        lambda x: ieee.converted(x, w, other),
    )
    for b in (8, 16, 32, 64):
        for name, sign in (("uint", False), ("sint", True)):
            for suffix, saturate in (("", False), ("_sat", True)):
                op = f"fcvt_to_{name}{suffix}"
                yield (f"{op}.i{b}", clif(t, f"v1 = {op}.i{b} v0; return v1", f"i{b}"),
                       lambda x, b=b, s=sign, sat=saturate: ieee.to_integer(x, w, b, s, sat))  # fmt: skip
            yield (f"fcvt_from_{name}.i{b}", clif(f"i{b}", f"v1 = fcvt_from_{name}.{t} v0; return v1", t),
                   lambda x, b=b, s=sign: ieee.from_integer(x, b, s, w))  # fmt: skip


def constants() -> Iterator[Row]:
    for w in (32, 64):
        for literal, number in (
            ("0.0", 0),
            ("-0.0", 1 << (w - 1)),
            ("0x1.0p0", 1),
            ("-0x1.fp4", -31),
            ("0x1.08p0", None),
            ("+Inf", ieee.infinity(w)),
            ("-NaN:0x1", None),
            ("+sNaN:0x5", None),
            ("0x0.000002p-126", None),
        ):
            p = ieee.PRECISION[w]
            quiet = ieee.infinity(w) | 1 << (p - 2)
            meant = {
                "0x1.0p0": ieee.rounded(ieee.Fraction(1), w),
                "-0x1.fp4": ieee.rounded(ieee.Fraction(-31), w),
                "0x1.08p0": ieee.rounded(ieee.Fraction(33, 32), w),
                "-NaN:0x1": quiet | 1 | 1 << (w - 1),
                "+sNaN:0x5": ieee.infinity(w) | 5,
                "0x0.000002p-126": 1 if w == 32 else ieee.rounded(ieee.Fraction(2) ** -149, 64),
            }.get(literal, number)
            yield (
                f"f{w}const {literal}",
                clif("", f"v0 = f{w}const {literal}; return v0", f"f{w}"),
                lambda m=meant: m,
            )


def integers() -> Iterator[Row]:
    for b in (8, 16, 32, 64):
        yield (
            f"bitcast.i{b}",
            clif(f"i{b}", f"v1 = bitcast.i{b} v0; return v1", f"i{b}"),
            lambda x: x,
        )
    yield "bitcast.i128", clif("i128", "v1 = bitcast.i128 v0; return v1", "i128"), lambda x: x


def all_rows() -> list[tuple[str, str, Meaning]]:
    rows = [*constants(), *integers()]
    for w in (32, 64):
        for kind in (arithmetic, bits, comparisons, conversions):
            rows += [(f"f{w} {name}", text, meaning) for name, text, meaning in kind(w)]
    return rows


ROWS = all_rows()
"""Name, CLIF, meaning."""


def pool(type_: str) -> list[int]:
    width = int(type_[1:])
    if type_[0] == "f":
        return ieee.interesting(width)
    top = 1 << (width - 1)
    wanted = [0, 1, 2, top, top - 1, top + 1, 2 * top - 1, 2 * top - 2, (1 << 24) + 1, (1 << 24) + 3, (1 << 25) + 2,
              (1 << 53) + 1, (1 << 53) + 3, top | 1 << 10, top | 0x401, 0x7FFFFFBF, 0x7FFFFFC0, (1 << 63) | 0x400]  # fmt: skip
    return list(dict.fromkeys(n for n in wanted if not n >> width))


def inputs_for(text: str, name: str) -> list[Input]:
    types = [param.type.name for param in parse_function(text).signature.params]
    pools = [pool(type_) for type_ in types]
    if len(pools) < 2:
        return list(product(*pools))
    pick = random.Random(zlib.crc32(name.encode()))
    same = [tuple([x] * len(pools)) for x in pools[0][:20]] if len(set(types)) == 1 else []
    return [*same, *(tuple(pick.choice(values) for values in pools) for _ in range(MOST))]


def agrees(meant: Result, got: int, type_: str) -> bool:
    """Is ``got`` what is meant, or some NaN if that is?"""
    return ieee.is_nan(got, int(type_[1:])) if meant == NAN and type_[0] == "f" else meant == got
