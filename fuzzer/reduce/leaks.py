"""Whether a stack address gets where it could be seen.

A stack address, or that of a function, has no value that two executions must agree on (see :mod:`fuzzer.case`), so
generated functions only use one as the address of an access or of a call. A reduction that puts one into a result
makes a function on which every compiler is "wrong". Conservative: what goes to another block counts as seen.
"""

from __future__ import annotations

from typing import Final

from backend.ir.entities import Function, Inst, Value
from backend.ir.opcodes import opcode_named

_ADDRESSES: Final = frozenset((opcode_named("stack_addr"), opcode_named("func_addr")))
_ACCESSES: Final = frozenset({"load", "store"})
_USES: Final = _ACCESSES | {"call_indirect"}
"""Shapes whose results do not depend on the address itself."""


def leaks_stack_address(function: Function) -> bool:
    """May a result, memory, a branch, a trap or an argument depend on the address of a slot or a function?"""
    if not function.stack_slots and not function.functions:
        return False
    addresses: set[Value] = set()
    known = -1
    while known < len(addresses):
        known = len(addresses)
        for inst in function.instructions():
            if inst.op in _ADDRESSES:
                addresses.update(inst.results)
            elif not addresses.isdisjoint(inst.uses()):
                if _is_seen(inst, addresses):
                    return True
                if inst.op.shape not in _USES:
                    addresses.update(inst.results)
    return False


def _is_seen(inst: Inst, addresses: set[Value]) -> bool:
    """``inst`` uses some of ``addresses``: other than to compute, or as the address it accesses?"""
    if inst.op.shape in _ACCESSES:
        return not addresses.isdisjoint(inst.args[:-1])
    if inst.op.shape == "call_indirect":
        return not addresses.isdisjoint(inst.args[1:])
    return inst.op.side_effects or inst.op.terminator
