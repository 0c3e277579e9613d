"""Bugs of branches and layout: conditions, targets, edges, jump tables, reach, traps taken by branches."""

from __future__ import annotations

from typing import Final

from backend.isa.aarch64.labels import label_uses
from backend.isa.aarch64.pseudos import _br_table, invert
from backend.lower.driver import Lowering
from backend.machine import emit
from backend.machine.emit import Emitter
from backend.machine.labels import LabelUse
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import bits, edited, rule
from fuzzer.selftest.witness import clif

_COMPARE: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = icmp ult v0, v1
    brif v2, block1, block2
block1:
    return v0
block2:
    return v1
}
; input: 1, 2
; input: 2, 1
"""
_TEST: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1, block2
block1:
    return v0
block2:
    return v1
}
; input: 1, 2
; input: 0, 1
"""
_BIT: Final = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = iconst.i64 0
    v3 = icmp slt v0, v2
    brif v3, block2, block1
block1:
    return v0
block2:
    return v1
}
; input: -1, 2
; input: 1, 2
"""
_LOOP: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iconst.i32 3
    jump block1(v2, v0)
block1(v3: i32, v4: i32):
    v5 = isub v4, v1
    v6 = iconst.i32 1
    v7 = isub v3, v6
    brif v7, block1(v7, v5), block2
block2:
    return v5
}
; input: 5, 9
"""
_SWAPPING: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iconst.i32 3
    jump block1(v2, v0, v1)
block1(v3: i32, v4: i32, v5: i32):
    v6 = iconst.i32 1
    v7 = isub v3, v6
    brif v7, block1(v7, v5, v4), block2
block2:
    v8 = isub v4, v5
    return v8
}
; input: 5, 9
; input: 9, 7
"""
_EDGE: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    jump block1(v0, v1)
block1(v2: i32, v3: i32):
    v4 = isub v2, v3
    return v4
}
; input: 9, 2
"""
_JOIN: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1(v0), block1(v1)
block1(v2: i32):
    return v2
}
; input: 9, 2
; input: 0, 2
"""
_SWITCH: Final = """function %f(i32) -> i32 {
block0(v0: i32):
    br_table v0, block1, [block2, block3]
block1:
    v1 = iconst.i32 10
    return v1
block2:
    v2 = iconst.i32 20
    return v2
block3:
    v3 = iconst.i32 30
    return v3
}
; input: 0
; input: 1
; input: 2
; input: 3
; input: 100
; input: 0x80000000
"""
_TWO_TRAPS: Final = """function %f(i8) {
block0(v0: i8):
    trapz v0, user1
    trapnz v0, user2
    return
}
; input: 0
; input: 1
"""

BUGS: Final = (
    Bug("condition-not-inverted", "branches", "a conditional branch keeps its condition as its targets swap",
        "result", 6, _COMPARE, lambda: edited(invert, "ops[0] ^ 1", "ops[0]")),
    Bug("test-not-inverted", "branches", "a compare-and-branch keeps its sense as its targets swap",
        "result", 5, _TEST, lambda: edited(invert, "return row.inverse, ops", "return row, ops")),
    Bug("condition-bit-lost", "branches", "the low bit of a branch's condition is not encoded",
        "encoding", 6, _COMPARE.replace("ult", "uge"), lambda: bits("b_cond", "cc[3:0]", "cc[3:1] 0")),
    Bug("test-bit-truncated", "branches", "the highest bit of a tested bit's number is not encoded",
        "encoding", 7, _BIT, lambda: bits("tbz.x", "1 011011", "0 011011")),
    Bug("jump-back-dropped", "branches", "a jump back is taken for a fallthrough",
        "result", 9, _SWAPPING, lambda: edited(Emitter._jump, "target != self._next", "target > self._next")),
    Bug("edge-moves-skipped", "branches", "jumps are threaded past a block that still moves values",
        "result", 5, _JOIN,
        lambda: edited(emit._thread, "and starts[number] not in edits and", "and")),
    Bug("block-arguments-reversed", "branches", "a jump passes its arguments last first",
        "result", 5, _EDGE,
        lambda: edited(Lowering._fill_edge, "for arg in call.args]", "for arg in call.args[::-1]]")),
    Bug("switch-unchecked", "branches", "a jump table without its bounds check",
        "bounds", 8, _SWITCH, lambda: edited(_br_table, "[HS, 0, 0]", "[6, 0, 0]")),
    Bug("switch-off-by-one", "branches", "a jump table's bounds check lets one index too many through",
        "bounds", 8, _SWITCH, lambda: edited(_br_table, "[HS, 0, 0]", "[8, 0, 0]")),
    Bug("switch-signed", "branches", "a jump table's bounds check is signed",
        "bounds", 8, _SWITCH, lambda: edited(_br_table, "[HS, 0, 0]", "[10, 0, 0]")),
    Bug("switch-rotated", "branches", "the entries of a jump table are one place off",
        "result", 8, _SWITCH,
        lambda: edited(_br_table, "for block in table:", "for block in table[1:] + table[:1]:")),
    Bug("table-address-shift", "branches", "the address of a jump table is shifted one bit too far",
        "encoding", 8, _SWITCH, lambda: edited(label_uses, "(0, 2, 29), (2, 19, 5)", "(0, 2, 29), (3, 19, 5)")),
    Bug("backward-sign-lost", "branches", "the sign of a branch's distance is not encoded",
        "encoding", 7, _LOOP,
        lambda: edited(LabelUse.patch, "((delta >> source_lo) & ((1 << width) - 1)) << word_lo",
                       "((delta >> source_lo) & ((1 << width - 1) - 1)) << word_lo")),
    Bug("no-veneer", "branches", "a short branch out of reach gets no veneer",
        "buffer", 7, _BIT,
        lambda: edited(label_uses, "veneer=branch,\n            veneer_code=B_WORD.to_bytes(4, \"little\"),",
                       "veneer=None,"),
        (("pad", 33000),)),
    Bug("trap-code-of-first", "branches", "all traps taken by branches get the code of the first",
        "trap", 5, _TWO_TRAPS,
        lambda: edited(Emitter.trap_label, "(label, code)",
                       "(label, self._traps[0][1] if self._traps else code)")),
    Bug("branch-tests-low-half", "branches", "a branch on an i64 tests its low half",
        "result", 5, _TEST.replace("i32", "i64").replace("0, 1", "0x100000000, 1"),
        lambda: rule("brif_wide", emit=("cbnz.R", "cbnz.w"))),
    Bug("sign-bit-off-by-one", "branches", "a branch on the sign tests the bit below it",
        "result", 6,
        clif("i32 i32 i32", "i32", "v3 = iconst.i32 0; v4 = icmp slt v0, v3; brif v4, block1, block2;"
             "block1:; return v1; block2:; return v2", "0x40000000, 5, 6"),
        lambda: rule("brif_slt_zero_w", emit=("{bits(x) - 1}", "{bits(x) - 2}"))),
    Bug("trap-sense-inverted", "branches", "trapz of a comparison traps if it holds",
        "trap", 5,
        clif("i32 i32", "", "v2 = icmp ult v0, v1; trapz v2, user1; return", "1, 2", "2, 1"),
        lambda: rule("trapz_icmp", emit=("{c ^ 1}", "c"))),
)  # fmt: skip
