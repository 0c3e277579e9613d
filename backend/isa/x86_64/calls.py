"""The caller's side of calls on x86-64. Source: as of :mod:`backend.isa.x86_64.abi`, whose tables these are."""

from __future__ import annotations

from typing import Final

from backend.ir.types import Type
from backend.isa.x86_64.abi import CONVENTIONS, EXTENDS, LINKAGE
from backend.isa.x86_64.insts import ROWS
from backend.isa.x86_64.regs import R10, RSP
from backend.lower.calls import Calls
from backend.lower.driver import Lowering
from backend.machine.registers import INT
from backend.machine.vcode import MInst

_STORE: Final = ROWS["store.q_o"]
_LOAD: Final = ROWS["load.q_o"]
_LEA: Final = ROWS["lea_o.q"]
_FROM_FLOAT: Final = ROWS["mov_from_x.d"]
_TO_FLOAT: Final = ROWS["mov_to_x.d"]
_NO_TRAP: Final = -1


def _store_word(low: Lowering, type_: Type, vreg: int, offset: int, base: int) -> None:
    if type_.is_float:
        bits = low.temp(INT)
        low.out.append(MInst(_FROM_FLOAT, [bits, vreg], None, 0, low.origin))
        vreg = bits
    kept = _STORE.operands_without((RSP, 0, None, -1)) if base < 0 else None
    ops = [RSP if base < 0 else base, offset, vreg, _NO_TRAP]
    low.out.append(MInst(_STORE, ops, kept, 0, low.origin))


def _load_word(low: Lowering, type_: Type, vreg: int, offset: int) -> None:
    to = low.temp(INT) if type_.is_float else vreg
    kept = _LOAD.operands_without((None, RSP, 0, -1))
    low.out.append(MInst(_LOAD, [to, RSP, offset, _NO_TRAP], kept, 0, low.origin))
    if type_.is_float:
        low.out.append(MInst(_TO_FLOAT, [vreg, to], None, 0, low.origin))


def _address(low: Lowering, offset: int) -> int:
    vreg = low.temp(INT)
    kept = _LEA.operands_without((None, RSP, 0))
    low.out.append(MInst(_LEA, [vreg, RSP, offset], kept, 0, low.origin))
    return vreg


CALLS: Final = Calls(
    conventions=CONVENTIONS,
    extends=EXTENDS,
    store=_store_word,
    load=_load_word,
    address=_address,
    linkage=LINKAGE,
    tail_target=R10,
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
