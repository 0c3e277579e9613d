# ruff: noqa: E501  # a table: one row a line
"""x86-64's lowering rules for floats (f32, f64), specific before general; see :mod:`backend.lower.rules`.

A float lives in the low bits of a vector register; what lies above them is undefined. A NaN that arithmetic makes or hands
on is quiet; what only moves bits or changes signs, by masks, keeps a signalling one.

**Conditions after UCOMISS** (Intel's manual, volume 2): unordered sets ZF, PF and CF, less CF, equal ZF, greater none. Eight of
CLIF's conditions are one machine condition, four more are with the operands exchanged. ``eq`` and ``ne`` would be two: CMPSS makes a
mask of either, and a test of the mask one condition.

**Minimum and maximum.** MINSS gives its second operand for a NaN and for two zeros. So it is done in both orders. The two
results are the same but where it matters: then they are x and y. Of zeros, OR gives the lesser. For the maximum the
difference of bits is set in one of the two and, as a float, subtracted again: -0 less -0 is +0. A NaN is
one in either, and quiet after the addition of -0, which changes nothing else, or after the subtraction.

**Rounding to an integer** has an instruction in SSE4.1 only. Without it: adding 2^52 (2^23 for f32) to |x| and taking it away
again leaves the nearest integer, if |x| is less than that; if it is not, or is none at all, 0 is added instead, which makes a
NaN quiet. The sign of x is put back, so that -0.4 becomes -0. Where that is on the wrong side of x, 1 is
subtracted; for the ceiling -1 is, which like any subtraction of +0 keeps -0, and the sign is put back again after it.

**Conversions to integers.** CVTTSS2SI gives the least integer for whatever does not fit, a NaN too. The trapping ones compare with
bounds first (:mod:`backend.lower.float_bounds`). An unsigned i64 from 2^63 up is converted less 2^63, and the top bit, which the
conversion of x itself has given, is set again.
"""

from __future__ import annotations

from typing import Final

from backend.isa.x86_64 import fields as f
from backend.lower.float_bounds import below_is_float, float_bits, high_bound, low_bound
from backend.lower.rules import ALL, FLOATS, RuleSet

CONDITION: Final = {
    "ord": f.NP,
    "uno": f.P,
    "gt": f.A,
    "ge": f.AE,
    "ult": f.B,
    "ule": f.BE,
    "one": f.NE,
    "ueq": f.E,
}
"""The machine's condition after ``ucomiss x, y``, for those that are one."""
MASK_PREDICATE: Final = {"eq": f.EQ_MASK, "ne": f.NEQ_MASK}


def too_low(signed: bool, bits: int, width: int) -> int:
    """The condition, after comparing x with :func:`low_bound`, under which x is out of range (x is no NaN)."""
    return f.BE if below_is_float(signed, bits, width) else f.B


def _whole(width: int) -> int:
    """The bits of the least float of ``width`` bits from which on all are integers."""
    return float_bits(2.0 ** (23 if width == 32 else 52), width)


NAMES: Final[dict[str, object]] = {
    "FCC": CONDITION, "MASK_PREDICATE": MASK_PREDICATE, "low_bound": low_bound, "too_low": too_low,
    "high_bound": high_bound, "float_bits": float_bits, "UNORDERED": f.P, "ABOVE_OR_EQUAL": f.AE,
    "LESS_THAN": f.LT_MASK, "whole": _whole,
}  # fmt: skip
"""What the expressions below use."""

#: type, letter of its rows, its width, letter of an integer register as wide
_WIDTHS: Final = (("f32", "s", 32, "l"), ("f64", "d", 64, "q"))
_ROUNDINGS: Final = (
    ("nearest", f.NEAREST),
    ("floor", f.DOWN),
    ("ceil", f.UP),
    ("trunc", f.TOWARD_ZERO),
)


def add_float_rules(rules: RuleSet) -> None:
    """Append the rules for floats. ``rules`` knows :data:`NAMES`."""
    _rule = rules.rule
    # fmt: off
    # ---- constants ------------------------------------------------------------------------------------------
    for _type, _f, _width, _r in _WIDTHS:
        _rule(f"{_type}const_zero", f"{_type}const", "zero_x d", when="imm == 0", group="immediate")
        _rule(f"{_type}const", f"{_type}const", f"mov_to_x.{_f} d, ={_width}:imm")

    # ---- arithmetic -------------------------------------------------------------------------------------------
    _rule("float_load", "fadd|fsub|fmul|fdiv x, (load a)", "$A_rm.F d, a, {i1.imm}, x, trap1", types=FLOATS, group="fold")
    for _op in ("add", "sub", "mul", "div"):
        _rule(f"f{_op}", f"f{_op} x, y", f"{_op}.F d, y, x", types=FLOATS)
    _rule("sqrt", "sqrt x", "sqrt.F d, x", types=FLOATS)
    for _op, _mode in _ROUNDINGS:
        _rule(f"{_op}_sse41", f"{_op} x", f"round.F d, x, {{{_mode}}}", types=FLOATS, needs="has_sse41")
    _sign_bit = "mov_to_x.F f0, =1 << B - 1"
    # f1: the sign of x, f2: |x|, f7: |x| rounded to nearest
    _nearest = (f"{_sign_bit}; andps f1, x, f0; andnps f2, x, f0; mov_to_x.F f3, =whole(B); cmp_mask.F {{LESS_THAN}}, f4, f3, f2;"
                " andps f5, f3, f4; add.F f6, f5, f2; sub.F f7, f5, f6")
    _rule("nearest", "nearest x", f"{_nearest}; orps d, f1, f7", types=FLOATS)
    _rule("trunc", "trunc x", f"{_nearest}; cmp_mask.F {{LESS_THAN}}, f8, f7, f2; mov_to_x.F f9, =float_bits(1.0, B); andps f10, f9, f8;"
          " sub.F f11, f10, f7; orps d, f1, f11", types=FLOATS)
    _rule("floor", "floor x", f"{_nearest}; orps f8, f1, f7; cmp_mask.F {{LESS_THAN}}, f9, f8, x; mov_to_x.F f10, =float_bits(1.0, B);"
          " andps f11, f10, f9; sub.F d, f11, f8", types=FLOATS)
    _rule("ceil", "ceil x", f"{_nearest}; orps f8, f1, f7; cmp_mask.F {{LESS_THAN}}, f9, x, f8; mov_to_x.F f10, =float_bits(-1.0, B);"
          " andps f11, f10, f9; sub.F f12, f11, f8; orps d, f1, f12", types=FLOATS)
    _rule("fneg", "fneg x", f"{_sign_bit}; xorps d, f0, x", types=FLOATS)
    _rule("fabs", "fabs x", f"{_sign_bit}; andnps d, x, f0", types=FLOATS)
    _rule("fcopysign", "fcopysign x, y", f"{_sign_bit}; andps f1, y, f0; andnps f2, x, f0; orps d, f2, f1", types=FLOATS)
    _rule("fmin", "fmin x, y", f"{_sign_bit}; min.F f1, y, x; min.F f2, x, y; orps f3, f2, f1; add.F d, f0, f3", types=FLOATS)
    _rule("fmax", "fmax x, y", "max.F f1, y, x; max.F f2, x, y; xorps f3, f2, f1; orps f4, f3, f1; sub.F d, f3, f4", types=FLOATS)

    # ---- bits ---------------------------------------------------------------------------------------------------
    _rule("band_bnot_float", "band x, (bnot y)", "andnps d, x, y", types=FLOATS, group="logic")
    for _op, _row in (("band", "andps"), ("bor", "orps"), ("bxor", "xorps")):
        _rule(f"{_op}_float", f"{_op} x, y", f"{_row} d, y, x", types=FLOATS)
    _rule("bnot_float", "bnot x", "mov_to_x.F f0, =MASK; xorps d, f0, x", types=FLOATS)
    _rule("bitselect_float", "bitselect c, x, y", "andps f0, c, x; andnps f1, y, c; orps d, f1, f0", types=FLOATS)

    # ---- comparisons and selects ----------------------------------------------------------------------------------
    for _type, _f, _width, _r in _WIDTHS:
        _rule(f"fcmp_mask_{_type}", "cmp x, y", f"cmp_mask.{_f} {{MASK_PREDICATE[cc]}}, f0, y, x; mov_from_x.{_f} t, f0; test_rr.{_r} t, t; -> NE",
              types=_type, when="cc in MASK_PREDICATE")
    _rule("fcmp_load", "cmp x, (load a)", "ucomi_rm.F x, a, {i1.imm}, trap1; -> FCC[cc]", types=FLOATS, when="cc in FCC", group="fold")
    _rule("fcmp", "cmp x, y", "ucomi.F x, y; -> FCC[cc]", types=FLOATS, when="cc in FCC")
    _rule("fcmp_exchanged", "cmp x, y", "ucomi.F y, x; -> FCC[SWAP[cc]]", types=FLOATS)
    _rule("fcmp_value", "fcmp ?c", "setcc c, d", types=FLOATS)
    # None of the moves touches the flags.
    _rule("select_float", "select|select_spectre_guard ?c, x, y", "mov_from_x.F t, x; mov_from_x.F t0, y; cmov.R c, t1, t, t0; mov_to_x.F d, t1", types=FLOATS)

    # ---- conversions ------------------------------------------------------------------------------------------------
    _rule("fpromote_load", "fpromote (load a)", "cvt_rm.d d, a, {i1.imm}, trap1", types="f64", second="f32", group="fold")
    _rule("fdemote_load", "fdemote (load a)", "cvt_rm.s d, a, {i1.imm}, trap1", types="f32", second="f64", group="fold")
    _rule("fpromote", "fpromote x", "cvt.d d, x", types="f64", second="f32")
    _rule("fdemote", "fdemote x", "cvt.s d, x", types="f32", second="f64")
    for _type, _f, _width, _r in _WIDTHS:
        # As an integer of twice the bits where there is one, else in two steps; x is below 2^64 and no NaN.
        _top = f"mov_to_x.{_f} f3, ={_width}:float_bits(2.0 ** 63, {_width})"
        _in_two = f"{_top}; sub.{_f} f4, f3, %s; cvtt_{_f}.q t, %s; cvtt_{_f}.q t0, f4; sar_ri.q t1, {{63}}, t; and_rr.q t2, t1, t0; or_rr.q %s, t2, t"
        for _name, _signed, _types, _convert in (
            ("sint", True, "i8 i16 i32", f"cvtt_{_f}.l d, x"), ("sint", True, "i64", f"cvtt_{_f}.q d, x"),
            ("uint", False, "i8 i16", f"cvtt_{_f}.l d, x"), ("uint", False, "i32", f"cvtt_{_f}.q d, x"),
            ("uint", False, "i64", _in_two % ("x", "x", "d"))):
            _bounds = f"{_signed}, B, {_width}"
            _rule(f"fcvt_to_{_name}_{_type}_{_types.replace(' ', '_')}", f"fcvt_to_{_name} x",
                  f"ucomi.{_f} x, x; jcc UNORDERED, !bad_toint, {{-1}};"
                  f" mov_to_x.{_f} f0, ={_width}:low_bound({_bounds}); ucomi.{_f} x, f0; jcc {{too_low({_bounds})}}, !int_ovf, {{-1}};"
                  f" mov_to_x.{_f} f1, ={_width}:high_bound({_bounds}); ucomi.{_f} x, f1; jcc ABOVE_OR_EQUAL, !int_ovf, {{-1}};"
                  f" {_convert}", types=_types, second=_type)
        # MAXSS gives its second operand, here +0, for a NaN.
        _least = f"zero_x f0; max.{_f} f1, f0, x"
        _rule(f"fcvt_to_uint_sat_{_type}", "fcvt_to_uint_sat x",
              f"{_least}; cvtt_{_f}.q t, f1; cmp_rr.q t, =64:MASK; cmov.q ABOVE, d, =64:MASK, t", types="i8 i16 i32", second=_type)
        _rule(f"fcvt_to_uint_sat_i64_{_type}", "fcvt_to_uint_sat x",
              f"{_least}; {_in_two % ('f1', 'f1', 't3')}; mov_to_x.{_f} f5, ={_width}:high_bound(False, 64, {_width}); ucomi.{_f} f1, f5;"
              " cmov.q ABOVE_OR_EQUAL, d, =64:MASK, t3", types="i64", second=_type)
        _rule(f"fcvt_to_sint_sat_narrow_{_type}", "fcvt_to_sint_sat x",
              f"mov_to_x.{_f} f0, ={_width}:float_bits(float(MASK >> 1), {_width}); min.{_f} f1, f0, x;"
              f" mov_to_x.{_f} f2, ={_width}:float_bits(-float(1 << B - 1), {_width}); max.{_f} f3, f2, f1;"
              f" cvtt_{_f}.l t, f3; ucomi.{_f} x, x; cmov.l UNORDERED, d, =32:0, t", types="i8 i16", second=_type)
        _rule(f"fcvt_to_sint_sat_{_type}", "fcvt_to_sint_sat x",
              f"cvtt_{_f}.R t, x; mov_to_x.{_f} f0, ={_width}:high_bound(True, B, {_width}); ucomi.{_f} x, f0; cmov.R ABOVE_OR_EQUAL, t0, =MASK >> 1, t;"
              f" ucomi.{_f} x, x; cmov.R UNORDERED, d, =0, t0", types="i32 i64", second=_type)
        for _int, _size in (("i32", "l"), ("i64", "q")):
            _rule(f"fcvt_from_sint_load_{_int}_{_type}", "fcvt_from_sint (load a)", f"cvtsi_{_f}_rm.{_size} d, a, {{i1.imm}}, trap1", types=_type, second=_int, group="fold")
            _rule(f"fcvt_from_sint_{_int}_{_type}", "fcvt_from_sint x", f"cvtsi_{_f}.{_size} d, x", types=_type, second=_int)
        for _int, _letter in (("i8", "b"), ("i16", "w")):
            for _name, _extend in (("uint", "movzx"), ("sint", "movsx")):
                _rule(f"fcvt_from_{_name}_{_int}_{_type}", f"fcvt_from_{_name} x", f"{_extend}_{_letter}.l t, x; cvtsi_{_f}.l d, t", types=_type, second=_int)
        _rule(f"fcvt_from_uint_i32_{_type}", "fcvt_from_uint x", f"mov_rr.l t, x; cvtsi_{_f}.q d, t", types=_type, second="i32")
        # From 2^63 up: half of it, the lost bit kept for the rounding, and that twice.
        _rule(f"fcvt_from_uint_i64_{_type}", "fcvt_from_uint x",
              f"shr_ri.q t, {{1}}, x; and_ri.l t0, {{1}}, x; or_rr.q t1, t0, t; test_rr.q x, x; cmov.q SIGN, t2, t1, x;"
              f" cvtsi_{_f}.q f0, t2; sar_ri.q t3, {{63}}, x; mov_to_x.d f1, t3; andps f2, f1, f0; add.{_f} d, f2, f0", types=_type, second="i64")
        _rule(f"bitcast_{_type}_int", "bitcast x", f"mov_to_x.{_f} d, x", types=_type, second=f"i{_width}")
        _rule(f"bitcast_int_{_type}", "bitcast x", f"mov_from_x.{_f} d, x", types=f"i{_width}", second=_type)
        _rule(f"bitcast_{_type}", "bitcast x", "movaps d, x", types=_type, second=_type)
    for _int in ALL.split():
        _rule(f"bitcast_{_int}", "bitcast x", "mov_rr.q d, x", types=_int, second=_int)
    # fmt: on
