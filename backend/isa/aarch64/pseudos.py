"""What the emitter expands on AArch64: instructions that depend on the frame, and jump tables."""

from __future__ import annotations

from typing import Final

from backend.isa.aarch64 import abi
from backend.isa.aarch64.fields import HS, UXTW
from backend.isa.aarch64.insts import ROWS
from backend.isa.aarch64.regs import SCRATCH, TEMP
from backend.isa.isa import Step
from backend.isa.pseudos import FrameSteps, Pseudo, frame_pseudos
from backend.machine.emit import Emitter
from backend.machine.link import ABSOLUTE
from backend.machine.rows import Row
from backend.machine.vcode import MInst

_MAX_IMMEDIATE: Final = 4095


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


PSEUDOS: Final[dict[int, Pseudo]] = {
    **frame_pseudos(
        abi.CALLS,
        ROWS["slot_addr"],
        FrameSteps(
            slot_address=abi.slot_address,
            epilogue=abi.epilogue,
            tail_epilogue=abi.tail_epilogue,
            pop_return=abi.pop_return,
            popped=abi.popped,
            call=ROWS["bl"],
            jump=ROWS["b"],
            jump_indirect=ROWS["br"],
            ret=ROWS["ret"],
            step_bytes=4,
        ),
    ),
    ROWS["func_addr"].index: _func_addr,
    ROWS["br_table"].index: _br_table,
}


def invert(row: Row, ops: list[int]) -> Step:
    """The branch that is taken exactly when this one is not."""
    if row is ROWS["b_cond"]:
        return row, [ops[0] ^ 1, *ops[1:]]
    return row.inverse, ops
