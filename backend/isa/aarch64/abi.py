"""Arguments, results, frames and spills on AArch64, after AAPCS64.

Source: Procedure Call Standard for the Arm 64-bit Architecture: 6.8.2 (parameter passing), 6.9
(result return), 6.2.3 (the frame record). Integer arguments go to x0-x7, floats to v0-v7, further ones to the
stack, 8 bytes each from sp upward; bits above an argument's type are unspecified unless its extension says
otherwise. An i128 takes two registers, the first of even number, or 16 aligned bytes of the stack, after which no
integer goes to a register any more. Results go where arguments of their types would, and what would go to the stack
to an area of the caller's, whose address is passed behind the arguments.

``tail`` is the same but for this: a function takes its stack arguments along when it returns.

``apple_aarch64`` (Apple, "Writing ARM64 code for Apple platforms"; Cranelift's ABI of AArch64 for results): an i128
takes any two consecutive registers, and a value on the stack, be it an argument or a result, has the size and the
alignment of its type. x18 is the platform's; the allocator never has it.
"""

from __future__ import annotations

from typing import Final

from backend.errors import Unsupported
from backend.ir.entities import AbiParam
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128
from backend.isa.aarch64.insts import ROWS
from backend.isa.aarch64.regs import (
    ARGUMENTS,
    CALLER_SAVED,
    FLOAT_ARGUMENTS,
    FP,
    LR,
    PLATFORM,
    RESULTS,
    SCRATCH,
    SP,
    SRET,
    TEMP,
)
from backend.isa.isa import Step
from backend.lower.calls import Calls, Convention, check_param
from backend.machine.frame import Frame
from backend.machine.registers import FLOAT, INT, spill_slot
from backend.machine.rows import Row

LINKAGE: Final = 16
"""Bytes of the frame record: the caller's x29 and the return address."""
_SCALED_LIMIT: Final = 4096
_FIRST_VECTOR: Final = 32

_NO_TRAP: Final = -1


def _locate(
    params: tuple[AbiParam, ...], registers: tuple[int, ...], sret: int = -1, apple: bool = False
) -> list[int]:
    """Where the registers' worth of each parameter is passed: a register, or ``-1 - offset`` on the stack.

    ``registers``: those for integers, in order; ``sret``: that of the pointer to results; ``apple``: by Apple's
    rules. An i128 has two entries, any other type one.
    """
    places: list[int] = []
    ints = floats = offset = 0
    for param in params:
        type_ = param.type
        if param.purpose or not type_.is_int:
            if param.purpose == "sret" and type_ is I64 and sret >= 0:
                places.append(sret)
                continue
            check_param(param, "vmctx")
        if type_.is_float:
            if floats < len(FLOAT_ARGUMENTS):
                places.append(FLOAT_ARGUMENTS[floats])
                floats += 1
                continue
        elif type_ is I128:
            if not apple:
                ints += ints & 1
            if ints + 2 <= len(registers):
                places += registers[ints : ints + 2]
                ints += 2
                continue
            ints = len(registers)
            offset = _up(offset, 16)
            places += (-1 - offset, -9 - offset)
            offset += 16
            continue
        elif ints < len(registers):
            places.append(registers[ints])
            ints += 1
            continue
        size = type_.bytes if apple else 8
        offset = _up(offset, size)
        places.append(-1 - offset)
        offset += size
    return places


def _up(offset: int, align: int) -> int:
    return -(-offset // align) * align


_SYSTEM: Final = Convention(
    arguments=lambda params: _locate(params, ARGUMENTS, SRET),
    results=lambda returns: _locate(returns, RESULTS),
    clobbers=sum(1 << register for register in CALLER_SAVED),
)
CONVENTIONS: Final = {
    **dict.fromkeys(("", "fast", "cold", "system_v"), _SYSTEM),
    "tail": _SYSTEM._replace(pops=True),
    "apple_aarch64": _SYSTEM._replace(
        arguments=lambda params: _locate(params, ARGUMENTS, SRET, apple=True),
        results=lambda returns: _locate(returns, RESULTS, apple=True),
        clobbers=_SYSTEM.clobbers & ~(1 << PLATFORM),
        packed=True,
    ),
}


_EXTENDS: Final[dict[tuple[str, int], Row]] = {
    ("uext", 8): ROWS["uxtb"], ("uext", 16): ROWS["uxth"], ("uext", 32): ROWS["mov_rr.w"],
    ("sext", 8): ROWS["sxtb.x"], ("sext", 16): ROWS["sxth.x"], ("sext", 32): ROWS["sxtw"],
}  # fmt: skip


CALLS: Final = Calls(
    conventions=CONVENTIONS,
    extends=_EXTENDS,
    loads={
        I8: ROWS["ldrb_ui"], I16: ROWS["ldrh_ui"], I32: ROWS["ldr.w_ui"], I64: ROWS["ldr.x_ui"],
        F32: ROWS["ldr.s_ui"], F64: ROWS["ldr.d_ui"],
    },
    stores={
        I8: ROWS["strb_ui"], I16: ROWS["strh_ui"], I32: ROWS["str.w_ui"], I64: ROWS["str.x_ui"],
        F32: ROWS["str.s_ui"], F64: ROWS["str.d_ui"],
    },
    address=ROWS["add_ri.x"],
    reach=_SCALED_LIMIT,
    stack_pointer=SP,
    frame_pointer=FP,
    linkage=LINKAGE,
    tail_target=15,
    args=ROWS["args"],
    call=ROWS["call"],
    call_indirect=ROWS["blr"],
    call_popped=ROWS["call_popped"],
    call_indirect_popped=ROWS["call_indirect_popped"],
    return_call=ROWS["return_call"],
    return_call_indirect=ROWS["return_call_indirect"],
    ret=ROWS["ret"],
    ret_pop=ROWS["ret_pop"],
    func_addr=ROWS["func_addr"],
    near_func_addr=ROWS["func_addr"],
)  # fmt: skip


# ---- the frame


def _add_sp(amount: int, row: Row, to: int = SP, base: int = SP) -> list[Step]:
    """``to = base +- amount`` in at most two instructions."""
    low, high = amount & 0xFFF, amount & ~0xFFF
    if not high:
        return [(row, [to, base, low])]
    steps: list[Step] = [(row, [to, base, high])]
    if low:
        steps.append((row, [to, to, low]))
    return steps


def prologue(frame: Frame) -> list[Step]:
    """Frame record, stack pointer, saved registers."""
    steps: list[Step] = [
        (ROWS["stp_pre.x"], [FP, LR, SP, -LINKAGE]),
        (ROWS["add_ri.x"], [FP, SP, 0]),
    ]
    if frame.size:
        if frame.align > LINKAGE:
            steps += _add_sp(frame.size, ROWS["sub_ri.x"], TEMP)
            steps.append((ROWS["and_ri.x"], [SP, TEMP, (1 << 64) - frame.align]))
        else:
            steps += _add_sp(frame.size, ROWS["sub_ri.x"])
    return steps + _saves(frame, store=True)


def epilogue(frame: Frame) -> list[Step]:
    """What the prologue did, undone."""
    steps = _saves(frame, store=False)
    if frame.size:
        steps.append((ROWS["add_ri.x"], [SP, FP, 0]))
    return [*steps, (ROWS["ldp_post.x"], [FP, LR, SP, LINKAGE])]


def pop_return(size: int) -> list[Step]:
    """Behind the epilogue: the return of a function that takes its stack arguments along."""
    return [*_add_sp(size, ROWS["add_ri.x"]), (ROWS["ret"], [])]


def popped(size: int) -> list[Step]:
    """Behind a call of a function that popped so much: the stack pointer back to where the frame has it."""
    return _add_sp(size, ROWS["sub_ri.x"])


def tail_epilogue(frame: Frame, given: int, taken: int) -> list[Step]:
    """The epilogue of a function that took ``taken`` bytes of stack arguments before a jump to one that is given
    ``given``, which are at the bottom of the frame, above room for the frame record. From the last word to the first:
    what is moved lies below where it goes.
    """
    if not given and not taken:
        return epilogue(frame)
    load, store = ROWS["ldr.x_ui"], ROWS["str.x_ui"]
    steps = _saves(frame, store=False)
    for offset in (0, 8):
        steps.append((load, [SCRATCH, FP, offset, _NO_TRAP]))
        steps.append((store, [SCRATCH, SP, offset, _NO_TRAP]))
    more = taken - given
    steps += _add_sp(abs(more), ROWS["add_ri.x" if more >= 0 else "sub_ri.x"], TEMP, FP)
    for offset in range(given + LINKAGE - 8, -1, -8):
        steps.append((load, [SCRATCH, SP, offset, _NO_TRAP]))
        steps.append((store, [SCRATCH, TEMP, offset, _NO_TRAP]))
    steps.append((ROWS["add_ri.x"], [SP, TEMP, 0]))
    return [*steps, (ROWS["ldp_post.x"], [FP, LR, SP, LINKAGE])]


_PAIRS: Final = {True: ("stp.x", "stp.d"), False: ("ldp.x", "ldp.d")}
_SINGLES: Final = {True: ("str.x_ur", "str.d_ur"), False: ("ldr.x_ur", "ldr.d_ur")}


def _saves(frame: Frame, store: bool) -> list[Step]:
    """Stores, or loads, of the saved registers: right below the frame record, in pairs of a class."""
    steps: list[Step] = []
    offset = 0
    for cls in (INT, FLOAT):
        registers = [r for r in frame.saved if (r >= _FIRST_VECTOR) == (cls == FLOAT)]
        while len(registers) > 1:
            offset -= 16
            steps.append(
                (ROWS[_PAIRS[store][cls]], [registers.pop(0), registers.pop(0), FP, offset])
            )
        if registers:
            offset -= 8
            row = ROWS[_SINGLES[store][cls]]
            steps.append((row, [registers[0], FP, offset, _NO_TRAP][: len(row.fields)]))
    return steps


# ---- moves between locations

_SPILL: Final = {
    (INT, True): ROWS["str.x_ui"], (INT, False): ROWS["ldr.x_ui"],
    (FLOAT, True): ROWS["str.q_ui"], (FLOAT, False): ROWS["ldr.q_ui"],
}  # fmt: skip
_SPILL_BYTES: Final = (8, 16)


def move(to: int, source: int, frame: Frame) -> list[Step]:
    """Register to register, to a spill slot, or from one; far slots by way of the emitter's register."""
    if to >= 0 and source >= 0:
        return [(ROWS["mov_v" if to >= _FIRST_VECTOR else "mov_rr.x"], [to, source])]
    store = to < 0
    register, slot = (source, spill_slot(to)) if store else (to, spill_slot(source))
    cls = frame.spill_classes[slot]
    row = _SPILL[cls, store]
    offset = frame.spills[slot]
    extra = [_NO_TRAP][: len(row.fields) - 3]
    if offset < _SCALED_LIMIT * _SPILL_BYTES[cls]:
        return [(row, [register, SP, offset, *extra])]
    return [
        (ROWS["add_ri.x"], [TEMP, SP, offset & ~0xFFF]),
        (row, [register, TEMP, offset & 0xFFF, *extra]),
    ]


def slot_address(register: int, offset: int) -> list[Step]:
    """``register = sp + offset``. Unsupported beyond 16 MiB either way."""
    if abs(offset) >= 1 << 24:
        raise Unsupported(f"an address {offset} bytes from the stack pointer")
    return _add_sp(abs(offset), ROWS["add_ri.x" if offset >= 0 else "sub_ri.x"], register)
