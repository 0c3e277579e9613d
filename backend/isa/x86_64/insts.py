# ruff: noqa: E501  # a table: one row a line
"""x86-64's instructions, one row each, in the notation of Intel's manual (:mod:`backend.machine.intel_notation`).

``@`` in a pattern makes a row a size, ``NAME.b .w .l .q`` for 8, 16, 32 and 64 bits: the operand-size prefix, REX.W or
none of them, and the kinds ``R a u t m s`` in its text those of that size; ``opcode+`` is the opcode with bit 0 set unless the
size is a byte. An instruction that overwrites an input has the result ``d`` tied to the input ``s``.

Name suffixes: ``_rr`` registers, ``_ri`` immediate, ``_cl`` count in cl, ``_rm`` register and memory, ``_mr`` memory and
register, ``_mi`` memory and immediate; of addresses ``_o`` base and displacement, ``_x`` base, index and displacement.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. Legacy SSE only: no VEX prefix.
"""

from __future__ import annotations

import re
from typing import Final

from backend.isa.x86_64.fields import KINDS
from backend.machine.intel_notation import compile_intel
from backend.machine.rows import BRANCH, JUMP, LEAVE, Row, RowTable

ROWS: Final = RowTable()
_SIZED: Final = {"R": "", "a": "a", "u": "u", "t": "t", "m": "m", "s": "s"}
_WORDS: Final = {"b": "byte", "w": "word", "l": "dword", "q": "qword"}
_IMMEDIATES: Final = {"b": "ib", "w": "iw", "l": "id", "q": "id"}


def _sized(text: str, size: str) -> str:
    return re.sub(r":(\w+)", lambda m: f":{_SIZED[m[1]]}{size}" if m[1] in _SIZED else m[0], text)


def _pattern(text: str, size: str) -> str:
    """``@ 81 /0 iz MI(..)`` at a size: prefixes, the opcode's width bit, the immediate's width."""
    prefix = {"w": "66 ", "q": "REX.W "}.get(size, "")
    text = re.sub(r"([0-9A-F]{2})\+(?= )", lambda m: f"{int(m[1], 16) + (size != 'b'):02X}", text)
    return text.replace("@ ", prefix).replace("iz", _IMMEDIATES[size])


def _row(name: str, template: str, pattern: str, sizes: str = "", **attributes: object) -> None:
    """A row, or one for each of ``sizes``."""
    attributes["notation"] = compile_intel
    for size in sizes or " ":
        made = {
            key: _sized(value, size) if isinstance(value, str) else value
            for key, value in attributes.items()
        }
        text = _sized(template, size)
        full = f"{name}.{size}" if sizes else name
        ROWS.add(Row(full, text, _pattern(pattern, size) if sizes else pattern, KINDS, **made))  # type: ignore[arg-type]  # a row's keywords


_ALL: Final = "bwlq"
_WIDE: Final = "lq"
_TIED: Final = {"extra": "s:R", "tied": "d=s"}
_TIED_X: Final = {"extra": "s:x", "tied": "d=s"}
_BASED: Final = "[{n:q}{imm:disp}]"
_INDEXED: Final = "[{n:q} + {m:index}{scale:scale}{imm:disp}]"
_ADDRESSES: Final = (("o", _BASED, "[n imm]"), ("x", _INDEXED, "[n m scale imm]"))


def _memory_row(
    name: str,
    template: str,
    pattern: str,
    sizes: str,
    extra: str = "",
    forms: str = "o",
    tied: str = "",
) -> None:
    """A row for each of ``sizes`` and each of the addresses ``forms``, which are ``MEM`` in template and pattern."""
    for size in sizes:
        for suffix, base, address in _ADDRESSES:
            if suffix in forms:
                _row(
                    f"{name}.{size}_{suffix}",
                    _sized(template, size).replace("MEM", f"{_WORDS[size]} ptr {base}"),
                    _pattern(pattern, size).replace("MEM", address),
                    extra=f"{_sized(extra, size)} trap".strip(),
                    tied=tied,
                )


# fmt: off
# -- arithmetic and logic -------------------------------------------------------------------------
for _digit, _name, _kind, _sizes in ((0, "add", "a", _ALL), (1, "or", "u", _WIDE), (4, "and", "u", _WIDE), (5, "sub", "a", _ALL), (6, "xor", "u", _WIDE)):
    _row(f"{_name}_rr", f"{_name} {{d:R}}, {{m:R}}", f"@ {8 * _digit:02X}+ /r MR(d, m)", _sizes, **_TIED)
    if _sizes == _ALL:
        _row(f"{_name}_ri", f"{_name} {{d:R}}, {{imm:{_kind}}}", f"@ 80 /{_digit} ib MI(d, imm)", "b", **_TIED)
    _row(f"{_name}_ri", f"{_name} {{d:R}}, {{imm:{_kind}}}", f"@ 83 /{_digit} ib MI(d, imm) | @ 81 /{_digit} iz MI(d, imm)", _sizes.removeprefix("b"), **_TIED)
    _memory_row(f"{_name}_rm", f"{_name} {{d:R}}, MEM", f"@ {8 * _digit + 2:02X}+ /r RM(d, MEM)", _WIDE, "s:R", "ox", tied="d=s")
    _memory_row(f"{_name}_mr", f"{_name} MEM, {{v:R}}", f"@ {8 * _digit:02X}+ /r MR(MEM, v)", _ALL)
    _memory_row(f"{_name}_mi", f"{_name} MEM, {{k:{_kind}}}", f"@ 80 /{_digit} ib MI(MEM, k)", "b")
    _memory_row(f"{_name}_mi", f"{_name} MEM, {{k:{_kind}}}", f"@ 83 /{_digit} ib MI(MEM, k) | @ 81 /{_digit} iz MI(MEM, k)", "wlq")
for _digit, _name in ((2, "adc"), (3, "sbb")):
    _row(f"{_name}_rr.q", f"{_name} {{d:q}}, {{m:q}}", f"REX.W {8 * _digit + 1:02X} /r MR(d, m)", extra="s:q", tied="d=s")
_row("adc_ri.q", "adc {d:q}, {imm:aq}", "REX.W 83 /2 ib MI(d, imm) | REX.W 81 /2 id MI(d, imm)", extra="s:q", tied="d=s")
_row("cmp_rr", "cmp {n:R}, {m:R}", "@ 38+ /r MR(n, m)", _ALL)
_row("cmp_ri", "cmp {n:R}, {imm:a}", "@ 80 /7 ib MI(n, imm)", "b")
_row("cmp_ri", "cmp {n:R}, {imm:a}", "@ 83 /7 ib MI(n, imm) | @ 81 /7 iz MI(n, imm)", "wlq")
_memory_row("cmp_rm", "cmp {x:R}, MEM", "@ 3A+ /r RM(x, MEM)", _ALL)
_memory_row("cmp_mi", "cmp MEM, {k:a}", "@ 80 /7 ib MI(MEM, k)", "b")
_memory_row("cmp_mi", "cmp MEM, {k:a}", "@ 83 /7 ib MI(MEM, k) | @ 81 /7 iz MI(MEM, k)", "wlq")
_row("test_rr", "test {n:R}, {m:R}", "@ 84+ /r MR(n, m)", _ALL)
_row("test_ri", "test {n:R}, {imm:t}", "@ F6+ /0 iz MI(n, imm)", _ALL)
_row("not_r", "not {d:R}", "@ F7 /2 M(d)", _WIDE, **_TIED)
_row("neg_r", "neg {d:R}", "@ F7 /3 M(d)", _WIDE, **_TIED)
for _name, _base, _address in _ADDRESSES:
    _row(f"lea_{_name}", f"lea {{d:R}}, {_base}", f"@ 8D /r RM(d, {_address})", _WIDE)

# -- multiply and divide ----------------------------------------------------------------------------
_row("imul_rr", "imul {d:R}, {m:R}", "@ 0F AF /r RM(d, m)", "wlq", **_TIED)
_memory_row("imul_rm", "imul {d:R}, MEM", "@ 0F AF /r RM(d, MEM)", _WIDE, "s:R", "ox", tied="d=s")
_row("imul_ri", "imul {d:R}, {m:R}, {imm:a}", "@ 6B /r ib RMI(d, m, imm) | @ 69 /r iz RMI(d, m, imm)", _WIDE)
# d: the low half of the product, d2: the high one
for _digit, _name in ((4, "mul"), (5, "imul_r")):
    _text = _name.partition("_")[0]
    _row(_name, f"{_text} {{m:R}}", f"@ F7 /{_digit} M(m)", "wlq", extra="d:rax d2:rdx s:rax")
    _row(_name, f"{_text} {{m:R}}", f"@ F6 /{_digit} M(m)", "b", extra="d:rax s:rax")
# d: the quotient, d2: the remainder; s and h: the dividend's halves
_row("div", "div {m:R}", "@ F7 /6 M(m)", _WIDE, extra="d:rax d2:rdx s:rax h:rdx")
_row("idiv", "idiv {m:R}", "@ F7 /7 M(m)", _WIDE, extra="d:rax d2:rdx s:rax h:rdx")
_row("cdq.l", "cdq", "99 ZO()", extra="d:rdx s:rax")
_row("cdq.q", "cqo", "REX.W 99 ZO()", extra="d:rdx s:rax")

# -- shifts and bits ----------------------------------------------------------------------------------
for _digit, _name, _sizes in ((0, "rol", _ALL), (1, "ror", _ALL), (4, "shl", _WIDE), (5, "shr", _ALL), (7, "sar", _ALL)):
    _row(f"{_name}_ri", f"{_name} {{d:R}}, {{imm:s}}", f"@ C0+ /{_digit} ib MI(d, imm)", _sizes, **_TIED)
    _row(f"{_name}_cl", f"{_name} {{d:R}}, cl", f"@ D2+ /{_digit} M(d)", _sizes, extra="s:R count:rcx", tied="d=s")
_row("btc_ri.q", "btc {d:q}, {imm:bit}", "REX.W 0F BA /7 ib MI(d, imm)", extra="s:q", tied="d=s")
_row("bsf", "bsf {d:R}, {m:R}", "@ 0F BC /r RM(d, m)", _WIDE)
_row("bsr", "bsr {d:R}, {m:R}", "@ 0F BD /r RM(d, m)", _WIDE)
# TZCNT and LZCNT run as BSF and BSR on processors that lack them
_row("tzcnt", "tzcnt {d:R}, {m:R}", "F3 @ 0F BC /r RM(d, m)", _WIDE)
_row("lzcnt", "lzcnt {d:R}, {m:R}", "F3 @ 0F BD /r RM(d, m)", _WIDE)
_row("popcnt", "popcnt {d:R}, {m:R}", "F3 @ 0F B8 /r RM(d, m)", _WIDE)
_row("bswap.l", "bswap {d:l}", "0F C8+r O(d)", extra="s:l", tied="d=s")
_row("bswap.q", "bswap {d:q}", "REX.W 0F C8+r O(d)", extra="s:q", tied="d=s")

# -- moves ----------------------------------------------------------------------------------------------
_row("mov_rr.l", "mov {d:l}, {m:l}", "89 /r MR(d, m)")
_row("mov_rr.q", "mov {d:q}, {m:q}", "REX.W 89 /r MR(d, m)", is_move=True)
_row("mov_ri.l", "mov {d:l}, {imm:imm32}", "B8+r id OI(d, imm)")
_row("mov_ri.q", "mov {d:q}, {imm:mq}", "REX.W C7 /0 id MI(d, imm)")
_row("movabs.q", "movabs {d:q}, {imm:imm64}", "REX.W B8+r io OI(d, imm)")
_row("mov_pool.q", "mov {d:q}, qword ptr [rip{at:pool}]", "REX.W 8B /r RM(d, [rip at])")
for _name, _opcode, _kinds in (
    ("movzx_b.l", "0F B6", "lb"), ("movzx_w.l", "0F B7", "lw"), ("movsx_b.l", "0F BE", "lb"), ("movsx_w.l", "0F BF", "lw"),
    ("movsx_b.q", "REX.W 0F BE", "qb"), ("movsx_w.q", "REX.W 0F BF", "qw"), ("movsx_l.q", "REX.W 63", "ql")):
    _text = "movsxd" if _kinds == "ql" else _name[:5]
    _row(_name, f"{_text} {{d:{_kinds[0]}}}, {{m:{_kinds[1]}}}", f"{_opcode} /r RM(d, m)")
    for _suffix, _base, _address in _ADDRESSES:
        _row(f"{_name}_{_suffix}", f"{_text} {{d:{_kinds[0]}}}, {_WORDS[_kinds[1]]} ptr {_base}", f"{_opcode} /r RM(d, {_address})", extra="trap")
for _suffix, _base, _address in _ADDRESSES:
    for _size, _prefix in (("l", ""), ("q", "REX.W ")):
        _row(f"load.{_size}_{_suffix}", f"mov {{d:{_size}}}, {_WORDS[_size]} ptr {_base}", f"{_prefix}8B /r RM(d, {_address})", extra="trap")
    for _size, _prefix in (("b", "88"), ("w", "66 89"), ("l", "89"), ("q", "REX.W 89")):
        _row(f"store.{_size}_{_suffix}", f"mov {_WORDS[_size]} ptr {_base}, {{v:{_size}}}", f"{_prefix} /r MR({_address}, v)", extra="trap")
    for _size, _prefix in (("b", "C6"), ("w", "66 C7"), ("l", "C7"), ("q", "REX.W C7")):
        _row(f"store.{_size}_imm_{_suffix}", f"mov {_WORDS[_size]} ptr {_base}, {{k:m{_size}}}", f"{_prefix} /0 {_IMMEDIATES[_size]} MI({_address}, k)", extra="trap")
_row("push", "push {v:q}", "50+r O(v)")
_row("pop", "pop {d:q}", "58+r O(d)")

# -- conditions -------------------------------------------------------------------------------------------
_row("cmov.l", "cmov{c:cc} {d:l}, {m:l}", "0F 40+cc /r CRM(c, d, m)", extra="s:l", tied="d=s")
_row("cmov.q", "cmov{c:cc} {d:q}, {m:q}", "REX.W 0F 40+cc /r CRM(c, d, m)", extra="s:q", tied="d=s")
_row("setcc", "set{c:cc} {d:b}", "0F 90+cc /0 CM(c, d)")

# -- branches and traps -------------------------------------------------------------------------------------
_row("jmp", "jmp {at:jump}", "E9 cd D(at)", flow=JUMP)
_row("jcc", "j{c:cc} {at:cond}", "0F 80+cc cd CD(c, at)", extra="else", flow=BRANCH)
_row("jmp_short", "jmp {at:jump8}", "EB cb D(at)", flow=JUMP)
_row("jcc_short", "j{c:cc} {at:cond8}", "70+cc cb CD(c, at)", extra="else", flow=BRANCH)
for _name in ("jmp", "jcc"):
    ROWS[_name].short = ROWS[f"{_name}_short"]
_row("jmp_r", "jmp {n:q}", "FF /4 M(n)")
_row("lea_table", "lea {d:q}, [rip{at:table}]", "REX.W 8D /r RM(d, [rip at])")
_row("call", "call {at:call}", "E8 cd D(at)")
_row("call_r", "call {n:q}", "FF /2 M(n)")
_row("lea_function", "lea {d:q}, [rip{at:function}]", "REX.W 8D /r RM(d, [rip at])")
_row("ret", "ret", "C3 ZO()", flow=LEAVE)
_row("ret_i", "ret {imm:pop}", "C2 iw I(imm)")
_row("ud2", "ud2", "0F 0B ZO()", extra="trap", flow=LEAVE)
_row("nop", "nop", "90 ZO()")

# -- vector registers -----------------------------------------------------------------------------------------
_row("mov_to_x.s", "movd {d:x}, {n:l}", "66 0F 6E /r RM(d, n)")
_row("mov_to_x.d", "movq {d:x}, {n:q}", "66 REX.W 0F 6E /r RM(d, n)")
_row("mov_from_x.s", "movd {d:l}, {n:x}", "66 0F 7E /r MR(d, n)")
_row("mov_from_x.d", "movq {d:q}, {n:x}", "66 REX.W 0F 7E /r MR(d, n)")
_row("movaps", "movaps {d:x}, {m:x}", "0F 28 /r RM(d, m)", is_move=True)
_row("movaps_load", f"movaps {{d:x}}, xmmword ptr {_BASED}", "0F 28 /r RM(d, [n imm])")
_row("movaps_store", f"movaps xmmword ptr {_BASED}, {{v:x}}", "0F 29 /r MR([n imm], v)")

_row("zero_x", "xorps {d:x}, {d}", "0F 57 /r RM(d, d)")
for _name, _opcode in (("andps", "54"), ("andnps", "55"), ("orps", "56"), ("xorps", "57")):
    _row(_name, f"{_name} {{d:x}}, {{m:x}}", f"0F {_opcode} /r RM(d, m)", **_TIED_X)

# -- floats -----------------------------------------------------------------------------------------------------
for _f, _prefix, _letters, _word, _compare in (("s", "F3", "ss", "dword", ""), ("d", "F2", "sd", "qword", "66 ")):
    for _name, _opcode in (("add", "58"), ("mul", "59"), ("sub", "5C"), ("min", "5D"), ("div", "5E"), ("max", "5F")):
        _row(f"{_name}.{_f}", f"{_name}{_letters} {{d:x}}, {{m:x}}", f"{_prefix} 0F {_opcode} /r RM(d, m)", **_TIED_X)
        if _name not in ("min", "max"):
            _row(f"{_name}_rm.{_f}", f"{_name}{_letters} {{d:x}}, {_word} ptr {_BASED}", f"{_prefix} 0F {_opcode} /r RM(d, [n imm])",
                 extra="s:x trap", tied="d=s")
    _row(f"sqrt.{_f}", f"sqrt{_letters} {{d:x}}, {{m:x}}", f"{_prefix} 0F 51 /r RM(d, m)")
    _row(f"round.{_f}", f"round{_letters} {{d:x}}, {{m:x}}, {{imm:mode}}", f"66 0F 3A {'0A' if _f == 's' else '0B'} /r ib RMI(d, m, imm)")
    _row(f"ucomi.{_f}", f"ucomi{_letters} {{n:x}}, {{m:x}}", f"{_compare}0F 2E /r RM(n, m)")
    _row(f"ucomi_rm.{_f}", f"ucomi{_letters} {{x:x}}, {_word} ptr {_BASED}", f"{_compare}0F 2E /r RM(x, [n imm])", extra="trap")
    _row(f"cmp_mask.{_f}", f"cmp{{p:predicate}}{_letters} {{d:x}}, {{m:x}}", f"{_prefix} 0F C2 /r ib RMI(d, m, p)", **_TIED_X)
    for _size, _wide in (("l", ""), ("q", "REX.W ")):
        _row(f"cvtt_{_f}.{_size}", f"cvtt{_letters}2si {{d:{_size}}}, {{m:x}}", f"{_prefix} {_wide}0F 2C /r RM(d, m)")
        _row(f"cvtsi_{_f}.{_size}", f"cvtsi2{_letters} {{d:x}}, {{m:{_size}}}", f"{_prefix} {_wide}0F 2A /r RM(d, m)")
        _row(f"cvtsi_{_f}_rm.{_size}", f"cvtsi2{_letters} {{d:x}}, {_WORDS[_size]} ptr {_BASED}", f"{_prefix} {_wide}0F 2A /r RM(d, [n imm])", extra="trap")
    for _suffix, _base, _address in _ADDRESSES:
        _row(f"fload.{_f}_{_suffix}", f"mov{_letters} {{d:x}}, {_word} ptr {_base}", f"{_prefix} 0F 10 /r RM(d, {_address})", extra="trap")
        _row(f"fstore.{_f}_{_suffix}", f"mov{_letters} {_word} ptr {_base}, {{v:x}}", f"{_prefix} 0F 11 /r MR({_address}, v)", extra="trap")
_row("cvt.d", "cvtss2sd {d:x}, {m:x}", "F3 0F 5A /r RM(d, m)")
_row("cvt.s", "cvtsd2ss {d:x}, {m:x}", "F2 0F 5A /r RM(d, m)")
_row("cvt_rm.d", f"cvtss2sd {{d:x}}, dword ptr {_BASED}", "F3 0F 5A /r RM(d, [n imm])", extra="trap")
_row("cvt_rm.s", f"cvtsd2ss {{d:x}}, qword ptr {_BASED}", "F2 0F 5A /r RM(d, [n imm])", extra="trap")

# -- what the emitter expands ---------------------------------------------------------------------------------
_row("args", "args", "")
_row("slot_addr", "slot_addr {d:q}, {slot:n}, {offset:n}", "")
_row("call_function", "call {fn:n}", "")
_row("func_addr", "func_addr {d:q}, {fn:n}", "")
_row("near_func_addr", "near_func_addr {d:q}, {fn:n}", "")
_row("call_popped", "call_popped {fn:n}, {popped:n}", "")
_row("call_indirect_popped", "call_indirect_popped {n:q}, {popped:n}", "")
_row("ret_pop", "ret_pop {popped:n}", "", flow=LEAVE)
_row("return_call", "return_call {fn:n}, {given:n}, {taken:n}", "", flow=LEAVE)
_row("return_call_indirect", "return_call_indirect {n:q}, {given:n}, {taken:n}", "", flow=LEAVE)
_row("br_table", "br_table {n:rax}", "", flow=LEAVE)
# fmt: on
