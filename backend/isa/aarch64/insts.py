# ruff: noqa: E501  # a table: one row a line
"""AArch64's instructions, one row each.

``sf`` in a pattern makes two rows, ``NAME.w`` and ``NAME.x``, and the kinds ``r rz rs bm ...`` mean those of
that size. An instruction that Capstone shows under another name where a register is 31 or two operands
coincide is a row of its own, or an alias of the row, so that every row's text is exactly what is decoded.

Name suffixes: ``_rr`` registers, ``_ri`` immediate, ``_rs`` shifted register, ``_rx`` extended register; of
addresses ``_ui`` scaled offset, ``_ur`` unscaled offset, ``_rr`` register, ``_rl`` shifted register, ``_rx``
extended register. A float instruction is called ``NAME.s`` or ``NAME.d`` after its operands; one between a float and an integer
``NAME_s.w`` and so on.

Source: Arm Architecture Reference Manual (DDI 0487), C4.1 (encoding index), C6.2 and C7.2.
"""

from __future__ import annotations

import re
from typing import Final

from backend.isa.aarch64.fields import KINDS
from backend.machine.rows import BRANCH, JUMP, LEAVE, Row, RowTable

ROWS: Final = RowTable()

_SIZED: Final = (
    "r",
    "rz",
    "rs",
    "bm",
    "bt",
    "mb",
    "wz",
    "wn",
    "hw",
    "s",
    "ls",
    "sh",
    "shr",
    "bx",
    "bi",
)


def _kind_of_size(kind: str, letter: str) -> str:
    if kind[0] == "r":
        return letter + kind[1:]
    return kind + ("64" if letter == "x" else "32")


def _row(name: str, template: str, pattern: str, **attributes: object) -> None:
    """A row, or its two sizes."""
    if "sf" not in pattern.split():
        ROWS.add(Row(name, template, pattern, KINDS, **attributes))  # type: ignore[arg-type]  # a row's keywords
        return
    for letter, bit in (("w", "0"), ("x", "1")):
        ROWS.add(Row(
            f"{name}.{letter}",
            re.sub(r":(\w+)\}", lambda m: f":{_kind_of_size(m[1], letter) if m[1] in _SIZED else m[1]}}}", template),  # noqa: B023  # used at once
            " ".join(bit if word == "sf" else word for word in pattern.split()),
            KINDS,
            **{key: _sized_extra(value, letter) for key, value in attributes.items()},  # type: ignore[arg-type]  # as above
        ))  # fmt: skip


def _sized_extra(value: object, letter: str) -> object:
    return value.replace(":r", f":{letter}") if isinstance(value, str) else value


# fmt: off
# -- add and subtract -----------------------------------------------------------------------------
_SP_MOVE = (("imm == 0 and (d == 64 or n == 64)", "mov {d}, {n}"),)
_row("add_ri", "add {d:rs}, {n:rs}, {imm:ai}", "sf 0 0 100010 imm[12:0] n d", aliases=_SP_MOVE)
_row("sub_ri", "sub {d:rs}, {n:rs}, {imm:ai}", "sf 1 0 100010 imm[12:0] n d")
_row("adds_ri", "adds {d:r}, {n:r}, {imm:ai}", "sf 0 1 100010 imm[12:0] n d")
_row("subs_ri", "subs {d:r}, {n:r}, {imm:ai}", "sf 1 1 100010 imm[12:0] n d")
_row("cmn_ri", "cmn {n:r}, {imm:ai}", "sf 0 1 100010 imm[12:0] n 11111")
_row("cmp_ri", "cmp {n:r}, {imm:ai}", "sf 1 1 100010 imm[12:0] n 11111")
for _name, _bits in (("add", "0 0"), ("adds", "0 1"), ("sub", "1 0"), ("subs", "1 1")):
    _row(f"{_name}_rr", f"{_name} {{d:r}}, {{n:r}}, {{m:r}}", f"sf {_bits} 01011 00 0 m 000000 n d")
_row("cmp_rr", "cmp {n:r}, {m:r}", "sf 1 1 01011 00 0 m 000000 n 11111")
for _name, _bits in (("adc", "0 0"), ("adcs", "0 1"), ("sbc", "1 0"), ("sbcs", "1 1")):
    _row(f"{_name}_rr.x", f"{_name} {{d:x}}, {{n:x}}, {{m:x}}", f"1 {_bits} 11010000 m 000000 n d")
_row("cmp_borrow.x", "sbcs xzr, {n:x}, {m:x}", "1 1 1 11010000 m 000000 n 11111")
_row("neg_rr", "neg {d:r}, {m:r}", "sf 1 0 01011 00 0 m 000000 11111 d")
for _name, _bits in (("add", "0 0"), ("sub", "1 0")):
    _row(f"{_name}_rs", f"{_name} {{d:r}}, {{n:r}}, {{m:r}}, {{sh:sh}}", f"sf {_bits} 01011 sh[7:6] 0 m sh[5:0] n d")
    _row(f"{_name}_rx", f"{_name} {{d:r}}, {{n:r}}, {{m:w}}, {{ext:ext}}", f"sf {_bits} 01011 00 1 m ext[5:3] ext[2:0] n d")
_row("cmp_rs", "cmp {n:r}, {m:r}, {sh:sh}", "sf 1 1 01011 sh[7:6] 0 m sh[5:0] n 11111")
_row("cmp_rx", "cmp {n:r}, {m:w}, {ext:ext}", "sf 1 1 01011 00 1 m ext[5:3] ext[2:0] n 11111")
_row("neg_rs", "neg {d:r}, {m:r}, {sh:sh}", "sf 1 0 01011 sh[7:6] 0 m sh[5:0] 11111 d")
_row("negs_rr.x", "negs {d:x}, {m:x}", "1 1 1 01011 00 0 m 000000 11111 d")
_row("ngc_rr.x", "ngc {d:x}, {m:x}", "1 1 0 11010000 m 000000 11111 d")
_row("ccmp_rr.x", "ccmp {n:x}, {m:x}, {nzcv:i4}, {cc:c}", "1 1 1 11010010 m cc[3:0] 0 0 n 0 nzcv[3:0]")
_row("ccmp_ri", "ccmp {n:r}, {imm:i5}, {nzcv:i4}, {cc:c}", "sf 1 1 11010010 imm[4:0] cc[3:0] 1 0 n 0 nzcv[3:0]")

# -- logic ------------------------------------------------------------------------------------------
for _name, _bits in (("and", "00"), ("orr", "01"), ("eor", "10")):
    _row(f"{_name}_ri", f"{_name} {{d:rs}}, {{n:r}}, {{imm:bm}}", f"sf {_bits} 100100 imm[12:0] n d")
_row("tst_ri", "tst {n:r}, {imm:bt}", "sf 11 100100 imm[12:0] n 11111")
_row("tst_rr", "tst {n:r}, {m:r}", "sf 11 01010 00 0 m 000000 n 11111")
for _name, _bits, _not in (("and", "00", "0"), ("bic", "00", "1"), ("orr", "01", "0"), ("orn", "01", "1"),
                           ("eor", "10", "0"), ("eon", "10", "1")):
    _row(f"{_name}_rr", f"{_name} {{d:r}}, {{n:r}}, {{m:r}}", f"sf {_bits} 01010 00 {_not} m 000000 n d")
    _row(f"{_name}_rs", f"{_name} {{d:r}}, {{n:r}}, {{m:r}}, {{sh:shr}}", f"sf {_bits} 01010 sh[7:6] {_not} m sh[5:0] n d")
_row("mvn_rr", "mvn {d:r}, {m:r}", "sf 01 01010 00 1 m 000000 11111 d")
_row("mvn_rs", "mvn {d:r}, {m:r}, {sh:shr}", "sf 01 01010 sh[7:6] 1 m sh[5:0] 11111 d")
_row("mov_rr.w", "mov {d:w}, {m:wz}", "0 01 01010 00 0 m 000000 11111 d")
_row("mov_rr.x", "mov {d:x}, {m:xz}", "1 01 01010 00 0 m 000000 11111 d", is_move=True)

# -- constants --------------------------------------------------------------------------------------
_row("movz", "mov {d:r}, {imm:wz}", "sf 10 100101 imm[17:16] imm[15:0] d")
_row("movn", "mov {d:r}, {imm:wn}", "sf 00 100101 imm[17:16] imm[15:0] d")
_row("movk", "movk {d:r}, {imm:i16}{hw:hw}", "sf 11 100101 hw[5:4] imm[15:0] d", extra="s:r", tied="d=s")
_row("mov_bm", "mov {d:r}, {imm:mb}", "sf 01 100100 imm[12:0] 11111 d")
_row("ldr_pool.x", "ldr {d:x}, {at:pool}", "01 011 0 00 at[18:0] d")

# -- multiply and divide ------------------------------------------------------------------------------
_row("madd", "madd {d:r}, {n:r}, {m:r}, {a:r}", "sf 00 11011 000 m 0 a n d")
_row("msub", "msub {d:r}, {n:r}, {m:r}, {a:r}", "sf 00 11011 000 m 1 a n d")
_row("mul", "mul {d:r}, {n:r}, {m:r}", "sf 00 11011 000 m 0 11111 n d")
_row("mneg", "mneg {d:r}, {n:r}, {m:r}", "sf 00 11011 000 m 1 11111 n d")
_row("smull", "smull {d:x}, {n:w}, {m:w}", "1 00 11011 001 m 0 11111 n d")
_row("umull", "umull {d:x}, {n:w}, {m:w}", "1 00 11011 101 m 0 11111 n d")
_row("smulh", "smulh {d:x}, {n:x}, {m:x}", "1 00 11011 010 m 0 11111 n d")
_row("umulh", "umulh {d:x}, {n:x}, {m:x}", "1 00 11011 110 m 0 11111 n d")
for _name, _bits in (("udiv", "000010"), ("sdiv", "000011"), ("lsl", "001000"), ("lsr", "001001"),
                     ("asr", "001010"), ("ror", "001011")):
    _row(f"{_name}_rr", f"{_name} {{d:r}}, {{n:r}}, {{m:r}}", f"sf 0 0 11010110 m {_bits} n d")

# -- bit fields ---------------------------------------------------------------------------------------
_row("lsl_ri", "lsl {d:r}, {n:r}, {imm:ls}", "sf 10 100110 sf imm[11:6] imm[5:0] n d")
_row("lsr_ri.w", "lsr {d:w}, {n:w}, {imm:s32}", "0 10 100110 0 imm[5:0] 011111 n d")
_row("lsr_ri.x", "lsr {d:x}, {n:x}, {imm:s64}", "1 10 100110 1 imm[5:0] 111111 n d")
_row("asr_ri.w", "asr {d:w}, {n:w}, {imm:s32}", "0 00 100110 0 imm[5:0] 011111 n d")
_row("asr_ri.x", "asr {d:x}, {n:x}, {imm:s64}", "1 00 100110 1 imm[5:0] 111111 n d")
_row("ubfx", "ubfx {d:r}, {n:r}, {bits:bx}", "sf 10 100110 sf bits[11:6] bits[5:0] n d")
_row("sbfx", "sbfx {d:r}, {n:r}, {bits:bx}", "sf 00 100110 sf bits[11:6] bits[5:0] n d")
_row("ubfiz", "ubfiz {d:r}, {n:r}, {bits:bi}", "sf 10 100110 sf bits[11:6] bits[5:0] n d")
_row("sbfiz", "sbfiz {d:r}, {n:r}, {bits:bi}", "sf 00 100110 sf bits[11:6] bits[5:0] n d")
_row("uxtb", "uxtb {d:w}, {n:w}", "0 10 100110 0 000000 000111 n d")
_row("uxth", "uxth {d:w}, {n:w}", "0 10 100110 0 000000 001111 n d")
_row("sxtb", "sxtb {d:r}, {n:w}", "sf 00 100110 sf 000000 000111 n d")
_row("sxth", "sxth {d:r}, {n:w}", "sf 00 100110 sf 000000 001111 n d")
_row("sxtw", "sxtw {d:x}, {n:w}", "1 00 100110 1 000000 011111 n d")
_row("ror_ri", "ror {d:r}, {n:r}, {imm:s}", "sf 00 100111 sf 0 n imm[5:0] n d")
_row("extr", "extr {d:r}, {n:r}, {m:r}, {imm:s}", "sf 00 100111 sf 0 m imm[5:0] n d",
     aliases=(("n == m", "ror {d}, {n}, {imm}"),))
for _name, _bits in (("rbit", "000000"), ("clz", "000100"), ("cls", "000101")):
    _row(_name, f"{_name} {{d:r}}, {{n:r}}", f"sf 1 0 11010110 00000 {_bits} n d")
_row("rev16.w", "rev16 {d:w}, {n:w}", "0 1 0 11010110 00000 000001 n d")
_row("rev.w", "rev {d:w}, {n:w}", "0 1 0 11010110 00000 000010 n d")
_row("rev.x", "rev {d:x}, {n:x}", "1 1 0 11010110 00000 000011 n d")

# -- selects ------------------------------------------------------------------------------------------
_row("csel", "csel {d:r}, {n:rz}, {m:rz}, {cc:c}", "sf 0 0 11010100 m cc[3:0] 00 n d")
for _name, _bits, _op2, _same in (("csinc", "0", "01", "cinc"), ("csinv", "1", "00", "cinv"), ("csneg", "1", "01", "cneg")):
    # Text of the short form when both registers are one: it shows the opposite condition.
    _row(_name, f"{_name} {{d:r}}, {{n:r}}, {{m:r}}, {{cc:c}}", f"sf {_bits} 0 11010100 m cc[3:0] {_op2} n d",
         aliases=tuple((f"n == m and cc == {c}", f"{_same} {{d}}, {{n}}, {KINDS['cn'].text(c)}") for c in range(14)))
_row("cneg", "cneg {d:r}, {n:r}, {cc:ci}", "sf 1 0 11010100 n cc[3:0] 01 n d")
_row("cset", "cset {d:r}, {cc:ci}", "sf 0 0 11010100 11111 cc[3:0] 01 11111 d")
_row("csetm", "csetm {d:r}, {cc:ci}", "sf 1 0 11010100 11111 cc[3:0] 00 11111 d")

# -- branches and traps ---------------------------------------------------------------------------------
_row("b", "b {at:branch}", "000101 at[25:0]", flow=JUMP)
_row("b_cond", "b.{cc:c} {at:cond}", "01010100 at[18:0] 0 cc[3:0]", extra="else", flow=BRANCH)
_row("cbz", "cbz {n:r}, {at:cond}", "sf 011010 0 at[18:0] n", extra="else", flow=BRANCH)
_row("cbnz", "cbnz {n:r}, {at:cond}", "sf 011010 1 at[18:0] n", extra="else", flow=BRANCH)
for _size, _bit in (("w", "0"), ("x", "1")):
    _number = "bit:b32" if _size == "w" else "bit:b64"
    _row(f"tbz.{_size}", f"tbz {{n:{_size}}}, {{{_number}}}, {{at:test}}", f"{_bit} 011011 0 bit[4:0] at[13:0] n", extra="else", flow=BRANCH)
    _row(f"tbnz.{_size}", f"tbnz {{n:{_size}}}, {{{_number}}}, {{at:test}}", f"{_bit} 011011 1 bit[4:0] at[13:0] n", extra="else", flow=BRANCH)
_row("br", "br {n:x}", "1101011 0000 11111 000000 n 00000")
_row("bl", "bl {at:call}", "100101 at[25:0]")
_row("blr", "blr {n:x}", "1101011 0001 11111 000000 n 00000")
_row("ret", "ret", "1101011 0010 11111 000000 11110 00000", flow=LEAVE)
_row("adr", "adr {d:x}, {at:adr}", "0 at[1:0] 10000 at[20:2] d")
_row("udf", "udf {code:i16}", "0000000000000000 code[15:0]", extra="trap", flow=LEAVE)
_row("nop", "nop", "11010101000000110010000000011111")

# -- loads and stores -------------------------------------------------------------------------------------
# name, register, size, opc, log2 of the bytes
_MEMORY: Final = (
    ("strb", "{v:wz}", "00", "00", 0), ("ldrb", "{d:w}", "00", "01", 0), ("ldrsb.x", "{d:x}", "00", "10", 0), ("ldrsb.w", "{d:w}", "00", "11", 0),
    ("strh", "{v:wz}", "01", "00", 1), ("ldrh", "{d:w}", "01", "01", 1), ("ldrsh.x", "{d:x}", "01", "10", 1), ("ldrsh.w", "{d:w}", "01", "11", 1),
    ("str.w", "{v:wz}", "10", "00", 2), ("ldr.w", "{d:w}", "10", "01", 2), ("ldrsw", "{d:x}", "10", "10", 2),
    ("str.x", "{v:xz}", "11", "00", 3), ("ldr.x", "{d:x}", "11", "01", 3),
    ("str.s", "{v:fs}", "10", "00", 2), ("ldr.s", "{d:fs}", "10", "01", 2),
    ("str.d", "{v:fd}", "11", "00", 3), ("ldr.d", "{d:fd}", "11", "01", 3),
)
for _name, _register, _size, _opc, _log in _MEMORY:
    _text = _name.partition(".")[0]
    _unscaled = _text.replace("ld", "ldu", 1).replace("st", "stu", 1)
    _t, _v = _register[1], int(_register[3] == "f")
    _row(f"{_name}_ui", f"{_text} {_register}, [{{n:xs}}{{imm:u{_log}}}]", f"{_size} 111 {_v} 01 {_opc} imm[{11 + _log}:{_log}] n {_t}", extra="trap")
    _row(f"{_name}_ur", f"{_unscaled} {_register}, [{{n:xs}}{{imm:i9}}]", f"{_size} 111 {_v} 00 {_opc} 0 imm[8:0] 00 n {_t}", extra="trap")
    _row(f"{_name}_rr", f"{_text} {_register}, [{{n:xs}}, {{m:x}}]", f"{_size} 111 {_v} 00 {_opc} 1 m 011 0 10 n {_t}", extra="trap")
    if _log:
        _row(f"{_name}_rl", f"{_text} {_register}, [{{n:xs}}, {{m:x}}, lsl #{_log}]", f"{_size} 111 {_v} 00 {_opc} 1 m 011 1 10 n {_t}", extra="trap")
    _row(f"{_name}_rx", f"{_text} {_register}, [{{n:xs}}, {{m:w}}, {{ext:x{_log}}}]", f"{_size} 111 {_v} 00 {_opc} 1 m ext[3:1] ext[0] 10 n {_t}", extra="trap")
_row("str.q_ui", "str {v:fq}, [{n:xs}{imm:u4}]", "00 111 1 01 10 imm[15:4] n v")
_row("ldr.q_ui", "ldr {d:fq}, [{n:xs}{imm:u4}]", "00 111 1 01 11 imm[15:4] n d")
_row("stp.x", "stp {v:x}, {w:x}, [{n:xs}{imm:p3}]", "10 101 0 010 0 imm[9:3] w n v")
_row("ldp.x", "ldp {d:x}, {d2:x}, [{n:xs}{imm:p3}]", "10 101 0 010 1 imm[9:3] d2 n d")
_row("stp.d", "stp {v:fd}, {w:fd}, [{n:xs}{imm:p3}]", "01 101 1 010 0 imm[9:3] w n v")
_row("ldp.d", "ldp {d:fd}, {d2:fd}, [{n:xs}{imm:p3}]", "01 101 1 010 1 imm[9:3] d2 n d")
_row("stp_pre.x", "stp {v:x}, {w:x}, [{n:xs}, {imm:p3w}]!", "10 101 0 011 0 imm[9:3] w n v")
_row("ldp_post.x", "ldp {d:x}, {d2:x}, [{n:xs}], {imm:p3w}", "10 101 0 001 1 imm[9:3] d2 n d")

# -- vector registers ---------------------------------------------------------------------------------------
_row("fmov_from.w", "fmov {d:fs}, {n:w}", "0 00 11110 00 1 00 111 000000 n d")
_row("fmov_from.x", "fmov {d:fd}, {n:x}", "1 00 11110 01 1 00 111 000000 n d")
_row("fmov_to.w", "fmov {d:w}, {n:fs}", "0 00 11110 00 1 00 110 000000 n d")
_row("fmov_to.x", "fmov {d:x}, {n:fd}", "1 00 11110 01 1 00 110 000000 n d")
_row("bsl", "bsl {d:v8b}, {n:v8b}, {m:v8b}", "0 0 1 01110 01 1 m 00011 1 n d", extra="s:v8b", tied="d=s")
_row("cnt", "cnt {d:v8b}, {n:v8b}", "0 0 001110 00 10000 00101 10 n d")
_row("addv", "addv {d:fb}, {n:v8b}", "0 0 001110 00 11000 11011 10 n d")
_row("mov_v", "mov {d:v16b}, {n:v16b}", "0 1 001110 10 1 n 00011 1 n d", is_move=True)

for _name, _bits in (("and", "0 01110 00"), ("bic", "0 01110 01"), ("orr", "0 01110 10"), ("orn", "0 01110 11"), ("eor", "1 01110 00")):
    _row(f"{_name}_v", f"{_name} {{d:v8b}}, {{n:v8b}}, {{m:v8b}}", f"0 0 {_bits} 1 m 00011 1 n d",
         aliases=(("n == m", "mov {d}, {n}"),) if _name == "orr" else ())
_row("mvn_v", "mvn {d:v8b}, {n:v8b}", "0 0 1 01110 00 10000 00101 10 n d")
# the sign alone, moved to bit 0 and from there over another value's
_row("ushr_sign.s", "ushr {d:v2s}, {n:v2s}, #0x1f", "0 0 1 011110 0100001 00000 1 n d")
_row("ushr_sign.d", "ushr {d:fd}, {n:fd}, #0x3f", "01 1 111110 1000001 00000 1 n d")
_row("sli_sign.s", "sli {d:v2s}, {n:v2s}, #0x1f", "0 0 1 011110 0111111 01010 1 n d", extra="s:v2s", tied="d=s")
_row("sli_sign.d", "sli {d:fd}, {n:fd}, #0x3f", "01 1 111110 1111111 01010 1 n d", extra="s:fd", tied="d=s")

# -- floats ---------------------------------------------------------------------------------------------------
for _f, _ftype in (("s", "00"), ("d", "01")):
    for _name, _bits in (("fmul", "0000"), ("fdiv", "0001"), ("fadd", "0010"), ("fsub", "0011"), ("fmax", "0100"), ("fmin", "0101"),
                         ("fnmul", "1000")):
        _row(f"{_name}.{_f}", f"{_name} {{d:f{_f}}}, {{n:f{_f}}}, {{m:f{_f}}}", f"000 11110 {_ftype} 1 m {_bits} 10 n d")
    for _name, _bits in (("fabs", "000001"), ("fneg", "000010"), ("fsqrt", "000011"), ("frintn", "001000"),
                         ("frintp", "001001"), ("frintm", "001010"), ("frintz", "001011")):
        _row(f"{_name}.{_f}", f"{_name} {{d:f{_f}}}, {{n:f{_f}}}", f"000 11110 {_ftype} 1 {_bits} 10000 n d")
    for _name, _o1, _o0 in (("fmadd", "0", "0"), ("fmsub", "0", "1"), ("fnmadd", "1", "0"), ("fnmsub", "1", "1")):
        _row(f"{_name}.{_f}", f"{_name} {{d:f{_f}}}, {{n:f{_f}}}, {{m:f{_f}}}, {{a:f{_f}}}", f"000 11111 {_ftype} {_o1} m {_o0} a n d")
    _row(f"fcmp.{_f}", f"fcmp {{n:f{_f}}}, {{m:f{_f}}}", f"000 11110 {_ftype} 1 m 00 1000 n 00000")
    _row(f"fcmp_zero.{_f}", f"fcmp {{n:f{_f}}}, #0.0", f"000 11110 {_ftype} 1 00000 00 1000 n 01000")
    _row(f"fccmp.{_f}", f"fccmp {{n:f{_f}}}, {{m:f{_f}}}, {{nzcv:i4}}, {{cc:c}}", f"000 11110 {_ftype} 1 m cc[3:0] 01 n 0 nzcv[3:0]")
    _row(f"fcsel.{_f}", f"fcsel {{d:f{_f}}}, {{n:f{_f}}}, {{m:f{_f}}}, {{cc:c}}", f"000 11110 {_ftype} 1 m cc[3:0] 11 n d")
    _row(f"fmov_ri.{_f}", f"fmov {{d:f{_f}}}, {{imm:fi}}", f"000 11110 {_ftype} 1 imm[7:0] 100 00000 d")
    for _name, _bits in (("fcvtzs", "11 000"), ("fcvtzu", "11 001")):
        _row(f"{_name}_{_f}", f"{_name} {{d:r}}, {{n:f{_f}}}", f"sf 00 11110 {_ftype} 1 {_bits} 000000 n d")
    for _name, _bits in (("scvtf", "00 010"), ("ucvtf", "00 011")):
        _row(f"{_name}_{_f}", f"{_name} {{d:f{_f}}}, {{n:r}}", f"sf 00 11110 {_ftype} 1 {_bits} 000000 n d")
_row("fmov_zero.s", "fmov {d:fs}, wzr", "0 00 11110 00 1 00 111 000000 11111 d")
_row("fmov_zero.d", "fmov {d:fd}, xzr", "1 00 11110 01 1 00 111 000000 11111 d")
_row("fcvt.d", "fcvt {d:fd}, {n:fs}", "000 11110 00 1 000101 10000 n d")
_row("fcvt.s", "fcvt {d:fs}, {n:fd}", "000 11110 01 1 000100 10000 n d")

# -- what the emitter expands ---------------------------------------------------------------------------------
_row("args", "args", "")
_row("slot_addr", "slot_addr {d:x}, {slot:n}, {offset:n}", "")
_row("call", "call {fn:n}", "")
_row("func_addr", "func_addr {d:x}, {fn:n}", "")
_row("call_popped", "call_popped {fn:n}, {popped:n}", "")
_row("call_indirect_popped", "call_indirect_popped {n:x}, {popped:n}", "")
_row("ret_pop", "ret_pop {popped:n}", "", flow=LEAVE)
_row("return_call", "return_call {fn:n}, {given:n}, {taken:n}", "", flow=LEAVE)
_row("return_call_indirect", "return_call_indirect {n:x}, {given:n}, {taken:n}", "", flow=LEAVE)
_row("br_table", "br_table {n:w}", "", flow=LEAVE)
# fmt: on

for _one, _other in (("cbz", "cbnz"), ("tbz", "tbnz")):
    for _size in "wx":
        _a, _b = ROWS[f"{_one}.{_size}"], ROWS[f"{_other}.{_size}"]
        _a.inverse, _b.inverse = _b, _a
