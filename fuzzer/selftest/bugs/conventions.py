# ruff: noqa: E501  # a table: one row a line
"""Bugs of the calling conventions that only some platforms have: Microsoft's on x86-64, Apple's on AArch64."""

from __future__ import annotations

from typing import Final

from backend.isa.aarch64 import abi as aarch64
from backend.isa.aarch64.regs import machine_env as aarch64_env
from backend.isa.x86_64 import abi as x86_64
from backend.isa.x86_64.regs import FASTCALL
from backend.isa.x86_64.regs import machine_env as x86_64_env
from backend.machine import frame
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import edited, item

X86: Final = "x86_64"

_HOME: Final = """function %f() {
    fn0 = %outside() windows_fastcall
block0:
    call fn0()
    return
}
; input:
"""
_ACROSS: Final = """function %f() windows_fastcall {
    fn0 = %outside()
block0:
    call fn0()
    return
}
; input:
"""
_MIXED: Final = """function %f(f64, i64) -> i64 windows_fastcall {
block0(v0: f64, v1: i64):
    return v1
}
; input: 1, 2
"""
_PACKED: Final = """function %f(i64, i64, i64, i64, i64, i64, i64, i64, i8, i8) -> i8 apple_aarch64 {
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64, v8: i8, v9: i8):
    return v9
}
; input: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
"""
_PAIR: Final = """function %f(i64, i128) -> i128 apple_aarch64 {
block0(v0: i64, v1: i128):
    return v1
}
; input: 1, 2
"""
_MOVED: Final = """function %f(i64, i64) -> i64 apple_aarch64 {
block0(v0: i64, v1: i64):
    v2 = isub v0, v1
    v3 = iadd v0, v1
    v4 = imul v2, v3
    return v4
}
; input: 3, 5
"""

BUGS: Final = (
    Bug("fastcall-home-forgotten", "calls", "a callee by Microsoft's convention gets no home for its arguments",
        "bounds", 4, _HOME,
        lambda: item(x86_64.CONVENTIONS, FASTCALL, x86_64.CONVENTIONS[FASTCALL]._replace(home=0)), isa=X86),
    Bug("fastcall-counted-by-class", "calls", "the second argument is in the first register of its class if it is the first of it",
        "result", 3, _MIXED,
        lambda: edited(x86_64._fastcall_arguments, "registers[number]",
                       "registers[sum(p.type.is_float == param.type.is_float for p in params[:number])]"), isa=X86),
    Bug("fastcall-vector-unsaved", "frame", "xmm6 is taken for a register of the callee's by every convention",
        "frame", 4, _ACROSS,
        lambda: edited(x86_64_env, "callee_saved=saved", "callee_saved=saved - {xmm(6)}"), isa=X86),
    Bug("fastcall-vector-halved", "frame", "of a saved vector register the lower half alone is restored",
        "frame", 4, _ACROSS,
        lambda: edited(x86_64.epilogue, '(ROWS["movaps_load"], [register, RBP, offset])',
                       '(ROWS["fload.d_o"], [register, RBP, offset, _NO_TRAP])'), isa=X86),
    Bug("destroyed-by-another-convention", "frame", "what a callee of another convention destroys is not saved for the caller",
        "frame", 4, _ACROSS,
        lambda: edited(frame._written, "if clobbers >> register & 1", "if False"), isa=X86),
    Bug("apple-slots-of-eight", "calls", "each argument on the stack takes 8 bytes, by Apple's convention too",
        "result", 3, _PACKED,
        lambda: edited(aarch64._locate, "type_.bytes if apple else 8", "8")),
    Bug("apple-pair-in-even-register", "wide", "an i128 leaves a register out by Apple's convention too",
        "result", 3, _PAIR, lambda: edited(aarch64._locate, "if not apple:", "if True:")),
    Bug("platform-register-allocated", "registers", "x18 is a register like any other",
        "frame", 6, _MOVED, lambda: edited(aarch64_env, "= _INTS, _FLOATS", "= (PLATFORM, *_INTS), _FLOATS")),
)  # fmt: skip
