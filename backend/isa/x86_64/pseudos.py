"""What the emitter expands on x86-64: instructions that depend on the frame, and jump tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backend.isa.isa import Step
from backend.isa.x86_64.abi import epilogue, slot_address, tail_epilogue
from backend.isa.x86_64.fields import AE
from backend.isa.x86_64.insts import ROWS
from backend.isa.x86_64.regs import RSP, SCRATCH
from backend.machine.emit import Emitter
from backend.machine.link import ABSOLUTE
from backend.machine.rows import Row
from backend.machine.vcode import MInst

_LONGEST_STEP: Final = 8
"""Bytes of a load from the stack."""


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
    emitter.put_reloc(ROWS["call"], [0], emitter.symbols[ops[0]])


def _call_popped(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    _call(emitter, inst, ops)
    emitter.put(ROWS["sub_ri.q"], [RSP, ops[1], RSP])


def _call_indirect_popped(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    emitter.put(ROWS["call_r"], ops[:1])
    emitter.put(ROWS["sub_ri.q"], [RSP, ops[1], RSP])


def _ret_pop(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    for row, values in epilogue(emitter.frame):
        emitter.put(row, values)
    emitter.put(ROWS["ret_i"], ops[:1])


def _leave(emitter: Emitter, ops: list[int]) -> None:
    _, given, taken, *_ = ops
    steps = tail_epilogue(emitter.frame, given, taken)
    emitter.reserve(_LONGEST_STEP * (len(steps) + 1))
    for row, values in steps:
        emitter.put(row, values)


def _return_call(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    _leave(emitter, ops)
    emitter.put_reloc(ROWS["jmp"], [0], emitter.symbols[ops[0]], ROWS["call"].use)


def _return_call_indirect(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
    _leave(emitter, ops)
    emitter.put(ROWS["jmp_r"], ops[:1])


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


PSEUDOS: Final[dict[int, Callable[[Emitter, MInst, list[int]], None]]] = {
    ROWS["args"].index: _args,
    ROWS["slot_addr"].index: _slot_addr,
    ROWS["ret"].index: _ret,
    ROWS["call_function"].index: _call,
    ROWS["call_popped"].index: _call_popped,
    ROWS["call_indirect_popped"].index: _call_indirect_popped,
    ROWS["ret_pop"].index: _ret_pop,
    ROWS["return_call"].index: _return_call,
    ROWS["return_call_indirect"].index: _return_call_indirect,
    ROWS["func_addr"].index: _func_addr,
    ROWS["near_func_addr"].index: _near_func_addr,
    ROWS["br_table"].index: _br_table,
}


def invert(row: Row, ops: list[int]) -> Step:
    """The branch that is taken exactly when this one is not: conditions come in pairs."""
    return row, [ops[0] ^ 1, *ops[1:]]
