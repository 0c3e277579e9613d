"""The stack frame: who lies where between the stack pointer and the caller.

::

    incoming stack arguments      from sp at the call upward
    ----------------------------- sp at the call
    return address, frame pointer `linkage` bytes
    saved registers
    explicit slots                each aligned as declared
    spill slots                   near to sp, whose offsets they must fit
    outgoing stack arguments      of the calls made from here, from sp upward
    ----------------------------- sp, aligned to `align`

Offsets are bytes from sp after the prologue. Everything below the linkage is ``size`` bytes, a multiple of
``align``. Spill slots have the size of their class and are aligned to it.
"""

from __future__ import annotations

from typing import Final

from backend.errors import Unsupported
from backend.ir.entities import Function
from backend.machine.registers import MachineEnv
from backend.machine.vcode import Allocation

MAX_FRAME: Final = (1 << 24) - 1
"""Bytes; what two instructions can add to sp on AArch64."""
MAX_ALIGN: Final = 4096


class Frame:
    """A frame's layout. ``saved``: callee-saved registers to restore, ascending. ``spills``: offset by spill slot;
    ``slots``: offset by explicit slot; ``saved_bytes``: what the saved registers take, at the top, those of 8
    bytes above those of 16."""

    __slots__ = ("align", "saved", "saved_bytes", "size", "slots", "spill_classes", "spills")

    def __init__(self, align: int) -> None:
        self.align = align
        self.saved: tuple[int, ...] = ()
        self.saved_bytes = 0
        self.size = 0
        self.slots: dict[int, int] = {}
        self.spills: list[int] = []
        self.spill_classes: list[int] = []


def layout_frame(
    function: Function,
    allocation: Allocation,
    env: MachineEnv,
    stack_align: int,
    outgoing: int = 0,
    clobbers: int = 0,
) -> Frame:
    """Where everything lies, above ``outgoing`` bytes for arguments; ``clobbers``: what calls destroy, as a mask.

    Unsupported for a frame of more than MAX_FRAME bytes or a slot aligned to more than MAX_ALIGN.
    """
    frame = Frame(stack_align)
    frame.saved = _written(allocation, env, clobbers)
    frame.saved_bytes = 8 * len(frame.saved)
    if whole := len(env.saved_whole.intersection(frame.saved)):
        frame.saved_bytes = _up(frame.saved_bytes - 8 * whole, 16) + 16 * whole
    offset = outgoing
    frame.spill_classes = allocation.spill_classes
    for cls in allocation.spill_classes:
        size = env.slot_bytes[cls]
        offset = _up(offset, size)
        frame.spills.append(offset)
        offset += size
    for number, slot in function.stack_slots.items():
        align = max(slot.align, 1)
        if align > MAX_ALIGN:
            raise Unsupported(f"stack slot {number} aligned to {align} bytes")
        frame.align = max(frame.align, align)
        offset = _up(offset, align)
        frame.slots[number] = offset
        offset += slot.size
    frame.size = _up(offset + frame.saved_bytes, frame.align)
    if frame.size > MAX_FRAME:
        raise Unsupported(f"a frame of {frame.size} bytes")
    return frame


def _written(allocation: Allocation, env: MachineEnv, clobbers: int) -> tuple[int, ...]:
    """The callee-saved registers that are written. A call of a function of another convention may write some."""
    touched = {register for register in env.callee_saved if clobbers >> register & 1}
    touched.update(*allocation.locations)
    for edits in allocation.edits.values():
        for to, _ in edits:
            touched.add(to)
    return tuple(sorted(touched & env.callee_saved))


def _up(offset: int, align: int) -> int:
    return -(-offset // align) * align
