"""Bugs of frames and the calling convention. The first four are those that this project began with: the value
returned was right, 42, and the caller's frame was not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from backend.isa.aarch64 import abi
from backend.isa.aarch64.fields import KINDS
from backend.isa.aarch64.insts import ROWS
from backend.isa.aarch64.regs import ARGUMENTS, SP
from backend.lower import calls
from backend.machine import frame
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import bits, edited, item, together
from fuzzer.selftest.witness import clif

_FEW: Final = (("registers", 3),)
_CONSTANT: Final = """function %f() -> i32 {
block0:
    v0 = iconst.i32 42
    return v0
}
; input:
"""
_NINE: Final = """function %f(i64, i64, i64, i64, i64, i64, i64, i64, i64, i64) -> i64 {
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64, v8: i64, v9: i64):
    return v8
}
; input: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
"""
_TWO: Final = """function %f(i32, i32) -> i32, i32 {
block0(v0: i32, v1: i32):
    return v0, v1
}
; input: 1, 2
"""
_SLOT: Final = """function %f() {
    ss0 = explicit_slot 8
block0:
    return
}
; input:
"""
_HALF: Final = """function %f(i64) {
    ss0 = explicit_slot 64
block0(v0: i64):
    v1 = stack_addr.i64 ss0+40
    store v0, v1
    return
}
; input: 1
"""
_LARGE: Final = """function %f(i64) {
    ss0 = explicit_slot 5000
block0(v0: i64):
    v1 = stack_addr.i64 ss0+4992
    store v0, v1
    return
}
; input: 1
"""
_PRESSURE: Final = """function %f(i64, i64, i64) -> i64 {
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
_MOVED: Final = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = isub v0, v1
    return v2
}
; input: 3, 5
"""
_VECTOR: Final = """function %f(i32) -> i32 {
block0(v0: i32):
    v1 = popcnt v0
    return v1
}
; input: 7
"""


def _no_writeback() -> contextlib.AbstractContextManager[None]:
    return bits("stp_pre.x", "10 101 0 011 0", "10 101 0 010 0")


@contextlib.contextmanager
def _zero_frame_pointer() -> Iterator[None]:
    """MOV (register) takes register 31 for XZR; the text still says what was meant."""
    kind: Any = KINDS["xz"]
    with (
        item(kind.to_bits, SP, 31),
        item(kind.text.__self__, SP, "sp"),
        edited(abi.prologue, 'ROWS["add_ri.x"], [FP, SP, 0]', 'ROWS["mov_rr.x"], [FP, SP]'),
    ):
        yield


def _store_for_load() -> contextlib.AbstractContextManager[None]:
    return bits("ldp_post.x", "10 101 0 001 1", "10 101 0 011 0")


BUGS: Final = (
    Bug("pair-writeback", "frame", "the prologue's stp x29, x30, [sp, #-16]! lacks its writeback",
        "encoding", 2, _CONSTANT, _no_writeback),
    Bug("frame-pointer-xzr", "frame", "mov x29, sp is encoded as mov x29, xzr",
        "encoding", 2, _CONSTANT, _zero_frame_pointer),
    Bug("load-pair-as-store", "frame", "the epilogue's ldp x29, x30, [sp], #16 is encoded as a store pair",
        "frame", 2, _CONSTANT, _store_for_load),
    Bug("caller-frame", "frame", "all three at once: the value is right, the caller's frame is not",
        "frame", 2, _CONSTANT,
        lambda: together(_no_writeback(), _zero_frame_pointer(), _store_for_load())),
    Bug("stack-argument-offset", "frame", "stack arguments are read without the frame record's size",
        "result", 2, _NINE, lambda: edited(calls.lower_arguments, "calls.linkage - 1 - place", "-1 - place")),
    Bug("stack-argument-spread", "frame", "stack arguments are taken to be 16 bytes apart",
        "result", 2, _NINE.replace("return v8", "return v9"),
        lambda: edited(calls.lower_arguments, "calls.linkage - 1 - place", "calls.linkage + 2 * (-1 - place)")),
    Bug("ninth-argument-in-register", "frame", "the ninth argument is expected in x8",
        "result", 2, _NINE,
        lambda: item(abi.CONVENTIONS, "", abi.CONVENTIONS[""]._replace(
            arguments=lambda params: abi._locate(params, (*ARGUMENTS, 8))))),
    Bug("results-swapped", "frame", "results beyond the first come in the wrong order",
        "result", 3, _TWO,
        lambda: edited(calls.emit_return, "tuple(registers)", "tuple(registers[::-1])")),
    Bug("saved-pair-swapped", "frame", "a pair of saved registers is restored the wrong way round",
        "frame", 16, _PRESSURE,
        lambda: edited(abi._saves, "[registers.pop(0), registers.pop(0), FP, offset]",
                       "[*(registers.pop(0), registers.pop(0))[:: 1 if store else -1], FP, offset]"), _FEW),
    Bug("saved-from-wrong-slot", "frame", "single saved registers are restored from the slot below",
        "frame", 5, _MOVED,
        lambda: edited(abi._saves, "[registers[0], FP, offset,", "[registers[0], FP, offset - (0 if store else 8),"),
        _FEW),
    Bug("vector-registers-unsaved", "frame", "callee-saved vector registers are not saved",
        "frame", 3, _VECTOR, lambda: edited(abi._saves, "for cls in (INT, FLOAT):", "for cls in (INT,):"), _FEW),
    Bug("last-register-unsaved", "frame", "the last callee-saved register in use is not saved",
        "frame", 12, _PRESSURE,
        lambda: edited(frame._written, "tuple(sorted(touched & env.callee_saved))",
                       "tuple(sorted(touched & env.callee_saved))[:-1]"), _FEW),
    Bug("frame-without-saves", "frame", "the frame's size leaves out the saved registers",
        "frame", 12,
        """function %f(i64, i64, i64) -> i64 {
    ss0 = explicit_slot 16
block0(v0: i64, v1: i64, v2: i64):
    v3 = stack_addr.i64 ss0+8
    store v0, v3
    v4 = imul v1, v2
    v5 = imul v4, v1
    v6 = bxor v5, v4
    return v6
}
; input: 3, 5, 7
""",
        lambda: edited(frame.layout_frame, "_up(offset + frame.saved_bytes, frame.align)",
                       "_up(offset, frame.align)"), _FEW),
    Bug("slot-of-half-size", "frame", "a stack slot gets half the bytes it declares",
        "bounds", 4, _HALF,
        lambda: edited(frame.layout_frame, "offset += slot.size", "offset += slot.size // 2")),
    Bug("stack-pointer-not-restored", "frame", "the epilogue of a small frame leaves sp where it is",
        "bounds", 3, _SLOT, lambda: edited(abi.epilogue, "if frame.size:", "if frame.size > 16:")),
    Bug("frame-size-truncated", "frame", "a frame is made as large as 12 bits of its size say",
        "bounds", 6, _LARGE,
        lambda: edited(abi.prologue, 'steps += _add_sp(frame.size, ROWS["sub_ri.x"])\n    return',
                       'steps += _add_sp(frame.size & 0xFFF, ROWS["sub_ri.x"])\n    return')),
    Bug("slot-offset-truncated", "frame", "an address in a large frame loses its low 12 bits",
        "result", 8,
        """function %f(i64, i64) -> i64 {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 5000
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss1+4936
    v3 = stack_addr.i64 ss1+4944
    store v0, v2
    store v1, v3
    v4 = load.i64 v2
    return v4
}
; input: 1, 2
""",
        lambda: edited(abi._add_sp, "if low:", "if low and to == SP:")),
    Bug("result-not-extended", "frame", "the register of a uext i8 result keeps what is above it",
        "frame", 2, clif("i8", "i8", "return v0", "1").replace("-> i8", "-> i8 uext"),
        lambda: item(abi._EXTENDS, ("uext", 8), None)),
    Bug("result-extended-by-zeros", "frame", "a sext i16 result is zero-extended",
        "frame", 3, clif("i16", "i16", "return v0", "-1").replace("-> i16", "-> i16 sext"),
        lambda: item(abi._EXTENDS, ("sext", 16), ROWS["uxth"])),
)  # fmt: skip
