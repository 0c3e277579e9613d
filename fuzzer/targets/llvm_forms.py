"""Forms of operations as LLVM IR: with an immediate, with an operand inverted, of a slot by its name, with a carry.

All but the last are rewritten as other opcodes, with operands made here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backend.errors import Unsupported
from backend.ir.entities import Inst, MemFlags, Value
from backend.ir.opcodes import opcode_named
from backend.ir.types import I64, Type

if TYPE_CHECKING:
    from fuzzer.targets.llvm_ir import Translator

_STACK_ADDR: Final = opcode_named("stack_addr")
_BNOT: Final = opcode_named("bnot")

_SIGNED: Final = ("iadd", "imul", "sdiv", "srem", "icmp", "irsub")
"""What has its immediate extended by its sign, from 64 bits; the others' are extended by zeros."""
_UNSIGNED: Final = ("udiv", "urem", "band", "bor", "bxor", "ishl", "ushr", "sshr", "rotl", "rotr")


def _number(low: Translator, type_: Type | None, bits: int) -> Value:
    """A new value that is this number."""
    if type_ is None or type_.lanes != 1:
        raise Unsupported(f"an immediate of type {type_}")
    value = low.function.new_value(type_)
    low.emit(f"{low.name_of(value)} = add {type_.name} 0, {bits & type_.mask}")
    return value


def immediate(low: Translator, inst: Inst) -> None:
    name = inst.op.name.removesuffix("_imm")
    bits = (inst.imm ^ I64.sign) - I64.sign if name in _SIGNED else inst.imm
    args = (inst.args[0], _number(low, inst.type, bits))
    if name == "irsub":
        name, args = "isub", args[::-1]
    low.translate_inst(
        Inst(opcode_named(name), inst.type, args, inst.results, keyword=inst.keyword)
    )


def inverted(low: Translator, inst: Inst) -> None:
    """``x op ~y``."""
    x, y = inst.args
    assert inst.type is not None  # the table's
    inverse = low.function.new_value(inst.type)
    low.translate_inst(Inst(_BNOT, inst.type, (y,), (inverse,)))
    op = opcode_named(inst.op.name.removesuffix("_not"))
    low.translate_inst(Inst(op, inst.type, (x, inverse), inst.results))


def slot(low: Translator, inst: Inst) -> None:
    """A load or store of a slot."""
    address = low.function.new_value(I64)
    low.own_addresses.add(address)
    low.translate_inst(Inst(_STACK_ADDR, I64, (), (address,), imm=inst.imm, ref=inst.ref))
    op = opcode_named(inst.op.name.removeprefix("stack_"))
    args = (*inst.args, address)
    low.translate_inst(Inst(op, inst.type, args, inst.results, flags=MemFlags(trap=None)))


def carried(low: Translator, inst: Inst) -> None:
    """A sum of three, or what two take from one, in so many bits that it is exact."""
    type_ = low.function.value_types[inst.results[0]]
    extend = "sext" if inst.op.name[0] == "s" else "zext"
    operation = "add" if inst.op.name[1:4] == "add" else "sub"
    wide = f"i{type_.bits + 2}"
    x, y, carry = (low.name_of(a) for a in inst.args)
    x, y = (low.temporary(f"{extend} {type_.name} {a} to {wide}") for a in (x, y))
    bit = low.temporary(f"icmp ne {low.type_of(inst.args[2])} {carry}, 0")
    one = low.temporary(f"zext i1 {bit} to {wide}")
    part = low.temporary(f"{operation} {wide} {x}, {y}")
    exact = low.temporary(f"{operation} {wide} {part}, {one}")
    low.result(inst, f"trunc {wide} {exact} to {type_.name}")
    back = low.temporary(f"{extend} {type_.name} {low.name_of(inst.results[0])} to {wide}")
    flag = low.temporary(f"icmp ne {wide} {back}, {exact}")
    low.result(inst, f"zext i1 {flag} to i8", 1)


METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    **{f"{name}_imm": immediate for name in (*_SIGNED, *_UNSIGNED)},
    **dict.fromkeys(("band_not", "bor_not", "bxor_not"), inverted),
    **dict.fromkeys(("stack_load", "stack_store"), slot),
    **{f"{sign}{op}": carried for sign in "us" for op in ("add_overflow_cin", "sub_overflow_bin")},
}
