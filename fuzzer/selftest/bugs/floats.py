# ruff: noqa: E501  # a table: one row a line
"""Bugs of floats: zeros' signs, NaNs, conditions, bounds of conversions, rounding, constants, spills."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final

from backend.isa.aarch64 import abi
from backend.isa.aarch64 import fields as f
from backend.isa.aarch64.insts import ROWS
from backend.isa.aarch64.rules_float import CONDITION
from backend.machine.registers import FLOAT
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import item, rule, together
from fuzzer.selftest.witness import clif


def _unary(op: str, type_: str, *values: str, result: str = "") -> str:
    return clif(type_, result or type_, f"v9 = {op} v0; return v9", *values)


def _binary(op: str, type_: str, *values: str, result: str = "") -> str:
    return clif(f"{type_} {type_}", result or type_, f"v9 = {op} v0, v1; return v9", *values)


def _fma(factor: str, *values: str) -> str:
    return clif("f64 f64 f64", "f64", f"{factor}v9 = fma v0, v1, v2; return v9", *values)


def _of_both(name: str, **changes: Any) -> AbstractContextManager[None]:
    """The rules ``name`` for f32 and f64; ``$`` in a change is the letter of the type's rows."""

    def of(letter: str) -> dict[str, Any]:
        return {
            field: text if isinstance(text, tuple) else text.replace("$", letter)
            for field, text in changes.items()
        }

    return together(rule(f"{name}_f32", **of("s")), rule(f"{name}_f64", **of("d")))


# f64, as bits
_ONE: Final = "0x3ff0000000000000"
_TWO: Final = "0x4000000000000000"
_ZERO: Final = "0"
_MINUS_ZERO: Final = "0x8000000000000000"
_NAN: Final = "0x7ff8000000000000"
_SIGNALLING: Final = "0x7ff0000000000123"
_TWO_AND_A_HALF: Final = "0x4004000000000000"

_PRESSURE: Final = """function %f(f64, f64, f64) -> f64 {
block0(v0: f64, v1: f64, v2: f64):
    v3 = fmul v0, v1
    v4 = fmul v1, v2
    v5 = fmul v0, v2
    v6 = fadd v3, v4
    v7 = fsub v6, v5
    v8 = fsub v7, v0
    v9 = fsub v8, v1
    v10 = fsub v9, v2
    v11 = fadd v10, v3
    v12 = fsub v11, v4
    return v12
}
; input: 0x3ff8000000000001, 0x400921fb54442d18, 0x4005bf0a8b145769
"""

BUGS: Final = (
    Bug("float-zeros-alike", "floats", "fmin and fmax of two zeros take the second one, whatever its sign",
        "result", 5, _binary("fmin", "f64", f"{_MINUS_ZERO}, {_ZERO}"),
        lambda: together(*(rule(op, emit=f"fcmp.F x, y; fcsel.F f0, x, y, {less}; fadd.F f1, x, y; fcsel.F d, f1, f0, VS")
                           for op, less in (("fmin", "MI"), ("fmax", "GT"))))),
    Bug("float-maximum-of-nan", "floats", "fmax of a number and a NaN is the number",
        "result", 4, _binary("fmax", "f64", f"{_ONE}, {_NAN}"),
        lambda: rule("fmax", emit="fmax.F f0, x, y; fcmp.F y, y; fcsel.F d, x, f0, VS")),
    Bug("float-unordered-less", "floats", "lt is true of what is unordered",
        "result", 4, _binary("fcmp lt", "f64", f"{_ONE}, {_NAN}", result="i8"),
        lambda: item(CONDITION, "lt", f.LT)),
    Bug("float-unordered-different", "floats", "one is true of what is unordered, ueq is not",
        "result", 4, _binary("fcmp one", "f64", f"{_ONE}, {_NAN}", result="i8"),
        lambda: rule("fcmp_twice", emit=("{EQUAL_FLAGS}", "{0}"))),
    Bug("float-power-compared-as-zero", "floats", "a comparison with a power of two is made one with zero",
        "result", 5, clif("f64", "i8", "v1 = f64const 0x1.0p1; v9 = fcmp gt v0, v1; return v9", _ONE),
        lambda: together(rule("fcmp_zero_f32", when=("<< 1", "<< 9")), rule("fcmp_zero_f64", when=("<< 1", "<< 12")))),
    Bug("float-bound-included", "floats", "the first float above an integer type's range is converted without a trap",
        "trap", 3, _unary("fcvt_to_sint.i32", "f64", "0x41e0000000000000", result="i32"),
        lambda: together(*(_of_both(f"fcvt_to_{sign}", emit=("b_cond GE", "b_cond GT")) for sign in ("uint", "sint")))),
    Bug("float-nan-saturated", "floats", "a NaN saturates to the least integer",
        "result", 3, _unary("fcvt_to_sint_sat.i32", "f64", _NAN, result="i32"),
        lambda: _of_both("fcvt_to_sint_sat", emit="fcvtzs_$.R t, x; fcmp.$ x, x; csel.R d, =1 << B - 1, t, VS")),
    Bug("float-unsigned-as-signed", "floats", "an unsigned integer is converted as if it were signed",
        "result", 3, _unary("fcvt_from_uint.f64", "i64", "-1", result="f64"),
        lambda: _of_both("fcvt_from_uint_i64", emit=("ucvtf", "scvtf"))),
    Bug("float-negation-quietens", "floats", "fneg makes a signalling NaN quiet",
        "result", 3, _unary("fneg", "f64", _SIGNALLING),
        lambda: rule("fneg", emit="fmax.F f0, x, x; fneg.F d, f0")),
    Bug("float-product-rounded", "floats", "fma rounds the product before it adds",
        "result", 6, _fma("", "0x3ff0000000000001, 0x3ff0000000000001, 0xbff0000000000002"),
        lambda: rule("fma", emit="fmul.F f0, x, y; fadd.F d, f0, z")),
    Bug("float-product-negated", "floats", "fma of a negated addend negates the product too",
        "result", 6, _fma("v3 = fneg v2; ", f"{_ONE}, {_ONE}, {_TWO}").replace("v1, v2", "v1, v3"),
        lambda: rule("fma_neg_addend", emit=("fnmsub", "fnmadd"))),
    Bug("float-nearest-half-up", "floats", "nearest adds a half and rounds down",
        "result", 3, _unary("nearest", "f64", _TWO_AND_A_HALF),
        lambda: rule("nearest", emit="fmov_ri.F f0, {0x60}; fadd.F f1, x, f0; frintm.F d, f1")),
    Bug("float-ceiling-truncates", "floats", "ceil rounds towards zero",
        "result", 3, _unary("ceil", "f64", _TWO_AND_A_HALF),
        lambda: rule("ceil", emit=("frintp", "frintz"))),
    Bug("float-sign-of-other", "floats", "fcopysign takes the sign of its first operand and the rest of its second",
        "result", 4, _binary("fcopysign", "f64", f"{_ONE}, {_TWO}"),
        lambda: rule("fcopysign", emit="ushr_sign.F f0, x; sli_sign.F d, f0, y")),
    Bug("float-immediate-sign-lost", "floats", "a negative constant that fits an immediate becomes positive",
        "result", 2, clif("", "f64", "v0 = f64const -0x1.0p0; return v0"),
        lambda: together(*(rule(f"f{width}const_imm", emit=(f"{{fp_imm(imm, {width})}}", f"{{fp_imm(imm, {width}) & 0x7f}}"))
                           for width in (32, 64)))),
    Bug("float-spill-narrow", "floats", "a spill stores 32 bits of an f64",
        "result", 24, _PRESSURE, lambda: item(abi._SPILL, (FLOAT, True), ROWS["str.s_ui"]), (("registers", 3),)),
)  # fmt: skip
