"""Bugs of register allocation. The symbolic checker sees those inside the allocator, and cannot see those behind it
(rewriting, spill width, slot offsets): these must show in what the code does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from backend.isa.aarch64 import abi
from backend.isa.aarch64.insts import ROWS
from backend.machine import frame
from backend.machine.emit import Emitter
from backend.machine.registers import INT
from backend.regalloc import allocate, parallel_moves, ranges
from backend.regalloc.linear_scan import LinearScan
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import edited, item, wrapped
from fuzzer.selftest.witness import clif

_FEW: Final = (("registers", 3),)
_PRESSURE: Final = """function %f(i64, i64, i64) -> i64 {
block0(v0: i64, v1: i64, v2: i64):
    v3 = imul v0, v1
    v4 = imul v1, v2
    v5 = imul v0, v2
    v6 = imul v3, v4
    v7 = bxor v6, v5
    v8 = isub v7, v0
    v9 = isub v8, v1
    v10 = isub v9, v2
    v11 = bxor v10, v3
    v12 = isub v11, v4
    return v12
}
; input: 0x123456789abcdef, 0xfedcba9876543211, 0x1122334455667788
"""
_SWAP: Final = """function %f(i32, i32) -> i32, i32 {
block0(v0: i32, v1: i32):
    return v1, v0
}
; input: 1, 2
"""
_CHAIN: Final = """function %f(i32, i32, i32) -> i32, i32, i32 {
block0(v0: i32, v1: i32, v2: i32):
    v3 = iconst.i32 7
    return v3, v0, v1
}
; input: 1, 2, 3
"""
_LOOP: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iconst.i32 3
    v9 = bxor v0, v1
    jump block1(v2)
block1(v3: i32):
    v4 = imul v3, v9
    v8 = imul v4, v1
    v6 = iconst.i32 1
    v7 = isub v3, v6
    brif v7, block1(v7), block2
block2:
    v10 = isub v8, v4
    return v10
}
; input: 5, 9
"""
_JOIN: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1(v0), block1(v1)
block1(v2: i32):
    return v2
}
; input: 9, 2
"""
_PARAMS: Final = """function %f(i32, i32, i32, i32) -> i32 {
block0(v0: i32, v1: i32, v2: i32, v3: i32):
    jump block1(v1, v0, v2, v3)
block1(v4: i32, v5: i32, v6: i32, v7: i32):
    v8 = imul v4, v5
    v9 = isub v8, v6
    v10 = imul v9, v7
    v11 = isub v10, v4
    v12 = imul v11, v5
    v13 = isub v12, v6
    v14 = bxor v13, v7
    return v14
}
; input: 5, 9, 11, 13
"""
_KEPT: Final = """function %f(i32, i32) -> i32, i32 {
block0(v0: i32, v1: i32):
    v2 = imul v0, v0
    return v2, v1
}
; input: 3, 5
"""
_TIED: Final = """function %f(i32) -> i32, i32, i32 {
block0(v0: i32):
    v1 = iconst.i32 0x12345678
    return v0, v0, v1
}
; input: 1
"""
_KIN: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = imul v0, v1
    v3 = imul v2, v1
    jump block1(v2)
block1(v4: i32):
    v5 = isub v4, v3
    v6 = isub v5, v2
    v7 = isub v6, v4
    v8 = isub v7, v2
    return v8
}
; input: 5, 9
"""


def _leak_hints(init: Callable[..., None]) -> Callable[..., None]:
    last: list[int] = []

    def planted(self: LinearScan, *args: Any) -> None:
        init(self, *args)
        last.extend([-1] * (len(self._last) - len(last)))
        self._last = last

    return planted


@contextlib.contextmanager
def _hints_outlive_functions() -> Iterator[None]:
    with wrapped(LinearScan, "__init__", _leak_hints):
        yield


BUGS: Final = (
    Bug("cycle-without-temporary", "registers", "a cycle of moves is unwound without saving a value first",
        "allocation", 4, _SWAP,
        lambda: edited(parallel_moves.sequence_moves, "done.append((scratch, start))", "pass")),
    Bug("cycle-temporary-unused", "registers", "a cycle's last move reads its overwritten source",
        "allocation", 4, _SWAP,
        lambda: edited(parallel_moves.sequence_moves, "waiting[reader] = temporary", "readers[start] += 1",
                       "readers[start] = 0\n            ready.append(start)",
                       "ready.append(start)\n            readers[start] -= 1")),
    Bug("moves-in-given-order", "registers", "parallel moves are done one after another as they come",
        "allocation", 5, _CHAIN,
        lambda: edited(parallel_moves.sequence_moves, "waiting = {to:",
                       "return [(to, source) for to, source in moves if to != source]\n    waiting = {to:")),
    Bug("register-freed-early", "registers", "a register is free one position before its value dies",
        "allocation", 8, _PRESSURE,
        lambda: edited(LinearScan.run, "expiry[0] >> 7 <= at:", "expiry[0] >> 7 <= at + 1:"), _FEW),
    Bug("slots-shared", "registers", "values that are alive at once share a spill slot",
        "allocation", 20, _PRESSURE,
        lambda: edited(allocate._assign_slots, "heap[0][0] <= start[vreg]", "heap[0][0] <= end[vreg]"), _FEW),
    Bug("block-parameter-not-stored", "registers", "a spilled block parameter is not stored to its slot",
        "allocation", 16, _PARAMS,
        lambda: edited(allocate._collect_pieces, "if vreg not in fixed:",
                       "if vreg not in fixed and born[vreg] & 1:"), _FEW),
    Bug("argument-not-stored", "registers", "a spilled argument is not stored to its slot",
        "allocation", 16, _PRESSURE,
        lambda: edited(allocate._collect_copies, "if to >= 0 and vreg in places.slots:",
                       "if to < 0 and vreg in places.slots:"), _FEW),
    Bug("loop-range-cut", "registers", "what is alive around a loop is thought to die at its last use in it",
        "allocation", 16, _LOOP,
        lambda: edited(ranges.build_ranges, "if end[vreg] < out:", "if end[vreg] > out:")),
    Bug("edge-move-forgotten", "registers", "the first parameter of a block gets no move",
        "allocation", 5, _JOIN,
        lambda: edited(allocate._collect_edges, "zip(block.params, source_block.args, strict=True)",
                       "zip(block.params[1:], source_block.args[1:], strict=True)")),
    Bug("tied-input-not-copied", "registers", "the input of an instruction that overwrites it is not put in place",
        "allocation", 4, _TIED,
        lambda: edited(ranges._constrain, "dies = at\n            else:",
                       "dies = at\n                ranges.copies.pop()\n            else:")),
    Bug("reload-forgotten", "registers", "a value that comes back from its slot is not loaded",
        "allocation", 20, _PRESSURE,
        lambda: edited(allocate._collect_pieces, "if source != register:", "if source > register:"), _FEW),
    Bug("hints-outlive-functions", "registers", "register hints of one function leak into the next",
        "repeat", 12, _KIN, _hints_outlive_functions),
    Bug("spill-store-narrow", "registers", "a spill stores 32 bits of a 64-bit register",
        "result", 20, _PRESSURE, lambda: item(abi._SPILL, (INT, True), ROWS["str.w_ui"]), _FEW),
    Bug("spill-load-narrow", "registers", "a reload reads 32 bits of a 64-bit slot",
        "result", 20, _PRESSURE, lambda: item(abi._SPILL, (INT, False), ROWS["ldr.w_ui"]), _FEW),
    Bug("spill-slots-coincide", "registers", "all spill slots have the same offset",
        "result", 24, _PRESSURE,
        lambda: edited(frame.layout_frame, "frame.spills.append(offset)", "frame.spills.append(0)"), _FEW),
    Bug("reload-from-wrong-slot", "registers", "reloads read the slot above their own",
        "result", 20, _PRESSURE,
        lambda: edited(abi.move, "frame.spills[slot]", "frame.spills[slot] + (0 if store else 8)"), _FEW),
    Bug("moves-reversed", "registers", "the moves of a gap are emitted last first",
        "result", 5, _CHAIN,
        lambda: edited(Emitter._emit_moves, "for to, source in moves:", "for to, source in moves[::-1]:")),
    Bug("operand-not-rewritten", "registers", "an instruction's second operand gets the first one's register",
        "result", 4,
        clif("i32 i32", "i32", "v2 = isub v0, v1; return v2", "5, 3"),
        lambda: edited(Emitter._emit_block, "ops = inst.ops.copy()",
                       "ops, given = inst.ops.copy(), locations[index]",
                       "in zip(inst.operands, locations[index], strict=True)",
                       "in zip(inst.operands, given[:1] * 2 + given[2:])")),
    Bug("move-target-unsaved", "registers", "a callee-saved register that only a move writes is not saved",
        "frame", 5, _KEPT,
        lambda: edited(frame._written, "touched.add(to)", "pass"), _FEW),
)  # fmt: skip
