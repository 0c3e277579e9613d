"""Bugs of calls: arguments, results, what a call destroys, return addresses, distances, tail calls."""

from __future__ import annotations

from typing import Final

from backend.isa.aarch64 import abi
from backend.lower import calls
from backend.lower.driver import Lowering
from backend.machine import frame, link
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import edited, item

_ACROSS: Final = """function %f(i64, i64) -> i64 {
    fn0 = %outside(i64) -> i64
block0(v0: i64, v1: i64):
    v2 = call fn0(v0)
    v3 = iadd v1, v2
    return v3
}
; input: 1, 2
"""
_TEN: Final = """function %f(i64, i64) -> i64 {
    fn0 = %outside(i64, i64, i64, i64, i64, i64, i64, i64, i64, i64) -> i64
block0(v0: i64, v1: i64):
    v2 = call fn0(v0, v0, v0, v0, v0, v0, v0, v0, v0, v1)
    return v2
}
; input: 1, 2
"""
_NO_RESULT: Final = """function %f(i64) -> i64 {
    fn0 = %outside(i64) -> i64
block0(v0: i64):
    v1 = call fn0(v0)
    return v0
}
; input: 5
"""
_KEPT: Final = """function %f(i64) -> i64 {
    ss0 = explicit_slot 8
    fn0 = %outside(i64, i64, i64, i64, i64, i64, i64, i64, i64)
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store v0, v1
    v2 = iconst.i64 7
    call fn0(v2, v2, v2, v2, v2, v2, v2, v2, v2)
    v3 = load.i64 v1
    return v3
}
; input: 5
"""
_NARROW: Final = """function %f(i8) {
    fn0 = %outside(i8 sext)
block0(v0: i8):
    call fn0(v0)
    return
}
; input: 0x80
; input: 1
"""
_TWO: Final = """function %f(i64) -> i64 {
    fn0 = %two(i64) -> i64, i64
block0(v0: i64):
    v1, v2 = call fn0(v0)
    return v1
}
function %two(i64) -> i64, i64 {
block0(v0: i64):
    v1 = iconst.i64 3
    return v0, v1
}
; input: 5
"""
_NEAR: Final = """function %f(i64) -> i64 {
    fn0 = %double(i64) -> i64
block0(v0: i64):
    v1 = call fn0(v0)
    return v1
}
function %double(i64) -> i64 {
block0(v0: i64):
    v1 = iadd v0, v0
    return v1
}
; input: 5
"""
_BY_ADDRESS: Final = """function %f(i64, i64) -> i64 {
    sig0 = (i64, i64) -> i64
    fn0 = %minus sig0
block0(v0: i64, v1: i64):
    v2 = func_addr.i64 fn0
    v3 = call_indirect sig0, v2(v1, v0)
    return v3
}
function %minus(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = isub v0, v1
    return v2
}
; input: 5, 7
"""
_POPS: Final = """function %f(i64, i64, i64, i64, i64, i64, i64, i64, i64) -> i64 tail {
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64, v8: i64):
    return v8
}
; input: 0, 1, 2, 3, 4, 5, 6, 7, 8
"""
_TAIL: Final = """function %f(i64, i64) -> i64 tail {
    fn0 = %last(i64, i64, i64, i64, i64, i64, i64, i64, i64) -> i64 tail
block0(v0: i64, v1: i64):
    return_call fn0(v0, v0, v0, v0, v0, v0, v0, v0, v1)
}
function %last(i64, i64, i64, i64, i64, i64, i64, i64, i64) -> i64 tail {
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64, v8: i64):
    return v8
}
; input: 5, 7
"""
_AREA: Final = """function %f(i64) -> i64, i64, i64, i64, i64, i64, i64, i64, i64 {
block0(v0: i64):
    return v0, v0, v0, v0, v0, v0, v0, v0, v0
}
; input: 5
"""
_AREA_OF_CALL: Final = """function %f(i64) -> i64 {
    fn0 = %nine(i64) -> i64, i64, i64, i64, i64, i64, i64, i64, i64, i64
block0(v0: i64):
    v1, v2, v3, v4, v5, v6, v7, v8, v9, v10 = call fn0(v0)
    return v9
}
; input: 5
"""
_SAME: Final = abi.CONVENTIONS[""]
_ALLOCATED: Final = sum(1 << register for register in range(16))

BUGS: Final = (
    Bug(
        "call-clobbers-forgotten",
        "calls",
        "x0 to x15 are taken to survive a call",
        "result",
        3,
        _ACROSS,
        lambda: item(abi.CONVENTIONS, "", _SAME._replace(clobbers=_SAME.clobbers & ~_ALLOCATED)),
    ),
    Bug(
        "call-stack-arguments-reversed",
        "calls",
        "two arguments on the stack are in each other's place",
        "calls",
        4,
        _TEN,
        lambda: edited(calls._pass, "room - 1 - place", "room + (-1 - place ^ 8)"),
    ),
    Bug(
        "call-stack-argument-offset",
        "calls",
        "stack arguments are stored one slot too high",
        "calls",
        4,
        _TEN,
        lambda: edited(calls._pass, "room - 1 - place", "room + 7 - place"),
    ),
    Bug(
        "call-without-result-dropped",
        "calls",
        "a call of whose results none is used is not made",
        "calls",
        3,
        _NO_RESULT,
        lambda: edited(
            Lowering._lower_block,
            "not op.side_effects",
            "(not op.side_effects or op.shape == 'call')",
        ),
    ),
    Bug(
        "outgoing-area-shared",
        "calls",
        "slots lie where the arguments of calls are stored",
        "result",
        8,
        _KEPT,
        lambda: edited(frame.layout_frame, "offset = outgoing", "offset = 0"),
    ),
    Bug(
        "argument-not-extended",
        "calls",
        "a narrow argument is passed as it is, whatever the signature promises",
        "frame",
        3,
        _NARROW,
        lambda: edited(
            calls._pass, "_given(low, args, params, calls.extends)", "_given(low, args, params, {})"
        ),
    ),
    Bug(
        "call-results-mixed",
        "calls",
        "the first result of a call is taken from the register of the last",
        "result",
        3,
        _TWO,
        lambda: edited(
            calls.emit_call, "def_registers.append(place)", "def_registers.insert(0, place)"
        ),
    ),
    Bug(
        "return-address-lost",
        "calls",
        "the return address is saved and not restored",
        "bounds",
        3,
        _ACROSS,
        lambda: edited(abi.epilogue, "[FP, LR, SP, LINKAGE]", "[FP, TEMP, SP, LINKAGE]"),
    ),
    Bug(
        "call-fixup-off-by-word",
        "calls",
        "a call of a function in the same code goes behind its first instruction",
        "encoding",
        3,
        _NEAR,
        lambda: edited(
            link._resolve, "use.patch(word, target - at)", "use.patch(word, target - at + 4)"
        ),
    ),
    Bug(
        "callee-for-argument",
        "calls",
        "the address that is called takes the place of the first argument",
        "allocation",
        4,
        _BY_ADDRESS,
        lambda: edited(
            calls.emit_call,
            "_operands(len(ops), registers,",
            "_operands(int(inst.ref >= 0), registers,",
        ),
    ),
    Bug(
        "pop-forgotten",
        "calls",
        "a function that takes its stack arguments along returns without",
        "frame",
        2,
        _POPS,
        lambda: edited(abi.pop_return, "_add_sp(size,", "_add_sp(0,"),
    ),
    Bug(
        "tail-call-in-place",
        "calls",
        "a tail call is given as much of the stack as its caller was",
        "frame",
        3,
        _TAIL,
        lambda: edited(abi.tail_epilogue, "more = taken - given", "more = 0"),
    ),
    Bug(
        "area-pointer-first",
        "calls",
        "the pointer to the area of results is looked for before the arguments",
        "bounds",
        2,
        _AREA,
        lambda: edited(
            calls.lower_arguments,
            "arguments.append((I64, low.area))",
            "arguments.insert(0, (I64, low.area))",
        ),
    ),
    Bug(
        "area-over-results",
        "calls",
        "results in the caller's area are read one slot too low",
        "result",
        3,
        _AREA_OF_CALL,
        lambda: edited(calls.emit_call, "stack - 1 - place", "stack + (-1 - place ^ 8)"),
    ),
)
