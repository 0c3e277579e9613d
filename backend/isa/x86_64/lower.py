# ruff: noqa: E501  # a table: one row a line
"""x86-64's lowering rules, specific before general; see :mod:`backend.lower.rules` for the notation.

Values of i8 and i16 live in registers whose bits above the type's are undefined. Where an instruction of the value's own
width exists (``.T``) it does not matter; else a rule that cares asks for an operand extended (``x:u``, ``x:s``).

Nothing between a comparison and its user may write the flags: rows of a rule's own lines only, and the allocator's moves, which
are MOV and MOVAPS. Constants are made before the comparison, by MOV.
"""

from __future__ import annotations

from typing import Final

from backend.ir.entities import Inst
from backend.ir.opcodes import SWAPPED
from backend.isa.memory_rows import LOADS, STORES, memory_rows
from backend.isa.x86_64 import fields as f
from backend.isa.x86_64.insts import ROWS
from backend.isa.x86_64.regs import RAX
from backend.isa.x86_64.rules_float import NAMES as FLOAT_NAMES
from backend.isa.x86_64.rules_float import add_float_rules
from backend.isa.x86_64.rules_pair import add_pair_rules
from backend.lower.calls import emit_call, emit_func_addr, emit_return, emit_tail_call
from backend.lower.driver import Lowering
from backend.lower.rules import ALL, FLOATS, NARROW, WIDE, RuleSet
from backend.machine.registers import INT
from backend.machine.vcode import MInst

CONDITION: Final = {
    "eq": f.E, "ne": f.NE, "slt": f.L, "sle": f.LE, "sgt": f.G, "sge": f.GE,
    "ult": f.B, "ule": f.BE, "ugt": f.A, "uge": f.AE,
}  # fmt: skip
_SIZES: Final = {
    ".R": {8: ".l", 16: ".l", 32: ".l", 64: ".q", 128: ".q"},
    ".F": {32: ".s", 64: ".d"},
    ".T": {8: ".b", 16: ".w", 32: ".l", 64: ".q"},
}


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _fits32(value: int) -> bool:
    """Can the sign-extended immediate of 32 bits, or a displacement, be ``value``?"""
    return -1 << 31 <= value < 1 << 31


def _stored(value: int, log: int) -> int:
    """The low ``8 << log`` bits of ``value``, signed."""
    bits = 8 << log
    return _signed(value & (1 << bits) - 1, bits)


def _is_power(value: int) -> bool:
    return value > 0 and not value & (value - 1)


def _repeated(byte: int) -> dict[int, int]:
    """A constant whose bytes are all ``byte``, by width."""
    return {bits: int.from_bytes(bytes((byte,)) * (bits // 8), "little") for bits in (32, 64)}


_NAMES: Final[dict[str, object]] = {
    "EQ": f.E, "NE": f.NE, "OVERFLOW": f.O, "BELOW": f.B, "ABOVE": f.A, "LESS": f.L, "GREATER": f.G, "SIGN": f.S,
    "CC": CONDITION, "signed": _signed, "fits32": _fits32, "stored": _stored, "is_power": _is_power,
    "log2": lambda value: value.bit_length() - 1, **FLOAT_NAMES,
    **{f"BYTES_{byte:02X}": _repeated(byte) for byte in (0x01, 0x0F, 0x33, 0x55)},
}  # fmt: skip

_MEMORY: Final = memory_rows(
    loads={8: "movzx_b.l", 16: "movzx_w.l", 32: "load.l", 64: "load.q"},
    sign_extending={8: ("movsx_b.l", "movsx_b.q"), 16: ("movsx_w.l", "movsx_w.q"), 32: ("movsx_l.q",)},
    stores={8: "store.b", 16: "store.w", 32: "store.l", 64: "store.q"},
    float_loads={32: "fload.s", 64: "fload.d"},
    float_stores={32: "fstore.s", 64: "fstore.d"},
)  # fmt: skip

#: rows by opcode: what is done to an operand in memory
_OPERATIONS: Final = {"iadd": "add", "isub": "sub", "band": "and", "bor": "or", "bxor": "xor"}
_ON_REGISTERS: Final = {
    **_OPERATIONS,
    "imul": "imul",
    "fadd": "add",
    "fsub": "sub",
    "fmul": "mul",
    "fdiv": "div",
}

_SUBSTITUTES: Final = {
    **_MEMORY,
    **{(op, type_): {"A": row} for op, row in _ON_REGISTERS.items() for type_ in (*WIDE.split(), *FLOATS.split())},
}  # fmt: skip

RULES: Final = RuleSet(ROWS, _NAMES, SWAPPED, _SUBSTITUTES, _SIZES)
_rule: Final = RULES.rule

# fmt: off
# ---- constants -----------------------------------------------------------------------------------------
_rule("const_32", "const", "mov_ri.l d, {k}", types=WIDE, when="not k >> 32")
_rule("const_signed", "const", "mov_ri.q d, {signed(k, 64)}", types="i64", when="fits32(signed(k, 64))", group="immediate")
_rule("const_pool", "const", "mov_pool.q d, {k}", types="i64", group="pool")
_rule("const_64", "const", "movabs.q d, {k}", types="i64")

# ---- addition and subtraction -------------------------------------------------------------------------
_rule("iadd_iadd_imm", "iadd (iadd x, y), #k", "lea_x.R d, x, y, {0}, {signed(k, B)}", when="fits32(signed(k, B))", group="address")
_rule("iadd_ishl", "iadd x, (ishl y, #k)", "lea_x.R d, x, y, {k % B}, {0}", when="0 < k % B <= 3", group="shift")
_rule("iadd_imm", "iadd x, #k", "lea_o.R d, x, {signed(k, B)}", when="fits32(signed(k, B))", group="immediate")
# A load that nobody else wants, made by its user.
_BY_LOAD: Final = "iadd|isub|band|bor|bxor|imul"
_FOLDED_LOAD: Final = "signed(k, 64) + i1.imm"
_rule("alu_load_folded", f"{_BY_LOAD} y, (load (iadd x, #k))", f"$A_rm.R_o d, x, {{{_FOLDED_LOAD}}}, y, trap1", types=WIDE, when=f"not constant(y) and fits32({_FOLDED_LOAD})", group="fold")
_rule("alu_load_indexed", f"{_BY_LOAD} z, (load (iadd x, y))", "$A_rm.R_x d, x, y, {0}, {i1.imm}, z, trap1", types=WIDE, when="not constant(z)", group="fold")
_rule("alu_load", f"{_BY_LOAD} y, (load a)", "$A_rm.R_o d, a, {i1.imm}, y, trap1", types=WIDE, when="not constant(y)", group="fold")
_rule("iadd", "iadd x, y", "add_rr.R d, y, x")
_rule("isub_from_zero", "isub #k, y", "neg_r.R d, y", when="k == 0", group="immediate")
_rule("isub_imm", "isub x, #k", "lea_o.R d, x, {-signed(k, B)}", when="fits32(-signed(k, B))", group="immediate")
_rule("isub", "isub x, y", "sub_rr.R d, y, x")
_rule("ineg", "ineg x", "neg_r.R d, x")
# NEG sets the sign flag if the negated value is negative: then x was not.
_rule("iabs", "iabs x:s", "neg_r.R t, x; cmov.R SIGN, d, x, t")

# ---- multiplication and division ----------------------------------------------------------------------
_rule("imul_power", "imul x, #k", "shl_ri.R d, {log2(k)}, x", when="is_power(k) and k > 1", group="immediate")
_rule("imul_lea", "imul x, #k", "lea_x.R d, x, x, {log2(k - 1)}, {0}", when="k in (3, 5, 9)", group="multiply")
_rule("imul_imm", "imul x, #k", "imul_ri.R d, x, {signed(k, B)}", when="fits32(signed(k, B))", group="immediate")
_rule("imul", "imul x, y", "imul_rr.R d, y, x")
for _sign, _row in (("u", "mul"), ("s", "imul_r")):
    _rule(f"{_sign}mulhi", f"{_sign}mulhi x, y", f"{_row}.T y, t, d, x", types="i16 i32 i64")
    _rule(f"{_sign}mulhi_8", f"{_sign}mulhi x, y", f"{_row}.b y, t, x; shr_ri.l d, {{8}}, t", types="i8")
_DIVZ = "test_rr.R y, y; jcc EQ, !int_divz, {-1};"
# y is -1 and x the least number: y + 1 and x with its sign flipped are both 0.
_OVERFLOW = "lea_o.R t, y, {1}; %s; or_rr.R t1, t0, t; jcc EQ, !int_ovf, {-1};"
_IDIV = "cdq.R t2, x; idiv.R y, d, t3, x, t2"
_rule("udiv_power", "udiv x:u, #k", "shr_ri.R d, {log2(k)}, x", when="is_power(k) and k > 1", group="immediate")
_rule("udiv_const", "udiv x:u, #k=y:u", "div.R y, d, t, x, =0", when="k != 0", group="immediate")
_rule("udiv", "udiv x:u, y:u", f"{_DIVZ} div.R y, d, t, x, =0")
_rule("sdiv_const", "sdiv x:s, #k=y:s", _IDIV, when="k != 0 and k != MASK", group="immediate")
_rule("sdiv_64", "sdiv x, y", f"{_DIVZ} {_OVERFLOW % 'btc_ri.q t0, {63}, x'} {_IDIV}", types="i64")
_rule("sdiv", "sdiv x:s, y:s", f"{_DIVZ} {_OVERFLOW % 'xor_ri.l t0, {-1 << B - 1}, x'} {_IDIV}", types="i8 i16 i32")
_rule("urem_power", "urem x, #k", "and_ri.R d, {k - 1}, x", when="is_power(k) and k > 1 and fits32(k - 1)", group="immediate")
_rule("urem_const", "urem x:u, #k=y:u", "div.R y, t, d, x, =0", when="k != 0", group="immediate")
_rule("urem", "urem x:u, y:u", f"{_DIVZ} div.R y, t, d, x, =0")
_rule("srem_const", "srem x:s, #k=y:s", "cdq.R t, x; idiv.R y, t0, d, x, t", when="k != 0 and k != MASK", group="immediate")
# A divisor of -1 becomes 1, of which the remainder is 0 as well, and which does not overflow.
_rule("srem_wide", "srem x, y", f"{_DIVZ} cmp_ri.R y, {{-1}}; cmov.R EQ, t, =1, y; cdq.R t0, x; idiv.R t, t1, d, x, t0", types=WIDE)
_rule("srem_narrow", "srem x:s, y:s", f"{_DIVZ} cdq.l t, x; idiv.l y, t0, d, x, t", types=NARROW)
for _op, _cc in (("smin", "GREATER"), ("umin", "ABOVE"), ("smax", "LESS"), ("umax", "BELOW")):
    _rule(_op, f"{_op} x, y", f"cmp_rr.T x, y; cmov.R {_cc}, d, y, x")

# ---- overflow -------------------------------------------------------------------------------------------
for _op in ("add", "sub"):
    for _sign, _flag in (("u", "BELOW"), ("s", "OVERFLOW")):
        _rule(f"{_sign}{_op}_overflow_imm", f"{_sign}{_op}_overflow x, #k", f"{_op}_ri.T d, {{signed(k, B)}}, x; setcc {_flag}, d2",
              when="fits32(signed(k, B))", group="immediate")
        _rule(f"{_sign}{_op}_overflow", f"{_sign}{_op}_overflow x, y", f"{_op}_rr.T d, y, x; setcc {_flag}, d2")
_rule("umul_overflow", "umul_overflow x, y", "mul.T y, d, t, x; setcc OVERFLOW, d2", types="i16 i32 i64")
_rule("umul_overflow_8", "umul_overflow x, y", "mul.b y, d, x; setcc OVERFLOW, d2", types="i8")
_rule("smul_overflow", "smul_overflow x, y", "imul_rr.T d, y, x; setcc OVERFLOW, d2", types="i16 i32 i64")
_rule("smul_overflow_8", "smul_overflow x, y", "imul_r.b y, d, x; setcc OVERFLOW, d2", types="i8")
_rule("uadd_overflow_trap_imm", "uadd_overflow_trap x, #k", "add_ri.R d, {signed(k, B)}, x; jcc BELOW, !inst, {-1}", types=WIDE, when="fits32(signed(k, B))", group="immediate")
_rule("uadd_overflow_trap", "uadd_overflow_trap x, y", "add_rr.R d, y, x; jcc BELOW, !inst, {-1}", types=WIDE)

# ---- logic ----------------------------------------------------------------------------------------------
_rule("band_byte", "band x, #k", "movzx_b.l d, x", when="k == 0xff", types="i16 i32 i64", group="bitfield")
_rule("band_word", "band x, #k", "movzx_w.l d, x", when="k == 0xffff", types=WIDE, group="bitfield")
_rule("band_low", "band x, #k", "and_ri.l d, {signed(k, 32)}, x", when="not k >> 32 and k >> 31", types="i64", group="bitfield")
for _op, _row in (("band", "and"), ("bor", "or"), ("bxor", "xor")):
    _rule(f"{_op}_imm", f"{_op} x, #k", f"{_row}_ri.R d, {{signed(k, B)}}, x", when="fits32(signed(k, B))", group="immediate")
    _rule(_op, f"{_op} x, y", f"{_row}_rr.R d, y, x")
_rule("bnot", "bnot x", "not_r.R d, x")
_rule("bitselect", "bitselect c, x, y", "xor_rr.R t, y, x; and_rr.R t0, c, t; xor_rr.R d, y, t0")

# ---- shifts and rotations -------------------------------------------------------------------------------
_rule("shift_by_zero", "ishl|ushr|sshr|rotl|rotr x, #k", "mov_rr.q d, x", when="k % B == 0", group="immediate")
_rule("ishl_imm", "ishl x, #k", "shl_ri.R d, {k % B}, x", when="k % B > 0", group="immediate")
_rule("ishl_wide", "ishl x, y", "shl_cl.R d, x, y", types=WIDE)
_rule("ishl_narrow", "ishl x, y", "and_ri.l t, {B - 1}, y; shl_cl.l d, x, t", types=NARROW)
for _op, _row in (("ushr", "shr"), ("sshr", "sar")):
    _rule(f"{_op}_imm", f"{_op} x, #k", f"{_row}_ri.T d, {{k % B}}, x", when="k % B > 0", group="immediate")
    _rule(f"{_op}_wide", f"{_op} x, y", f"{_row}_cl.R d, x, y", types=WIDE)
    # The machine takes the count modulo 32 here.
    _rule(f"{_op}_narrow", f"{_op} x, y", f"and_ri.l t, {{B - 1}}, y; {_row}_cl.T d, x, t", types=NARROW)
for _op, _row in (("rotl", "rol"), ("rotr", "ror")):
    _rule(f"{_op}_imm", f"{_op} x, #k", f"{_row}_ri.T d, {{k % B}}, x", when="k % B > 0", group="immediate")
    _rule(_op, f"{_op} x, y", f"{_row}_cl.T d, x, y")

# ---- counting and reordering bits -------------------------------------------------------------------------
_rule("clz_lzcnt", "clz x", "lzcnt.R d, x", types=WIDE, needs="has_lzcnt")
_rule("clz_narrow_lzcnt", "clz x:u", "lzcnt.l t, x; lea_o.l d, t, {B - 32}", types=NARROW, needs="has_lzcnt")
_rule("cls_lzcnt", "cls x:s", "sar_ri.R t, {RB - 1}, x; xor_rr.R t0, t, x; lzcnt.R t1, t0; lea_o.R d, t1, {B - RB - 1}", needs="has_lzcnt")
# The bit behind the value's own is the one that stops the count.
_rule("ctz_tzcnt", "ctz x", "tzcnt.R d, x", types=WIDE, needs="has_bmi1")
_rule("ctz_narrow_tzcnt", "ctz x", "or_ri.l t, {1 << B}, x; tzcnt.l d, t", types=NARROW, needs="has_bmi1")
# BSR and BSF leave the result undefined and the zero flag set if there is no bit.
_rule("clz", "clz x", "bsr.R t, x; cmov.R EQ, t0, =2 * B - 1, t; xor_ri.R d, {B - 1}, t0", types=WIDE)
# The highest bit of 2x + 1 is one above that of x, and there is one.
_rule("clz_narrow", "clz x:u", "lea_x.l t, x, x, {0}, {1}; bsr.l t0, t; neg_r.l t1, t0; lea_o.l d, t1, {B}", types=NARROW)
_rule("ctz", "ctz x", "bsf.R t, x; cmov.R EQ, d, =B, t", types=WIDE)
_rule("ctz_narrow", "ctz x", "or_ri.l t, {1 << B}, x; bsf.l d, t", types=NARROW)
_rule("cls", "cls x:s", "sar_ri.R t, {RB - 1}, x; xor_rr.R t0, t, x; lea_x.R t1, t0, t0, {0}, {1}; bsr.R t2, t1; xor_ri.R d, {B - 1}, t2")


def _reversed(size: str, result: str) -> str:
    """Lines that reverse the bits of x: the bytes, then the nibbles, pairs and bits in them."""
    bits = 64 if size == "q" else 32
    lines = [f"bswap.{size} t0, x"]
    at = 0
    for shift, byte in ((4, 0x0F), (2, 0x33), (1, 0x55)):
        mask = f"={bits}:BYTES_{byte:02X}[{bits}]"
        to = result if shift == 1 else f"t{at + 5}"
        lines += [
            f"shr_ri.{size} t{at + 1}, {{{shift}}}, t{at}", f"and_rr.{size} t{at + 2}, {mask}, t{at + 1}",
            f"and_rr.{size} t{at + 3}, {mask}, t{at}", f"shl_ri.{size} t{at + 4}, {{{shift}}}, t{at + 3}",
            f"or_rr.{size} {to}, t{at + 4}, t{at + 2}",
        ]
        at += 5
    return "; ".join(lines)


_rule("bitrev_32", "bitrev x", _reversed("l", "d"), types="i32")
_rule("bitrev_64", "bitrev x", _reversed("q", "d"), types="i64")
_rule("bitrev_narrow", "bitrev x", _reversed("l", "t") + "; shr_ri.l d, {32 - B}, t", types=NARROW)
_rule("bswap", "bswap x", "bswap.R d, x", types=WIDE)
_rule("bswap_16", "bswap x", "rol_ri.w d, {8}, x", types="i16")
_rule("popcnt_insn", "popcnt x:u", "popcnt.R d, x", needs="has_popcnt")
# Warren, Hacker's Delight, 5-1: sums of 2, 4 and 8 bits side by side, then all bytes by a multiplication.
_rule("popcnt", "popcnt x:u",
      "shr_ri.R t0, {1}, x; and_rr.R t1, =BYTES_55[RB], t0; sub_rr.R t2, t1, x;"
      "shr_ri.R t3, {2}, t2; and_rr.R t4, =BYTES_33[RB], t3; and_rr.R t5, =BYTES_33[RB], t2; add_rr.R t6, t5, t4;"
      "shr_ri.R t7, {4}, t6; add_rr.R t8, t7, t6; and_rr.R t9, =BYTES_0F[RB], t8;"
      "imul_rr.R t10, =BYTES_01[RB], t9; shr_ri.R d, {RB - 8}, t10")

# ---- comparisons as conditions ------------------------------------------------------------------------
_EQUALITY = "cc in ('eq', 'ne') and k == 0"
_rule("cmp_band_imm", "cmp (band x, #j), #k", "test_ri.T x, {signed(j, B)}; -> CC[cc]", when=f"{_EQUALITY} and fits32(signed(j, B))", group="logic")
_rule("cmp_band", "cmp (band x, y), #k", "test_rr.T x, y; -> CC[cc]", when=_EQUALITY, group="logic")
_rule("cmp_load_imm", "cmp (load a), #k", "cmp_mi.T_o a, {i1.imm}, {signed(k, B)}, trap1; -> CC[cc]", when="fits32(signed(k, B))", group="fold")
_rule("cmp_load", "cmp x, (load a)", "cmp_rm.T_o x, a, {i1.imm}, trap1; -> CC[cc]", when="not constant(x)", group="fold")
_rule("cmp_zero", "cmp x, #k", "test_rr.T x, x; -> CC[cc]", when="k == 0", group="immediate")
_rule("cmp_imm", "cmp x, #k", "cmp_ri.T x, {signed(k, B)}; -> CC[cc]", when="fits32(signed(k, B))", group="immediate")
_rule("cmp", "cmp x, y", "cmp_rr.T x, y; -> CC[cc]")
_rule("nz_band_imm", "nz (band x, #k)", "test_ri.T x, {signed(k, B)}; -> NE", when="fits32(signed(k, B))", group="logic")
_rule("nz_band", "nz (band x, y)", "test_rr.T x, y; -> NE", group="logic")
_rule("nz_load", "nz (load a)", "cmp_mi.T_o a, {i1.imm}, {0}, trap1; -> NE", group="fold")
_rule("nz", "nz x", "test_rr.T x, x; -> NE")

# ---- conditions as values -------------------------------------------------------------------------------
_rule("icmp", "icmp ?c", "setcc c, d")
_rule("bmask", "bmask ?c", "setcc c, t; movzx_b.l t0, t; neg_r.R d, t0")
_SELECT = "select|select_spectre_guard"
_rule("select_one_zero", f"{_SELECT} ?c, #j, #k", "setcc c, t; movzx_b.l d, t", when="j == 1 and k == 0", group="select")
_rule("select_zero_one", f"{_SELECT} ?c, #j, #k", "setcc {c ^ 1}, t; movzx_b.l d, t", when="j == 0 and k == 1", group="select")
_rule("select", f"{_SELECT} ?c, x, y", "cmov.R c, d, x, y")

# ---- widths -----------------------------------------------------------------------------------------------
for _from, _to, _bits in (("i8", "i16 i32 i64", "b"), ("i16", "i32 i64", "w")):
    _rule(f"uextend_load_{_from}", "uextend (load a)", f"movzx_{_bits}.l_o d, a, {{i1.imm}}, trap1", types=_to, second=_from, group="fold")
    _rule(f"sextend_load_{_from}", "sextend (load a)", f"movsx_{_bits}.R_o d, a, {{i1.imm}}, trap1", types=_to, second=_from, group="fold")
    _rule(f"uextend_{_from}", "uextend x", f"movzx_{_bits}.l d, x", types=_to, second=_from)
    _rule(f"sextend_{_from}", "sextend x", f"movsx_{_bits}.R d, x", types=_to, second=_from)
_rule("uextend_load_i32", "uextend (load a)", "load.l_o d, a, {i1.imm}, trap1", types="i64", second="i32", group="fold")
_rule("sextend_load_i32", "sextend (load a)", "movsx_l.q_o d, a, {i1.imm}, trap1", types="i64", second="i32", group="fold")
_rule("uextend_i32", "uextend x", "mov_rr.l d, x", types="i64", second="i32")
_rule("sextend_i32", "sextend x", "movsx_l.q d, x", types="i64", second="i32")
for _from, _to in (("i16", "i8"), ("i32", "i8 i16"), ("i64", "i8 i16 i32")):
    _rule(f"ireduce_{_from}", "ireduce x", "mov_rr.q d, x", types=_to, second=_from)

# ---- memory -----------------------------------------------------------------------------------------------
# Read, changed and written back: both accesses have one address, width and trap.
_SAME_PLACE: Final = "i2.imm == imm and i2.flags.trap == inst.flags.trap"
for _op, _row in _OPERATIONS.items():
    _rule(f"store_{_op}_imm", f"store ({_op} (load a), #k), a", f"{_row}_mi.T_o a, {{imm}}, {{signed(k, B)}}, trap", when=f"{_SAME_PLACE} and fits32(signed(k, B))", group="fold")
    _rule(f"store_{_op}", f"store ({_op} (load a), x), a", f"{_row}_mr.T_o a, {{imm}}, x, trap", when=_SAME_PLACE, group="fold")
_FOLDED: Final = "signed(k, 64) + imm"
_STORABLE: Final = "fits32(stored(v, $S))"
_MEMORY_TYPES: Final = f"{ALL} {FLOATS}"
for _kind, _root, _emit, _when, _group in (
    ("load", f"{LOADS} ", "$M_{0} d, {1}, trap", "True", ""),
    ("store_imm", f"{STORES} #v, ", "$M_imm_{0} {1}, {{stored(v, $S)}}, trap", _STORABLE, "immediate"),
    ("store", f"{STORES} v, ", "$M_{0} {1}, v, trap", "True", "")):
    _rule(f"{_kind}_scaled", f"{_root}(iadd x, (ishl y, #k))", _emit.format("x", "x, y, {k % 64}, {imm}"), when=f"{_when} and k % 64 <= 3", group="address", types=_MEMORY_TYPES)
    _rule(f"{_kind}_indexed_folded", f"{_root}(iadd (iadd x, y), #k)", _emit.format("x", f"x, y, {{0}}, {{{_FOLDED}}}"), when=f"{_when} and fits32({_FOLDED})", group="address", types=_MEMORY_TYPES)
    _rule(f"{_kind}_folded", f"{_root}(iadd x, #k)", _emit.format("o", f"x, {{{_FOLDED}}}"), when=f"{_when} and fits32({_FOLDED})", group="address", types=_MEMORY_TYPES)
    _rule(f"{_kind}_indexed", f"{_root}(iadd x, y)", _emit.format("x", "x, y, {0}, {imm}"), when=_when, group="address", types=_MEMORY_TYPES)
    _rule(_kind, f"{_root}a", _emit.format("o", "a, {imm}"), when=_when, group=_group, types=_MEMORY_TYPES)


def _emit_slot_addr(low: Lowering, inst: Inst) -> None:
    vreg = low.result(inst.results[0])
    low.out.append(MInst(ROWS["slot_addr"], [vreg, inst.ref, inst.imm], None, 0, low.origin))


_rule("stack_addr", "stack_addr", _emit_slot_addr, types="i64")

# ---- control flow -------------------------------------------------------------------------------------------
_rule("brif", "brif ?c", "jcc c, then, else")
_rule("trapz", "trapz ?c", "jcc {c ^ 1}, !inst, {-1}")
_rule("trapnz", "trapnz ?c", "jcc c, !inst, {-1}")
_rule("trap", "trap", "ud2 {code}")
_rule("nop", "nop", "nop")
_rule("return", "return", emit_return)
_rule("call", "call", emit_call)
_rule("call_indirect", "call_indirect", emit_call)
_rule("return_call", "return_call", emit_tail_call)
_rule("return_call_indirect", "return_call_indirect", emit_tail_call)
_rule("func_addr", "func_addr", emit_func_addr, types="i64")


def _emit_br_table(low: Lowering, inst: Inst, index: int) -> None:
    """The index is cut to its 32 bits here; its register is the jump's to overwrite."""
    blocks = [low.edge(call) for call in inst.targets]
    wide = low.temp(INT)
    low.out.append(MInst(ROWS["mov_rr.l"], [wide, index], None, 0, low.origin))
    low.out.append(MInst(ROWS["br_table"], [wide, *blocks], None, 1 << RAX, low.origin))


_rule("br_table", "br_table x", _emit_br_table)
add_float_rules(RULES)
add_pair_rules(RULES)
# fmt: on
