"""Loads, stores and addresses as LLVM IR.

An access that CLIF lets trap is checked before it is done. What is checked depends on where the address may come from
(:mod:`fuzzer.targets.llvm_pointers`): the data region, a slot of the function's own, or either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backend.errors import Unsupported
from backend.ir.entities import Inst, MemFlags, Value
from backend.ir.global_values import Parameter, chain_of
from backend.ir.types import I64
from fuzzer.case import DATA_BASE
from fuzzer.execute.layout import STACK, STACK_SIZE
from fuzzer.targets.llvm_types import size_of

if TYPE_CHECKING:
    from fuzzer.targets.llvm_ir import Translator


def _address(low: Translator, inst: Inst, address: Value, width: int) -> str:
    """A pointer to what is accessed, after a check that it is in bounds."""
    where = low.temporary(f"add i64 {low.name_of(address)}, {inst.imm}")
    trap = None if address in low.own_addresses else inst.flags.trap
    return _checked(low, where, trap, width, foreign=address in low.foreign_addresses)


def _checked(low: Translator, where: str, trap: str | None, width: int, *, foreign: bool) -> str:
    """A pointer to ``where``. ``trap``: if it is out of bounds, None: it is not; ``foreign``: it may be of a slot."""
    if trap is not None:
        outside = _beyond(low, where, DATA_BASE, low.module.memory_size - width)
        if foreign:
            off_stack = _beyond(low, where, STACK, STACK_SIZE - width)
            outside = low.temporary(f"and i1 {outside}, {off_stack}")
        low.trap_if(outside, trap)
    return low.temporary(f"inttoptr i64 {where} to ptr")


def _beyond(low: Translator, where: str, base: int, last: int) -> str:
    """Is ``where`` none of the ``last`` + 1 bytes from ``base`` on?"""
    if last < 0:
        return "true"
    distance = low.temporary(f"sub i64 {where}, {base}")
    return low.temporary(f"icmp ugt i64 {distance}, {last}")


def _promises(flags: MemFlags, *, stack: bool) -> str:
    """What LLVM may count on: that what is ``readonly`` is always the same, if it may not be a slot (``stack``).

    ``aligned`` is not told. Whether a slot is aligned depends on where it is put.
    """
    return ", align 1, !invariant.load !{}" if flags.readonly and not stack else ", align 1"


def _may_be_slot(low: Translator, address: Value) -> bool:
    return address in low.own_addresses or address in low.foreign_addresses


def load(low: Translator, inst: Inst) -> None:
    type_ = low.type_of(inst.results[0])
    kind, memory = _memory_type(inst, type_)
    pointer = _address(low, inst, inst.args[0], size_of(memory))
    text = f"load {_bits(low, memory, inst)}, ptr {pointer}"
    text += _promises(inst.flags, stack=_may_be_slot(low, inst.args[0]))
    if _is_swapped(memory, inst, low.order):
        swapped = _swapped(low, memory, low.temporary(text))
        text = f"bitcast {_bits(low, memory, inst)} {swapped} to {memory}"
    if memory != type_:
        extend = "zext" if kind == "u" else "sext"
        text = f"{extend} {memory} {low.temporary(text)} to {type_}"
    low.result(inst, text)


def store(low: Translator, inst: Inst) -> None:
    type_ = low.type_of(inst.args[0])
    _, memory = _memory_type(inst, type_)
    value = low.name_of(inst.args[0])
    pointer = _address(low, inst, inst.args[1], size_of(memory))
    if memory != type_:
        value = low.temporary(f"trunc {type_} {value} to {memory}")
    bits = _bits(low, memory, inst)
    if _is_swapped(memory, inst, low.order):
        value = _swapped(low, memory, low.temporary(f"bitcast {memory} {value} to {bits}"))
    low.emit(f"store {bits} {value}, ptr {pointer}, align 1")


def _is_swapped(memory: str, inst: Inst, order: str) -> bool:
    """Are the bytes in an order that is not the machine's?"""
    return inst.flags.endian not in ("", order) and size_of(memory) > 1


def _bits(low: Translator, memory: str, inst: Inst) -> str:
    """The type to access: only an integer can be swapped."""
    return f"i{8 * size_of(memory)}" if _is_swapped(memory, inst, low.order) else memory


def _swapped(low: Translator, memory: str, value: str) -> str:
    bits = f"i{8 * size_of(memory)}"
    low.declare(f"{bits} @llvm.bswap.{bits}({bits})")
    return low.temporary(f"call {bits} @llvm.bswap.{bits}({bits} {value})")


def _memory_type(inst: Inst, type_: str) -> tuple[str, str]:
    """("u", "i8") for ``uload8``: the extension and the type in memory."""
    digits = "".join(c for c in inst.op.name if c.isdigit())
    return inst.op.name[0], f"i{digits}" if digits else type_


def stack_addr(low: Translator, inst: Inst) -> None:
    pointer = low.temporary(f"getelementptr i8, ptr %ss{inst.ref}, i64 {inst.imm}")
    low.result(inst, f"ptrtoint ptr {pointer} to {low.type_of(inst.results[0])}")


def global_value(low: Translator, inst: Inst) -> None:
    """The steps from the context's address to the value."""
    base, steps = chain_of(low.function, inst.ref)
    if not isinstance(base, Parameter):
        raise Unsupported("the address of a symbol")
    if inst.type is not I64 or any(step.type not in (None, I64) for step in steps):
        raise Unsupported("a global value that is no i64")
    name = low.name_of(low.function.entry.params[base.position])
    foreign = inst.results[0] in low.foreign_addresses
    for step in steps:
        name = low.temporary(f"add i64 {name}, {step.offset}")
        if step.type is not None:
            pointer = _checked(low, name, step.flags.trap, 8, foreign=foreign)
            name = low.temporary(f"load i64, ptr {pointer}{_promises(step.flags, stack=foreign)}")
    low.result(inst, f"add i64 {name}, 0")


METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    **dict.fromkeys(("load", *(f"{s}load{bits}" for s in "us" for bits in (8, 16, 32))), load),
    **dict.fromkeys(("store", "istore8", "istore16", "istore32"), store),
    "stack_addr": stack_addr,
    "global_value": global_value,
}
