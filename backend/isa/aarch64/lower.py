# ruff: noqa: E501  # a table: one row a line
"""AArch64's lowering rules, specific before general; see :mod:`backend.lower.rules` for the notation.

Values of i8 and i16 live in 32-bit registers whose upper bits are undefined; a rule that cares asks for an operand
extended (``x:u``, ``x:s``). So additions, logic and left shifts of narrow values are those of i32.
"""

from __future__ import annotations

from typing import Final

from backend.ir.entities import Inst
from backend.ir.opcodes import SWAPPED
from backend.isa.aarch64 import fields as f
from backend.isa.aarch64.immediates import (
    MASK64,
    bitmask_for,
    is_add_imm,
    is_bitmask,
    wide_chunk,
)
from backend.isa.aarch64.insts import ROWS
from backend.isa.aarch64.regs import XZR
from backend.isa.aarch64.rules_float import NAMES as FLOAT_NAMES
from backend.isa.aarch64.rules_float import add_float_rules
from backend.isa.aarch64.rules_pair import add_pair_rules
from backend.isa.memory_rows import LOADS, STORES, memory_rows
from backend.lower.calls import emit_call, emit_func_addr, emit_return, emit_tail_call
from backend.lower.driver import Lowering
from backend.lower.rules import ALL, FLOATS, NARROW, WIDE, RuleSet
from backend.machine.registers import INT
from backend.machine.vcode import MInst

CONDITION: Final = {
    "eq": f.EQ, "ne": f.NE, "slt": f.LT, "sle": f.LE, "sgt": f.GT, "sge": f.GE,
    "ult": f.LO, "ule": f.LS, "ugt": f.HI, "uge": f.HS,
}  # fmt: skip


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _is_power(value: int) -> bool:
    return value > 0 and not value & (value - 1)


def _log2(value: int) -> int:
    return value.bit_length() - 1


def _is_mask(value: int) -> bool:
    """Ones from bit 0 up."""
    return value > 0 and not value & (value + 1)


def _scaled(offset: int, log: int) -> bool:
    return 0 <= offset < 4096 << log and not offset & ((1 << log) - 1)


def _unscaled(offset: int) -> bool:
    return -256 <= offset < 256


def _chunks(value: int, bits: int, skip: int) -> int:
    """16-bit chunks that differ from ``skip``: the wide moves that a constant takes."""
    return sum(1 for at in range(0, bits, 16) if value >> at & 0xFFFF != skip)


def _lowest(value: int) -> int:
    """Where the lowest 16-bit chunk of 64 is that is not all ones."""
    return next(at for at in (0, 16, 32, 48) if value >> at & 0xFFFF != 0xFFFF)


def _highest(value: int) -> int:
    return next(at for at in (48, 32, 16, 0) if value >> at & 0xFFFF != 0xFFFF)


def _other_ones(value: int, at: int) -> int:
    """``value`` with all chunks but the one at ``at`` set to ones."""
    return value | MASK64 ^ 0xFFFF << at


def _shift(kind: int, amount: int) -> int:
    return kind << 6 | amount


def _extend(kind: int, amount: int = 0) -> int:
    return kind << 3 | amount


def _field(lsb: int, width: int) -> int:
    return lsb << 8 | width


_NAMES: Final[dict[str, object]] = {
    **{name: getattr(f, name) for name in (
        "EQ", "NE", "HS", "LO", "MI", "PL", "VS", "VC", "HI", "LS", "GE", "LT", "GT", "LE",
        "LSL", "LSR", "ASR", "ROR", "UXTB", "UXTH", "UXTW", "SXTB", "SXTH", "SXTW")},
    "UXT": {8: f.UXTB, 16: f.UXTH, 32: f.UXTW}, "SXT": {8: f.SXTB, 16: f.SXTH, 32: f.SXTW},
    "CC": CONDITION, "MASK64": MASK64,
    "is_add_imm": is_add_imm, "bitmask_for": bitmask_for, "is_bitmask": is_bitmask,
    "wide_chunk": wide_chunk, "chunks": _chunks, "signed": _signed, "is_power": _is_power,
    "log2": _log2, "is_mask": _is_mask, "scaled": _scaled, "unscaled": _unscaled,
    "lowest": _lowest, "highest": _highest, "other_ones": _other_ones,
    "shift": _shift, "extend": _extend, "field": _field,
    "register zr": XZR, **FLOAT_NAMES,
}  # fmt: skip

_MEMORY: Final = memory_rows(
    loads={8: "ldrb", 16: "ldrh", 32: "ldr.w", 64: "ldr.x"},
    sign_extending={8: ("ldrsb.w", "ldrsb.x"), 16: ("ldrsh.w", "ldrsh.x"), 32: ("ldrsw",)},
    stores={8: "strb", 16: "strh", 32: "str.w", 64: "str.x"},
    float_loads={32: "ldr.s", 64: "ldr.d"},
    float_stores={32: "str.s", 64: "str.d"},
)

RULES: Final = RuleSet(ROWS, _NAMES, SWAPPED, _MEMORY)
_rule: Final = RULES.rule

# fmt: off
# ---- constants -----------------------------------------------------------------------------------------


def _emit_wide_moves(low: Lowering, value: int, to: int) -> None:
    """A MOVZ and a MOVK a further chunk; more than 32 bits make it a 64-bit constant."""
    size = "x" if value >> 32 else "w"
    chunks = [(value >> at & 0xFFFF, at) for at in range(0, 64, 16) if value >> at & 0xFFFF]
    part, at = chunks[0]
    vreg = low.temp(INT)
    low.out.append(MInst(ROWS[f"movz.{size}"], [vreg, part << at], None, 0, low.origin))
    for number, (part, at) in enumerate(chunks[1:], 2):
        result = to if number == len(chunks) else low.temp(INT)
        low.out.append(MInst(ROWS[f"movk.{size}"], [result, part, at, vreg], None, 0, low.origin))
        vreg = result


_rule("const_movz", "const", "movz.R d, {k}", types=WIDE, when="wide_chunk(k, RB) >= 0")
_rule("const_movn", "const", "movn.R d, {k}", types=WIDE, when="wide_chunk(k ^ MASK, RB) >= 0")
_rule("const_bitmask", "const", "mov_bm.R d, {k}", types=WIDE, when="is_bitmask(k, RB)", group="immediate")
_rule("const_movn_movk", "const", "movn.x t, {other_ones(k, lowest(k))}; movk.x d, {k >> highest(k) & 0xffff}, {highest(k)}, t",
      types="i64", when="chunks(k, 64, 0xffff) == 2", group="immediate")
_rule("const_pool", "const", "ldr_pool.x d, {k}", types="i64", when="chunks(k, 64, 0) > 2", group="pool")
_rule("const_wide", "const", _emit_wide_moves, types=WIDE)

# ---- addition and subtraction -------------------------------------------------------------------------
_rule("iadd_imm", "iadd x, #k", "add_ri.R d, x, {k}", when="is_add_imm(k)", group="immediate")
_rule("iadd_neg_imm", "iadd x, #k", "sub_ri.R d, x, {-k & MASK}", types="i16 i32 i64", when="is_add_imm(-k & MASK)", group="immediate")
_rule("iadd_imul", "iadd x, (imul y, z)", "madd.R d, y, z, x", group="multiply")
for _op, _row in (("iadd", "add"), ("isub", "sub")):
    _rule(f"{_op}_ishl_uextend", f"{_op} x, (ishl (uextend y), #k)", f"{_row}_rx.R d, x, y, {{extend(UXT[bits(y)], k % B)}}",
          when="k % B <= 4", types=WIDE, group="extend")
    _rule(f"{_op}_ishl_sextend", f"{_op} x, (ishl (sextend y), #k)", f"{_row}_rx.R d, x, y, {{extend(SXT[bits(y)], k % B)}}",
          when="k % B <= 4", types=WIDE, group="extend")
    _rule(f"{_op}_uextend", f"{_op} x, (uextend y)", f"{_row}_rx.R d, x, y, {{extend(UXT[bits(y)])}}", types="i16 i32 i64", group="extend")
    _rule(f"{_op}_sextend", f"{_op} x, (sextend y)", f"{_row}_rx.R d, x, y, {{extend(SXT[bits(y)])}}", types="i16 i32 i64", group="extend")
    _rule(f"{_op}_ishl", f"{_op} x, (ishl y, #k)", f"{_row}_rs.R d, x, y, {{shift(LSL, k % B)}}", when="k % B > 0", group="shift")
    for _shifted, _kind in (("ushr", "LSR"), ("sshr", "ASR")):
        _rule(f"{_op}_{_shifted}", f"{_op} x, ({_shifted} y, #k)", f"{_row}_rs.R d, x, y, {{shift({_kind}, k % B)}}", when="k % B > 0", types=WIDE, group="shift")
_rule("iadd", "iadd x, y", "add_rr.R d, x, y")
_rule("isub_from_zero", "isub #k, y", "neg_rr.R d, y", when="k == 0", group="immediate")
_rule("isub_imm", "isub x, #k", "sub_ri.R d, x, {k}", when="is_add_imm(k)", group="immediate")
_rule("isub_neg_imm", "isub x, #k", "add_ri.R d, x, {-k & MASK}", types="i16 i32 i64", when="is_add_imm(-k & MASK)", group="immediate")
_rule("isub_imul", "isub x, (imul y, z)", "msub.R d, y, z, x", group="multiply")
_rule("isub", "isub x, y", "sub_rr.R d, x, y")
_rule("ineg_imul", "ineg (imul x, y)", "mneg.R d, x, y", group="multiply")
_rule("ineg_ishl", "ineg (ishl x, #k)", "neg_rs.R d, x, {shift(LSL, k % B)}", when="k % B > 0", group="shift")
for _shifted, _kind in (("ushr", "LSR"), ("sshr", "ASR")):
    _rule(f"ineg_{_shifted}", f"ineg ({_shifted} x, #k)", f"neg_rs.R d, x, {{shift({_kind}, k % B)}}", when="k % B > 0", types=WIDE, group="shift")
_rule("ineg", "ineg x", "neg_rr.R d, x")
_rule("iabs", "iabs x:s", "cmp_ri.R x, {0}; cneg.R d, x, LT")

# ---- multiplication and division ----------------------------------------------------------------------
_rule("imul_uextend", "imul (uextend x), (uextend y)", "umull d, x, y", types="i64", when="bits(x) == 32 and bits(y) == 32", group="multiply")
_rule("imul_sextend", "imul (sextend x), (sextend y)", "smull d, x, y", types="i64", when="bits(x) == 32 and bits(y) == 32", group="multiply")
_rule("imul_ineg", "imul x, (ineg y)", "mneg.R d, x, y", group="multiply")
_rule("imul_power", "imul x, #k", "lsl_ri.R d, x, {log2(k)}", when="is_power(k) and k > 1", group="immediate")
_rule("imul", "imul x, y", "mul.R d, x, y")
_rule("umulhi_64", "umulhi x, y", "umulh d, x, y", types="i64")
_rule("umulhi_32", "umulhi x, y", "umull t, x, y; lsr_ri.x d, t, {32}", types="i32")
_rule("umulhi_narrow", "umulhi x:u, y:u", "mul.w t, x, y; lsr_ri.w d, t, {B}", types=NARROW)
_rule("smulhi_64", "smulhi x, y", "smulh d, x, y", types="i64")
_rule("smulhi_32", "smulhi x, y", "smull t, x, y; lsr_ri.x d, t, {32}", types="i32")
_rule("smulhi_narrow", "smulhi x:s, y:s", "mul.w t, x, y; asr_ri.w d, t, {B}", types=NARROW)
_DIVZ = "cbz.R y, !int_divz, {-1};"
_OVERFLOW = "cmn_ri.R y, {1}; ccmp_ri.R %s, {1}, {0}, EQ; b_cond VS, !int_ovf, {-1};"
_rule("udiv_power", "udiv x:u, #k", "lsr_ri.R d, x, {log2(k)}", when="is_power(k) and k > 1", group="immediate")
_rule("udiv_const", "udiv x:u, #k=y:u", "udiv_rr.R d, x, y", when="k != 0", group="immediate")
_rule("udiv", "udiv x:u, y:u", f"{_DIVZ} udiv_rr.R d, x, y")
_rule("sdiv_const", "sdiv x:s, #k=y:s", "sdiv_rr.R d, x, y", when="k != 0 and k != MASK", group="immediate")
_rule("sdiv_wide", "sdiv x, y", f"{_DIVZ} {_OVERFLOW % 'x'} sdiv_rr.R d, x, y", types=WIDE)
_rule("sdiv_narrow", "sdiv x:s, y:s", f"{_DIVZ} lsl_ri.w t, x, {{32 - B}}; {_OVERFLOW % 't'} sdiv_rr.w d, x, y", types=NARROW)
_rule("urem_power", "urem x, #k", "and_ri.R d, x, {k - 1}", when="is_power(k) and k > 1", group="immediate")
_rule("urem_const", "urem x:u, #k=y:u", "udiv_rr.R t, x, y; msub.R d, t, y, x", when="k != 0", group="immediate")
_rule("urem", "urem x:u, y:u", f"{_DIVZ} udiv_rr.R t, x, y; msub.R d, t, y, x")
_rule("srem_const", "srem x:s, #k=y:s", "sdiv_rr.R t, x, y; msub.R d, t, y, x", when="k != 0", group="immediate")
_rule("srem", "srem x:s, y:s", f"{_DIVZ} sdiv_rr.R t, x, y; msub.R d, t, y, x")
for _op, _sign, _cc in (("smin", "s", "LT"), ("umin", "u", "LO"), ("smax", "s", "GT"), ("umax", "u", "HI")):
    _rule(_op, f"{_op} x:{_sign}, y:{_sign}", f"cmp_rr.R x, y; csel.R d, x, y, {_cc}")

# ---- overflow -------------------------------------------------------------------------------------------
for _op, _row, _cc, _scc in (("add", "adds", "HS", "VS"), ("sub", "subs", "LO", "VS")):
    for _sign, _flag in (("u", _cc), ("s", _scc)):
        _rule(f"{_sign}{_op}_overflow_imm", f"{_sign}{_op}_overflow x, #k", f"{_row}_ri.R d, x, {{k}}; cset.w d2, {_flag}",
              when="is_add_imm(k)", types=WIDE, group="immediate")
        _rule(f"{_sign}{_op}_overflow", f"{_sign}{_op}_overflow x, y", f"{_row}_rr.R d, x, y; cset.w d2, {_flag}", types=WIDE)
_rule("uadd_overflow_narrow", "uadd_overflow x:u, y:u", "add_rr.w d, x, y; lsr_ri.w d2, d, {B}", types=NARROW)
_rule("usub_overflow_narrow", "usub_overflow x:u, y:u", "subs_rr.w d, x, y; cset.w d2, LO", types=NARROW)
_CHECK_SIGNED = "cmp_rx.w d, d, {extend(SXT[B])}; cset.w d2, NE"
_rule("sadd_overflow_narrow", "sadd_overflow x:s, y:s", f"add_rr.w d, x, y; {_CHECK_SIGNED}", types=NARROW)
_rule("ssub_overflow_narrow", "ssub_overflow x:s, y:s", f"sub_rr.w d, x, y; {_CHECK_SIGNED}", types=NARROW)
_rule("umul_overflow_64", "umul_overflow x, y", "mul.x d, x, y; umulh t, x, y; cmp_ri.x t, {0}; cset.w d2, NE", types="i64")
_rule("umul_overflow_32", "umul_overflow x, y", "umull d, x, y; cmp_rx.x d, d, {extend(UXTW)}; cset.w d2, NE", types="i32")
_rule("umul_overflow_narrow", "umul_overflow x:u, y:u", "mul.w d, x, y; cmp_rx.w d, d, {extend(UXT[B])}; cset.w d2, NE", types=NARROW)
_rule("smul_overflow_64", "smul_overflow x, y", "mul.x d, x, y; smulh t, x, y; cmp_rs.x t, d, {shift(ASR, 63)}; cset.w d2, NE", types="i64")
_rule("smul_overflow_32", "smul_overflow x, y", "smull d, x, y; cmp_rx.x d, d, {extend(SXTW)}; cset.w d2, NE", types="i32")
_rule("smul_overflow_narrow", "smul_overflow x:s, y:s", f"mul.w d, x, y; {_CHECK_SIGNED}", types=NARROW)
_rule("uadd_overflow_trap_imm", "uadd_overflow_trap x, #k", "adds_ri.R d, x, {k}; b_cond HS, !inst, {-1}", types=WIDE, when="is_add_imm(k)", group="immediate")
_rule("uadd_overflow_trap", "uadd_overflow_trap x, y", "adds_rr.R d, x, y; b_cond HS, !inst, {-1}", types=WIDE)

# ---- logic ----------------------------------------------------------------------------------------------
_rule("bnot_bxor", "bnot (bxor x, y)", "eon_rr.R d, x, y", group="logic")
_rule("band_field", "band (ushr x, #j), #k", "ubfx.R d, x, {field(j % B, k.bit_length())}", types=WIDE,
      when="is_mask(k) and j % B > 0 and j % B + k.bit_length() < RB", group="bitfield")
_rule("bor_extr", "bor (ishl x, #j), (ushr y, #k)", "extr.R d, x, y, {k % B}", types=WIDE,
      when="j % B + k % B == B", group="bitfield")
for _op, _row, _not in (("band", "and", "bic"), ("bor", "orr", "orn"), ("bxor", "eor", "eon")):
    _rule(f"{_op}_imm", f"{_op} x, #k", f"{_row}_ri.R d, x, {{bitmask_for(k, B)}}", when="bitmask_for(k, B)", group="immediate")
    for _shifted, _kind, _types in (("ishl", "LSL", "i8 i16 i32 i64"), ("ushr", "LSR", WIDE), ("sshr", "ASR", WIDE), ("rotr", "ROR", WIDE)):
        _rule(f"{_op}_bnot_{_shifted}", f"{_op} x, (bnot ({_shifted} y, #k))", f"{_not}_rs.R d, x, y, {{shift({_kind}, k % B)}}", types=_types, when="k % B > 0", group="shift")
        _rule(f"{_op}_{_shifted}", f"{_op} x, ({_shifted} y, #k)", f"{_row}_rs.R d, x, y, {{shift({_kind}, k % B)}}", types=_types, when="k % B > 0", group="shift")
    _rule(f"{_op}_bnot", f"{_op} x, (bnot y)", f"{_not}_rr.R d, x, y", group="logic")
    _rule(_op, f"{_op} x, y", f"{_row}_rr.R d, x, y")
for _shifted, _kind, _types in (("ishl", "LSL", "i8 i16 i32 i64"), ("ushr", "LSR", WIDE), ("sshr", "ASR", WIDE), ("rotr", "ROR", WIDE)):
    _rule(f"bnot_{_shifted}", f"bnot ({_shifted} x, #k)", f"mvn_rs.R d, x, {{shift({_kind}, k % B)}}", types=_types, when="k % B > 0", group="shift")
_rule("bnot", "bnot x", "mvn_rr.R d, x")
_rule("bitselect_vector", "bitselect c, x, y", "fmov_from.x f0, c; fmov_from.x f1, x; fmov_from.x f2, y; bsl f, f1, f2, f0; fmov_to.x d, f", types="i64", group="vector")
_rule("bitselect", "bitselect c, x, y", "and_rr.R t, x, c; bic_rr.R t0, y, c; orr_rr.R d, t, t0")

# ---- shifts and rotations -------------------------------------------------------------------------------
_rule("shift_by_zero", "ishl|ushr|sshr|rotl|rotr x, #k", "mov_rr.x d, x", when="k % B == 0", group="immediate")
_rule("ishl_uextend", "ishl (uextend x), #k", "ubfiz.R d, x, {field(k % B, bits(x))}", types=WIDE,
      when="k % B > 0 and k % B + bits(x) < RB", group="bitfield")
_rule("ishl_sextend", "ishl (sextend x), #k", "sbfiz.R d, x, {field(k % B, bits(x))}", types=WIDE,
      when="k % B > 0 and k % B + bits(x) < RB", group="bitfield")
_rule("ishl_imm", "ishl x, #k", "lsl_ri.R d, x, {k % B}", when="k % B > 0", group="immediate")
_rule("sshr_ishl", "sshr (ishl x, #j), #k", "sbfx.R d, x, {field(k % B - j % B, B - k % B)}", types=WIDE,
      when="j % B < k % B and j % B > 0", group="bitfield")
for _op, _row, _wide, _sign in (("ushr", "lsr", "ubfx", "u"), ("sshr", "asr", "sbfx", "s")):
    _rule(f"{_op}_imm", f"{_op} x, #k", f"{_row}_ri.R d, x, {{k % B}}", types=WIDE, when="k % B > 0", group="immediate")
    _rule(f"{_op}_imm_narrow", f"{_op} x, #k", f"{_wide}.w d, x, {{field(k % B, B - k % B)}}", types=NARROW, when="k % B > 0", group="immediate")
    _rule(f"{_op}_wide", f"{_op} x, y", f"{_row}_rr.R d, x, y", types=WIDE)
    _rule(f"{_op}_narrow", f"{_op} x:{_sign}, y", f"and_ri.w t, y, {{B - 1}}; {_row}_rr.w d, x, t", types=NARROW)
_rule("ishl_wide", "ishl x, y", "lsl_rr.R d, x, y", types=WIDE)
_rule("ishl_narrow", "ishl x, y", "and_ri.w t, y, {B - 1}; lsl_rr.w d, x, t", types=NARROW)
# A narrow value is rotated as copies of itself that fill 32 bits.
_COPIES = {"i8": "orr_rs.w t8, x, x, {shift(LSL, 8)}; orr_rs.w t, t8, t8, {shift(LSL, 16)}",
           "i16": "orr_rs.w t, x, x, {shift(LSL, 16)}"}
for _op, _amount in (("rotr", "k % B"), ("rotl", "-k % B")):
    _rule(f"{_op}_imm", f"{_op} x, #k", f"ror_ri.R d, x, {{{_amount}}}", types=WIDE, when="k % B > 0", group="immediate")
    for _type, _copies in _COPIES.items():
        _rule(f"{_op}_imm_{_type}", f"{_op} x:u, #k", f"{_copies}; ror_ri.w d, t, {{{_amount}}}", types=_type, when="k % B > 0", group="immediate")
_rule("rotr_wide", "rotr x, y", "ror_rr.R d, x, y", types=WIDE)
_rule("rotl_wide", "rotl x, y", "neg_rr.w t, y; ror_rr.R d, x, t", types=WIDE)
for _type, _copies in _COPIES.items():
    _rule(f"rotr_{_type}", "rotr x:u, y", f"{_copies}; ror_rr.w d, t, y", types=_type)
    _rule(f"rotl_{_type}", "rotl x:u, y", f"{_copies}; neg_rr.w t0, y; ror_rr.w d, t, t0", types=_type)

# ---- counting and reordering bits -------------------------------------------------------------------------
_rule("clz", "clz x", "clz.R d, x", types=WIDE)
_rule("clz_narrow", "clz x:u", "clz.w t, x; sub_ri.w d, t, {32 - B}", types=NARROW)
_rule("ctz", "ctz x", "rbit.R t, x; clz.R d, t", types=WIDE)
_rule("ctz_narrow", "ctz x", "orr_ri.w t, x, {1 << B}; rbit.w t0, t; clz.w d, t0", types=NARROW)
_rule("cls", "cls x", "cls.R d, x", types=WIDE)
_rule("cls_narrow", "cls x:s", "cls.w t, x; sub_ri.w d, t, {32 - B}", types=NARROW)
_rule("bitrev", "bitrev x", "rbit.R d, x", types=WIDE)
_rule("bitrev_narrow", "bitrev x", "rbit.w t, x; lsr_ri.w d, t, {32 - B}", types=NARROW)
_rule("bswap", "bswap x", "rev.R d, x", types=WIDE)
_rule("bswap_16", "bswap x", "rev16.w d, x", types="i16")
_rule("popcnt", "popcnt x:u", "fmov_from.R f, x; cnt f0, f; addv f1, f0; fmov_to.w d, f1")

# ---- comparisons as conditions ------------------------------------------------------------------------
_EQUALITY = "cc in ('eq', 'ne') and k == 0"
_rule("cmp_band_imm", "cmp (band x, #j), #k", "tst_ri.R x, {j}; -> CC[cc]", when=f"{_EQUALITY} and is_bitmask(j, RB)", group="logic")
_rule("cmp_band", "cmp (band x, y), #k", "tst_rr.R x, y; -> CC[cc]", when=_EQUALITY, types=WIDE, group="logic")
_rule("cmp_imm", "cmp x, #k", "cmp_ri.R x, {k}; -> CC[cc]", when="is_add_imm(k)", types=WIDE, group="immediate")
_rule("cmn_imm", "cmp x, #k", "cmn_ri.R x, {-k & MASK}; -> CC[cc]", when="is_add_imm(-k & MASK)", types=WIDE, group="immediate")
_rule("cmp_imm_unsigned", "cmp x:u, #k", "cmp_ri.w x, {k}; -> CC[cc]", when="cc[0] != 's' and is_add_imm(k)", types=NARROW, group="immediate")
_rule("cmp_imm_signed", "cmp x:s, #k", "cmp_ri.w x, {k}; -> CC[cc]", when="cc[0] == 's' and is_add_imm(signed(k, B))", types=NARROW, group="immediate")
_rule("cmn_imm_signed", "cmp x:s, #k", "cmn_ri.w x, {-signed(k, B)}; -> CC[cc]", when="cc[0] == 's' and is_add_imm(-signed(k, B))", types=NARROW, group="immediate")
_rule("cmp_uextend", "cmp x, (uextend y)", "cmp_rx.R x, y, {extend(UXT[bits(y)])}; -> CC[cc]", types=WIDE, group="extend")
_rule("cmp_sextend", "cmp x, (sextend y)", "cmp_rx.R x, y, {extend(SXT[bits(y)])}; -> CC[cc]", types=WIDE, group="extend")
for _shifted, _kind in (("ishl", "LSL"), ("ushr", "LSR"), ("sshr", "ASR")):
    _rule(f"cmp_{_shifted}", f"cmp x, ({_shifted} y, #k)", f"cmp_rs.R x, y, {{shift({_kind}, k % B)}}; -> CC[cc]", when="k % B > 0", types=WIDE, group="shift")
_rule("cmp", "cmp x, y", "cmp_rr.R x, y; -> CC[cc]", types=WIDE)
_rule("cmp_narrow_signed", "cmp x:s, y", "cmp_rx.w x, y, {extend(SXT[B])}; -> CC[cc]", when="cc[0] == 's'", types=NARROW)
_rule("cmp_narrow", "cmp x:u, y", "cmp_rx.w x, y, {extend(UXT[B])}; -> CC[cc]", types=NARROW)
_rule("nz_band_imm", "nz (band x, #k)", "tst_ri.R x, {k}; -> NE", when="is_bitmask(k, RB)", group="logic")
_rule("nz_band", "nz (band x, y)", "tst_rr.R x, y; -> NE", types=WIDE, group="logic")
_rule("nz", "nz x", "cmp_ri.R x, {0}; -> NE", types=WIDE)
_rule("nz_narrow", "nz x", "tst_ri.w x, {MASK}; -> NE", types=NARROW)

# ---- conditions as values -------------------------------------------------------------------------------
_rule("icmp", "icmp ?c", "cset.w d, c")
_rule("bmask", "bmask ?c", "csetm.R d, c")
_SELECT = "select|select_spectre_guard"
_rule("select_one_zero", f"{_SELECT} ?c, #j, #k", "cset.R d, c", when="j == 1 and k == 0", group="select")
_rule("select_zero_one", f"{_SELECT} ?c, #j, #k", "cset.R d, {c ^ 1}", when="j == 0 and k == 1", group="select")
_rule("select_ones_zero", f"{_SELECT} ?c, #j, #k", "csetm.R d, c", when="j == MASK and k == 0", group="select")
_rule("select_or_zero", f"{_SELECT} ?c, x, #k", "csel.R d, x, zr, c", when="k == 0", group="select")
_rule("select_zero_or", f"{_SELECT} ?c, #k, x", "csel.R d, zr, x, c", when="k == 0", group="select")
for _name, _inner, _row in (("increment", "(iadd y, #k)", "csinc"), ("invert", "(bnot y)", "csinv"), ("negate", "(ineg y)", "csneg")):
    _when = "k == 1" if "k" in _inner else ""
    _rule(f"select_or_{_name}", f"{_SELECT} ?c, x, {_inner}", f"{_row}.R d, x, y, c", when=_when, group="select")
    _rule(f"select_{_name}_or", f"{_SELECT} ?c, {_inner}, x", f"{_row}.R d, x, y, {{c ^ 1}}", when=_when, group="select")
_rule("select", f"{_SELECT} ?c, x, y", "csel.R d, x, y, c")

# ---- widths -----------------------------------------------------------------------------------------------
for _from, _to, _bits in (("i8", "i16 i32 i64", "b"), ("i16", "i32 i64", "h")):
    _rule(f"uextend_{_from}", "uextend x", f"uxt{_bits} d, x", types=_to, second=_from)
    _rule(f"sextend_{_from}", "sextend x", f"sxt{_bits}.R d, x", types=_to, second=_from)
_rule("uextend_i32", "uextend x", "mov_rr.w d, x", types="i64", second="i32")
_rule("sextend_i32", "sextend x", "sxtw d, x", types="i64", second="i32")
for _from, _to in (("i16", "i8"), ("i32", "i8 i16"), ("i64", "i8 i16 i32")):
    _rule(f"ireduce_{_from}", "ireduce x", "mov_rr.x d, x", types=_to, second=_from)

# ---- memory -----------------------------------------------------------------------------------------------
_MEMORY_TYPES = f"{ALL} {FLOATS}"
for _kind, _ops, _reg, _pre in (("load", LOADS, "d", ""), ("store", STORES, "v", "v, ")):
    for _sign, _ext in (("u", "UXTW"), ("s", "SXTW")):
        _rule(f"{_kind}_{_sign}xtw_scaled", f"{_ops} {_pre}(iadd x, (ishl ({_sign}extend y), #k))", f"$M_rx {_reg}, x, y, {{{_ext} << 1 | 1}}, trap", types=_MEMORY_TYPES,
              when="imm == 0 and bits(y) == 32 and k % 64 == $S", group="address")
        _rule(f"{_kind}_{_sign}xtw", f"{_ops} {_pre}(iadd x, ({_sign}extend y))", f"$M_rx {_reg}, x, y, {{{_ext} << 1}}, trap", types=_MEMORY_TYPES,
              when="imm == 0 and bits(y) == 32", group="address")
    _rule(f"{_kind}_lsl", f"{_ops} {_pre}(iadd x, (ishl y, #k))", f"$M_rl {_reg}, x, y, trap", types=_MEMORY_TYPES, when="imm == 0 and k % 64 == $S", group="address")
    _rule(f"{_kind}_folded", f"{_ops} {_pre}(iadd x, #k)", f"$M_ui {_reg}, x, {{signed(k, 64) + imm}}, trap", types=_MEMORY_TYPES, when="scaled(signed(k, 64) + imm, $S)", group="address")
    _rule(f"{_kind}_folded_unscaled", f"{_ops} {_pre}(iadd x, #k)", f"$M_ur {_reg}, x, {{signed(k, 64) + imm}}, trap", types=_MEMORY_TYPES, when="unscaled(signed(k, 64) + imm)", group="address")
    _rule(f"{_kind}_indexed", f"{_ops} {_pre}(iadd x, y)", f"$M_rr {_reg}, x, y, trap", types=_MEMORY_TYPES, when="imm == 0", group="address")
_rule("store_zero", f"{STORES} #z, a", "$M_ui zr, a, {imm}, trap", when="z == 0 and scaled(imm, $S)", group="immediate")
for _kind, _ops, _reg, _pre in (("load", LOADS, "d", ""), ("store", STORES, "v", "v, ")):
    _rule(f"{_kind}", f"{_ops} {_pre}a", f"$M_ui {_reg}, a, {{imm}}, trap", types=_MEMORY_TYPES, when="scaled(imm, $S)")
    _rule(f"{_kind}_unscaled", f"{_ops} {_pre}a", f"$M_ur {_reg}, a, {{imm}}, trap", types=_MEMORY_TYPES, when="unscaled(imm)")
    _rule(f"{_kind}_far", f"{_ops} {_pre}a", f"add_ri.x t, a, {{imm & ~0xfff}}; $M_ui {_reg}, t, {{imm & 0xfff}}, trap", types=_MEMORY_TYPES, when="0 <= imm < 1 << 24 and scaled(imm & 0xfff, $S)")
    _rule(f"{_kind}_any", f"{_ops} {_pre}a", f"$M_rr {_reg}, a, =64:imm & MASK64, trap", types=_MEMORY_TYPES)


def _emit_slot_addr(low: Lowering, inst: Inst) -> None:
    vreg = low.result(inst.results[0])
    low.out.append(MInst(ROWS["slot_addr"], [vreg, inst.ref, inst.imm], None, 0, low.origin))


_rule("stack_addr", "stack_addr", _emit_slot_addr, types="i64")

# ---- control flow -------------------------------------------------------------------------------------------
for _size, _range, _types in (("w", "not j >> 32", "i8 i16 i32 i64"), ("x", "j >> 32", "i64")):
    for _cc, _row in (("eq", "tbz"), ("ne", "tbnz")):
        _rule(f"brif_bit_{_cc}_zero_{_size}", "brif (icmp (band x, #j), #k)", f"{_row}.{_size} x, {{log2(j)}}, then, else", types="i8",
              when=f"i1.keyword == '{_cc}' and k == 0 and is_power(j) and {_range}", group="fusion")
    _rule(f"brif_bit_{_size}", "brif (band x, #j)", f"tbnz.{_size} x, {{log2(j)}}, then, else", types=_types,
          when=f"is_power(j) and {_range}", group="fusion")
for _size, _equal, _sign in (("w", "bits(x) == 32", "bits(x) < 64"), ("x", "bits(x) == 64", "bits(x) == 64")):
    for _cc, _row in (("eq", "cbz"), ("ne", "cbnz")):
        _rule(f"brif_{_cc}_zero_{_size}", "brif (icmp x, #k)", f"{_row}.{_size} x, then, else", types="i8",
              when=f"i1.keyword == '{_cc}' and k == 0 and {_equal}", group="fusion")
    for _cc, _row in (("slt", "tbnz"), ("sge", "tbz")):
        _rule(f"brif_{_cc}_zero_{_size}", "brif (icmp x, #k)", f"{_row}.{_size} x, {{bits(x) - 1}}, then, else", types="i8",
              when=f"i1.keyword == '{_cc}' and k == 0 and {_sign}", group="fusion")
_rule("brif_icmp", "brif ?c", "b_cond c, then, else", when="fuses(c)", group="fusion")
_rule("brif_wide", "brif x", "cbnz.R x, then, else", types=WIDE)
_rule("brif", "brif ?c", "b_cond c, then, else", types=NARROW)
for _op, _row, _flip in (("trapz", "cbz", "{c ^ 1}"), ("trapnz", "cbnz", "c")):
    _rule(f"{_op}_icmp", f"{_op} ?c", f"b_cond {_flip}, !inst, {{-1}}", when="fuses(c)", group="fusion")
    _rule(f"{_op}_wide", f"{_op} x", f"{_row}.R x, !inst, {{-1}}", types=WIDE)
    _rule(_op, f"{_op} ?c", f"b_cond {_flip}, !inst, {{-1}}", types=NARROW)
_rule("trap", "trap", "udf {code + 1}, {code}")
_rule("nop", "nop", "nop")
_rule("return", "return", emit_return)
_rule("call", "call", emit_call)
_rule("call_indirect", "call_indirect", emit_call)
_rule("return_call", "return_call", emit_tail_call)
_rule("return_call_indirect", "return_call_indirect", emit_tail_call)
_rule("func_addr", "func_addr", emit_func_addr, types="i64")


def _emit_br_table(low: Lowering, inst: Inst, index: int) -> None:
    blocks = [low.edge(call) for call in inst.targets]
    low.out.append(MInst(ROWS["br_table"], [index, *blocks], None, 0, low.origin))


_rule("br_table", "br_table x", _emit_br_table)
add_float_rules(RULES)
add_pair_rules(RULES)
# fmt: on
