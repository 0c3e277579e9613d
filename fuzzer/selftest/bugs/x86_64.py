# ruff: noqa: E501  # a table: one row a line
"""Bugs of x86-64's tables: prefixes, ModRM and displacements, two-operand instructions, flags, the frame; of what the
processor may lack, of operands in memory, and of short branches."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final

from backend.isa.x86_64 import abi, pseudos
from backend.isa.x86_64.fields import KINDS
from backend.isa.x86_64.labels import label_uses
from backend.isa.x86_64.regs import RDI, RSI, machine_env
from backend.lower import calls
from backend.lower.driver import Lowering
from backend.machine import intel_notation
from backend.machine.buffer import MachBuffer
from fuzzer.selftest import patch
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import attribute, edited, item, together
from fuzzer.selftest.witness import clif

ISA: Final = "x86_64"


def _bits(name: str, *changes: str) -> AbstractContextManager[None]:
    return patch.bits(name, *changes, isa=ISA)


def _rule(name: str, **changes: Any) -> AbstractContextManager[None]:
    return patch.rule(name, isa=ISA, **changes)


def _binary(op: str, type_: str, values: str) -> str:
    return clif(f"{type_} {type_}", type_, f"v9 = {op} v0, v1; return v9", values)


def _memory(body: str) -> str:
    return clif("i64", "i64", body, "0x20000000", memory=4096)


_SAVED: Final = """function %f(i64, i64, i64) -> i64 {
block0(v0: i64, v1: i64, v2: i64):
    v3 = imul v0, v1
    v4 = imul v1, v2
    v5 = imul v0, v2
    v6 = imul v3, v4
    v7 = bxor v6, v5
    return v7
}
; input: 3, 5, 7
"""

_FAR_ENOUGH: Final = (
    "brif v0, block1, block2; block1:; v2 = popcnt v1; v3 = cls v2; v4 = ctz v3; v5 = ctz v4; v6 = ctz v5; return v6;"
    " block2:; return v1"
)
"""The way to block2 is one byte longer than a short branch reaches."""

BUGS: Final = (
    Bug("x86-wide-prefix-lost", "encoding", "REX.W is missing from a 64-bit addition",
        "encoding", 3, _binary("iadd", "i64", "1, 2"),
        lambda: _bits("add_rr.q", "REX.W ", ""), isa=ISA),
    Bug("x86-opcode-extension", "encoding", "the ModRM digit of SHR is that of SAR",
        "encoding", 3, clif("i32", "i32", "v1 = iconst.i8 3; v9 = ushr v0, v1; return v9", "-1"),
        lambda: _bits("shr_ri.l", "/5", "/7"), isa=ISA),
    Bug("x86-modrm-swapped", "encoding", "the operands of SUB are in each other's place of ModRM",
        "encoding", 3, _binary("isub", "i32", "5, 3"),
        lambda: _bits("sub_rr.l", "MR(d, m)", "MR(m, d)"), isa=ISA),
    Bug("x86-short-displacement", "encoding", "a displacement of 128 to 255 is put into one byte",
        "encoding", 4, _memory("v1 = load.i64 v0+200; return v1"),
        lambda: edited(intel_notation.based, "disp <= 127", "disp <= 255", "_DISP8(disp)", "_BYTE[disp & 255]"), isa=ISA),
    Bug("x86-scale-lost", "encoding", "the high bit of the index's scale is not encoded",
        "encoding", 6,
        clif("i64 i64", "i64", "v2 = iconst.i8 3; v3 = ishl v1, v2; v4 = iadd v0, v3; return v4", "1, 2"),
        lambda: edited(intel_notation.indexed, "scale << 6", "(scale & 1) << 6"), isa=ISA),
    Bug("x86-byte-register-prefix", "encoding", "sil and dil are encoded without REX, as dh and bh",
        "encoding", 4, clif("i8 i8", "i8", "v9 = icmp slt v0, v1; return v9", "1, 2"),
        lambda: together(item(KINDS["b"].to_bits, RSI, RSI), item(KINDS["b"].to_bits, RDI, RDI)), isa=ISA),
    Bug("x86-stack-base-without-sib", "encoding", "an address based on rsp has no SIB byte",
        "encoding", 5,
        "function %f() -> i64 {\n    ss0 = explicit_slot 16\nblock0:\n    v0 = stack_addr.i64 ss0+8\n    v1 = iconst.i64 7\n"
        "    store v1, v0\n    v2 = load.i64 v0\n    return v2\n}\n; input:\n",
        lambda: edited(intel_notation.based, "if base == 4:", "if base == 8:"), isa=ISA),
    Bug("x86-branch-origin", "branches", "the distance of a conditional branch counts from its last byte",
        "encoding", 5,
        clif("i32", "i32", "trapz v0, user1; return v0", "1"),
        lambda: together(attribute(label_uses(0)["cond32"], "origin", 3),
                         attribute(label_uses(0)["cond8"], "origin", 0)), isa=ISA),
    Bug("x86-branch-not-inverted", "branches", "a branch turned around keeps its condition",
        "result", 9,
        clif("i32", "i32", "brif v0, block1, block2; block1:; v1 = iconst.i32 1; return v1; block2:;"
             " v2 = iconst.i32 2; return v2", "1"),
        lambda: edited(pseudos.invert, "ops[0] ^ 1", "ops[0]"), isa=ISA),
    Bug("x86-dividend-not-extended", "lowering", "a signed division has zeros for the dividend's high half",
        "result", 5, clif("i32", "i32", "v1 = iconst.i32 7; v9 = sdiv v0, v1; return v9", "-21"),
        lambda: _rule("sdiv_const", emit=("cdq.R t2, x; idiv.R y, d, t3, x, t2", "idiv.R y, d, t3, x, =0")), isa=ISA),
    Bug("x86-overflow-unchecked", "lowering", "the least number is divided by -1 without a check",
        "trap", 5, _binary("sdiv", "i64", "0x8000000000000000, -1"),
        lambda: _rule("sdiv_64", emit=("jcc EQ, !int_ovf, {-1};", "")), isa=ISA),
    Bug("x86-remainder-overflow", "lowering", "the remainder of the least number by -1 is left to the machine, which traps",
        "trap", 5, _binary("srem", "i32", "0x80000000, -1"),
        lambda: _rule("srem_wide", emit=("cmp_ri.R y, {-1}", "cmp_ri.R y, {-2}")), isa=ISA),
    Bug("x86-shift-unmasked", "lowering", "the amount of a narrow shift is taken modulo 32",
        "result", 4, _binary("ushr", "i8", "0x80, 9"),
        lambda: _rule("ushr_narrow", emit="shr_cl.T d, x, y"), isa=ISA),
    Bug("x86-wrong-conditional-move", "lowering", "a signed minimum moves on an unsigned condition",
        "result", 4, _binary("smin", "i32", "-1, 1"),
        lambda: _rule("smin", emit=("GREATER", "ABOVE")), isa=ISA),
    Bug("x86-sign-for-zero", "lowering", "an unsigned extension is made by MOVSX",
        "result", 3, clif("i8", "i32", "v1 = uextend.i32 v0; return v1", "0x80"),
        lambda: _rule("uextend_i8", emit=("movzx_b.l", "movsx_b.l")), isa=ISA),
    Bug("x86-flags-clobbered", "lowering", "a XOR stands between a comparison and its conditional move",
        "result", 4, _binary("smax", "i32", "1, 2"),
        lambda: _rule("smax", emit=("y; cmov", "y; xor_rr.R t, x, y; cmov")), isa=ISA),
    Bug("x86-product-halves", "lowering", "the high half of a product is taken from rax",
        "result", 4, _binary("umulhi", "i64", "-1, 5"),
        lambda: _rule("umulhi", emit=("y, t, d, x", "y, d, t, x")), isa=ISA),
    Bug("x86-pop-missing", "frame", "the epilogue does not pop the register that was pushed last",
        "frame", 12, _SAVED,
        lambda: edited(abi.epilogue, "reversed(pushed)", "reversed(pushed[1:])", "-8 * len(pushed)])", "8 - 8 * len(pushed)])"),
        (("registers", 3),), isa=ISA),
    Bug("x86-pops-in-order", "frame", "saved registers are popped in the order they were pushed",
        "frame", 14, _SAVED, lambda: edited(abi.epilogue, "reversed(pushed)", "pushed"),
        (("registers", 3),), isa=ISA),
    Bug("x86-register-not-saved", "frame", "rbx is taken for a register of the callee's",
        "frame", 12, _SAVED, lambda: edited(machine_env, "callee_saved=saved", "callee_saved=saved - {RBX}"),
        (("registers", 3),), isa=ISA),
    Bug("x86-argument-offset", "frame", "stack arguments are read as if no return address were there",
        "result", 3,
        clif("i64 i64 i64 i64 i64 i64 i64", "i64", "return v6", "1, 2, 3, 4, 5, 6, 7"),
        lambda: edited(calls.lower_arguments, "calls.linkage - 1 - place", "calls.linkage - 9 - place"), isa=ISA),
    Bug("x86-tzcnt-is-bsf", "lowering", "the trailing zeros of 0 are left to BSF, which gives nothing",
        "result", 3, clif("i64", "i64", "v1 = ctz v0; return v1", "0"),
        lambda: _rule("ctz_tzcnt", emit=("tzcnt.R", "bsf.R")), (("has_bmi1", True),), isa=ISA),
    Bug("x86-floor-of-minus-zero", "lowering", "the floor without SSE4.1 adds -1 or 0, and so makes 0 of -0",
        "result", 3, clif("f64", "f64", "v1 = floor v0; return v1", "0x8000000000000000"),
        lambda: _rule("floor", emit=("float_bits(1.0, B)", "float_bits(-1.0, B)", "sub.F d, f11, f8", "add.F d, f11, f8")),
        isa=ISA),
    Bug("x86-load-over-store", "lowering", "a load is made part of an instruction behind a store",
        "result", 9, _memory("v1 = load.i64 v0; store v0, v0; v2 = iadd v0, v1; return v2"),
        lambda: edited(Lowering.sinks, "inst.op.side_effects and not (", "inst.op.side_effects and not (inst.op.writes or "),
        isa=ISA),
    Bug("x86-changed-elsewhere", "lowering", "a value is changed in place though it is stored at another offset",
        "memory", 9, _memory("store v0, v0; v1 = load.i64 v0; v2 = iadd v1, v0; store v2, v0+8; return v0"),
        lambda: _rule("store_iadd", when=("i2.imm == imm and ", "")), isa=ISA),
    Bug("x86-short-branch-too-far", "branches", "a short branch is trusted with one byte more than it reaches",
        "encoding", 40, clif("i32 i32", "i32", _FAR_ENOUGH, "0, 5"),
        lambda: together(attribute(label_uses(0)["cond8"], "max_pos", 129), attribute(label_uses(0)["jump8"], "max_pos", 129)),
        isa=ISA),
    Bug("x86-trap-record-left", "branches", "trap records stay where they are when branches become short",
        "trap", 12, clif("i32 i64", "i64", "trapz v0, user1; v2 = iconst.i64 0x0123456789abcdef; v3 = bxor v1, v2; return v3", "0, 5"),
        lambda: edited(MachBuffer._shorten, "(moved(at), trap)", "(at, trap)"), isa=ISA),
)  # fmt: skip
