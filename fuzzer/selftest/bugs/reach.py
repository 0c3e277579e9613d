"""Bugs that show only where a function reaches itself, or what its context leads to."""

from __future__ import annotations

from typing import Final

from backend.lower import expand
from backend.machine import frame, link
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import edited

_ITSELF: Final = """function %f(i32, i64) -> i64 {
    fn0 = %f(i32, i64) -> i64
block0(v0: i32, v1: i64):
    brif v0, block1, block2
block1:
    v2 = iconst.i32 0
    v3 = call fn0(v2, v1)
    v4 = iadd v1, v3
    return v4
block2:
    return v1
}
; input: 1, 5
; input: 0, 5
"""
_LOADED: Final = """function %f(i64 vmctx) -> i32 {
    gv0 = vmctx
    gv1 = load.i64 notrap gv0+512
block0(v0: i64):
    store v0, v0+512
    v1 = global_value.i64 gv1
    v2 = load.i32 v1+512
    return v2
}
; memory: 4096
; input: 0x20000000
"""
_DISTANCE: Final = """function %f(i64 vmctx) {
    gv0 = vmctx
    gv1 = iadd_imm.i64 gv0, 0x108
block0(v0: i64):
    v1 = global_value.i64 gv1
    store v0, v1
    return
}
; memory: 4096
; input: 0x20000000
"""

BUGS: Final = (
    Bug(
        "saved-not-in-recursion",
        "calls",
        "a function that calls itself saves no callee-saved register",
        "frame",
        12,
        _ITSELF,
        lambda: edited(
            frame.layout_frame,
            "frame.saved = _written(allocation, env, clobbers)",
            "frame.saved = () if any(ref.name == function.name for ref in function.functions.values())"
            " else _written(allocation, env, clobbers)",
        ),
    ),
    Bug(
        "own-call-late",
        "calls",
        "a function that calls itself goes behind its first instruction",
        "bounds",
        12,
        _ITSELF,
        lambda: edited(
            link._resolve, "+ use.origin", "+ use.origin + 4 * (symbol == finished.base)"
        ),
    ),
    Bug(
        "global-load-at-base",
        "lowering",
        "a global value is loaded from the address it is at a distance from",
        "bounds",
        6,
        _LOADED,
        lambda: edited(expand._global_value, "imm=offset", "imm=0"),
    ),
    Bug(
        "global-distance-byte",
        "lowering",
        "the distance of a global value from another is cut to 8 bits",
        "memory",
        6,
        _DISTANCE,
        lambda: edited(expand._global_value, "offset & I64.mask", "offset & 0xFF"),
    ),
)
