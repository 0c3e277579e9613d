"""What the emitter expands on any ISA in the same way: instructions that depend on the frame, calls and returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from backend.isa.isa import Step
from backend.lower.calls import Calls
from backend.machine.emit import Emitter
from backend.machine.frame import Frame
from backend.machine.rows import Row
from backend.machine.vcode import MInst

Pseudo = Callable[[Emitter, MInst, list[int]], None]


class FrameSteps(NamedTuple):
    """How an ISA builds and leaves a frame.

    ``slot_address(register, offset)``: the instructions that put an address so far above the stack pointer into a
    register; ``epilogue(frame)``: the prologue undone; ``tail_epilogue(frame, given, taken)``: the same before a
    jump to a function that is given other stack arguments; ``pop_return(size)``: the return, with stack
    arguments of so many bytes; ``popped(size)``: behind a call of a function that took so many bytes along.
    The rows: of a call and a jump by name, of a jump by address, of the return. ``step_bytes``: the most that one of
    these instructions takes.
    """

    slot_address: Callable[[int, int], list[Step]]
    epilogue: Callable[[Frame], list[Step]]
    tail_epilogue: Callable[[Frame, int, int], list[Step]]
    pop_return: Callable[[int], list[Step]]
    popped: Callable[[int], list[Step]]
    call: Row
    jump: Row
    jump_indirect: Row
    ret: Row
    step_bytes: int


def put_all(emitter: Emitter, steps: Sequence[Step]) -> None:
    """Emit ``steps``."""
    for row, values in steps:
        emitter.put(row, values)


def frame_pseudos(calls: Calls, slot_addr: Row, steps: FrameSteps) -> dict[int, Pseudo]:
    """Row index -> what emits it; ``slot_addr``: the row of a slot's address."""

    def args(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        """Nothing: the caller did it."""

    def address(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        register, slot, offset = ops
        put_all(emitter, steps.slot_address(register, emitter.frame.slots[slot] + offset))

    def ret(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        put_all(emitter, steps.epilogue(emitter.frame))
        emitter.put(steps.ret, [])

    def ret_pop(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        put_all(emitter, steps.epilogue(emitter.frame) + steps.pop_return(ops[0]))

    def call(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        emitter.put_reloc(steps.call, [0], emitter.symbols[ops[0]])

    def call_popped(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        call(emitter, inst, ops)
        put_all(emitter, steps.popped(ops[1]))

    def call_indirect_popped(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        emitter.put(calls.call_indirect, ops[:1])
        put_all(emitter, steps.popped(ops[1]))

    def leave(emitter: Emitter, ops: list[int]) -> None:
        _, given, taken, *_ = ops
        left = steps.tail_epilogue(emitter.frame, given, taken)
        emitter.reserve(steps.step_bytes * (len(left) + 1))
        put_all(emitter, left)

    def return_call(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        leave(emitter, ops)
        emitter.put_reloc(steps.jump, [0], emitter.symbols[ops[0]], steps.call.use)

    def return_call_indirect(emitter: Emitter, inst: MInst, ops: list[int]) -> None:
        leave(emitter, ops)
        emitter.put(steps.jump_indirect, ops[:1])

    return {
        calls.args.index: args,
        slot_addr.index: address,
        calls.ret.index: ret,
        calls.ret_pop.index: ret_pop,
        calls.call.index: call,
        calls.call_popped.index: call_popped,
        calls.call_indirect_popped.index: call_indirect_popped,
        calls.return_call.index: return_call,
        calls.return_call_indirect.index: return_call_indirect,
    }
