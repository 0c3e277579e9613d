"""Instructions that reach beyond their function: calls of all kinds, addresses of functions, global values.

Part of the translation (:mod:`fuzzer.reference.translate`): each function takes the translator and an instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend.errors import Unsupported
from backend.ir.entities import Inst, Signature
from backend.ir.global_values import Parameter, chain_of
from backend.ir.rules import callee_signature
from backend.ir.types import I64
from fuzzer.reference.memory import ADDRESS_MASK, Memory, UndefinedBehaviour
from fuzzer.reference.open_bits import Undetermined
from fuzzer.reference.program import (
    CALL,
    RETURN,
    TAIL_CALL,
    BlockCode,
    Call,
    Outside,
    Types,
    Values,
)

if TYPE_CHECKING:
    from fuzzer.reference.translate import Translator


def types_of(signature: Signature) -> tuple[Types, Types]:
    """Types of the parameters and of the results."""
    return (
        tuple([param.type for param in signature.params]),
        tuple([param.type for param in signature.returns]),
    )


def global_value(tr: Translator, inst: Inst) -> None:
    """An address, perhaps through memory: a base and steps from it (see backend.ir.global_values)."""
    t = tr.type_of(inst)
    result = tr.numbers[inst.results[0]]
    base, chain = chain_of(tr.function, inst.ref)
    if isinstance(base, Parameter):
        start = tr.numbers[tr.function.entry.params[base.position]]
    else:
        start = tr.constant(tr.linker.symbol_address(base.name))
    steps = [(step.offset, step.type.bytes if step.type else 0, step.flags) for step in chain]
    tr.needs_memory = tr.needs_memory or any(size for _, size, _ in steps)
    order: Any = tr.byte_order

    def global_value(values: Values, memory: Memory) -> None:
        at = values[start]
        for offset, size, flags in steps:
            at = (at + offset) & ADDRESS_MASK
            if size:
                if flags.aligned and at % size:
                    raise UndefinedBehaviour(f"a misaligned access at {at:#x}")
                if memory.open and memory.marks(at, size):
                    raise Undetermined("an address made of bits that are open")
                where = at
                at = int.from_bytes(memory.load(where, size, flags.trap), order)
                if flags.readonly:
                    memory.promise(where, size)
        values[result] = at & t.mask

    tr.effect(global_value)


# -- calls -------------------------------------------------------------------------------------------------------


def func_addr(tr: Translator, inst: Inst) -> None:
    if inst.type is not I64:
        raise Unsupported(f"func_addr.{inst.type}")
    signature = callee_signature(tr.function, inst)
    assert signature is not None  # the verifier's rule
    callee = tr.linker.callee(tr.function.functions[inst.ref], signature)
    tr.initial[tr.numbers[inst.results[0]]] = tr.linker.address_of(callee)


def call(tr: Translator, inst: Inst) -> None:
    """Calls of all four kinds."""
    tr.needs_memory = True
    signature = callee_signature(tr.function, inst)
    assert signature is not None  # the verifier's rule
    if any(param.purpose[:4] == "sarg" for param in signature.params):
        raise Unsupported("a parameter passed in memory (sarg)")
    operands = tr.operands(inst)
    callee = address = None
    if inst.ref >= 0:
        callee = tr.linker.callee(tr.function.functions[inst.ref], signature)
    else:
        address = operands.pop(0)
    tail = inst.op.terminator
    params, returns = types_of(signature)
    results = [tr.constant(0) for _ in returns] if tail else [tr.numbers[v] for v in inst.results]  # fmt: skip
    if isinstance(callee, Outside):
        _call_outside(tr, callee, operands, results)
        if tail:
            tr.code.terminator, tr.code.operands = RETURN, tuple(results)
        return
    rest = _tail_part(tr, results) if tail else _next_part(tr)
    call = Call(tuple(operands), tuple(results), rest, params, returns)
    call.callee = callee
    if address is not None:
        call.address = address
        call.functions = tr.linker.functions_at
    code, tr.code = tr.code, rest if not tail else tr.code
    code.terminator = TAIL_CALL if tail else CALL
    code.operands = call


def _call_outside(tr: Translator, callee: Outside, args: list[int], results: list[int]) -> None:
    def call(values: Values, memory: Memory) -> None:
        given = callee.run(memory, [values[i] for i in args])
        for number, value in zip(results, given, strict=True):
            values[number] = value

    tr.effect(call)


def _next_part(tr: Translator) -> BlockCode:
    """What of the block comes after the call at the current index; it begins with recording that."""
    code = tr.code
    rest = BlockCode(code.id, code.first + code.cost - tr.index, tr.index)
    rest.insts = code.insts[tr.index - code.first :]
    code.cost = tr.index - code.first
    return rest


def _tail_part(tr: Translator, results: list[int]) -> BlockCode:
    """What returns the results of a tail call whose callee is no program."""
    rest = BlockCode(tr.code.id, 0, tr.index)
    rest.terminator, rest.operands = RETURN, tuple(results)
    return rest
