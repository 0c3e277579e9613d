"""The caller's side of calls on x86-64. Source: as of :mod:`backend.isa.x86_64.abi`, whose tables these are."""

from __future__ import annotations

from typing import Final

from backend.ir.types import Type
from backend.isa.x86_64.abi import CONVENTIONS, EXTENDS, locate
from backend.isa.x86_64.insts import ROWS
from backend.isa.x86_64.regs import (
    ARGUMENTS,
    CALLER_SAVED,
    FLOAT_ARGUMENTS,
    FLOAT_RESULTS,
    RESULTS,
    RSP,
)
from backend.lower.calls import Calls
from backend.lower.driver import Lowering
from backend.machine.registers import INT
from backend.machine.vcode import MInst

_STORE: Final = ROWS["store.q_o"]
_FROM_FLOAT: Final = ROWS["mov_from_x.d"]
_NO_TRAP: Final = -1


def _store_argument(low: Lowering, type_: Type, vreg: int, offset: int) -> None:
    if type_.is_float:
        bits = low.temp(INT)
        low.out.append(MInst(_FROM_FLOAT, [bits, vreg], None, 0, low.origin))
        vreg = bits
    kept = _STORE.operands_without((RSP, 0, None, -1))
    low.out.append(MInst(_STORE, [RSP, offset, vreg, _NO_TRAP], kept, 0, low.origin))


CALLS: Final = Calls(
    conventions=CONVENTIONS,
    arguments=lambda params: locate(params, ARGUMENTS, FLOAT_ARGUMENTS),
    results=lambda returns: locate(returns, RESULTS, FLOAT_RESULTS),
    extends=EXTENDS,
    store=_store_argument,
    clobbers=sum(1 << register for register in CALLER_SAVED),
    call=ROWS["call_function"],
    call_indirect=ROWS["call_r"],
    func_addr=ROWS["func_addr"],
    near_func_addr=ROWS["near_func_addr"],
)
