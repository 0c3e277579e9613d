# ruff: noqa: E501  # a table: one row a line
"""AArch64's lowering rules for floats (f32, f64), specific before general; see :mod:`backend.lower.rules`.

A float lives in the low bits of a vector register; what lies above them is undefined. NaNs are what the hardware
makes of them: an operand's payload, made quiet (Arm ARM, ``FPProcessNaNs``); what only moves bits keeps a signalling NaN.

**Conditions after FCMP** (Arm ARM, C1.2.4): unordered sets C and V, less N, equal Z and C, greater C alone. Twelve of
CLIF's conditions are one machine condition. ``one`` and ``ueq`` would be two; a conditional compare behind the first makes
them one: under VC it compares again, else it says *equal*, so that NE is "ordered and different" and EQ "equal or unordered".

**Conversions to integers.** FCVTZS and FCVTZU truncate, saturate, and take NaN to 0, to 32 or 64 bits. So the saturating ones
only clamp to i8 and i16 afterwards; the trapping ones first compare with the bounds, which are floats
(:mod:`backend.lower.float_bounds`), never rounded.
"""

from __future__ import annotations

from typing import Final

from backend.isa.aarch64 import fields as f
from backend.isa.aarch64.immediates import fp_imm, is_fp_imm
from backend.lower.float_bounds import below_is_float, high_bound, low_bound
from backend.lower.rules import ALL, FLOATS, RuleSet

CONDITION: Final = {
    "ord": f.VC, "uno": f.VS, "eq": f.EQ, "ne": f.NE, "lt": f.MI, "le": f.LS, "gt": f.GT, "ge": f.GE,
    "ult": f.LT, "ule": f.LE, "ugt": f.HI, "uge": f.PL,
}  # fmt: skip
"""The machine's condition after ``fcmp x, y``, for those that are one."""
AFTER_CCMP: Final = {"one": f.NE, "ueq": f.EQ}
"""The condition after the conditional compare."""

_EQUAL_FLAGS: Final = 4


def too_low(signed: bool, bits: int, width: int) -> int:
    """The condition, after comparing x with :func:`low_bound`, under which x is out of range (x is no NaN)."""
    return f.LE if below_is_float(signed, bits, width) else f.LT


NAMES: Final[dict[str, object]] = {
    "FCC": CONDITION, "AFTER_CCMP": AFTER_CCMP, "is_fp_imm": is_fp_imm, "fp_imm": fp_imm,
    "low_bound": low_bound, "too_low": too_low, "high_bound": high_bound, "EQUAL_FLAGS": _EQUAL_FLAGS,
}  # fmt: skip
"""What the expressions below use."""

#: type, letter of its rows, its width, letter of an integer register as wide
_WIDTHS: Final = (("f32", "s", 32, "w"), ("f64", "d", 64, "x"))


def add_float_rules(rules: RuleSet) -> None:
    """Append the rules for floats. ``rules`` knows :data:`NAMES`."""
    _rule = rules.rule
    # fmt: off
    # ---- constants ------------------------------------------------------------------------------------------
    for _type, _f, _width, _r in _WIDTHS:
        _rule(f"{_type}const_zero", f"{_type}const", f"fmov_zero.{_f} d", when="imm == 0", group="immediate")
        _rule(f"{_type}const_imm", f"{_type}const", f"fmov_ri.{_f} d, {{fp_imm(imm, {_width})}}", when=f"is_fp_imm(imm, {_width})", group="immediate")
        _rule(f"{_type}const", f"{_type}const", f"fmov_from.{_r} d, ={_width}:imm")

    # ---- arithmetic -------------------------------------------------------------------------------------------
    _rule("fneg_fmul", "fneg (fmul x, y)", "fnmul.F d, x, y", types=FLOATS, group="multiply")
    for _op, _row in (("fadd", "fadd"), ("fsub", "fsub"), ("fmul", "fmul"), ("fdiv", "fdiv"), ("fmin", "fmin"), ("fmax", "fmax")):
        _rule(_op, f"{_op} x, y", f"{_row}.F d, x, y", types=FLOATS)
    for _op, _row in (("sqrt", "fsqrt"), ("fneg", "fneg"), ("fabs", "fabs"), ("ceil", "frintp"), ("floor", "frintm"),
                      ("trunc", "frintz"), ("nearest", "frintn")):
        _rule(_op, f"{_op} x", f"{_row}.F d, x", types=FLOATS)
    _rule("fma_neg_neg", "fma (fneg x), y, (fneg z)", "fnmadd.F d, x, y, z", types=FLOATS, group="multiply")
    _rule("fma_neg_factor", "fma (fneg x), y, z", "fmsub.F d, x, y, z", types=FLOATS, group="multiply")
    _rule("fma_neg_other_factor", "fma x, (fneg y), z", "fmsub.F d, x, y, z", types=FLOATS, group="multiply")
    _rule("fma_neg_addend", "fma x, y, (fneg z)", "fnmsub.F d, x, y, z", types=FLOATS, group="multiply")
    _rule("fma", "fma x, y, z", "fmadd.F d, x, y, z", types=FLOATS)
    _rule("fcopysign", "fcopysign x, y", "ushr_sign.F f0, y; sli_sign.F d, f0, x", types=FLOATS)

    # ---- bits ---------------------------------------------------------------------------------------------------
    for _op, _row, _not in (("band", "and_v", "bic_v"), ("bor", "orr_v", "orn_v")):
        _rule(f"{_op}_bnot_float", f"{_op} x, (bnot y)", f"{_not} d, x, y", types=FLOATS, group="logic")
        _rule(f"{_op}_float", f"{_op} x, y", f"{_row} d, x, y", types=FLOATS)
    _rule("bxor_float", "bxor x, y", "eor_v d, x, y", types=FLOATS)
    _rule("bnot_float", "bnot x", "mvn_v d, x", types=FLOATS)
    _rule("bitselect_float", "bitselect c, x, y", "bsl d, x, y, c", types=FLOATS)

    # ---- comparisons and selects ----------------------------------------------------------------------------------
    for _type, _f, _width, _r in _WIDTHS:
        _rule(f"fcmp_zero_{_type}", f"cmp x, ({_type}const)", f"fcmp_zero.{_f} x; -> FCC[cc]", types=_type,
              when=f"i1.imm << 1 & {(1 << _width) - 1} == 0 and cc in FCC", group="immediate")
    _rule("fcmp", "cmp x, y", "fcmp.F x, y; -> FCC[cc]", types=FLOATS, when="cc in FCC")
    _rule("fcmp_twice", "cmp x, y", "fcmp.F x, y; fccmp.F x, y, {EQUAL_FLAGS}, VC; -> AFTER_CCMP[cc]", types=FLOATS)
    _rule("fcmp_value", "fcmp ?c", "cset.w d, c", types=FLOATS)
    _rule("select_float", "select|select_spectre_guard ?c, x, y", "fcsel.F d, x, y, c", types=FLOATS)

    # ---- conversions ------------------------------------------------------------------------------------------------
    _rule("fpromote", "fpromote x", "fcvt.d d, x", types="f64", second="f32")
    _rule("fdemote", "fdemote x", "fcvt.s d, x", types="f32", second="f64")
    for _type, _f, _width, _r in _WIDTHS:
        for _name, _signed, _sign in (("uint", False, "u"), ("sint", True, "s")):
            _bounds = f"{_signed}, B, {_width}"
            _rule(f"fcvt_to_{_name}_{_type}", f"fcvt_to_{_name} x",
                  f"fcmp.{_f} x, x; b_cond VS, !bad_toint, {{-1}};"
                  f" fmov_from.{_r} f0, ={_width}:low_bound({_bounds}); fcmp.{_f} x, f0; b_cond {{too_low({_bounds})}}, !int_ovf, {{-1}};"
                  f" fmov_from.{_r} f1, ={_width}:high_bound({_bounds}); fcmp.{_f} x, f1; b_cond GE, !int_ovf, {{-1}};"
                  f" fcvtz{_sign}_{_f}.R d, x", types=ALL, second=_type)
            _rule(f"fcvt_to_{_name}_sat_{_type}", f"fcvt_to_{_name}_sat x", f"fcvtz{_sign}_{_f}.R d, x", types="i32 i64", second=_type)
            _from = f"{_sign}cvtf_{_f}"
            for _int, _size in (("i32", "w"), ("i64", "x")):
                _rule(f"fcvt_from_{_name}_{_int}_{_type}", f"fcvt_from_{_name} x", f"{_from}.{_size} d, x", types=_type, second=_int)
            for _int, _extend in (("i8", "b"), ("i16", "h")):
                _row = f"sxt{_extend}.w" if _signed else f"uxt{_extend}"
                _rule(f"fcvt_from_{_name}_{_int}_{_type}", f"fcvt_from_{_name} x", f"{_row} t, x; {_from}.w d, t", types=_type, second=_int)
        _rule(f"fcvt_to_uint_sat_narrow_{_type}", "fcvt_to_uint_sat x",
              f"fcvtzu_{_f}.w t, x; cmp_rr.w t, =32:MASK; csel.w d, t, =32:MASK, LO", types="i8 i16", second=_type)
        _rule(f"fcvt_to_sint_sat_narrow_{_type}", "fcvt_to_sint_sat x",
              f"fcvtzs_{_f}.w t, x; cmp_rr.w t, =32:MASK >> 1; csel.w t0, t, =32:MASK >> 1, LT;"
              f" cmp_rr.w t0, =32:0xFFFFFFFF ^ MASK >> 1; csel.w d, t0, =32:0xFFFFFFFF ^ MASK >> 1, GT", types="i8 i16", second=_type)
        _rule(f"bitcast_{_type}_int", "bitcast x", f"fmov_from.{_r} d, x", types=_type, second=f"i{_width}")
        _rule(f"bitcast_int_{_type}", "bitcast x", f"fmov_to.{_r} d, x", types=f"i{_width}", second=_type)
        _rule(f"bitcast_{_type}", "bitcast x", "mov_v d, x", types=_type, second=_type)
    for _int in ALL.split():
        _rule(f"bitcast_{_int}", "bitcast x", "mov_rr.x d, x", types=_int, second=_int)
    # fmt: on
