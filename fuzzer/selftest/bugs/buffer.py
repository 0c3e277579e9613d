"""Bugs of the code buffer: capacity, growth, ownership, islands, the pool, what is recorded where."""

from __future__ import annotations

from typing import Final

from backend.machine.buffer import MachBuffer
from backend.machine.code import CodeBuffer
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import edited

_CONSTANT: Final = """function %f() -> i32 {
block0:
    v0 = iconst.i32 42
    return v0
}
; input:
"""
_TRAPZ: Final = """function %f(i8) {
block0(v0: i8):
    trapz v0, user1
    return
}
; input: 1
"""
_POOL: Final = """function %f() -> i64 {
block0:
    v0 = iconst.i64 0x0123456789abcdef
    return v0
}
; input:
"""
_STEPS: Final = "".join(f"    v{n} = imul v{n - 1}, v1\n" for n in range(3, 24))
_ISLAND: Final = f"""function %f(i8, i32) -> i32 {{
block0(v0: i8, v1: i32):
    v2 = iadd v1, v1
    trapz v0, user1
{_STEPS}    trapz v0, user2
    return v23
}}
; input: 1, 7
; input: 0, 7
"""

BUGS: Final = (
    Bug("fixup-after-word", "buffer", "a branch's fixup is recorded after its word was put",
        "buffer", 3, _TRAPZ,
        lambda: edited(MachBuffer.use_label, "Fixup(here, owner,", "Fixup(here + 4, owner,")),
    Bug("capacity-off-by-word", "buffer", "room for a word is not asked for when none is left",
        "buffer", 2, _CONSTANT,
        lambda: edited(CodeBuffer.put4, "at + 4 > self._room", "at > self._room")),
    Bug("growth-stale-slice", "buffer", "the word that made the buffer grow goes to the old storage",
        "encoding", 3, _CONSTANT,
        lambda: edited(CodeBuffer.put4, "at = self.length", "at, store = self.length, self._store",
                       "_pack_word(self._store,", "_pack_word(store,")),
    Bug("growth-loses-word", "buffer", "growing copies one word too few",
        "encoding", 3, _CONSTANT,
        lambda: edited(CodeBuffer._grow, "self._store[ZONE : ZONE + self.length]",
                       "self._store[ZONE : ZONE + self.length - 4] + store[:4]")),
    Bug("length-one-short", "buffer", "the code is handed out without its last word",
        "buffer", 2, _CONSTANT,
        lambda: edited(CodeBuffer.take, "ZONE + self.length]", "ZONE + self.length - 4]")),
    Bug("taken-twice", "buffer", "the finished code is taken from the buffer twice",
        "buffer", 2, _CONSTANT,
        lambda: edited(MachBuffer.finish, "data = code.take()", "data = code.take() and code.take()")),
    Bug("patch-too-wide", "buffer", "patching a word clears the one behind it",
        "encoding", 5, _TRAPZ,
        lambda: edited(CodeBuffer.patch4, "_pack_word(self._store, ZONE + offset, word)",
                       "self._store[ZONE + offset : ZONE + offset + 8] = word.to_bytes(8, 'little')")),
    Bug("trap-record-late", "buffer", "a trap is recorded at the word behind the one that traps",
        "buffer", 3, _TRAPZ.replace("input: 1", "input: 0"),
        lambda: edited(MachBuffer.trap, "(self.code.length, code)", "(self.code.length + 4, code)")),
    Bug("pool-label-unaligned", "buffer", "a constant's label is bound before the padding that aligns it",
        "result", 4, _POOL,
        lambda: edited(MachBuffer._emit_pool, "self.align_to(align)\n        self.bind(label)",
                       "self.bind(label)\n        self.align_to(align)")),
    Bug("pool-label-late", "buffer", "a constant's label is bound behind it",
        "result", 3, _POOL,
        lambda: edited(MachBuffer._emit_pool,
                       "self.bind(label)\n        self.put_data(data, \"constant\")",
                       "self.put_data(data, \"constant\")\n        self.bind(label)")),
    Bug("island-in-the-path", "buffer", "no jump leads around an island that control falls into",
        "trap", 24, _ISLAND,
        lambda: edited(MachBuffer.emit_island, "if around is not None:", "if around == ():"),
        (("branch_reach", 64),)),
    Bug("island-over-deadline", "buffer", "an island is put when the soonest deadline has gone by",
        "buffer", 24, _ISLAND,
        lambda: edited(MachBuffer.island_needed, "> deadlines[0][0]", "> deadlines[0][0] + 512"),
        (("branch_reach", 64),)),
    Bug("veneer-skipped", "buffer", "a branch is patched to the word behind its veneer",
        "trap", 24, _ISLAND,
        lambda: edited(MachBuffer._emit_veneer, "self._patch(fixup, here)",
                       "self._patch(fixup, here + 4)"),
        (("branch_reach", 64),)),
)  # fmt: skip
