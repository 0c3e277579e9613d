"""What the emitter expands on x86-64: instructions that depend on the frame, and jump tables."""

from __future__ import annotations

from typing import Final

from backend.isa.isa import Step
from backend.isa.pseudos import FrameSteps, Pseudo, frame_pseudos
from backend.isa.x86_64 import abi
from backend.isa.x86_64.fields import AE
from backend.isa.x86_64.insts import ROWS
from backend.isa.x86_64.regs import SCRATCH
from backend.machine.emit import Emitter
from backend.machine.link import ABSOLUTE
from backend.machine.rows import Row
from backend.machine.vcode import MInst

_LONGEST_STEP: Final = 8
"""Bytes of a load from the stack."""


def _func_addr(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    """The address is the immediate of a MOV: its last eight bytes."""
    register, symbol = ops
    row = ROWS["movabs.q"]
    code = row.encode([register, 0])
    assert isinstance(code, bytes)
    emitter.buffer.reloc(ABSOLUTE, emitter.symbols[symbol], 0, len(code) - 8)
    emitter.put(row, [register, 0])


def _near_func_addr(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    emitter.put_reloc(ROWS["lea_function"], [ops[0], 0], emitter.symbols[ops[1]])


def _br_table(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    """Bounds check, then a jump by the table behind the code. An entry is the distance from itself to its
    target. The index has zeros above its 32 bits; its register is clobbered, and scratch is free at the
    end of a block."""
    index, default, *table = ops
    buffer = emitter.buffer
    emitter.put(ROWS["cmp_ri.l"], [index, len(table)])
    emitter.put_at(ROWS["jcc"], [AE, 0, 0], emitter.target(default), "default32")
    start = buffer.new_label()
    emitter.put_at(ROWS["lea_table"], [SCRATCH, 0], start)
    emitter.put(ROWS["lea_x.q"], [SCRATCH, SCRATCH, index, 2, 0])
    emitter.put(ROWS["movsx_l.q_o"], [index, SCRATCH, 0, -1])
    emitter.put(ROWS["add_rr.q"], [SCRATCH, index, SCRATCH])
    emitter.put(ROWS["jmp_r"], [SCRATCH])
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
            call=ROWS["call"],
            jump=ROWS["jmp"],
            jump_indirect=ROWS["jmp_r"],
            ret=ROWS["ret"],
            step_bytes=_LONGEST_STEP,
        ),
    ),
    ROWS["func_addr"].index: _func_addr,
    ROWS["near_func_addr"].index: _near_func_addr,
    ROWS["br_table"].index: _br_table,
}


def invert(row: Row, ops: list[int]) -> Step:
    """The branch that is taken exactly when this one is not: conditions come in pairs."""
    return row, [ops[0] ^ 1, *ops[1:]]
