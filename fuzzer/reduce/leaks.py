"""Whether a stack address gets where it could be seen.

A stack address has no value that two executions must agree on (see :mod:`fuzzer.case`), so generated
functions only use one as the address of an access. A reduction that puts one into a result makes a
function on which every compiler is "wrong". Conservative: what goes to another block counts as seen.
"""

from __future__ import annotations

from typing import Final

from backend.ir.entities import Function, Inst, Value
from backend.ir.opcodes import opcode_named

_STACK_ADDR: Final = opcode_named("stack_addr")
_ACCESSES: Final = frozenset({"load", "store"})


def leaks_stack_address(function: Function) -> bool:
    """May a result, memory, a branch or a trap depend on a stack address?"""
    if not function.stack_slots:
        return False
    addresses: set[Value] = set()
    known = -1
    while known < len(addresses):
        known = len(addresses)
        for inst in function.instructions():
            if inst.op is _STACK_ADDR:
                addresses.update(inst.results)
            elif not addresses.isdisjoint(inst.uses()):
                if _is_seen(inst, addresses):
                    return True
                if inst.op.shape not in _ACCESSES:
                    addresses.update(inst.results)
    return False


def _is_seen(inst: Inst, addresses: set[Value]) -> bool:
    """``inst`` uses some of ``addresses``: other than to compute, or as the address it accesses?"""
    if inst.op.shape in _ACCESSES:
        return not addresses.isdisjoint(inst.args[:-1])
    return inst.op.side_effects or inst.op.terminator
