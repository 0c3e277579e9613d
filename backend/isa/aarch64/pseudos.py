"""What the emitter expands on AArch64: instructions that depend on the frame, and jump tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backend.isa.aarch64.abi import (
    epilogue,
    pop_arguments,
    popped,
    slot_address,
    tail_epilogue,
)
from backend.isa.aarch64.fields import HS, UXTW
from backend.isa.aarch64.insts import ROWS
from backend.isa.aarch64.regs import SCRATCH, TEMP
from backend.isa.isa import Step
from backend.machine.emit import Emitter
from backend.machine.link import ABSOLUTE
from backend.machine.rows import Row
from backend.machine.vcode import MInst

_MAX_IMMEDIATE: Final = 4095


def _args(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    """Nothing: the caller did it."""


def _slot_addr(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    register, slot, offset = ops
    for row, values in slot_address(register, emitter.frame.slots[slot] + offset):
        emitter.put(row, values)


def _ret(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    for row, values in epilogue(emitter.frame):
        emitter.put(row, values)
    emitter.put(ROWS["ret"], [])


def _call(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    emitter.put_reloc(ROWS["bl"], [0], emitter.symbols[ops[0]])


def _call_popped(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    _call(emitter, inst, ops)
    _put_all(emitter, popped(ops[1]))


def _call_indirect_popped(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    emitter.put(ROWS["blr"], ops[:1])
    _put_all(emitter, popped(ops[1]))


def _ret_pop(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    _put_all(emitter, epilogue(emitter.frame) + pop_arguments(ops[0]))
    emitter.put(ROWS["ret"], [])


def _leave(emitter: Emitter, ops: list[int]) -> None:
    _, given, taken, *_ = ops
    steps = tail_epilogue(emitter.frame, given, taken)
    emitter.reserve(4 * len(steps) + 4)
    _put_all(emitter, steps)


def _return_call(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    _leave(emitter, ops)
    emitter.put_reloc(ROWS["b"], [0], emitter.symbols[ops[0]], ROWS["bl"].use)


def _return_call_indirect(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    _leave(emitter, ops)
    emitter.put(ROWS["br"], ops[:1])


def _put_all(emitter: Emitter, steps: list[Step]) -> None:
    for row, values in steps:
        emitter.put(row, values)


def _func_addr(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    """The address is a constant right behind its load, which a jump leads around."""
    register, symbol = ops
    buffer = emitter.buffer
    literal, behind = buffer.new_label(), buffer.new_label()
    emitter.put_at(ROWS["ldr_pool.x"], [register, 0], literal)
    emitter.put_at(ROWS["b"], [0], behind)
    buffer.bind(literal)
    buffer.reloc(ABSOLUTE, emitter.symbols[symbol], 0)
    buffer.put_data(bytes(8), "address")
    buffer.bind(behind)


def _br_table(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    """Bounds check, then a jump by the table behind the code. An entry is the distance from itself to its
    target. Scratch and temporary are free at the end of a block."""
    index, default, *table = ops
    buffer = emitter.buffer
    if len(table) <= _MAX_IMMEDIATE:
        emitter.put(ROWS["cmp_ri.w"], [index, len(table)])
    else:
        emitter.put(ROWS["movz.w"], [TEMP, len(table) & 0xFFFF])
        emitter.put(ROWS["movk.w"], [TEMP, len(table) >> 16, 16, TEMP])
        emitter.put(ROWS["cmp_rr.w"], [index, TEMP])
    emitter.put_at(ROWS["b_cond"], [HS, 0, 0], emitter.target(default), "default19")
    start = buffer.new_label()
    emitter.put_at(ROWS["adr"], [SCRATCH, 0], start)
    emitter.put(ROWS["add_rx.x"], [SCRATCH, SCRATCH, index, UXTW << 3 | 2])
    emitter.put(ROWS["ldrsw_ui"], [TEMP, SCRATCH, 0, -1])
    emitter.put(ROWS["add_rr.x"], [SCRATCH, SCRATCH, TEMP])
    emitter.put(ROWS["br"], [SCRATCH])
    buffer.bind(start)
    use = emitter.uses["table32"]
    for block in table:
        buffer.use_label(emitter.target(block), use)
        buffer.put_data(bytes(4), "jump table")


PSEUDOS: Final[dict[int, Callable[[Emitter, MInst, list[int]], None]]] = {
    ROWS["args"].index: _args,
    ROWS["slot_addr"].index: _slot_addr,
    ROWS["ret"].index: _ret,
    ROWS["call"].index: _call,
    ROWS["call_popped"].index: _call_popped,
    ROWS["call_indirect_popped"].index: _call_indirect_popped,
    ROWS["ret_pop"].index: _ret_pop,
    ROWS["return_call"].index: _return_call,
    ROWS["return_call_indirect"].index: _return_call_indirect,
    ROWS["func_addr"].index: _func_addr,
    ROWS["br_table"].index: _br_table,
}


def invert(row: Row, ops: list[int]) -> Step:
    """The branch that is taken exactly when this one is not."""
    if row is ROWS["b_cond"]:
        return row, [ops[0] ^ 1, *ops[1:]]
    return row.inverse, ops
