"""Arguments, results, frames and spills on x86-64, after the System V ABI.

Source: System V Application Binary Interface, AMD64 Architecture Processor Supplement, 3.2.1 (registers), 3.2.2
(the stack frame) and 3.2.3 (parameter passing). Integer arguments go to rdi, rsi, rdx, rcx, r8, r9, floats to
xmm0-xmm7, further ones to the stack, 8 bytes each from above the return address upward; bits above an argument's type
are unspecified unless its extension says otherwise. An i128 takes any two registers, or 16 aligned bytes of the stack
if two are not left; one that is left goes to a later integer. Results go to rax and rdx, xmm0 and xmm1, further ones to
an area of the caller's, whose address is passed behind the arguments. A pointer for results
that is a parameter (``sret``) is the first one, and is given back in rax. The red zone is not used.

``tail`` is the same but for this: a function takes its stack arguments along when it returns.

``windows_fastcall`` (Microsoft, "x64 calling convention", "x64 stack usage"): the first four arguments go to rcx, rdx,
r8, r9 or to xmm0-xmm3, by their places, whatever the classes of the others; the stack arguments begin with 32 bytes of
home for those four, which the callee may write. rsi, rdi and xmm6-xmm15, all of their bits, belong to the caller, too.
Results are as Cranelift has them where Microsoft has none: a second integer in rdx, and of floats the first one
alone in a register. There is no i128: Cranelift refuses it too, but for an extension after LLVM.
"""

from __future__ import annotations

from typing import Final

from backend.errors import Unsupported
from backend.ir.entities import AbiParam
from backend.ir.types import F32, F64, I64, I128
from backend.isa.isa import Step
from backend.isa.x86_64.insts import ROWS
from backend.isa.x86_64.regs import (
    ARGUMENTS,
    CALLER_SAVED,
    FASTCALL,
    FASTCALL_ARGUMENTS,
    FASTCALL_CLOBBERS,
    FASTCALL_FLOATS,
    FLOAT_ARGUMENTS,
    FLOAT_RESULTS,
    R10,
    RAX,
    RBP,
    RESULTS,
    RSP,
    SCRATCH,
    xmm,
)
from backend.lower.calls import Calls, Convention, check_param
from backend.machine.frame import Frame
from backend.machine.registers import FLOAT, INT, spill_slot
from backend.machine.rows import Row

LINKAGE: Final = 16
"""Bytes between rbp and the caller's stack arguments: the caller's rbp and the return address."""
_FIRST_VECTOR: Final = xmm(0)
_REACH: Final = 1 << 28
"""So that eight times as many bytes fit a displacement."""

_NO_TRAP: Final = -1


_PURPOSES: Final = ("sret", "vmctx")


def _locate(
    params: tuple[AbiParam, ...], registers: tuple[int, ...], vectors: tuple[int, ...]
) -> list[int]:
    """Where the registers' worth of each parameter is passed: a register, or ``-1 - offset`` on the stack.

    ``registers``: those for integers, ``vectors``: those for floats, in order. An i128 has two entries, any other
    type one.
    """
    places: list[int] = []
    ints = floats = offset = 0
    for param in params:
        type_ = param.type
        if param.purpose or not type_.is_int:
            check_param(param, *_PURPOSES)
        if type_.is_float:
            if floats < len(vectors):
                places.append(vectors[floats])
                floats += 1
            else:
                places.append(-1 - offset)
                offset += 8
            continue
        count = 2 if type_ is I128 else 1
        if ints + count <= len(registers):
            places += registers[ints : ints + count]
            ints += count
            continue
        offset += offset & 8 * (count - 1)
        places += [-1 - offset - 8 * half for half in range(count)]
        offset += 8 * count
    return places


def _arguments(params: tuple[AbiParam, ...]) -> list[int]:
    _check_sret(params)
    return _locate(params, ARGUMENTS, FLOAT_ARGUMENTS)


def _check_sret(params: tuple[AbiParam, ...]) -> None:
    if any(param.purpose == "sret" for param in params[1:]):
        raise Unsupported("a parameter for sret that is not the first")


def _results(returns: tuple[AbiParam, ...]) -> list[int]:
    if any(param.purpose for param in returns):
        raise Unsupported("a result for sret")
    return _locate(returns, RESULTS, FLOAT_RESULTS)


def _fastcall_arguments(params: tuple[AbiParam, ...]) -> list[int]:
    _check_sret(params)
    places: list[int] = []
    for number, param in enumerate(_narrow(params)):
        check_param(param, *_PURPOSES)
        if number < len(FASTCALL_ARGUMENTS):
            registers = FASTCALL_FLOATS if param.type.is_float else FASTCALL_ARGUMENTS
            places.append(registers[number])
        else:
            places.append(-1 - 8 * number)
    return places


def _fastcall_results(returns: tuple[AbiParam, ...]) -> list[int]:
    if any(param.purpose for param in returns):
        raise Unsupported("a result for sret")
    return _locate(_narrow(returns), RESULTS, FLOAT_RESULTS[:1])


def _narrow(params: tuple[AbiParam, ...]) -> tuple[AbiParam, ...]:
    if any(param.type is I128 for param in params):
        raise Unsupported(f"an i128 passed by {FASTCALL}")
    return params


_SYSTEM: Final = Convention(
    arguments=_arguments,
    results=_results,
    clobbers=sum(1 << register for register in CALLER_SAVED),
    sret_result=RAX,
)
CONVENTIONS: Final = {
    **dict.fromkeys(("", "fast", "cold", "system_v"), _SYSTEM),
    "tail": _SYSTEM._replace(pops=True),
    FASTCALL: Convention(
        arguments=_fastcall_arguments,
        results=_fastcall_results,
        clobbers=sum(1 << register for register in FASTCALL_CLOBBERS),
        sret_result=RAX,
        home=8 * len(FASTCALL_ARGUMENTS),
    ),
}


_EXTENDS: Final[dict[tuple[str, int], Row]] = {
    ("uext", 8): ROWS["movzx_b.l"], ("uext", 16): ROWS["movzx_w.l"], ("uext", 32): ROWS["mov_rr.l"],
    ("sext", 8): ROWS["movsx_b.q"], ("sext", 16): ROWS["movsx_w.q"], ("sext", 32): ROWS["movsx_l.q"],
}  # fmt: skip


CALLS: Final = Calls(
    conventions=CONVENTIONS,
    extends=_EXTENDS,
    loads={I64: ROWS["load.q_o"], F32: ROWS["fload.s_o"], F64: ROWS["fload.d_o"]},
    stores={I64: ROWS["store.q_o"], F32: ROWS["fstore.s_o"], F64: ROWS["fstore.d_o"]},
    address=ROWS["lea_o.q"],
    reach=_REACH,
    stack_pointer=RSP,
    frame_pointer=RBP,
    linkage=LINKAGE,
    tail_target=R10,
    args=ROWS["args"],
    call=ROWS["call_function"],
    call_indirect=ROWS["call_r"],
    call_popped=ROWS["call_popped"],
    call_indirect_popped=ROWS["call_indirect_popped"],
    return_call=ROWS["return_call"],
    return_call_indirect=ROWS["return_call_indirect"],
    ret=ROWS["ret"],
    ret_pop=ROWS["ret_pop"],
    func_addr=ROWS["func_addr"],
    near_func_addr=ROWS["near_func_addr"],
)


# ---- the frame


def prologue(frame: Frame) -> list[Step]:
    """Frame pointer, saved registers, stack pointer. Of a vector register all bits are saved, below those pushed."""
    pushed, vectors = _saved(frame)
    steps: list[Step] = [
        (ROWS["push"], [RBP]),
        (ROWS["mov_rr.q"], [RBP, RSP]),
        *((ROWS["push"], [register]) for register in pushed),
    ]
    if below := frame.size - 8 * len(pushed):
        steps.append((ROWS["sub_ri.q"], [RSP, below, RSP]))
    if frame.align > LINKAGE:
        steps.append((ROWS["and_ri.q"], [RSP, -frame.align, RSP]))
    return steps + [(ROWS["movaps_store"], [RBP, offset, register]) for register, offset in vectors]


def epilogue(frame: Frame) -> list[Step]:
    """What the prologue did, undone."""
    pushed, vectors = _saved(frame)
    steps: list[Step] = [
        (ROWS["movaps_load"], [register, RBP, offset]) for register, offset in vectors
    ]
    if frame.size != 8 * len(pushed) or frame.align > LINKAGE:
        steps.append((ROWS["lea_o.q"], [RSP, RBP, -8 * len(pushed)]))
    steps += [(ROWS["pop"], [register]) for register in reversed(pushed)]
    return [*steps, (ROWS["pop"], [RBP])]


def _saved(frame: Frame) -> tuple[list[int], list[tuple[int, int]]]:
    """The saved registers that are pushed, and the vector registers with their offsets from rbp."""
    pushed = [register for register in frame.saved if register < _FIRST_VECTOR]
    top = -8 * len(pushed) & -16
    vectors = [register for register in frame.saved if register >= _FIRST_VECTOR]
    return pushed, [(register, top - 16 * n) for n, register in enumerate(vectors, 1)]


def pop_return(size: int) -> list[Step]:
    """Behind the epilogue: the return of a function that takes its stack arguments along."""
    return [(ROWS["ret_i"], [size])]


def popped(size: int) -> list[Step]:
    """Behind a call of a function that popped so much: the stack pointer back to where the frame has it."""
    return [(ROWS["sub_ri.q"], [RSP, size, RSP])]


def tail_epilogue(frame: Frame, given: int, taken: int) -> list[Step]:
    """The epilogue of a function that took ``taken`` bytes of stack arguments before a jump to one that is given
    ``given``, which are at the bottom of the frame, above room for rbp and the return address. From the last word to
    the first: what is moved lies below where it goes.
    """
    if not given and not taken:
        return epilogue(frame)
    load, store = ROWS["load.q_o"], ROWS["store.q_o"]
    steps: list[Step] = [
        (load, [register, RBP, -8 * number, _NO_TRAP])
        for number, register in enumerate(frame.saved, 1)
    ]
    for offset in (0, 8):
        steps.append((load, [SCRATCH, RBP, offset, _NO_TRAP]))
        steps.append((store, [RSP, offset, SCRATCH, _NO_TRAP]))
    more = taken - given
    for offset in range(given + LINKAGE - 8, -1, -8):
        steps.append((load, [SCRATCH, RSP, offset, _NO_TRAP]))
        steps.append((store, [RBP, more + offset, SCRATCH, _NO_TRAP]))
    return [*steps, (ROWS["lea_o.q"], [RSP, RBP, more]), (ROWS["pop"], [RBP])]


# ---- moves between locations

_SPILL: Final = {
    (INT, True): ROWS["store.q_o"], (INT, False): ROWS["load.q_o"],
    (FLOAT, True): ROWS["movaps_store"], (FLOAT, False): ROWS["movaps_load"],
}  # fmt: skip


def move(to: int, source: int, frame: Frame) -> list[Step]:
    """Register to register, to a spill slot, or from one. None of these instructions touches the flags."""
    if to >= 0 and source >= 0:
        return [(ROWS["movaps" if to >= _FIRST_VECTOR else "mov_rr.q"], [to, source])]
    store = to < 0
    register, slot = (source, spill_slot(to)) if store else (to, spill_slot(source))
    row = _SPILL[frame.spill_classes[slot], store]
    offset = frame.spills[slot]
    given = {"n": RSP, "imm": offset, "v": register, "d": register, "trap": _NO_TRAP}
    return [(row, [given[field.name] for field in row.fields])]


def slot_address(register: int, offset: int) -> list[Step]:
    """``register = rsp + offset``. Unsupported beyond 2 GiB either way."""
    if not -1 << 31 <= offset < 1 << 31:
        raise Unsupported(f"an address {offset} bytes from the stack pointer")
    return [(ROWS["lea_o.q"], [register, RSP, offset])]
