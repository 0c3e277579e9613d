"""Functions of several results on an ISA that returns few: one result at a time."""

from __future__ import annotations

from backend.ir.entities import Function, Signature
from backend.ir.opcodes import opcode_named
from backend.ir.types import I128
from backend.isa.isa import Isa

_RETURN = opcode_named("return")


def returnable(function: Function, isa: Isa) -> list[Function]:
    """``function`` itself if its results fit the registers of ``isa``, else one function for each of its results."""
    returns = function.signature.returns
    ints = sum(0 if p.type.is_float else 1 + (p.type is I128) for p in returns)
    floats = sum(p.type.is_float for p in returns)
    if max(ints, floats) <= isa.max_results:
        return [function]
    return [_only(function, number) for number in range(len(returns))]


def _only(function: Function, number: int) -> Function:
    made = function.copy()
    signature = made.signature
    made.signature = Signature(signature.params, (signature.returns[number],), signature.callconv)
    for block in made.blocks:
        if block.terminator.op is _RETURN:
            block.terminator.args = (block.terminator.args[number],)
    return made
